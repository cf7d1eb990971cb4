"""Bad parameters of random functions, and the sentence for each."""

from collections.abc import Callable
from typing import Any

import numpy as np

import noisegate as ng
from _bad_numbers import Case, Type, Value
from noisegate.core.distributions import sample
from noisegate.core.window import window_of
from noisegate.engines.numpy import NumpyEngine


def drawn(name: str, dtype: str = "float32", size: int = 4, **given: Any) -> Callable[[], Any]:
    """Return a call that draws, of parameters that are refused."""
    key = ng.Stream(1).site("a").at(0)
    live = {k: np.array(v) if isinstance(v, list) else v for k, v in given.items()}
    return lambda: sample(NumpyEngine(), name, key, window_of((size,)), dtype, **live)


CLAMP = "Clamp it before it is drawn from."
INTERVAL = (
    "`low` must be at most `high`, and both they and their difference must be within float16; got"
)
RANGE = "`low` must be less than `high`, and the numbers from one to the other within"

CASES: list[Case] = [
    (
        drawn("uniform", "int32"),
        Type,
        "uniform: the dtype must be one of `float16`, `bfloat16`, `float32`, `float64`, "
        "`complex64`, `complex128`; got 'int32'. Convert the result.",
    ),
    (
        drawn("multinomial", "int32", weights=[1.0]),
        Type,
        "multinomial: the dtype must be one of `int64`; got 'int32'. Convert the result.",
    ),
    *(
        (
            drawn("uniform", "float16", low=low, high=high),
            Value,
            f"uniform: {INTERVAL} low={low} and high={high}. Draw from a smaller interval.",
        )
        for low, high in (
            (2, 1),
            (-4e4, 4e4),
            (0.0, 7e4),
            (float("nan"), 1.0),
            (0.0, float("inf")),
        )
    ),
    (drawn("normal", std=-1), Value, f"normal: `std` must be at least 0; got -1.0. {CLAMP}"),
    (
        drawn("normal", std=[1.0, 0.0, -2.0, 1.0]),
        Value,
        f"normal: `std` must be at least 0; got -2.0. {CLAMP}",
    ),
    (drawn("bernoulli", p=1.5), Value, f"bernoulli: `p` must be in [0, 1]; got 1.5. {CLAMP}"),
    (
        drawn("bernoulli", p=[0.5, float("nan"), 0, 0]),
        Value,
        f"bernoulli: `p` must be in [0, 1]; got nan. {CLAMP}",
    ),
    *(
        (
            drawn("randint", dtype, low=low, high=high),
            Value,
            f"randint: {RANGE} {dtype}; got low={low} and high={high}. Draw from another range.",
        )
        for dtype, low, high in (
            ("int64", 3, 3),
            ("uint8", 0, 257),
            ("uint8", -1, 2),
            ("bool", 0, 3),
            ("float16", 0, 65506),
            ("float32", 0, 2**63 + 1),
            ("float32", -(2**63) - 1, 0),
            ("uint64", 0, 2**64 + 1),
        )
    ),
    (
        drawn("randperm", "uint8", size=257),
        Value,
        "randperm: uint8 cannot hold the numbers below 257. Draw the permutation as int64.",
    ),
    (
        drawn("multinomial", "int64", weights=[1.0, -1.0]),
        Value,
        f"multinomial: `weights` must be finite and at least 0; got -1.0. {CLAMP}",
    ),
    (
        drawn("multinomial", "int64", weights=[0.0, 0.0]),
        Value,
        "multinomial: `weights` must have a sum above 0 in each row. Leave out empty rows.",
    ),
    (
        drawn("multinomial", "int64", weights=[1.0, 2.0, 3.0]),
        Value,
        "multinomial: without replacement at most 3 of 3 can be drawn; got 4. Draw fewer, or with "
        "replacement.",
    ),
    *(
        (
            drawn(name, **{word: value}),
            Value,
            f"{name}: `{word}` must be a finite number > 0; got {value}. {CLAMP}",
        )
        for name, word in (
            ("exponential", "rate"),
            ("cauchy", "sigma"),
            ("log_normal", "std"),
            ("gamma", "concentration"),
            ("dirichlet", "concentration"),
        )
        for value in (0.0, float("inf"), float("nan"))
    ),
    *(
        (
            drawn("geometric", p=p),
            Value,
            f"geometric: `p` must be in (0, 1); got {p}. {CLAMP}",
        )
        for p in (0.0, 1.0)
    ),
    *(
        (
            drawn("poisson", rate=rate),
            Value,
            f"poisson: `rate` must be in [0, 2**53); got {rate}. {CLAMP}",
        )
        for rate in (-1.0, 2.0**53, float("nan"))
    ),
    *(
        (
            drawn("binomial", count=count, p=0.5),
            Value,
            f"binomial: `count` must be a whole number in [0, 2**53); got {count}. {CLAMP}",
        )
        for count in (-1.0, 2.5, 2.0**53)
    ),
    (
        drawn("binomial", count=3, p=-0.1),
        Value,
        f"binomial: `p` must be in [0, 1]; got -0.1. {CLAMP}",
    ),
]
