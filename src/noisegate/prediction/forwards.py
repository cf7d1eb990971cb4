"""Forwards of a model with noise: one for each sample, or one for several."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from math import ceil, prod
from typing import Any

import numpy as np

from noisegate.core import messages
from noisegate.core.callers import warn_caller
from noisegate.core.errors import InvalidValue
from noisegate.injection import Injection

# How many elements the largest tensor of a forward of several steps may have.
AT_ONCE = 1 << 20
# Fewer steps in one forward than this save less than the sample costs that is made alone.
WORTH = 8
# One step with another on either side: fewer would prove nothing.
FEWEST = 3
# Of how many rows batches are checked: some orders of rows show in some batches alone.
ENOUGH = 64


class Forwards:
    """The outputs of a model at steps of its noise.

    Where tensors are small, calls are what costs, and one forward makes several samples: the batch
    is repeated, and each part of it has the noise of its step. A model in which samples depend on
    what is beside them (time on the first axis, attention over the batch, a scale taken from all
    rows, experts of limited capacity) would give others then. So

    - in every such forward one sample is made alone too. It stands last but one among the others:
      it has neighbours on both sides, and what fills up from the front is full there;
    - the first of them has one part more, a probe that yields to any influence of its neighbours,
      in whatever data that would show: muted at each site (`Host.mute`).

    Where either differs from itself alone, every sample has a forward of its own from then on.

    Parameters
    ----------
    noise : Injection
        The noise, in the model.
    output : str or int, optional
        Which of the model's outputs.
    """

    def __init__(self, noise: Injection, output: str | int | None) -> None:
        self.noise, self.output = noise, output
        self._apart = self._probed = False
        self._elements_a_row = 0.0
        self._last: tuple[Any, range, int, np.ndarray] | None = None
        self._before: tuple[Any, range] | None = None
        self._checked = 0

    def begin(self, batch: Any, rows: range, step: int) -> np.ndarray:
        """Return the model's output for the first batch, at one step."""
        return self._output(batch, rows, step)

    def one(self, part: Any, rows: range, step: int) -> np.ndarray:
        """Return the model's output for some rows, at one step."""
        # Where rows begin at 0, sites of another extent than the batch are fine.
        if rows.start:
            self._check_parts()
        output = self._output(part, rows, step)
        if rows.start and output.shape[:1] != (len(rows),):
            raise InvalidValue(messages.no_rows(output.shape, len(rows)))
        if rows.start:
            self._check_parts()
        return output

    def _output(self, part: Any, rows: range, step: int) -> np.ndarray:
        output = self._made(part, rows, step)
        if self._checked < ENOUGH:
            self._last = part, rows, step, output
        return output

    def _made(self, part: Any, rows: range, step: int) -> np.ndarray:
        with self.noise.at(step, rows=rows if rows.start else None):
            return self._measured(part, rows)

    def _check_parts(self) -> None:
        """Raise if parts of a batch would have other noise than the whole.

        The second half of a batch is made again, as rows of their own: where sites see windows,
        tokens or positions, that shows which of the model's samples they belong to, and where a
        model reorders its samples, that the noise does not follow them.
        """
        axes = {placement.sample_axis for placement in self.noise.plan.placements}
        if len(axes) == 1 and not axes <= {0, None}:
            raise InvalidValue(messages.parts_of_first_axis(*axes))
        if self._last is None:
            return
        (batch, rows, step, whole), self._last = self._last, None
        self._checked += len(rows)
        if len(rows) == 1:
            batch, rows = self._pair(batch, rows)
            try:
                whole = self._made(batch, rows, step)
            except Exception:
                return  # a model of single samples, which have no order
        count, half = len(rows), len(rows) // 2
        if whole.shape[:1] != (count,):
            return  # which is refused once its rows are to be joined with others
        extents = self.noise.extents
        other = None if extents is None else extents.other
        part, ends = self.noise.host.part(batch, slice(half, count), count), rows[half:]
        try:
            output = self._made(part, ends, step)
        except Exception:
            if other is not None:
                raise InvalidValue(messages.unclear_rows(*other)) from None
            # A model may take one size of batch alone: as many rows then, from there on.
            again = [half + i % (count - half) for i in range(count)]
            part = self.noise.host.part(batch, again, count)
            ends = range(rows[half], rows[half] + count)
            output = self._made(part, ends, step)
        if self._is_end(output, whole):
            return
        if other is not None:
            raise InvalidValue(messages.unclear_rows(*other))
        self._explain((batch, rows), (part, ends), step, whole)
        self._checked = ENOUGH

    def _pair(self, batch: Any, rows: range) -> tuple[Any, range]:
        """Return a sample after the one before, or else twice, and their rows."""
        before, self._before = self._before, (batch, rows)
        if before is not None and before[1].stop == rows.start:
            with suppress(RuntimeError):  # of samples that have different shapes
                return self.noise.host.joined(before[0], batch), range(rows.start - 1, rows.stop)
        return self.noise.host.repeated(batch, 1, 2), range(rows.start, rows.start + 2)

    def _explain(
        self, batch: tuple[Any, range], part: tuple[Any, range], step: int, whole: np.ndarray
    ) -> None:
        """Raise or warn, where a part has another output than in the whole: by noise, or without.

        Of a model that draws random numbers of its own there is a warning already.
        """
        host = self.noise.host
        if not close(self._made(*batch, step), whole, host.rounding()):
            return
        with self.noise.off():
            silent, again, end = (
                np.asarray(host.output(x, self.output)) for x, _ in (batch, batch, part)
            )
        if self._is_end(end, silent) or not close(again, silent, host.rounding()):
            count = len(batch[1])
            site = self._find_moved(batch, part, step)
            raise InvalidValue(messages.unclear_rows(site, count, count))
        warn_caller(messages.coupled_rows())
        self.noise.extents = None  # every site sees the model's samples, as far as is known

    def _find_moved(self, batch: tuple[Any, range], part: tuple[Any, range], step: int) -> str:
        """Return the first site whose noise, on by itself, does not follow the rows."""
        acting = [noise for noise in self.noise.noises if noise.calls and not noise.retired]
        try:
            for found in acting:
                for noise in acting:
                    noise.retired = noise is not found
                if not self._is_end(self._made(*part, step), self._made(*batch, step)):
                    return found.placement.site
        finally:
            for noise in acting:
                noise.retired = False
        return acting[0].placement.site

    def _is_end(self, output: np.ndarray, whole: np.ndarray) -> bool:
        """Return whether an output begins with the second half of the whole."""
        end = whole[len(whole) // 2 :]
        return close(output[: len(end)], end, self.noise.host.rounding())

    def each(
        self, part: Any, rows: range, steps: Sequence[int], first: np.ndarray | None = None
    ) -> Iterator[np.ndarray]:
        """Yield the model's outputs for some rows, at one step or several, in the order of steps.

        Steps are along the first axis. The output at the first step may be known already.
        """
        while steps:
            alone = self.one(part, rows, steps[0]) if first is None else first
            together = steps[: self._at_once(len(rows), len(steps))]
            outputs = self._several(part, rows, together, alone)
            yield outputs
            first, steps = None, steps[len(outputs) :]

    def _measured(self, part: Any, rows: range) -> np.ndarray:
        """Return the model's output, and note at the first how large the largest tensor was."""
        host = self.noise.host
        if self._elements_a_row:
            return np.asarray(host.output(part, self.output))
        with host.measuring() as largest:
            output = np.asarray(host.output(part, self.output))
        sites = (prod(n.last.shape) for n in self.noise.noises if n.last is not None)
        self._elements_a_row = max(1, largest(), *sites) / len(rows)
        return output

    def _at_once(self, rows: int, steps: int) -> int:
        """Return how many of some steps one forward takes, so that all take about as many."""
        most = int(AT_ONCE / (self._elements_a_row * rows))
        return 1 if most < WORTH else ceil(steps / ceil(steps / most))

    def _several(
        self, part: Any, rows: range, steps: Sequence[int], alone: np.ndarray
    ) -> np.ndarray:
        """Return the outputs at all the steps from one forward; or at the first, if that differs.

        `alone` is the output at the first step.
        """
        if self._apart or len(steps) < FEWEST:
            return alone[None]
        step, between, last = steps[0], steps[1:-1], steps[-1]
        probe = [] if self._probed else [step]
        muted = len(between) if probe else None
        outputs = self._in_one(part, rows, [*between, *probe, step, last], muted)
        same = outputs is not None and close(outputs[-2], alone)
        if same and outputs is not None and probe:
            by_itself = self._in_one(part, rows, probe, 0)
            same = by_itself is not None and close(outputs[muted], by_itself[0])
            self._probed = True
        if not same or outputs is None:
            self._apart = True
            return alone[None]
        return np.concatenate([alone[None], outputs[: len(between)], outputs[-1:]])

    def _in_one(
        self, part: Any, rows: range, steps: Sequence[int], muted: int | None = None
    ) -> np.ndarray | None:
        """Return the model's outputs at several steps, in one forward; None if it fails.

        What fails here may go well, or fail for a reason to be told, at one step.
        """
        several = self.noise.host.repeated(part, len(rows), len(steps))
        try:
            with self.noise.steps.together(steps, rows if rows.start else None, muted):
                output: np.ndarray = self.noise.host.output(several, self.output)
            return output.reshape(len(steps), len(rows), *output.shape[1:])
        except Exception:
            return None


def close(one: np.ndarray, other: np.ndarray, rounding: float = 1e-5) -> bool:
    """Return whether two outputs are the same but for the order of sums."""
    scale = np.abs(other).max(initial=0.0)
    same = one.shape == other.shape
    return same and bool(np.allclose(one, other, 10 * rounding, rounding * scale, equal_nan=True))
