"""Bad models of a user's own, and the sentence for each.

Files are written into the working directory.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from _bad_numbers import Case, Type, Value
from noisegate.study.models import Model, check_trainable

CALL = "It is called as function(input_shape, n_outputs), and returns a torch.nn.Module."
KNOWN = "study: a model must be mlp, cnn, or module:function for your own; got "
IMAGES = (
    "study: cnn needs images, (channels, height, width) or (height, width), with at least 4 rows "
    "and columns; got inputs of shape %s. Take mlp."
)
NETS = """\
import random
import numpy
import torch
from torch import nn

ready = nn.Linear(8, 3)
table = {"make": 1}

class Net(nn.Module):
    def __init__(self, shape, n):
        super().__init__()
        self.out = nn.Linear(shape[0], n)
    def forward(self, x):
        return self.out(x)

def one_argument(shape):
    return Net(shape, 3)

def nothing(shape, n):
    Net(shape, n)

def empty(shape, n):
    return nn.Flatten()

def frozen(shape, n):
    return Net(shape, n).requires_grad_(False)

def lazy(shape, n):
    return nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.Linear(4, n))

def lazy_norm(shape, n):
    return nn.Sequential(nn.LazyBatchNorm1d(affine=False), Net(shape, n))

def same(shape, n):
    return ready

def drawn(shape, n):
    net = Net(shape, n)
    nn.init.constant_(net.out.bias, numpy.random.rand())
    return net

def drawn_buffer(shape, n):
    net = Net(shape, n)
    net.register_buffer("scale", torch.tensor(random.random()))
    return net

def grown(shape, n, sizes=[2]):
    sizes[0] += 1
    return nn.Sequential(nn.Linear(shape[0], sizes[0]), nn.Linear(sizes[0], n))

class Pair(Net):
    def forward(self, x):
        return self.out(x), x

class InTraining(Net):
    def forward(self, x):
        if self.training:
            raise RuntimeError("not yet")
        return super().forward(x)

class PairInTraining(Pair):
    def forward(self, x):
        return super().forward(x) if self.training else self.out(x)

class Flat(Net):
    def forward(self, x):
        return self.out(x)[:, 0]

class Labels(Net):
    def forward(self, x):
        return self.out(x).round().long()
"""
OTHER = (
    "study: '%s' must make the same model under the same torch.manual_seed; '%s' differed between "
    "two calls. Draw from torch's generator only, not from NumPy's or Python's."
)
SIZE = "which waits for its first input. Give it its size, made of input_shape."


def own(
    function: str, outputs: int = 3, shape: Sequence[int] = (8,), text: str = NETS, name: str = ""
) -> Callable[[], Any]:
    """Return the call that checks a model of a file."""

    def call() -> Any:
        path = Path(*f"{name or 'bad_study_nets'}.py".split("/"))
        path.parent.mkdir(exist_ok=True)
        sys.modules.pop(".".join(path.with_suffix("").parts), None)
        path.write_text(text, "utf-8")
        return check_trainable(Model(function), torch.zeros(5, *shape), outputs)

    return call


def of_net(function: str, *args: Any) -> Callable[[], Any]:
    return own(f"bad_study_nets:{function}", *args)


def made(name: str, shape: Sequence[int] = (8,)) -> Callable[[], Any]:
    return lambda: Model(name).make(shape, 3)


CASES: list[Case] = [
    # Names
    (made("mpl"), Value, f"{KNOWN}'mpl'. Did you mean `mlp`?"),
    (made("mynet"), Value, f"{KNOWN}'mynet'. Write for example mynet:make."),
    (
        made("nets/mine.py:Net"),
        Value,
        f"{KNOWN}'nets/mine.py:Net'. Write for example nets.mine:Net.",
    ),
    (made(":make"), Value, f"{KNOWN}':make'. Write for example net:make."),
    (
        made("/home/me/net.py:make()"),
        Value,
        f"{KNOWN}'/home/me/net.py:make()'. Start the command in that folder, and write net:make.",
    ),
    # The built-in ones
    (made("cnn", (30,)), Value, IMAGES % "(30,)"),
    (made("cnn", (1, 3, 8)), Value, IMAGES % "(1, 3, 8)"),
    (made("cnn", (1, 1, 8, 8)), Value, IMAGES % "(1, 1, 8, 8)"),
    # Modules
    (
        own("bad_study_net:Net"),
        Value,
        "study: the module of a model must be in the current folder, or installed; "
        "got 'bad_study_net'. Did you mean `bad_study_nets`?",
    ),
    (
        made("nowhere_at_all.deep:make"),
        Value,
        "study: the module of a model must be in the current folder, or installed; "
        "got 'nowhere_at_all.deep'. Start the command where its file lies.",
    ),
    (
        own("bad_study_nets.py:Net"),
        Value,
        "study: the module of a model must be in the current folder, or installed; "
        "got 'bad_study_nets.py'. Did you mean `bad_study_nets`?",
    ),
    (
        own("bad_study_a:make", text="import pandas_of_nobody\n", name="bad_study_a"),
        Value,
        "study: the module 'bad_study_a' imports 'pandas_of_nobody', which is not there. "
        "Install it, or leave out the import.",
    ),
    (
        own("bad_study_b:make", text="x = 1\ny = x / 0\n", name="bad_study_b"),
        Value,
        "study: the module 'bad_study_b' must be importable; it raised ZeroDivisionError: "
        "division by zero (bad_study_b.py:2).",
    ),
    (
        own("bad_study_c:make", text="def make(:\n", name="bad_study_c"),
        Value,
        "study: the module 'bad_study_c' must be importable; it raised SyntaxError: "
        "invalid syntax (bad_study_c.py:1).",
    ),
    (
        own("bad_study_d.inner:make", text="raise SystemExit\n", name="bad_study_d/inner"),
        Value,
        "study: the module 'bad_study_d.inner' must be importable; it raised SystemExit "
        "(bad_study_d/inner.py:1).",
    ),
    # Functions
    (
        own("bad_study_e:mak", text="def make(): 0\ndef other(): 0\n", name="bad_study_e"),
        Value,
        "study: the module 'bad_study_e' (bad_study_e.py) has no 'mak'. It has make, other. "
        "Did you mean `make`?",
    ),
    (
        own("bad_study_f:make", text="x = 1\n", name="bad_study_f"),
        Value,
        "study: the module 'bad_study_f' (bad_study_f.py) has no 'make'.",
    ),
    (
        own(
            "bad_study_m:makes",
            text="".join(f"def make{n}(): 0\n" for n in range(9)),
            name="bad_study_m",
        ),
        Value,
        "study: the module 'bad_study_m' (bad_study_m.py) has no 'makes'. It has make0, make1, "
        "make2, make3, make4, make5, make6, make7, …. Did you mean `make8`?",
    ),
    (
        own(
            "bad_study_g:Factory.mak",
            text="class Factory:\n    def make(): 0\n    def other(): 0\n",
            name="bad_study_g",
        ),
        Value,
        "study: the module 'bad_study_g' (bad_study_g.py) has no 'Factory.mak'. "
        "It has Factory.make, Factory.other. Did you mean `Factory.make`?",
    ),
    (
        of_net("table"),
        Type,
        f"study: 'bad_study_nets:table' must be a function; got {{'make': 1}}. {CALL}",
    ),
    (
        of_net("ready"),
        Type,
        "study: 'bad_study_nets:ready' must be a function that makes a new model for every run; "
        f"got a Linear that is made already. {CALL}",
    ),
    (
        own(
            "bad_study_h:make",
            text="def make(s, n):\n    raise ValueError('no\\nsuch thing.')\n",
            name="bad_study_h",
        ),
        Value,
        "study: 'bad_study_h:make', called with (8,), 3, raised ValueError: no such thing "
        "(bad_study_h.py:2).",
    ),
    (
        own(
            "bad_study_i:make",
            text="import sys\nmake = lambda s, n: sys.exit()\n",
            name="bad_study_i",
        ),
        Value,
        "study: 'bad_study_i:make', called with (8,), 3, raised SystemExit (bad_study_i.py:2).",
    ),
    (
        of_net("one_argument"),
        Value,
        "study: 'bad_study_nets:one_argument', called with (8,), 3, raised TypeError: "
        "one_argument() takes 1 positional argument but 2 were given.",
    ),
    (
        of_net("nothing"),
        Type,
        "study: 'bad_study_nets:nothing' must return a torch.nn.Module; got None.",
    ),
    # Models
    (
        of_net("empty"),
        Value,
        "study: the model of 'bad_study_nets:empty' has no parameter to train.",
    ),
    (
        of_net("frozen"),
        Value,
        "study: the model of 'bad_study_nets:frozen' has no parameter to train.",
    ),
    (
        of_net("lazy"),
        Value,
        "study: the model of 'bad_study_nets:lazy' must have all its parameters before it runs; "
        f"got a LazyLinear, {SIZE}",
    ),
    (
        of_net("lazy_norm"),
        Value,
        "study: the model of 'bad_study_nets:lazy_norm' must have all its parameters before it "
        f"runs; got a LazyBatchNorm1d, {SIZE}",
    ),
    (
        of_net("same"),
        Value,
        "study: 'bad_study_nets:same' must make a new model at each call; it returned parameters "
        "twice, so that one run would go on where another had ended. Make them within the "
        "function.",
    ),
    (of_net("drawn"), Value, OTHER % ("bad_study_nets:drawn", "out.bias")),
    (of_net("drawn_buffer"), Value, OTHER % ("bad_study_nets:drawn_buffer", "scale")),
    (of_net("grown"), Value, OTHER % ("bad_study_nets:grown", "0.weight")),
    (
        own("bad_study_j:Net", 3, (4, 2), text=NETS.replace("shape[0]", "8"), name="bad_study_j"),
        Value,
        "study: the model of 'bad_study_j:Net' must take inputs of shape (2, 4, 2); it raised "
        "RuntimeError: mat1 and mat2 shapes cannot be multiplied (8x2 and 8x3) "
        "(bad_study_j.py:14).",
    ),
    (
        own("bad_study_k:InTraining", text=NETS, name="bad_study_k"),
        Value,
        "study: the model of 'bad_study_k:InTraining' must take inputs of shape (2, 8) in "
        "training; it raised RuntimeError: not yet (bad_study_k.py:58).",
    ),
    (
        of_net("Pair"),
        Type,
        "study: the model of 'bad_study_nets:Pair' must return a floating-point tensor of shape "
        "(2, 3) for two rows; got a tuple.",
    ),
    (
        of_net("PairInTraining"),
        Type,
        "study: the model of 'bad_study_nets:PairInTraining' must return a floating-point tensor "
        "of shape (2, 3) for two rows in training; got a tuple.",
    ),
    (
        own(
            "bad_study_l:Net",
            5,
            text=NETS.replace("shape[0], n)", "shape[0], 3)"),
            name="bad_study_l",
        ),
        Value,
        "study: the model of 'bad_study_l:Net' must return a floating-point tensor of shape "
        "(2, 5) for two rows; got shape (2, 3).",
    ),
    (
        of_net("Flat", 1),
        Value,
        "study: the model of 'bad_study_nets:Flat' must return a floating-point tensor of shape "
        "(2, 1) for two rows; got shape (2,). End it with nn.Linear(…, 1), or return "
        "y.unsqueeze(1).",
    ),
    (
        of_net("Labels"),
        Type,
        "study: the model of 'bad_study_nets:Labels' must return a floating-point tensor of shape "
        "(2, 3) for two rows; got int64.",
    ),
]
