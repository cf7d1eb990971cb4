"""Forwards of a model with noise: one for each sample, or one for several."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from math import ceil, prod
from typing import Any

import numpy as np

from noisegate.core.callers import warn_caller
from noisegate.core.errors import InvalidValue
from noisegate.injection import Injection
from noisegate.injection.row_finder import unclear_rows

# The largest tensor of a forward of several steps has at most this many elements.
AT_ONCE = 1 << 20
# Fewer steps in one forward save less than their check costs, a forward of one sample.
WORTH = 8
# One step with another on either side: the check proves nothing with fewer.
FEWEST = 3
# Batches are checked until this many rows were: some reorderings show in some batches alone.
ENOUGH = 64


class Forwards:
    """Runs a model at steps of its noise.

    On small tensors the cost is in the calls. One forward then makes several samples: the batch is
    repeated, and each copy has the noise of its own step. That is wrong for a model in which rows
    of a batch influence each other: time on the first axis, attention over the batch, a scale
    taken from all rows, experts of limited capacity. Two checks find such models:

    - Every forward of several steps includes one sample that has been made alone as well. It
      stands last but one. There it has neighbours on both sides, and whatever fills up from the
      front is full.
    - The first such forward includes a probe: one copy more, muted at every site (`Host.mute`), so
      that any influence of its neighbours shows, whatever the data.

    If either differs from the same sample made alone, every sample has a forward of its own from
    then on. `output` says which of the model's outputs is meant, by name or number.
    """

    def __init__(self, noise: Injection, output: str | int | None) -> None:
        self.noise, self.output = noise, output
        self._apart = self._probed = False
        self._elements_a_row = 0.0
        # The last forward that was not checked yet, the last batch of one row, the rows checked.
        self._last: tuple[Any, range, int, np.ndarray] | None = None
        self._before: tuple[Any, range] | None = None
        self._checked = 0

    def run(self, batch: Any, rows: range, step: int) -> np.ndarray:
        """Return the model's output for some rows, at one step."""
        # The first rows by themselves need no check: their samples are counted from 0 anyway.
        later = rows.start > 0
        if later:
            self._check_parts()
        output = self._compute(batch, rows, step)
        if self._checked < ENOUGH:
            self._last = batch, rows, step, output
        if later and output.shape[:1] != (len(rows),):
            raise InvalidValue(
                f"predict: the output of a batch of {len(rows)} must have as many rows, to be "
                f"joined with the others; got shape {tuple(output.shape)}. Leave out batch_size, "
                "and pass quantiles=()."
            )
        if later:
            self._check_parts()
        return output

    def run_steps(
        self, batch: Any, rows: range, steps: Sequence[int], first: np.ndarray | None = None
    ) -> Iterator[np.ndarray]:
        """Yield the model's outputs for some rows at steps in their order, one or several at once.

        Steps lie along the first axis. `first` is the output at the first step, if it is known.
        """
        while steps:
            alone = self.run(batch, rows, steps[0]) if first is None else first
            together = steps[: self._at_once(len(rows), len(steps))]
            outputs = self._run_several(batch, rows, together, alone)
            yield outputs
            first, steps = None, steps[len(outputs) :]

    def _compute(self, batch: Any, rows: range, step: int) -> np.ndarray:
        """Return the model's output at one step, and the first time measure its largest tensor."""
        host = self.noise.host
        with self.noise.at(step, rows=rows if rows.start else None):
            if self._elements_a_row:
                return np.asarray(host.run(batch, self.output))
            with host.measure_tensors() as largest:
                output = np.asarray(host.run(batch, self.output))
        sites = (prod(n.last.shape) for n in self.noise.noises if n.last is not None)
        self._elements_a_row = max(1, largest(), *sites) / len(rows)
        return output

    def _at_once(self, rows: int, steps: int) -> int:
        """Return how many of some steps one forward takes, so that all take about as many."""
        most = int(AT_ONCE / (self._elements_a_row * rows))
        return 1 if most < WORTH else ceil(steps / ceil(steps / most))

    def _run_several(
        self, batch: Any, rows: range, steps: Sequence[int], alone: np.ndarray
    ) -> np.ndarray:
        """Return the outputs at all steps from one forward; if a check fails, at the first only.

        `alone` is the output at the first step.
        """
        if self._apart or len(steps) < FEWEST:
            return alone[None]
        step, between, last = steps[0], steps[1:-1], steps[-1]
        probe = [] if self._probed else [step]
        muted = len(between) if probe else None
        outputs = self._run_in_one(batch, rows, [*between, *probe, step, last], muted)
        same = outputs is not None and are_close(outputs[-2], alone)
        if same and outputs is not None and probe:
            by_itself = self._run_in_one(batch, rows, probe, 0)
            same = by_itself is not None and are_close(outputs[muted], by_itself[0])
            self._probed = True
        if not same or outputs is None:
            self._apart = True
            return alone[None]
        return np.concatenate([alone[None], outputs[: len(between)], outputs[-1:]])

    def _run_in_one(
        self, batch: Any, rows: range, steps: Sequence[int], muted: int | None
    ) -> np.ndarray | None:
        """Return the model's outputs at several steps, from one forward; None if it fails.

        What fails here may succeed at one step, or fail there for a reason that is worth raising.
        """
        host = self.noise.host
        several = host.repeat_batch(batch, len(rows), len(steps))
        try:
            with self.noise.steps.at(steps[0], rows if rows.start else None, steps, muted):
                output: np.ndarray = host.run(several, self.output)
            return output.reshape(len(steps), len(rows), *output.shape[1:])
        except Exception:
            return None

    def _check_parts(self) -> None:
        """Raise if parts of a batch have other noise than the whole.

        The second half of the last batch is run again by itself. Its output is the end of the
        whole's only if sites that see windows, tokens or positions are matched with the right
        samples, and if the model keeps its samples in order.
        """
        axes = {placement.sample_axis for placement in self.noise.plan.placements}
        if len(axes) == 1 and not axes <= {0, None}:
            raise InvalidValue(
                "predict: batches are parts of the first axis of `x`, where sample_axis must then "
                f"be 0; got {axes.pop()}. Pass all samples as one tensor, without batch_size and "
                "with quantiles=()."
            )
        if self._last is None:
            return
        (batch, rows, step, whole), self._last = self._last, None
        self._checked += len(rows)
        if len(rows) == 1:
            batch, rows = self._pair(batch, rows)
            try:
                whole = self._compute(batch, rows, step)
            except Exception:
                return  # a model of single samples, which have no order
        count, half = len(rows), len(rows) // 2
        if whole.shape[:1] != (count,):
            return  # `run` refuses this once rows have to be joined
        host, other = self.noise.host, self.noise.row_finder.other
        part, ends = host.take_part(batch, slice(half, count), count), rows[half:]
        try:
            output = self._compute(part, ends, step)
        except Exception:
            if other is not None:
                raise unclear_rows(*other) from None
            # A model may take one size of batch alone: as many rows then, from there on.
            again = [half + i % (count - half) for i in range(count)]
            part = host.take_part(batch, again, count)
            ends = range(rows[half], rows[half] + count)
            output = self._compute(part, ends, step)
        if self._is_end(output, whole):
            return
        if other is not None:
            raise unclear_rows(*other)
        self._explain((batch, rows), (part, ends), step, whole)
        self._checked = ENOUGH

    def _pair(self, batch: Any, rows: range) -> tuple[Any, range]:
        """Return a sample together with the one before it, or with itself; and their rows."""
        before, self._before = self._before, (batch, rows)
        if before is not None and before[1].stop == rows.start:
            with suppress(RuntimeError):  # of samples that have different shapes
                return self.noise.host.join_batches(before[0], batch), range(
                    rows.start - 1, rows.stop
                )
        return self.noise.host.repeat_batch(batch, 1, 2), range(rows.start, rows.start + 2)

    def _explain(
        self, batch: tuple[Any, range], part: tuple[Any, range], step: int, whole: np.ndarray
    ) -> None:
        """Raise if the noise of a part is not that of the whole; warn if the model is to blame.

        If the whole itself does not repeat, the model draws random numbers of its own: there is a
        warning of that already.
        """
        host = self.noise.host
        if not are_close(self._compute(*batch, step), whole, host.estimate_rounding()):
            return
        with self.noise.off():
            silent, again, end = (
                np.asarray(host.run(x, self.output)) for x, _ in (batch, batch, part)
            )
        if self._is_end(end, silent) or not are_close(again, silent, host.estimate_rounding()):
            count = len(batch[1])
            raise unclear_rows(self._find_moved(batch, part, step), count, count)
        warn_caller(
            "predict: the model's output for a sample depends on the others of its batch, without "
            "noise too, so its predictions depend on the batch size. For those of the whole, pass "
            "all samples as one tensor, without batch_size and with quantiles=()."
        )
        self.noise.row_finder.compares = False

    def _find_moved(self, batch: tuple[Any, range], part: tuple[Any, range], step: int) -> str:
        """Return the first site whose noise, on by itself, does not follow the rows."""
        acting = [noise for noise in self.noise.noises if noise.calls and not noise.retired]
        try:
            for tried in acting:
                for noise in acting:
                    noise.retired = noise is not tried
                if not self._is_end(self._compute(*part, step), self._compute(*batch, step)):
                    return tried.placement.site
        finally:
            for noise in acting:
                noise.retired = False
        return acting[0].placement.site

    def _is_end(self, output: np.ndarray, whole: np.ndarray) -> bool:
        """Return whether an output begins with the second half of the whole."""
        end = whole[len(whole) // 2 :]
        return are_close(output[: len(end)], end, self.noise.host.estimate_rounding())


def are_close(one: np.ndarray, other: np.ndarray, rounding: float = 1e-5) -> bool:
    """Return whether two outputs are the same but for the order of sums."""
    scale = np.abs(other).max(initial=0.0)
    same = one.shape == other.shape
    return same and bool(np.allclose(one, other, 10 * rounding, rounding * scale, equal_nan=True))
