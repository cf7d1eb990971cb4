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

from . import messages


class Stopping(Callback):  # type: ignore[misc]
    """Stops a training that has not become better for some epochs, and returns to the best.

    Parameters
    ----------
    patience : int
        For how many epochs.
    monitor : str
        Which loss: ``valid_loss``, or ``train_loss`` where there is no validation.
    """

    def __init__(self, patience: int, monitor: str) -> None:
        self.patience, self.monitor = patience, monitor

    def on_train_begin(self, net: Any, **told: Any) -> None:
        """Begin with what there is."""
        self.lowest = float("inf")
        self.waited = 0
        self.weights: Any = None

    def on_epoch_end(self, net: Any, **told: Any) -> None:
        """Keep better weights; end the training when it has not become better for long."""
        loss = net.history[-1, self.monitor]
        if loss < self.lowest:
            self.lowest, self.waited = loss, 0
            self.weights = copy.deepcopy(net.module_.state_dict())
        else:
            self.waited += 1
        if self.waited >= self.patience:
            raise KeyboardInterrupt  # how skorch's callbacks stop a training

    def on_train_end(self, net: Any, **told: Any) -> None:
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
    """

    def __init__(self, path: Any, session: Any, stopping: Stopping | None) -> None:
        self.path, self.session, self.stopping = Path(path), session, stopping

    def on_epoch_end(self, net: Any, **told: Any) -> None:
        """Write the file."""
        state = {
            "module": net.module_.state_dict(),
            "optimizer": net.optimizer_.state_dict(),
            "history": json.dumps(net.history.to_list()),
            "order": net.order_,
            "generator": torch.get_rng_state(),
            "noise": json.dumps([handle.state() for handle in self.session.handles]),
            "stopping": None if self.stopping is None else self.stopping.state(),
        }
        beside = self.path.with_name(f".{self.path.name}.part")
        torch.save(state, beside)
        os.replace(beside, self.path)

    def resume(self, net: Any) -> None:
        """Go on from the file, if there is one."""
        if not self.path.exists():
            return
        try:
            state = torch.load(self.path, weights_only=True)
            module, noise = state["module"], json.loads(state["noise"])
        except Exception as error:
            words = " ".join(str(error).split())[:200]
            raise InvalidValue(messages.bad_checkpoint(self.path, words)) from None
        if len(noise) != len(self.session.handles):
            raise InvalidValue(messages.bad_checkpoint(self.path, "its noise is another"))
        try:
            net.module_.load_state_dict(module)
        except RuntimeError as error:
            words = " ".join(str(error).split())[:200]
            raise InvalidValue(messages.bad_checkpoint(self.path, words)) from None
        for handle, given in zip(self.session.handles, noise, strict=True):
            handle.load_state(given)
        net.optimizer_.load_state_dict(state["optimizer"])
        net.history = History(json.loads(state["history"]))
        net.order_ = state["order"]
        torch.set_rng_state(state["generator"])
        if self.stopping is not None and state["stopping"] is not None:
            self.stopping.restore(state["stopping"])
