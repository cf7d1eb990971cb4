"""What a prediction knows: means, spread, and for classifiers what kind of doubt there is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from noisegate.core import checks, html, messages
from noisegate.core.errors import InvalidValue

from .calibration import Calibration, calibrate
from .moments import Part, entropy

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class Prediction:
    """Predictions of a model with noise in it.

    Attributes
    ----------
    mean, std : ndarray
        Of the model's output over the samples, of its shape, in float64; the divisor of `std` is
        the number of samples.
    steps : sequence of int
        Which steps of the seed the samples are; sample k is ``predict(..., samples=[k])``.
    seed : int
        The seed of the noise.
    outputs : str
        What the model returns: `values`, `logits` or `probabilities`.
    samples : ndarray or None
        Every sample, along a first axis, if they were kept.
    x : ndarray or None
        The input, where it is one number a sample.
    """

    mean: np.ndarray
    std: np.ndarray
    steps: Sequence[int]
    seed: int
    outputs: str
    samples: np.ndarray | None = None
    x: np.ndarray | None = None
    _quantiles: Mapping[float, np.ndarray] = field(default_factory=dict, repr=False)
    _classes: np.ndarray | None = field(default=None, repr=False)
    _entropies: np.ndarray | None = field(default=None, repr=False)
    _axis: int = -1

    @property
    def quantiles(self) -> dict[float, np.ndarray]:
        """The quantiles that were computed, by their level."""
        return dict(self._quantiles)

    def quantile(self, level: float) -> np.ndarray:
        """Return a quantile of the output over the samples, linear between neighbours.

        Raises
        ------
        InvalidValue
            If the level is not in [0, 1]; if it was not computed, and the samples were not kept.
        """
        if not checks.is_number(level) or not 0 <= level <= 1:
            raise InvalidValue(messages.bad_quantile("Prediction", level))
        if level in self._quantiles:
            return self._quantiles[level]
        if self.samples is None:
            raise InvalidValue(messages.no_quantile(level, list(self._quantiles)))
        return np.asarray(np.quantile(self.samples, level, axis=0))

    @property
    def probabilities(self) -> np.ndarray:
        """The mean over the samples of the probability of each class.

        Raises
        ------
        InvalidValue
            If the outputs are values.
        """
        if self._classes is None:
            raise InvalidValue(messages.not_a_classifier(self.outputs))
        return self._classes

    @property
    def classes(self) -> np.ndarray:
        """The class of the largest probability."""
        return np.asarray(self.probabilities.argmax(self._axis))

    @property
    def entropy(self) -> np.ndarray:
        """The predictive entropy in nats: all the doubt, of whatever kind."""
        return entropy(self.probabilities, self._axis)

    @property
    def expected_entropy(self) -> np.ndarray:
        """The mean over the samples of their entropy in nats: doubt that each sample has."""
        if self._entropies is None:
            raise InvalidValue(messages.not_a_classifier(self.outputs))
        return self._entropies

    @property
    def mutual_information(self) -> np.ndarray:
        """The entropy less the expected entropy, in nats: doubt by which samples differ.

        Reference: Houlsby, Huszár, Ghahramani, Lengyel (2011), Bayesian active learning for
        classification and preference learning.
        """
        # Rounding may leave it a little below the 0 that it is bounded by.
        return np.asarray(np.maximum(self.entropy - self.expected_entropy, 0.0))

    def calibration(self, y: Any, bins: int = 15) -> Calibration:
        """Return how well the probabilities agree with what happened.

        Parameters
        ----------
        y : array of int
            The true classes, of the shape of `classes`.
        bins : int
            How many bins of equal width the confidence is put into.

        Raises
        ------
        InvalidValue
            If the labels are not whole numbers, have another shape, or one is not a class.
        """
        return calibrate(self.probabilities, y, bins, self._axis)

    def plot(
        self, y: Any = None, *, x: Any = None, data: Any = None, ax: "Axes | None" = None
    ) -> "Axes":
        """Draw a regression of one output on one input: the mean, and bands around it.

        Bands are between the quantiles 0.05 and 0.95, and 0.25 and 0.75, or two and one standard
        deviations around the mean where those were not computed.

        Parameters
        ----------
        y : array, optional
            True values at the inputs, drawn as a line.
        x : array, optional
            The inputs, where the model's were not one number a sample.
        data : pair of arrays, optional
            Points to draw beside: what the model was trained on.
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default a new figure.

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
        from .plots import bands

        return bands(self, y, x, data, ax)

    def _repr_html_(self) -> str:
        """Return a short table, for notebooks."""
        rows = [("shape", str(self.mean.shape)), ("samples", str(len(self.steps)))]
        rows += [("seed", str(self.seed)), ("outputs", self.outputs)]
        means = {"standard deviation": self.std}
        if self._classes is not None:
            means |= {"entropy": self.entropy, "mutual information": self.mutual_information}
        rows += [(f"mean {name}", _mean(values)) for name, values in means.items()]
        return html.table(("prediction", "value"), rows)

    def __repr__(self) -> str:
        """Return the shape, the number of samples and the seed."""
        count = len(self.steps)
        samples = f"{count} sample{'s' if count > 1 else ''}"
        return f"<prediction of shape {self.mean.shape}, {samples}, seed {self.seed}>"


def assembled(
    parts: Sequence[Part], seed: int, steps: Sequence[int], x: np.ndarray | None
) -> Prediction:
    """Return the prediction of all rows from its parts."""
    summaries = [part.summary for part in parts]
    first = summaries[0]
    samples = [part.samples for part in parts if part.samples is not None]
    classifier = first.outputs != "values"
    return Prediction(
        mean=_joined([summary.values.mean for summary in summaries]),
        std=_joined([summary.values.std for summary in summaries]),
        steps=steps,
        seed=seed,
        outputs=first.outputs,
        samples=np.concatenate(samples, 1) if samples else None,
        x=x,
        _quantiles={
            level: _joined([part.quantiles[level] for part in parts])
            for level in parts[0].quantiles
        },
        _classes=_joined([s.classes.mean for s in summaries]) if classifier else None,
        _entropies=_joined([s.entropies.mean for s in summaries]) if classifier else None,
        _axis=first.class_axis,
    )


def _mean(values: np.ndarray) -> str:
    return f"{values.mean():.4g}" if values.size else ""


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
