"""Regression, and the learning of codes, by a network."""

from typing import Any

import numpy as np
import torch
from sklearn.base import RegressorMixin, TransformerMixin
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_array, check_is_fitted
from torch import nn

from noisegate.core.errors import InvalidValue

from .. import messages
from ..building import check_outputs
from ..heads import ValuesHead
from ..layer import Layer
from ..network import Network
from ..noising import Noises
from ..trainer import Rows
from .base import Estimator, as_array


class Values(Estimator):
    """What estimators of numbers share."""

    def _head(self) -> ValuesHead:
        return ValuesHead(self.loss, self._one)

    def _predicted(
        self,
        X: Any,
        noise: Any,
        samples: int | None,
        return_std: bool,
        seed: int | None,
        existing: bool,
    ) -> Any:
        who = f"{type(self).__name__}.predict"
        if return_std and samples is None:
            raise InvalidValue(messages.need_noise(who))
        outputs = self._outputs(X, "predict", noise, samples, seed, existing).astype(np.float64)
        if self._one and outputs.shape[-1] == 1:
            outputs = outputs[..., 0]
        if samples is None:
            return outputs
        mean = outputs.mean(axis=0)
        return (mean, outputs.std(axis=0)) if return_std else mean

    def _score(self, X: Any, y: Any, sample_weight: Any, asked: Any, average: str) -> float:
        words = dict(asked)
        sampling = [words.pop(word, None) for word in ("samples", "seed", "existing")]
        samples, seed, existing = sampling
        found = self._predicted(X, words, samples, False, seed, bool(existing))
        flat = [np.asarray(values).reshape(len(found), -1) for values in (y, found)]
        return float(r2_score(*flat, sample_weight=sample_weight, multioutput=average))


class Regressor(RegressorMixin, Values):  # type: ignore[misc]
    """A network that tells numbers, with noise by name; arguments as of `Estimator`.

    The loss is the mean squared error.

    Examples
    --------
    >>> import numpy as np
    >>> from noisegate.nets import Regressor
    >>> X = np.linspace(-1, 1, 200, dtype=np.float32)[:, None]
    >>> model = Regressor((None, 50, None), lr=0.01, random_state=13).fit(X, X[:, 0] ** 2)
    >>> mean, std = model.predict(X, samples=50, return_std=True, hidden_dropout=0.1, seed=1)
    >>> mean.shape, bool((std > 0).all())
    ((200,), True)
    """

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn is to know."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _rows(self, X: Any, y: Any, anew: bool) -> Rows:
        x = self._inputs(X, reset=anew, y=y)
        y = as_array(y)
        y = check_array(y, ensure_2d=False, allow_nd=True, dtype=np.float32, input_name="y")
        if anew:
            self._one = y.ndim == 1
        return Rows(x, torch.as_tensor(y[:, None] if y.ndim == 1 else y))

    def _build(self, rows: Rows) -> nn.Module:
        count = rows.targets.shape[-1]
        model = self._network_of(rows, count)
        check_outputs(model, (count,), count)
        return model

    def predict(
        self,
        X: Any,
        *,
        samples: int | None = None,
        return_std: bool = False,
        seed: int | None = None,
        existing: bool = False,
        **noise: Any,
    ) -> Any:
        """Return the outputs, of the shape of y.

        Parameters
        ----------
        X : array of shape (rows, ...)
            Inputs.
        samples : int, optional
            How many samples of the noise the mean is of; None is one noisy pass, or a clean one
            where no noise is given.
        return_std : bool
            Whether the standard deviation over the samples is returned too.
        seed : int, optional
            Of the noise, in [0, 2⁶⁴); None draws one at each call.
        existing : bool
            Whether the network's own dropouts act.
        **noise
            As of `fit`: what acts in this prediction.
        """
        return self._predicted(X, noise, samples, return_std, seed, existing)

    def score(self, X: Any, y: Any, sample_weight: Any = None, **asked: Any) -> float:
        """Return R², the share of the variance that is told; `asked` as of `predict`."""
        return self._score(X, y, sample_weight, asked, "uniform_average")


class Autoencoder(TransformerMixin, Values):  # type: ignore[misc]
    """A network that learns to give its input back, through a code; arguments as of `Estimator`.

    The code is the output of the middle layer: of sizes (None, 100, None) of the one with 100
    units. With `input_noise` or `input_dropout` the network learns to take noise away: the target
    is the clean input.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from noisegate.nets import Autoencoder
    >>> X, _ = load_iris(return_X_y=True)
    >>> model = Autoencoder((None, 2, None), max_epochs=5, random_state=13)
    >>> model.fit_transform(X, input_noise=0.1).shape
    (150, 2)
    """

    _one = False

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn is to know."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def _rows(self, X: Any, y: Any = None, anew: bool = True) -> Rows:
        x = self._inputs(X, reset=anew)
        return Rows(x, x)

    def _build(self, rows: Rows) -> nn.Module:
        count = rows.inputs.shape[-1]
        model = self._network_of(rows, count)
        check_outputs(model, (count,), count)
        return model

    def predict(
        self,
        X: Any,
        *,
        samples: int | None = None,
        return_std: bool = False,
        seed: int | None = None,
        existing: bool = False,
        **noise: Any,
    ) -> Any:
        """Return the inputs as the network gives them back; arguments as of `Regressor.predict`."""
        return self._predicted(X, noise, samples, return_std, seed, existing)

    def transform(
        self,
        X: Any,
        *,
        samples: int | None = None,
        return_std: bool = False,
        seed: int | None = None,
        **noise: Any,
    ) -> Any:
        """Return the code of each row, (rows, code); arguments as of `Regressor.predict`."""
        check_is_fitted(self)
        place = f"{self._code_layer()}:out"
        if samples is None and not return_std:
            return next(self._passes(X, "transform", noise, seed, 1))[place]
        if samples is None or Noises.of("Autoencoder.transform", noise).empty:
            raise InvalidValue(messages.need_noise("Autoencoder.transform"))
        passes = self._passes(X, "transform", noise, seed, samples)
        codes = np.stack([outputs[place] for outputs in passes])
        mean = codes.mean(axis=0)
        return (mean, codes.std(axis=0)) if return_std else mean

    encode = transform

    def score(self, X: Any, y: Any = None, **asked: Any) -> float:
        """Return the share of the inputs' variance that is given back; `asked` as of `predict`."""
        x = self._inputs(X, reset=False)
        return self._score(X, x.numpy(), None, asked, "variance_weighted")

    def _code_layer(self) -> str:
        """Return the name of the layer whose output is the code: the middle one with weights."""
        model = self.network_
        if not isinstance(model, Network):
            raise InvalidValue(messages.no_code(type(model).__name__))
        hidden = [site.partition(":")[0] for site in model.roles["hidden"]]
        if not hidden:
            raise InvalidValue(messages.no_code(repr(model)))
        return min(hidden, key=lambda name: (_width(model.layers[name]), hidden.index(name)))

    @property
    def _n_features_out(self) -> int:
        layers: Any = self.network_.layers
        return _width(layers[self._code_layer()])

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return names of the code's numbers."""
        check_is_fitted(self)
        return np.asarray([f"code{i}" for i in range(self._n_features_out)], dtype=object)


def _width(layer: Layer) -> int:
    shape = layer.output_shape or ()
    return int(np.prod([extent or 1 for extent in shape[1:]]))
