"""Dropouts of whole channels and of whole samples, at every rank that torch takes."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import noisegate as ng
from _asserts import assert_same_bits
from _functional import key

SIZES = (4, 3, 5, 2, 6, 2, 3)
LAYERS: dict[str, tuple[type[nn.Module], Callable[..., Tensor]]] = {
    "Dropout1d": (nn.Dropout1d, F.dropout1d),
    "Dropout2d": (nn.Dropout2d, F.dropout2d),
    "Dropout3d": (nn.Dropout3d, F.dropout3d),
    "FeatureAlphaDropout": (nn.FeatureAlphaDropout, F.feature_alpha_dropout),
}


class ByFunction(nn.Module):
    """A module whose forward calls a function of torch's, and which is no dropout itself."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, 0.5, self.training)


def outcome(model: nn.Module, x: Tensor) -> tuple[Any, list[str]]:
    """Return which axes share a decision, or the error; and what was warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            y = model(x)
        except RuntimeError as error:
            return str(error), [str(w.message) for w in caught]
    moved = (y != x).reshape(x.shape)
    shared = [
        axis
        for axis in range(x.ndim)
        if torch.equal(moved, moved.narrow(axis, 0, 1).expand_as(moved))
    ]
    return shared, [str(w.message) for w in caught]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("rank", range(1, 7))
@pytest.mark.parametrize("form", ["module", "function"])
@pytest.mark.parametrize("name", LAYERS)
def test_every_rank_is_taken_as_torch_takes_it(
    name: str, form: str, rank: int, training: bool
) -> None:
    layer, function = LAYERS[name]
    made: nn.Module = layer(0.5) if form == "module" else ByFunction(function)
    model = nn.Sequential(nn.Identity(), made).train(training)
    x = torch.ones(SIZES[:rank])
    # At half a chance a seed may look as if an axis shared; some seed does not.
    outcomes = []
    for seed in range(40):
        torch.manual_seed(seed)
        outcomes.append(outcome(model, x))
    want, said = min(outcomes, key=lambda found: len(found[0]))
    noise = ng.inject(model, existing=True, seed=1)
    taken = [outcome(model, x) for _ in range(40)]
    got, told = min(taken, key=lambda found: len(found[0]))
    assert got == want
    assert [s for s in told if "noisegate" not in s] == said
    noise.remove()


@pytest.mark.parametrize("rank", [2, 3, 4, 5, 6])
def test_predictions_follow_the_rank_too(rank: int) -> None:
    x = torch.ones(SIZES[:rank])
    for layer in (nn.Dropout2d, nn.Dropout3d):
        model = nn.Sequential(nn.Identity(), layer(0.5))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            words: dict[str, Any] = {"existing": True, "seed": 1, "keep_samples": True}
            samples = ng.predict(model, x, 20, outputs="values", **words).samples
        assert samples is not None
        whole = layer is nn.Dropout3d and rank != 5
        axes = tuple(range(2 if whole else 3, rank + 1))
        assert (samples == samples.max(axis=axes, keepdims=True)).all() if axes else True
        assert len(set(samples[:, 0].reshape(20, -1).mean(axis=1).tolist())) > 1


# Samples of what torch takes as one sample -----------------------------------------------------

UNBATCHED: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "Dropout1d": (nn.Dropout1d(0.5), (4,)),
    "Dropout3d": (nn.Dropout3d(0.5), (4, 2, 2)),
    "Dropout3d, rank 3": (nn.Dropout3d(0.5), (4, 2)),
    "F.dropout1d": (ByFunction(F.dropout1d), (4,)),
    "noisegate's": (ng.torch.Dropout1d(0.5), (4,)),
}


@pytest.mark.filterwarnings("ignore:dropout3d")
@pytest.mark.parametrize("name", UNBATCHED)
def test_the_model_s_samples_have_their_rows(name: str) -> None:
    layer, shape = UNBATCHED[name]
    model = nn.Sequential(nn.Identity(), layer)
    x = torch.ones(64, *shape)
    noise = ng.inject(model, existing=True, seed=1)
    noise.step = 3
    whole = model(x)
    site = noise.sites[0]
    rows = ng.Dropout(0.5, shared_axes=slice(1, None))(x, key(site, step=3), sample_axis=0)
    assert_same_bits(whole, rows)
    with noise.at(3):
        assert_same_bits(torch.cat([model(x[:32]), model(x[32:])]), whole)
    noise.step, noise.rows = 3, [9, 7, 5]
    assert_same_bits(model(x[:3]), whole[[9, 7, 5]])
    noise.remove()
    words: dict[str, Any] = {"existing": True, "seed": 1, "keep_samples": True}
    words["outputs"] = "values"
    single = ng.predict(model, x[:6], 20, batch_size=1, **words).samples
    together = ng.predict(model, x[:6], 20, **words).samples
    assert single is not None
    assert together is not None
    assert (single == together).all()
    assert ng.predict(model, x[:6], 20, shared_batch=True, **words).std.shape == (6, *shape)


# Whole samples ---------------------------------------------------------------------------------


class DropPath(nn.Module):
    """As timm has it: the samples are the first axis."""

    def __init__(self, drop_prob: float) -> None:
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x: Tensor) -> Tensor:
        kept = torch.rand((len(x),) + (1,) * (x.ndim - 1)) >= self.drop_prob
        return x * kept / (1 - self.drop_prob) if self.training else x


@pytest.mark.parametrize("path", [DropPath(0.5), ng.torch.DropPath(0.5)])
@pytest.mark.parametrize("axis", [0, 1, -2, 2])
def test_a_drop_path_drops_whole_samples_wherever_they_are(path: nn.Module, axis: int) -> None:
    x = torch.ones(40, 40, 40)
    model = nn.Sequential(nn.Identity(), path)
    noise = ng.inject(model, existing=True, sample_axis=axis, seed=1)
    y = model(x)
    samples = y.movedim(axis, 0).reshape(40, -1)
    assert_same_bits(samples, samples[:, :1].expand_as(samples))
    expected = ng.drop_path(0.5)(torch.ones(40, 1), key("1:dropout"), sample_axis=0)
    assert_same_bits(samples[:, :1], expected)
    noise.step = 0
    with noise.at(0):
        parts = [model(part) for part in x.split(20, dim=axis)]
    assert_same_bits(torch.cat(parts, dim=axis), y)
    mask = torch.from_numpy(noise.mask("1:dropout", step=0))
    assert mask.shape[axis] == 20
    noise.remove()
    words: dict[str, Any] = {"existing": True, "seed": 1, "keep_samples": True}
    if axis == 1:
        drawn = ng.predict(model, x[:, :7], 3, sample_axis=1, **words).samples
        assert drawn is not None
        assert (drawn == drawn[:, :1, :, :1]).all()
