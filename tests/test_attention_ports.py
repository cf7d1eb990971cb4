"""Noise on the scores of an attention and on its heads, in every form that models write it."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import noisegate as ng
from _asserts import assert_same_bits, assert_sentence
from _attentions import FORMS, HEADS, KEYS, QUERIES, SAMPLES, WIDTH, Fused, by_hand, make_tensors
from noisegate.torch.model import attention

RULES = {":scores": 0.4, ":heads": 0.3}
SCORES, OUTPUTS = (SAMPLES, HEADS, QUERIES, KEYS), (SAMPLES, HEADS, QUERIES, WIDTH)
each_form = pytest.mark.parametrize("name", FORMS)
CAUSAL = torch.where(torch.ones(QUERIES, KEYS).tril() > 0, 0.0, -float("inf"))


def read_masks(noise: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the masks of scores and of heads, with heads on an axis of their own."""
    return tuple(
        noise.mask(f":{port}").reshape(*shape)
        for port, shape in (("scores", SCORES), ("heads", OUTPUTS))
    )


@each_form
@pytest.mark.parametrize("masked", [False, True])
def test_every_form_by_hand(name: str, masked: bool) -> None:
    tensors, mask = make_tensors(dtype=torch.float64), CAUSAL.double() if masked else None
    noise = ng.inject(FORMS[name](), RULES, seed=13)
    y = noise.host.model(*tensors, mask)
    kept, heads = read_masks(noise)
    assert 0.5 < kept.mean() < 0.7
    assert not (kept.all(-1)).all()
    torch.testing.assert_close(y, by_hand(tensors, kept, heads, 0.3, mask))
    site = ng.Stream(13).site(":scores").at(0)
    assert_same_bits(kept, ng.mask(ng.DropKey(0.4), SCORES, site, sample_axis="attention"))
    site, whole = ng.Stream(13).site(":heads").at(0), ng.Dropout(0.3, shared_axes=(2, 3))
    assert_same_bits(heads, ng.mask(whole, OUTPUTS, site, sample_axis="attention"))
    assert (heads == heads[..., :1, :1]).all()


def test_a_head_of_a_sample_is_one_number_of_the_field() -> None:
    """Row = sample · heads + head, offset 0: the first element of a query's first key."""
    noise = ng.inject(model := Fused(), {":heads": 0.5}, seed=13)
    model(*make_tensors())
    kind = ng.Dropout(0.5)
    site = ng.Stream(13).site(":heads").at(0)
    first = ng.mask(kind, SCORES, site, sample_axis="attention")[..., 0, 0]
    assert_same_bits(noise.mask(":heads")[..., 0, 0], first)
    assert 0 < first.mean() < 1


@each_form
@pytest.mark.parametrize("rule", [{":scores": 0.4}, {":heads": ng.GaussianNoise(0.3)}, RULES])
def test_padding_and_other_samples_change_nothing(name: str, rule: Any) -> None:
    ng.inject(model := FORMS[name](), rule, seed=13)
    with ng.handles(model)[0].at(2):
        y = model(*make_tensors())
    hidden = torch.zeros(12, 15)
    hidden[:, KEYS:] = -float("inf")
    with ng.handles(model)[0].at(2):
        padded = model(*make_tensors(5, 12, 15), hidden)
    torch.testing.assert_close(padded[:SAMPLES, :, :QUERIES], y)


@each_form
def test_p_0_and_p_1_are_exact(name: str) -> None:
    tensors = make_tensors()
    plain = FORMS[name]()(*tensors)
    for rules in ({":scores": 0.0}, {":heads": 0.0}, {":scores": 0.0, ":heads": 0.0}):
        ng.inject(model := FORMS[name](), rules, seed=13)
        assert_same_bits(model(*tensors), plain)
    for rules in ({":scores": 1.0}, {":heads": 1.0}):
        ng.inject(model := FORMS[name](), rules, seed=13)
        needing = [x.clone().requires_grad_() for x in tensors]
        y = model(*needing)
        assert_same_bits(y.detach(), torch.zeros(OUTPUTS))
        y.sum().backward()
        assert all((x.grad == 0).all() for x in needing)


@each_form
def test_a_query_whose_keys_are_all_removed_sees_none_that_is_masked(name: str) -> None:
    """Masks of models are finite: a softmax over them alone would show what they hide."""
    tensors = [x.requires_grad_() for x in make_tensors()]
    for low in (-float("inf"), torch.finfo(torch.float32).min, -1e4):
        mask = CAUSAL.clamp(min=low)
        noise = ng.inject(FORMS[name](), {":scores": 0.5}, seed=13)
        y = noise.host.model(*tensors, mask)
        kept = noise.mask(":scores").reshape(SCORES)
        alone = ~(kept & (CAUSAL == 0).numpy()).any(-1)
        assert alone.any()
        assert_same_bits((y == 0).all(-1).numpy(), alone)
        grads = torch.autograd.grad(y.square().sum(), tensors)
        assert all(x.isfinite().all() for x in grads)
        noise.remove()


@each_form
def test_additive_noise_acts_as_usual(name: str) -> None:
    tensors = make_tensors(dtype=torch.float64)
    noise = ng.inject(FORMS[name](), {":scores": ng.GaussianNoise(0.5)}, seed=13)
    y = noise.host.model(*tensors, CAUSAL.double())
    key = ng.Stream(13).site(":scores").at(0)
    moved = ng.GaussianNoise(0.5)(np.zeros(SCORES), key, sample_axis="attention")
    q, k, v = tensors
    scores = q @ k.mT / WIDTH**0.5 + torch.from_numpy(moved) + CAUSAL
    torch.testing.assert_close(y, scores.softmax(-1) @ v)


@each_form
def test_gradients(name: str) -> None:
    model = FORMS[name]()
    noise = ng.inject(model, RULES, seed=13)
    tensors = [x[:2, :2, :4].clone().requires_grad_() for x in make_tensors(dtype=torch.float64)]

    def run(*given: Tensor) -> Tensor:
        with noise.at(1):
            y: Tensor = model(*given)
        return y

    assert torch.autograd.gradcheck(run, tensors)
    assert torch.autograd.gradgradcheck(run, tensors)


@each_form
def test_compiled_checkpointed_copied_and_called_by_functions(name: str) -> None:
    tensors = make_tensors()
    model = FORMS[name]()
    noise = ng.inject(model, RULES, seed=13)
    expected = [model(*tensors) for _ in range(2)]
    assert not torch.equal(*expected)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        ng.handles(other)[0].step = 0
        for y in expected:
            assert_same_bits(other(*tensors), y)
    noise.step = 0
    compiled = torch.compile(copy.deepcopy(model), fullgraph=True, backend="aot_eager")
    for y in expected:
        torch.testing.assert_close(compiled(*tensors), y)
    noise.step = 0
    for y in expected:
        assert_same_bits(torch.func.functional_call(model, {}, tuple(tensors)), y)
    needing = [x.clone().requires_grad_() for x in tensors]
    grads = []
    for run in (model, lambda *given: checkpoint(model, *given, use_reentrant=False)):
        noise.step = 0
        grads.append(torch.autograd.grad(run(*needing).square().sum(), needing))
    for one, other in zip(*grads, strict=True):
        assert_same_bits(other, one)
    noise.remove()
    assert not model._forward_hooks
    assert not model._forward_pre_hooks


def test_rates_are_set_and_scheduled() -> None:
    ramp = ng.schedule.linear(0.2, 0.8, steps=3)
    noise = ng.inject(model := Fused(), {":scores": ramp, ":heads": ramp}, seed=13)
    shares = []
    for _ in range(4):
        model(*make_tensors(6, 16, 16))
        shares.append(float(1 - noise.mask(":scores").mean()))
    np.testing.assert_allclose(shares, [0.2, 0.4, 0.6, 0.8], atol=0.05)
    noise.set_rate("*:scores", 0.25)
    noise.set_rate("*:heads", 1.0)
    assert not model(*make_tensors()).any()
    kinds = [row[1] for row in noise.report().rows]
    assert kinds == ["DropKey(p=0.25)", "Dropout(p=1.0, shared_axes=(-2, -1))"]
    state = pickle.loads(pickle.dumps(noise.state()))
    assert ng.from_config(state["noises"][0]["noise"]) == ng.DropKey(0.25)


def test_blocks_of_queries_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = [x.requires_grad_() for x in make_tensors(queries=16, keys=16)]
    mask, results = torch.ones(16, 16, dtype=torch.bool).tril(), []
    for least in (1000, 3):
        monkeypatch.setattr(attention, "LEAST", least)
        monkeypatch.setattr(attention, "MOST", 1)
        noise = ng.inject(model := Fused(), {**RULES, ":probs": 0.2}, seed=13)
        y = model(*tensors, mask)
        grads = torch.autograd.grad(y.square().sum(), tensors)
        results.append((noise.mask(":scores"), y, *grads))
    (one, *values), (other, *others) = results
    assert_same_bits(one, other)
    for x, y in zip(values, others, strict=True):
        torch.testing.assert_close(y, x)


def test_a_prediction_has_them() -> None:
    class Attends(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.fused = nn.Linear(WIDTH, WIDTH), Fused()

        def forward(self, x: Tensor) -> Tensor:
            heads = self.linear(x).unflatten(-1, (2, -1)).transpose(1, 2)
            y: Tensor = self.fused(heads, heads, heads)
            return y.flatten(1)

    torch.manual_seed(0)
    model, x = Attends().eval(), torch.randn(4, 5, WIDTH)
    rules = {"*:scores": 0.4, "*:heads": 0.3}
    got = [
        ng.predict(model, x, 8, rules=rules, seed=3, keep_samples=True, batch_size=size).samples
        for size in (None, 3)
    ]
    np.testing.assert_allclose(got[1], got[0], atol=1e-6)
    assert (got[0].std(0) > 0).any()
    with model.fused.register_forward_hook(lambda *_: None):
        again = ng.predict(model, x, 8, rules=rules, seed=3, keep_samples=True).samples
    np.testing.assert_allclose(again, got[0], atol=1e-6)


def test_existing_never_places_them() -> None:
    mha = nn.MultiheadAttention(8, 2, 0.1, batch_first=True)
    x = torch.ones(2, 3, 8)
    noise = ng.inject(mha, existing=True, seed=1)
    mha(x, x, x)
    assert noise.sites == (":probs",)
    with assert_sentence(
        ng.UnmatchedRule,
        "inject: the rule ':heads' matches no site. The nearest sites are 'linear:in', "
        "'linear:out', ':in'.",
    ):
        model = nn.Sequential()
        model.add_module("linear", nn.Linear(2, 2))
        ng.inject(model, {":heads": 0.5}, example=torch.ones(3, 2), seed=1)


def test_a_softmax_of_no_attention_needs_its_name() -> None:
    class Classifies(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 6)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x).softmax(-1)

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attends, self.classifies = FORMS["Multiplied"](), Classifies()

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.classifies(self.attends(x, x, x))
            return y

    x = torch.randn(2, 3, 5, 4)
    noise = ng.inject(model := Both(), {"*:scores": 0.5}, seed=1)
    model(x)
    assert noise.sites == ("attends:scores",)
    noise.remove()
    noise = ng.inject(model, {"classifies:scores": 0.5}, seed=1)
    y = model(x)
    assert_same_bits((y != 0).numpy(), noise.mask("classifies:scores"))


@pytest.mark.parametrize("existing", [False, True])
def test_a_dropout_on_probabilities_may_stand_between(existing: bool) -> None:
    """Its own mask, torch's or ours, comes before the noise on heads."""
    tensors = make_tensors()
    model = FORMS["Merged"]()
    model.dropout.p = 0.5
    rules = {":heads": 0.3}
    noise = ng.inject(model, rules, seed=13, existing=existing)
    torch.manual_seed(2)
    y = model(*tensors)
    heads = noise.mask(":heads").reshape(OUTPUTS)
    with noise.off():
        torch.manual_seed(2)
        weights = model(*tensors[:2], torch.eye(KEYS).expand(SAMPLES, HEADS, KEYS, KEYS))
    q, k, v = tensors
    plain = (q @ k.mT / WIDTH**0.5).softmax(-1)
    kept = weights != 0
    if existing:
        kept = torch.from_numpy(noise.mask("dropout:dropout").reshape(SCORES).copy())
    expected = torch.where(kept, plain / 0.5, 0.0) @ v
    torch.testing.assert_close(y, torch.where(torch.tensor(heads), expected / 0.7, 0.0))


@pytest.mark.parametrize("rule", [":scores", ":heads"])
def test_torch_s_own_dropout_stays_where_no_rule_takes_it(rule: str) -> None:
    class Drops(nn.Module):
        def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return nn.functional.scaled_dot_product_attention(q, k, v, None, 0.5)

    tensors = make_tensors()
    tensors[2] = torch.eye(KEYS).expand(SAMPLES, HEADS, KEYS, KEYS)
    noise = ng.inject(model := Drops(), {rule: 0.3}, seed=13)
    y = model(*tensors)
    kept = noise.mask(rule)
    assert not y[~torch.tensor(kept)].any()
    assert 0.3 < (y[torch.tensor(kept)] == 0).float().mean() < 0.7
