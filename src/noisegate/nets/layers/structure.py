"""Layers without a class of torch's: Input, Reshape, Concatenate, Add, Masking, users' modules."""

import copy
from collections.abc import Mapping, Sequence
from inspect import Parameter
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from noisegate.core import checks
from noisegate.core.errors import InvalidType, InvalidValue

from .. import messages, options, shapes
from ..layer import Layer
from ..options import COMMON
from ..shapes import Shape

_PLACE, _NAMED = Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY
_SHAPE = int | tuple[int | None, ...] | None


def _given(*own: Parameter) -> dict[str, Parameter]:
    return {p.name: p for p in own}


class Input(Layer):
    """What enters a network.

    Parameters
    ----------
    shape : int or tuple
        Shape of a sample; None for an extent that is not known. None itself takes the size of
        the features from the data of an estimator.
    input_var : tensor, optional
        What `get_output` takes where no input is given.
    batch_shape : tuple, optional
        The shape with the batch in front, in the place of `shape`.
    """

    PARAMETERS = _given(
        Parameter("shape", _PLACE, default=None, annotation=_SHAPE),
        Parameter("input_var", _PLACE, default=None, annotation=Any),
        Parameter("batch_shape", _NAMED, default=None, annotation=_SHAPE),
    )

    def _accept(self, given: Mapping[str, Any]) -> None:
        super()._accept(given)
        self.resize(given["shape"], given["batch_shape"])
        self.built = True

    def resize(self, shape: Any, batch_shape: Any = None) -> None:
        """Let it take samples of a shape."""
        if batch_shape is not None:
            if shape is not None:
                raise InvalidType(messages.two_shapes())
            whole = shapes.checked("Input", batch_shape)
            self.arguments = {**self.arguments, "shape": whole[1:], "batch_shape": whole}
            self.expected = whole
        elif shape is not None:
            self.expected = (None, *shapes.checked("Input", shape))
        else:
            self.expected = None

    def _assign(self, name: str, value: Any) -> None:
        if value is not self.arguments[name]:
            raise InvalidValue(messages.has_parameters(self.shown, name))

    def shape_rule(self, *given: Shape) -> Shape:
        """Return what is known of the input's shape from both sides."""
        if self.expected is None:
            return given[0]
        if not shapes.fits(self.expected, given[0]):
            raise ValueError(f"it takes {shapes.shown(self.expected)}")
        return shapes.merged(self.expected, given[0])

    def forward(self, x: Tensor) -> Tensor:
        """Return the input, once its shape has been compared."""
        expected = self.expected
        if expected is not None and not shapes.fits(expected, x.shape):
            raise InvalidValue(
                messages.other_input(self.shown, shapes.shown(expected), tuple(x.shape))
            )
        return x


class Reshape(Layer):
    """Samples in another shape, in which one extent may be −1."""

    PARAMETERS = _given(Parameter("shape", _PLACE))
    CHECKS: ClassVar[Mapping[str, options.Check]] = {
        "shape": options.Named(
            "a shape, one extent −1", lambda who, n, v: _target(who, v), int | tuple[int, ...]
        ),
    }
    keeps_time = False

    def shape_rule(self, *given: Shape) -> Shape:
        """Return the shape of the output; raise ValueError with the reason if there is none."""
        return shapes.reshaped(given[0], self.arguments["shape"])

    def forward(self, x: Tensor) -> Tensor:
        """Return the samples in their new shape."""
        return x.reshape(len(x), *self.arguments["shape"])


def _target(who: str, value: Any) -> tuple[int, ...]:
    extents = value if isinstance(value, tuple | list) else (value,)
    if extents.count(-1) > 1:
        raise InvalidValue(messages.bad_shape(who, value))
    known = shapes.checked(who, [extent for extent in extents if extent != -1])
    if None in known:
        raise InvalidValue(messages.bad_shape(who, value))
    return tuple(int(extent) for extent in extents)


class Concatenate(Layer):
    """Several inputs side by side along an axis.

    Parameters
    ----------
    axis : int, optional
        1 for the channels of images, −1 for the features of steps. Not needed where inputs are
        (N, features).
    """

    PARAMETERS = _given(Parameter("axis", _PLACE, default=None))
    CHECKS: ClassVar[Mapping[str, options.Check]] = {"axis": options.or_none(options.axis)}
    merges = True

    def _axis(self, rank: int) -> int:
        axis: int | None = self.arguments["axis"]
        if axis is None and rank > 2:
            raise ValueError(
                "its inputs have several axes to join along. Give axis=1 for channels, or axis=-1 "
                "for features"
            )
        return rank - 1 if axis is None else axis

    def shape_rule(self, *given: Shape) -> Shape:
        """Return the shape of the output; raise ValueError with the reason if there is none."""
        rank = len(given[0])
        axis = self._axis(rank)
        if any(len(shape) != rank for shape in given) or not -rank <= axis < rank:
            raise ValueError("its inputs must have one rank, and the axis")
        axis %= rank
        first = given[0]
        for shape in given[1:]:
            rest = [(*s[:axis], *s[axis + 1 :]) for s in (first, shape)]
            if not shapes.fits(*rest):
                raise ValueError(f"its inputs must have equal extents but along axis {axis}")
            first = shapes.merged((*first[:axis], None, *first[axis + 1 :]), shape)
        extents = [shape[axis] for shape in given]
        total = None if None in extents else sum(e for e in extents if e is not None)
        return (*first[:axis], total, *first[axis + 1 :])

    def merged_mask(self, given: Sequence[Tensor], masks: Sequence[Any]) -> Tensor | None:
        """Return the masks side by side along time; elsewhere what all have."""
        if self._axis(given[0].ndim) % given[0].ndim != 1 or all(mask is None for mask in masks):
            return super().merged_mask(given, masks)
        pairs = zip(given, masks, strict=True)
        return torch.cat([_or_all(mask, x) for x, mask in pairs], dim=1)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the inputs side by side."""
        try:
            axis = self._axis(inputs[0].ndim)
        except ValueError:
            self.get_output_shape(*(x.shape for x in inputs))  # which says so
            raise
        return torch.cat(inputs, dim=axis)


class Add(Layer):
    """The sum of several inputs of one shape."""

    merges = True

    def shape_rule(self, *given: Shape) -> Shape:
        """Return the shape of the output; raise ValueError with the reason if there is none."""
        shape = given[0]
        for other in given[1:]:
            if not shapes.fits(shape, other):
                raise ValueError("its inputs must have one shape")
            shape = shapes.merged(shape, other)
        return shape

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the sum."""
        total = inputs[0]
        for x in inputs[1:]:
            total = total + x
        return total


class Masking(Layer):
    """Marks the time steps whose features all have one value, and sets them to 0.

    Parameters
    ----------
    mask_value : float
        What stands in a step that is none.
    """

    PARAMETERS = _given(Parameter("mask_value", _PLACE, default=0.0))
    CHECKS: ClassVar[Mapping[str, options.Check]] = {
        "mask_value": options.Named("number", options.without_speaker(checks.number), float),
    }
    makes_mask = True

    def shape_rule(self, *given: Shape) -> Shape:
        """Return the shape of the output; raise ValueError with the reason if there is none."""
        if len(given[0]) < 3:
            raise ValueError("it takes (N, time, features)")
        return given[0]

    def compute_mask(self, x: Any, mask: Tensor | None = None) -> Tensor | None:
        """Return where a step has another value, and was not masked before."""
        found: Tensor = (x != self.arguments["mask_value"]).flatten(2).any(-1)
        return found if mask is None else found & mask

    def forward(self, x: Tensor) -> Tensor:
        """Return the input, 0 where a step is none."""
        keep = (x != self.arguments["mask_value"]).flatten(2).any(-1)
        return x.where(keep.reshape(*keep.shape, *(1,) * (x.ndim - 2)), 0.0)


class Wrapped(Layer):
    """A module of the user's as a layer; the network has the module itself for its child."""

    merges = True

    def __init__(self, module: nn.Module) -> None:
        nn.Module.__init__(self)
        self._start(COMMON)
        self._accept({})
        self.module = module
        self.built = self.nested is None or self.nested.complete_now

    @property
    def shown(self) -> str:
        """What messages call it."""
        return f"`{self.name}`" if self.name else self.default_name

    @property
    def default_name(self) -> str:
        """The class of the module."""
        return type(self.module).__name__

    @property
    def nested(self) -> Any:
        """The module, if it is a network."""
        return self.module if hasattr(self.module, "complete") else None

    def can_build(self, *given: Shape) -> bool:
        """Return whether the network within can make its parameters for this shape."""
        if self.nested is None or self.nested.complete_now:
            return True
        ready: bool = self.nested.can_complete(*given)
        return ready

    def build(self, *given: Shape, device: Any = None, dtype: Any = None) -> None:
        """Make the parameters of the network within."""
        if self.nested is not None and not self.nested.complete_now:
            like = torch.empty(0, device=device, dtype=dtype)
            self.nested.complete(*given, like=like if device is not None else None)
        self.built = True

    def compute_mask(self, x: Any, mask: Tensor | None = None) -> Tensor | None:
        """Return the mask; the network drops it where the module's output has another time."""
        return mask

    def shape_rule(self, *given: Shape) -> Shape:
        """Return the shape that a run of the module gives; unknown extents are tried twice."""
        if self.nested is not None:
            shape: Shape = self.nested.get_output_shape(*given)
            return shape
        pairs = ((2, 64), (3, 65))
        runs = [_run(self.module, [_filled(shape, *pair) for shape in given]) for pair in pairs]
        return tuple(
            a if a == b else None for a, b in zip(*(run.shape for run in runs), strict=True)
        )

    def forward(self, *inputs: Tensor) -> Any:
        """Return what the module gives."""
        return self.module(*inputs)

    def __repr__(self) -> str:
        """Return the module's words."""
        return repr(self.module)


def _or_all(mask: Tensor | None, x: Tensor) -> Tensor:
    return torch.ones(x.shape[:2], dtype=torch.bool, device=x.device) if mask is None else mask


def _filled(shape: Shape, batch: int, other: int) -> tuple[int, ...]:
    """Return a shape with numbers for what is not known: a small batch, and large maps."""
    first = batch if shape[0] is None else shape[0]
    return (first, *(other if extent is None else extent for extent in shape[1:]))


def _run(module: nn.Module, extents: Sequence[tuple[int, ...]]) -> Tensor:
    """Return what a module makes of zeros, where that costs nothing if it can: without data."""
    lazy = any(isinstance(p, UninitializedParameter) for p in module.parameters())
    for device in ("cpu",) if lazy else ("meta", "cpu"):
        inputs = [torch.zeros(extent, device=device) for extent in extents]
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                output = copy.deepcopy(module).to(device).eval()(*inputs)
            break
        except Exception as error:  # whatever a module of the user's raises
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    else:
        raise ValueError(reason.rstrip("."))
    if not isinstance(output, Tensor):
        raise ValueError(f"it must return a tensor, and returns {type(output).__name__}")
    return output
