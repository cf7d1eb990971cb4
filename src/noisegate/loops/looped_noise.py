"""`LoopedNoise`: one handle's noise, which acts in the steps of a training loop alone."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from weakref import WeakKeyDictionary, ref

from noisegate.injection.handle import Injection
from noisegate.injection.places import find_model_axis
from noisegate.injection.running_forward import Pin

# The loops' noise by its handle. Copies of a handle are in no loop.
_looped: "WeakKeyDictionary[Injection, ref[LoopedNoise]]" = WeakKeyDictionary()


class LoopedNoise:
    """Noise of a handle while a loop has it: silent but in steps, each at the loop's step.

    Parameters
    ----------
    noise : Injection
    owned : bool
        Whether it is in the model for this loop alone.
    """

    def __init__(self, noise: Injection, owned: bool) -> None:
        other = find_looped(noise)
        if other is not None:  # that of an interrupted training, which was never told of its end
            other.release()
        self.noise, self.owned = noise, owned
        _looped[noise] = ref(self)
        noise.of_loop, noise.silences_of_loop = owned, 0
        # The step that is open, the samples that it had before the micro-batch and after it, and
        # what ends its block.
        self._step: int | None = None
        self._first: int | None = None
        self._had = 0
        self._block: AbstractContextManager[None] | None = None
        # What the loader deals to this rank, as the value of `rows`.
        self.dealt: Any = None
        # The samples that the next step has had before it was resumed.
        self._resumed = 0
        self._silence: AbstractContextManager[None] | None = None

    @property
    def _is_in_loop(self) -> bool:
        return find_looped(self.noise) is self

    # Steps -------------------------------------------------------------------------------------

    def open_step(self, step: int) -> None:
        """Begin a step, unless it is open: micro-batches of one step go on in its rows."""
        if self._step != step and self._is_in_loop:
            self._open(step)
        pin = self._pin
        self._first, self._had = None if pin is None else pin.first, 0

    def _open(self, step: int) -> None:
        self.close_step()
        if self.noise.step != step:
            self.noise.step, self._resumed = step, 0
        self._block = self.noise.at(step)
        self._block.__enter__()
        self._step = step
        if self._resumed:
            self._go_to(self._resumed)
            self._resumed = 0

    def close_step(self, failed: bool = False) -> None:
        """End the open step, if there is one; the next is the one after it."""
        block, self._block = self._block, None
        step, self._step = self._step, None
        if block is None or step is None:
            return
        if failed:  # nothing is checked of it, and it is to be done again
            block.__exit__(_Failed, _Failed(), None)
        else:
            block.__exit__(None, None, None)
            self.noise.step = step + 1

    @property
    def step(self) -> int | None:
        """The step that is open, or None."""
        return self._step

    @property
    def _pin(self) -> Pin | None:
        return None if self._step is None else self.noise.steps.pin

    @contextmanager
    def hold(self, batch: Any) -> Iterator[None]:
        """Make a block one forward on the samples of a micro-batch, whatever it calls."""
        if self._pin is None:
            yield
            return
        self.rewind()
        noise, succeeded = self.noise, False
        with noise.steps.graphs.hold():
            noise.begin(True, find_batch_shape(noise, batch), False)
            running = noise.steps.running
            if running is not None:
                running.held = True
            try:
                yield
                succeeded = True
            finally:
                noise.end(succeeded)

    def rewind(self) -> None:
        """Return to the first sample of the micro-batch."""
        pin = self._pin
        if pin is not None and self._first is not None:
            self.noise.steps.graphs.count_graphs(pin)
            self._had = pin.first
            self._go_to(self._first)

    def go_on(self) -> None:
        """Go on after the samples that the step had when it was rewound, if it was."""
        if self._had:
            self._go_to(self._had)

    def _go_to(self, samples: int) -> None:
        pin = self._pin
        if pin is not None and pin.first != samples:
            pin.taken += samples - pin.first
            pin.first = samples
            self.noise.steps.graphs.pin(pin, pin.ids.samples)

    # Silence -----------------------------------------------------------------------------------

    def unmute(self) -> None:
        """Let the noise act, unless the user has silenced it."""
        silence, self._silence = self._silence, None
        if silence is not None:
            self.noise.silences_of_loop = 0
            silence.__exit__(None, None, None)

    def mute(self) -> None:
        """Silence the noise until a block or a step lets it act."""
        if self._silence is None and self._is_in_loop:
            self._silence = self.noise.off()
            self.noise.silences_of_loop = 1
            self._silence.__enter__()

    # Ends --------------------------------------------------------------------------------------

    def release(self, failed: bool = False) -> None:
        """Give the noise back as it was before the loop had it."""
        try:
            self.close_step(failed)
        finally:
            self.unmute()
            if self._is_in_loop:
                del _looped[self.noise]
            if self.owned and not self.noise.removed:
                self.noise.remove()

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for a copy, in which no step is open."""
        ends = {"_step": None, "_first": None, "_had": 0, "_block": None, "_silence": None}
        return {**self.__dict__, **ends}

    # States ------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return the state that a resume needs, as a dict that JSON can store."""
        pin = self._pin
        return {**self.noise.state(), "samples": 0 if pin is None else pin.first}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take a state; one without a scheme is only a step."""
        rest = dict(state)
        resumed = rest.pop("samples", 0)
        if "scheme" in rest:
            self.noise.load_state(rest)
        else:
            self.noise.step = rest["step"]
        self._resumed = resumed

    # Rows --------------------------------------------------------------------------------------

    def deal(self, policy: Any) -> None:
        """Declare what a rank gets, unless the user or a state has declared something."""
        if policy is not None and self.noise.rows is None:
            self.noise.rows = policy
            self.dealt = self.noise.rows

    def forget_dealt(self) -> None:
        """Take back what `deal` has declared, so that a state may declare something else."""
        if self.dealt is not None and self.noise.rows is self.dealt:
            self.noise.rows = None


def find_looped(noise: Injection) -> LoopedNoise | None:
    """Return the noise of a handle as a loop has it; None if none has it."""
    found = _looped.get(noise)
    return None if found is None else found()


def find_batch_shape(noise: Injection, batch: Any) -> tuple[int, ...] | None:
    """Return the shape of a tensor that has the samples of a batch; None without tensors.

    Most tensors of a batch have its number of samples; of as many, those with the most axes.
    """
    shapes = [s for s in map(noise.host.find_shape, _list_leaves(batch)) if s is not None]
    axis = find_model_axis(noise.noises)
    counts = Counter(_get_extent(shape, axis) for shape in shapes)
    ranked = sorted(shapes, key=lambda s: (counts[_get_extent(s, axis)], len(s)), reverse=True)
    return ranked[0] if ranked else None


def _get_extent(shape: tuple[int, ...], axis: int) -> int | None:
    return shape[axis] if -len(shape) <= axis < len(shape) else None


def _list_leaves(batch: Any) -> list[Any]:
    """Return what nested mappings, lists and tuples hold."""
    if isinstance(batch, Mapping):
        batch = list(batch.values())
    if isinstance(batch, list | tuple) and not hasattr(batch, "batch_sizes"):  # packed sequences
        return [leaf for value in batch for leaf in _list_leaves(value)]
    return [batch]


class _Failed(Exception):
    """Ends the block of a step that failed, so that nothing is checked of it."""
