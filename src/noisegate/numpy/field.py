"""The field itself, without an input: its parts as arrays of a shape."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from noisegate.core import checks
from noisegate.core.apply import draws_of, field_of
from noisegate.core.draws import Field
from noisegate.core.errors import InvalidType, prefix_errors
from noisegate.core.keys import NO_KEY, Key, check_key, refuse_mapped_step
from noisegate.core.kind import Kind, check_kind
from noisegate.core.prepared import check_rate_shape
from noisegate.core.window import DEFAULT_AXIS, SampleAxis, local_shape, window_of
from noisegate.core.words import got
from noisegate.engines.numpy import NumpyEngine

Shape = int | tuple[int, ...]


def noise(
    kind: Kind,
    shape: Shape,
    key: Key = NO_KEY,
    rows: Any = None,
    sample_axis: SampleAxis = DEFAULT_AXIS,
    *,
    dtype: Any = "float32",
    **live: Any,
) -> Field:
    """Return the field of a kind: (keep, gain, shift, fill), as NumPy arrays.

    Noise on x is ``where(keep, gain·x + shift, fill)``. These are the four parts for an input of
    this shape, or for some of its samples; no input is needed.

    Parameters
    ----------
    kind : Kind
        Any kind of noise.
    shape : int or tuple of int
        Shape of the whole input. For a kind that reads its input, such as ShotNoise, the input
        itself, as an array; `rows` then name its samples, as at a call of the kind.
    key : Key
        ``Stream(seed).site(name).at(step)``.
    rows : slice or sequence of int, optional
        The samples to return. A slice selects along the sample axis of `shape`. Numbers are ids in
        [0, 2⁶⁴), and there are as many samples in the result as ids.
    sample_axis : int or None
        The axis of the samples, as at a call of the kind.
    dtype : dtype
        Precision of gain, shift and fill: float32 for inputs of up to 32 bits for a real number,
        float64 for wider ones.
    **live
        A rate as an array, as at a call of the kind.

    Returns
    -------
    Field
        Named tuple of arrays of one shape; shared axes are broadcast views. A part that the kind
        does not use is neutral: keep True, gain 1, shift −0, fill 0.

    Raises
    ------
    InvalidType, InvalidValue
        If an argument has the wrong type or is out of bounds.

    Examples
    --------
    >>> import noisegate as ng
    >>> key = ng.Stream(13).site("hid1:out").at(0)
    >>> keep, gain, shift, fill = ng.noise(ng.Dropout(0.5), (2, 4), key)
    >>> keep.astype(int)
    array([[0, 0, 1, 1],
           [1, 0, 1, 1]])
    >>> float(gain[0, 0])
    2.0
    """
    with prefix_errors("noise"):
        x = _read_input(kind, shape) if check_kind(kind).reads_input else None
        whole = shape if x is None else x.shape
        return _field(kind, whole, key, rows, sample_axis, dtype, live, x)


def _read_input(kind: Kind, value: Any) -> np.ndarray:
    """Return the input that is given in place of a shape."""
    if isinstance(value, int | tuple):
        raise InvalidType(
            f"{kind!r} depends on its input, so a shape is not enough; {got(value)}. Pass the "
            "input itself, as an array, in place of the shape."
        )
    return np.asarray(value)


def mask(
    kind: Kind,
    shape: Shape,
    key: Key = NO_KEY,
    rows: Any = None,
    sample_axis: SampleAxis = DEFAULT_AXIS,
    **live: Any,
) -> np.ndarray:
    """Return the mask of a kind that removes elements: True where an element is kept.

    It takes the parameters of `noise`, without `dtype`.

    Returns
    -------
    ndarray of bool
        Shared axes are broadcast views.

    Raises
    ------
    InvalidType, InvalidValue
        If an argument has the wrong type or is out of bounds, or if the kind removes nothing.

    Examples
    --------
    Samples 1 and 0, in that order, have the same masks as in any other batch:

    >>> import noisegate as ng
    >>> key = ng.Stream(13).site("hid1:out").at(0)
    >>> ng.mask(ng.Dropout(0.5), (2, 4), key, rows=[1, 0])
    array([[ True, False,  True,  True],
           [False, False,  True,  True]])
    """
    with prefix_errors("mask"):
        check_kind(kind).check_removes()
        field = _field(kind, shape, key, rows, sample_axis, "float32", live)
    keep: np.ndarray = field.keep
    return keep


def _field(
    kind: Kind,
    shape: Shape,
    key: Key,
    rows: Any,
    sample_axis: SampleAxis,
    dtype: Any,
    live: Mapping[str, Any],
    x: Any = None,
) -> Field:
    """Return the field of a shape, or of the input x, whose samples have the rows."""
    check_kind(kind)
    whole = checks.check_shape(shape)
    engine = NumpyEngine()
    with prefix_errors(type(kind).__name__):
        if type(check_key(key).step) is not int:
            refuse_mapped_step(type(kind).__name__)
        rate = kind.rate_at(key.step, live)
        window = window_of(whole, kind.shared, rows, sample_axis, select=x is None)
        part = local_shape(whole, rows, sample_axis) if x is None else whole
        if not checks.is_host(rate):
            check_rate_shape(kind.RATE, rate, part)
    precision = np.dtype(dtype).name
    if precision not in ("float32", "float64"):
        raise InvalidType(
            f"`dtype` must be float32 or float64, the precision of the noise; got {precision}."
        )
    if kind.reads_input and x is None:  # a mask depends on no value of it, so any will do
        x = np.zeros(part)
    # Without a warning, as when noise is applied: a number too large for the dtype becomes inf.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        draws = draws_of(engine, kind, key, window, precision, x)
        field = field_of(kind, draws, rate)
    neutral = Field(keep=True, gain=1.0, shift=-0.0)
    values = (other if own is None else own for own, other in zip(field, neutral, strict=True))
    dtypes = ("bool", precision, precision, precision)
    return Field(*(_full(value, name, part) for value, name in zip(values, dtypes, strict=True)))


def _full(values: Any, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    array = np.asarray(values, dtype)
    return array if array.shape == shape else np.broadcast_to(array, shape)
