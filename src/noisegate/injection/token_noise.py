"""Shorter sequences: which tokens of a sample stay, and how many."""

from typing import Any, NoReturn, cast

from noisegate.core.checks import at_trace_time
from noisegate.core.errors import InvalidValue
from noisegate.core.kinds.patch_dropout import PatchDropout, count_left
from noisegate.core.philox import threshold
from noisegate.core.plan import Placement
from noisegate.core.schedule import Schedule
from noisegate.core.survey import Call

from .module_noise import ModuleSiteNoise
from .running_forward import NotTogether


class TokenNoise(ModuleSiteNoise):
    """The noise that leaves tokens out: it takes which tokens there are, and says which stay."""

    word = "module"

    def __init__(self, injection: Any, placement: Placement) -> None:
        super().__init__(injection, placement)
        self.numbers = _write_numbers(placement)

    def set_placement(self, placement: Placement) -> None:
        """Replace the placement, for eager code and for graphs."""
        super().set_placement(placement)
        self.numbers = _write_numbers(placement)

    @property
    def sample_axis(self) -> int | None:
        """The axis of the samples."""
        return self.placement.sample_axis

    @property
    def varies_in_graph(self) -> bool:
        """Whether the number of tokens that stay is known at each step alone."""
        return self.numbers == ""

    def __call__(self, x: Any, call: Call | None = None) -> Any:
        """Return which of the tokens in x stay."""
        if self.injection.steps.forward.together:
            raise NotTogether
        return super().__call__(x, call)

    def count_left(self, x: Any, axis: int) -> int:
        """Return how many tokens of each sample of x stay at this step."""
        self.check_samples(x, axis)
        kind, forward = cast(PatchDropout, self.placement.kind), self.injection.steps.forward
        # Without a step the noise has a key that counts such calls instead.
        step = forward.step if forward.has_step else cast(Any, self.injection).strays
        rate = kind.rate
        if isinstance(rate, Schedule):
            if type(step) is not int:
                self._refuse_schedule("the members of a map")
            rate = kind.rate_at(step, {})
        return self._count(threshold(rate), kind.prefix, x.shape[1 - axis])

    def count_left_in_graph(self, x: Any, axis: int) -> int:
        """Return how many tokens of each sample of x stay, in code that a compiler traces."""
        # By a text, which a compiler compares, so that another rate makes another graph.
        t, prefix = _read_threshold(self.numbers)
        return self._count(t, prefix, x.shape[1 - axis])

    def _count(self, t: int, prefix: int, length: int) -> int:
        if prefix >= length:
            self._refuse_prefix(prefix, int(length))
        return count_left(t, prefix, length)

    @at_trace_time
    def _refuse_prefix(self, prefix: int, length: int) -> NoReturn:
        raise InvalidValue(
            f"inject: '{self.placement.site}' keeps the first {prefix} tokens of each sample, and "
            f"its module is given {length}, so none would be left out. Take a smaller `prefix`."
        )

    def check_graph(self) -> None:
        """Raise where a compiler makes one graph, and the number of tokens differs by step."""
        if self.injection.host.traces_whole():
            self._refuse_schedule("a graph")

    @at_trace_time
    def _refuse_schedule(self, whose: str) -> NoReturn:
        raise InvalidValue(
            f"inject: a schedule at '{self.placement.site}' leaves another number of tokens at "
            f"each step, and {whose} must have one length. Use a number there, and change it by "
            "`set_rate`."
        )


def _write_numbers(placement: Placement) -> str:
    """Return T and the prefix as a text; "" for a schedule."""
    kind = cast(PatchDropout, placement.kind)
    rate = kind.rate
    return "" if isinstance(rate, Schedule) else f"{threshold(rate)} {kind.prefix}"


@at_trace_time
def _read_threshold(text: str) -> tuple[int, int]:
    t, prefix = map(int, text.split())
    return t, prefix
