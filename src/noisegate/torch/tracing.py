"""Refuse noise whose step a trace or an export would freeze, and noise in a script."""

from typing import Any, NoReturn, Protocol
from weakref import ref

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
    def trace_of_step(self) -> "ref[Any] | None":
        """From `find_trace`, where its caller chose the step; None if the step was counted."""


def find_trace() -> "ref[Any] | None":
    """Return a reference to what records the operations of this thread, if anything does."""
    mode = None if compiler.is_compiling() else get_proxy_mode()
    return None if mode is None else ref(mode)


def refuse_tracing(x: Tensor | Proxy, stepping: Stepping | None = None) -> None:
    """Raise if torch records the operations on x, and with them the noise of one step."""
    # The flags cost a tenth of a microsecond together. Two of them are set for all threads, so the
    # rest asks whether this thread records.
    if compiler._is_exporting_flag or _symbolic_trace._is_fx_tracing_flag or _is_tracing():
        if compiler.is_dynamo_compiling() or is_symbolic(x) or _is_tracing():
            refuse_frozen_step()
        trace = find_trace()
        if trace is None:
            return
        if forward_ad._current_level < 0:
            refuse_frozen_step()
        # `torch.func.linearize` records a tangent, which is of one step. It has called the function
        # before, so that a step which was chosen outside of it has gone on counting.
        if stepping is None or stepping.trace_of_step != trace:
            refuse_linearization()


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
    """Raise because a tangent would have other noise than the output."""
    raise NoisegateError(
        "`torch.func.linearize` calls its function twice, and the tangent would have the noise of "
        "another call than the output. Choose the step inside of the function, by a key or a "
        "block, `def f(x): with noise.at(step): return model(x)`, or leave the noise out."
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
