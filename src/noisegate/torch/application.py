"""Apply noise to a tensor once: forward, backward, double backward, tangents, vmap."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, cast

import torch
from torch import Tensor
from torch._C import _are_functorch_transforms_active
from torch._C._functorch import unwrap_if_dead
from torch.autograd import forward_ad

from noisegate.core import apply as core
from noisegate.core.errors import InvalidValue
from noisegate.core.keys import Key
from noisegate.core.kind import Kind
from noisegate.core.prepared import Prepared
from noisegate.engines.torch import TorchEngine

# Metal has no float64, in which thresholds of live rates and normal numbers are computed.
WITHOUT_FLOAT64 = {"mps"}

CPU = TorchEngine(torch.device("cpu"))


def device_of_noise(device: torch.device) -> torch.device:
    """Return the device that computes noise for tensors of a device: itself, or the CPU."""
    if device.type == "xpu":
        exact = bool(torch.xpu.get_device_capability(device)["has_fp64"])
    else:
        exact = device.type not in WITHOUT_FLOAT64
    return device if exact else torch.device("cpu")


@dataclass(slots=True)
class Noise:
    """One application: the noise, its part of the field, and whether only the linear part is meant.

    Treat it as immutable; it is not frozen, since that would double the cost of making it. The
    rate in `call` is None if it is a tensor, which is passed along with x.
    """

    kind: Kind
    key: Key
    call: Prepared
    linear: bool = False

    def __call__(self, x: Tensor, live: Tensor | None) -> Tensor:
        """Return x with the noise on it."""
        if x.is_cpu:
            call = self.call if live is None else self.call._replace(rate=live)
            # `core.apply` would try this first; every site gets here, so a call is saved.
            fused = CPU.fuse(self.kind, call, x, self.key, self.linear) if live is None else None
            if fused is not None and fused is not x:
                return cast(Tensor, fused)
            result: Any = core.apply(CPU, self.kind, x, self.key, call, linear=self.linear)
        else:
            result = self._apply_elsewhere(x, live)
        # `core.apply` may return x itself where a field is zero; the result is always a new tensor.
        return cast(Tensor, result.clone() if result is x else result)

    def _apply_elsewhere(self, x: Tensor, live: Tensor | None) -> Tensor:
        """Return x with noise that its own device computes, or the CPU if that has no float64."""
        where = device_of_noise(x.device)
        call = self.call if live is None else self.call._replace(rate=live.to(where))
        given = self.kind, x.to(where), self.key, call
        return cast(Tensor, core.apply(TorchEngine(where), *given, linear=self.linear)).to(x.device)

    def slope(self, factor: Tensor, x: Tensor, live: Tensor) -> Tensor:
        """Return a factor times the derivative by the rate, in the shape of x."""
        where = device_of_noise(x.device)
        factor = factor.expand(torch.broadcast_shapes(factor.shape, x.shape)).to(where)
        given = self.kind, factor, x.to(where), self.key, self.call.window, live.to(where)
        return cast(Tensor, core.slope(TorchEngine(where), *given, linear=self.linear)).to(x.device)

    def derivative(self) -> "Noise":
        """Return the part that is linear in x."""
        return Noise(self.kind, self.key, self.call, linear=True)


class _Linear(torch.autograd.Function):
    """Autograd for an application: it saves the key, not the mask, and computes the noise again.

    The derivative of noise is its linear part, which is noise again. So one formula serves
    backward, double backward and tangents.
    """

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None) -> tuple[Tensor | None, None, None]:
        live = ctx.saved_tensors[0] if ctx.noise.call.rate is None else None
        derivative = ctx.noise.derivative()
        return None if grad is None else apply_noise(grad, live, derivative), None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor | None, live_tangent: Tensor | None, _: None) -> Any:
        kind = ctx.noise.kind
        if live_tangent is not None:
            refuse_gradient(kind)
        live = ctx.saved_tensors[0] if ctx.noise.call.rate is None else None
        return None if tangent is None else apply_noise(tangent, live, ctx.noise.derivative())


class _Apply(_Linear):
    """The function for a rate that is a tensor, or under a transformation of torch.func."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, live: Tensor | None, noise: Noise) -> Tensor:
        return noise(x, live)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, live, ctx.noise = inputs
        ctx.save_for_backward(live)
        ctx.save_for_forward(live)
        ctx.set_materialize_grads(False)  # so a rate without a tangent has None, not zeros


class _ApplyNumber(_Linear):
    """The function for a rate that is a number, outside of transformations.

    Without `setup_context` it costs a third of `_Apply`.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, live: None, noise: Noise) -> Tensor:
        ctx.noise = noise
        return noise(x, None)


# `Function.apply` without its binding of arguments by name, which would cost time at every site.
# It is right only where no transformation is active.
_apply_number: Callable[..., Any] = super(torch.autograd.Function, _ApplyNumber).apply


class _ApplyRate(torch.autograd.Function):
    """Autograd for an application whose rate has a gradient; it saves x and the rate.

    Backward and tangents are plain operations on noise that is computed again, so torch itself
    differentiates them further.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, live: Tensor, noise: Noise) -> Tensor:
        return noise(x, live)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, live, ctx.noise = inputs
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, live)
        ctx.save_for_forward(x, live)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, None]:
        x, live = ctx.saved_tensors
        x_grad = apply_noise(grad, live, ctx.noise.derivative())
        if not ctx.needs_input_grad[1]:
            return x_grad, None, None
        product = ctx.noise.slope(grad, x, live)
        if x.is_complex():  # the slope then has real and imaginary parts on a last axis
            product = product.sum(-1)
        return x_grad, product.sum_to_size(live.shape).to(live), None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, live_tangent: Tensor, _: None) -> Tensor:
        x, live = ctx.saved_tensors
        moved = ctx.noise.slope(live_tangent, x, live)
        if x.is_complex():
            moved = torch.view_as_complex(moved)
        along = apply_noise(tangent, live, ctx.noise.derivative())
        return along.add(moved.to(tangent.dtype))


def apply_noise(x: Tensor, live: Tensor | None, noise: Noise) -> Tensor:
    """Return x with noise on it, differentiable by torch."""
    if live is not None or _are_functorch_transforms_active():
        with_gradient = live is not None and noise.kind.differentiable
        function = _ApplyRate if with_gradient else _Apply
        return cast(Tensor, function.apply(x, live, noise))  # type: ignore[no-untyped-call]
    if not ((x.requires_grad and torch.is_grad_enabled()) or forward_ad._current_level >= 0):
        return noise(x, None)
    # A tensor that has left a transformation may still have its wrapper.
    return cast(Tensor, _apply_number(unwrap_if_dead(x), None, noise))


def refuse_gradient(kind: Kind) -> NoReturn:
    """Raise because a rate requires grad and its kind has no derivative by the rate."""
    raise InvalidValue(
        f"{type(kind).__name__}: `{kind.RATE}` requires grad, but the decision to remove has no "
        f"gradient. ConcreteDropout has one; or pass {kind.RATE}.detach()."
    )
