"""Codes of inputs, by a network that gives them back."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import nn

from noisegate.core.errors import InvalidValue

from .. import messages
from ..building import check_outputs
from ..layer import Layer
from ..network import Network
from ..noising import Noises
from ..outputs import Places
from ..trainer import Rows
from .regressor import Values


class Autoencoder(TransformerMixin, Values):  # type: ignore[misc]
    """A network that learns to give its input back, through a code; arguments as of `Estimator`.

    The code is the output of the narrowest hidden layer, the first of several: of sizes
    (None, 100, None) of the one with 100 units. With `input_noise` or `input_dropout` the network
    learns to take noise away: the target is the clean input.

    Parameters
    ----------
    network, and all others
        As of `Estimator`.
    code : str, optional
        Which output is the code, as ``hid1:out``; it must be given for a module of the user's.

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

    def __init__(
        self,
        network: Any = (None, 100, None),
        *,
        code: str | None = None,
        activation: Any = "relu",
        loss: Any = None,
        optimizer: Any = torch.optim.Adam,
        lr: float = 1e-3,
        batch_size: int = 32,
        max_epochs: int = 100,
        input_dropout: Any = 0,
        hidden_dropout: Any = 0,
        output_dropout: Any = 0,
        input_noise: Any = 0,
        hidden_noise: Any = 0,
        output_noise: Any = 0,
        dropout: Mapping[str, Any] | None = None,
        noise: Mapping[str, Any] | None = None,
        regularizers: Any = None,
        validation_split: float | None = None,
        early_stopping: int | None = None,
        checkpoint: Any = None,
        resume: bool = False,
        callbacks: Any = None,
        random_state: Any = None,
        device: str = "cpu",
        verbose: int = 0,
    ) -> None:
        given = {n: v for n, v in locals().items() if n not in ("self", "code", "__class__")}
        super().__init__(**given)
        self.code = code

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
        model = self._network_of(rows, count, "X")
        check_outputs(model, (count,), count, "X")
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
        return self._predicted(X, "predict", noise, samples, return_std, seed, existing)

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
        place = self._code_place()
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

    def _code_place(self) -> str:
        """Return the name of the output that is the code."""
        model = self.network_
        known = Places(model).sites
        if self.code is not None:
            if self.code not in known:
                raise InvalidValue(messages.no_code(self.code, list(known)))
            return self.code
        layers = model.layers if isinstance(model, Network) else {}
        hidden = [site.partition(":")[0] for site in getattr(model, "roles", {}).get("hidden", ())]
        if not hidden:
            raise InvalidValue(messages.no_code(None, list(known)))
        narrowest = min(hidden, key=lambda name: (_width(layers[name]), hidden.index(name)))
        return f"{narrowest}:out"

    @property
    def _n_features_out(self) -> int:
        name = self._code_place().partition(":")[0]
        layers: Any = getattr(self.network_, "layers", {})
        return _width(layers[name])

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return names of the code's numbers."""
        check_is_fitted(self)
        return np.asarray([f"code{i}" for i in range(self._n_features_out)], dtype=object)


def _width(layer: Layer) -> int:
    shape = layer.output_shape or ()
    return int(np.prod([extent or 1 for extent in shape[1:]]))
