"""The base of the estimators: their arguments, `fit` and `partial_fit`, checks of the data."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.validation import _check_sample_weight, validate_data
from torch import Tensor, nn

from noisegate.torch.generators import TORCH, keep_states, restore_cpu_state, save_cpu_state

from .callbacks import Checkpoint, Stopping, read_checkpoint
from .examples import Examples, Inputs
from .heads import find_last_layer
from .old_words import IN_TRAINING, OldMethods
from .parameters import answer_keywords, check_parameters, find_device, parameter_error
from .predicting import Predicting
from .session import WORDS, NoiseSettings, Session
from .sizing import build, is_sizes, takes_tokens
from .training import Loss, Trainer


@answer_keywords
@dataclass(eq=False, repr=False)
class Estimator(OldMethods, Predicting, BaseEstimator):  # type: ignore[misc]
    """Base of the estimators: a network that is trained as scikit-learn's estimators are.

    Parameters
    ----------
    network : sequence of int or None, Network or Module
        Sizes of the layers; None at either end takes the size from X or y. Or any network, of
        which a copy is trained.
    activation : str or callable
        Activation of the hidden layers where sizes are given: one of Keras' names, or a function.
    loss : callable, optional
        ``loss(outputs, targets)``, which replaces the estimator's own: the mean over the batch, or
        one number a row. Weights of rows need the second.
    optimizer : type
        Class of the optimizer.
    lr : float
        Learning rate, > 0.
    batch_size : int
        Rows in a training step, at least 1.
    max_epochs : int
        Number of passes over all rows, at least 1.
    input_dropout, hidden_dropout, output_dropout : float, Schedule, Kind or list
        Noise in training. A number is the probability of removal; 0 means no noise.
    input_noise, hidden_noise, output_noise : float, Schedule, Kind or list
        The same, where a number is the standard deviation of normal noise.
    recurrent_dropout : float, Schedule, Kind or list
        Noise on the states of recurrent layers; a number drops with one mask for all time steps.
    weight_dropout, weight_noise : float, Schedule, Kind or list
        Noise on the layers' weights, one draw a step.
    rules : dict of pattern to noise, optional
        Noise at named outputs, as `inject` takes it: ``{'hid1:out': 0.5}``. A number is the p of
        Dropout; any other noise is named, ``{'in:out': noisegate.GaussianNoise(0.1)}``.
    regularizers : list or dict, optional
        Regularizers of `noisegate.nets.regularizers`, or ``{name: weight}``.
    validation_split : float, optional
        Share of the rows, drawn at random, that is held out for validation; None holds out none.
    early_stopping : int, optional
        Training ends after this many epochs without a lower validation loss, and returns to the
        best weights.
    checkpoint : path-like, optional
        A file that is written after each epoch.
    resume : bool
        Whether training continues from that file.
    callbacks : list, optional
        skorch's callbacks; in them `net.predict` gives labels, `net.predict_proba` probabilities.
    random_state : int, RandomState or None
        Seed of the weights, the order of rows, the noise and the validation split.
    device : str or torch.device
        Where training runs; "auto" is this machine's accelerator, or the CPU where there is none.
    verbose : int
        1 prints a table of progress.

    Attributes
    ----------
    network_ : Module
        The trained network: a clean module, without noise.
    net_ : skorch.NeuralNet
        skorch's net around it.
    history_ : skorch.history.History
        Numbers of each epoch: ``train_loss``, with the noise on, and ``valid_loss``.
    noise_ : list of str
        The report of each injection of the last training.
    """

    network: Any = (None, 100, None)
    _: KW_ONLY
    activation: Any = "relu"
    loss: Any = None
    optimizer: Any = torch.optim.Adam
    lr: float = 1e-3
    batch_size: int = 32
    max_epochs: int = 100
    input_dropout: Any = 0
    hidden_dropout: Any = 0
    output_dropout: Any = 0
    input_noise: Any = 0
    hidden_noise: Any = 0
    output_noise: Any = 0
    recurrent_dropout: Any = 0
    weight_dropout: Any = 0
    weight_noise: Any = 0
    rules: Mapping[str, Any] | None = None
    regularizers: Any = None
    validation_split: float | None = None
    early_stopping: int | None = None
    checkpoint: Any = None
    resume: bool = False
    callbacks: Any = None
    random_state: Any = None
    device: str | torch.device = "cpu"
    verbose: int = 0

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
        """Train a new network.

        Parameters
        ----------
        X : array of shape (rows, ...), or sparse matrix of shape (rows, features)
            Inputs; a sparse matrix becomes dense a batch at a time.
        y : array of shape (rows, ...)
            Targets.
        sample_weight : array of shape (rows,), optional
            Weight of each row in the loss, at least 0: 2 counts the row twice in its batch.
        validation_data : tuple of X and y, optional
            Rows for validation, without noise; a third entry holds their weights.
        **noise
            `input_dropout`, `hidden_dropout`, `output_dropout`, `input_noise`, `hidden_noise`,
            `output_noise`, `recurrent_dropout`, `weight_dropout`, `weight_noise`, `rules` or
            `regularizers`: each replaces the estimator's argument of that name for this training.
            0 or {} switches it off.
        """
        with self._prefix("fit"):
            settings = self._read_noise(noise)
        return self._train((X, y, sample_weight), validation_data, settings, anew=True)

    def partial_fit(
        self,
        X: Any,
        y: Any = None,
        *,
        sample_weight: Any = None,
        validation_data: Any = None,
        **noise: Any,
    ) -> Self:
        """Train for `max_epochs` more epochs, from the last weights and optimizer state."""
        with self._prefix("partial_fit"):
            settings = self._read_noise(noise)
        anew = not hasattr(self, "net_")
        return self._train((X, y, sample_weight), validation_data, settings, anew)

    def adopt(self, trained: nn.Module, X: Any, y: Any = None, *, steps: int = 0) -> Self:
        """Become fitted by a network that was trained elsewhere, which is used itself.

        Parameters
        ----------
        trained : Module
            The trained network; `network` remains what `fit` trains.
        X, y : array
            Some of the data that it was trained on, with every class.
        steps : int
            Training steps behind it, at which schedules have the rates of predictions.
        """
        with self._prefix("adopt"):
            settings = self._read_noise({})
        self._train((X, y), None, settings, anew=True, trained=trained)
        self._state["steps"] = [steps]
        return self

    def _read_noise(self, words: Mapping[str, Any]) -> NoiseSettings:
        """Return the noise of a training, by a call's words and else the estimator's arguments."""
        given = {word: getattr(self, word) for word in WORDS} | dict(words)
        return NoiseSettings.read(given, IN_TRAINING)

    def _train(
        self,
        data: Sequence[Any],
        validation_data: Any,
        settings: NoiseSettings,
        anew: bool,
        trained: nn.Module | None = None,
    ) -> Self:
        """Train a new network, or the one that is there; after an error all is as before."""
        is_validated = validation_data is not None or self.validation_split is not None
        check_parameters(self, is_validated or trained is not None)
        device = find_device(self) if anew else self._device
        with self._restore_on_error():
            examples = self._weigh_examples(data, anew)
            before = None if anew else self._state
            state = read_checkpoint(self.checkpoint) if self.resume else None
            seeds = _choose_seeds(self.random_state, before, state)
            validation = None
            if validation_data is not None:
                validation = self._weigh_examples(validation_data, False)
            elif self.validation_split is not None and trained is None:
                random = np.random.RandomState(seeds[3] % 2**32)  # NumPy's seeds have 32 bits
                examples, validation = self._split(examples, random)
            with self._seed_torch(seeds[0], before):
                if anew:
                    self.network_ = self._build(examples) if trained is None else trained
                    self.network_.to(device)
                examples, validation = examples.to(device), validation and validation.to(device)
                epochs = self.max_epochs if trained is None else 0
                self._fit_network(examples, validation, settings, seeds, before, state, epochs)
                self._state |= {"generator": save_cpu_state(), "words": settings.words}
        return self

    @contextmanager
    def _restore_on_error(self) -> Iterator[None]:
        """Return to the attributes of before where a block fails: a trained network stays."""
        attributes = dict(self.__dict__)
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(attributes)
            raise

    def _fit_network(
        self,
        examples: Examples,
        validation: Examples | None,
        settings: NoiseSettings,
        seeds: list[int],
        before: dict[str, Any] | None,
        state: dict[str, Any] | None,
        epochs: int,
    ) -> None:
        """Train the network, after the last training (`before`) or from a checkpoint (`state`)."""
        head, model = self._make_head(), self.network_
        with Session(model, settings, seeds[1]) as session:
            head.watch(session.changes(self._find_last_sites()))
            stopping = None if self.early_stopping is None else Stopping(self.early_stopping)
            trainer = Trainer(
                model,
                Loss(head.loss),
                self.optimizer,
                head=head,
                lr=self.lr,
                batch_size=self.batch_size,
                order_seed=seeds[2],
                terms=session.total_terms if session.losses or session.penalized else None,
                after_step=session.constrain if session.constrained else None,
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
                trainer.train(examples, validation, epochs, resume)
            finally:
                head.close()
            self.noise_ = session.log()
            self._state = {"seeds": seeds, "steps": session.steps}
        for regularizer in settings.active if self.verbose else ():
            regularizer.log()
        trainer.forget()
        self.net_, self.history_ = trainer, trainer.history

    def _split(self, examples: Examples, random: Any) -> tuple[Examples, Examples]:
        """Return the examples to train on, and those of `validation_split`, drawn at random."""
        count = len(examples)
        held_out = round(count * float(self.validation_split or 0))
        if not 0 < held_out < count:
            words = f"such that some of {count} rows are on each side"
            raise parameter_error(self, "validation_split", words)
        order = torch.from_numpy(random.permutation(count))
        train, validation = (order[held_out:].sort().values, order[:held_out].sort().values)
        return examples[train], examples[validation]

    @contextmanager
    def _seed_torch(self, seed: int, before: dict[str, Any] | None) -> Iterator[None]:
        """Seed torch's generator for a block, if there is a random state, and restore it."""
        if self.random_state is None:
            yield
            return
        with keep_states(TORCH):
            torch.manual_seed(seed)
            if before is not None:
                restore_cpu_state(before["generator"])
            yield

    def _find_last_sites(self) -> tuple[str, ...]:
        """Return the sites behind the last layer, where noise would act on its activation."""
        name, _ = find_last_layer(self.network_)
        exits = getattr(self.network_, "exits", ())
        return (":out", *(f"{n}:out" for n in {name, *exits} if n is not None))

    # Data --------------------------------------------------------------------------------------

    def _check_inputs(self, X: Any, reset: bool, **y: Any) -> Inputs:
        """Return inputs as scikit-learn checks them; with y, as many rows as y has."""
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
        return X if hasattr(X, "tocsr") else torch.from_numpy(np.array(X, order="C"))

    def _weigh_examples(self, data: Sequence[Any], anew: bool) -> Examples:
        """Return the checked examples of (X, y) or (X, y, weights), with their weights."""
        X, y, weights = (*data, None, None)[:3]
        examples = self._check_examples(X, y, anew)
        if weights is None:
            return examples
        words = {"dtype": np.float32, "ensure_non_negative": True}
        weights = _check_sample_weight(as_array(weights), np.empty((len(examples), 1)), **words)
        return replace(examples, weights=torch.from_numpy(np.array(weights)))

    def _check_examples(self, X: Any, y: Any, anew: bool) -> Examples:
        """Return inputs and targets that can be trained on."""
        raise NotImplementedError

    def _build(self, examples: Examples) -> nn.Module:
        """Return a network of the right sizes for the examples."""
        raise NotImplementedError

    def _make_head(self) -> Any:
        """Return the head that reads the network's outputs."""
        raise NotImplementedError

    def _make_network(self, inputs: Inputs, outputs: int, targets: str = "y") -> nn.Module:
        """Return a network for inputs and a number of outputs, which `targets` need."""
        return build(self.network, self.activation, inputs, outputs, targets)

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn asks about an estimator."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = not is_sizes(self.network)
        tags.input_tags.sparse = True
        return tags


def _choose_seeds(
    random_state: Any, before: dict[str, Any] | None, state: dict[str, Any] | None
) -> list[int]:
    """Return the seeds of weights, noise, order and split: those of before, else new ones."""
    for earlier in (state, before):
        if earlier is not None:
            return list(earlier["seeds"])
    random = check_random_state(random_state)
    return [int(n) for n in random.randint(0, 2**63 - 1, 4, dtype=np.int64)]


def as_array(value: Any) -> Any:
    """Return a tensor as an array; anything else as it is."""
    return value.detach().cpu().numpy() if isinstance(value, Tensor) else value
