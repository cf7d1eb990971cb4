"""Tensors that belong to several: live rates of the user's, and weights of several layers."""

import copy
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from noisegate import estimators, nets
from noisegate.estimators import Regressor
from noisegate.nets import (
    Dropout,
    GaussianNoise,
    Input,
    Linear,
    Network,
    Relu,
    from_config,
    get_output,
    join,
    load,
    repeat,
)

X = torch.ones(50, 40)


def rate(p: float = 0.5) -> Tensor:
    return torch.tensor(p)


MOVES: dict[str, Callable[[nn.Module], Any]] = {
    "float": lambda m: m.float(),
    "double": lambda m: m.double(),
    "half": lambda m: m.half(),
    "bfloat16": lambda m: m.bfloat16(),
    "to": lambda m: m.to("cpu", torch.float64),
    "type": lambda m: m.type(torch.float64),
    "share_memory": lambda m: m.share_memory(),
}


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
@pytest.mark.parametrize("make", [Dropout, nets.dropout_channels, GaussianNoise])
def test_a_live_rate_stays_the_user_s_tensor(move: Any, make: Any) -> None:
    p = rate()
    network = join(Input(40), make((None, 40), p))
    move(network)
    (name,) = (name for name in network.layers if name != "input-1")
    word = network[name].kind.RATE
    assert getattr(network[name], word) is p
    assert network.state_dict()[f"{name}.{word}"].data_ptr() == p.data_ptr()
    x = X.to(torch.float64)
    assert not torch.equal(network(x), x)
    p.fill_(0.0)
    assert torch.equal(network(x), x)


@pytest.mark.parametrize("make", [lambda d: d, lambda d: Relu(40) >> d, lambda d: [Relu(40), d]])
def test_copies_of_repeat_read_the_same_rate(make: Any) -> None:
    p = rate()
    network = join(Input(40), repeat(make(Dropout(p=p)), 3))
    found = [layer.p for layer in network.layers.values() if isinstance(layer, Dropout)]
    assert len(found) == 3
    assert all(each is p for each in found)
    p.fill_(1.0)
    assert not network(X).any()


def test_a_layer_that_was_attached_is_repeated_with_what_is_behind_it() -> None:
    p = rate()
    last = Dropout(Relu(40) >> Dropout(p=p))
    network = join(Input(40), repeat(join(last), 2))
    assert [layer.p is p for layer in network.layers.values() if isinstance(layer, Dropout)] == [
        True,
        False,
        True,
        False,
    ]


def test_an_estimator_reads_the_rate_and_a_deep_copy_has_its_own() -> None:
    p = rate(0.0)
    network = join(Input(3), Relu(8), Dropout(p=p), Linear(1))
    x = np.ones((20, 3), np.float32)
    model = Regressor(network, max_epochs=1, random_state=1).fit(x, x[:, :1])
    assert model.network_ is not network
    assert model.network_["dropout-1"].p is p
    clean = get_output(model.network_, x)
    p.fill_(0.5)
    assert not torch.equal(get_output(model.network_, x), clean)
    own = copy.deepcopy(network)["dropout-1"]
    own.p = 0.25
    assert (own.p.item(), p.item()) == (0.25, 0.5)


# Weights -----------------------------------------------------------------------------------------


def tied() -> Network:
    p = rate()
    layers = [Relu(4, name="a"), Relu(4, name="b"), Dropout(p=p), Dropout(p=p), Linear(4, name="c")]
    network = join(Input(4), *layers)
    for name in ("b", "c"):
        network[name].weight = network["a"].weight
    network["c"].bias = network["a"].bias
    return network


@pytest.mark.parametrize("make", [lambda path, n: n.save(path) or load(path), None])
def test_what_layers_share_survives(tmp_path: Path, make: Any) -> None:
    network = tied()
    config = network.get_config()
    found = from_config(config) if make is None else make(tmp_path / "net", network)
    assert found["a"].weight is found["b"].weight is found["c"].weight
    assert found["a"].bias is found["c"].bias
    assert found["a"].bias is not found["b"].bias
    assert found["dropout-1"].p is found["dropout-2"].p
    assert len(list(found.parameters())) == len(list(network.parameters())) == 3
    assert found.get_config() == config
    if make is not None:
        assert all(torch.equal(v, found.state_dict()[n]) for n, v in network.state_dict().items())
        x = torch.randn(3, 4)
        assert torch.equal(found.output(x), network.output(x))
    with torch.no_grad():
        found["a"].weight.zero_()
    assert not found["c"].weight.any()


def test_a_network_within_shares_too(tmp_path: Path) -> None:
    network = join(Input((None, 4)), nets.TimeDistributed(tied()), Linear(4))
    inner = network["time-distributed-1"].layer
    network["linear-1"].weight = inner["a"].weight
    network.save(tmp_path / "net")
    found = load(tmp_path / "net")
    within = found["time-distributed-1"].layer
    assert found["linear-1"].weight is within["a"].weight is within["b"].weight


def test_nothing_is_written_where_nothing_is_shared() -> None:
    assert "shared" not in join(Input(4), Relu(4), Relu(4)).get_config()


# Attributes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "made",
    [
        join(Relu(5)),
        nets.Sequential(),
        join(Input(3), Relu(5)),
        *(Relu(), Relu(5), nets.LSTM(3), nets.Convolution2d(3, 3), nets.Embedding(3, 4)),
        *(nets.TimeDistributed(Relu(3)), nets.Concatenate(), Input(), nets.BatchNorm()),
        *(Regressor(), estimators.Classifier(), estimators.Autoencoder()),
    ],
    ids=str,
)
def test_attributes_can_be_looked_at(made: Any) -> None:
    assert dict(inspect.getmembers(made))["__class__"] is type(made)
    for old in ("fit_generator", "get_output_shape_for", "itertrain"):
        assert not hasattr(made, old)


def test_a_layer_may_have_an_old_method_s_name() -> None:
    assert join(Input(3), Relu(5, name="fit")).fit.name == "fit"


def test_an_open_network_has_no_shapes_yet() -> None:
    network = join(Relu(5))
    assert not hasattr(network, "input_shape")
    network(torch.ones(2, 3))
    assert network.input_shape == (None, 3)


def test_shared_weights_of_recurrent_layers_are_in_use_after_loading(tmp_path: Path) -> None:
    network = join(Input((None, 3)), *(nets.LSTM(3, return_sequences=True) for _ in range(2)))
    for name, parameter in network["lstm-1"].named_parameters():
        setattr(network["lstm-2"], name, parameter)
    network.save(tmp_path / "net")
    found, x = load(tmp_path / "net"), torch.randn(2, 4, 3)
    assert torch.equal(found.output(x), network.output(x))
    with torch.no_grad():
        for parameter in found["lstm-1"].parameters():
            parameter.zero_()
    assert not found["lstm-2"].output(x).any()
