"""`noisegate info`: which engine makes the noise here, and which versions are installed."""

import argparse
import json
import platform
import warnings
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from noisegate import __version__
from noisegate.core.keys import SCHEME
from noisegate.engines import native

__all__ = ["add"]

DESCRIPTION = """\
Print what makes the noise here: the engine, its instruction set, how many
threads it takes (in a process that has imported torch, torch's number), the
scheme of the noise, and versions.
"""

EPILOG = """\
Examples:
  noisegate info
  noisegate info --json
"""

PACKAGES = ("numpy", "torch", "scikit-learn", "skorch", "transformers")


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand to the command's parser."""
    parser = subparsers.add_parser(
        "info",
        help="print the engine, its instruction set, threads, scheme and versions",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    parser.add_argument("--json", action="store_true", help="as one JSON object")
    parser.set_defaults(execute=execute)


def execute(parsed: argparse.Namespace) -> None:
    """Print the facts as a table, or as JSON."""
    facts = _read_facts()
    if parsed.json:
        print(json.dumps(facts, indent=1))
        return
    for name, value in facts.items():
        print(f"{name:<16} {'not installed' if value is None else value}")


def _read_facts() -> dict[str, Any]:
    """Return the engine, the scheme and the versions, by name."""
    with warnings.catch_warnings():  # a missing extension is in the table, and needs no warning
        warnings.simplefilter("ignore")
        facts = native.describe_engine()
    return {
        "noisegate": __version__,
        "scheme": SCHEME,
        **{name: "none" if value is None else value for name, value in facts.items()},
        "python": platform.python_version(),
        **{package: _version(package) for package in PACKAGES},
    }


def _version(package: str) -> str | None:
    """Return the version of a package; None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
