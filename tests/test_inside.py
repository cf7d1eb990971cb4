"""Dropout inside torch's functions of attention and recurrent layers is taken over whole."""

import copy
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils.checkpoint import checkpoint

import noisegate as ng
from _asserts import assert_same_bits, assert_sentence
from _inside import INSIDE, SAMPLES, TIME, WIDTH, P, make_input, make_model

X = make_input()
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")
# So rare that no element of these models is removed, and its scale is 1 in float32.
NEVER = ng.Dropout(2**-32)


def run(model: nn.Module, seed: int = 0, x: Tensor = X) -> Tensor:
    """Return the output under a seed of torch; no generator moves."""
    torch.manual_seed(seed)
    before = torch.get_rng_state()
    y: Tensor = model(x)
    assert_same_bits(torch.get_rng_state(), before)
    return y.detach()


@pytest.mark.parametrize("name", INSIDE)
def test_the_noise_is_that_of_the_step_whatever_torch_s_seed(name: str) -> None:
    model, sites = make_model(name), INSIDE[name][1]
    with ng.inject(model, existing=True, seed=13) as noise:
        outputs = [run(model, seed) for seed in (0, 1)]
        assert not torch.equal(*outputs)
        noise.step = 0
        assert_same_bits(run(model, 2), outputs[0])
        rows = {row[0]: row for row in noise.report().rows}
        assert set(sites) <= rows.keys()
        for site in sites:
            assert rows[site][1:2] + rows[site][5:6] == (f"Dropout(p={P})", "1")
            assert 0.1 < float(rows[site][6]) < 0.5
        assert not noise.report().notes
        evaluated = run(model.eval())
        assert noise.step == 1
    torch.testing.assert_close(run(model), evaluated)


@pytest.mark.parametrize("name", INSIDE)
def test_each_site_acts_alone_and_leaves_no_trace(name: str) -> None:
    model = make_model(name)
    torch.manual_seed(0)
    own = model(X)
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    for site in INSIDE[name][1]:
        outputs = []
        for rate in (1.0, 0.4):
            torch.manual_seed(0)
            noise = ng.inject(model, {site: rate}, seed=1)
            outputs.append(model(X))
            noise.remove()
        assert not torch.equal(outputs[0], outputs[1])
    torch.manual_seed(0)
    assert_same_bits(model(X), own)
    assert hooks == [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    assert not any("forward" in vars(m) for m in model.modules())


@pytest.mark.parametrize("name", INSIDE)
def test_noise_that_changes_nothing_changes_nothing(name: str) -> None:
    model = make_model(name)
    outputs, gradients = [], []
    for rule in (0.0, NEVER):
        rules = dict.fromkeys(INSIDE[name][1], rule)
        with ng.inject(model, rules, existing=True, seed=1, example=X) as noise:
            if "coder" in name or name == "transformer":  # other dropouts
                noise.set_rate("*:dropout", 0.0)
            model.zero_grad()
            y = model(X)
            y.square().sum().backward()
            outputs.append(y.detach())
            gradients.append([p.grad for p in model.parameters() if p.grad is not None])
    if name == "fused attention" or "coder" in name or name == "transformer":
        torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-5, atol=1e-6)
    else:
        assert_same_bits(outputs[1], outputs[0])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", INSIDE)
def test_a_sample_s_noise_depends_on_no_other_sample(name: str) -> None:
    model = make_model(name)
    noise = ng.inject(model, existing=True, seed=13, example=X)
    whole = run(model)
    with noise.at(0):
        parts = torch.cat([run(model, x=X[:1]), run(model, x=X[1:])])
    torch.testing.assert_close(parts, whole)
    order = [2, 0, 3, 1]
    with noise.at(0, rows=order):
        torch.testing.assert_close(run(model, x=X[order]), whole[order])


@pytest.mark.parametrize("name", INSIDE)
def test_predictions_are_samples_of_training(name: str) -> None:
    model = make_model(name).eval()
    samples = ng.predict(model, X, 10, existing=True, seed=3, keep_samples=True).samples
    parts = ng.predict(model, X, 10, existing=True, seed=3, keep_samples=True, batch_size=3)
    assert samples is not None
    assert parts.samples is not None
    np.testing.assert_allclose(parts.samples, samples, atol=1e-5)
    with ng.inject(model.train(), existing=True, seed=3) as noise:
        noise.step = 7
        np.testing.assert_allclose(run(model).numpy(), samples[7], atol=1e-5)
    assert (samples.std(0) > 0).mean() > 0.5


@pytest.mark.parametrize("name", INSIDE)
def test_copies_pickles_and_checkpoints_have_the_same_noise(name: str) -> None:
    model = make_model(name)
    ng.inject(model, existing=True, seed=13, example=X)
    x = X.clone().requires_grad_()
    expected = [model(x), model(x)]
    sum(y.square().sum() for y in expected).backward()
    gradient = x.grad
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        (noise,) = ng.handles(other)
        assert noise.step == 2
        noise.step = 0
        assert_same_bits(other(X), expected[0].detach())
    (noise,) = ng.handles(model)
    for reentrant in (True, False):
        noise.step, x.grad = 0, None
        total = sum(checkpoint(model, x, use_reentrant=reentrant).square().sum() for _ in range(2))
        total.backward()
        torch.testing.assert_close(x.grad, gradient)


@pytest.mark.parametrize("name", INSIDE)
@pytest.mark.parametrize("backend", ["aot_eager"])
def test_compiled_code_has_the_same_noise(name: str, backend: str) -> None:
    model = make_model(name)
    with ng.inject(model, existing=True, seed=13, example=X) as noise:
        expected = [run(model) for _ in range(2)]
        report = str(noise.report())
    # Dynamo makes no graph of torch's recurrent modules, with noise or without.
    whole = not hasattr(model, "rnn")
    with ng.inject(model, existing=True, seed=13, example=X) as noise:
        compiled = torch.compile(model, backend=backend, fullgraph=whole)
        for y in expected:
            if name == "a recurrent function":  # torch's graph has another formula
                torch.testing.assert_close(compiled(X).detach(), y)
            else:
                assert_same_bits(compiled(X).detach(), y)
        assert str(noise.report()) == report
    torch.compiler.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(model.eval())


class OfEither(nn.Module):
    """A recurrent model of a padded input or a packed one."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(WIDTH, 5, 2, dropout=P, batch_first=True)
        self.drop = nn.Dropout(P)

    def forward(self, x: Any) -> Tensor:
        y = self.lstm(x)[0]
        return self.drop(y if isinstance(y, Tensor) else pad_packed_sequence(y, True)[0])


@pytest.mark.parametrize("rows", [None, [7, 9, 4, 2**63]])
def test_a_packed_input_has_the_samples_of_the_padded_one(rows: list[int] | None) -> None:
    x, lengths = make_input(), [3, TIME, 1, 4]
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    outputs = []
    for given in (x, packed):
        torch.manual_seed(1)
        model = OfEither()
        noise = ng.inject(model, existing=True, seed=13)
        with noise.at(3, rows=rows):
            micro = [model(given)] if rows else [model(given), model(given)]
        outputs.append(torch.cat(micro))
    for i, (padded, of_packed) in enumerate(zip(*outputs, strict=True)):
        length = lengths[i % SAMPLES]
        torch.testing.assert_close(of_packed[:length], padded[:length])


def test_a_packed_input_is_no_input_of_predictions() -> None:
    packed = pack_padded_sequence(make_input(), [TIME] * SAMPLES, batch_first=True)
    with assert_sentence(
        ng.errors.InvalidType,
        "predict: `x` holds a PackedSequence, of which no samples can be taken or repeated. "
        "Pass the padded tensor with the lengths, and pack it in the model.",
    ):
        ng.predict(OfEither(), packed, existing=True)
