"""What a face tells of a model's sites, and of the noises that the model makes itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import patterns
from .kind import Kind
from .window import DEFAULT_AXIS, SampleAxis


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a noise that a model makes itself: a dropout of its own.

    Attributes
    ----------
    kind : Kind
        What the model does there.
    words : str
        How the model's code says it.
    live : mapping
        The rate where it is an array, for a call of the kind.
    sample_axis : int, None or "attention"
        None if the input has no samples, else that of the rule, or the address of attention.
    shared_axes : sequence of int or None
        The axes that share one decision, where the input's rank decides that; None are those of
        the kind.
    stays : bool
        Whether the model's code leaves it on in evaluation.
    """

    kind: Kind
    words: str
    live: Mapping[str, Any] = field(default_factory=dict)
    sample_axis: SampleAxis = DEFAULT_AXIS
    shared_axes: tuple[int, ...] | None = None
    stays: bool = False


@dataclass(frozen=True, slots=True)
class OwnDraw:
    """Random numbers that a model's own code draws, for nothing that is taken over.

    Attributes
    ----------
    path : str
        The module whose call draws; the model itself is "".
    words : str
        What draws, and the module's class.
    drops : bool
        Whether it is known to be a dropout: by what it draws, or by the name of the class.
    known : bool
        Whether the module is a noise that is known, which may be taken over.
    coin : bool
        Whether it is one number, by which the model may decide what runs.
    rate : float, optional
        What a coin was compared with, if that was seen.
    certain : bool
        Whether it is the model's for certain, and not another thread's.
    """

    path: str
    words: str
    drops: bool = False
    known: bool = False
    coin: bool = False
    rate: float | None = None
    certain: bool = True

    @property
    def place(self) -> tuple[str, str]:
        """What tells it apart from other draws of a model."""
        return self.path, self.words

    def __str__(self) -> str:
        """Return place and words, as a sentence names them."""
        rate = "" if self.rate is None else f" at rate {self.rate:g}"
        where = f"'{self.path}'" if self.path else "the model itself"
        return f"{where} ({self.words}{rate})"


@dataclass(frozen=True, slots=True)
class Sites:
    """The sites of a model, before it runs.

    Attributes
    ----------
    names : tuple of str
        Every site that noise can be put at. What functions do shows in a forward only.
    own : mapping of site to Call
        The noises that modules make themselves.
    reserved : mapping of site to str
        Sites that a later version will have, and what is there.
    closed : mapping of site to str
        Sites inside compiled code, where no noise can be put, and the path of the module whose
        code it is.
    unreached : mapping of site to str
        Noises of the model's own that cannot be taken over, and how its code says them.
    roles : mapping of str to tuple of str
        The sites that `input`, `hidden` and `output` mean.
    own_names : mapping of site to site
        What the model's own input and output are called besides: ``in:out`` is ``:in``.
    tokens : tuple of str
        Where whole numbers that enter the model become vectors: an embedding, or several modules
        that share one weight.
    takes_tokens : bool
        Whether the model looks like one whose input is whole numbers.
    """

    names: tuple[str, ...]
    own: Mapping[str, Call] = field(default_factory=dict)
    reserved: Mapping[str, str] = field(default_factory=dict)
    closed: Mapping[str, str] = field(default_factory=dict)
    unreached: Mapping[str, str] = field(default_factory=dict)
    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    own_names: Mapping[str, str] = field(default_factory=dict)
    tokens: tuple[str, ...] = ()
    takes_tokens: bool = False

    def matching(self, pattern: str) -> list[str]:
        """Return the sites that a pattern names, each once, by its own name."""
        found = patterns.matches(pattern, self.names)
        return list(dict.fromkeys(self.own_names.get(site, site) for site in found))
