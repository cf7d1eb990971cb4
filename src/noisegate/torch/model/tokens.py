"""Leave tokens out of what enters a module, so that it computes a shorter sequence."""

import inspect
import itertools
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from noisegate.core.checks import at_trace_time

from ..compiling import eager_only, run_eagerly
from ..tracing import is_symbolic
from .hooks import AtSite, Remove, Undo, hook_before
from .modules import SiteFunction, call_unwatched
from .paths import unwrap
from .samples import find_floating, get_at, map_tensors
from .scripted import trains
from .values import find_tensors

# What a module is given of another sequence, by the names that torch and transformers have.
_OTHER = ("memory", "encoder_", "cross_", "context")
# What it is given for each of its own tokens, (samples, tokens, features).
_SAME = re.compile(r"(^|_)(pos|position\w*|rotary\w*|freqs?|rope|cos|sin|residual)(_|$)")
# What an attention is given: its queries, or another sequence.
_OF_ATTENTION = ("key", "value")
# Arguments of shape (samples, tokens), where another of the same shape may be of pairs of tokens.
_PADDING = ("attention_mask", "position_ids", "token_type_ids")


class TokenFunction(SiteFunction, Protocol):
    """A function at the tokens of a module; it takes which there are, and returns which stay."""

    @property
    def sample_axis(self) -> int | None:
        """The axis of the samples."""

    @property
    def varies_in_graph(self) -> bool:
        """Whether the number of tokens that stay is known at each step alone."""

    def check_graph(self) -> None:
        """Raise where that is so, and a compiler makes one graph."""

    def count_left(self, x: Tensor, axis: int) -> int:
        """Return how many tokens of each sample of x stay at this step."""

    def count_left_in_graph(self, x: Tensor, axis: int) -> int:
        """Return how many tokens of each sample of x stay, in code that a compiler traces."""

    def leave_out(self, sentence: str) -> None:
        """Leave the module out if a wildcard has named it; else raise with the sentence."""


def attach_to_tokens(module: nn.Module, site: str, function: Any) -> Remove:
    """Put a function at the tokens of a module; return the callable that removes it."""
    hook = _AtTokens(site, None, function)
    hook.by_place, hook.names = _read_names(unwrap(module))
    return Undo(hook_before(module, hook, with_kwargs=True).remove, hook.retire)


def _read_names(module: nn.Module) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of a module's arguments: those given by place, and all."""
    _, *parameters = inspect.signature(type(module).forward).parameters.values()
    others = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.KEYWORD_ONLY
    by_place = itertools.takewhile(lambda p: p.kind not in others, parameters)
    return tuple(p.name for p in by_place), tuple(p.name for p in parameters)


class _AtTokens(AtSite):
    function: Any
    # Of the module's arguments, by place and all.
    by_place: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    def _in_graph(self, module: nn.Module, args: Any, kwargs: Any = None) -> Any:
        function = self.function
        function.reach_in_graph()
        if not function.acts_in_graph(trains(module)):
            return None
        if function.varies_in_graph:
            function.check_graph()
            return _shorten_outside(self, args, kwargs)
        count, apply = function.count_left_in_graph, function.call_in_graph
        return self._shorten(args, kwargs, count, apply, self._leave_out_in_graph)

    def __call__(self, module: nn.Module, args: Any, kwargs: Any = None) -> Any:
        if not self.function.acts(trains(module)):
            return None
        return self.shorten(args, kwargs)

    __call__ = eager_only(__call__, _in_graph)

    def shorten(self, args: Any, kwargs: Any) -> Any:
        """Return a module's arguments with fewer tokens; None if they stay as they are."""
        function = self.function
        apply = partial(call_unwatched, function)
        return self._shorten(args, kwargs, function.count_left, apply, function.leave_out)

    def _shorten(
        self,
        args: Any,
        kwargs: Any,
        count: Callable[[Tensor, int], int],
        apply: Callable[[Tensor], Tensor],
        leave_out: Callable[[str], None],
    ) -> Any:
        by_name = kwargs or {}
        places = (*self.by_place, *(str(i) for i in range(len(self.by_place), len(args))))
        given = dict(zip(places, args, strict=False)) | by_name
        # In the order of the module's own arguments, however they are given.
        rest = [name for name in given if name not in self.names]
        ordered = {n: given[n] for n in [*(n for n in self.names if n in given), *rest]}
        place = find_floating(ordered)
        x: Any = None if place is None else get_at(ordered, place)
        if is_symbolic(x):
            apply(x)  # which refuses a trace
        axis = self.function.sample_axis
        if x is None or x.is_nested or x.ndim != 3 or axis not in (0, 1, -2, -3):
            leave_out(self._describe(x, axis))
            return None
        axis %= 3
        left = count(x, axis)
        # The masks of all features are one.
        keep = apply(torch.ones_like(x[..., :1], dtype=torch.bool))
        if left == x.shape[1 - axis]:
            return None
        order = (~keep).to(torch.uint8).argsort(dim=1 - axis, stable=True)
        kept = _KeptTokens(order.narrow(1 - axis, 0, left)[..., 0], axis, x)
        for name, value in given.items():
            obstacle = kept.find_obstacle(name, value)
            if obstacle is not None:
                leave_out(self._describe_obstacle(name, obstacle, x, axis))
                return None
        values = [kept.shorten(name, value) for name, value in given.items()]
        before = tuple(values[: len(args)])
        if kwargs is None:
            return before
        return before, dict(zip(by_name, values[len(args) :], strict=True))

    @at_trace_time
    def _leave_out_in_graph(self, sentence: str) -> None:
        self.function.leave_out(sentence)

    def _describe(self, x: Tensor | None, axis: int | None) -> str:
        """Return the sentence for a module that is not given a sequence of tokens."""
        got = "no floating-point tensor" if x is None else f"one of shape {tuple(x.shape)}"
        if x is not None and x.is_nested:
            got = "a nested tensor"
        return (
            f"'{self.site}' leaves tokens out of the first floating-point tensor that its module "
            "is given, which must have the shape (samples, tokens, features), or with "
            f"sample_axis 1 (tokens, samples, features); got {got} with sample_axis {axis}. Name "
            "a module that is given such a sequence."
        )

    def _describe_obstacle(self, name: str, shape: Any, x: Tensor, axis: int) -> str:
        """Return the sentence for an argument whose tokens are not known."""
        given = (
            f"'{self.site}' leaves other tokens out for each sample, and its module is given "
            f"`{name}` of shape {shape} beside tokens of shape {tuple(x.shape)}."
        )
        length = x.shape[1 - axis]
        like = len(shape) == 3 and shape[axis] in (1, x.shape[axis]) and shape[1 - axis] == length
        if like and shape[2] != length and name not in _OF_ATTENTION:
            return (
                f"{given} Whether it is of the same tokens, its name does not say: `memory`, "
                "`context`, `encoder_…` and `cross_…` are of another sequence, and `position…`, "
                "`pos`, `rotary…`, `freqs…`, `rope`, `cos`, `sin` and `residual` of this one. "
                "Rename it, or name a module that is not given it."
            )
        return (
            f"{given} Which of its entries belong to which of them is not known. Give a mask of "
            "shape (samples, tokens) or (samples, heads, tokens, tokens), or name a module that "
            "is not given it."
        )


_shorten_outside = run_eagerly(_AtTokens.shorten)


# The axis of the samples of a tensor, and the axes that hold tokens.
_Axes = tuple[int, tuple[int, ...]]
_STAYS: _Axes = 0, ()


class _KeptTokens(NamedTuple):
    """Which tokens of x stay: their places in order, along the axis of the tokens.

    `axis` is that of the samples, for x and its places.
    """

    places: Tensor
    axis: int
    x: Tensor

    @property
    def length(self) -> int:
        """The number of tokens of a sample of x."""
        return self.x.shape[1 - self.axis]

    @property
    def batch(self) -> int:
        """The number of samples of x."""
        return self.x.shape[self.axis]

    def take(self, x: Tensor, samples: int, axes: Sequence[int]) -> Tensor:
        """Return a tensor with the kept tokens alone, along each of some axes."""
        places = self.places if self.axis == 0 else self.places.transpose(0, 1)
        for axis in axes:
            shape = [1] * x.ndim
            shape[samples], shape[axis] = places.shape
            index = places if samples < axis else places.transpose(0, 1)
            x = torch.take_along_dim(x, index.reshape(shape), axis)
        return x

    def _take_rows(self) -> Tensor:
        """Return x with the kept tokens alone: as `take`, in a third of the time on a CPU."""
        samples = torch.arange(self.batch, device=self.x.device).unsqueeze(1 - self.axis)
        return self.x[(samples, self.places) if self.axis == 0 else (self.places, samples)]

    def find_obstacle(self, name: str, value: Any) -> tuple[int, ...] | None:
        """Return the shape of a tensor in an argument whose tokens are not known, or None."""
        tensors = find_tensors(value)
        unclear = (tuple(t.shape) for t in tensors if self._find_axes(name, t) is None)
        return next(unclear, None)

    def shorten(self, name: str, value: Any) -> Any:
        """Return an argument whose tensors have the kept tokens alone."""

        def take(tensor: Tensor) -> Tensor:
            if tensor is self.x:
                return self._take_rows()
            samples, axes = self._find_axes(name, tensor) or _STAYS
            return self.take(tensor, samples, axes)

        changes = any(self._find_axes(name, tensor) != _STAYS for tensor in find_tensors(value))
        # What has nothing to change stays the same object, into which the module may write.
        return map_tensors(value, take) if changes else value

    def _find_axes(self, name: str, tensor: Tensor) -> _Axes | None:
        """Return the axis of the samples and those of the tokens; None if it is not known.

        There are no axes of tokens in a tensor that stays as it is.
        """
        shape, length = tuple(tensor.shape), self.length
        if tensor is self.x:
            return self.axis, (1 - self.axis,)
        if length not in shape:
            return _STAYS
        # Entries that all samples share, or of each sample.
        some = 1, self.batch
        pairs = "mask" in name or "bias" in name or tensor.dtype is torch.bool
        by_sample = tensor.ndim == 2 and ("padding" in name or name.endswith(_PADDING))
        if name.startswith(_OTHER):
            if not pairs or by_sample or shape[-2:-1] != (length,):
                return _STAYS
            return (0, (2,)) if tensor.ndim == 4 and shape[0] in some else None
        if name in _OF_ATTENTION:
            return None
        if tensor.ndim == 2:
            return self._find_axes_of_two(shape, by_sample, pairs or not tensor.is_floating_point())
        if tensor.ndim == 3:
            if pairs and shape[1:] == (length, length):
                return (0, (1, 2)) if shape[0] in some else None
            like = shape[1 - self.axis] == length and shape[self.axis] in some
            known = pairs or _SAME.search(name) is not None
            return (self.axis, (1 - self.axis,)) if like and known and shape[2] != length else None
        if tensor.ndim == 4 and pairs and shape[0] in some and shape[3] == length:
            return 0, ((2, 3) if shape[2] == length else (3,))
        return None

    def _find_axes_of_two(self, shape: Any, by_sample: bool, masks: bool) -> _Axes | None:
        length, count = self.length, self.batch
        if shape[1] == length and shape[0] in (1, count):
            # Of as many samples as tokens, it may be of pairs; with as many features, of neither.
            clear = shape[0] != length and (masks or self.x.shape[2] != length)
            return (0, (1,)) if by_sample or clear else None
        turned = self.axis == 1 and shape[0] == length and shape[1] in (1, count)
        return (1, (0,)) if turned else None
