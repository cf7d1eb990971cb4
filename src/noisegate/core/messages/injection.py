"""Sentences of injection and prediction: models, rules, sites, forwards."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from ._words import _got


def removed(name: str) -> str:
    return (
        f"inject: `{name}` has no effect on noise that was removed. Put it in again with "
        "inject(model, rules, seed=...)."
    )


def was_removed() -> str:
    return "the noise was removed from the model."


def other_extent(site: str, extent: int, batch: object) -> str:
    return (
        f"inject: the site '{site}' sees {extent} samples, and the model's forward has {batch}, so "
        f"their rows are not known. Give them, noise.rows = {{'{site}': ids}}, or give the rule a "
        "sample_axis, or leave the site out."
    )


def rows_left_over(step: int, given: int, taken: int) -> str:
    return (
        f"inject: `rows` must name each sample of the block at step {step} once; got {given} rows, "
        f"and its forwards have {taken} samples."
    )


def rows_used_up(step: int, given: int, taken: int) -> str:
    return (
        f"inject: `rows` must name each sample of the block at step {step} once; got {given} rows, "
        f"and its forwards have {taken} samples by now. Name all of them, or set `noise.rows` "
        "before each forward."
    )


def unbatched_rows(site: str, shape: Sequence[int]) -> str:
    return (
        f"inject: the module at '{site}' takes a tensor of shape {tuple(shape)} for one sample "
        "without a batch, so the rows of samples are not known there. Give the model all samples "
        f"at once, or leave the site out by a rule, {{'{site}': 0.0}}."
    )


def unclear_rows(site: str, extent: int, batch: object) -> str:
    return (
        f"predict: the site '{site}' sees {extent} samples, and the model's forward has {batch}; "
        "which belong to which is unclear, so that batches would not have the noise of the whole. "
        "Pass all samples as one tensor, without batch_size and with quantiles=(), or leave the "
        f"site out, with existing=True by rules={{'{site}': 0.0}}."
    )


def coupled_rows() -> str:
    return (
        "predict: the model's output for a sample depends on the others of its batch, without "
        "noise too, so its predictions depend on the batch size. For those of the whole, pass all "
        "samples as one tensor, without batch_size and with quantiles=()."
    )


def shuffled(sampler: str) -> str:
    return (
        f"predict: the loader shuffles, by its {sampler}, so row i of the prediction is the i-th "
        "that it yields, not sample i of its data set. Pass a loader with shuffle=False."
    )


def parts_of_first_axis(axis: object) -> str:
    return (
        "predict: batches are parts of the first axis of `x`, where sample_axis must then be 0; "
        f"got {axis}. Pass all samples as one tensor, without batch_size and with quantiles=()."
    )


def without_root(site: str) -> str:
    path = site.partition(":")[0]
    return (
        f"'{site}' is used without a forward of its model, which alone knows the step. It drew "
        "fresh noise, which `mask()` cannot reproduce. Put the noise into the part that is called, "
        f"`model.{path}` or one around it, or call it in a block: with noise.at(step)."
    )


def functions_alone(path: str) -> str:
    return (
        f"noisegate: `model.{path}` is called without a forward of the model, as in a "
        "`training_step`. Dropouts that functions make, and what else the model draws, are seen in "
        "a forward alone, and are left to the model here. Put the noise into the part that is "
        f"called: inject(model.{path}, ...)."
    )


def parts_alone(rules: Iterable[str], path: str) -> str:
    return (
        f"noisegate: {_quoted(rules)} acts nowhere, since its place is the model's own input or "
        f"output, and `model.{path}` is called without a forward of the model, as in a "
        f"`training_step`. Put the noise into the part that is called: inject(model.{path}, ...)."
    )


def same_on_all_ranks(world: int) -> str:
    return (
        f"all {world} ranks of the process group have the same masks, since sample i of each is "
        "row i. Give each its own samples' ids: noise.rows = ids."
    )


def passed_on(rule: str, site: str, inner: str) -> str:
    return f"'{site}' passes on the tensor of '{inner}', where '{rule}' has acted; it acts once."


def other_state(name: str, got: object, mine: object) -> str:
    return f"load_state: the state's `{name}` is another; got {got!r}, and this noise has {mine!r}."


def taken_over(site: str) -> str:
    return (
        f"inject: existing=True, and the model's own '{site}' is taken over by another handle "
        "already. Remove that one first; noisegate.handles(model) has it."
    )


def acted_nowhere(rules: Iterable[str]) -> str:
    return (
        f"noisegate: {_quoted(rules)} acted nowhere in this forward: the modules that it names "
        "were not called."
    )


def no_such_site(who: str, site: object, sites: Sequence[str]) -> str:
    near = get_close_matches(str(site), sites, n=3, cutoff=0.0)
    return f"{who}: '{site}' has no noise. The nearest that have are {_quoted(near)}."


def not_seen(who: str, site: str) -> str:
    return (
        f"{who}: the shape at '{site}' is not known before a forward with noise there. "
        "Run the model once in training."
    )


def nothing_to_predict() -> str:
    return "predict: `x` has no samples."


def no_rows(shape: Sequence[int], rows: int) -> str:
    return (
        f"predict: the output of a batch of {rows} must have as many rows, to be joined with the "
        f"others; got shape {tuple(shape)}. Leave out batch_size, and pass quantiles=()."
    )


def predict_what() -> str:
    return (
        "predict: no noise is given. Write rules={'hid*:out': 0.5}, hidden_dropout=0.5, or "
        "existing=True for the model's own dropouts."
    )


def only_in_training(sites: Iterable[str]) -> str:
    return (
        f"predict: {_quoted(sites)} is called in training only, so existing=True cannot reach it "
        "here. Pass rules=, or unreached='keep' to go without it."
    )


def all_silent(rates: bool) -> str:
    why = "every rate is 0" if rates else "none of its sites was called"
    return f"predict: no noise acted, since {why}; all samples would be the same."


def all_left() -> str:
    return (
        "predict: no noise acted, since all that the model has is left to it (unreached='keep'). "
        "Put noise in with rules=."
    )


def no_spread(samples: int, sites: Sequence[str]) -> str:
    more = f" and at {len(sites) - 3} other sites" if len(sites) > 3 else ""
    return (
        f"predict: all {samples} samples are the same, though noise acted at "
        f"{_quoted(sites[:3])}{more}: it does not reach the output that is taken, or is too rare "
        "to change it. Name another output by output=, or put more noise before it with rules=."
    )


def no_samples(value: object) -> str:
    return f"predict: `samples` must be a whole number > 0, or a list of steps; {_got(value)}."


def bad_quantile(who: str, value: object) -> str:
    return f"{who}: a quantile must be in [0, 1]; {_got(value)}."


def no_quantile(value: float, known: Sequence[float]) -> str:
    return (
        f"Prediction: the quantile {value} was not computed; computed are "
        f"{', '.join(map(str, known)) or 'none'}. Pass quantiles=[{value}] to predict."
    )


def not_a_classifier(outputs: str) -> str:
    return (
        f"Prediction: the outputs are taken as {outputs}, which have no probabilities. Pass "
        "outputs='logits' or outputs='probabilities' to predict."
    )


def bad_labels(expected: Sequence[int], classes: int, got: str) -> str:
    return (
        f"calibration: `y` must be whole numbers in [0, {classes}), of shape {tuple(expected)}; "
        f"got {got}."
    )


def nothing_to_plot(shape: Sequence[int]) -> str:
    return (
        "Prediction.plot: bands need a regression of one output on one input; the output has "
        f"shape {tuple(shape)}. Pass x= where the input was not one number a sample."
    )


def _quoted(words: Iterable[str]) -> str:
    return ", ".join(f"'{word}'" for word in words)
