"""More bad calls of networks and their layers, and the sentence for each."""

from typing import Any

import torch
from torch import nn

from _bad_numbers import Case, Type, Value
from noisegate.nets import (
    LSTM,
    Concatenate,
    Dropout,
    GaussianNoise,
    Input,
    Network,
    Relu,
    get_output,
    join,
)

X = torch.ones(2, 3)


def two() -> Network:
    return join(Input(3, name="a") | Input(3, name="b"), nn.Bilinear(3, 3, 2))


def make_one_layer() -> None:
    layer: Any = LSTM(8, num_layers=2, layer_dropout=0.5)
    layer.num_layers = 1


CASES: list[Case] = [
    *(
        (
            call,
            Value,
            "LSTM: `layer_dropout` acts between layers, and `num_layers` is 1; got 0.5. Take two "
            "layers or more, or a Dropout after this one.",
        )
        for call in (lambda: LSTM(8, layer_dropout=0.5), make_one_layer)
    ),
    (
        lambda: Concatenate("last"),
        Type,
        "Concatenate: `axis` must be a whole number; got 'last'.",
    ),
    (
        lambda: Dropout(0.5, p=0.1),
        Type,
        "Dropout: `p` is given by place and by name. Give it once.",
    ),
    (
        lambda: get_output(Input(3, name="x") >> Relu(2), {"y": torch.ones(2, 3)}),
        Value,
        "get_output: `inputs` has 'y', which takes no input; what does is `x`.",
    ),
    (
        lambda: two().output({"a": X}),
        Value,
        "Network.output: `inputs` has nothing for `b`. Give one for each of `a`, `b`.",
    ),
    (
        lambda: two().outputs(["a"], {"c": X}, True),
        Value,
        "Network.outputs: `inputs` has 'c', which takes no input; what does is `a`, `b`.",
    ),
    # By place and by name
    (
        lambda: Dropout(0.5).output(X, True, training=True),
        Type,
        "Dropout.output: `training` is given by place and by name. Give it once.",
    ),
    (
        lambda: two().get_output_for(X, X, True, deterministic=True),
        Type,
        "Network.get_output_for: `deterministic` is given by place and by name. Give it once.",
    ),
    (
        lambda: Relu().get_output_for(X, input=X),
        Type,
        "Relu.get_output_for: `input` is given by place and by name. Give it once.",
    ),
    (
        lambda: Dropout((2, 4, 7, 9), 0.3, False, (2, 3)),
        Type,
        "Dropout: at most 2 arguments go by place (`p`, `rescale`); got 3. Give the others by "
        "name.",
    ),
    *(
        (
            lambda args=args: GaussianNoise(*args),
            Type,
            "GaussianNoise: at most 1 argument goes by place (`sigma`); got 2. Give the others by "
            "name.",
        )
        for args in ((0, 1), ((None, 3), 0, 1), (Input(3), 0, 1))
    ),
    *(
        (
            call,
            Value,
            "Dropout: `rows` must name each of the 2 samples of the input once; got 1 rows.",
        )
        for call in (
            lambda: Dropout(0.5).output(X, [0]),
            lambda: Dropout(0.5).output(X, [0], True),
        )
    ),
]
