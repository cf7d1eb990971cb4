"""The noise on a recurrent state: drawn for all time steps of a sequence at once."""

from collections.abc import Sequence
from time import perf_counter_ns
from typing import Any

from noisegate.core import checks
from noisegate.core.keys import Key
from noisegate.core.patterns import split
from noisegate.core.plan import Placement
from noisegate.core.recurrent_manner import Manner, read_manner
from noisegate.core.survey import Call

from .running_forward import NotTogether
from .site import SiteNoise


class RecurrentNoise(SiteNoise):
    """The function at a recurrent state, (samples, time, features).

    A direction of a layer is a call. It takes tensors of the state's shape, and returns them with
    noise, with one entry along the axes of samples and time that share a decision.
    """

    def __init__(self, injection: Any, placement: Placement) -> None:
        super().__init__(injection, placement)
        self._read(placement)

    def set_placement(self, placement: Placement) -> None:
        """Replace the placement, for eager code and for graphs."""
        super().set_placement(placement)
        self._read(placement)

    def _read(self, placement: Placement) -> None:
        # As attributes, which a compiler reads.
        manner: Manner = read_manner(placement.kind)
        self.former, self.factor, self.over_samples, self.over_time = manner
        self.idle = placement.kind.rate == 0

    def acts(self, training: bool, call: Call | None = None) -> bool:
        """Note that its site is reached; return whether it would change anything there.

        In evaluation a state that keeps former values has their expectation.
        """
        acts = super().acts(training) or self._expects(training)
        if not acts or self.silent:
            return False
        kind, forward = self.placement.kind, self.injection.steps.forward
        step = forward.step if forward.has_step and training else self.injection.steps.next
        return type(step) is not int or not kind.is_identity(kind.rate_at(step, {}))

    def _expects(self, training: bool) -> bool:
        """Return whether it has an expectation in the place of noise."""
        expects = self.former and not training and not self.injection.always
        return expects and not (self.retired or self.injection.silent)

    def read_share(self, training: bool) -> float | None:
        """Return the share of the new state that is taken in evaluation; None in training."""
        if not self._expects(training):
            return None
        return 1.0 - float(self.placement.kind.rate_at(self.injection.steps.next, {}))

    def acts_in_graph(self, training: bool, rate: Any = None) -> bool:
        """Return whether it would change anything, in code that a compiler traces."""
        acts = super().acts_in_graph(training, rate) or self._expects(training)
        return acts and not self.idle

    def draw(self, xs: Sequence[Any], alone: bool = False) -> list[Any]:
        """Return tensors with the noise of one call on each.

        `alone` says that they are one time step, as a cell has it: if all time steps share their
        noise, it is that of call 0.
        """
        injection, placement = self.injection, self.placement
        forward, host = injection.steps.forward, injection.host
        self.refuse_elsewhere(xs[0])
        number = forward.calls.get(self, 0)
        forward.calls[self] = number + 1
        call = 0 if alone and self.over_time else number
        rows = given = None
        if not forward.has_step:
            key = injection.make_stray_key(placement)
        else:
            key = Key(injection.seed, placement.site, placement.slot, call, forward.step)
            if not self.over_samples:
                rows, given = self.find_rows(xs[0], 0, forward, call)
        if forward.together and self.over_samples:
            raise NotTogether
        kind, shape = placement.kind, xs[0].shape
        parts = [self._take_shared(x) for x in xs]
        if forward.together:
            ys = [self._apply_steps(kind, x, key, 0, {}, forward) for x in parts]
        else:
            ys = [host.apply(kind, x, key, given, 0, {}) for x in parts]
        seen: Any = kind, key, shape, rows, 0, {}, number + 1, perf_counter_ns()
        self._seen = seen if type(key.step) is int else None
        return ys

    def draw_in_graph(self, xs: Sequence[Any], alone: bool = False) -> list[Any]:
        """Return tensors with the noise of one call on each, in code that a compiler traces."""
        host, graphs = self.injection.host, self.injection.steps.graphs
        cursor = self.find_cursor()
        if cursor is None:
            return list(host.run_eagerly(self.draw)(xs, alone))
        if graphs.local.by_rule:
            graphs.refuse_rules()
        number = self.local.calls
        self.local.calls = number + 1
        given: dict[str, Any] = {"call": 0 if alone and self.over_time else number, "axis": "0"}
        if not self.over_samples:
            given["samples"] = graphs.local.ids, graphs.local.samples
        return [
            host.add_noise(self._take_shared(x).clone(), cursor, self.place, **given) for x in xs
        ]

    def _take_shared(self, x: Any) -> Any:
        """Return a tensor with one entry along the axes whose entries share a decision."""
        x = x[:1] if self.over_samples else x
        return x[:, :1] if self.over_time else x

    @checks.at_trace_time
    def note_loop(self) -> None:
        """Add to the report that the time steps are computed in a loop."""
        site, note = self.placement.site, self.injection.plan.note
        path = split(site)[0]
        whose = f"'{path}' computes its" if path else "the model computes its"
        note(
            f"{whose} time steps in a loop, without the fused call: on a CPU a training step takes "
            "1.1 to 1.6 times as long with 256 units, and up to 15 times with 16."
        )
        if self.factor and not self.former:
            note(
                f"the noise of '{site}' needs no loop with shared_axes=(0, 1), one mask for all "
                "samples."
            )
