"""A sample is the same alone and among others, however a model's rows depend on each other."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import noisegate as ng
from noisegate.prediction.forwards import Forwards

ROWS, WIDTH = 6, 8


class Along(nn.Module):
    """Dropout, then a function of the whole batch."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.drop, self.function = nn.Dropout(0.3), function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.drop(x))


class First(nn.Module):
    """The output of a recurrent layer."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.drop, self.layer = nn.Dropout(0.3), layer

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.layer(self.drop(x))[0]
        return output


class Experts(nn.Module):
    """Four experts, each of which takes at most `capacity` of its fair share of the rows."""

    def __init__(self, capacity: float) -> None:
        super().__init__()
        self.drop, self.gate = nn.Dropout(0.3), nn.Linear(WIDTH, 4)
        self.experts = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.capacity = capacity

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop(x)
        chosen = nn.functional.one_hot(self.gate(x).argmax(-1), 4)
        limit = int(self.capacity * len(x) / 4) or 1
        kept = chosen * (chosen.cumsum(0) <= limit)
        return sum((kept[:, [i]] * e(x) for i, e in enumerate(self.experts)), start=x)


def attention(x: Tensor, causal: bool) -> Tensor:
    return nn.functional.scaled_dot_product_attention(x, x, x, is_causal=causal)


def positions(x: Tensor) -> Tensor:
    return x + torch.linspace(0, len(x), len(x))[:, None]


def near(x: Tensor) -> Tensor:
    """Return each row with half of the one behind it, and the last alone."""
    return x + torch.cat([x[1:], torch.zeros_like(x[:1])]) / 2


def grid(x: Tensor) -> Tensor:
    """Return x in 255 steps of its largest value, wherever in the batch that is."""
    scale = x.abs().max() / 127
    return (x / scale).round() * scale


def sorted_(x: Tensor) -> Tensor:
    """Return in each row how many of the batch are smaller."""
    return x.flatten().argsort().argsort().reshape(x.shape) / x.numel()


def normed(layer: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Dropout(0.3), nn.Linear(WIDTH, WIDTH), layer)


def quantized() -> nn.Module:
    made = nn.Sequential(nn.Linear(WIDTH, 32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 3))
    return torch.ao.quantization.quantize_dynamic(made.eval(), {nn.Linear}, dtype=torch.qint8)


def encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(WIDTH, 2, 16, dropout=0.0, batch_first=True)
    return nn.Sequential(nn.Dropout(0.3), nn.TransformerEncoder(layer, 2))


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout2d(0.3), nn.Flatten()
    )


SQUARE, LONG, IMAGES = (ROWS, WIDTH), (12, 4, WIDTH), (ROWS, 1, WIDTH, WIDTH)
MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "LSTM, time first": (lambda: First(nn.LSTM(WIDTH, 8)), LONG),
    "LSTM, both directions": (lambda: First(nn.LSTM(WIDTH, 8, bidirectional=True)), LONG),
    "LSTM, batch first": (lambda: First(nn.LSTM(WIDTH, 8, batch_first=True)), LONG),
    "GRU, time first": (lambda: First(nn.GRU(WIDTH, 8)), LONG),
    "GRU, batch first": (lambda: First(nn.GRU(WIDTH, 8, batch_first=True)), LONG),
    "cumsum": (lambda: Along(lambda x: x.cumsum(0)), SQUARE),
    "cumsum from behind": (lambda: Along(lambda x: x.flip(0).cumsum(0).flip(0)), SQUARE),
    "the row behind": (lambda: Along(near), SQUARE),
    "positions": (lambda: Along(positions), SQUARE),
    "attention over the batch": (lambda: Along(lambda x: attention(x, False)), SQUARE),
    "causal attention over the batch": (lambda: Along(lambda x: attention(x, True)), SQUARE),
    "batch mean": (lambda: Along(lambda x: x - x.mean(0)), SQUARE),
    "largest of the batch": (lambda: Along(lambda x: x / x.abs().max()), SQUARE),
    "least of the batch": (lambda: Along(lambda x: x - x.min()), SQUARE),
    "grid of the batch": (lambda: Along(grid), SQUARE),
    "ranks in the batch": (lambda: Along(sorted_), SQUARE),
    "batch norm": (lambda: normed(nn.BatchNorm1d(WIDTH)), SQUARE),
    "batch norm of the batch": (
        lambda: normed(nn.BatchNorm1d(WIDTH, track_running_stats=False)),
        SQUARE,
    ),
    "group norm": (lambda: normed(nn.GroupNorm(2, WIDTH)), SQUARE),
    "encoder": (encoder, LONG),
    "CNN": (convolutional, IMAGES),
    "bfloat16": (lambda: normed(nn.LayerNorm(WIDTH)).bfloat16(), SQUARE),
    "float64": (lambda: normed(nn.LayerNorm(WIDTH)).double(), SQUARE),
    "dynamic quantization": (quantized, SQUARE),
    "experts of little capacity": (lambda: Experts(0.5), (40, WIDTH)),
    "experts of their share": (lambda: Experts(1.0), (40, WIDTH)),
    "experts of some capacity": (lambda: Experts(1.25), (40, WIDTH)),
    "experts of twice their share": (lambda: Experts(2.0), (8, WIDTH)),
    "experts of much capacity": (lambda: Experts(3.0), (8, WIDTH)),
    "experts of enough": (lambda: Experts(4.0), (40, WIDTH)),
}


@pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("at_once", [50, 9])
def test_a_sample_is_the_same_alone_and_among_others(
    name: str, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Forwards, "_at_once", lambda *_: at_once)
    torch.manual_seed(0)
    make, shape = MODELS[name]
    model, x = make(), torch.randn(shape)
    dtype = next((p.dtype for p in model.parameters()), x.dtype)
    words: dict[str, Any] = {"existing": True, "seed": 7, "keep_samples": True, "quantiles": ()}
    many = ng.predict(model, x.to(dtype), 50, **words).samples
    assert many is not None
    for k in range(50):
        alone = ng.predict(model, x.to(dtype), [k], **words).samples
        assert alone is not None
        scale = np.abs(alone).max()
        np.testing.assert_allclose(many[k], alone[0], 1e-4, 1e-5 * scale, err_msg=f"sample {k}")


@pytest.mark.parametrize("name", ["CNN", "float64", "LSTM, time first"])
def test_every_batch_of_a_loader_is_looked_at(name: str) -> None:
    torch.manual_seed(0)
    make, shape = MODELS[name]
    model, x = make(), torch.randn(shape).repeat(3, *[1] * (len(shape) - 1))[:-1]
    dtype = next(p.dtype for p in model.parameters())
    loader = torch.utils.data.DataLoader(x.to(dtype), batch_size=shape[0])  # type: ignore[arg-type]
    words: dict[str, Any] = {"existing": True, "seed": 7, "keep_samples": True, "quantiles": ()}
    if name == "LSTM, time first":  # batches are then parts of one sequence
        with pytest.warns(RuntimeWarning, match="depends on the others of its batch"):
            many = ng.predict(model, loader, 20, **words).samples
        warnings.simplefilter("ignore")
    else:
        many = ng.predict(model, loader, 20, **words).samples
    assert many is not None
    for k in (0, 1, 10, 18, 19):
        alone = ng.predict(model, loader, [k], **words).samples
        np.testing.assert_allclose(many[[k]], alone, 1e-4, 1e-5)


class Late(nn.Module):
    """Rows depend on each other, and only in batches whose first number is negative."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(0) if x.view(-1)[0] < 0 else x


def test_a_later_batch_that_is_another_case_is_found() -> None:
    x = torch.randn(12, 4).abs() + 9
    x[6] *= -1
    words: dict[str, Any] = {"input_noise": 0.5, "seed": 7, "batch_size": 6, "keep_samples": True}
    with pytest.warns(RuntimeWarning, match="depends on the others of its batch"):
        many = ng.predict(Late(), x, 20, **words).samples
    assert many is not None
    noisy = ng.GaussianNoise(0.5)(x, ng.Stream(7).site(":in").at(7))
    expected = torch.cat([noisy[:6], noisy[6:] - noisy[6:].mean(0)])
    np.testing.assert_allclose(many[7], expected, atol=1e-5)
