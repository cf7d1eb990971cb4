"""A rule that fails in a forward does not stand in the way of the rule that mends it."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import noisegate as ng

X = torch.ones(3, 4)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.dropout(self.fc(x), 0.5, self.training)


UNMATCHED = {"fc:dropout": 0.5}
UNUSABLE = {"fc:out": ng.Dropout(0.5, shared_axes=(3,))}


@pytest.mark.parametrize("rules", [UNMATCHED, UNUSABLE])
def test_new_noise_takes_the_place_of_noise_that_failed(rules: dict[str, object]) -> None:
    model = Net()
    kept = ng.inject(model, {"fc:in": ng.GaussianNoise(0.1)}, seed=1)
    failed = ng.inject(model, rules, seed=2)
    for _ in range(2):  # until it is mended
        with pytest.raises(ng.InvalidValue):
            model(X)
    noise = ng.inject(model, {":dropout": 0.5}, seed=2)
    assert failed.removed
    assert ng.handles(model) == (kept, noise)
    model(X)
    assert noise.step == 1


def test_noise_that_fails_once_and_then_acts_stays() -> None:
    model = Net()
    noise = ng.inject(model, {"fc:out": ng.Dropout(0.5, shared_axes=(2,))}, seed=1)
    with pytest.raises(ng.InvalidValue):
        model(X)
    model(X[None])
    ng.inject(model, {"fc:in": 0.5}, seed=2)
    assert not noise.removed


def test_noise_in_a_model_that_fails_stays() -> None:
    model = Net()
    noise = ng.inject(model, {"fc:out": 0.5}, seed=1)
    with pytest.raises(RuntimeError):
        model(torch.ones(3, 5))
    ng.inject(model, {"fc:in": 0.5}, seed=2)
    assert not noise.removed


def test_an_error_in_a_forward_names_the_site_and_the_rule() -> None:
    model = Net()
    ng.inject(model, {"f*:out": ng.Dropout(0.5, shared_axes=(3,))}, seed=1)
    with pytest.raises(ng.InvalidValue) as caught:
        model(X)
    assert caught.value.__notes__ == ["The noise is that of the rule 'f*:out' at 'fc:out'."]
