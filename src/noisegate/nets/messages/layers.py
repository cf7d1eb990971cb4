"""Sentences about arguments of layers, calls and files."""

from collections.abc import Sequence
from difflib import get_close_matches

from ._words import _names, _near, _short

TRAINED = (
    "A network is trained by an estimator, Regressor(network).fit(X, y) or "
    "Classifier(network).fit(X, y), or by noisegate.estimators.fit."
)


def compiled_as_keras(who: str) -> str:
    return f"{who}.compile: arguments are those of torch.compile, by name. {TRAINED}"


def train_with_data(who: str, got: str) -> str:
    return f"{who}.train: `mode` must be True or False; got {got}. {TRAINED}"


def incoming_first(who: str, value: object) -> str:
    return (
        f"{who}: what comes in is not an argument; got {value!r}. Join it: l_in >> {who}(...), or "
        f"join(l_in, {who}(...))."
    )


def no_weights(who: str, alone: bool) -> str:
    reason = "it is an activation alone" if alone else "the size of its input is not known yet"
    remedy = "Give its size" if alone else "Join it to an Input, or run it"
    return f"{who} has no weights: {reason}. {remedy}."


def bad_size(who: str, name: str, value: object) -> str:
    return f"{who}: `{name}` must be a whole number of at least 1; got {value!r}."


def bad_axis(who: str, name: str, value: object) -> str:
    return f"{who}: `{name}` must be a whole number; got {value!r}."


def unknown_name(who: str, name: str, value: object, known: Sequence[str]) -> str:
    return (
        f"{who}: `{name}` must be a callable, or one of {_names(known)}; got {value!r}."
        f"{_near(value, known)}"
    )


def bad_config(who: str, name: str, value: object) -> str:
    return f"{who}: `{name}` is no config that was written here; got {value!r}."


def activation_with_weights(who: str, name: str, value: object) -> str:
    return (
        f"{who}: `{name}` must have no parameters; got {value!r}. Put it behind the layer, as a "
        "layer of its own."
    )


def not_square(shape: object) -> str:
    return f"the initializer `identity` makes square weights; got the shape {shape}."


def bad_initial(who: str, got: object, expected: object) -> str:
    return f"{who}: the initial value must have the shape {expected}; got {got}."


def no_array(who: str, name: str, value: object) -> str:
    return f"{who}: `{name}` must be numbers, or an array of them; got {_short(value)}."


def no_arrays(who: str, value: object) -> str:
    return f"{who}: `weights` must be a list of arrays of numbers, [W, b]; got {_short(value)}."


def shape_needed(who: str) -> str:
    return f"{who}.variable: an initializer needs `shape`. Write for example shape=(3, 4)."


def bad_variable(who: str, name: object) -> str:
    return (
        f"{who}.variable: `name` must be an identifier that the layer does not have yet; "
        f"got {name!r}."
    )


def weight_count(who: str, got: int, expected: int) -> str:
    return f"{who}: `weights` must be {expected} arrays; got {got}."


def weight_shapes(who: str, got: object, expected: object) -> str:
    return (
        f"{who}: `weights` must have the shapes {expected}, the weight as (input_dim, output_dim); "
        f"got {got}."
    )


def live_rate(who: str, name: str, value: object) -> str:
    return (
        f"{who}: `{name}` must be a number, or a floating tensor of shape () that needs no "
        f"gradient; got {value!r}."
    )


def no_live_rate(who: str, name: str) -> str:
    return f"{who}: `{name}` must be a number on the host; got a tensor. Give float({name})."


# Calls -------------------------------------------------------------------------------------------


def unknown_mode(who: str, word: str) -> str:
    known = ("deterministic", "training")
    near = get_close_matches(word, known, n=1, cutoff=0.5)
    meant = f" (perhaps you meant {near[0]})" if near else ""
    return f"{who}: unknown keyword `{word}`{meant}; known are `training` and `deterministic`."


def contradiction(who: str, value: bool) -> str:
    words = f"training={value} and deterministic={value}"
    return f"{who}: {words} contradict each other. Give one of them."


def bad_mask(value: object) -> str:
    return f"`mask` must be a tensor of bool, (samples, time): True is a step; got {value!r}."


def mask_of_other_shape(mask: object, shape: object) -> str:
    return f"`mask` must have the first two extents of the input, {shape}; got {mask}."


def mask_not_shared(name: str) -> str:
    return (
        f"TimeDistributed: shared_mask=True needs noise of noisegate; {name} draws its own. Put "
        "noisegate's layer in its place."
    )


def too_many_steps(count: int, most: int) -> str:
    return f"TimeDistributed: noise is numbered for fewer than {most} steps of time; got {count}."


def unknown_mode_of_params(word: str, known: Sequence[str]) -> str:
    return (
        f"set_params: `{word}` is no argument of a layer, written layer__argument."
        f"{_near(word, known)}"
    )


# Files -------------------------------------------------------------------------------------------


def not_saved(who: str, name: str, value: object) -> str:
    return (
        f"save: {who} has `{name}`={value!r}, which a file cannot hold: numbers, text, lists of "
        "them, and functions and modules that have a name can be saved."
    )


def two_of_a_name(name: str) -> str:
    return f"save: two different objects are called `{name}`. Give one of them another name."


def custom_needed(name: str, where: str) -> str:
    return (
        f"load: {where} needs `{name}`, which is the user's own. Give "
        f"load(path, custom={{'{name}': ...}})."
    )


def custom_no_module(name: str, value: object) -> str:
    return f"load: custom['{name}'] must be a module, or be called to give one; got {value!r}."


def custom_twice(name: str) -> str:
    return (
        f"load: custom['{name}'] is one module for two layers. Give a class or a function, which "
        "is called for each."
    )


def no_network_file(path: object, reason: str) -> str:
    return f"load: {path} is no network of noisegate: {reason}."


def unknown_class(name: object, known: Sequence[str]) -> str:
    return f"from_config: unknown layer `{name}`.{_near(name, known)}"


def bad_weights(path: object, reason: str) -> str:
    return f"load: the weights of {path} are not those of its config: {reason.rstrip('.')}."
