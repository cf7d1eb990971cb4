"""Spatial axes, and spans along them at places that are drawn from the field."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from . import axes as named
from . import checks
from .draws import ALL, Draws
from .engine import Array
from .errors import InvalidValue
from .window import Window, resolve_shared
from .words import got

# The spatial axes of channels-first data.
SPATIAL = named.AxisSlice(2, None, None)


def check_extents(name: str, value: Any) -> int | tuple[int, ...]:
    """Return extents along spatial axes: one for all of them, or one for each."""
    many = isinstance(value, Iterable) and not isinstance(value, str)
    sizes = tuple(checks.check_whole(name, size, 32) for size in (value if many else [value]))
    if not sizes or min(sizes) < 1:
        raise InvalidValue(
            f"`{name}` must be a whole number >= 1, or one for each spatial axis; {got(value)}."
        )
    return sizes if many else sizes[0]


def find_spatial(axes: Any, shared_axes: Any, window: Window) -> list[int]:
    """Return the spatial axes in rising order; none may be shared, or be the sample axis."""
    shape = window.shape
    if window.form is not None:
        raise InvalidValue(
            "what an attention holds has no spatial axes. Use noisegate.Dropout there."
        )
    spatial = sorted(named.resolve_all("axes", named.restore(axes), shape))
    shared = resolve_shared(shared_axes, shape, window.sample_axis)
    if not spatial:
        if axes != SPATIAL:
            raise InvalidValue(
                f"`axes` must name at least one axis of the input, of rank {len(shape)}; "
                f"{got(named.restore(axes))}. Write for example axes=-1."
            )
        raise InvalidValue(
            f"`axes` must name at least one spatial axis; an input of rank {len(shape)} has "
            "none of the axes from 2 on. Images are (samples, channels, height, width)."
        )
    for axis in spatial:
        if axis in shared or axis == window.sample_axis:
            other = "a shared axis" if axis in shared else "the sample axis"
            raise InvalidValue(
                f"`axes` names axis {axis}, which is {other}; it must name others. Write for "
                "example axes=-1, or slice(1, -1) for (samples, height, width, channels)."
            )
    return spatial


def find_extents(name: str, sizes: int | tuple[int, ...], spatial: list[int]) -> dict[int, int]:
    """Return the extent on each spatial axis, of one for all of them or one for each."""
    if isinstance(sizes, int):
        return dict.fromkeys(spatial, sizes)
    if len(sizes) != len(spatial):
        raise InvalidValue(
            f"`{name}` must have one extent for each spatial axis; got "
            f"{tuple(sizes)} for the axes {tuple(spatial)}."
        )
    return dict(zip(spatial, sizes, strict=True))


def draw_places(draws: Draws, spatial: list[int]) -> Draws:
    """Return draws of which each is for all elements along the spatial axes."""
    window = draws.window

    def narrow(extents: tuple[int, ...], extent: int) -> tuple[int, ...]:
        return tuple(extent if axis in spatial else n for axis, n in enumerate(extents))

    shape, start, extent = window.shape, window.start, window.extent
    narrowed = replace(
        window, shape=narrow(shape, 1), start=narrow(start, 0), extent=narrow(extent, 1)
    )
    return draws.over(narrowed)


def draw_unit(places: Draws, number: int) -> Array:
    """Return float64 numbers in [0, 1), multiples of 2⁻³²."""
    return places.engine.cast(places.u32(number), "float64") * (1 / ALL)


def cover(draws: Draws, spans: Mapping[int, tuple[Array, Any]]) -> Array:
    """Return where an element lies in the span of every axis: its first index, and its extent."""
    window, covered = draws.window, None
    for axis, (first, extent) in spans.items():
        start = window.start[axis]
        index = draws.engine.integers(range(start, start + window.extent[axis]))
        shape = [-1 if other == axis else 1 for other in range(len(window.shape))]
        index = draws.engine.cast(index, "float64").reshape(shape)
        inside = (index >= first) & (index < first + extent)
        covered = inside if covered is None else covered & inside
    return covered
