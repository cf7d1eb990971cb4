"""Rules as text: the command line's form, and Python's."""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from reprlib import Repr
from typing import Any

import noisegate as ng
from noisegate.core import patterns
from noisegate.core.depth import ByDepth, by_depth
from noisegate.core.errors import InvalidType, InvalidValue, prefix_errors
from noisegate.core.expression import SCHEDULES, parse
from noisegate.core.rules import SHORTHANDS, make_kind
from noisegate.core.words import shorten

# Aliases of YAML can make a few lines a value without bound, so `shorten` could not end.
brief = Repr()
brief.maxstring, brief.maxother, brief.maxlevel = 60, 60, 2


def parse_rules(text: str, recipe: str | None = None) -> dict[str, Any]:
    """Return the rules that a text says, as `noisegate.inject` takes them.

    The text is ``PATTERN=NOISE, PATTERN=NOISE``: a noise is a number, or a call of a kind, a preset
    or a layer; patterns are those of `noisegate.inject`, its shorthands among them. A pattern that
    comes several times has all of its noises, one after the other. Errors name the recipe.

    Examples
    --------
    >>> parse_rules("hid*:out=0.5, in:out=gaussian(0.1)")
    {'hid*:out': 0.5, 'in:out': GaussianNoise(sigma=0.1)}
    """
    return make_rules(split_rules(text, recipe), recipe)


def make_rules(pairs: Iterable[tuple[Any, Any]], recipe: str | None) -> dict[str, Any]:
    """Return the rules of pairs of a pattern and a noise: a number, or text of a call."""
    found: dict[str, list[Any]] = {}
    for pattern, noise in pairs:
        try:
            found.setdefault(pattern, []).append(_parse_noise(pattern, noise))
        except (InvalidType, InvalidValue) as error:
            whose = "" if recipe is None else f"recipe '{recipe}', "
            raise type(error)(f"study: {whose}rule {shorten(pattern)}: {error}") from None
    if not found:
        raise InvalidValue(
            f"study: {_name_text(recipe)} has no rules. Write for example 'hid*:out=0.5, "
            "in:out=gaussian(0.1)'."
        )
    return {pattern: noises if noises[1:] else noises[0] for pattern, noises in found.items()}


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


def _parse_noise(pattern: Any, noise: Any) -> Any:
    """Return a noise as `noisegate.inject` takes it at a pattern.

    A number or a schedule stays one, checked: what it means is the pattern's matter, p of a
    Dropout or sigma in ``hidden_noise``.
    """
    if type(noise) not in (int, float, str):
        raise InvalidType(
            'a noise must be a number, text like "gaussian(0.1)", or a list of these; '
            f"got {brief.repr(noise)}."
        )
    # Python writes no number that is not finite, and kinds refuse it.
    text = noise if isinstance(noise, str) else repr(noise)
    if pattern not in SHORTHANDS:
        with prefix_errors("inject"):
            patterns.check_pattern(pattern)
    rates = _read_by_depth(pattern, text)
    if rates is not None:
        return rates
    bare = _read_bare(text)
    if bare is None:
        return parse(text)
    kind = SHORTHANDS[pattern][1](0.0) if pattern in SHORTHANDS else ng.Dropout(0.0)
    return parse(f"{type(kind).__name__}({bare})").rate


def _read_by_depth(pattern: str, text: str) -> ByDepth | None:
    """Return the rates by depth that a text says, checked; None if it says none."""
    call = _read_tree(text)
    if not isinstance(call, ast.Call) or ast.unparse(call.func) != "schedule.by_depth":
        return None
    args = [_parse_noise(pattern, ast.unparse(end)) for end in call.args]
    words = {str(w.arg): _parse_noise(pattern, ast.unparse(w.value)) for w in call.keywords}
    made = by_depth(*args, **words)
    made.resolve(make_kind(pattern, made.first), make_kind(pattern, made.last))
    return made


def _read_tree(text: str) -> ast.expr | None:
    """Return a text as an expression of Python; None if it is none."""
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _read_bare(text: str) -> str | None:
    """Return a number or a schedule as Python writes it; None if the text is neither."""
    tree = _read_tree(text)
    match tree:
        case ast.Constant(value=value) | ast.UnaryOp(ast.USub(), ast.Constant(value=value)):
            bare = type(value) in (int, float)
        case ast.Call(func=function):
            bare = ast.unparse(function) in SCHEDULES
        case _:
            bare = False
    return ast.unparse(tree) if tree is not None and bare else None


def _format_noise(noise: Any) -> str:
    if isinstance(noise, ByDepth):
        return f"schedule.by_depth({_format_noise(noise.first)}, {_format_noise(noise.last)})"
    written = isinstance(noise, ng.Kind | ng.schedule.Schedule)
    return repr(noise) if written else repr(float(noise))


def _format_source(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_format_source, value))}]"
    if isinstance(value, ByDepth):
        ends = _format_source(value.first), _format_source(value.last)
        return f"ng.schedule.by_depth({', '.join(ends)})"
    written = re.sub(r"\bschedule\.", "ng.schedule.", _format_noise(value))
    return f"ng.{written}" if isinstance(value, ng.Kind) else written


def _name_text(recipe: str | None) -> str:
    return "the text" if recipe is None else f"recipe '{recipe}'"
