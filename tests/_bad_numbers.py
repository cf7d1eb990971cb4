"""Bad rates, keywords, axes and rows, and the sentence for each."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

import noisegate as ng

Case = tuple[Callable[[], Any], type[Exception], str]

KEY = ng.Stream(13).site("a").at(0)
X = np.ones((3, 4), np.float32)
T = torch.ones(3, 4)
Value, Type = ng.InvalidValue, ng.InvalidType


def net() -> nn.Module:
    model = nn.Sequential()
    model.add_module("hid1", nn.Linear(4, 4))
    model.add_module("hid2", nn.Linear(4, 4))
    return model


CASES: list[Case] = [
    # Rates
    (lambda: ng.Dropout(float("nan")), Value, "Dropout: `p` must be in [0, 1]; got nan."),
    (
        lambda: ng.Dropout(-0.1),
        Value,
        "Dropout: `p` must be in [0, 1]; got -0.1. Did you mean 0.1?",
    ),
    (lambda: ng.Dropout(1.1), Value, "Dropout: `p` must be in [0, 1]; got 1.1. Did you mean 0.11?"),
    (lambda: ng.Dropout(1.5), Value, "Dropout: `p` must be in [0, 1]; got 1.5. Did you mean 0.15?"),
    (lambda: ng.Dropout(30), Value, "Dropout: `p` must be in [0, 1]; got 30.0. Did you mean 0.3?"),
    (lambda: ng.Dropout(1e9), Value, "Dropout: `p` must be in [0, 1]; got 1000000000.0."),
    (
        lambda: ng.Dropout("0.5"),  # type: ignore[arg-type]
        Type,
        "Dropout: `p` must be a number; got '0.5'. Write p=0.5 without quotes.",
    ),
    (
        lambda: ng.Dropout("half"),  # type: ignore[arg-type]
        Type,
        "Dropout: `p` must be a number; got 'half'.",
    ),
    (
        lambda: ng.Dropout(None),  # type: ignore[arg-type]
        Type,
        "Dropout: `p` must be a number; got None. To switch the noise off, write p=0.",
    ),
    (lambda: ng.Dropout(True), Type, "Dropout: `p` must be a number; got True."),
    (
        lambda: ng.Dropout(0.5)(X, KEY, p=1.5),
        Value,
        "Dropout: `p` must be in [0, 1]; got 1.5. Did you mean 0.15?",
    ),
    (
        lambda: ng.GaussianDropout(1),
        Value,
        "GaussianDropout: `p` must be in [0, 1); got 1.0. p=1 would need infinite noise; "
        "take a number below 1.",
    ),
    (
        lambda: ng.GaussianDropout(-1),
        Value,
        "GaussianDropout: `p` must be in [0, 1); got -1.0. Did you mean 1?",
    ),
    (
        lambda: ng.GaussianNoise(-0.2),
        Value,
        "GaussianNoise: `sigma` must be a finite number >= 0; got -0.2. Did you mean 0.2?",
    ),
    (
        lambda: ng.GaussianNoise(float("inf")),
        Value,
        "GaussianNoise: `sigma` must be a finite number >= 0; got inf.",
    ),
    (
        lambda: ng.UniformNoise(float("nan")),
        Value,
        "UniformNoise: `width` must be a finite number >= 0; got nan.",
    ),
    (
        lambda: ng.Dropout(0.5, 0.5),  # type: ignore[arg-type]
        Type,
        "Dropout: `rescale` must be True or False; got 0.5.",
    ),
    (
        lambda: ng.Dropout()(X, KEY, p=np.ones((2, 4))),
        Value,
        "Dropout: `p` of shape (2, 4) does not broadcast to the input's shape (3, 4). "
        "Give a 0-d array or one with extents of 1 where the rate is shared.",
    ),
    (
        lambda: ng.Dropout()(T, KEY, p=torch.tensor(0.1, requires_grad=True)),
        Value,
        "Dropout: `p` requires grad, but the decision to remove has no gradient. "
        "ConcreteDropout has one; or pass p.detach().",
    ),
    # Keywords
    (
        lambda: ng.Dropout(ratio=0.5),  # type: ignore[call-arg]
        Type,
        "Dropout: unknown keyword `ratio`; known are `p`, `rescale`, `shared_axes`.",
    ),
    (
        lambda: ng.Dropout(0.5, shared_axis=1),  # type: ignore[call-arg]
        Type,
        "Dropout: unknown keyword `shared_axis`; known are `p`, `rescale`, `shared_axes`. "
        "Did you mean `shared_axes`?",
    ),
    (
        lambda: ng.Dropout()(X, KEY, row=[1]),
        Type,
        "Dropout: unknown keyword `row`; known are `x`, `key`, `rows`, `sample_axis`, `p`, "
        "`rescale`, `shared_axes`. Did you mean `rows`?",
    ),
    (
        lambda: ng.Dropout()(X, KEY, rescale=False),
        Type,
        "Dropout: `rescale` cannot be given at the call; only the rate `p` can. "
        "Make another Dropout for another `rescale`.",
    ),
    (
        lambda: ng.torch.Dropout(0.5, sed=1),  # type: ignore[call-arg]
        Type,
        "Dropout: unknown keyword `sed`; known are `p`, `inplace`, `rescale`, `shared_axes`, "
        "`seed`, `site`, `sample_axis`. Did you mean `seed`?",
    ),
    (
        lambda: ng.inject(net(), {":out": 0.5}, sede=1),  # type: ignore[call-arg]
        Type,
        "inject: unknown keyword `sede`; known are `model`, `rules`, `seed`, `existing`, "
        "`example`, `unreached`, `draws`, `tied`, `sample_axis`, `input_dropout`, "
        "`hidden_dropout`, `output_dropout`, `input_noise`, `hidden_noise`, `output_noise`, "
        "`recurrent_dropout`, `weight_dropout`, `weight_noise`. Did you mean `seed`?",
    ),
    (
        lambda: ng.numpy.dropout_forward(X, 0.5, trainning=True),  # type: ignore[call-arg]
        Type,
        "dropout_forward: unknown keyword `trainning`; known are `x`, `p`, `training`, `rng`. "
        "Did you mean `training`?",
    ),
    (
        lambda: ng.dropout_channels(0.5, "channels_first", shared_axes=1),
        Type,
        "dropout_channels: `shared_axes` is what dropout_channels sets itself. "
        "Use Dropout(p, shared_axes=...).",
    ),
    (
        lambda: ng.locked_dropout(0.5, 1, shared_axes=1),
        Type,
        "locked_dropout: `shared_axes` is what locked_dropout sets itself. "
        "Use Dropout(p, shared_axes=...).",
    ),
    (
        lambda: ng.drop_path(0.5, axis=1),
        Type,
        "drop_path: unknown keyword `axis`; known are `p`.",
    ),
    (
        lambda: ng.dropout_locations(0.5, "channel_last"),
        Value,
        "dropout_locations: `data_format` must be 'channels_first' or 'channels_last'; got "
        "'channel_last'. (samples, channels, ...) is channels_first.",
    ),
    # Axes, shapes, rows
    (
        lambda: ng.Dropout(shared_axes=2)(X, KEY),
        Value,
        "Dropout: `shared_axes` names axis 2, but the input of shape (3, 4) has axes -2 to 1.",
    ),
    (
        lambda: ng.GaussianNoise(shared_axes=-3)(T, KEY),
        Value,
        "GaussianNoise: `shared_axes` names axis -3, but the input of shape (3, 4) has axes "
        "-2 to 1.",
    ),
    (
        lambda: ng.Dropout()(np.float32(1), KEY, sample_axis=0),
        Value,
        "Dropout: `sample_axis` names axis 0, but the input of shape () has no axes.",
    ),
    (
        lambda: ng.Dropout(shared_axes="2"),
        Type,
        "Dropout: `shared_axes` must be whole numbers, a slice or "
        "\"all_but_samples\"; got '2'. Write for example (2, 3) or slice(2, None).",
    ),
    (
        lambda: ng.Dropout(shared_axes=(1, 2.0)),
        Type,
        'Dropout: `shared_axes` must be whole numbers, a slice or "all_but_samples"; got (1, 2.0). '
        "Write for example (2, 3) or slice(2, None).",
    ),
    (
        lambda: ng.Dropout()(X, KEY, sample_axis="0"),  # type: ignore[arg-type]
        Type,
        "Dropout: `sample_axis` must be a whole number, None or 'attention'; got '0'.",
    ),
    (
        lambda: ng.mask(ng.Dropout(), (3, -1), KEY),
        Value,
        "mask: `shape` must be a tuple of whole numbers >= 0; got (3, -1).",
    ),
    (
        lambda: ng.noise(ng.Dropout(), "ab", KEY),  # type: ignore[arg-type]
        Type,
        "noise: `shape` must be a tuple of whole numbers >= 0; got 'ab'.",
    ),
    (
        lambda: ng.Dropout()(np.ones(3), KEY, rows=[0, 1, 2]),
        Value,
        "Dropout: `rows` was given, but the input of shape (3,) has no sample axis. "
        "Name one with sample_axis=0, or leave out `rows`.",
    ),
    (
        lambda: ng.Dropout()(X, KEY, rows=[1, 2]),
        Value,
        "Dropout: `rows` must name each of the 3 samples of the input once; got 2 rows.",
    ),
    (
        lambda: ng.Dropout()(X, KEY, rows="abc"),
        Type,
        "Dropout: `rows` must be a slice or a sequence of whole numbers in [0, 2**64); got 'abc'.",
    ),
    (
        lambda: ng.Dropout()(X, KEY, rows=[0, 1, -1]),
        Value,
        "Dropout: `rows` must be in [0, 2**64); got -1.",
    ),
    (
        lambda: ng.Dropout()(X, KEY, rows=[0, 1, 2**64]),
        Value,
        "Dropout: `rows` must be in [0, 2**64); got 18446744073709551616.",
    ),
    (
        lambda: ng.Dropout()(X, KEY, rows=[0, 1, 0.5]),
        Type,
        "Dropout: `rows` must be a whole number; got 0.5.",
    ),
    (
        lambda: ng.Dropout()(X, KEY, rows=slice(0.0, 3)),
        Type,
        "Dropout: `rows` must be a whole number; got 0.0. Write 0.",
    ),
    (
        lambda: ng.Dropout()(X, KEY, sample_axis=True),
        Type,
        "Dropout: `sample_axis` must be a whole number, None or 'attention'; got True.",
    ),
    (
        lambda: ng.Dropout()(X, KEY, rows=slice(5, None, -1)),
        Value,
        "Dropout: `rows` as a slice must have a start >= 0 and a step >= 1 at a call; got "
        "slice(5, None, -1). Write for example slice(32, 64).",
    ),
    (
        lambda: ng.mask(ng.Dropout(), (2, 2**36), KEY),
        Value,
        "Dropout: a sample must have at most 2**35 elements; got 68719476736. "
        "Split the input over the sample axis, or name another sample_axis.",
    ),
]
