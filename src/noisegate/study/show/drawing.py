"""What every figure of a study shares: style, colours, legends, and bytes that repeat."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

# Okabe and Ito's colours, which colour-blind readers can tell apart. Their yellow is left out:
# on white it cannot be seen.
BLACK, BLUE, ORANGE, VERMILION = "#000000", "#0072b2", "#e69f00", "#d55e00"
GREEN, PINK, SKY = "#009e73", "#cc79a7", "#56b4e9"
GREY = "#8a8a8a"

STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#8a8a8a40",
    "axes.axisbelow": True,
    "svg.hashsalt": "noisegate",
    "svg.fonttype": "path",
}
INK = (
    b"<style>svg { color: #1a1a1a; fill: currentColor }"
    b" @media (prefers-color-scheme: dark) { svg { color: #e4e4e4 } }</style>\n "
)
# How numbers are written at axes: 0.0001, 0.25, 250,000.
NUMBERS = "{x:,.10g}"


def draw_figure(
    fill: Callable[[Figure], None],
    size: tuple[float, float],
    format: str = "svg",
    *,
    clear: bool = False,
) -> bytes:
    """Return the figure that a function fills, as `png` or `svg`; the same bytes each time.

    A clear figure has no paper, so that it can lie on a page of any colour.
    """
    buffer = BytesIO()
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        # An explicit canvas: pyplot would look for a display.
        FigureCanvasAgg(figure)
        fill(figure)
        # Neither the day nor the version of the program.
        metadata = {"Date": None} if format == "svg" else {"Software": None}
        figure.savefig(buffer, format=format, dpi=100, metadata=metadata, transparent=clear)
    return _adapt_ink(buffer.getvalue()) if clear and format == "svg" else buffer.getvalue()


def _adapt_ink(svg: bytes) -> bytes:
    """Let black ink turn light where the reader's page is dark."""
    return svg.replace(b"#000000", b"currentColor").replace(b"<defs>", INK + b"<defs>", 1)


def legend_below(figure: Figure, *, columns: int, **words: Any) -> None:
    """Put a legend below all axes; it names what is drawn unless handles and labels are given."""
    figure.legend(**words, loc="outside lower center", ncols=columns, frameon=False, fontsize=8)


def count_axis(ax: Axes, label: str) -> None:
    """Give the horizontal axis whole numbers."""
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    ax.set_xlabel(label)


def log_axis(ax: Axes, which: str, lowest: float, highest: float) -> None:
    """Give the axis `x` or `y` a logarithm, if its values are far enough apart."""
    if not 0 < 5 * lowest < highest:
        return
    getattr(ax, f"set_{which}scale")("log")
    axis = getattr(ax, f"{which}axis")
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if highest < 1000 * lowest else (1,)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(NUMBERS)
