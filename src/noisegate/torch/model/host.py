"""A PyTorch model as injection sees it: its sites, and how functions are put at them."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from torch import nn

from noisegate.core.patterns import parse_port, split
from noisegate.core.survey import Sites
from noisegate.engines.torch import works_of

from ..checkpointing import refuse_backward, register
from ..functional import apply_in, apply_steps, draw_seed, window_for
from ..processes import world_size
from ..time_rows import rows_in_use
from . import forward as run
from . import hooks
from .compiled import refuse_compiled
from .discover import own_call, own_port, pre_activation, sites
from .modules import OwnForward, SiteFunction
from .paths import modules
from .protocols import PreActivation
from .sharing import exclusive
from .watch import Calls, Listener


class Host:
    """A model, and the modules of it by canonical path.

    Raises
    ------
    InvalidValue
        If two modules have one path, or compiled code of the model has run already.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.modules = modules(model)
        refuse_compiled(model)

    draw_seed = staticmethod(draw_seed)
    refuse_backward = staticmethod(refuse_backward)
    register = staticmethod(register)
    window_for = staticmethod(window_for)
    apply_in = staticmethod(apply_in)
    works_of = staticmethod(works_of)
    rows_in_use = staticmethod(rows_in_use)
    apply_steps = staticmethod(apply_steps)
    world_size = staticmethod(world_size)
    mute = staticmethod(run.mute)

    def sites(self) -> Sites:
        """Return what is known of the model's sites before it runs."""
        return sites(self.model, self.modules)

    @property
    def has_code_of_its_own(self) -> bool:
        """Whether a module's class is neither torch's nor ours, so that it may call anything."""
        homes = (type(module).__module__.partition(".")[0] for module in self.modules.values())
        return any(home not in ("torch", "noisegate") for home in homes)

    def handles(self) -> list[Any]:
        """Return the handles of the noise that the model has."""
        return hooks.handles(self.model)

    def attach(self, site: str, function: SiteFunction) -> Callable[[], None]:
        """Put a function at a site; return how to undo it."""
        module, port = self.modules[split(site)[0]], parse_port(site)
        if port.own:
            return self._attach_own(module, site, function)
        name, part = port.name, port.part
        if name == "pre" and isinstance(module, PreActivation):
            return hooks.at_pre_activation(module, site, part, function)
        if name == "pre":
            before = pre_activation(module)
            assert before is not None
            module, name = before
        put = hooks.at_input if name == "in" else hooks.at_output
        return put(module, site, part, function)

    def _attach_own(
        self, module: nn.Module, site: str, function: SiteFunction
    ) -> Callable[[], None]:
        if own_call(module) is None or parse_port(site).name == "probs":
            return self._calls().add(site, function)
        forward = module.__dict__.get("forward")
        return (forward if isinstance(forward, OwnForward) else OwnForward(module)).add(function)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Tell somebody of the noises that functions make in a forward; return how to undo it."""
        return self._calls().listen(listener)

    def on_forward(self, begin: hooks.Begin, end: Callable[[bool], None]) -> Callable[[], None]:
        """Call functions where a forward of the model begins and ends; return how to undo it."""
        return hooks.on_forward(self.model, begin, end)

    def on_parts(self, begin: Callable[[str, bool], None]) -> Callable[[], None]:
        """Call a function where a call of a part of the model begins; return how to undo it."""
        return hooks.on_parts(self.model, begin)

    def exclusive(self) -> AbstractContextManager[None]:
        """Let one thread at a time change the model, for a block."""
        return exclusive(self.model)

    def running(self) -> int:
        """Return how many calls of the model are going on, one within the other."""
        return hooks.running(self.model)

    def dry_run(self, example: Any) -> None:
        """Run the model on an example, and leave no trace."""
        run.dry_run(self.model, example)

    def batches(self, x: Any, size: int | None) -> Iterator[tuple[Any, int]]:
        """Yield what the model takes, in batches, and how many samples each has."""
        for batch in run.batches(x, size):
            inputs = run.inputs_for(self.model, batch)
            count = hooks.batch_of(inputs)
            yield inputs, 1 if count is None else count

    def shuffled(self, x: Any) -> str | None:
        """Return the name of what shuffles the samples of a loader, or None."""
        return run.shuffled(x)

    def count(self, x: Any) -> int | None:
        """Return how many samples what the model takes has in all, where that can be known."""
        return run.count_of(x)

    def one_number_each(self, x: Any) -> np.ndarray | None:
        """Return the input as a vector, where it is one number a sample."""
        return run.vector_of(x)

    def part(self, batch: Any, rows: slice | list[int], count: int) -> Any:
        """Return some samples of a batch of `count`."""
        return run.part_of(batch, rows, count)

    def repeated(self, batch: Any, count: int, times: int) -> Any:
        """Return a batch of `count` samples several times, one after the other."""
        return run.repeated(batch, count, times)

    def joined(self, batch: Any, other: Any) -> Any:
        """Return two batches of one sample each as one of both."""
        return run.joined(batch, other)

    def evaluating(self) -> AbstractContextManager[None]:
        """Put the model in evaluation for a block."""
        return run.in_evaluation(self.model)

    def rounding(self) -> float:
        """Return how far outputs differ by rounding alone, as a share of the largest."""
        return run.rounding(self.model)

    def measuring(self) -> AbstractContextManager[Callable[[], int]]:
        """Yield what tells how many elements the largest tensor in forwards of a block had."""
        return run.measuring(self.model)

    def output(self, batch: Any, name: str | int | None) -> np.ndarray:
        """Return the model's output for a batch, as a NumPy array."""
        return run.output_of(run.run(self.model, batch), name)

    def taken_over(self) -> list[str]:
        """Return the sites where something has taken the place of the model's own noise."""
        own = ((path, m, own_call(m)) for path, m in self.modules.items())
        found = [
            f"{path}:{own_port(call.kind)}"
            for path, module, call in own
            if call is not None and isinstance(module.__dict__.get("forward"), OwnForward)
        ]
        calls = Calls.find(self.model)
        functions = {} if calls is None else calls.functions
        return [*found, *(site for site, those in functions.items() if those)]

    def _calls(self) -> Calls:
        return Calls.find(self.model) or Calls(self.model, self.modules)
