"""The generators of the process, torch's, NumPy's and Python's: saved, compared, restored."""

import ctypes
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import RLock, get_ident
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.random.mtrand import get_bit_generator
from torch import nn

from noisegate.core import forks

TORCH, NUMPY, PYTHON = "torch's", "NumPy's", "Python's"
NAMES = (TORCH, NUMPY, PYTHON)

# What a Mersenne Twister is: 624 words of 32 bits, and which of them is the next.
_TWISTER_BYTES = 4 * 624 + 4


@contextmanager
def kept() -> Iterator[None]:
    """Restore, after a block, the state of every generator of the process.

    What the block does to them is nobody's draw: it is not told to whoever watches. Another
    thread's block waits, or each would restore what the other has made.
    """
    with _keeping, _excused(), _restored():
        yield


_keeping = RLock()
# torch holds a generator's mutex while it wraps a state, which may run Python's garbage collector
# and so let another thread go on; one that waits for that mutex would never give Python back.
_reading = RLock()


@forks.after_in_child
def _forget() -> None:
    """Forget the blocks of threads that a fork has not copied."""
    global _keeping, _reading
    _keeping, _reading = RLock(), RLock()
    _excuses.clear()


@contextmanager
def _restored() -> Iterator[None]:
    generators = [torch.default_generator]
    if torch.cuda.is_initialized():
        generators += torch.cuda.default_generators
    with _reading:
        states = [(generator, generator.get_state()) for generator in generators]
    python, array = random.getstate(), np.random.get_state()  # noqa: NPY002  it is put back
    try:
        yield
    finally:
        with _reading:
            for generator, state in states:
                generator.set_state(state)
        random.setstate(python)
        np.random.set_state(array)  # noqa: NPY002  as it was


def seed(number: int) -> None:
    """Seed every generator of the process."""
    # Not `torch.manual_seed`, which would leave a seed for devices that begin later.
    with _reading:
        torch.default_generator.manual_seed(number)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(number)
    if isinstance(get_bit_generator(), np.random.MT19937):
        np.random.seed(number)  # noqa: NPY002  it is the one that models use
    random.seed(number)


# States, to be compared only -----------------------------------------------------------------


def _torch_state() -> Any:
    """Return the states of torch's default generators, as bytes."""
    with _reading:
        state = torch.default_generator.get_state()
    # Not by `numpy()`, which modes that trace would see.
    own = ctypes.string_at(state.data_ptr(), state.numel())
    if not torch.cuda.is_initialized() or torch.cuda.is_current_stream_capturing():
        return own
    on_devices = (generator.get_state() for generator in torch.cuda.default_generators)
    return own, *(bytes(state.tolist()) for state in on_devices)


def _numpy_state(closely: bool) -> Any:
    """Return the state of NumPy's generator; closely, with the number that is left of a pair."""
    bits: Any = get_bit_generator()
    if not isinstance(bits, np.random.MT19937):
        return repr(bits.state)
    twister = ctypes.string_at(bits.ctypes.state_address, _TWISTER_BYTES)
    if not closely:
        return twister
    whole: Any = np.random.get_state(legacy=False)  # noqa: NPY002  it is the one that models use
    return twister, whole["has_gauss"]


def _python_reader() -> Callable[[], Any]:
    """Return what reads the state of Python's generator: from memory, or as Python does.

    `random.getstate` makes a tuple of 625 numbers, which takes longer than all else here.
    """
    owner: Any = getattr(random.random, "__self__", None)
    address = id(owner) + object.__basicsize__

    def read() -> Any:
        return ctypes.string_at(address, _TWISTER_BYTES), owner.gauss_next

    try:
        *words, position = random.getstate()[1]
        found = np.frombuffer(read()[0], np.uint32).tolist()
        return read if found == [position, *words] else random.getstate
    except (AttributeError, ValueError):
        return random.getstate


_python_state = _python_reader()


class Ledger:
    """The states in which the generators are expected to be, while something is watched."""

    def __init__(self, closely: bool, skipped: frozenset[str] = frozenset()) -> None:
        self.closely, self.names = closely, [name for name in NAMES if name not in skipped]
        self.thread = get_ident()
        self.began, self.steady = self._read()
        self.states = self.began
        _ledgers.append(self)

    def close(self) -> None:
        """Expect nothing any more."""
        if self in _ledgers:
            _ledgers.remove(self)

    def moved(self) -> list[str]:
        """Return whose generators are not where they were expected, and expect them there.

        One that is where it was in the beginning has been put back, and counts as unmoved. While
        another thread's block is excused nothing is compared: the next look does.
        """
        now, steady = self._read()
        if not steady:
            return []
        before, began, compared = self.states, self.began, self.steady
        self.states, self.steady = now, True
        if not compared:  # there is nothing to compare with
            self.began = now
            return []
        return [name for name in self.names if now[name] not in (before[name], began[name])]

    def torch_moved(
        self, function: Callable[[], Any], is_its: Callable[[], bool]
    ) -> tuple[Any, bool]:
        """Return what a function gives, and whether it moved torch's generator.

        A move that is not the function's, as `is_its` says, is left for the next look.
        """
        before = _torch_state()
        result = function()
        after = _torch_state()
        moved = after != before and is_its()
        if moved and self.states.get(TORCH) == before:
            self.states = {**self.states, TORCH: after}
        return result, moved

    def _read(self) -> tuple[dict[str, Any], bool]:
        """Return the states, and whether no other thread's block was excused meanwhile."""
        epoch = _epoch
        states = {name: self._state(name) for name in self.names}
        steady = epoch == _epoch and all(thread == self.thread for thread in list(_excuses))
        return states, steady

    def _state(self, name: str) -> Any:
        if name == TORCH:
            return _torch_state()
        return _numpy_state(self.closely) if name == NUMPY else _python_state()


# Generators that a model keeps -----------------------------------------------------------------


class Kept(NamedTuple):
    """A generator that a module has as an attribute, or in a list, tuple or dict that it has."""

    module: str
    name: str
    generator: Any


def kept_by(model: nn.Module) -> Iterator[Kept]:
    """Yield each generator that a model's modules keep, once."""
    seen: set[int] = set()
    for path, module in model.named_modules():
        for name, value in _values(vars(module)):
            if isinstance(value, _KINDS) and id(value) not in seen:
                seen.add(id(value))
                yield Kept(path, f"{path}.{name}" if path else name, value)


_KINDS = (np.random.Generator, np.random.RandomState, random.Random, torch.Generator)


def _values(attributes: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in list(attributes.items()):
        yield name, value
        items = dict(enumerate(value)) if isinstance(value, list | tuple) else value
        if isinstance(items, dict):
            yield from ((f"{name}[{key!r}]", item) for key, item in list(items.items()))


def state_of(generator: Any) -> Any:
    """Return what a generator's next numbers depend on, to be compared only."""
    if isinstance(generator, np.random.Generator):
        return repr(generator.bit_generator.state)
    if isinstance(generator, np.random.RandomState):
        return repr(generator.get_state(legacy=False))
    if isinstance(generator, torch.Generator):
        return generator.get_state().tolist()
    # `SystemRandom` has no state, and is a `Random`.
    return None if isinstance(generator, random.SystemRandom) else generator.getstate()


# Draws of noisegate's own ---------------------------------------------------------------------

_ledgers: list[Ledger] = []
# Whose threads are in a block that is excused now, and how often one has begun or ended.
_excuses: list[int] = []
_epoch = 0


@contextmanager
def _excused() -> Iterator[None]:
    global _epoch
    _excuses.append(get_ident())
    _epoch += 1
    try:
        yield
    finally:
        _epoch += 1
        _excuses.remove(get_ident())


def own_draw(draw: Callable[[], Any]) -> Any:
    """Return a number that noisegate draws from torch's generator: no draw of a model's."""
    if not _ledgers:
        return draw()
    before = _torch_state()
    with torch._C.DisableTorchFunction():
        number = draw()
    after = _torch_state()
    for ledger in list(_ledgers):
        if ledger.states.get(TORCH) == before:
            ledger.states = {**ledger.states, TORCH: after}
    return number
