"""The layers that are torch's: one table of torch's class, its size argument, and shapes."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from noisegate.core.errors import InvalidType, InvalidValue

from .. import messages, options, shapes
from ..layer import Layer
from ..shapes import Shape, per_axis
from ..tensors import tensor_of

_SEVERAL = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)

Rule = Callable[[Mapping[str, Any], Shape], Shape]


@dataclass(frozen=True, slots=True)
class Row:
    """A layer that is torch's.

    Attributes
    ----------
    name : str
        The layer's name.
    torch : type
        The class of torch whose parameters and forward it has.
    shape : callable
        Returns the shape of the output from the arguments and the shape of the input, or raises
        ValueError with the reason.
    size : str or None
        Torch's argument that the input's extent fills in.
    axis : int
        The axis of that extent.
    whole : tuple of str
        Arguments that are whole numbers of at least 1; all others are torch's affair.
    keeps_time : bool
        Whether axis 1 of the output is axis 1 of the input.
    weighted : bool
        Whether it has a matrix of weights that its input is multiplied by.
    """

    name: str
    torch: type[nn.Module]
    shape: Rule
    size: str | None = None
    axis: int = 1
    whole: tuple[str, ...] = ()
    keeps_time: bool = False
    weighted: bool = False

    def parameters(self) -> dict[str, Parameter]:
        """Return torch's arguments, without the one that the input fills in."""
        given = signature(self.torch).parameters
        return {
            name: p
            for name, p in given.items()
            if name not in (self.size, "self") and p.kind not in _SEVERAL
        }


def _ranked(shape: Shape, count: int, words: str) -> None:
    if len(shape) != count:
        raise ValueError(f"it takes {words}")


_PLACES = {1: "L", 2: "H, W", 3: "D, H, W"}


def _convolution(d: int) -> Rule:
    def rule(given: Mapping[str, Any], shape: Shape) -> Shape:
        _ranked(shape, d + 2, f"(N, C, {_PLACES[d]})")
        if shape[1] is not None and shape[1] % given["groups"]:
            raise ValueError(f"its channels are no multiple of groups={given['groups']}")
        padding = given["padding"]
        pads = (padding,) * d if isinstance(padding, str) else per_axis(padding, d)
        rest = (per_axis(given[n], d) for n in ("kernel_size", "stride", "dilation"))
        extents = zip(shape[2:], *rest, pads, strict=True)
        out = (shapes.convolved(n, kernel, s, p, dilate) for n, kernel, s, dilate, p in extents)
        return (shape[0], given["out_channels"], *out)

    return rule


def _pooling(d: int) -> Rule:
    def rule(given: Mapping[str, Any], shape: Shape) -> Shape:
        _ranked(shape, d + 2, f"(N, C, {_PLACES[d]})")
        kernel = given["kernel_size"]
        stride = kernel if given["stride"] is None else given["stride"]
        names = (kernel, stride, given["padding"], given.get("dilation", 1))
        each = zip(shape[2:], *(per_axis(value, d) for value in names), strict=True)
        ceil = given["ceil_mode"]
        return (*shape[:2], *(shapes.pooled(n, k, s, p, dil, ceil) for n, k, s, p, dil in each))

    return rule


def _flatten(given: Mapping[str, Any], shape: Shape) -> Shape:
    for axis in (given["start_dim"], given["end_dim"]):
        if not -len(shape) <= axis < len(shape):
            raise ValueError(f"it has no axis {axis}")
    start, end = given["start_dim"] % len(shape), given["end_dim"] % len(shape)
    if start > end:
        raise ValueError("start_dim comes after end_dim")
    return (*shape[:start], shapes.product(shape[start : end + 1]), *shape[end + 1 :])


ROWS: tuple[Row, ...] = (
    *(
        Row(
            f"Convolution{d}d",
            getattr(nn, f"Conv{d}d"),
            _convolution(d),
            size="in_channels",
            whole=("out_channels",),
            weighted=True,
        )
        for d in (1, 2, 3)
    ),
    *(Row(f"MaxPooling{d}d", getattr(nn, f"MaxPool{d}d"), _pooling(d)) for d in (1, 2, 3)),
    *(Row(f"AveragePooling{d}d", getattr(nn, f"AvgPool{d}d"), _pooling(d)) for d in (1, 2, 3)),
)
FLATTEN = Row("Flatten", nn.Flatten, _flatten)


class TorchLayer(Layer):
    """A layer that is a row of the table."""

    row: ClassVar[Row]

    def _accept(self, given: Mapping[str, Any]) -> None:
        super()._accept(given)
        if self.row.size is None:
            self.build()
        else:
            # Torch's own checks, before the size is known.
            self._inner(_probe(self.arguments), torch.device("meta"), None)

    def _assign(self, name: str, value: Any) -> None:
        before, built = self.arguments, self.built
        super()._assign(name, value)
        try:
            if not self.built and self.row.size is None:
                self.build()
            elif not self.built:
                self._inner(_probe(self.arguments), torch.device("meta"), None)
        except Exception:
            self.arguments, self.built = before, built
            raise

    def parameter_names(self) -> tuple[str, ...]:
        """Return the names of the parameters that it has or will have."""
        inner = self._inner(_probe(self.arguments), torch.device("meta"), None)
        return tuple(name for name, _ in (*inner.named_parameters(), *inner.named_buffers()))

    def size_in(self, shape: Shape) -> int | None:
        """Return the extent of the input that its parameters depend on."""
        return shape[self.row.axis]

    def shape_rule(self, *given: Shape) -> Shape:
        """Return the shape of the output; raise ValueError with the reason if there is none."""
        shape = self.row.shape(self.arguments, given[0])
        if self.built and self.row.size is not None:
            known, new = getattr(self, self.row.size), self.size_in(given[0])
            known = known[-1] if isinstance(known, tuple) else known
            if new is not None and new != known:
                raise ValueError(f"its parameters are for {self.row.size}={known}")
        return shape

    def can_build(self, *given: Shape) -> bool:
        """Return whether parameters can be made for this shape of the input."""
        return self.row.size is None or self.size_in(given[0]) is not None

    def build(self, *given: Shape, device: Any = None, dtype: Any = None) -> None:
        """Make the parameters for a shape of the input, once, as torch initialises them."""
        if self.built:
            return
        size = self.size_in(given[0]) if given and self.row.size is not None else None
        absorb(self, self._inner(size, device, dtype))
        for parameter in self.parameters():
            parameter.requires_grad_(self.trainable)
        self.built = True

    def _inner(self, size: int | None, device: Any, dtype: Any) -> nn.Module:
        words = dict(self.arguments)
        if self.row.size is not None:
            words[self.row.size] = size
            for word, value in (("device", device), ("dtype", dtype)):
                if value is not None and word in words and words[word] is None:
                    words[word] = value
        return self.row.torch(**words)

    def forward(self, x: Tensor) -> Tensor:
        """Return what torch's module gives."""
        if not self.built:
            build_from(self, x)
        try:
            return self.row.torch.forward(self, x)  # type: ignore[no-any-return]
        except (RuntimeError, ValueError):
            refuse_shape(self, x)
            raise


def absorb(layer: nn.Module, inner: nn.Module) -> None:
    """Let a layer have what a module of torch's has: parameters, buffers and attributes."""
    plain = vars(nn.Module())
    for name, value in vars(inner).items():
        if name in ("_parameters", "_buffers", "_modules"):
            layer.__dict__[name].update(value)
        elif name not in plain:
            layer.__dict__[name] = value


class FlattenLayer(TorchLayer):
    """`torch.nn.Flatten`, which keeps the time where it begins behind it."""

    def compute_mask(self, x: Any, mask: Tensor | None = None) -> Tensor | None:
        """Return the mask, if axis 1 stays what it was."""
        return mask if self.arguments["start_dim"] % x.ndim > 1 else None


def build_from(layer: Layer, x: Tensor) -> None:
    """Make the parameters of a layer for a tensor that enters it."""
    dtype = x.dtype if x.is_floating_point() else None
    shape: Shape = (None, *x.shape[1:])
    layer.get_output_shape(shape)
    layer.build(shape, device=x.device, dtype=dtype)


def _probe(arguments: Mapping[str, Any]) -> int:
    groups = arguments.get("groups", 1)
    return groups if isinstance(groups, int) and groups > 0 else 1


def layer_of(row: Row, base: type[Layer] = TorchLayer, **members: Any) -> Any:
    """Return the class of a row."""
    given = row.parameters()
    checks = {word: options.size for word in row.whole if word in given}
    doc = f"""{row.name}: `torch.nn.{row.torch.__name__}`, its arguments torch's."""
    if row.size is not None:
        doc += f"\n\n`{row.size}` is taken from the input."
    return type(
        row.name,
        (base, row.torch),
        {
            "__doc__": doc,
            "__module__": "noisegate.nets.layers",
            "row": row,
            "PARAMETERS": given,
            "CHECKS": checks,
            "keeps_time": row.keeps_time,
            **members,
        },
    )


def refuse_shape(layer: Layer, x: Tensor) -> None:
    """Say which input a layer takes, where that is why torch has refused one."""
    layer.get_output_shape((None, *x.shape[1:]))


def arrays_of(layer: Layer, weights: Any) -> list[Tensor]:
    """Return a list of weights as tensors, or say what is none."""
    several = list(weights) if isinstance(weights, Iterable) else [None]
    found = [tensor_of(value) for value in several]
    known = [value for value in found if value is not None]
    if len(known) < len(found) or isinstance(weights, str | Mapping):
        raise InvalidType(messages.no_arrays(layer.shown, weights))
    return known


def refuse_weights(layer: Layer, values: Any, expected: list[tuple[int | None, ...]]) -> None:
    """Refuse weights of another number, or of other shapes, than a layer has."""
    found = [tuple(getattr(value, "shape", ())) for value in values]
    if len(found) != len(expected):
        raise InvalidValue(messages.weight_count(layer.shown, len(found), len(expected)))
    if found != expected:
        raise InvalidValue(messages.weight_shapes(layer.shown, found, expected))
