"""Noise in a model that the Trainer of Hugging Face's transformers trains.

Needs the extra `transformers`: ``pip install "noisegate[transformers]"``.
"""

from collections.abc import Mapping
from typing import Any

from noisegate.core.extras import require_extra

require_extra(__name__, "transformers")

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState
from transformers.utils import logging

from noisegate.core.rank_rows import RankRows
from noisegate.injection.handle import Injection
from noisegate.loops.guards import Block, Guard, Guards, find_caller
from noisegate.loops.noise_loop import NoiseLoop, check_words
from noisegate.loops.rule_configs import read_config, write_config

__all__ = ["NoiseCallback"]

logger = logging.get_logger(__name__)


class NoiseCallback(TrainerCallback, ExportableState):
    """Noise in a model while Hugging Face's Trainer trains it.

    The noise acts in the Trainer's `training_step` alone, at the Trainer's step: the number of
    optimiser steps so far. Micro-batches of one step are parts of its batch. The rules are put in
    when training begins and taken out when it ends, also by an exception; ``trainer_state.json`` of
    checkpoints has the state.

    Parameters
    ----------
    rules : mapping of str to float, Schedule, Kind, or a list of them; or Injection
        As for `noisegate.inject`. An Injection is noise that is there already, and stays. None
        means the noise that the model has.
    seed : int, optional
        In [0, 2⁶⁴). None draws one, or takes that of the checkpoint.
    rows : str or RankRows, optional
        What the samples of a rank are, in place of what the loader deals; as `Injection.rows`.
    log : bool
        Whether the Trainer's log gets the measured rates whenever it gets the loss.
    **words
        Passed on to `noisegate.inject`: `existing`, `hidden_dropout` and so on.

    Examples
    --------
    >>> import noisegate as ng
    >>> callback = ng.transformers.NoiseCallback({"*.attention:out": 0.1}, seed=13)
    >>> # transformers.Trainer(model, args, train_dataset=data, callbacks=[callback]).train()
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
        if isinstance(rules, list):  # as a checkpoint has them, which sorts mappings
            rules = dict(read_config(rules))
        self._loop = NoiseLoop(rules, seed, read_config(words), rows)
        self._given = {"seed": seed, "log": log, **words}
        if rows is not None:  # of a rank that is named there is no policy, and so no restoring
            own = isinstance(rows, RankRows) and rows.rank is not None
            self._given["rows"] = repr(rows) if own else getattr(rows, "policy", rows)
        if isinstance(rules, Mapping):  # else a restored callback finds the noise in the model
            self._given["rules"] = list(rules.items())
        self._log, self._reported = log, False
        # The Trainer whose training goes on or was the last; what is around methods of Trainers
        # for good, and for a training.
        self._trainer: Any = None
        self._guards, self._blocks = Guards(), Guards()

    @property
    def noise(self) -> Injection | None:
        """The handle of the noise, from the first training on; None before."""
        return self._loop.noise

    def on_init_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Be told of exceptions in the Trainer's `train`, which tells its callbacks of none."""
        self._guard(find_caller(Trainer), "train")

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Put the noise in."""
        self._end()
        trainer = self._trainer = find_caller(Trainer)
        if all(guard.owner is not trainer for guard in self._guards):
            self._guard(trainer, "_run_epoch")  # it was added after the Trainer was made
        if state.global_step:
            self._loop.load(self._find_state(state))
        self._loop.begin(kwargs["model"], kwargs.get("train_dataloader"))
        if trainer is not None:
            self._blocks.append(Block(trainer, "training_step", lambda _: self._loop.act()))
        self._reported = False
        # The Trainer expects an entry of each callback, also in a checkpoint that had no noise.
        entries: Any = state.stateful_callbacks
        entries.setdefault(type(self).__name__, self.state())

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begin a step; the noise acts in the Trainer's `training_step`."""
        self._loop.open_step(state.global_step)
        if not self._blocks:
            self._loop.unmute()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """End a step: the noise is silent in what follows, such as an evaluation."""
        self._loop.close_step()
        self._loop.mute()
        if len(self._list_siblings()) > 1:
            # The Trainer appends the states of several callbacks whenever it saves.
            entries: Any = state.stateful_callbacks
            entries[type(self).__name__] = []

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Log the measured rates beside the loss, and the report once."""
        if not self._log or "loss" not in (kwargs.get("logs") or {}) or self._trainer is None:
            return
        if not self._reported and self.noise is not None:
            self._reported = True
            logger.info(self.noise.report())
        self._trainer.log(self._loop.measure())

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take the noise out."""
        self._end()

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint has of the noise."""
        given = {name: value for name, value in self._given.items() if name != "example"}
        return {"args": write_config(given), "attributes": {"saved": self._loop.state()}}

    @property
    def saved(self) -> dict[str, Any]:
        """The state that a resume needs."""
        return self._loop.state()

    @saved.setter
    def saved(self, state: dict[str, Any]) -> None:
        self._loop.load(state)

    def _list_siblings(self) -> list[Any]:
        """Return the callbacks of this class that the Trainer has."""
        handler = getattr(self._trainer, "callback_handler", None)
        return [c for c in getattr(handler, "callbacks", ()) if type(c) is type(self)]

    def _find_state(self, state: TrainerState) -> dict[str, Any]:
        """Return the state of the noise that a Trainer's state has; {} if it has none."""
        entries: Any = state.stateful_callbacks
        found = entries.get(type(self).__name__, [])
        # Of several callbacks, the last ones in their order.
        siblings = self._list_siblings()
        states = (found if isinstance(found, list) else [found])[-max(len(siblings), 1) :]
        number = siblings.index(self) if self in siblings else 0
        entry = states[number] if number < len(states) else {}
        return dict(entry.get("attributes", {}).get("saved", {}))

    def _guard(self, trainer: Any, name: str) -> None:
        if hasattr(type(trainer), name):
            self._guards.append(Guard(trainer, name, self._fail))

    def _fail(self) -> None:
        self._end(failed=True)

    def _end(self, failed: bool = False) -> None:
        self._blocks.remove_all()
        self._loop.end(failed)
