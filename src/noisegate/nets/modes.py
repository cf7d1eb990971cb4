"""Whether noise acts in a call: the words for it, and a block in that mode."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import nn

from noisegate.core import checks
from noisegate.core.errors import InvalidType, InvalidValue

from . import messages


def mode_of(who: str, given: Mapping[str, object], default: bool) -> bool:
    """Return whether noise acts, by the words `training` and `deterministic`."""
    for word in given:
        if word not in ("training", "deterministic"):
            raise InvalidType(messages.unknown_mode(who, word))
    said = {
        word: checks.flag(who, word, bool(value) if value in (0, 1) else value)
        for word, value in given.items()
    }
    if len(said) == 2 and said["training"] == said["deterministic"]:
        raise InvalidValue(messages.contradiction(who, said["training"]))
    if "training" in said:
        return said["training"]
    return not said["deterministic"] if "deterministic" in said else default


@contextmanager
def in_mode(module: nn.Module, training: bool) -> Iterator[None]:
    """Put a module and all within it in a mode, for a block."""
    before = [(m, m.training) for m in module.modules() if m.training is not training]
    for m, _ in before:
        m.training = training
    try:
        yield
    finally:
        for m, mode in before:
            m.training = mode
