"""The command line: one file for each subcommand; arguments in, calls, tables out."""

import argparse
import sys
from collections.abc import Sequence
from io import TextIOWrapper

from noisegate import __version__
from noisegate.core.errors import InvalidType, InvalidValue, NoisegateError

from . import info, show, study

__all__ = ["main", "parser"]

SUBCOMMANDS = (study, show, info)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0, 1 (the work failed), 2 (the call was wrong)."""
    _print_whatever_the_encoding()
    try:
        parsed = parser().parse_args(arguments)
        parsed.execute(parsed)
    except (InvalidValue, InvalidType) as error:
        return _failed(error, 2)
    except (NoisegateError, OSError) as error:
        return _failed(error, 1)
    except KeyboardInterrupt:
        return _failed("interrupted", 130)
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command with all its subcommands."""
    command = argparse.ArgumentParser(
        prog="noisegate",
        description="Noise for neural networks: see what it does.",
        epilog="Example:\n  noisegate study --model mlp --seeds 2 --epochs 5",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--version", action="version", version=f"noisegate {__version__}")
    subparsers = command.add_subparsers(required=True, metavar="COMMAND", title="commands")
    for subcommand in SUBCOMMANDS:
        subcommand.add(subparsers)
    return command


def _print_whatever_the_encoding() -> None:
    """Let a sign that the terminal's encoding lacks become `?`, not the end of a finished study."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def _failed(error: object, code: int) -> int:
    print(f"noisegate: {error}", file=sys.stderr)
    return code
