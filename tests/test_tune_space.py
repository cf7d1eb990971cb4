"""The search space: rules with ranges as text, their suggestions, their importance."""

import math

import optuna
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import noisegate as ng
from _asserts import assert_sentence
from noisegate.study.models import Model
from noisegate.study.recipes import RECIPES
from noisegate.study.rule_text import rules_text
from noisegate.tune.space import Range, find_space, parse_space
from noisegate.tune.storages import file_url, hide_passwords
from noisegate.tune.trials import Trials

TEXTS = {
    "hid*:out=0..0.8": [("hid*:out", 0, 0.8, None)],
    "in:out=gaussian(0.01..1 log)": [("in:out", 0.01, 1, "log")],
    "hid1:out=0.5": [],
    "hidden_dropout=0..0.8": [("hidden_dropout", 0, 0.8, None)],
    "conv*:out=drop_block(0.1..0.3, 3..7 int)": [
        ("conv*:out", 0.1, 0.3, None),
        ("conv*:out, 2", 3, 7, "int"),
    ],
    "in:out=0..0.5, in:out=gaussian(1e-06..0.123456789)": [
        ("in:out", 0, 0.5, None),
        ("in:out (2)", 1e-6, 0.123456789, None),
    ],
    "in:out=drop_block(0.1..0.3, 3..7 int), in:out=0.1..0.2": [
        ("in:out", 0.1, 0.3, None),
        ("in:out, 2", 3, 7, "int"),
        ("in:out (2)", 0.1, 0.2, None),
    ],
    "conv*:out=drop_block(0.1..1, 1..10000000 int)": [
        ("conv*:out", 0.1, 1, None),
        ("conv*:out, 2", 1, 10_000_000, "int"),
    ],
}


def ranges(text: str) -> list[Range]:
    return [one for rule in parse_space(text).rules for one in rule.ranges]


@pytest.mark.parametrize(("text", "expected"), TEXTS.items(), ids=TEXTS)
def test_texts_with_ranges(text, expected):
    space = parse_space(text)
    assert ranges(text) == [Range(*one) for one in expected]
    assert space.text == text
    assert parse_space(space.text) == space
    names = [name for rule in space.rules for name in rule.parameters]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    "text", ["hid*:out=0 .. 0.8", "hid*:out=.0..+8e-1", "hid*:out=0...8", "hid*:out=0.. 0.80"]
)
def test_other_ways_to_write_a_range(text):
    assert parse_space(text).text == "hid*:out=0..0.8"


def test_whole_numbers_are_whole():
    (one,) = ranges("conv*:out=drop_block(0.1, 3..7e0 int)")
    assert (type(one.low), type(one.high)) == (int, int)


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("hid*:out=0..1.5", "Dropout: `p` must be in [0, 1]; got 1.5. Did you mean 0.15?"),
        ("hid*:out=-0.5..0.5", "Dropout: `p` must be in [0, 1]; got -0.5. Did you mean 0.5?"),
    ],
)
def test_an_end_that_a_kind_refuses(text, got):
    with assert_sentence(ng.InvalidValue, f"study: rule 'hid*:out': {got}"):
        parse_space(text)


@pytest.mark.parametrize("text", ["hid*:out=0..0.8 lg", "hid*:out=x0..0.8", ""])
def test_what_is_no_range_is_refused(text):
    with pytest.raises(ng.InvalidValue):
        parse_space(text)


# Suggestions ----------------------------------------------------------------------------------


class Drawn:
    """A trial that suggests what hypothesis draws."""

    def __init__(self, data: st.DataObject) -> None:
        self.data, self.params = data, {}

    def suggest_categorical(self, name, choices):
        return self._kept(name, st.sampled_from(choices))

    def suggest_int(self, name, low, high):
        return self._kept(name, st.integers(low, high))

    def suggest_float(self, name, low, high, *, log):
        return self._kept(name, st.floats(low, high))

    def _kept(self, name, values):
        assert name not in self.params, "two parameters of one name"
        self.params[name] = self.data.draw(values)
        return self.params[name]


MIXED = "hid*:out=0..0.8, conv*:out=drop_block(0.1..0.3, 3..7 int), in:out=gaussian(0.01..1 log)"


@given(st.data(), st.booleans())
def test_suggested_recipes_obey_bounds_and_can_be_had_again(data, always):
    space = parse_space(MIXED, always=always)
    trial = Drawn(data)
    recipe = space.suggest(trial)
    assert space.read_recipe(trial.params) == recipe
    on = {rule.pattern for rule in space.rules if always or trial.params[rule.on]}
    assert set(recipe.rules) == on
    assert (recipe == RECIPES["none"]) == (not on)
    numbers = {one.name: trial.params[one.name] for rule in space.rules for one in rule.ranges}
    if "hid*:out" in on:
        assert recipe.rules["hid*:out"] == numbers["hid*:out"] <= 0.8
    if "conv*:out" in on:
        block = recipe.rules["conv*:out"]
        assert (block.p, block.block_size) == (numbers["conv*:out"], numbers["conv*:out, 2"])
        assert type(block.block_size) is int
    if "in:out" in on:
        assert 0.01 <= recipe.rules["in:out"].sigma == numbers["in:out"] <= 1
    assert space.format_rules(trial.params) == ", ".join(
        rule.text([trial.params[one.name] for one in rule.ranges])
        for rule in space.rules
        if rule.pattern in on
    )


def test_recipes_are_named_after_what_they_say():
    space = parse_space("hid*:out=0..0.8", always=True)
    ps = 0.1, 0.1, 0.10000000000000002
    first, again, other = (space.read_recipe({"hid*:out": p}) for p in ps)
    assert first.name == again.name != other.name


def test_no_noise_and_the_ends():
    space = parse_space(MIXED + ", hid1:out=0.1")
    off = space.off()
    assert space.read_recipe(off) == RECIPES["none"]
    assert {name: value for name, value in off.items() if value is not False} == {
        "hid*:out": 0,
        "conv*:out": 0.1,
        "conv*:out, 2": 3,
        "in:out": 0.01,
    }
    assert rules_text(space.ends().rules) == (
        "hid*:out=0.8, conv*:out=DropBlock(p=0.3, block_size=7), "
        "in:out=GaussianNoise(sigma=1.0), hid1:out=0.1"
    )
    assert parse_space(MIXED, always=True).off() == {}


def test_what_is_searched_by_default_fits_the_model():
    images, flat = torch.zeros(2, 1, 8, 8), torch.zeros(2, 5)
    by_name = "hid*:out=0..0.8, in:out=0..0.5, in:out=gaussian(0..0.5)"
    for model, example in (("mlp", flat), ("mlp", images), ("cnn", images)):
        space = find_space(Model(model), example, 3, always=True)
        assert space == parse_space(by_name, always=True)


# Giving up ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("finished", "seed", "value", "expected"),
    [
        (10, 1, 0.56, True),
        (10, 1, 0.54, False),
        (10, 2, 1.56, True),
        (10, 2, 1.54, False),  # the third seed is a harder one, for all
        (10, 0, 9.0, False),
        (9, 1, 9.0, False),
    ],
)
def test_who_is_clearly_worse_is_given_up(tmp_path, finished, seed, value, expected):
    trials = Trials(file_url(tmp_path / "t.db"), "made up", 0, 20)
    trials.create({})
    for number in range(finished):
        trial = trials.next({})
        for step, offset in enumerate((0, 0, 1)):
            trial.report(0.1 * (number + 1) + offset, step)
        trials.tell(trial, "finished", 1.0)
    assert trials.should_prune(value, seed) == expected
    trials.close()


# Importance -----------------------------------------------------------------------------------


def asked(folder, space, value, count=30, **options):
    """Do trials whose values are a function of their parameters."""
    trials = Trials(file_url(folder / "t.db"), "made up", 0, count)
    trials.create({"space": space.text})
    while (trial := trials.next(space.off())) is not None:
        space.suggest(trial)
        trials.tell(trial, "finished", value(trial.params))
    return trials


def test_the_rule_that_matters_has_the_most(tmp_path):
    space = parse_space(
        "a:out=0..0.8, b:out=0..0.8, c:out=0.5, d:out=drop_block(0.1..0.3, 3..7 int)"
    )

    def value(params):
        a = params["a:out"] if params["a:out on"] else 0
        return (a - 0.5) ** 2 + 0.02 * params["c:out on"]

    trials = asked(tmp_path, space, value)
    shares = trials.importance(space)
    assert shares == trials.importance(space)
    trials.close()
    assert list(shares) == ["a:out", "b:out", "c:out", "d:out"]
    assert math.isclose(math.fsum(shares.values()), 1)
    assert shares["a:out"] > 0.7
    assert max(shares["b:out"], shares["d:out"]) < 0.15


def test_a_switch_alone_can_matter(tmp_path):
    space = parse_space("a:out=0.5, b:out=gaussian(0.01..1 log)")
    trials = asked(tmp_path, space, lambda params: float(params["a:out on"]))
    shares = trials.importance(space)
    trials.close()
    assert shares["a:out"] > 0.9


@pytest.mark.parametrize(("count", "value"), [(9, lambda p: p["a:out"]), (12, lambda p: 1.0)])
def test_where_nothing_can_be_told_there_is_no_importance(tmp_path, count, value):
    space = parse_space("a:out=0..0.8")
    trials = asked(tmp_path, space, value, count)
    assert trials.importance(space) == {}
    trials.close()


def test_rates_are_searched_where_they_help(tmp_path):
    space = parse_space("a:out=0..0.8, b:out=0..0.8", always=True)
    trials = asked(tmp_path, space, lambda p: (p["a:out"] - 0.3) ** 2 + (p["b:out"] - 0.6) ** 2, 40)
    best = min(trials.list_ended(), key=lambda trial: trial.value)
    trials.close()
    assert abs(best.parameters["a:out"] - 0.3) < 0.1
    assert abs(best.parameters["b:out"] - 0.6) < 0.1


# Names of storages ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a b", "p%20q", "q?x", "h#x", "{c}", "ü", "@:"])
def test_a_folder_may_have_any_name(tmp_path, name):
    (tmp_path / name).mkdir()
    trials = Trials(file_url(tmp_path / name / "t.db"), "a", 0, 1)
    trials.create({})
    trials.close()
    assert (tmp_path / name / "t.db").stat().st_size
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:///t.db", "sqlite:///t.db"),
        ("postgresql://me@host/x", "postgresql://me@host/x"),
        ("postgresql://me:secret@host/x", "postgresql://me:***@host/x"),
        ("postgresql://me:se:cr/et@@host/x", "postgresql://me:***@host/x"),
        (
            "postgresql://host/x?user=me&password=secret&a=b",
            "postgresql://host/x?user=me&password=***&a=b",
        ),
        (
            "cannot reach postgresql://me:secret@host: no",
            "cannot reach postgresql://me:***@host: no",
        ),
    ],
)
def test_a_password_is_never_shown(url, expected):
    assert hide_passwords(url) == expected


def test_optuna_says_nothing(tmp_path, capsys):
    asked(tmp_path, parse_space("a:out=0..0.8"), lambda p: p["a:out"], 3).close()
    assert capsys.readouterr() == ("", "")
    assert optuna.logging.get_verbosity() == optuna.logging.ERROR
