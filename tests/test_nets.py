"""Networks of layers: how they are joined, their shapes, names, parts and calls."""

import copy
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import noisegate as ng
from _asserts import assert_same_bits
from noisegate import estimators, nets
from noisegate.nets import Add, Dropout, Input, Linear, Network, Relu, Tanh, join, parallel
from noisegate.nets.layer import LAYER_CLASSES as LAYERS

X = torch.randn(6, 10, generator=torch.Generator().manual_seed(1))
Shape = tuple[int | None, ...]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(7)


def network() -> Network:
    hidden = [Relu(5, name="fc{}") >> Dropout(0.5) for _ in range(2)]
    return join(Input(10), *hidden, nets.Sigmoid(1, name="last"))


def names_of(*layers: Any) -> list[str]:
    return list(join(Input(3), *layers).layers)[1:]


# Putting together ------------------------------------------------------------------------------


def test_join_and_its_operator() -> None:
    net = join(Input(10), Relu(5) >> Dropout(0.5), [Relu(5), (Dropout(0.5),)], Linear(1))
    assert repr(net) == "(?, 10) -> [... 6 layers ...] -> (?, 1)"
    chain = Input(10) >> Relu(5) >> Dropout(0.5) >> Relu(5) >> Dropout(0.5) >> Linear(1)
    assert (repr(chain), list(chain.layers)) == (repr(net), list(net.layers))
    assert [layer.name for layer in net] == list(net.layers)
    longer = net >> nets.Softmax(3)
    assert (len(net), len(longer)) == (6, 7)
    assert longer["relu-1"] is net["relu-1"]


def test_branches_are_concatenated_or_added() -> None:
    wide = Input(10) >> (Relu(5) | Tanh(3)) >> nets.Concatenate()
    assert (repr(wide), wide.output_shape) == ("(?, 10) -> [... 4 layers ...] -> (?, 8)", (None, 8))
    assert_same_bits(wide(X), torch.cat([wide["relu-1"](X), wide["tanh-1"](X)], dim=1))
    added = join(Input(10), parallel([Relu(5), Tanh(4)], Tanh(4), Linear(4)), Add())
    assert added.output_shape == (None, 4)
    parts = added.outputs(["tanh-1", "tanh-2", "linear-1"], X)
    assert_same_bits(added.output(X), sum(parts[1:], parts[0]))
    begun = Input(10) >> Relu(10)
    residual = parallel(begun, begun >> Tanh(10)) >> Add()
    assert list(residual.layers) == ["input-1", "relu-1", "tanh-1", "add-1"]


def test_several_inputs_and_outputs() -> None:
    net = parallel(Input(3) >> Relu(2), Input(4) >> Relu(2))
    assert net.input_shape == [(None, 3), (None, 4)]
    assert net.output_shape == [(None, 2), (None, 2)]
    inputs = torch.ones(5, 3), torch.ones(5, 4)
    assert [y.shape for y in net(*inputs)] == [(5, 2), (5, 2)]
    assert (net >> Add())(*inputs).shape == (5, 2)


def test_repeat() -> None:
    block = Relu(10) >> Dropout(0.2)
    net = Input(10) >> nets.repeat(block, 3)
    assert list(net.layers)[3:] == ["relu-2", "dropout-2", "relu-3", "dropout-3"]
    assert net["relu-1"] is block["relu-1"]
    assert (net["relu-1"].weight != net["relu-2"].weight).any()
    assert names_of(nets.repeat(Relu(3, name="fc{}"), 2)) == ["fc1", "fc2"]


def test_sequential_begins_empty_and_grows() -> None:
    model = nets.Sequential()
    assert (repr(model), len(model)) == ("an empty network", 0)
    for layer in (nets.Dense(32, input_dim=10), ng.Dropout(0.5), nets.Softmax(3)):
        model.add(layer)
    assert repr(model) == "(?, 10) -> [... 4 layers ...] -> (?, 3)"
    assert repr(nets.Sequential([Input(10), Relu(5)])) == repr(Input(10) >> Relu(5))
    before = list(model.layers)
    for bad in (nets.Convolution2d(3, 3), Relu(3, name="dense-1"), Relu(3, name="graph")):
        with pytest.raises(ng.InvalidValue):
            model.add(bad)
        assert list(model.layers) == [name for name, _ in model.named_children()] == before


# Layers ----------------------------------------------------------------------------------------

IMAGE, SERIES, PLACES = (None, 2, 9, 8), (None, 6, 3), {1: (7,), 2: (7, 8), 3: (7, 8, 9)}
ACTIVATIONS = ["Linear", "Relu", "LeakyRelu", "Elu", "Selu", "Gelu", "Sigmoid", "Tanh", "Softmax"]
# What makes a layer, and the shape of its input.
SHAPED: list[tuple[Callable[[], Any], Shape]] = [
    *((lambda n=n: LAYERS[n](4), (None, 5)) for n in ("Dense", *ACTIVATIONS)),
    *((lambda n=n: LAYERS[n](4), (None, None, 5)) for n in ("Dense", *ACTIVATIONS)),
    *((lambda n=n: LAYERS[n](), (None, 5)) for n in ACTIVATIONS),
    *(
        (lambda n=f"Convolution{d}d", w=words: LAYERS[n](4, 3, **w), (None, 2, *PLACES[d]))
        for d in PLACES
        for words in ({}, {"stride": 2}, {"padding": 1, "dilation": 2}, {"padding": "same"})
    ),
    *(
        (lambda n=f"{kind}Pooling{d}d", w=words: LAYERS[n](3, **w), (None, 2, *PLACES[d]))
        for d in PLACES
        for kind in ("Max", "Average")
        for words in ({}, {"stride": 2}, {"stride": 2, "padding": 1, "ceil_mode": True})
    ),
    (lambda: nets.Convolution2d(4, (3, 1), padding=(1, 0), groups=2), (None, 2, None, 8)),
    *((lambda a=a: nets.Flatten(*a), (None, 2, 3, 4)) for a in ((), (2,), (1, 2), (-2, -1))),
    *((lambda s=s: nets.Reshape(s), (None, 2, 6)) for s in (12, (-1,), (3, -1), (2, 2, 3))),
    *((lambda n=n: LAYERS[n](), s) for n in ("BatchNorm", "LayerNorm") for s in (IMAGE, SERIES)),
    *(
        (lambda n=n, w=words: LAYERS[n](4, **w), SERIES)
        for n in ("LSTM", "GRU")
        for words in ({}, {"return_sequences": True}, {"bidirectional": True, "num_layers": 2})
    ),
    (lambda: nets.TimeDistributed(nets.Dense(4)), (None, None, 3)),
    (lambda: nets.TimeDistributed(nets.Convolution2d(4, 3)), (None, None, 2, 9, 8)),
    (lambda: nets.TimeDistributed(Relu(4) >> Linear(2)), SERIES),
    (lambda: nets.TimeDistributedDense(4), SERIES),
    (lambda: nets.Masking(), SERIES),
    (lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten()), IMAGE),
]
# The arguments that each noise layer needs.
NOISE: dict[str, tuple[Any, ...]] = {
    name: {"ImpulseNoise": (0.1, 0.0, 1.0), "LockedDropout": (0.1, 1)}.get(name, (0.1,))
    for name, kind in LAYERS.items()
    if issubclass(kind, ng.torch.NoiseLayer)
}
NOISE |= {name: (0.1, 3) for name in NOISE if name.startswith("DropBlock")}
NOISE |= {"NoiseLayer": (ng.Dropout(0.1),), "SpatialDropout1D": (0.1, "channels_first")}
NOISE["SpanMask"] = (0.1, 3)


def input_of(name: str) -> Shape:
    by_rank = {"1": (None, 2, 7), "3": (None, 2, 5, 4, 3)}
    return by_rank.get(name[-2], IMAGE) if name[-1] in "dD" else IMAGE


SHAPED += [(lambda n=name: LAYERS[n](*NOISE[n]), input_of(name)) for name in NOISE]


@pytest.mark.parametrize(("make", "shape"), SHAPED, ids=[f"{m.__defaults__}" for m, _ in SHAPED])
def test_shapes_are_those_of_a_run(make: Callable[[], Any], shape: Shape) -> None:
    """On meta tensors, where a run costs nothing."""
    net = join(Input(shape[1:]), make())
    whole = tuple(3 if extent is None else extent for extent in shape)
    run = copy.deepcopy(net).to("meta").eval()(torch.zeros(whole, device="meta"))
    known, layer = net.output_shape, list(net.layers.values())[1]
    assert all(a in (None, b) for a, b in zip(known, run.shape, strict=True))
    assert known[0] is None
    for of in (net, layer):
        assert of.get_output_shape(whole) == tuple(run.shape)
    assert (layer.input_shape, layer.output_shape) == (shape, known)


def test_whole_numbers_are_embedded() -> None:
    net = Input((None,)) >> nets.Embedding(5, 3)
    assert net.output_shape == (None, None, 3)
    assert net(torch.zeros(2, 7, dtype=torch.long)).shape == (2, 7, 3)


@pytest.mark.parametrize("name", NOISE)
def test_noise_layers_take_what_comes_in_first(name: str) -> None:
    kind, shape = LAYERS[name], input_of(name)
    entry = Input(shape[1:])
    for layer in (kind(entry, *NOISE[name]), kind(*NOISE[name], incoming=entry)):
        assert layer.input_layer is entry
        assert layer.input_shape == layer.output_shape == shape
        assert list(join(layer).layers.values()) == [entry, layer]
    assert kind(shape, *NOISE[name]).input_shape == shape


KINDS = [ng.Dropout(0.5), ng.spatial_dropout(0.5), ng.DropBlock(0.2, 3), ng.GaussianNoise()]


@pytest.mark.parametrize("kind", KINDS, ids=repr)
def test_a_kind_becomes_the_layer_of_the_face(kind: ng.Kind) -> None:
    x = torch.ones(4, 2, 6, 8)
    for made in (Input((2, 6, 8)) >> kind, join(kind), kind >> Linear(8)):
        (layer,) = [m for m in made.modules() if isinstance(m, ng.torch.NoiseLayer)]
        assert isinstance(layer, type(ng.torch.layer(kind)))
        assert type(layer) is LAYERS[type(kind).__name__]
    assert type(nets.TimeDistributed(kind).layer) is type(layer)
    mine = type(layer)(**layer.arguments, seed=1, site="a")
    theirs = ng.torch.layer(kind, seed=1, site="a")
    assert_same_bits(mine.output(x, training=True), theirs(x))


def test_arguments_go_to_torch_unchanged_and_torch_checks_them() -> None:
    words = {"stride": 2, "padding": 1, "padding_mode": "circular", "bias": False, "groups": 2}
    layer = (Input((4, 9, 9)) >> nets.Convolution2d(6, (3, 2), **words))["convolution2d-1"]
    theirs, x = nn.Conv2d(4, 6, (3, 2), **words), torch.randn(2, 4, 9, 9)
    theirs.load_state_dict(layer.state_dict())
    assert_same_bits(layer(x), theirs(x))
    assert layer.extra_repr() == theirs.extra_repr()
    with pytest.raises(ValueError, match="Invalid padding string 'foo'"):
        nets.Convolution2d(4, 3, padding="foo")
    with pytest.raises(ValueError, match="out_channels must be divisible by groups"):
        nets.Convolution2d(4, 3, groups=3)


class Shifted(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x - float(x.mean())  # a value, which a meta tensor does not have


@pytest.mark.parametrize(
    ("module", "shape", "expected"),
    [
        (nn.Linear(5, 4), (None, 5), (None, 4)),
        (nn.PReLU(), (None, 5), (None, 5)),
        (Shifted(), (None, 5), (None, 5)),
        (nn.Conv2d(3, 4, 5), (None, 3, None, 8), (None, 4, None, 4)),
        (nn.LazyLinear(4), (None, 5), (None, 4)),
    ],
    ids=lambda value: repr(value)[:12],
)
def test_any_module_is_a_layer(module: nn.Module, shape: Shape, expected: Shape) -> None:
    net = Input(shape[1:]) >> module >> Dropout(0.5)
    assert list(net.children())[1] is module
    assert net.output_shape == expected
    x = torch.ones([9 if extent is None else extent for extent in shape])
    assert net(x).shape == tuple(
        9 - 4 * (i == 2) if e is None else e for i, e in enumerate(expected)
    )


# Being a module --------------------------------------------------------------------------------


def test_state_dict_loads_into_the_same_layers_of_torch() -> None:
    net = join(Input((3, 9, 9)), nets.Convolution2d(4, 3, name="a"), nets.BatchNorm(name="b"))
    net = net >> Relu() >> nets.Flatten() >> Dropout(0.5) >> Linear(2, name="c")
    parts = {"a": nn.Conv2d(3, 4, 3), "b": nn.BatchNorm2d(4), "r": nn.ReLU(), "f": nn.Flatten()}
    plain = nn.Sequential(OrderedDict(parts | {"c": nn.Linear(196, 2)}))
    plain.load_state_dict(net.state_dict())
    x = torch.randn(2, 3, 9, 9)
    assert_same_bits(plain.eval()(x), net.output(x))
    assert [name for name, _ in net.named_modules()][1:] == list(net.layers)
    recurrent = Input((None, 3)) >> nets.LSTM(4, return_sequences=True, name="r") >> Linear(2)
    lstm = nn.LSTM(3, 4, batch_first=True)
    lstm.load_state_dict(recurrent["r"].state_dict())
    x = torch.randn(2, 7, 3)
    assert_same_bits(lstm(x)[0], recurrent["r"](x))


def test_parameters_exist_once_the_input_s_size_is_known() -> None:
    """And torch's initialisers made them, in the order of the layers."""
    torch.manual_seed(3)
    net = network()
    torch.manual_seed(3)
    layers = [nn.Linear(10, 5), nn.Linear(5, 5), nn.Linear(5, 1)]
    expected = [p for layer in layers for p in layer.parameters()]
    for mine, theirs in zip(net.parameters(), expected, strict=True):
        assert_same_bits(mine, theirs)
    late = Relu(5) >> Linear(2)
    assert late(X.to(torch.bfloat16)).dtype == torch.bfloat16
    assert sum(p.numel() for p in late.parameters()) == 67


def test_a_network_in_time_distributed_has_its_parameters_too() -> None:
    net = Input((None, 3)) >> nets.TimeDistributed(Relu(4) >> Linear(2))
    assert sum(p.numel() for p in net.parameters()) == 26


# Shapes and open chains ------------------------------------------------------------------------

TOLD = [
    ({"input_shape": (7, 3)}, (None, 7, 3)),
    ({"input_dim": 3}, (None, 3)),
    ({"input_dim": 3, "input_length": 7}, (None, 7, 3)),
    ({"batch_input_shape": (2, 7, 3)}, (2, 7, 3)),
]


@pytest.mark.parametrize(("words", "shape"), TOLD)
def test_a_first_layer_may_imply_its_input(words: dict[str, Any], shape: Shape) -> None:
    net = join(nets.Dense(4, **words))
    assert (net.input_shape, net.output_shape) == (shape, (*shape[:-1], 4))


def test_a_shape_that_is_told_twice_must_be_one() -> None:
    assert join(Input(3), Relu(5, input_dim=3)).output_shape == (None, 5)
    with pytest.raises(ng.InvalidValue, match=r"`relu-1`.*`input-1`, which gives \(\?, 4\)"):
        join(Input(4), Relu(5, input_dim=3))


@pytest.mark.parametrize("wrong", [nets.Convolution2d(3, 3), Input(4), nets.Flatten(5)], ids=repr)
def test_a_mismatch_is_an_error_when_it_is_joined(wrong: nets.Layer) -> None:
    first = Relu(5, name="a")
    with pytest.raises(ng.InvalidValue, match=r"-\d` cannot follow `a`, which gives \(\?, 5\): "):
        join(Input(3), first, wrong)
    assert (first.built, first.name, first.input_layer) == (False, "a", None)


def test_an_open_chain_may_be_joined_on_or_run() -> None:
    chain = Relu(5) >> Dropout(0.5) >> Linear(2)
    assert repr(chain) == "<unknown> -> [... 3 layers ...] -> <unknown>"
    assert chain["relu-1"].variables == {}
    with pytest.raises(ng.InvalidValue, match=r"open.*`relu-1`"):
        torch.optim.SGD(chain.parameters(), lr=0.1)
    joined = Input(10) >> chain
    assert joined.output_shape == (None, 2)
    assert sum(p.numel() for p in joined.parameters()) == 67


def test_shapes_of_an_open_chain_that_has_run_and_of_a_part() -> None:
    chain = Relu(5) >> Linear(2)
    chain(X)
    for net in (chain, (Input(10) >> Relu(5) >> Linear(2)).start("relu-1")):
        assert (net.input_shape, net.output_shape) == ((None, 10), (None, 2))
        assert repr(net) == "(?, 10) -> [... 2 layers ...] -> (?, 2)"


def test_an_estimator_tells_an_open_chain_its_size() -> None:
    model = estimators.Regressor(Relu(5) >> Linear(1), max_epochs=1, random_state=0)
    model.fit(X.numpy(), X[:, 0].numpy())
    assert model.network_["relu-1"].weight.shape == (5, 10)


def test_a_summary_is_a_table() -> None:
    table = str(network().summary()).splitlines()
    assert table[0].split() == ["name", "layer", "takes", "output", "parameters"]
    assert table[2].split() == ["fc1", "Relu", "input-1", "(?,", "5)", "55"]
    assert table[-1].endswith("91 parameters, 6 layers.")


# Names and parts -------------------------------------------------------------------------------


def test_names_are_given_or_counted_in_each_network() -> None:
    for _ in range(2):
        formats = [Relu(3, name=text) for text in ("fc{}", "fc{}", "a-{:03d}", "b-{:<03d}", "own")]
        assert names_of(*formats) == ["fc1", "fc2", "a-001", "b-001", "own"]
        assert names_of(nets.LeakyRelu(3), Relu(3), Relu(3)) == ["leaky-relu-1", "relu-1", "relu-2"]
    assert names_of(Relu(3, name="fc{}"), Relu(3, name="fc1")) == ["fc2", "fc1"]


def test_parts_of_a_network() -> None:
    net = network()
    assert net["fc1"] is net.layers["fc1"] is next(m for n, m in net.named_children() if n == "fc1")
    begin, rest = net.end("fc2"), net.start("fc2")
    assert list(begin.layers) == ["input-1", "fc1", "dropout-1", "fc2"]
    assert list(rest.layers) == list(net.start(net["fc2"]).layers) == ["fc2", "dropout-2", "last"]
    assert begin["fc2"] is rest["fc2"] is net["fc2"]
    hidden = net.end("dropout-1").output(X)
    assert_same_bits(rest.output(hidden), net.output(X))
    assert list(net.start("fc1").end("dropout-1").layers) == ["fc1", "dropout-1"]
    assert net["fc2"].name == "fc2"


# Calls -----------------------------------------------------------------------------------------


def test_a_call_follows_the_mode_and_output_does_not() -> None:
    net, last = network(), Relu(100) >> Dropout(0.5, name="drop")
    last(X)
    for training in (True, False):
        last.train(training)
        assert (last(X) != last.output(X)).any() == training
        for clean in ({}, {"training": False}, {"deterministic": True}):
            assert_same_bits(last.output(X, **clean), last.end("relu-1")(X))
        for noisy in ({"training": True}, {"deterministic": False}):
            assert (last.output(X, **noisy) != last.output(X)).any()
        assert (last.get_output_for(X) != last.output(X)).any()
        assert_same_bits(last.get_output_for(X, deterministic=True), last.output(X))
        assert (nets.get_output(last["drop"], X) != last.output(X)).any()
        assert_same_bits(nets.get_output(last, X, deterministic=True), last.output(X))
        assert last.training is last["drop"].training is training
    assert_same_bits(net.output(X.numpy()), net.output(X))


def test_a_layer_by_itself_has_both_defaults() -> None:
    layer, x = Dropout(0.5), torch.ones(100)
    assert layer.output(x) is layer.output(x, training=False, deterministic=True) is x
    for found in (layer.output(x, training=True), layer.get_output_for(x)):
        assert set(found.tolist()) == {0, 2}
    assert layer.training


def test_several_outputs_come_from_one_pass() -> None:
    net = network()
    wanted = ["fc1", net["dropout-1"], "fc2", "last"]
    for words in ({"training": True}, {"deterministic": False}, {}):
        hidden, dropped, second, last = net.outputs(wanted, X, **words)
        assert_same_bits(net["fc2"](dropped), second)
        assert last.shape == (6, 1)
        noisy = bool(words)
        assert bool((dropped != hidden).any()) == noisy
        assert set((dropped[hidden > 0] / hidden[hidden > 0]).tolist()) == (
            {0, 2} if noisy else {1}
        )
