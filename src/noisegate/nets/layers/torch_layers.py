"""The layers that are torch's: a record of torch's class, its size argument, and shapes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .. import options, shapes
from ..layer import Layer
from ..shapes import Shape, per_axis

_SEVERAL = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)

Rule = Callable[[Mapping[str, Any], Shape], Shape]


@dataclass(frozen=True, slots=True)
class LayerSpec:
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


def parameters_of(kind: type[nn.Module], without: str | None = None) -> dict[str, Parameter]:
    """Return the arguments of a class of torch's, without the one that the input fills in."""
    return {
        name: p
        for name, p in signature(kind).parameters.items()
        if name not in (without, "self") and p.kind not in _SEVERAL
    }


_PLACES = {1: "L", 2: "H, W", 3: "D, H, W"}


def _check_rank(shape: Shape, d: int) -> None:
    if len(shape) != d + 2:
        raise ValueError(f"it takes (N, C, {_PLACES[d]})")


def _convolution(d: int) -> Rule:
    def rule(given: Mapping[str, Any], shape: Shape) -> Shape:
        _check_rank(shape, d)
        if shape[1] is not None and shape[1] % given["groups"]:
            raise ValueError(f"its channels are no multiple of groups={given['groups']}")
        padding = given["padding"]
        pads = (padding,) * d if isinstance(padding, str) else per_axis(padding, d)
        rest = (per_axis(given[n], d) for n in ("kernel_size", "stride", "dilation"))
        extents = zip(shape[2:], *rest, pads, strict=True)
        out = (
            shapes.convolve_extent(n, kernel, s, p, dilate) for n, kernel, s, dilate, p in extents
        )
        return (shape[0], given["out_channels"], *out)

    return rule


def _pooling(d: int) -> Rule:
    def rule(given: Mapping[str, Any], shape: Shape) -> Shape:
        _check_rank(shape, d)
        kernel = given["kernel_size"]
        stride = kernel if given["stride"] is None else given["stride"]
        names = (kernel, stride, given["padding"], given.get("dilation", 1))
        each = zip(shape[2:], *(per_axis(value, d) for value in names), strict=True)
        ceil = given["ceil_mode"]
        return (
            *shape[:2],
            *(shapes.pool_extent(n, k, s, p, dil, ceil) for n, k, s, p, dil in each),
        )

    return rule


def _flatten(given: Mapping[str, Any], shape: Shape) -> Shape:
    for axis in (given["start_dim"], given["end_dim"]):
        if not -len(shape) <= axis < len(shape):
            raise ValueError(f"it has no axis {axis}")
    start, end = given["start_dim"] % len(shape), given["end_dim"] % len(shape)
    if start > end:
        raise ValueError("start_dim comes after end_dim")
    return (*shape[:start], shapes.product(shape[start : end + 1]), *shape[end + 1 :])


class TorchLayer(Layer):
    """A layer that is torch's, as its `spec` says."""

    spec: ClassVar[LayerSpec]
    # Arguments that torch's class does not have, and those that it is always given.
    beside_torch: ClassVar[tuple[str, ...]] = ()
    fixed: ClassVar[Mapping[str, Any]] = {}

    @property
    def is_weighted(self) -> bool:
        """Whether it has a matrix of weights that its input is multiplied by."""
        return self.spec.weighted

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
        if self.spec.size is None:
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
        return shape[self.spec.axis]

    def infer_shape(self, *given: Shape) -> Shape:
        """Return the shape of the output; raise ValueError with the reason if there is none."""
        shape = self.spec.shape(self.arguments, given[0])
        if self.built and self.spec.size is not None:
            known, new = getattr(self, self.spec.size), self.size_in(given[0])
            known = known[-1] if isinstance(known, tuple) else known
            if new is not None and new != known:
                raise ValueError(f"its parameters are for {self.spec.size}={known}")
        return shape

    def can_build(self, *given: Shape) -> bool:
        """Return whether parameters can be made for this shape of the input."""
        return self.spec.size is None or self.size_in(given[0]) is not None

    def build(self, *given: Shape, device: Any = None, dtype: Any = None) -> None:
        """Make the parameters for a shape of the input, once, as torch initialises them."""
        if self.built:
            return
        size = self.size_in(given[0]) if given and self.spec.size is not None else None
        absorb(self, self._make_module(size, device, dtype))
        for parameter in self.parameters():
            parameter.requires_grad_(self.trainable)
        self.built = True

    def _make_module(self, size: int | None, device: Any, dtype: Any) -> nn.Module:
        words = {n: v for n, v in self.arguments.items() if n not in self.beside_torch}
        words |= self.fixed
        if self.spec.size is not None:
            words[self.spec.size] = size
            for word, value in (("device", device), ("dtype", dtype)):
                if value is not None and word in words and words[word] is None:
                    words[word] = value
        return self.spec.torch(**words)

    def forward(self, x: Tensor) -> Tensor:
        """Return what torch's module gives."""
        if not self.built:
            self.build_from(x)
        try:
            return self.spec.torch.forward(self, x)  # type: ignore[no-any-return]
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


def layer_of(spec: LayerSpec, base: type[Layer] = TorchLayer, **members: Any) -> Any:
    """Return the class of a layer."""
    given = parameters_of(spec.torch, spec.size)
    checks = {word: options.size for word in spec.whole if word in given}
    doc = f"""{spec.name}: `torch.nn.{spec.torch.__name__}`, its arguments torch's."""
    if spec.size is not None:
        doc += f"\n\n`{spec.size}` is taken from the input."
    return type(
        spec.name,
        (base, spec.torch),
        {
            "__doc__": doc,
            "__module__": "noisegate.nets.layers",
            "spec": spec,
            "PARAMETERS": given,
            "CHECKS": checks,
            "keeps_time": spec.keeps_time,
            **members,
        },
    )


def convolution(d: int) -> Any:
    """Return the class of convolutions over d axes."""
    spec = LayerSpec(
        f"Convolution{d}d",
        getattr(nn, f"Conv{d}d"),
        _convolution(d),
        size="in_channels",
        whole=("out_channels",),
        weighted=True,
    )
    return layer_of(spec)


def pooling(name: str, d: int) -> Any:
    """Return the class of a pooling over d axes, of which torch calls one ``AvgPool2d``."""
    ours = name.replace("Avg", "Average").replace("Pool", "Pooling")
    return layer_of(LayerSpec(f"{ours}{d}d", getattr(nn, f"{name}{d}d"), _pooling(d)))


def flatten() -> Any:
    """Return the class of flattening."""
    return layer_of(LayerSpec("Flatten", nn.Flatten, _flatten), FlattenLayer)


def batch_norm() -> Any:
    """Return the class of batch normalization, of any rank."""
    # Torch has a class for each rank, which differ in nothing but the rank that they take.
    norm = nn.modules.batchnorm._BatchNorm
    spec = LayerSpec("BatchNorm", norm, _keep, "num_features", keeps_time=True)
    made = layer_of(spec, _check_input_dim=lambda self, x: self.get_output_shape(tuple(x.shape)))
    made.__doc__ = "Batch normalisation along axis 1, of any rank; arguments are torch's."
    return made


def layer_norm() -> Any:
    """Return the class of layer normalization."""
    spec = LayerSpec("LayerNorm", nn.LayerNorm, _keep, "normalized_shape", -1, keeps_time=True)
    return layer_of(spec)


def _keep(given: Mapping[str, Any], shape: Shape) -> Shape:
    if len(shape) < 2:
        raise ValueError("it takes (N, C, ...)")
    return shape
