"""`predict`: samples of a model's output, with noise at prediction time."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from noisegate.core import checks
from noisegate.core.backends import face_of_model
from noisegate.core.callers import warn_caller
from noisegate.core.errors import InvalidValue, prefix_errors
from noisegate.core.keys import STEP_BITS
from noisegate.core.words import got, list_names
from noisegate.injection import Injection
from noisegate.injection.front import join_rules
from noisegate.injection.own_draws import Choices

from .forwards import Forwards
from .progress import show_progress
from .result import Prediction, check_level, join_predictions
from .summary import Summary

# At most this many numbers are held at once for quantiles: samples · rows · outputs.
HELD = 1 << 24


@checks.check_call("predict")
def predict(
    model: Any,
    x: Any,
    samples: int | Sequence[int] = 50,
    *,
    rules: Mapping[str, Any] | None = None,
    existing: bool = False,
    unreached: str = "raise",
    draws: str = "all",
    tied: str | None = None,
    input_dropout: Any = None,
    hidden_dropout: Any = None,
    output_dropout: Any = None,
    input_noise: Any = None,
    hidden_noise: Any = None,
    output_noise: Any = None,
    recurrent_dropout: Any = None,
    weight_dropout: Any = None,
    weight_noise: Any = None,
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

    Only the noise is on: the model runs in evaluation, without gradients, and its modes are
    restored afterwards. Sample k is step k of the seed, for any batch size, alone or among others.
    On small tensors one forward computes several samples, side by side in one batch, if checks show
    that the results are those of separate forwards.

    Parameters
    ----------
    model : torch.nn.Module
        Any model.
    x : tensor, array, tuple, dict, or DataLoader
        The model's input: a tuple is passed by position, a dict by name. If a loader yields lists
        or tuples, their first entry is the input.
    samples : int or sequence of int
        How many samples, or which steps of the seed, each in [0, 2³²).
    rules : mapping of pattern to noise, optional
        As in `inject`: a rule is a pattern and a noise.
    existing : bool
        Whether the model's own dropouts are used, at their own rates.
    draws : {"all", "dropout"}
        Which random numbers that the model's code draws are made from the seed, with `existing`:
        all of them, or those of dropouts alone.
    unreached : {"raise", "keep"}
        Whether to raise for the model's own dropouts that cannot be used, or leave them as they
        are.
    input_dropout, hidden_dropout, output_dropout, input_noise, hidden_noise, output_noise
        As in `inject`; so are `recurrent_dropout`, `weight_dropout` and `weight_noise`.
    tied : {None, "each", "all"}
        As in `inject`.
    batch_size : int, optional
        How many rows to run at a time, along the first axis; by default all, or as the loader
        yields them.
    shared_batch : bool
        Whether all rows have the same noise. Each sample is then one function, smooth in x, and
        comparable across rows.
    seed : int, optional
        In [0, 2⁶⁴). None draws one from torch's CPU generator.
    sample_axis : int, None, or mapping of rule to int or None
        As in `inject`.
    quantiles : sequence of float
        The levels of the quantiles to compute, each in [0, 1]. Quantiles are exact: rows are
        computed in parts, so that memory does not grow with the number of samples.
    outputs : {"values", "logits", "probabilities"}, optional
        The meaning of the model's output. By default values if the axis of the classes has one
        entry, else probabilities if they sum to 1, else logits. Log-probabilities are logits.
    output : str or int, optional
        Which of the model's outputs to use, by name or number; by default `logits`, or the first.
    class_axis : int
        The axis of the classes.
    keep_samples : bool
        Whether `Prediction.samples` holds every sample, however much memory that takes.
    progress : bool, optional
        Whether to show a progress bar, which needs rich; by default if there is a terminal.

    Returns
    -------
    Prediction
        With `mean`, `std`, `quantile()`, and for classifiers `probabilities`, `entropy`,
        `mutual_information` and `calibration()`.

    Raises
    ------
    InvalidValue
        If no noise is given, or none acts; if a dropout of the model's own cannot be replaced; if
        there are several batches, and it is unclear which of their rows a site sees.
    InvalidType
        If `x` is a list or tuple of numbers.

    Warns
    -----
    RuntimeWarning
        If noise acts and all samples are the same, since it does not reach the output; if a loader
        shuffles; if there are several batches, and the output for a row depends on the other rows.

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
    rules = join_rules(rules, locals())
    if not rules and not existing:
        raise InvalidValue(
            "predict: no noise is given. Write rules={'hid*:out': 0.5}, hidden_dropout=0.5, or "
            "existing=True for the model's own dropouts."
        )
    with prefix_errors("predict"):
        steps = list_steps(samples)
        levels = tuple(check_level(level) for level in quantiles)
        request = _Request(steps, levels, outputs, output, class_axis, keep_samples, batch_size)
        shared = checks.check_flag("shared_batch", shared_batch)
    with prefix_errors("inject"):
        face = face_of_model(model)
    # One thread at a time puts noise into a model.
    with face.exclusive(model):
        noise = Injection(
            model,
            rules,
            seed,
            sample_axis=sample_axis,
            existing=existing,
            choices=Choices(unreached, draws, tied),
            always=True,
        )
        noise.steps.shared = shared
        bar = show_progress(progress, noise.host.count_samples(x), len(steps))
        with noise, noise.host.evaluate(), bar as advance:
            return _predict(noise, x, request, advance)


def list_steps(samples: Any) -> Sequence[int]:
    """Return the steps of a number of samples, or the listed steps; raise for anything else."""
    if isinstance(samples, Sequence) and not isinstance(samples, str) and len(samples):
        return [checks.check_whole("samples", step, STEP_BITS) for step in samples]
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 1:
        raise InvalidValue(
            f"`samples` must be a whole number > 0, or a list of steps; {got(samples)}."
        )
    return range(samples)


@dataclass(frozen=True, slots=True)
class _Request:
    """The arguments of a call of `predict` that do not concern the noise."""

    steps: Sequence[int]
    levels: tuple[float, ...]
    outputs: str | None
    output: str | int | None
    axis: int
    keep: bool
    batch_size: int | None

    def __post_init__(self) -> None:
        if self.outputs is not None:
            checks.make_choice_check("values", "logits", "probabilities")("outputs", self.outputs)
        if self.batch_size is not None:
            checks.check_positive("batch_size", self.batch_size)
        checks.check_flag("keep_samples", self.keep)


def _predict(
    noise: Injection, x: Any, request: _Request, advance: Callable[[int], None]
) -> Prediction:
    """Return the prediction for all batches, in parts whose samples fit into memory."""
    host, forwards, steps = noise.host, Forwards(noise, request.output), request.steps
    if (sampler := host.find_shuffler(x)) is not None:
        warn_caller(
            f"predict: the loader shuffles, by its {sampler}, so row i of the prediction is the "
            "i-th that it yields, not sample i of its data set. Pass a loader with shuffle=False."
        )
    start, parts, outputs = 0, list[Prediction](), request.outputs
    for batch, count in host.split_batches(x, request.batch_size):
        if not count:
            continue
        # Functions make noise only in code that is neither torch's nor noisegate's.
        if not start and noise.plan.looks and host.has_code_of_its_own:
            _look(noise, batch, count)
        rows = range(start, start + count)
        first = forwards.run(batch, rows, steps[0])
        if not start:
            _check_noise_acts(noise)
        # How many rows fit in memory with all their samples, which quantiles need at once.
        fitting = HELD * count // max(1, first.size * len(steps))
        size = max(1, fitting) if request.levels else count
        for i in range(0, count, size):
            some = rows[i : i + size]
            whole = len(some) == count
            part = batch if whole else host.take_part(batch, slice(i, i + size), count)
            summary = Summary(outputs, request.axis, request.levels, request.keep)
            for samples in forwards.run_steps(part, some, steps, first if whole else None):
                summary.add(samples)
                advance(len(samples) * len(some))
            parts.append(summary.finish(steps, noise.seed))
            outputs = summary.outputs
        start += count
    if not parts:
        raise InvalidValue("predict: `x` has no samples.")
    prediction = join_predictions(parts, host.get_vector(x))
    if len(set(steps)) > 1:
        _check_spread(noise, prediction, first.dtype)
    return prediction


def _look(noise: Injection, batch: Any, count: int) -> None:
    """Find the noise that functions make by a run on two samples, or on the whole batch.

    Of a single sample, a number that a model draws for each of its samples would look like a coin.
    """
    with suppress(Exception):
        noise.look(noise.host.take_part(batch, slice(2), count))
        return
    noise.look(batch)  # a model may take a batch of another size alone; or this raises the same


def _check_noise_acts(noise: Injection) -> None:
    """Raise if a dropout of the model's own was not reached, or if nothing acted at all."""
    # A model that skips layers at random may have skipped these.
    known = () if noise.may_skip else noise.noises
    missing = [n.placement.site for n in known if n.trained and not n.reached]
    if missing and not noise.plan.keep:
        sites = list_names(missing, "'")
        raise InvalidValue(
            f"predict: {sites} is called in training only, so existing=True cannot reach it here. "
            "Pass rules=, or unreached='keep' to go without it."
        )
    if noise.draws.acted or any(draw.seeded for draw in noise.plan.keyed.values()):
        return
    if not noise.noises:
        raise InvalidValue(
            "predict: no noise acted, since all that the model has is left to it "
            "(unreached='keep'). Put noise in with rules=."
        )
    if not any(n.last for n in noise.noises):
        reached = any(n.reached for n in noise.noises)
        why = "every rate is 0" if reached else "none of its sites was called"
        raise InvalidValue(f"predict: no noise acted, since {why}; all samples would be the same.")


def _check_spread(noise: Injection, prediction: Prediction, dtype: np.dtype[Any]) -> None:
    """Warn if all samples are equal, up to rounding of sums, though noise has acted."""
    tiny = 16 * np.finfo(dtype).eps * np.abs(prediction.mean).max(initial=0.0)
    if not prediction.std.size or not (prediction.std <= tiny).all():
        return
    acted = [n.placement for n in noise.noises if n.last]
    # Noise that removes everything is the same in every sample.
    sites = list(dict.fromkeys(p.site for p in acted if not p.kind.removes or p.kind.rate != 1))
    if not sites:
        return
    named = list_names(sites[:3], "'")
    more = f" and at {len(sites) - 3} other sites" if len(sites) > 3 else ""
    warn_caller(
        f"predict: all {len(prediction.steps)} samples are the same, though noise acted at {named}"
        f"{more}: it does not reach the output that is taken, or is too rare to change it. Name "
        "another output by output=, or put more noise before it with rules=."
    )
