"""Nested tensors of jagged layout: each sample has the noise of its row in the padded batch."""

import warnings
from collections.abc import Callable
from math import prod
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import noisegate as ng
from _asserts import assert_same_bits, assert_sentence
from _functional import key
from _own_kinds import OWN
from _programs import KINDS as PLAIN

LENGTHS = (3, 0, 5, 1)
# NEFTune and PatchDropout go by a sample's own length, which a padded batch has another of.
SAME = [kind for kind in PLAIN if not isinstance(kind, ng.NeftuneNoise | ng.PatchDropout)]
KINDS = [*SAME, ng.Dropout(0.5, shared_axes=0), ng.DropBlock(0.2, 2, axes=(1, 2))]
EVERY_KIND = pytest.mark.parametrize("kind", KINDS, ids=repr)


def jag(parts: list[Tensor]) -> Tensor:
    return torch.nested.as_nested_tensor(parts, layout=torch.jagged)


def make(*lengths: int, rest: tuple[int, ...] = (6,), dtype: torch.dtype = torch.float32) -> Tensor:
    torch.manual_seed(0)
    return jag([torch.randn(n, *rest).to(dtype) for n in lengths or LENGTHS])


def pad(x: Tensor, length: int = 7) -> Tensor:
    """Return the padded batch, with more padding than the longest sample needs."""
    parts = x.unbind()
    padded = torch.zeros(len(parts), length, *x.shape[2:], dtype=x.dtype)
    for row, part in zip(padded, parts, strict=True):
        row[: len(part)] = part
    return padded


def assert_rows_of(nested: Tensor, padded: Tensor) -> None:
    parts = nested.unbind()
    assert len(parts) == len(padded)
    for part, row in zip(parts, padded, strict=True):
        assert_same_bits(part.detach(), row[: len(part)].detach())


@EVERY_KIND
def test_a_sample_has_the_noise_of_its_row_in_the_padded_batch(kind: ng.Kind) -> None:
    x = make().requires_grad_()
    dense = pad(x.detach()).requires_grad_()
    y, expected = kind(x, key("a")), kind(dense, key("a"))
    assert_rows_of(y, expected)
    # Other nested tensors of the same structure go on to fit.
    assert (y + x).shape == x.shape
    weight = torch.randn(6)
    (y * weight).values().sum().backward()
    (expected * weight).sum().backward()
    assert x.grad is not None
    assert dense.grad is not None
    assert_rows_of(x.grad, dense.grad)


@pytest.mark.parametrize("rest", [(), (2, 3)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16, torch.complex64])
def test_any_dtype_and_rank(dtype: torch.dtype, rest: tuple[int, ...]) -> None:
    x = make(rest=rest, dtype=dtype)
    assert_rows_of(ng.Dropout(0.5)(x, key("a")), ng.Dropout(0.5)(pad(x), key("a")))


def test_whole_numbers() -> None:
    x = make(dtype=torch.int64)
    kind = ng.ImpulseNoise(0.5, 0, 9)
    assert_rows_of(kind(x, key("a")), kind(pad(x), key("a")))


@EVERY_KIND
def test_rows_name_the_samples(kind: ng.Kind) -> None:
    x, ids = make(), [7, 2**40, 3, 0]
    assert_rows_of(kind(x, key("a"), rows=ids), kind(pad(x), key("a"), rows=ids))
    # A sample has the same noise among others.
    alone = kind(make(3), key("a"), rows=[7])
    assert_same_bits(alone.unbind()[0], kind(x, key("a"), rows=ids).unbind()[0])


@pytest.mark.parametrize("lengths", [(0, 0), (0,), (4,)])
@EVERY_KIND
def test_empty_and_lone_samples(kind: ng.Kind, lengths: tuple[int, ...]) -> None:
    x = make(*lengths)
    assert_rows_of(kind(x, key("a")), kind(pad(x), key("a")))


def test_a_batch_without_samples() -> None:
    x = torch.nested.nested_tensor_from_jagged(torch.randn(0, 6), torch.tensor([0]))
    for kind in KINDS:
        assert kind(x, key("a")).values().shape == (0, 6)


def test_a_share_of_each_sample_counts_the_sample_alone() -> None:
    """With normalize="sample" the padding would count as kept."""
    for kind in (ng.DropBlock(0.3, 2, axes=(1,), normalize="sample"), ng.PatchDropout(0.5)):
        x, y = make(), kind(make(), key("a"))
        for row, (part, given) in enumerate(zip(y.unbind(), x.unbind(), strict=True)):
            assert_same_bits(part, kind(given[None], key("a"), rows=[row])[0])


@pytest.mark.parametrize("shape", [(), (6,), (4, 1, 1), (4, 5, 6)])
def test_live_rates(shape: tuple[int, ...]) -> None:
    x = make()
    given = [torch.full(shape, 0.3, requires_grad=True) for _ in range(2)]
    y = ng.torch.concrete_dropout(x, given[0], key=key("a"))
    expected = ng.torch.concrete_dropout(pad(x, 5), given[1], key=key("a"))
    assert_rows_of(y, expected)
    y.values().sum().backward()
    sum(row[:n].sum() for row, n in zip(expected, LENGTHS, strict=True)).backward()
    assert given[0].grad is not None
    torch.testing.assert_close(given[0].grad, given[1].grad)


@pytest.mark.parametrize("shape", [(), (4, 1, 1), (4, 5, 6)])
@pytest.mark.parametrize("kind", [make() for make in OWN], ids=repr)
def test_a_live_rate_of_an_own_kind(kind: ng.Kind, shape: tuple[int, ...]) -> None:
    x, live = make(), {kind.RATE: torch.linspace(0.1, 0.6, max(1, prod(shape))).reshape(shape)}
    assert not kind.elementwise
    assert_rows_of(kind(x, key("a"), **live), kind(pad(x, 5), key("a"), **live))


def test_a_rate_that_is_nested_is_refused() -> None:
    x = make()
    sentence = "Dropout: `p` must be a number or a dense tensor; got a nested one."
    with assert_sentence(ng.InvalidType, sentence):
        ng.torch.dropout(x, x.abs(), key=key("a"))


LAYERS: list[Callable[..., nn.Module]] = [
    ng.torch.Dropout,
    ng.torch.GaussianNoise,
    lambda p, **words: ng.torch.LockedDropout(p, 1, **words),
    ng.torch.ConcreteDropout,
    ng.torch.Dropout1d,
]


@pytest.mark.parametrize("make_layer", LAYERS)
def test_layers(make_layer: Callable[..., nn.Module]) -> None:
    x = make()
    layer, other = (make_layer(0.5, seed=1, site="a") for _ in range(2))
    for _ in range(2):
        assert_rows_of(layer(x), other(pad(x)))
    assert layer.step == 2
    assert_rows_of(layer(x, rows=[4, 3, 2, 1]), other(pad(x), rows=[4, 3, 2, 1]))
    assert layer.eval()(x) is x
    assert layer(x, rows=[4, 3, 2, 1]) is x
    with pytest.raises(ng.InvalidValue, match="`rows` must name each of the 4 samples"):
        layer(x, rows=[4, 3])


def test_a_layer_in_place() -> None:
    x = make()
    expected = ng.Dropout(0.5)(x, key("a"))
    y = ng.torch.Dropout(0.5, inplace=True, seed=1, site="a")(x)
    assert y is x
    assert_same_bits(x.values(), expected.values())


def test_without_noise_the_same_object_comes_back() -> None:
    x = make()
    assert ng.Dropout(0.0)(x, key("a")) is x
    assert ng.torch.dropout(x, 0.0) is x
    assert ng.torch.dropout(x, 0.5, training=False) is x
    assert ng.torch.Dropout(0.0, seed=1, site="a")(x) is x


def test_functions_draw_by_torchs_generator() -> None:
    x, outputs = make(), []
    for _ in range(2):
        torch.manual_seed(3)
        outputs.append(ng.torch.gaussian_noise(x, 0.5).values())
    assert_same_bits(*outputs)
    assert not torch.equal(outputs[0], x.values())


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.hid, self.drop, self.last = nn.Linear(6, 8), nn.Dropout(0.3), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.drop(self.hid(x).relu()))


RULES: list[dict[str, Any]] = [
    {"rules": {"hid:out": 0.5, "last:in": ng.GaussianNoise(0.3), ":in": 0.2, "drop:dropout": 0}},
    {"existing": True},
]


@pytest.mark.parametrize("words", RULES)
def test_noise_in_models(words: dict[str, Any]) -> None:
    x, (model, other) = make(), (Net(), Net())
    noise, expected = ng.inject(model, seed=1, **words), ng.inject(other, seed=1, **words)
    for rows in (None, None, [9, 2, 5, 1]):
        noise.rows = expected.rows = rows
        y, dense = model(x), other(pad(x))
        for part, row in zip(y.unbind(), dense, strict=True):
            # torch's products of matrices may round by the number of rows.
            torch.testing.assert_close(part, row[: len(part)], rtol=1e-5, atol=1e-6)
        assert not torch.equal(y.values(), model.eval()(x).values())
        model.train()
    assert noise.step == 3
    with noise.at(1), expected.at(1):
        y, dense = model(x), other(pad(x))
    for part, row in zip(y.unbind(), dense, strict=True):
        torch.testing.assert_close(part, row[: len(part)], rtol=1e-5, atol=1e-6)
    model.eval()
    clean = Net().eval()
    assert_same_bits(model(x).values().detach(), clean(x).values().detach())


def test_a_strided_nested_tensor_inside_a_model_hinders_no_other_site() -> None:
    class Joined(Net):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(torch.cat(x.unbind()))

    model = Joined()
    noise = ng.inject(model, {"hid:out": 0.5}, seed=1)
    y = model(strided())
    assert y.shape == (8, 2)
    assert noise.step == 1


@pytest.mark.parametrize("rules", [{":in": 0.5}, {"hid:out": 0.5}])
def test_masks_and_the_report_have_the_shape_of_the_padded_batch(rules: dict[str, Any]) -> None:
    x, (model, other) = make(), (Net(), Net())
    noise, expected = ng.inject(model, rules, seed=1), ng.inject(other, rules, seed=1)
    model(x)
    other(pad(x, 5))
    (site,) = noise.sites
    assert (noise.mask(site) == expected.mask(site)).all()
    assert "(4, 5, " in str(noise.report())


# Refusals --------------------------------------------------------------------------------------


def strided() -> Tensor:
    with warnings.catch_warnings():  # torch recommends the jagged layout
        warnings.simplefilter("ignore")
        return torch.nested.as_nested_tensor([torch.randn(3, 6), torch.randn(5, 6)])


STRIDED = (
    "{}: a nested tensor must have the layout torch.jagged; got torch.strided. Make it with "
    "torch.nested.nested_tensor(parts, layout=torch.jagged)."
)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("Dropout", lambda x: ng.Dropout(0.5)(x, key("a"))),
        ("Dropout", lambda x: ng.torch.dropout(x, 0.5)),
        ("Dropout", lambda x: ng.torch.dropout(x, 0.0)),
        ("Dropout", ng.torch.Dropout(0.5)),
        ("Dropout1d", ng.torch.Dropout1d(0.5)),
        ("Dropout", ng.torch.Dropout(0.0, seed=1, site="a")),
    ],
)
def test_the_strided_layout_is_refused(name: str, call: Callable[[Tensor], Tensor]) -> None:
    with assert_sentence(ng.InvalidType, STRIDED.format(name)):
        call(strided())


@pytest.mark.parametrize("axis", [1, 2, -1, None, "attention"])
def test_other_sample_axes_are_refused(axis: Any) -> None:
    sentence = (
        "Dropout: the samples of a nested tensor lie on axis 0; got sample_axis={!r}. "
        "Leave `sample_axis` out."
    )
    with assert_sentence(ng.InvalidValue, sentence.format(axis)):
        ng.Dropout(0.5)(make(), key("a"), sample_axis=axis)
    y = ng.Dropout(0.5)(make(), key("a"), sample_axis=-3)
    assert_same_bits(y.values(), ng.Dropout(0.5)(make(), key("a")).values())


def test_other_ragged_axes_and_holes_are_refused() -> None:
    holes = torch.nested.narrow(
        torch.randn(3, 5, 6),
        1,
        torch.tensor([0, 1, 2]),
        torch.tensor([3, 2, 1]),
        layout=torch.jagged,
    )
    for x in (make().transpose(1, 2), holes):
        sentence = (
            "Dropout: a nested tensor must be contiguous, of shape (samples, ragged, ...); got "
            f"{tuple(x.shape)}. Put the noise before x.transpose(), or on x.contiguous()."
        )
        with assert_sentence(ng.InvalidValue, sentence):
            ng.Dropout(0.5)(x, key("a"))
    assert_rows_of(
        ng.Dropout(0.5)(holes.contiguous(), key("a")), ng.Dropout(0.5)(pad(holes), key("a"))
    )


def test_rows_name_each_sample_once() -> None:
    sentence = "Dropout: `rows` must name each of the 4 samples of the input once; got 2 rows."
    with assert_sentence(ng.InvalidValue, sentence):
        ng.Dropout(0.5)(make(), key("a"), rows=[1, 2])


class Attends(nn.Module):
    def forward(self, q: Tensor) -> Tensor:
        return torch.nn.functional.scaled_dot_product_attention(
            q, q, q, dropout_p=0.1 * self.training
        )


@pytest.mark.parametrize("rule", [":scores", ":heads", ":probs"])
def test_noise_inside_of_an_attention_takes_none(rule: str) -> None:
    parts = [torch.randn(length, 2, 4) for length in (3, 5)]
    x = torch.nested.nested_tensor(parts, layout=torch.jagged).transpose(1, 2)
    model = Attends()
    plain = model.eval()(x)
    model.train()
    example = (torch.ones(2, 2, 3, 4),)
    ng.inject(model, {rule: 0.5}, existing=True, example=example, seed=3)
    with assert_sentence(
        ng.InvalidType,
        "inject: noise inside of the attention in '' takes no nested tensors. Pad them with "
        "x.to_padded_tensor(0.0), and mask what is padded.",
    ):
        model(x)
    assert_same_bits(model.eval()(x).values(), plain.values())


def test_noise_on_a_branch_takes_none() -> None:
    block = nn.Sequential(nn.Linear(6, 6))
    model = nn.Sequential(block, nn.Identity())
    noise = ng.inject(model, {"0:branch": 0.5}, seed=3)
    with assert_sentence(
        ng.InvalidType,
        "inject: the block at '0:branch' must not be given a nested tensor. Pad it with "
        "x.to_padded_tensor(0.0), or leave the block out.",
    ):
        model(make())
    noise.off()
    assert model(make()).is_nested
