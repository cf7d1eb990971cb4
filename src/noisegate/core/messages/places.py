"""Sentences about layers, models and what is not installed."""

from collections.abc import Sequence
from difflib import get_close_matches

from ._words import _got


def seed_without_site(who: str) -> str:
    return (
        f"{who}: a layer with `seed` needs `site` too, or two layers with one seed would share "
        f"a mask. Write for example {who}(seed=13, site='hid1:out')."
    )


def site_without_seed(who: str) -> str:
    return (
        f"{who}: `site` does nothing without `seed`. "
        f"Write for example {who}(seed=13, site='hid1:out')."
    )


def no_step(who: str) -> str:
    return (
        f"{who}: a layer without `seed` has no step; it draws afresh at every call. "
        f"Write for example {who}(seed=13, site='hid1:out')."
    )


def in_backward(who: str) -> str:
    return (
        f"{who}: a seeded noise was called inside a backward pass that torch.utils.checkpoint "
        "does not know, where its step is unknown, and another mask would make the gradient "
        "wrong. Use torch.utils.checkpoint, leave the noise out of that part, or call a kind "
        "there with a key of your own."
    )


def bad_rng(value: object) -> str:
    return (
        "forward: `rng` must be a whole number, a numpy.random.Generator, a Key or None; "
        f"{_got(value)}. Write for example rng=13."
    )


def wrong_backward(who: str, value: object) -> str:
    return f"{who}: `cache` must be the second result of `forward`; {_got(value)}."


def gradient_shape(who: str, got: Sequence[int], shape: Sequence[int]) -> str:
    return f"{who}: the gradient must have the output's shape {tuple(shape)}; got {tuple(got)}."


def unsupported_model(value: object) -> str:
    return (
        "inject: `model` must be a torch.nn.Module; got "
        f"{type(value).__module__}.{type(value).__qualname__}."
    )


def bad_rules(value: object) -> str:
    return (
        "inject: `rules` must be a dict of patterns and noises; "
        f"{_got(value)}. Write for example {{'hid*:out': 0.5}}."
    )


def bad_pattern(value: object) -> str:
    return (
        f"inject: a pattern must be text of the form `path:port`; {_got(value)}. "
        "Write for example 'hid1:out'."
    )


def bad_value(pattern: str, value: object) -> str:
    return (
        f"inject: the noise of '{pattern}' must be a number or a kind; {_got(value)}. "
        "Write for example 0.5 or noisegate.GaussianNoise(0.1)."
    )


def no_port(pattern: str, port: str) -> str:
    return (
        f"inject: the port of a rule must be `in` or `out`; got `{port}` in '{pattern}'. "
        "Write for example 'hid1:out'."
    )


def unmatched(pattern: str, sites: Sequence[str]) -> str:
    near = get_close_matches(pattern, sites, n=3, cutoff=0.0)
    nearest = ", ".join(f"'{site}'" for site in near)
    return f"inject: the rule '{pattern}' matches no site. The nearest sites are {nearest}."


def no_rules() -> str:
    return "inject: `rules` is empty, so no noise would act. Write for example {'hid*:out': 0.5}."


def no_tensor(site: str, value: object) -> str:
    return (
        f"inject: the site '{site}' must see a floating-point tensor, or a tuple or list that "
        f"holds one; got {value}. Name a site after the embedding or the tensor's own module."
    )


def missing_extra(what: str, package: str, extra: str) -> str:
    return f'{what} needs {package}. Install it with: pip install "noisegate[{extra}]"'


def inplace_on_leaf(who: str) -> str:
    return (
        f"{who}: `inplace=True` would overwrite a leaf tensor that requires grad, whose gradient "
        "needs it. Leave out `inplace`, or work on x.clone()."
    )


def no_weight(who: str, value: object) -> str:
    return (
        f"{who}: `module` must be the layer that the noise feeds, with a weight of shape "
        f"(outputs, inputs, ...); got {type(value).__name__}."
    )


def learned_rate(who: str) -> str:
    return (
        f"{who}: `p` is learned by this layer, so it follows no schedule. Give a number to begin "
        f"with, or put noisegate.{who}(p=schedule) in with noisegate.inject."
    )


def learned_zero(who: str) -> str:
    return f"{who}: `p` must be in (0, 1), since it is learned by its logit; got 0.0."


def empty_list(pattern: str) -> str:
    return f"inject: the list of '{pattern}' is empty, so no noise would act. Leave out the rule."


def axis_of_no_rule(rule: object, rules: Sequence[str]) -> str:
    return (
        f"inject: `sample_axis` names {rule!r}, which is none of the rules "
        f"{', '.join(map(repr, rules))}."
    )


def other_extent(site: str, extent: int, batch: object) -> str:
    return (
        f"inject: the site '{site}' sees {extent} samples, and the model's forward has {batch}, so "
        "their rows are not known. Give the rule a sample_axis, or leave the site out."
    )


def without_root(site: str) -> str:
    return (
        f"noisegate: '{site}' is used without its model, which alone knows the step. It has fresh "
        "noise, that no mask can be rebuilt of by its step."
    )


def passed_on(rule: str, site: str, inner: str) -> str:
    return f"'{site}' passes on the tensor of '{inner}', where '{rule}' has acted; it acts once."


def other_state(name: str, got: object, mine: object) -> str:
    return f"load_state: the state's `{name}` is another; got {got!r}, and this noise has {mine!r}."
