"""The outputs of a model by name, and functions attached to them."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor, nn

from noisegate.core import checks
from noisegate.core.errors import prefix_errors
from noisegate.core.patterns import ALIASES, check_pattern, matches, parse_port, refuse_unmatched
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
            if parse_port(name).name in ("pre", "out") and name not in mine
        }
        self.sites.pop(":out", None)
        self.names = {site: name for name, site in self.sites.items()}
        inputs = known.tokens[0] if known.takes_tokens else ":in"
        entries, exits = getattr(model, "entries", ["in"]), getattr(model, "exits", ["out"])
        # Inputs and outputs are named after their layers; other models have theanets' names.
        for names, site, place in ((entries, ":in", inputs), (exits, ":out", ":out")):
            if len(names) == 1:
                name = f"{names[0]}:out"
                self.names.setdefault(site, name)
                if name not in self.sites or self.sites[name] == site:
                    self.sites[name] = place
        # Recorded last, so that functions attached to the output are seen.
        self.last = {f"{exits[0]}:out": ":out"} if len(exits) == 1 else {}
        if known.takes_tokens:
            # Indices take no noise and are not recorded; their embedding is the input.
            for name in entries:
                self.sites.pop(f"{name}:out", None)
            self.sites.setdefault("in:out", inputs)

    def find_outputs(self, pattern: str | Sequence[str]) -> list[str]:
        """Return the names that match one of the patterns, each once; raise if one has none."""
        found = list[str]()
        for part in [pattern] if isinstance(pattern, str) else pattern:
            with prefix_errors("inject"):
                named = matches(check_pattern(part), list(self.sites)) or self._alias(part)
                if not named:
                    refuse_unmatched(part, list(self.sites))
            found += named
        return list(dict.fromkeys(found))

    def of_role(self, role: str) -> list[str]:
        """Return the names of the outputs that are `input`, `hidden` or `output`."""
        sites = self.host.sites().roles.get(role, ())
        return [self.names.get(site, site) for site in sites]

    def _alias(self, pattern: str) -> list[str]:
        """Return the model's input or output for theanets' name of it."""
        name = self.names.get(ALIASES.get(pattern, ""))
        return [name] if name in self.sites else []

    def attach(
        self, name: str, function: Callable[[Tensor], Tensor | None], always: bool = True
    ) -> Callable[[], None]:
        """Attach a function to an output and return the function that removes it."""
        site = self.sites.get(name, name)
        return self.host.attach(site, Tap(function, always))


class Tap:
    """A function in the form that a site takes; it acts in every mode, or in training only."""

    every = False
    silent = False

    def __init__(self, function: Callable[[Tensor], Tensor | None], always: bool = True) -> None:
        self.function, self.always = function, always

    def reach(self) -> None:
        """Do nothing: a plain function keeps no account of its calls."""

    def acts(self, training: bool, call: Any = None) -> bool:
        """Return whether it acts."""
        return training or self.always

    def __call__(self, x: Tensor, call: Any = None) -> Tensor:
        """Return the function's result, or the tensor itself if that is None."""
        changed = self.function(x)
        return x if changed is None else changed

    # In code that a compiler traces all is the same.
    reach_in_graph, acts_in_graph = reach, acts

    def refuse_unwatched(self, x: Tensor) -> None:
        """Do nothing: it makes no noise."""

    def is_silent_in_graph(self) -> bool:
        """Return False."""
        return False

    def plan_in_graph(self, call: Any, rank: int) -> None:
        """Return None: a plain function needs no plan."""

    def call_in_graph(self, x: Tensor, plan: Any = None, rate: Any = None) -> Tensor:
        """Return the same as a call."""
        return self(x)


class Recording:
    """The outputs of the last forward by name, in the order of their computation."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.values: dict[str, Tensor] = {}
        self._undo = ExitStack()

    def record(self, places: Mapping[str, str]) -> None:
        """Record the tensors at sites under names; hooks attached later are not seen."""
        for name, site in places.items():

            def keep(x: Tensor, name: str = name) -> None:
                self.values[name] = x

            self._undo.callback(self.places.attach(site, keep))

    def stop(self) -> None:
        """Remove all recorders."""
        self._undo.close()


@checks.check_call("outputs_matching")
def outputs_matching(model: nn.Module, pattern: str | Sequence[str]) -> list[str]:
    """Return the names of a model's outputs that a pattern names, sorted.

    Examples
    --------
    >>> from noisegate.nets import Input, Linear, Relu, join, outputs_matching
    >>> net = join(Input(10, name="in"), Relu(20, name="hid1"), Linear(2, name="out"))
    >>> outputs_matching(net, "*")
    ['hid1:out', 'hid1:pre', 'in:out', 'out:out', 'out:pre']
    """
    return sorted(Places(model).find_outputs(pattern))


@checks.check_call("parameters_matching")
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
        with prefix_errors("inject"):
            refuse_unmatched(str(pattern), known)
    return found
