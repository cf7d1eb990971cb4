"""What happens at the end of an epoch: checkpoints, and the best weights kept."""

import copy
import json
import os
from pathlib import Path
from typing import Any

import torch
from skorch.callbacks import Callback
from skorch.history import History

from noisegate.core.errors import InvalidValue
from noisegate.torch.generators import restore_cpu_state, save_cpu_state


class Stopping(Callback):  # type: ignore[misc]
    """Stops a training whose validation is no better for some epochs, and returns to the best.

    Parameters
    ----------
    patience : int
        For how many epochs.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.lowest, self.waited = float("inf"), 0
        self.weights: Any = None

    def on_epoch_end(self, net: Any, **data: Any) -> None:
        """Keep better weights; end the training when it has not become better for long."""
        loss = net.history[-1, "valid_loss"]
        if loss < self.lowest:
            self.lowest, self.waited = loss, 0
            self.weights = copy.deepcopy(net.module_.state_dict())
        else:
            self.waited += 1
        if self.waited >= self.patience:
            raise KeyboardInterrupt  # how skorch's callbacks stop a training

    def on_train_end(self, net: Any, **data: Any) -> None:
        """Return to the best weights."""
        if self.weights is not None:
            net.module_.load_state_dict(self.weights)
        self.weights = None

    def state(self) -> dict[str, Any]:
        """Return what a resume needs."""
        return {"lowest": self.lowest, "waited": self.waited, "weights": self.weights}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.lowest, self.waited = state["lowest"], state["waited"]
        self.weights = state["weights"]


def read_checkpoint(path: Any) -> dict[str, Any] | None:
    """Return what a checkpoint holds; None if there is no such file."""
    path = Path(path)
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
        if not set(state) >= _ENTRIES:
            raise InvalidValue("it is no checkpoint of an estimator")
    except Exception as error:
        raise _checkpoint_error(path, error) from None
    return state


def _checkpoint_error(path: Path, error: Exception) -> InvalidValue:
    reason = " ".join(str(error).split())[:200].rstrip(".")
    return InvalidValue(f"resume: {path} does not belong to this training: {reason}.")


_ENTRIES = {"module", "optimizer", "history", "order", "generator", "noise", "stopping", "seeds"}


class Checkpoint(Callback):  # type: ignore[misc]
    """Writes, after each epoch, one file from which training goes on as if never interrupted.

    Parameters
    ----------
    path : path-like
        The file; it is replaced as a whole.
    session : Session
        The noise, whose steps are part of the state.
    stopping : Stopping, optional
        What counts the epochs without progress.
    seeds : list of int
        The seeds of the training.
    state : dict, optional
        What to go on from.
    """

    def __init__(
        self,
        path: Any,
        session: Any,
        stopping: Stopping | None,
        seeds: list[int],
        state: dict[str, Any] | None,
    ) -> None:
        self.path, self.session, self.stopping = Path(path), session, stopping
        self.seeds, self.state = seeds, state

    def on_epoch_end(self, net: Any, **data: Any) -> None:
        """Write the file."""
        state = {
            "module": net.module_.state_dict(),
            "optimizer": net.optimizer_.state_dict(),
            "history": json.dumps(net.history.to_list(), default=float),
            "order": net.order_,
            "generator": save_cpu_state(),
            "noise": json.dumps([handle.state() for handle in self.session.handles]),
            "stopping": None if self.stopping is None else self.stopping.state(),
            "seeds": self.seeds,
        }
        beside = self.path.with_name(f".{self.path.name}.part")
        torch.save(state, beside)
        os.replace(beside, self.path)

    def resume(self, net: Any) -> None:
        """Go on from the state."""
        state = self.state
        assert state is not None
        noise = json.loads(state["noise"])
        try:
            if len(noise) != len(self.session.handles):
                raise ValueError("its noise is another")
            net.module_.load_state_dict(state["module"])
            for handle, given in zip(self.session.handles, noise, strict=True):
                handle.load_state(given)
            net.optimizer_.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError) as error:
            raise _checkpoint_error(self.path, error) from None
        net.history = History(json.loads(state["history"]))
        net.order_ = state["order"]
        restore_cpu_state(state["generator"])
        if self.stopping is not None and state["stopping"] is not None:
            self.stopping.restore(state["stopping"])
