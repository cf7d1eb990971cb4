"""One trained model on the test rows and on rows not of the data, noise off and on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

import noisegate as ng
from noisegate.core.errors import NoisegateError
from noisegate.prediction import Prediction
from noisegate.prediction.moments import softmax

from .outcomes import OneSeed, Outcome, Probabilities, Values, classified, regressed

__all__ = ["BATCH_SIZE", "SAMPLES", "EvaluationRows", "evaluate"]

SAMPLES = 50
# Fixed, since the order of sums, and with it the last bit, moves with it.
BATCH_SIZE = 1000


class _Task(Protocol):
    @property
    def name(self) -> str: ...


@dataclass(frozen=True, slots=True)
class EvaluationRows:
    """The rows that a model is evaluated on, encoded.

    Attributes
    ----------
    test, validation : tuple of two tensors
        Inputs, and targets: int64 (rows,), or standardised float32 (rows, 1). Of the validation
        rows only the residuals of a regression are used.
    ood : Tensor
        Inputs that are not of the data, at least one row.
    scale : float
        What turns a standardised target into the target's unit, above 0.
    """

    test: tuple[Tensor, Tensor]
    validation: tuple[Tensor, Tensor]
    ood: Tensor
    scale: float = 1.0


def evaluate(
    task: _Task,
    model: nn.Module,
    rules: Mapping[str, Any],
    rows: EvaluationRows,
    *,
    seed: int,
    samples: int = SAMPLES,
    first_step: int = 0,
    batch_size: int = BATCH_SIZE,
) -> OneSeed:
    """Return how far a trained model's doubt can be trusted, noise off and, with rules, noise on.

    The numbers depend on the arguments alone; with another batch size, or another number of
    threads, sums are rounded otherwise.

    Parameters
    ----------
    task : Task
        Its name is `classification`, where outputs are logits, or `regression`.
    model : torch.nn.Module
        Left in evaluation.
    rules : mapping
        What it was trained with; empty for a model that was trained without noise.
    rows : EvaluationRows
        The rows that it is evaluated on.
    seed : int
        Of the noise, in [0, 2⁶⁴).
    samples : int
        How many samples of the noise, at least 1.
    first_step : int
        The step of the first sample. Where rates move with the step, that is how many steps the
        model was trained for.
    batch_size : int
        Rows at a time, at least 1.

    Raises
    ------
    NoisegateError
        If an output is NaN or infinite.
    InvalidValue
        If a rule acts nowhere on the model.
    """
    steps = range(first_step, first_step + samples)
    noise = _Noise(dict(rules), seed, steps) if rules else None
    off = _outcome(task, _Predictor(model, None, batch_size), rows)
    on = None if noise is None else _outcome(task, _Predictor(model, noise, batch_size), rows)
    return OneSeed(task.name, samples, len(rows.test[0]), len(rows.ood), off, on)


@dataclass(frozen=True, slots=True)
class _Noise:
    """What is switched on when predicting."""

    rules: dict[str, Any]
    seed: int
    steps: range


@dataclass(frozen=True, slots=True)
class _Predictor:
    """A model, and the noise in it when it predicts."""

    model: nn.Module
    noise: _Noise | None
    batch_size: int

    def probabilities(self, inputs: Tensor, rows: str) -> Probabilities:
        """Return class probabilities; `rows` says of what they are, for an error."""
        if self.noise is None:
            return Probabilities(softmax(self._outputs(inputs, rows), 1))
        found = self._samples(self.noise, inputs, rows, "logits")
        return Probabilities(found.probabilities, found.mutual_information)

    def values(self, inputs: Tensor, rows: str) -> Values:
        """Return predicted values, shape (rows,)."""
        if self.noise is None:
            return Values(self._outputs(inputs, rows).reshape(-1))
        found = self._samples(self.noise, inputs, rows, "values")
        return Values(found.mean.reshape(-1), found.std.reshape(-1))

    def _outputs(self, inputs: Tensor, rows: str) -> np.ndarray:
        self.model.eval()
        with torch.no_grad():
            outputs = [self.model(part) for part in inputs.split(self.batch_size)]
        return _finite(torch.cat(outputs).double().numpy(), rows)

    def _samples(self, noise: _Noise, inputs: Tensor, rows: str, outputs: str) -> Prediction:
        self.model.eval()
        found = ng.predict(
            self.model,
            inputs,
            noise.steps,
            rules=noise.rules,
            seed=noise.seed,
            outputs=outputs,
            batch_size=self.batch_size,
            quantiles=(),
            progress=False,
        )
        _finite(found.mean, rows)
        return found


def _outcome(task: _Task, predictor: _Predictor, rows: EvaluationRows) -> Outcome:
    inputs, targets = rows.test
    others = "out-of-distribution inputs"
    if task.name == "classification":
        return classified(
            predictor.probabilities(inputs, "test rows"),
            targets.numpy(),
            predictor.probabilities(rows.ood, others),
        )
    return regressed(
        predictor.values(inputs, "test rows"),
        _flat(targets),
        predictor.values(rows.validation[0], "validation rows"),
        _flat(rows.validation[1]),
        predictor.values(rows.ood, others),
        rows.scale,
    )


def _flat(targets: Tensor) -> np.ndarray:
    return targets.double().numpy().reshape(-1)


def _finite(outputs: np.ndarray, rows: str) -> np.ndarray:
    """Return outputs, or raise where doubt about them would mean nothing."""
    bad = ~np.isfinite(outputs.reshape(len(outputs), -1)).all(1)
    if bad.any():
        raise NoisegateError(
            "study: uncertainty needs a model's outputs to be finite; got NaN or infinity for "
            f"{bad.sum()} of {len(bad)} {rows}. Look there for values far outside of the training "
            "data's range."
        )
    return outputs
