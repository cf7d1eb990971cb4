"""Layers that do not fit what comes in, each with the reason; and more words of other systems."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import noisegate as ng
from _bad_numbers import Case, Type, Value
from noisegate import nets
from noisegate.estimators import Autoencoder, Regressor
from noisegate.nets import (
    LSTM,
    BatchNorm,
    Concatenate,
    Convolution2d,
    Dense,
    Dropout,
    Flatten,
    Input,
    Masking,
    MaxPooling2d,
    Relu,
    Reshape,
    TimeDistributed,
    TimeDistributedDense,
    join,
)

Missing = ng.MissingAttribute
X, T = np.ones((20, 3), np.float32), torch.ones(2, 3)


class Pair(nn.Module):
    """Returns a tuple, where a layer has to return a tensor."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


def behind(shape: Any, layer: Callable[[], Any]) -> Callable[[], Any]:
    """Return the call that puts a layer behind an input of some shape."""
    return lambda: Input(shape) >> layer()


def two(*shapes: tuple[int, ...]) -> Any:
    """Return two inputs beside each other."""
    return Input(shapes[0]) | Input(shapes[1])


def foreign_checkpoint() -> None:
    torch.save({"module": {}}, "other.pt")
    Regressor((3, 1), checkpoint=Path("other.pt"), resume=True).fit(X, X[:, 0])


def coded() -> Any:
    network = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 3))
    return Autoencoder(network, code="2:out", max_epochs=1).fit(X)


MAPS, PAIR = (3, 4, 5), "`input-1`, which gives (?, 3, 4) and `input-2`, which gives"

REASONS: list[Case] = [
    (
        behind((), BatchNorm),
        Value,
        "join: `batch-norm-1` cannot follow `input-1`, which gives (?,): it takes (N, C, ...).",
    ),
    (
        behind((), lambda: Dense(2)),
        Value,
        "join: `dense-1` cannot follow `input-1`, which gives (?,): it takes (N, ..., features).",
    ),
    (
        behind(3, lambda: LSTM(3)),
        Value,
        "join: `lstm-1` cannot follow `input-1`, which gives (?, 3): it takes (N, time, features).",
    ),
    (
        behind(3, lambda: TimeDistributed(nn.Linear(3, 2))),
        Value,
        "join: `time-distributed-1` cannot follow `input-1`, which gives (?, 3): it takes (N, "
        "time, ...).",
    ),
    (
        behind(3, lambda: TimeDistributedDense(2)),
        Value,
        "join: `time-distributed-dense-1` cannot follow `input-1`, which gives (?, 3): it takes "
        "(N, time, features).",
    ),
    (
        lambda: join(Input((None, 3)), TimeDistributedDense(2))["time-distributed-dense-1"](T),
        Value,
        "`time-distributed-dense-1` cannot take (2, 3): it takes (N, time, features).",
    ),
    (
        behind(3, Masking),
        Value,
        "join: `masking-1` cannot follow `input-1`, which gives (?, 3): it takes (N, time, "
        "features).",
    ),
    (
        behind(3, lambda: Dropout(0.5, shared_axes=(7,))),
        Value,
        "join: `dropout-1` cannot follow `input-1`, which gives (?, 3): it has no axis 7 to share.",
    ),
    (
        behind(3, lambda: Flatten(3)),
        Value,
        "join: `flatten-1` cannot follow `input-1`, which gives (?, 3): it has no axis 3.",
    ),
    (
        behind(MAPS, lambda: Flatten(3, 2)),
        Value,
        "join: `flatten-1` cannot follow `input-1`, which gives (?, 3, 4, 5): start_dim comes "
        "after end_dim.",
    ),
    (
        behind(MAPS, lambda: Convolution2d(4, 1, groups=2)),
        Value,
        "join: `convolution2d-1` cannot follow `input-1`, which gives (?, 3, 4, 5): its channels "
        "are no multiple of groups=2.",
    ),
    (
        behind(MAPS, lambda: Convolution2d(4, (1, 2, 3))),
        Value,
        "join: `convolution2d-1` cannot follow `input-1`, which gives (?, 3, 4, 5): (1, 2, 3) is "
        "not one number, or 2 of them.",
    ),
    (
        behind(MAPS, lambda: MaxPooling2d(20)),
        Value,
        "join: `max-pooling2d-1` cannot follow `input-1`, which gives (?, 3, 4, 5): nothing is "
        "left of an axis.",
    ),
    (
        behind(MAPS, lambda: MaxPooling2d(2, padding=2)),
        Value,
        "join: `max-pooling2d-1` cannot follow `input-1`, which gives (?, 3, 4, 5): its padding "
        "is more than half of the kernel.",
    ),
    (
        behind(MAPS, lambda: Reshape((7,))),
        Value,
        "join: `reshape-1` cannot follow `input-1`, which gives (?, 3, 4, 5): 60 elements of a "
        "sample do not fill (7,).",
    ),
    (
        behind(3, Pair),
        Value,
        "join: `pair-1` cannot follow `input-1`, which gives (?, 3): it must return a tensor, and "
        "returns tuple.",
    ),
    (
        lambda: two((3, 4), (3,)) >> Concatenate(1),
        Value,
        f"join: `concatenate-1` cannot follow {PAIR} (?, 3): its inputs must have one rank, and "
        "the axis.",
    ),
    (
        lambda: two((3, 4), (2, 5)) >> Concatenate(1),
        Value,
        f"join: `concatenate-1` cannot follow {PAIR} (?, 2, 5): its inputs must have equal "
        "extents but along axis 1.",
    ),
]

ESTIMATORS: list[Case] = [
    (
        foreign_checkpoint,
        Value,
        "resume: other.pt does not belong to this training: it is no checkpoint of an estimator.",
    ),
    (
        lambda: coded().transform(X),
        Value,
        "Autoencoder: `code` must be an output; got '2:out'. Give one of `0:out`, `1:out`, "
        "`in:out`, `out:out`.",
    ),
]

KNOWN = "known are `p`, `inplace`, `rescale`, `shared_axes`, `seed`, `site`, `sample_axis`."

OLD: list[Case] = [
    *(
        (
            lambda word=word: ng.torch.Dropout(**{word: 0.5}),
            Type,
            f"Dropout: unknown keyword `{word}`; {KNOWN} {sentence}",
        )
        for word, sentence in (
            ("rate", "Keras' `rate` is `p` here."),
            ("drop_prob", "`drop_prob` is `p` here."),
            (
                "noise_shape",
                "The axes of extent 1 in `noise_shape` are `shared_axes` here.",
            ),
        )
    ),
    (
        lambda: ng.numpy.dropout_forward(X, 0.5, deterministic=True),
        Type,
        "dropout_forward: unknown keyword `deterministic`; known are `x`, `p`, `training`, `rng`. "
        "deterministic=True is training=False here.",
    ),
    *(
        (
            lambda old=old: getattr(join(Input(3), Relu(2)), old),
            Missing,
            f"Network has no `{old}`. {s}",
        )
        for old, s in {
            "evaluate": "An estimator around the network has `score`: Regressor(network).fit(X, "
            "y).",
            "training_outputs": "`training_outputs` is network.output(x, training=True) here.",
            "get_weights": "`get_weights` is of dense layers; network.state_dict() has all "
            "weights.",
            "set_weights": "`set_weights` is of dense layers; network.load_state_dict() takes all "
            "weights.",
        }.items()
    ),
    (
        lambda: Dropout(0.5).set_weights([]),
        Missing,
        "Dropout has no `set_weights`. `set_weights` is of dense layers; layer.load_state_dict() "
        "takes all weights.",
    ),
    *(
        (lambda old=old: getattr(Regressor((3, 1)), old), Missing, f"Regressor has no `{old}`. {s}")
        for old, s in {
            "evaluate": "`evaluate` is `score` here.",
            "fit_generator": "Batches one by one are given to `partial_fit`.",
            "train_on_batch": "Batches one by one are given to `partial_fit`.",
            "predict_classes": "`predict_classes` is `predict` of a Classifier here.",
            "summary": "After a fit, model.network_.summary() has the table of layers.",
        }.items()
    ),
    (
        lambda: nets.get_all_param_values,
        Missing,
        "noisegate.nets has no `get_all_param_values`. `get_all_param_values` is "
        "`join(layer).state_dict()` here.",
    ),
    (
        lambda: nets.set_all_param_values,
        Missing,
        "noisegate.nets has no `set_all_param_values`. `set_all_param_values` is "
        "`join(layer).load_state_dict(weights)` here.",
    ),
]

CASES = [*REASONS, *ESTIMATORS, *OLD]
