"""Layers over time: TimeDistributed, TimeDistributedDense, masks, and recurrent layers with them.

Each argument of Keras 1's TimeDistributedDense is written out here a second time, in NumPy.
"""

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import noisegate as ng
from _asserts import assert_same_bits, assert_within
from noisegate import nets
from noisegate.nets import Dense, Dropout, Input, Relu, TimeDistributed, join, penalties

SEEDED = {"seed": 13, "site": "a"}
MASK = torch.tensor([[1, 1, 0, 0], [1, 0, 1, 0]], dtype=torch.bool)


class Weighted(nn.Module):
    """A user's module with a weight, and a dropout that is called as a function."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return functional.dropout(x, 0.5, self.training) * self.weight


class EverySecond(nn.Module):
    """A user's module that does not keep the steps of time."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, ::2]


def tdd(units: int = 4, *args: Any, features: int = 3, **kwargs: Any) -> Any:
    """Return a TimeDistributedDense that knows its input, in a network of its own."""
    layer = nets.TimeDistributedDense(units, *args, input_dim=features, **kwargs)
    return nets.Sequential(layer), layer


# TimeDistributed -------------------------------------------------------------------------------

IMAGE = (2, 6, 6)
ANY: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "dense": (lambda: Dense(3, "tanh"), (5,)),
    "softmax": (lambda: nets.Softmax(3), (5,)),
    "dense of more axes": (lambda: Dense(3), (4, 5)),
    "convolution": (lambda: nets.Convolution2d(3, 3), IMAGE),
    "pooling": (lambda: nets.MaxPooling2d(2), IMAGE),
    "flatten": (lambda: nets.Flatten(), IMAGE),
    "reshape": (lambda: nets.Reshape((3, -1)), (6,)),
    "layer norm": (lambda: nets.LayerNorm(), (5,)),
    "recurrent": (lambda: nets.LSTM(3), (4, 5)),
    "over time again": (lambda: TimeDistributed(Dense(3)), (4, 5)),
    "network": (lambda: join(Input(5), Relu(4), Dropout(0.5), Dense(2)), (5,)),
    "open network": (lambda: Relu(4) >> Dropout(0.5) >> Dense(2), (5,)),
    "kind": (lambda: ng.Dropout(0.5), (5,)),
    "torch's": (lambda: nn.Conv2d(2, 3, 3), IMAGE),
    "user's": (Weighted, (5,)),
}


@pytest.mark.parametrize("name", ANY)
def test_any_layer_acts_on_each_step_by_itself(name: str) -> None:
    make, shape = ANY[name]
    net = join(Input((None, *shape)), TimeDistributed(make(), name="over")).eval()
    for count, time in ((2, 4), (3, 1)):
        x = torch.randn(count, time, *shape)
        y = net(x)
        for t in range(time):
            assert torch.allclose(y[:, t], net["over"].layer(x[:, t]), atol=1e-6)
        assert net.output_shape == (None, None, *y.shape[2:])
        assert net.get_output_shape((count, time, *shape)) == tuple(y.shape)


@pytest.mark.parametrize("name", ANY)
def test_parameters_exist_once_the_size_of_a_step_is_known(name: str) -> None:
    make, shape = ANY[name]
    net = join(Input((None, *shape)), TimeDistributed(make()))
    early = [id(p) for p in net.parameters()]
    net(torch.randn(2, 3, *shape))
    assert early == [id(p) for p in net.parameters()]


def test_embedding_and_batch_norm_over_time() -> None:
    words = torch.randint(7, (2, 4, 3))
    net = join(Input((None, 3)), TimeDistributed(nets.Embedding(7, 5), name="over"))
    assert_same_bits(net(words), net["over"].layer.weight[words])
    x = torch.randn(6, 4, 3)
    y = join(Input((None, 3)), TimeDistributed(nets.BatchNorm()))(x)
    flat = x.numpy().reshape(24, 3)
    hand = (flat - flat.mean(0)) / np.sqrt(flat.var(0) + 1e-5)
    assert np.allclose(y.detach().numpy().reshape(24, 3), hand, atol=1e-5)


def test_a_step_needs_axes_of_its_own() -> None:
    with pytest.raises(ng.InvalidValue, match=r"gives \(\?, 4\): it takes \(N, time, \.\.\.\)"):
        join(Input(4), TimeDistributed(Dense(3)))
    with pytest.raises(ng.InvalidValue, match=r"cannot take \(2, 3\): it takes \(N, time"):
        TimeDistributed(Dense(3))(torch.ones(2, 3))
    with pytest.raises(ng.InvalidType, match="`layer` is missing"):
        TimeDistributed()


# Noise over time -------------------------------------------------------------------------------


def test_the_noise_of_a_step_is_that_of_a_row() -> None:
    """One mask for a sample is that of its row; else each step has a row of its own."""
    key = ng.Stream(13).site("a").at(0)
    ones = torch.ones(3, 5, 40)
    each = TimeDistributed(Dropout(0.5, **SEEDED))(ones)
    rows = [sample * 2**20 + step for sample in range(3) for step in range(5)]
    mask = ng.mask(ng.Dropout(0.5), (15, 40), key, rows=rows)
    assert_same_bits((each != 0).numpy().reshape(15, 40), mask)
    one = TimeDistributed(Dropout(0.5, **SEEDED), shared_mask=True)(ones)
    mask = ng.mask(ng.Dropout(0.5), (3, 40), key)
    assert_same_bits((one != 0).numpy(), np.repeat(mask[:, None], 5, axis=1))
    assert TimeDistributed(Dropout(0.5)).eval()(ones).equal(ones)


NOISES: dict[str, tuple[Callable[..., Any], tuple[int, ...]]] = {
    "dropout": (lambda **k: Dropout(0.5, **k), (8,)),
    "normal": (lambda **k: nets.GaussianNoise(1.0, **k), (8,)),
    "channels": (lambda **k: nets.SpatialDropout2D(0.5, **k), (4, 3, 3)),
    "blocks": (lambda **k: nets.DropBlock2d(0.3, 2, **k), (2, 6, 6)),
    "network": (lambda **k: join(Input(8), Relu(9, init="uniform"), Dropout(0.5, **k)), (8,)),
    "over time again": (lambda **k: TimeDistributed(Dropout(0.5, **k)), (3, 8)),
}


@pytest.mark.parametrize("words", [SEEDED, {}], ids=["seed", "manual_seed"])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("name", NOISES)
def test_noise_does_not_depend_on_batch_or_padding(name: str, shared: bool, words: Any) -> None:
    make, shape = NOISES[name]
    layer = TimeDistributed(make(**words), shared_mask=shared)
    x = torch.randn(4, 6, *shape)
    found = []
    for part in (x, x[:2, :3], torch.cat([x, x], dim=1)[:, :9]):
        torch.manual_seed(3)
        for module in layer.modules():
            if isinstance(module, ng.torch.NoiseLayer) and words:
                module.step = 0
        found.append(layer(part)[:2, :3])
    for other in found[1:]:
        assert torch.allclose(found[0], other, atol=1e-6)
    if name == "dropout":
        kept = found[0] != 0
        assert bool((kept[:, 0] == kept[:, 1]).all()) == shared
        assert (kept[0] != kept[1]).any()


def test_noise_that_cannot_be_shared_is_refused() -> None:
    for given in (nn.Dropout(0.5), nn.Sequential(nn.Linear(3, 3), nn.AlphaDropout(0.5))):
        with pytest.raises(ng.InvalidValue, match="shared_mask=True needs noise of noisegate"):
            TimeDistributed(given, shared_mask=True)
        layer = TimeDistributed(given)
        with pytest.raises(ng.InvalidValue, match="shared_mask=True needs noise of noisegate"):
            layer.shared_mask = True
    with pytest.raises(ng.InvalidType, match="`shared_mask` must be True or False; got 'yes'"):
        TimeDistributed(Dropout(0.5), shared_mask="yes")


def test_a_dropout_that_is_a_function_is_shared_or_refused() -> None:
    try:
        y = TimeDistributed(Weighted(), shared_mask=True)(torch.ones(5, 6, 50))
    except ng.InvalidValue:
        return
    assert (y == y[:, :1]).all()


def test_an_injection_takes_a_dropout_over_time_or_names_it() -> None:
    net = join(Input((4, 3)), Dropout(0.2), TimeDistributed(Dropout(0.5), name="over"), Dense(2))
    handle = ng.inject(net, existing=True, seed=1)
    net(torch.ones(2, 4, 3))
    assert "over" in str(handle.report())


def test_hidden_noise_by_words_is_behind_the_layers_over_time() -> None:
    net, x = nets.Sequential(tdd()[1], TimeDistributed(Relu(4)), Dense(2)), torch.ones(2, 5, 3)
    handle = ng.inject(net, hidden_dropout=0.5, seed=1)
    net(x)
    for name in ("time-distributed-dense-1:out", "time-distributed-1:out"):
        assert name in str(handle.report())


# TimeDistributedDense: the page's arguments ----------------------------------------------------


def test_the_arguments_are_those_of_the_page_in_its_order() -> None:
    page = {"init": "glorot_uniform", "activation": "linear", "weights": None}
    page |= dict.fromkeys(("W_regularizer", "b_regularizer", "activity_regularizer"))
    page |= {"W_constraint": None, "b_constraint": None, "bias": True}
    page |= {"input_dim": None, "input_length": None}
    given = list(nets.TimeDistributedDense.signature().parameters.values())[:12]
    assert given[0].name == "output_dim"
    assert [(p.name, p.default) for p in given[1:]] == list(page.items())
    assert {p.kind for p in given} == {inspect.Parameter.POSITIONAL_OR_KEYWORD}


# The half width of a uniform, or the deviation of a normal, of (input_dim, output_dim).
BY_FANS: dict[str, Callable[[int, int], float]] = {
    "uniform": lambda i, o: 0.05,
    "lecun_uniform": lambda i, o: math.sqrt(3 / i),
    "glorot_uniform": lambda i, o: math.sqrt(6 / (i + o)),
    "he_uniform": lambda i, o: math.sqrt(6 / i),
    "normal": lambda i, o: 0.05,
    "glorot_normal": lambda i, o: math.sqrt(2 / (i + o)),
    "he_normal": lambda i, o: math.sqrt(2 / i),
}


@pytest.mark.parametrize("name", BY_FANS)
def test_initializers_have_the_moments_of_their_formulas(name: str) -> None:
    """Mean, variance and range of 300 · 200 numbers; the fourth moments are 1.8 and 3 sd⁴."""
    torch.manual_seed(7)
    weight, bias = tdd(200, name, features=300)[1].get_weights()
    assert weight.shape == (300, 200)
    assert not bias.any()
    scale, n, flat = BY_FANS[name](300, 200), weight.size, "uniform" in name
    sd, fourth = (scale / math.sqrt(3), 1.8) if flat else (scale, 3.0)
    assert_within(weight.mean(), 0, sd / math.sqrt(n))
    assert_within((weight.astype(float) ** 2).mean(), sd**2, sd**2 * math.sqrt((fourth - 1) / n))
    largest = np.abs(weight).max() / scale
    assert (0.999 < largest <= 1.000001) if flat else (3.5 < largest < 6.5)


def test_initializers_that_are_matrices_and_those_of_one_s_own() -> None:
    assert_same_bits(tdd(5, "identity", features=5)[1].get_weights()[0], np.eye(5, dtype="f"))
    assert not tdd(5, "zero")[1].get_weights()[0].any()
    for i, o in ((6, 4), (4, 6), (5, 5)):
        weight = tdd(o, "orthogonal", features=i)[1].get_weights()[0].astype(float)
        product = weight.T @ weight if i >= o else weight @ weight.T
        assert np.allclose(product, 1.1**2 * np.eye(min(i, o)), atol=1e-5)
    with pytest.raises(ng.InvalidValue, match=r"square weights; got the shape \(3, 4\)"):
        tdd(4, "identity")
    value = np.arange(12.0, dtype="f").reshape(3, 4)
    for init in (lambda shape: value.reshape(shape), lambda shape: torch.tensor(value)):
        assert_same_bits(tdd(4, init)[1].get_weights()[0], value)
    assert_same_bits(tdd(4, nn.init.eye_)[1].get_weights()[0], np.eye(3, 4, dtype="f"))
    with pytest.raises(ng.InvalidValue, match=r"must have the shape \(3, 4\); got \(4, 3\)"):
        tdd(4, lambda shape: np.zeros(shape[::-1]))


ACTIVATIONS: dict[Any, Callable[[np.ndarray], np.ndarray]] = {
    "softmax": lambda z: np.exp(z) / np.exp(z).sum(-1, keepdims=True),
    "softplus": lambda z: np.log(1 + np.exp(z)),
    "softsign": lambda z: z / (1 + np.abs(z)),
    "relu": lambda z: np.maximum(z, 0),
    "tanh": np.tanh,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "hard_sigmoid": lambda z: np.clip(0.2 * z + 0.5, 0, 1),
    "linear": lambda z: z,
    None: lambda z: z,
    torch.sin: np.sin,
    nn.LeakyReLU(0.1): lambda z: np.where(z > 0, z, 0.1 * z),
}


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda a: str(a)[:12])
def test_activations_by_hand(activation: Any) -> None:
    net, layer = tdd(4, lambda shape: 3 * torch.randn(shape), activation)
    x = torch.randn(5, 7, 3)
    weight, bias = (w.astype(float) for w in layer.get_weights())
    by_hand = ACTIVATIONS[activation](x.numpy().astype(float) @ weight + bias)
    assert np.allclose(net(x).detach().numpy(), by_hand, atol=3e-6)


def test_variable_length_and_what_the_input_must_be() -> None:
    net, _ = tdd()
    assert net.output_shape == (None, None, 4)
    for length in (1, 5, 9):
        assert net(torch.ones(2, length, 3)).shape == (2, length, 4)
    assert tdd(input_length=6)[0].output_shape == (None, 6, 4)
    assert nets.Sequential(nets.TimeDistributedDense(4))(torch.ones(2, 5, 3)).shape == (2, 5, 4)


@pytest.mark.parametrize("wrong", [{"input_dim": 4}, {"input_length": 4}])
def test_what_a_layer_was_told_of_its_input_is_compared(wrong: dict[str, int]) -> None:
    with pytest.raises(ng.InvalidValue):
        join(Input((5, 3)), nets.TimeDistributedDense(2, **wrong))


def test_arguments_can_be_set_and_are_checked_as_at_the_start() -> None:
    layer = nets.TimeDistributedDense(4)
    layer.set_params(W_constraint="nonneg", activation="tanh", bias=False)
    assert layer.get_params()["W_constraint"] == penalties.NonNeg()
    layer.set_params(input_dim=3)
    assert layer.get_params()["input_dim"] == 3
    with pytest.raises(ng.InvalidType):
        nets.TimeDistributedDense(4, input_length="long")


@pytest.mark.parametrize("given", [{"output_dim": 5}, {"init": "zero"}, {"bias": False}])
def test_what_made_the_weights_cannot_change(given: dict[str, Any]) -> None:
    with pytest.raises(ng.InvalidValue, match="cannot change any more"):
        tdd()[1].set_params(**given)


# Masks -----------------------------------------------------------------------------------------

KEEP: list[Callable[[], Any]] = [
    *(lambda: Dense(2), lambda: Relu(3), lambda: Relu(), lambda: Dropout(0.5), nets.LayerNorm),
    *(lambda: nets.SpatialDropout1D(0.5, "channels_last"), lambda: nets.GaussianNoise(0.1)),
    *(lambda: TimeDistributed(Dense(2)), lambda: nets.TimeDistributedDense(2), nets.Masking),
    *(lambda: nets.LSTM(2, return_sequences=True), lambda: nets.GRU(2, return_sequences=True)),
    *(lambda: nn.Linear(3, 2), lambda: ng.Dropout(0.5), lambda: nets.Flatten(2)),
]
DROP: list[Callable[[], Any]] = [
    *(lambda: nets.LSTM(2), lambda: nets.GRU(2), nets.Flatten, lambda: nets.Reshape((2, -1))),
    *(lambda: nets.Convolution1d(4, 2), lambda: nets.MaxPooling1d(2), nn.Flatten, EverySecond),
]


@pytest.mark.parametrize("make", KEEP, ids=lambda make: str(make()))
def test_layers_that_keep_the_time_axis_pass_the_mask_on(make: Callable[[], Any]) -> None:
    net = join(Input((4, 3)), make())
    found = net.compute_mask(torch.randn(2, 4, 3), mask=MASK)
    assert found is not None
    assert found.equal(MASK)


@pytest.mark.parametrize("make", DROP, ids=lambda make: str(make()))
def test_where_the_time_axis_ends_the_mask_ends(make: Callable[[], Any]) -> None:
    net = join(Input((4, 3)), make())
    assert net.compute_mask(torch.randn(2, 4, 3), mask=MASK) is None


def test_where_masks_come_from_and_how_they_meet() -> None:
    words, other = torch.tensor([[1, 2, 0, 0], [3, 0, 4, 0]]), torch.tensor([[False] + [True] * 3])
    net = join(Input((None,)), nets.Embedding(5, 3, mask_zero=True), Dense(2), Dropout(0.5))
    assert net.compute_mask(words).equal(MASK)
    assert net.compute_mask(words, mask=other.expand(2, 4)).equal(MASK & other)
    assert join(Input((None,)), nets.Embedding(5, 3)).compute_mask(words) is None
    x = torch.randn(2, 4, 3).where(MASK[..., None], -1.0)
    net = join(Input((None, 3)), nets.Masking(-1.0))
    assert net.compute_mask(x).equal(MASK)
    assert_same_bits(net(x), x.where(MASK[..., None], 0.0))
    y = torch.randn(2, 4, 3)
    y[0, 0] = 0
    for how in (nets.Add(), nets.Concatenate(-1)):
        sides = [join(Input((4, 3)), nets.Masking(value)) for value in (-1.0, 0.0)]
        found = join(nets.parallel(*sides), how).compute_mask(x, y)
        assert found.equal(MASK & (y != 0).any(-1))


def test_a_mask_of_other_steps_goes_nowhere() -> None:
    """Steps that are put behind each other have both masks behind each other, or none."""
    x = torch.randn(2, 4, 3)
    net = join(Input((4, 3)), nets.parallel(Relu(2), nets.Tanh(2)), nets.Concatenate(axis=1))
    found = net.compute_mask(x, mask=MASK)
    assert found is None or found.equal(torch.cat([MASK, MASK], dim=1))
    assert join(net, nets.LSTM(2))(x, mask=MASK).shape == (2, 2)


def test_a_mask_is_bool_and_fits() -> None:
    net, x = join(Input((None, 3)), nets.LSTM(2)), torch.ones(2, 4, 3)
    for wrong in (MASK.float(), MASK[0], [[True] * 4] * 2):
        with pytest.raises(ng.InvalidType, match="`mask` must be a tensor of bool"):
            net(x, mask=wrong)
    with pytest.raises(
        ng.InvalidType, match=r"two extents of the input, \(2, 4, 3\); got \(2, 3\)"
    ):
        net(x, mask=MASK[:, :3])


@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("kind", [nets.LSTM, nets.GRU])
def test_a_masked_step_changes_nothing(kind: Any, sequences: bool) -> None:
    """Against each sample's own steps alone; masks with holes, of all steps, and of none."""
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 1, 0, 1, 0], [0] * 5]).bool()
    for layers, both in ((1, False), (2, False), (1, True), (2, True)):
        layer = kind(4, return_sequences=sequences, num_layers=layers, bidirectional=both)
        net = join(Input((None, 3)), layer).double()
        x = torch.randn(4, 5, 3, dtype=torch.float64)
        y = net(x, mask=mask)
        y.sum().backward()
        assert all(p.grad.isfinite().all() for p in net.parameters())
        for sample, steps in enumerate(mask):
            alone = net(x[sample : sample + 1, steps])[0] if steps.any() else None
            before = torch.zeros_like(y[sample, 0] if sequences else y[sample])
            for t in range(5) if sequences else ():
                before = alone[int(steps[: t + 1].sum()) - 1] if steps[t] else before
                assert torch.allclose(y[sample, t], before, atol=1e-12)
            if not sequences:
                assert torch.allclose(y[sample], before if alone is None else alone, atol=1e-12)
