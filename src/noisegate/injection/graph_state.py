"""What compiled graphs read of a model's noise: its step and rows, as tensors.

A graph runs no Python of ours when it is used again. So the state lies in attributes that a
compiler reads anew at each call, and every change replaces a tensor.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, NoReturn, Protocol

from noisegate.core.checks import at_trace_time
from noisegate.core.errors import InvalidValue
from noisegate.core.rank_rows import BATCHES, REPLICA, UNKNOWN, RankRows


class PinnedStep(Protocol):
    """A block in which every forward is part of one step."""

    step: int
    first: int
    taken: int


class RunningForward(Protocol):
    """A forward of the model: its step, and the rows of its samples."""

    step: int
    first: int
    batch: int | None
    ids: Sequence[int] | None
    ranks: RankRows | None
    largest: int
    numbered: bool
    cursor: Any
    mark: "Mark | None"


class Mark:
    """A forward, as tensors with noise know it."""

    def __init__(self) -> None:
        # Whether it runs.
        self.live = True


class InGraph(NamedTuple):
    """How graphs apply a noise in place of one of the model's own.

    The names of the attribute that is its place and of its sample axis; `only_samples` if that
    holds only where the axis has as many entries as the model has samples.
    """

    place: str
    axis: str
    only_samples: bool


class GraphState:
    """The steps and rows of a model's noise as graphs see them.

    Nothing is `read` of the noise of a prediction, which runs no graphs.
    """

    def __init__(self, host: Any, read: bool) -> None:
        self._host, self._read = host, read
        self.counter = host.make_counter()
        # The ids of the samples of the next forwards, and whether there are some by rule.
        self.ids: Any = None
        self.by_rule = False
        # What the samples of this process are among those of all, as the numbers that cursors end
        # with, of which the last is the most samples that a forward has had; and the policy.
        self.ranks: Any = None
        self.policy = ""
        self._ranks: RankRows | None = None
        self._largest, self._published = 0, None
        # Of this thread: the running forward's `cursor`, `ids`, number of samples as `batch`, and
        # as `samples` -1 where the cursor has it, and its `mark`; and the block's `pin` and
        # `pin_ids`.
        self.local = threading.local()

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for a copy, in which no forward runs."""
        return {name: value for name, value in vars(self).items() if name != "local"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the state of a copy."""
        self.__dict__.update(state, local=threading.local())

    def set_ids(self, samples: Sequence[int] | None, by_rule: bool) -> None:
        """Set the ids of the samples of the next forwards."""
        self.ids, self.by_rule = self._host.make_ids(samples), by_rule

    def find_rank(self) -> tuple[int, int]:
        """Return the number of this process, and how many there are whose noise differs."""
        rank, world = self._host.find_rank()
        return (rank, world) if self._read else (0, 1)  # a prediction is the same on all

    def set_ranks(self, ranks: RankRows | None) -> None:
        """Set what the samples of this process are among those of all; None if it is alone."""
        if ranks == self._ranks:
            return
        before = self._ranks
        same = before is not None and ranks is not None and before.deals_as(ranks)
        self._publish_ranks(ranks, self.largest if same else 0)

    @property
    def largest(self) -> int:
        """The most samples that a forward has had, where ranks deal whole batches."""
        if self.ranks is not self._published:  # a graph has noted more
            self._largest, self._published = int(self.ranks[-1]), self.ranks
        return self._largest

    def note_largest(self, count: int) -> int:
        """Note the number of samples of a forward; return the largest by now."""
        if self.policy == BATCHES and count > self.largest:
            self._publish_ranks(self._ranks, count)
        return self.largest

    def _publish_ranks(self, ranks: RankRows | None, largest: int) -> None:
        self._ranks, self._largest = ranks, largest
        self.policy = "" if ranks is None else ranks.policy
        numbers = None if ranks is None else self._host.make_cursor(*ranks.numbers, largest)
        self.ranks = self._published = numbers

    # Blocks of one step ----------------------------------------------------------------------

    def pin(self, pin: PinnedStep | None, samples: Sequence[int] | None = None) -> None:
        """Publish the block of one step that this thread is in, or that it is in none."""
        local = self.local
        if not self._read:
            return
        if pin is None or type(pin.step) is not int:  # torch maps the step, outside of graphs
            # Not None: to a compiler an attribute that is missing and one that is None differ.
            vars(local).pop("pin", None)
            return
        first = pin.first if samples is None else pin.taken
        local.pin = local.published = self._host.make_cursor(pin.step, first)
        local.pin_ids = self._host.make_ids(samples)

    def count_graphs(self, pin: PinnedStep) -> None:
        """Add the samples that graphs have used up to those of a block."""
        local = self.local
        here = getattr(local, "pin", None)
        if here is None or here is local.published:
            return
        used = int(here[1]) - int(local.published[1])
        pin.first, pin.taken = pin.first + used, pin.taken + used
        local.published = here

    def count_members(self, step: Any) -> int:
        """Return how many members, that differ, the maps around a forward have; 0 without maps."""
        return int(self._host.count_members(step))

    def check_members(self, ranks: RankRows, step: Any) -> bool:
        """Return whether maps around a forward have members that differ; raise if they cannot."""
        members = self.count_members(step)
        if members and not ranks.is_replica:
            _refuse_members(ranks.policy)
        return members > 0

    def find_trace(self) -> Any:
        """Return a reference to what records this thread's operations, if anything does."""
        return self._host.find_trace()

    # Forwards --------------------------------------------------------------------------------

    def begin(self, forward: RunningForward) -> None:
        """Publish a forward that eager code has begun; its modules may be graphs."""
        self.number(forward)
        self.local.mark = forward.mark = Mark()

    def number(self, forward: RunningForward) -> None:
        """Publish the step and the rows of a forward."""
        local, cursor = self.local, forward.cursor
        numbered = forward.numbered and forward.batch is not None
        if numbered and type(forward.step) is int:
            # In a tensor, since a graph would hold the number of samples as a constant.
            first = 0 if forward.ids is not None else forward.first
            place = first, forward.batch, *self._list_numbers(forward)
            cursor = self._host.make_cursor(forward.step, *place)
        elif (forward.ranks is not None or forward.first) and type(forward.step) is int:
            place = forward.first, -1, *self._list_numbers(forward)
            cursor = self._host.make_cursor(forward.step, *place)
        elif cursor is None and type(forward.step) is int:
            cursor = self._host.make_cursor(forward.step)
        local.cursor = cursor
        local.ids, local.batch = self._host.make_ids(forward.ids), forward.batch
        local.samples, local.by_rule = -1, self.by_rule

    @staticmethod
    def _list_numbers(forward: RunningForward) -> tuple[int, ...]:
        """Return the numbers of the rank that the rows of a forward follow from; () without."""
        if forward.ranks is None or forward.ids is not None:
            return ()
        return *forward.ranks.numbers, forward.largest

    def begin_in_graph(self, counted: bool, batch: int) -> None:
        """Begin a forward inside a graph."""
        local = self.local
        pin = getattr(local, "pin", None)
        if pin is None:
            local.cursor = self.counter.take_in_graph() if counted else self.counter.tensor
            local.ids = self.ids
        else:
            local.cursor, local.ids = pin, local.pin_ids
            if counted:
                members = self._host.count_traced_members() or 1
                samples = UNKNOWN if batch < 0 else batch * members
                local.pin = self._host.advance(pin, samples)
        if self.ranks is not None and local.ids is None:
            if self.policy != REPLICA and self._host.count_traced_members():
                _refuse_members(self.policy)
            if self.policy == BATCHES and counted:
                self.ranks = self._host.note_largest(self.ranks, batch)
            local.cursor = self._host.join_ranks(local.cursor, self.ranks)
        local.batch = local.samples = batch
        local.by_rule, local.mark = self.by_rule, Mark()

    def is_held(self) -> bool:
        """Return whether a block is one forward, whatever it calls; a compiler may trace this."""
        return getattr(self.local, "held", False)

    def end_in_graph(self) -> None:
        """End a forward inside a graph."""
        if not self.is_held():
            self.end()

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Let calls of the model in a block begin no forward inside graphs."""
        self.local.held = True
        try:
            yield
        finally:
            vars(self.local).pop("held", None)

    def renumber(self, forward: RunningForward) -> dict[str, Any] | None:
        """Publish other rows for a running forward; return what was published before, if any."""
        if getattr(self.local, "mark", None) is None:
            return None
        before = dict(vars(self.local))
        self.number(forward)
        return before

    def put_back(self, published: dict[str, Any] | None) -> None:
        """Publish again what `renumber` has replaced."""
        if published is not None:
            vars(self.local).update(published)

    def end(self) -> None:
        """End the forward that runs in this thread."""
        local = self.local
        mark = getattr(local, "mark", None)
        if mark is not None:
            mark.live = False
        local.cursor = local.mark = None

    def snapshot(self) -> Any:
        """Return the ids of the next forwards, and all that is of this thread."""
        return self.ids, self.by_rule, dict(vars(self.local))

    def restore(self, state: Any) -> None:
        """Return to the state of a snapshot, whose forward runs again if it had ended."""
        self.ids, self.by_rule, published = state
        ended = getattr(self.local, "mark", None)
        if ended is not None:
            ended.live = False
        vars(self.local).clear()
        vars(self.local).update(published)
        if (mark := published.get("mark")) is not None:
            mark.live = True

    @at_trace_time
    def refuse_rules(self) -> None:
        """Raise in code that a compiler traces, since it does not know which ids a site has."""
        raise InvalidValue(
            "inject: `rows` by rule are not read by compiled code. Give ids for all samples, or "
            "call the model outside of torch.compile."
        )

    @at_trace_time
    def refuse_parts(self) -> None:
        """Raise where a part of the model is a graph by itself, and called outside of a forward."""
        raise InvalidValue(
            "inject: a part of the model that is called by itself has noise only between graphs. "
            "Compile it without fullgraph=True, or call the whole model."
        )


@at_trace_time
def _refuse_members(policy: str) -> NoReturn:
    raise InvalidValue(
        f"inject: the members of a map over different noise have no rows of their own under "
        f"{policy!r}. Give the ids of the samples, or declare noise.rows = 'replica'."
    )
