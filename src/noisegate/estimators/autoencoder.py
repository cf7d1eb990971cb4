"""Codes of inputs, by a network that reproduces them."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
import torch
from sklearn.base import TransformerMixin
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted
from torch import Tensor, nn

from noisegate.core.errors import InvalidValue
from noisegate.core.words import got, list_names
from noisegate.nets.adapters import Input
from noisegate.nets.layer import Layer
from noisegate.nets.network import Network
from noisegate.nets.outputs import Places

from .estimator import as_array
from .examples import Examples, to_dense
from .parameters import answer_keywords
from .predicting import Request
from .regressor import NumericEstimator
from .sizing import check_outputs


@answer_keywords
@dataclass(eq=False, repr=False)
class Autoencoder(TransformerMixin, NumericEstimator):  # type: ignore[misc]
    """A network that learns to reproduce its input from a code; arguments as in `Estimator`.

    The code is the output of the narrowest hidden layer, the first if there are several: for sizes
    (None, 100, None), that of 100 units. With `input_noise` or `input_dropout` the network learns
    to remove noise, since its target is the clean input.

    Parameters
    ----------
    network, and all others
        As in `Estimator`.
    code : str, optional
        The output that is the code, such as ``hid1:out``. A module of the user's needs it.

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

    _: KW_ONLY
    code: str | None = None

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn asks about an estimator."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def _check_examples(self, X: Any, y: Any = None, anew: bool = True) -> Examples:
        x = self._check_inputs(X, reset=anew)
        if anew:
            self._row_shape = tuple(x.shape[1:])
        return Examples(x, x)

    def _build(self, examples: Examples) -> nn.Module:
        count = examples.inputs.shape[-1]
        model = self._make_network(examples.inputs, count, "X")
        check_outputs(model, (count,), count, "X")
        return model

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
        """Return the code of each row, (rows, code); arguments as in `Regressor.predict`."""
        request = self._ask("transform", X, noise, samples, return_std, seed, existing)
        return self._compute_codes(request, self._find_code(Places(self.network_).sites))

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
            A layer's name, such as ``hid1``; its number, 0 for the input and -1 for the last; or
            an output, such as ``hid1:pre``. None is the code, as in `transform`.
        samples, return_std, seed, existing, **noise
            As in `Regressor.predict`.

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
        request = self._ask("encode", X, noise, samples, return_std, seed, existing)
        outputs = Places(self.network_).sites
        with self._prefix("encode"):
            place = self._find_place(layer, outputs)
        return self._compute_codes(request, place)

    def decode(
        self, code: Any, layer: str | int | None = None, *, seed: int | None = None, **noise: Any
    ) -> np.ndarray:
        """Return the network's output where a layer gives `code`, of shape (rows, ...).

        Parameters
        ----------
        code : array of shape (rows, ...)
            What `encode` returns for this layer.
        layer : str or int, optional
            As in `encode`.
        seed : int, optional
            Seed of the noise, in [0, 2⁶⁴); None draws one.
        **noise
            The noise of this call behind the layer, by the keywords of `fit`.

        Raises
        ------
        InvalidValue
            If the layer is unknown, its output has another shape, or the network's output depends
            on X by other ways too.
        """
        check_is_fitted(self)
        z = torch.as_tensor(np.array(as_array(code), dtype=np.float32)).to(self._device)
        request, places = Request(z, noise, seed=seed), Places(self.network_)
        with self._prefix("decode"):
            place = self._find_place(layer, places.sites)
            request.check()
        # NaN spoils whatever it reaches, and so shows whether the output depends on X as well.
        x = torch.full((len(z), *self._row_shape), torch.nan, device=self._device)

        def replace(output: Tensor) -> Tensor:
            if output.shape != z.shape:
                raise InvalidValue(
                    f"Autoencoder.decode: `code` must be of shape {tuple(output.shape)}, what this "
                    f"layer gives; got {tuple(z.shape)}."
                )
            return z

        undo = places.attach(place, replace)
        try:
            self.network_.eval()
            with self._open_session(request), torch.no_grad():
                outputs = self.network_(x).cpu().numpy()
        finally:
            undo()
        if np.isnan(outputs).any() and not torch.isnan(z).any():
            raise InvalidValue(
                f"Autoencoder.decode: the output depends on X by other ways than {place!r}, so "
                "that this code alone decides nothing. Give a layer that all ways lead through."
            )
        return np.asarray(outputs, dtype=np.float64)

    def _compute_codes(self, request: Request, place: str) -> Any:
        return request.summarize(
            np.stack([values[place] for values in self._record_passes(request)])
        )

    def score(self, X: Any, y: Any = None, **options: Any) -> float:
        """Return the share of X's variance that is reproduced; `options` as in `predict`."""
        x = self._check_inputs(X, reset=False)
        return self._score(X, to_dense(x, "cpu").numpy(), None, options, "variance_weighted")

    def _find_place(self, layer: str | int | None, outputs: Mapping[str, str]) -> str:
        """Return which of the outputs a layer's name or number means."""
        if layer is None:
            return self._find_code(outputs)
        network = self.network_
        layers = network.layers if isinstance(network, Network) else {}
        names = list(layers)
        if names and not isinstance(layers[names[0]], Input):
            names.insert(0, "in")
        name: object = layer
        if not isinstance(layer, str | bool):
            name = names[layer] if -len(names) <= layer < len(names) else None
        for place in (f"{name}:out", str(name)):
            if place in outputs:
                return place
        raise InvalidValue(
            f"`layer` must be a layer's name or number, or an output; {got(layer)}. "
            f"Known are {list_names(outputs)}."
        )

    def _find_code(self, outputs: Mapping[str, str]) -> str:
        """Return which of the outputs is the code."""
        model = self.network_
        if self.code in outputs:
            return str(self.code)
        layers = model.layers if isinstance(model, Network) else {}
        hidden = [site.partition(":")[0] for site in getattr(model, "roles", {}).get("hidden", ())]
        if self.code is not None or not hidden:
            fault = f"must be an output; {got(self.code)}"
            if self.code is None:
                fault = "is needed for this network"
            sentence = f"`code` {fault}. Give one of {list_names(outputs)}."
            raise InvalidValue(sentence).prefix("Autoencoder")
        narrowest = min(hidden, key=lambda name: (_count_units(layers[name]), hidden.index(name)))
        return f"{narrowest}:out"

    @property
    def _n_features_out(self) -> int:
        name = self._find_code(Places(self.network_).sites).partition(":")[0]
        layers: Any = getattr(self.network_, "layers", {})
        return _count_units(layers[name])

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return names of the code's numbers; `input_features` must be None or those of X."""
        check_is_fitted(self)
        _check_feature_names_in(self, input_features)
        return np.asarray([f"code{i}" for i in range(self._n_features_out)], dtype=object)


def _count_units(layer: Layer) -> int:
    shape = layer.output_shape or ()
    return int(np.prod([extent or 1 for extent in shape[1:]]))
