"""Time training steps that torch compiles: forward, loss and backward, with noise and without.

All networks of a size begin with the same weights and have noise at the same places. An opaque
copy is an operation of torch's kind that does nothing but copy, forward and backward: what the
compiler loses where noise stands, whoever makes it.

Compiling takes minutes, so this is a program of its own.
"""

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from types import FunctionType
from typing import Any

import torch
from contenders import Call, Contenders, Size, shape_of
from goals import BOTH, STEP, Goal, Task
from machine import facts
from report import parser
from run import measure_all
from steps import CLASSES, Plan, cnn, encoder, mlp, network, sites
from torch import Tensor, nn

import noisegate as ng

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"ReLU": nn.ReLU, "GELU": nn.GELU}
PLANS: dict[str, Callable[..., Plan]] = {
    "MLP": partial(mlp, depth=3),
    "CNN": cnn,
    "encoder": encoder,
}
SIZES = ("MLP 128x256", "CNN 64x3x16x16", "encoder 32x32x64")
NONE, PEER, OPAQUE = "compiled, no noise", "compiled, F.dropout", "compiled, opaque copies"
OURS = ("compiled, layers", "compiled, rules", "compiled, existing")
EAGER = ("eager, layers", "eager, rules", "eager, existing")


class FunctionalDropout(nn.Module):
    """`F.dropout` as a layer of a class that nothing knows."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x, self.p)


_LIBRARY = torch.library.Library("noisegate_bench", "DEF")
_LIBRARY.define("copy(Tensor x) -> Tensor", tags=(torch.Tag.pt2_compliant_tag,))
_LIBRARY.impl("copy", lambda x: torch.empty_like(x).copy_(x), "CompositeExplicitAutograd")
torch.library.register_fake("noisegate_bench::copy", torch.empty_like, lib=_LIBRARY)


class _Copy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.ops.noisegate_bench.copy(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return torch.ops.noisegate_bench.copy(gradient)


class OpaqueCopy(nn.Module):
    """A copy in the place of noise, which the compiler cannot look into."""

    def __init__(self, p: float) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return _Copy.apply(x)


def compiled_step(size: Size, activation: str) -> Contenders:
    """Return steps of the networks of a size, compiled and eager, each with its noise checked."""
    torch.manual_seed(1)
    # torch writes the number of threads into the code that it makes.
    torch._inductor.config.cpp.threads = torch.get_num_threads()
    torch._dynamo.reset()
    shape = shape_of(size)
    plan = PLANS[str(size).partition(" ")[0]](*shape, activation=ACTIVATIONS[activation])
    count = len(sites(plan))

    def ruled() -> nn.Module:
        model = network(plan)
        ng.inject(model, sites(plan), seed=1)
        return model

    def existing() -> nn.Module:
        model = network(plan, nn.Dropout)
        ng.inject(model, existing=True, seed=1, example=torch.randn(shape))
        return model

    noise = "noisegate::noise"
    ways: dict[str, tuple[Callable[[], nn.Module], str | None]] = {
        "no noise": (lambda: network(plan), None),
        "F.dropout": (lambda: network(plan, FunctionalDropout), None),
        "opaque copies": (lambda: network(plan, OpaqueCopy), "noisegate_bench::copy"),
        "layers": (lambda: network(plan, _layer), noise),
        "rules": (ruled, noise),
        "existing": (existing, noise),
    }
    # Noise comes before any compiled code: torch's code for models without hooks asks for none.
    steps = {
        f"{how}, {name}": _step(make(), shape, compiled=how == "compiled")
        for name, (make, _) in ways.items()
        for how in ("compiled", "eager")
    }
    del steps["eager, opaque copies"]
    for name, (_, operation) in ways.items():
        _check(name, steps[f"compiled, {name}"], operation, count)
    return steps


def _layer(p: float) -> nn.Module:
    return ng.torch.Dropout(p, seed=1, site="bench")


def _step(model: nn.Module, shape: tuple[int, ...], *, compiled: bool) -> Call:
    """Return a step that returns its loss."""
    x, target = torch.randn(shape), torch.randint(CLASSES, shape[:1])

    def loss() -> Tensor:
        return nn.functional.cross_entropy(model(x), target)

    if compiled:
        # Code of its own: torch keeps graphs by code, and looks through those of all others.
        code = loss.__code__.replace(co_name="loss_of_one")
        own = FunctionType(code, globals(), closure=loss.__closure__)
        loss = torch.compile(own, fullgraph=True)

    def call() -> float:
        model.zero_grad()
        value = loss()
        value.backward()
        return float(value.detach())

    return call


def _check(name: str, step: Call, operation: str | None, count: int) -> None:
    """Raise unless a compiled step is one graph and acts enough times in each direction."""
    stats = torch._dynamo.utils.counters["stats"]
    before = stats["unique_graphs"]
    losses = {step() for _ in range(5)}
    graphs = stats["unique_graphs"] - before
    with torch.autograd.profiler.profile() as profile:
        step()
    seen = Counter(
        event.name.rpartition("_1")[0] or event.name for event in profile.function_events
    )
    found = 0 if operation is None else seen[operation]
    wanted = 0 if operation is None else 2 * count
    if (
        graphs != 1
        or found != wanted
        or (len(losses) == 1) != (name in ("no noise", "opaque copies"))
    ):
        raise RuntimeError(f"{name}: {graphs} graphs, {found} noises, {len(losses)} losses")


def title(activation: str) -> str:
    """Return the title of the task of an activation."""
    return f"compiled training step, {activation}"


def tasks() -> tuple[Task, ...]:
    """Return the tasks, one for each activation."""
    return tuple(
        Task(
            title(name),
            partial(compiled_step, activation=name),
            SIZES,
            ("MLP 4x16",),
            BOTH,
            STEP,
            seconds=5.0,
            rounds=(15, 400),
        )
        for name in ACTIVATIONS
    )


def goals() -> tuple[Goal, ...]:
    """Return the goals for compiled steps, and what they are compared with."""
    titles = tuple(map(title, ACTIVATIONS))
    each = partial(Goal, threads=None)
    return (
        each("compiled, beside F.dropout", titles, OURS, PEER, most=0.75),
        each("compiled, beside none", titles[1:], OURS, NONE, most=1.3),
        each("compiled, beside opaque copies", titles[:1], OURS, OPAQUE, most=1.2),
        each("compiled, beside none", titles[:1], (*OURS, OPAQUE), NONE),
        each("eager, beside none", titles, EAGER, "eager, no noise"),
        each("eager, beside F.dropout", titles, EAGER, "eager, F.dropout"),
        each("compiled beside eager", titles, OURS[:1], EAGER[0]),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write."""
    options = parser(__doc__, quick="one tiny network and three rounds")
    options.add_argument("--threads", type=int, nargs="+", choices=BOTH, default=list(BOTH))
    given = options.parse_args(arguments)
    pairs = [(task, n) for n in given.threads for task in tasks()]
    measure_all(pairs, goals(), facts(), given)
    return 0


if __name__ == "__main__":
    sys.exit(main())
