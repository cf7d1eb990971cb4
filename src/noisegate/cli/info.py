"""`noisegate info`: which engine makes the noise here, and of which versions."""

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
    parser.set_defaults(execute=_execute)


def _execute(parsed: argparse.Namespace) -> None:
    facts = _facts()
    if parsed.json:
        print(json.dumps(facts, indent=1))
        return
    for name, value in facts.items():
        print(f"{name:<16} {'not installed' if value is None else value}")


def _facts() -> dict[str, Any]:
    with warnings.catch_warnings():  # that there is none is what is told
        warnings.simplefilter("ignore")
        facts = native.facts()
    found = {k: "none" if v is None else v for k, v in facts.items()}
    here = {"noisegate": __version__, "scheme": SCHEME, **found}
    return {**here, "python": platform.python_version(), **{n: _version(n) for n in PACKAGES}}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
