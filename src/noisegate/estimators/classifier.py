"""Classification by a network."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
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

from .estimator import Estimator, as_array
from .examples import Examples
from .heads import OUTPUTS, Head
from .parameters import answer_keywords
from .predicting import Request, split_words
from .sizing import check_outputs, is_sizes


@answer_keywords
@dataclass(eq=False, repr=False)
class Classifier(ClassifierMixin, Estimator):  # type: ignore[misc]
    """A network that predicts classes, with noise by name; arguments as in `Estimator`.

    The last layer decides how the network is trained: `Linear` gives logits, `Softmax`
    probabilities, one `Sigmoid` unit the probability of the second of two classes. The last two
    are trained from their pre-activation. Networks of sizes end in logits, so that ``*:out`` never
    puts noise on probabilities.

    Parameters
    ----------
    network, and all others
        As in `Estimator`.
    output : {"logits", "probabilities"}, optional
        What the network returns; by default what its last layer says, and logits for a module of
        the user's.
    class_weight : dict of label to weight, "balanced", or None
        Weight of the rows of each class in the loss, in training and validation; "balanced" is
        the inverse of each class's frequency in the first y. It multiplies `sample_weight`.

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

    _: KW_ONLY
    output: str | None = None
    class_weight: Any = None

    _announced = None  # the `classes` of a `partial_fit` while it runs

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
        """Train for `max_epochs` more epochs, from the last weights and optimizer state.

        Parameters
        ----------
        X, y, sample_weight, validation_data, **noise
            As in `fit`.
        classes : array, optional
            All classes, where the y of the first call lacks some.
        """
        words = {"sample_weight": sample_weight, "validation_data": validation_data, **noise}
        self._announced = None if classes is None else np.unique(classes)
        try:
            return super().partial_fit(X, y, **words)
        finally:
            self._announced = None

    def _check_examples(self, X: Any, y: Any, anew: bool) -> Examples:
        if self.output is not None:
            with prefix_errors("Classifier"):
                checks.make_choice_check(*OUTPUTS)("output", self.output)
        x = self._check_inputs(X, reset=anew, y=y)
        y = np.asarray(as_array(y))
        if y.ndim > 1 and y.shape[1:] != (1,):
            if is_sizes(self.network):
                raise InvalidValue(
                    "Classifier: y must be of shape (rows,), one label for each row; got "
                    f"{y.shape}. A y of one column for each class is y.argmax(axis=1)."
                )
            y = check_array(y, ensure_2d=False, allow_nd=True, dtype=None)
        else:
            y = column_or_1d(y, warn=True)
        assert_all_finite(y, input_name="y")
        check_classification_targets(y.ravel())
        if anew:
            classes = np.unique(y) if self._announced is None else self._announced
            if len(classes) < 2:
                raise InvalidValue(
                    "Classifier: y must have at least two classes; got one class, "
                    f"{classes.tolist()[0]!r}."
                )
            self.classes_ = classes
        # Unknown labels get the place of a neighbour, and are found by comparing.
        places = np.searchsorted(self.classes_, y).clip(max=len(self.classes_) - 1)
        strange = np.unique(y[self.classes_[places] != y]).tolist()
        if strange:
            raise InvalidValue(
                f"Classifier: y has {strange}, which are none of the classes of before, "
                f"{self.classes_.tolist()}."
            )
        return Examples(x, torch.from_numpy(places))

    def _weigh_examples(self, data: Sequence[Any], anew: bool) -> Examples:
        examples = super()._weigh_examples(data, anew)
        if self.class_weight is None:
            return examples
        places = examples.targets
        if anew:
            words = {"classes": self.classes_, "y": self.classes_[places].ravel()}
            self._class_weights = compute_class_weight(self.class_weight, **words)
        weights = torch.from_numpy(self._class_weights.astype(np.float32))[places]
        if examples.weights is not None:
            weights = weights * examples.weights.reshape(-1, *[1] * (weights.ndim - 1))
        return Examples(examples.inputs, places, weights)

    def _build(self, examples: Examples) -> nn.Module:
        count = len(self.classes_)
        model = self._make_network(examples.inputs, count)
        check_outputs(model, (count, 1) if count == 2 else (count,), f"{count} classes")
        return model

    def _make_head(self) -> Head:
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
        request = self._ask("predict_proba", X, noise, samples, return_std, seed, existing)
        return self._compute_probabilities(request)

    def _compute_probabilities(self, request: Request) -> Any:
        return request.summarize(self._make_head().probabilities(self._run_network(request)))

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

        Arguments are those of `predict_proba`. The standard deviation is that of the returned
        class's probability.
        """
        request = self._ask("predict", X, noise, samples, return_std, seed, existing)
        answer = self._compute_probabilities(request)
        mean = answer[0] if return_std else answer
        best = mean.argmax(axis=-1)
        labels = self.classes_[best]
        if not return_std:
            return labels
        return labels, np.take_along_axis(answer[1], best[..., None], axis=-1)[..., 0]

    def score(self, X: Any, y: Any, sample_weight: Any = None, **options: Any) -> float:
        """Return the share of rows with the right class; `options` as in `predict_proba`."""
        noise, sampling = split_words(options)
        request = self._ask("score", X, noise, **sampling)
        labels = self.classes_[self._compute_probabilities(request).argmax(axis=-1)]
        return float(accuracy_score(y, labels, sample_weight=sample_weight))
