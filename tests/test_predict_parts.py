"""Any batch size gives the same samples, where sites see windows or positions too."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor, nn
from torch.utils.data import DataLoader

import noisegate as ng
from _asserts import assert_same_bits, assert_sentence

SMALL: dict[str, Any] = {"vocab_size": 50, "hidden_size": 16, "num_attention_heads": 2}
LAYERS: dict[str, Any] = {"num_hidden_layers": 2, "intermediate_size": 24}


def family(name: str) -> nn.Module:
    """Return a small model with dropouts in all places."""
    p: dict[str, Any] = {"hidden_dropout_prob": 0.2, "attention_probs_dropout_prob": 0.2}
    span: dict[str, Any] = {"relative_attention": True, "position_buckets": 4}
    span |= {"max_position_embeddings": 12, "pos_att_type": ["c2p", "p2c"]}
    makers: dict[str, Callable[[], Any]] = {
        "Swin": lambda: transformers.SwinConfig(
            image_size=16,
            patch_size=2,
            embed_dim=16,
            depths=[1, 2],
            num_heads=[2, 2],
            window_size=4,
            **p,
        ),
        "DebertaV2": lambda: transformers.DebertaV2Config(**SMALL, **LAYERS, **span, **p),
        "Deberta": lambda: transformers.DebertaConfig(**SMALL, **LAYERS, **span, **p),
        "OPT": lambda: transformers.OPTConfig(
            vocab_size=50,
            hidden_size=16,
            num_attention_heads=2,
            num_hidden_layers=2,
            ffn_dim=24,
            dropout=0.2,
            attention_dropout=0.2,
            max_position_embeddings=16,
            word_embed_proj_dim=16,
        ),
    }
    torch.manual_seed(0)
    made: nn.Module = getattr(transformers, f"{name}Model")._from_config(makers[name]())
    return made.eval()


def inputs(name: str, count: int) -> dict[str, Tensor]:
    torch.manual_seed(1)
    if name == "Swin":
        return {"pixel_values": torch.randn(count, 3, 16, 16)}
    return {"input_ids": torch.randint(50, (count, 5))}


FAMILIES = ("Swin", "DebertaV2", "Deberta", "OPT")
WORDS: dict[str, Any] = {"existing": True, "seed": 7, "keep_samples": True}


def samples(model: nn.Module, x: Any, steps: Any = 4, **words: Any) -> np.ndarray:
    found = ng.predict(model, x, steps, **{**WORDS, **words}).samples
    assert found is not None
    return found


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("size", [1, 2, 5, 6])
def test_families_give_the_samples_of_the_whole(name: str, size: int) -> None:
    model, x = family(name), inputs(name, 7)
    whole = samples(model, x)
    assert (whole.std(0) > 0).mean() > 0.9
    np.testing.assert_allclose(samples(model, x, batch_size=size), whole, atol=1e-5)


def test_a_loader_gives_the_samples_of_the_whole() -> None:
    model, x = family("Swin"), inputs("Swin", 7)
    images = [{"pixel_values": part} for part in x["pixel_values"].split(3)]
    np.testing.assert_allclose(samples(model, iter(images)), samples(model, x), atol=1e-5)


class Sites(nn.Module):
    """Dropout in a layout of its own: `there` makes it, `back` undoes it."""

    def __init__(self, there: Callable[[Tensor], Tensor], back: Callable[..., Tensor]) -> None:
        super().__init__()
        self.drop, self.there, self.back = nn.Dropout(0.3), there, back

    def forward(self, x: Tensor) -> Tensor:  # (samples, 4, 3)
        return self.back(self.drop(self.there(x)), x)


POSITIONS = torch.arange(12.0).reshape(4, 3) + 1
LAYOUTS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[..., Tensor]]] = {
    "tokens": (lambda x: x.reshape(-1, 3), lambda y, x: y.reshape(x.shape)),
    "windows": (lambda x: x.reshape(-1, 2, 3), lambda y, x: y.reshape(x.shape)),
    "positions": (lambda x: POSITIONS, lambda y, x: x + y),
    "positions twice": (lambda x: POSITIONS.repeat(2, 1), lambda y, x: x + y[:4] - y[4:]),
    "one for all": (lambda x: POSITIONS[:1], lambda y, x: x + y),
    "pairs": (lambda x: torch.cat([x, -x], 1).reshape(-1, 4, 3), lambda y, x: x + y[::2] + y[1::2]),
    "samples": (lambda x: x, lambda y, x: y),
}


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7])
def test_layouts_whose_samples_are_known_give_the_samples_of_the_whole(
    name: str, size: int
) -> None:
    model, x = Sites(*LAYOUTS[name]), torch.randn(8, 4, 3)
    key = ng.Stream(7).site("drop:dropout").at(3)
    there, back = LAYOUTS[name]
    whole = samples(model, x, 5)
    assert_same_bits(whole[3], back(ng.Dropout(0.3)(there(x), key, sample_axis=0), x))
    assert_same_bits(samples(model, x, 5, batch_size=size), whole)
    loader = DataLoader(x, batch_size=size)  # type: ignore[arg-type]
    assert_same_bits(samples(model, loader, [3])[0], whole[3])


def test_parts_that_quantiles_take_have_the_rows_of_the_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, x = Sites(*LAYOUTS["windows"]), torch.randn(8, 4, 3)
    whole = samples(model, x, 5)
    monkeypatch.setattr("noisegate.prediction.sampling.HELD", 3 * 5 * 12)
    assert_same_bits(samples(model, x, 5), whole)
    assert_same_bits(samples(model, x, 5, batch_size=5), whole)


UNCLEAR = (
    "predict: the site 'drop:dropout' sees {} samples, and the model's forward has {}; which "
    "belong to which is unclear, so that batches would not have the noise of the whole. Pass all "
    "samples as one tensor, without batch_size and with quantiles=(), or leave the site out, with "
    "existing=True by rules={{'drop:dropout': 0.0}}."
)


def turned(x: Tensor) -> Tensor:
    return x.transpose(0, 1).reshape(-1, 3)


def turned_back(y: Tensor, x: Tensor) -> Tensor:
    return y.reshape(4, -1, 3).transpose(0, 1)


def chosen(x: Tensor) -> Tensor:
    return x.reshape(-1, 3)[x.reshape(-1, 3)[:, 0] > 0]


def put_back(y: Tensor, x: Tensor) -> Tensor:
    flat = x.reshape(-1, 3).clone()
    flat[flat[:, 0] > 0] = y
    return flat.reshape(x.shape)


UNKNOWN: dict[str, tuple[Callable[[Tensor], Tensor], Callable[..., Tensor]]] = {
    "the batch last": (turned, turned_back),
    "some of the tokens": (chosen, put_back),
    "of the whole batch": (
        lambda x: x.reshape(-1, 3),
        lambda y, x: y.reshape(x.shape) - y.mean(),
    ),
}


@pytest.mark.parametrize(
    ("name", "size", "seen"),
    [
        ("the batch last", 1, 4),
        ("the batch last", 3, 12),
        ("some of the tokens", 1, 3),  # of the second batch: of the first it is one of one
        ("some of the tokens", 3, 5),
        ("of the whole batch", 1, 4),
        ("of the whole batch", 3, 12),
    ],
)
def test_a_site_whose_samples_are_not_known_is_refused(name: str, size: int, seen: int) -> None:
    torch.manual_seed(1)
    model, x = Sites(*UNKNOWN[name]), torch.randn(8, 4, 3)
    whole = samples(model, x, 5)
    with assert_sentence(ng.InvalidValue, UNCLEAR.format(seen, size)):
        samples(model, x, 5, batch_size=size)
    np.testing.assert_allclose(samples(model, x, 5, quantiles=()), whole)


def test_the_site_can_be_left_out() -> None:
    model, x = Sites(*UNKNOWN["the batch last"]), torch.randn(8, 4, 3)
    model.add_module("more", nn.Dropout(0.2))
    model.back = lambda y, x: model.more(turned_back(y, x))  # type: ignore[operator]
    out: dict[str, Any] = {"rules": {"drop:dropout": 0.0}}
    whole = samples(model, x, 5, **out)
    assert (whole.std(0) > 0).any()
    assert_same_bits(samples(model, x, 5, batch_size=3, **out), whole)


COUPLED = (
    "predict: the model's output for a sample depends on the others of its batch, without noise "
    "too, so its predictions depend on the batch size. For those of the whole, pass all samples as "
    "one tensor, without batch_size and with quantiles=()."
)


def test_models_whose_samples_depend_on_each_other_keep_their_batches() -> None:
    model = nn.Sequential(nn.Dropout(0.3), nn.BatchNorm1d(4, track_running_stats=False)).eval()
    x = torch.randn(12, 4)
    dropped = ng.Dropout(0.3)(x, ng.Stream(7).site("0:dropout").at(2))
    expected = torch.cat([model[1](part) for part in dropped.split(5)])
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = samples(model, x, 4, batch_size=5)
        samples(model, x, 4, batch_size=2)
        samples(model, x, 4, batch_size=5, shared_batch=True)
        samples(model, x, 4)
    np.testing.assert_allclose(found[2], expected.detach(), atol=1e-6)
    assert [(str(one.message), one.filename) for one in told] == 3 * [(COUPLED, __file__)]


def test_models_that_take_one_size_alone_keep_it() -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop = nn.Dropout(0.3)

        def forward(self, x: Tensor) -> Tensor:
            return self.drop(x.view(4, 3))

    x = torch.randn(8, 3)
    expected = ng.Dropout(0.3)(x, ng.Stream(7).site("drop:dropout").at(2))
    assert_same_bits(samples(Fixed(), x, 4, batch_size=4)[2], expected)


class Heads(nn.Module):
    """Attention of two heads, merged with the batch: behind it, or before it."""

    def __init__(self, first: bool) -> None:
        super().__init__()
        self.first = first

    def forward(self, x: Tensor) -> Tensor:  # (samples, 5, 8)
        heads = x.reshape(-1, 5, 2, 4).permute(2, 0, 1, 3)
        heads = heads if self.first else heads.transpose(0, 1)
        merged = heads.reshape(-1, 5, 4)
        weights = torch.softmax(merged @ merged.transpose(1, 2), -1)
        y = nn.functional.dropout(weights, 0.3, self.training) @ merged
        return y.reshape(heads.shape)[0] if self.first else y.reshape(heads.shape)[:, 0]


def test_heads_that_are_merged_with_the_batch() -> None:
    x = torch.randn(7, 5, 8)
    whole = samples(Heads(False), x)
    for size in (1, 2, 6):
        assert_same_bits(samples(Heads(False), x, batch_size=size), whole)
        with assert_sentence(
            ng.InvalidValue, UNCLEAR.format(2 * size, size).replace("drop:dropout", ":probs")
        ):
            samples(Heads(True), x, batch_size=size)


def test_shared_noise_is_the_same_for_windows_of_any_batch() -> None:
    model, x = Sites(*LAYOUTS["windows"]), torch.randn(8, 4, 3)
    whole = samples(model, x, 5, shared_batch=True)
    assert_same_bits(samples(model, x, 5, shared_batch=True, batch_size=3), whole)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_rounding_of_small_floats_is_no_other_noise(dtype: torch.dtype) -> None:
    model = family("OPT").to(dtype)
    x = inputs("OPT", 7)
    whole = samples(model, x)
    assert abs(samples(model, x, batch_size=3) - whole).max() < 0.1 * abs(whole).max()


def test_batches_of_another_axis_than_the_samples_are_refused() -> None:
    model, x = nn.Sequential(nn.Dropout(0.3)), torch.randn(6, 4, 3)
    key = ng.Stream(7).site("0:dropout").at(2)
    whole = samples(model, x, 4, sample_axis=1)
    assert_same_bits(whole[2], ng.Dropout(0.3)(x, key, sample_axis=1))
    with assert_sentence(
        ng.InvalidValue,
        "predict: batches are parts of the first axis of `x`, where sample_axis must then be 0; "
        "got 1. Pass all samples as one tensor, without batch_size and with quantiles=().",
    ):
        samples(model, x, 4, sample_axis=1, batch_size=2)


@pytest.mark.parametrize(
    ("layer", "shape"), [(nn.Dropout1d(0.5), (6, 4)), (nn.Dropout3d(0.5), (6, 4, 2, 2))]
)
def test_samples_that_a_module_takes_for_channels_have_their_rows(
    layer: nn.Module, shape: tuple[int, ...]
) -> None:
    model, x = nn.Sequential(nn.Identity(), layer), torch.ones(shape)
    whole = samples(model, x, 20)
    for size in (1, 2, 5):
        assert_same_bits(samples(model, x, 20, batch_size=size), whole)
    rule = {"1:dropout": ng.Dropout(0.5, shared_axes=slice(1, None))}
    assert_same_bits(samples(model, x, 20, rules=rule, batch_size=2), whole)


class OneByOne(nn.Module):
    """Gives each sample to a dropout by itself, without a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout1d(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.drop(sample) for sample in x])


def test_samples_that_come_one_by_one_have_rows_in_the_whole_alone() -> None:
    sentence = (
        "inject: the module at 'drop:dropout' takes a tensor of shape (6, 4) for one sample "
        "without a batch, so the rows of samples are not known there. Give the model all samples "
        "at once, or leave the site out by a rule, {'drop:dropout': 0.0}."
    )
    model, x = OneByOne(), torch.ones(5, 6, 4)
    samples(model, x, 20)
    with assert_sentence(ng.InvalidValue, sentence):
        samples(model, x, 20, batch_size=2)
    both = nn.Sequential(nn.Dropout(0.2), model)
    out: dict[str, Any] = {"rules": {"1.drop:dropout": 0.0}}
    assert_same_bits(samples(both, x, 20, batch_size=2, **out), samples(both, x, 20, **out))
    model.train()
    with ng.inject(model, existing=True, seed=1) as noise, noise.at(3):
        model(x[:4])
        with assert_sentence(ng.InvalidValue, sentence):
            model(x[4:])
