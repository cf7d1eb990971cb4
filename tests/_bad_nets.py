"""Bad layers, names, graphs, calls and files of networks, and the sentence for each.

Files are written into the working directory.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from _bad_numbers import Case, Type, Value
from noisegate import MissingAttribute, nets
from noisegate.nets import (
    Add,
    Dense,
    Dropout,
    Input,
    Linear,
    Network,
    Relu,
    from_config,
    join,
    load,
)

X, FILE = torch.ones(2, 3), Path("net.saved")
FORMAT = "a format of names must have one field like {} or {:03d}; got "
SIGNS = (
    "a layer's name must be text without '.', ':' and the signs of patterns (* ? [ ]), which sites "
    "give a meaning to; got '%s'. Write for example 'fc1'."
)
OPEN = (
    "the network is open: the shape of what enters `a` is not known yet, so it has no parameters. "
    "Join it to an Input, run it, or give it to an estimator."
)
EMPTY = "the network is empty. Add a layer: net.add(Relu(5))."
SHAPE = "a shape has whole numbers of at least 1, and None for what is not known; got "
HAS = "the network has no layer `%s`; it has `in`, `fc1`, `drop`, `last`."
MEMBER = "join: a layer, a network, a kind of noise or a module is joined; got "
ONE = "takes one input; got 2. Put Concatenate() or Add() between, which take several."
WHOLE = "must be a whole number of at least 1; got"
FIXED = "cannot change any more. Make another layer."
KNOWN = "known are `training` and `deterministic`."


class Odd:
    """A callable without a name."""

    def __call__(self, z: Any) -> Any:
        return z

    def __repr__(self) -> str:
        return "<odd>"


class Own(nn.Linear):
    def __init__(self) -> None:
        super().__init__(3, 3)


def net() -> Network:
    names = Input(3, name="in"), Relu(4, name="fc1"), Dropout(0.5, name="drop")
    return join(*names, Linear(2, name="last"))


def chain() -> Network:
    return Relu(5, name="a") >> Linear(2)


def saved(network: Network, **custom: Any) -> Network:
    network.save(FILE)
    return load(FILE, custom)


def of_weights(weights: Any, network: Network | None = None) -> Network:
    metadata = {"noisegate": json.dumps(network.get_config())} if network else None
    save_file(weights, FILE, metadata=metadata)
    return load(FILE)


def sine(z: Any) -> Any:
    return z.sin()


def other_sine() -> Any:
    def function(z: Any) -> Any:
        return z.sin()

    function.__name__ = "sine"
    return function


NAMES: list[Case] = [
    (
        lambda: Relu(5, name=5),
        Type,
        "a layer's name must be text; got 5. Write for example name='fc1'.",
    ),
    (
        lambda: Relu(5, name="{}{}"),
        Value,
        "a format of names must have one field for the number; got '{}{}'. Write 'fc{}'.",
    ),
    *(
        (lambda n=n: Relu(5, name=n), Value, f"{FORMAT}'{n}'.")
        for n in ("a{n}", "a{0}", "a{", "{:q}")
    ),
    *(
        (lambda n=n: Relu(5, name=n), Value, SIGNS % n)
        for n in ("", "a.b", "a:b", "a*", "a?", "a[", "a]")
    ),
    (lambda: Relu(5, name="{:f}"), Value, SIGNS % "1.000000"),
    (
        lambda: join(Input(3), Relu(5, name="a"), Relu(5, name="a")),
        Value,
        "`a`: another layer of the network has this name. Give one of them another, or a format "
        "that is counted, as 'a-{}'.",
    ),
    (
        lambda: join(Input(3), Relu(5, name="graph")),
        Value,
        "`graph`: a network has an attribute of this name. Give the layer another, as 'graph1'.",
    ),
    (
        lambda: setattr(net()["fc1"], "name", "fc2"),
        Value,
        "`fc1`: a layer keeps its name in its network. Give names before joining.",
    ),
    (lambda: net()["fc2"], Value, f"{HAS % 'fc2'} Did you mean `fc1`?"),
    (lambda: net().start("zz"), Value, HAS % "zz"),
    (
        lambda: net().end(Relu(5)),
        Value,
        "the network does not have this layer: Relu(out_features=5). It has `in`, `fc1`, `drop`, "
        "`last`.",
    ),
]

GRAPHS: list[Case] = [
    *(
        (lambda v=value: join(Input(3), v), Type, f"{MEMBER}{value!r}. Write for example Relu(5).")
        for value in (0.5, "relu", None)
    ),
    (lambda: Relu(5) >> Odd(), Type, f"{MEMBER}<odd>. Write for example Relu(5)."),
    (
        lambda: nets.parallel(Input(3) >> (r := Relu(5, name="r")), Input(3) >> r),
        Value,
        "join: `r` would have two different inputs. A layer is in a network once; copy it with "
        "copy.deepcopy, or take both inputs by Concatenate or Add.",
    ),
    (
        lambda: join(Input(3), r := Relu(3, name="r"), r),
        Value,
        "join: `r` is in the network already, and would come behind itself: a cycle. Copy it with "
        "copy.deepcopy, or use repeat.",
    ),
    (lambda: (Input(3) | Input(3)) >> Linear(3, name="c"), Value, f"join: `c` {ONE}"),
    (lambda: (Input(3) | Input(3)) >> Linear(3), Value, f"join: Linear {ONE}"),
    (lambda: Dropout(Input(3) | Input(4), 0.5), Value, f"join: Dropout {ONE}"),
    *(
        (lambda n=n: nets.repeat(Relu(5), n), Value, f"repeat: `n` {WHOLE} {n!r}.")
        for n in (0, -1, 1.5, True, "2")
    ),
    (lambda: Input(0), Value, f"Input: {SHAPE}0."),
    (lambda: Input("3"), Type, f"Input: {SHAPE}'3'."),
    (lambda: Relu(5, input_dim=0), Value, f"Relu: {SHAPE}0."),
    (lambda: Dropout((0, 6)), Value, f"Dropout: {SHAPE}(0, 6)."),
    (lambda: Relu(5).get_output_shape((None, 1.5)), Type, f"Relu: {SHAPE}(None, 1.5)."),
    (lambda: nets.Reshape((2, -1, -1)), Value, f"Reshape: {SHAPE}(2, -1, -1)."),
    (
        lambda: Input(3, batch_shape=(2, 3)),
        Type,
        "Input: `shape` is of a sample, `batch_shape` has the batch in front; give one of them.",
    ),
    (
        lambda: nets.Convolution2d(3, 3).get_output_shape((None, 3)),
        Value,
        "Convolution2d cannot take (?, 3): it takes (N, C, H, W).",
    ),
    (
        lambda: Add().get_output_shape((None, 3), (None, 4)),
        Value,
        "Add cannot take (?, 3), (?, 4): its inputs must have one shape.",
    ),
    (
        lambda: join(Input(3, name="in"), nets.Convolution2d(3, 3, name="c")),
        Value,
        "join: `c` cannot follow `in`, which gives (?, 3): it takes (N, C, H, W).",
    ),
    (
        lambda: Input(3) >> (Relu(5, name="a") | Relu(4, name="b")) >> Add(name="c"),
        Value,
        "join: `c` cannot follow `a`, which gives (?, 5) and `b`, which gives (?, 4): its inputs "
        "must have one shape.",
    ),
    (lambda: net()(torch.ones(2, 4)), Value, "`in` takes (?, 3); got an input of shape (2, 4)."),
    (
        lambda: nets.parallel(Input(3, name="a"), Input(4, name="b"))(X),
        Value,
        "the network takes 2 inputs (`a`, `b`); got 1.",
    ),
    (lambda: list(chain().parameters()), Value, f"parameters: {OPEN}"),
    (lambda: chain().state_dict(), Value, f"state_dict: {OPEN}"),
    (lambda: chain().output_shape, MissingAttribute, f"output_shape: {OPEN}"),
    (lambda: nets.Sequential()(X), Value, f"forward: {EMPTY}"),
    (lambda: list(nets.Sequential().parameters()), Value, f"parameters: {EMPTY}"),
]

ARGUMENTS: list[Case] = [
    (lambda: setattr(net()["fc1"], "out_features", 5), Value, f"`fc1`: `out_features` {FIXED}"),
    (lambda: setattr(net()["fc1"], "bias", False), Value, f"`fc1`: `bias` {FIXED}"),
    (lambda: setattr(Input(3), "shape", 4), Value, f"Input: `shape` {FIXED}"),
    (lambda: Relu(0), Value, f"Relu: `out_features` {WHOLE} 0."),
    (lambda: nets.LSTM(1.5), Type, f"LSTM: `hidden_size` {WHOLE} 1.5."),
    (lambda: nets.Embedding(True, 3), Type, f"Embedding: `num_embeddings` {WHOLE} True."),
    (
        lambda: Dense(5, "rleu"),
        Value,
        "Dense: `activation` must be a callable, or one of `softmax`, `softplus`, `softsign`, "
        "`relu`, `tanh`, `sigmoid`, `hard_sigmoid`, `linear`; got 'rleu'. Did you mean `relu`?",
    ),
    (
        lambda: Dense(5, init="glorot"),
        Value,
        "Dense: `init` must be a callable, or one of `uniform`, `lecun_uniform`, `normal`, "
        "`identity`, `orthogonal`, `zero`, `glorot_normal`, `glorot_uniform`, `he_normal`, "
        "`he_uniform`; got 'glorot'. Did you mean `glorot_normal`?",
    ),
    (
        lambda: Dense(5, W_regularizer={"name": "l1", "foo": 3}),
        Type,
        "Dense: `W_regularizer` is no config that was written here; got {'name': 'l1', 'foo': 3}.",
    ),
    (
        lambda: Dense(5, nn.PReLU()),
        Type,
        "Dense: `activation` must have no parameters; got PReLU(num_parameters=1). Put it behind "
        "the layer, as a layer of its own.",
    ),
    (
        lambda: Input(4) >> Dense(3, init="identity"),
        Value,
        "the initializer `identity` makes square weights; got the shape (4, 3).",
    ),
    (
        lambda: Input(4) >> Dense(3, init=lambda shape: torch.zeros(2, 2), name="a"),
        Value,
        "`a`: the initial value must have the shape (4, 3); got (2, 2).",
    ),
    (
        lambda: Dense(3, weights=[np.zeros((2, 3))]),
        Value,
        "Dense: `weights` must be 2 arrays; got 1.",
    ),
    (
        lambda: Dense(3, weights=[np.zeros((2, 4)), np.zeros(3)]),
        Value,
        "Dense: `weights` must have the shapes [(2, 3), (3,)], the weight as (input_dim, "
        "output_dim); got [(2, 4), (3,)].",
    ),
    (
        lambda: net()["fc1"].variable("zero", "z"),
        Type,
        "`fc1`.variable: an initializer needs `shape`. Write for example shape=(3, 4).",
    ),
    *(
        (
            lambda name=name: net()["fc1"].variable(1.0, name),
            Value,
            "`fc1`.variable: `name` must be an identifier that the layer does not have yet; "
            f"got {name!r}.",
        )
        for name in ("weight", "a.b", 3)
    ),
    *(
        (
            lambda rate=rate: Dropout(rate),
            Type,
            "Dropout: `p` must be a number, or a floating tensor of shape () that needs no "
            f"gradient; got {rate!r}.",
        )
        for rate in (torch.tensor([0.5]), torch.tensor(1), torch.tensor(0.5, requires_grad=True))
    ),
    (
        lambda: nets.DropBlock(torch.tensor(0.5), 3),
        Type,
        "DropBlock: `p` must be a number on the host; got a tensor. Give float(p).",
    ),
    (
        lambda: net().set_params(drp__p=0.5),
        Type,
        "set_params: `drp__p` is no argument of a layer, written layer__argument. Did you mean "
        "`drop__p`?",
    ),
]

CALLS: list[Case] = [
    (
        lambda: nets.get_output(Dropout(Input(3, name="in"))),
        Value,
        "get_output: `in` has no input. Give `inputs`, a tensor or a dict of layer to tensor, or "
        "Input(..., input_var=tensor).",
    ),
    (
        lambda: net().output(X, deterministc=True),
        Type,
        "Network.output: unknown keyword `deterministc` (perhaps you meant deterministic); "
        + KNOWN,
    ),
    (
        lambda: Dropout(0.5).get_output_for(X, foo=True),
        Type,
        f"Dropout.get_output_for: unknown keyword `foo`; {KNOWN}",
    ),
    *(
        (
            lambda v=value: Relu(5).output(X, training=v, deterministic=v),
            Value,
            f"Relu.output: training={value} and deterministic={value} contradict each other. Give "
            "one of them.",
        )
        for value in (True, False)
    ),
    (
        lambda: net()(X, mask=[1]),
        Type,
        "`mask` must be a tensor of bool, (samples, time): True is a step; got [1].",
    ),
    (
        lambda: (Input((None, 3)) >> nets.GRU(2))(torch.ones(2, 4, 3), mask=torch.ones(2, 3) > 0),
        Type,
        "`mask` must have the first two extents of the input, (2, 4, 3); got (2, 3).",
    ),
    (
        lambda: nets.TimeDistributed(nn.Dropout(0.5), shared_mask=True),
        Value,
        "TimeDistributed: shared_mask=True needs noise of noisegate; Dropout draws its own. Put "
        "noisegate's layer in its place.",
    ),
    (
        lambda: nets.TimeDistributed(Dropout(0.5))(torch.ones(1, 1, 1).expand(1, 1 << 20, 1)),
        Value,
        "TimeDistributed: noise is numbered for fewer than 1048576 steps of time; got 1048576.",
    ),
]

FILES: list[Case] = [
    (
        lambda: saved(Input(3) >> Dense(3, Odd(), name="a")),
        Value,
        "save: `a` has `activation`=<odd>, which a file cannot hold: numbers, text, lists of them, "
        "and functions and modules that have a name can be saved.",
    ),
    (
        lambda: saved(Input(3) >> Dense(3, sine) >> Dense(3, other_sine())),
        Value,
        "save: two different objects are called `sine`. Give one of them another name.",
    ),
    (
        lambda: saved(Input(3) >> Own()),
        Value,
        "load: a layer needs `Own`, which is the user's own. Give load(path, custom={'Own': ...}).",
    ),
    (
        lambda: saved(Input(3) >> Own(), Own=Odd),
        Value,
        f"load: custom['Own'] must be a module, or be called to give one; got {Odd!r}.",
    ),
    (
        lambda: saved(Input(3) >> Own() >> Own(), Own=Own()),
        Value,
        "load: custom['Own'] is one module for two layers. Give a class or a function, which is "
        "called for each.",
    ),
    (
        lambda: of_weights({"a": torch.ones(2)}),
        Value,
        "load: net.saved is no network of noisegate: it has no config.",
    ),
    (
        lambda: of_weights({"c": torch.ones(2)}, Input(3) >> Relu(2, bias=False, name="a")),
        Value,
        "load: the weights of net.saved are not those of its config: Error(s) in loading "
        'state_dict for Network: Missing key(s) in state_dict: "a.weight". Unexpected key(s) in '
        'state_dict: "c".',
    ),
    (
        lambda: from_config({"class": "Drpout", "config": {}}),
        Value,
        "from_config: unknown layer `Drpout`. Did you mean `Dropout`?",
    ),
]

CASES: list[Case] = [*NAMES, *GRAPHS, *ARGUMENTS, *CALLS, *FILES]
