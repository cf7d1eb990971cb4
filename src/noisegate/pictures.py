"""Pictures of noise: the field of any kind at any steps. They need matplotlib."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO
from math import ceil, prod
from typing import TYPE_CHECKING, Any

import numpy as np

from noisegate.core import checks
from noisegate.core.draws import Field
from noisegate.core.errors import InvalidValue, prefix_errors
from noisegate.core.extras import missing_extra
from noisegate.core.keys import Key, Site, Stream
from noisegate.core.kind import Kind, check_kind
from noisegate.core.window import DEFAULT_AXIS
from noisegate.numpy import noise

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw"]

# The most tiles in a row and in a column, and the most steps.
TILES, STEPS = 8, 16
# The most elements on a side of the image, since the picture has no more pixels.
PIXELS = 1000
# The most elements of noise at one step: some kinds need 32 bytes for each, so 1 GiB.
MOST = 2**25
# Okabe and Ito's blue and orange, which colour-blind readers can distinguish, and a pale grey.
KEPT, GONE = "#ededed", ("#0072b2", "#d55e00")
# The entry of each format that names the day or the program. It is left out, so that equal noise
# gives equal bytes.
METADATA = {"png": "Software", "svg": "Date", "pdf": "CreationDate"}


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a field to be drawn: its name, and the visible tiles at each step.

    `classes` name the values 0, 1 …; without classes the values are continuous, around `middle`.
    """

    name: str
    steps: list[np.ndarray]
    classes: tuple[str, ...] = ()
    middle: float = 0.0


def draw(
    kind: Kind,
    shape: int | tuple[int, ...],
    *,
    seed: int = 13,
    site: str = "",
    steps: Sequence[int] | int = 1,
    sample_axis: int | None = DEFAULT_AXIS,
    data_format: str = "channels_first",
    format: str = "png",
) -> bytes:
    r"""Return a picture of what a kind does to an input of a shape.

    Kept and removed elements have a colour each, and so have up to two replacing values. Gains and
    shifts are on a scale. The last two axes make a tile. Samples lie below each other, channels
    side by side.

    Parameters
    ----------
    kind : Kind
        Any kind of noise, your own included.
    shape : int or tuple of int
        Shape of the input, which is a ramp from 0 to 1 along the last axis for a kind that reads
        it. Of a long axis the first eight tiles are shown, and the title says so.
        If a tile has more elements than the picture has pixels, every second or n-th is shown.
        Noise is made for the samples that are shown: at most 2²⁵ elements at each step.
    seed, site
        The seed of the stream, and the site in it, at which noise is drawn.
    steps : int or sequence of int
        The number of steps from 0 on, or the steps, side by side; at most 16.
    sample_axis : int or None
        As at a call of the kind.
    data_format : {"channels_first", "channels_last"}
        Where the channels are: axis 1, or the last axis.
    format : {"png", "svg", "pdf"}
        The format of the picture.

    Raises
    ------
    MissingExtra
        If matplotlib is not installed.
    InvalidType, InvalidValue
        If an argument has the wrong type or is out of bounds, or if the shape has no elements.

    Examples
    --------
    >>> import noisegate as ng
    >>> picture = ng.pictures.draw(ng.spatial_dropout(0.3), (4, 3, 16, 16), steps=2)
    >>> picture[:4]
    b'\x89PNG'
    """
    if find_spec("matplotlib") is None:
        raise missing_extra("noisegate.pictures", "matplotlib", "study")
    with prefix_errors("draw"):
        check_kind(kind)
        whole = checks.check_shape(shape)
        checks.make_choice_check(*METADATA)("format", format)
        checks.make_choice_check("channels_first", "channels_last")("data_format", data_format)
    if 0 in whole:
        raise InvalidValue(f"draw: an input of shape {whole} has no elements to draw.")
    place = Stream(seed).site(site)
    with prefix_errors("draw"):
        at = range(checks.check_whole("steps", steps, 32)) if isinstance(steps, int) else steps
    keys = [place.at(step) for step in at]
    if not 1 <= len(keys) <= STEPS:
        raise InvalidValue(f"draw: `steps` must be 1 to {STEPS} steps; got {len(keys)}.")
    parts = list(_pick_parts(kind, whole, keys, sample_axis, data_format))
    title = _write_title(kind, whole, place, data_format)
    return _picture(title, kind, _move_channels_first(whole, data_format), keys, parts, format)


def _pick_parts(
    kind: Kind, shape: tuple[int, ...], keys: list[Key], sample_axis: int | None, data_format: str
) -> Iterator[_Part]:
    """Yield the parts of a field that are worth a picture, which are not neutral."""
    fields = list(_draw_tiles(kind, shape, keys, sample_axis, data_format))

    def values(name: str) -> list[np.ndarray]:
        return [getattr(field, name) for field in fields]

    keep, fill = values("keep"), values("fill")
    kept, removed = kind.outcomes
    if kind.removes:
        gone = [f[~k] for k, f in zip(keep, fill, strict=True)]
        others = [float(value) for value in np.unique(np.concatenate(gone))]
        if len(others) <= len(GONE):
            numbers = [np.searchsorted(others, f) + 1 for f in fill]
            classes = [np.where(k, 0, n) for k, n in zip(keep, numbers, strict=True)]
            meanings = [f"becomes {value:.3g}" if value else removed for value in others]
            yield _Part("mask", classes, (kept, *meanings))
        else:
            yield _Part("mask", [(~k).astype(int) for k in keep], ("kept", "replaced"))
            yield _Part("fill", fill)
    elif any((~k).any() for k in keep):
        yield _Part("fill", fill)
    for name, neutral in (("gain", 1.0), ("shift", 0.0)):
        steps = values(name)
        # A number that all survivors share, such as the scale of dropout, needs no picture.
        if any(np.ptp(v[k]) > 0 for v, k in zip(steps, keep, strict=True) if k.any()):
            yield _Part(name, steps, middle=neutral)


def _draw_tiles(
    kind: Kind, shape: tuple[int, ...], keys: list[Key], sample_axis: int | None, data_format: str
) -> Iterator[Field]:
    """Yield the field of each step, cut to the visible tiles."""
    rows, part = None, shape
    if sample_axis == 0 and len(shape) > 2:
        # Noise is made for whole samples, but only for samples with a visible tile.
        below = prod(_move_channels_first(shape, data_format)[1:-3])
        part = (min(shape[0], ceil(TILES / below)), *shape[1:])
        rows = slice(0, part[0])
    if prod(part) > MOST:
        raise InvalidValue(
            f"draw: the samples that are shown must have at most {MOST:,} elements; got {shape}, "
            f"of which they have {prod(part):,}. {_shrink(part)} would do."
        )
    # Noise is made in the order of the axes as given, and transposed to be drawn.
    order = _order_axes(len(shape), data_format)
    given: Any = shape
    if kind.reads_input:
        ramp = np.linspace(0, 1, part[-1]) if part else 1.0
        given, rows = np.broadcast_to(ramp, part), None
    for key in keys:
        field = noise(kind, given, key, rows, sample_axis)
        yield Field(*(_split_tiles(np.asarray(values).transpose(order)) for values in field))


def _shrink(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape of at most MOST elements, by halving the longest axes."""
    while prod(shape) > MOST:
        shape = tuple(ceil(axis / 2) if axis == max(shape) else axis for axis in shape)
    return shape


def _picture(
    title: str,
    kind: Kind,
    shape: tuple[int, ...],
    keys: list[Key],
    parts: list[_Part],
    format: str,
) -> bytes:
    """Return the picture of all parts at all steps, as a file's bytes."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not parts:  # a rate of 0
        tiles = _split_tiles(np.broadcast_to(0, shape))
        parts = [_Part("mask", [tiles for _ in keys], kind.outcomes)]
    height, width = _measure_image(shape)
    wide = min(max(2.2, 0.05 * width), 9.0) if len(keys) == 1 else 2.4
    tall = min(max(wide * height / width, 0.35), 9.0)
    size = (max(4.8, wide * len(keys) + 1.4), (tall + 0.5) * len(parts) + 0.5)
    with rc_context({"font.size": 8, "svg.hashsalt": "noisegate", "svg.fonttype": "path"}):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)  # pyplot would look for a display
        figure.suptitle(title, fontsize=9)
        grid = figure.subplots(len(parts), len(keys), squeeze=False)
        for part, row in zip(parts, grid, strict=True):
            _draw_row(figure, list(row), part, kind, shape, [key.step for key in keys])
        buffer = BytesIO()
        metadata: Any = {METADATA[format]: None}
        figure.savefig(
            buffer, format=format, dpi=110, metadata=metadata, bbox_inches="tight", pad_inches=0.1
        )
    return buffer.getvalue()


def _draw_row(
    figure: "Figure",
    row: "list[Axes]",
    part: _Part,
    kind: Kind,
    shape: tuple[int, ...],
    steps: list[int],
) -> None:
    """Draw one part of the field at every step."""
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    height, width = _measure_image(shape)
    place = (-0.5, width - 0.5, height - 0.5, -0.5)
    for axes, values, step in zip(row, part.steps, steps, strict=True):
        mosaic = _arrange_tiles(values)
        if part.classes:
            colours = ListedColormap([KEPT, *GONE[: len(part.classes) - 1]])
            image = axes.imshow(mosaic, colours, vmin=0, vmax=len(part.classes) - 1, extent=place)
        else:
            reach = max(float(np.abs(v - part.middle).max()) for v in part.steps)
            low, high = part.middle - reach, part.middle + reach
            image = axes.imshow(mosaic, "RdBu_r", vmin=low, vmax=high, extent=place)
        image.set_interpolation("nearest")
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.set_title(_write_heading(part, values, kind, step), fontsize=8)
    below, beside = _choose_labels(len(shape))
    row[0].set_ylabel(below)
    row[0].set_xlabel(beside)
    if part.classes:
        patches = [
            Patch(facecolor=colour, edgecolor="#999999", label=name)
            for colour, name in zip((KEPT, *GONE), part.classes, strict=False)
        ]
        row[-1].legend(handles=patches, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    else:
        figure.colorbar(image, ax=row, shrink=0.8, label=part.name)


def _write_heading(part: _Part, values: np.ndarray, kind: Kind, step: int) -> str:
    """Return the heading of a step: its rate, if scheduled, and the share of replaced elements."""
    text = f"step {step}"
    if not isinstance(kind.rate, float):
        text += f", {kind.RATE} = {kind.rate_at(step, {}):.3g}"
    if part.classes:
        gone = kind.outcomes[1] if part.classes == kind.outcomes else "replaced"
        text += f": {100 * float((values > 0).mean()):.1f} % {gone}"
    return text


def _write_title(
    kind: Kind, shape: tuple[int, ...], place: Site, data_format: str = "channels_first"
) -> str:
    """Return the title of a picture: the noise, and the part of it that is shown."""
    rows, columns = _count_tiles(_move_channels_first(shape, data_format))
    text = f"{kind!r}\non {shape}, seed {place.seed}"
    if place.name:
        text += f", site {place.name!r}"
    cut = [
        f"{TILES} of {count} {what}"
        for count, what in ((rows, "rows"), (columns, "columns"))
        if count > TILES
    ]
    return text + (f"; {' and '.join(cut)} of tiles shown" if cut else "")


def _choose_labels(rank: int) -> tuple[str, str]:
    """Return the labels of the picture's vertical and horizontal direction."""
    if rank < 4:
        return (
            ("", ""),
            ("", "axis 0"),
            ("axis 0", "axis 1"),
            ("axis 0; a tile is axes 1, 2", ""),
        )[rank]
    rows = "axis 0" if rank == 4 else f"axes 0 to {rank - 4}"
    return rows, f"axis {rank - 3}; a tile is axes {rank - 2}, {rank - 1}"


def _count_tiles(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the number of tiles in a column and in a row."""
    columns = shape[-3] if len(shape) > 3 else 1
    return int(np.prod(shape[: -3 if len(shape) > 3 else -2], dtype=int)), columns


def _move_channels_first(shape: tuple[int, ...], data_format: str) -> tuple[int, ...]:
    """Return a shape in the order in which it is drawn, with the channels at axis 1."""
    return tuple(shape[axis] for axis in _order_axes(len(shape), data_format))


def _order_axes(rank: int, data_format: str) -> tuple[int, ...]:
    """Return the axes of an input in the order in which they are drawn."""
    first = data_format == "channels_first" or rank < 3
    return tuple(range(rank)) if first else (0, rank - 1, *range(1, rank - 1))


def _measure_image(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return height and width of the image of a shape, in elements."""
    height, width = (1, 1, *shape)[-2:]
    gap = _choose_gap(height, width)
    below, beside = (min(count, TILES) for count in _count_tiles(shape))
    return below * (height + gap) - gap, beside * (width + gap) - gap


def _choose_gap(height: int, width: int) -> int:
    """Return the width of the gap between tiles, in elements."""
    return 1 if min(height, width) < 40 else 3


def _split_tiles(values: np.ndarray) -> np.ndarray:
    """Return the visible tiles of an array, (below, beside, height, width), thinned to fit."""
    tiles = values.reshape(*_count_tiles(values.shape), *(1, 1, *values.shape)[-2:])[:TILES, :TILES]
    down, right = (ceil(length / PIXELS) for length in _measure_image(values.shape))
    return tiles[..., ::down, ::right]


def _arrange_tiles(values: np.ndarray) -> np.ndarray:
    """Return the tiles of an array as one image, with NaN between the tiles."""
    tiles = _split_tiles(values).astype(float)
    height, width = tiles.shape[2:]
    gap = _choose_gap(height, width)
    padded = np.pad(tiles, ((0, 0), (0, 0), (0, gap), (0, gap)), constant_values=np.nan)
    below, beside = padded.shape[:2]
    image = padded.transpose(0, 2, 1, 3).reshape(below * (height + gap), beside * (width + gap))
    return image[:-gap, :-gap]
