"""The layers, for every face: the name of each, the kind it makes, the inputs it takes.

A face turns each row of `LAYERS` into a layer and a function of its own.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from inspect import Parameter, signature
from typing import Any

from . import kinds, presets
from .errors import InvalidType, InvalidValue, prefix_errors
from .kind import Kind
from .presets import check_data_format
from .schedule import Schedule
from .window import DEFAULT_AXIS, DefaultAxis

Rate = float | Schedule


class DefaultFormat(str):
    """A default data format, which an argument of another name (`dim_ordering`) may replace."""


@dataclass(frozen=True, slots=True)
class InputForm:
    """A form of input that a layer takes: its ranks, its axes in words, and its sample axis."""

    ranks: range
    words: str
    sample_axis: int | None = DEFAULT_AXIS


def _of_rank(rank: int, words: str, sample_axis: int | None = 0) -> InputForm:
    return InputForm(range(rank, rank + 1), words, sample_axis)


@dataclass(frozen=True)
class Definition:
    """A layer, in any face.

    Attributes
    ----------
    name : str
        The layer's name.
    make : callable
        Returns the kind from the layer's arguments; the first is the kind's rate.
    inputs : callable, optional
        Returns the forms of input that the layer takes, from the same arguments; None takes any.
    inplace : bool
        Whether torch's or torchvision's layer of this name has the argument `inplace`.
    training : bool
        The function's default of `training`, as in torch's function of the same name.
    """

    name: str
    make: Callable[..., Kind]
    inputs: Callable[..., tuple[InputForm, ...]] | None = None
    inplace: bool = False
    training: bool = True

    @cached_property
    def function(self) -> str:
        """The name of the function: the layer's name in snake case."""
        return re.sub(r"(?<!^)(?<!\d)(?=[A-Z])", "_", self.name).lower()

    # Functions need their kind at each call, and making it takes as long as noise on a small array.
    @cached_property
    def make_once(self) -> Callable[..., Kind]:
        """`make` with a cache: equal arguments give the same kind, if they can be hashed."""
        # Typed, since True equals 1 and is refused.
        cached = lru_cache(maxsize=256, typed=True)(self.make)

        def make(**arguments: Any) -> Kind:
            try:
                hash(tuple(arguments.values()))
            except TypeError:
                return self.make(**arguments)
            return cached(**arguments)

        return make

    @cached_property
    def parameters(self) -> dict[str, Parameter]:
        """The parameters of the layer, by name."""
        return dict(signature(self.make).parameters)

    @cached_property
    def rate(self) -> str:
        """The name of the kind's rate among the arguments: the first."""
        return next(iter(self.parameters))

    def sample_axis(
        self, arguments: Mapping[str, Any], shape: tuple[int, ...], given: int | None
    ) -> int | None:
        """Return the sample axis of an input of this shape, or raise if its rank does not fit."""
        if self.inputs is None:
            return given
        forms = self.inputs(**arguments)
        for form in forms:
            if len(shape) in form.ranks:
                return form.sample_axis if isinstance(given, DefaultAxis) else given
        words = " or ".join(form.words for form in forms)
        raise InvalidValue(f"the input must have the shape {words}; got {shape}.").prefix(self.name)


def _inputs(*forms: InputForm) -> Callable[..., tuple[InputForm, ...]]:
    return lambda **_: forms


def _dropout1d(p: Rate = 0.5) -> Kind:
    return kinds.Dropout(p, shared_axes=-1)


def _dropout2d(p: Rate = 0.5) -> Kind:
    return kinds.Dropout(p, shared_axes=slice(2, None))


def _dropout3d(p: Rate = 0.5) -> Kind:
    return kinds.Dropout(p, shared_axes=(-3, -2, -1))


def _feature_alpha_dropout(p: Rate = 0.5) -> Kind:
    return kinds.AlphaDropout(p, shared_axes=slice(2, None))


def _drop_block(
    p: Rate,
    block_size: int | tuple[int, ...],
    *,
    shared_axes: Any = (),
    normalize: str = "expected",
) -> Kind:
    return kinds.DropBlock(p, block_size, shared_axes=shared_axes, normalize=normalize)


def _spatial(name: str, default: str | None) -> Callable[..., Kind]:
    def make(p: Rate, data_format: str | None = default, dim_ordering: str | None = None) -> Kind:
        return presets.dropout_channels(p, _format(name, data_format, dim_ordering, default))

    return make


def _spatial_inputs(name: str, default: str | None, places: str) -> Callable[..., Any]:
    rank = 2 + len(places.split(", "))

    def inputs(data_format: Any = default, dim_ordering: Any = None, **_: Any) -> tuple[InputForm]:
        last = _format(name, data_format, dim_ordering, default) == "channels_last"
        return (_of_rank(rank, f"(N, {places}, C)" if last else f"(N, C, {places})"),)

    return inputs


def _format(name: str, data_format: Any, dim_ordering: Any, default: str | None) -> str:
    """Return where the channels are, by `data_format` or by Keras 1's `dim_ordering`."""
    if dim_ordering is not None:
        if not isinstance(data_format, DefaultFormat | None):
            raise InvalidType(
                "`dim_ordering` is Keras 1's word for `data_format`; give one of them."
            ).prefix(name)
        data_format = dim_ordering
    if data_format == "default":
        # For sequences Keras 1 had channels_last without a choice.
        return default or "channels_last"
    if data_format is None:
        raise InvalidType(
            "`data_format` is needed: 'channels_last' for Keras' (samples, timesteps, "
            "channels), 'channels_first' for torch's (N, C, L)."
        ).prefix(name)
    with prefix_errors(name):
        return check_data_format(data_format)


# SpatialDropout2D and 3D default to torch's order; for sequences, Keras and torch users expect
# different ones, so SpatialDropout1D has no default.
_FIRST = DefaultFormat("channels_first")
_ANY_CHANNELS = _inputs(InputForm(range(2, 65), "(N, C, ...)"))

LAYERS: dict[str, Definition] = {
    definition.name: definition
    for definition in (
        Definition("Dropout", kinds.Dropout, inplace=True),
        Definition(
            "Dropout1d",
            _dropout1d,
            _inputs(_of_rank(3, "(N, C, L)"), _of_rank(2, "(C, L)", None)),
            inplace=True,
        ),
        # As in torch, rank 3 means (N, C, L) here, not (C, H, W).
        Definition(
            "Dropout2d",
            _dropout2d,
            _inputs(_of_rank(4, "(N, C, H, W)"), _of_rank(3, "(N, C, L)")),
            inplace=True,
        ),
        Definition(
            "Dropout3d",
            _dropout3d,
            _inputs(_of_rank(5, "(N, C, D, H, W)"), _of_rank(4, "(C, D, H, W)", None)),
            inplace=True,
        ),
        Definition("AlphaDropout", kinds.AlphaDropout, inplace=True, training=False),
        Definition(
            "FeatureAlphaDropout",
            _feature_alpha_dropout,
            _ANY_CHANNELS,
            inplace=True,
            training=False,
        ),
        *(
            Definition(name, _spatial(name, default), _spatial_inputs(name, default, places))
            for name, default, places in (
                ("SpatialDropout1D", None, "L"),
                ("SpatialDropout2D", _FIRST, "H, W"),
                ("SpatialDropout3D", _FIRST, "D, H, W"),
            )
        ),
        Definition("DropoutChannels", presets.dropout_channels, _ANY_CHANNELS),
        Definition("DropoutLocations", presets.dropout_locations, _ANY_CHANNELS),
        Definition("DropPath", presets.drop_path),
        Definition("LockedDropout", presets.locked_dropout),
        Definition("ConcreteDropout", kinds.ConcreteDropout),
        Definition("GaussianDropout", kinds.GaussianDropout),
        Definition("GaussianNoise", kinds.GaussianNoise),
        Definition("UniformNoise", kinds.UniformNoise),
        Definition("ImpulseNoise", kinds.ImpulseNoise),
        Definition("MultiplicativeUniformNoise", kinds.MultiplicativeUniformNoise),
        Definition("NeftuneNoise", kinds.NeftuneNoise),
        Definition("PatchDropout", kinds.PatchDropout),
        Definition("QuantizationNoise", kinds.QuantizationNoise),
        Definition("RandomErasing", kinds.RandomErasing),
        Definition("ShotNoise", kinds.ShotNoise),
        Definition("SpanMask", kinds.SpanMask),
        Definition("SpeckleNoise", kinds.SpeckleNoise),
        *(
            Definition(f"DropBlock{d}d", _drop_block, _inputs(_of_rank(2 + d, words)), inplace=True)
            for d, words in ((1, "(N, C, L)"), (2, "(N, C, H, W)"), (3, "(N, C, D, H, W)"))
        ),
        Definition("DropBlock", kinds.DropBlock),
        Definition("DropKey", kinds.DropKey),
        Definition("Zoneout", kinds.Zoneout),
    )
}
