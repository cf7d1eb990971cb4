"""Warnings of what a model's owner may not have meant, though it can be trained as it is."""

import torch
from torch import Tensor, nn

from .data.tasks import Task
from .models import Model
from .train.run import seed_generators


def find_model_warnings(model: Model, example: Tensor, task: Task) -> list[str]:
    """Return a sentence for each thing about a checked model that its owner may not have meant."""
    shape = tuple(example.shape[1:])
    networks = []
    for seed in (0, 1):
        with seed_generators(seed, "remarks"):
            networks.append(model.make(shape, task.outputs).eval())
    first, second = networks
    with seed_generators(0, "remarks"), torch.no_grad():
        outputs = first(example)
    found = []
    own = sum(isinstance(m, nn.modules.dropout._DropoutNd) and m.p > 0 for m in first.modules())
    if own:
        layers = "a dropout layer" if own == 1 else f"{own} dropout layers"
        found.append(
            f"{model.name} has {layers} of its own, which every recipe trains with, `none` too."
        )
    if task.is_classification and _are_probabilities(outputs):
        found.append(
            f"{model.name} seems to end in a softmax; the loss takes logits, so leave it out."
        )
    if all(map(torch.equal, first.parameters(), second.parameters())):
        found.append(
            f"{model.name} starts with the same weights whatever the seed: the intervals are over "
            "splits and orders alone."
        )
    return found


def _are_probabilities(outputs: Tensor) -> bool:
    sums = outputs.double().sum(1)
    return bool((outputs >= 0).all() and torch.allclose(sums, torch.ones_like(sums), atol=1e-4))
