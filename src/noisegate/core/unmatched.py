"""Refuse a rule that names no site: what its place lacks, what was meant, and what is near."""

from collections.abc import Collection, Iterable, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import NoReturn

from . import patterns
from .errors import UnmatchedRule
from .survey import Sites
from .words import list_names

# So many parameters of a place are listed; of more, the nearest.
_MOST = 12


def refuse_rule(rule: str, sites: Sites, seen: Collection[str] = ()) -> NoReturn:
    """Raise, since a rule names no site; `seen` are those that a forward has shown."""
    (path, word), port = patterns.split(rule), patterns.parse_port(rule)
    for site in patterns.matches(rule, list(sites.lacking)):
        raise UnmatchedRule(f"the rule '{rule}' matches no site: {sites.lacking[site]}")
    if port.parameter:
        _refuse_word(rule, sites)
    shown = patterns.matches(f"{path}:scores", list(seen)) if port.name == "probs" else []
    if shown:
        scores = list_names(shown, "'")
        raise UnmatchedRule(
            f"the rule '{rule}' matches no site, since the attention drops no probabilities, and "
            f"`probs` is the place of that dropout. Name its scores, {scores}."
        )
    # Without a forward, a container such as nn.ModuleList has no input or output of its own.
    own = patterns.ALIASES.get(rule, rule)
    if own.startswith(":") and port.name in patterns.HOOKED and sites.names:
        part = sites.names[0].partition(":")[0]
        raise UnmatchedRule(
            f"the rule '{rule}' names the model's own input or output, and the model has no "
            f"forward. Put the noise into the part that is called: inject(model.{part}, ...)."
        )
    names = list(dict.fromkeys([*sites.names, *seen]))
    alike = [site for site in names if patterns.split(site)[1] == word]
    recurrent = port.name in patterns.RECURRENT_PORTS
    patterns.refuse_unmatched(rule, alike if recurrent and alike else names)


def _refuse_word(rule: str, sites: Sites) -> NoReturn:
    """Raise, since the port of a rule is no parameter of the modules that its path names."""
    path, word = patterns.split(rule)
    here = [module for module in sites.modules if fnmatchcase(module, path)]
    made = _find_made(sites, here)
    if word in made:
        instead = " or ".join(f"'{site}'" for site in made[word])
        raise UnmatchedRule(
            f"'{rule}' is no parameter: the module makes it of others when it runs. Name {instead}."
        )
    elsewhere = any(patterns.split(site)[1] == word for site in sites.parameters)
    if elsewhere or not here:
        others = () if elsewhere else sites.names
        patterns.refuse_unmatched(rule, [*others, *sites.parameters])
    names, ports = (_list_words(found, here) for found in (sites.parameters, sites.names))
    near = _find_near(word, [*names, *made, *ports]) or _find_near(word, patterns.PORTS)
    remedy = "Write for example 'hid1:out'."
    if near:
        meant = " or ".join(f"'{site}'" for site in made.get(near, (f"{path}:{near}",)))
        remedy = f"Did you mean {meant}?"
    if names:
        few = names if len(names) <= _MOST else get_close_matches(word, names, _MOST, 0.0)
        remedy = f"{remedy} The parameters there are {list_names(few)}."
    patterns.refuse_port(rule, remedy)


def _find_made(sites: Sites, here: Collection[str]) -> dict[str, list[str]]:
    """Return what modules make of their parameters, by name: the sites to name instead."""
    made: dict[str, list[str]] = {}
    for site in sites.made_weights:
        module, name = patterns.split(site)
        if module in here:
            inside = f"{module}.parametrizations.{name}:"
            sources = [source for source in sites.parameters if source.startswith(inside)]
            made.setdefault(name, []).extend([*sources, f"{module}:out"])
    return made


def _list_words(sites: Iterable[str], here: Collection[str]) -> list[str]:
    """Return the ports of the sites of some modules, each once."""
    pairs = map(patterns.split, sites)
    return list(dict.fromkeys(word for module, word in pairs if module in here))


def _find_near(word: str, words: Sequence[str]) -> str:
    """Return the nearest of some words; "" if none is near."""
    return next(iter(get_close_matches(word, words, n=1)), "")
