"""Refuse noise whose step a trace or an export would freeze, and noise in a script."""

from typing import Any, NoReturn, Protocol

from torch import Tensor, compiler
from torch._C import _is_tracing
from torch.autograd import forward_ad
from torch.fx import Proxy, _symbolic_trace
from torch.fx.experimental.proxy_tensor import get_proxy_mode

from noisegate.core.checks import at_trace_time
from noisegate.core.errors import MissingAttribute, NoisegateError
from noisegate.core.kind import Kind


class Stepping(Protocol):
    """Something whose noise is that of a step."""

    @property
    def may_choose_step(self) -> bool:
        """Whether its caller may have chosen the step, rather than let it count."""


def refuse_tracing(x: Tensor | Proxy, stepping: Stepping | None = None) -> None:
    """Raise if torch records the operations on x, and with them the noise of one step."""
    # The flags cost a tenth of a microsecond together. Two of them are set for all threads, so the
    # rest asks whether this thread records.
    if compiler._is_exporting_flag or _symbolic_trace._is_fx_tracing_flag or _is_tracing():
        if compiler.is_dynamo_compiling() or is_symbolic(x) or _is_tracing():
            refuse_frozen_step()
        # `torch.func.linearize` records a tangent, which is of one step, whoever has chosen it.
        chosen = (
            stepping is not None and forward_ad._current_level >= 0 and stepping.may_choose_step
        )
        if get_proxy_mode() is not None and not chosen:
            if forward_ad._current_level >= 0:
                refuse_linearization()
            refuse_frozen_step()


def refuse_jit_trace(kind: Kind) -> None:
    """Raise if `torch.jit.trace` records the plain operations of noise, which it cannot hold."""
    if _is_tracing():
        refuse_frozen_step(type(kind).__name__)


def refuse_export(name: str) -> None:
    """Raise if `torch.export` records the calling code; for code that a compiler traces."""
    if compiler.is_exporting():
        refuse_frozen_step(name)


def is_symbolic(x: Any) -> bool:
    """Return whether x only stands for a tensor, in a symbolic trace."""
    return isinstance(x, Proxy)


@at_trace_time
def refuse_frozen_step(name: str = "") -> NoReturn:
    """Raise because the step of a model in training would be frozen."""
    error = NoisegateError(
        "a trace or an export of a model in training would repeat the noise of one step in every "
        "run. Call model.eval() first, or leave the noise out. A torch.fx.Tracer may keep layers "
        "of noise as leaf modules."
    )
    raise error.prefix(name) if name else error


def refuse_linearization() -> NoReturn:
    """Raise because a linearization would hold a step that nobody chose."""
    raise NoisegateError(
        "`torch.func.linearize` would repeat the noise of one step in every run. Choose the step, "
        "by a key or a block `with noise.at(step)`, or leave the noise out."
    )


def forward_in_script(self: Any, x: Tensor, rows: Any = None) -> Tensor:
    """Return x; a layer's `forward` for `torch.jit.script`, in words that it compiles."""
    if self.training:
        raise RuntimeError("noisegate: a script has no noise. Call eval() on it first.")
    return x


class Unscriptable:
    """A hook that `torch.jit.script` cannot compile. It is the only one that asks for its name."""

    @property
    def __name__(self) -> str:
        raise MissingAttribute(
            "noisegate: torch.jit.script cannot compile a model with noise. Remove the noise "
            "first, noise.remove(), or use torch.jit.trace(model.eval(), x)."
        )
