"""Noise layers of networks: those of noisegate.torch, with a name, an input and shapes."""

from collections.abc import Callable, Mapping
from inspect import Parameter, Signature, signature
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from noisegate.core import axes, checks, presets
from noisegate.core.catalogue import DefaultFormat
from noisegate.core.errors import InvalidType, InvalidValue, prefix_errors
from noisegate.core.keys import SEED_BITS, Stream
from noisegate.core.prepared import prepare
from noisegate.core.presets import refuse_shared_axes
from noisegate.core.window import DefaultAxis
from noisegate.torch.noise_layer import NoiseLayer, refuse_lone_seed, refuse_lone_site

from .. import options, shapes
from ..graph import attach
from ..layer import Layer
from ..options import COMMON, Check, Option, anything, kind_s, list_common_parameters
from ..shapes import Shape

# Arguments of the layer rather than of its kind.
_SEEDING = ("inplace", "seed", "site", "sample_axis")
_ANY_KEY = Stream(0).site("").at(0)

_INCOMING = Parameter(
    "incoming",
    Parameter.POSITIONAL_OR_KEYWORD,
    default=None,
    annotation=nn.Module | tuple[int | None, ...] | None,
)


class NoiseInNetwork(Layer):
    """A noise layer of the torch face in a network; `incoming` may come first.

    Parameters
    ----------
    incoming : Layer, Network or tuple, optional
        What it takes its input from, or the shape of that, the batch in front.
    *args, **kwargs
        As of the layer of `noisegate.torch`, and the common ones of `Layer`. A rate may be a
        tensor of shape (): it is read at each call, and saved.
    """

    is_noise = True
    face: ClassVar[type[NoiseLayer]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        incoming, args, kwargs = split_incoming(args, kwargs)
        common = {word: kwargs.pop(word, default) for word, default in COMMON.items()}
        # The face's own constructor checks the rest, so that both say the same of a bad argument.
        kwargs = _name_arguments(type(self), args, kwargs)
        live, kwargs = _split_rate(type(self), kwargs)
        super(Layer, self).__init__(**kwargs)
        self._start(common)
        self.built = True
        if live is not None:
            self._buffers[self.kind.RATE] = live
        if incoming is not None:
            self._follow(incoming)

    @classmethod
    def signature(cls) -> Signature:
        """Return the signature: `incoming`, the kind's arguments, and the common ones."""
        given = signature(cls.face).parameters
        own = _list_kind_parameters(cls) or {"kind": given["kind"]}
        words = [*own.values(), *(p for n, p in given.items() if n not in own)]
        # By place as in Lasagne: `incoming` first, then what makes the kind; the rest by name.
        by_place = own.keys() & _places(cls)
        place, named = Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY
        words = [p.replace(kind=place if p.name in by_place else named) for p in words]
        needed = any(p.default is Parameter.empty for p in words)
        first = _INCOMING.replace(default=Parameter.empty) if needed else _INCOMING
        words = [options.annotate(p, anything) for p in words]
        return Signature([first, *words, *list_common_parameters()])

    __signature__ = checks.TableSignature(lambda cls: cls.signature())

    def _follow(self, incoming: Any) -> None:
        if isinstance(incoming, tuple | list):
            with prefix_errors(type(self).__name__):
                self.expected = shapes.check_layer_shape(incoming)
            self.common["batch_input_shape"] = self.expected
            self.connect((), self.expected, self.get_output_shape(self.expected))
        else:
            attach(self, incoming)

    def _assign(self, name: str, value: Any) -> None:
        if name in self._buffers:
            # Into the user's tensor, which others may read.
            with torch.no_grad():
                self._buffers[name].fill_(type(self.kind).check(float(value)))  # type: ignore[union-attr]
        else:
            super(Layer, self).__setattr__(name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set seed, site, axis or `inplace`, checked; anything else as in any layer."""
        if name in _SEEDING and "given_name" in self.__dict__:
            value = self._check_seeding(name, value)
        super().__setattr__(name, value)

    def _check_seeding(self, name: str, value: Any) -> Any:
        """Return a seed, a site, an axis or `inplace`, checked."""
        layer = type(self).__name__
        if value is not None and name == "seed" and self.site is None:
            refuse_lone_seed(layer)
        if value is not None and name == "site" and self.seed is None:
            refuse_lone_site(layer)
        with prefix_errors(layer):
            if name == "inplace":
                return checks.check_flag(name, value)
            if name == "seed" and value is not None:
                return checks.check_whole(name, value, SEED_BITS)
        if name == "site" and value is not None:
            Stream(self.seed).site(value)
        return value

    def __getattr__(self, name: str) -> Any:
        """Return a live rate, or an argument of the kind."""
        buffers = self.__dict__.get("_buffers", {})
        return buffers[name] if name in buffers else super().__getattr__(name)

    @property
    def live_rate(self) -> Tensor | None:
        """The rate, if it is a tensor of the user's; else None."""
        return self._buffers.get(self.kind.RATE)

    def live(self) -> dict[str, Any]:
        """Return the rate as an argument of the kind's call, if it is a tensor."""
        rate = self.live_rate
        return {self.kind.RATE: rate} if rate is not None else super().live()  # type: ignore[misc]

    def _apply(self, function: Any, recurse: bool = True) -> Any:
        """Move and cast all but a live rate: a copy would not follow the user's tensor."""
        rate = self.live_rate
        super()._apply(function, recurse)  # type: ignore[no-untyped-call]
        if rate is not None:
            self._buffers[self.kind.RATE] = rate
        return self

    def _is_identity(self) -> bool:
        return self.live_rate is None and super()._is_identity()  # type: ignore[misc]

    def own_arguments(self) -> dict[str, Any]:
        """Return the arguments of the noise, by name."""
        if self.definition is None:
            return {"kind": self.kind}
        kind, names = self.kind, self.kind.names()
        given = {n: getattr(kind, n) if n in names else v for n, v in self.arguments.items()}
        if self.live_rate is not None:
            # Seven digits: a float32 tensor has no more.
            given[kind.RATE] = float(f"{float(self.live_rate):.7g}")
        if self.seed is not None:
            given |= {"seed": self.seed, "site": self.site}
        if not isinstance(self.sample_axis, DefaultAxis):
            given["sample_axis"] = self.sample_axis
        if self.inplace:
            given["inplace"] = True
        return given

    @property
    def options(self) -> dict[str, Option]:
        """Every argument with the class that owns it and its check."""
        words = {n: Option("NoiseLayer", anything) for n in self._seeding_words()}
        return dict(sorted({**super().options, **words}.items()))

    def _seeding_words(self) -> tuple[str, ...]:
        return _SEEDING if self.definition and self.definition.inplace else _SEEDING[1:]

    @classmethod
    def check_of(cls, name: str) -> Check:
        """Return a check that leaves the value to the kind."""
        return kind_s

    @property
    def always_shown(self) -> str | None:
        """The name of the rate."""
        return None if self.definition is None else self.definition.rate

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return every argument by name."""
        return {**super().get_params(), **{n: getattr(self, n) for n in self._seeding_words()}}

    def infer_shape(self, *given: Shape) -> Shape:
        """Return the shape of the input; raise ValueError if the noise does not take its rank."""
        shape = _assume_extents(given[0])
        if self.definition is not None and self.definition.inputs is not None:
            forms = self.definition.inputs(**self.arguments)
            if all(len(shape) not in form.ranks for form in forms):
                raise ValueError(f"it takes {' or '.join(form.words for form in forms)}")
        shared = self.kind.shared
        for axis in () if isinstance(shared, slice | str) else shared:
            if not -len(shape) <= axis < len(shape):
                raise ValueError(f"it has no axis {axis} to share")
        axis = self.sample_axis
        if self.definition is not None:
            axis = self.definition.sample_axis(self.arguments, shape, axis)
        # The kind's own checks, on a window of no noise.
        try:
            window = prepare(self.kind, _ANY_KEY, shape, None, axis, {}).window
            with prefix_errors(type(self.kind).__name__):
                self.kind.check_window(window)
        except InvalidValue as error:
            raise ValueError(str(error)) from None
        return given[0]

    def connect(self, inputs: tuple[Layer, ...], given: Shape | None, output: Shape | None) -> None:
        """Store sources and shapes; turn shared axes into numbers, now that the rank is known."""
        super().connect(inputs, given, output)
        shared = self.kind.shared
        if given is not None and "shared_axes" in self.arguments and not isinstance(shared, str):
            with prefix_errors(type(self.kind).__name__):
                found = axes.resolve_all("shared_axes", shared, _assume_extents(given))
            self._assign("shared_axes", tuple(sorted(found)))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments as a dict that JSON can hold; a live rate stays one."""
        # A default is left out, since another name for the same argument may have been given.
        unnamed = [n for n, v in self.arguments.items() if isinstance(v, DefaultFormat)]
        config = {n: v for n, v in super().get_config().items() if n not in unnamed}
        if self.live_rate is not None:
            config[self.kind.RATE] = {"live": float(self.live_rate)}
        return config


def _assume_extents(shape: Shape) -> tuple[int, ...]:
    # Any extent will do where only ranks and axes are compared.
    return tuple(2 if extent is None else extent for extent in shape)


def _name_arguments(kind: type, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments by name; by place they are in Lasagne's order, those of the kind."""
    names = _places(kind)
    with prefix_errors(kind.__name__):
        checks.check_places(names, args)
        given = dict(zip(names, args, strict=False))
        for name in given:
            checks.check_given_once(name, kwargs)
    return {**given, **kwargs}


def split_incoming(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return `incoming`, and the other arguments."""
    kwargs = dict(kwargs)
    if "incoming" in kwargs:
        return kwargs.pop("incoming"), args, kwargs
    if args and isinstance(args[0], tuple | list | nn.Module):
        return args[0], args[1:], kwargs
    return None, args, kwargs


def _split_rate(kind: type, kwargs: dict[str, Any]) -> tuple[Tensor | None, dict[str, Any]]:
    """Return a rate that is a tensor or None, and the arguments with its number instead."""
    definition = getattr(kind, "definition", None)
    rate = None if definition is None else kwargs.get(definition.rate)
    if definition is None or not isinstance(rate, Tensor):
        return None, kwargs
    if rate.ndim or not rate.is_floating_point() or rate.requires_grad:
        raise InvalidType(
            f"{kind.__name__}: `{definition.rate}` must be a number, or a floating tensor of "
            f"shape () that needs no gradient; got {rate!r}."
        )
    # These compute with their rate in Python: sizes of blocks, a logit that is learned.
    if kind.__name__ == "ConcreteDropout" or kind.__name__.startswith("DropBlock"):
        raise InvalidType(
            f"{kind.__name__}: `{definition.rate}` must be a number on the host; got a tensor. "
            f"Give float({definition.rate})."
        )
    return rate, {**kwargs, definition.rate: float(rate)}


def _list_kind_parameters(kind: Any) -> Mapping[str, Parameter]:
    if kind.definition is None:
        return {}
    own = dict(kind.definition.parameters)
    rate = own[kind.definition.rate]
    return {**own, rate.name: rate.replace(annotation=rate.annotation | Tensor)}


def _places(kind: type) -> list[str]:
    """Return the arguments that may go by place: those of the kind, or the kind itself."""
    own = getattr(kind, "PARAMETERS", {})
    return [n for n, p in own.items() if p.kind is not Parameter.KEYWORD_ONLY] or ["kind"]


def make_noise(kind: type[NoiseLayer]) -> Any:
    """Return the network's version of a layer of noisegate.torch."""
    return type(
        kind.__name__,
        (NoiseInNetwork, kind),
        {
            "__doc__": f"`noisegate.torch.{kind.__name__}` in a network; `incoming` may be first.",
            "__module__": "noisegate.nets.layers",
            "PARAMETERS": _list_kind_parameters(kind),
            "face": kind,
        },
    )


# Presets ---------------------------------------------------------------------------------------


def make_preset(name: str, dropout: Callable[..., NoiseInNetwork], *words: str) -> Any:
    """Return a preset as a function of `incoming`, p, rescale and the preset's own arguments."""
    make_kind = getattr(presets, name)
    by_place, by_name = Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY
    own, seeding = signature(make_kind).parameters, signature(NoiseLayer).parameters
    call = Signature(
        [
            Parameter("p", by_place, default=0.5, annotation=own["p"].annotation | Tensor),
            Parameter("rescale", by_place, default=True, annotation=bool),
            *(own[word].replace(kind=by_name) for word in words),
            *(seeding[word].replace(kind=by_name) for word in ("seed", "site")),
            *list_common_parameters(),
        ]
    )

    def make_layer(*args: Any, **kwargs: Any) -> Layer:
        incoming, args, kwargs = split_incoming(args, kwargs)
        if "shared_axes" in kwargs:
            refuse_shared_axes(name)
        with prefix_errors(name):
            given = checks.bind_arguments(call, args, kwargs)
        kind = make_kind(0.5, **{word: given.pop(word) for word in words})
        rate, rest = given.pop("p"), {w: v for w, v in given.items() if v is not None}
        layer = dropout(rate, shared_axes=kind.shared, **rest)
        if incoming is not None:
            layer._follow(incoming)
        return layer

    make_layer.__name__ = make_layer.__qualname__ = name
    make_layer.__doc__ = (
        f"Return the layer of `noisegate.{name}`, a `Dropout`; `incoming` may be first.\n\n"
        f"    {name}(incoming=None, p=0.5, rescale=True, ...)\n"
    )
    make_layer.__signature__ = Signature([_INCOMING, *call.parameters.values()])  # type: ignore[attr-defined]
    return make_layer
