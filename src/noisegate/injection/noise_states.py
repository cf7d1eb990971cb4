"""The noises of a handle in its state: what the rules gave, and the rates that were set since."""

from collections.abc import Mapping, Sequence
from typing import Any

from noisegate.core import schedule
from noisegate.core.plan import Placement


def describe_noise(placement: Placement) -> dict[str, Any]:
    """Return a noise as a dict that JSON can store: also what was given, if its rate was set."""
    kind, given = placement.kind, placement.given
    entry = {"site": placement.site, "slot": placement.slot, "noise": kind.config()}
    return entry if given is None else {**entry, "rate": kind.RATE, "given": given.config()}


def list_given(entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return noises of a state as the rules gave them."""
    return [
        {"site": entry["site"], "slot": entry["slot"], "noise": entry.get("given", entry["noise"])}
        for entry in entries
    ]


def list_differing(mine: Sequence[Mapping[str, Any]], others: Sequence[Any]) -> list[str]:
    """Return the sites whose noises only one of two lists has; all sites if the order differs."""
    both = [*mine, *others]
    differing = [entry for entry in both if entry not in mine or entry not in others]
    return list(dict.fromkeys(entry["site"] for entry in differing or both))


def find_rates(entries: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str, int], Any]:
    """Return the rates of a state that were set, by the name of their placement."""
    rates = {}
    for entry in entries:
        if "given" in entry:
            rate = entry["noise"][entry["rate"]]
            name = entry["site"], entry["noise"]["kind"], entry["slot"]
            rates[name] = schedule.from_config(rate) if isinstance(rate, Mapping) else rate
    return rates
