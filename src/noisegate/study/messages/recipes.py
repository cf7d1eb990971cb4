"""What is said of recipes, their rules and their files."""

from collections.abc import Iterable
from difflib import get_close_matches
from reprlib import Repr

__all__ = [
    "bad_recipe_name",
    "bad_rule",
    "baseline_has_rules",
    "no_noise_for_a_rule",
    "no_recipe_called",
    "no_recipe_file",
    "no_recipes_in_file",
    "no_rules",
    "not_a_noise",
    "not_rules",
    "recipe_suffix",
    "recipe_twice",
    "twice_in_file",
    "unreadable_recipes",
]

EXAMPLE = "'mine=hid*:out=0.5'"


def no_recipe_called(name: str, known: Iterable[str]) -> str:
    return (
        f"study: unknown recipe {name!r}; known are {_listed(name, known)} "
        f"Your own is NAME=RULES, for example {EXAMPLE}."
    )


def bad_recipe_name(name: object) -> str:
    return (
        "study: a recipe's name must be letters a to z, digits and `._-`, at most 64, since files "
        f"are named after it; got {_short(name)}. Write NAME=RULES, for example {EXAMPLE}."
    )


def baseline_has_rules(name: str) -> str:
    return (
        f"study: the recipe '{name}' is the one without noise, and has no rules. "
        "Give yours another name."
    )


def recipe_twice(name: str) -> str:
    return f"study: there are two recipes called '{name}', with different rules. Rename one."


def no_rules(recipe: str | None) -> str:
    return f"{_where(recipe)} has no rules. Write for example 'hid*:out=0.5, in:out=gaussian(0.1)'."


def no_noise_for_a_rule(recipe: str | None, rule: str) -> str:
    return (
        f"{_where(recipe)}: a rule must be PATTERN=NOISE; got {_short(rule)}. "
        "Write for example 'hid*:out=0.5'."
    )


def bad_rule(recipe: str | None, pattern: object, sentence: str) -> str:
    rule = f"rule {_short(pattern)}"
    return f"study: {rule if recipe is None else f'recipe {recipe!r}, {rule}'}: {sentence}"


def not_a_noise(recipe: str, pattern: object, value: object) -> str:
    sentence = (
        'a noise must be a number, text like "gaussian(0.1)", or a list of these; got '
        f"{_short(value)}."
    )
    return bad_rule(recipe, pattern, sentence)


def no_recipe_file(path: object, reason: str) -> str:
    return f"study: cannot read the recipes in '{path}': {reason}."


def recipe_suffix(path: object) -> str:
    return f"study: a file of recipes must end in .yaml, .yml or .toml; got '{path}'."


def unreadable_recipes(path: object, line: int | None, reason: str) -> str:
    where = f"'{path}'" if line is None else f"'{path}', line {line}"
    return (
        f"study: {where}: {reason}. Put patterns and noises into quotes: "
        '"hid*:out": "gaussian(0.1)".'
    )


def twice_in_file(path: object, key: str, line: int) -> str:
    return f"study: '{path}', line {line}: {_short(key)} comes twice. Leave one, or rename one."


def no_recipes_in_file(path: object) -> str:
    return f"study: '{path}' has no recipes. {_FORM}"


def not_rules(path: object, name: object, value: object) -> str:
    what = f"'{path}'" if name is None else f"'{path}', recipe {_short(name)}"
    return f"study: {what}: must map {_MAPS[name is None]}; got {_short(value)}. {_FORM}"


_MAPS = {True: "names to recipes", False: "patterns to noises"}
_FORM = 'Write for example, in YAML, mine: {"hid*:out": 0.5}.'


def _short(value: object) -> str:
    """Return the beginning of what a file may hold, which may be much."""
    limited = Repr()
    limited.maxstring, limited.maxother, limited.maxlevel = 60, 60, 2
    return limited.repr(value)


def _where(recipe: str | None) -> str:
    return "study: the text" if recipe is None else f"study: recipe '{recipe}'"


def _listed(name: object, known: Iterable[str]) -> str:
    names = list(known)
    near = get_close_matches(str(name), names, n=1, cutoff=0.6)
    guess = f" Did you mean {near[0]}?" if near else ""
    return f"{', '.join(names)}.{guess}"
