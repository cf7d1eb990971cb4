"""Calls of layers and networks as NeuPy and Lasagne write them: by place, by name, by a dict."""

from typing import Any

import numpy as np
import pytest
import torch

from _asserts import assert_same_bits
from noisegate import nets
from noisegate.nets import Dropout, Input, Network, Relu, get_output, join

X = torch.ones(40, 6)
NOISY: list[Any] = [
    Dropout(0.5),
    Dropout((None, 6), 0.5, seed=1, site="a"),
    nets.GaussianNoise(0.5),
    nets.dropout_channels(p=0.5),
    nets.locked_dropout(p=0.5, time_axis=1),
    nets.NoiseLayer(nets.Dropout(0.5).kind),
    join(Input(6), Dropout(0.5)),
    join(Input(6), Relu(9), Dropout(0.5)),
]


def net() -> Network:
    both = Input(6, name="a") | Input(6, name="b")
    return join(both, nets.Add(), Dropout(0.5))


@pytest.mark.parametrize("true", [True, np.True_])
@pytest.mark.parametrize("layer", NOISY, ids=str)
def test_a_truth_value_behind_the_input_is_the_mode(layer: Any, true: Any) -> None:
    clean = layer.output(X)
    assert torch.equal(layer.output(X, not true), clean)
    assert torch.equal(layer.get_output_for(X, true), clean)
    assert torch.equal(layer.get_output_for(input=X, deterministic=True), clean)
    assert torch.equal(layer.output(input_value=X), clean)
    for noisy in (
        layer.output(X, true),
        layer.output(input_value=X, training=True),
        layer.get_output_for(X, not true),
        layer.get_output_for(X),
        layer.get_output_for(input=X),
    ):
        assert noisy.shape == clean.shape
        assert not torch.equal(noisy, clean)


def test_it_is_so_of_layers_with_weights_and_of_several_inputs() -> None:
    layer = join(Input(6), Relu(4))["relu-1"]
    assert torch.equal(layer.output(X, True), layer.get_output_for(X, True))
    clean, noisy = net().output(X, X, False), net().output(X, X, True)
    assert (clean == 2).all()
    assert set(noisy.unique().tolist()) == {0.0, 4.0}
    assert (net().get_output_for(X, X, True) == 2).all()
    (found,) = net().outputs(["dropout-1"], X, X, True)
    assert (found == 0).any()


def test_rows_go_by_place_before_the_mode() -> None:
    layer = Dropout((None, 6), 0.5, seed=1, site="a")
    whole = layer.output(X, True)
    layer.step = 0
    assert_same_bits(layer.output(X[3:5], [3, 4], True), whole[3:5])
    layer.step = 0
    assert_same_bits(layer.get_output_for(X[3:5], [3, 4], False), whole[3:5])


def test_inputs_are_a_dict_as_in_get_output() -> None:
    network, b = net(), torch.full((40, 6), 2.0)
    first, second = network.layers["a"], network.layers["b"]
    for inputs in ({"b": b, "a": X}, {second: b, first: X}, {first: X, "b": b.numpy()}):
        assert (network.output(inputs) == 3).all()
        assert (get_output(network, inputs, deterministic=True) == 3).all()
        assert (network.get_output_for(inputs, True) == 3).all()
        assert set(network.output(inputs, True).unique().tolist()) == {0.0, 6.0}
        found = network.outputs(["b", "dropout-1"], inputs)
        assert [part.unique().item() for part in found] == [2, 3]
