"""Whether noise acts in a call: reading the keywords for it, and a block in that mode."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from inspect import Parameter, signature
from typing import Any, TypeVar

import numpy as np
from torch import nn

from noisegate.core import checks
from noisegate.core.errors import InvalidType, InvalidValue


def read_mode(given: Mapping[str, object], default: bool) -> bool:
    """Return whether noise acts, from the keywords `training` and `deterministic`."""
    known = ("deterministic", "training")
    for word in given:
        if word not in known:
            near = get_close_matches(word, known, n=1, cutoff=0.5)
            meant = f" (perhaps you meant {near[0]})" if near else ""
            raise InvalidType(
                f"unknown keyword `{word}`{meant}; known are `training` and `deterministic`."
            )
    said = {
        word: checks.check_flag(word, bool(value) if value in (0, 1) else value)
        for word, value in given.items()
    }
    if len(said) == 2 and said["training"] == said["deterministic"]:
        words = "training={training} and deterministic={deterministic}".format(**said)
        raise InvalidValue(f"{words} contradict each other. Give one of them.")
    if "training" in said:
        return said["training"]
    return not said["deterministic"] if "deterministic" in said else default


@dataclass(frozen=True)
class Way:
    """A calling convention of layers and networks, after the system it comes from.

    Attributes
    ----------
    first : str
        The name of the first input.
    word : str
        What a truth value behind the inputs means.
    noisy : bool
        Whether noise acts where nothing is said.
    """

    first: str
    word: str
    noisy: bool

    def read(self, inputs: Sequence[Any], words: Mapping[str, Any]) -> tuple[Sequence[Any], bool]:
        """Return the inputs, and whether noise acts."""
        inputs, words = list(inputs), dict(words)
        # A truth value behind an input is the mode; alone it would be the input.
        if len(inputs) + (self.first in words) > 1 and isinstance(inputs[-1], bool | np.bool_):
            checks.check_given_once(self.word, words)
            words[self.word] = bool(inputs.pop())
        if self.first in words:
            if inputs:
                checks.check_given_once(self.first, words)
            inputs = [words.pop(self.first)]
        return inputs, read_mode(words, self.noisy)


# NeuPy's output(input_value, training=False), Lasagne's get_output_for(input, deterministic=False).
OUTPUT = Way("input_value", "training", noisy=False)
GET_OUTPUT_FOR = Way("input", "deterministic", noisy=True)

F = TypeVar("F", bound=Callable[..., Any])


def shows_mode(function: F) -> F:
    """Show the keywords of the mode in a signature, in place of ``**mode``."""
    call = signature(function)
    *own, _ = call.parameters.values()
    words = (
        Parameter(word, Parameter.KEYWORD_ONLY, default=None, annotation=bool | None)
        for word in ("training", "deterministic")
    )
    function.__signature__ = call.replace(parameters=[*own, *words])  # type: ignore[attr-defined]
    return function


@contextmanager
def in_mode(module: nn.Module, training: bool) -> Iterator[None]:
    """Put a module and its submodules in training or evaluation mode for a block."""
    before = [(m, m.training) for m in module.modules() if m.training is not training]
    for m, _ in before:
        m.training = training
    try:
        yield
    finally:
        for m, mode in before:
            m.training = mode
