"""Recipes: rules as text and back, files of them, and which built-in ones fit a model."""

import copy
import pickle
import re
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import noisegate as ng
from _asserts import assert_sentence
from noisegate.core.rules import SHORTHANDS
from noisegate.study.models import Cnn, Mlp
from noisegate.study.recipes import (
    BASELINE,
    RECIPES,
    Recipe,
    find_fitting,
    index_recipes,
    parse_recipe,
    read_recipes,
)
from noisegate.study.rule_text import parse_rules, rules_source, rules_text

SPATIAL = ng.Dropout(0.2, shared_axes=slice(2, None))


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("hid*:out=0.5", {"hid*:out": 0.5}),
        (" hid*:out = 0.5 ,in:out=1,", {"hid*:out": 0.5, "in:out": 1.0}),
        ("in:out=gaussian(0.1)", {"in:out": ng.GaussianNoise(0.1)}),
        ('conv*:out=spatial_dropout(0.2, data_format="channels_first")', {"conv*:out": SPATIAL}),
        ("c:out=drop_block(0.2, 5), d:out=1e-3", {"c:out": ng.DropBlock(0.2, 5), "d:out": 0.001}),
        ("hid[1,2]:out=0.5", {"hid[1,2]:out": 0.5}),
        ("a:out=0, b:out=1, a:out=gaussian(1)", {"a:out": [0, ng.GaussianNoise(1)], "b:out": 1}),
        ("a:out=schedule.linear(0, 0.5, steps=9)", {"a:out": ng.schedule.linear(0, 0.5, 9)}),
        ("a:out=dropout(schedule.early(0.3, 4))", {"a:out": ng.Dropout(ng.schedule.early(0.3, 4))}),
        ("*:branch=schedule.by_depth(0, 0.5)", {"*:branch": ng.schedule.by_depth(0, 0.5)}),
        (
            "a:out=schedule.by_depth(dropout(0.1), last=dropout(0.2)), a:out=1",
            {"a:out": [ng.schedule.by_depth(ng.Dropout(0.1), ng.Dropout(0.2)), 1.0]},
        ),
        ("hidden_dropout=0.5", {"hidden_dropout": 0.5}),
        ("hidden_noise=1.5", {"hidden_noise": 1.5}),
        ("hidden_noise=schedule.linear(2, 0, 9)", {"hidden_noise": ng.schedule.linear(2, 0, 9)}),
        ("hidden_noise=dropout(0.3)", {"hidden_noise": ng.Dropout(0.3)}),
    ],
)  # fmt: skip
def test_rules_as_text(text, rules):
    found = parse_rules(text)
    assert found == rules
    assert list(found) == list(rules)
    assert parse_rules(rules_text(found)) == found


def test_a_bare_number_means_what_it_means_to_inject():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    with ng.inject(model, parse_rules("hidden_noise=1.5, 0:out=0.5"), seed=1) as noise:
        assert [row[1] for row in noise.report().rows] == [
            "GaussianNoise(sigma=1.5)",
            "Dropout(p=0.5)",
        ]


PROBABILITIES = st.floats(0, 1, allow_subnormal=True)
SIGMAS = st.floats(0, 1e300)
AXES = st.one_of(
    st.lists(st.integers(-4, 4), max_size=3, unique=True).map(tuple),
    st.builds(slice, *[st.none() | st.integers(-4, 4)] * 3),
)


def schedules(rates: st.SearchStrategy[float]) -> st.SearchStrategy[ng.schedule.Schedule]:
    steps = st.integers(1, 2**32 - 1)
    two = [ng.schedule.linear, ng.schedule.cosine]
    one = [ng.schedule.curriculum, ng.schedule.early, ng.schedule.late]
    return st.one_of(
        st.builds(ng.schedule.constant, rates),
        *(st.builds(made, rates, rates, steps) for made in two),
        *(st.builds(made, rates, steps) for made in one),
    )


def rates(numbers: st.SearchStrategy[float]) -> st.SearchStrategy[object]:
    return numbers | schedules(numbers)


KINDS = st.one_of(
    st.builds(ng.Dropout, rates(PROBABILITIES), shared_axes=AXES, rescale=st.booleans()),
    st.builds(ng.GaussianNoise, rates(SIGMAS), shared_axes=AXES),
    st.builds(ng.AlphaDropout, rates(PROBABILITIES.filter(lambda p: p < 0.999)), shared_axes=AXES),
    st.builds(ng.UniformNoise, rates(SIGMAS), shared_axes=AXES),
    st.builds(
        ng.DropBlock,
        rates(PROBABILITIES),
        st.integers(1, 99) | st.tuples(st.integers(1, 9), st.integers(1, 9)),
        axes=AXES,
        normalize=st.sampled_from(["expected", "sample"]),
    ),
    st.builds(ng.ImpulseNoise, rates(PROBABILITIES), st.floats(-9, 0), st.floats(0, 9)),
)
BY_DEPTH = st.one_of(
    st.builds(ng.schedule.by_depth, PROBABILITIES, PROBABILITIES),
    st.tuples(PROBABILITIES, PROBABILITIES).map(
        lambda ends: ng.schedule.by_depth(*(ng.Dropout(p, shared_axes=0) for p in ends))
    ),
)
NOISES = KINDS | rates(PROBABILITIES)
PATTERNS = st.sampled_from(["hid*:out", "in:out", ":in", "*", "hid[1,2]:out", "a.b:dropout.1"])


@given(
    st.dictionaries(
        PATTERNS | st.sampled_from(list(SHORTHANDS)),
        NOISES | BY_DEPTH | st.lists(NOISES | BY_DEPTH, min_size=2, max_size=3),
        min_size=1,
    )
)
def test_text_and_source_say_all_of_the_rules(rules):
    assert parse_rules(rules_text(rules)) == rules
    assert eval(rules_source(rules), {"ng": ng}) == rules


@pytest.mark.parametrize("name", RECIPES)
def test_a_built_in_recipe_is_known_by_its_name(name):
    recipe = parse_recipe(name)
    assert recipe is RECIPES[name]
    assert not recipe.rules or parse_rules(rules_text(recipe.rules)) == recipe.rules


def test_the_labels_of_the_built_in_recipes():
    assert [recipe.label for recipe in RECIPES.values()] == [
        "no noise",
        "hidden dropout",
        "input and hidden dropout",
        "Gaussian noise",
        "spatial dropout",
        "dropout on recurrent states",
        "dropout on weights",
    ]


def test_a_recipe_goes_to_other_processes_and_stays_what_it_is():
    recipe = parse_recipe("mine=hid*:out=0.3, in:out=gaussian(0.1)")
    assert (recipe.name, recipe.label) == ("mine", "mine")
    for again in (pickle.loads(pickle.dumps(recipe)), copy.deepcopy(recipe)):
        assert again == recipe
        assert hash(again) == hash(recipe)
    with pytest.raises(TypeError):
        recipe.rules["in:out"] = 0.5


def test_a_recipe_that_comes_twice_alike_is_one():
    twice = [parse_recipe(text) for text in ("hidden", "a=x:out=0.5", "hidden", "a=x:out=0.5")]
    assert list(index_recipes(twice)) == ["hidden", "a"]


YAML = """\
none:
small: {"hid*:out": 0.1}
two:
  in:out: [gaussian(0.1), 0.2]
  hidden_noise: 1e-3
1.x: {a:out: [0.5]}
""".replace("1.x", '"1.x"')
TOML = """\
[none]
[small]
"hid*:out" = 0.1
[two]
"in:out" = ["gaussian(0.1)", 0.2]
hidden_noise = 1e-3
["1.x"]
"a:out" = [0.5]
"""


@pytest.mark.parametrize(("suffix", "text"), [("yaml", YAML), ("YML", YAML), ("toml", TOML)])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_file_of_recipes(suffix, text, mark, tmp_path):
    (path := tmp_path / f"recipes.{suffix}").write_text(mark + text, "utf-8")
    none, *own = read_recipes(path)
    assert none is RECIPES[BASELINE]
    assert [(recipe.name, dict(recipe.rules)) for recipe in own] == [
        ("small", {"hid*:out": 0.1}),
        ("two", {"in:out": [ng.GaussianNoise(0.1), 0.2], "hidden_noise": 0.001}),
        ("1.x", {"a:out": 0.5}),
    ]


def test_a_file_that_grows_without_bound_is_one_sentence(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    (path := tmp_path / "bomb.yaml").write_text("\n".join(lines))
    with pytest.raises(ng.InvalidValue, match="must map patterns to noises") as caught:
        read_recipes(path)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("name", ["deep.yaml", "deep.toml"])
def test_a_file_that_is_too_deep_is_one_sentence(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(name).write_text(("a: " if name.endswith("yaml") else "a = ") + "[" * 5000)
    with pytest.raises(ng.InvalidValue, match=re.escape(f"study: '{name}': maximum recursion")):
        read_recipes(name)


# Which recipes fit ----------------------------------------------------------------------------

ALL = ["none", "hidden", "input-hidden", "gaussian", "spatial"]


class Unused(nn.Module):
    """A network with a hidden layer that nothing calls."""

    def __init__(self):
        super().__init__()
        self.hid1, self.norm, self.out = nn.Linear(3, 3), nn.BatchNorm1d(4), nn.Linear(4, 2)

    def forward(self, x):
        return self.out(self.norm(x))


@pytest.mark.parametrize(
    ("make", "shape", "names"),
    [
        (lambda: Mlp((4,), 2), (4,), ALL[:-1]),
        (lambda: Cnn((1, 8, 8), 2), (1, 8, 8), ALL),
        (lambda: Cnn((5, 4), 2), (5, 4), ALL),
        (lambda: nn.Sequential(nn.Linear(4, 2)), (4,), ["none", "gaussian"]),
        (Unused, (4,), ["none", "gaussian"]),
    ],
)
def test_the_built_in_recipes_that_fit(make, shape, names):
    model = make()
    before = copy.deepcopy(model.state_dict())
    state = torch.get_rng_state()
    assert [recipe.name for recipe in find_fitting(model, shape)] == names
    assert torch.equal(torch.get_rng_state(), state)
    assert ng.handles(model) == ()
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_names_that_can_be_files():
    for name in ("a", "A-1_b.c", "x" * 64):
        assert Recipe(name, "", {}).name == name
    for name in ("", "a b", "ä", "a/b", "x" * 65, "a\n"):
        with pytest.raises(ng.InvalidValue, match="a recipe's name must be letters"):
            Recipe(name, "", {})


def test_a_rule_tells_its_recipe():
    with assert_sentence(
        ng.InvalidValue,
        "study: recipe 'x', rule 'b:out': GaussianNoise: `sigma` must be a finite number >= 0; "
        "got -1.0. Did you mean 1?",
    ):
        parse_recipe("x=a:out=0.5, b:out=gaussian(-1)")
