"""Run a model with noise: one forward for each sample, or one for several samples."""

from collections.abc import Iterator, Sequence
from math import ceil, prod
from typing import Any

import numpy as np

from noisegate.core.errors import InvalidValue
from noisegate.injection import Injection

from .batch_check import BatchCheck, are_close

# The largest tensor of a forward of several steps has at most this many elements.
AT_ONCE = 1 << 20
# With fewer steps, one forward saves less than its check costs, which is a forward of one sample.
WORTH = 8
# The checked step needs a neighbour on either side, so the check proves nothing with fewer steps.
FEWEST = 3


class Forwards:
    """Runs a model at steps of its noise.

    On small tensors the cost is in the calls. One forward then computes several samples: the batch
    is repeated, and each copy has the noise of its own step. That is wrong for a model in which
    rows of a batch influence each other: time on the first axis, attention over the batch, a scale
    taken from all rows, experts of limited capacity. Two checks find such models:

    - Every forward of several steps includes one sample that is computed alone as well. It is the
      last but one. There it has neighbours on both sides, and places that fill up from the front
      are full.
    - The first such forward includes a probe: one more copy, muted at every site, so that any
      influence of its neighbours shows, whatever the data (`Host.mute_part`). A model of layers
      that are known to compute each row by itself, and in which nothing else can run, needs none.

    If either differs from the same sample computed alone, every sample has a forward of its own
    from then on. `output` selects one of the model's outputs, by name or number.
    """

    def __init__(self, noise: Injection, output: str | int | None) -> None:
        self.noise, self.output = noise, output
        self._apart = False
        self._probed = not noise.watches_calls and noise.host.runs_row_by_row()
        self._elements_a_row = 0.0
        self._check = BatchCheck(noise, self._compute)

    def run(self, batch: Any, rows: range, step: int) -> np.ndarray:
        """Return the model's output for some rows, at one step."""
        # The rows of the first batch count from 0 anyway: it is checked only if others follow.
        later = rows.start > 0
        if later:
            self._check.run()
        output = self._compute(batch, rows, step)
        self._check.note(batch, rows, step, output)
        if later and output.shape[:1] != (len(rows),):
            raise InvalidValue(
                f"predict: the output of a batch of {len(rows)} must have as many rows, to be "
                f"joined with the others; got shape {tuple(output.shape)}. Leave out batch_size, "
                "and pass quantiles=()."
            )
        if later:
            self._check.run()
        return output

    def run_steps(
        self, batch: Any, rows: range, steps: Sequence[int], first: np.ndarray | None = None
    ) -> Iterator[np.ndarray]:
        """Yield the model's outputs for some rows at all steps in order, one or several at a time.

        The first axis of each array is steps. `first` is the output at the first step, if known.
        """
        while steps:
            alone = self.run(batch, rows, steps[0]) if first is None else first
            together = steps[: self._at_once(len(rows), len(steps))]
            outputs = self._run_several(batch, rows, together, alone)
            yield outputs
            first, steps = None, steps[len(outputs) :]

    def _compute(self, batch: Any, rows: range, step: int) -> np.ndarray:
        """Return the model's output at one step; at the first call, measure its largest tensor."""
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
        """Return how many steps one forward takes, so that all forwards take about as many."""
        most = int(AT_ONCE / (self._elements_a_row * rows))
        return 1 if most < WORTH else ceil(steps / ceil(steps / most))

    def _run_several(
        self, batch: Any, rows: range, steps: Sequence[int], alone: np.ndarray
    ) -> np.ndarray:
        """Return the outputs at all steps from one forward, or at the first only if a check fails.

        `alone` is the output at the first step, computed alone.
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
        """Return the model's outputs at several steps, from one forward; None if it fails."""
        host = self.noise.host
        several = host.repeat_batch(batch, len(rows), len(steps))
        try:
            with self.noise.steps.at(steps[0], rows if rows.start else None, steps, muted):
                output: np.ndarray = host.run(several, self.output)
            return output.reshape(len(steps), len(rows), *output.shape[1:])
        except Exception:
            return None  # a forward of one step may succeed, or raise the error that users need
