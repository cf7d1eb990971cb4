"""Draw the numbers of torch's random functions from the field."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from noisegate.core.distributions import sample
from noisegate.core.window import window_of

from .application import CPU


def draw_values(
    distribution: str, parameters: Mapping[str, Any], target: Tensor, parts: Sequence[Any]
) -> Tensor:
    """Return numbers of a distribution, in the shape and the dtype of a tensor.

    Parameters
    ----------
    distribution : str
        A name of `noisegate.core.distributions.DISTRIBUTIONS`.
    parameters : mapping of name to number or Tensor
        Those of the distribution. A tensor broadcasts to the target; the last axis of weights is
        of classes.
    parts : sequence
        Equal parts of the first axis, each with its `key`, its `rows` and its sample `axis`.
    """
    dtype, shape = str(target.dtype).removeprefix("torch."), tuple(target.shape)
    if len(parts) > 1:
        shape = (shape[0] // len(parts), *shape[1:])
    drawn = []
    for number, part in enumerate(parts):
        given = {
            name: _take_part(value, target, number, len(parts))
            for name, value in parameters.items()
        }
        window = window_of(shape, (), part.rows, part.axis)
        drawn.append(sample(CPU, distribution, part.key, window, dtype, **given))
    values = drawn[0] if len(drawn) == 1 else torch.cat(drawn)
    return values.to(target.device)


def _take_part(value: Any, target: Tensor, number: int, count: int) -> Any:
    """Return the part of a parameter that belongs to a part of the target's first axis."""
    if not isinstance(value, Tensor):
        return value
    value = value.cpu()
    if count == 1 or value.ndim < target.ndim or value.shape[0] != target.shape[0]:
        return value
    return value.chunk(count)[number]
