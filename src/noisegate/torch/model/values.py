"""Inputs and outputs of modules: tensors in nested tuples, lists and mappings."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from noisegate.core.survey import TAG

from ..tracing import is_symbolic


def find_tensors(values: Any, kinds: tuple[type, ...] = (Tensor,)) -> list[Any]:
    """Return every tensor in nested tuples, lists and mappings, in their order."""
    if isinstance(values, kinds):
        return [values]
    if isinstance(values, Mapping):
        values = list(values.values())
    if isinstance(values, list | tuple):
        return [tensor for value in values for tensor in find_tensors(value, kinds)]
    return []


def find_shape(values: Any, kinds: tuple[type, ...] = (Tensor,)) -> tuple[int, ...] | None:
    """Return the shape of the first tensor that has axes, or None.

    Of samples of several lengths it has their number alone.
    """
    tensors = find_tensors(values, (*kinds, PackedSequence))
    found: Any = next((x for x in tensors if isinstance(x, PackedSequence) or x.ndim), None)
    if isinstance(found, PackedSequence):
        return (int(found.batch_sizes[0]),)
    if getattr(found, "is_nested", False):
        return (found.size(0),)
    return None if found is None else tuple(found.shape)


def count_batch(values: Any, kinds: tuple[type, ...] = (Tensor,)) -> int | None:
    """Return the length of the first axis of the first tensor that has axes, or None."""
    shape = find_shape(values, kinds)
    return None if shape is None else int(shape[0])


def name_parts(value: Any) -> dict[str, Any]:
    """Return the parts of a module's inputs or outputs by name or number."""
    if isinstance(value, Mapping):
        return {str(name): inner for name, inner in value.items()}
    if isinstance(value, list | tuple):
        named = getattr(value, "_fields", ())
        numbered = {str(i): inner for i, inner in enumerate(value)}
        return numbered | {name: getattr(value, name) for name in named}
    return {"0": value}


def is_floating(value: Any) -> bool:
    """Return whether a value is a floating-point or complex tensor, which can have noise.

    What stands for a tensor in a symbolic trace is one, so that noise on it is refused.
    """
    if not isinstance(value, Tensor):
        return is_symbolic(value)
    return value.is_floating_point() or value.is_complex()


def holds_only_tokens(values: Any) -> bool:
    """Return whether there are tensors, and all are of integers."""
    found = find_tensors(values)
    return bool(found) and not any(is_floating(x) for x in found)


def replace_part(value: Any, part: str, inner: Any) -> Any:
    """Return a copy of a module's inputs or outputs with another value for one part."""
    if isinstance(value, Mapping):
        # A copy keeps the class, such as the output classes of transformers.
        # `copy.copy` is nothing that compilers trace.
        changed: Any = dict(value) if type(value) is dict else copy.copy(value)
        name = next(key for key in value if str(key) == part)
        changed[name] = inner
        return changed
    if not isinstance(value, list | tuple):
        return inner
    fields = list(getattr(value, "_fields", ()))
    place = fields.index(part) if part in fields else int(part)
    items = [*value[:place], inner, *value[place + 1 :]]
    # A named tuple takes its items one by one.
    return type(value)(*items) if fields else type(value)(items)


def describe_types(value: Any) -> str:
    """Return words for the types in a module's inputs or outputs."""
    if isinstance(value, Tensor):
        return f"a tensor of {value.dtype}"
    if isinstance(value, Mapping | list | tuple):
        inner = value.values() if isinstance(value, Mapping) else value
        return ", ".join(describe_types(part) for part in inner) or "nothing"
    return type(value).__name__


def remove_tags(value: Any) -> None:
    """Remove what graphs have noted on the tensors that a model returns, if no forward needs it."""
    if isinstance(value, Tensor):
        tag = getattr(value, TAG, None)
        if tag is None or any(mark.live for mark, _ in tag):
            return
        if torch.compiler.is_compiling():
            setattr(value, TAG, None)  # it cannot delete an attribute
        else:
            delattr(value, TAG)
    elif isinstance(value, Mapping):
        for name in value:
            remove_tags(value[name])
    elif isinstance(value, list | tuple):
        for inner in value:
            remove_tags(inner)
