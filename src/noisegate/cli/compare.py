"""`noisegate compare`: two studies of the same data, paired by seed."""

import argparse
import sys
from pathlib import Path

__all__ = ["add"]

DESCRIPTION = """\
Compare two studies of the same data and the same splits by the folders that
they wrote: for every recipe that both have, b - a of the loss and the error
at each run's best epoch, paired by the seeds that both have. Models, rules,
epochs and learning rates may differ, and the differences are listed; other
data are refused.
"""

EPILOG = """\
Examples:
  noisegate study --model mlp --recipe hidden --seeds 3 --epochs 5 --out short
  noisegate study --model mlp --recipe hidden --seeds 3 --epochs 20 --out long
  noisegate compare short long
  noisegate compare short long --json
"""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand to the command's parser."""
    parser = subparsers.add_parser(
        "compare",
        help="compare two studies of the same data",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    parser.add_argument("a", type=Path, metavar="A", help="a study: its folder, or its study.json")
    parser.add_argument(
        "b", type=Path, metavar="B", help="another; it is the better one where b - a is below 0"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, not the tables")
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> None:
    """Compare the studies and print the result."""
    from noisegate.study.json_text import format_json
    from noisegate.study.judge.study_pairs import compare
    from noisegate.study.show.comparison import comparison_facts, print_comparison

    found = compare(arguments.a, arguments.b)
    if arguments.json:
        sys.stdout.write(format_json(comparison_facts(found)))
    else:
        print_comparison(found)
