"""Noise on jagged nested tensors: a sample has the noise of its row in a padded batch."""

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor
from torch.nested._internal.nested_tensor import nested_view_from_values_offsets_lengths

from noisegate.core.errors import InvalidType, InvalidValue, prefix_errors
from noisegate.core.keys import Key
from noisegate.core.kind import Kind
from noisegate.core.prepared import Prepared, prepare
from noisegate.core.window import SampleAxis


def read_shape(x: Tensor, name: str) -> tuple[int, ...]:
    """Return a tensor's shape; that of the padded batch for a nested one. Errors bear the name."""
    if not x.is_nested:
        return tuple(x.shape)
    with prefix_errors(name):
        return _read_padded_shape(x)


def apply_to_nested(
    kind: Kind,
    x: Tensor,
    key: Key,
    rows: Any,
    sample_axis: SampleAxis,
    live: Mapping[str, Any],
    apply: Callable[..., Tensor],
) -> Tensor:
    """Return a nested tensor with noise on it; `apply` puts it on a dense one."""
    shape = read_shape(x, type(kind).__name__)
    with prefix_errors(type(kind).__name__):
        for name, rate in live.items():
            if isinstance(rate, Tensor) and rate.is_nested:
                raise InvalidType(f"`{name}` must be a number or a dense tensor; got a nested one.")
    call = prepare(kind, key, shape, rows, sample_axis, live)
    if call.idle:
        return x
    with prefix_errors(type(kind).__name__):
        _check_rows_are_samples(call, shape, sample_axis)
    values, offsets = x.values(), _read_offsets(x)
    lengths = offsets.diff()
    taken = torch.arange(shape[1], device=lengths.device) < lengths[:, None]
    padded = values.new_zeros(shape)
    padded[taken] = values
    if kind.elementwise:
        y = apply(kind, padded, key, rows, sample_axis, live)[taken]
    else:  # what lies behind a sample might change the noise on it
        parts = _split_samples(
            padded, lengths.tolist(), call.window.sample_axis, call.window.rows, live
        )
        done = [apply(kind, part, key, own, sample_axis, rate)[0] for part, own, rate in parts]
        y = torch.cat(done) if done else values
    # Not by torch's public function, whose first call logs a warning.
    return cast(Tensor, nested_view_from_values_offsets_lengths(y, offsets, None))


def _split_samples(
    padded: Tensor, lengths: list[int], axis: int | None, rows: Any, live: Mapping[str, Any]
) -> list[tuple[Tensor, Any, dict[str, Any]]]:
    """Return each sample without its padding, as a batch of one, with its row and its rates."""
    parts = []
    for i, length in enumerate(lengths):
        part = slice(i, i + 1)
        rates = {
            name: rate.expand(padded.shape)[part, :length] if isinstance(rate, Tensor) else rate
            for name, rate in live.items()
        }
        parts.append((padded[part, :length], None if axis is None else rows[part], rates))
    return parts


def _read_padded_shape(x: Tensor) -> tuple[int, ...]:
    if x.layout is not torch.jagged:
        raise InvalidType(
            f"a nested tensor must have the layout torch.jagged; got {x.layout}. Make it with "
            "torch.nested.nested_tensor(parts, layout=torch.jagged)."
        )
    jagged = cast(Any, x)  # torch has no public name for the ragged axis
    if jagged._ragged_idx != 1 or jagged.lengths() is not None:
        raise InvalidValue(
            "a nested tensor must be contiguous, of shape (samples, ragged, ...); got "
            f"{tuple(x.shape)}. Put the noise before x.transpose(), or on x.contiguous()."
        )
    lengths = _read_offsets(x).diff()
    longest = int(lengths.max()) if len(lengths) else 0
    return (len(lengths), longest, *x.values().shape[1:])


def _read_offsets(x: Tensor) -> Tensor:
    return cast(Tensor, cast(Any, x).offsets())


def _check_rows_are_samples(
    call: Prepared, shape: tuple[int, ...], sample_axis: SampleAxis
) -> None:
    """Raise unless the offsets of a sample are the same however long the others are."""
    window = call.window
    if window.form is not None or not (window.sample_axis == 0 or window.shape[0] == 1):
        raise InvalidValue(
            f"the samples of a nested tensor lie on axis 0; got sample_axis={sample_axis!r}. "
            "Leave `sample_axis` out."
        )
