"""Figures of predictions. Needs matplotlib, which is imported at the first figure."""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from noisegate.core import messages
from noisegate.core.errors import InvalidValue, missing_extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .calibration import Calibration
    from .result import Prediction

# Of Okabe and Ito, told apart by colour-blind readers too.
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#777777"


def bands(prediction: "Prediction", y: Any, x: Any, data: Any, ax: "Axes | None") -> "Axes":
    """Draw the mean of a regression and bands around it."""
    ax = _axes(ax)
    given = prediction.x if x is None else _flat(x)
    mean = prediction.mean.reshape(-1) if _is_one(prediction.mean) else None
    if given is None or mean is None or given.shape != mean.shape:
        raise InvalidValue(messages.nothing_to_plot(prediction.mean.shape))
    order = np.argsort(given, kind="stable")
    place = given[order]
    for outer, sigmas, alpha in (((0.05, 0.95), 2, 0.18), ((0.25, 0.75), 1, 0.3)):
        low, high = _band(prediction, outer, sigmas)
        words = f"{outer[0]:.0%} to {outer[1]:.0%}" if _has(prediction, outer) else f"±{sigmas} std"
        ax.fill_between(
            place, low[order], high[order], color=BLUE, alpha=alpha, linewidth=0, label=words
        )
    ax.plot(place, mean[order], color=BLUE, linewidth=1.6, label="mean")
    if y is not None:
        ax.plot(place, _flat(y)[order], color=GREY, linestyle="--", linewidth=1.2, label="true")
    if data is not None:
        points = [_flat(part) for part in data]
        ax.plot(*points, ".", color=ORANGE, markersize=4, label="data")
    ax.set_xlabel("input")
    ax.set_ylabel("output")
    ax.legend(frameon=False, fontsize="small")
    return ax


def reliability(calibration: "Calibration", ax: "Axes | None") -> "Axes":
    """Draw accuracy over confidence."""
    ax = _axes(ax)
    width = 1 / len(calibration.counts)
    full = calibration.counts > 0
    middles = (calibration.edges[:-1] + calibration.edges[1:]) / 2
    ax.bar(
        middles[full],
        calibration.accuracies[full],
        width=0.9 * width,
        color=BLUE,
        alpha=0.85,
        label="accuracy",
    )
    gaps = (calibration.confidences - calibration.accuracies)[full]
    ax.bar(
        middles[full],
        gaps,
        bottom=calibration.accuracies[full],
        width=0.9 * width,
        facecolor="none",
        edgecolor=ORANGE,
        linewidth=1.2,
        label="gap to the confidence",
    )
    share = calibration.counts / calibration.counts.sum()
    ax.step(
        calibration.edges,
        np.append(share, share[-1]),
        where="post",
        color=GREY,
        linewidth=1.0,
        label="share of samples",
    )
    ax.plot([0, 1], [0, 1], color="black", linestyle="--", linewidth=1, label="calibrated")
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy")
    ax.set_title(
        f"ECE {calibration.ece:.3f}, {calibration.counts.sum()} samples", fontsize="medium"
    )
    # Below the axes, where no bar can be behind it.
    place = (0.5, -0.2)
    ax.legend(frameon=False, fontsize="x-small", loc="upper center", bbox_to_anchor=place, ncols=2)
    return ax


def _axes(ax: "Axes | None") -> "Axes":
    if find_spec("matplotlib") is None:
        raise missing_extra("a plot", "matplotlib", "study")
    if ax is not None:
        return ax
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.4, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    return figure.subplots()


def _band(
    prediction: "Prediction", levels: tuple[float, float], sigmas: int
) -> tuple[np.ndarray, np.ndarray]:
    if _has(prediction, levels):
        low, high = (prediction.quantile(level) for level in levels)
    else:
        low, high = (prediction.mean + sign * sigmas * prediction.std for sign in (-1, 1))
    return low.reshape(-1), high.reshape(-1)


def _has(prediction: "Prediction", levels: tuple[float, float]) -> bool:
    return prediction.samples is not None or all(q in prediction.quantiles for q in levels)


def _is_one(values: np.ndarray) -> bool:
    return values.ndim == 1 or (values.ndim == 2 and values.shape[1] == 1)


def _flat(values: Any) -> np.ndarray:
    array = values.detach().cpu().numpy() if hasattr(values, "detach") else np.asarray(values)
    return array.reshape(-1)
