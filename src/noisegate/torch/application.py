"""Apply noise to a tensor once: forward, backward, double backward, tangents, vmap."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, cast

import torch
from torch import Tensor
from torch._C import _are_functorch_transforms_active
from torch._C._functorch import TransformType, unwrap_if_dead
from torch._functorch import pyfunctorch
from torch.autograd import forward_ad

from noisegate.core import apply as core
from noisegate.core.errors import InvalidValue, prefix_errors
from noisegate.core.keys import Key
from noisegate.core.kind import Kind
from noisegate.core.prepared import Prepared
from noisegate.engines.torch import TorchEngine

from .members import SHARED, Address, MemberEngine, widen_window
from .subclasses import is_fake, refuse_subclass
from .tracing import refuse_jit_trace

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
    # How many first axes of x a map has added.
    added: int = 0

    def __call__(self, x: Tensor, live: Tensor | None) -> Tensor:
        """Return x with the noise on it."""
        if x.is_cpu:
            call = self.call if live is None else self.call._replace(rate=live)
            # `core.apply` would try this first; every site gets here, so a call is saved.
            fused = CPU.fuse(self.kind, call, x, self.key, self.linear) if live is None else None
            if fused is not None and fused is not x:
                return cast(Tensor, fused)
            refuse_jit_trace(self.kind)
            refuse_subclass(self.kind, x)
            if is_fake(x):
                return torch.empty_like(x)
            result: Any = core.apply(CPU, self.kind, x, self.key, call, linear=self.linear)
        else:
            result = self._apply_elsewhere(x, live)
        # `core.apply` may return x itself where a field is zero; the result is always a new tensor.
        return cast(Tensor, result.clone() if result is x else result)

    def apply_to_members(self, x: Tensor, live: Tensor | None, address: Address) -> Tensor:
        """Return x with the noise on it that each member of a map has."""
        if address.is_shared:
            return self(x, live)
        where = device_of_noise(x.device)
        call = self.call if live is None else self.call._replace(rate=live.to(where))
        given = MemberEngine(where, address=address), self.kind, x.to(where), self.key, call
        result = cast(Tensor, core.apply(*given, linear=self.linear)).to(x.device)
        return result.clone() if result is x else result

    def apply_to_all(self, x: Tensor, rows: Tensor | None) -> Tensor:
        """Return x with the noise of all members of maps at once; see `_ApplyTogether`."""
        if not self.added:
            return self(x, None) if rows is None else self.add_axis().apply_to_all(x[None], rows)[0]
        if rows is None:
            where = device_of_noise(x.device)
            given = TorchEngine(where), self.kind, x.to(where), self.key, self.call
            result = cast(Tensor, core.apply_to_several(*given, linear=self.linear)).to(x.device)
            return result.clone() if result is x else result
        axis, members = self.call.window.sample_axis, x.flatten(0, self.added - 1)
        if axis is not None:
            members = members.movedim(0, axis).flatten(axis, axis + 1)
        with prefix_errors(type(self.kind).__name__):
            call = Prepared(widen_window(self.call.window, rows), self.call.rate)
        y: Any = Noise(self.kind, self.key, call, self.linear)(members, None)
        if axis is not None:
            y = y.unflatten(axis, (-1, x.shape[self.added + axis])).movedim(axis, 0)
        return cast(Tensor, y.reshape(x.shape))

    def _apply_elsewhere(self, x: Tensor, live: Tensor | None) -> Tensor:
        """Return x with noise that its own device computes, or the CPU if that has no float64."""
        if self.kind.reads_input and x.is_meta:  # there is nothing to read
            return torch.empty_like(x)
        where = device_of_noise(x.device)
        call = self.call if live is None else self.call._replace(rate=live.to(where))
        given = self.kind, x.to(where), self.key, call
        return cast(Tensor, core.apply(TorchEngine(where), *given, linear=self.linear)).to(x.device)

    def slope(self, factor: Tensor, x: Tensor, live: Tensor, address: Address) -> Tensor:
        """Return a factor times the derivative by the rate, in the shape of x."""
        where = device_of_noise(x.device)
        engine = TorchEngine(where) if address.is_shared else MemberEngine(where, address=address)
        factor = factor.expand(torch.broadcast_shapes(factor.shape, x.shape)).to(where)
        given = self.kind, factor, x.to(where), self.key, self.call.window, live.to(where)
        return cast(Tensor, core.slope(engine, *given, linear=self.linear)).to(x.device)

    def add_axis(self) -> "Noise":
        """Return the noise of an x with one more axis before the others."""
        return Noise(self.kind, self.key, self.call, self.linear, self.added + 1)

    def derivative(self) -> "Noise":
        """Return the part that is linear in x."""
        return Noise(self.kind, self.key, self.call, True, self.added)


class _Apply(torch.autograd.Function):
    """Autograd for an application: it saves the key, not the mask, and computes the noise again.

    The derivative of noise is its linear part, which is noise again. So one formula serves
    backward, double backward, tangents and maps. This function is for a rate that is a tensor, or
    under a transformation of torch.func.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(
        x: Tensor, live: Tensor | None, rows: Tensor | None, step: Tensor | None, noise: Noise
    ) -> Tensor:
        return noise.apply_to_members(x, live, Address(rows, step))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, *saved, ctx.noise = inputs
        ctx.save_for_backward(*saved)
        ctx.save_for_forward(*saved)
        ctx.set_materialize_grads(False)  # so a rate without a tangent has None, not zeros

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None) -> tuple[Tensor | None, None, None, None, None]:
        return _derive(ctx, grad, ctx.saved_tensors), None, None, None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor | None, live_tangent: Tensor | None, *_: None) -> Any:
        if live_tangent is not None:
            refuse_gradient(ctx.noise.kind)
        return _derive(ctx, tangent, ctx.saved_tensors)


def _derive(ctx: Any, along: Tensor | None, saved: Sequence[Tensor | None]) -> Tensor | None:
    """Return the derivative by x along a gradient or a tangent."""
    if along is None:
        return None
    live, *address = saved
    return apply_noise(along, live, ctx.noise.derivative(), Address(*address))


class _ApplyEach(_Apply):
    """The function for kinds that read their input: a map applies it to its members one by one.

    What such a field does with the values is its own affair: it may ask whether any is negative,
    which has no answer for all members at once.
    """

    generate_vmap_rule = False

    @staticmethod
    def vmap(info: Any, axes: Any, *given: Any) -> tuple[Tensor, int]:
        *tensors, noise = given
        members = (
            [
                t if axis is None else t.select(axis, i)
                for t, axis in zip(tensors, axes[:-1], strict=True)
            ]
            for i in range(info.batch_size)
        )
        done = [_ApplyEach.apply(*member, noise) for member in members]  # type: ignore[no-untyped-call]
        return torch.stack(done), 0


class _ApplyTogether(torch.autograd.Function):
    """The function for elementwise kinds under a transformation, if the rate is a number.

    A map moves its axis to the front of x, and of the rows if its members have rows of their own.
    So all members are one larger array, on which the noise is one call.
    """

    @staticmethod
    def forward(x: Tensor, rows: Tensor | None, noise: Noise) -> Tensor:
        return noise.apply_to_all(x, rows)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, rows, ctx.noise = inputs
        ctx.save_for_backward(None, rows)
        ctx.save_for_forward(None, rows)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None) -> tuple[Tensor | None, None, None]:
        return _derive(ctx, grad, ctx.saved_tensors), None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor | None, *_: None) -> Tensor | None:
        return _derive(ctx, tangent, ctx.saved_tensors)

    @staticmethod
    def vmap(
        info: Any, axes: Any, x: Tensor, rows: Tensor | None, noise: Noise
    ) -> tuple[Tensor, int]:
        x = _move_to_front(x, axes[0], info.batch_size)
        rows = None if rows is None else _move_to_front(rows, axes[1], info.batch_size)
        return apply_noise(x, None, noise.add_axis(), Address(rows)), 0


def _move_to_front(tensor: Tensor, axis: int | None, count: int) -> Tensor:
    """Return a tensor with its mapped axis first, or repeated if it is not mapped."""
    return tensor.expand(count, *tensor.shape) if axis is None else tensor.movedim(axis, 0)


class _ApplyNumber(torch.autograd.Function):
    """The function for a rate that is a number, outside of transformations.

    Without `setup_context` it costs a third of `_Apply`.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, live: None, noise: Noise) -> Tensor:
        ctx.noise = noise
        return noise(x, None)

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None) -> tuple[Tensor | None, None, None]:
        return None if grad is None else apply_noise(grad, None, ctx.noise.derivative()), None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor | None, *_: None) -> Any:
        return None if tangent is None else apply_noise(tangent, None, ctx.noise.derivative())


# `Function.apply` without its binding of arguments by name, which would cost time at every site.
# It is right only where no transformation is active.
_apply_number: Callable[..., Any] = super(torch.autograd.Function, _ApplyNumber).apply


class _ApplyRate(torch.autograd.Function):
    """Autograd for an application whose rate has a gradient; it saves x and the rate.

    Backward and tangents are plain operations on noise that is computed again, so torch itself
    differentiates them further.
    """

    generate_vmap_rule = True
    forward = staticmethod(_Apply.forward)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, *saved, ctx.noise = inputs
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, *saved)
        ctx.save_for_forward(x, *saved)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None) -> tuple[Tensor | None, ...]:
        if grad is None:
            return None, None, None, None, None
        x, live, *address = ctx.saved_tensors
        x_grad = apply_noise(grad, live, ctx.noise.derivative(), Address(*address))
        if not ctx.needs_input_grad[1]:
            return x_grad, None, None, None, None
        product = ctx.noise.slope(grad, x, live, Address(*address))
        if x.is_complex():  # the slope then has real and imaginary parts on a last axis
            product = product.sum(-1)
        return x_grad, product.sum_to_size(live.shape).to(live), None, None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor | None, live_tangent: Tensor | None, *_: None) -> Any:
        if live_tangent is None:
            return _derive(ctx, tangent, ctx.saved_tensors[1:])
        x, live, *address = ctx.saved_tensors
        _refuse_nested_tangents(ctx.noise.kind)
        moved = ctx.noise.slope(live_tangent, x, live, Address(*address))
        moved = (torch.view_as_complex(moved) if x.is_complex() else moved).to(x.dtype)
        along = _derive(ctx, tangent, (live, *address))
        return moved if along is None else along + moved


def apply_noise(x: Tensor, live: Tensor | None, noise: Noise, address: Address = SHARED) -> Tensor:
    """Return x with noise on it, differentiable by torch; a map adds no difference of its own."""
    if live is not None or address is not SHARED or _are_functorch_transforms_active():
        return apply_transformed(x, live, noise, address)
    return apply_plain(x, noise)


def apply_transformed(x: Tensor, live: Tensor | None, noise: Noise, address: Address) -> Tensor:
    """Return x with noise on it by a function that torch.func can transform."""
    simple = noise.kind.elementwise and noise.call.window.form is None
    if simple and live is None and address.step is None:
        result = _ApplyTogether.apply(x, address.rows, noise)  # type: ignore[no-untyped-call]
        return cast(Tensor, result)
    with_gradient = live is not None and noise.kind.differentiable
    function = _ApplyRate if with_gradient else _Apply
    if noise.kind.reads_input and not noise.linear:
        function = _ApplyEach
    return cast(Tensor, function.apply(x, live, *address, noise))  # type: ignore[no-untyped-call]


def apply_plain(x: Tensor, noise: Noise) -> Tensor:
    """Return x with noise on it whose rate is a number, where no transformation is active."""
    # `is_plain` written out: a call would cost at every site.
    if not ((x.requires_grad and torch.is_grad_enabled()) or forward_ad._current_level >= 0):
        return noise(x, None)
    # A tensor that has left a transformation may still have its wrapper.
    return cast(Tensor, _apply_number(unwrap_if_dead(x), None, noise))


def is_plain(x: Tensor) -> bool:
    """Return whether no derivative is taken of what is done with x now."""
    return not ((x.requires_grad and torch.is_grad_enabled()) or forward_ad._current_level >= 0)


def _refuse_nested_tangents(kind: Kind) -> None:
    """Raise if a rate has a tangent inside another forward-mode derivative.

    torch switches tangents off while a function computes its own, so the derivative around it
    would be 0.
    """
    levels = pyfunctorch.retrieve_all_functorch_interpreters()
    if sum(level.key() == TransformType.Jvp for level in levels) > 1:
        raise InvalidValue(
            f"{type(kind).__name__}: torch has no forward-mode derivative of a forward-mode "
            f"derivative by `{kind.RATE}`. Take one of the two in reverse, as torch.func.hessian "
            "does: jacfwd(jacrev(f))."
        )


def take_rate(kind: Kind, x: Tensor, call: Prepared) -> tuple[Tensor, Prepared]:
    """Return a live rate on the device of the noise, and the call without it."""
    # The device of the noise has float64; the device of x may lack it.
    live = torch.as_tensor(call.rate, device=device_of_noise(x.device))
    if live.requires_grad and torch.is_grad_enabled() and not kind.differentiable:
        refuse_gradient(kind)
    return live, call._replace(rate=None)


def refuse_gradient(kind: Kind) -> NoReturn:
    """Raise because a rate requires grad and its kind has no derivative by the rate."""
    raise InvalidValue(
        f"`{kind.RATE}` requires grad, but the decision to remove has no gradient. "
        f"ConcreteDropout has one; or pass {kind.RATE}.detach()."
    ).prefix(type(kind).__name__)
