"""One trained model on test samples and on out-of-distribution inputs, noise off and on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import noisegate as ng
from noisegate.core.errors import NoisegateError
from noisegate.prediction.moments import softmax

from ...data.tasks import Task
from .outcomes import Outcome, Predictions, score_classes, score_values

SAMPLES = 50
# Fixed, since the order of sums, and with it the last bit, moves with it.
BATCH_SIZE = 1000


@dataclass(frozen=True, slots=True)
class EvaluationData:
    """The encoded samples that a model is evaluated on: (inputs, targets), and inputs alone.

    Of the validation samples only the residuals of a regression are used. `scale`, above 0, turns
    a standardised target into the target's unit.
    """

    test: tuple[Tensor, Tensor]
    validation: tuple[Tensor, Tensor]
    ood: Tensor
    scale: float = 1.0


def evaluate_model(
    task: Task,
    model: nn.Module,
    rules: Mapping[str, Any],
    data: EvaluationData,
    *,
    seed: int,
    samples: int = SAMPLES,
    first_step: int = 0,
    batch_size: int = BATCH_SIZE,
) -> list[Outcome[float]]:
    """Return what a model comes to with noise off and, if it was trained with rules, with noise on.

    A classifier's outputs are logits. The numbers depend on the arguments alone; with another batch
    size, or another number of threads, sums are rounded otherwise. The model is left in evaluation.
    `seed` and `samples` are those of the noise, `first_step` is the step of its first sample: where
    rates move with the step, how many steps the model was trained for. It raises if an output is
    NaN or infinite, or a rule acts nowhere on the model.
    """
    model.eval()

    def predict_without_noise(inputs: Tensor, name: str) -> Predictions:
        with torch.no_grad():
            parts = [model(part) for part in inputs.split(batch_size)]
        outputs = torch.cat(parts).double().numpy()
        _check_finite(outputs, name)
        return Predictions(softmax(outputs, 1) if task.is_classification else outputs.reshape(-1))

    def predict_with_noise(inputs: Tensor, name: str) -> Predictions:
        found = ng.predict(
            model,
            inputs,
            range(first_step, first_step + samples),
            rules=dict(rules),
            seed=seed,
            outputs="logits" if task.is_classification else "values",
            batch_size=batch_size,
            quantiles=(),
            progress=False,
        )
        _check_finite(found.mean, name)
        if task.is_classification:
            return Predictions(found.probabilities, found.mutual_information)
        return Predictions(found.mean.reshape(-1), found.std.reshape(-1))

    ways = [predict_without_noise, predict_with_noise] if rules else [predict_without_noise]
    return [_score_predictions(task, predict, data) for predict in ways]


def _score_predictions(
    task: Task, predict: Callable[[Tensor, str], Predictions], data: EvaluationData
) -> Outcome[float]:
    test = predict(data.test[0], "test samples")
    ood = predict(data.ood, "out-of-distribution inputs")
    if task.is_classification:
        return score_classes(test, data.test[1].numpy(), ood)
    validation = predict(data.validation[0], "validation samples")
    targets, known = (part[1].double().numpy().reshape(-1) for part in (data.test, data.validation))
    return score_values(test, targets, validation, known, ood, data.scale)


def _check_finite(outputs: np.ndarray, name: str) -> None:
    """Raise where the uncertainty of outputs would mean nothing."""
    bad = ~np.isfinite(outputs.reshape(len(outputs), -1)).all(1)
    if bad.any():
        raise NoisegateError(
            "study: uncertainty needs a model's outputs to be finite; got NaN or infinity for "
            f"{bad.sum()} of {len(bad)} {name}. Look there for values far outside of the training "
            "data's range."
        )


def shuffle_columns(columns: Sequence[np.ndarray], seed: int) -> list[np.ndarray]:
    """Return columns whose values are shuffled over the samples, each by itself.

    Every column keeps its distribution and loses what ties it to the others: the samples look
    like the data one column at a time, and like none of it as a whole. In an array of several
    numbers a sample, each is a column. The seed, with a column's place, decides the order.
    """
    return [
        _shuffle(values, np.random.default_rng([seed, place]))
        for place, values in enumerate(columns)
    ]


def _shuffle(values: np.ndarray, draws: np.random.Generator) -> np.ndarray:
    # One permutation for each feature: drawing them one by one holds no array of sample numbers
    # as large as the data.
    shuffled = values.reshape(len(values), -1).copy()
    for feature in range(shuffled.shape[1]):
        shuffled[:, feature] = shuffled[draws.permutation(len(shuffled)), feature]
    return shuffled.reshape(values.shape)
