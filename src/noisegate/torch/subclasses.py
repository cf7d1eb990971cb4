"""Tensors of classes other than torch's own: without numbers, or with a meaning of their own."""

from typing import Any

from torch import Tensor
from torch._subclasses import FakeTensor
from torch.fx.experimental.proxy_tensor import get_proxy_mode

from noisegate.core.errors import InvalidType
from noisegate.core.kind import Kind

# Classes whose operations do not mean those of the numbers in them, by name, since importing them
# takes time; with what to do instead.
_REFUSED = {
    "torch.masked.maskedtensor.core.MaskedTensor": "Put the noise on x.get_data().",
}


def is_fake(x: Tensor) -> bool:
    """Return whether x has a shape and no numbers, and nobody records what is done with it."""
    return isinstance(x, FakeTensor) and get_proxy_mode() is None


def refuse_subclass(kind: Kind, x: Any) -> None:
    """Raise if x is of a class whose operations would not give the noise of its numbers."""
    for base in type(x).__mro__:
        remedy = _REFUSED.get(f"{base.__module__}.{base.__qualname__}")
        if remedy is not None:
            raise InvalidType(
                f"{type(kind).__name__}: the input must be a plain tensor; got "
                f"{base.__qualname__}. {remedy}"
            )
