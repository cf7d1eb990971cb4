"""`noisegate study`: train with and without noise, and show what it did."""

import argparse
import sys
from pathlib import Path

__all__ = ["add"]

MODELS = {"mlp": ("mlp",), "cnn": ("cnn",), "both": ("mlp", "cnn")}

DESCRIPTION = """\
Train a network on handwritten digits with several noise recipes, on the same splits,
initial weights and batch orders, and show what each recipe did: a table, a sentence,
curves (PNG, SVG), a report (HTML) and every number (JSON).

Recipes: none, hidden, input-hidden, gaussian; on the CNN spatial too.
"""

EPILOG = """\
Examples:
  noisegate study
  noisegate study --model mlp --recipe gaussian --seeds 3 --epochs 20
"""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand to the command's parser."""
    parser = subparsers.add_parser(
        "study",
        help="train with several noise recipes and show what each did",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", choices=MODELS, default="both", help="default: %(default)s")
    parser.add_argument(
        "--recipe",
        nargs="+",
        action="extend",
        metavar="NAME",
        help="recipes to compare with `none`; default: all",
    )
    parser.add_argument("--seeds", type=int, default=5, help="default: %(default)s")
    parser.add_argument(
        "--epochs", type=int, default=60, help="the budget of each run; default: %(default)s"
    )
    parser.add_argument(
        "--jobs", type=int, default=2, help="processes of one thread each; default: %(default)s"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("noisegate-study"),
        metavar="DIR",
        help="folder for the report, the pictures and the numbers; default: %(default)s",
    )
    parser.add_argument("--json", action="store_true", help="print the numbers, not the tables")
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> None:
    """Run the study and print what it found."""
    # Imported here, so that `noisegate --help` does not wait for torch.
    from noisegate.study import run, tables

    found = run(
        MODELS[arguments.model],
        arguments.recipe,
        seeds=arguments.seeds,
        epochs=arguments.epochs,
        out=arguments.out,
        jobs=arguments.jobs,
    )
    if arguments.json:
        sys.stdout.write(found.to_json())
    else:
        tables.show(found, arguments.out / "report.html")
