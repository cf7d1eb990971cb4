"""Predictions of a trained network, clean or with noise; every named output; and its history."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

import noisegate.prediction as prediction
from noisegate.core import checks
from noisegate.core.errors import InvalidValue, prefix_errors
from noisegate.core.extras import missing_extra
from noisegate.injection import Injection
from noisegate.prediction.sampling import list_steps
from noisegate.torch import Host
from noisegate.torch.functional import draw_seed

from .examples import Inputs, move, to_dense
from .old_words import IN_PREDICTION
from .session import NoiseSettings, Session
from .training import EVALUATION_ROWS, Trainer

# By how many rows a network's own dropouts are found: batch normalization needs two.
FEW = 2


@dataclass
class Request:
    """One call of a prediction: its inputs, the words for its noise, and how it is sampled.

    `words` are those of the call, or of the last training; then `at_step` is the step at which it
    ended, whose rates schedules have. `check` reads them into `noise`.
    """

    inputs: Inputs
    words: Mapping[str, Any]
    at_step: int | None = None
    existing: bool = False
    samples: Any = None
    return_std: bool = False
    seed: Any = None
    noise: NoiseSettings = field(init=False)

    def check(self) -> None:
        """Read the words for noise, and raise unless they fit the rest of the call."""
        if self.return_std and self.samples is None:
            raise InvalidValue("`return_std` is over samples; say how many, as samples=20.")
        self.noise = NoiseSettings.read(self.words, IN_PREDICTION)
        if self.at_step is not None:
            self.noise = self.noise.at_step(self.at_step)
        if self.samples is not None and not self.acts:
            raise InvalidValue(
                "`samples` and `return_std` are of noise; give some, as hidden_dropout=0.5, or a "
                "network with noise layers and existing=True."
            )
        if self.seed is not None:
            self.seed = checks.check_whole("seed", self.seed, 64)

    @property
    def acts(self) -> bool:
        """Whether there is any noise."""
        return self.noise.acts or self.existing

    @property
    def steps(self) -> Sequence[int]:
        """The steps of the seed: one for each sample; step 0 for a single pass."""
        if self.samples is None:
            return (0,)
        with prefix_errors("predict"):
            return list_steps(self.samples)

    def choose_seed(self) -> int:
        """Return the seed that was given, or draw one."""
        return draw_seed() if self.seed is None else int(self.seed)

    def summarize(self, outputs: np.ndarray) -> Any:
        """Return outputs, (samples, rows, ...), as asked: one pass, the mean, or mean and std."""
        if self.samples is None:
            return outputs[0]
        mean = outputs.mean(axis=0)
        return (mean, outputs.std(axis=0)) if self.return_std else mean


class Predicting:
    """The part of an estimator that predicts by its trained network."""

    network_: nn.Module
    net_: Trainer
    history_: Any
    _state: dict[str, Any]

    def _check_inputs(self, X: Any, reset: bool) -> Inputs:
        raise NotImplementedError

    def _prefix(self, method: str) -> prefix_errors:
        """Return the block whose errors begin with the class and a method."""
        return prefix_errors(f"{type(self).__name__}.{method}")

    def _ask(
        self,
        method: str,
        X: Any,
        noise: Mapping[str, Any],
        samples: Any = None,
        return_std: bool = False,
        seed: int | None = None,
        existing: bool | None = None,
    ) -> Request:
        """Return the request of a method's call, checked.

        Samples without a word about noise have that of the last training.
        """
        check_is_fitted(self)
        device = self._device
        inputs = move(self._check_inputs(X, reset=False), device)
        words, step = noise, None
        if samples is not None and not noise and existing is None:
            words, step = self._state["words"], max(self._state["steps"], default=0)
            existing = _has_dropouts(self.network_, to_dense(inputs[:FEW], device))
        request = Request(inputs, words, step, bool(existing), samples, return_std, seed)
        with self._prefix(method):
            request.check()
        return request

    def _run_network(self, request: Request) -> np.ndarray:
        """Return the network's outputs, (samples, rows, ...); of one pass, one sample."""
        if not request.acts:
            return self._run_clean(request.inputs)[None]
        if request.noise.changing:
            return self._run_sampled(request)
        answer = prediction.predict(
            self.network_,
            to_dense(request.inputs, self._device),
            1 if request.samples is None else request.samples,
            rules=request.noise.merge_rules(),
            existing=request.existing,
            seed=request.choose_seed(),
            outputs="values",
            quantiles=(),
            keep_samples=True,
            progress=False,
        )
        return np.asarray(answer.samples)

    def _run_sampled(self, request: Request) -> np.ndarray:
        """Return outputs as `_run_network`, with noise that regularizers make by their seeds."""
        with self._open_session(request) as session:
            return np.stack(
                [self._run_clean(request.inputs, partial(session.at, k)) for k in request.steps]
            )

    def _open_session(self, request: Request, record: bool = False) -> Session:
        """Return a session in which the noise of a request acts in evaluation."""
        return Session(
            self.network_,
            request.noise,
            request.choose_seed(),
            always=True,
            record=record,
            existing=to_dense(request.inputs[:FEW], self._device) if request.existing else None,
        )

    def _run_clean(self, x: Inputs, within: Callable[..., Any] = nullcontext) -> np.ndarray:
        """Return the outputs of the network as it is, a part of the rows at a time.

        Each part is run within a block of its own, ``within(rows)``.
        """
        self.network_.eval()
        parts, device = list[Tensor](), self._device
        with torch.no_grad():
            for start in range(0, x.shape[0], EVALUATION_ROWS):
                part = to_dense(x[start : start + EVALUATION_ROWS], device)
                with within(range(start, start + len(part)) if start else None):
                    parts.append(self.network_(part))
        return torch.cat(parts).cpu().numpy()

    def feed_forward(
        self, X: Any, *, seed: int | None = None, **noise: Any
    ) -> dict[str, np.ndarray]:
        """Return every named output, ``layer:out`` and ``layer:pre``, of one forward pass.

        Parameters
        ----------
        X : array of shape (rows, ...)
            Inputs.
        seed : int, optional
            Seed of the noise, in [0, 2⁶⁴); None draws one. Regularizers have their own.
        **noise
            As in `fit`. Outputs before their noise are then returned too, by the names
            ``name-predrop`` and ``name-prenoise``.
        """
        request = self._ask("feed_forward", X, noise, seed=seed)
        return next(self._record_passes(request))

    def _record_passes(self, request: Request) -> Iterator[dict[str, np.ndarray]]:
        """Yield every named output of a forward pass for each step of a request."""
        self.network_.eval()
        x = to_dense(request.inputs, self._device)
        with self._open_session(request, record=True) as session:
            for step in request.steps:
                with torch.no_grad(), session.at(step):
                    self.network_(x)
                assert session.recording is not None
                yield {n: v.cpu().numpy() for n, v in session.recording.values.items()}

    @property
    def _device(self) -> Any:
        """Where the network is: where it was trained, unless it was moved."""
        return next((p.device for p in self.network_.parameters()), "cpu")

    def plot_history(self, ax: Any = None) -> Any:
        """Draw the learning curves with matplotlib; return the axes.

        Parameters
        ----------
        ax : matplotlib axes, optional
            Where to draw; by default in a figure of its own.
        """
        check_is_fitted(self)
        if ax is None:
            try:
                from matplotlib.figure import Figure
            except ModuleNotFoundError:
                speaker = f"{type(self).__name__}.plot_history"
                raise missing_extra(speaker, "matplotlib", "study") from None
            ax = Figure(figsize=(6, 4), layout="constrained").subplots()
        for name, words in (("train_loss", "training, noise on"), ("valid_loss", "validation")):
            rows = [row for row in self.history_ if name in row]
            if rows:
                ax.plot([row["epoch"] for row in rows], [row[name] for row in rows], label=words)
        ax.set(xlabel="epoch", ylabel="loss")
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False)
        return ax


def split_words(words: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split the keywords of `score` into those for noise and those for sampling."""
    sampling = {w: v for w, v in words.items() if w in ("samples", "seed", "existing")}
    return {w: v for w, v in words.items() if w not in sampling}, sampling


def _has_dropouts(network: nn.Module, x: Tensor) -> bool:
    """Return whether a network has dropouts of its own: modules, or functions that it calls."""
    sites = Host(network).sites()
    if sites.own or sites.unreached:
        return True
    # Dropouts that are functions show in a run only.
    try:
        Injection(network, {}, 0, existing=True, always=True, example=x).remove()
    except InvalidValue:  # there are none
        return False
    return True
