"""What every figure of a study has: its style, its numbers, and bytes that repeat."""

from io import BytesIO
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

__all__ = ["NUMBERS", "STYLE", "encoded", "logarithmic"]

STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e5e5e5",
    "axes.axisbelow": True,
    "svg.hashsalt": "noisegate",
    "svg.fonttype": "path",
}
# How numbers are written at axes: 0.0001, 0.25, 250,000.
NUMBERS = "{x:,.10g}"


def encoded(figure: Figure, format: str) -> bytes:
    """Return a figure as `png` or `svg`, with nothing of the day or of the program in it."""
    # An explicit canvas: pyplot would look for a display.
    FigureCanvasAgg(figure)
    buffer = BytesIO()
    metadata = {"Date": None} if format == "svg" else {"Software": None}
    figure.savefig(buffer, format=format, dpi=100, metadata=metadata)
    return buffer.getvalue()


def logarithmic(ax: Axes, lowest: float, highest: float) -> None:
    """Give the vertical axis a logarithm, if values are that far apart."""
    if not 0 < 5 * lowest < highest:
        return
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if highest < 1000 * lowest else (1,)))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(NUMBERS)
