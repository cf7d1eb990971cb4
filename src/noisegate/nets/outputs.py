"""The named outputs of a forward, and functions put at them."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor, nn

from noisegate.core.errors import UnmatchedRule
from noisegate.core.messages import unmatched
from noisegate.core.patterns import checked, matches, port_of
from noisegate.torch import Host

# What theanets calls the parameters of a layer.
_ALIASES = {"weight": "w", "bias": "b"}


class Places:
    """The outputs of a model by name, ``layer:out`` and ``layer:pre``, and the site of each."""

    def __init__(self, model: nn.Module) -> None:
        self.host = Host(model)
        known = self.host.sites()
        mine = {site: name for name, site in known.own_names.items()}
        self.sites = {
            name: known.own_names.get(name, name)
            for name in known.names
            if port_of(name).name in ("pre", "out") and name not in mine
        }
        self.names = {site: name for name, site in self.sites.items()}
        self.sites.pop(":out", None)
        entries, exits = getattr(model, "entries", ["in"]), getattr(model, "exits", ["out"])
        # Inputs and outputs have the names of their layers; a model without such, theanets'.
        for names, site in ((entries, ":in"), (exits, ":out")):
            if len(names) == 1:
                self.names.setdefault(site, f"{names[0]}:out")
                self.sites.setdefault(f"{names[0]}:out", site)

    def matching(self, pattern: str | Sequence[str]) -> list[str]:
        """Return the names that a pattern, or one of several, names; each once."""
        found = list[str]()
        for part in [pattern] if isinstance(pattern, str) else pattern:
            named = matches(checked(part), list(self.sites))
            if not named:
                raise UnmatchedRule(unmatched(part, list(self.sites)))
            found += named
        return list(dict.fromkeys(found))

    def put(self, name: str, function: Callable[[Tensor], Tensor | None]) -> Callable[[], None]:
        """Put a function at an output, whatever the mode; return how to undo it."""
        site = self.sites.get(name, name)
        return self.host.attach(site, Tap(function))


class Tap:
    """A function at a site, as a face takes it; it acts in every mode."""

    every = False
    silent = False

    def __init__(self, function: Callable[[Tensor], Tensor | None]) -> None:
        self.function = function

    def reach(self) -> None:
        """Take note of nothing."""

    def acts(self, training: bool, call: Any = None) -> bool:
        """Return that it acts."""
        return True

    def __call__(self, x: Tensor, call: Any = None) -> Tensor:
        """Return what the function makes of a tensor; None leaves it."""
        changed = self.function(x)
        return x if changed is None else changed


class Recording:
    """The outputs of the last forward by name, in the order in which they came."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.values: dict[str, Tensor] = {}
        self._undo = ExitStack()

    def record(self, names: Sequence[str], suffix: str = "") -> None:
        """Record outputs as they are at this point of their hooks."""
        for name in names:

            def keep(x: Tensor, name: str = name + suffix) -> None:
                self.values[name] = x

            self._undo.callback(self.places.put(name, keep))

    def stop(self) -> None:
        """Take everything out."""
        self._undo.close()


def outputs_matching(model: nn.Module, pattern: str | Sequence[str]) -> list[str]:
    """Return the names of a model's outputs that a pattern names, sorted.

    Examples
    --------
    >>> from noisegate.nets import Input, Linear, Relu, join, outputs_matching
    >>> net = join(Input(10, name="in"), Relu(20, name="hid1"), Linear(2, name="out"))
    >>> outputs_matching(net, "*")
    ['hid1:out', 'hid1:pre', 'in:out', 'out:out', 'out:pre']
    """
    return sorted(Places(model).matching(pattern))


def parameters_matching(model: nn.Module, pattern: str | Sequence[str]) -> dict[str, Tensor]:
    """Return a model's parameters that a pattern names: ``hid1.weight``, or ``hid1.w``."""
    several = [pattern] if isinstance(pattern, str) else list(pattern)
    found: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        layer, _, word = name.rpartition(".")
        names = (name, f"{layer}.{_ALIASES.get(word, word)}")
        if any(fnmatchcase(text, part) for text in names for part in several):
            found[name] = parameter
    if not found:
        known = [name for name, _ in model.named_parameters()]
        raise UnmatchedRule(unmatched(str(pattern), known))
    return found
