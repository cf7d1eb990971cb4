"""Bad recipes, rules and files of recipes, and the sentence for each.

Files are written into the working directory.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _bad_numbers import Case, Type, Value
from noisegate.study.recipes import Recipe, index_recipes, parse_recipe, read_recipes
from noisegate.study.rule_text import parse_rules

OWN = "Your own is NAME=RULES, for example 'mine=hid*:out=0.5'."
NAME = (
    "study: a recipe's name must be letters a to z, digits and `._-`, at most 64, since files are "
    "named after it; got %s. Write NAME=RULES, for example 'mine=hid*:out=0.5'."
)
RULE = "a rule must be PATTERN=NOISE; got %s. Write for example 'hid*:out=0.5'."
BOUNDS = "Dropout: `p` must be in [0, 1]; got 1.5. Did you mean 0.15?"
NOISE = 'a noise must be a number, text like "gaussian(0.1)", or a list of these; got '
FORM = 'Write for example, in YAML, mine: {"hid*:out": "gaussian(0.1)"}, with the quotes.'


def file(text: str | bytes, name: str = "r.yaml") -> Callable[[], Any]:
    """Return the call that reads a file of this content."""

    def call() -> Any:
        Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_recipes(name)

    return call


def folder() -> Any:
    Path("folder.yml").mkdir()
    return read_recipes("folder.yml")


CASES: list[Case] = [
    # Names
    (
        lambda: parse_recipe("gausian"),
        Value,
        "study: unknown recipe 'gausian'; known are none, hidden, input-hidden, gaussian, "
        "spatial, recurrent, weights. "
        f"Did you mean `gaussian`? {OWN}",
    ),
    (lambda: parse_recipe("hid*:out=0.5"), Value, NAME % "'hid*:out'"),
    (lambda: parse_recipe("=hid*:out=0.5"), Value, NAME % "''"),
    (lambda: Recipe("../up", "up", {}), Value, NAME % "'../up'"),
    (
        lambda: parse_recipe("none=hid*:out=0.5"),
        Value,
        "study: the recipe 'none' is the one without noise, and has no rules. "
        "Give yours another name.",
    ),
    (
        lambda: index_recipes([parse_recipe("a=hid1:out=0.5"), parse_recipe("a=hid1:out=0.4")]),
        Value,
        "study: there are two recipes called 'a', with different rules. Rename one.",
    ),
    # Rules
    (
        lambda: parse_rules("  "),
        Value,
        "study: the text has no rules. Write for example 'hid*:out=0.5, in:out=gaussian(0.1)'.",
    ),
    (
        lambda: parse_recipe("mine="),
        Value,
        "study: recipe 'mine' has no rules. "
        "Write for example 'hid*:out=0.5, in:out=gaussian(0.1)'.",
    ),
    (
        lambda: parse_recipe("hidden_dropout=0.5"),
        Value,
        "study: recipe 'hidden_dropout': " + RULE % "'0.5'",
    ),
    (lambda: parse_rules("a:out=1,,b:out=1"), Value, "study: the text: " + RULE % "''"),
    (
        lambda: parse_recipe("x=hid*:out=1.5"),
        Value,
        f"study: recipe 'x', rule 'hid*:out': {BOUNDS}",
    ),
    (
        lambda: parse_rules("a:out=0.5, hid*:out=dropout(1.5)"),
        Value,
        f"study: rule 'hid*:out': {BOUNDS}",
    ),
    (
        lambda: parse_recipe("x=hidden_noise=-1"),
        Value,
        "study: recipe 'x', rule 'hidden_noise': GaussianNoise: `sigma` must be a finite number "
        ">= 0; got -1.0. Did you mean 1?",
    ),
    (
        lambda: parse_recipe("x=a:out=schedule.linear(0, 2, steps=10)"),
        Value,
        "study: recipe 'x', rule 'a:out': Dropout: `p` must be in [0, 1]; got 2.0. "
        "Did you mean 0.2?",
    ),
    (
        lambda: parse_recipe("x=a:out=schedule.by_depth(0, 2)"),
        Value,
        "study: recipe 'x', rule 'a:out': Dropout: `p` must be in [0, 1]; got 2.0. "
        "Did you mean 0.2?",
    ),
    (
        lambda: parse_rules("a:out=schedule.by_depth(0.1)"),
        Type,
        "study: rule 'a:out': schedule.by_depth: `last` is missing.",
    ),
    (
        lambda: parse_rules("a:out=schedule.by_depth(dropout(0.1), gaussian(0.2))"),
        Value,
        "study: rule 'a:out': schedule.by_depth: its two noises must be of one kind and differ in "
        "the rate alone; got Dropout(p=0.1) and GaussianNoise(sigma=0.2).",
    ),
    (
        lambda: parse_recipe("x=hid1=0.5"),
        Type,
        "study: recipe 'x', rule 'hid1': inject: a pattern must be text of the form `path:port`; "
        "got 'hid1'. Write for example 'hid1:out'.",
    ),
    (
        lambda: parse_rules("a:out=gausian_noise(0.1)"),
        Value,
        "study: rule 'a:out': there is no noise called `gausian_noise`. "
        "Did you mean `gaussian_noise`?",
    ),
    (
        lambda: parse_rules("a:out=gaussian(0.1"),
        Value,
        "study: rule 'a:out': got 'gaussian(0.1', which is no noise. "
        "Write for example dropout(0.5) or gaussian_noise(0.1).",
    ),
    (
        lambda: parse_rules("a:out=dropout('0.5')"),
        Type,
        "study: rule 'a:out': Dropout: `p` must be a number; got '0.5'. "
        "Write p=0.5 without quotes.",
    ),
    # Files
    (
        lambda: read_recipes("missing.yaml"),
        Value,
        "study: cannot read the recipes in 'missing.yaml': No such file or directory.",
    ),
    (folder, Value, "study: cannot read the recipes in 'folder.yml': Is a directory."),
    (
        file(b"\xff\xfe\xfa"),
        Value,
        "study: cannot read the recipes in 'r.yaml': it is no UTF-8 text.",
    ),
    (
        lambda: read_recipes("recipes.json"),
        Value,
        "study: a file of recipes must end in .yaml, .yml or .toml; got 'recipes.json'.",
    ),
    (file(""), Value, f"study: 'r.yaml' has no recipes. {FORM}"),
    (file("# nothing", "r.toml"), Value, f"study: 'r.toml' has no recipes. {FORM}"),
    (
        file("a:\n  hid1:out: 0.5\n  *:out: 0.5\n"),
        Value,
        f"study: 'r.yaml', line 3: expected alphabetic or numeric character, but found ':'. {FORM}",
    ),
    (
        file("a: [\n"),
        Value,
        "study: 'r.yaml', line 2: expected the node content, but found '<stream end>'. " + FORM,
    ),
    (
        file("a: \x01\n"),
        Value,
        f"study: 'r.yaml': special characters are not allowed. {FORM}",
    ),
    (
        file("a: {'x:out': 2024-02-31}\n"),
        Value,
        f"study: 'r.yaml': {'day is out of range for month'}. {FORM}",
    ),
    *(
        (file(f"a: {value}"), Value, f"study: 'r.yaml': a value does not fit its tag. {FORM}")
        for value in ("!!timestamp soon", "!!bool maybe")
    ),
    (
        file("[a]\nhid1:out = 0.5\n", "r.toml"),
        Value,
        "study: 'r.toml', line 2: Expected '=' after a key in a key/value pair. " + FORM,
    ),
    (
        file('[a]\n"hid1:out" = 0.5\n"hid1:out" = 0.4\n', "r.toml"),
        Value,
        f"study: 'r.toml', line 3: Cannot overwrite a value. {FORM}",
    ),
    (
        file("a: {'x:out': 0.5}\nb: {'x:out': 0.5}\na: {'x:out': 0.4}\n"),
        Value,
        "study: 'r.yaml', line 3: 'a' comes twice; leave one, or rename one. " + FORM,
    ),
    (
        file("a:\n  'x:out': 0.5\n  'x:out': 0.4\n"),
        Value,
        "study: 'r.yaml', line 3: 'x:out' comes twice; leave one, or rename one. " + FORM,
    ),
    (
        file("- a\n- b\n"),
        Value,
        f"study: 'r.yaml': must map names to recipes; got ['a', 'b']. {FORM}",
    ),
    (
        file("a: hid*:out=0.5\n"),
        Value,
        f"study: 'r.yaml', recipe 'a': must map patterns to noises; got 'hid*:out=0.5'. {FORM}",
    ),
    (
        file("a: {}\n"),
        Value,
        "study: recipe 'a' has no rules. Write for example 'hid*:out=0.5, in:out=gaussian(0.1)'.",
    ),
    (file("on: {'x:out': 0.5}\n"), Value, NAME % "True"),
    (
        file("none: {'x:out': 0.5}\n"),
        Value,
        "study: the recipe 'none' is the one without noise, and has no rules. "
        "Give yours another name.",
    ),
    (
        file("a: {'x:out': true}\n"),
        Type,
        f"study: recipe 'a', rule 'x:out': {NOISE}True.",
    ),
    (
        file("[a.b]\n'x:out' = 0.5\n", "r.toml"),
        Type,
        f"study: recipe 'a', rule 'b': {NOISE}{{'x:out': 0.5}}.",
    ),
    (file("a: {'x:out': []}\n"), Type, f"study: recipe 'a', rule 'x:out': {NOISE}[]."),
    (file("a: {'x:out': [0.5, null]}\n"), Type, f"study: recipe 'a', rule 'x:out': {NOISE}None."),
    (
        file("a: {'x:out': [0.5, 1.5]}\n"),
        Value,
        f"study: recipe 'a', rule 'x:out': {BOUNDS}",
    ),
    (
        file("a: {1: 0.5}\n"),
        Type,
        "study: recipe 'a', rule 1: inject: a pattern must be text of the form `path:port`; "
        "got 1. Write for example 'hid1:out'.",
    ),
    (
        file("a: {'x:out': .nan}\n"),
        Value,
        "study: recipe 'a', rule 'x:out': there is no noise called `nan`. "
        "Write for example dropout(0.5) or gaussian_noise(0.1).",
    ),
]

assert all(re.search(r"[^.][.?]$", sentence) for _, _, sentence in CASES)
