"""The command line: one file for each subcommand; arguments in, calls, tables out."""

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
# Who speaks in sentences on work that several subcommands, or one of another name, have done.
WORK = ("study", "draw")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    0, 1 (the work failed), 2 (the call was wrong) or 130 (interrupted). What is wrong is said in
    a sentence; a traceback is shown with ``--debug`` only.
    """
    _print_whatever_the_encoding()
    parsed = argparse.Namespace(debug=False, resume=None)
    with _interrupted_once():
        return _executed(parsed, arguments)


def _executed(parsed: argparse.Namespace, arguments: Sequence[str] | None) -> int:
    try:
        parser().parse_args(arguments, parsed)
        parsed.execute(parsed)
        sys.stdout.flush()
    except SystemExit:  # help, or a call that was wrong
        raise
    except BrokenPipeError:  # who read the output has gone: not a word into what is closed
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except KeyboardInterrupt as error:
        # Of those, and only of those, something is left to go on with.
        saved = (
            " What has finished is saved: go on with --resume." if parsed.resume is not None else ""
        )
        return _failed(error, f"interrupted.{saved}", 130, parsed.debug)
    except (InvalidValue, InvalidType) as error:
        return _failed(error, _called(error, parsed.command), 2, parsed.debug)
    except (NoisegateError, OSError) as error:
        return _failed(error, _called(error, parsed.command), 1, parsed.debug)
    except BaseException as error:  # a user's model may raise what it likes
        line = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".:")
        what = f"unexpected {line}. See where with --debug."
        return _failed(error, what, 1, parsed.debug)
    return 0


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
def _interrupted_once() -> Iterator[None]:
    """Let the first Ctrl-C end the work, and others not end its tidying up, until Python's end."""

    def interrupt(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
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


def _print_whatever_the_encoding() -> None:
    """Let a sign that the terminal's encoding lacks become `?`, not the end of a finished study."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def _called(error: Exception, command: str) -> str:
    """Return what an error says, by the name of the subcommand where it has another of its work."""
    who, colon, sentence = str(error).partition(": ")
    return f"{command}: {sentence}" if colon and who in WORK else str(error)


def _failed(error: BaseException, what: object, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exception(error)
    print(f"noisegate: {what}", file=sys.stderr)
    return code
