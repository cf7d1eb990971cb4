"""One table: what compiled code does to each kind, in each form, equals what eager code does."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vmap
from torch.utils.checkpoint import (
    CheckpointPolicy,
    checkpoint,
    create_selective_checkpoint_contexts,
)

import noisegate as ng
from _asserts import assert_same_bits
from _cells import choose_cells, mark_cells
from _graphs import EXACT, FORMS, KINDS, Bank, make_inputs

Outputs = Any


def get_loss(function: Callable[..., Any]) -> Callable[..., Tensor]:
    return lambda *xs: sum(y.square().sum() for y in function(*xs))


def get_numbers(bank: Bank) -> tuple[int, ...]:
    return tuple(range(len(bank.places)))


def get_gradients(function: Callable[..., Any], xs: Any) -> Outputs:
    xs = tuple(x.clone().requires_grad_() for x in xs)
    ys = function(*xs)
    get_loss(lambda: ys)().backward()
    return tuple((y, x.grad) for y, x in zip(ys, xs, strict=True))


def keep_tanh(ctx: Any, op: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
    return (
        CheckpointPolicy.MUST_SAVE
        if op is torch.ops.aten.tanh.default
        else CheckpointPolicy.PREFER_RECOMPUTE
    )


SELECTIVE = partial(create_selective_checkpoint_contexts, keep_tanh)


def run_checkpoint(bank: Bank, **words: Any) -> Callable[..., Any]:
    return lambda *xs: tuple(y + 0 for y in checkpoint(bank, *xs, **words))


def call_with_weights(bank: Bank, *xs: Tensor) -> Outputs:
    scales = {name: p * 1.5 for name, p in bank.named_parameters() if name.endswith("scale")}
    return functional_call(bank, scales, xs, strict=False)


def get_tangents(bank: Bank, *xs: Tensor) -> Outputs:
    with forward_ad.dual_level():
        ys = bank(*(forward_ad.make_dual(x, x) for x in xs))
        return tuple(tuple(forward_ad.unpack_dual(y)) for y in ys)


def get_batched_gradients(bank: Bank, *xs: Tensor) -> Outputs:
    xs = tuple(x.clone().requires_grad_() for x in xs)
    ys = bank(*xs)
    along = tuple(torch.stack([y.detach(), torch.ones_like(y)]) for y in ys)
    return torch.autograd.grad(ys, xs, along, is_grads_batched=True)


# What a transformation makes of a model: a function of its inputs, one by kind.
FUNCTIONAL: dict[str, Callable[[Bank], Callable[..., Outputs]]] = {
    "grad": lambda bank: grad(get_loss(lambda *xs: bank(*xs)), argnums=get_numbers(bank)),
    "jvp": lambda bank: lambda *xs: tuple(zip(*jvp(lambda *zs: bank(*zs), xs, xs), strict=True)),
    "vmap different": lambda bank: vmap(lambda *xs: bank(*xs), randomness="different"),
    "vmap same": lambda bank: vmap(lambda *xs: bank(*xs), randomness="same"),
    "vmap error": lambda bank: vmap(lambda *xs: bank(*xs)),
    "vmap(grad)": lambda bank: vmap(FUNCTIONAL["grad"](bank), randomness="different"),
    "jacrev": lambda bank: jacrev(lambda *xs: bank(*xs), argnums=get_numbers(bank)),
    "jacfwd": lambda bank: jacfwd(
        lambda *xs: bank(*xs), argnums=get_numbers(bank), randomness="same"
    ),
    "duals": lambda bank: partial(get_tangents, bank),
    "batched gradients": lambda bank: partial(get_batched_gradients, bank),
    "hessian": lambda bank: hessian(get_loss(lambda *xs: bank(*xs)), argnums=get_numbers(bank)),
}
PLAIN: dict[str, Callable[[Bank], Callable[..., Outputs]]] = {
    "train": lambda bank: bank,
    "eval": lambda bank: bank,
    "no_grad": lambda bank: bank,
    "dynamic batch": lambda bank: bank,
    "functional_call": lambda bank: partial(call_with_weights, bank),
    "checkpoint reentrant": partial(run_checkpoint, use_reentrant=True),
    "checkpoint": partial(run_checkpoint, use_reentrant=False),
    "checkpoint selective": partial(run_checkpoint, use_reentrant=False, context_fn=SELECTIVE),
}
TRANSFORMATIONS = {**PLAIN, **FUNCTIONAL}
# In these the compiler's own autograd has no part, and takes most of the time.
QUICK = {"jacrev", "jacfwd", "hessian", "vmap error", "batched gradients"}
# Of these torch itself makes no whole graph.
PARTLY = {"batched gradients"}
MAPPED = {"vmap different", "vmap same", "vmap error", "vmap(grad)"}
SIZES = {"dynamic batch": (4, 5, 9, 1), "train": (3, 3, 3)}


def transform(transformation: str, form: str, names: tuple[str, ...], fast: bool) -> Outputs:
    """Return what a transformation gives, step by step, each of one entry by kind."""
    bank = Bank(form, names)
    bank.train(transformation != "eval")
    function = TRANSFORMATIONS[transformation](bank)
    if fast:
        backend = "eager" if transformation in QUICK else "aot_eager"
        whole = transformation not in PARTLY
        function = torch.compile(function, backend=backend, fullgraph=whole)
    results = []
    for step, count in enumerate(SIZES.get(transformation, (2, 2)), 3):
        xs = make_inputs(count, names, 3 if transformation in MAPPED else 0)
        bank.set_step(step)
        if transformation in FUNCTIONAL or transformation == "no_grad":
            with torch.set_grad_enabled(transformation != "no_grad"):
                results.append(function(*xs))
        else:
            results.append(get_gradients(function, xs))
    return results


# Quick is each kind in one form, each form with some kinds, and each kind in every form somewhere.
TABLE = {"every": len(FORMS)}
QUICK_CELLS = choose_cells(TRANSFORMATIONS, FORMS, KINDS, **TABLE)


@cache
def run_together(transformation: str, form: str, quick: bool) -> tuple[Outputs, Outputs]:
    """Return what eager and compiled code give for all kinds that can share a graph.

    The quick cells of a row of the table share one, and the slow ones another.
    """
    names = tuple(
        name
        for name in KINDS
        if ((transformation, form, name) in QUICK_CELLS) == quick
        and get_refusal(transformation, form, name) is None
    )
    torch.compiler.reset()
    eager, fast = (transform(transformation, form, names, fast) for fast in (False, True))
    return [
        {name: [step[i] for step in steps] for i, name in enumerate(names)}
        for steps in (eager, fast)
    ]


def get_refusal(transformation: str, form: str, name: str) -> str | None:
    """Return what the sentence of a refusal holds; None if the cell is not refused."""
    if transformation == "vmap error":
        return "vmap: called random operation while in randomness error mode."
    if name == "ConcreteDropout" and form != "injection" and transformation == "duals":
        return (
            "noise: a rate that is a tensor has no forward-mode derivative in compiled code. Call "
            "it outside of torch.compile."
        )
    if transformation == "batched gradients":
        return None
    if name == "ConcreteDropout" and form != "injection" and transformation in FUNCTIONAL:
        return (
            "noise: a rate that is a tensor has no derivative inside of torch.func in compiled "
            "code. Call it outside of torch.compile."
        )
    return None


def assert_equal_outputs(name: str, fast: Any, eager: Any) -> None:
    """Compiled and eager tensors are equal, to the bit where the kind is exact."""
    if not isinstance(eager, Tensor):
        assert len(fast) == len(eager) > 0
        for left, right in zip(fast, eager, strict=True):
            assert_equal_outputs(name, left, right)
    elif name in EXACT:
        assert_same_bits(fast.detach(), eager.detach())
    else:
        torch.testing.assert_close(fast, eager, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("transformation", "form", "name"), mark_cells(TRANSFORMATIONS, FORMS, KINDS, **TABLE)
)
def test_compiled_equals_eager(transformation: str, form: str, name: str) -> None:
    refusal = get_refusal(transformation, form, name)
    if refusal is not None:
        torch.compiler.reset()
        with pytest.raises(
            ng.NoisegateError, match=r"randomness error mode|no .*derivative"
        ) as caught:
            transform(transformation, form, (name,), True)
        assert refusal in str(caught.value)
        if forward_ad._current_level >= 0:  # torch's compiler does not leave it
            forward_ad.exit_dual_level()
        return
    quick = (transformation, form, name) in QUICK_CELLS
    eager, fast = run_together(transformation, form, quick)
    assert_equal_outputs(name, fast[name], eager[name])
    if transformation in ("train", "no_grad"):
        # Noise acted: another step gave something else, even of the same inputs.
        first, second = eager[name][:2]
        with pytest.raises(AssertionError):
            assert_equal_outputs(name, first, second)
