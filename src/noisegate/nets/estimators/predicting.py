"""What a trained network tells: outputs, clean or with noise, every named one, and its history."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

import noisegate.prediction as prediction
from noisegate.core import checks
from noisegate.core.errors import InvalidValue, MissingExtra
from noisegate.core.messages import missing_extra
from noisegate.torch.functional import draw_seed

from .. import messages
from ..noising import Noises, Session
from ..outputs import Places
from ..trainer import EVALUATION_ROWS


class Predicting:
    """The part of an estimator that asks a trained network."""

    network_: nn.Module
    history_: Any
    device: str

    def _inputs(self, X: Any, reset: bool) -> Tensor:
        raise NotImplementedError

    def _outputs(
        self,
        X: Any,
        who: str,
        noise: Mapping[str, Any],
        samples: Any = None,
        seed: int | None = None,
        existing: bool = False,
    ) -> np.ndarray:
        """Return outputs (rows, ...), or (samples, rows, ...) where samples are asked for."""
        check_is_fitted(self)
        who = f"{type(self).__name__}.{who}"
        noises = Noises.of(who, noise)
        x = self._inputs(X, reset=False).to(self.device)
        if not noises.acts and not existing:
            if samples is not None:
                raise InvalidValue(messages.need_noise(who))
            return self._clean(x)
        with Session(self.network_, Noises(regularizers=_modifying(noises)), 0, always=True):
            rules = noises.rules(Places(self.network_))
            if not rules and not existing:
                several = np.stack([self._clean(x) for _ in range(samples or 1)])
                return several if samples is not None else several[0]
            found = prediction.predict(
                self.network_,
                x,
                1 if samples is None else samples,
                dropout=rules,
                existing=existing,
                seed=noises.seed_with(_drawn(who, seed)),
                outputs="values",
                quantiles=(),
                keep_samples=True,
                progress=False,
            )
        assert found.samples is not None
        return found.samples if samples is not None else np.asarray(found.samples[0])

    def _clean(self, x: Tensor) -> np.ndarray:
        self.network_.eval()
        with torch.no_grad():
            parts = [self.network_(part) for part in x.split(EVALUATION_ROWS)]
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
        return next(self._passes(X, "feed_forward", noise, seed, 1, own_seeds=True))

    def _passes(
        self,
        X: Any,
        who: str,
        noise: Mapping[str, Any],
        seed: int | None,
        count: int,
        own_seeds: bool = False,
    ) -> Iterator[dict[str, np.ndarray]]:
        """Yield every named output of some forward passes; pass k is step k of the seed."""
        check_is_fitted(self)
        noises = Noises.of(f"{type(self).__name__}.{who}", noise)
        x = self._inputs(X, reset=False).to(self.device)
        drawn = _drawn(who, seed)
        drawn = drawn if own_seeds else noises.seed_with(drawn)
        self.network_.eval()
        with Session(self.network_, noises, drawn, True, True, own_seeds) as session:
            for _ in range(count):
                with torch.no_grad():
                    self.network_(x)
                assert session.recording is not None
                yield {n: v.cpu().numpy() for n, v in session.recording.values.items()}

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
                raise MissingExtra(missing_extra(who, "matplotlib", "study")) from None
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


def _drawn(who: str, seed: Any) -> int:
    return draw_seed() if seed is None else checks.whole(who, "seed", seed, 64)


def _modifying(noises: Noises) -> list[Any]:
    return [regularizer for regularizer in noises.active if regularizer.modifies]
