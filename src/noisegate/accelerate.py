"""Noise in a model that a loop with Accelerate trains.

Needs the extra `accelerate`: ``pip install "noisegate[accelerate]"``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from noisegate.core.callers import warn_caller
from noisegate.core.errors import InvalidType
from noisegate.core.extras import require_extra
from noisegate.core.words import shorten

require_extra(__name__, "accelerate")

from accelerate import Accelerator

from noisegate.injection.handle import Injection
from noisegate.injection.report import Report
from noisegate.loops.noise_loop import NoiseLoop, check_words
from noisegate.torch.optimizers import watch_steps

__all__ = ["NoiseState"]


class NoiseState:
    """Noise in a model while a loop with Accelerate trains it.

    It acts within `accumulate` alone, at a step that counts the optimiser's steps. Micro-batches of
    one step are parts of its batch. ``accelerator.register_for_checkpointing`` takes it; `remove`
    takes the noise out, and so does the end of ``with NoiseState(...) as noise:``.

    Parameters
    ----------
    accelerator : accelerate.Accelerator
    model : torch.nn.Module
        The model, prepared or not.
    rules : mapping of str to float, Schedule, Kind, or a list of them; or Injection
        As for `noisegate.inject`. An Injection is noise that is there already, and stays. None
        means the noise that the model has.
    seed : int, optional
        In [0, 2⁶⁴). None draws one.
    rows : str or RankRows, optional
        What the samples of a rank are, in place of what the loader deals; as `Injection.rows`.
    **words
        Passed on to `noisegate.inject`: `existing`, `hidden_dropout` and so on.

    Examples
    --------
    >>> import accelerate, torch
    >>> import noisegate as ng
    >>> accelerator = accelerate.Accelerator(cpu=True)
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 2))
    >>> noise = ng.accelerate.NoiseState(accelerator, model, {"0:out": 0.5}, seed=13)
    >>> accelerator.register_for_checkpointing(noise)
    >>> with noise.accumulate(model):
    ...     y = model(torch.ones(2, 4))
    >>> noise.step
    1
    >>> noise.remove()
    """

    # Nothing else can be assigned, and so lost.
    __slots__ = ("_accelerator", "_loop", "_model", "_unwatch")

    def __init__(
        self,
        accelerator: Accelerator,
        model: Any,
        rules: Any = None,
        seed: int | None = None,
        *,
        rows: Any = None,
        **words: Any,
    ) -> None:
        if not isinstance(accelerator, Accelerator):
            raise InvalidType(
                "NoiseState: `accelerator` must be an accelerate.Accelerator; got "
                f"{shorten(accelerator)}. Write NoiseState(accelerator, model, rules, seed)."
            )
        check_words("NoiseState", words, rows)
        self._accelerator = accelerator
        self._loop = NoiseLoop(rules, seed, words, rows)
        self._model = accelerator.unwrap_model(model)
        self._loop.begin(self._model, self._find_loader())
        # Ends the watch for steps of an optimiser before the first micro-batch with noise.
        self._unwatch = watch_steps(self._model, _warn)

    def _find_loader(self) -> Any:
        loaders = getattr(self._accelerator, "_dataloaders", None)
        return loaders[0] if loaders else None

    @property
    def noise(self) -> Injection:
        """The handle of the noise."""
        assert self._loop.noise is not None
        return self._loop.noise

    @property
    def step(self) -> int:
        """The step of the next micro-batch: how often the optimiser has stepped."""
        return self.noise.step

    @property
    def rows(self) -> Any:
        """The ids of the samples, or what the samples of a rank are, as `Injection.rows`."""
        return self.noise.rows

    @rows.setter
    def rows(self, value: Any) -> None:
        self.noise.rows = value

    def report(self) -> Report:
        """Return the report of the handle."""
        return self.noise.report()

    def rates(self) -> dict[str, float]:
        """Return, by site, the share of elements that the last mask there has removed."""
        return self.noise.rates()

    def __getattr__(self, name: str) -> Any:
        """Raise; if the handle has the name, say so."""
        where = f" The handle has: noise.noise.{name}." if hasattr(Injection, name) else ""
        raise AttributeError(f"NoiseState has no attribute `{name}`.{where}")

    @contextmanager
    def accumulate(self, *models: Any) -> Iterator[None]:
        """Make a block a micro-batch with noise, as ``accelerator.accumulate(*models)`` does."""
        self._unwatch()
        self._loop.open_step(self.step)
        failed = True
        try:
            with self._accelerator.accumulate(*models), self._loop.act():
                yield
            failed = False
        finally:
            if failed or self._accelerator.sync_gradients:
                self._loop.close_step(failed)

    def log(self, step: int | None = None) -> None:
        """Give the accelerator's trackers the measured rates, by default at the present step."""
        self._accelerator.log(self._loop.measure(), step=self.step if step is None else step)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint has of the noise, as a dict that JSON can store."""
        return self._loop.state()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from the state of a checkpoint."""
        self._loop.resume(self._model, self._find_loader(), state)

    def remove(self) -> None:
        """Take the noise out."""
        self._end(failed=False)

    def __enter__(self) -> "NoiseState":
        """Return the noise; the end of the block takes it out."""
        return self

    def __exit__(self, kind: Any, *error: Any) -> None:
        """Take the noise out."""
        self._end(failed=kind is not None)

    def _end(self, failed: bool) -> None:
        self._unwatch()
        self._loop.end(failed)


def _warn() -> None:
    warn_caller(
        "noisegate: the optimiser has stepped, and the noise has not acted, since it acts within "
        "its own `accumulate` alone. Write `with noise.accumulate(model):` in place of `with "
        "accelerator.accumulate(model):`."
    )
