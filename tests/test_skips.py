"""Layers that a model skips at random are sites: decided by the key, at rates that can be set."""

import copy
import pickle
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import noisegate as ng
from _asserts import assert_same_bits
from _draws import run_at

X = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))


class Skipping(nn.Module):
    """Layers of which a coin skips each, as LayerDrop does."""

    def __init__(self, rate: float, count: int = 8) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(nn.Linear(6, 6) for _ in range(count))
        self.rate, self.ran = rate, list[bool]()

    def forward(self, x: Tensor) -> Tensor:
        self.ran = []
        for layer in self.layers:
            skips = self.training and bool(torch.rand([]) < self.rate)
            self.ran.append(not skips)
            x = x if skips else layer(x)
        return x


def test_a_layer_that_a_coin_skips_is_a_site_with_a_rate() -> None:
    model = Skipping(0.5)
    noise = ng.inject(model, existing=True, seed=1)
    y = run_at(noise, 3, lambda: model(X))
    assert_same_bits(run_at(noise, 3, lambda: model(X), 5), y)
    assert noise.sites == (":skip", *(f":skip.{i}" for i in range(1, 8)))
    kept = [bool(ng.mask(ng.Dropout(0.5), (), ng.Stream(1).site(s).at(3))) for s in noise.sites]
    assert model.ran == kept
    assert 0 < sum(kept) < 8
    assert bool(noise.mask(":skip.1")) == kept[1]
    noise.set_rate("*:skip", 0.0)
    run_at(noise, 3, lambda: model(X))
    assert all(model.ran)
    noise.set_rate("*:skip", ng.schedule.linear(0.0, 1.0, steps=10))
    run_at(noise, 10, lambda: model(X))
    assert not any(model.ran)
    noise.remove()
    assert not ng.handles(model)


def test_rates_of_skips_are_those_of_the_model_s_code() -> None:
    model = Skipping(0.25, 200)
    noise = ng.inject(model, existing=True, seed=1)
    run_at(noise, 0, lambda: model(X))
    assert abs(np.mean(model.ran) - 0.75) < 0.12  # four standard deviations
    assert {placement.kind for placement in noise.plan.placements} == {ng.Dropout(0.25)}


def test_a_prediction_skips_layers_too_and_each_sample_is_that_of_its_step() -> None:
    model = Skipping(0.5)
    words: dict[str, Any] = {"existing": True, "seed": 1, "keep_samples": True}
    samples = ng.predict(model.eval(), X, 6, **words).samples
    assert samples is not None
    for step in range(6):
        alone = ng.predict(model, X, [step], **words).samples
        assert alone is not None
        assert_same_bits(samples[step], alone[0])
    assert len({sample.tobytes() for sample in samples}) == 6
    assert not model.training


def test_layers_that_a_run_on_an_example_skips_are_known() -> None:
    model = Skipping(1.0)
    noise = ng.inject(model, {"layers.2:out": 0.5}, existing=True, seed=1, example=X)
    assert "layers.2:out" in noise.sites


def test_copies_draw_the_same() -> None:
    model = Skipping(0.5)
    noise = ng.inject(model, existing=True, seed=1, example=X)
    y = run_at(noise, 3, lambda: model(X))
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        (handle,) = ng.handles(other)
        assert_same_bits(run_at(handle, 3, lambda other=other: other(X), 4), y)
