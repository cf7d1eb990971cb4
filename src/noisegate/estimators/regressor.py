"""Regression by a network, and what an autoencoder shares with it."""

from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
import torch
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_array
from torch import nn

from .estimator import Estimator, as_array
from .examples import Examples
from .heads import ValuesHead
from .parameters import answer_keywords
from .predicting import Request, split_words
from .sizing import check_outputs


class NumericEstimator(Estimator):
    """Base of the estimators whose outputs are numbers."""

    _moments: Any = (0.0, 1.0)  # what the network's values lack of those of y

    def _make_head(self) -> ValuesHead:
        return ValuesHead(self.loss, self._one)

    def predict(
        self,
        X: Any,
        *,
        samples: int | None = None,
        return_std: bool = False,
        seed: int | None = None,
        existing: bool | None = None,
        **noise: Any,
    ) -> Any:
        """Return the network's outputs, in the shape of y; of an autoencoder, in that of X.

        Parameters
        ----------
        X : array of shape (rows, ...)
            Inputs.
        samples : int, optional
            Number of samples whose mean is returned. None means one pass: noisy if the call names
            noise, else clean. With samples and no noise named, that of the last training acts.
        return_std : bool
            Whether to return the standard deviation over the samples too.
        seed : int, optional
            Seed of the noise, in [0, 2⁶⁴); None draws one at each call.
        existing : bool, optional
            Whether the network's own dropouts act. None means True where the noise is that of the
            last training and the network has some, else False.
        **noise
            The noise of this prediction, by the keywords of `fit`.
        """
        request = self._ask("predict", X, noise, samples, return_std, seed, existing)
        return self._compute_values(request)

    def _compute_values(self, request: Request) -> Any:
        outputs = self._run_network(request).astype(np.float64)
        if self._one and outputs.shape[-1] == 1:
            outputs = outputs[..., 0]
        center, scale = self._moments
        return request.summarize(outputs * scale + center)

    def _score(self, X: Any, y: Any, sample_weight: Any, options: Any, average: str) -> float:
        noise, sampling = split_words(options)
        request = self._ask("score", X, noise, **sampling)
        values = self._compute_values(request)
        flat = [np.asarray(numbers).reshape(len(values), -1) for numbers in (y, values)]
        return float(r2_score(*flat, sample_weight=sample_weight, multioutput=average))


@answer_keywords
@dataclass(eq=False, repr=False)
class Regressor(RegressorMixin, NumericEstimator):  # type: ignore[misc]
    """A network that predicts numbers, with noise by name; arguments as in `Estimator`.

    The loss is the mean squared error.

    Parameters
    ----------
    network, and all others
        As in `Estimator`.
    normalize_y : bool or (float, float)
        Whether the network learns y less its mean, divided by its standard deviation, both of the
        first y or given as a pair. Losses and callbacks see these values; predictions have the
        unit of y.

    Examples
    --------
    >>> import numpy as np
    >>> from noisegate.estimators import Regressor
    >>> X = np.linspace(-1, 1, 200, dtype=np.float32)[:, None]
    >>> model = Regressor((None, 50, None), lr=0.01, random_state=13).fit(X, X[:, 0] ** 2)
    >>> mean, std = model.predict(X, samples=50, return_std=True, hidden_dropout=0.1, seed=1)
    >>> mean.shape, bool((std > 0).all())
    ((200,), True)
    """

    _: KW_ONLY
    normalize_y: bool | tuple[float, float] = False

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn asks about an estimator."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _check_examples(self, X: Any, y: Any, anew: bool) -> Examples:
        x = self._check_inputs(X, reset=anew, y=y)
        # float64 until a mean is subtracted, which may be large.
        kind = np.float64 if self.normalize_y else np.float32
        y = check_array(as_array(y), ensure_2d=False, allow_nd=True, dtype=kind, input_name="y")
        if anew:
            self._one = y.ndim == 1  # so predictions get no second axis either
            self._moments = self._find_moments(y)
        if self.normalize_y:
            center, scale = self._moments
            y = ((y - center) / scale).astype(np.float32)
        return Examples(x, torch.from_numpy(y[:, None] if y.ndim == 1 else y))

    def _find_moments(self, y: np.ndarray) -> tuple[Any, Any]:
        """Return the center and the scale of y: 0 and 1 where it is not normalized."""
        if isinstance(self.normalize_y, tuple):
            return self.normalize_y
        if not self.normalize_y:
            return (0.0, 1.0)
        scale = y.std(axis=0)
        return y.mean(axis=0), np.where(scale == 0, 1.0, scale)

    def _build(self, examples: Examples) -> nn.Module:
        count = examples.targets.shape[-1]
        model = self._make_network(examples.inputs, count)
        check_outputs(model, (count,), count)
        return model

    def score(self, X: Any, y: Any, sample_weight: Any = None, **options: Any) -> float:
        """Return R², the share of y's variance that is explained; `options` as in `predict`."""
        return self._score(X, y, sample_weight, options, "uniform_average")
