"""Callbacks at the end of an epoch: early stopping with the best weights, and checkpoints."""

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
    """Ends a training after `patience` epochs without a lower validation loss.

    At the end it returns to the weights of the lowest.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.lowest, self.waited = float("inf"), 0
        self.weights: Any = None

    def on_epoch_end(self, net: Any, **data: Any) -> None:
        """Store weights of a lower loss; end the training when patience has run out."""
        loss = net.history[-1, "valid_loss"]
        if loss < self.lowest:  # NaN never is
            self.lowest, self.waited = loss, 0
            self.weights = copy.deepcopy(net.module_.state_dict())
        else:
            self.waited += 1
        if self.waited >= self.patience:
            raise KeyboardInterrupt  # as skorch's callbacks end a training

    def on_train_end(self, net: Any, **data: Any) -> None:
        """Return to the best weights."""
        if self.weights is not None:
            net.module_.load_state_dict(self.weights)
        self.weights = None

    def state(self) -> dict[str, Any]:
        """Return the state that a checkpoint stores."""
        return {"lowest": self.lowest, "waited": self.waited, "weights": self.weights}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore a state."""
        self.lowest, self.waited = state["lowest"], state["waited"]
        self.weights = state["weights"]


def read_checkpoint(path: Any) -> dict[str, Any] | None:
    """Return the state in a checkpoint; None if there is no such file."""
    path = Path(path)
    if not path.exists():
        return None
    try:
        # A file must not run code; so what is no tensor is stored as plain values or JSON.
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
    """Writes one file after each epoch, from which training continues as if never interrupted.

    `state` is an earlier file's, which `resume` restores.
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
        """Write the file beside the last one, then replace that, so that it is never half."""
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
        """Restore the earlier state in a net and in the noise of its network."""
        state = self.state
        assert state is not None
        noise = json.loads(state["noise"])
        try:
            if len(noise) != len(self.session.handles):
                raise ValueError("its noise is another")
            net.module_.load_state_dict(state["module"])
            for handle, handle_state in zip(self.session.handles, noise, strict=True):
                handle.load_state(handle_state)
            net.optimizer_.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError) as error:
            raise _checkpoint_error(self.path, error) from None
        net.history = History(json.loads(state["history"]))
        net.order_ = state["order"]
        restore_cpu_state(state["generator"])
        if self.stopping is not None and state["stopping"] is not None:
            self.stopping.restore(state["stopping"])
