"""The command line: one file per subcommand, which reads arguments, makes a call and prints."""

import argparse
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper

from noisegate import __version__
from noisegate.core.errors import InvalidType, InvalidValue, NoisegateError

from . import compare, info, show, sites, study, tune
from .parsing import Parser

__all__ = ["main", "parser"]

SUBCOMMANDS = (study, tune, compare, sites, show, info)
# Prefixes of errors that are replaced by the name of the subcommand that the user has typed.
WORK = ("study", "draw")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    It is 0, 1 (the work failed), 2 (the call was wrong) or 130 (interrupted). Errors are printed
    as one sentence; ``--debug`` shows the traceback too.
    """
    _replace_unprintable()
    parsed = argparse.Namespace(debug=False, resume=None, interrupted=False)
    with _limit_interrupts(parsed):
        return _run(parsed, arguments)


def _run(parsed: argparse.Namespace, arguments: Sequence[str] | None) -> int:
    """Parse the arguments, run the subcommand, and return the exit code."""
    try:
        parser().parse_args(arguments, parsed)
        parsed.execute(parsed)
        sys.stdout.flush()
    except SystemExit:  # argparse has printed help, or what is wrong with the call
        raise
    except BrokenPipeError:  # the reader of the output has gone, so nothing more is printed
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except BaseException as error:  # a user's model may raise anything
        return _report_failure(error, parsed)
    return 0


def _report_failure(error: BaseException, parsed: argparse.Namespace) -> int:
    """Print what has ended the work, and return the exit code."""
    # The import of a compiled module turns Ctrl-C into an ImportError.
    if isinstance(error, KeyboardInterrupt) or parsed.interrupted:
        # Only subcommands with --resume leave something to go on with.
        saved = (
            " What has finished is saved: go on with --resume." if parsed.resume is not None else ""
        )
        return _report(error, f"interrupted.{saved}", 130, parsed.debug)
    if isinstance(error, InvalidValue | InvalidType):
        return _report(error, _rename_prefix(error, parsed.command), 2, parsed.debug)
    if isinstance(error, NoisegateError | OSError):
        return _report(error, _rename_prefix(error, parsed.command), 1, parsed.debug)
    line = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".:")
    return _report(error, f"unexpected {line}. See where with --debug.", 1, parsed.debug)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command with all its subcommands."""
    command = Parser(
        prog="noisegate",
        description="Noise for neural networks: see what it does.",
        epilog="Example:\n  noisegate study --model mlp --seeds 2 --epochs 5",
    )
    command.add_argument("--version", action="version", version=f"noisegate {__version__}")
    subparsers = command.add_subparsers(
        required=True, dest="command", metavar="COMMAND", title="commands"
    )
    for subcommand in SUBCOMMANDS:
        subcommand.add(subparsers)
    for each in subparsers.choices.values():
        each.add_argument("--debug", action="store_true", help="show where an error comes from")
    return command


@contextmanager
def _limit_interrupts(parsed: argparse.Namespace) -> Iterator[None]:
    """Let the first Ctrl-C end the work, and ignore later ones, which would end its clean-up.

    `parsed.interrupted` remembers it, for `check_interrupt`.
    """

    def interrupt(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        parsed.interrupted = True
        raise KeyboardInterrupt

    ours = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT)
    if not ours or before is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is interrupt:
            signal.signal(signal.SIGINT, before)


def _replace_unprintable() -> None:
    """Print `?` for a character that the terminal's encoding lacks, and do not fail for it."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def _rename_prefix(error: Exception, command: str) -> str:
    """Return the text of an error, with the subcommand as its prefix if it has one of `WORK`."""
    prefix, colon, sentence = str(error).partition(": ")
    return f"{command}: {sentence}" if colon and prefix in WORK else str(error)


def _report(error: BaseException, what: object, code: int, debug: bool) -> int:
    """Print what went wrong, and return the exit code."""
    if debug:
        traceback.print_exception(error)
    print(f"noisegate: {what}", file=sys.stderr)
    return code
