"""Check that parts of a batch have the same noise as in the whole batch."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from noisegate.core.callers import warn_caller
from noisegate.core.errors import InvalidValue
from noisegate.injection import Injection
from noisegate.injection.row_finder import make_rows_error

# Batches are checked until this many rows were: some reorderings show only in some batches.
ENOUGH = 64


class BatchCheck:
    """Checks forwards of a model whose rows are computed in batches.

    The second half of a batch is run again by itself. Its output equals the end of the whole
    output only if sites that see windows, tokens or positions are matched with the right samples,
    and if the model keeps its samples in order. ``compute(batch, rows, step)`` runs the model.
    """

    def __init__(self, noise: Injection, compute: Callable[[Any, range, int], np.ndarray]) -> None:
        self.noise, self.compute = noise, compute
        # The last forward if it is still to be checked, the last batch of one row, and the number
        # of rows that were checked.
        self._last: tuple[Any, range, int, np.ndarray] | None = None
        self._before: tuple[Any, range] | None = None
        self._checked = 0

    def note(self, batch: Any, rows: range, step: int, output: np.ndarray) -> None:
        """Store the last forward, to be checked as soon as another batch follows."""
        if self._checked < ENOUGH:
            self._last = batch, rows, step, output

    def run(self) -> None:
        """Check the stored forward, if there is one; raise if the check fails."""
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
                whole = self.compute(batch, rows, step)
            except Exception:
                return  # the model takes single samples alone, which have no order
        count, half = len(rows), len(rows) // 2
        if whole.shape[:1] != (count,):
            return  # `Forwards.run` refuses this output once rows have to be joined
        host, other = self.noise.host, self.noise.row_finder.other
        part, ends = host.take_part(batch, slice(half, count), count), rows[half:]
        try:
            output = self.compute(part, ends, step)
        except Exception:
            if other is not None:
                raise make_rows_error(*other) from None
            # A model may take one batch size alone. So pad the half, by repeating its samples.
            again = [half + i % (count - half) for i in range(count)]
            part = host.take_part(batch, again, count)
            ends = range(rows[half], rows[half] + count)
            output = self.compute(part, ends, step)
        if self._is_end(output, whole):
            return
        if other is not None:
            raise make_rows_error(*other)
        self._explain((batch, rows), (part, ends), step, whole)
        self._checked = ENOUGH

    def _pair(self, batch: Any, rows: range) -> tuple[Any, range]:
        """Return a batch of a sample and its predecessor, or of it twice; and the batch's rows."""
        host, before, self._before = self.noise.host, self._before, (batch, rows)
        if before is not None and before[1].stop == rows.start:
            with suppress(RuntimeError):  # if the samples have different shapes
                return host.join_batches(before[0], batch), range(rows.start - 1, rows.stop)
        return host.repeat_batch(batch, 1, 2), range(rows.start, rows.start + 2)

    def _explain(
        self, batch: tuple[Any, range], part: tuple[Any, range], step: int, whole: np.ndarray
    ) -> None:
        """Raise if a part has other noise than in the whole; warn if the model itself differs.

        A model that mixes its samples gives the part another output without noise too.
        """
        host = self.noise.host
        if not are_close(self.compute(*batch, step), whole, host.estimate_rounding()):
            return  # the model draws random numbers of its own, which was warned of
        with self.noise.off():
            silent, again, end = (self.compute(*x, step) for x in (batch, batch, part))
        if self._is_end(end, silent) or not are_close(again, silent, host.estimate_rounding()):
            count = len(batch[1])
            raise make_rows_error(self._find_moved(batch, part, step), count, count)
        warn_caller(
            "predict: the model's output for a sample depends on the others of its batch, without "
            "noise too, so its predictions depend on the batch size. For those of the whole, pass "
            "all samples as one tensor, without batch_size and with quantiles=()."
        )
        self.noise.row_finder.compares = False

    def _find_moved(self, batch: tuple[Any, range], part: tuple[Any, range], step: int) -> str:
        """Return the first site whose noise, acting alone, does not follow the rows."""
        acting = [noise for noise in self.noise.noises if noise.last and not noise.retired]
        try:
            for tried in acting:
                for noise in acting:
                    noise.retired = noise is not tried
                if not self._is_end(self.compute(*part, step), self.compute(*batch, step)):
                    return tried.placement.site
        finally:
            for noise in acting:
                noise.retired = False
        return next(
            (noise.placement.site for noise in acting), next(iter(self.noise.plan.keyed), "")
        )

    def _is_end(self, output: np.ndarray, whole: np.ndarray) -> bool:
        """Return whether an output begins with the second half of the whole."""
        end = whole[len(whole) // 2 :]
        return are_close(output[: len(end)], end, self.noise.host.estimate_rounding())


def are_close(one: np.ndarray, other: np.ndarray, rounding: float = 1e-5) -> bool:
    """Return whether two outputs are equal up to rounding, a share of the largest value."""
    if one.shape != other.shape:
        return False
    if (one == other).all():  # almost always, and in a tenth of the time
        return True
    scale = np.abs(other).max(initial=0.0)
    return bool(np.allclose(one, other, 10 * rounding, rounding * scale, equal_nan=True))
