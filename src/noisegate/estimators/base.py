"""What the estimators share: fit, noise by keyword, predictions, history."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.validation import _check_sample_weight, validate_data
from torch import Tensor, nn

from noisegate.core import checks
from noisegate.core.errors import InvalidValue, prefix_errors
from noisegate.nets import messages
from noisegate.nets.old_words import OldMethods
from noisegate.torch.generators import TORCH, keep_states, restore_cpu_state, save_cpu_state

from .callbacks import Checkpoint, Stopping, read_checkpoint
from .heads import last_layer
from .options import check_options, found_device
from .predicting import Predicting
from .rows import Rows, SparseRows, Values
from .session import WORDS, Noises, Session
from .sizing import build, is_sizes, takes_tokens
from .terms import Terms
from .training import Loss, Trainer


class Estimator(OldMethods, Predicting, BaseEstimator):  # type: ignore[misc]
    """A network trained in scikit-learn's manner; the arguments of all estimators.

    Parameters
    ----------
    network : sequence of int or None, Network or Module
        Sizes of the layers, of which the first and the last may be None: they are taken from X
        and y. Or any network, of which a copy is trained.
    activation : str or callable
        Of the hidden layers where sizes are given: one of Keras' names, or a function.
    loss : callable, optional
        ``loss(outputs, targets)`` in the place of the estimator's own: the mean over the batch,
        or one number for each row, which weights of rows need.
    optimizer : type
        An optimizer's class.
    lr : float
        Its learning rate.
    batch_size : int
        Rows of a step of training.
    max_epochs : int
        How often all rows are gone through.
    input_dropout, hidden_dropout, output_dropout : float, Schedule, Kind or list
        Noise while training; 0 is none.
    input_noise, hidden_noise, output_noise
        The same with a standard deviation for a number.
    dropout, noise : dict of pattern to number, optional
        Probability of removal, or standard deviation, at named outputs: ``{'hid1:out': .5}``.
    regularizers : list or dict, optional
        Of `noisegate.nets.regularizers`, or ``{name: weight}``.
    validation_split : float, optional
        Share of the rows, drawn at random, that are kept for validation. None keeps none.
    early_stopping : int, optional
        After how many epochs without progress on the validation training ends, and returns to
        its best.
    checkpoint : path-like, optional
        A file that is written after each epoch.
    resume : bool
        Whether training goes on from that file.
    callbacks : list, optional
        skorch's callbacks; in them `net.predict` gives labels, `net.predict_proba` probabilities.
    random_state : int, RandomState or None
        Decides weights, order, noise and split.
    device : str or torch.device
        Where training runs; "auto" is the accelerator that is there, or else the CPU.
    verbose : int
        Whether a table of progress is printed.

    Attributes
    ----------
    network_ : Module
        What was trained: a clean module, without noise.
    net_ : skorch.NeuralNet
        skorch's net around it.
    history_ : skorch.history.History
        Numbers of each epoch: ``train_loss``, with the noise on, and ``valid_loss``.
    noise_ : list of str
        The report of each injection of the last training.
    """

    def __init__(
        self,
        network: Any = (None, 100, None),
        *,
        activation: Any = "relu",
        loss: Any = None,
        optimizer: Any = torch.optim.Adam,
        lr: float = 1e-3,
        batch_size: int = 32,
        max_epochs: int = 100,
        input_dropout: Any = 0,
        hidden_dropout: Any = 0,
        output_dropout: Any = 0,
        input_noise: Any = 0,
        hidden_noise: Any = 0,
        output_noise: Any = 0,
        dropout: Mapping[str, Any] | None = None,
        noise: Mapping[str, Any] | None = None,
        regularizers: Any = None,
        validation_split: float | None = None,
        early_stopping: int | None = None,
        checkpoint: Any = None,
        resume: bool = False,
        callbacks: Any = None,
        random_state: Any = None,
        device: str = "cpu",
        verbose: int = 0,
    ) -> None:
        self.network = network
        self.activation = activation
        self.loss = loss
        self.optimizer = optimizer
        self.lr = lr
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.input_dropout = input_dropout
        self.hidden_dropout = hidden_dropout
        self.output_dropout = output_dropout
        self.input_noise = input_noise
        self.hidden_noise = hidden_noise
        self.output_noise = output_noise
        self.dropout = dropout
        self.noise = noise
        self.regularizers = regularizers
        self.validation_split = validation_split
        self.early_stopping = early_stopping
        self.checkpoint = checkpoint
        self.resume = resume
        self.callbacks = callbacks
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    net_: Trainer
    _state: dict[str, Any]
    network_: nn.Module
    history_: Any

    # Training ----------------------------------------------------------------------------------

    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        validation_data: Any = None,
        **noise: Any,
    ) -> Self:
        """Train a network anew.

        Parameters
        ----------
        X : array of shape (rows, ...), or sparse matrix of shape (rows, features)
            Inputs; a sparse matrix becomes dense a batch at a time.
        y : array of shape (rows, ...)
            Targets.
        sample_weight : array of shape (rows,), optional
            What each row counts for in the loss, at least 0: 2 is the row twice in its batch.
        validation_data : tuple of X and y, optional
            Rows for validation, without noise; a third entry is their weights.
        **noise
            `input_dropout`, `hidden_dropout`, `dropout`, `input_noise`, `hidden_noise`, `noise`,
            `output_dropout`, `output_noise` or `regularizers`, in the place of the estimator's
            own argument of that name, for this training; 0 or {} switches it off.
        """
        return self._train((X, y, sample_weight), validation_data, noise, "fit")

    def partial_fit(
        self,
        X: Any,
        y: Any = None,
        *,
        sample_weight: Any = None,
        validation_data: Any = None,
        **noise: Any,
    ) -> Self:
        """Train on for `max_epochs` epochs, with the weights and the optimizer of before."""
        return self._train((X, y, sample_weight), validation_data, noise, "partial_fit")

    def _train(self, data: Sequence[Any], validation_data: Any, words: Any, who: str) -> Self:
        known = dict(self.__dict__)
        try:
            return self._trained(data, validation_data, words, who)
        except BaseException:
            # What was trained before is what there is.
            self.__dict__.clear()
            self.__dict__.update(known)
            raise

    def _trained(self, data: Sequence[Any], validation_data: Any, words: Any, who: str) -> Self:
        who = f"{type(self).__name__}.{who}"
        check_options(self)
        anew = who.endswith(".fit") or not hasattr(self, "net_")
        device = found_device(type(self).__name__, self.device) if anew else self._device
        with prefix_errors(who):
            checks.keywords(words, WORDS)
        words = {word: words.get(word, getattr(self, word)) for word in WORDS}
        noises = Noises.of(who, words)
        rows = self._weighted_rows(data, anew)
        before = None if anew else self._state
        state = self._checkpoint_state() if self.resume else None
        seeds = _seeds_of(self.random_state, before, state)
        validation = None
        if validation_data is not None:
            validation = self._weighted_rows(validation_data, False)
        elif self.validation_split is not None:
            rows, validation = self._split(rows, np.random.RandomState(seeds[3] % 2**32))
        with self._seeded(seeds[0], before):
            if anew:
                self.network_ = self._build(rows)
                self.network_.to(device)
            rows, validation = rows.to(device), validation and validation.to(device)
            self._run(rows, validation, noises, seeds, before, state)
            self._state |= {"generator": save_cpu_state(), "words": words}
        return self

    def _checkpoint_state(self) -> dict[str, Any] | None:
        return read_checkpoint(self.checkpoint) if self.checkpoint is not None else None

    def _run(
        self,
        rows: Rows,
        validation: Rows | None,
        noises: Noises,
        seeds: list[int],
        before: dict[str, Any] | None,
        state: dict[str, Any] | None,
    ) -> None:
        head, model = self._head(), self.network_
        with Session(model, noises, seeds[1]) as session:
            head.watch(session.noisy(self._last_sites()))
            stopping = self._stopping(validation)
            terms = Terms(model, session)
            trainer = Trainer(
                model,
                Loss(head.loss),
                self.optimizer,
                head=head,
                lr=self.lr,
                batch_size=self.batch_size,
                order_seed=seeds[2],
                terms=terms if terms.any else None,
                after_step=terms.constrain if terms.constrained else None,
                max_epochs=self.max_epochs,
                callbacks=list(self.callbacks or []),
                device=str(self._device),
                verbose=int(self.verbose),
            ).initialize()
            if stopping is not None:
                trainer.callbacks_.append(("stopping", stopping))
            if before is not None:
                trainer.go_on(self.net_)
                session.go_on(before["steps"])
            if self.checkpoint is not None:
                keeper = Checkpoint(self.checkpoint, session, stopping, seeds, state)
                trainer.callbacks_.append(("checkpoint", keeper))
            try:
                resume = None if state is None else keeper.resume
                trainer.train(rows, validation, self.max_epochs, resume)
            finally:
                head.close()
            self.noise_ = session.log()
            self._state = {"seeds": seeds, "steps": session.steps}
        for regularizer in noises.active if self.verbose else ():
            regularizer.log()
        trainer.forget()
        self.net_, self.history_ = trainer, trainer.history

    def _stopping(self, validation: Rows | None) -> Stopping | None:
        if self.early_stopping is None:
            return None
        if validation is None:
            # The loss of training has the noise on.
            words = "None without validation: give `validation_data` or `validation_split`"
            who, value = type(self).__name__, self.early_stopping
            raise InvalidValue(messages.bad_option(who, "early_stopping", value, words))
        return Stopping(self.early_stopping)

    def _split(self, rows: Rows, random: Any) -> tuple[Rows, Rows]:
        count = len(rows)
        kept = round(count * float(self.validation_split or 0))
        if not 0 < kept < count:
            words = f"such that some of {count} rows are on each side"
            who, share = type(self).__name__, self.validation_split
            raise InvalidValue(messages.bad_option(who, "validation_split", share, words))
        order = torch.as_tensor(random.permutation(count))
        parts = (order[kept:].sort().values, order[:kept].sort().values)
        train, validation = (rows[part] for part in parts)
        return train, validation

    @contextmanager
    def _seeded(self, seed: int, before: dict[str, Any] | None) -> Iterator[None]:
        """Let torch draw by the random state for a block, and afterwards as before."""
        if self.random_state is None:
            yield
            return
        with keep_states(TORCH):
            torch.manual_seed(seed)
            if before is not None:
                restore_cpu_state(before["generator"])
            yield

    def _last_sites(self) -> tuple[str, ...]:
        name, _ = last_layer(self.network_)
        exits = getattr(self.network_, "exits", ())
        return (":out", *(f"{n}:out" for n in {name, *exits} if n is not None))

    # Data --------------------------------------------------------------------------------------

    def _inputs(self, X: Any, reset: bool, **y: Any) -> Values:
        """Return checked inputs; with y, rows are counted against it."""
        words: dict[str, Any] = {
            "accept_sparse": "csr",
            "dtype": np.int64 if takes_tokens(self.network) else np.float32,
            "allow_nd": not is_sizes(self.network),
        }
        X = as_array(X)
        if "y" in y and y["y"] is None:
            validate_data(self, X, y=None, reset=reset, **words)  # says that y is missing
        X = validate_data(self, X, reset=reset, **words)
        if "y" in y:
            check_consistent_length(X, as_array(y["y"]))
        return SparseRows(X) if hasattr(X, "tocsr") else torch.from_numpy(np.array(X, order="C"))

    def _weighted_rows(self, data: Sequence[Any], anew: bool) -> Rows:
        """Return checked inputs and targets of (X, y) or (X, y, weights), with their weights."""
        X, y, weights = (*data, None, None)[:3]
        rows = self._rows(X, y, anew)
        if weights is None:
            return rows
        words = {"dtype": np.float32, "ensure_non_negative": True}
        weights = _check_sample_weight(as_array(weights), np.empty((len(rows), 1)), **words)
        return Rows(rows.inputs, rows.targets, torch.from_numpy(np.array(weights)))

    def _rows(self, X: Any, y: Any, anew: bool) -> Rows:
        """Return checked inputs and targets."""
        raise NotImplementedError

    def _build(self, rows: Rows) -> nn.Module:
        """Return the network to be trained."""
        raise NotImplementedError

    def _head(self) -> Any:
        """Return how the network's outputs are read."""
        raise NotImplementedError

    def _network_of(self, rows: Rows, outputs: int, targets: str = "y") -> nn.Module:
        return build(self.network, self.activation, rows.inputs, outputs, targets)

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn is to know."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = not is_sizes(self.network)
        tags.input_tags.sparse = True
        return tags


def _seeds_of(
    random_state: Any, before: dict[str, Any] | None, state: dict[str, Any] | None
) -> list[int]:
    """Return the seeds of weights, noise, order and split: new ones, or those of before."""
    for known in (state, before):
        if known is not None:
            return list(known["seeds"])
    random = check_random_state(random_state)
    return [int(n) for n in random.randint(0, 2**63 - 1, 4, dtype=np.int64)]


def as_array(value: Any) -> Any:
    """Return a tensor as an array; anything else as it is."""
    return value.detach().cpu().numpy() if isinstance(value, Tensor) else value
