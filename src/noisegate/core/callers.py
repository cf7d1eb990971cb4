"""Warnings that point at the user's line."""

import sys
import warnings

# Packages whose frames the user did not write: ours, and what calls our hooks and callbacks.
_NOT_THE_USERS = {"noisegate", "torch", "contextlib"}
_NOT_THE_USERS |= {"accelerate", "lightning", "skorch", "transformers"}


def warn_caller(sentence: str) -> None:
    """Warn at the first line on the stack that is neither the package's nor a framework's."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and _home(frame.f_globals) in _NOT_THE_USERS:
        level, frame = level + 1, frame.f_back
    warnings.warn(sentence, RuntimeWarning, stacklevel=level)


def _home(names: dict[str, object]) -> str:
    return str(names.get("__name__", "")).partition(".")[0]
