"""The extension module, made of `native/module.cpp`. Addresses are not checked."""

from collections.abc import Sequence
from typing import Any

class Recipe:
    """What is done to an element."""

    def __init__(
        self,
        action: int,
        type: int,
        source: int = ...,
        number: int = ...,
        threshold: int = ...,
        second_number: int = ...,
        second_threshold: int = ...,
        gain: float = ...,
        shift: float | None = ...,
        fill: float = ...,
        factor: float = ...,
        plus: float = ...,
        fill_bits: int = ...,
        other_bits: int = ...,
    ) -> None: ...

class Plan:
    """The walk over arrays that hold a window of the field."""

    def __init__(
        self,
        axes: list[tuple[int, int, int, int, int, int]],
        first: int,
        start: int,
        step: int,
        ids: list[int],
    ) -> None: ...
    def run(
        self,
        recipe: Recipe,
        seed: int,
        hash: int,
        call: int,
        step: int,
        x: Any,
        y: Any,
        given: Any,
    ) -> None: ...
    def run_steps(
        self,
        recipe: Recipe,
        seed: int,
        hash: int,
        call: int,
        steps: Sequence[int],
        x: Any,
        y: Any,
        x_part: int,
        y_part: int,
    ) -> None: ...

def spread(x: Any, y: Any, outer: int, extent: int, inner: int, block: int) -> None: ...
def huge_pages(address: int, bytes: int) -> None: ...
def bits_of(value: float, type: int) -> int: ...
def instruction_set() -> str: ...
def choose(name: str) -> None: ...
def stay_alone() -> None: ...
def threads() -> int: ...
def beside_torch() -> bool: ...
