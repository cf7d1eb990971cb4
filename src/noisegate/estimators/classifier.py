"""Classification by a network."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import assert_all_finite, check_array, column_or_1d
from torch import nn

from noisegate.core import checks
from noisegate.core.errors import InvalidValue, prefix_errors
from noisegate.nets import messages

from .base import Estimator, as_array
from .heads import OUTPUTS, Head
from .predicting import parted
from .rows import Rows, dense
from .sizing import check_outputs, is_sizes


class Classifier(ClassifierMixin, Estimator):  # type: ignore[misc]
    """A network that tells classes, with noise by name; arguments as of `Estimator`.

    A network that ends in `Linear` is trained as logits, in `Softmax` as probabilities, and in
    one `Sigmoid` unit as one of two classes, the last two from their pre-activation. Networks of
    sizes end in logits, so that ``*:out`` never puts noise on probabilities.

    Parameters
    ----------
    network, and all others
        As of `Estimator`.
    output : {"logits", "probabilities"}, optional
        What the network returns; by default what its last layer says, and logits for a module of
        the user's.
    class_weight : dict of label to weight, "balanced", or None
        What rows of each class count for in the loss, in training and validation; "balanced" is
        by the inverse of how often the classes are in the first y. Times `sample_weight`, where
        both are given.

    Attributes
    ----------
    classes_ : array
        The classes, sorted.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from noisegate.estimators import Classifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = Classifier((None, 16, None), lr=0.01, max_epochs=50, random_state=13)
    >>> model.fit(X, y, hidden_dropout=0.2).score(X, y) > 0.9
    True
    """

    def __init__(
        self,
        network: Any = (None, 100, None),
        *,
        output: str | None = None,
        class_weight: Any = None,
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
        given = dict(locals())
        for name in ("self", "output", "class_weight", "__class__"):
            del given[name]
        super().__init__(**given)
        self.output = output
        self.class_weight = class_weight

    def partial_fit(
        self,
        X: Any,
        y: Any = None,
        classes: Any = None,
        sample_weight: Any = None,
        *,
        validation_data: Any = None,
        **noise: Any,
    ) -> Self:
        """Train on for `max_epochs` epochs, with the weights and the optimizer of before.

        Parameters
        ----------
        X, y, sample_weight, validation_data, **noise
            As of `fit`.
        classes : array, optional
            All classes, where y of the first call does not have each of them.
        """
        if not hasattr(self, "net_"):
            self._announced = None if classes is None else np.unique(classes)
        words = {"sample_weight": sample_weight, "validation_data": validation_data}
        return super().partial_fit(X, y, **words, **noise)

    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        validation_data: Any = None,
        **noise: Any,
    ) -> Self:
        """Train a network anew; as of `Estimator.fit`, with y of shape (rows,)."""
        self._announced = None
        return super().fit(X, y, sample_weight, validation_data=validation_data, **noise)

    def _rows(self, X: Any, y: Any, anew: bool) -> Rows:
        if self.output is not None:
            with prefix_errors("Classifier"):
                checks.one_of(*OUTPUTS)("output", self.output)
        x = self._inputs(X, reset=anew, y=y)
        y = np.asarray(as_array(y))
        if y.ndim > 1 and y.shape[1:] != (1,):
            if is_sizes(self.network):
                raise InvalidValue(messages.one_label(y.shape))
            y = check_array(y, ensure_2d=False, allow_nd=True, dtype=None)
        else:
            y = column_or_1d(y, warn=True)
        assert_all_finite(y, input_name="y")
        check_classification_targets(y.ravel())
        if anew:
            known = np.unique(y) if self._announced is None else self._announced
            if len(known) < 2:
                raise InvalidValue(messages.one_class(known.tolist()[0]))
            self.classes_ = known
        places = np.searchsorted(self.classes_, y).clip(max=len(self.classes_) - 1)
        strange = np.unique(y[self.classes_[places] != y]).tolist()
        if strange:
            raise InvalidValue(messages.new_classes(strange, self.classes_.tolist()))
        return Rows(x, torch.as_tensor(places))

    def _weighted_rows(self, data: Sequence[Any], anew: bool) -> Rows:
        rows = super()._weighted_rows(data, anew)
        if self.class_weight is None:
            return rows
        places = dense(rows.targets)
        if anew:
            words = {"classes": self.classes_, "y": self.classes_[places].ravel()}
            self._of_classes = compute_class_weight(self.class_weight, **words)
        found = torch.from_numpy(self._of_classes.astype(np.float32))[places]
        if rows.weights is not None:
            found = found * rows.weights.reshape(-1, *[1] * (found.ndim - 1))
        return Rows(rows.inputs, places, found)

    def _build(self, rows: Rows) -> nn.Module:
        count = len(self.classes_)
        model = self._network_of(rows, count)
        check_outputs(model, (count, 1) if count == 2 else (count,), f"{count} classes")
        return model

    def _head(self) -> Head:
        return Head(self.network_, self.classes_, self.output, self.loss)

    def predict_proba(
        self,
        X: Any,
        *,
        samples: int | None = None,
        return_std: bool = False,
        seed: int | None = None,
        existing: bool | None = None,
        **noise: Any,
    ) -> Any:
        """Return the probability of each class, shape (rows, classes).

        Parameters
        ----------
        X : array of shape (rows, ...)
            Inputs.
        samples : int, optional
            How many samples of the noise the mean is of; None is one noisy pass, or a clean one
            where no noise is given. With samples the noise is that of the last training, unless
            the call names some.
        return_std : bool
            Whether the standard deviation over the samples is returned too.
        seed : int, optional
            Of the noise, in [0, 2⁶⁴); None draws one at each call.
        existing : bool, optional
            Whether the network's own dropouts act; None is as in training where the noise is,
            and else False.
        **noise
            As of `fit`: what acts in this prediction.
        """
        asked = (samples, return_std, seed, existing)
        return self._probabilities(X, "predict_proba", noise, *asked)

    def _probabilities(
        self,
        X: Any,
        who: str,
        noise: Mapping[str, Any],
        samples: int | None = None,
        return_std: bool = False,
        seed: int | None = None,
        existing: bool | None = None,
    ) -> Any:
        if return_std and samples is None:
            raise InvalidValue(messages.need_samples(f"Classifier.{who}"))
        outputs = self._outputs(X, who, noise, samples, seed, existing)
        found = self._head().probabilities(outputs)
        if samples is None:
            return found
        mean = found.mean(axis=0)
        return (mean, found.std(axis=0)) if return_std else mean

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
        """Return the class of the highest probability, shape (rows,).

        Arguments are those of `predict_proba`; the standard deviation is that of the probability
        of the class that is returned.
        """
        asked = (samples, return_std, seed, existing)
        found = self._probabilities(X, "predict", noise, *asked)
        mean = found[0] if return_std else found
        best = mean.argmax(axis=-1)
        labels = self.classes_[best]
        if not return_std:
            return labels
        return labels, np.take_along_axis(found[1], best[..., None], axis=-1)[..., 0]

    def score(self, X: Any, y: Any, sample_weight: Any = None, **asked: Any) -> float:
        """Return the share of rows whose class is right; `asked` as of `predict_proba`."""
        noise, sampling = parted(asked)
        found = self._probabilities(X, "score", noise, **sampling)
        labels = self.classes_[found.argmax(axis=-1)]
        return float(accuracy_score(y, labels, sample_weight=sample_weight))
