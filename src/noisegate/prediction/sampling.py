"""Samples of a model's output, with noise at prediction time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np

from noisegate.core import checks, messages
from noisegate.core.backends import face_of_model
from noisegate.core.callers import warn_caller
from noisegate.core.errors import InvalidValue, prefix_errors
from noisegate.core.keys import STEP_BITS
from noisegate.injection import Injection
from noisegate.injection.front import with_words

from .forwards import Forwards
from .moments import Part, Summary, are_probabilities
from .progress import shown
from .result import Prediction, assembled

# How many numbers are held at once for quantiles: samples · rows · outputs.
HELD = 1 << 24
# How many numbers moments take at a time.
TOGETHER = 1 << 18

OUTPUTS = ("values", "logits", "probabilities")


@checks.known_keywords("predict")
def predict(
    model: Any,
    x: Any,
    samples: int | Sequence[int] = 50,
    *,
    rules: Mapping[str, Any] | None = None,
    existing: bool = False,
    unreached: str = "raise",
    input_dropout: Any = None,
    hidden_dropout: Any = None,
    output_dropout: Any = None,
    input_noise: Any = None,
    hidden_noise: Any = None,
    output_noise: Any = None,
    batch_size: int | None = None,
    shared_batch: bool = False,
    seed: int | None = None,
    sample_axis: int | Mapping[str, int | None] | None = 0,
    quantiles: Sequence[float] = (0.05, 0.25, 0.5, 0.75, 0.95),
    outputs: str | None = None,
    output: str | int | None = None,
    class_axis: int = -1,
    keep_samples: bool = False,
    progress: bool | None = None,
) -> Prediction:
    """Return predictions of a model with noise in it, and how much they vary.

    Only the noise is switched on: the model is in evaluation, without gradients, and its modes
    are afterwards what they were. Sample k is step k of the seed, whatever the batch size, alone
    and among others. Where tensors are small, one forward makes several samples, side by side in
    one batch, as long as the model gives the same then as for one.

    Parameters
    ----------
    model : torch.nn.Module
        Any model.
    x : tensor, array, tuple, dict, or DataLoader
        What the model takes: a tuple by place, a dict by name. Of a loader's lists and tuples
        the first is the input.
    samples : int or sequence of int
        How many samples, or which steps of the seed, each in [0, 2³²).
    rules : mapping of pattern to noise, optional
        As those of `inject`: a rule is a pattern and a noise.
    existing : bool
        Whether the model's own dropouts are used, at their own rates.
    unreached : {"raise", "keep"}
        What is done about dropouts of the model's own that cannot be used.
    input_dropout, hidden_dropout, output_dropout, input_noise, hidden_noise, output_noise
        Shorthands as those of `inject`.
    batch_size : int, optional
        How many rows at a time, along the first axis; by default all, or those of the loader.
    shared_batch : bool
        Whether all rows have the same noise: each sample is then one function, smooth in x, and
        predictions of different rows can be joined.
    seed : int, optional
        In [0, 2⁶⁴). None draws one from torch's CPU generator.
    sample_axis : int, None, or mapping of rule to int or None
        As in `inject`.
    quantiles : sequence of float
        Which quantiles are computed, each in [0, 1]; exact. Rows are then taken in parts, so that
        memory does not grow with the number of samples.
    outputs : {"values", "logits", "probabilities"}, optional
        What the model returns. By default logits where the axis of the classes has at least two,
        or probabilities where these sum to 1, and values where there is one; log-probabilities
        are logits.
    output : str or int, optional
        Which of the model's outputs, by name or number; by default `logits`, or the first.
    class_axis : int
        The axis of the classes.
    keep_samples : bool
        Whether `Prediction.samples` holds every sample; their memory is the caller's affair.
    progress : bool, optional
        Whether a bar is shown, which needs rich; by default where there is a terminal.

    Returns
    -------
    Prediction
        With `mean`, `std`, `quantile()`, and for classifiers `probabilities`, `entropy`,
        `mutual_information` and `calibration()`.

    Raises
    ------
    InvalidValue
        If no noise is given, none acts, or a dropout of the model's own cannot be reached; if there
        are several batches, and which of their rows a site sees is unclear.
    InvalidType
        If `x` is a list or tuple of numbers.

    Warns
    -----
    RuntimeWarning
        If noise acts and all samples are the same, since it does not reach the output; if a loader
        shuffles; if the model's output for a row depends on the others of its batch, and there are
        several batches.

    References
    ----------
    Gal, Ghahramani (2016), Dropout as a Bayesian approximation: representing model uncertainty in
    deep learning.

    Examples
    --------
    >>> import noisegate as ng, torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 2, bias=False))
    >>> _ = torch.nn.init.eye_(model[0].weight)
    >>> ng.predict(model, torch.ones(3, 2), 400, input_dropout=0.5, seed=13)
    <prediction of shape (3, 2), 400 samples, seed 13>
    """
    words = {
        "input_dropout": input_dropout,
        "hidden_dropout": hidden_dropout,
        "output_dropout": output_dropout,
        "input_noise": input_noise,
        "hidden_noise": hidden_noise,
        "output_noise": output_noise,
    }
    rules = with_words(rules, words)
    if not rules and not existing:
        raise InvalidValue(messages.predict_what())
    steps, levels = _steps(samples), tuple(_quantile(level) for level in quantiles)
    wanted = _Wanted(steps, levels, outputs, output, class_axis, keep_samples, batch_size)
    with prefix_errors("predict"):
        shared = checks.flag("shared_batch", shared_batch)
    # One thread at a time puts noise into a model.
    with face_of_model(model).exclusive(model):
        noise = Injection(
            model,
            rules,
            seed,
            sample_axis=sample_axis,
            existing=existing,
            unreached=unreached,
            always=True,
            shared=shared,
        )
        if (sampler := noise.host.shuffled(x)) is not None:
            warn_caller(messages.shuffled(sampler))
        bar = shown(progress, noise.host.count(x), len(steps))
        with noise, noise.host.evaluating(), bar as advance:
            return _predict(noise, x, wanted, advance)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is asked of the samples."""

    steps: Sequence[int]
    quantiles: tuple[float, ...]
    outputs: str | None
    output: str | int | None
    axis: int
    keep: bool
    batch_size: int | None

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        with prefix_errors("predict"):
            if self.outputs is not None:
                checks.one_of(*OUTPUTS)("outputs", self.outputs)
            if self.batch_size is not None:
                checks.positive("batch_size", self.batch_size)
            checks.flag("keep_samples", self.keep)


def _predict(
    noise: Injection, x: Any, wanted: _Wanted, advance: Callable[[int], None]
) -> Prediction:
    host, start, parts = noise.host, 0, list[Part]()
    forwards = Forwards(noise, wanted.output)
    for batch, count in host.batches(x, wanted.batch_size):
        if not start and count and noise.plan.looks and host.has_code_of_its_own:
            noise.look(batch)
        rows = range(start, start + count)
        make = forwards.one if start else forwards.begin
        first = make(batch, rows, wanted.steps[0]) if count else np.zeros(0)
        if not start and count:
            _check_it_acts(noise)
        held, dtype = _rows_held(first, count, wanted), first.dtype
        for i in range(0, count, held):
            some = rows[i : i + held]
            part = batch if len(some) == count else host.part(batch, slice(i, i + held), count)
            known = first if len(some) == count else None
            outputs = forwards.each(part, some, wanted.steps, known)
            parts.append(_part(outputs, wanted, advance, len(some)))
            wanted = replace(wanted, outputs=parts[0].summary.outputs)
        start += count
    if not parts:
        raise InvalidValue(messages.nothing_to_predict())
    prediction = assembled(parts, noise.seed, wanted.steps, host.one_number_each(x))
    if len(set(wanted.steps)) > 1 and _is_constant(prediction, dtype):
        placements = (n.placement for n in noise.noises if n.calls)
        acted = dict.fromkeys(p.site for p in placements if not p.kind.removes or p.kind.rate != 1)
        if acted:
            warn_caller(messages.no_spread(len(wanted.steps), list(acted)))
    return prediction


def _part(
    outputs: Iterator[np.ndarray], wanted: _Wanted, advance: Callable[[int], None], rows: int
) -> Part:
    """Return what is kept of the samples of some rows, of which outputs are one or several each."""
    first = next(outputs)
    kind = _kind_of(first[0], wanted.axis) if wanted.outputs is None else wanted.outputs
    summary, held, new = Summary(kind, wanted.axis), list[np.ndarray](), list[np.ndarray]()
    for output in chain([first], outputs):
        new.append(output)
        if sum(samples.size for samples in new) > TOGETHER:
            _add(summary, new)
            new.clear()
        if wanted.quantiles or wanted.keep:
            held.append(output)
        advance(len(output) * rows)
    if new:
        _add(summary, new)
    samples = _joined(held or [first])
    levels = wanted.quantiles
    # Of sorted numbers NumPy finds quantiles in a third of the time, the sorting included.
    found = np.quantile(np.sort(samples, axis=0), levels, axis=0) if levels else ()
    return Part(summary, dict(zip(levels, found, strict=True)), samples if wanted.keep else None)


def _add(summary: Summary, new: Sequence[np.ndarray]) -> None:
    """Let a summary take samples, as many at a time as are TOGETHER numbers."""
    samples = _joined(new)
    most = max(1, TOGETHER // max(1, samples[0].size))
    for start in range(0, len(samples), most):
        summary.add(samples[start : start + most])


def _joined(samples: Sequence[np.ndarray]) -> np.ndarray:
    return samples[0] if len(samples) == 1 else np.concatenate(samples)


def _check_it_acts(noise: Injection) -> None:
    """Raise if a dropout of the model's own was not reached, or if nothing acted at all."""
    missing = [n.placement.site for n in noise.noises if n.trained and not n.reached]
    if missing and not noise.plan.keep:
        raise InvalidValue(messages.only_in_training(missing))
    if not noise.noises:
        raise InvalidValue(messages.all_left())
    if not any(n.calls for n in noise.noises):
        raise InvalidValue(messages.all_silent(any(n.reached for n in noise.noises)))


def _is_constant(prediction: Prediction, dtype: np.dtype[Any]) -> bool:
    """Return whether samples differ nowhere, or by no more than the order of sums."""
    tiny = 16 * np.finfo(dtype).eps * np.abs(prediction.mean).max(initial=0.0)
    return bool(prediction.std.size and (prediction.std <= tiny).all())


def _rows_held(output: np.ndarray, count: int, wanted: _Wanted) -> int:
    """Return of how many rows of a batch all samples can be held at once."""
    if not wanted.quantiles:
        return max(1, count)
    return max(1, HELD * count // max(1, output.size * len(wanted.steps)))


def _kind_of(output: np.ndarray, axis: int) -> str:
    """Return what outputs are, where nobody said."""
    if output.ndim < 2 or output.shape[axis] < 2:
        return "values"
    return "probabilities" if are_probabilities(output, axis) else "logits"


def _steps(samples: Any) -> Sequence[int]:
    if isinstance(samples, Sequence) and not isinstance(samples, str) and len(samples):
        with prefix_errors("predict"):
            return [checks.whole("samples", step, STEP_BITS) for step in samples]
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 1:
        raise InvalidValue(messages.no_samples(samples))
    return range(samples)


def _quantile(level: Any) -> float:
    if not checks.is_number(level) or not 0 <= level <= 1:
        raise InvalidValue(messages.bad_quantile("predict", level))
    return float(level)
