"""Rates that grow with depth: a noise of its own for each site of a rule."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from . import checks
from .errors import InvalidType, InvalidValue, prefix_errors


@dataclass(frozen=True, slots=True)
class ByDepth:
    """A rule's noise whose rate goes in equal steps from its first site to its last.

    Attributes
    ----------
    first, last : float, Kind, or the config of a kind
        The noise of the first and of the last site.
    """

    first: Any
    last: Any

    def resolve(self, first: Any, last: Any) -> "ByDepth":
        """Return it with the kinds that a rule makes of its ends."""
        with prefix_errors("schedule.by_depth"):
            if not all(checks.is_host(kind.rate) for kind in (first, last)):
                raise InvalidType("its two rates must be numbers; a schedule has one at each step.")
            if first.at_rate(last.rate) != last:
                raise InvalidValue(
                    "its two noises must be of one kind and differ in the rate alone; got "
                    f"{first!r} and {last!r}."
                )
        return ByDepth(first, last)

    def at(self, depth: int, count: int) -> Any:
        """Return the noise of a site by its place among `count` sites; one alone has the last."""
        done = depth / (count - 1) if count > 1 else 1.0
        low, high = self.first.rate, self.last.rate
        return self.first.at_rate(low * (1 - done) + high * done)

    def config(self) -> dict[str, Any]:
        """Return it as a dict that JSON can hold; its value is the arguments of `by_depth`."""
        ends = {"first": self.first, "last": self.last}
        written = {k: v.config() if hasattr(v, "config") else v for k, v in ends.items()}
        return {"by_depth": written}

    def __repr__(self) -> str:
        """Return the call that makes it."""
        return f"schedule.by_depth({self.first!r}, {self.last!r})"


@checks.check_call("schedule.by_depth")
def by_depth(first: Any, last: Any) -> ByDepth:
    """Return a rule's noise whose rate goes in equal steps from its first site to its last.

    The sites are those that the rule matches, in the order of the model's modules. A site alone
    has the last rate.

    Parameters
    ----------
    first, last : float, Kind, or the config of a kind
        The noise of the first and of the last site: two rates, or two noises that differ in the
        rate alone.

    References
    ----------
    Huang, Sun, Liu, Sedra, Weinberger (2016), Deep networks with stochastic depth.

    Examples
    --------
    >>> import noisegate as ng
    >>> rates = ng.schedule.by_depth(0.0, 0.2)
    >>> rates
    schedule.by_depth(0.0, 0.2)
    >>> ng.schedule.by_depth(**rates.config()["by_depth"]) == rates
    True
    """
    return ByDepth(first, last)


def refuse_late(rule: str, site: str, noises: Sequence[object]) -> None:
    """Raise if a rule with rates by depth matches a site that only a forward shows."""
    if any(isinstance(noise, ByDepth) for noise in noises):
        raise InvalidValue(
            f"'{rule}' has rates by depth, and '{site}' shows in a forward alone, where it "
            "has no place among the others. Give each of these sites a rule of its own."
        )


def set_rates(rate: Any, kinds: Sequence[Any], sites: Sequence[str]) -> list[Any]:
    """Return the kinds at some sites with another rate: one for all, or rates by depth."""
    if not isinstance(rate, ByDepth):
        return [kind.at_rate(rate) for kind in kinds]
    depths = {site: depth for depth, site in enumerate(dict.fromkeys(sites))}
    ends = [rate.resolve(kind.at_rate(rate.first), kind.at_rate(rate.last)) for kind in kinds]
    return [end.at(depths[site], len(depths)) for end, site in zip(ends, sites, strict=True)]
