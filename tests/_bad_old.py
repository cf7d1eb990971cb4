"""Words, calls and arguments of other systems, and the sentence that names the new ones."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import noisegate as ng
from _bad_numbers import Case, Type, Value
from noisegate.numpy import dropout_forward

KEY = ng.Stream(13).site("a").at(0)
X, T = np.ones((2, 4), np.float32), torch.ones(2, 4)
LAYER = "known are `p`, `inplace`, `rescale`, `shared_axes`, `seed`, `site`, `sample_axis`."
FORWARD = "known are `x`, `p`, `training`, `rng`."
KEPT = "`{0}` is the probability to keep, and `p` that to remove: write p = 1 - {0}."
GAUSS = "known are `sigma`, `shared_axes`."
ROWS = "Dropout: `rows` must name each of the 2 samples of the input once; got 1 rows."
DICT = {"p": 0.5, "mode": "train"}


@dataclass(frozen=True)
class Mine(ng.Kind):
    """A kind whose `field` returns the draws themselves."""

    p: float = 0.1
    RATE = "p"

    def field(self, draws: Any, rate: Any) -> Any:
        return draws.keep(rate)


@dataclass(frozen=True)
class Sloped(ng.Kind):
    """A kind whose `slope` returns the draws themselves."""

    p: float = 0.1
    RATE = "p"

    def field(self, draws: Any, rate: Any) -> ng.Field:
        return ng.Field(gain=draws.normal() * rate)

    def slope(self, draws: Any, rate: Any) -> Any:
        return draws.normal()


CASES: list[Case] = [
    (
        lambda: ng.torch.Dropout(proba=0.2),
        Type,
        f"Dropout: unknown keyword `proba`; {LAYER} NeuPy's `proba` is `p` here.",
    ),
    (
        lambda: ng.DropBlock(keep_proba=0.9, block_size=3),  # type: ignore[call-arg]
        Type,
        "DropBlock: unknown keyword `keep_proba`; known are `p`, `block_size`, `axes`, "
        f"`shared_axes`, `normalize`. {KEPT.format('keep_proba')}",
    ),
    (
        lambda: ng.Dropout(keep_prob=0.9),  # type: ignore[call-arg]
        Type,
        "Dropout: unknown keyword `keep_prob`; known are `p`, `rescale`, `shared_axes`. "
        f"{KEPT.format('keep_prob')}",
    ),
    *(
        (
            lambda word=word: ng.GaussianNoise(**{word: 1.0}),
            Type,
            f"GaussianNoise: unknown keyword `{word}`; {GAUSS} {sentence}",
        )
        for word, sentence in (
            ("std", "`std` is `sigma` here."),
            ("stddev", "Keras' `stddev` is `sigma` here."),
            ("mean", "The noise has mean 0, and `sigma` is its standard deviation."),
        )
    ),
    # An old word has no meaning where its new one is not known: the nearest is named.
    (
        lambda: ng.GaussianNoise(proba=0.5),  # type: ignore[call-arg]
        Type,
        f"GaussianNoise: unknown keyword `proba`; {GAUSS}",
    ),
    (
        lambda: ng.torch.dropout(input=T, p=0.5),
        Type,
        "dropout: unknown keyword `input`; known are `x`, `p`, `training`, `inplace`, `rescale`, "
        "`shared_axes`, `key`, `rows`, `sample_axis`. The input is `x` here.",
    ),
    (
        lambda: ng.predict(torch.nn.ReLU(), T, dropout={":out": 0.5}),
        Type,
        "predict: unknown keyword `dropout`; known are `model`, `x`, `samples`, `rules`, "
        "`existing`, `unreached`, `draws`, `tied`, `input_dropout`, `hidden_dropout`, "
        "`output_dropout`, `input_noise`, `hidden_noise`, `output_noise`, "
        "`recurrent_dropout`, `weight_dropout`, `weight_noise`, `batch_size`, `shared_batch`, "
        "`seed`, "
        "`sample_axis`, `quantiles`, `outputs`, `output`, `class_axis`, `keep_samples`, "
        "`progress`. `dropout` is `rules={pattern: p}` here, or `hidden_dropout=p` for all hidden "
        "outputs.",
    ),
    *(
        (
            lambda word=word, value=value: dropout_forward(X, **{word: value}),
            Type,
            f"dropout_forward: unknown keyword `{word}`; {FORWARD} {sentence}",
        )
        for word, value, sentence in (
            (
                "mode",
                "train",
                "mode='train' is training=True here, and mode='test' training=False.",
            ),
            ("seed", 123, "`seed` is `rng` here."),
            (
                "dropout_param",
                DICT,
                "The entries of `dropout_param` are `p`, `training` and `rng` here; its p is the "
                "probability to keep, ours that to remove.",
            ),
        )
    ),
    (
        lambda: dropout_forward(X, DICT),
        Type,
        f"dropout_forward: arguments are given by name, not in a dict; got {DICT}. Write "
        "dropout_forward(x, p=0.5, training=True, rng=seed), where p is the probability to "
        "remove: 1 - p of a dict of CS231n's.",
    ),
    # NeuPy's mean and std by place
    *(
        (
            lambda made=made: made(0, 1),
            Type,
            "GaussianNoise: at most 1 argument goes by place (`sigma`); got 2. Give the others by "
            "name.",
        )
        for made in (ng.GaussianNoise, ng.torch.GaussianNoise)
    ),
    (
        lambda: ng.Dropout(0.5, True, (1,)),  # type: ignore[call-arg]
        Type,
        "Dropout: at most 2 arguments go by place (`p`, `rescale`); got 3. Give the others by "
        "name.",
    ),
    # Keras 1's two words for one thing, of which neither goes by its value
    *(
        (
            lambda words=words: ng.torch.SpatialDropout2D(0.5, **words),
            Type,
            "SpatialDropout2D: `dim_ordering` is Keras 1's word for `data_format`; give one of "
            "them.",
        )
        for words in (
            {"data_format": "channels_first", "dim_ordering": "tf"},
            {"data_format": "channels_first", "dim_ordering": "th"},
            {"data_format": "channels_last", "dim_ordering": "default"},
        )
    ),
    # Calls
    *(
        (
            call,
            Type,
            "Dropout: `key` is missing; it says which noise to draw. Make one with "
            "noisegate.Stream(seed).site(name).at(step), or use a layer of noisegate.torch, which "
            "needs none.",
        )
        for call in (
            lambda: ng.Dropout(0.5)(X),
            lambda: ng.Dropout(0.5)(T),
            lambda: ng.mask(ng.Dropout(0.5), (2, 4)),
            lambda: ng.noise(ng.Dropout(0.5), (2, 4)),
        )
    ),
    (
        lambda: ng.torch.dropout(T, 0.5, p=0.5),
        Type,
        "dropout: `p` is given by place and by name. Give it once.",
    ),
    *(
        (
            lambda x=x: Mine(0.5)(x, KEY),
            Type,
            f"Mine: `field` must return a noisegate.Field; got {what}. Write for example "
            "Field(keep=draws.keep(rate)).",
        )
        for x, what in ((X, "ndarray"), (T, "Tensor"))
    ),
    (
        lambda: Sloped()(T, KEY, p=torch.tensor(0.5, requires_grad=True)).sum().backward(),
        Type,
        "Sloped: `slope` must return a noisegate.Field; got Tensor. Write for example "
        "Field(keep=draws.keep(rate)).",
    ),
    (
        lambda: setattr(ng.torch.Dropout(), "step", 3),
        ng.MissingAttribute,
        "Dropout: a layer without `seed` has no step; it draws afresh at every call. "
        "Write for example Dropout(seed=13, site='hid1:out').",
    ),
    *(
        (call, Value, ROWS)
        for call in (
            lambda: ng.torch.dropout(T, 0.5, training=False, rows=[0]),
            lambda: ng.torch.dropout(T, 0.0, rows=[0]),
            lambda: ng.torch.Dropout(0.5).eval()(T, [0]),
            lambda: ng.torch.Dropout(0.0)(T, [0]),
            lambda: ng.numpy.forward(ng.Dropout(0.5), X, training=False, rows=[0]),
        )
    ),
]
