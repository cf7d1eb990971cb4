"""Compute statistics of the samples of some rows while the samples arrive."""

from collections.abc import Sequence

import numpy as np

from .moments import Moments, are_probabilities, as_probabilities, entropy
from .result import Prediction

# Moments are updated with at most this many numbers at a time.
TOGETHER = 1 << 18


class Summary:
    """Gathers the samples of some rows into a prediction.

    `outputs` is "values", "logits" or "probabilities"; None infers it from the first sample.
    `axis` is the axis of the classes, `levels` are the levels of the quantiles. With `keep` the
    prediction holds every sample.
    """

    def __init__(self, outputs: str | None, axis: int, levels: Sequence[float], keep: bool) -> None:
        self.outputs, self.axis, self.levels, self.keep = outputs, axis, levels, keep
        self._values, self._classes, self._entropies = Moments(), Moments(), Moments()
        self._waiting, self._held = list[np.ndarray](), list[np.ndarray]()

    def add(self, samples: np.ndarray) -> None:
        """Add samples, stacked along the first axis."""
        if self.outputs is None:
            self.outputs = _infer_outputs(samples[0], self.axis)
        self._waiting.append(samples)
        if sum(waiting.size for waiting in self._waiting) > TOGETHER:
            self._update()
        if self.levels or self.keep:
            self._held.append(samples)

    def finish(self, steps: Sequence[int], seed: int) -> Prediction:
        """Return the prediction of the rows, whose samples are these steps of the seed."""
        if self._waiting:
            self._update()
        samples = _join_samples(self._held) if self._held else None
        quantiles: np.ndarray | tuple[()] = ()
        if samples is not None and self.levels:
            # Sorting first takes a third of the time of NumPy's own selection.
            quantiles = np.quantile(np.sort(samples, axis=0), self.levels, axis=0)
        classifier = self.outputs != "values"
        return Prediction(
            mean=self._values.mean,
            std=self._values.std,
            steps=steps,
            seed=seed,
            outputs=self.outputs or "values",
            samples=samples if self.keep else None,
            _quantiles=dict(zip(self.levels, quantiles, strict=True)),
            _classes=self._classes.mean if classifier else None,
            _entropies=self._entropies.mean if classifier else None,
            _axis=self.axis if self._values.mean.ndim > 1 else -1,
        )

    def _update(self) -> None:
        """Include the waiting samples in the moments."""
        samples = _join_samples(self._waiting)
        self._waiting.clear()
        most = max(1, TOGETHER // max(1, samples[0].size))
        for start in range(0, len(samples), most):
            values = samples[start : start + most].astype(np.float64)
            self._values.add(values)
            if self.outputs is None or self.outputs == "values":
                continue
            # Samples are an extra first axis here, which moves axes that count from the front.
            axis = self.axis + 1 if self.axis >= 0 else self.axis
            probabilities = as_probabilities(values, self.outputs, axis)
            self._classes.add(probabilities)
            self._entropies.add(entropy(probabilities, axis if values.ndim > 2 else -1))


def _infer_outputs(output: np.ndarray, axis: int) -> str:
    """Return "values", "logits" or "probabilities", inferred from the output of some rows."""
    if output.ndim < 2 or output.shape[axis] < 2:
        return "values"
    return "probabilities" if are_probabilities(output, axis) else "logits"


def _join_samples(samples: Sequence[np.ndarray]) -> np.ndarray:
    return samples[0] if len(samples) == 1 else np.concatenate(samples)
