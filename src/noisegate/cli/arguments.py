"""Arguments of several subcommands: the rows, the training, the processes."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from noisegate.study import Source, Study

__all__ = [
    "add_jobs",
    "add_rows",
    "add_training",
    "add_uncertainty",
    "begin_work",
    "check_arguments",
    "check_interrupt",
    "print_study",
    "read_settings",
]


def add_rows(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for where the rows come from and how they are split."""
    rows = parser.add_argument_group("rows")
    rows.add_argument(
        "--data",
        metavar="FILE",
        help=".csv, .tsv, .npz, .parquet, .feather or .xlsx; default: scikit-learn's digits",
    )
    rows.add_argument("--target", metavar="COLUMN", help="the column, or array, to predict")
    rows.add_argument(
        "--task",
        choices=("classification", "regression"),
        help="default: inferred from the target, and printed",
    )
    several: dict[str, Any] = {"nargs": "+", "action": "extend", "default": []}
    rows.add_argument(
        "--inputs",
        metavar="COLUMN",
        help="a column or array that is an input; default: all others; may be repeated",
        **several,
    )
    rows.add_argument(
        "--ignore",
        metavar="COLUMN",
        help="a column that is not an input; may be repeated",
        **several,
    )
    rows.add_argument(
        "--split",
        metavar="COLUMN",
        help="keep rows with the same value of this together in every split",
    )
    _add_cells(rows)
    rows.add_argument(
        "--test", metavar="FILE", help="a file of test rows; default: a share of the data"
    )
    rows.add_argument(
        "--test-seed", type=int, default=0, metavar="N", help="which test split; default: 0"
    )
    for flag, share, what in (
        ("--test-share", 0.2, "the test's share of all rows"),
        ("--validation-share", 0.25, "the validation's share of the others"),
    ):
        rows.add_argument(
            flag, type=float, default=share, metavar="SHARE", help=f"{what}; default: {share}"
        )


def _add_cells(rows: "argparse._ArgumentGroup") -> None:
    """Add the arguments for how cells are read."""
    rows.add_argument(
        "--missing",
        choices=("error", "drop", "impute"),
        default="error",
        help="rows with missing values: refuse, leave out, or fill in; default: error",
    )
    rows.add_argument(
        "--drop-missing",
        action="store_const",
        dest="missing",
        const="drop",
        help="the same as --missing drop",
    )
    rows.add_argument(
        "--na",
        nargs="*",
        action="extend",
        metavar="WORD",
        help="words that are missing values beside empty cells; default: NA N/A NaN nan null "
        "None ?",
    )
    rows.add_argument(
        "--decimal", default=".", metavar="SIGN", help="before decimals; default: %(default)s"
    )
    rows.add_argument(
        "--thousands", metavar="SIGN", help="between thousands, as , in 1,234; default: none"
    )


def add_training(parser: argparse.ArgumentParser, *, seeds: int) -> None:
    """Add the arguments for how each run is trained."""
    training = parser.add_argument_group("training")
    training.add_argument("--seeds", type=int, default=seeds, help="default: %(default)s")
    training.add_argument(
        "--epochs", type=int, default=60, help="the budget of each run; default: %(default)s"
    )
    training.add_argument(
        "--batch-size",
        type=int,
        metavar="ROWS",
        help="default: a tenth of the training rows, in [16, 128]",
    )
    training.add_argument(
        "--learning-rate", type=float, default=2e-3, metavar="RATE", help="default: %(default)s"
    )


def add_uncertainty(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for whether uncertainty is measured."""
    group = parser.add_argument_group("uncertainty")
    group.add_argument(
        "--uncertainty",
        action="store_true",
        help="measure how far the uncertainty of predictions with noise can be trusted",
    )
    group.add_argument(
        "--ood",
        metavar="FILE",
        help="out-of-distribution inputs; default: test rows, columns shuffled",
    )


def add_jobs(parser: argparse.ArgumentParser, *, jobs: int, out: str) -> None:
    """Add the arguments for where results go, and for how many processes make them."""
    work = parser.add_argument_group("work")
    work.add_argument(
        "--jobs", type=int, default=jobs, help="processes of one thread each; default: %(default)s"
    )
    work.add_argument(
        "--out",
        type=Path,
        default=Path(out),
        metavar="DIR",
        help="folder for the report, the pictures and the numbers; default: %(default)s",
    )
    work.add_argument(
        "--resume", action="store_true", help="continue from the runs that the folder has"
    )
    work.add_argument("--json", action="store_true", help="print the numbers, not the tables")


def read_settings(parsed: argparse.Namespace) -> dict[str, Any]:
    """Return the values of these arguments as the keywords of `run` and `tune`."""
    names = ["seeds", "epochs", "batch_size", "learning_rate"]
    names += ["uncertainty", "ood", "jobs", "out", "resume"]
    return {"source": _source(parsed), **{name: getattr(parsed, name) for name in names}}


def check_arguments(
    parsed: argparse.Namespace,
    models: Sequence[str] | None,
    recipes: Sequence[str] | None = None,
    *,
    resume: bool,
) -> None:
    """Raise if these arguments or the first lines of their files are wrong, without torch."""
    from noisegate.study.design import Design, check_design

    words = read_settings(parsed)
    jobs, out, _ = (words.pop(name) for name in ("jobs", "out", "resume"))
    design = Design(
        None if models is None else tuple(models),
        None if recipes is None else tuple(recipes),
        **words,
    )
    check_design(design, jobs=jobs, out=out, resume=resume)


def begin_work(parsed: argparse.Namespace) -> None:
    """Print what is read, and start the process of the workers, before torch is imported.

    The workers' process imports while this one does, and reads and checks.
    """
    from noisegate.study.train.processes import start_fork_server

    if sys.stderr.isatty():
        name = "the digits" if parsed.data is None else Path(parsed.data).name
        print(f"Reading {name} ...", file=sys.stderr)
    if parsed.jobs > 1:
        start_fork_server()


def check_interrupt(parsed: argparse.Namespace) -> None:
    """Raise the Ctrl-C that an import has swallowed: modules may catch any exception."""
    if parsed.interrupted:
        raise KeyboardInterrupt


def print_study(study: "Study", parsed: argparse.Namespace) -> None:
    """Print the results of a study, as tables or as JSON."""
    from noisegate.study.show import terminal as tables

    # Written, not printed: the text ends with its newline.
    if parsed.json:
        sys.stdout.write(study.to_json())
    else:
        tables.show(study, parsed.out / "report.html")


def _source(parsed: argparse.Namespace) -> "Source":
    """Return where the rows come from."""
    # Imported here, so that `noisegate --help` need not wait for it.
    from noisegate.study import Source

    words: dict[str, Any] = {name: getattr(parsed, name, False) for name in Source.__slots__}
    for name in ("inputs", "ignore", "na"):
        words[name] = words[name] if words[name] is None else tuple(words[name])
    return Source(**words)
