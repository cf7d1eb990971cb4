"""Words, calls and arguments of other systems at networks, and the sentence for each."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import noisegate as ng
from _bad_numbers import Case, Type, Value
from noisegate import nets
from noisegate.estimators import Regressor
from noisegate.nets import (
    Concatenate,
    Convolution2d,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Input,
    Network,
    Relu,
    TimeDistributedDense,
    join,
    repeat,
)

Missing = ng.MissingAttribute
X, W, B = torch.ones(2, 3), np.ones((3, 2)), np.zeros(2)
TRAINED = (
    "A network is trained by an estimator, Regressor(network).fit(X, y) or "
    "Classifier(network).fit(X, y), or by noisegate.estimators.fit."
)
OUTPUT = "What a network predicts is network.output(x); an estimator around it has `predict`."
COMPILE = f"arguments are those of torch.compile, by name. {TRAINED}"
JOINED = "What comes in is joined: incoming >> layer, or join(incoming, layer)."
COMMON = "`name`, `trainable`, `input_shape`, `batch_input_shape`, `input_dim`, `input_length`."
DENSE = (
    "`bias`, `init`, `weights`, `W_regularizer`, `b_regularizer`, `activity_regularizer`, "
    f"`W_constraint`, `b_constraint`, `device`, `dtype`, {COMMON}"
)
BEHIND = "repeat: the copies cannot be joined, each behind the one before. "
AXES = (
    "its inputs have several axes to join along. Give axis=1 for channels, or axis=-1 for features."
)
ARRAYS = "`weights` must be a list of arrays of numbers, [W, b]; got"
CHANNELS = "gives (?, 4, 8, 8)"


def net() -> Network:
    return join(Input(3), Relu(2))


def layer() -> Any:
    return net()["relu-1"]


def images() -> Network:
    return join(Input((3, 8, 8)), Convolution2d(4, 1) | Convolution2d(4, 1), Concatenate())


MODULES: dict[str, Callable[[], Any]] = {
    "Network": net,
    "Relu": layer,
    "Dropout": lambda: Dropout(0.5),
}

NAMES: list[Case] = [
    *(
        (
            lambda old=old: getattr(nets, old),
            Missing,
            f"noisegate.nets has no `{old}`. `{old}` is `{new}` here.",
        )
        for old, new in {
            "DropoutLayer": "Dropout",
            "GaussianNoiseLayer": "GaussianNoise",
            "DenseLayer": "Dense",
            "InputLayer": "Input",
            "Conv2DLayer": "Convolution2d",
            "Convolution2D": "Convolution2d",
            "BatchNormalization": "BatchNorm",
        }.items()
    ),
    *(
        (
            lambda name=name: getattr(nets, name),
            Missing,
            f"noisegate.nets has no `{name}`. It is `noisegate.estimators.{name}` here.",
        )
        for name in ("Autoencoder", "Classifier", "Estimator", "Regressor", "fit")
    ),
    (
        lambda: ng.estimators.Regression,
        Missing,
        "noisegate.estimators has no `Regression`. `Regression` is `Regressor` here.",
    ),
    (
        lambda: nets.get_all_params,
        Missing,
        "noisegate.nets has no `get_all_params`. `get_all_params` is `join(layer).parameters()` "
        "here.",
    ),
    (
        lambda: ng.get_all_layers,
        Missing,
        "noisegate has no `get_all_layers`. It is `noisegate.nets.join(layer).layers` here.",
    ),
    (
        lambda: nets.Activation,
        Missing,
        "noisegate.nets has no `Activation`. `Activation` is `Relu() or Softmax()` here.",
    ),
    (
        lambda: ng.torch.DenseLayer,
        Missing,
        "noisegate.torch has no `DenseLayer`. It is `noisegate.nets.Dense` here.",
    ),
    (
        lambda: ng.numpy.Regression,
        Missing,
        "noisegate.numpy has no `Regression`. It is `noisegate.estimators.Regressor` here.",
    ),
    (
        lambda: ng.DropoutLayer,
        Missing,
        "noisegate has no `DropoutLayer`. It is `noisegate.nets.Dropout` here.",
    ),
    (
        lambda: ng.dropout_forward,
        Missing,
        "noisegate has no `dropout_forward`. It is `noisegate.numpy.dropout_forward` here.",
    ),
]

METHODS: list[Case] = [
    (lambda: net().fit(X, X), Missing, f"Network has no `fit`. {TRAINED}"),
    (lambda: net().predict(X), Missing, f"Network has no `predict`. {OUTPUT}"),
    (lambda: layer().fit(X, X), Missing, f"Relu has no `fit`. {TRAINED}"),
    (lambda: Dropout(0.5).fit(X, X, epochs=10), Missing, f"Dropout has no `fit`. {TRAINED}"),
    *(
        (call, Type, f"{who}.compile: {COMPILE}")
        for who, made in MODULES.items()
        for call in (
            lambda made=made: made().compile("sgd", "mse"),
            lambda made=made: made().compile(optimizer="sgd", loss="mse"),
        )
    ),
    *(
        (call, Type, f"{who}.train: `mode` must be True or False; got {got}. {TRAINED}")
        for who, made in MODULES.items()
        for call, got in (
            (lambda made=made: made().train(X), "Tensor"),
            (lambda made=made: made().train(X, W), "Tensor, ndarray"),
            (lambda made=made: made().train(X, W, epochs=10), "Tensor, ndarray, epochs"),
            (lambda made=made: made().train(epochs=10), "epochs"),
            (lambda made=made: made().train(True, False), "bool, bool"),
        )
    ),
    *(
        (lambda old=old: getattr(Regressor((3, 1)), old), Missing, f"Regressor has no `{old}`. {s}")
        for old, s in {
            "train": "`train` is `fit` here, which begins anew; `partial_fit` goes on.",
            "itertrain": "`itertrain` is `fit` here; `partial_fit` trains for one epoch at each "
            "call.",
            "compile": "There is nothing to compile: `optimizer` and `loss` are given to the "
            "estimator.",
            "save": "The network of a fit is saved: model.network_.save(path); noisegate.nets.load "
            "reads it.",
        }.items()
    ),
    *(
        (
            lambda made=made: made.get_output_shape_for((None, 3)),
            Missing,
            f"{type(made).__name__} has no `get_output_shape_for`. `get_output_shape_for` is "
            "`get_output_shape` here.",
        )
        for made in (Flatten(), Dropout(0.5))
    ),
    (
        lambda: Dropout(0.5).get_weights(),
        Missing,
        "Dropout has no `get_weights`. `get_weights` is of dense layers; layer.state_dict() has "
        "all weights.",
    ),
    (
        lambda: Relu().output(training=True),
        Type,
        "Relu.output: `input_value` is missing.",
    ),
    (
        lambda: nets.get_output(layer(), X, True),
        Type,
        "get_output: at most 2 arguments go by place (`layer_or_layers`, `inputs`); got 3. Give "
        "the others by name.",
    ),
    (lambda: nets.get_output(), Type, "get_output: `layer_or_layers` is missing."),
    (
        lambda: nets.get_output(layer(), X, deterministc=True),
        Type,
        "get_output: unknown keyword `deterministc` (perhaps you meant deterministic); known are "
        "`training` and `deterministic`.",
    ),
    (lambda: repeat(Relu(2)), Type, "repeat: `n` is missing."),
    (lambda: nets.load(), Type, "load: `path` is missing."),
    (lambda: nets.outputs_matching(net()), Type, "outputs_matching: `pattern` is missing."),
    (lambda: nets.parameters_matching(net()), Type, "parameters_matching: `pattern` is missing."),
    (
        lambda: Dense(3, out_features=4),
        Type,
        "Dense: `out_features` is given by place and by name. Give it once.",
    ),
    (
        lambda: Relu().get_weights(),
        Value,
        "Relu has no weights: it is an activation alone. Give its size.",
    ),
    (
        lambda: Relu(5).set_weights([W, B]),
        Value,
        "Relu has no weights: the size of its input is not known yet. Join it to an Input, or run "
        "it.",
    ),
]

ARGUMENTS: list[Case] = [
    (
        lambda: Dense(output_dim=3),
        Type,
        f"Dense: unknown keyword `output_dim`; known are `out_features`, `activation`, {DENSE} "
        "`output_dim` is `out_features` here.",
    ),
    (
        lambda: Relu(num_units=3),
        Type,
        f"Relu: unknown keyword `num_units`; known are `out_features`, {DENSE} `num_units` is "
        "`out_features` here.",
    ),
    (
        lambda: Dense(3, nonlinearity=torch.relu),
        Type,
        f"Dense: unknown keyword `nonlinearity`; known are `out_features`, `activation`, {DENSE} "
        "`nonlinearity` is `activation` here.",
    ),
    (
        lambda: Flatten(incoming=Input(3)),
        Type,
        f"Flatten: unknown keyword `incoming`; known are `start_dim`, `end_dim`, {COMMON} {JOINED}",
    ),
    (
        lambda: Embedding(5, output_dim=3),
        Type,
        "Embedding: unknown keyword `output_dim`; known are `num_embeddings`, `embedding_dim`, "
        "`mask_zero`, `padding_idx`, `max_norm`, `norm_type`, `scale_grad_by_freq`, `sparse`, "
        f"`device`, `dtype`, {COMMON} `output_dim` is `embedding_dim` here.",
    ),
    *(
        (
            lambda kind=kind, first=first: kind(first, 10),
            Type,
            f"{kind.__name__}: what comes in is not an argument; got {first!r}. Join it: l_in >> "
            f"{kind.__name__}(...), or join(l_in, {kind.__name__}(...)).",
        )
        for kind, first in (
            (Dense, Input(3)),
            (Relu, Relu(5)),
            (Flatten, net()),
            (Concatenate, [Input(3), Input(3)]),
        )
    ),
]

VARIABLES: list[Case] = [
    *(
        (
            lambda value=value: layer().variable(value, "b", (2,)),
            Type,
            f"`relu-1`.variable: `value` must be numbers, or an array of them; got {value!r}.",
        )
        for value in (None, [None, 1.0], {})
    ),
    (
        lambda: layer().variable(1.0, "c", (-1,)),
        Value,
        "`relu-1`.variable: `shape` must be a tuple of whole numbers >= 0; got (-1,).",
    ),
    (
        lambda: layer().variable(1.0, "c", (2.5,)),
        Type,
        "`relu-1`.variable: `shape` must be a tuple of whole numbers >= 0; got (2.5,).",
    ),
    (
        lambda: Relu(2, init=lambda shape: None)(X),
        Type,
        "Relu: `init(shape)` must be numbers, or an array of them; got None.",
    ),
    *(
        (
            lambda weights=weights: TimeDistributedDense(2, weights=weights),
            Type,
            f"TimeDistributedDense: {ARRAYS} {weights!r}.",
        )
        for weights in ("a", 5, [None, None], {"W": 1}, [[[1.0, 2.0], [3.0]], [0.0, 0.0]])
    ),
    (
        lambda: Dense(2, weights=[W, "b"]),
        Type,
        f"Dense: {ARRAYS} [array([[1., 1.], [1., 1.], [1., 1.]]), 'b'].",
    ),
    (lambda: layer().set_weights("ab"), Type, f"`relu-1`: {ARRAYS} 'ab'."),
    (
        lambda: layer().set_weights([np.ones((90, 90)), None]),
        Type,
        f"`relu-1`: {ARRAYS} [array([[1., 1., 1., ..., 1., 1., 1.], [1., 1., 1., ..., 1., 1., "
        "1.], [1., 1., ….",
    ),
]

SHAPES: list[Case] = [
    (
        lambda: join(TimeDistributedDense(2, weights=[W, B]))(torch.ones(4, 5, 7)),
        Value,
        "`time-distributed-dense-1` cannot take (?, 5, 7): its parameters are for in_features=3.",
    ),
    (
        lambda: Dense(2, weights=[W, B])(torch.ones(4, 7)),
        Value,
        "Dense cannot take (?, 7): its parameters are for in_features=3.",
    ),
    (
        lambda: join(Input((3, 8, 8)), Convolution2d(2, 3))["convolution2d-1"](
            torch.ones(1, 4, 8, 8)
        ),
        Value,
        "`convolution2d-1` cannot take (?, 4, 8, 8): its parameters are for in_channels=3.",
    ),
    (
        lambda: join(Input((None, 3)), nets.LSTM(2))["lstm-1"](torch.ones(4, 5, 7)),
        Value,
        "`lstm-1` cannot take (?, 5, 7): its parameters are for input_size=3.",
    ),
    (
        images,
        Value,
        f"join: `concatenate-1` cannot follow `convolution2d-1`, which {CHANNELS} and "
        f"`convolution2d-2`, which {CHANNELS}: {AXES}",
    ),
    (
        lambda: Concatenate()(torch.ones(1, 2, 3), torch.ones(1, 2, 3)),
        Value,
        f"Concatenate cannot take (1, 2, 3), (1, 2, 3): {AXES}",
    ),
    (
        lambda: repeat(Relu(5, input_dim=10), 2),
        Value,
        f"{BEHIND}join: `relu-2` cannot follow `relu-1`, which gives (?, 5): it takes (?, 10).",
    ),
    (
        lambda: repeat(Relu(5, name="a"), 3),
        Value,
        f"{BEHIND}`a`: another layer of the network has this name. Give one of them another, or a "
        "format that is counted, as 'a-{}'.",
    ),
    (
        lambda: repeat(Dense(2, weights=[W, B]), 2)(X),
        Value,
        "`dense-2` cannot take (?, 2): its parameters are for in_features=3.",
    ),
]

CASES = [*NAMES, *METHODS, *ARGUMENTS, *VARIABLES, *SHAPES]
