"""Put noise into a model, and let it act in each forward."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from math import prod
from threading import Lock, get_ident
from typing import Any

from noisegate.core import checks
from noisegate.core.backends import face_of_model
from noisegate.core.errors import InvalidValue, NoisegateError, RecomputationError, prefix_errors
from noisegate.core.keys import SEED_BITS, Key, Stream
from noisegate.core.patterns import parse_port, split
from noisegate.core.plan import Placement, Plan
from noisegate.core.survey import Call, OwnDraw

from .graph_state import GraphState
from .notices import Notices
from .own_draws import USUAL, Choices, OwnDraws, Part
from .places import find_model_axis, make_site_noise
from .row_finder import RowFinder
from .running_forward import Forward
from .site import SiteNoise
from .steps import Steps

# Several threads may run a model for the first time, and reach the same new sites.
_placing = Lock()


class ModelNoise:
    """Noise in a model; `Injection` adds the public methods.

    With `always` it is the noise of a prediction: it acts in evaluation too, and only in the thread
    that created it.
    """

    def __init__(
        self,
        model: Any,
        rules: Mapping[str, Any],
        seed: int | None = None,
        sample_axis: Any = 0,
        existing: bool = False,
        example: Any = None,
        choices: Choices = USUAL,
        always: bool = False,
    ) -> None:
        with prefix_errors("inject"):
            checks.check_flag("existing", existing)
            choices.check()
            face = face_of_model(model)
        self.host = face.Host(model)
        drawn = self.host.draw_seed() if seed is None else seed
        with prefix_errors("inject"):
            self.seed = checks.check_whole("seed", drawn, SEED_BITS)
        if existing and not always and (taken := self.host.find_replaced()):
            raise InvalidValue(
                f"inject: existing=True, and the model's own '{taken[0]}' is taken over by another "
                "handle already. Remove that one first; noisegate.handles(model) has it."
            )
        self.always, self.removed, self.failed = always, False, False
        # How many blocks and calls of `off` silence it now, and how many fresh keys it has made.
        self.silent = self.strays = 0
        self._thread = get_ident()
        self.passed_on: dict[tuple[str, str], str] = {}
        self.steps = Steps(GraphState(self.host, not always))
        self.row_finder = RowFinder(self.steps, always)
        self.notices = Notices(self, seed is None)
        self.draws = OwnDraws(self.seed, choices.draws == "dropout")
        self.noises: list[SiteNoise] = []
        # Each noise with its placement and place, once a segment remembers them.
        self.placed: tuple[tuple[SiteNoise, Placement, Any], ...] | None = None
        # The sample axis of the model's input.
        self._axis = 0
        # Whether every rule is known to match, and whether a run on an example is going on or over.
        self._checked = self._looks = self._has_looked = False
        # Whether the run on an example has drawn single numbers, by which layers may be skipped.
        self.may_skip = False
        # Whether it is told of the functions that the model calls.
        self.watches_calls = False
        self._detach: list[Callable[[], None]] = []
        self.host.register(self, self.steps)
        with self.host.exclusive():
            known = self.host.sites()
            self._tokens = () if known.takes_tokens else known.tokens
            # The sites of the model's own noise that rules were matched with already.
            self._placed: set[str] = {*known.own, *known.inside}
            with prefix_errors("inject"):
                given = existing, choices.unreached == "keep", choices.tied
                self.plan = Plan(rules, known, self._list_held, sample_axis, *given)
            self.waited = self.plan.waited
            try:
                self._attach_all(example)
            except BaseException:
                self.remove()
                raise

    def _attach_all(self, example: Any) -> None:
        """Put all noise and hooks into the model; run it on the example if there is one."""
        self._detach.append(self.host.watch_layers())
        # A prediction does without the watch where it can, since a watch costs a forward's time.
        self.watches_calls = self.host.may_call_noise() if self.always else self.plan.looks
        for placement in self.plan.placements:
            self._attach(placement)
        if example is None:
            self._check_plan(False)
        if self.watches_calls:
            self._detach.append(self.host.listen(self))
        # The forward last of all, so that the model's own output is still part of it.
        self._detach += [self.notices.watch_parts(), self.host.watch_forward(self)]
        if example is not None:
            self.look(example)

    def look(self, example: Any) -> None:
        """Find the noise that functions make by one run in training, which leaves no trace."""
        others = [handle for handle in self.host.handles() if handle is not self]
        with ExitStack() as silent:
            for handle in (self, *others):
                silent.enter_context(handle.off())
            seen = silent.enter_context(self.steps.looking())
            self._looks = True
            try:
                self.may_skip = self.host.dry_run(example)
                self.draws.find_axes(self.host, example)
            finally:
                self._looks = False
        if self.always:  # code that draws in training alone
            skips = (p.site for p in self.plan.placements if parse_port(p.site).name == "skip")
            paths = {draw.path for draw in self.plan.keyed.values()} | {split(s)[0] for s in skips}
            self.host.train_alone(paths)
        self._check_plan(True)
        self._checked = self._has_looked = True
        for noise in self.noises:
            noise.trained = noise in seen.reached

    def _check_plan(self, complete: bool) -> None:
        """Raise if a noise of the model's own is out of reach; once complete, if a rule is idle."""
        try:
            self.plan.check_reached()
            if complete:
                self.plan.check_all_matched()
        except NoisegateError as error:
            error.prefix("inject")
            raise

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites that have noise, in the order of the rules."""
        return self.plan.sites

    def off(self) -> AbstractContextManager[None]:
        """Silence the noise until `on`, or for a block: ``with noise.off():``.

        The model then behaves as without this noise: the step does not advance, and the model's own
        dropouts act as before.
        """
        self.silent += 1

        @contextmanager
        def silence() -> Iterator[None]:
            try:
                yield
            finally:
                # Decrement, not restore: another thread's block may have begun or ended.
                self.silent = max(0, self.silent - 1)

        return silence()

    def on(self) -> None:
        """Let the noise act again, no matter how often it was silenced."""
        self.check_there("on")
        self.silent = 0

    @property
    def acts_here(self) -> bool:
        """Whether its noise acts in this thread."""
        return not self.silent and self.listens

    @property
    def listens(self) -> bool:
        """Whether it takes part in the forwards of this thread; a prediction only in its own."""
        return not self.always or self._thread == get_ident()

    @property
    def watches(self) -> bool:
        """Whether it wants to know what the model's own code draws in the forward that begins."""
        wanted = self.plan.existing or self.always
        return wanted and self.listens and (self._looks or not self.silent)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the state of a copy, and register it: it counts its own forwards."""
        self.__dict__.update(state)
        self.host.register(self, self.steps)

    def snapshot(self) -> Any:
        """Return the state that the next noise depends on."""
        # In a list, since sites of functions may be added meanwhile.
        noises = self.noises if self.host.compiler_is_imported() else []
        calls = [(noise, getattr(noise.local, "calls", 0)) for noise in noises]
        if self.placed is None:
            self.placed = tuple((noise, noise.placement, noise.place) for noise in self.noises)
        # Itself, so that a segment of one of its forwards finds that it was removed.
        acting = None if self.removed or self.steps.running is None else self
        return self.steps.snapshot(), self.silent, self.strays, calls, self.placed, acting

    def restore(self, state: Any) -> None:
        """Return to the state of a snapshot; None is that before the noise was put in."""
        if state is None:
            self.silent += 1
            return
        steps, self.silent, self.strays, calls, placed, acting = state
        if self.removed and acting:
            raise RecomputationError(
                "inject: the noise was removed between a forward and its backward pass, which "
                "computes segments of torch.utils.checkpoint again, and without the noise the "
                "gradient would be wrong. Remove it after the backward pass."
            )
        self.steps.restore(steps)
        if placed is not self.placed:
            for noise, placement, place in placed:
                noise.placement, noise.place = placement, place
            # Sites of functions may have been added since.
            self.placed = placed if len(placed) == len(self.noises) else None
        for noise, number in calls:
            noise.local.calls = number

    def note_site(self, site: str, call: Call) -> None:
        """Match rules with a function that makes noise in the model, at its first call."""
        if not self.listens:
            return
        if call.stays:
            self.notices.note_always_on(site, call.words)
        if site in self._placed:
            return
        with _placing, prefix_errors("inject"):
            new = [] if site in self._placed else self.plan.place_call(site, call)
            self._placed.add(site)
            for placement in new:
                self._attach(placement)
        if self.always and self._has_looked and any(placement.own for placement in new):
            self.notices.note_late(site, call)

    def note_unreached(self, site: str, words: str) -> None:
        """Refuse or note a noise of the model's own that cannot be replaced."""
        if not self.listens or (self.silent and not self._looks):
            return
        self.plan.note_unreached(site, words)
        if self.always and not self._looks:
            self.notices.note_unseeded((site, words), f"'{site}' ({words})")

    def refuse_export(self) -> None:
        """Raise if it has noise: an export records the model in training."""
        if self.plan.placements and not self.silent:
            self.host.refuse_export(f"inject ('{self.plan.placements[0].site}')")

    def note_draw(self, draw: OwnDraw) -> None:
        """Note random numbers that the model's own code draws."""
        running = self.steps.running
        seeded = self._looks or (running is not None and running.states is not None)
        if draw.seeded and seeded and self.plan.existing and not self.draws.of_dropouts:
            self.plan.keyed.setdefault(f"{draw.path} {draw.words}", draw)
        else:
            self.notices.note_draw(draw, self._looks or not self.always)

    def find_draw(self, site: str, shape: tuple[int, ...], draw: OwnDraw) -> list[Part] | None:
        """Return the parts of a draw of the model's own; None if it is left to torch."""
        # By a single number a layer may be skipped.
        left = self.draws.of_dropouts and not draw.drops and prod(shape) > 1
        if left or not self.plan.existing:
            return None
        if self._looks:
            self.plan.keyed.setdefault(site, draw)
            return self.draws.note_shape(site, shape)
        forward = self.steps.running
        if forward is None or not forward.counted or not self.acts_here:
            return None
        self.plan.keyed.setdefault(site, draw)
        return self.draws.find(site, shape, forward)

    def forget_draw(self, site: str) -> None:
        """Forget a draw that is a coin, which decides by a key of its own."""
        self.plan.keyed.pop(site, None)

    def remove(self) -> None:
        """Remove the noise from the model without a trace; its slots are free again."""
        with self.host.exclusive():
            for detach in self._detach:
                detach()
            self._detach.clear()
            self.removed = True

    def check_there(self, name: str) -> None:
        """Raise if the noise was removed: using `name` would have no effect."""
        if self.removed:
            raise InvalidValue(
                f"inject: `{name}` has no effect on noise that was removed. Put it in again with "
                "inject(model, rules, seed=...)."
            )

    def make_stray_key(self, placement: Placement) -> Key:
        """Return a fresh key for a module that is called outside of the model's forward; warn."""
        # Only a forward of the model has a step, so the key counts these calls instead.
        self.notices.note_stray(placement)
        self.strays += 1
        site = Stream(self.seed).site(f"{placement.site} without its model", placement.slot)
        return site.at(self.strays - 1)

    def _list_held(self) -> set[tuple[str, str, int]]:
        """Return the names of placements of other handles with this seed, whose slots are taken."""
        others = [h for h in self.host.handles() if h is not self and h.seed == self.seed]
        return {placement.name for other in others for placement in other.plan.placements}

    def _attach(self, placement: Placement) -> None:
        """Put a noise at its site."""
        noise = make_site_noise(self, placement)
        self.noises.append(noise)
        self.placed = None
        self._axis = find_model_axis(self.noises)
        holders = self.plan.find_holders(placement.site)
        self._detach += [self.host.attach(site, noise) for site in holders]

    def begin(self, training: bool, shape: tuple[int, ...] | None, only_tokens: bool) -> None:
        """Begin a forward of the model at the next step, or as the next part of a pinned step."""
        if not self.acts_here:
            return
        if only_tokens and self._tokens:
            self._move_input(self._tokens)
        running = self.steps.running
        if running is not None and (running.held or self.host.count_running() > 1):
            running.within += 1  # the model calls itself, within one forward
            return
        counted, axis = training or self.always, self._axis
        known = shape is not None and -len(shape) <= axis < len(shape)
        forward = self.steps.begin(counted, shape[axis] if shape and known else None)
        seeds = self.plan.existing and counted and not self.draws.of_dropouts
        # The members of a map share these generators, whatever their steps.
        if seeds and type(forward.step) is int and self.host.draws_elsewhere:
            forward.states = self.host.seed_others(self.draws.make_words(forward.step))
        if not self.always and self.host.compiler_is_imported():
            self._publish(forward)
        if counted:
            self.notices.begin(forward)

    def _publish(self, forward: Forward) -> None:
        """Let graphs know of the forward that has begun in this thread."""
        self.steps.graphs.begin(forward)
        for noise in self.noises:
            noise.local.calls = 0

    def begin_in_graph(
        self, training: bool, shape: tuple[int, ...] | None, only_tokens: bool
    ) -> None:
        """Begin a forward of the model in code that a compiler traces."""
        if self.silent or self.steps.graphs.is_held():
            return
        axis = self._axis
        known = shape is not None and -len(shape) <= axis < len(shape)
        batch = shape[axis] if shape is not None and known else -1
        self.steps.graphs.begin_in_graph(training, batch)
        for noise in self.noises:
            noise.local.calls = 0

    def end_in_graph(self) -> None:
        """End a forward of the model in code that a compiler traces."""
        self.steps.graphs.end_in_graph()

    def end(self, succeeded: bool) -> None:
        """End a forward of the model; after the first, check that every rule has matched."""
        running = self.steps.running
        if running is None or self._looks or not self.listens:
            return
        if running.within:
            running.within -= 1
            return
        self.steps.end(running)
        if running.states is not None:
            self.host.restore_others(running.states)
        if not succeeded:
            return
        try:
            first = running.counted and not self._checked
            self._check_plan(first)
            self._checked = self._checked or first
        except InvalidValue:
            self.steps.uncount(running)
            self.failed = True
            raise
        if running.counted:
            self.failed = False
            self.notices.end(running)

    def _move_input(self, tokens: Sequence[str]) -> None:
        """Move the noise of the model's input to the output of its embedding."""
        for noise in [n for n in self.noises if n.placement.site == ":in"]:
            # Its hook stays, since torch has collected the hooks of this call already.
            noise.retired = True
            self.noises.remove(noise)
            self.plan.note_tokens(noise.placement.rule, tokens)
            for placement in self.plan.move(noise.placement, tokens):
                self._attach(placement)
