"""Layers without a class of torch's: Reshape, Concatenate, Add, Masking."""

from collections.abc import Mapping, Sequence
from inspect import Parameter
from typing import Any, ClassVar

import torch
from torch import Tensor

from noisegate.core import checks
from noisegate.core.errors import InvalidValue

from .. import options, shapes
from ..layer import Layer
from ..shapes import Shape


def _by_place(name: str, default: Any = Parameter.empty) -> dict[str, Parameter]:
    return {name: Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, default=default)}


class Reshape(Layer):
    """Samples in another shape, in which one extent may be −1."""

    PARAMETERS = _by_place("shape")
    CHECKS: ClassVar[Mapping[str, options.Check]] = {
        "shape": options.NamedCheck(
            "a shape, one extent −1",
            lambda _, value: _check_target(value),
            int | tuple[int, ...],
        ),
    }
    keeps_time = False

    def infer_shape(self, *given: Shape) -> Shape:
        """Return the shape of the output; raise ValueError with the reason if there is none."""
        return shapes.reshape(given[0], self.arguments["shape"])

    def forward(self, x: Tensor) -> Tensor:
        """Return the samples in their new shape."""
        return x.reshape(len(x), *self.arguments["shape"])


def _check_target(value: Any) -> tuple[int, ...]:
    extents = value if isinstance(value, tuple | list) else (value,)
    known = [extent for extent in extents if extent != -1]
    if extents.count(-1) > 1 or None in shapes.check_layer_shape(known):
        raise InvalidValue(shapes.describe_bad_shape(value))
    return tuple(int(extent) for extent in extents)


class Concatenate(Layer):
    """Several inputs side by side along an axis.

    Parameters
    ----------
    axis : int, optional
        1 for the channels of images, −1 for the features of steps. Not needed where inputs are
        (N, features).
    """

    PARAMETERS = _by_place("axis", None)
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

    def infer_shape(self, *given: Shape) -> Shape:
        """Return the shape of the output; raise ValueError with the reason if there is none."""
        rank = len(given[0])
        axis = self._axis(rank)
        if any(len(shape) != rank for shape in given) or not -rank <= axis < rank:
            raise ValueError("its inputs must have one rank, and the axis")
        axis %= rank
        first = given[0]
        for shape in given[1:]:
            rest = [(*s[:axis], *s[axis + 1 :]) for s in (first, shape)]
            if not shapes.can_be_equal(*rest):
                raise ValueError(f"its inputs must have equal extents but along axis {axis}")
            first = shapes.merge((*first[:axis], None, *first[axis + 1 :]), shape)
        extents = [shape[axis] for shape in given]
        total = None if None in extents else sum(e for e in extents if e is not None)
        return (*first[:axis], total, *first[axis + 1 :])

    def merge_masks(self, given: Sequence[Tensor], masks: Sequence[Any]) -> Tensor | None:
        """Return the masks side by side along time; elsewhere what all have."""
        if self._axis(given[0].ndim) % given[0].ndim != 1 or all(mask is None for mask in masks):
            return super().merge_masks(given, masks)
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

    def infer_shape(self, *given: Shape) -> Shape:
        """Return the shape of the output; raise ValueError with the reason if there is none."""
        shape = given[0]
        for other in given[1:]:
            if not shapes.can_be_equal(shape, other):
                raise ValueError("its inputs must have one shape")
            shape = shapes.merge(shape, other)
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
        What stands in padding.
    """

    PARAMETERS = _by_place("mask_value", 0.0)
    CHECKS: ClassVar[Mapping[str, options.Check]] = {
        "mask_value": options.NamedCheck("number", checks.check_number, float),
    }
    makes_mask = True

    def infer_shape(self, *given: Shape) -> Shape:
        """Return the shape of the output; raise ValueError with the reason if there is none."""
        if len(given[0]) < 3:
            raise ValueError("it takes (N, time, features)")
        return given[0]

    def _find_steps(self, x: Tensor) -> Tensor:
        """Return where a step has another value, (samples, time)."""
        found: Tensor = (x != self.arguments["mask_value"]).flatten(2).any(-1)
        return found

    def compute_mask(self, x: Any, mask: Tensor | None = None) -> Tensor | None:
        """Return where a step has another value, and was not masked before."""
        found = self._find_steps(x)
        return found if mask is None else found & mask

    def forward(self, x: Tensor) -> Tensor:
        """Return the input, 0 where a step is padding."""
        keep = self._find_steps(x)
        return x.where(keep.reshape(*keep.shape, *(1,) * (x.ndim - 2)), 0.0)


def _or_all(mask: Tensor | None, x: Tensor) -> Tensor:
    return torch.ones(x.shape[:2], dtype=torch.bool, device=x.device) if mask is None else mask
