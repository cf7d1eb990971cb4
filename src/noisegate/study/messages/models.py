"""What is said of models: the built-in ones, and those that a user's function makes."""

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from .recipes import _short

__all__ = [
    "built_model",
    "frozen_model",
    "function_raises",
    "lazy_model",
    "model_refuses",
    "module_needs",
    "module_raises",
    "no_function",
    "no_model_returned",
    "no_module",
    "not_a_function",
    "one_model_for_all",
    "other_start",
    "output_without_axis",
    "small_images",
    "unknown_model",
    "wrong_output",
]

_CALL = "It is called as function(input_shape, n_outputs), and returns a torch.nn.Module."


def unknown_model(name: object, known: Iterable[str]) -> str:
    names = list(known)
    return (
        f"study: a model must be {', '.join(names)}, or module:function for your own; "
        f"got {_short(name)}.{_meant(str(name), names)}"
    )


def small_images(shape: Sequence[int]) -> str:
    return (
        "study: cnn needs images, (channels, height, width) or (height, width), with at least 4 "
        f"rows and columns; got inputs of shape {tuple(shape)}. Take mlp."
    )


def no_module(module: str, known: Iterable[str]) -> str:
    near = get_close_matches(module, list(known), n=1, cutoff=0.5)
    guess = f"Did you mean {near[0]}?" if near else "Start the command where its file lies."
    return (
        "study: the module of a model must be in the current folder, or installed; "
        f"got {module!r}. {guess}"
    )


def module_needs(module: str, other: str) -> str:
    return (
        f"study: the module '{module}' imports '{other}', which is not there. Install it, "
        "or leave out the import."
    )


def module_raises(module: str, error: str) -> str:
    return f"study: the module '{module}' must be importable; it raised {error}."


def no_function(module: str, file: str | None, name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    has = f" It has {', '.join(known[:8])}{', …' if len(known) > 8 else ''}." if known else ""
    guess = f" Did you mean {near[0]}?" if near else ""
    where = "" if file is None else f" ({file})"
    return f"study: the module '{module}'{where} has no '{name}'.{has}{guess}"


def not_a_function(name: str, value: object) -> str:
    return f"study: '{name}' must be a function; got {_short(value)}. {_CALL}"


def built_model(name: str, kind: str) -> str:
    return (
        f"study: '{name}' must be a function that makes a new model for every run; got a {kind} "
        f"that is made already. {_CALL}"
    )


def function_raises(name: str, shape: Sequence[int], outputs: int, error: str) -> str:
    return f"study: '{name}', called with {tuple(shape)}, {outputs}, raised {error}."


def no_model_returned(name: str, value: object) -> str:
    return f"study: '{name}' must return a torch.nn.Module; got {_short(value)}."


def frozen_model(name: str) -> str:
    return f"study: the model of '{name}' has no parameter to train."


def lazy_model(name: str, kind: str) -> str:
    return (
        f"study: the model of '{name}' must have all its parameters before it runs; got a {kind}, "
        "which waits for its first input. Give it its size, made of input_shape."
    )


def one_model_for_all(name: str) -> str:
    return (
        f"study: '{name}' must make a new model at each call; it returned parameters twice, so "
        "that one run would go on where another had ended. Make them within the function."
    )


def other_start(name: str, tensor: str) -> str:
    return (
        f"study: '{name}' must make the same model under the same torch.manual_seed; '{tensor}' "
        "differed between two calls. Draw from torch's generator only, not from NumPy's or "
        "Python's."
    )


def model_refuses(name: str, shape: Sequence[int], training: bool, error: str) -> str:
    return (
        f"study: the model of '{name}' must take inputs of shape {tuple(shape)}"
        f"{_mode(training)}; it raised {error}."
    )


def wrong_output(name: str, expected: Sequence[int], training: bool, got: str) -> str:
    return (
        f"study: the model of '{name}' must return a floating-point tensor of shape "
        f"{tuple(expected)} for two rows{_mode(training)}; got {got}."
    )


def output_without_axis(name: str) -> str:
    return (
        f"study: the model of '{name}' must return a tensor of shape (2, 1) for two rows; got "
        "shape (2,). End it with nn.Linear(…, 1), or return y.unsqueeze(1)."
    )


def _mode(training: bool) -> str:
    return " in training" if training else ""


def _meant(name: str, known: Sequence[str]) -> str:
    """Guess what was meant: a built-in model, or the module of a file."""
    if near := get_close_matches(name, known, n=1, cutoff=0.6):
        return f" Did you mean {near[0]}?"
    path, _, function = name.partition(":")
    module = path.replace("\\", "/").removesuffix(".py").removeprefix("./") or "net"
    made = re.match(r"[\w.]*", function)
    function = made[0] if made is not None and made[0] else "make"
    if module.startswith(("/", "..")):
        return f" Start the command in that folder, and write {module.split('/')[-1]}:{function}."
    return f" Write for example {module.replace('/', '.')}:{function}."
