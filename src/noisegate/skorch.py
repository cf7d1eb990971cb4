"""Noise in a model that skorch trains.

Needs the extra `skorch`: ``pip install "noisegate[skorch]"``.
"""

from typing import Any

from noisegate.core.extras import require_extra

require_extra(__name__, "skorch")

from skorch.callbacks import Callback

from noisegate.injection.handle import Injection
from noisegate.loops.guards import Guard
from noisegate.loops.noise_loop import NoiseLoop

__all__ = ["NoiseCallback"]

# The name of the state in the history, which nets save and load. It is in the last batch of an
# epoch, since what epochs have is printed.
STATE = "noise"


class NoiseCallback(Callback):  # type: ignore[misc]
    """Noise in the modules of a skorch net while it trains.

    The noise acts in training batches alone, at a step that counts the optimiser's steps. Batches
    that are accumulated before a step are parts of its batch. The rules are put in when training
    begins and taken out when it ends, also by an exception. The history has the state, so a net
    that loads a checkpoint, with `f_history`, goes on from it.

    Parameters
    ----------
    rules : mapping of str to float, Schedule, Kind, or a list of them; or Injection
        As for `noisegate.inject`, over the net's `module_`. An Injection is noise that is there
        already, and stays. None means the noise that the module has.
    seed : int, optional
        In [0, 2⁶⁴). None draws one, or takes that of the history.
    log : bool
        Whether the history gets the measured rates of each epoch's last batch.
    **words
        Passed on to `noisegate.inject`: `existing`, `hidden_dropout` and so on.

    Examples
    --------
    >>> import noisegate as ng
    >>> callback = ng.skorch.NoiseCallback({"hid*:out": 0.5}, seed=13)
    >>> # NeuralNetClassifier(Module, callbacks=[("noise", callback)]).fit(X, y)
    """

    def __init__(
        self, rules: Any = None, seed: int | None = None, *, log: bool = True, **words: Any
    ) -> None:
        # Parameters in scikit-learn's sense: `callbacks__noise__rules` sets the rules.
        self.rules, self.seed, self.log = rules, seed, log
        self.__dict__.update(words)
        self.loop_: NoiseLoop | None = None

    def initialize(self) -> "NoiseCallback":
        """Forget the training before."""
        if self.loop_ is not None:
            self.loop_.end()
        self.loop_ = None
        return self

    @property
    def noise_(self) -> Injection | None:
        """The handle of the noise, from the first training on; None before."""
        return None if self.loop_ is None else self.loop_.noise

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Put the noise in."""
        given = {name: getattr(self, name) for name in self._get_param_names()}
        rules, seed = given.pop("rules"), given.pop("seed")
        del given["log"]
        loop = self.loop_ = NoiseLoop(rules, seed, given)
        loop.load(_find_state(net.history))
        noise = loop.begin(net.module_)
        self.step_ = noise.step
        self.hooks_ = [
            getattr(net, f"{name}_").register_step_post_hook(self._count)
            for name in net._optimizers
        ]
        self.guard_ = Guard(net, "fit_loop", self._fail)

    def on_batch_begin(
        self, net: Any, batch: Any = None, training: bool | None = None, **kwargs: Any
    ) -> None:
        """Begin a batch of training, in which the noise acts."""
        if training and self.loop_ is not None:
            self.samples_ = 0
            self.loop_.open_step(self.step_)
            self.loop_.unmute()

    def on_grad_computed(
        self, net: Any, named_parameters: Any, X: Any = None, y: Any = None, **kwargs: Any
    ) -> None:
        """Let an optimiser that evaluates a batch again have the same noise again."""
        if self.loop_ is not None:
            self.samples_ = self.loop_.rewind()

    def on_batch_end(
        self, net: Any, batch: Any = None, training: bool | None = None, **kwargs: Any
    ) -> None:
        """End the step if the optimiser has stepped, and store it in the history."""
        loop = self.loop_
        if not training or loop is None:
            return
        loop.mute()
        if self.samples_:
            loop.go_on(self.samples_)
        if loop.reaches(self.step_):
            loop.close_step()
        for earlier in net.history[-1]["batches"]:
            earlier.pop(STATE, None)
        net.history.record_batch(STATE, loop.state())

    def on_epoch_end(
        self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Store the measured rates in the history."""
        if self.log and self.loop_ is not None:
            for name, value in self.loop_.measure().items():
                net.history.record(name, value)

    def on_train_end(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Take the noise out."""
        self._end()

    def _count(self, *args: Any) -> None:
        self.step_ += 1

    def _fail(self) -> None:
        self._end(failed=True)

    def _end(self, failed: bool = False) -> None:
        for hook in self.hooks_:
            hook.remove()
        self.guard_.remove()
        if self.loop_ is not None:
            self.loop_.end(failed)


def _find_state(history: Any) -> dict[str, Any]:
    """Return the last state in a history; {} if there is none."""
    batches = (batch for epoch in reversed(history) for batch in reversed(epoch["batches"]))
    return dict(next((batch[STATE] for batch in batches if STATE in batch), {}))
