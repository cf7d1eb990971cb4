"""Sentences about regularizers and estimators."""

from collections.abc import Sequence

from ._words import _names

# Estimators --------------------------------------------------------------------------------------


def rules_needed(who: str, word: str, value: object) -> str:
    return (
        f"{who}: `{word}` must be a dict of pattern to number; got {value!r}. For one number at "
        f"all hidden outputs write hidden_{word}={value!r}."
    )


def no_class_axis(shape: object) -> str:
    return f"a classifier's network must give (N, classes); got {shape}."


def output_size(what: str, count: int, classes: int) -> str:
    return (
        f"the network gives {count} outputs {what}for {classes} classes. A classifier ends in as "
        "many as there are classes, or for two classes in one."
    )


def target_shape(outputs: object, targets: object) -> str:
    return f"the network gives outputs of shape {outputs} for targets of shape {targets}."


def other_size(where: str, given: object, data: str, found: object) -> str:
    return f"the network's {where} has size {given}, and {data} has {found}."


def bad_sizes(value: object) -> str:
    return (
        "`network` must be a module, or at least two sizes: whole numbers of at least 1, the first "
        f"and the last None to be taken from the data; got {value!r}."
    )


def one_class(value: object) -> str:
    return f"Classifier: y must have at least two classes; got one class, {value!r}."


def bad_option(who: str, name: str, value: object, words: str) -> str:
    return f"{who}: `{name}` must be {words}; got {value!r}."


def new_classes(found: object, known: object) -> str:
    return f"Classifier: y has {found}, which are none of the classes of before, {known}."


def class_targets(outputs: object, targets: object) -> str:
    return (
        f"the network gives outputs of shape {outputs}, classes along the last axis, for a y of "
        f"shape {targets}. A y of one column for each class is y.argmax(axis=-1)."
    )


def one_label(shape: object) -> str:
    return (
        f"Classifier: y must be of shape (rows,), one label for each row; got {shape}. A y of one "
        "column for each class is y.argmax(axis=1)."
    )


def loss_of_rows() -> str:
    return (
        "`loss` must return one number for each row where rows have weights; got their mean. "
        "Write it with reduction='none'."
    )


def one_row() -> str:
    return (
        "batch normalization needs at least two rows in a batch of training; got one. "
        "Raise `batch_size`, or give more rows."
    )


def no_shape_setter() -> str:
    return (
        "`callbacks` must not hold InputShapeSetter: a network takes its size from X by itself. "
        "Leave it out; sizes may be None, as in (None, 100, None)."
    )


def no_device(who: str, device: object, known: Sequence[str]) -> str:
    return (
        f"{who}: `device` must be 'auto' or a device of this machine, {_names(known)}; "
        f"got {device!r}."
    )


def no_such_output(who: str, layer: object, known: Sequence[str]) -> str:
    return (
        f"{who}: `layer` must be a layer's name or number, or an output; got {layer!r}. "
        f"Known are {_names(known)}."
    )


def other_code(given: object, expected: object) -> str:
    return (
        f"Autoencoder.decode: `code` must be of shape {expected}, what this layer gives; "
        f"got {given}."
    )


def code_passed_by(place: str) -> str:
    return (
        f"Autoencoder.decode: the output depends on X by other ways than {place!r}, so that this "
        "code alone decides nothing. Give a layer that all ways lead through."
    )


def need_noise(who: str) -> str:
    return (
        f"{who}: `samples` and `return_std` are of noise; give some, as hidden_dropout=0.5, or a "
        "network with noise layers and existing=True."
    )


def need_samples(who: str) -> str:
    return f"{who}: `return_std` is over samples; say how many, as samples=20."


def no_code(value: object, known: Sequence[str]) -> str:
    what = "is needed for this network" if value is None else f"must be an output; got {value!r}"
    return f"Autoencoder: `code` {what}. Give one of {_names(known)}."


def one_input(entries: Sequence[str]) -> str:
    return f"an estimator's network must take one input; this one takes {_names(entries)}."


def bad_checkpoint(path: object, reason: str) -> str:
    return f"resume: {path} does not belong to this training: {reason}."
