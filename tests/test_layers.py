"""Every layer and its function: names, forms of input, arguments that change, in place."""

import copy
import inspect
import io
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import noisegate as ng
from _asserts import assert_same_bits
from noisegate.core.catalogue import LAYERS
from noisegate.core.kinds import KINDS
from noisegate.torch.application import device_of_noise

KEY, MAPS = ng.Stream(13).site("a").at(0), (4, 3, 6, 8)
LAST = {"p": 0.3, "data_format": "channels_last"}

# A layer by its arguments; a shape that it takes; the kind that it is.
CASES: list[tuple[str, dict[str, Any], tuple[int, ...], ng.Kind]] = [
    ("Dropout", {"p": 0.3}, (4, 5), ng.Dropout(0.3)),
    ("Dropout1d", {"p": 0.3}, (4, 3, 8), ng.Dropout(0.3, shared_axes=2)),
    ("Dropout2d", {"p": 0.3}, MAPS, ng.Dropout(0.3, shared_axes=(2, 3))),
    ("Dropout3d", {"p": 0.3}, (4, 3, 2, 6, 8), ng.Dropout(0.3, shared_axes=(2, 3, 4))),
    ("AlphaDropout", {"p": 0.3}, (4, 5), ng.AlphaDropout(0.3)),
    ("FeatureAlphaDropout", {"p": 0.3}, MAPS, ng.AlphaDropout(0.3, shared_axes=(2, 3))),
    ("SpatialDropout1D", LAST, (4, 8, 3), ng.Dropout(0.3, shared_axes=1)),
    ("SpatialDropout2D", {"p": 0.3}, MAPS, ng.Dropout(0.3, shared_axes=(2, 3))),
    (
        "SpatialDropout2D",
        {"p": 0.3, "dim_ordering": "tf"},
        MAPS,
        ng.Dropout(0.3, shared_axes=(1, 2)),
    ),
    (
        "SpatialDropout3D",
        {"p": 0.3, "data_format": "th"},
        (4, 3, 2, 6, 8),
        ng.Dropout(0.3, shared_axes=(2, 3, 4)),
    ),
    ("DropoutChannels", {"p": 0.3}, (4, 3, 8), ng.Dropout(0.3, shared_axes=2)),
    ("DropoutLocations", LAST, MAPS, ng.Dropout(0.3, shared_axes=3)),
    ("DropPath", {"p": 0.3}, MAPS, ng.Dropout(0.3, shared_axes=(1, 2, 3))),
    ("LockedDropout", {"p": 0.3, "time_axis": 1}, (4, 9, 5), ng.Dropout(0.3, shared_axes=1)),
    ("GaussianDropout", {"p": 0.3}, (4, 5), ng.GaussianDropout(0.3)),
    ("GaussianNoise", {"sigma": 0.3}, (4, 5), ng.GaussianNoise(0.3)),
    ("UniformNoise", {"width": 0.3}, (4, 5), ng.UniformNoise(0.3)),
    ("ImpulseNoise", {"p": 0.3, "low": 0, "high": 1}, (4, 5), ng.ImpulseNoise(0.3, 0, 1)),
    ("DropBlock", {"p": 0.3, "block_size": 2}, MAPS, ng.DropBlock(0.3, 2)),
    ("DropKey", {"p": 0.3}, (4, 5), ng.DropKey(0.3)),
    ("DropBlock1d", {"p": 0.3, "block_size": 2}, (4, 3, 8), ng.DropBlock(0.3, 2)),
    ("DropBlock2d", {"p": 0.3, "block_size": (2, 3)}, MAPS, ng.DropBlock(0.3, (2, 3))),
    ("DropBlock3d", {"p": 0.3, "block_size": 2}, (4, 3, 2, 6, 8), ng.DropBlock(0.3, 2)),
    ("MultiplicativeUniformNoise", {"width": 0.3}, (4, 5), ng.MultiplicativeUniformNoise(0.3)),
    ("SpeckleNoise", {"sigma": 0.3}, (4, 5), ng.SpeckleNoise(0.3)),
    ("NeftuneNoise", {"alpha": 0.3}, (4, 5, 6), ng.NeftuneNoise(0.3)),
    ("ShotNoise", {"scale": 0.3}, (4, 5), ng.ShotNoise(0.3)),
    ("QuantizationNoise", {"p": 0.3, "bits": 4}, (4, 5), ng.QuantizationNoise(0.3, 4)),
    ("RandomErasing", {"p": 0.3, "fill": 2.0}, MAPS, ng.RandomErasing(0.3, fill=2)),
    ("SpanMask", {"p": 0.3, "size": 5, "count": 2}, (4, 3, 8), ng.SpanMask(0.3, 5, 2)),
    ("Zoneout", {"p": 0.3}, (4, 5), ng.Zoneout(0.3)),
    ("PatchDropout", {"p": 0.3, "prefix": 2}, (4, 9, 8), ng.PatchDropout(0.3, 2)),
]
each_case = pytest.mark.parametrize(
    ("name", "words", "shape", "kind"), CASES, ids=[f"{c[0]}-{i}" for i, c in enumerate(CASES)]
)


def layer(name: str, words: dict[str, Any], **more: Any) -> Any:
    return getattr(ng.torch, name)(**words, **more)


def function(name: str) -> Callable[..., Tensor]:
    return getattr(ng.torch, LAYERS[name].function)


def noised(name: str, *args: Any, **words: Any) -> Tensor:
    """Return what a function of a layer gives in training: of two of torch's no default."""
    return function(name)(*args, **words, training=True)


def test_every_layer_has_a_case_and_every_kind_a_layer() -> None:
    assert {case[0] for case in CASES} | {"ConcreteDropout"} == set(LAYERS)
    assert set(KINDS) <= set(LAYERS)
    for name, definition in LAYERS.items():
        made = getattr(ng.torch, name)
        assert issubclass(made, ng.torch.NoiseLayer)
        assert made.__name__ == name
        assert made.definition is definition
        assert function(name).__name__ == definition.function
        assert {name, definition.function} <= set(ng.torch.__all__)
        ours = ["seed", "site", "sample_axis"]
        words = [*definition.parameters, *ours] + ["inplace"] * definition.inplace
        assert set(inspect.signature(made).parameters) == set(words)
        words = [*definition.parameters, "x", "training", "key", "rows", "sample_axis"]
        words += ["inplace"] * definition.inplace
        assert set(inspect.signature(function(name)).parameters) == set(words)


@pytest.mark.parametrize(
    "name",
    ["Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout"],
)
def test_torch_s_layers_take_torch_s_arguments_in_torch_s_order(name: str) -> None:
    theirs = list(inspect.signature(getattr(nn, name)).parameters.values())
    ours = list(inspect.signature(getattr(ng.torch, name)).parameters.values())[: len(theirs)]
    assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs]
    torch_function = getattr(nn.functional, LAYERS[name].function)
    theirs = list(inspect.signature(torch_function).parameters.values())[1:]
    ours = list(inspect.signature(function(name)).parameters.values())
    assert ours[0].name == "x"
    assert [(p.name, p.default) for p in ours[1:4]] == [(p.name, p.default) for p in theirs]
    assert repr(getattr(ng.torch, name)(0.25, True)) == repr(getattr(nn, name)(0.25, True))


@each_case
def test_a_layer_and_its_function_are_their_kind(
    name: str, words: dict[str, Any], shape: tuple[int, ...], kind: ng.Kind
) -> None:
    x = torch.randn(shape).abs()
    expected = kind(x, KEY)
    assert not torch.equal(expected, x)
    assert_same_bits(layer(name, words, seed=13, site="a")(x), expected)
    assert_same_bits(noised(name, x, **words, key=KEY), expected)
    out, cache = ng.numpy.forward(kind, x.numpy(), rng=KEY)
    assert_same_bits(out, expected.numpy())
    leaf = x.clone().requires_grad_()
    (grad,) = torch.autograd.grad(noised(name, leaf, **words, key=KEY).sum(), leaf)
    assert_same_bits(ng.numpy.backward(np.ones_like(out), cache), grad.numpy())


@each_case
def test_layers_in_training_and_not(
    name: str, words: dict[str, Any], shape: tuple[int, ...], kind: ng.Kind
) -> None:
    module, x = layer(name, words), torch.randn(shape).abs()
    torch.manual_seed(7)
    first = module(x)
    torch.manual_seed(7)
    assert_same_bits(noised(name, x, **words), first)
    assert module.eval()(x) is x
    assert function(name)(x, **words, training=False) is x
    assert module.state_dict() == {}
    none = {**words, kind.RATE: 0.0}
    state = torch.get_rng_state()
    assert layer(name, none)(x) is x
    assert noised(name, x, **none) is x
    assert_same_bits(torch.get_rng_state(), state)


@each_case
def test_layers_survive_a_file(
    name: str, words: dict[str, Any], shape: tuple[int, ...], kind: ng.Kind
) -> None:
    module = layer(name, words, seed=13, site="a")
    module.step = 5
    file = io.BytesIO()
    torch.save(nn.Sequential(module), file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)[0]
    for other in (loaded, copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert repr(other) == repr(module)
        assert other.step == 5
        x = torch.randn(shape).abs()
        assert_same_bits(other(x), kind(x, ng.Stream(13).site("a").at(5)))


@each_case
def test_the_rate_may_be_changed_between_calls(
    name: str, words: dict[str, Any], shape: tuple[int, ...], kind: ng.Kind
) -> None:
    module, x = layer(name, words, seed=13, site="a"), torch.randn(shape).abs()
    rate = kind.RATE
    assert getattr(module, rate) == 0.3
    module(x)
    setattr(module, rate, 0.7)
    assert getattr(module, rate) == 0.7
    stronger = ng.from_config({**kind.config(), rate: 0.7})
    assert_same_bits(module(x), stronger(x, ng.Stream(13).site("a").at(1)))
    assert f"{rate}=0.7" in repr(module)
    with pytest.raises(ng.NoisegateError):
        setattr(module, rate, -1)
    assert getattr(module, rate) == 0.7  # nothing is lost


def test_other_arguments_may_be_changed_too() -> None:
    module = ng.torch.SpatialDropout2D(0.3, seed=13, site="a")
    module.data_format = "channels_last"
    assert module.kind == ng.spatial_dropout(0.3, "channels_last")
    block = ng.torch.DropBlock2d(0.3, 2)
    block.block_size = 5
    assert block.kind == ng.DropBlock(0.3, 5)
    with pytest.raises(AttributeError, match="no setter"):
        block.kind = ng.Dropout(0.5)
    with pytest.raises(AttributeError, match="keep_prob"):
        block.keep_prob  # noqa: B018


# Forms of input ------------------------------------------------------------------------------


def test_unbatched_input_has_no_samples() -> None:
    x = torch.ones(3, 8)
    y = ng.torch.dropout1d(x, 0.5, key=KEY)
    expected = ng.mask(ng.Dropout(0.5, shared_axes=1), (3, 8), KEY, sample_axis=None)
    assert_same_bits(y != 0, torch.from_numpy(expected.copy()))
    x = torch.ones(3, 2, 4, 5)
    y = ng.torch.dropout3d(x, 0.5, key=KEY)
    expected = ng.mask(ng.Dropout(0.5, shared_axes=(1, 2, 3)), x.shape, KEY, sample_axis=None)
    assert_same_bits(y != 0, torch.from_numpy(expected.copy()))


def test_rank_3_is_samples_channels_length_for_dropout2d_as_in_torch() -> None:
    y = ng.torch.dropout2d(torch.ones(50, 3, 8), 0.5, key=KEY)
    assert (y == y[:, :, :1]).all()
    assert (y != y[:, :1]).any()


def test_a_sample_axis_given_wins() -> None:
    x = torch.ones(8, 3, 5)
    kind = ng.Dropout(0.5, shared_axes=-1)
    y = ng.torch.dropout1d(x, 0.5, key=KEY, sample_axis=1)
    assert_same_bits(y, kind(x, KEY, sample_axis=1))
    module = ng.torch.Dropout1d(0.5, seed=13, site="a", sample_axis=None)
    assert_same_bits(module(x), kind(x, KEY, sample_axis=None))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("Dropout1d", [(3,), (2, 3, 4, 5)]),
        ("Dropout2d", [(3, 4), (2, 3, 4, 5, 6)]),
        ("Dropout3d", [(3, 4, 5), (2, 3, 4, 5, 6, 7)]),
        ("FeatureAlphaDropout", [(3,), ()]),
        ("SpatialDropout1D", [(3, 4), (2, 3, 4, 5)]),
        ("SpatialDropout2D", [(3, 4, 5), (2, 3, 4, 5, 6)]),
        ("SpatialDropout3D", [(2, 3, 4, 5)]),
        ("DropoutChannels", [(3,), ()]),
        ("DropoutLocations", [(3,)]),
        ("DropBlock1d", [(3, 4), (2, 3, 4, 5)]),
        ("DropBlock2d", [(2, 3, 4), (2, 3, 4, 5, 6)]),
        ("DropBlock3d", [(2, 3, 4, 5)]),
    ],
)
def test_a_wrong_rank_is_refused_before_anything_is_drawn(
    name: str, shapes: list[tuple[int, ...]], training: bool
) -> None:
    words = next(case[1] for case in CASES if case[0] == name)
    fresh, seeded = layer(name, words), layer(name, words, seed=1, site="a")
    state = torch.get_rng_state()
    for shape in shapes:
        for call in (fresh.train(training), seeded.train(training)):
            with pytest.raises(ng.InvalidValue, match="the input must have the shape") as caught:
                call(torch.ones(shape))
            assert str(caught.value).endswith(f"got {shape}.")
        with pytest.raises(ng.InvalidValue, match="the input must have the shape"):
            function(name)(torch.ones(shape), **words, training=training)
    assert seeded.step == 0
    assert_same_bits(torch.get_rng_state(), state)


# In place ------------------------------------------------------------------------------------

each_inplace = pytest.mark.parametrize(
    ("name", "words", "shape", "kind"), [case for case in CASES if LAYERS[case[0]].inplace]
)


@each_inplace
def test_in_place(name: str, words: dict[str, Any], shape: tuple[int, ...], kind: ng.Kind) -> None:
    x = torch.randn(shape)
    expected = kind(x, KEY)
    mine = x.clone()
    assert layer(name, words, inplace=True, seed=13, site="a")(mine) is mine
    assert_same_bits(mine, expected)
    mine = x.clone()
    assert noised(name, mine, **words, inplace=True, key=KEY) is mine
    assert_same_bits(mine, expected)
    leaf = torch.randn(shape, requires_grad=True)
    with pytest.raises(ng.InvalidValue, match="overwrite a leaf tensor that requires grad"):
        layer(name, words, inplace=True, seed=13, site="a")(leaf)
    with torch.no_grad():
        layer(name, words, inplace=True)(leaf)
    # Of what is no leaf, gradients are those of the copy.
    weights, leaf = torch.randn(shape), torch.randn(shape, requires_grad=True)
    y = noised(name, leaf * 2, **words, inplace=True, key=KEY)
    (grad,) = torch.autograd.grad((y * weights).sum(), leaf)
    other = noised(name, leaf * 2, **words, key=KEY)
    assert_same_bits(grad, torch.autograd.grad((other * weights).sum(), leaf)[0])


def test_in_place_may_be_switched_and_eval_leaves_the_input() -> None:
    module = ng.torch.Dropout(0.5, inplace=True)
    x = torch.ones(4, 5)
    assert module.eval()(x) is x
    assert (x == 1).all()
    module.train().inplace = False
    assert module(x) is not x
    assert (x == 1).all()


# Any kind ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [case[3] for case in CASES], ids=repr)
def test_the_layer_of_a_kind(kind: ng.Kind) -> None:
    module = ng.torch.layer(kind, seed=13, site="a")
    assert type(module) is getattr(ng.torch, type(kind).__name__)
    assert module.kind == kind
    assert ng.torch.NoiseLayer(kind).kind == kind
    assert repr(ng.torch.NoiseLayer(kind)) == f"NoiseLayer({kind!r})"


# Concrete dropout ----------------------------------------------------------------------------


def test_concrete_dropout_learns_its_rate() -> None:
    torch.manual_seed(0)
    noise, linear = ng.torch.ConcreteDropout(0.3, seed=13, site="a"), nn.Linear(20, 1)
    assert list(noise.state_dict()) == ["p_logit"]
    x = torch.randn(256, 20)
    y = x[:, :1]  # 19 of 20 inputs are of no use, and noise only hurts
    optimizer = torch.optim.Adam([*noise.parameters(), *linear.parameters()], 0.05)
    for _ in range(150):
        loss = (linear(noise(x)) - y).square().mean() + noise.regularization(linear)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert noise.p < 0.1
    strong = ng.torch.ConcreteDropout(0.3)
    for _ in range(150):
        optimizer = torch.optim.SGD(strong.parameters(), 0.05)
        optimizer.zero_grad()
        strong.regularization(linear, 0.0, 1.0).backward()
        optimizer.step()
    torch.testing.assert_close(strong.p.detach(), torch.tensor(0.5), atol=1e-3, rtol=0)


def test_the_regularization_of_concrete_dropout() -> None:
    noise = ng.torch.ConcreteDropout(0.2)
    for module, inputs in ((nn.Linear(5, 3), 5), (nn.Conv2d(6, 4, 3, groups=2), 6)):
        square = module.weight.square().sum()
        entropy = 0.2 * np.log(0.2) + 0.8 * np.log(0.8)
        expected = 1e-3 * square / 0.8 + 2e-3 * inputs * entropy
        torch.testing.assert_close(noise.regularization(module, 1e-3, 2e-3), expected)


def test_concrete_dropout_is_its_kind_at_the_rate_it_has() -> None:
    noise = ng.torch.ConcreteDropout(0.2, 0.3, seed=13, site="a")
    x = torch.randn(4, 5)
    rate = noise.p_logit.sigmoid().detach()
    assert_same_bits(noise(x).detach(), ng.ConcreteDropout(0.1, 0.3)(x, KEY, p=rate))
    assert noise.eval()(x) is x
    function = ng.torch.concrete_dropout(x, rate, temperature=0.3, key=KEY)
    assert_same_bits(function, ng.ConcreteDropout(0.1, 0.3)(x, KEY, p=rate))
    out, cache = ng.numpy.forward(ng.ConcreteDropout(0.2, 0.3), x.numpy(), rng=KEY)
    gain = ng.noise(ng.ConcreteDropout(0.2, 0.3), x.shape, KEY).gain
    assert_same_bits(out, x.numpy() * gain)
    assert_same_bits(ng.numpy.backward(np.ones_like(out), cache), gain)
    noise.p = 0.6
    assert repr(noise) == "ConcreteDropout(p=0.6, temperature=0.3, seed=13, site='a')"
    noise.temperature = 0.5
    assert noise.kind.temperature == 0.5
    for other in (copy.deepcopy(noise), pickle.loads(pickle.dumps(noise))):
        other.train()
        x = torch.randn(4, 5)
        noise.train().step = other.step
        assert_same_bits(other(x), noise(x))
    maps = ng.torch.ConcreteDropout(shared_axes=slice(2, None))
    gain = maps(torch.ones(2, 3, 4, 4))
    assert (gain == gain[:, :, :1, :1]).all()


# Devices without float64 ---------------------------------------------------------------------


def test_noise_for_devices_without_float64_is_made_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert device_of_noise(torch.device("cpu")) == torch.device("cpu")
    assert device_of_noise(torch.device("mps")) == torch.device("cpu")
    assert device_of_noise(torch.device("cuda", 1)) == torch.device("cuda", 1)
    for precise in (True, False):
        capability = {"has_fp64": precise}
        monkeypatch.setattr(torch.xpu, "get_device_capability", lambda _, c=capability: c)
        where = device_of_noise(torch.device("xpu"))
        assert where == torch.device("xpu" if precise else "cpu")
