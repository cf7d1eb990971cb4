"""Layers that are classes of torch's: sized by their input, with the shape of their output."""

from collections.abc import Mapping
from inspect import Parameter, signature
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .. import options, shapes
from ..layer import Layer
from ..shapes import Shape, per_axis

_SEVERAL = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


def parameters_of(kind: type[nn.Module], without: str | None = None) -> dict[str, Parameter]:
    """Return the arguments of a class of torch's, without the one that the input fills in."""
    return {
        name: p
        for name, p in signature(kind).parameters.items()
        if name not in (without, "self") and p.kind not in _SEVERAL
    }


class TorchLayer(Layer):
    """A layer with the parameters and the forward of a class of torch's."""

    torch_class: ClassVar[type[nn.Module]]
    # Torch's argument that an extent of the input fills in, and the axis of that extent.
    size_word: ClassVar[str | None] = None
    size_axis: ClassVar[int] = 1
    # Whether it has a matrix of weights that its input is multiplied by.
    weighted: ClassVar[bool] = False
    # Arguments that torch's class does not have, and those that it is always given.
    beside_torch: ClassVar[tuple[str, ...]] = ()
    fixed: ClassVar[Mapping[str, Any]] = {}

    @property
    def is_weighted(self) -> bool:
        """Whether it has a matrix of weights that its input is multiplied by."""
        return self.weighted

    def _accept(self, given: Mapping[str, Any]) -> None:
        super()._accept(given)
        self._try_arguments()

    def _assign(self, name: str, value: Any) -> None:
        before, built = self.arguments, self.built
        super()._assign(name, value)
        try:
            if not self.built:
                self._try_arguments()
        except Exception:
            self.arguments, self.built = before, built
            raise

    def _try_arguments(self) -> None:
        """Make torch's module, or where the size is not known yet one for torch's own checks."""
        if self.size_word is None:
            self.build()
        else:
            self._make_probe()

    def _make_probe(self) -> nn.Module:
        """Return torch's module for a small input, without memory."""
        groups = self.arguments.get("groups", 1)
        size = groups if isinstance(groups, int) and groups > 0 else 1
        return self._make_module(size, torch.device("meta"), None)

    def parameter_names(self) -> tuple[str, ...]:
        """Return the names of the parameters that it has or will have."""
        probe = self._make_probe()
        return tuple(name for name, _ in (*probe.named_parameters(), *probe.named_buffers()))

    def size_in(self, shape: Shape) -> int | None:
        """Return the extent of the input that its parameters depend on."""
        return shape[self.size_axis]

    def rule(self, shape: Shape) -> Shape:
        """Return the shape of the output by the arguments; raise ValueError with the reason."""
        return shape

    def infer_shape(self, *given: Shape) -> Shape:
        """Return the shape of the output; raise ValueError with the reason if there is none."""
        shape = self.rule(given[0])
        if self.built and self.size_word is not None:
            known, new = getattr(self, self.size_word), self.size_in(given[0])
            known = known[-1] if isinstance(known, tuple) else known
            if new is not None and new != known:
                raise ValueError(f"its parameters are for {self.size_word}={known}")
        return shape

    def can_build(self, *given: Shape) -> bool:
        """Return whether parameters can be made for this shape of the input."""
        return self.size_word is None or self.size_in(given[0]) is not None

    def build(self, *given: Shape, device: Any = None, dtype: Any = None) -> None:
        """Make the parameters for a shape of the input, once, as torch initialises them."""
        if self.built:
            return
        size = self.size_in(given[0]) if given and self.size_word is not None else None
        # Not a child: weights are `name.weight`, and tools that know torch's class know the layer.
        absorb(self, self._make_module(size, device, dtype))
        for parameter in self.parameters():
            parameter.requires_grad_(self.trainable)
        self.built = True

    def _make_module(self, size: int | None, device: Any, dtype: Any) -> nn.Module:
        words = {n: v for n, v in self.arguments.items() if n not in self.beside_torch}
        words |= self.fixed
        if self.size_word is not None:
            words[self.size_word] = size
            for word, value in (("device", device), ("dtype", dtype)):
                if value is not None and word in words and words[word] is None:
                    words[word] = value
        return self.torch_class(**words)

    def forward(self, x: Tensor) -> Tensor:
        """Return what torch's module gives."""
        if not self.built:
            self.build_from(x)
        try:
            return self.torch_class.forward(self, x)  # type: ignore[no-any-return]
        except (RuntimeError, ValueError):
            self.check_extents(x)
            raise

    def check_extents(self, x: Tensor) -> None:
        """Raise if a tensor has no shape that the layer takes."""
        self.get_output_shape((None, *x.shape[1:]))

    def build_from(self, x: Tensor) -> None:
        """Make the parameters for a tensor that enters."""
        self.check_extents(x)
        dtype = x.dtype if x.is_floating_point() else None
        self.build((None, *x.shape[1:]), device=x.device, dtype=dtype)


def absorb(layer: nn.Module, inner: nn.Module) -> None:
    """Give a layer the parameters, buffers and attributes of a module of torch's."""
    plain = vars(nn.Module())
    for name, value in vars(inner).items():
        if name in ("_parameters", "_buffers", "_modules"):
            layer.__dict__[name].update(value)
        elif name not in plain:
            layer.__dict__[name] = value


class _OverPlaces(TorchLayer):
    """A layer that slides over d axes behind the channels."""

    d: ClassVar[int]
    keeps_time = False

    def _check_rank(self, shape: Shape) -> None:
        if len(shape) != self.d + 2:
            raise ValueError(f"it takes (N, C, {('L', 'H, W', 'D, H, W')[self.d - 1]})")


class ConvolutionLayer(_OverPlaces):
    """A convolution of torch's."""

    size_word = "in_channels"
    weighted = True
    CHECKS: ClassVar[Mapping[str, options.Check]] = {"out_channels": options.size}

    def rule(self, shape: Shape) -> Shape:
        """Return the shape of the output by the arguments; raise ValueError with the reason."""
        self._check_rank(shape)
        d, given = self.d, self.arguments
        if shape[1] is not None and shape[1] % given["groups"]:
            raise ValueError(f"its channels are no multiple of groups={given['groups']}")
        padding = given["padding"]
        pads = (padding,) * d if isinstance(padding, str) else per_axis(padding, d)
        rest = (per_axis(given[n], d) for n in ("kernel_size", "stride", "dilation"))
        extents = zip(shape[2:], *rest, pads, strict=True)
        out = (shapes.convolve_extent(n, kernel, s, p, dil) for n, kernel, s, dil, p in extents)
        return (shape[0], given["out_channels"], *out)


class PoolingLayer(_OverPlaces):
    """A pooling of torch's."""

    def rule(self, shape: Shape) -> Shape:
        """Return the shape of the output by the arguments; raise ValueError with the reason."""
        self._check_rank(shape)
        given = self.arguments
        stride = given["kernel_size"] if given["stride"] is None else given["stride"]
        words = (given["kernel_size"], stride, given["padding"], given.get("dilation", 1))
        extents = zip(shape[2:], *(per_axis(value, self.d) for value in words), strict=True)
        ceil = given["ceil_mode"]
        out = (shapes.pool_extent(n, k, s, p, dil, ceil) for n, k, s, p, dil in extents)
        return (*shape[:2], *out)


class FlattenLayer(TorchLayer):
    """`torch.nn.Flatten`, which keeps the time where it begins behind it."""

    def rule(self, shape: Shape) -> Shape:
        """Return the shape of the output by the arguments; raise ValueError with the reason."""
        given = self.arguments
        for axis in (given["start_dim"], given["end_dim"]):
            if not -len(shape) <= axis < len(shape):
                raise ValueError(f"it has no axis {axis}")
        start, end = given["start_dim"] % len(shape), given["end_dim"] % len(shape)
        if start > end:
            raise ValueError("start_dim comes after end_dim")
        return (*shape[:start], shapes.product(shape[start : end + 1]), *shape[end + 1 :])

    def compute_mask(self, x: Any, mask: Tensor | None = None) -> Tensor | None:
        """Return the mask, if axis 1 stays what it was."""
        return mask if self.arguments["start_dim"] % x.ndim > 1 else None


class _NormLayer(TorchLayer):
    """A normalization of torch's."""

    def rule(self, shape: Shape) -> Shape:
        """Return the shape of the input; raise ValueError if it has no features."""
        if len(shape) < 2:
            raise ValueError("it takes (N, C, ...)")
        return shape


class LayerNormLayer(_NormLayer):
    """A layer normalization."""

    size_word = "normalized_shape"
    size_axis = -1


class BatchNormLayer(_NormLayer):
    """Batch normalisation along axis 1, of any rank; arguments are torch's."""

    size_word = "num_features"

    def _check_input_dim(self, x: Tensor) -> None:
        # Torch has a class for each rank, which differ in nothing but the rank that they take.
        self.get_output_shape(tuple(x.shape))


def make_layer(
    torch_class: type[nn.Module], base: type[TorchLayer], name: str | None = None, **members: Any
) -> Any:
    """Return the layer that is a class of torch's, under its name or another."""
    name = name or torch_class.__name__
    doc = f"""{name}: `torch.nn.{torch_class.__name__}`, its arguments torch's."""
    if base.size_word is not None:
        doc += f"\n\n`{base.size_word}` is taken from the input."
    return type(
        name,
        (base, torch_class),
        {
            "__doc__": doc,
            "__module__": "noisegate.nets.layers",
            "PARAMETERS": parameters_of(torch_class, base.size_word),
            "torch_class": torch_class,
            **members,
        },
    )


def make_over_places(torch_name: str, base: type[_OverPlaces], name: str) -> list[Any]:
    """Return the layers over 1, 2 and 3 axes, of classes such as ``Conv1d``."""
    return [
        make_layer(getattr(nn, f"{torch_name}{d}d"), base, f"{name}{d}d", d=d) for d in (1, 2, 3)
    ]


def make_batch_norm() -> Any:
    """Return the batch normalization of any rank."""
    kind = nn.modules.batchnorm._BatchNorm
    return make_layer(kind, BatchNormLayer, "BatchNorm", __doc__=BatchNormLayer.__doc__)
