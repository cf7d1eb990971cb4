"""Axes and colours for figures. matplotlib is imported at the first figure."""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from noisegate.core.extras import missing_extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# From the palette of Okabe and Ito, which colour-blind readers can tell apart.
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#777777"


def make_axes(ax: "Axes | None") -> "Axes":
    """Return the given axes, or the axes of a new figure."""
    if find_spec("matplotlib") is None:
        raise missing_extra("a plot", "matplotlib", "study")
    if ax is not None:
        return ax
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Not by pyplot, which would store the figure and may open a window.
    figure = Figure(figsize=(5.4, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    return figure.subplots()
