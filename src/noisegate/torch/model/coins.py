"""Coins: single random numbers by which a model decides whether to run a layer or skip it."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor

from noisegate.core.local import Local

# Uniform numbers close to 1 and to 0; float16 and bfloat16 do not round HIGH up to 1.
HIGH, LOW = 1 - 2.0**-8, 2.0**-8

# Functions that draw uniform numbers. A single number from one of them may be a coin.
_TORCH = (torch.rand, torch.rand_like, Tensor.uniform_)
_OTHERS = (
    (random, ("random", "uniform")),
    (np.random, ("random", "random_sample", "rand", "uniform")),
)

# The attribute of a tensor from such a function that holds its `OwnDraw`.
_MARK = "_noisegate_coin"


@dataclass
class Coins:
    """The value of all coins of a block, as a share in [0, 1) of their range.

    `tossed` says whether any was drawn.
    """

    share: float
    tossed: bool = False


_held: Local[Coins | None] = Local(None)


def get_coins() -> Coins | None:
    """Return the coins that are held in this thread, or None."""
    return _held.get()


@contextmanager
def hold_coins(share: float) -> Iterator[Coins]:
    """Hold all coins of a block, in this thread, at one share in [0, 1) of their range."""
    coins, before = Coins(share), _held.get()
    _held.set(coins)
    _patch(+1)
    try:
        yield coins
    finally:
        _patch(-1)
        _held.set(before)


# Python's and NumPy's functions are patched while any thread holds coins: no mode sees their calls.
# The replacement holds coins in the threads that asked for it, and draws as usual in all others.
_patching = Lock()
_originals: list[tuple[Any, str, Any]] = []
_holding = 0


def _patch(change: int) -> None:
    global _holding
    with _patching:
        _holding += change
        if _holding and not _originals:
            for owner, names in _OTHERS:
                for name in names:
                    original = getattr(owner, name)
                    _originals.append((owner, name, original))
                    setattr(owner, name, _make_holdable(original))
        elif not _holding:
            for owner, name, original in _originals:
                setattr(owner, name, original)
            _originals.clear()


def _make_holdable(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function of Python's or NumPy's so that its single numbers can be held."""

    def draw(*args: Any, **kwargs: Any) -> Any:
        # Drawn first, since only the result shows whether it is a single number.
        drawn, coins = function(*args, **kwargs), _held.get()
        if coins is None or not isinstance(drawn, float):
            return drawn
        coins.tossed = True
        given = dict(zip(("low", "high"), args, strict=False)) | kwargs
        # `random.uniform` calls its bounds a and b, NumPy's functions low and high.
        low, high = given.get("a", given.get("low", 0.0)), given.get("b", given.get("high", 1.0))
        return low + (high - low) * coins.share

    return draw


def is_coin(function: Any, drawn: Any) -> bool:
    """Return whether a function's result may be a coin: a single uniform number."""
    one = isinstance(drawn, Tensor) and drawn.ndim < 2 and drawn.numel() == 1
    return one and function in _TORCH


def hold_coin(function: Any, args: Any, kwargs: Any, drawn: Tensor) -> None:
    """Overwrite a coin of torch's with the held value, if coins are held in this thread."""
    coins = get_coins()
    if coins is None:
        return
    coins.tossed = True
    low, high = find_bounds(function, args, kwargs)
    drawn.fill_(low + (high - low) * coins.share)


def find_bounds(function: Any, args: Any, kwargs: Any) -> tuple[float, float]:
    """Return the bounds between which a call draws a coin."""
    if function is not Tensor.uniform_:  # the others take sizes
        return 0.0, 1.0
    given = dict(zip(("from", "to"), args[1:], strict=False)) | kwargs
    return given.get("from", 0.0), given.get("to", 1.0)


def mark_coin(drawn: Tensor, what: Any) -> None:
    """Mark a tensor as a coin, with its draw, or with the site of a draw that is keyed."""
    setattr(drawn, _MARK, what)


def find_coin(values: Any) -> Any:
    """Return the mark of the first coin among some values, or None."""
    return next((value._noisegate_coin for value in values if hasattr(value, _MARK)), None)
