"""Sentences about arrays and their dtypes."""

from collections.abc import Sequence


def unsupported_array(who: str, value: object, supported: Sequence[str]) -> str:
    return (
        f"{who}: the input must be an array of {' or '.join(supported)}; "
        f"got {type(value).__module__}.{type(value).__qualname__}."
    )


def integer_fill(who: str, dtype: object, value: float) -> str:
    return (
        f"{who}: input of {dtype} cannot hold {value:g}, which takes the place of what is "
        "removed. Give another value, or convert the input."
    )


def integer_input(who: str, dtype: object, remedy: str) -> str:
    return f"{who}: the input must hold floating-point numbers; got {dtype}. {remedy}"


def unsupported_dtype(who: str, dtype: object) -> str:
    return (
        f"{who}: the input's dtype must be float16, bfloat16, float32, float64, complex64 or "
        f"complex128; got {dtype}."
    )


def complex_shift(who: str, dtype: object) -> str:
    return (
        f"{who}: additive noise on complex numbers is not defined; got {dtype}. "
        "Noise the real and the imaginary part on their own."
    )


def complex_fill(who: str, dtype: object) -> str:
    return (
        f"{who}: a value in place of complex numbers is not defined; got {dtype}. "
        "Noise the real and the imaginary part on their own."
    )


def sparse_input(who: str, layout: object) -> str:
    return f"{who}: the input must be dense; got {layout}. Convert it with x.to_dense()."


def nested_input(who: str) -> str:
    return (
        f"{who}: the input must be dense; got a nested tensor. "
        "Convert it with x.to_padded_tensor(0.0)."
    )


def mask_of_nothing(kind: str) -> str:
    return f"mask: {kind} removes nothing, so it has no mask. Use noisegate.noise for its field."


def noise_dtype(dtype: object) -> str:
    return f"noise: `dtype` must be float32 or float64, the precision of the noise; got {dtype}."
