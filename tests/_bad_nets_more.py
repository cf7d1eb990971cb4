"""More bad calls of networks and their layers, and what answers each."""

import torch

from _bad_numbers import Case, Type, Value
from noisegate.nets import Concatenate, Dropout, Input, Relu, get_output

CASES: list[Case] = [
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
]
