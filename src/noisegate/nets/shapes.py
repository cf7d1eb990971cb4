"""Shapes with unknown extents, and the arithmetic of layers' outputs."""

from collections.abc import Sequence
from math import prod
from operator import index
from typing import Any

from noisegate.core.errors import InvalidType, InvalidValue

# Batch first; None is an extent that only a call knows.
Shape = tuple[int | None, ...]


def check_layer_shape(value: Any) -> Shape:
    """Return a shape as a tuple; None is an unknown extent, and an int a shape of one extent."""
    extents = value if isinstance(value, tuple | list) else (value,)
    try:
        shape = tuple(None if extent is None else index(extent) for extent in extents)
    except TypeError:
        raise InvalidType(describe_bad_shape(value)) from None
    if any(extent is not None and extent < 1 for extent in shape):
        raise InvalidValue(describe_bad_shape(value))
    return shape


def describe_bad_shape(value: object) -> str:
    """Return the sentence about a value that is not a shape."""
    return (
        f"a shape has whole numbers of at least 1, and None for what is not known; got {value!r}."
    )


def write(shape: Shape | None) -> str:
    """Return a shape in words: ``(?, 10)``."""
    if shape is None:
        return "<unknown>"
    extents = ["?" if extent is None else str(extent) for extent in shape]
    return f"({', '.join(extents)}{',' if len(extents) == 1 else ''})"


def can_be_equal(shape: Sequence[int | None], other: Sequence[int | None]) -> bool:
    """Return whether two shapes can be equal."""
    return len(shape) == len(other) and all(
        a is None or b is None or a == b for a, b in zip(shape, other, strict=True)
    )


def merge(shape: Shape, other: Shape) -> Shape:
    """Return the shape of which two are each known in part."""
    return tuple(b if a is None else a for a, b in zip(shape, other, strict=True))


def product(extents: Sequence[int | None]) -> int | None:
    """Return the product of extents, None if one is unknown."""
    known = [extent for extent in extents if extent is not None]
    return prod(known) if len(known) == len(extents) else None


def per_axis(value: Any, count: int) -> tuple[Any, ...]:
    """Return an argument for each axis, which may be given once for all."""
    many = isinstance(value, tuple | list)
    if many and len(value) != count:
        raise ValueError(f"{value} is not one number, or {count} of them")
    return tuple(value[i % len(value)] if many else value for i in range(count))


def convolve_extent(
    extent: int | None, kernel: int, stride: int, padding: Any, dilation: int
) -> Any:
    """Return the extent of an axis after a convolution."""
    reach = dilation * (kernel - 1)
    if extent is None:
        return None
    if padding == "same":
        return extent
    pad = 0 if padding == "valid" else padding
    return _positive((extent + 2 * pad - reach - 1) // stride + 1)


def pool_extent(
    extent: int | None, kernel: int, stride: int, padding: int, dilation: int, ceil: bool
) -> Any:
    """Return the extent of an axis after pooling."""
    if extent is None:
        return None
    if 2 * padding > kernel:
        raise ValueError("its padding is more than half of the kernel")
    spare = extent + 2 * padding - dilation * (kernel - 1) - 1
    count = (-(-spare // stride) if ceil else spare // stride) + 1
    # As in torch, no window begins in the padding at the end.
    if ceil and (count - 1) * stride >= extent + padding:
        count -= 1
    return _positive(count)


def reshape(shape: Shape, target: tuple[int, ...]) -> Shape:
    """Return the shape of reshaped samples; one extent of the target may be −1."""
    total = product(shape[1:])
    rest = product([extent for extent in target if extent != -1])
    if total is None or rest is None:
        return (shape[0], *(None if extent == -1 else extent for extent in target))
    free = target.count(-1)
    if (free and (rest == 0 or total % rest)) or (not free and rest != total):
        raise ValueError(f"{total} elements of a sample do not fill {target}")
    return (shape[0], *(total // rest if extent == -1 else extent for extent in target))


def _positive(extent: int) -> int:
    if extent < 1:
        raise ValueError("nothing is left of an axis")
    return extent
