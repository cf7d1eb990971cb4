"""Sentences about names, graphs and shapes."""

from collections.abc import Sequence

from ._words import _names, _near


def name_no_text(value: object) -> str:
    return f"a layer's name must be text; got {value!r}. Write for example name='fc1'."


def name_of_two_fields(name: str) -> str:
    return f"a format of names must have one field for the number; got '{name}'. Write 'fc{{}}'."


def bad_name_format(name: str) -> str:
    return f"a format of names must have one field like {{}} or {{:03d}}; got '{name}'."


def bad_name(name: str) -> str:
    return (
        f"a layer's name must be text without '.', ':' and the signs of patterns (* ? [ ]), which "
        f"sites give a meaning to; got '{name}'. Write for example 'fc1'."
    )


def name_taken(name: str) -> str:
    return (
        f"`{name}`: another layer of the network has this name. Give one of them another, or a "
        f"format that is counted, as '{name}-{{}}'."
    )


def name_of_attribute(name: str) -> str:
    return (
        f"`{name}`: a network has an attribute of this name. Give the layer another, as '{name}1'."
    )


def named_already(name: str) -> str:
    return f"`{name}`: a layer keeps its name in its network. Give names before joining."


def no_layer(value: object) -> str:
    return (
        f"join: a layer, a network, a kind of noise or a module is joined; got {value!r}. "
        "Write for example Relu(5)."
    )


def no_such_layer(name: object, known: Sequence[str]) -> str:
    return f"the network has no layer `{name}`; it has {_names(known)}.{_near(name, known)}"


def not_in_network(layer: object, known: Sequence[str]) -> str:
    return f"the network does not have this layer: {layer!r}. It has {_names(known)}."


# Graphs and shapes -------------------------------------------------------------------------------


def two_places(who: str) -> str:
    return (
        f"join: {who} would have two different inputs. A layer is in a network once; copy it with "
        "copy.deepcopy, or take both inputs by Concatenate or Add."
    )


def cycle(who: str) -> str:
    return (
        f"join: {who} is in the network already, and would come behind itself: a cycle. Copy it "
        "with copy.deepcopy, or use repeat."
    )


def several_inputs(who: str, count: int) -> str:
    return (
        f"join: {who} takes one input; got {count}. Put Concatenate() or Add() between, which take "
        "several."
    )


def not_repeated(reason: str) -> str:
    return f"repeat: the copies cannot be joined, each behind the one before. {reason}"


def bad_count(value: object) -> str:
    return f"repeat: `n` must be a whole number of at least 1; got {value!r}."


def bad_shape(who: str, value: object) -> str:
    return (
        f"{who}: a shape has whole numbers of at least 1, and None for what is not known; "
        f"got {value!r}."
    )


def two_shapes() -> str:
    return "Input: `shape` is of a sample, `batch_shape` has the batch in front; give one of them."


def cannot_take(who: str, shape: str, reason: str) -> str:
    return f"{who} cannot take {shape}: {reason.rstrip('.')}."


def cannot_follow(who: str, behind: Sequence[tuple[str, str]], reason: str) -> str:
    given = " and ".join(f"{name}, which gives {shape}" for name, shape in behind)
    return f"join: {who} cannot follow {given}: {reason.rstrip('.')}."


def other_input(who: str, expected: str, got: object) -> str:
    return f"{who} takes {expected}; got an input of shape {got}."


def input_count(count: int, entries: Sequence[str]) -> str:
    plural = "s" * (len(entries) != 1)
    return f"the network takes {len(entries)} input{plural} ({_names(entries)}); got {count}."


def no_entry(who: str, key: object, entries: Sequence[str]) -> str:
    return f"{who}: `inputs` has {key!r}, which takes no input; what does is {_names(entries)}."


def entry_missing(who: str, name: str, entries: Sequence[str]) -> str:
    return f"{who}: `inputs` has nothing for {name}. Give one for each of {_names(entries)}."


def no_input(who: str) -> str:
    return (
        f"get_output: {who} has no input. Give `inputs`, a tensor or a dict of layer to tensor, or "
        "Input(..., input_var=tensor)."
    )


def open_network(what: str, name: str) -> str:
    return (
        f"{what}: the network is open: the shape of what enters `{name}` is not known yet, so it "
        "has no parameters. Join it to an Input, run it, or give it to an estimator."
    )


def empty_network(what: str) -> str:
    return f"{what}: the network is empty. Add a layer: net.add(Relu(5))."


def has_parameters(who: str, name: str) -> str:
    return f"{who}: `{name}` cannot change any more. Make another layer."
