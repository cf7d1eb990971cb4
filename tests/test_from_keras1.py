"""Keras 1's spatial dropout and layers over time: what holds here, and what differs.

K1 to K7, C6, C7, C16, C17, S4 and F5 to F16 are the numbers of a list of
what the old code did: its own tests, golden facts, and faults. 5b to 5d are further observations.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import noisegate as ng
from _asserts import assert_rate, assert_same_bits, assert_sentence, assert_within
from noisegate import nets
from noisegate.nets import Dense, Dropout, Input, Sequential, TimeDistributed, penalties
from noisegate.nets import TimeDistributedDense as TDD

ROOT = Path(__file__).resolve().parents[1]
SEEDED = {"seed": 13, "site": "a"}


def again(layer: Any, **custom: Any) -> Any:
    """Return what a layer's config makes, once it was JSON."""
    text = json.dumps({"class": type(layer).__name__, "config": layer.get_config()})
    return nets.from_config(json.loads(text), custom)


LAYER_TESTS: list[tuple[Callable[..., Any], tuple[int, ...]]] = [
    (lambda **k: Dropout(0.5, **k), (3, 2)),  # K1
    (lambda **k: Dropout(0.5, shared_axes=1, **k), (3, 2)),  # noise_shape [3, 1]
    (lambda **k: nets.SpatialDropout1D(0.5, "channels_last", **k), (2, 3, 4)),
    (lambda **k: nets.SpatialDropout2D(0.5, **k), (2, 3, 4, 5)),
    (lambda **k: nets.SpatialDropout3D(0.5, **k), (2, 3, 4, 5, 6)),
    (lambda **k: nets.GaussianNoise(1.0, **k), (3, 2, 3)),  # K2
    (lambda **k: nets.GaussianDropout(0.5, **k), (3, 2, 3)),
    (lambda **k: TDD(2, input_length=2, **k), (3, 2, 3)),  # K5
    (lambda **k: TDD(3, "normal", None, None, *REGULARIZERS, *NORMS, **k), (3, 2, 3)),
]
NORMS = (penalties.MaxNorm(1), penalties.MaxNorm(1))
REGULARIZERS = (penalties.l2(0.01), penalties.l1(0.01), penalties.activity_l2(0.01))


@pytest.mark.parametrize(("make", "shape"), LAYER_TESTS)
def test_k1_k2_k5_what_their_layer_test_asserts(make: Any, shape: Any, tmp_path: Path) -> None:
    """K1, K2, K5: weights, shape, dtype, round trips, here to the bit; theirs tests no masks."""
    x, layer = 10 * torch.rand(shape), make()
    net = Sequential(Input(shape[1:]), layer)
    net.load_state_dict(net.state_dict())
    if isinstance(layer, TDD):
        layer.set_weights(layer.get_weights())
    y = net.output(x)
    assert tuple(y.shape) == layer.get_output_shape(shape) == (shape[0], *net.output_shape[1:])
    assert y.dtype == x.dtype
    net.save(tmp_path / "net")
    assert_same_bits(nets.load(tmp_path / "net").output(x), y)
    first = make(batch_input_shape=shape)
    assert again(first).get_config() == first.get_config()
    assert Sequential(again(first)).output(x).shape == y.shape


def test_k3_two_libraries_have_one_mask() -> None:
    """K3, and it differs: theirs allows .05 between the means of two libraries; here same bits."""
    x, key = np.random.default_rng(0).random((100, 100), dtype="f"), ng.Stream(1).site("a").at(0)
    kind = ng.Dropout(0.2)
    assert_same_bits(kind(x, key), kind(torch.from_numpy(x), key))


def test_k4_learning_phase() -> None:
    """K4, and it differs: a mode, and no tensor for the phase. What depends on it is the same."""
    branch = nets.join(Dense(4, name="dense"), Dropout(0.5, name="drop"))
    net = nets.join(Input(8), nets.parallel(branch, nets.Linear(4)), nets.Add(name="sum"), Dense(2))
    x, names = torch.randn(50, 8), ["dense", "drop", "sum"]
    quiet, noisy = (net.outputs(names, x, training=mode) for mode in (False, True))
    assert_same_bits(quiet[0], noisy[0])
    assert quiet[1].equal(quiet[0])
    assert quiet[1].sum() != noisy[1].sum()
    assert quiet[2].sum() != noisy[2].sum()


@pytest.mark.parametrize("first", [{"input_shape": (3, 4)}, {"batch_input_shape": (1, 3, 4)}])
def test_k6_time_distributed(first: dict[str, Any]) -> None:
    """K6: the same weights give the same, to 1e-5 there, here to the bit; other layers within."""
    over = TimeDistributed(Dense(2), **first)
    net, x = Sequential(over), torch.rand(1, 3, 4)
    functional.mse_loss(net(x), torch.rand(1, 3, 2)).backward()
    reference = Sequential(TDD(2, weights=over.layer.get_weights(), **first))
    assert_same_bits(reference.output(x), net.output(x))
    more = Sequential(TimeDistributed(Dense(2), **first), TimeDistributed(Dense(3, "relu")))
    assert more(x).shape == (1, 3, 3)


def test_k7_a_penalty_within_time_distributed_is_the_model_s() -> None:
    """K7: one loss of the model."""
    net = Sequential(TimeDistributed(Dense(2, W_regularizer="l1"), input_shape=(3, 4)))
    weight = net["time-distributed-1"].layer.weight
    assert torch.isclose(net.penalty(), 0.01 * weight.abs().sum())


# Where each layer is constant.
CONSTANT = [("1D", "tf", "010"), ("2D", "th", "0011"), ("2D", "tf", "0110")]
CONSTANT += [("3D", "th", "00111"), ("3D", "tf", "01110")]


@pytest.mark.parametrize("face", [nets, ng.torch])
@pytest.mark.parametrize(("name", "ordering", "constant"), CONSTANT)
def test_c6_constant_axes(name: str, ordering: str, constant: str, face: Any) -> None:
    """C6, and 5b: values {0, 1.25} at p = .2 in training, {1} otherwise; independent cells."""
    layer = getattr(face, f"SpatialDropout{name}")(0.2, dim_ordering=ordering, **SEEDED)
    shape = tuple(3 if sign == "1" else 60 for sign in constant)
    y = layer(torch.ones(shape)).numpy()
    assert set(np.unique(y)) == {0.0, 1.25}
    one = y[tuple(slice(1) if sign == "1" else slice(None) for sign in constant)]
    assert_same_bits(y, np.ascontiguousarray(np.broadcast_to(one, shape)))
    assert_rate(int((one == 0).sum()), 3600, 0.2)
    assert_same_bits(layer.eval()(torch.ones(shape)), torch.ones(shape))


@pytest.mark.parametrize("make", [nets.SpatialDropout2D, nets.SpatialDropout3D])
def test_c6_the_default_order_is_channels_first(make: Any) -> None:
    """'default' is the page's; no file of the user says what it means."""
    x = torch.ones(4, 5, 6, *(7,) * (2 if make is nets.SpatialDropout3D else 1))
    expected = make(0.5, "channels_first", **SEEDED)(x)
    assert_same_bits(make(0.5, **SEEDED)(x), expected)
    assert_same_bits(make(0.5, dim_ordering="default", **SEEDED)(x), expected)
    y = nets.SpatialDropout1D(0.5, dim_ordering="default")(torch.ones(9, 5, 40))
    assert (y == y[:, :1]).all()  # channels last, as there always


def test_c7_noise_shape_is_shared_axes() -> None:
    """C7: (N, 1) rows constant, (1, F) columns constant, a mismatch raises."""
    for axis in (1, 0):
        y = Dropout(0.5, shared_axes=axis)(torch.ones(200, 100))
        one = y.narrow(axis, 0, 1)
        assert y.equal(one.expand(200, 100))
        assert one.unique().tolist() == [0, 2]
    with pytest.raises(ng.InvalidValue, match="names axis 2, but the input of shape"):
        Dropout(0.5, shared_axes=2)(torch.ones(200, 100))


def test_c16_each_step_is_a_dense_layer() -> None:
    """C16: y[n, t] = act(x[n, t] W + b); as TimeDistributed(Dense) and Dense; rank 3 alone."""
    x, mask = torch.randn(5, 7, 3), torch.rand(5, 7) < 0.5
    weights = [np.random.default_rng(0).normal(size=s) for s in ((3, 4), (4,))]
    layer = TDD(4, activation="softmax", weights=weights)
    y = layer(x).detach().numpy()
    for n, t in np.ndindex(5, 7):
        z = np.exp(x[n, t].numpy() @ weights[0] + weights[1])
        assert np.allclose(y[n, t], z / z.sum(), atol=1e-6)
    other = Dense(4, "softmax", weights=weights)
    assert_same_bits(other(x), y)
    assert_same_bits(TimeDistributed(other)(x), y)
    for shape in ((5, 3), (5, 2, 7, 3)):
        for call in (lambda s: layer(torch.zeros(s)), lambda s: Sequential(Input(s[1:]), TDD(4))):
            with pytest.raises(ng.InvalidValue, match=r"it takes \(N, time, features\)"):
                call(shape)
    net = Sequential(Input((None, 3)), TDD(4, weights=weights))
    masked = net.output(x.where(mask[..., None], 0.0), mask=mask)
    assert net.compute_mask(x, mask=mask).equal(mask)
    assert torch.allclose(masked[~mask], torch.as_tensor(weights[1]).float())  # b, and not 0


def by_name(w: Tensor) -> Tensor:
    return w.square().mean()


def test_c17_the_config_has_the_page_s_keys() -> None:
    """C17: eleven keys of its own, name and trainable; JSON and back; all of it comes back."""
    keys = "output_dim init activation W_regularizer b_regularizer activity_regularizer"
    keys += " W_constraint b_constraint bias input_dim input_length name trainable"
    assert sorted(TDD(3).get_config()) == sorted(keys.split())
    config = {"name": "l2", "l": 0.25}
    layer = TDD(3, "normal", "relu", None, "l1", by_name, config, "maxnorm", "nonneg", False, 4, 5)
    copy = again(layer, by_name=by_name)
    assert copy.get_config() == layer.get_config()
    assert (copy.b_regularizer, copy.activity_regularizer) == (by_name, penalties.L1L2(l2=0.25))


def test_c17_configs_that_keras_wrote_are_read() -> None:
    """5d: as its 1.0, 1.1 and 1.2 wrote them, float32's rounding too."""
    for name in ("L1L2Regularizer", "WeightRegularizer", "ActivityRegularizer"):
        config = {"name": name, "l1": 0.0, "l2": 0.009999999776482582}
        assert TDD(3, b_regularizer=config).b_regularizer == penalties.L1L2(0.0, config["l2"])


@pytest.mark.parametrize("p", [0.2, 0.5, 0.9])
def test_s4_gaussian_dropout(p: float) -> None:
    """S4: mean 1 and deviation sqrt(p / (1 - p)): .5, 1 and 3."""
    y = nets.GaussianDropout(p, **SEEDED)(torch.ones(1000, 200)).double()
    sd = math.sqrt(p / (1 - p))
    assert_within(y.mean(), 1, sd / math.sqrt(y.numel()))
    assert_within(y.var(), sd**2, sd**2 * math.sqrt(2 / y.numel()))


def varied(layer: Any) -> Any:
    layer.variable(2.0, "gain", (3,))
    return layer


WHOLE: list[Callable[[], Any]] = [
    lambda: nets.SpatialDropout1D(0.5, dim_ordering="th", **SEEDED),
    lambda: Dropout(0.5, shared_axes=(1, 2), rescale=False, **SEEDED),
    lambda: TDD(3, activation=nn.SiLU()),
    lambda: TDD(3, torch.nn.init.ones_, torch.sin, None, by_name),
    lambda: TimeDistributed(Dense(3, "relu", W_constraint="nonneg"), trainable=False),
    lambda: TimeDistributed(Dropout(0.5, **SEEDED), shared_mask=True),
    lambda: TimeDistributed(nets.join(Input(4), nets.Relu(3, b_regularizer="l1"), ng.Dropout(0.3))),
    lambda: TimeDistributed(nn.Linear(4, 2)),
    lambda: TimeDistributed(varied(Dense(3))),
    lambda: nets.Masking(-1.0),
    lambda: nets.LSTM(3, return_sequences=True, num_layers=2, bidirectional=True),
]


@pytest.mark.parametrize("make", WHOLE)
def test_f5_nothing_is_lost_in_a_file(make: Callable[[], Any], tmp_path: Path) -> None:
    """F5: there noise_shape, seed and dim_ordering were; the noise is the same to the bit."""
    net = nets.join(Input((5, 4)), make())
    net.save(tmp_path / "net")
    custom = {"by_name": by_name, "sin": torch.sin, "ones_": nn.init.ones_}
    custom |= {"SiLU": nn.SiLU(), "Linear": lambda: nn.Linear(4, 2)}
    loaded = nets.load(tmp_path / "net", custom)
    x, mask, found = torch.randn(2, 5, 4), torch.rand(2, 5) < 0.7, []
    for one in (net, loaded):
        torch.manual_seed(3)
        (last,) = (one.layers[name] for name in one.exits)
        grads = [(n, p.requires_grad) for n, p in one.named_parameters()]
        found.append((one(x, mask=mask).tolist(), last.get_config(), grads))
    assert found[0] == found[1]


RANKS = {"1D": "(N, L, C)", "2D": "(N, H, W, C)", "3D": "(N, D, H, W, C)"}


@pytest.mark.parametrize("face", [nets, ng.torch])
@pytest.mark.parametrize("name", RANKS)
def test_f14_a_wrong_rank_is_refused_where_it_is_given(name: str, face: Any) -> None:
    """F14: there the backend failed, at a slice or at shapes that it had made itself."""
    layer = getattr(face, f"SpatialDropout{name}")(0.5, dim_ordering="tf")
    for rank in {2, 3, 4, 5, 6} - {int(name[0]) + 2}:
        shapes = f"the input must have the shape {RANKS[name]}; got {rank * (2,)}."
        for training in (True, False):
            with assert_sentence(ng.InvalidValue, f"SpatialDropout{name}: {shapes}"):
                layer.train(training)(torch.ones(rank * (2,)))


def test_f15_without_bias_it_trains() -> None:
    """F15: up to 1.1.2 its weights were neither trained nor saved; nor was any length taken."""
    layer = TDD(2, bias=False, input_dim=3, input_length=None)
    net, x = Sequential(layer), torch.randn(20, 6, 3)
    y, before, losses = x @ torch.randn(3, 2), layer.get_weights()[0], []
    optimizer = torch.optim.SGD(net.parameters(), lr=0.3)
    for length in (6, 5, 4) * 20:
        optimizer.zero_grad()
        loss = functional.mse_loss(net(x[:, :length]), y[:, :length])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]
    assert (layer.get_weights()[0] != before).all()
    assert list(net.state_dict()) == ["time-distributed-dense-1.weight"]


def test_f16_dropout_over_time_with_a_fixed_batch() -> None:
    """F16: a MissingInputError on Theano; 5c: each step has a mask of its own."""
    net = Sequential(TimeDistributed(Dropout(0.5), batch_input_shape=(4, 5, 100)))
    y = net(torch.ones(4, 5, 100))
    assert (y[:, 1:] != y[:, :1]).any()
    assert net.output_shape == (4, 5, 100)


def test_5b_rates_and_arguments() -> None:
    """There 0, 1, -.5 and 1.5 removed nothing, without a word."""
    x = torch.ones(3, 4)
    assert Dropout(0.0)(x) is x
    assert nets.GaussianNoise(0.0)(x) is x
    assert not Dropout(1.0)(x).any()
    assert list(Sequential(Dropout(0.5, input_shape=(4,))).layers) == ["input-1", "dropout-1"]
    for words, kind, wrong in (
        (r"`p` must be in \[0, 1\]; got 1.5", Dropout, {"p": 1.5}),
        ("`sigma` must be .* >= 0; got -1", nets.GaussianNoise, {"sigma": -1.0}),
        ("'ht'", nets.SpatialDropout2D, {"p": 0.5, "dim_ordering": "ht"}),
        ("`data_format` is needed", nets.SpatialDropout1D, {"p": 0.5}),
    ):
        with pytest.raises((ng.InvalidValue, ng.InvalidType), match=words):
            kind(**wrong)


ABS, SQUARE = (lambda w: np.abs(w).sum()), (lambda w: (w**2).sum())
PENALTIES: list[tuple[Any, Callable[[np.ndarray], float]]] = [
    ("l1", lambda w: 0.01 * ABS(w)),
    ("l2", lambda w: 0.01 * SQUARE(w)),
    ("l1l2", lambda w: 0.01 * ABS(w) + 0.01 * SQUARE(w)),
    (penalties.l1l2(0.3, 0.2), lambda w: 0.3 * ABS(w) + 0.2 * SQUARE(w)),
    (penalties.l2, lambda w: 0.01 * SQUARE(w)),
    ({"name": "L1L2", "l1": 0.5}, lambda w: 0.5 * ABS(w)),
    (by_name, lambda w: (w**2).mean()),
]


@pytest.mark.parametrize(("given", "by_hand"), PENALTIES)
def test_5d_penalties_by_hand(given: Any, by_hand: Any) -> None:
    """Three losses; that of outputs: of a sample, the mean, of the last forward in training."""
    words = ("W_regularizer", "b_regularizer", "activity_regularizer")
    layer, x = TDD(4, **dict.fromkeys(words, given)), torch.randn(5, 7, 3)
    net = Sequential(Input((None, 3)), layer)
    layer.set_weights([torch.randn(3, 4), torch.randn(4)])
    of_weights = sum(by_hand(w.astype(float)) for w in layer.get_weights())
    net.output(x)
    assert math.isclose(net.penalty().item(), of_weights, rel_tol=1e-5)
    of_outputs = by_hand(net(x).detach().double().numpy()) / 5
    assert math.isclose(net.penalty().item(), of_weights + of_outputs, rel_tol=1e-5)


def test_5d_a_penalty_of_outputs_is_the_same_when_asked_again() -> None:
    net = Sequential(Input((None, 3)), TDD(4, activity_regularizer="l2"))
    net(torch.randn(5, 7, 3))
    assert net.penalty().item() == net.penalty().item() > 0


def test_5d_a_penalty_of_outputs_is_of_a_sample_also_within_a_network() -> None:
    layers = [Dense(4, init=torch.ones, activity_regularizer="l1") for _ in range(2)]
    x, found = torch.randn(5, 7, 3), []
    for layer in (layers[0], nets.join(Input(3), layers[1])):
        net = nets.join(Input((None, 3)), TimeDistributed(layer))
        net(x)
        found.append(net.penalty().item())
    assert math.isclose(*found, rel_tol=1e-5)


CONSTRAINTS: list[tuple[Any, Callable[[np.ndarray], np.ndarray]]] = [
    ("maxnorm", lambda w: w * np.minimum(1, 2 / np.linalg.norm(w, axis=0))),
    (penalties.maxnorm(0.1), lambda w: w * np.minimum(1, 0.1 / np.linalg.norm(w, axis=0))),
    (penalties.UnitNorm(axis=-1), lambda w: w / np.linalg.norm(w, axis=-1, keepdims=True)),
    ("unitnorm", lambda w: w / np.linalg.norm(w, axis=0)),
    ({"name": "NonNeg"}, lambda w: np.maximum(w, 0)),
    (lambda w: w.round(), np.round),
]


@pytest.mark.parametrize(("given", "by_hand"), CONSTRAINTS)
def test_5d_constraints_by_hand(given: Any, by_hand: Any) -> None:
    layers = [TDD(4, W_constraint=given, b_constraint=given), Dense(4, W_constraint=given)]
    net = nets.join(Input((None, 3)), layers[0], TimeDistributed(nets.join(Input(4), layers[1])))
    for layer in layers:
        layer.set_weights([3 * torch.randn(w.shape) for w in layer.get_weights()])
    (w, b), (inner, free) = (layer.get_weights() for layer in layers)
    net.constrain()
    after = [found for layer in layers for found in layer.get_weights()]
    for found, expected in zip(after, [*map(by_hand, (w, b, inner)), free], strict=True):
        assert np.allclose(found, expected, atol=1e-6)


W, B = np.arange(12.0, dtype="f").reshape(3, 4), np.ones(4, "f")
REFUSED: dict[str, list[dict[str, Any]]] = {
    "`b_constraints`; .* Did you mean `b_constraint`": [{"b_constraints": "maxnorm"}],
    "must be a callable, or one of": [{"init": "glorot"}, {"activation": "rleu"}],
    "be a callable, or one of": [{"W_constraint": "maxnrm"}, {"b_regularizer": "l3"}],
    "`W_regularizer`": [{"W_regularizer": {"name": "MaxNorm", "m": 2}}],
    "`output_dim` must be a whole number of at least 1": [{"output_dim": 0}],
    "`weights` must be 2 arrays; got": [{"weights": [W]}, {"weights": [W, B, B]}],
    r"the weight as \(input_dim, output_dim\); got": [
        {"weights": wrong} for wrong in ([W.T, B], [W, B[:3]], [W.ravel(), B], [W[None], B])
    ],
}


@pytest.mark.parametrize("words", REFUSED)
def test_5d_what_is_refused(words: str) -> None:
    for given in REFUSED[words]:
        with pytest.raises((ng.InvalidType, ng.InvalidValue), match=words):
            TDD(**{"output_dim": 4, **given})


def test_5d_weights() -> None:
    """Of the page's orientation, in and out; with them, init is not asked."""
    called: list[Any] = []
    layer = TDD(4, called.append, weights=[W, B])
    assert not called
    for found, given in zip(layer.get_weights(), (W, B), strict=True):
        assert_same_bits(found, given)
    layer.get_weights()[0][:] = 7  # copies
    layer.set_weights([2 * W, B])
    assert (layer.get_weights()[0] == 2 * W).all()
    assert len(TDD(4, bias=False, weights=[W]).get_weights()) == 1
    with pytest.raises(ng.InvalidValue, match="its parameters are for in_features=3"):
        Sequential(Input((5, 2)), TDD(4, weights=[W, B]))
