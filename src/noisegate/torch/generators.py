"""Save, compare and restore the process's generators: torch's, NumPy's and Python's."""

import ctypes
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from threading import RLock, get_ident
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.random.mtrand import get_bit_generator
from torch import nn

from noisegate.core import forks
from noisegate.core.local import Local

TORCH, NUMPY, PYTHON = "torch's", "NumPy's", "Python's"
NAMES = (TORCH, NUMPY, PYTHON)
# Those that no kernel serves.
OTHERS = (NUMPY, PYTHON)

# The state of a Mersenne Twister: 624 words of 32 bits, and the index of the next word.
_TWISTER_BYTES = 4 * 624 + 4


State = dict[str, Any]

# How many forwards that run in this thread have seeded Python's and NumPy's generators.
_seeded: Local[int] = Local(0)


def save_state(names: Iterable[str] = NAMES) -> State:
    """Return the states of the process's generators, torch's on the CPU and every GPU in use."""
    return {name: _SAVE[name]() for name in names}


def restore_state(state: State) -> None:
    """Restore the generators to a saved state."""
    for name, value in state.items():
        _RESTORE[name](value)


@contextmanager
def keep_states(*names: str) -> Iterator[None]:
    """Restore the states of the named generators after a block; without names, of all of them."""
    state = save_state(names or NAMES)
    try:
        yield
    finally:
        restore_state(state)


@contextmanager
def hide_draws() -> Iterator[None]:
    """Restore every generator after a block, and hide the block's draws from all ledgers.

    Another thread's block waits: two at a time would restore each other's intermediate states.
    """
    with _keeping, _excuse_draws(), keep_states():
        yield


def seed_all(number: int, later: bool = True) -> None:
    """Seed every generator of the process.

    `later` includes devices that are not initialised yet: torch seeds them when they are.
    """
    if later:
        torch.manual_seed(number)
    else:
        with _reading:
            torch.default_generator.manual_seed(number)
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed_all(number)
    # A user may have set another bit generator, which `np.random.seed` refuses.
    if isinstance(get_bit_generator(), np.random.MT19937):
        np.random.seed(number % 2**32)  # noqa: NPY002  it is the one that models use
    random.seed(number)


def seed_others(words: Sequence[int]) -> State:
    """Seed Python's and NumPy's generators for a forward; return their states for `restore_others`.

    `words` are whole numbers in [0, 2**32).
    """
    state = save_state(OTHERS)
    # A user may have set another bit generator than NumPy's own.
    _seeded.set(_seeded.get() + 1)
    bits: Any = type(get_bit_generator())(list(words))
    np.random.set_state({**bits.state, "has_gauss": 0, "gauss": 0.0})  # noqa: NPY002
    random.seed(sum(word << (32 * i) for i, word in enumerate(words)))
    _expect_states()
    return state


def restore_others(state: State) -> None:
    """Restore the generators that `seed_others` has seeded."""
    _seeded.set(_seeded.get() - 1)
    restore_state(state)
    _expect_states()


def save_seeded() -> State | None:
    """Return the states of Python's and NumPy's generators in a forward that has seeded them."""
    return save_state(OTHERS) if _seeded.get() > 0 else None


@contextmanager
def resume_others(state: State | None) -> Iterator[None]:
    """Set Python's and NumPy's generators to saved states for a block, if there are any."""
    if state is None:
        yield
        return
    _seeded.set(_seeded.get() + 1)  # for a segment inside of this one
    try:
        with keep_states(*OTHERS):
            restore_state(state)
            yield
    finally:
        _seeded.set(_seeded.get() - 1)


def _expect_states() -> None:
    """Let the ledgers of this thread expect Python's and NumPy's generators where they are."""
    for ledger in list(_ledgers):
        if ledger.thread == get_ident():
            ledger.expect()


def save_cpu_state() -> torch.Tensor:
    """Return the state of torch's CPU generator as a tensor, which `torch.save` can store."""
    with _reading:
        return torch.get_rng_state()


def restore_cpu_state(state: torch.Tensor) -> None:
    """Restore torch's CPU generator to a saved state."""
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


# NumPy's and Python's global generators, which models use.
_SAVE: dict[str, Callable[[], Any]] = {
    TORCH: _save_torch,
    NUMPY: lambda: np.random.get_state(legacy=False),  # noqa: NPY002
    PYTHON: random.getstate,
}
_RESTORE: dict[str, Callable[[Any], None]] = {
    TORCH: _restore_torch,
    NUMPY: np.random.set_state,
    PYTHON: random.setstate,
}

_keeping = RLock()
# Guards every access to torch's states. torch holds a generator's mutex while it wraps a state in
# Python. Doing so may run the garbage collector, which may switch threads. If the other thread then
# waits for the mutex, it holds the interpreter's lock, and both threads are stuck.
_reading = RLock()


@forks.after_in_child
def _forget_blocks() -> None:
    """Release the locks and excuses of threads that a fork has not copied."""
    global _keeping, _reading
    _keeping, _reading = RLock(), RLock()
    _excuses.clear()


# States, to be compared only -----------------------------------------------------------------


def _torch_state() -> Any:
    """Return the states of torch's default generators, as bytes."""
    with _reading:
        state = torch.default_generator.get_state()
    # Not by `numpy()`, which a tracing mode would see.
    on_cpu = ctypes.string_at(state.data_ptr(), state.numel())
    if not torch.cuda.is_initialized() or torch.cuda.is_current_stream_capturing():
        return on_cpu
    on_devices = (generator.get_state() for generator in torch.cuda.default_generators)
    return on_cpu, *(bytes(state.tolist()) for state in on_devices)


def _numpy_state(closely: bool, before: Any) -> Any:
    """Return the state of NumPy's generator; `closely` includes whether a normal number is cached.

    Normal numbers are made in pairs, so the second of a pair moves no word. `before` is the state
    that was read last.
    """
    bits: Any = get_bit_generator()
    if not isinstance(bits, np.random.MT19937):
        return repr(bits.state)
    twister = ctypes.string_at(bits.ctypes.state_address, _TWISTER_BYTES)
    if not closely:
        return twister
    # To make a pair moves words. Reading the whole takes 50 µs.
    if isinstance(before, tuple) and before == (twister, 0):
        return before
    whole: Any = np.random.get_state(legacy=False)  # noqa: NPY002  it is the one that models use
    return twister, whole["has_gauss"]


def _python_reader() -> Callable[[], Any]:
    """Return a function that reads the state of Python's generator.

    `random.getstate` makes a tuple of 625 numbers, which takes longer than all else here. So the
    state is read from the generator's memory, if that proves to be laid out as expected.
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
    """The expected states of the generators while a forward is watched."""

    def __init__(self, closely: bool, skipped: frozenset[str] = frozenset()) -> None:
        self.closely, self.names = closely, [name for name in NAMES if name not in skipped]
        self.thread = get_ident()
        self.states: State = {}
        self.began, self.steady = self._read()
        self.states = self.began
        _ledgers.append(self)

    def close(self) -> None:
        """Stop following noisegate's own draws."""
        if self in _ledgers:
            _ledgers.remove(self)

    def expect(self) -> None:
        """Expect Python's and NumPy's generators where they are now."""
        moved = {name: self._state(name) for name in self.names if name in OTHERS}
        self.states = {**self.states, **moved}

    def find_moved(self) -> list[str]:
        """Return the names of generators that have moved, and expect them where they are now.

        A generator in its initial state was restored, and counts as unmoved. While another
        thread's block is excused, nothing is compared; the next look compares again.
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
        """Return a function's result, and whether the function moved torch's generator.

        If `is_its` says that the move is not the function's, it is left for the next look.
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
        # The epoch shows a block that began and ended while the states were read.
        epoch = _epoch
        states = {name: self._state(name) for name in self.names}
        steady = epoch == _epoch and all(thread == self.thread for thread in list(_excuses))
        return states, steady

    def _state(self, name: str) -> Any:
        if name == TORCH:
            return _torch_state()
        if name == NUMPY:
            return _numpy_state(self.closely, self.states.get(NUMPY))
        return _python_state()


# Generators stored in a model ------------------------------------------------------------------


class ModelGenerator(NamedTuple):
    """A generator that a module stores as an attribute, or in a list, tuple or dict attribute."""

    module: str
    name: str
    generator: Any


def find_generators(model: nn.Module) -> Iterator[ModelGenerator]:
    """Yield each generator that a model's modules store, once."""
    seen: set[int] = set()
    for path, module in model.named_modules():
        own = {name: value for name, value in vars(module).items() if name not in _OF_TORCH}
        for name, value in _list_values(own):
            if isinstance(value, _KINDS) and id(value) not in seen:
                seen.add(id(value))
                yield ModelGenerator(path, f"{path}.{name}" if path else name, value)


# The attributes that every module has.
_OF_TORCH = frozenset(vars(nn.Module()))
_KINDS = (np.random.Generator, np.random.RandomState, random.Random, torch.Generator)


def _list_values(attributes: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in list(attributes.items()):
        yield name, value
        items = dict(enumerate(value)) if isinstance(value, list | tuple) else value
        if isinstance(items, dict):
            yield from ((f"{name}[{key!r}]", item) for key, item in list(items.items()))


def read_state(generator: Any) -> Any:
    """Return the state of a generator in a form for comparison only."""
    if isinstance(generator, np.random.Generator):
        return repr(generator.bit_generator.state)
    if isinstance(generator, np.random.RandomState):
        return repr(generator.get_state(legacy=False))
    if isinstance(generator, torch.Generator):
        return generator.get_state().tolist()
    # `SystemRandom` is a `Random` without a state.
    return None if isinstance(generator, random.SystemRandom) else generator.getstate()


# noisegate's own draws ------------------------------------------------------------------------

_ledgers: list[Ledger] = []
# The threads that are in an excused block now, and how often such a block has begun or ended.
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
    """Return a number that noisegate draws from torch's generator, hidden from all ledgers."""
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
