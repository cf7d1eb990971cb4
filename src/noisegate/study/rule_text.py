"""Rules as text: the command line's form, and Python's."""

import ast
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import noisegate as ng
from noisegate.core import patterns
from noisegate.core.errors import InvalidType, InvalidValue, prefix_errors
from noisegate.core.expression import SCHEDULES, parse
from noisegate.core.rules import SHORTHANDS
from noisegate.core.words import shorten

__all__ = [
    "check_any_rules",
    "name_rule",
    "parse_noise",
    "parse_rules",
    "rules_source",
    "rules_text",
    "split_rules",
    "unwrap_single",
]


def parse_rules(text: str, recipe: str | None = None) -> dict[str, Any]:
    """Return the rules that a text says, as `noisegate.inject` takes them.

    Parameters
    ----------
    text : str
        ``PATTERN=NOISE, PATTERN=NOISE``: a noise is a number, or a call of a kind, a preset or a
        layer; patterns are those of `noisegate.inject`, its shorthands among them. A pattern
        that comes several times has all of its noises, one after the other.
    recipe : str, optional
        Whose rules they are, for errors.

    Raises
    ------
    InvalidType, InvalidValue
        If a rule is no rule, or a kind refuses what it says.

    Examples
    --------
    >>> parse_rules("hid*:out=0.5, in:out=gaussian(0.1)")
    {'hid*:out': 0.5, 'in:out': GaussianNoise(sigma=0.1)}
    """
    found: dict[str, list[Any]] = {}
    for pattern, noise in split_rules(text, recipe):
        with name_rule(recipe, pattern):
            found.setdefault(pattern, []).append(parse_noise(pattern, noise))
    check_any_rules(found, recipe)
    return {pattern: unwrap_single(noises) for pattern, noises in found.items()}


def check_any_rules(rules: Mapping[str, Any], recipe: str | None) -> None:
    """Raise if there are no rules."""
    if not rules:
        raise InvalidValue(
            f"study: {_name_text(recipe)} has no rules. Write for example 'hid*:out=0.5, "
            "in:out=gaussian(0.1)'."
        )


def rules_text(rules: Mapping[str, Any]) -> str:
    """Return rules as the command line takes them: the inverse of `parse_rules`.

    Examples
    --------
    >>> rules_text({"hid*:out": 0.5, "in:out": ng.GaussianNoise(0.1)})
    'hid*:out=0.5, in:out=GaussianNoise(sigma=0.1)'
    """
    return ", ".join(
        f"{pattern}={_format_noise(noise)}"
        for pattern, value in rules.items()
        for noise in (value if isinstance(value, list | tuple) else [value])
    )


def rules_source(rules: Mapping[str, Any]) -> str:
    """Return rules as Python to paste after ``import noisegate as ng``."""
    entries = (f"{pattern!r}: {_format_source(value)}" for pattern, value in rules.items())
    return "{" + ", ".join(entries) + "}"


def split_rules(text: str, recipe: str | None = None) -> Iterator[tuple[str, str]]:
    """Yield the pattern and the noise of each rule of a text, both as text."""
    for part in _split_at_commas(text):
        pattern, equals, noise = (piece.strip() for piece in part.partition("="))
        if not equals:
            raise InvalidValue(
                f"study: {_name_text(recipe)}: a rule must be PATTERN=NOISE; got "
                f"{shorten(part.strip())}. Write for example 'hid*:out=0.5'."
            )
        yield pattern, noise


def _split_at_commas(text: str) -> Iterator[str]:
    """Yield the parts between commas that no bracket and no quote holds."""
    part, depth, quote = "", 0, ""
    for sign in text:
        if sign == "," and depth == 0 and not quote:
            yield part
            part = ""
            continue
        part += sign
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        else:
            depth = max(depth + (sign in "([{") - (sign in ")]}"), 0)
    if part.strip():
        yield part


@contextmanager
def name_rule(recipe: str | None, pattern: Any) -> Iterator[None]:
    """Say in front of the errors of a block which rule is wrong."""
    try:
        yield
    except (InvalidType, InvalidValue) as error:
        whose = "" if recipe is None else f"recipe '{recipe}', "
        raise type(error)(f"study: {whose}rule {shorten(pattern)}: {error}") from None


def parse_noise(pattern: Any, text: str) -> Any:
    """Return a noise as `noisegate.inject` takes it at a pattern.

    A number or a schedule stays one, checked: what it means is the pattern's matter, p of a
    Dropout or sigma in ``hidden_noise``.
    """
    if pattern not in SHORTHANDS:
        with prefix_errors("inject"):
            patterns.check_pattern(pattern)
    bare = _read_bare(text)
    if bare is None:
        return parse(text)
    kind = SHORTHANDS[pattern][1] if pattern in SHORTHANDS else ng.Dropout
    return parse(f"{kind.__name__}({bare})").rate


def _read_bare(text: str) -> str | None:
    """Return a number or a schedule as Python writes it; None if the text is neither."""
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    match tree:
        case ast.Constant(value=value) | ast.UnaryOp(ast.USub(), ast.Constant(value=value)):
            bare = type(value) in (int, float)
        case ast.Call(func=function):
            bare = ast.unparse(function) in SCHEDULES
        case _:
            bare = False
    return ast.unparse(tree) if bare else None


def unwrap_single(noises: list[Any]) -> Any:
    """Return a rule's noises as `parse_rules` has them: one alone, or a list."""
    return noises[0] if len(noises) == 1 else noises


def _format_noise(noise: Any) -> str:
    written = isinstance(noise, ng.Kind | ng.schedule.Schedule)
    return repr(noise) if written else repr(float(noise))


def _format_source(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_format_source, value))}]"
    written = re.sub(r"\bschedule\.", "ng.schedule.", _format_noise(value))
    return f"ng.{written}" if isinstance(value, ng.Kind) else written


def _name_text(recipe: str | None) -> str:
    return "the text" if recipe is None else f"recipe '{recipe}'"
