"""Uncertainty that cannot be measured, and the sentence for it."""

from typing import Any

import torch
from torch import nn

from noisegate.core.errors import NoisegateError
from noisegate.study.data.tasks import Task
from noisegate.study.judge.uncertainty.evaluation import EvaluationData, evaluate_model
from noisegate.study.judge.uncertainty.outcomes import Outcome


def with_far_rows(rules: dict[str, Any], task: str) -> list[Outcome[float]]:
    """Evaluate a model on rows of which two are beyond what float32 holds."""
    model = nn.Sequential(nn.Linear(3, 2 if task == "classification" else 1))
    rows, far = torch.ones(5, 3), torch.ones(5, 3)
    far[:2] = torch.inf
    targets = torch.zeros(5, dtype=torch.int64) if task == "classification" else torch.zeros(5, 1)
    known = (rows, targets)
    data = EvaluationData(known, known, far)
    return evaluate_model(Task(task), model, rules, data, seed=1)


FAR = (
    "study: uncertainty needs a model's outputs to be finite; got NaN or infinity for 2 of 5 "
    "out-of-distribution inputs. Look there for values far outside of the training data's range."
)

CASES = [
    (lambda: with_far_rows({}, "classification"), NoisegateError, FAR),
    (lambda: with_far_rows({"0:in": 0.2}, "regression"), NoisegateError, FAR),
]
