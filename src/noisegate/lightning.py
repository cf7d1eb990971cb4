"""Noise in a model that Lightning's Trainer trains.

Needs the extra `lightning`: ``pip install "noisegate[lightning]"``.
"""

from typing import Any

from noisegate.core.extras import require_extra

require_extra(__name__, "lightning")

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info

from noisegate.injection.handle import Injection
from noisegate.loops.guards import Block, Guards
from noisegate.loops.noise_loop import NoiseLoop, check_words

__all__ = ["NoiseCallback"]


class NoiseCallback(Callback):
    """Noise in a model while Lightning trains it.

    The noise acts in ``training_step`` alone, at the Trainer's step: the number of optimiser steps
    so far. Micro-batches of one step are parts of its batch. The rules are put in when training
    begins and taken out when it ends, also by an exception; checkpoints have the state.

    Parameters
    ----------
    rules : mapping of str to float, Schedule, Kind, or a list of them; or Injection
        As for `noisegate.inject`, over the modules of the LightningModule. An Injection is noise
        that is there already, and stays. None means the noise that the model has.
    seed : int, optional
        In [0, 2⁶⁴). None draws one, or takes that of the checkpoint.
    rows : str or RankRows, optional
        What the samples of a rank are, in place of what the loader deals; as `Injection.rows`.
    log : bool
        Whether `log_dict` gets the measured rates, every `log_every_n_steps` of the Trainer.
    **words
        Passed on to `noisegate.inject`: `existing`, `hidden_dropout` and so on.

    Examples
    --------
    >>> import noisegate as ng
    >>> callback = ng.lightning.NoiseCallback({"net.*:out": 0.1}, seed=13)
    >>> # lightning.Trainer(callbacks=[callback]).fit(model, loader)
    """

    def __init__(
        self,
        rules: Any = None,
        seed: int | None = None,
        *,
        rows: Any = None,
        log: bool = True,
        **words: Any,
    ) -> None:
        check_words("NoiseCallback", words, rows, "log")
        self._loop, self._log = NoiseLoop(rules, seed, words, rows), log
        self._guards = Guards()
        self._reported = False

    @property
    def noise(self) -> Injection | None:
        """The handle of the noise, from the first training on; None before."""
        return self._loop.noise

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Silence noise that is there already, before the sanity check."""
        self._loop.prepare(pl_module)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the noise in."""
        self._loop.begin(pl_module, trainer.train_dataloader)
        # Not on the module, whose copies would have it too.
        self._guards.append(Block(trainer.strategy, "training_step", self._loop.hold))
        self._reported = False

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Begin a micro-batch of the Trainer's step."""
        self._loop.open_step(trainer.global_step)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """End the step if the optimiser has stepped; log."""
        if not self._loop.reaches(trainer.global_step):
            return
        self._loop.close_step()
        if not self._log:
            return
        if not self._reported:
            self._reported = True
            rank_zero_info(f"{self._loop.noise.report()}" if self._loop.noise else "")
        every: int = vars(trainer)["log_every_n_steps"]
        if every and trainer.global_step % every == 0:
            pl_module.log_dict(self._loop.measure())

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the noise out."""
        self._end()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Take the noise out, also where training never began."""
        self._end()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Take the noise out."""
        self._end(failed=True)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint has of the noise."""
        return self._loop.state()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state of a checkpoint, for the training that follows."""
        self._loop.load(state_dict)

    def _end(self, failed: bool = False) -> None:
        self._guards.remove_all()
        self._loop.end(failed)
