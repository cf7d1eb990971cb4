"""`NoiseLoop`: the noise of a training loop that somebody else wrote."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from noisegate.core.errors import InvalidValue
from noisegate.core.schedule import Schedule
from noisegate.injection import handles, inject
from noisegate.injection.handle import Injection
from noisegate.injection.running_forward import Pin

from .samplers import find_policy

# The attribute of a handle that a loop puts in and takes out: its id. A copy of a model that was
# made while it trained has a handle with the id of another.
MARK = "id_in_loop"


class NoiseLoop:
    """The noise of a training loop, which acts in training steps alone, each at the loop's step.

    It knows no library: what calls it says where training begins and ends, and each step.

    Parameters
    ----------
    rules : mapping, Injection, or None
        Rules for `inject`; or noise that is in the model already, which stays there. None takes
        over the noise that the model has.
    seed : int, optional
        As for `inject`; a resumed loop has that of its state.
    words : mapping
        The other arguments of `inject`.
    """

    def __init__(self, rules: Any, seed: int | None, words: Mapping[str, Any]) -> None:
        self._rules, self._seed, self._words = rules, seed, dict(words)
        # Whether the noise is in the model for this loop alone.
        self._owned = not isinstance(rules, Injection) and (rules is not None or bool(words))
        # The noise, also once it was removed.
        self.noise: Injection | None = None
        # A state to resume from, and one that was stored when the noise was removed.
        self._pending: Mapping[str, Any] | None = None
        # The step that is open, the samples that it had before each micro-batch, and what silences
        # the noise outside of it.
        self._step: int | None = None
        self._first: int | None = None
        self._resumed = 0
        self._block: AbstractContextManager[None] | None = None
        self._silence: AbstractContextManager[None] | None = None

    def prepare(self, model: Any) -> None:
        """Silence noise that is in the model already, before training begins."""
        if not self._owned:
            self._find(model, None)
            self.mute()

    def begin(self, model: Any, loader: Any = None) -> Injection:
        """Begin a training: put the noise into the model, silent until a step.

        What the loader deals to this rank is declared unless the user has declared something.
        """
        self.end()
        for handle in handles(model):
            if vars(handle).get(MARK, id(handle)) != id(handle):
                handle.remove()
        saved, self._pending = self._pending, None
        noise = self._find(model, saved)
        self._resumed = 0
        if saved is not None:
            rest = dict(saved)
            self._resumed = rest.pop("samples", 0)
            try:
                noise.load_state(rest)
            except BaseException:
                self._leave()
                raise
        if noise.rows is None and (policy := find_policy(loader)) is not None:
            noise.rows = policy
        self.mute()
        return noise

    def _find(self, model: Any, saved: Mapping[str, Any] | None) -> Injection:
        """Return the noise of the loop, which is in the model."""
        given = self._rules
        if isinstance(given, Injection):
            self.noise = given
        elif self._owned:
            seed = saved["seed"] if self._seed is None and saved is not None else self._seed
            self.noise = inject(model, given, seed, **self._words)
            vars(self.noise)[MARK] = id(self.noise)
        else:
            found = handles(model)
            if len(found) != 1:
                raise InvalidValue(
                    f"`rules` must be given, or the model must have noise by one handle; got none, "
                    f"and {len(found)} handles."
                )
            self.noise = found[0]
        return self.noise

    # Steps -------------------------------------------------------------------------------------

    def open_step(self, step: int) -> None:
        """Begin a step, unless it is open: micro-batches of one step go on in its rows."""
        noise = self.noise
        if noise is None:
            return
        if self._step != step:
            self._open(noise, step)
        pin = noise.steps.pin
        self._first = None if pin is None else pin.first

    def _open(self, noise: Injection, step: int) -> None:
        self.close_step()
        if noise.step != step:
            noise.step, self._resumed = step, 0
        self._block = noise.at(step)
        self._block.__enter__()
        self._step = step
        pin = noise.steps.pin
        if self._resumed and pin is not None:
            self._go_to(pin, self._resumed)
            self._resumed = 0

    def reaches(self, step: int) -> bool:
        """Return whether a step is after the open one."""
        return self._step is not None and step != self._step

    def close_step(self, failed: bool = False) -> None:
        """End the open step, if there is one; the next is the one after it."""
        block, self._block = self._block, None
        if block is None or self.noise is None or self._step is None:
            return
        step, self._step = self._step, None
        if failed:  # nothing is checked of it, and it is to be done again
            block.__exit__(_Failed, _Failed(), None)
        else:
            block.__exit__(None, None, None)
            self.noise.step = step + 1

    @contextmanager
    def act(self) -> Iterator[None]:
        """Let the noise act in a block."""
        self.unmute()
        try:
            yield
        finally:
            self.mute()

    @contextmanager
    def hold(self, batch: Any) -> Iterator[None]:
        """Let the noise act in a block, which is one forward on the samples of a micro-batch.

        The block may call the model, or parts of it. A block that is run again for the same
        micro-batch, as by the closure of an optimizer, has the same noise.
        """
        noise = self.noise
        pin = None if noise is None else noise.steps.pin
        if noise is None or pin is None:
            yield
            return
        self.rewind()
        with self.act(), noise.steps.graphs.hold():
            noise.begin(True, noise.host.find_shape(batch), False)
            running = noise.steps.running
            if running is not None:
                running.held = True
            succeeded = False
            try:
                yield
                succeeded = True
            finally:
                noise.end(succeeded)

    def rewind(self) -> int:
        """Return to the first sample of the micro-batch; return how many the step has had."""
        pin = None if self.noise is None else self.noise.steps.pin
        if self.noise is None or pin is None or self._first is None:
            return 0
        self.noise.steps.graphs.count_graphs(pin)
        samples = pin.first
        self._go_to(pin, self._first)
        return samples

    def go_on(self, samples: int) -> None:
        """Go on after as many samples of the step."""
        if self.noise is not None and self.noise.steps.pin is not None:
            self._go_to(self.noise.steps.pin, samples)

    def _go_to(self, pin: Pin, samples: int) -> None:
        assert self.noise is not None
        if pin.first != samples:
            pin.taken += samples - pin.first
            pin.first = samples
            self.noise.steps.graphs.pin(pin, pin.ids.samples)

    def unmute(self) -> None:
        """Let the noise act, unless the user has silenced it."""
        silence, self._silence = self._silence, None
        if silence is not None:
            silence.__exit__(None, None, None)

    def mute(self) -> None:
        """Silence the noise until a block or a step lets it act."""
        if self._silence is None and self.noise is not None:
            self._silence = self.noise.off()
            self._silence.__enter__()

    # Ends --------------------------------------------------------------------------------------

    def end(self, failed: bool = False) -> None:
        """End the training: the model is as it was before `begin`."""
        try:
            self.close_step(failed)
        finally:
            self.unmute()
            self._leave()

    def _leave(self) -> None:
        if self._owned and self.noise is not None and not self.noise.removed:
            self.noise.remove()

    @property
    def is_on(self) -> bool:
        """Whether a training goes on."""
        return self._silence is not None or self._block is not None

    # States ------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return the state that a resume needs, as a dict that JSON can store; {} before any."""
        if self.noise is None:
            return dict(self._pending or {})
        pin = self.noise.steps.pin
        samples = 0 if pin is None or self._step is None else pin.first
        return {**self.noise.state(), "samples": samples}

    def load(self, state: Mapping[str, Any]) -> None:
        """Resume from a state when training begins."""
        self._pending = dict(state) or None

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for a copy, in which no step is open."""
        return {**self.__dict__, "_step": None, "_first": None, "_block": None, "_silence": None}

    def measure(self) -> dict[str, float]:
        """Return what to log: the share that each mask removed, and the rates of schedules."""
        noise = self.noise
        if noise is None:
            return {}
        values = {f"noise/{site}/removed": share for site, share in noise.rates().items()}
        step = noise.steps.last.step
        for placement in noise.plan.placements:
            kind = placement.kind
            if isinstance(kind.rate, Schedule):
                name = f"noise/{placement.site}/{kind.RATE}"
                values[name] = float(kind.rate.at(step))
        return values


class _Failed(Exception):
    """Ends the block of a step that failed, so that nothing is checked of it."""
