"""Bad input of kinds that read their input, and of spans, and the sentence for each."""

from collections.abc import Callable
from typing import Any

import numpy as np

import noisegate as ng
from _own_kinds import Rounding, ShakeDrop

Case = tuple[Callable[[], Any], type[Exception], str]

KEY = ng.Stream(13).site("a").at(0)
X = np.ones((3, 4), np.float32)
ATTENTION: Any = {"sample_axis": "attention"}
PROBABILITIES = np.ones((2, 3, 4, 5), np.float32)
Value, Type = ng.InvalidValue, ng.InvalidType


def make_undeclared() -> Any:
    return type("Undeclared", (ng.Kind,), {"reads_input": True})


def read_undeclared() -> Any:
    def read(kind: Any, draws: Any, rate: Any) -> Any:
        return ng.Field(shift=draws.x * rate)

    return type("ShakeDrop", (ShakeDrop,), {"field": read})(0.5)(X, KEY)


def read_backward() -> Any:
    def read(kind: Any, draws: Any, rate: Any) -> Any:
        return ng.Field(gain=draws.x)

    kind = type("Rounding", (Rounding,), {"backward_field": read})(0.5)
    return ng.numpy.backward(X, ng.numpy.forward(kind, X, rng=13)[1])


READS = (
    "`draws.x` is the input, which only `field` may read, of a kind that sets "
    "`reads_input = True`. Derivatives are computed without it."
)

CASES: list[Case] = [
    (
        make_undeclared,
        Type,
        "Undeclared: a kind that reads its input must define `backward_field`, since the "
        "derivative of its field is unknown. Return for example Field(), which passes gradients "
        "through.",
    ),
    (read_undeclared, Type, f"ShakeDrop: {READS}"),
    (read_backward, Type, f"Rounding: {READS}"),
    (
        lambda: ng.QuantizationNoise(0.5)(X.astype(np.complex64), KEY),
        Type,
        "QuantizationNoise: the noise depends on the input, which must be real; got complex64. "
        "Noise the real and the imaginary part on their own.",
    ),
    (
        lambda: ng.noise(ng.ShotNoise(0.5), (3, 4), KEY),
        Type,
        "noise: ShotNoise(scale=0.5) depends on its input, so a shape is not enough; got (3, 4). "
        "Pass the input itself, as an array, in place of the shape.",
    ),
    (
        lambda: ng.mask(ng.ShotNoise(0.5), (3, 4), KEY),
        Value,
        "mask: ShotNoise(scale=0.5) removes nothing, so it has no mask. Use noisegate.noise for "
        "its field.",
    ),
    (
        lambda: ng.ShotNoise(0.5)(np.array([[1.0, -0.25]]), KEY),
        Value,
        "ShotNoise: the input must hold no negative numbers, since each is an expected number of "
        "events; got -0.25. Clamp it, or apply the noise before the input is normalised.",
    ),
    (
        lambda: ng.ShotNoise(-0.5),
        Value,
        "ShotNoise: `scale` must be a finite number >= 0; got -0.5. Did you mean 0.5?",
    ),
    (
        lambda: ng.QuantizationNoise(0.5, 1),
        Value,
        "QuantizationNoise: `bits` must be in [2, 16]; got 1.",
    ),
    (
        lambda: ng.QuantizationNoise(0.5)(PROBABILITIES, KEY, **ATTENTION),
        Value,
        "QuantizationNoise: what an attention holds has no range of its own. Use "
        "noisegate.Dropout there.",
    ),
    (
        lambda: ng.NeftuneNoise()(PROBABILITIES, KEY, **ATTENTION),
        Value,
        "NeftuneNoise: what an attention holds has no length and width. Use "
        "noisegate.UniformNoise there.",
    ),
    (
        lambda: ng.PatchDropout(0.5)(PROBABILITIES, KEY, **ATTENTION),
        Value,
        "PatchDropout: what an attention holds has no tokens to leave out. Use "
        "noisegate.DropKey on scores, with shared_axes=-2.",
    ),
    (
        lambda: ng.PatchDropout(0.5)(np.ones(3), KEY, sample_axis=0),
        Value,
        "PatchDropout: the input must have an axis of tokens, the first one besides the sample "
        "axis; got an input of rank 1. Write for example x[None] for one sample.",
    ),
    (
        lambda: ng.PatchDropout(1.0),
        Value,
        "PatchDropout: `p` must be in [0, 1), since one token stays at least; got 1.0. Take a "
        "number below 1.",
    ),
    (
        lambda: ng.PatchDropout(0.5, -1),
        Value,
        "PatchDropout: `prefix` must be in [0, 2**32); got -1.",
    ),
    (
        lambda: ng.RandomErasing(0.5, 0.2),  # type: ignore[arg-type]
        Type,
        "RandomErasing: `area` must be a pair (lowest, highest); got 0.2.",
    ),
    (
        lambda: ng.RandomErasing(0.5, aspect=(3.0, 1.0)),
        Value,
        "RandomErasing: `aspect` must have its lowest number first; got (3.0, 1.0).",
    ),
    (
        lambda: ng.RandomErasing(1.0)(np.ones((2, 3, 4)), KEY),
        Value,
        "RandomErasing: `axes` must name two spatial axes, height and width; got (2,) of an input "
        "of rank 3. Use noisegate.SpanMask for other numbers.",
    ),
    (
        lambda: ng.SpanMask(1.0, 4, 0),
        Value,
        "SpanMask: `count` must be a whole number >= 1; got 0.",
    ),
    (
        lambda: ng.SpanMask(1.0, 0),
        Value,
        "SpanMask: `size` must be a whole number >= 1, or one for each spatial axis; got 0.",
    ),
    (
        lambda: ng.SpanMask(1.0, (3, 4))(X, KEY),
        Value,
        "SpanMask: `size` must have one extent for each spatial axis; got (3, 4) for the axes "
        "(1,).",
    ),
    (
        lambda: ng.SpanMask(1.0, 4, axes=0)(X, KEY),
        Value,
        "SpanMask: `axes` names axis 0, which is the sample axis; it must name others. Write for "
        "example axes=-1, or slice(1, -1) for (samples, height, width, channels).",
    ),
    (
        lambda: ng.SpanMask(1.0, 4, fill=0.5)(np.ones((3, 4), np.uint8), KEY),
        Type,
        "SpanMask: the input must hold floating-point numbers; got uint8. Convert it with "
        "x.astype('float32') or x.float().",
    ),
]
