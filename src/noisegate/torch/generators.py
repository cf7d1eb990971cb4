"""The generators of the process, torch's, NumPy's and Python's: saved, compared, restored."""

import ctypes
import random
from collections.abc import Callable, Iterable, Iterator
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


State = dict[str, Any]


def save_state(names: Iterable[str] = NAMES) -> State:
    """Return the states of the process's generators, torch's on every GPU that has begun."""
    return {name: _SAVE[name]() for name in names}


def restore_state(state: State) -> None:
    """Put the generators back into a saved state."""
    for name, value in state.items():
        _RESTORE[name](value)


@contextmanager
def keep_states(*names: str) -> Iterator[None]:
    """Restore, after a block, the states of the generators that are named; of all if none is."""
    state = save_state(names or NAMES)
    try:
        yield
    finally:
        restore_state(state)


@contextmanager
def hide_draws() -> Iterator[None]:
    """Restore, after a block, every generator, and tell no ledger of what the block draws.

    Another thread's block waits, or each would restore what the other has made.
    """
    with _keeping, _excuse_draws(), keep_states():
        yield


def seed_all(number: int, later: bool = True) -> None:
    """Seed every generator of the process; `later`, devices that have not begun too."""
    if later:
        torch.manual_seed(number)
    else:
        with _reading:
            torch.default_generator.manual_seed(number)
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed_all(number)
    if isinstance(get_bit_generator(), np.random.MT19937):
        np.random.seed(number % 2**32)  # noqa: NPY002  it is the one that models use
    random.seed(number)


def save_cpu_state() -> torch.Tensor:
    """Return the state of torch's CPU generator, which a file can hold."""
    with _reading:
        return torch.get_rng_state()


def restore_cpu_state(state: torch.Tensor) -> None:
    """Put torch's CPU generator back into a saved state."""
    with _reading:
        torch.set_rng_state(state)


def _save_torch() -> Any:
    generators = [torch.default_generator]
    if torch.cuda.is_initialized():
        generators += torch.cuda.default_generators
    with _reading:
        return [(generator, generator.get_state()) for generator in generators]


def _restore_torch(states: Any) -> None:
    with _reading:
        for generator, state in states:
            generator.set_state(state)


# NumPy's and Python's are the ones that models use.
_SAVE: dict[str, Callable[[], Any]] = {
    TORCH: _save_torch,
    NUMPY: np.random.get_state,
    PYTHON: random.getstate,
}
_RESTORE: dict[str, Callable[[Any], None]] = {
    TORCH: _restore_torch,
    NUMPY: np.random.set_state,
    PYTHON: random.setstate,
}

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


# States, to be compared only -----------------------------------------------------------------


def _torch_state() -> Any:
    """Return the states of torch's default generators, as bytes."""
    with _reading:
        state = torch.default_generator.get_state()
    # Not by `numpy()`, which modes that trace would see.
    on_cpu = ctypes.string_at(state.data_ptr(), state.numel())
    if not torch.cuda.is_initialized() or torch.cuda.is_current_stream_capturing():
        return on_cpu
    on_devices = (generator.get_state() for generator in torch.cuda.default_generators)
    return on_cpu, *(bytes(state.tolist()) for state in on_devices)


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
        memory = np.frombuffer(read()[0], np.uint32).tolist()
        return read if memory == [position, *words] else random.getstate
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

    def find_moved(self) -> list[str]:
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

    def watch_torch(
        self, function: Callable[[], Any], is_its: Callable[[], bool]
    ) -> tuple[Any, bool]:
        """Return what a function gives, and whether it moved torch's generator.

        A move that is not the function's, as `is_its` says, is left for the next look.
        """
        before = _torch_state()
        result = function()
        after = _torch_state()
        has_moved = after != before and is_its()
        if has_moved and self.states.get(TORCH) == before:
            self.states = {**self.states, TORCH: after}
        return result, has_moved

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


class ModelGenerator(NamedTuple):
    """A generator that a module has as an attribute, or in a list, tuple or dict that it has."""

    module: str
    name: str
    generator: Any


def find_generators(model: nn.Module) -> Iterator[ModelGenerator]:
    """Yield each generator that a model's modules keep, once."""
    seen: set[int] = set()
    for path, module in model.named_modules():
        for name, value in _list_values(vars(module)):
            if isinstance(value, _KINDS) and id(value) not in seen:
                seen.add(id(value))
                yield ModelGenerator(path, f"{path}.{name}" if path else name, value)


_KINDS = (np.random.Generator, np.random.RandomState, random.Random, torch.Generator)


def _list_values(attributes: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in list(attributes.items()):
        yield name, value
        items = dict(enumerate(value)) if isinstance(value, list | tuple) else value
        if isinstance(items, dict):
            yield from ((f"{name}[{key!r}]", item) for key, item in list(items.items()))


def read_state(generator: Any) -> Any:
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
def _excuse_draws() -> Iterator[None]:
    global _epoch
    _excuses.append(get_ident())
    _epoch += 1
    try:
        yield
    finally:
        _epoch += 1
        _excuses.remove(get_ident())


def draw_unseen(draw: Callable[[], Any]) -> Any:
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
