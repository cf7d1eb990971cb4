"""`Prediction`: mean, spread and quantiles, and the uncertainties of a classifier."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from noisegate.core import checks, html
from noisegate.core.errors import InvalidValue, prefix_errors
from noisegate.core.words import got

from .calibration import Calibration, calibrate
from .canvas import BLUE, GREY, ORANGE, make_axes
from .moments import entropy

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class Prediction:
    """Predictions of a model with noise in it.

    Attributes
    ----------
    mean, std : ndarray
        Mean and standard deviation over the samples, in the shape of the model's output, float64.
        The divisor of `std` is the number of samples.
    steps : sequence of int
        The step of the seed for each sample; ``predict(..., samples=[k])`` computes step k alone.
    seed : int
        The seed of the noise.
    outputs : str
        The meaning of the model's output: `values`, `logits` or `probabilities`.
    samples : ndarray or None
        Every sample, along a new first axis, if ``keep_samples=True``.
    x : ndarray or None
        The input as a vector, if it is one floating number per row.
    """

    mean: np.ndarray
    std: np.ndarray
    steps: Sequence[int]
    seed: int
    outputs: str
    samples: np.ndarray | None = None
    x: np.ndarray | None = None
    # By level; then mean probabilities and entropies of classifiers, and the axis of the classes.
    _quantiles: Mapping[float, np.ndarray] = field(default_factory=dict, repr=False)
    _classes: np.ndarray | None = field(default=None, repr=False)
    _entropies: np.ndarray | None = field(default=None, repr=False)
    _axis: int = -1

    @property
    def quantiles(self) -> dict[float, np.ndarray]:
        """The computed quantiles, by level."""
        return dict(self._quantiles)

    def quantile(self, level: float) -> np.ndarray:
        """Return a quantile of the output over the samples, interpolated linearly.

        Raises
        ------
        InvalidValue
            If the level is not in [0, 1], or was not computed while the samples were not kept.
        """
        with prefix_errors("Prediction"):
            check_level(level)
        if level in self._quantiles:
            return self._quantiles[level]
        if self.samples is None:
            raise InvalidValue(
                f"Prediction: the quantile {level} was not computed; computed are "
                f"{', '.join(map(str, self._quantiles)) or 'none'}. "
                f"Pass quantiles=[{level}] to predict."
            )
        return np.asarray(np.quantile(self.samples, level, axis=0))

    @property
    def probabilities(self) -> np.ndarray:
        """The probability of each class, averaged over the samples.

        Raises
        ------
        InvalidValue
            If the outputs are values.
        """
        return self._of_classifier(self._classes)

    @property
    def classes(self) -> np.ndarray:
        """The most probable class."""
        return np.asarray(self.probabilities.argmax(self._axis))

    @property
    def entropy(self) -> np.ndarray:
        """The predictive entropy in nats: the total uncertainty."""
        return entropy(self.probabilities, self._axis)

    @property
    def expected_entropy(self) -> np.ndarray:
        """The mean entropy of the samples, in nats: the uncertainty within each sample."""
        return self._of_classifier(self._entropies)

    @property
    def mutual_information(self) -> np.ndarray:
        """The entropy minus the expected entropy, in nats: how much the samples disagree.

        Reference: Houlsby, Huszár, Ghahramani, Lengyel (2011), Bayesian active learning for
        classification and preference learning.
        """
        # Rounding may put it slightly below its bound of 0.
        return np.asarray(np.maximum(self.entropy - self.expected_entropy, 0.0))

    def calibration(self, y: Any, bins: int = 15) -> Calibration:
        """Return the calibration of the probabilities against the true classes.

        Parameters
        ----------
        y : array of int
            The true classes, in the shape of `classes`.
        bins : int
            The number of bins of confidence, all of equal width.

        Raises
        ------
        InvalidValue
            If the labels are not whole numbers, have another shape, or one of them is no class.
        """
        return calibrate(self.probabilities, y, bins, self._axis)

    def _of_classifier(self, values: np.ndarray | None) -> np.ndarray:
        """Return an array that only classifiers have; raise if the outputs are values."""
        if values is None:
            raise InvalidValue(
                f"Prediction: the outputs are taken as {self.outputs}, which have no "
                "probabilities. Pass outputs='logits' or outputs='probabilities' to predict."
            )
        return values

    def plot(
        self, y: Any = None, *, x: Any = None, data: Any = None, ax: "Axes | None" = None
    ) -> "Axes":
        """Draw a regression of one output on one input: the mean, and bands around it.

        The bands are from quantile 0.05 to 0.95 and from 0.25 to 0.75. If these were not computed,
        they are two and one standard deviations around the mean.

        Parameters
        ----------
        y : array, optional
            True values at the inputs, drawn as a line.
        x : array, optional
            The inputs to draw over, needed if the model's input was not one number per sample.
        data : pair of arrays, optional
            Inputs and outputs of further points, such as the training data.
        ax : matplotlib.axes.Axes, optional
            The axes to draw on; by default those of a new figure.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        MissingExtra
            If matplotlib is not installed.
        InvalidValue
            If there is more than one output or input.
        """
        ax = make_axes(ax)
        inputs = self.x if x is None else _flatten(x)
        is_one = self.mean.ndim == 1 or (self.mean.ndim == 2 and self.mean.shape[1] == 1)
        if not is_one or inputs is None or len(inputs) != self.mean.size:
            raise InvalidValue(
                "Prediction.plot: bands need a regression of one output on one input; the output "
                f"has shape {self.mean.shape}. Pass x= where the input was not one number a sample."
            )
        order = np.argsort(inputs, kind="stable")
        place, mean = inputs[order], self.mean.reshape(-1)[order]
        for levels, sigmas, alpha in (((0.05, 0.95), 2, 0.18), ((0.25, 0.75), 1, 0.3)):
            if self.samples is not None or all(level in self._quantiles for level in levels):
                ends = [self.quantile(level) for level in levels]
                label = f"{levels[0]:.0%} to {levels[1]:.0%}"
            else:
                ends = [self.mean - sigmas * self.std, self.mean + sigmas * self.std]
                label = f"±{sigmas} std"
            low, high = (end.reshape(-1)[order] for end in ends)
            ax.fill_between(place, low, high, color=BLUE, alpha=alpha, linewidth=0, label=label)
        ax.plot(place, mean, color=BLUE, linewidth=1.6, label="mean")
        if y is not None:
            true = _flatten(y)[order]
            ax.plot(place, true, color=GREY, linestyle="--", linewidth=1.2, label="true")
        if data is not None:
            ax.plot(*map(_flatten, data), ".", color=ORANGE, markersize=4, label="data")
        ax.set(xlabel="input", ylabel="output")
        ax.legend(frameon=False, fontsize="small")
        return ax

    def _repr_html_(self) -> str:
        """Return a short table, for notebooks."""
        rows = [("shape", str(self.mean.shape)), ("samples", str(len(self.steps)))]
        rows += [("seed", str(self.seed)), ("outputs", self.outputs)]
        means = {"standard deviation": self.std}
        if self._classes is not None:
            means |= {"entropy": self.entropy, "mutual information": self.mutual_information}
        rows += [
            (f"mean {name}", f"{values.mean():.4g}" if values.size else "")
            for name, values in means.items()
        ]
        return html.table(("prediction", "value"), rows)

    def __repr__(self) -> str:
        """Return the shape, the number of samples and the seed."""
        count = len(self.steps)
        samples = f"{count} sample{'s' if count > 1 else ''}"
        return f"<prediction of shape {self.mean.shape}, {samples}, seed {self.seed}>"


def join_predictions(parts: Sequence[Prediction], x: np.ndarray | None) -> Prediction:
    """Join predictions of some rows each to one of all rows; `x` is the whole input."""
    first = parts[0]
    if len(parts) == 1:
        return replace(first, x=x)

    def join(name: str, axis: int = 0) -> Any:
        values = [getattr(part, name) for part in parts]
        return None if values[0] is None else np.concatenate(values, axis)

    quantiles = {
        level: np.concatenate([part._quantiles[level] for part in parts])
        for level in first._quantiles
    }
    names = ("mean", "std", "_classes", "_entropies")
    joined = {name: join(name) for name in names}
    return replace(first, **joined, samples=join("samples", 1), x=x, _quantiles=quantiles)


def check_level(level: Any) -> float:
    """Return the level of a quantile as a float; raise unless it is a number in [0, 1]."""
    if not checks.is_number(level) or not 0 <= level <= 1:
        raise InvalidValue(f"a quantile must be in [0, 1]; {got(level)}.")
    return float(level)


def _flatten(values: Any) -> np.ndarray:
    array = values.detach().cpu().numpy() if hasattr(values, "detach") else np.asarray(values)
    return array.reshape(-1)
