"""Noise as modules: active in train(), identity in eval()."""

from inspect import Parameter, Signature, signature
from threading import Lock
from typing import Any, ClassVar, NoReturn, cast

from torch import Tensor, nn

from noisegate.core import catalogue, checks
from noisegate.core.errors import InvalidValue, MissingAttribute, NoisegateError, prefix_errors
from noisegate.core.keys import SEED_BITS, STEP_BITS, Key, Stream
from noisegate.core.kind import Kind, check_kind
from noisegate.core.schedule import Schedule
from noisegate.core.window import DEFAULT_AXIS

from .checkpointing import refuse_backward, register
from .functional import apply, check_rows, draw_seed, refuse_leaf
from .ranks import warn_of_equal_ranks
from .time_rows import rows_in_use

# Threads that share a layer share no step.
_counting = Lock()


class NoiseLayer(nn.Module):
    """A kind of noise as a module; its layers are `Dropout`, `GaussianNoise` and the others.

    Without a seed every training call draws 64 bits from torch's CPU generator, so that
    ``torch.manual_seed`` governs. With a seed and a site the layer uses the key
    ``Stream(seed).site(site).at(step)`` and counts its own training calls in `step`. The step is
    not part of ``state_dict()``: set it to resume.

    Parameters
    ----------
    kind : Kind
        The noise; a named layer takes the arguments that make it instead.
    seed : int, optional
        In [0, 2⁶⁴); with it `site` is needed too.
    site : str, optional
        Name of this noise in the seed's stream.
    sample_axis : int or None
        The axis of the samples, as at a call of a kind. By default it follows from the layer's
        form of input: an unbatched (C, L) of `Dropout1d` has none.

    Attributes
    ----------
    kind : Kind
        The noise, which cannot be set. The arguments that make it, such as `p`, are attributes
        too and may be changed between calls.
    step : int
        The step that the next training call uses; only with a seed.
    inplace : bool
        Whether the input is overwritten; only for layers whose torch original has `inplace`.

    Raises
    ------
    InvalidValue
        If a seed is given without a site, a site without a seed, or a schedule without a seed;
        at the call, if the input's rank is not the layer's.
    RecomputationError
        If a seeded layer is called inside a backward pass that is not torch's checkpointing: its
        step is unknown there.

    Notes
    -----
    Noise on MPS tensors, and on XPU devices without float64, is computed on the CPU and copied to
    the device.

    Examples
    --------
    >>> import noisegate as ng, torch
    >>> layer = ng.torch.Dropout(0.5, seed=13, site="hid1:out")
    >>> layer(torch.ones(2, 4)), layer.step
    (tensor([[0., 0., 2., 2.],
            [2., 0., 2., 2.]]), 1)
    """

    definition: ClassVar[catalogue.Definition | None] = None
    inplace = False

    def __init__(
        self,
        kind: Kind,
        seed: int | None = None,
        site: str | None = None,
        sample_axis: int | None = DEFAULT_AXIS,
    ) -> None:
        with prefix_errors(type(self).__name__):
            check_kind(kind)
        numbers = {name: getattr(kind, name) for name in kind.names()}
        self._begin(numbers, kind, seed, site, sample_axis)

    def _begin(
        self,
        arguments: dict[str, Any],
        kind: Kind,
        seed: int | None,
        site: str | None,
        sample_axis: int | None,
    ) -> None:
        super().__init__()
        layer = type(self).__name__
        if seed is not None and site is None:
            refuse_lone_seed(layer)
        if site is not None and seed is None:
            refuse_lone_site(layer)
        with prefix_errors(layer):
            self.seed = None if seed is None else checks.check_whole("seed", seed, SEED_BITS)
        self.site = site
        self.sample_axis = sample_axis
        self._step = 0
        if seed is not None and site is not None:
            Stream(seed).site(site)  # refuses an invalid site now rather than at the first call
        self._set(arguments, kind)
        register(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the state of a copy, and register it: it counts its own calls."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        register(self)

    def snapshot(self) -> Any:
        """Return the state that the next noise depends on."""
        return self._step, self._kind, self.arguments

    def restore(self, state: Any) -> None:
        """Return to the state of a snapshot."""
        self._step, self._kind, self.arguments = state

    def _set(self, arguments: dict[str, Any], kind: Kind) -> None:
        if self.seed is None and isinstance(kind.rate, Schedule):
            kind.refuse_schedule()
        self._kind, self.arguments = kind, arguments

    @property
    def kind(self) -> Kind:
        """The noise, as the arguments make it."""
        return cast(Kind, self._kind)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an argument of the kind by making another kind; anything else as usual."""
        arguments = self.__dict__.get("arguments", {})
        if name not in arguments:
            super().__setattr__(name, value)
            return
        make = type(self.kind) if self.definition is None else self.definition.make
        changed = {**arguments, name: value}
        self._set(changed, make(**changed))

    def __getattr__(self, name: str) -> Any:
        """Return an argument of the kind, in its checked form."""
        if name == "step":
            self._refuse_step()
        arguments = self.__dict__.get("arguments", {})
        if name not in arguments:
            return super().__getattr__(name)
        return getattr(self.kind, name) if name in self.kind.names() else arguments[name]

    @property
    def step(self) -> int:
        """The step that the next training call uses."""
        if self.seed is None:
            raise AttributeError("step")  # Python then calls `__getattr__`, which refuses it
        return self._step

    @step.setter
    def step(self, value: int) -> None:
        if self.seed is None:
            self._refuse_step()
        with prefix_errors(type(self).__name__):
            self._step = checks.check_whole("step", value, STEP_BITS)

    def _refuse_step(self) -> NoReturn:
        layer = type(self).__name__
        raise MissingAttribute(
            f"{layer}: a layer without `seed` has no step; it draws afresh at every call. "
            f"Write for example {layer}(seed=13, site='hid1:out')."
        )

    def forward(self, x: Tensor, rows: Any = None) -> Tensor:
        """Return x with noise in training, else x itself."""
        axis = self.sample_axis
        if self.definition is not None and self.definition.inputs is not None:
            axis = self.definition.sample_axis(self.arguments, tuple(x.shape), axis)
        if not self.training or (self.seed is None and self._is_identity()):
            check_rows(self.kind, x, rows, axis)
            return x
        rows = rows_in_use() if rows is None else rows
        if rows is None and self.seed is not None:
            warn_of_equal_ranks(type(self).__name__)
        try:
            if self.inplace:
                refuse_leaf(x)
            if self.seed is not None:
                refuse_backward()
        except NoisegateError as error:
            raise error.prefix(type(self).__name__) from None
        y = apply(self.kind, x, self._next_key(), rows, axis, self.live())
        return x.copy_(y) if self.inplace else y

    def _is_identity(self) -> bool:
        return self.kind.is_identity(cast(float, self.kind.rate))

    def live(self) -> dict[str, Any]:
        """Return the rate if it is a tensor, for a call of the kind; else nothing."""
        return {}

    def _next_key(self) -> Key:
        if self.seed is None or self.site is None:
            # A fresh seed is the whole key: site and step add nothing to it.
            return Key(draw_seed(), "", 0, 0, 0)
        with _counting:
            step = self._step
            self._step += 1
        return Key(self.seed, self.site, 0, 0, step)

    def extra_repr(self) -> str:
        """Return the arguments and the seed, in torch's manner."""
        words = (
            [repr(self.kind)] if self.definition is None else self._show_arguments(self.definition)
        )
        if self.seed is not None:
            words = [*words, f"seed={self.seed}", f"site={self.site!r}"]
        return ", ".join(words)

    def _show_arguments(self, definition: catalogue.Definition) -> list[str]:
        """Return words for the rate, arguments that differ from their default, and `inplace`."""
        words = [f"{definition.rate}={self._show_rate()}"]
        for name, parameter in definition.parameters.items():
            value = getattr(self, name)
            if name != definition.rate and value != parameter.default:
                words.append(f"{name}={value!r}")
        return [*words, f"inplace={self.inplace}"] if definition.inplace else words

    def _show_rate(self) -> str:
        return repr(self.kind.rate)


def refuse_lone_seed(layer: str) -> NoReturn:
    """Raise because a layer was given a seed without a site."""
    raise InvalidValue(
        f"{layer}: a layer with `seed` needs `site` too, or two layers with one seed would share "
        f"a mask. Write for example {layer}(seed=13, site='hid1:out')."
    )


def refuse_lone_site(layer: str) -> NoReturn:
    """Raise because a layer was given a site without a seed."""
    raise InvalidValue(
        f"{layer}: `site` does nothing without `seed`. "
        f"Write for example {layer}(seed=13, site='hid1:out')."
    )


def layer(
    kind: Kind,
    *,
    seed: int | None = None,
    site: str | None = None,
    sample_axis: int | None = DEFAULT_AXIS,
) -> NoiseLayer:
    """Return the layer of any kind, your own included.

    Parameters are those of `NoiseLayer`. A kind of noisegate's gives the named layer of the kind.

    Examples
    --------
    >>> import noisegate as ng
    >>> ng.torch.layer(ng.drop_path(0.1))
    Dropout(p=0.1, shared_axes='all_but_samples', inplace=False)
    """
    with prefix_errors("layer"):
        check_kind(kind)
    definition = catalogue.LAYERS.get(type(kind).__name__)
    # A kind of the user's may have the name of one of noisegate's.
    if definition is None or definition.make is not type(kind):
        return NoiseLayer(kind, seed, site, sample_axis)
    numbers = {name: getattr(kind, name) for name in kind.names()}
    named = cast(type[NamedLayer], globals()[definition.name])
    return named(**numbers, seed=seed, site=site, sample_axis=sample_axis)


class NamedLayer(NoiseLayer):
    """A layer defined by a row of `noisegate.core.catalogue.LAYERS`, which names its arguments."""

    definition: ClassVar[catalogue.Definition]
    __signature__ = checks.TableSignature(lambda named: _build_layer_signature(named.definition))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        definition = self.definition
        call = _build_layer_signature(definition)
        with prefix_errors(definition.name):
            given = checks.bind_arguments(call, args, kwargs)
        arguments = {word: given[word] for word in definition.parameters}
        rest = (given[word] for word in ("seed", "site", "sample_axis"))
        self._begin(arguments, definition.make(**arguments), *rest)
        if definition.inplace:
            with prefix_errors(definition.name):
                self.inplace = checks.check_flag("inplace", given["inplace"])


def _make_layer(name: str) -> type[NamedLayer]:
    """Return the layer class of a row of the catalogue."""
    definition = catalogue.LAYERS[name]
    call = _build_layer_signature(definition)
    members = {
        "__doc__": _DOC.format(name=name, call=call),
        "__module__": __name__,
        "definition": definition,
    }
    return cast(type[NamedLayer], type(name, (NamedLayer,), members))


_DOC = """The layer {name}; its arguments are those of the kind and of `NoiseLayer`.

    {name}{call}
"""


def _build_layer_signature(definition: catalogue.Definition) -> Signature:
    """Return a layer's signature: the rate, torch's arguments in torch's order, others by name."""
    own = list(definition.parameters.values())
    if definition.inplace:
        needed = [p for p in own if p.name == definition.rate or p.default is Parameter.empty]
        others = [p.replace(kind=Parameter.KEYWORD_ONLY) for p in own if p not in needed]
        place = Parameter.POSITIONAL_OR_KEYWORD
        flag = Parameter("inplace", place, default=False, annotation=bool)
        own = [*needed, flag, *others]
    ours = signature(NoiseLayer).parameters
    words = (ours[name] for name in ("seed", "site", "sample_axis"))
    return Signature([*own, *(word.replace(kind=Parameter.KEYWORD_ONLY) for word in words)])


Dropout = _make_layer("Dropout")
Dropout1d = _make_layer("Dropout1d")
Dropout2d = _make_layer("Dropout2d")
Dropout3d = _make_layer("Dropout3d")
AlphaDropout = _make_layer("AlphaDropout")
FeatureAlphaDropout = _make_layer("FeatureAlphaDropout")
SpatialDropout1D = _make_layer("SpatialDropout1D")
SpatialDropout2D = _make_layer("SpatialDropout2D")
SpatialDropout3D = _make_layer("SpatialDropout3D")
DropoutChannels = _make_layer("DropoutChannels")
DropoutLocations = _make_layer("DropoutLocations")
DropPath = _make_layer("DropPath")
LockedDropout = _make_layer("LockedDropout")
GaussianDropout = _make_layer("GaussianDropout")
GaussianNoise = _make_layer("GaussianNoise")
UniformNoise = _make_layer("UniformNoise")
ImpulseNoise = _make_layer("ImpulseNoise")
DropBlock = _make_layer("DropBlock")
DropBlock1d = _make_layer("DropBlock1d")
DropBlock2d = _make_layer("DropBlock2d")
DropBlock3d = _make_layer("DropBlock3d")
