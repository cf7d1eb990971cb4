"""Every sentence that an error of noisegate says, in one place; each is tested word for word.

Who, the invariant, what was received, the way out.
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


def _got(value: object) -> str:
    return f"got {value!r}"


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _near(word: str, words: Sequence[str]) -> str:
    near = get_close_matches(word, words, n=1, cutoff=0.5)
    return f" Did you mean `{near[0]}`?" if near else ""


def _guess(value: float) -> str:
    """Return what a rate outside [0, 1] may have been meant to be."""
    meant = -value if value < 0 else value / 10 if value < 10 else value / 100
    return f" Did you mean {meant:g}?" if 0 < meant <= 1 else ""


# Numbers ------------------------------------------------------------------------------------


def not_a_number(who: str, name: str, value: object) -> str:
    remedy = ""
    if isinstance(value, str):
        remedy = f" Write {name}={value} without quotes." if _is_number(value) else ""
    elif value is None:
        remedy = f" To switch the noise off, write {name}=0."
    return f"{who}: `{name}` must be a number; {_got(value)}.{remedy}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def out_of_bounds(who: str, name: str, bounds: str, value: float) -> str:
    guess = _guess(value) if bounds.startswith("[0, 1") and value != 1 else ""
    if value == 1:
        guess = f" {name}=1 would need infinite noise; take a number below 1."
    return f"{who}: `{name}` must be in {bounds}; {_got(value)}.{guess}"


def negative(who: str, name: str, value: float) -> str:
    remedy = f" Did you mean {-value:g}?" if value < 0 and value != float("-inf") else ""
    return f"{who}: `{name}` must be a finite number >= 0; {_got(value)}.{remedy}"


def not_whole(who: str, name: str, value: object) -> str:
    remedy = ""
    if isinstance(value, float) and value == value // 1:
        remedy = f" Write {int(value)}."
    return f"{who}: `{name}` must be a whole number; {_got(value)}.{remedy}"


def out_of_range(who: str, name: str, bits: int, value: int) -> str:
    return f"{who}: `{name}` must be in [0, 2**{bits}); {_got(value)}."


def not_a_flag(who: str, name: str, value: object) -> str:
    return f"{who}: `{name}` must be True or False; {_got(value)}."


def live_rate_shape(who: str, name: str, rate_shape: object, shape: object) -> str:
    return (
        f"{who}: `{name}` of shape {rate_shape} does not broadcast to the input's shape {shape}. "
        "Give a 0-d array or one with extents of 1 where the rate is shared."
    )


def rate_needs_grad(who: str, name: str) -> str:
    return (
        f"{who}: `{name}` requires grad, and noisegate computes no gradient of a rate. "
        f"Pass {name}.detach()."
    )


# Keywords and names -------------------------------------------------------------------------


def unknown_keyword(who: str, word: str, known: Sequence[str]) -> str:
    return f"{who}: unknown keyword `{word}`; known are {_names(known)}.{_near(word, known)}"


def no_live_rate(who: str, word: str, rate: str) -> str:
    return (
        f"{who}: `{word}` cannot be given at the call; only the rate `{rate}` can. "
        f"Make another {who} for another `{word}`."
    )


def shared_axes_of_preset(who: str) -> str:
    return f"{who}: `shared_axes` is what {who} sets itself. Use Dropout(p, shared_axes=...)."


def unknown_data_format(who: str, value: object) -> str:
    return (
        f"{who}: `data_format` must be 'channels_first' or 'channels_last'; {_got(value)}. "
        "(samples, channels, ...) is channels_first."
    )


def not_a_site(value: object) -> str:
    return f"Stream.site: `name` must be text; {_got(value)}. Write for example 'hid1:out'."


def unspeakable_site(value: str) -> str:
    return f"Stream.site: `name` must be text that UTF-8 can hold; {_got(value)}."


def not_a_key(who: str, value: object) -> str:
    return (
        f"{who}: `key` must be a Key; {_got(value)}. "
        "Make one with noisegate.Stream(seed).site(name).at(step)."
    )


def not_a_kind(who: str, value: object) -> str:
    return (
        f"{who}: `kind` must be a kind of noise; {_got(value)}. "
        "Write for example noisegate.Dropout(0.5)."
    )


def unknown_kind(value: object, known: Sequence[str]) -> str:
    near = _near(value, known) if isinstance(value, str) else ""
    return f"from_config: unknown kind {value!r}; known are {_names(known)}.{near}"


def not_a_config(value: object) -> str:
    return f"from_config: a config is a dict with an entry 'kind'; {_got(value)}."


# Shapes, axes, rows -------------------------------------------------------------------------


def bad_axes(who: str, value: object) -> str:
    return (
        f"{who}: `shared_axes` must be whole numbers or a slice; {_got(value)}. "
        "Write for example (2, 3) or slice(2, None)."
    )


def no_such_axis(who: str, name: str, axis: int, shape: Sequence[int]) -> str:
    rank = len(shape)
    have = f"axes {-rank} to {rank - 1}" if rank else "no axes"
    return f"{who}: `{name}` names axis {axis}, but the input of shape {tuple(shape)} has {have}."


def bad_sample_axis(who: str, value: object) -> str:
    return f"{who}: `sample_axis` must be a whole number or None; {_got(value)}."


def bad_shape(who: str, value: object) -> str:
    return f"{who}: `shape` must be a tuple of whole numbers >= 0; {_got(value)}."


def rows_without_samples(who: str, shape: Sequence[int]) -> str:
    return (
        f"{who}: `rows` was given, but the input of shape {tuple(shape)} has no sample axis. "
        "Name one with sample_axis=0, or leave out `rows`."
    )


def rows_count(who: str, count: int, extent: int) -> str:
    return (
        f"{who}: `rows` must name each of the {extent} samples of the input once; got {count} rows."
    )


def bad_rows(who: str, value: object) -> str:
    return (
        f"{who}: `rows` must be a slice or a sequence of whole numbers in [0, 2**64); "
        f"{_got(value)}."
    )


def open_slice(who: str, value: slice) -> str:
    return (
        f"{who}: `rows` as a slice must have a start >= 0 and a step >= 1 at a call; "
        f"{_got(value)}. Write for example slice(32, 64)."
    )


def too_many_offsets(who: str, count: int) -> str:
    return (
        f"{who}: a sample must have at most 2**35 elements; got {count}. "
        "Split the input over the sample axis, or name another sample_axis."
    )


# Arrays -------------------------------------------------------------------------------------


def unsupported_array(who: str, value: object, supported: Sequence[str]) -> str:
    return (
        f"{who}: the input must be an array of {' or '.join(supported)}; "
        f"got {type(value).__module__}.{type(value).__qualname__}."
    )


def integer_input(who: str, dtype: object, remedy: str) -> str:
    return f"{who}: the input must hold floating-point numbers; got {dtype}. {remedy}"


def unsupported_dtype(who: str, dtype: object) -> str:
    return (
        f"{who}: the input's dtype must be float16, bfloat16, float32, float64, complex64 or "
        f"complex128; got {dtype}."
    )


def complex_shift(who: str, dtype: object) -> str:
    return (
        f"{who}: additive noise on complex numbers is not defined; got {dtype}. "
        "Noise the real and the imaginary part on their own."
    )


def sparse_input(who: str, layout: object) -> str:
    return f"{who}: the input must be dense; got {layout}. Convert it with x.to_dense()."


def nested_input(who: str) -> str:
    return (
        f"{who}: the input must be dense; got a nested tensor. "
        "Convert it with x.to_padded_tensor(0.0)."
    )


def mask_of_nothing(kind: str) -> str:
    return f"mask: {kind} removes nothing, so it has no mask. Use noisegate.noise for its field."


def noise_dtype(dtype: object) -> str:
    return f"noise: `dtype` must be float32 or float64, the precision of the noise; got {dtype}."


# Layers, injection, extras ------------------------------------------------------------------


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
        f"{who}: a seeded noise was called inside a backward pass (activation checkpointing), "
        "where its step is not known, and another mask would make the gradient wrong. Leave it "
        "out of the checkpointed part, or call a kind there with a key of your own."
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
