"""How well probabilities agree with what happened."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from noisegate.core import checks, messages
from noisegate.core.errors import InvalidValue, prefix_errors

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class Calibration:
    """How well the probabilities of a classifier agree with the true classes.

    Attributes
    ----------
    ece : float
        Expected calibration error: the mean distance of accuracy and confidence over bins of
        confidence, weighted by their counts; in [0, 1].
    nll : float
        Mean negative log-likelihood of the true classes, in nats.
    brier : float
        Mean squared distance of the probabilities to the true class as one-hot; in [0, 2].
    accuracy : float
        The share of samples whose most probable class is the true one.
    edges : ndarray of shape (bins + 1,)
        Where the bins of confidence begin and end.
    counts : ndarray of shape (bins,)
        How many samples are in each bin.
    confidences, accuracies : ndarray of shape (bins,)
        Mean confidence and share of right classes in each bin; NaN in empty ones.

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
        """Draw the reliability diagram: accuracy over confidence, and how many samples are where.

        Raises
        ------
        MissingExtra
            If matplotlib is not installed.
        """
        from .plots import reliability

        return reliability(self, ax)

    def __repr__(self) -> str:
        """Return the three numbers and the accuracy."""
        return (
            f"<calibration: ECE {self.ece:.4f}, NLL {self.nll:.4f}, Brier {self.brier:.4f}, "
            f"accuracy {self.accuracy:.4f}>"
        )


def calibrate(probabilities: np.ndarray, y: Any, bins: int, axis: int) -> Calibration:
    """Return the calibration of probabilities whose classes are along an axis."""
    with prefix_errors("calibration"):
        checks.positive("bins", checks.whole("bins", bins, 31))
    p = np.moveaxis(probabilities, axis, -1)
    classes = p.shape[-1]
    true = np.asarray(y.cpu() if hasattr(y, "cpu") else y)
    if (wrong := _find_wrong(true, p.shape[:-1], classes)) is not None:
        raise InvalidValue(messages.bad_labels(p.shape[:-1], classes, wrong))
    p, true = p.reshape(-1, classes), true.reshape(-1).astype(np.int64)
    of_true = np.take_along_axis(p, true[:, None], 1)[:, 0]
    one_hot = np.eye(classes)[true]
    confidence, right = p.max(1), p.argmax(1) == true
    # A confidence at an edge belongs to the bin that ends there.
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
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


def _find_wrong(true: np.ndarray, shape: tuple[int, ...], classes: int) -> str | None:
    """Return what is wrong about labels: the shape, the dtype, or the first that is no class."""
    if true.shape != shape or not true.size:
        return f"shape {true.shape}"
    if not np.issubdtype(true.dtype, np.integer) and not np.issubdtype(true.dtype, np.bool_):
        return f"dtype {true.dtype}"
    outside = true[(true < 0) | (true >= classes)]
    return f"{outside[0]}" if outside.size else None
