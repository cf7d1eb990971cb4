"""Traces: which kinds have one, and that each equals the kind's field."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

import noisegate as ng
from _asserts import assert_same_bits
from _backends import pure_engines
from _native_kinds import Constant, Either, Gate, Gated, Jitter, Words
from _native_run import run
from _own_kinds import LaplaceNoise, SignFlip
from noisegate.core.trace import trace_kind

KEY = ng.Stream(13).site("hid1:out").at(5)
X = np.random.default_rng(1).normal(size=(6, 70)).astype(np.float32)

WITH = [
    ng.Dropout(0.3),
    ng.Dropout(0.3, rescale=False),
    ng.AlphaDropout(0.3),
    ng.ImpulseNoise(0.3, 0, 1),
    ng.GaussianNoise(0.3),
    ng.GaussianDropout(0.3),
    ng.UniformNoise(0.3),
    ng.Zoneout(0.3),
    Gated(0.3),
    Constant(0.3),
    Jitter(0.3),
    Jitter(0.3, normal=False, shifts=True),
]
WITHOUT = [
    ng.DropBlock(0.3, 2),
    ng.DropBlock(0.3, 2, normalize="sample"),
    ng.ConcreteDropout(0.3),
    SignFlip(0.3),
    LaplaceNoise(0.3),
    Gate(0.3),
    Either(0.3),
    Words(0.3),
]


@pytest.mark.parametrize("kind", WITH, ids=repr)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kinds_that_have_a_trace(kind: Any, dtype: str) -> None:
    assert trace_kind(kind, kind.rate, dtype) is not None


@pytest.mark.parametrize("kind", WITHOUT, ids=repr)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kinds_that_have_none(kind: Any, dtype: str) -> None:
    assert trace_kind(kind, kind.rate, dtype) is None


def assert_pure(kind: Any, *more: Any) -> None:
    """NumPy's and torch's bits are those of the pure engines, in both precisions."""
    for x in (X, X.astype(np.float64), torch.from_numpy(X), torch.from_numpy(X).double(), *more):
        with pure_engines():
            expected = kind(x, KEY)
        assert_same_bits(kind(x, KEY), expected)


@dataclass(frozen=True)
class Filled(ng.Kind):
    """A fill and a shift that nobody checks, so that they may be -0.0, a bool or an int."""

    p: float = 0.5
    fill: Any = 0.0
    gain: Any = None
    shift: Any = None
    RATE = "p"
    removes = True

    def field(self, draws: Any, rate: Any) -> ng.Field:
        return ng.Field(draws.keep(rate), self.gain, self.shift, self.fill)


@dataclass(frozen=True)
class Choosing(ng.Kind):
    """One of two values in place of what is removed."""

    p: float = 0.5
    low: Any = 0.0
    high: Any = 1.0
    RATE = "p"

    def field(self, draws: Any, rate: Any) -> ng.Field:
        fill = draws.where(draws.keep(0.5, number=1), self.high, self.low)
        return ng.Field(draws.keep(rate), fill=fill)


@dataclass(frozen=True)
class Moving(ng.Kind):
    """A normal number times one, plus one, added or multiplied by."""

    a: float = 0.5
    factor: Any = 1.0
    plus: Any = None
    gain: bool = False
    RATE = "a"

    def field(self, draws: Any, rate: Any) -> ng.Field:
        z = draws.normal() * self.factor
        z = z if self.plus is None else z + self.plus
        return ng.Field(gain=z) if self.gain else ng.Field(shift=z)


SIGNED = [
    [ng.ImpulseNoise(0.5, zero, 1.0) for zero in (0.0, -0.0, 0)],
    [ng.ImpulseNoise(0.5, 1.0, zero) for zero in (-0.0, 0.0)],
    [Choosing(0.5, zero, 1.0) for zero in (0.0, -0.0, 0)],
    [Choosing(0.5, 1.0, zero) for zero in (-0.0, 0.0)],
    [Filled(0.5, zero) for zero in (0.0, -0.0)],
    [Filled(0.5, zero) for zero in (-0.0, 0.0)],
    [Filled(0.5, 0.0, None, zero) for zero in (-0.0, 0.0)],
    [Filled(0.5, zero, 2.0) for zero in (-0.0, 0.0)],
    [Filled(0.5, zero, 2.0, 0.5) for zero in (-0.0, 0.0)],
    [Filled(0.5, 3.0, zero) for zero in (-0.0, 0.0)],
    [Moving(0.5, 0.0, zero) for zero in (-0.0, 0.0, None)],
    [Moving(0.5, zero, None, True) for zero in (-0.0, 0.0)],
    [Gated(0.5, 2.0, zero) for zero in (0.0, -0.0)],
    [Either(0.5, None, zero) for zero in (0.0, -0.0)],
    [Either(0.5, None, None, zero) for zero in (0.0, -0.0)],
]


@pytest.mark.parametrize("kinds", SIGNED, ids=lambda kinds: repr(kinds[0]))
def test_minus_zero_is_not_zero(kinds: list[Any]) -> None:
    """Nor where one was used before the other: they are equal, and so are their hashes."""
    zeros = np.array([[0.0, -0.0] * 35] * 6, np.float32)
    for kind in [*kinds, *kinds]:
        assert_pure(kind, zeros, torch.from_numpy(zeros), zeros.astype(np.float16))


NUMBERS = [np.float64(0.1), np.float32(0.1), np.float16(0.1), np.int64(3), 3, True, np.bool_(True)]


@pytest.mark.parametrize("number", [*NUMBERS, 2**60 + 1, 1e300, float("inf")], ids=repr)
@pytest.mark.parametrize("where", ["gain", "shift", "fill", "factor", "plus", "times"])
def test_numbers_of_any_type(number: Any, where: str) -> None:
    if where in ("gain", "shift", "fill"):
        kind: Any = Filled(0.5, **{where: number})
    elif where == "times":
        kind = Times(0.5, number)
    else:
        kind = Moving(0.5, **{where: number})
    assert_same_outcome(kind)


@dataclass(frozen=True)
class Times(ng.Kind):
    """As Moving, with the number on the left."""

    a: float = 0.5
    factor: Any = 1.0
    RATE = "a"

    def field(self, draws: Any, rate: Any) -> ng.Field:
        return ng.Field(gain=self.factor * draws.normal())


def assert_same_outcome(kind: Any) -> None:
    """The bits, or the error, are those of the pure engines."""
    for x in (X, X.astype(np.float64), torch.from_numpy(X), torch.from_numpy(X).double()):
        with pure_engines():
            expected = attempt(kind, x)
        found = attempt(kind, x)
        if isinstance(expected, str) or isinstance(found, str):
            assert found == expected
        else:
            assert_same_bits(found, expected)


def attempt(kind: Any, x: Any) -> Any:
    try:
        with np.errstate(all="ignore"):
            return kind(x, KEY)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def own(function: Any, rate: float = 0.5) -> Any:
    """A kind whose field is a function of draws and the rate."""

    @dataclass(frozen=True)
    class Own(ng.Kind):
        p: float = rate
        RATE = "p"
        removes = True

        def field(self, draws: Any, rate: Any) -> ng.Field:
            return function(draws, rate)

    return Own()


ODD = {
    "share by numpy": lambda d, p: ng.Field(gain=1.0 / np.mean(d.keep(p))),
    "share by sum": lambda d, p: ng.Field(d.keep(p), gain=float(sum(d.keep(p)[0]))),
    "count": lambda d, p: ng.Field(gain=float(len(d.keep(p)))),
    "first": lambda d, p: ng.Field(d.keep(p), gain=float(d.keep(p)[0].any())),
    "largest": lambda d, p: ng.Field(gain=float(np.max(d.keep(p)))),
    "agree": lambda d, p: ng.Field(gain=1.0 * (d.keep(p) == d.keep(p, number=1))),
    "differ": lambda d, p: ng.Field(gain=1.0 * (d.keep(p) != d.keep(p, number=1))),
    "never": lambda d, p: ng.Field(gain=2.0 * (d.uniform() != 0.0)),
    "a whole rate": lambda d, p: ng.Field(d.keep(1)),
    "rate of numpy": lambda d, p: ng.Field(d.keep(np.float64(0.1))),
    "rate of half": lambda d, p: ng.Field(d.keep(np.float16(0.1))),
    "number of bool": lambda d, p: ng.Field(d.keep(p, number=True)),
    "large number": lambda d, p: ng.Field(shift=d.normal(2**30)),
    "negative": lambda d, p: ng.Field(shift=-d.normal()),
    "less": lambda d, p: ng.Field(gain=d.normal() * p - 1.0),
    "square": lambda d, p: ng.Field(gain=d.normal() ** 2),
    "root": lambda d, p: ng.Field(gain=np.sqrt(p) * d.normal()),
    "root last": lambda d, p: ng.Field(gain=d.normal() * np.sqrt(p)),
    "rounded": lambda d, p: ng.Field(gain=d.round(d.normal())),
    "both": lambda d, p: ng.Field(gain=d.normal(), shift=d.normal(1)),
    "kept and random": lambda d, p: ng.Field(d.keep(p), shift=d.normal(1)),
    "fill alone": lambda d, p: ng.Field(fill=2.0),
    "nothing": lambda d, p: ng.Field(),
    "kept and one": lambda d, p: ng.Field(d.keep(p), 1, 0),
    "two numbers": lambda d, p: ng.Field(d.keep(p) & d.keep(p, 1), gain=np.float64(0.1)),
    "moved by numpy": lambda d, p: ng.Field(d.keep(p) & d.keep(p, 1), shift=np.float64(0.1)),
    "tuple": lambda d, p: (d.keep(p), None, None, 0.0),
    "none": lambda d, p: None,
}


@pytest.mark.parametrize("name", ODD)
def test_odd_fields(name: str) -> None:
    assert_same_outcome(own(ODD[name]))


SHAPED = {
    "one row": "d.keep(p)[:1] & d.keep(p, 1)[:1]",
    "one column": "d.keep(p)[:, :1] & d.keep(p, 1)[:, :1]",
    "one": "(d.keep(p) & d.keep(p, 1))[0, 0]",
    "a vector": "(d.keep(p) & d.keep(p, 1))[0]",
    "int8": "d.engine.cast(d.keep(p) & d.keep(p, 1), 'int8')",
    "int32": "d.engine.cast(d.keep(p) & d.keep(p, 1), 'int32')",
    "int64": "d.engine.cast(d.keep(p) & d.keep(p, 1), 'int64')",
    "turned": "(d.keep(p) & d.keep(p, 1))[..., :]",
}
IN_A_PROCESS = """
    import sys
    sys.path[:0] = {path!r}
    import test_native_traces as t
    import noisegate as ng
    for name, keep in t.SHAPED.items():
        print(name, flush=True)
        t.assert_same_outcome(t.own(eval(f"lambda d, p: ng.Field({{keep}}, gain=1.5)")))
    print("ended")
"""


def test_masks_of_other_shapes_and_dtypes() -> None:
    """In a process of its own, which names each: what reads beyond the mask may end it."""
    path = [str(__import__("pathlib").Path(__file__).parent)]
    assert run(IN_A_PROCESS.format(path=path)).split("\n") == [*SHAPED, "ended", ""]


def _raise(draws: Any, rate: Any) -> ng.Field:
    if draws.keep(rate).any():
        raise ValueError("there are survivors")
    return ng.Field()


@pytest.mark.parametrize("function", [_raise, lambda d, p: 1 / 0, lambda d, p: d.keep(p).nothing])
def test_what_raises_raises_the_same(function: Any) -> None:
    for x in (X, torch.from_numpy(X)):
        found = attempt(own(function), x)
        assert isinstance(found, str)
        with pure_engines():
            assert found == attempt(own(function), x)


@dataclass(frozen=True)
class Listed(ng.Kind):
    """A kind without a hash: one of its fields is a list."""

    p: float = 0.5
    levels: Any = field(default_factory=lambda: [1.0, 2.0])
    RATE = "p"

    def field(self, draws: Any, rate: Any) -> ng.Field:
        return ng.Field(draws.keep(rate), gain=self.levels[1])


@dataclass(frozen=True)
class Hidden(ng.Kind):
    """A kind that is equal to others that do something else."""

    p: float = 0.5
    gain: float = field(default=2.0, compare=False, repr=False)
    RATE = "p"

    def field(self, draws: Any, rate: Any) -> ng.Field:
        return ng.Field(draws.keep(rate), gain=self.gain)

    def __repr__(self) -> str:
        return "Hidden()"


def test_kinds_without_a_hash() -> None:
    assert_pure(Listed())


def test_kinds_that_are_equal_and_differ() -> None:
    for gain in (2.0, 3.0, 2.0):
        assert_pure(Hidden(0.5, gain))
    for levels in ([1.0, 2.0], [1.0, 3.0]):
        assert_pure(Listed(0.5, levels))


@pytest.mark.parametrize("x", [X, torch.from_numpy(X)], ids=["numpy", "torch"])
@pytest.mark.parametrize("rows", [range(-3, -3), slice(None, None, -1), [], range(0)], ids=repr)
def test_no_samples(x: Any, rows: Any) -> None:
    for kind in (ng.Dropout(0.5), ng.GaussianNoise(0.5), ng.DropBlock(0.5, 2, axes=1)):
        with pure_engines():
            expected = ng.noise(kind, (0, 5), KEY, rows=rows)
        for one, other in zip(ng.noise(kind, (0, 5), KEY, rows=rows), expected, strict=True):
            assert_same_bits(one, other)
        if not isinstance(rows, slice):
            assert kind(x[:0], KEY, rows=rows).shape == (0, 70)
