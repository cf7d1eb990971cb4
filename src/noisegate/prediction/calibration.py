"""Compare predicted probabilities with the true classes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from noisegate.core import checks
from noisegate.core.errors import InvalidValue, prefix_errors

from .canvas import BLUE, GREY, ORANGE, make_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class Calibration:
    """The agreement of a classifier's probabilities with the true classes.

    Attributes
    ----------
    ece : float
        Expected calibration error: the mean distance between accuracy and confidence over bins of
        confidence, weighted by their counts; in [0, 1].
    nll : float
        Mean negative log-likelihood of the true classes, in nats.
    brier : float
        Mean squared distance between the probabilities and the one-hot true class; in [0, 2].
    accuracy : float
        The share of samples whose most probable class is the true one.
    edges : ndarray of shape (bins + 1,)
        The edges of the bins of confidence.
    counts : ndarray of shape (bins,)
        How many samples are in each bin.
    confidences, accuracies : ndarray of shape (bins,)
        Mean confidence and share of correct classes in each bin; NaN in empty bins.

    References
    ----------
    Brier (1950), Verification of forecasts expressed in terms of probability.
    Guo, Pleiss, Sun, Weinberger (2017), On calibration of modern neural networks.
    """

    ece: float
    nll: float
    brier: float
    accuracy: float
    edges: np.ndarray
    counts: np.ndarray
    confidences: np.ndarray
    accuracies: np.ndarray

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the reliability diagram: accuracy over confidence, and each bin's share of samples.

        Raises
        ------
        MissingExtra
            If matplotlib is not installed.
        """
        ax = make_axes(ax)
        full, width = self.counts > 0, 1 / len(self.counts)
        middles, accuracies = ((self.edges[:-1] + self.edges[1:]) / 2)[full], self.accuracies[full]
        ax.bar(middles, accuracies, width=0.9 * width, color=BLUE, alpha=0.85, label="accuracy")
        ax.bar(
            middles,
            self.confidences[full] - accuracies,
            bottom=accuracies,
            width=0.9 * width,
            facecolor="none",
            edgecolor=ORANGE,
            linewidth=1.2,
            label="gap to the confidence",
        )
        share = self.counts / self.counts.sum()
        steps = np.append(share, share[-1])
        words = "share of samples"
        ax.step(self.edges, steps, where="post", color=GREY, linewidth=1.0, label=words)
        ax.plot([0, 1], [0, 1], color="black", linestyle="--", linewidth=1, label="calibrated")
        ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy")
        ax.set_title(f"ECE {self.ece:.3f}, {self.counts.sum()} samples", fontsize="medium")
        # Below the axes, where no bar can be behind it.
        place = (0.5, -0.2)
        ax.legend(
            frameon=False, fontsize="x-small", loc="upper center", bbox_to_anchor=place, ncols=2
        )
        return ax

    def __repr__(self) -> str:
        """Return words with the ECE, the NLL, the Brier score and the accuracy."""
        return (
            f"<calibration: ECE {self.ece:.4f}, NLL {self.nll:.4f}, Brier {self.brier:.4f}, "
            f"accuracy {self.accuracy:.4f}>"
        )


def calibrate(probabilities: np.ndarray, y: Any, bins: int, axis: int) -> Calibration:
    """Return the calibration of probabilities whose classes are along an axis."""
    with prefix_errors("calibration"):
        checks.check_positive("bins", checks.check_whole("bins", bins, 31))
    p = np.moveaxis(probabilities, axis, -1)
    classes = p.shape[-1]
    true = _read_labels(y, p.shape[:-1], classes)
    p = p.reshape(-1, classes)
    of_true = np.take_along_axis(p, true[:, None], 1)[:, 0]
    one_hot = np.eye(classes)[true]
    confidence, right = p.max(1), p.argmax(1) == true
    # A confidence at an edge belongs to the bin that ends there.
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    # An empty bin divides 0 by 0; a true class of probability 0 has an infinite NLL.
    with np.errstate(invalid="ignore", divide="ignore"):
        confidences = np.bincount(place, confidence, bins) / counts
        accuracies = np.bincount(place, right, bins) / counts
        nll = -np.log(of_true).mean()
    gaps = np.abs(np.where(counts > 0, accuracies - confidences, 0.0))
    return Calibration(
        ece=float((gaps * counts).sum() / len(true)),
        nll=float(nll),
        brier=float(((p - one_hot) ** 2).sum(1).mean()),
        accuracy=float(right.mean()),
        edges=np.linspace(0, 1, bins + 1),
        counts=counts,
        confidences=confidences,
        accuracies=accuracies,
    )


def _read_labels(y: Any, shape: tuple[int, ...], classes: int) -> np.ndarray:
    """Return the true classes as a vector of int64; raise if shape, dtype or a class is wrong."""
    true = np.asarray(y.cpu() if hasattr(y, "cpu") else y)
    if true.shape != shape or not true.size:
        wrong = f"shape {true.shape}"
    elif not np.issubdtype(true.dtype, np.integer) and not np.issubdtype(true.dtype, np.bool_):
        wrong = f"dtype {true.dtype}"
    else:
        outside = true[(true < 0) | (true >= classes)]
        if not outside.size:
            return true.reshape(-1).astype(np.int64)
        wrong = f"{outside[0]}"
    raise InvalidValue(
        f"calibration: `y` must be whole numbers in [0, {classes}), of shape {tuple(shape)}; "
        f"got {wrong}."
    )
