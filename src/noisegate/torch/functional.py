"""Noise as functions of tensors: forward, backward, double backward, tangents, vmap."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import Parameter, Signature, signature
from typing import Any, ParamSpec, TypeVar, cast

import torch
from torch import Tensor

from noisegate.core import apply as core
from noisegate.core import checks, kinds, messages
from noisegate.core.errors import InvalidType, InvalidValue, RecomputationError
from noisegate.core.keys import Key, Stream
from noisegate.core.kind import Kind
from noisegate.core.window import DEFAULT_AXIS, Window
from noisegate.engines.torch import TorchEngine

P = ParamSpec("P")
R = TypeVar("R")


def eager_only(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function run outside of compiled graphs: a graph break, and the right noise.

    Keys are worked out in Python integers, which no compiler traces.
    """
    return cast(Callable[P, R], torch.compiler.disable(function))


@dataclass(frozen=True, slots=True)
class _Noise:
    """One application: which noise, which part of the field, and whether only its linear part."""

    kind: Kind
    key: Key
    window: Window
    rate: float | None
    linear: bool = False

    def __call__(self, x: Tensor, live: Tensor | None) -> Tensor:
        rate = self.rate if live is None else live
        engine = TorchEngine(x.device)
        result = core.apply(engine, self.kind, x, self.key, self.window, rate, linear=self.linear)
        # A field of zeros and no arithmetic at all can leave x itself.
        return cast(Tensor, result.clone() if result is x else result)

    def derivative(self) -> "_Noise":
        return _Noise(self.kind, self.key, self.window, self.rate, linear=True)


class _Apply(torch.autograd.Function):
    """Autograd around an application; it keeps the key and computes the noise again.

    The derivative of noise is its linear part, which is noise again: so one formula serves
    backward, double backward and tangents.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, live: Tensor | None, noise: _Noise) -> Tensor:
        return noise(x, live)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, live, noise = inputs
        ctx.noise = noise.derivative()
        ctx.save_for_backward(live)
        ctx.save_for_forward(live)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (live,) = ctx.saved_tensors
        return _apply(grad, live, ctx.noise), None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: None) -> Tensor:
        (live,) = ctx.saved_tensors
        return _apply(tangent, live, ctx.noise)


def _apply(x: Tensor, live: Tensor | None, noise: _Noise) -> Tensor:
    return cast(Tensor, _Apply.apply(x, live, noise))  # type: ignore[no-untyped-call]


@eager_only
def apply(
    kind: Kind,
    x: Tensor,
    key: Key,
    rows: Any = None,
    sample_axis: int | None = DEFAULT_AXIS,
    live: Mapping[str, Any] | None = None,
) -> Tensor:
    """Return x with the noise of a key on it; what ``kind(x, key)`` calls for tensors."""
    who = type(kind).__name__
    _check_dense(who, x)
    window, rate = core.prepare(kind, key, tuple(x.shape), rows, sample_axis, live or {})
    precision = core.check_input(TorchEngine(x.device), kind, x)
    if core.is_identity(kind, rate):
        return x
    if checks.is_host(rate):
        noise, tensor = _Noise(kind, key, window, rate), None
    else:
        noise, tensor = _Noise(kind, key, window, None), torch.as_tensor(rate, device=x.device)
        if tensor.requires_grad and torch.is_grad_enabled():
            raise InvalidValue(messages.rate_needs_grad(who, kind.RATE))
    return noise(x, tensor) if precision == "integer" else _apply(x, tensor, noise)


def _check_dense(who: str, x: Tensor) -> None:
    if x.is_nested:
        raise InvalidType(messages.nested_input(who))
    if x.layout is not torch.strided:
        raise InvalidType(messages.sparse_input(who, x.layout))


def draw_seed() -> int:
    """Return 64 bits from torch's CPU generator, so that `torch.manual_seed` governs them."""
    drawn = torch.empty((), dtype=torch.int64).random_(-(2**63), None)
    return int(drawn.item()) % 2**64


def refuse_backward(who: str) -> None:
    """Raise if this runs inside a backward pass, where a counted step is not known."""
    # torch's own checkpointing asks the same private question; -1 is outside.
    if torch._C._current_graph_task_id() != -1:
        raise RecomputationError(messages.in_backward(who))


def _function(kind_class: type[Kind]) -> Callable[..., Tensor]:
    """Return the function of a kind: x, its rate, `training`, then the rest by name."""
    rate = kind_class.RATE
    numbers = dict(signature(kind_class).parameters)
    rate_parameter = numbers.pop(rate).replace(annotation=float | Tensor)
    by_name = [
        *numbers.values(),
        Parameter("key", Parameter.KEYWORD_ONLY, default=None, annotation=Key | None),
        Parameter("rows", Parameter.KEYWORD_ONLY, default=None, annotation=Any),
        Parameter("sample_axis", Parameter.KEYWORD_ONLY, default=DEFAULT_AXIS, annotation=Any),
    ]
    training = Parameter("training", Parameter.POSITIONAL_OR_KEYWORD, default=True, annotation=bool)
    x = Parameter("x", Parameter.POSITIONAL_OR_KEYWORD, annotation=Tensor)
    call = Signature(
        [
            x,
            rate_parameter,
            training,
            *(parameter.replace(kind=Parameter.KEYWORD_ONLY) for parameter in by_name),
        ],
        return_annotation=Tensor,
    )
    name = re.sub("(?<!^)(?=[A-Z])", "_", kind_class.__name__).lower()

    def function(*args: Any, **kwargs: Any) -> Tensor:
        checks.keywords(name, kwargs, list(call.parameters))
        bound = call.bind(*args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        kind = kind_class(**{rate: 0.0}, **{number: given[number] for number in numbers})
        return _apply_or_pass(kind, given[rate], **{word: given[word] for word in _WORDS})

    function.__name__ = function.__qualname__ = name
    function.__doc__ = _DOC.format(kind=kind_class.__name__, rate=rate)
    function.__signature__ = call  # type: ignore[attr-defined]
    return function


_WORDS = ("x", "training", "key", "rows", "sample_axis")

_DOC = """Return x with the noise of `noisegate.{kind}`, fresh or that of a key.

    Parameters
    ----------
    x : Tensor
        Of any shape and floating dtype; complex and integers as the kind takes them.
    {rate} : float, or Tensor that broadcasts to x
        The rate. A number is checked, a tensor clamped.
    training : bool
        False returns x itself.
    key : Key, optional
        Which noise. Without it, 64 bits are drawn from torch's CPU generator, so that
        ``torch.manual_seed`` governs.
    rows, sample_axis
        As at a call of a kind. The other arguments are the kind's.
    """


def _apply_or_pass(
    kind: Kind,
    rate: Any,
    x: Tensor,
    training: bool,
    key: Key | None,
    rows: Any,
    sample_axis: int | None,
) -> Tensor:
    """Return x with noise: that of the key, or fresh noise by torch's generator."""
    who = type(kind).__name__
    checks.flag(who, "training", training)
    if not isinstance(x, Tensor):
        raise InvalidType(messages.unsupported_array(who, x, ["torch"]))
    live = {kind.RATE: rate}
    if not training or core.is_identity(kind, kind.live_rate(live)):
        return x
    if key is None:
        key = Stream(draw_seed()).site("").at(0)
    return apply(kind, x, key, rows, sample_axis, live)


dropout = _function(kinds.Dropout)
gaussian_noise = _function(kinds.GaussianNoise)
gaussian_dropout = _function(kinds.GaussianDropout)
uniform_noise = _function(kinds.UniformNoise)
