"""Rules as text: the command line's form, and Python's."""

import ast
import re
from collections.abc import Iterator, Mapping
from typing import Any

import noisegate as ng
from noisegate.core import patterns
from noisegate.core.errors import InvalidType, InvalidValue, prefix_errors
from noisegate.core.expression import SCHEDULES, parse
from noisegate.core.rules import SHORTHANDS

from . import messages

__all__ = [
    "checked_noise",
    "one_or_many",
    "parse_rules",
    "rules_source",
    "rules_text",
    "split_rules",
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
        found.setdefault(pattern, []).append(checked_noise(recipe, pattern, noise))
    if not found:
        raise InvalidValue(messages.no_rules(recipe))
    return {pattern: one_or_many(noises) for pattern, noises in found.items()}


def rules_text(rules: Mapping[str, Any]) -> str:
    """Return rules as the command line takes them: the inverse of `parse_rules`.

    Examples
    --------
    >>> rules_text({"hid*:out": 0.5, "in:out": ng.GaussianNoise(0.1)})
    'hid*:out=0.5, in:out=GaussianNoise(sigma=0.1)'
    """
    return ", ".join(
        f"{pattern}={_source(noise)}"
        for pattern, value in rules.items()
        for noise in (value if isinstance(value, list | tuple) else [value])
    )


def rules_source(rules: Mapping[str, Any]) -> str:
    """Return rules as Python to paste after ``import noisegate as ng``."""
    entries = (f"{pattern!r}: {_python(value)}" for pattern, value in rules.items())
    return "{" + ", ".join(entries) + "}"


def split_rules(text: str, recipe: str | None = None) -> Iterator[tuple[str, str]]:
    """Yield the pattern and the noise of each rule of a text, both as text.

    Raises
    ------
    InvalidValue
        If a rule has no noise.
    """
    for part in _split(text):
        pattern, equals, noise = (piece.strip() for piece in part.partition("="))
        if not equals:
            raise InvalidValue(messages.no_noise_for_a_rule(recipe, part.strip()))
        yield pattern, noise


def _split(text: str) -> Iterator[str]:
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


def checked_noise(recipe: str | None, pattern: Any, noise: str) -> Any:
    """Return a noise as `noisegate.inject` takes it, or say in whose rule it is wrong."""
    try:
        if pattern not in SHORTHANDS:
            with prefix_errors("inject"):
                patterns.check_pattern(pattern)
        return _noise(pattern, noise)
    except (InvalidType, InvalidValue) as error:
        raise type(error)(messages.bad_rule(recipe, pattern, str(error))) from None


def _noise(pattern: str, text: str) -> Any:
    """Return the kind that a text says; a number or a schedule stays one, checked.

    What they mean is the pattern's matter: p of a Dropout, sigma in ``hidden_noise``.
    """
    bare = _bare(text)
    if bare is None:
        return parse(text)
    kind = "GaussianNoise" if pattern in SHORTHANDS and pattern.endswith("noise") else "Dropout"
    return parse(f"{kind}({bare})").rate


def _bare(text: str) -> str | None:
    """Return a number or a schedule as Python writes it; None if the text is neither."""
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    negative = isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub)
    part = tree.operand if negative and isinstance(tree, ast.UnaryOp) else tree
    number = isinstance(part, ast.Constant) and type(part.value) in (int, float)
    schedule = isinstance(tree, ast.Call) and ast.unparse(tree.func) in SCHEDULES
    return ast.unparse(tree) if number or schedule else None


def one_or_many(noises: list[Any]) -> Any:
    """Return a rule's noises as `parse_rules` has them: one alone, or a list."""
    return noises[0] if len(noises) == 1 else noises


def _source(noise: Any) -> str:
    written = isinstance(noise, ng.Kind | ng.schedule.Schedule)
    return repr(noise) if written else repr(float(noise))


def _python(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_python, value))}]"
    written = re.sub(r"\bschedule\.", "ng.schedule.", _source(value))
    return f"ng.{written}" if isinstance(value, ng.Kind) else written
