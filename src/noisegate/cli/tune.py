"""`noisegate tune`: search for the rates and rules that help most."""

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
Search for the rates, and which rules are on, that give the lowest mean
validation loss over the seeds, by Optuna. Afterwards no noise and the best
recipe are scored once on test rows that no trial has seen. The report has the
trials and what each rule mattered.

Rules are as in noisegate.inject, their numbers may be ranges: LOW..HIGH,
LOW..HIGH log, or LOW..HIGH int. Every rule may be off, unless --always. The
first trial is no noise.

Several machines share a search through --storage; needs noisegate[tune].
"""

EPILOG = """\
Examples:
  noisegate tune --trials 10 --seeds 2 --epochs 10
  noisegate tune --model cnn --rules 'conv*:out=spatial_dropout(0..0.4)'
  noisegate tune --data x.npz --target y --rules 'in:out=gaussian(.01..1 log)'
  noisegate tune --storage postgresql://me@host/noise --name patients --jobs 8
"""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand to the command's parser."""
    parser = subparsers.add_parser(
        "tune",
        help="search for the rates and rules that help most",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    parser.add_argument(
        "--model",
        default="mlp",
        metavar="MODEL",
        help="mlp, cnn or module:function; default: mlp",
    )
    search = parser.add_argument_group("search")
    search.add_argument(
        "--rules",
        metavar="RULES",
        help="what is searched; default: dropout and Gaussian noise on the input, dropout on "
        "the hidden layers",
    )
    search.add_argument(
        "--always", action="store_true", help="keep every rule on, and search for rates only"
    )
    search.add_argument(
        "--trials",
        type=int,
        default=30,
        metavar="COUNT",
        help="in all, resumed ones and those of other processes included; default: %(default)s",
    )
    search.add_argument(
        "--tune-seed", type=int, default=0, metavar="N", help="seed of the suggestions; default: 0"
    )
    search.add_argument(
        "--storage", metavar="URL", help="any storage of Optuna's; default: an SQLite file in --out"
    )
    search.add_argument(
        "--name",
        default="noisegate",
        help="name of the search in the storage; default: %(default)s",
    )
    add_rows(parser)
    add_training(parser, seeds=5)
    add_uncertainty(parser)
    add_jobs(parser, jobs=1, out="noisegate-tune")
    parser.set_defaults(execute=execute)


def execute(parsed: argparse.Namespace) -> None:
    """Run the search and print its results."""
    from noisegate.tune.space import check_search

    search = {name: getattr(parsed, name) for name in ("trials", "always", "tune_seed")}
    check_search(parsed.rules, **search)
    check_arguments(parsed, [parsed.model], resume=parsed.resume or parsed.storage is not None)
    begin_work(parsed)
    # Imported here, so that neither help nor an error has to wait for torch.
    from noisegate.tune import tune

    check_interrupt(parsed)
    with divert_prints(parsed.json):
        study = tune(
            parsed.model,
            parsed.rules,
            storage=parsed.storage,
            name=parsed.name,
            **search,
            **read_settings(parsed),
        )
    print_study(study, parsed)
