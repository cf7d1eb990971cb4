"""Samples are the same for any batch size, and whatever makes a prediction fast finds all noise."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import noisegate as ng
from _transformers import FAMILIES, example
from _transformers import model as make_family
from noisegate.torch.model.forward import ROW_BY_ROW, Runner

ROWS, WIDTH = 5, 8


def samples(model: nn.Module, x: Any, steps: Any = 9, **words: Any) -> np.ndarray:
    given: dict[str, Any] = {"existing": True, "seed": 7, "keep_samples": True, **words}
    found = ng.predict(model, x, steps, **given).samples
    assert found is not None
    return found


class Own(nn.Module):
    """A function between a layer and a head, so that its class is no one's but its own."""

    def __init__(self, layer: nn.Module, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.layer, self.function, self.head = layer, function, nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.function(self.layer(x), self.training))
        return y


def drop(x: Any, training: bool) -> Tensor:
    x = x[0][:, -1] if isinstance(x, tuple) else x
    return nn.functional.dropout(x, 0.3, training)


def attend(x: Tensor, training: bool) -> Tensor:
    heads = x.unflatten(-1, (2, -1)).transpose(1, 2)
    p = 0.3 if training else 0.0
    y = nn.functional.scaled_dot_product_attention(heads, heads, heads, dropout_p=p)
    return y.transpose(1, 2).flatten(2)


def convolutional(kind: str, rank: int) -> nn.Module:
    dropout, layer = getattr(nn, kind)(0.3), getattr(nn, f"Conv{rank}d")(2, WIDTH, 3)
    return nn.Sequential(layer, nn.ReLU(), dropout, nn.Flatten(), nn.LazyLinear(3))


def mlp(*noise: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.SELU(), *noise, nn.Linear(WIDTH, 3))


FLAT, LONG = (ROWS, WIDTH), (ROWS, 6, WIDTH)
MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "Dropout": (lambda: mlp(nn.Dropout(0.3)), FLAT),
    "AlphaDropout": (lambda: mlp(nn.AlphaDropout(0.3)), FLAT),
    "GaussianNoise": (lambda: mlp(ng.torch.GaussianNoise(0.3), nn.BatchNorm1d(WIDTH)), FLAT),
    "GaussianDropout": (lambda: mlp(ng.torch.GaussianDropout(0.3)), FLAT),
    "DropPath": (lambda: mlp(ng.torch.DropPath(0.3), nn.LayerNorm(WIDTH)), FLAT),
    "F.dropout": (lambda: Own(nn.Linear(WIDTH, WIDTH), drop), FLAT),
    "Dropout1d": (lambda: convolutional("Dropout1d", 1), (ROWS, 2, 9)),
    "Dropout2d": (lambda: convolutional("Dropout2d", 2), (ROWS, 2, 9, 9)),
    "Dropout3d": (lambda: convolutional("Dropout3d", 3), (ROWS, 2, 5, 5, 5)),
    "FeatureAlphaDropout": (lambda: convolutional("FeatureAlphaDropout", 2), (ROWS, 2, 9, 9)),
    "LSTM": (lambda: Own(nn.LSTM(WIDTH, WIDTH, batch_first=True), drop), LONG),
    "GRU": (lambda: Own(nn.GRU(WIDTH, WIDTH, batch_first=True), drop), LONG),
    "RNN": (lambda: Own(nn.RNN(WIDTH, WIDTH, batch_first=True), drop), LONG),
    "attention": (lambda: Own(nn.Linear(WIDTH, WIDTH), attend), LONG),
}


@pytest.mark.parametrize("name", MODELS)
def test_samples_are_the_same_for_any_batch_size(name: str) -> None:
    torch.manual_seed(0)
    make, shape = MODELS[name]
    model, x = make(), torch.randn(shape)
    model(x)  # lazy layers learn their sizes
    whole = samples(model, x)
    assert len(np.unique(whole, axis=0)) > 4
    for size in (1, 2, 3, ROWS):
        np.testing.assert_allclose(samples(model, x, batch_size=size), whole, 1e-4, 1e-5)


@pytest.mark.parametrize("name", [*FAMILIES, "Swin"])
def test_samples_of_a_family_are_the_same_for_any_batch_size(name: str) -> None:
    model, x = make_family(name, 0.2), example(name)
    whole = samples(model, x, 4)
    np.testing.assert_allclose(samples(model, x, 4, batch_size=1), whole, 1e-3, 1e-5)


# A model of torch's own layers is not watched ----------------------------------------------------


def put_hook(model: Any) -> Any:
    return model[0].register_forward_hook(lambda m, args, y: nn.functional.dropout(y, 0.5))


def put_forward(model: Any) -> Any:
    layer = model[0]
    layer.forward = lambda x: nn.functional.dropout(type(layer).forward(layer, x), 0.5)


def put_global_hook(model: Any) -> Any:
    # It sees the calls of all modules; the one of the first layer is enough.
    return nn.modules.module.register_module_forward_hook(
        lambda m, args, y: nn.functional.dropout(y, 0.5) if m is model[0] else None
    )


@pytest.mark.parametrize("put", [put_hook, put_forward, put_global_hook])
def test_noise_that_was_put_into_a_model_of_torchs_layers_is_seen(put: Any) -> None:
    model = mlp(nn.Dropout(0.3)).eval()
    handle = put(model)
    try:
        again = [samples(model, torch.ones(FLAT), 4) for _ in range(2)]
    finally:
        if handle is not None:
            handle.remove()
    np.testing.assert_array_equal(*again)


def test_draws_in_evaluation_are_made_from_the_seed_in_a_model_of_torchs_layers() -> None:
    model = nn.Sequential(nn.Dropout(0.3), nn.FractionalMaxPool2d(2, 3), nn.Flatten()).eval()
    images = torch.randn(2, 3, 8, 8)
    torch.manual_seed(1)
    first = samples(model, images, 4)
    torch.manual_seed(2)
    np.testing.assert_array_equal(samples(model, images, 4), first)
    with pytest.warns(RuntimeWarning, match="random numbers are drawn in evaluation by '1'"):
        ng.predict(model, images, 4, rules={":in": 0.3}, seed=1)


# A model of layers that compute each row by itself needs no probe ---------------------------------


class Doubling(nn.Linear):
    """A subclass, which may do anything."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * 2


LAYERS: dict[str, tuple[nn.Module, bool]] = {
    "known": (nn.Linear(WIDTH, WIDTH), False),
    "own": (Doubling(WIDTH, WIDTH), True),
    "softmax": (nn.Softmax(dim=0), True),
    "hooked": (nn.Linear(WIDTH, WIDTH), True),
}


@pytest.mark.parametrize("name", LAYERS)
def test_only_models_of_known_layers_have_no_probe(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, probed = LAYERS[name]
    if name == "hooked":
        layer.register_forward_hook(lambda m, args, y: y - y.mean(0))
    batches: list[int] = []
    real = Runner.run

    def count(self: Runner, batch: Tensor, *given: Any) -> np.ndarray:
        batches.append(len(batch))
        return real(self, batch, *given)

    monkeypatch.setattr(Runner, "run", count)
    samples(mlp(nn.Dropout(0.3), layer), torch.randn(FLAT), 20)
    assert batches[:3] == [ROWS, 21 * ROWS, ROWS] if probed else batches == [ROWS, 20 * ROWS]


@pytest.mark.parametrize("layer", sorted(ROW_BY_ROW, key=lambda one: one.__name__))
def test_known_layers_compute_each_row_by_itself(layer: Any) -> None:
    rank = next((i for i in (1, 2, 3) if layer.__name__.endswith(f"{i}d")), 0)
    x = torch.randn(ROWS, 4, *[5] * rank)
    words = {nn.Linear: (4, 3), nn.LayerNorm: (4,)}.get(
        layer, (4, 3, 2) if "Conv" in layer.__name__ else ()
    )
    made = layer(*words).eval()
    y = made(x)
    x[1:] = torch.randn_like(x[1:]) * 100
    np.testing.assert_allclose(made(x)[0].detach(), y[0].detach(), 1e-5, 1e-6)
