"""The tasks that are measured and the goals for them, one line for each figure."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial

import contenders as c
import steps
import torch
from contenders import Contenders, Size
from timing import Samples, collect_numbers, time_in_turns


@dataclass(frozen=True)
class Unit:
    """The unit of a number: seconds times a factor, for an element or a call."""

    name: str
    factor: float
    each: bool


ELEMENT = Unit("ns per element", 1e9, True)
CALL = Unit("µs a call", 1e6, False)
STEP = Unit("ms a step", 1e3, False)
BYTES = Unit("bytes saved per element", 1, True)


@dataclass(frozen=True)
class Task:
    """Contenders for one job, the sizes at which they meet, and how they are measured.

    `quick` are the sizes of a run that only shows that everything works.
    """

    title: str
    make: Callable[[Size], Contenders]
    sizes: tuple[Size, ...]
    quick: tuple[Size, ...] = (2**10, 2**13)
    threads: tuple[int, ...] = (1,)
    unit: Unit = ELEMENT
    measure: Callable[..., Samples] = time_in_turns
    seconds: float = 2.0
    rounds: tuple[int, int] = (5, 200)


@dataclass(frozen=True)
class Goal:
    """A bound on the medians of some of ours, or on their ratios to those of a peer.

    With `least`, ours has to be that many times as fast as the peer. With `most`, ours takes at
    most that many units, or that many times the peer's time. With neither, the figure is for
    comparison. With `tail`, 99th percentiles over medians are compared.
    """

    text: str
    tasks: tuple[str, ...]
    ours: tuple[str, ...]
    peer: str | None = None
    most: float | None = None
    least: float | None = None
    sizes: Collection[Size] | None = None
    threads: int | None = 1
    tail: bool = False


MIDDLE = (2**18, 2**20, 2**22, 2**23)
ALL = (2**10, 2**13, 2**16, *MIDDLE, 2**25)
BOTH = (1, 2)

# Two rates, since torch's own dropout, which branches on each element, takes half the time at .1;
# and ours has ties to break at .1, never at .5.
DROPOUT = {f"dropout {p}": p for p in (0.5, 0.1)}
BACKWARD = {f"backward of {title}": p for title, p in DROPOUT.items()}
CHANNELS = {f"channel {title}": p for title, p in DROPOUT.items()}
DTYPES = {
    "bfloat16": (torch.bfloat16, 0.65),
    "float16": (torch.float16, 0.60),
    "float64": (torch.float64, 0.65),
}
SAVED, GAUSSIAN, ROWS = "saved for the backward", "Gaussian noise", "rows, dropout 0.1"
SMALL, SMALL_BOTH = "small, forward", "small, forward + backward"
TRAINING, SLOWEST = "training step", "single calls, each after a training step"


def tasks() -> tuple[Task, ...]:
    """Return every task."""
    some, networks = ("16x64",), ("MLP 64x512", "CNN 64x3x32x32")
    maps, few = ("64x64x32x32",), ("4x8x4x4",)
    return (
        *(Task(t, partial(c.dropout, p=p), ALL, threads=BOTH) for t, p in DROPOUT.items()),
        *(Task(t, partial(c.dropout_of, dtype=d), MIDDLE) for t, (d, _) in DTYPES.items()),
        *(Task(t, partial(c.backward, p=p), MIDDLE, threads=BOTH) for t, p in BACKWARD.items()),
        Task(SAVED, partial(c.saved_bytes, p=0.5), (2**20,), unit=BYTES, measure=collect_numbers),
        Task(GAUSSIAN, c.gaussian, MIDDLE),
        *(Task(t, partial(c.channels, p=p), maps, few, BOTH) for t, p in CHANNELS.items()),
        Task(ROWS, c.rows, (2**20,)),
        Task(SMALL, partial(c.small_forward, p=0.5), some, unit=CALL),
        Task(SMALL_BOTH, partial(c.small_both, p=0.5), some, unit=CALL),
        Task(TRAINING, steps.training_step, networks, steps.TINY, BOTH, STEP, seconds=20.0),
        Task(
            SLOWEST,
            steps.beside,
            (2**16, 2**18, 2**20),
            threads=BOTH,
            unit=CALL,
            measure=steps.beside_steps,
            seconds=10.0,
            rounds=(1000, 4000),
        ),
    )


# The engine alone, into allocated memory; and the two faces, which allocate.
NOISE = ("kernel", "ng.torch", "ng.numpy")
# As they are called; then with pages of the same kind: huge ones, warm ones, small ones.
COPIES = (
    ("ng.torch", "clone"),
    ("ng.torch", "clone, huge pages"),
    ("kernel", "copy_"),
    ("kernel, new small pages", "clone"),
)


def goals(serial: bool | None) -> tuple[Goal, ...]:
    """Return every goal; it depends on whether torch draws its dropout serially."""
    torch_times = 3 if serial is False else 30
    middle = partial(Goal, sizes=MIDDLE)
    forward, backward, channels = tuple(DROPOUT), tuple(BACKWARD), tuple(CHANNELS)
    one, two, small = "float32 forward", "float32 forward, 2 threads", ("kind(x, key)", "layer")
    return (
        middle(one, forward, NOISE, most=0.45),
        middle(one, forward, ("ng.torch",), "F.dropout", least=torch_times),
        middle(one, forward, ("ng.torch",), "jax.jit", least=20),
        middle(one, forward, ("ng.numpy",), "NumPy mask", least=8),
        middle(one, forward, ("ng.numpy",), "NumPy mask, float32"),
        middle(two, forward, NOISE, most=0.28, threads=2),
        middle(two, forward, ("ng.torch",), "F.dropout", threads=2),
        *(Goal(two, forward, (o,), p, most=1.25, sizes=(2**25,), threads=2) for o, p in COPIES),
        *(middle(t, (t,), NOISE, most=limit) for t, (_, limit) in DTYPES.items()),
        middle("backward", backward, NOISE, most=0.45),
        middle("backward, 2 threads", backward, NOISE, most=0.28, threads=2),
        middle("backward", backward, ("ng.torch by autograd",), "F.dropout", threads=None),
        Goal("mask saved for the backward", (SAVED,), ("ng.torch",), most=0),
        middle(GAUSSIAN, (GAUSSIAN,), NOISE, most=2.0),
        middle(GAUSSIAN, (GAUSSIAN,), ("ng.torch",), "torch.randn_like", least=4),
        middle(GAUSSIAN, (GAUSSIAN,), ("ng.numpy",), "NumPy normal"),
        *(Goal("channel dropout", channels, (o,), p, most=1.15, threads=None) for o, p in COPIES),
        *(
            Goal(f"rows of {n}", (ROWS,), (f"{name}, {n}",), f"{name}, {c.ROW}", most=limit)
            for n, limit in {10: 3, 100: 1.5, 1001: 1.2}.items()
            for name in NOISE
        ),
        Goal("1,024 elements, forward", (SMALL,), (*small, "ng.torch"), "F.dropout", most=0.5),
        Goal("1,024 elements, both", (SMALL_BOTH,), (*small, "ng.torch"), "F.dropout", most=1.1),
        Goal(
            TRAINING,
            (TRAINING,),
            ("ng.torch layers", "ng.inject"),
            "no noise",
            most=1.05,
            threads=None,
        ),
        Goal(TRAINING, (TRAINING,), ("nn.Dropout", "x * 1.0"), "no noise", threads=None),
        Goal(
            "99th percentile over median",
            (SLOWEST,),
            ("ng.torch",),
            "x * 1.0",
            most=1.5,
            threads=None,
            tail=True,
        ),
    )
