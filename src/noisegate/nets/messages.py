"""Every sentence that an error of networks says; each is tested word for word."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from .shapes import Shape, shown

# Names and places --------------------------------------------------------------------------------


def _names(names: Iterable[object]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _near(word: object, words: Sequence[str]) -> str:
    near = get_close_matches(str(word), words, n=1, cutoff=0.5)
    return f" Did you mean `{near[0]}`?" if near else ""


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
    return f"{who} cannot take {shape}: {reason}."


def cannot_follow(who: str, behind: Sequence[tuple[str, str]], reason: str) -> str:
    given = " and ".join(f"{name}, which gives {shape}" for name, shape in behind)
    return f"join: {who} cannot follow {given}: {reason}."


def other_input(who: str, expected: Shape, got: Shape) -> str:
    return f"{who} takes {shown(expected)}; got an input of shape {got}."


def input_count(count: int, entries: Sequence[str]) -> str:
    return f"the network takes {len(entries)} inputs ({_names(entries)}); got {count}."


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


# Arguments ---------------------------------------------------------------------------------------


def bad_size(who: str, name: str, value: object) -> str:
    return f"{who}: `{name}` must be a whole number of at least 1; got {value!r}."


def not_of_type(who: str, name: str, value: object, words: str) -> str:
    return f"{who}: `{name}` must be {words}; got {value!r}."


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
    return f"load: the weights of {path} are not those of its config: {reason}."


# Regularizers ------------------------------------------------------------------------------------


def pattern_needed(who: str, value: object) -> str:
    return (
        f"{who}: `pattern` must be text, or several; got {value!r}. Write for example 'hid1:out'."
    )


def nothing_to_penalize(who: str, pattern: object) -> str:
    return f"{who}: {pattern!r} names no output of this forward. Write for example 'hid1:out'."


def no_time(who: str, shape: object) -> str:
    return f"{who}: outputs must be (N, time, features); got the shape {shape}."


def no_regularizer(who: str, value: object) -> str:
    return (
        f"{who}: `regularizers` must be a list of regularizers, or a dict of name to weight; "
        f"got {value!r}. Write for example {{'weight_l2': 0.01}}."
    )


def unknown_regularizer(who: str, name: object, known: Sequence[str]) -> str:
    return f"{who}: unknown regularizer `{name}`.{_near(name, known)}"


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
    return f"partial_fit: y has {found}, which are none of the classes of before, {known}."


def need_noise(who: str) -> str:
    return (
        f"{who}: `samples` and `return_std` are of noise; give some, as hidden_dropout=0.5, or a "
        "network with noise layers and existing=True."
    )


def no_code(value: object) -> str:
    return f"transform: the network has no layer `{value}` to be the code. Give encode='name:out'."


def one_input(entries: Sequence[str]) -> str:
    return f"an estimator's network must take one input; this one takes {_names(entries)}."


def bad_checkpoint(path: object, reason: str) -> str:
    return f"resume: {path} does not belong to this training: {reason}."
