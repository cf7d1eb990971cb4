"""The noise that recurrent layers of networks have by themselves, and rules in its place."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import noisegate as ng
from _asserts import assert_same_bits, assert_sentence
from noisegate import nets
from noisegate.estimators import Classifier
from noisegate.nets import Input, Linear, Network, join, load

NOISE: dict[str, Any] = {
    "recurrent_dropout": {"recurrent_dropout": 0.4},
    "zoneout": {"recurrent_dropout": ng.Zoneout(0.4)},
    "layer_dropout": {"layer_dropout": 0.4},
    "all": {"recurrent_dropout": ng.Dropout(0.4, shared_axes=(0, 1)), "layer_dropout": 0.2},
}
every_noise = pytest.mark.parametrize("name", NOISE)


def make(kind: str = "LSTM", **words: Any) -> Network:
    torch.manual_seed(1)
    layer = getattr(nets, kind)(6, return_sequences=True, num_layers=2, name="r", **words)
    return join(Input((None, 3)), layer, Linear(2))


def make_input() -> Tensor:
    return torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(2))


def draw(model: nn.Module, x: Tensor, seed: int) -> Tensor:
    torch.manual_seed(seed)
    y: Tensor = model(x)
    return y


@every_noise
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_a_layer_draws_afresh_by_torch_s_generator(name: str, kind: str) -> None:
    """In training; in evaluation it is plain, or has the expectation of zoneout."""
    net, x = make(kind, **NOISE[name]), make_input()
    net.train()
    assert_same_bits(draw(net, x, 1), draw(net, x, 1))
    assert not torch.equal(draw(net, x, 1), draw(net, x, 2))
    net.eval()
    plain = make(kind)
    plain.load_state_dict(net.state_dict())
    assert torch.equal(net(x), plain.eval()(x)) is (name != "zoneout")
    assert list(net.state_dict()) == list(plain.state_dict())


def test_a_mask_of_a_masked_sequence_is_that_of_its_time_steps() -> None:
    net, x = make(recurrent_dropout=0.4), make_input()
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0], [1, 1, 0, 0, 0]]) > 0
    net.train()
    layer: Any = net["r"]
    torch.manual_seed(1)
    y = layer(x, mask=mask)
    assert_same_bits(y[1], draw(layer, x, 1)[1])


@every_noise
def test_existing_takes_it_over_and_predictions_use_it(name: str) -> None:
    net, x = make(**NOISE[name]), make_input()
    net.train()
    with ng.inject(net, existing=True, seed=3) as noise:
        ports = {"state": "recurrent_dropout", "layers": "layer_dropout"}
        wanted = [f"r:{port}" for port, word in ports.items() if word in NOISE[name]]
        assert sorted(set(noise.sites) - {"r:dropout"}) == sorted(wanted)
        with noise.at(0):
            y = draw(net, x, 1)
        with noise.at(0):
            assert_same_bits(draw(net, x, 2), y)
        with noise.off():
            assert_same_bits(draw(net, x, 1), draw(net, x, 1))
            assert not torch.equal(draw(net, x, 1), y)
    found = ng.predict(net.eval(), x, [0], existing=True, seed=3, keep_samples=True)
    torch.testing.assert_close(torch.as_tensor(found.samples)[0], y)


def test_a_rule_takes_its_place() -> None:
    net, plain, x = make(recurrent_dropout=0.9), make(), make_input()
    rules = {"r:state": 0.2}
    outputs = []
    for model in (net.train(), plain.train()):
        with ng.inject(model, rules, seed=3):
            outputs.append(model(x))
    assert_same_bits(*outputs)
    with ng.inject(net, recurrent_dropout=0.0, seed=3):
        assert_same_bits(net(x), plain(x))


@every_noise
def test_files_and_copies_keep_it(name: str, tmp_path: Path) -> None:
    net, x = make(**NOISE[name]), make_input()
    path = tmp_path / "net.noisegate"
    net.save(path)
    for again in (load(path), copy.deepcopy(net), nets.from_config(net.get_config())):
        assert repr(again["r"]) == repr(net["r"])
        again.load_state_dict(net.state_dict())
        assert_same_bits(draw(again.train(), x, 1), draw(net.train(), x, 1))


def test_compiled_code_has_it() -> None:
    net, x = make(recurrent_dropout=0.4).train(), make_input()
    torch._dynamo.reset()
    compiled = torch.compile(net, backend="eager")
    assert_same_bits(draw(compiled, x, 1), draw(net, x, 1))


def test_wrong_arguments() -> None:
    with assert_sentence(
        ng.InvalidValue, "Dropout: `p` must be in [0, 1]; got 2.0. Did you mean 0.2?"
    ):
        nets.LSTM(3, recurrent_dropout=2)
    with assert_sentence(
        ng.InvalidValue,
        "Dropout: `p` is a schedule, and without a seed there is no step to read it at. Give "
        "`seed=` and `site=`, a `key=`, or put the noise in with noisegate.inject.",
    ):
        nets.LSTM(3, recurrent_dropout=ng.schedule.linear(0, 0.5, steps=9))
    with pytest.raises(ng.InvalidType, match="the noise of ':state' must be a number or a kind"):
        nets.GRU(3, recurrent_dropout="0.5")
    with pytest.raises(ng.InvalidType, match="unknown keyword `cell_zoneout`"):
        nets.GRU(3, cell_zoneout=0.5)


def test_estimators_take_recurrent_dropout() -> None:
    x = np.random.default_rng(0).normal(size=(40, 5, 3)).astype(np.float32)
    y = (x[:, :, 0].sum(1) > 0).astype(int)
    network = join(Input((None, 3)), nets.LSTM(4, name="r"), Linear(2))
    model = Classifier(network, max_epochs=2, random_state=0, recurrent_dropout=0.3)
    model.fit(x, y)
    _, std = model.predict_proba(x, samples=5, return_std=True, recurrent_dropout=0.5, seed=1)
    assert std.max() > 0
    assert_same_bits(model.predict_proba(x), model.predict_proba(x))
