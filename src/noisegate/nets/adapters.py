"""Two layers that compute nothing of their own: a network's input, and a module of the user's."""

import copy
from collections.abc import Mapping, Sequence
from inspect import Parameter
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from noisegate.core.errors import InvalidType, InvalidValue, prefix_errors
from noisegate.torch.generators import TORCH, keep_states
from noisegate.torch.model.discover import is_activation

from . import shapes
from .joinable import Joinable
from .layer import LAYER_CLASSES, Layer
from .options import COMMON
from .shapes import Shape
from .to_json import name_of

_SHAPE = int | tuple[int | None, ...] | None
_BY_PLACE, _BY_NAME = Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY


class Input(Layer):
    """What enters a network.

    Parameters
    ----------
    shape : int or tuple
        Shape of a sample; None for an extent that is not known. None itself takes the size of
        the features from the data of an estimator.
    input_var : tensor, optional
        What `get_output` takes where no input is given.
    batch_shape : tuple, optional
        The shape with the batch in front, in the place of `shape`.
    """

    PARAMETERS: ClassVar[Mapping[str, Parameter]] = {
        "shape": Parameter("shape", _BY_PLACE, default=None, annotation=_SHAPE),
        "input_var": Parameter("input_var", _BY_PLACE, default=None, annotation=Any),
        "batch_shape": Parameter("batch_shape", _BY_NAME, default=None, annotation=_SHAPE),
    }

    def _accept(self, given: Mapping[str, Any]) -> None:
        super()._accept(given)
        self.resize(given["shape"], given["batch_shape"])
        self.built = True

    def resize(self, shape: Any, batch_shape: Any = None) -> None:
        """Set the shape of a sample."""
        if batch_shape is not None and shape is not None:
            raise InvalidType(
                "`shape` is of a sample, `batch_shape` has the batch in front; give one of them."
            ).prefix("Input")
        with prefix_errors("Input"):
            if batch_shape is not None:
                whole = self.expected = shapes.check_layer_shape(batch_shape)
                self.arguments = {**self.arguments, "shape": whole[1:], "batch_shape": whole}
            else:
                self.expected = None if shape is None else (None, *shapes.check_layer_shape(shape))

    def _assign(self, name: str, value: Any) -> None:
        if value is not self.arguments[name]:
            self.refuse_change(name)

    def infer_shape(self, *given: Shape) -> Shape:
        """Return the shape, with what the layer and the input each know of it."""
        if self.expected is None:
            return given[0]
        if not shapes.can_be_equal(self.expected, given[0]):
            raise ValueError(f"it takes {shapes.write(self.expected)}")
        return shapes.merge(self.expected, given[0])

    def forward(self, x: Tensor) -> Tensor:
        """Return the input; raise if its shape is another."""
        expected = self.expected
        if expected is not None and not shapes.can_be_equal(expected, x.shape):
            raise InvalidValue(
                f"{self.shown} takes {shapes.write(expected)}; got an input of shape "
                f"{tuple(x.shape)}."
            )
        return x


LAYER_CLASSES["Input"] = Input


class Wrapped(Layer):
    """A module of the user's as a layer; the network's child is the module itself."""

    merges = True

    def __init__(self, module: nn.Module) -> None:
        nn.Module.__init__(self)
        self._start(COMMON)
        self._accept({})
        self.module = module
        self.built = self.nested is None or self.nested.complete_now

    @property
    def child(self) -> nn.Module:
        """The module itself."""
        return self.module

    @property
    def class_name(self) -> str:
        """The class of the module."""
        return type(self.module).__name__

    @property
    def nested(self) -> Any:
        """The module, if it is a network."""
        return self.module if isinstance(self.module, Joinable) else None

    @property
    def is_weighted(self) -> bool:
        """Whether the module has a matrix of weights beside embeddings."""
        modules = [m for m in self.module.modules() if not isinstance(m, nn.Embedding)]
        return any(p.ndim > 1 for m in modules for p in m.parameters(recurse=False))

    @property
    def activates(self) -> bool:
        """Whether the module is an activation."""
        return is_activation(self.module)

    def can_build(self, *given: Shape) -> bool:
        """Return whether a nested network can make its parameters for this shape."""
        nested = self.nested
        return nested is None or nested.complete_now or bool(nested.can_complete(*given))

    def build(self, *given: Shape, device: Any = None, dtype: Any = None) -> None:
        """Make the parameters of a nested network."""
        if self.nested is not None and not self.nested.complete_now:
            like = None if device is None else torch.empty(0, device=device, dtype=dtype)
            self.nested.complete(*given, like=like)
        self.built = True

    def compute_mask(self, x: Any, mask: Tensor | None = None) -> Tensor | None:
        """Return the mask; the network drops it if the output has another number of steps."""
        return mask

    def infer_shape(self, *given: Shape) -> Shape:
        """Run the module on zeros and return the output's shape."""
        if self.nested is not None:
            shape: Shape = self.nested.get_output_shape(*given)
            return shape
        # Two sizes for what is not known: an extent that differs depends on it.
        first, second = (
            _run_on_zeros(self.module, [_fill_unknown(shape, *pair) for shape in given]).shape
            for pair in ((2, 64), (3, 65))
        )
        return tuple(a if a == b else None for a, b in zip(first, second, strict=True))

    def forward(self, *inputs: Tensor) -> Any:
        """Return the module's output."""
        return self.module(*inputs)

    def write_config(self) -> dict[str, Any]:
        """Return a nested network's config, or the name under which `load` is given the module."""
        if self.nested is not None:
            return {"class": "Network", "config": self.nested.get_config()}
        return {
            "class": "custom",
            "config": {"custom": name_of(self.module), "name": self.given_name},
        }

    def __repr__(self) -> str:
        """Return the module's own repr."""
        return repr(self.module)


def _fill_unknown(shape: Shape, batch: int, other: int) -> tuple[int, ...]:
    """Return a shape with numbers for unknown extents: a small batch, and large maps."""
    first = batch if shape[0] is None else shape[0]
    return (first, *(other if extent is None else extent for extent in shape[1:]))


def _run_on_zeros(module: nn.Module, extents: Sequence[tuple[int, ...]]) -> Tensor:
    """Return a module's output for zeros, computed without memory where the module allows it."""
    # Lazy modules need real tensors to make their parameters.
    lazy = any(isinstance(p, UninitializedParameter) for p in module.parameters())
    for device in ("cpu",) if lazy else ("meta", "cpu"):
        inputs = [torch.zeros(extent, device=device) for extent in extents]
        try:
            with torch.no_grad(), keep_states(TORCH):
                output = copy.deepcopy(module).to(device).eval()(*inputs)
            break
        except Exception as error:  # whatever a module of the user's raises
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    else:
        raise ValueError(reason.rstrip("."))
    if not isinstance(output, Tensor):
        raise ValueError(f"it must return a tensor, and returns {type(output).__name__}")
    return output
