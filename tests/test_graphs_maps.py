"""Rows in compiled code: those that a call names, and those of the members of maps."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

import noisegate as ng
from _asserts import assert_same_bits

DROPOUT, SITE = ng.Dropout(0.5), ng.Stream(1).site("a")
KEY = SITE.at(3)
X, ROWS = torch.ones(4, 3, 8), torch.arange(12).view(4, 3) + 7
BATCH = torch.randn(8, 8, generator=torch.Generator().manual_seed(2))
ERROR = "vmap: called random operation while in randomness error mode."
NAMED = (
    "vmap with randomness='different' numbers the rows of its members, and this call names rows "
    "itself, the same in each. Map the rows too, or leave out `rows`."
)


def call(x: Tensor, rows: Any = None) -> Tensor:
    return DROPOUT(x, KEY, rows=rows)


def call_function(x: Tensor, rows: Any = None) -> Tensor:
    return ng.torch.dropout(x, 0.5, key=KEY, rows=rows)


def compile_whole(function: Callable[..., Any], backend: str = "eager") -> Callable[..., Any]:
    torch.compiler.reset()
    return torch.compile(function, backend=backend, fullgraph=True)


def test_copies_of_a_layer_have_its_default_axis() -> None:
    layer = ng.torch.Dropout(0.5, seed=1, site="a")
    assert copy.deepcopy(layer).sample_axis is layer.sample_axis
    fast = compile_whole(copy.deepcopy(layer))
    assert_same_bits(fast(torch.ones(20)), layer(torch.ones(20)))


# Maps --------------------------------------------------------------------------------------------

VALUES: dict[str, tuple[Any, tuple[Tensor, ...]]] = {
    "rows": (lambda f: vmap(f), (X, ROWS)),
    "rows, different": (lambda f: vmap(f, randomness="different"), (X, ROWS)),
    "rows that are the same": (
        lambda f: vmap(lambda x: f(x, range(5, 8)), randomness="same"),
        (X,),
    ),
    "samples": (lambda f: vmap(f), (X[:, 0], ROWS[:, 0])),
    "batches of one": (lambda f: vmap(f), (X[:, :1], ROWS[:, 0])),
    "rows of an outer map": (
        lambda f: vmap(vmap(f, in_dims=(0, None), randomness="same")),
        (torch.ones(4, 2, 3, 8), ROWS),
    ),
    "scalars": (lambda f: vmap(f, randomness="different"), (torch.ones(8),)),
}


@pytest.mark.parametrize("function", [call, call_function])
@pytest.mark.parametrize("name", VALUES)
def test_rows_in_maps(name: str, function: Any) -> None:
    make, given = VALUES[name]
    assert_same_bits(compile_whole(make(function))(*given), make(function)(*given))


REFUSED: dict[str, tuple[Any, tuple[Tensor, ...], str]] = {
    "named, different": (
        lambda f: vmap(lambda x: f(x, range(5, 8)), randomness="different"),
        (X,),
        NAMED,
    ),
    "a tensor, different": (
        lambda f: vmap(lambda x: f(x, ROWS[0]), randomness="different"),
        (X,),
        NAMED,
    ),
    "a tensor": (lambda f: vmap(lambda x: f(x, ROWS[0])), (X,), ERROR),
    "rows of an outer map": (
        lambda f: vmap(vmap(f, in_dims=(0, None))),
        (torch.ones(4, 2, 3, 8), ROWS),
        ERROR,
    ),
    "rows of an outer map, different": (
        lambda f: vmap(vmap(f, in_dims=(0, None), randomness="different")),
        (torch.ones(4, 2, 3, 8), ROWS),
        NAMED,
    ),
}


@pytest.mark.parametrize("function", [call, call_function])
@pytest.mark.parametrize("name", REFUSED)
def test_refused_rows_in_maps(name: str, function: Any) -> None:
    make, given, sentence = REFUSED[name]
    for run, prefix in ((make(function), "Dropout: "), (compile_whole(make(function)), "")):
        with pytest.raises(ng.RandomnessError) as caught:
            run(*given)
        assert str(caught.value).startswith(prefix + sentence)
        assert not torch._C._are_functorch_transforms_active()


LAYER = ng.torch.Dropout(0.5)


@pytest.mark.parametrize("function", [LAYER, lambda x: ng.torch.dropout(x, 0.5, True)])
def test_a_fresh_seed_in_a_map_that_says_nothing_is_refused(function: Any) -> None:
    with pytest.raises(ng.RandomnessError) as caught:
        compile_whole(vmap(function))(X)
    assert str(caught.value).startswith(ERROR)
    assert not torch._C._are_functorch_transforms_active()
    y = compile_whole(vmap(function, randomness="same"))(torch.ones(4, 64))
    assert_same_bits(y[0], y[1])


STEPS = torch.arange(3)
FALLING = ng.GaussianNoise(ng.schedule.linear(0.5, 0.1, steps=5))


def map_steps(x: Tensor, steps: Tensor) -> Tensor:
    return vmap(lambda step: DROPOUT(x, SITE.at(step)))(steps)


def map_steps_of_a_schedule(x: Tensor, steps: Tensor) -> Tensor:
    return vmap(lambda step: FALLING(x, SITE.at(step)))(steps)


def map_steps_of_a_function(x: Tensor, steps: Tensor) -> Tensor:
    return vmap(lambda step: ng.torch.dropout(x, 0.5, key=SITE.at(step)))(steps)


def map_steps_of_samples(x: Tensor, steps: Tensor) -> Tensor:
    def map_each(x: Tensor) -> Tensor:
        return vmap(lambda step: DROPOUT(x, SITE.at(step)))(steps)

    return vmap(map_each, randomness="different")(x)


def map_samples_of_steps(x: Tensor, steps: Tensor) -> Tensor:
    def map_each(step: Tensor) -> Tensor:
        return vmap(lambda x: DROPOUT(x, SITE.at(step)), randomness="different")(x)

    return vmap(map_each)(steps)


def differentiate_at_steps(x: Tensor, steps: Tensor) -> Tensor:
    def differentiate(step: Tensor) -> Tensor:
        return grad(lambda x: DROPOUT(x, SITE.at(step)).square().sum())(x)

    return vmap(differentiate)(steps)


BY_STEP = [
    map_steps,
    map_steps_of_a_schedule,
    map_steps_of_a_function,
    map_steps_of_samples,
    map_samples_of_steps,
    differentiate_at_steps,
]


@pytest.mark.parametrize("function", BY_STEP)
def test_steps_in_maps(function: Any) -> None:
    x = torch.ones(4, 8)
    fast = compile_whole(function)
    for steps in (STEPS, STEPS + 2):
        torch.testing.assert_close(fast(x, steps), function(x, steps), rtol=1e-6, atol=0)


def test_steps_in_maps_that_are_no_whole_numbers_are_refused() -> None:
    sentence = (
        "Site.at: `step` that torch maps must be a tensor of whole numbers; got torch.float32."
    )
    with pytest.raises(ng.InvalidType) as caught:
        compile_whole(map_steps)(X, STEPS.float())
    assert str(caught.value).startswith(sentence)
    assert not torch._C._are_functorch_transforms_active()


def test_a_graph_that_breaks_inside_of_a_map_is_refused() -> None:
    def break_first(x: Tensor) -> Tensor:
        torch._dynamo.graph_break()
        return DROPOUT(x, KEY)

    sentence = (
        "vmap: a graph breaks inside of a map, so the compiler does not know which member it "
        "computes. Find the break with fullgraph=True, or call vmap outside of torch.compile."
    )
    torch.compiler.reset()
    same = vmap(break_first, randomness="same")
    assert_same_bits(torch.compile(same, backend="eager")(X), vmap(call, randomness="same")(X))
    with pytest.raises(ng.InvalidValue) as caught:
        torch.compile(vmap(break_first, randomness="different"), backend="eager")(X)
    assert str(caught.value).startswith(sentence)
    assert not torch._C._are_functorch_transforms_active()


# Blocks of one step ------------------------------------------------------------------------------

torch.manual_seed(0)
MODEL = nn.Sequential(nn.Linear(8, 8))
NOISE = ng.inject(MODEL, {"0:out": 0.5}, seed=3)


def run_sample(x: Tensor) -> Tensor:
    return functional_call(MODEL, dict(MODEL.named_parameters()), (x[None],))[0]


def map_samples(**words: Any) -> Callable[[Tensor], Tensor]:
    return vmap(run_sample, randomness="different", **words)


def map_parts(x: Tensor) -> Tensor:
    return vmap(lambda z: MODEL(z), randomness="different")(x.view(-1, 2, 8)).view(-1, 8)


RUNS: dict[str, Callable[[], Callable[[Tensor], Tensor]]] = {
    "batch": lambda: MODEL,
    "samples": map_samples,
    "parts": lambda: map_parts,
    "chunks": lambda: map_samples(chunk_size=3),
    "compiled samples": lambda: torch.compile(map_samples(), backend="eager", fullgraph=True),
    "compiled parts": lambda: torch.compile(map_parts, backend="aot_eager", fullgraph=True),
}


@pytest.mark.parametrize("second", RUNS)
@pytest.mark.parametrize("first", RUNS)
def test_micro_batches_in_maps_have_the_rows_of_the_batch(first: str, second: str) -> None:
    torch.compiler.reset()
    with NOISE.at(7):
        whole = MODEL(BATCH)
    with NOISE.at(7):
        parts = RUNS[first]()(BATCH[:4]), RUNS[second]()(BATCH[4:])
    torch.testing.assert_close(torch.cat(parts), whole)


def test_chunks_inside_of_another_map_are_refused_in_a_block() -> None:
    sentence = (
        "Dropout: vmap: in a block of `at`, a map with `chunk_size` inside of another map would "
        "give two of its members one row. Leave out `chunk_size`, or give it to the outer map."
    )
    run = vmap(map_samples(chunk_size=1), randomness="different")
    with pytest.raises(ng.InvalidValue) as caught, NOISE.at(7):
        run(BATCH.view(4, 2, 8))
    assert str(caught.value) == sentence


# Rows that are given as arguments ----------------------------------------------------------------

GOOD = (
    *(range(0, 12, 2), range(0, 18, 3), (1, 2, 3, 4, 5, 6), [2, 3, 4, 5, 6, 9], slice(3, 9)),
    *(slice(4, None), range(9, 3, -1), torch.arange(6), np.arange(6) + 2),
)


@pytest.mark.parametrize("rows", GOOD, ids=repr)
def test_a_layer_takes_rows_of_every_form(rows: Any) -> None:
    layer = ng.torch.Dropout(0.5, seed=1, site="a")
    eager, fast = copy.deepcopy(layer), compile_whole(layer)
    x = torch.ones(6, 8)
    for given in (range(6), rows):  # numbers that change are no constants
        assert_same_bits(fast(x, given), eager(x, given))


SLICE = (
    "Dropout: `rows` as a slice must have a start >= 0 and a step >= 1 at a call; got "
    "slice(5, None, -1). Write for example slice(32, 64)."
)
FLOAT = "Dropout: `rows` must be a tensor of whole numbers; got torch.float32."
BELOW = "Dropout: `rows` must be in [0, 2**64); got -1."
SCALAR = (
    "Dropout: `rows` must be a slice or a sequence of whole numbers in [0, 2**64); got one number."
)
WITHOUT_AXIS = (
    "Dropout: `rows` was given, but the input of rank 1 has no sample axis. Name one with "
    "sample_axis=0, or leave out `rows`."
)
BAD: dict[str, tuple[Any, str]] = {
    "below 0": ([-1] * 6, BELOW),
    "too large": ([2**64] * 6, f"Dropout: `rows` must be in [0, 2**64); got {2**64}."),
    "a tensor below 0": (torch.tensor([-1, 2, 3, 4, 5, 6]), BELOW),
    "a float tensor": (torch.ones(6), FLOAT),
    "one number": (torch.tensor(3), SCALAR),
    "a slice": (slice(5, None, -1), SLICE),
    "too many": (
        range(8),
        "Dropout: `rows` must name each of the 6 samples of the input once; got 8 rows.",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_rows_are_refused(name: str) -> None:
    rows, sentence = BAD[name]
    for function in (call, call_function, ng.torch.Dropout(0.5)):
        with pytest.raises(ng.NoisegateError) as caught:
            compile_whole(function)(torch.ones(6, 8), rows)
        assert str(caught.value).startswith(sentence)


def test_rows_without_samples_are_refused() -> None:
    with pytest.raises(ng.InvalidValue) as caught:
        compile_whole(call)(torch.ones(6), range(6))
    assert str(caught.value).startswith(WITHOUT_AXIS)
