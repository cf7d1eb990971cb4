"""Replace the noise of modules that are a noise themselves."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.overrides import _pop_mode, _push_mode

from noisegate.core import checks
from noisegate.core.errors import NoisegateError
from noisegate.core.survey import Call

from ..compiling import eager_only, hold_number
from ..functional import refuse_leaf
from ..layers import NoiseLayer
from ..tracing import is_symbolic, refuse_frozen_step
from .discover import check_rank, find_replaceable, get_call_at, get_own_rate
from .instance_forward import InstanceForward


class SiteFunction(Protocol):
    """A function at a site."""

    @property
    def every(self) -> bool:
        """Whether it acts on every floating tensor that it sees, not only on the first."""

    @property
    def silent(self) -> bool:
        """Whether the site behaves as if the function were not there."""

    def reach(self) -> None:
        """Note that the site was reached."""

    def refuse_unwatched(self, x: Any) -> None:
        """Raise where its module is called with x, and it should act but will not be asked."""

    def acts(self, training: bool, call: Call | None = None) -> bool:
        """Return whether it would change a tensor, given the mode and the call that it replaces."""

    def __call__(self, x: Tensor, call: Call | None = None) -> Tensor:
        """Return the tensor with noise on it."""

    def reach_in_graph(self) -> None:
        """Note that a graph has the site."""

    def is_silent_in_graph(self) -> bool:
        """Return `silent`, in code that a compiler traces."""

    def acts_in_graph(self, training: bool, rate: Any = None) -> bool:
        """Return whether it would change a tensor, in code that a compiler traces."""

    def plan_in_graph(self, call: Call, rank: int) -> Any:
        """Return how graphs apply it in place of a call."""

    def call_in_graph(self, x: Tensor, plan: Any = None, rate: Any = None) -> Tensor:
        """Return the tensor with noise on it, in code that a compiler traces."""


def reach_functions(functions: list[SiteFunction]) -> list[SiteFunction]:
    """Return the functions that are not silent; all note that their site was reached."""
    for function in functions:
        function.reach()
    return [function for function in functions if not function.silent]


def apply_functions(
    x: Tensor, functions: list[SiteFunction], training: bool, call: Call, name: str = ""
) -> Tensor:
    """Return x after the functions that act, applied in order.

    `name` is the torch layer that they replace. Its check of x's rank comes first.
    """
    acting = [function for function in functions if function.acts(training, call)]
    check_rank(name, x, bool(acting))
    for function in acting:
        x = call_unwatched(function, x, call)
    return x


def call_unwatched(function: Callable[..., Tensor], x: Tensor, *call: Call) -> Tensor:
    """Return a function's result for x, hidden from modes that watch torch functions."""
    # Turning modes off costs time, so only where there is one.
    if not torch._C._len_torch_function_stack():
        return function(x, *call)
    # torch's own way would turn the class of a subclass off as well.
    plain = type(x) in (Tensor, nn.Parameter)
    with torch._C.DisableTorchFunction() if plain else leave_modes():
        return function(x, *call)


@contextmanager
def leave_modes() -> Iterator[None]:
    """Leave all modes that watch torch functions, for a block."""
    modes = [_pop_mode() for _ in range(torch._C._len_torch_function_stack())]
    try:
        yield
    finally:
        for mode in reversed(modes):
            _push_mode(mode)


class OwnForward(InstanceForward):
    """The `forward` of a dropout module whose noise is replaced.

    The class's `forward` would draw from torch's generator.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__(module)
        self._known: tuple[Any, Call] | None = None
        self.functions: list[SiteFunction] = []

    def _in_graph(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Return the same as a call, in code that a compiler traces."""
        module = self.module
        for function in self.functions:
            function.reach_in_graph()
        functions = [f for f in self.functions if not f.is_silent_in_graph()]
        if not functions:
            result: Tensor = type(module).forward(module, x, *args, **kwargs)
            return result
        y, training = x, module.training
        acting = [function for function in functions if function.acts_in_graph(training)]
        if acting:
            # Read here, so that a compiler compares it when the graph runs again.
            known, rate = self._read_rate()
            plans = self._plan(known, x.ndim)  # the extents may be unknown to the compiler
            for function, plan in zip(self.functions, plans, strict=True):
                if function in acting:
                    y = function.call_in_graph(y, plan, rate)
        return write_in_place(x, y, getattr(module, "inplace", False), training)

    def _read_rate(self) -> tuple[Any, Any]:
        """Return what tells the module's noise, and its rate; None if its kind has a schedule."""
        module = self.module
        if not isinstance(module, NoiseLayer):
            rate = get_own_rate(module)
            rate = rate if rate is None else hold_number(rate)
            return rate, rate
        live, own = module.live_rate(), module.kind.rate
        return module.kind, live if live is not None else own if isinstance(own, float) else None

    @checks.at_trace_time
    def _plan(self, rate: Any, rank: int) -> list[Any]:
        """Return how graphs apply each function to an input of this rank."""
        _, call = get_call_at(self.module, self._get_call(), (1,) * rank)
        return [function.plan_in_graph(call, rank) for function in self.functions]

    def __call__(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Return x with the noise of the functions instead of the module's own."""
        functions = reach_functions(self.functions)
        if not functions:
            result: Tensor = self.call_own(x, *args, **kwargs)
            return result
        if is_symbolic(x):  # torch.fx traces it
            if self.module.training:
                refuse_frozen_step(type(self.module).__name__)
            return x
        name, call = get_call_at(self.module, self._get_call(), x.shape)
        y = apply_functions(x, functions, self.module.training, call, name)
        draws = self.module.training and call.kind.rate != 0
        inplace = getattr(self.module, "inplace", False)
        try:
            return write_in_place(x, y, inplace, draws)
        except NoisegateError as error:
            error.prefix(type(self.module).__name__)
            raise

    __call__ = eager_only(__call__, _in_graph)

    def _get_call(self) -> Call:
        """Return the module's noise at its present rate, cached until the rate changes."""
        rate = get_own_rate(self.module)
        known = self._known
        if known is None or rate is None or rate != known[0]:
            call = find_replaceable(self.module)
            assert call is not None
            known = self._known = rate, call
        return known[1]


def write_in_place(x: Tensor, y: Tensor, inplace: bool, draws: bool) -> Tensor:
    """Return y, written to x's memory if the model's code asks for that.

    `draws` says that the model's own noise would have returned another tensor than x. If y is x and
    a parameter, it is then cloned: a module that drops weights would register the parameter itself
    under the name of the dropped weights.
    """
    if y is x:
        return x.clone() if draws and not inplace and isinstance(x, nn.Parameter) else x
    if not inplace:
        return y
    refuse_leaf(x)
    return x.copy_(y)
