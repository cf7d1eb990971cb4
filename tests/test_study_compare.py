"""Comparison of two studies: pairs, numbers, words, tables, and files that are not studies."""

import argparse
import io
import json
import math
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from rich.console import Console

import _bad_study_compare
import noisegate as ng
from _asserts import assert_sentence
from _bad_study_compare import LOSSES, changed, compared, results, without
from noisegate.cli import compare as command
from noisegate.study.judge.stats import adjust_p_values, estimate_difference
from noisegate.study.judge.study_pairs import Comparison, compare
from noisegate.study.show.comparison import (
    comparison_facts,
    describe_comparison,
    print_comparison,
)

BETTER = {"none": [0.32, 0.28, 0.35], "hidden": [0.15, 0.13, 0.21]}


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def printed(found: Comparison, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    print_comparison(found, console)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def called(*words: str) -> None:
    parser = argparse.ArgumentParser(prog="noisegate")
    command.add(parser.add_subparsers())
    arguments = parser.parse_args(["compare", *words])
    arguments.execute(arguments)


# Pairs and numbers -----------------------------------------------------------------------------


def test_the_differences_are_paired_by_seed():
    found = compared(results(), results(BETTER))
    assert [(row.recipe, row.models) for row in found.rows] == [
        ("none", ("mlp", "mlp")),
        ("hidden", ("mlp", "mlp")),
    ]
    tests = [scipy.stats.ttest_rel(BETTER[name], LOSSES[name]) for name in ("none", "hidden")]
    after = adjust_p_values([test.pvalue for test in tests])
    for row, test, adjusted in zip(found.rows, tests, after, strict=True):
        one, ends = row.loss_difference, test.confidence_interval(0.95)
        assert one.mean == pytest.approx(np.subtract(BETTER[row.recipe], LOSSES[row.recipe]).mean())
        assert (one.low, one.high) == pytest.approx((ends.low, ends.high))
        assert (one.p, one.holm) == pytest.approx((test.pvalue, adjusted))
        errors = [[loss / 10 for loss in of[row.recipe]] for of in (BETTER, LOSSES)]
        alone = estimate_difference(*errors, ratio=200 / 600)
        assert row.error_difference.p == pytest.approx(alone.p)
        assert row.error_difference.corrected_low == pytest.approx(alone.corrected_low)
        assert row.losses[1].mean == pytest.approx(np.mean(BETTER[row.recipe]))


def test_runs_are_paired_by_seed_and_not_by_their_place():
    turned = results(BETTER)
    turned["runs"].reverse()
    first, second = compared(results(), results(BETTER)), compared(results(), turned)
    assert {row.recipe: row for row in first.rows} == {row.recipe: row for row in second.rows}


def test_only_shared_seeds_count():
    longer = {name: [*losses, 9.0, 9.0] for name, losses in BETTER.items()}
    found = compared(results(), results(longer))
    assert found.seeds == (0, 1, 2)
    assert found.rows == compared(results(), results(BETTER)).rows
    assert ("seeds", "3", "5") in found.differs


def test_recipes_of_one_study_only_are_left_out_and_told():
    found = compared(
        results(LOSSES | {"gaussian": [0.3, 0.3, 0.3]}), results(BETTER | {"mine": [1, 2, 3]})
    )
    assert [row.recipe for row in found.rows] == ["none", "hidden"]
    assert ("recipes", "none, hidden, gaussian", "none, hidden, mine") in found.differs


def test_across_models_where_each_study_has_one():
    found = compared(results(), results(BETTER, ("nets:mine",)))
    assert [row.models for row in found.rows] == [("mlp", "nets:mine")] * 2
    assert found.differs == (("models", "mlp", "nets:mine"),)
    assert describe_comparison(found).startswith(
        "With nets:mine instead of the MLP, b is better with hidden dropout: validation loss -0.093"
    )
    assert printed(found)[0] == "MLP → nets:mine · validation loss · seeds: 3"


def test_with_several_models_each_is_paired_with_itself():
    found = compared(results(models=("mlp", "cnn")), results(BETTER, ("cnn", "mlp")))
    assert [(row.recipe, *row.models) for row in found.rows] == [
        ("none", "mlp", "mlp"),
        ("hidden", "mlp", "mlp"),
        ("none", "cnn", "cnn"),
        ("hidden", "cnn", "cnn"),
    ]
    assert "hidden dropout on the MLP: validation loss" in describe_comparison(found)
    assert any(line.startswith(" hidden, CNN") for line in printed(found))
    one = compared(results(models=("mlp", "cnn")), results(BETTER, ("cnn",)))
    assert [row.models for row in one.rows] == [("cnn", "cnn")] * 2


def test_the_other_way_round_is_the_mirror_image():
    one = compared(results(), results(BETTER))
    other = compared(results(BETTER), results())
    for first, second in zip(one.rows, other.rows, strict=True):
        a, b = first.loss_difference, second.loss_difference
        assert (a.mean, a.low, a.holm, a.more_seeds) == (-b.mean, -b.high, b.holm, b.more_seeds)


def test_what_differs():
    other = changed(results(BETTER), "settings/learning_rate", 0.01)
    other = changed(other, "settings/batch_size", 32)
    other = changed(other, "settings/recipes/mlp/hidden", "hid*:out=0.3")
    other = changed(other, "settings/models/mlp", "5f")
    other = changed(other, "versions/torch", "2.11")
    other = changed(other, "settings/test/rows", 201)  # a digest says what is the same
    found = compared(results(), other)
    assert found.differs == (
        ("source of mlp", "built in", "5f"),
        ("rules of hidden", "hid*:out=0.5", "hid*:out=0.3"),
        ("batch size", "not set", "32"),
        ("learning rate", "0.002", "0.01"),
        ("torch", "2.10", "2.11"),
    )
    assert compared(results(), results()).differs == ()
    # With other rules it is no more what it is called.
    assert [row.label for row in found.rows] == ["no noise", "hidden"]


# Words -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b", "sentence"),
    [
        (
            LOSSES,
            BETTER,
            "b is better with hidden dropout: validation loss -0.093 (95\u00a0% interval -0.108 to "
            "-0.079, p = 0.003); no difference is shown with no noise.",
        ),
        (
            BETTER,
            LOSSES,
            "b is worse with hidden dropout: validation loss +0.093 (95\u00a0% interval +0.079 to "
            "+0.108, p = 0.003); no difference is shown with no noise.",
        ),
        (LOSSES, LOSSES, "a and b are the same with no noise and hidden dropout."),
        (
            LOSSES,
            {"none": [0.31, None, 0.35], "hidden": [0.2, 0.3, 0.3]},
            "No difference is shown with hidden dropout; there is no verdict with no noise, where "
            "some losses are not finite.",
        ),
        (
            LOSSES | {"mine": [0.5, 0.5, 0.5]},
            {name: [0.31, 0.30, 0.29] for name in ("none", "hidden", "mine")},
            "b is better with mine: validation loss -0.200 (95\u00a0% interval -0.225 to -0.175, "
            "p = 0.002); no difference is shown with no noise and hidden dropout.",
        ),
    ],
    ids=["better", "worse", "the same", "not finite", "several"],
)
def test_the_sentence(a, b, sentence):
    assert describe_comparison(compared(results(a), results(b))) == sentence


def test_the_sentence_of_a_regression():
    a, b = ({"none": [loss * 100_000 for loss in of["hidden"]]} for of in (LOSSES, BETTER))
    found = compared(results(a, task="regression"), results(b, task="regression"))
    assert describe_comparison(found) == (
        "b is better with no noise: validation RMSE -9,333 (95\u00a0% interval -10,768 to -7,899, "
        "p = 0.001)."
    )


# The command -----------------------------------------------------------------------------------


def test_what_is_printed():
    found = compared(results(), changed(results(BETTER), "settings/epochs", 90))
    assert printed(found, 100) == [
        "MLP · validation loss · seeds: 3",
        "",
        " recipe      a      b   b − a     95\u00a0% interval      p",
        " ─────────────────────────────────────────────────────",
        " none    0.317  0.317  +0.000  -0.025 to +0.025   1.00",
        " hidden  0.257  0.163  -0.093  -0.108 to -0.079  0.003",
        "",
        "MLP · validation error, % · seeds: 3",
        "",
        " recipe     a     b  b − a   95\u00a0% interval      p",
        " ────────────────────────────────────────────────",
        " none    3.17  3.17  +0.00  -0.25 to +0.25   1.00",
        " hidden  2.57  1.63  -0.93  -1.08 to -0.79  0.003",
        "",
        "b − a paired by seed, below 0: b is better, p after Holm's correction for 2 rows.",
        "",
        "a: a.json",
        "b: b.json",
        "What differs: epochs: 60 | 90",
        describe_comparison(found),
    ]


def test_the_tables_of_many_splits_have_the_corrected_interval():
    draw = np.random.default_rng(0).normal(0.3, 0.02, size=(2, 20))
    a, b = ({"none": of.tolist(), "mine": (of / 2).tolist()} for of in draw)
    text = "\n".join(printed(compared(results(a), results(b)), 80))
    assert text.count("  corrected  ") == 2
    assert (
        "Over 20 splits of the same rows the interval is optimistic; corrected as Nadeau and "
        "Bengio do."
    ) in " ".join(text.split())
    assert "…" not in text, "it fits a terminal of 80"
    assert "corrected" not in "\n".join(printed(compared(results(), results(BETTER))))


def test_the_numbers_of_a_row_agree():
    """Two digits of the interval alone would make them 4, 4 and -1."""
    a = {"none": [0.0300, 0.0500], "hidden": [0.0350, 0.0520]}
    b = {"none": [0.0310, 0.0480], "hidden": [0.0260, 0.0500]}
    for line in printed(compared(results(a), results(b)), 80):
        if cells := re.match(r" (?:none|hidden) +(\S+) +(\S+) +([+-]\S+)", line):
            before, after, change = map(float, cells.groups())
            assert abs(after - before - change) <= abs(change) / 10 + 1e-9, line


def test_the_command_prints_what_is_found(capsys):
    expected = compared(results(), results(BETTER))
    called("a.json", "b.json")
    out, err = capsys.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert lines[-1] == describe_comparison(expected)
    assert lines[-3:-1] == ["a: a.json", "b: b.json"]
    assert "validation error, %" in out


def test_the_command_prints_json_that_is_json(capsys):
    losses = {"none": [0.31, None, 0.35], "hidden": [0.2, 0.3, 0.3]}
    found = compared(results(), changed(results(losses), "settings/epochs", 90))
    called("a.json", "b.json", "--json")
    told = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert told == comparison_facts(found)
    assert told["differs"] == [{"what": "epochs", "a": "60", "b": "90"}]
    assert told["sentence"] == describe_comparison(found)
    none, hidden = told["rows"]
    assert none["loss_difference"]["mean"] is None
    assert none["loss_difference"]["verdict"] == "unclear"
    assert hidden["b"]["model"] == "mlp"
    assert hidden["b"]["loss"]["mean"] == pytest.approx(0.8 / 3)
    assert hidden["error_difference"]["mean"] == pytest.approx(0.003 / 3)
    assert hidden["loss_difference"]["optimistic"] is False


def test_a_folder_stands_for_the_study_json_in_it(capsys):
    compared(results(), results(BETTER))
    called("a.json", "b.json", "--json")
    expected = json.loads(capsys.readouterr().out)
    for name in ("a", "b"):
        Path(name).mkdir()
        Path(f"{name}.json").rename(Path(name, "study.json"))
    called("a", "b/study.json", "--json")
    found = json.loads(capsys.readouterr().out)
    assert found == {**expected, "a": "a/study.json", "b": "b/study.json"}
    assert compare("a/", Path("b")).rows == compare("a/study.json", "b").rows


def test_signs_of_markup_are_printed_as_they_are():
    found = compared(results(models=("a[bold]",)), results(BETTER, ("a[bold]",)))
    assert printed(found)[0].startswith("a[bold] · validation loss")


def test_the_examples_of_the_help_parse():
    parser = argparse.ArgumentParser(prog="noisegate")
    command.add(parser.add_subparsers())
    examples = [line.split(maxsplit=1)[1] for line in command.EPILOG.splitlines()[1:]]
    compares = [example for example in examples if example.startswith("compare")]
    assert len(compares) == 2
    outs = [words[words.index("--out") + 1] for words in map(shlex.split, examples[:2])]
    for example in compares:
        arguments = parser.parse_args(shlex.split(example))
        assert [arguments.a, arguments.b] == [*map(Path, outs)]


# Files that are no studies ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    _bad_study_compare.CASES,
    ids=[case[2][:70] for case in _bad_study_compare.CASES],
)
def test_a_bad_file_is_named_in_a_sentence(call, error, sentence):
    with assert_sentence(error, sentence):
        call()


def places(facts: Any, at: str = "") -> list[str]:
    items = facts.items() if isinstance(facts, dict) else enumerate(facts)
    found = []
    for name, value in items:
        here = f"{at}{name}"
        found += [here, *(places(value, f"{here}/") if isinstance(value, dict | list) else [])]
    return found


ODD = [None, True, -1, 10**400, 1e308, math.nan, "", "\ud800", [], {}, [[]], {"a": {}}]


@pytest.mark.parametrize("odd", [*ODD, "left out"], ids=lambda odd: repr(odd)[:12])
def test_whatever_is_wrong_in_a_file_no_other_error_leaves(odd):
    """Everywhere in a file one thing is another: it is compared, or the file is named."""
    base = results(BETTER)
    refused = []
    for place in places(base):
        other = without(base, place) if odd == "left out" else changed(base, place, odd)
        try:
            printed(compared(results(), other))
        except ng.InvalidValue as error:
            refused.append(str(error))
    assert 0 < len(refused) < len(places(base))
    named = [text for text in refused if "'b.json'" in text or "share" in text]
    assert named == refused


def test_a_file_cut_anywhere_is_named():
    text = json.dumps(results())
    for end in range(0, len(text), 97):
        with pytest.raises(ng.InvalidValue, match=r"got 'b\.json': it is not JSON"):
            compared(results(), text[:end])
