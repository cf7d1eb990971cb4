"""Arguments and variables of layers, copies of networks, configs, and files."""

import copy
import inspect
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from torch import Tensor, nn

import noisegate as ng
from _asserts import assert_same_bits
from noisegate import estimators, nets
from noisegate.nets import Dropout, Input, Linear, Network, Relu, from_config, join, load
from noisegate.nets.layer import LAYER_CLASSES as LAYERS

X = torch.randn(6, 10, generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(7)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "net.noisegate"


def words(make: Callable[[], Any]) -> str:
    """Return what makes a layer, as it is written here."""
    if make.__name__ != "<lambda>" or make.__defaults__:
        return str(make.__defaults__ or make.__name__)
    return inspect.getsource(make).strip().partition("lambda: ")[2].rstrip(",")


def network() -> Network:
    hidden = [Relu(5, name="fc{}") >> Dropout(0.5) for _ in range(2)]
    return join(Input(10), *hidden, nets.Sigmoid(1, name="last"))


def assert_same_network(actual: Network, expected: Network) -> None:
    """Layers, names, words, weights and what of them is trained."""
    assert repr(actual) == repr(expected)
    assert [repr(layer) for layer in actual] == [repr(layer) for layer in expected]
    assert str(actual.summary()) == str(expected.summary())
    weights, others = actual.state_dict(), expected.state_dict()
    assert list(weights) == list(others)
    for name, weight in weights.items():
        assert_same_bits(weight, others[name])
    trained = [
        [n for n, p in net.named_parameters() if p.requires_grad] for net in (actual, expected)
    ]
    assert trained[0] == trained[1]


def saved_and_loaded(net: Network, path: Path, **custom: Any) -> Network:
    net.save(path)
    found = load(path, custom=custom or None)
    assert_same_network(found, net)
    return found


# Variables -------------------------------------------------------------------------------------


def test_variables_of_a_layer() -> None:
    layer = network()["fc1"]
    assert {n: tuple(v.shape) for n, v in layer.variables.items()} == {
        "weight": (5, 10),
        "bias": (5,),
    }
    assert layer.variable(2, "number") is layer.number is layer.variables["number"]
    assert layer.variable(3.0, "filled", (2, 3)).tolist() == [[3.0] * 3] * 2
    assert layer.variable(np.arange(3.0), "array", trainable=False).tolist() == [0, 1, 2]
    assert layer.variable("glorot_uniform", "named", (4, 5)).shape == (4, 5)
    assert layer.variable(torch.ones, "ones", (4,)).tolist() == [1] * 4
    assert layer.variable(nn.init.ones_, "filler", (2, 3)).tolist() == [[1.0] * 3] * 2
    assert {n for n, _ in layer.named_buffers()} == {"array"}
    assert layer.number.requires_grad
    for shared in (Input(3), Dropout(0.5), nets.Flatten(), nets.TimeDistributed(Relu(3))):
        assert shared.variable(1.0, "extra").requires_grad
        assert list(shared.variables) == ["extra"]


def test_a_variable_is_trained_saved_and_made_again(path: Path) -> None:
    net = network()
    net["fc1"].variable(2.0, "scale")
    net["dropout-1"].variable([1.0, 2.0], "seen", trainable=False)
    loss = (net.output(X) * net["fc1"].scale).sum()
    (slope,) = torch.autograd.grad(loss, net["fc1"].scale)
    assert slope != 0
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    assert any(p is net["fc1"].scale for p in optimizer.param_groups[0]["params"])
    found = saved_and_loaded(net, path)
    assert isinstance(found["fc1"].scale, nn.Parameter)
    assert found["dropout-1"].seen.tolist() == [1, 2]


def test_a_variable_of_a_layer_without_parameters_yet() -> None:
    """Its name must not be one that the layer will have."""
    layer = Relu(5)
    layer.variable(2.0, "scale")
    joined = Input(3) >> layer
    assert list(joined.state_dict()) == ["relu-1.scale", "relu-1.weight", "relu-1.bias"]
    for name in ("weight", "bias"):
        with pytest.raises(ng.InvalidValue, match=rf"`name` must be .* got '{name}'"):
            Relu(5).variable(1.0, name)


def test_what_is_not_trained() -> None:
    net = Input(3) >> Relu(4, trainable=False, name="a") >> Linear(2, name="b")
    assert [n for n, p in net.named_parameters() if p.requires_grad] == ["b.weight", "b.bias"]
    net["a"].trainable = True
    assert all(p.requires_grad for p in net.parameters())


# Arguments -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Relu", "Dropout"])
def test_options_have_every_argument(name: str) -> None:
    kind = LAYERS[name]
    options = kind(0.5 if name == "Dropout" else 5).options
    call = inspect.signature(kind) if name == "Dropout" else kind.signature()
    assert set(call.parameters) - {"incoming"} <= set(options)
    for word, option in options.items():
        assert any(base.__name__ == option.class_name for base in kind.__mro__), word
        assert callable(option.check)


BAD = [
    (lambda: Relu(5), {"out_features": 0}),
    (lambda: Relu(5), {"bias": "yes"}),
    (lambda: Relu(5), {"trainable": 2}),
    (lambda: Relu(5), {"name": "a.b"}),
    (lambda: Relu(5), {"W_regularizer": "l9"}),
    (lambda: nets.Dense(5), {"activation": "rleu"}),
    (lambda: nets.Convolution2d(4, 3), {"out_channels": 0}),
    (lambda: nets.Convolution2d(4, 3), {"padding": "foo"}),
    (lambda: nets.LSTM(4), {"return_sequences": 2}),
    (lambda: nets.Concatenate(), {"axis": "last"}),
    (lambda: Dropout(0.5), {"p": 7}),
    (lambda: Dropout(0.5), {"inplace": "yes"}),
    (lambda: Dropout(0.5), {"shared_axes": "a"}),
    (lambda: Dropout(0.5, seed=1, site="a"), {"seed": -3}),
    (lambda: Dropout(0.5, seed=1, site="a"), {"site": 3}),
    (lambda: Dropout(0.5), {"seed": 3}),
]


@pytest.mark.parametrize(("make", "words"), BAD, ids=[words(make) for make, _ in BAD])
def test_a_bad_value_fails_when_it_is_assigned(
    make: Callable[[], Any], words: dict[str, Any]
) -> None:
    """As it does in the constructor, and nothing has changed."""
    ((name, value),) = words.items()
    for change in (lambda layer: setattr(layer, name, value), lambda y: y.set_params(**words)):
        layer = make()
        before = repr(layer), getattr(layer, name)
        with pytest.raises((ng.NoisegateError, ValueError)):
            change(layer)
        assert (repr(layer), getattr(layer, name)) == before


def test_arguments_may_change() -> None:
    layer = nets.Convolution2d(4, 3)
    assert layer.set_params(kernel_size=5, name="c") is layer
    assert (Input((2, 9, 9)) >> layer).output_shape == (None, 4, 5, 5)
    noise = Dropout(0.5)
    noise.p = 0.2
    assert set(noise.output(torch.ones(100), training=True).tolist()) == {0, 1.25}


def test_arguments_of_a_network() -> None:
    net = network()
    assert net.get_params(deep=False) == net.layers
    assert net.get_params()["dropout-1__p"] == 0.5
    assert net.set_params(**{"dropout-1__p": 0.25}) is net
    assert net["dropout-1"].p == 0.25
    with pytest.raises(ng.InvalidValue, match=r"Dropout: `p` must be in \[0, 1\]"):
        net.set_params(**{"dropout-1__p": 2})


MADE: list[Callable[[], Any]] = [
    lambda: Relu(5),
    lambda: Dropout(0.5),
    lambda: network()["fc1"],
    lambda: network()["dropout-1"],
    network,
]


@pytest.mark.parametrize("make", MADE, ids=map(words, MADE))
def test_the_own_arguments_may_be_set(make: Callable[[], Any]) -> None:
    """As with everything that has the two methods."""
    layer = make()
    before = repr(layer)
    assert repr(layer.set_params(**layer.get_params())) == before


# Copies ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("copied", [clone, copy.deepcopy, lambda n: pickle.loads(pickle.dumps(n))])
def test_a_copy_is_another_with_the_same_weights(copied: Callable[[Any], Any]) -> None:
    net = network()
    net["fc1"].variable(2.0, "scale")
    net.output(X)
    found = copied(net)
    assert_same_network(found, net)
    assert_same_bits(found.output(X), net.output(X))
    assert found["fc1"] is not net["fc1"]
    assert found["fc1"].weight is not net["fc1"].weight
    found["fc1"].weight.data.zero_()
    assert net["fc1"].weight.any()
    assert_same_bits(copied(net["fc2"]).weight, net["fc2"].weight)


def test_a_network_in_an_estimator_survives() -> None:
    """`clone`, a search, and a second fit; the given one is never trained."""
    net = Input(10) >> Relu(4) >> Dropout(0.1) >> Linear(1)
    before, x, y = copy.deepcopy(net), X.repeat(4, 1).numpy(), X[:, 0].repeat(4).numpy()
    model = estimators.Regressor(net, max_epochs=1)
    for _ in range(2):
        model.fit(x, y)
        assert model.network is net
        assert_same_network(net, before)
        assert list(model.network_.layers) == list(net.layers)
    twin = clone(model).network
    assert twin is not net
    assert_same_network(twin, before)
    search = GridSearchCV(model, {"network__dropout-1__p": [0.0, 0.3]}, cv=2).fit(x, y)
    assert list(search.best_estimator_.network.layers) == list(net.layers)
    assert net["dropout-1"].p == 0.1


# Configs ---------------------------------------------------------------------------------------

LIVE = torch.tensor(0.25)
# What the layers need, where it is not one number.
NEEDED: dict[str, tuple[Any, ...]] = {
    "Input": ((3, None),),
    "Embedding": (5, 3),
    "Reshape": ((2, -1),),
    "Masking": (2.0,),
    "Add": (),
    "Flatten": (),
    "BatchNorm": (),
    "LayerNorm": (),
    "LockedDropout": (0.1, 1),
    "TimeDistributed": (Relu(3),),
    "NoiseLayer": (ng.AlphaDropout(0.3),),
    "SpatialDropout1D": (0.1, "channels_first"),
    "ImpulseNoise": (0.1, 0.0, 1.0),
}
NEEDED |= {n: (3, 3) for n in LAYERS if n.startswith("Convolution")}
NEEDED |= {n: (0.1, 3) for n in LAYERS if n.startswith(("DropBlock", "SpanMask"))}
OF_NOISE = {n: (0.1,) for n, kind in LAYERS.items() if issubclass(kind, ng.torch.NoiseLayer)}
ROUND: list[Callable[[], Any]] = [
    *((lambda n=n: LAYERS[n](*NEEDED.get(n, OF_NOISE.get(n, (3,))))) for n in LAYERS),
    lambda: Input(batch_shape=(2, 3)),
    lambda: Input(3, torch.ones(2, 3)),
    lambda: nets.Dense(
        3, "relu", bias=False, init="he_normal", W_constraint="maxnorm", input_dim=4
    ),
    lambda: Relu(3, W_regularizer=nets.penalties.L1L2(0.1, 0.2), trainable=False, name="a"),
    lambda: Relu(3, dtype=torch.float64, device="cpu", name="fc{}"),
    lambda: Relu(3, input_shape=(5, 4)),
    lambda: nets.LeakyRelu(3, negative_slope=0.3),
    lambda: nets.Convolution2d(3, (3, 1), padding="same", padding_mode="circular"),
    lambda: nets.MaxPooling2d(2, ceil_mode=True),
    lambda: nets.Flatten(2),
    lambda: nets.BatchNorm(momentum=None),
    lambda: nets.LayerNorm(eps=1e-3),
    lambda: nets.Embedding(5, 3, mask_zero=True, padding_idx=0),
    lambda: nets.LSTM(3, return_sequences=True, num_layers=2, dropout=0.1),
    lambda: nets.GRU(3, bidirectional=True),
    lambda: nets.TimeDistributedDense(3, input_dim=3, W_regularizer="l2"),
    lambda: nets.TimeDistributed(Dropout(0.5), shared_mask=True),
    lambda: nets.TimeDistributed(join(Relu(3, name="b"), Dropout(0.1))),
    lambda: Dropout(0.3, inplace=True),
    lambda: Dropout(0.3, seed=3, site="a", sample_axis=1),
    lambda: Dropout((None, 4, 5), 0.2, rescale=False, shared_axes=1),
    lambda: Dropout(LIVE),
    lambda: nets.GaussianNoise(LIVE),
    lambda: Dropout(ng.schedule.linear(0, 0.5, steps=10), seed=1, site="a"),
    lambda: nets.dropout_channels(0.3),
    lambda: nets.locked_dropout(0.2, time_axis=1),
    lambda: nets.SpatialDropout2D(0.2, dim_ordering="tf"),
    lambda: nets.DropBlock(0.1, (3, 2), normalize="sample"),
    lambda: nets.GaussianNoise(0.2, shared_axes=slice(1, None)),
]
KEPT = ("expected", "inplace", "sample_axis", "seed", "site", "trainable", "given_name")


@pytest.mark.parametrize("make", ROUND, ids=map(words, ROUND))
def test_a_layer_s_config_has_lost_nothing(make: Callable[[], Any]) -> None:
    layer = make()
    text = json.dumps(layer.write_config())
    found = from_config(json.loads(text))
    assert (type(found), repr(found)) == (type(layer), repr(layer))
    assert json.dumps(found.write_config()) == text
    assert repr(found.get_params()) == repr(layer.get_params())
    for word in KEPT:
        assert getattr(found, word, None) == getattr(layer, word, None), word
    assert list(found.variables) == list(layer.variables)
    assert all(type(v) is type(layer.variables[n]) for n, v in found.variables.items())


# Files -----------------------------------------------------------------------------------------


SAVED: list[Callable[[], Network]] = [
    network,
    lambda: (chain := Relu(3) >> Linear(2), chain(X))[0],
    lambda: Input(10) >> (Relu(5) | Linear(3)) >> nets.Concatenate(),
    lambda: (Input(3) >> Relu(2) | Input(4) >> Relu(2)) >> nets.Add(),
    lambda: Input((3, 8, 8)) >> nets.Convolution2d(4, 3) >> nets.BatchNorm() >> nets.Flatten(),
    lambda: Input((None,)) >> nets.Embedding(5, 3, mask_zero=True) >> nets.LSTM(4) >> Linear(2),
    lambda: Input(3) >> Relu(4, dtype=torch.float64) >> Linear(2, dtype=torch.float64),
    lambda: (Input(3) >> Relu(4) >> Linear(2)).to(torch.bfloat16),
    lambda: Input(3) >> ng.Dropout(0.3) >> ng.ImpulseNoise(0.2, 0.0, 1.0),
    lambda: join(Dropout(Input(3), torch.tensor(0.3)), nets.GaussianNoise(torch.tensor(0.1))),
    lambda: Input((None, 3)) >> nets.TimeDistributed(Relu(4) >> Dropout(0.5)),
    lambda: Input(3) >> Dropout(ng.schedule.linear(0, 0.5, steps=10), seed=1, site="a"),
]


@pytest.mark.parametrize("make", SAVED, ids=map(words, SAVED))
def test_a_network_is_saved_and_loaded(make: Callable[[], Network], path: Path) -> None:
    saved_and_loaded(make(), path)


def test_the_file_is_weights_and_json(path: Path) -> None:
    net = network()
    net["fc2"].weight.requires_grad_(False)
    assert_same_bits(saved_and_loaded(net, path).output(X), net.output(X))
    with safe_open(path, framework="pt") as file:
        config = json.loads(file.metadata()["noisegate"])
        assert set(file.keys()) == set(net.state_dict())
    assert config == json.loads(json.dumps(net.get_config()))
    with pytest.raises(pickle.UnpicklingError):
        pickle.loads(path.read_bytes())


def test_what_was_loaded_is_joined_on_as_what_was_not(path: Path) -> None:
    """Names that were counted are counted again."""
    for net in (Input(5) >> Relu(5), saved_and_loaded(Input(5) >> Relu(5), path)):
        twice = Input(5) >> nets.repeat(net.start("relu-1"), 2)
        assert list(twice.layers) == ["input-1", "relu-1", "relu-2"]


class Doubled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return 2 * self.inner(x)


def swish(z: Tensor) -> Tensor:
    return z * z.sigmoid()


def test_what_is_the_user_s_is_loaded_from_what_the_user_gives(path: Path) -> None:
    net = Input(3) >> Doubled() >> nets.Dense(3, swish) >> Doubled()
    for made in (Doubled, lambda: Doubled()):
        saved_and_loaded(net, path, Doubled=made, swish=swish)
    one = Input(3) >> Doubled()
    assert saved_and_loaded(one, path, Doubled=(module := Doubled()))["doubled-1"] is module


def test_weights_of_a_module_that_is_there_twice_stay_one(path: Path) -> None:
    net = Input(3) >> (shared := Doubled()) >> shared
    found = saved_and_loaded(net, path, Doubled=Doubled)
    assert len(list(found.parameters())) == len(list(net.parameters())) == 2


@pytest.mark.parametrize("function", [nn.ELU(0.3), torch.sin])
def test_an_activation_that_is_torch_s_is_saved(function: Any, path: Path) -> None:
    name = getattr(function, "__name__", type(function).__name__)
    saved_and_loaded(Input(3) >> nets.Dense(3, function), path, **{name: function})


def test_a_save_that_could_not_be_loaded_writes_nothing(path: Path) -> None:
    net = Input(3) >> nets.Dense(3, lambda z: z, name="odd")
    with pytest.raises(ng.InvalidValue, match="save: `odd` has `activation`=<function"):
        net.save(path)
    assert not list(path.parent.iterdir())
