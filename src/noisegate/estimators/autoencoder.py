"""Codes of inputs, by a network that gives them back."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from sklearn.base import TransformerMixin
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted
from torch import Tensor, nn

from noisegate.core.errors import InvalidValue
from noisegate.nets import messages
from noisegate.nets.adapters import Input
from noisegate.nets.layer import Layer
from noisegate.nets.network import Network
from noisegate.nets.outputs import Places

from .base import as_array
from .predicting import drawn_seed, steps_of
from .regressor import Values
from .rows import Rows, dense
from .session import Noises, Session
from .sizing import check_outputs


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
    >>> from noisegate.estimators import Autoencoder
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
        if anew:
            self._row_shape = tuple(x.shape[1:])
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
        existing: bool | None = None,
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
        existing: bool | None = None,
        **noise: Any,
    ) -> Any:
        """Return the code of each row, (rows, code); arguments as of `Regressor.predict`."""
        return self._codes(X, "transform", None, noise, samples, return_std, seed, existing)

    def encode(
        self,
        X: Any,
        layer: str | int | None = None,
        *,
        samples: int | None = None,
        return_std: bool = False,
        seed: int | None = None,
        existing: bool | None = None,
        **noise: Any,
    ) -> Any:
        """Return the output of a layer for each row, of shape (rows, ...).

        Parameters
        ----------
        X : array of shape (rows, ...)
            Inputs.
        layer : str or int, optional
            A layer's name, as ``hid1``; its number, from 0 for the input, or from -1 for the
            last; or an output, as ``hid1:pre``. None is the code, as of `transform`.
        samples, return_std, seed, existing, **noise
            As of `Regressor.predict`.

        Examples
        --------
        >>> import numpy as np
        >>> from noisegate.estimators import Autoencoder
        >>> X = np.eye(6, dtype=np.float32)
        >>> model = Autoencoder((None, 4, 2, 4, None), max_epochs=1, random_state=13).fit(X)
        >>> model.encode(X).shape, model.encode(X, "hid1").shape
        ((6, 2), (6, 4))
        >>> bool((model.decode(model.encode(X, 1), 1) == model.predict(X)).all())
        True
        """
        return self._codes(X, "encode", layer, noise, samples, return_std, seed, existing)

    def decode(
        self, code: Any, layer: str | int | None = None, *, seed: int | None = None, **noise: Any
    ) -> np.ndarray:
        """Return the network's output where a layer gives `code`, of shape (rows, ...).

        Parameters
        ----------
        code : array of shape (rows, ...)
            What `encode` returns for this layer.
        layer : str or int, optional
            As of `encode`; the input does not matter.
        seed : int, optional
            Of the noise, in [0, 2⁶⁴); None draws one.
        **noise
            As of `fit`: what acts in this call, behind the layer.

        Raises
        ------
        InvalidValue
            If the layer is not known, its output is of another shape, or the network's output
            depends on X by other ways too.
        """
        check_is_fitted(self)
        place = self._place("decode", layer)
        noises = Noises.of("Autoencoder.decode", noise)
        z = torch.as_tensor(np.array(as_array(code), dtype=np.float32)).to(self._device)
        # An input that spoils whatever it reaches: the output must not depend on it.
        x = torch.full((len(z), *self._row_shape), torch.nan, device=self._device)

        def replace(known: Tensor) -> Tensor:
            if known.shape != z.shape:
                raise InvalidValue(messages.other_code(tuple(z.shape), tuple(known.shape)))
            return z

        undo = Places(self.network_).attach(place, replace)
        try:
            self.network_.eval()
            drawn = drawn_seed("Autoencoder.decode", seed)
            with Session(self.network_, noises, drawn, always=True), torch.no_grad():
                outputs = self.network_(x).cpu().numpy()
        finally:
            undo()
        if np.isnan(outputs).any() and not torch.isnan(z).any():
            raise InvalidValue(messages.code_passed_by(place))
        return np.asarray(outputs, dtype=np.float64)

    def _codes(
        self,
        X: Any,
        who: str,
        layer: str | int | None,
        noise: Mapping[str, Any],
        samples: int | None,
        return_std: bool,
        seed: int | None,
        existing: bool | None,
    ) -> Any:
        check_is_fitted(self)
        place, full = self._place(who, layer), f"Autoencoder.{who}"
        x = dense(self._inputs(X, reset=False).to(self._device))
        noises, existing = self._noises_of(full, noise, samples, existing, x)
        if return_std and samples is None:
            raise InvalidValue(messages.need_samples(full))
        if samples is not None and not noises.acts and not existing:
            raise InvalidValue(messages.need_noise(full))
        steps = (0,) if samples is None else steps_of(samples)
        passes = self._passes(x, noises, drawn_seed(full, seed), steps, existing)
        codes = np.stack([outputs[place] for outputs in passes])
        if samples is None:
            return codes[0]
        mean = codes.mean(axis=0)
        return (mean, codes.std(axis=0)) if return_std else mean

    def score(self, X: Any, y: Any = None, **asked: Any) -> float:
        """Return the share of the inputs' variance that is given back; `asked` as of `predict`."""
        x = self._inputs(X, reset=False)
        return self._score(X, dense(x).numpy(), None, asked, "variance_weighted")

    def _place(self, who: str, layer: str | int | None) -> str:
        """Return the name of the output that a layer's name or number means."""
        if layer is None:
            return self._code_place()
        known, network = Places(self.network_).sites, self.network_
        layers = network.layers if isinstance(network, Network) else {}
        names = list(layers)
        if names and not isinstance(layers[names[0]], Input):
            names.insert(0, "in")
        name: object = layer
        if not isinstance(layer, str | bool):
            name = names[layer] if -len(names) <= layer < len(names) else None
        for place in (f"{name}:out", str(name)):
            if place in known:
                return place
        raise InvalidValue(messages.no_such_output(f"Autoencoder.{who}", layer, list(known)))

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
        """Return names of the code's numbers; `input_features`, if given, must be those of X."""
        check_is_fitted(self)
        _check_feature_names_in(self, input_features)
        return np.asarray([f"code{i}" for i in range(self._n_features_out)], dtype=object)


def _width(layer: Layer) -> int:
    shape = layer.output_shape or ()
    return int(np.prod([extent or 1 for extent in shape[1:]]))
