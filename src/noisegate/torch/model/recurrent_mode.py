"""Let a recurrent layer put noise on its own states, with or without noise of rules."""

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack

from noisegate.core.kind import Kind

from ..compiling import eager_only
from .own_states import use_own_noise
from .recurrent_handlers import RECURRENT_HANDLERS
from .watch_hooks import Mode


class _Alone:
    """A layer as a handler sees it where nothing watches the model."""

    draws = None

    def __init__(self, training: bool) -> None:
        self.frame = SimpleNamespace(training=training)

    def find_functions(self, port: str, call: Any) -> list[Any]:
        """Return no functions: there are no rules."""
        return []

    def leave_to_model(self, function: Callable[[], Any]) -> Any:
        """Return the result of the layer's own call."""
        return function()


class _RecurrentMode(TorchFunctionMode):
    """Handles the recurrent function that a layer calls, unless a watch does."""

    def __init__(self, training: bool) -> None:
        super().__init__()
        self.training = training

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Return the function's result, with the layer's noise."""
        handler, kwargs = RECURRENT_HANDLERS.get(func), kwargs or {}
        modes = (mode for mode in _get_current_function_mode_stack() if isinstance(mode, Mode))
        watched = any(not mode.watch.interrupted for mode in modes)
        if handler is None or watched:
            return func(*args, **kwargs)
        return handler(_Alone(self.training), func, args, kwargs)


def _call_eagerly(
    forward: Callable[..., Any], given: Any, kinds: Mapping[str, Kind], words: str, training: bool
) -> Any:
    """Return what the forward of a recurrent layer returns with its own noise."""
    with use_own_noise(kinds, words), _RecurrentMode(training):
        return forward(*given)


call_with_noise = eager_only(_call_eagerly)
