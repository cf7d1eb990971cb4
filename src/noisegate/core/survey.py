"""Records in which a face describes a model's sites and the noises that the model makes itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from . import patterns
from .kind import Kind
from .window import DEFAULT_AXIS, SampleAxis

# In graphs the attribute of a tensor with noise: the noises that have acted on it, each after the
# mark of its forward. They are no texts, which a compiler would compare: equal layers would share
# no graph.
TAG = "_noisegate_rules"


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a noise that a model makes itself, such as its own dropout.

    Attributes
    ----------
    kind : Kind
        The noise that the model makes.
    words : str
        How the model's code writes it.
    live : mapping
        The rate by name, for a call of the kind, if it is an array.
    sample_axis : int, None or "attention"
        None if the input has no samples, a number if the call itself decides which axis they are,
        "attention" for the addresses of probabilities; by default the rule's axis.
    shared_axes : sequence of int or None
        The axes that share one decision, if the input's rank decides them; None for the axes of
        the kind.
    stays : bool
        Whether the model's code leaves the noise on in evaluation.
    own : bool
        Whether the model makes noise there; if not, it is a place for the noise of rules alone.
    """

    kind: Kind
    words: str
    live: Mapping[str, Any] = field(default_factory=dict)
    sample_axis: SampleAxis = DEFAULT_AXIS
    shared_axes: tuple[int, ...] | None = None
    stays: bool = False
    own: bool = True


@dataclass(frozen=True, slots=True)
class OwnDraw:
    """Random numbers that a model's own code draws, and that no injection takes over.

    Attributes
    ----------
    path : str
        The module whose call draws; the model itself is "".
    words : str
        The function that draws, and the module's class.
    drops : bool
        Whether it is known to be a dropout, by its numbers or by the name of the class.
    known : bool
        Whether the module is a known noise, which may be taken over.
    coin : bool
        Whether it is a single number, by which the model may decide what runs.
    rate : float, optional
        The number with which a coin was compared, if that was seen.
    certain : bool
        Whether the model drew for certain, and not another thread.
    seeded : bool
        Whether it is from a generator that is seeded for each forward that has noise.
    """

    path: str
    words: str
    drops: bool = False
    known: bool = False
    coin: bool = False
    rate: float | None = None
    certain: bool = True
    seeded: bool = False

    @property
    def place(self) -> tuple[str, str]:
        """Path and words, which distinguish it from the model's other draws."""
        return self.path, self.words


@dataclass(frozen=True, slots=True)
class Sites:
    """The sites of a model, as known before it runs.

    Attributes
    ----------
    names : tuple of str
        Every site at which noise can be put. Noises of functions show only in a forward.
    own : mapping of site to Call
        The noises that modules make themselves.
    inside : tuple of str
        Sites inside of torch's attentions and recurrent layers where the model makes no noise
        itself.
    closed : mapping of site to str
        Sites inside compiled code, where no noise can be put, and the path of the compiled
        module.
    unreached : mapping of site to str
        Noises of the model's own that cannot be taken over, and how its code writes them.
    roles : mapping of str to tuple of str
        The sites that `input`, `hidden` and `output` stand for.
    own_names : mapping of site to site
        Other names of the model's own input and output: ``in:out`` is ``:in``.
    parameters : mapping of site to tuple of str
        The sites of parameters, each with all sites of the same parameter: several if it is tied.
    tokens : tuple of str
        Sites where whole numbers that enter the model become vectors: an embedding's, or those
        of several modules that share one weight.
    takes_tokens : bool
        Whether the model seems to take whole numbers as its input.
    unlisted : frozenset of str
        Sites that only a rule without a wildcard names.
    made_weights : tuple of str
        Weights of layers that are no parameters: the model makes them of others when it runs.
    modules : mapping of str to bool
        Every module's path, and whether its code may compute a recurrence that no site shows yet.
    lacking : mapping of site to str
        Places that recurrent modules do not have, and why, with what to name instead.
    axes : mapping of str to (int, str)
        The axis of the samples of modules that say it, or in which all that say it agree, and the
        path of the first that does.
    """

    names: tuple[str, ...]
    own: Mapping[str, Call] = field(default_factory=dict)
    inside: tuple[str, ...] = ()
    closed: Mapping[str, str] = field(default_factory=dict)
    unreached: Mapping[str, str] = field(default_factory=dict)
    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    own_names: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tokens: tuple[str, ...] = ()
    takes_tokens: bool = False
    unlisted: frozenset[str] = frozenset()
    made_weights: tuple[str, ...] = ()
    modules: Mapping[str, bool] = field(default_factory=dict)
    lacking: Mapping[str, str] = field(default_factory=dict)
    axes: Mapping[str, tuple[int, str]] = field(default_factory=dict)

    def match_pattern(self, pattern: str) -> list[str]:
        """Return the sites that a pattern names, each once, by its main name."""
        found = patterns.matches(pattern, [*self.names, *self.parameters])
        if not found and pattern in self.unlisted:
            return [pattern]
        return list(dict.fromkeys(self.own_names.get(site, site) for site in found))

    def may_show(self, pattern: str) -> bool:
        """Return whether a forward may show a site that a pattern of a module's calls names."""
        glob, port = patterns.split(pattern)[0], patterns.parse_port(pattern)
        states = port.name in patterns.RECURRENT_PORTS
        return any(
            fnmatchcase(path, glob) and (not states or may_compute)
            for path, may_compute in self.modules.items()
        )
