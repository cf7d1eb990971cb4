"""Noise on parameters: one draw a step, for every layer with weights and way to run it."""

import copy
import pickle
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

import noisegate as ng
from _asserts import assert_same_bits, assert_sentence, assert_within

SEED = 5


class Family(NamedTuple):
    """A layer, the parameter that gets noise, and an input; whether torch compiles it."""

    make: Callable[[], nn.Module]
    name: str
    x: Tensor
    compiles: bool = True


FAMILIES = {
    "Linear": Family(lambda: nn.Linear(6, 5), "weight", torch.randn(3, 6)),
    "bias": Family(lambda: nn.Linear(6, 5), "bias", torch.randn(3, 6)),
    "Conv2d": Family(lambda: nn.Conv2d(2, 3, 3), "weight", torch.randn(3, 2, 5, 5)),
    "Embedding": Family(lambda: nn.Embedding(7, 4), "weight", torch.tensor([[0, 1], [6, 1]])),
    "LayerNorm": Family(lambda: nn.LayerNorm(6), "weight", torch.randn(3, 6)),
    "LSTM": Family(lambda: nn.LSTM(6, 4, 2), "weight_hh_l0", torch.randn(5, 3, 6), False),
    "GRU": Family(
        lambda: nn.GRU(6, 4, bidirectional=True),
        "weight_hh_l0_reverse",
        torch.randn(5, 3, 6),
        False,
    ),
    "LSTMCell": Family(lambda: nn.LSTMCell(6, 4), "weight_hh", torch.randn(3, 6), False),
}


class Whole(nn.Module):
    """A model with one layer of a family, whose result is one tensor."""

    def __init__(self, family: Family) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.layer = family.make()
        if family.name in ("weight", "bias") and isinstance(self.layer, nn.LayerNorm):
            nn.init.normal_(self.layer.weight)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x)
        while not isinstance(y, Tensor):
            y = y[0]
        return y


def run_eagerly(model: nn.Module, x: Tensor) -> Tensor:
    return model(x)


def run_compiled(model: nn.Module, x: Tensor) -> Tensor:
    torch._dynamo.reset()  # each family is another program
    return torch.compile(model, backend="aot_eager", fullgraph=True)(x)


def run_checkpointed(model: nn.Module, x: Tensor) -> Tensor:
    return checkpoint(model, x, use_reentrant=False)


def run_functionally(model: nn.Module, x: Tensor) -> Tensor:
    return functional_call(model, dict(model.named_parameters()), (x,))


def run_copied(model: nn.Module, x: Tensor) -> Tensor:
    twin = pickle.loads(pickle.dumps(copy.deepcopy(model)))
    for ours, theirs in zip(twin.parameters(), model.parameters(), strict=True):
        ours.register_hook(lambda grad, raw=theirs: setattr(raw, "grad", grad))
    return twin(x)


RUNS = (run_eagerly, run_compiled, run_checkpointed, run_functionally, run_copied)


def compute(model: Whole, family: Family, kind: ng.Kind, step: int = 0) -> tuple[Tensor, Tensor]:
    """Return the output with noise on the parameter by hand, and the raw parameter's gradient."""
    raw = dict(model.layer.named_parameters())[family.name]
    key = ng.Stream(SEED).site(f"layer:{family.name}").at(step)
    noised = kind(raw, key, sample_axis=None)
    y = functional_call(model, {f"layer.{family.name}": noised}, (family.x,))
    (grad,) = torch.autograd.grad(y.square().sum(), raw)
    return y, grad


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.__name__)
@pytest.mark.parametrize("kind", [ng.Dropout(0.5), ng.GaussianNoise(0.3), ng.UniformNoise(0.2)])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_parameter_has_the_noise_of_its_key(name: str, kind: ng.Kind, run: Any) -> None:
    family = FAMILIES[name]
    if run is run_compiled and not family.compiles:
        return  # torch itself does not compile recurrent layers
    model = Whole(family)
    keys, before = list(model.state_dict()), copy.deepcopy(model.state_dict())
    expected = [compute(model, family, kind, step) for step in (0, 1)]
    noise = ng.inject(model, {f"layer:{family.name}": kind}, seed=SEED)
    for y, grad in expected:
        model.zero_grad()
        seen = run(model, family.x)
        if run is run_copied:
            noise.step += 1
        seen.square().sum().backward()
        raw = dict(model.layer.named_parameters())[family.name]
        assert_same_bits(seen, y)
        torch.testing.assert_close(raw.grad, grad)
    assert list(model.state_dict()) == keys
    noise.remove()
    assert vars(model.layer).keys() == vars(Whole(family).layer).keys()
    for key, value in model.state_dict().items():
        assert_same_bits(value, before[key])
    assert_same_bits(model(family.x), functional_call(model, before, (family.x,)))


@pytest.mark.parametrize("name", FAMILIES)
def test_rates_of_0_and_1_are_exact(name: str) -> None:
    family = FAMILIES[name]
    model = Whole(family)
    plain = model(family.x)
    with ng.inject(model, {f"layer:{family.name}": 0.0}, seed=SEED):
        assert_same_bits(model(family.x), plain)
    raw = dict(model.layer.named_parameters())[family.name]
    zero = functional_call(model, {f"layer.{family.name}": torch.zeros_like(raw)}, (family.x,))
    with ng.inject(model, {f"layer:{family.name}": 1.0}, seed=SEED):
        assert_same_bits(model(family.x), zero)


def test_the_mean_over_steps_is_the_raw_weight() -> None:
    layer = nn.Linear(50, 40, bias=False)
    nn.init.ones_(layer.weight)
    with ng.inject(layer, {":weight": 0.25}, seed=SEED):
        seen = torch.stack([layer(torch.eye(50)) for _ in range(20)])
    assert set(seen.unique().tolist()) == {0.0, float(torch.tensor(1 / 0.75))}
    # A survivor is 1 / 0.75, so an element's variance is 0.25 / 0.75.
    assert_within(seen.mean().item(), 1.0, (1 / 3 / seen.numel()) ** 0.5)


def test_removal_leaves_every_bit_of_a_bfloat16_weight() -> None:
    layer = nn.Linear(200, 100).bfloat16()
    before, x = layer.weight.detach().clone(), torch.randn(4, 200, dtype=torch.bfloat16)
    noise = ng.inject(layer, {":weight": [0.5, ng.GaussianNoise(0.1)]}, seed=SEED)
    optimizer = torch.optim.SGD(layer.parameters(), 0.0)
    layer(x).sum().backward()
    optimizer.step()
    assert_same_bits(layer.weight, before)
    noise.remove()
    assert_same_bits(layer.weight, before)
    assert type(layer.weight) is nn.Parameter
    assert "weight" not in vars(layer)


def test_the_raw_weight_is_there_after_an_error() -> None:
    layer = nn.Linear(4, 3)
    ng.inject(layer, {":weight": 0.5}, seed=SEED)
    with pytest.raises(RuntimeError):
        layer(torch.randn(2, 5))
    assert "weight" not in vars(layer)


def test_all_uses_in_a_step_have_one_draw() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return self.layer(x), self.layer(x)

    model, x = Twice(), torch.randn(3, 4)
    noise = ng.inject(model, {"layer:weight": 0.5}, seed=SEED)
    first, second = model(x)
    assert_same_bits(first, second)
    with noise.at(0):  # micro-batches of one step
        assert_same_bits(torch.cat([model(x[:1])[0], model(x[1:])[0]]), first)
    assert noise.report().rows[0][4:6] == ("(4, 4)", "2")


def test_rules_of_a_list_and_of_other_handles_act_one_after_the_other() -> None:
    layer, x = nn.Linear(4, 3), torch.eye(4)
    ng.inject(layer, {":weight": [0.5, ng.GaussianNoise(0.1)]}, seed=SEED)
    ng.inject(layer, {":weight": 0.5}, seed=SEED + 1)
    weight, site = layer.weight, ng.Stream(SEED).site(":weight")
    for kind in (ng.Dropout(0.5), ng.GaussianNoise(0.1)):
        weight = kind(weight, site.at(0), sample_axis=None)
    other = ng.Stream(SEED + 1).site(":weight").at(0)
    weight = ng.Dropout(0.5)(weight, other, sample_axis=None)
    assert_same_bits(layer(x), nn.functional.linear(x, weight, layer.bias))


# Embeddings ------------------------------------------------------------------------------------


def test_whole_words_are_dropped_and_padding_stays() -> None:
    layer = nn.Embedding(50, 3, padding_idx=4)
    ids = torch.arange(50)
    with ng.inject(layer, {":weight": ng.Dropout(0.5, shared_axes=1)}, seed=SEED):
        gone = layer(ids) == 0
    dropped, partly = gone.all(1), gone.any(1)
    assert 5 < dropped.sum() < 45
    assert torch.equal(dropped, partly)
    with ng.inject(layer, {":weight": ng.GaussianNoise(1.0)}, seed=SEED) as noise:
        y = layer(ids)
        y.sum().backward()
        assert noise.step == 1
    assert_same_bits(y[4], torch.zeros(3))
    assert (y[5] != layer.weight[5]).all()
    assert layer.weight.grad is not None
    assert_same_bits(layer.weight.grad[4], torch.zeros(3))


def test_masks_and_reports_say_that_padding_stays() -> None:
    layer = nn.Embedding(4, 2, padding_idx=1)
    for axis in (None, 0):
        with ng.inject(layer, {":weight": 1.0}, seed=SEED, sample_axis={":weight": axis}) as noise:
            y = layer(torch.arange(4).expand(3, 4))
            mask = noise.mask(":weight")
            assert mask[..., 1, :].all()
            assert mask.mean() == 1 / 4
            assert not y[:, [0, 2, 3]].any()
            assert noise.rates() == {":weight": 0.75}
            assert noise.report().rows[0][-1] == "0.7500"


@pytest.mark.parametrize(
    ("word", "given"), [("sparse=True", {"sparse": True}), ("max_norm", {"max_norm": 1.0})]
)
def test_embeddings_whose_raw_weight_torch_needs_are_refused(word: str, given: Any) -> None:
    layer = nn.Embedding(5, 3, **given)
    with assert_sentence(
        ng.InvalidValue,
        f"inject: the weight of an Embedding with {word} takes no noise, since torch would not "
        "find the raw weight. Name its output instead.",
    ):
        ng.inject(layer, {":weight": 0.5}, seed=SEED)
    assert "forward" not in vars(layer)


# One draw for each sample ----------------------------------------------------------------------

BY_SAMPLE = {
    name: FAMILIES[name] for name in ("Linear", "bias", "Conv2d", "Embedding", "LayerNorm")
}


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.__name__)
@pytest.mark.parametrize("name", BY_SAMPLE)
def test_each_sample_may_have_a_draw_of_its_own(name: str, run: Any) -> None:
    family, kind = FAMILIES[name], ng.Dropout(0.5)
    model, rule = Whole(family), f"layer:{family.name}"
    raw = dict(model.layer.named_parameters())[family.name]
    key = ng.Stream(SEED).site(rule).at(0)
    each = kind(raw.expand(len(family.x), *raw.shape), key, sample_axis=0)
    expected = torch.cat(
        [
            functional_call(model, {f"layer.{family.name}": weight}, (x[None],))
            for weight, x in zip(each, family.x, strict=True)
        ]
    )
    ng.inject(model, {rule: kind}, seed=SEED, sample_axis={rule: 0})
    torch.testing.assert_close(run(model, family.x), expected)


def test_a_sample_s_weight_does_not_depend_on_the_batch() -> None:
    layer, x = nn.Linear(4, 3), torch.randn(6, 4)
    kind = ng.Dropout(0.5, shared_axes=1)
    noise = ng.inject(layer, {":weight": kind}, seed=SEED, sample_axis={":weight": 0})
    whole = layer(x)
    with noise.at(0):
        parts = torch.cat([layer(x[:2]), layer(x[2:])])
    torch.testing.assert_close(parts, whole)
    with noise.at(0, rows=[5, 3]):
        torch.testing.assert_close(layer(x[[5, 3]]), whole[[5, 3]])
    removed = (noise.mask(":weight", step=0, rows=range(6)) == 0).all(2)
    assert_same_bits(whole == layer.bias, torch.from_numpy(removed))


def test_members_of_a_map_have_the_draws_of_samples() -> None:
    layer, x = nn.Linear(4, 3), torch.randn(6, 4)
    noise = ng.inject(layer, {":weight": 0.5}, seed=SEED, sample_axis={":weight": 0})
    with noise.at(0):
        whole = layer(x)
    noise.remove()
    noise = ng.inject(layer, {":weight": 0.5}, seed=SEED)
    with noise.at(0):
        mapped = torch.vmap(layer, randomness="different")(x)
        same = torch.vmap(layer, randomness="same")(x)
        plain = layer(x)
    torch.testing.assert_close(mapped, whole)
    torch.testing.assert_close(same, plain)


def test_layers_that_mix_samples_have_one_draw_a_step() -> None:
    rule = {":weight_hh_l0": 0.5}
    with assert_sentence(
        ng.InvalidValue,
        "inject: ':weight_hh_l0' cannot have one draw for each sample: that is for layers such as "
        "Linear, Conv2d and Embedding; got LSTM. Leave its rule out of `sample_axis`, for one draw "
        "a step.",
    ):
        ng.inject(nn.LSTM(3, 3), rule, seed=SEED, sample_axis={":weight_hh_l0": 0})
