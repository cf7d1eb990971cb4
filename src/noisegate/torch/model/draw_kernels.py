"""Serve what a model's own code draws from the field, in place of torch's generator.

Each operator of torch's that draws gets a kernel under a dispatch key that torch leaves unused. The
key is on, in a thread, while a watched forward runs there. So a draw is reached however code calls
it: by functions, methods, distributions, scripts. Elsewhere the kernels cost nothing.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

import torch
from torch import Tensor
from torch._C import DispatchKeySet, _are_functorch_transforms_active
from torch.library import Library, fallthrough_kernel
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from noisegate.core.distributions import DISTRIBUTIONS

from ..compiling import compiler_looks_on
from ..random_numbers import draw_values

# A key for tests of torch's own, above those of autograd.
_KEY_NAME = "TESTING_ONLY_GenericMode"
_KEY = torch._C._dispatch_key_parse(_KEY_NAME)

Given = dict[str, Any]


class Server(Protocol):
    """The watch of a running forward."""

    def find_parts(self, function: Any, shape: Sequence[int]) -> list[Any] | None:
        """Return the parts of a draw, with keys and rows; None if it is left to torch."""


class _Servers(threading.local):
    """The watches of the forwards that run in a thread, innermost last, each with its guard."""

    def __init__(self) -> None:
        self.stack: list[tuple[Server, Any]] = []


_servers = _Servers()


def begin_to_serve(server: Server) -> None:
    """Let a watch serve the draws of this thread."""
    _register()
    guard = torch._C._IncludeDispatchKeyGuard(_KEY)
    guard.__enter__()
    _servers.stack.append((server, guard))


def cease_to_serve() -> None:
    """Leave the draws of this thread to what served them before."""
    _servers.stack.pop()[1].__exit__(None, None, None)


# What an operator draws, and its numbers, by its name without `_` and `_like`.
_DRAWS: dict[str, tuple[str, Callable[[Given], Given]]] = {
    "rand": ("uniform", lambda given: {"low": 0.0, "high": 1.0}),
    "uniform": ("uniform", lambda given: {"low": given["from"], "high": given["to"]}),
    "randn": ("normal", lambda given: {"mean": 0.0, "std": 1.0}),
    "normal": ("normal", lambda given: {"mean": given["mean"], "std": given["std"]}),
    "log_normal": ("log_normal", lambda given: {"mean": given["mean"], "std": given["std"]}),
    "bernoulli": ("bernoulli", lambda given: {"p": given["p" if "p" in given else "self"]}),
    "exponential": ("exponential", lambda given: {"rate": given["lambd"]}),
    "cauchy": ("cauchy", lambda given: {"median": given["median"], "sigma": given["sigma"]}),
    "geometric": ("geometric", lambda given: {"p": given["p"]}),
    "randint": ("randint", lambda given: _read_bounds(given.get("low", 0), given["high"])),
    "random": ("randint", lambda given: _read_bounds(given.get("from"), given.get("to"))),
    "randperm": ("randperm", lambda given: {}),
    "multinomial": (
        "multinomial",
        lambda given: {"weights": given["self"], "replacement": given["replacement"]},
    ),
    "poisson": ("poisson", lambda given: {"rate": given["self"]}),
    "binomial": ("binomial", lambda given: {"count": given["count"], "p": given["prob"]}),
    "_standard_gamma": ("gamma", lambda given: {"concentration": given["self"]}),
    "_sample_dirichlet": ("dirichlet", lambda given: {"concentration": given["self"]}),
}
_OF_INTEGERS = ("randint", "randperm", "multinomial")


def _read_bounds(low: Any, high: Any) -> Given:
    """Return bounds as numbers; without the upper one, the dtype decides it."""
    return {"low": int(low or 0), "high": None if high is None else int(high)}


# Kernels -------------------------------------------------------------------------------------


def _make_kernel(operator: Any, serve: Callable[..., Any]) -> Callable[..., Any]:
    """Return the kernel of an operator: it serves its draw, or leaves it to torch."""
    names = [argument.name for argument in operator._schema.arguments]
    # Without the default of `dtype`, which is a number here.
    defaults = {
        a.name: a.default_value
        for a in operator._schema.arguments
        if a.has_default_value() and a.name not in _OPTIONS
    }
    excluded = DispatchKeySet(_KEY)

    def kernel(*args: Any, **kwargs: Any) -> Any:
        # What calls a torch function here is no code of the model's, so no mode is to see it.
        with torch._C._ExcludeDispatchKeyGuard(excluded), torch._C.DisableTorchFunction():
            given = {**defaults, **dict(zip(names, args, strict=False)), **kwargs}
            if _may_serve(given):
                served = serve(operator, given)
                if served is not None:
                    return served
            return operator(*args, **kwargs)

    return kernel


def _may_serve(given: Given) -> bool:
    """Return whether a draw may be served: not from a generator that the model's code names."""
    if given.get("generator") is not None or _are_functorch_transforms_active():
        return False
    tensors = [x for x in given.values() if isinstance(x, Tensor)]
    plain = all(type(x) in (Tensor, torch.nn.Parameter) and not x.is_meta for x in tensors)
    return plain and not _is_recorded() and not compiler_looks_on()


def _is_recorded() -> bool:
    """Return whether tensors are fake, or their operations recorded, by a mode of torch's own."""
    if not torch._C._len_torch_dispatch_stack():
        return False
    modes = _get_current_dispatch_mode_stack()
    return any(getattr(mode, "_mode_key", None) is not None for mode in modes)


def _find_parts(operator: Any, shape: Sequence[int]) -> list[Any] | None:
    found = (server.find_parts(operator, shape) for server, _ in reversed(_servers.stack))
    return next((parts for parts in found if parts is not None), None)


def _serve_fill(operator: Any, given: Given) -> Tensor | None:
    """Return the tensor that an operator fills with what it draws; None to leave it to torch."""
    name = operator._schema.name.removeprefix("aten::")
    base = name.removesuffix("_").removesuffix("_like")
    distribution, read = _DRAWS[base]
    target = _make_target(name, base, given)
    formats = DISTRIBUTIONS[distribution].formats
    if target.is_meta or str(target.dtype).removeprefix("torch.") not in formats:
        return None  # torch says what is wrong with it
    parts = _find_parts(operator, target.shape)
    if parts is None:
        return None
    with torch.no_grad():
        values = draw_values(distribution, read(given), target, parts)
    if base == "_standard_gamma":
        return cast(Tensor, _Gamma.apply(given["self"], values))  # type: ignore[no-untyped-call]
    return target.copy_(values)


def _make_target(name: str, base: str, given: Given) -> Tensor:
    """Return the tensor that is filled, with any values."""
    if name.endswith("_"):
        return cast(Tensor, given["self"])
    options = {word: given[word] for word in _OPTIONS if given.get(word) is not None}
    if name.endswith("_like"):
        memory = given.get("memory_format") or torch.preserve_format
        return torch.empty_like(given["self"], **options, memory_format=memory)
    size = given.get("size", (given.get("n"),))
    if base in _OF_INTEGERS:
        options.setdefault("dtype", torch.int64)
    if "size" not in given and base != "randperm":
        # A parameter may be the output as well.
        tensors = [x for name, x in given.items() if isinstance(x, Tensor) and name != "out"]
        size = torch.broadcast_shapes(*(x.shape for x in tensors))
        size = (*size[:-1], given["num_samples"]) if base == "multinomial" else size
        options = {"dtype": tensors[0].dtype, "device": tensors[0].device, **options}
    out = given.get("out")
    if out is None:
        return torch.empty(size, **options)
    return cast(Tensor, out if out.shape == torch.Size(size) else out.resize_(size))


_OPTIONS = ("dtype", "layout", "device", "pin_memory")


class _Gamma(torch.autograd.Function):
    """Gamma numbers with the derivative by their concentration, as torch's own have it."""

    @staticmethod
    def forward(ctx: Any, concentration: Tensor, values: Tensor) -> Tensor:
        values = values.to(concentration.dtype)
        ctx.save_for_backward(concentration, values)
        return values

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad * torch._standard_gamma_grad(*ctx.saved_tensors), None


def _draw_uniform(operator: Any, x: Tensor, low: float, high: float) -> Tensor | None:
    """Return uniform numbers in the shape of x; None if they are left to torch."""
    parts = _find_parts(operator, x.shape)
    if parts is None:
        return None
    with torch.no_grad():
        return draw_values("uniform", {"low": low, "high": high}, x, parts)


def _serve_rrelu(operator: Any, given: Given) -> Tensor | None:
    """Return x with random slopes where it is negative; note them in `noise`, as torch does."""
    x, noise = given["self"], given["noise"]
    if not given["training"]:
        return None
    slopes = _draw_uniform(operator, x.detach(), given["lower"], given["upper"])
    if slopes is None:
        return None
    slopes = torch.where(x.detach() <= 0, slopes, 1.0)
    noise.copy_(slopes)
    y = x * slopes
    if operator._schema.name.endswith("_"):
        return cast(Tensor, x.copy_(y))
    out = given.get("out")
    return y if out is None else cast(Tensor, out.resize_(y.shape).copy_(y))


def _serve_dropout(operator: Any, given: Given) -> tuple[Tensor, Tensor] | None:
    """Return x with dropout and the mask of what is kept, as `torch.native_dropout` does."""
    x, p = given["input"], given["p"]
    parts = None if given["train"] is False else _find_parts(operator, x.shape)
    if parts is None or not x.is_floating_point():
        return None
    keep = ~draw_values("bernoulli", {"p": p}, x.detach(), parts).bool()
    return torch.where(keep, x * (0.0 if p == 1 else 1 / (1 - p)), 0.0), keep


_OTHERS = {
    "rrelu_with_noise": _serve_rrelu,
    "rrelu_with_noise_": _serve_rrelu,
    "native_dropout": _serve_dropout,
}


# Registration --------------------------------------------------------------------------------

_registering = threading.Lock()
_libraries: list[Library] = []


def _register() -> None:
    """Register the kernels, once in a process."""
    if _libraries:
        return
    with _registering:
        if _libraries:
            return
        fall = Library("_", "IMPL")
        fall.fallback(fallthrough_kernel, _KEY_NAME)
        kernels = Library("aten", "IMPL")
        for name, serve in _find_operators():
            packet = getattr(torch.ops.aten, name)
            for operator in (getattr(packet, overload) for overload in packet.overloads()):
                # Each overload of names, and each copy of an in-place operator, calls another one.
                if not any(a.name == "names" for a in operator._schema.arguments):
                    kernels.impl(operator, _make_kernel(operator, serve), _KEY_NAME)
        _pass_through_higher_order()
        _libraries.extend((fall, kernels))


def _pass_through_higher_order() -> None:
    """Let torch's operators on functions, such as `cond`, know the key: they draw nothing.

    They are dispatched in Python, where no fallback of a library is asked.
    """
    torch._ops._HIGHER_ORDER_OP_DEFAULT_FALLTHROUGH_DISPATCH_KEYS.append(_KEY)
    for operator in torch._ops._higher_order_ops.values():
        operator.fallthrough(_KEY)


def _find_operators() -> list[tuple[str, Any]]:
    """Return the names of the operators that have kernels, each with what serves it."""
    names = (f"{base}{end}" for base in _DRAWS for end in ("", "_", "_like"))
    found = [(name, _serve_fill) for name in names if hasattr(torch.ops.aten, name)]
    return [*found, *_OTHERS.items()]
