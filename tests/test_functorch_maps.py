"""What a map of torch.func decides about noise, what decides by itself, and what is refused."""

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import grad, vmap

import noisegate as ng
from _asserts import assert_same_bits, assert_sentence
from _functional import Functional
from _functorch import (
    BY_INDEX,
    DROPOUT,
    KEY,
    KINDS,
    MANY,
    REFUSED,
    SEED,
    SITE,
    P,
    Plain,
    X,
)

NAMED = (
    "Dropout: vmap with randomness='different' numbers the rows of its members, and this call "
    "names rows itself, the same in each. Map the rows too, or leave out `rows`."
)


def test_a_map_that_says_nothing_is_refused() -> None:
    layer = ng.torch.Dropout(P)
    for function in (
        lambda x: DROPOUT(x, KEY),
        lambda x: ng.torch.functional.dropout(x, P, key=KEY),
        lambda x: ng.torch.functional.dropout(x, P),
        layer,
    ):
        with assert_sentence(ng.RandomnessError, REFUSED):
            vmap(function)(X)
    # Where nothing random happens there is nothing to refuse.
    assert_same_bits(vmap(layer.eval())(X), X)
    assert_same_bits(vmap(lambda x: ng.Dropout(0)(x, KEY))(X), X)
    assert_same_bits(vmap(lambda x: ng.torch.functional.dropout(x, P, False))(X), X)


def test_rows_that_are_the_same_in_each_member_are_refused_where_noise_is_to_differ() -> None:
    def noise(x: Tensor) -> Tensor:
        return DROPOUT(x, KEY, rows=[7])

    with assert_sentence(ng.RandomnessError, NAMED):
        vmap(noise, **BY_INDEX)(X[:, None])
    expected = torch.stack([noise(x[None]) for x in X])
    assert_same_bits(vmap(noise, randomness="same")(X[:, None]), expected)
    within = vmap(lambda x, row: DROPOUT(x, KEY, rows=row))
    with assert_sentence(ng.RandomnessError, NAMED):
        vmap(lambda _: within(X[:, None], torch.arange(6)[:, None]), **BY_INDEX)(X)


each_randomness = pytest.mark.parametrize("randomness", ["error", "same", "different"])


@each_randomness
def test_mapped_rows_decide_by_themselves(randomness: str) -> None:
    over: Any = {"randomness": randomness}
    ids = torch.tensor([[5, 3, 9], [1, 2, 2**40]])
    mapped = vmap(lambda x, rows: DROPOUT(x, KEY, rows), **over)
    expected = [DROPOUT(x, KEY, rows) for x, rows in zip(X.reshape(2, 3, 4), ids, strict=True)]
    assert_same_bits(mapped(X.reshape(2, 3, 4), ids), torch.stack(expected))
    # A member that is one sample takes one number.
    plain = DROPOUT(X, KEY, range(7, 13))
    assert_same_bits(mapped(X, torch.arange(6) + 7), plain)
    assert_same_bits(mapped(X[:, None], torch.arange(6) + 7)[:, 0], plain)
    attention = vmap(lambda x, rows: DROPOUT(x, KEY, rows, "attention"), **over)
    large = torch.tensor([[9], [3], [2**61], [0]])
    expected = [DROPOUT(x[None], KEY, r, "attention") for x, r in zip(MANY, large, strict=True)]
    assert_same_bits(attention(MANY[:, None], large), torch.stack(expected))
    # All samples of a member share the decision at row 0, whatever their rows.
    shared = ng.Dropout(P, shared_axes=0)
    found = vmap(lambda rows: shared(X, KEY, rows), **over)(torch.ones(2, 6).long())
    assert_same_bits(found, torch.stack([shared(X, KEY)] * 2))


MISNAMED = [
    (
        X.reshape(2, 3, 4),
        torch.arange(2),
        "Dropout: `rows` must name each of the 3 samples of the input once; got 1 rows.",
    ),
    (
        X[:, None],
        torch.ones(6, 2).long(),
        "Dropout: `rows` must name each of the 1 samples of the input once; got 2 rows.",
    ),
    (
        X,
        torch.arange(6)[:, None],
        "Dropout: `rows` was given, but the input of shape (4,) has no sample axis. "
        "Name one with sample_axis=0, or leave out `rows`.",
    ),
    (
        X,
        torch.arange(6) - 7,
        "Dropout: `rows` must be in [0, 2**64); got -7.",
    ),
]


@pytest.mark.parametrize(("x", "rows", "sentence"), MISNAMED)
def test_mapped_rows_that_name_no_samples_are_refused(
    x: Tensor, rows: Tensor, sentence: str
) -> None:
    mapped = vmap(lambda x, rows: DROPOUT(x, KEY, rows))
    with assert_sentence(ng.InvalidValue, sentence):
        mapped(x, rows)


def test_mapped_rows_out_of_bounds_are_refused() -> None:
    mapped = vmap(lambda x, rows: DROPOUT(x, KEY, rows))
    sentence = (
        "Dropout: `rows` that torch maps must be a tensor of whole numbers; got torch.float32."
    )
    with assert_sentence(ng.InvalidType, sentence):
        mapped(X, torch.ones(6))
    attention = vmap(lambda x, rows: DROPOUT(x, KEY, rows, "attention"))
    sentence = f"Dropout: `rows` must be in [0, 2**64); got {(2**63 - 1) * 3}."
    with assert_sentence(ng.InvalidValue, sentence):
        attention(MANY[:, None], torch.tensor([[0], [1], [2], [2**63 - 1]]))


@each_randomness
@pytest.mark.parametrize("name", KINDS)
def test_a_mapped_step_decides_by_itself(name: str, randomness: str) -> None:
    kind, steps = KINDS[name], torch.tensor([0, 3, 2**32 - 1])
    over: Any = {"randomness": randomness}

    def noise(x: Tensor, step: Any, rows: Any = None) -> Tensor:
        return kind(x, SITE.at(step), rows)

    loop = torch.stack([noise(X, int(step)) for step in steps])
    assert_same_bits(vmap(lambda step: noise(X, step), **over)(steps), loop)
    several = torch.stack([X, 2 * X, X + 1])
    expected = [noise(x, int(step)) for x, step in zip(several, steps, strict=True)]
    assert_same_bits(vmap(noise, **over)(several, steps), torch.stack(expected))
    # Two maps: one over steps, and one that numbers samples.
    by_step = vmap(lambda step: vmap(lambda x: noise(x, step), **BY_INDEX)(X[:, None]), **over)
    assert_same_bits(by_step(steps)[:, :, 0], loop)
    by_sample = vmap(lambda x: vmap(lambda step: noise(x, step), **over)(steps), **BY_INDEX)
    assert_same_bits(by_sample(X[:, None])[:, :, 0], loop.movedim(1, 0))
    # Two maps: one over steps, and one over rows.
    rows = torch.arange(12).reshape(2, 6) + 5
    by_rows = vmap(lambda ids: vmap(lambda step: noise(X, step, ids), **over)(steps), **over)
    expected = [noise(X, int(step), ids) for ids in rows for step in steps]
    assert_same_bits(by_rows(rows), torch.stack(expected).reshape(2, 3, 6, 4))
    gradients = vmap(lambda step: grad(lambda x: (noise(x, step) * X).sum())(X), **over)
    expected = [Plain(kind, SITE.at(int(step))).along(X) for step in steps]
    assert_same_bits(gradients(steps), torch.stack(expected))


def test_a_step_is_a_number_as_soon_as_it_has_one_value() -> None:
    assert SITE.at(torch.tensor(3)) == SITE.at(3)  # type: ignore[arg-type]

    def loss(x: Tensor) -> Tensor:
        key = SITE.at(torch.tensor(3))  # type: ignore[arg-type]
        assert key == SITE.at(3)
        return DROPOUT(x, key).sum()

    grad(loss)(X)
    over = vmap(lambda step: DROPOUT(X, SITE.at(step)))
    with assert_sentence(ng.InvalidValue, "Dropout: `step` must be in [0, 2**32); got -1."):
        over(torch.tensor([3, -1]))
    for step in (torch.ones(2), torch.ones(2, 2).long()):
        with pytest.raises(ng.InvalidType, match=r"^Site\.at: `step` must be a whole number; got"):
            over(step)


@pytest.mark.parametrize("make", [ng.Dropout, ng.GaussianNoise, ng.ConcreteDropout])
def test_a_schedule_is_read_at_each_mapped_step(make: Any) -> None:
    schedule, steps = ng.schedule.linear(0.9, 0.1, steps=4), torch.arange(6)
    kind, dropout = make(schedule), ng.torch.functional.dropout
    loop = torch.stack([kind(X, SITE.at(step)) for step in range(6)])
    assert_same_bits(vmap(lambda step: kind(X, SITE.at(step)))(steps), loop)
    found = vmap(lambda step: dropout(X, schedule, key=SITE.at(step)))(steps)
    loop = torch.stack([dropout(X, schedule, key=SITE.at(step)) for step in range(6)])
    assert_same_bits(found, loop)
    with assert_sentence(
        ng.InvalidValue, f"{make.__name__}: `step` must be in [0, 2**32); got -1."
    ):
        vmap(lambda step: kind(X, SITE.at(step)))(steps - 1)


def test_a_schedule_of_blocks_is_refused_at_mapped_steps() -> None:
    kind = ng.DropBlock(ng.schedule.linear(0.9, 0.1, steps=4), 2, axes=-1)
    sentence = (
        "DropBlock: `p` is a schedule, whose rate must be a number on the host, and torch maps "
        "this call over its steps. Write a loop over the steps."
    )
    with assert_sentence(ng.InvalidValue, sentence):
        vmap(lambda step: kind(X, SITE.at(step)))(torch.arange(3))


def test_functionalize_is_refused() -> None:
    sentence = (
        "Dropout: torch.func.functionalize has no rule for noise. Leave it out: noise changes no "
        "tensor in place."
    )
    with assert_sentence(ng.InvalidValue, sentence):
        torch.func.functionalize(lambda x: DROPOUT(x, KEY))(X)


# Steps of models and layers ----------------------------------------------------------------------


class Fresh(nn.Module):
    """A dropout by function."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x, 0.5, self.training)


SCHEDULE = ng.schedule.linear(0.9, 0.1, steps=4)
MODELS: dict[str, tuple[nn.Module, Any]] = {
    "a rule": (nn.Sequential(nn.Identity()), {"rules": {"0:out": 0.5}}),
    "a schedule": (nn.Sequential(nn.Identity()), {"rules": {"0:out": SCHEDULE}}),
    "existing": (nn.Sequential(nn.Dropout(0.5)), {"existing": True}),
    "a function": (Fresh(), {"existing": True}),
    "a schedule of a function": (Fresh(), {"rules": {":dropout": SCHEDULE}}),
}


@each_randomness
@pytest.mark.parametrize("name", MODELS)
def test_a_model_at_mapped_steps(name: str, randomness: str) -> None:
    model, words = MODELS[name]
    model = copy.deepcopy(model)
    noise = ng.inject(model, **words, seed=SEED)

    def sample(step: Any) -> Tensor:
        with noise.at(step):
            return model(X)

    found = vmap(sample, randomness=randomness)(torch.arange(6))
    (site,) = noise.sites
    # No tensor of the map is left in the model.
    assert pickle.loads(pickle.dumps(copy.deepcopy(model))) is not None
    assert "shape" not in str(noise.report())
    with assert_sentence(
        ng.InvalidValue,
        f"mask: the shape at '{site}' is not known before a forward with noise there. "
        "Run the model once in training.",
    ):
        noise.mask(site)
    assert_same_bits(found, torch.stack([sample(step) for step in range(6)]))
    assert noise.mask(site, step=2).shape == X.shape


def test_samples_of_a_model_with_attention_at_mapped_steps() -> None:
    torch.manual_seed(0)
    model, x = Functional(fast=False), torch.randn(5, 8)
    noise = ng.inject(model, existing=True, seed=SEED)

    def sample(step: Any) -> Tensor:
        with noise.at(step):
            return model(x)

    found = vmap(sample)(torch.arange(4))
    torch.testing.assert_close(found, torch.stack([sample(step) for step in range(4)]))


def test_a_mapped_step_is_refused_for_numpy() -> None:
    sentence = (
        "Dropout: the step of `key` is a tensor that a map gives a value for each of its members, "
        "and a NumPy array has no members. Give the input as a tensor."
    )
    for function in (
        lambda key: DROPOUT(X.numpy(), key),
        lambda key: ng.numpy.forward(DROPOUT, X.numpy(), rng=key),
        lambda key: ng.mask(DROPOUT, (3, 4), key),
        lambda key: ng.noise(DROPOUT, (3, 4), key),
    ):
        with assert_sentence(ng.InvalidType, sentence):
            vmap(lambda step, function=function: function(SITE.at(step)))(torch.arange(2))


def test_other_numbers_are_the_same_in_each_member() -> None:
    layer = ng.torch.Dropout(P, seed=SEED, site="a")
    noise = ng.inject(nn.Sequential(nn.Identity()), {"0:out": P}, seed=SEED)
    for who, name, function in (
        ("Stream", "seed", lambda n: DROPOUT(X, ng.Stream(n).site("a").at(0))),
        ("Site.at", "call", lambda n: DROPOUT(X, SITE.at(0, call=n))),
        ("Dropout", "step", lambda n: setattr(layer, "step", n)),
        ("inject", "step", lambda n: setattr(noise, "step", n)),
    ):
        sentence = (
            f"{who}: `{name}` must be one whole number; got a tensor that a map gives a value for "
            "each of its members. Only the step given to `at`, and the rows of a call, may be "
            "mapped."
        )
        with assert_sentence(ng.InvalidType, sentence):
            vmap(function)(torch.arange(3))


@pytest.mark.parametrize("compiled", [False, True])
def test_the_mask_after_a_mapped_forward_is_that_of_the_first_member(compiled: bool) -> None:
    torch.compiler.reset()
    model, x = nn.Sequential(nn.Identity()), torch.ones(2, 6, 4)
    noise = ng.inject(model, {"0:out": 0.5}, seed=SEED)

    def run(x: Tensor) -> Tensor:
        return vmap(model, **BY_INDEX)(x.reshape(3, 2, 4))

    run = torch.compile(run, backend="aot_eager", fullgraph=True) if compiled else run
    with noise.at(3):
        for first, part in zip((0, 6), x, strict=True):
            y = run(part)
            mask = torch.from_numpy(noise.mask("0:out"))
            assert mask.equal(y[0] != 0)
            for member in range(3):
                rows = range(first + 2 * member, first + 2 * member + 2)
                assert torch.from_numpy(noise.mask("0:out", rows=rows)).equal(y[member] != 0)
        assert mask[1:].equal(torch.from_numpy(noise.mask("0:out", rows=slice(1, 2))))
