"""Stochastic depth: compute a residual block for the samples that its noise keeps, and no others.

A block is x → block(x), with an output of x's shape; its branch is block(x) − x. The block's
`forward` is replaced on the instance, since a hook cannot leave a call out.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

import torch
from torch import Tensor, nn

from noisegate.core.checks import at_trace_time
from noisegate.core.errors import InvalidType, InvalidValue

from ..checkpointing import keep_counters
from ..compiling import eager_only
from ..maps import transforms_act
from .forward import keep_model
from .instance_forward import InstanceForward
from .modules import SiteFunction, call_unwatched, leave_modes
from .paths import unwrap
from .residual import find_normalization, find_waiting, hide_hooks
from .samples import (
    KeptSamples,
    describe_call,
    find_floating,
    find_obstacle,
    get_at,
    has_tensors_beside,
    put_at,
    scatter_others,
    take_samples,
    zero_dropped,
)
from .values import describe_types

Remove = Callable[[], None]
Place = tuple[Any, ...]

# How many ways to call a block are remembered, so that a dropped call need not be computed.
_WAYS = 16


class BranchFunction(SiteFunction, Protocol):
    """A function at a block's branch."""

    def choose(self, x: Tensor) -> KeptSamples | None:
        """Return which samples of x are kept; None if the function has to act on the branch."""

    def leave_out(self, sentence: str) -> None:
        """Leave the block out if a wildcard has named it; else raise with the sentence."""

    def note(self, sentence: str) -> None:
        """Add a sentence to the report, once."""


@dataclass(frozen=True, slots=True)
class Form:
    """What is known of a block's output.

    Attributes
    ----------
    template : object
        The output, with None in place of the first floating tensor; None if there are others.
    alone : bool
        Whether that is the only tensor.
    place : tuple
        Where it is; None if there is none.
    like : Tensor
        An empty tensor of its dtype and device.
    shapes : tuple
        The shapes of x and of the output.
    in_place : bool
        Whether the block writes into x.
    """

    template: Any
    alone: bool
    place: Place | None
    like: Tensor
    shapes: tuple[Any, Any]
    in_place: bool

    @property
    def residual(self) -> bool:
        """Whether the output has the shape of x."""
        return self.place is not None and self.shapes[0] == self.shapes[1]


def attach_to_branch(module: nn.Module, site: str, function: Any) -> Remove:
    """Put a function at a block's branch; return the callable that removes it."""
    # Wrappers stay around the block: FSDP gathers its weights on all ranks, kept or not.
    inner = unwrap(module)
    return (BranchForward.find(inner) or BranchForward(inner, site)).add(function)


class BranchForward(InstanceForward):
    """The `forward` of a block with noise on its branch."""

    def __init__(self, module: nn.Module, site: str) -> None:
        super().__init__(module)
        self.functions: list[BranchFunction] = []
        self.site = site
        # What the first call of the block has shown of its output, and the first of each way.
        self.form: Form | None = None
        self.forms: dict[tuple[Any, ...], Form] = {}

    def _call_own(self, given: Any) -> Any:
        args, kwargs = given
        return self.call_own(*args, **kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the block's output with noise on its branch."""
        given, training = (args, kwargs), self.module.training
        functions = [function for function in self.functions if function.acts(training)]
        if not functions:
            return self._call_own(given)
        place = self._find_x(given)
        x = get_at(given, place)
        if getattr(x, "is_nested", False):
            raise InvalidType(
                f"inject: the block at '{self.site}' must not be given a nested tensor. Pad it "
                "with x.to_padded_tensor(0.0), or leave the block out."
            )
        form = self.form
        # A run on the side would store its samples, too, in what stores them.
        if form is None and isinstance(x, Tensor) and find_obstacle(given) is None:
            form = self.form = self._learn(given, place)
            self._keep(form, given, x)
        if form is not None and not form.residual:
            for function in functions:
                function.leave_out(self._describe(form.shapes))
            return self._call_own(given)
        return _Call(self, place).run(functions, given)

    def _in_graph(self, *args: Any, **kwargs: Any) -> Any:
        """Return the same as a call, in code that a compiler traces: all samples are computed."""
        for function in self.functions:
            function.reach_in_graph()
        training = self.module.training
        functions = [f for f in self.functions if not f.is_silent_in_graph()]
        functions = [function for function in functions if function.acts_in_graph(training)]
        given = args, kwargs
        if not functions:
            return self._call_own(given)
        x = get_at(given, self._find_x(given))
        x = x.clone()  # before the block writes into it, if it does
        output = self._call_own(given)
        place = find_floating(output)
        y = None if place is None else get_at(output, place)
        shapes = tuple(x.shape), None if y is None else tuple(y.shape)
        if y is None or shapes[0] != shapes[1]:
            self._leave_out_in_graph(shapes)
            return output
        for function in functions:
            y = (x + function.call_in_graph(y - x)).to(y.dtype)
        return put_at(output, place, y)

    __call__ = eager_only(__call__, _in_graph)

    @at_trace_time
    def _leave_out_in_graph(self, shapes: Any) -> None:
        for function in self.functions:
            function.leave_out(self._describe(shapes))

    def _find_x(self, given: Any) -> Place:
        """Return where the block's x is: the first floating tensor that it is given."""
        place = find_floating(given)
        if place is None:
            self._refuse_types(given)
        return place

    @at_trace_time
    def _refuse_types(self, given: Any) -> NoReturn:
        raise InvalidType(
            f"inject: the block at '{self.site}' must be given a floating-point tensor, or a "
            f"tuple, list or dict that holds one; got {describe_types(list(given))}. Leave the "
            "block out."
        )

    def _describe(self, shapes: Any) -> str:
        """Return the sentence for a module whose output is not of its input's shape."""
        before, after = shapes
        out = "no floating-point tensor" if after is None else f"the shape {after}"
        return (
            f"'{self.site}' is no residual block: its input has the shape {before}, and its output "
            f"{out}. Name the blocks inside of it, or leave it out."
        )

    def find_form(self, given: Any, x: Tensor) -> Form | None:
        """Return the form of the output of a call like this one, if there was one."""
        way = describe_call(given, x)
        return None if way is None else self.forms.get(way)

    def keep_form(self, given: Any, x: Tensor, output: Any) -> None:
        """Keep the form of an output, if the block was not called in this way before."""
        if self.form is not None and self.find_form(given, x) is None:
            self._keep(make_form(x, output, self.form.in_place), given, x)

    def _keep(self, form: Form, given: Any, x: Tensor) -> None:
        way = describe_call(given, x)
        if way is not None and len(self.forms) < _WAYS:
            self.forms[way] = form

    def _learn(self, given: Any, place: Place) -> Form:
        """Return the form of the block's output, by a run in evaluation that leaves no trace."""
        form = None
        with suppress(Exception), hide_hooks(self.module):
            form = self._run_aside(given, place)
        # It may need a hook, or fail by itself.
        return self._run_aside(given, place) if form is None else form

    def _run_aside(self, given: Any, place: Place) -> Form:
        x = get_at(given, place)
        copy = x.detach().clone()
        if x.requires_grad and not transforms_act():
            copy.requires_grad_()  # a segment that is checkpointed warns of inputs without
        with keep_counters(), keep_model(self.module), leave_modes(), torch.no_grad():
            self.module.eval()
            output = self._call_own(put_at(given, place, copy))
        return make_form(x, output, not copy.is_inference() and copy._version > 0)


def make_form(x: Tensor, output: Any, in_place: bool) -> Form:
    """Return the form of a block's output for x."""
    place = find_floating(output)
    if place is None:
        return Form(None, False, None, x.new_empty(0), (tuple(x.shape), None), in_place)
    y = get_at(output, place)
    template = None if not place else put_at(output, place, None)
    alone = not has_tensors_beside(template)
    shapes = tuple(x.shape), tuple(y.shape)
    return Form(
        template if alone else None, alone, place, y.detach().new_empty(0), shapes, in_place
    )


class _Call:
    """One call of a block with noise on its branch."""

    def __init__(self, forward: BranchForward, place: Place) -> None:
        self.forward, self.place, self.form = forward, place, forward.form

    def run(self, functions: Sequence[Any], given: Any) -> Any:
        """Return the output of a block after some functions, each of which acts on the last."""
        if not functions:
            return self.forward._call_own(given)
        *inner, function = functions
        x = get_at(given, self.place)
        choice: Any = call_unwatched(function.choose, x)
        if choice is None:
            output, y = self._compute(inner, given)
            return self._put(output, (x + call_unwatched(function, y - x)).to(y.dtype))
        if not choice.kept and (form := self._find_form(function, given, x)) is not None:
            return self._skip(x, form)
        some = 0 < len(choice.kept) < choice.count
        if some and self._may_take(function, given, x, choice):
            return self._compute_kept(inner, given, x, choice)
        output, y = self._compute(inner, given)
        if len(choice.kept) == choice.count:
            return self._put(output, _merge(x, y, choice))
        place = find_floating(output)
        others = zero_dropped(put_at(output, place, None), choice)
        return put_at(others, place, _replace_kept(x, take_samples(y, choice), choice))

    def _compute(self, inner: Sequence[Any], given: Any) -> tuple[Any, Tensor]:
        """Return a block's output for all samples that it is given, and the tensor in it."""
        x = get_at(given, self.place)
        if self.form is not None and self.form.in_place:
            given = put_at(given, self.place, x.clone())
        output = self.run(inner, given)
        found = find_floating(output)
        y = None if found is None else get_at(output, found)
        if y is None or y.shape != x.shape:
            shapes = tuple(x.shape), None if y is None else tuple(y.shape)
            raise InvalidValue(f"inject: {self.forward._describe(shapes)}")
        if not inner:
            self.forward.keep_form(given, x, output)
        return output, y

    def _put(self, output: Any, y: Tensor) -> Any:
        place = find_floating(output)
        assert place is not None
        return put_at(output, place, y)

    def _find_form(self, function: Any, given: Any, x: Tensor) -> Form | None:
        """Return the form of an output that need not be computed, if nothing depends on it."""
        obstacle = find_obstacle(given)
        if obstacle is None and (name := find_waiting(self.forward.module)) is not None:
            obstacle = f"its {name} waits for other processes, which may keep some"
        if not self._is_free(function, obstacle):
            return None
        form = self.forward.find_form(given, x)
        return form if form is not None and form.alone else None

    def _may_take(self, function: Any, given: Any, x: Tensor, choice: KeptSamples) -> bool:
        """Return whether the kept samples can be taken out of all that the block is given."""
        obstacle = find_obstacle(given, x, choice.axis)
        if obstacle is None and len(choice.kept) == 1:
            name = find_normalization(self.forward.module)
            obstacle = name and f"its {name} needs more than the one that is kept"
        return self._is_free(function, obstacle)

    def _is_free(self, function: Any, obstacle: str | None) -> bool:
        if obstacle is not None:
            function.note(f"'{self.forward.site}' computes all samples: {obstacle}.")
        return obstacle is None

    def _skip(self, x: Tensor, form: Form) -> Any:
        """Return x in the form of the block's output."""
        weights = [p for p in self.forward.module.parameters() if p.requires_grad]
        base = x.to(form.like)
        y: Tensor = base.clone()
        if weights and torch.is_grad_enabled():
            y = _Untouched.apply(base, *weights)  # type: ignore[no-untyped-call]
        return put_at(form.template, form.place, y)

    def _compute_kept(
        self, inner: Sequence[Any], given: Any, x: Tensor, choice: KeptSamples
    ) -> Any:
        """Return the output of a block that computes the kept samples alone."""
        part = take_samples(given, choice)
        with choice.narrow():
            output, y = self._compute(inner, part)
        place = find_floating(output)
        others = scatter_others(put_at(output, place, None), choice)
        return put_at(others, place, _replace_kept(x, y, choice, get_at(part, self.place)))


def _merge(x: Tensor, y: Tensor, choice: KeptSamples) -> Tensor:
    """Return the output of samples that are all kept: x and the scaled branch."""
    if choice.whole:
        return y
    return (x + call_unwatched(choice.scale, y - x)).to(y.dtype)


def _replace_kept(
    x: Tensor, y: Tensor, choice: KeptSamples, x_kept: Tensor | None = None
) -> Tensor:
    """Return x with the output of the kept samples, y, in their places."""
    if x_kept is None:
        x_kept = take_samples(x, choice)
    index = torch.tensor(choice.kept, dtype=torch.int64, device=y.device)
    return x.to(y).index_copy(choice.axis, index, _merge(x_kept, y, choice))


class _Untouched(torch.autograd.Function):
    """A copy of x that gives weights a gradient of 0.

    Without one, processes that wait for the gradients of all weights would wait for ever.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, *weights: Tensor) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.weights = [(w.shape, w.dtype, w.device) for w in weights]
        return x.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None) -> Any:
        zeros = [
            torch.zeros((), dtype=dtype, device=device).expand(shape) if needs else None
            for needs, (shape, dtype, device) in zip(
                ctx.needs_input_grad[1:], ctx.weights, strict=True
            )
        ]
        return grad, *zeros

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor | None, *_: Any) -> Any:
        return None if tangent is None else tangent.clone()
