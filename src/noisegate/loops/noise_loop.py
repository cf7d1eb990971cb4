"""`NoiseLoop`: the noise of a training loop that somebody else wrote."""

import inspect
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from noisegate.core import checks
from noisegate.core.errors import InvalidType, InvalidValue, prefix_errors
from noisegate.core.rank_rows import RankRows
from noisegate.core.schedule import Schedule
from noisegate.core.words import got
from noisegate.injection import handles, inject
from noisegate.injection.handle import Injection

from .looped_noise import LoopedNoise, find_looped
from .samplers import find_policy

# The name, in a state, of the states of noise that the model has besides.
OTHERS = "others"
# The arguments of `inject` that a callback passes on, with their defaults.
WORDS = {
    name: parameter.default
    for name, parameter in inspect.signature(inject).parameters.items()
    if name not in ("model", "rules", "seed")
}


class NoiseLoop:
    """The noise of a training loop, which acts in training steps alone, each at the loop's step.

    It knows no library: what calls it says where training begins and ends, and each step. Noise
    that the model has besides takes part in the same steps, unless another loop has it.

    Parameters
    ----------
    rules : mapping, Injection, or None
        Rules for `inject`; or noise that is in the model already, which stays there. None takes
        over the noise that the model has.
    seed : int, optional
        As for `inject`; a resumed loop has that of its state.
    words : mapping
        The other arguments of `inject`; those with their default count as not given.
    rows : str or RankRows, optional
        What the samples of this rank are, in place of what the loader deals.
    """

    def __init__(
        self, rules: Any, seed: int | None, words: Mapping[str, Any], rows: Any = None
    ) -> None:
        # Of one type before they are compared, since arrays compare by element.
        words = {n: v for n, v in words.items() if (type(v), v) != (type(WORDS[n]), WORDS[n])}
        self._rules, self._seed, self._words, self._rows = rules, seed, words, rows
        # Whether the noise is in the model for this loop alone.
        self._owned = not isinstance(rules, Injection) and (rules is not None or bool(words))
        # The noise, also once it was removed; and all that the loop has, this one first.
        self.noise: Injection | None = None
        self._parts: list[LoopedNoise] = []
        # A state to resume from.
        self._pending: Mapping[str, Any] | None = None

    def prepare(self, model: Any) -> None:
        """Silence noise that is in the model already, before training begins."""
        self.end()
        if not self._owned:
            self._find(model, None)
        self._take(model)

    def begin(self, model: Any, loader: Any = None) -> Injection:
        """Begin a training: put the noise into the model, silent until a step.

        What the loader deals to this rank is declared unless the user has declared something.
        """
        rows = self._rows if (assigned := self._find_assigned()) is None else assigned
        self.end()
        saved, self._pending = self._pending, None
        noise = self._find(model, saved)
        self._take(model)
        if rows is not None:
            noise.rows = rows
        self._load(saved, loader)
        return noise

    def resume(self, model: Any, loader: Any, state: Mapping[str, Any]) -> Injection:
        """Resume from a state within a training: what the user has set of the noise stays."""
        noise = self.noise
        other_seed = self._seed is None and noise is not None and state["seed"] != noise.seed
        if noise is None or noise.removed or (self._owned and other_seed):
            self.load(state)
            return self.begin(model, loader)
        self.close_step(failed=True)
        self._load(state, loader)
        return noise

    def _find_assigned(self) -> Any:
        """Return the rows that the user has assigned to noise that makes way for other noise."""
        part = None if self.noise is None else find_looped(self.noise)
        if part is None or not part.owned or part.noise.rows is part.dealt:
            return None
        return part.noise.rows

    def _find(self, model: Any, saved: Mapping[str, Any] | None) -> Injection:
        """Return the noise of the loop, which is in the model."""
        found = self._list_handles(model)
        given = self._rules
        if isinstance(given, Injection):
            if given not in found:
                raise InvalidValue(
                    f"`rules` is {given!r}, which does not act in the model that is trained. Give "
                    "the callback its rules instead, or the handle that noisegate.inject(model, "
                    "rules, seed=...) returned for this model."
                )
            self.noise = given
        elif self._owned:
            seed = saved.get("seed") if self._seed is None and saved is not None else self._seed
            self.noise = inject(model, given, seed, **self._words)
        else:
            found = [handle for handle in found if not handle.of_loop]  # of another callback
            if len(found) != 1:
                raise InvalidValue(
                    f"`rules` must be given, or the model must have noise by one handle; got none, "
                    f"and {len(found)} handles."
                )
            self.noise = found[0]
        return self.noise

    @staticmethod
    def _list_handles(model: Any) -> list[Injection]:
        """Return the handles of a model, and remove what loops of others have left in a copy."""
        found = []
        for handle in handles(model):
            if handle.of_loop and find_looped(handle) is None:
                handle.remove()
            else:
                found.append(handle)
        return found

    def _take(self, model: Any) -> None:
        """Take over the noise in the model, the loop's own first, and silence it."""
        own = [] if self.noise is None or self.noise.removed else [self.noise]
        others = [h for h in self._list_handles(model) if h not in own and find_looped(h) is None]
        self._parts = [LoopedNoise(noise, self._owned) for noise in own]
        self._parts += [LoopedNoise(noise, False) for noise in others]
        self.mute()

    def _load(self, saved: Mapping[str, Any] | None, loader: Any) -> None:
        """Take a state if there is one, and what the loader deals unless rows are declared."""
        try:
            for part in self._parts:
                part.forget_dealt()
            if saved is not None:
                for part, state in zip(self._parts, self._split(saved), strict=True):
                    part.load(state)
            for part in self._parts:
                part.deal(find_policy(loader) if self._rows is None else self._rows)
        except BaseException:
            self.end()
            raise

    def _split(self, saved: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Return the state of each noise of the loop."""
        own = {name: value for name, value in saved.items() if name != OTHERS}
        if "scheme" not in own:
            return [own] * len(self._parts)
        states = [own, *saved.get(OTHERS, ())]
        if len(states) != len(self._parts):
            raise InvalidValue(
                f"the state has noise of {len(states)} handles, and the model that of "
                f"{len(self._parts)}. Put in the noise that the model had, in the same order."
            )
        return states

    # Steps -------------------------------------------------------------------------------------

    def open_step(self, step: int) -> None:
        """Begin a step, unless it is open: micro-batches of one step go on in its rows."""
        for part in self._parts:
            part.open_step(step)

    def reaches(self, step: int) -> bool:
        """Return whether a step is after the open one."""
        return any(part.step is not None and part.step != step for part in self._parts)

    def close_step(self, failed: bool = False) -> None:
        """End the open step, if there is one; the next is the one after it."""
        with ExitStack() as all_parts:  # also where one of them raises
            for part in self._parts:
                all_parts.callback(part.close_step, failed)

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
        with self.act(), ExitStack() as all_parts:
            for part in self._parts:
                all_parts.enter_context(part.hold(batch))
            yield

    def rewind(self) -> None:
        """Return to the first sample of the micro-batch."""
        for part in self._parts:
            part.rewind()

    def go_on(self) -> None:
        """Go on after the samples that the step had when it was rewound, if it was."""
        for part in self._parts:
            part.go_on()

    def unmute(self) -> None:
        """Let the noise act, unless the user has silenced it."""
        for part in self._parts:
            part.unmute()

    def mute(self) -> None:
        """Silence the noise until a block or a step lets it act."""
        for part in self._parts:
            part.mute()

    def end(self, failed: bool = False) -> None:
        """End the training: the model is as it was before `begin`."""
        with ExitStack() as all_parts:
            for part in self._parts:
                all_parts.callback(part.release, failed)

    # States ------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return the state that a resume needs, as a dict that JSON can store; {} before any."""
        if self.noise is None:
            return dict(self._pending or {})
        states = {part.noise: part.state() for part in self._parts}
        own = states.pop(self.noise, None) or {**self.noise.state(), "samples": 0}
        return {**own, OTHERS: [*states.values()]} if states else own

    def load(self, state: Mapping[str, Any]) -> None:
        """Resume from a state when training begins; one without a scheme is the step alone."""
        self._pending = dict(state) or None

    def measure(self) -> dict[str, float]:
        """Return what to log: the share that each mask removed, and the rates of schedules."""
        values: dict[str, float] = {}
        for part in self._parts:
            noise = part.noise
            removed = noise.rates().items()
            values |= {f"noise/{site}/removed": share for site, share in removed}
            step = noise.steps.last.step
            for placement in noise.plan.placements:
                kind = placement.kind
                if isinstance(kind.rate, Schedule):
                    name = f"noise/{placement.site}/{kind.RATE}"
                    values[name] = float(kind.rate.at(step))
        return values


def check_words(speaker: str, words: Iterable[str], rows: Any, *own: str) -> None:
    """Raise unless a callback passes on arguments of `inject` alone, and its rows are a policy.

    The `own` arguments of the callback are named to the user too.
    """
    with prefix_errors(speaker):
        checks.check_keywords(words, ["rules", "seed", "rows", *own, *WORDS])
        if isinstance(rows, str):
            RankRows(rows)
        elif rows is not None and not isinstance(rows, RankRows):
            raise InvalidType(
                f"`rows` must be a policy or a RankRows; {got(rows)}. Ids of samples are assigned "
                "to the handle in each step of training: noise.rows = ids."
            )
