"""Every way to draw random numbers in a model's code, one call each."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, distributions, nn


class Drawing(nn.Module):
    """A module whose forward makes one call, beside a dropout; in training alone, or always."""

    def __init__(self, call: Callable[[], Any], always: bool = False) -> None:
        super().__init__()
        self.call, self.always = call, always

    def forward(self, x: Tensor) -> Tensor:
        if self.training or self.always:
            drawn = self.call()
            if isinstance(drawn, Tensor):
                x = x + drawn.sum() * 0  # it would be left out of compiled code otherwise
        return x


def beside(call: Callable[[], Any], always: bool = False) -> nn.Module:
    return nn.Sequential(nn.Dropout(0.1), Drawing(call, always))


def is_dropout(name: str) -> bool:
    return "dropout" in name or "bernoulli" in name


def keyed(
    name: str, where: str = "1", kind: str = "Drawing", whose: str = "the whole batch"
) -> str:
    """Return the note of a draw that is made from the seed; seeded if it names a generator."""
    if name in ("NumPy's generator", "Python's generator"):
        return f"'{where}' ({name} in {kind}) is seeded for each forward: the numbers of {whose}."
    return f"'{where}:draw' ({name} in {kind}) is drawn from the seed: the numbers of {whose}."


def expected(name: str, where: str = "1", kind: str = "Drawing") -> str:
    """Return what is told of a draw that is left to the model."""
    if is_dropout(name):
        return (
            f"inject: existing=True cannot reach '{where}:dropout' ({name} in {kind}). Turn it off "
            "in the model and put noise in by a rule, or pass unreached='keep' to leave it to the "
            "model."
        )
    return f"'{where}' draws random numbers: {name} in {kind}, for no known dropout."


def half() -> Tensor:
    return torch.full((3, 4), 0.5)


def read_states() -> list[Any]:
    """Return the states of all generators of the process."""
    return [torch.get_rng_state().tolist(), random.getstate(), repr(np.random.get_state())]  # noqa: NPY002


def seed(number: int) -> None:
    torch.manual_seed(number), random.seed(number), np.random.seed(number)  # noqa: NPY002


def run_at(noise: Any, step: int, function: Callable[[], Any], number: int = 0) -> Any:
    """Return a function's result at a step, under another seed of all generators, unmoved."""
    seed(number)
    before = read_states()
    with noise.at(step):
        result = function()
    assert read_states() == before
    return result


# What is called, and the words that must name it.
FUNCTIONS: dict[str, Callable[[], Any]] = {
    "torch.rand": lambda: torch.rand(3, 4),
    "torch.rand_like": lambda: torch.rand_like(half()),
    "torch.randn": lambda: torch.randn(3, 4),
    "torch.randn_like": lambda: torch.randn_like(half()),
    "torch.randint": lambda: torch.randint(5, (3, 4)),
    "torch.randint_like": lambda: torch.randint_like(half(), 5),
    "torch.randperm": lambda: torch.randperm(7),
    "torch.normal": lambda: torch.normal(half(), half()),
    "torch.poisson": lambda: torch.poisson(half()),
    "torch.multinomial": lambda: torch.multinomial(half(), 2),
    "torch.bernoulli": lambda: torch.bernoulli(half()),
    "torch.binomial": lambda: torch.binomial(half() * 8, half()),
    "torch._standard_gamma": lambda: torch._standard_gamma(half()),
    "torch._sample_dirichlet": lambda: torch._sample_dirichlet(half()),
    "torch.native_dropout": lambda: torch.native_dropout(half(), 0.5, True),
    "torch.feature_dropout": lambda: torch.feature_dropout(half(), 0.5, True),
    "torch.feature_alpha_dropout": lambda: torch.feature_alpha_dropout(half(), 0.5, True),
    "torch.rrelu": lambda: torch.rrelu(-half(), training=True),
    "F.rrelu": lambda: F.rrelu(-half(), training=True),
    "F.gumbel_softmax": lambda: F.gumbel_softmax(half()),
    "F.fractional_max_pool2d": lambda: F.fractional_max_pool2d(
        half()[None].repeat(1, 2, 1), 2, output_size=2
    ),
    "torch.nn.init.normal_": lambda: nn.init.normal_(half()),
    "torch.nn.init.kaiming_uniform_": lambda: nn.init.kaiming_uniform_(half()),
    "Tensor.bernoulli": lambda: half().bernoulli(),
    "Tensor.multinomial": lambda: half().multinomial(2),
    **{
        f"Tensor.{name}": lambda name=name, args=args: getattr(half(), name)(*args)
        for name, args in (
            ("uniform_", ()),
            ("normal_", ()),
            ("exponential_", ()),
            ("bernoulli_", ()),
            ("cauchy_", ()),
            ("log_normal_", ()),
            ("geometric_", (0.5,)),
            ("random_", (5,)),
        )
    },
}

# Distributions draw by functions of torch's.
DISTRIBUTIONS: dict[str, tuple[Callable[[], Any], str]] = {
    "Normal": (lambda: distributions.Normal(half(), half()).rsample(), "Tensor.normal_"),
    "Uniform": (lambda: distributions.Uniform(half() - 1, half()).sample(), "torch.rand"),
    "Bernoulli": (lambda: distributions.Bernoulli(half()).sample(), "torch.bernoulli"),
    "Categorical": (lambda: distributions.Categorical(half()).sample(), "torch.multinomial"),
    "Gamma": (lambda: distributions.Gamma(half(), half()).rsample(), "torch._standard_gamma"),
    "Beta": (lambda: distributions.Beta(half(), half()).rsample(), "torch._sample_dirichlet"),
    "Exponential": (lambda: distributions.Exponential(half()).sample(), "Tensor.exponential_"),
    "Gumbel": (lambda: distributions.Gumbel(half(), half()).sample(), "torch.rand"),
    "Poisson": (lambda: distributions.Poisson(half()).sample(), "torch.poisson"),
    "Laplace": (lambda: distributions.Laplace(half(), half()).sample(), "Tensor.uniform_"),
    "StudentT": (lambda: distributions.StudentT(half() + 3).sample(), "torch._standard_gamma"),
    "OneHotCategorical": (
        lambda: distributions.OneHotCategorical(half()).sample(),
        "torch.multinomial",
    ),
}


@torch.jit.script
def scripted(x: Tensor) -> Tensor:
    return torch.nn.functional.dropout(x, 0.5, True)


# What no function of torch's shows: it is named by the generator that it moves.
UNSEEN: dict[str, tuple[Callable[[], Any], str]] = {
    "a scripted function": (lambda: scripted(half()), "torch.ops.aten.bernoulli_"),
    "seeding": (lambda: torch.manual_seed(random.getrandbits(8) and 3), "torch's generator"),
    "random.random": (lambda: random.random(), "Python's generator"),
    "random.choice": (lambda: random.choice("abc"), "Python's generator"),
    "random.gauss": (lambda: (random.gauss(), random.gauss()), "Python's generator"),
    "np.random.rand": (lambda: np.random.rand(3), "NumPy's generator"),  # noqa: NPY002
    "np.random.randn": (lambda: np.random.randn(3), "NumPy's generator"),  # noqa: NPY002
    "np.random.permutation": (
        lambda: np.random.permutation(3),  # noqa: NPY002
        "NumPy's generator",
    ),
}

# Operators -------------------------------------------------------------------------------------

# Of devices or of builds that are not here, and what draws nothing forward.
_ELSEWHERE = (
    "_cudnn",
    "_efficient",
    "_fill_mem",
    "_flash",
    "_fused_dropout",
    "_fused_sdp",
    "_lstm_mps",
    "_nested",
    "_scaled_dot_product_attention_math_for_mps",
    "_scaled_dot_product_cudnn",
    "_scaled_dot_product_efficient",
    "_scaled_dot_product_flash",
    "_scaled_dot_product_fused",
    "_triton",
    "miopen",
)


def operators() -> dict[str, Any]:
    """Return every operator of torch's that says of itself that it draws, and may run on a CPU."""
    found = {}
    for name in torch._C._dispatch_get_all_op_names():
        base, _, overload = name.removeprefix("aten::").partition(".")
        if not name.startswith("aten::") or base.startswith(_ELSEWHERE):
            continue
        operator = getattr(getattr(torch.ops.aten, base), overload or "default")
        if torch.Tag.nondeterministic_seeded in operator.tags:
            found[f"{base}.{overload}"] = operator
    return dict(sorted(found.items()))


_BY_NAME: dict[str, Callable[[], Any]] = {
    "p": lambda: 0.5,
    "train": lambda: True,
    "training": lambda: True,
    "dropout": lambda: 0.5,
    "dropout_p": lambda: 0.5,
    "size": lambda: [3, 4],
    "high": lambda: 5,
    "low": lambda: 1,
    "from": lambda: 0,
    "to": lambda: 5,
    "n": lambda: 7,
    "num_samples": lambda: 2,
    "num_layers": lambda: 2,
    "has_biases": lambda: True,
    "bidirectional": lambda: False,
    "batch_first": lambda: False,
    "mean": lambda: 0.5,
    "std": lambda: 0.5,
    "query": lambda: torch.ones(2, 2, 4, 8),
    "key": lambda: torch.ones(2, 2, 4, 8),
    "value": lambda: torch.ones(2, 2, 4, 8),
    "generator": lambda: torch.Generator().manual_seed(3),
}


def arguments(operator: Any) -> tuple[list[Any], dict[str, Any]]:
    """Return arguments with which an operator draws."""
    name = operator.name().removeprefix("aten::").partition(".")[0]
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for argument in operator._schema.arguments:
        optional = argument.has_default_value()
        if optional and argument.name not in ("training", "dropout_p"):
            continue
        value = _value(name, operator, argument)
        if argument.kwarg_only or optional:
            kwargs[argument.name] = value
        else:
            args.append(value)
    return args, kwargs


def _value(name: str, operator: Any, argument: Any) -> Any:
    if name in ("lstm", "gru", "rnn_tanh", "rnn_relu"):
        return _of_rnn(name, argument.name)
    if argument.is_out:
        if argument.name == "out1":
            return torch.empty(0, dtype=torch.bool)
        if name in ("randint", "randperm", "multinomial"):
            return torch.empty(0, dtype=torch.int64)
        return torch.empty(3, 4)
    tensor = "Tensor" in str(argument.type)
    if argument.name == "high" and tensor:
        return torch.tensor(5)
    if argument.name == "count":
        return half() * 8
    if tensor and argument.name not in ("query", "key", "value"):
        return -half() if "rrelu" in name and argument.name == "self" else half()
    return _BY_NAME[argument.name]()


def _of_rnn(name: str, argument: str) -> Any:
    gates = {"lstm": 4, "gru": 3}.get(name, 1)
    shapes = [(gates * 4, 4), (gates * 4, 4), (gates * 4,), (gates * 4,)] * 2
    values: dict[str, Callable[[], Any]] = {
        "input": lambda: torch.ones(3, 2, 4),
        "data": lambda: torch.ones(6, 4),
        "batch_sizes": lambda: torch.tensor([2, 2, 2]),
        "hx": lambda: [torch.zeros(2, 2, 4)] * 2 if name == "lstm" else torch.zeros(2, 2, 4),
        "params": lambda: [torch.ones(shape) for shape in shapes],
    }
    return (values.get(argument) or _BY_NAME[argument])()
