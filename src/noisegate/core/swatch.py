"""A small picture of a kind of noise, as SVG: its effect on an array of ones."""

from html import escape
from math import isfinite, prod
from typing import Any

from .backends import numpy_face
from .errors import NoisegateError
from .keys import Stream
from .schedule import Schedule

ROWS, COLUMNS, CELL = 8, 16, 12
# Okabe and Ito's blue and orange, which colour-blind readers can distinguish; pale is unchanged.
PALE, LOWER, HIGHER = (237, 237, 237), (0, 114, 178), (213, 94, 0)

# Samples are rows and features columns if the kind's axes allow it; else one image is shown.
_IMAGE = (ROWS, COLUMNS)
_SHAPES = (
    _IMAGE,
    (1, 1, *_IMAGE),
    (1, *_IMAGE),
    (1, 1, 1, *_IMAGE),
    *((*_IMAGE, *[1] * more) for more in (1, 2, 3)),
)


def draw_swatch(kind: Any) -> str:
    """Return SVG of a kind's noise on ones, 8 rows of 16; "" if no shape fits the kind.

    The noise is drawn at step 0 of one stream; a schedule's rate is taken at its end.
    Pale elements are unchanged. The deeper the blue, the lower an element has become; the deeper
    the orange, the higher. Removed elements are blue. For a kind that reads its input, that is a
    ramp from 0 to 1 along the last axis instead of ones.
    """
    words = repr(kind)
    if isinstance(kind.rate, Schedule):
        kind = kind.at_rate(kind.rate.end)
    drawn = [values for shape in _SHAPES if (values := _draw_values(kind, shape))]
    if not drawn:
        return ""
    # An image of one channel and one sample shows nothing of noise that channels or samples share.
    values = next((v for v in drawn if len(set(v)) > 1), drawn[0])
    kept = [value for value in values if value is not None]
    # If all survivors are scaled alike, as by dropout, they count as unchanged.
    usual = 1.0 if len(set(kept)) > 1 else next(iter(kept), 1.0)
    most = max((abs(value - usual) for value in kept), default=0.0) or 1.0
    cells = "".join(
        _cell(place, -1.0 if value is None else (value - usual) / most)
        for place, value in enumerate(values)
    )
    width, height = COLUMNS * CELL, ROWS * CELL
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" role="img">'
        f"<title>{escape(words)}</title>{cells}</svg>"
    )


def _draw_values(kind: Any, shape: tuple[int, ...]) -> list[float | None]:
    """Return what ones become, row by row: None if removed; [] if the shape does not fit."""
    *outer, last = shape
    ramp: Any = [place / max(last - 1, 1) for place in range(last)]
    given = ramp
    for extent in outer[::-1]:
        given = [given] * extent
    key = Stream(13).site("").at(0)
    try:
        field = numpy_face().noise(kind, given if kind.reads_input else shape, key)
    except NoisegateError:
        return []
    parts = [part.reshape(-1).tolist() for part in field]
    if kind.reads_input:  # the change of an element, as that of a 1
        changes = zip(parts[0], parts[3], ramp * prod(outer), strict=True)
        return [1.0 if keep else 1.0 + fill - x for keep, fill, x in changes]
    return [
        gain + shift if keep else (fill if isfinite(fill) else None) or None
        for keep, gain, shift, fill in zip(*parts, strict=True)
    ]


def _cell(place: int, change: float) -> str:
    """Return the square of one element, for a change in [-1, 1]."""
    row, column = divmod(place, COLUMNS)
    colour = LOWER if change < 0 else HIGHER
    parts = (round(p + (c - p) * abs(change)) for p, c in zip(PALE, colour, strict=True))
    fill = "#" + "".join(f"{part:02x}" for part in parts)
    x, y, side = column * CELL, row * CELL, CELL - 1
    return f'<rect x="{x}" y="{y}" width="{side}" height="{side}" fill="{fill}"/>'
