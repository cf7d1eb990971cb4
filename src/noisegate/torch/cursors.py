"""The steps and rows of noise as tensors, which compiled graphs read.

A tensor is replaced when it changes, never overwritten: a backward pass may need the former one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._C import _are_functorch_transforms_active
from torch._C._functorch import TransformType, _unwrap_for_grad
from torch._functorch.pyfunctorch import retrieve_all_functorch_interpreters
from torch.utils._python_dispatch import _disable_current_modes as disable_modes
from torch.utils.checkpoint import CheckpointPolicy

from noisegate.core.checks import at_trace_time

from .operations import define


@contextmanager
def plain_tensors() -> Iterator[None]:
    """Make plain tensors in a block, whatever mode or transformation is active: they are kept."""
    with torch.inference_mode(False), disable_modes(), torch._C._DisableFuncTorch():
        yield


def _run_advance(cursor: Tensor, steps: int, samples: int) -> Tensor:
    # Its result is kept, so that one of `inference_mode` would fail in a later training call.
    with plain_tensors():
        by = steps, samples, 0
        return cursor + cursor.new_tensor(by[: len(cursor)])


_advance = define(
    "advance",
    ("Tensor cursor", "SymInt steps", "SymInt samples"),
    _run_advance,
    lambda cursor, steps, samples: torch.empty_like(cursor),
)


def advance(cursor: Tensor, samples: int, steps: int = 0) -> Tensor:
    """Return a cursor of later steps or later rows, in code that a compiler traces."""
    return unwrap_gradients(_advance(cursor, steps, samples))


def _run_join(cursor: Tensor, ranks: Tensor) -> Tensor:
    with plain_tensors():
        step, first, *_ = *cursor.tolist(), 0
        return cursor.new_tensor([step, first, -1, *ranks.tolist()])


_join = define(
    "join_ranks",
    ("Tensor cursor", "Tensor ranks"),
    _run_join,
    lambda cursor, ranks: cursor.new_empty(3 + len(ranks)),
)


def join_ranks(cursor: Tensor, ranks: Tensor) -> Tensor:
    """Return a cursor with the numbers of this process's rank, in code that a compiler traces."""
    return unwrap_gradients(_join(cursor, ranks))


def _run_note(ranks: Tensor, count: int) -> Tensor:
    with plain_tensors():
        *rest, largest = ranks.tolist()
        return ranks.new_tensor([*rest, max(largest, count)])


_note = define(
    "note_largest",
    ("Tensor ranks", "SymInt count"),
    _run_note,
    lambda ranks, count: torch.empty_like(ranks),
)


def note_largest(ranks: Tensor, count: int) -> Tensor:
    """Return the numbers of a rank with the most samples by now, in code that is traced."""
    return unwrap_gradients(_note(ranks, count))


class Counter:
    """The step of the next call of a layer or a model, as a number and as a tensor.

    Eager code counts with the number, and graphs with the tensor. The tensor is replaced, never
    overwritten: a backward may need the former one.
    """

    def __init__(self, number: int = 0) -> None:
        # The tensors of the steps from `_next` on, the first one last.
        self._ahead, self._next = list[Tensor](), 0
        self._number = number
        self.tensor = self._known = make_cursor(number)
        # What recorded the operations where the number was chosen.
        self.trace: Any = None

    def __reduce__(self) -> Any:
        """Return how a copy is made, which counts on by itself."""
        return Counter, (self.number,)

    @property
    def number(self) -> int:
        """The step of the next call."""
        if self.tensor is not self._known:  # a graph has counted
            self._known, self._number = self.tensor, int(self.tensor)
        return self._number

    @number.setter
    def number(self, value: int) -> None:
        if not self._ahead or value != self._next:
            self._ahead = _make_cursors(value, _AHEAD)
        self._number, self._next = value, value + 1
        self.tensor = self._known = self._ahead.pop()

    def take_in_graph(self) -> Tensor:
        """Return the cursor of this call, and count it, in code that a compiler traces."""
        cursor = self.tensor
        if not torch.is_grad_enabled():  # it may be inference mode, which compilers cannot read
            self.tensor = advance(cursor, 0, 1)
        else:
            self.tensor = unwrap_gradients(cursor + 1)
        return cursor

    def snapshot(self) -> tuple[Tensor, Tensor, int]:
        """Return the state, without reading the tensor, which a compiler may look on."""
        return self.tensor, self._known, self._number

    def restore(self, state: tuple[Tensor, Tensor, int]) -> None:
        """Return to the state of a snapshot."""
        self.tensor, self._known, self._number = state


def unwrap_gradients(cursor: Tensor) -> Tensor:
    """Return a cursor as it is outside of the derivatives that the compiler traces.

    A graph cannot return a tensor that a derivative of torch.func has wrapped.
    """
    if _are_functorch_transforms_active():
        for level in _list_gradient_levels():
            cursor = _unwrap_for_grad(cursor, level)
    return cursor


@at_trace_time
def _list_gradient_levels() -> tuple[int, ...]:
    """Return the levels of the derivatives around the code that is traced, innermost first."""
    interpreters: Any = retrieve_all_functorch_interpreters()
    kinds = TransformType.Grad, TransformType.Jvp
    return tuple(one.level() for one in interpreters if one.key() in kinds)[::-1]


# How many cursors are made at once: one by one they would take a quarter of a small noise's time.
_AHEAD = 32


def make_cursor(step: int, *place: int) -> Tensor:
    """Return the cursor of a step; its place is the row of its first sample, and their number."""
    with plain_tensors():
        return torch.tensor([step, *place], dtype=torch.int64, device="cpu")


def make_cursor_in_graph(step: int | Tensor) -> Tensor:
    """Return the cursor of a step that a compiler traces as a number, or of a tensor."""
    if isinstance(step, Tensor):
        return step.reshape(1).to(torch.int64)
    return torch.full((1,), step, dtype=torch.int64, device="cpu")


def draw_cursor() -> Tensor:
    """Return a fresh seed in place of a step, in code that a compiler traces.

    It comes from torch's CPU generator, so that ``torch.manual_seed`` governs it.
    """
    cursor = torch.randint(-(2**63), 2**63 - 1, (1,), device="cpu")
    _save_drawn()
    return cursor


@at_trace_time
def _save_drawn() -> None:
    """Make the compiler save what was just drawn for the backward pass.

    With a low memory budget it would draw again there, as it does for torch's own dropout.
    """
    from torch._dynamo.symbolic_convert import InstructionTranslator

    nodes = InstructionTranslator.current_tx().output.graph.nodes
    next(iter(reversed(nodes))).meta["recompute"] = CheckpointPolicy.MUST_SAVE


def _make_cursors(step: int, count: int) -> list[Tensor]:
    """Return the cursors of a step and those after it, the first one last."""
    with plain_tensors():
        steps = torch.arange(step + count - 1, step - 1, -1, device="cpu")
        return list(steps.view(-1, 1).unbind())


def make_ids(samples: Any) -> Tensor | None:
    """Return ids of samples as an int64 tensor, in which 2⁶⁴ − 1 is −1; None stays None."""
    if samples is None:
        return None
    with plain_tensors():
        return torch.tensor(list_ids(samples), dtype=torch.int64, device="cpu")


def list_ids(samples: Any) -> list[int]:
    """Return ids of samples as int64 numbers."""
    return [(row + 2**63) % 2**64 - 2**63 for row in samples]
