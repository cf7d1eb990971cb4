"""Random numbers of one element, by which a model decides what runs: a layer is skipped or not."""

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

# Uniform numbers in [0, 1) that float16 and bfloat16 can tell from 1.
HIGH, LOW = 1 - 2.0**-8, 2.0**-8

# What draws uniform numbers, each of which may be a coin.
_TORCH = (torch.rand, torch.rand_like, Tensor.uniform_)
_OTHERS = (
    (random, ("random", "uniform")),
    (np.random, ("random", "random_sample", "rand", "uniform")),
)

# How the result of such a function is marked: with the `OwnDraw` that it is.
_MARK = "_noisegate_coin"


@dataclass
class Coins:
    """What all coins of a block are, as a share of their range, and whether there were any."""

    share: float
    tossed: bool = False


_held: Local[Coins | None] = Local(None)


def get_coins() -> Coins | None:
    """Return what coins are held at here, if they are."""
    return _held.get()


@contextmanager
def hold_coins(share: float) -> Iterator[Coins]:
    """Hold all coins of a block, in this thread, at one share of their range."""
    coins, before = Coins(share), _held.get()
    _held.set(coins)
    _patch(+1)
    try:
        yield coins
    finally:
        _patch(-1)
        _held.set(before)


# Functions of Python's and NumPy's are replaced while any thread holds coins.
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
    """Return a function of Python's or NumPy's whose single numbers may be held."""

    def draw(*args: Any, **kwargs: Any) -> Any:
        drawn, coins = function(*args, **kwargs), _held.get()
        if coins is None or not isinstance(drawn, float):
            return drawn
        coins.tossed = True
        given = dict(zip(("low", "high"), args, strict=False)) | kwargs
        low, high = given.get("a", given.get("low", 0.0)), given.get("b", given.get("high", 1.0))
        return low + (high - low) * coins.share

    return draw


def is_coin(function: Any, drawn: Any) -> bool:
    """Return whether what a function drew may be a coin: one uniform number."""
    one = isinstance(drawn, Tensor) and drawn.ndim < 2 and drawn.numel() == 1
    return one and function in _TORCH


def hold_coin(function: Any, args: Any, kwargs: Any, drawn: Tensor) -> None:
    """Hold a coin of torch's, where coins are held."""
    coins = get_coins()
    if coins is None:
        return
    coins.tossed = True
    given = dict(zip(("from", "to"), args[1:], strict=False)) | kwargs
    # `rand` takes sizes, and always draws from [0, 1).
    given = given if function is Tensor.uniform_ else {}
    low, high = given.get("from", 0.0), given.get("to", 1.0)
    drawn.fill_(low + (high - low) * coins.share)


def mark_coin(drawn: Tensor, what: Any) -> None:
    """Remember of a tensor that it is a coin, and which."""
    setattr(drawn, _MARK, what)


def find_coin(values: Any) -> Any:
    """Return which coin is among some values, if one is."""
    return next((value._noisegate_coin for value in values if hasattr(value, _MARK)), None)
