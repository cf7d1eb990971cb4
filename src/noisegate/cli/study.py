"""`noisegate study`: train with and without noise, and compare."""

import argparse

from .arguments import (
    add_jobs,
    add_rows,
    add_training,
    add_uncertainty,
    begin_work,
    check_arguments,
    check_interrupt,
    print_study,
    read_settings,
)
from .streams import divert_prints

__all__ = ["add"]

DESCRIPTION = """\
Train a network on your data with several noise recipes, on the same splits,
initial weights and batch orders, and show what each recipe did: a table, a
sentence, a report (HTML), curves (PNG, SVG) and every number (JSON). The
recipe that validation chooses is scored once on test rows that nothing has
seen before.

A recipe is NAME=RULES, with rules as in noisegate.inject; a file .yaml or
.toml; or one of none, hidden, input-hidden, gaussian, and on the CNN spatial.
Left out: all that fit. By their names alone: recurrent, weights.

A model is mlp (hid1, hid2, out), cnn (conv1, conv2, hid1, out), or
module:function, called with the shape of one input and the number of outputs;
the current folder is importable.
"""

EPILOG = """\
Examples:
  noisegate study
  noisegate study --model mlp --recipe gaussian --seeds 3 --epochs 20
  noisegate study --data patients.csv --target outcome --split clinic
  noisegate study --data x.npz --target y --model nets:make --uncertainty
  noisegate study --data x.npz --target y --recipe 'mine=hid*:out=0.5'
"""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand to the command's parser."""
    parser = subparsers.add_parser(
        "study",
        help="train with several noise recipes and show what each did",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    parser.add_argument(
        "--model",
        nargs="+",
        action="extend",
        metavar="MODEL",
        help="mlp, cnn, or module:function; default: mlp, and cnn too on the digits",
    )
    parser.add_argument(
        "--recipe",
        nargs="+",
        action="extend",
        metavar="RECIPE",
        help="recipes to compare with `none`: names, NAME=RULES, files; default: all that fit",
    )
    add_rows(parser)
    add_training(parser, seeds=5)
    add_uncertainty(parser)
    add_jobs(parser, jobs=2, out="noisegate-study")
    parser.set_defaults(execute=execute)


def execute(parsed: argparse.Namespace) -> None:
    """Run the study and print its results."""
    # `run` makes the same checks, after a second of imports.
    check_arguments(parsed, parsed.model, parsed.recipe, resume=parsed.resume)
    begin_work(parsed)
    # Imported here, so that neither help nor an error has to wait for torch.
    from noisegate.study import run

    check_interrupt(parsed)
    with divert_prints(parsed.json):
        study = run(parsed.model, parsed.recipe, **read_settings(parsed))
    print_study(study, parsed)
