"""Regression by a network, and what an autoencoder shares with it."""

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
from .predicting import Request, split_words
from .sizing import check_outputs


class NumericEstimator(Estimator):
    """Base of the estimators whose outputs are numbers."""

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
        return request.summarize(outputs)

    def _score(self, X: Any, y: Any, sample_weight: Any, options: Any, average: str) -> float:
        noise, sampling = split_words(options)
        request = self._ask("score", X, noise, **sampling)
        values = self._compute_values(request)
        flat = [np.asarray(numbers).reshape(len(values), -1) for numbers in (y, values)]
        return float(r2_score(*flat, sample_weight=sample_weight, multioutput=average))


class Regressor(RegressorMixin, NumericEstimator):  # type: ignore[misc]
    """A network that predicts numbers, with noise by name; arguments as in `Estimator`.

    The loss is the mean squared error.

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

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn asks about an estimator."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _check_examples(self, X: Any, y: Any, anew: bool) -> Examples:
        x = self._check_inputs(X, reset=anew, y=y)
        y = as_array(y)
        y = check_array(y, ensure_2d=False, allow_nd=True, dtype=np.float32, input_name="y")
        if anew:
            self._one = y.ndim == 1  # so predictions get no second axis either
        return Examples(x, torch.as_tensor(y[:, None] if y.ndim == 1 else y))

    def _build(self, examples: Examples) -> nn.Module:
        count = examples.targets.shape[-1]
        model = self._make_network(examples.inputs, count)
        check_outputs(model, (count,), count)
        return model

    def score(self, X: Any, y: Any, sample_weight: Any = None, **options: Any) -> float:
        """Return R², the share of y's variance that is explained; `options` as in `predict`."""
        return self._score(X, y, sample_weight, options, "uniform_average")
