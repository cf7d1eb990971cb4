"""Noise in a model that skorch trains.

Needs the extra `skorch`: ``pip install "noisegate[skorch]"``.
"""

from collections.abc import Mapping
from typing import Any

from noisegate.core.extras import require_extra

require_extra(__name__, "skorch")

from skorch.callbacks import Callback

from noisegate.core.errors import InvalidValue
from noisegate.injection.handle import Injection
from noisegate.loops.guards import Block, Guard, Guards
from noisegate.loops.noise_loop import WORDS, NoiseLoop, check_words

__all__ = ["NoiseCallback"]

# The name of the state in the history, which nets save and load; after the first callback, with its
# number. It is in the last batch of an epoch, since what epochs have is printed.
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
    rows : str or RankRows, optional
        What the samples of a rank are, in place of what the loader deals; as `Injection.rows`.
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
        self,
        rules: Any = None,
        seed: int | None = None,
        *,
        rows: Any = None,
        log: bool = True,
        **words: Any,
    ) -> None:
        check_words("NoiseCallback", words, rows, "log")
        # Parameters in scikit-learn's sense: `callbacks__noise__rules` sets the rules.
        self.rules, self.seed, self.rows, self.log = rules, seed, rows, log
        self.__dict__.update(WORDS | words)
        self.loop_: NoiseLoop | None = None
        # What the training has put around the net, and the parameters of the last one.
        self.hooks_: list[Any] = []
        self.guards_ = Guards()
        self.given_: dict[str, Any] | None = None
        # Whether these are others than those of the training before; until the first epoch, the
        # state that the training has resumed from.
        self.changed_ = False
        self.state_: dict[str, Any] | None = None

    def initialize(self) -> "NoiseCallback":
        """Forget the training before."""
        self._end()
        self.loop_ = None
        return self

    @property
    def noise_(self) -> Injection | None:
        """The handle of the noise, from the first training on; None before."""
        return None if self.loop_ is None else self.loop_.noise

    # As the callbacks of other libraries have it.
    noise = noise_

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Put the noise in."""
        siblings = _list_siblings(net)
        number = siblings.index(self)
        if siblings.count(self) > 1:
            self._end()
            raise InvalidValue(
                "NoiseCallback: the net has one callback twice. Make a callback of its own for "
                "each set of rules, or one with all the rules."
            )
        self.name_ = f"{STATE}_{number}" if number else STATE
        given = {name: getattr(self, name) for name in self._get_param_names()}
        loop = self._make_loop(given)
        self.changed_ = self.given_ is not None and self.given_ != given
        self.given_, self.state_ = _copy_given(given), self._find_state(net.history)
        loop.load(self.state_)
        noise = loop.begin(net.module_)
        self.step_ = noise.step
        optimizers = [_unwrap(getattr(net, f"{name}_")) for name in net._optimizers]
        self.hooks_ = [each.register_step_post_hook(self._count) for each in optimizers]
        self.guards_.append(Guard(net, "fit_loop", self._fail))
        self.guards_.append(Block(net, "train_step", lambda _: loop.act()))

    def _make_loop(self, given: dict[str, Any]) -> NoiseLoop:
        self._end()
        words = {name: given[name] for name in WORDS}
        check_words("NoiseCallback", words, given["rows"])  # which may be set since
        self.loop_ = NoiseLoop(given["rules"], given["seed"], words, given["rows"])
        return self.loop_

    def _find_state(self, history: Any) -> dict[str, Any]:
        """Return the last state in a history; {} if there is none."""
        batches = (batch for epoch in reversed(history) for batch in reversed(epoch["batches"]))
        state = dict(next((batch[self.name_] for batch in batches if self.name_ in batch), {}))
        # Of parameters that are others since, what the state has is past.
        kept = ("seed", "step", "samples") if self.changed_ else tuple(state)
        return {name: state[name] for name in kept if name in state}

    def on_epoch_begin(
        self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Resume from a history that a callback after this one has loaded meanwhile."""
        (begun, self.state_), loop = (self.state_, None), self.loop_
        if begun is None or loop is None:
            return
        state = self._find_state(net.history)
        if state and state != begun:
            self.step_ = loop.resume(net.module_, None, state).step

    def on_batch_begin(
        self, net: Any, batch: Any = None, training: bool | None = None, **kwargs: Any
    ) -> None:
        """Begin a batch of training; the noise acts in the net's `train_step`."""
        if training and self.loop_ is not None:
            self.loop_.open_step(self.step_)

    def on_grad_computed(
        self, net: Any, named_parameters: Any, X: Any = None, y: Any = None, **kwargs: Any
    ) -> None:
        """Let an optimiser that evaluates a batch again have the same noise again."""
        if self.loop_ is not None:
            self.loop_.rewind()

    def on_batch_end(
        self, net: Any, batch: Any = None, training: bool | None = None, **kwargs: Any
    ) -> None:
        """End the step if the optimiser has stepped, and store it in the history."""
        loop = self.loop_
        if not training or loop is None:
            return
        loop.go_on()
        if loop.reaches(self.step_):
            loop.close_step()
        for earlier in net.history[-1]["batches"]:
            earlier.pop(self.name_, None)
        net.history.record_batch(self.name_, loop.state())

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
        while self.hooks_:
            self.hooks_.pop().remove()
        self.guards_.remove_all()
        if self.loop_ is not None:
            self.loop_.end(failed)


def _list_siblings(net: Any) -> list[NoiseCallback]:
    """Return the callbacks of this kind that a net has."""
    return [callback for _, callback in net.callbacks_ if isinstance(callback, NoiseCallback)]


def _copy_given(given: dict[str, Any]) -> dict[str, Any]:
    """Return parameters with a copy of the rules, which may be changed in place."""
    return {n: dict(v) if isinstance(v, Mapping) else v for n, v in given.items()}


def _unwrap(optimizer: Any) -> Any:
    """Return the optimiser in one of Accelerate's, which has no hooks and steps where it is due."""
    while "_optimizer_step_post_hooks" not in vars(optimizer) and hasattr(optimizer, "optimizer"):
        optimizer = optimizer.optimizer
    return optimizer
