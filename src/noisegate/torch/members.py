"""Draw for every member of a map of torch.func at once: each has rows or a step of its own."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, cast

import torch
from torch import Tensor

from noisegate.core import checks
from noisegate.core.draws import ALL, Draws
from noisegate.core.engine import Draw
from noisegate.core.errors import prefix_errors
from noisegate.core.keys import STEP_BITS, Key
from noisegate.core.kind import Kind
from noisegate.core.prepared import Prepared
from noisegate.core.schedule import Schedule
from noisegate.core.window import Window, expand_rows, rows_of
from noisegate.engines.torch import TorchEngine


class Address(NamedTuple):
    """What a map may make differ between its members: their rows and their step.

    `rows` are whole numbers of shape (parts,), each for an equal part of the window's rows; `step`
    has shape (). Both are tensors that torch maps; None where all members share the call's own.
    """

    rows: Tensor | None = None
    step: Tensor | None = None

    @property
    def is_shared(self) -> bool:
        """Whether all members share one noise."""
        return self.rows is None and self.step is None


SHARED = Address()


def widen_window(window: Window, rows: Tensor) -> Window:
    """Return the window of all members at once, with rows of shape (..., parts).

    Along its sample axis the members' samples follow one another. Where a member has no sample
    axis, it is a sample itself, along an axis before the others.
    """
    count, each = rows.shape[:-1].numel(), len(window.rows) // rows.shape[-1]
    ids = rows_of(rows.reshape(-1))
    every = range(ids[0], ids[0] + len(ids))
    # As a range, engines read them as two numbers.
    numbers = rows_of(expand_rows(every if ids == tuple(every) else ids, each))
    axis = window.sample_axis
    if axis is None:
        shape, extent = (count, *window.shape), (count, *window.extent)
        return Window(shape, 0, numbers, (0, *window.start), extent)

    def widen(extents: tuple[int, ...]) -> tuple[int, ...]:
        return (*extents[:axis], count * extents[axis], *extents[axis + 1 :])

    form = None if window.form is None else widen(window.form)
    shape, extent = widen(window.shape), widen(window.extent)
    return replace(window, shape=shape, rows=numbers, extent=extent, form=form)


@dataclass(frozen=True, slots=True)
class MemberEngine(TorchEngine):
    """Draws for the members of a map; all other operations are torch's, which maps them itself."""

    address: Address = SHARED

    def fuse(self, kind: Kind, call: Prepared, x: Tensor, key: Key, linear: bool) -> None:
        """Return None: the native engine would read the rows of one member."""
        return

    def draw(self, draw: Draw, key: Key, kind: str, window: Window, dtype: str) -> Tensor:
        """Return a draw over the window of each member."""
        task = _Draws(TorchEngine(self.device), draw, key, kind, window)
        return _read_members(self.address, task)


def read_schedule(kind: Kind, schedule: Schedule, step: Tensor) -> Tensor:
    """Return the rate of a schedule at the step of each member, as float64."""
    return _read_members(Address(step=step), _Rates(kind, schedule))


class _Task(Protocol):
    def read(self, rows: Tensor | None, step: Tensor | None) -> Tensor:
        """Return what the members need, whose axes come first in rows, step and result."""


def _read_members(address: Address, task: _Task) -> Tensor:
    return cast(Tensor, _ReadMembers.apply(*address, task))  # type: ignore[no-untyped-call]


class _ReadMembers(torch.autograd.Function):
    """Numbers without a gradient; a map moves its axis to the front of rows and step."""

    @staticmethod
    def forward(rows: Tensor | None, step: Tensor | None, task: _Task) -> Tensor:
        return task.read(rows, step)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def backward(ctx: Any, _: Any) -> tuple[None, None, None]:
        return None, None, None

    @staticmethod
    def jvp(ctx: Any, *_: Any) -> None:
        return None

    @staticmethod
    def vmap(info: Any, axes: Any, rows: Any, step: Any, task: _Task) -> tuple[Tensor, int]:
        given = zip((rows, step), axes[:2], strict=True)
        front = (
            t if t is None else t.unsqueeze(0) if axis is None else t.movedim(axis, 0)
            for t, axis in given
        )
        return _read_members(Address(*front), task), 0


@dataclass(frozen=True, slots=True)
class _Rates:
    """The rates of a schedule."""

    kind: Kind
    schedule: Schedule

    def read(self, rows: Tensor | None, step: Tensor | None) -> Tensor:
        """Return the rate of each member."""
        assert step is not None
        with prefix_errors(type(self.kind).__name__):
            rates = [self.kind.check(self.schedule.at(number)) for number in _list_steps(step)]
        return torch.tensor(rates, dtype=torch.float64, device="cpu").reshape(step.shape)


def _list_steps(step: Tensor) -> list[int]:
    """Return the steps of members, checked."""
    return [checks.check_whole("step", number, STEP_BITS) for number in step.reshape(-1).tolist()]


@dataclass(frozen=True, slots=True)
class _Draws:
    """One draw of a kind, over the window of each member."""

    engine: TorchEngine
    draw: Draw
    key: Key
    kind: str
    window: Window

    def read(self, rows: Tensor | None, step: Tensor | None) -> Tensor:
        """Return the draws of all members, whose axes come before the window's."""
        with prefix_errors(self.kind):
            if step is not None:
                return self._draw_steps(rows, step)
            assert rows is not None
            drawn = self._draw_rows(self.key, rows)
            return drawn.reshape((*rows.shape[:-1], *drawn.shape[1:]))

    def _draw_steps(self, rows: Tensor | None, step: Tensor) -> Tensor:
        """Return the draws of members with a step each, one after the other."""
        members = step.shape
        if rows is not None:
            members = torch.broadcast_shapes(members, rows.shape[:-1])
            rows = rows.expand(*members, -1).reshape(-1, rows.shape[-1])
        drawn = []
        for i, number in enumerate(_list_steps(step.expand(members))):
            key = self.key._replace(step=number)
            drawn.append(
                self._draw(key, self.window) if rows is None else self._draw_rows(key, rows[i])[0]
            )
        return torch.stack(drawn).reshape((*members, *drawn[0].shape))

    def _draw_rows(self, key: Key, rows: Tensor) -> Tensor:
        """Return the draws of members with rows of shape (..., parts), as one larger window."""
        drawn: Any = self._draw(key, widen_window(self.window, rows))
        axis = self.window.sample_axis
        if axis is None:
            return cast(Tensor, drawn)
        return cast(Tensor, drawn.unflatten(axis, (rows.shape[:-1].numel(), -1)).movedim(axis, 0))

    def _draw(self, key: Key, window: Window) -> Tensor:
        """Return the draw over a window."""
        draws = Draws(self.engine, self.kind, key, window, "float32")
        what, number, threshold = self.draw
        if what == "mask":
            return cast(Tensor, draws.keep(threshold / ALL, number))
        read = {"word": draws.u32, "uniform": draws.uniform, "normal": draws.normal}[what]
        return cast(Tensor, read(number))
