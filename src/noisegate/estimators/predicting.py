"""What a trained network tells: outputs, clean or with noise, every named one, and its history."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

import noisegate.prediction as prediction
from noisegate.core import checks
from noisegate.core.errors import InvalidValue, missing_extra, prefix_errors
from noisegate.core.messages import no_samples
from noisegate.injection import Injection
from noisegate.nets import messages
from noisegate.torch import Host
from noisegate.torch.functional import draw_seed

from .rows import Values, dense
from .session import Noises, Session
from .training import EVALUATION_ROWS

# By how many rows a network's own dropouts are found: batch normalization needs two.
FEW = 2


class Predicting:
    """The part of an estimator that asks a trained network."""

    network_: nn.Module
    history_: Any
    _state: dict[str, Any]

    def _inputs(self, X: Any, reset: bool) -> Values:
        raise NotImplementedError

    def _outputs(
        self,
        X: Any,
        who: str,
        noise: Mapping[str, Any],
        samples: Any = None,
        seed: int | None = None,
        existing: bool | None = None,
    ) -> np.ndarray:
        """Return outputs (rows, ...), or (samples, rows, ...) where samples are asked for."""
        check_is_fitted(self)
        who = f"{type(self).__name__}.{who}"
        x = self._inputs(X, reset=False).to(self._device)
        noises, existing = self._noises_of(who, noise, samples, existing, x)
        if not noises.acts and not existing:
            if samples is not None:
                raise InvalidValue(messages.need_noise(who))
            return self._clean(x)
        drawn = drawn_seed(who, seed)
        if noises.changing:
            return self._sampled(x, noises, drawn, samples, existing)
        found = prediction.predict(
            self.network_,
            dense(x),
            1 if samples is None else samples,
            rules=noises.rules(),
            existing=existing,
            seed=drawn,
            outputs="values",
            quantiles=(),
            keep_samples=True,
            progress=False,
        )
        assert found.samples is not None
        return found.samples if samples is not None else np.asarray(found.samples[0])

    def _noises_of(
        self, who: str, noise: Mapping[str, Any], samples: Any, existing: bool | None, x: Values
    ) -> tuple[Noises, bool]:
        """Return the noise of a call: what it says, or for samples that of the last training."""
        if samples is None or noise or existing is not None:
            return Noises.of(who, noise), False if existing is None else existing
        trained = Noises.of(who, self._state["words"]).at(max(self._state["steps"], default=0))
        return trained, _has_dropouts(self.network_, dense(x[:FEW]))

    def _sampled(
        self, x: Values, noises: Noises, seed: int, samples: Any, existing: bool
    ) -> np.ndarray:
        """Return outputs by regularizers too, whose noise is by their own seeds; as `_outputs`."""
        steps = [0] if samples is None else steps_of(samples)
        found = []
        own = dense(x[:FEW]) if existing else None
        with Session(self.network_, noises, seed, always=True, existing=own) as session:
            for step in steps:
                found.append(self._clean(x, partial(session.at, step)))
        return np.stack(found) if samples is not None else found[0]

    def _clean(self, x: Values, within: Callable[..., Any] = nullcontext) -> np.ndarray:
        """Return the outputs of the network as it is, a part of the rows at a time.

        Each part is run within a block of its own, ``within(rows)``.
        """
        self.network_.eval()
        parts = list[Tensor]()
        with torch.no_grad():
            for start in range(0, len(x), EVALUATION_ROWS):
                part = dense(x[start : start + EVALUATION_ROWS])
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
            Of the noise, in [0, 2⁶⁴); None draws one. Regularizers have their own.
        **noise
            As of `fit`. What an output was before is then there too, as ``name-predrop`` and
            ``name-prenoise``.
        """
        check_is_fitted(self)
        who = f"{type(self).__name__}.feed_forward"
        x = dense(self._inputs(X, reset=False).to(self._device))
        return next(self._passes(x, Noises.of(who, noise), drawn_seed(who, seed)))

    def _passes(
        self, x: Tensor, noises: Noises, seed: int, steps: Any = (0,), existing: bool = False
    ) -> Iterator[dict[str, np.ndarray]]:
        """Yield every named output of a forward pass for each of some steps of the seeds."""
        self.network_.eval()
        own = x[:FEW] if existing else None
        with Session(self.network_, noises, seed, True, True, own) as session:
            for step in steps:
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
                who = f"{type(self).__name__}.plot_history"
                raise missing_extra(who, "matplotlib", "study") from None
            ax = Figure(figsize=(6, 4), layout="constrained").subplots()
        for name, words in (("train_loss", "training, noise on"), ("valid_loss", "validation")):
            rows = [row for row in self.history_ if name in row]
            if rows:
                ax.plot([row["epoch"] for row in rows], [row[name] for row in rows], label=words)
        ax.set(xlabel="epoch", ylabel="loss")
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False)
        return ax


def parted(asked: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the words of a call for noise, and those for samples."""
    sampling = {w: v for w, v in asked.items() if w in ("samples", "seed", "existing")}
    return {w: v for w, v in asked.items() if w not in sampling}, sampling


def drawn_seed(who: str, seed: Any) -> int:
    """Return the seed of a call, or one that is drawn for it."""
    with prefix_errors(who):
        return draw_seed() if seed is None else checks.whole("seed", seed, 64)


def steps_of(samples: Any) -> Sequence[int]:
    """Return the steps that a number of samples means; or those that are listed."""
    if isinstance(samples, Sequence) and not isinstance(samples, str) and samples:
        return samples
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 1:
        raise InvalidValue(no_samples(samples))
    return range(samples)


def _has_dropouts(network: nn.Module, x: Tensor) -> bool:
    """Return whether a network has dropouts of its own: modules, or functions that it calls."""
    known = Host(network).sites()
    if known.own or known.unreached:
        return True
    try:
        Injection(network, {}, 0, existing=True, always=True, example=x).remove()
    except InvalidValue:  # there are none
        return False
    return True
