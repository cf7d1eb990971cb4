"""Sentences about keywords, kinds, sites and keys."""

from collections.abc import Sequence

from ..old_words import OldWords, pointer
from ._words import _got, _names, _near


def unknown_keyword(who: str, word: str, known: Sequence[str], old: OldWords) -> str:
    said = pointer(word, known, old)
    meant = _near(word, known) if said is None else f" {said}"
    return f"{who}: unknown keyword `{word}`; known are {_names(known)}.{meant}"


def too_many(who: str, known: Sequence[str], count: int) -> str:
    words = "argument goes" if len(known) == 1 else "arguments go"
    return (
        f"{who}: at most {len(known)} {words} by place ({_names(known)}); got {count}. "
        "Give the others by name."
    )


def dict_of_arguments(who: str, value: object) -> str:
    return (
        f"{who}: arguments are given by name, not in a dict; {_got(value)}. Write "
        f"{who}(x, p=0.5, training=True, rng=seed), where p is the probability to remove: 1 - p "
        "of a dict of CS231n's."
    )


def given_twice(who: str, name: str) -> str:
    return f"{who}: `{name}` is given by place and by name. Give it once."


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


def key_needed(who: str) -> str:
    return (
        f"{who}: `key` is missing; it says which noise to draw. Make one with "
        "noisegate.Stream(seed).site(name).at(step), or use a layer of noisegate.torch, which "
        "needs none."
    )


def not_a_kind(who: str, value: object) -> str:
    return (
        f"{who}: `kind` must be a kind of noise; {_got(value)}. "
        "Write for example noisegate.Dropout(0.5)."
    )


def unfinished_kind(who: str) -> str:
    return (
        f"{who}: a kind must be a dataclass with a class attribute RATE that names one of its "
        "numbers. Put @dataclass(frozen=True) above the class, and RATE = 'p' in it."
    )


def not_a_field(who: str, method: str, value: object) -> str:
    return (
        f"{who}: `{method}` must return a noisegate.Field; got {type(value).__qualname__}. "
        "Write for example Field(keep=draws.keep(rate))."
    )


def taken_name(name: str) -> str:
    return (
        f"{name}: a kind of noisegate has this name, and the name is part of where noise is "
        "drawn. Give your class another name."
    )


def unknown_kind(value: object, known: Sequence[str]) -> str:
    near = _near(value, known) if isinstance(value, str) else ""
    return f"from_config: unknown kind {value!r}; known are {_names(known)}.{near}"


def not_a_config(value: object) -> str:
    return f"from_config: a config is a dict with an entry 'kind'; {_got(value)}."


def format_needed(who: str) -> str:
    return (
        f"{who}: `data_format` is needed: 'channels_last' for Keras' (samples, timesteps, "
        "channels), 'channels_first' for torch's (N, C, L)."
    )


def two_formats(who: str) -> str:
    return f"{who}: `dim_ordering` is Keras 1's word for `data_format`; give one of them."


def not_an_expression(text: str) -> str:
    return (
        f"{_got(text)}, which is no noise. Write for example dropout(0.5) or gaussian_noise(0.1)."
    )


def unknown_call(name: str, known: Sequence[str]) -> str:
    near = _near(name, known) or " Write for example dropout(0.5) or gaussian_noise(0.1)."
    return f"there is no noise called `{name}`.{near}"


def bad_call(name: str, error: object) -> str:
    said = str(error).rpartition(".")[2].partition("() ")[2] or str(error)
    return f"{name}: {said}."
