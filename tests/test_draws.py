"""Random numbers that a model's own code draws are named, whatever draws them."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import noisegate as ng
from _asserts import assert_sentence
from _draws import (
    DISTRIBUTIONS,
    FUNCTIONS,
    UNSEEN,
    Drawing,
    arguments,
    beside,
    expected,
    half,
    keyed,
    operators,
)
from _functional import X
from noisegate.torch import generators


def told(model: nn.Module, x: Tensor = X) -> str:
    """Return the one thing that training tells of a model's draws, as an error or a note."""
    noise = ng.inject(model, existing=True, seed=1)
    try:
        model(x)
        (note,) = noise.report().notes
        return note
    except ng.InvalidValue as error:
        return str(error)
    finally:
        noise.remove()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_that_draws_is_named(name: str) -> None:
    assert told(beside(FUNCTIONS[name])) == keyed(name)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_every_distribution_is_named_by_what_it_draws(name: str) -> None:
    call, words = DISTRIBUTIONS[name]
    noise = ng.inject(model := beside(call), existing=True, unreached="keep", seed=1)
    model(X)
    assert any(f"{words} in Drawing" in note for note in noise.report().notes)


@pytest.mark.parametrize("name", UNSEEN)
def test_what_no_function_shows_is_named_by_the_generator(name: str) -> None:
    call, words = UNSEEN[name]
    if name == "seeding":
        call = lambda: torch.manual_seed(int(torch.initial_seed()) % 7 + 1)  # noqa: E731
        assert told(beside(call)) == expected(words)
    else:
        assert told(beside(call)) == keyed(words)


@pytest.mark.parametrize("name", operators())
def test_every_operator_that_draws_is_named(name: str) -> None:
    operator = operators()[name]
    args, kwargs = arguments(operator)
    before = torch.get_rng_state()
    operator(*args, **kwargs)
    assert not torch.equal(before, torch.get_rng_state()) or "generator" in str((args, kwargs))
    words = f"torch.ops.aten.{name.partition('.')[0]}"
    for function, own in ((operator, True), (operator.overloadpacket, False)):
        if own or not kwargs.keys() - {"out"}:
            made = arguments(operator)
            model = beside(lambda f=function, made=made: f(*made[0], **made[1]))
            given = (*args, *kwargs.values())
            left = any(isinstance(value, torch.Generator) for value in given)
            assert told(model) == (expected(words) if left else keyed(words))


def test_there_are_operators() -> None:
    assert len(operators()) > 110


def test_a_generator_of_its_own_is_named_too() -> None:
    generator = torch.Generator().manual_seed(3)
    assert told(beside(lambda: torch.rand(3, 4, generator=generator))) == expected("torch.rand")


KEPT: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "a Generator": (lambda: np.random.default_rng(3), lambda rng: rng.random()),
    "another Generator": (
        lambda: np.random.Generator(np.random.MT19937(3)),
        lambda rng: rng.normal(),
    ),
    "a RandomState": (lambda: np.random.RandomState(3), lambda rng: rng.randn()),
    "a Random": (lambda: random.Random(3), lambda rng: rng.random()),
    "a torch.Generator": (
        lambda: torch.Generator().manual_seed(3),
        lambda rng: rng.seed(),
    ),
}


@pytest.mark.parametrize("holder", ["", "[1]", "['a']"])
@pytest.mark.parametrize("name", KEPT)
def test_a_generator_that_a_module_keeps_is_named(name: str, holder: str) -> None:
    make, draw = KEPT[name]
    rng = make()
    model = beside(lambda: draw(rng) and None, always=True)
    kept = {"": rng, "[1]": [None, rng], "['a']": {"a": rng}}[holder]
    model[1].rng = kept
    assert told(model) == expected(f"generator 1.rng{holder}")
    with pytest.warns(RuntimeWarning, match="drawn in evaluation by '1' .generator 1.rng"):
        ng.predict(model, X, 3, existing=True, seed=1)


def test_a_generator_that_is_kept_is_named_once_and_one_that_rests_is_not() -> None:
    model = beside(lambda: None)
    rng = torch.Generator().manual_seed(3)
    model[1].call = lambda: torch.rand(3, 4, generator=rng)
    model.rng = model[1].rng = rng
    model.resting = [random.Random(3), random.SystemRandom(), np.random.default_rng(3)]
    assert told(model) == expected("torch.rand")
    model.net, model[1].call = random.Random(3), lambda: model.net.random()
    assert told(model) == (
        "The model's forward draws random numbers: generator net in Sequential, for no known "
        "dropout."
    )


def test_models_that_draw_nothing_are_told_nothing_of() -> None:
    quiet: list[Callable[[], Any]] = [
        lambda: F.rrelu(-X, training=False),
        lambda: torch.ops.aten.dropout(X, 0.5, False),
        lambda: torch.ops.aten.dropout(X, 0.0, True),
        lambda: F.scaled_dot_product_attention(X[None], X[None], X[None]),
        lambda: random.Random(3).random(),
        lambda: np.random.default_rng(3).random(),
    ]
    for call in quiet:
        model = beside(call, always=True)
        noise = ng.inject(model, existing=True, seed=1)
        for _ in range(3):
            torch.manual_seed(3), torch.rand(3), random.random(), np.random.rand()  # noqa: NPY002
            model.train()(X)
            model.eval()(X)
        assert noise.report().notes == ()
        noise.remove()
        ng.predict(model, X, 3, existing=True, seed=1)
        ng.predict(model, X, 3, input_dropout=0.5, seed=1)


def test_fresh_noise_of_noisegate_s_is_made_from_the_seed_too() -> None:
    for call in (lambda: ng.torch.Dropout(0.5)(X), lambda: ng.torch.dropout(X, 0.5)):
        model = nn.Sequential(Drawing(call))
        noise = ng.inject(model, existing=True, seed=7)
        outputs = []
        for seed in (1, 2):
            torch.manual_seed(seed)
            with noise.at(3):
                outputs.append(model(X))
        assert torch.equal(*outputs)


def test_the_model_itself_and_modules_of_torch_s_are_places_too() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop, self.slope = nn.Dropout(0.1), nn.RReLU()

        def forward(self, x: Tensor) -> Tensor:
            return self.slope(self.drop(x)) + random.random()

    noise = ng.inject(model := Net(), existing=True, seed=1)
    model(X)
    assert noise.report().notes == (
        keyed("F.rrelu", "slope", "RReLU", "each sample"),
        "the model itself (Python's generator in Net) is seeded for each forward: the numbers of "
        "the whole batch.",
    )


def test_a_draw_that_shows_late_is_made_from_the_seed_at_once() -> None:
    class Late(nn.Module):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return x + torch.randn(1, 1) if self.calls > 2 else x

    model = nn.Sequential(nn.Dropout(0.1), Late())
    noise = ng.inject(model, existing=True, seed=1)
    for _ in range(2):
        model(X)
    assert noise.report().notes == ()
    model(X)
    assert noise.report().notes == (keyed("torch.randn", kind="Late"),)


def test_another_generator_s_draw_that_shows_late_is_told_and_seeded_from_then_on() -> None:
    class Late(nn.Module):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return x + random.random() if self.calls > 2 else x

    model = nn.Sequential(nn.Dropout(0.1), Late())
    noise = ng.inject(model, existing=True, seed=1)
    for _ in range(3):
        model(X)
    (first,) = noise.report().notes
    assert first.startswith("The model's forward draws random numbers: Python's generator")
    model(X)
    assert noise.report().notes == (first, keyed("Python's generator", kind="Late"))


def test_evaluation_is_looked_at_too() -> None:
    model = nn.Sequential(nn.Dropout(0.1), Drawing(lambda: torch.rand(3, 4), always=True))
    noise = ng.inject(model.eval(), existing=True, seed=1)
    model(X)
    assert noise.report().notes == (expected("torch.rand"),)


def test_silent_noise_tells_nothing() -> None:
    model = beside(lambda: torch.bernoulli(X.sigmoid()))
    noise = ng.inject(model, existing=True, seed=1)
    with noise.off():
        model(X)
    assert noise.report().notes == ()


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("keeps", [True, False])
def test_a_segment_that_is_computed_again_is_named_once(reentrant: bool, keeps: bool) -> None:
    class Deep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.part = nn.Sequential(
                nn.Linear(8, 8), nn.Dropout(0.1), Drawing(lambda: torch.rand(3, 4))
            )

        def forward(self, x: Tensor) -> Tensor:
            words: dict[str, Any] = {"use_reentrant": reentrant, "preserve_rng_state": keeps}
            out = checkpoint(self.part, x, **words)
            assert isinstance(out, Tensor)
            return out

    model = Deep()
    noise = ng.inject(model, existing=True, seed=1)
    for _ in range(2):
        model(X.clone().requires_grad_()).sum().backward()
    assert noise.report().notes == (keyed("torch.rand", "part.2"),)


def test_a_model_that_calls_itself_is_named_once() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop = nn.Dropout(0.1)

        def forward(self, x: Tensor, deep: bool = True) -> Tensor:
            x = self.drop(x) + torch.rand(1, 1)
            return self(x, False) if deep else x

    noise = ng.inject(model := Twice(), existing=True, seed=1)
    model(X)
    assert noise.report().notes == (keyed("torch.rand", "", "Twice"),)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
def test_a_script_module_that_is_kept_is_told_of_once_and_one_that_draws_by_its_path() -> None:
    class Masked(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.dropout(x, 0.5, self.training)

    class Shifted(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + torch.rand(1, 1)

    model = nn.Sequential(nn.Dropout(0.1), torch.jit.script(Masked()), torch.jit.script(Shifted()))
    noise = ng.inject(model, existing=True, unreached="keep", seed=1)
    for _ in range(2):
        model(X)
    assert noise.report().notes == (
        "'1:dropout' (Masked in a script module) is left to the model.",
        keyed("torch.ops.aten.rand", "2", "Shifted"),
    )


def test_draws_within_vmap_are_named() -> None:
    model = beside(
        lambda: torch.vmap(lambda x: x + torch.randn(4), randomness="different")(X[:4, :4])
    )
    assert told(model) == expected("torch.randn")


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiled_draws_are_told(backend: str) -> None:
    for name in ("torch.rand", "torch.randn", "torch.bernoulli", "F.rrelu"):
        model = beside(FUNCTIONS[name])
        noise = ng.inject(model, existing=True, unreached="keep", seed=1)
        torch.compile(model, backend=backend)(X)
        torch.compiler.reset()
        (note,) = noise.report().notes
        # By the function, by the operator that was made of it, or by the generator.
        assert name.rpartition(".")[2] in note or "torch's generator" in note


def test_all_that_cannot_be_reached_is_named_at_once() -> None:
    scripted = nn.Sequential(*(torch.jit.script(nn.Dropout(0.2)) for _ in range(2)))
    inside = ", ".join(f"'0.{i}:dropout' (Dropout in a script module)" for i in range(2))
    ways = (
        "Turn them off in the model and put noise in by rules, or pass unreached='keep' to leave "
        "them to the model."
    )
    generator = torch.Generator()
    masks = [
        Drawing(lambda: torch.bernoulli(half(), generator=generator)),
        Drawing(lambda: half().bernoulli_(generator=generator)),
    ]
    model = nn.Sequential(scripted, *masks)
    x = torch.randn(2, 3, 8)
    with assert_sentence(ng.InvalidValue, f"inject: existing=True cannot reach {inside}. {ways}"):
        ng.inject(model, existing=True, seed=1)
    drawn = "'1:dropout' (torch.bernoulli in Drawing), '2:dropout' (Tensor.bernoulli_ in Drawing)"
    with assert_sentence(
        ng.InvalidValue, f"inject: existing=True cannot reach {inside}, {drawn}. {ways}"
    ):
        ng.inject(model, existing=True, example=x, seed=1)
    assert not ng.handles(model)
    masked = nn.Sequential(*masks)
    noise = ng.inject(masked, existing=True, seed=1)
    other = drawn.replace("'1:", "'0:").replace("'2:", "'1:")
    for _ in range(2):
        with assert_sentence(
            ng.InvalidValue, f"inject: existing=True cannot reach {other}. {ways}"
        ):
            masked(x)
    assert noise.step == 0


def test_what_is_kept_is_not_denied() -> None:
    generator = torch.Generator()
    model = nn.Sequential(Drawing(lambda: torch.bernoulli(half(), generator=generator)))
    noise = ng.inject(model, existing=True, unreached="keep", seed=1)
    for _ in range(3):
        model(X)
    note = "'0:dropout' (torch.bernoulli in Drawing) is left to the model."
    assert noise.report().notes == (note,)
    assert noise.step == 3
    noise.remove()
    with assert_sentence(
        ng.InvalidValue,
        "predict: no noise acted, since all that the model has is left to it (unreached='keep'). "
        "Put noise in with rules=.",
    ):
        ng.predict(model, X, 3, existing=True, unreached="keep", seed=1)
    drawing = nn.Sequential(Drawing(lambda: torch.rand(3, 4, generator=generator)))
    with assert_sentence(
        ng.InvalidValue,
        "inject: existing=True found nothing that it can take over; random numbers are drawn by "
        "'0' (torch.rand in Drawing). Write a rule, for example {'hid*:out': 0.5}.",
    ):
        ng.inject(drawing, existing=True, example=X, seed=1)


# The generators ------------------------------------------------------------------------------


def test_the_memory_of_python_s_generator_is_read_rightly() -> None:
    assert generators._python_state is not random.getstate
    before = generators._python_state()
    assert generators._python_state() == before
    state = random.getstate()
    random.random()
    assert generators._python_state() != before
    random.setstate(state)
    assert generators._python_state() == before


def test_any_generator_of_numpy_s_is_compared() -> None:
    before = np.random.get_bit_generator()
    np.random.set_bit_generator(np.random.Philox(3))
    try:
        draws = FUNCTIONS["torch.rand"]
        assert told(beside(lambda: np.random.rand(3))) == keyed("NumPy's generator")  # noqa: NPY002
        assert told(beside(draws)) == keyed("torch.rand")
    finally:
        np.random.set_bit_generator(before)
