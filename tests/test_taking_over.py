"""Taking over has no side effect: dry runs, checkpoints, copies, handles, attention."""

import copy
import pickle
import random
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import noisegate as ng
from _asserts import assert_same_bits, assert_sentence
from _functional import Inner, X, by_hand, functional, key
from noisegate.torch.model.attention import AttentionNoise, compute_attention

# The dry run ---------------------------------------------------------------------------------


def test_a_dry_run_leaves_generators_buffers_modes_and_other_noise_as_they_were() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(8)
            self.drop = nn.Dropout(0.5)
            self.register_buffer("seen", torch.zeros(()))
            self.frozen = nn.Linear(8, 8).eval()

        def forward(self, x: Tensor) -> Tensor:
            self.seen = self.seen + 1
            random.random(), np.random.random(), torch.rand(3)  # noqa: NPY002
            return self.frozen(F.dropout(self.drop(self.norm(x)), 0.2, self.training))

    model = Odd()
    model.norm.momentum = None
    first = ng.inject(model, {"frozen:in": 0.5}, seed=2)
    model.eval()
    model.drop.train()
    modes = [module.training for module in model.modules()]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    buffers = [id(b) for b in model.buffers()]
    torch_s, python = torch.get_rng_state(), random.getstate()
    array = np.random.get_state()  # noqa: NPY002
    noise = ng.inject(model, existing=True, example=X[:1], seed=1)
    assert set(noise.sites) == {"drop:dropout", ":dropout"}
    assert (first.step, noise.step) == (0, 0)
    assert [module.training for module in model.modules()] == modes
    assert [id(b) for b in model.buffers()] == buffers
    for name, value in model.state_dict().items():
        assert_same_bits(value, state[name])
    assert_same_bits(torch.get_rng_state(), torch_s)
    assert random.getstate() == python
    after = np.random.get_state()  # noqa: NPY002
    assert all(np.array_equal(a, b) for a, b in zip(after, array, strict=True))


@pytest.mark.parametrize("form", [tuple, list, dict])
def test_an_example_is_a_batch_a_dict_or_a_tuple(form: Any) -> None:
    class Two(nn.Module):
        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            return F.dropout(a + b, 0.5)

    example = {"a": X, "b": X} if form is dict else form((X, X))
    assert ng.inject(Two(), existing=True, example=example, seed=1).sites == (":dropout",)


# Attention, openly -----------------------------------------------------------------------------

Q, K, V = (torch.randn(2, 4, n, 8) for n in (5, 7, 7))
ATTENTIONS: dict[str, tuple[tuple[Tensor, ...], dict[str, Any]]] = {
    "plain": ((Q, K, V), {}),
    "scaled": ((Q, K, V), {"scale": 0.3}),
    "causal": ((Q, K, V), {"is_causal": True}),
    "a mask of floats": ((Q, K, V), {"attn_mask": torch.randn(5, 7)}),
    "a mask of bools": ((Q, K, V), {"attn_mask": torch.rand(2, 1, 5, 7) > 0.4}),
    "nothing to see": ((Q, K, V), {"attn_mask": torch.arange(5)[:, None].expand(5, 7) > 2}),
    "grouped": ((Q, K[:, :2], V[:, :2]), {"enable_gqa": True}),
    "three axes": ((Q[0], K[0], V[0]), {}),
    "two axes": ((Q[0, 0], K[0, 0], V[0, 0]), {}),
    "bfloat16": ((Q.bfloat16(), K.bfloat16(), V.bfloat16()), {}),
    "float64": ((Q.double(), K.double(), V.double()), {"is_causal": True}),
}


@pytest.mark.parametrize("name", ATTENTIONS)
def test_the_open_attention_is_torch_s(name: str) -> None:
    args, words = ATTENTIONS[name]
    seen: list[Tensor] = []

    def noise(probabilities: Tensor) -> Tensor:
        seen.append(probabilities)
        return probabilities

    got = compute_attention(AttentionNoise(probs=noise), *args, **words)
    want = F.scaled_dot_product_attention(*args, **words)
    assert got.dtype == want.dtype
    rough = {"rtol": 0.02, "atol": 0.01} if name == "bfloat16" else {}
    torch.testing.assert_close(got, want, **rough)
    assert seen[0].ndim >= 3


# Checkpoints, copies, several handles ----------------------------------------------------------


class Deep(nn.Module):
    def __init__(self, reentrant: bool | None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Inner(0.3) for _ in range(2))
        self.back = nn.Linear(64, 8)
        self.reentrant = reentrant

    def part(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            h = block(x).reshape(len(x), 2, 4, 8)
            weights = torch.softmax(h @ h.transpose(-2, -1), -1)
            x = self.back((F.dropout(weights, 0.2) @ h).reshape(len(x), -1))
            x = F.scaled_dot_product_attention(x[:, None], x[:, None], x[:, None], dropout_p=0.1)
            x = F.dropout(x[:, 0], 0.1)
        return x

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(2):
            if self.reentrant is None:
                x = self.part(x)
            else:
                x = checkpoint(self.part, x, use_reentrant=self.reentrant, preserve_rng_state=False)
        return x


def gradients(reentrant: bool | None) -> tuple[list[Tensor], Tensor]:
    torch.manual_seed(0)
    model = Deep(reentrant)
    noise = ng.inject(model, existing=True, seed=1)
    x = X.clone().requires_grad_()
    first, second = model(x), model(x)  # two forwards before one backward
    (first.sum() + (second * 2).sum()).backward()
    assert noise.step == 2
    assert x.grad is not None
    return [*(p.grad for p in model.parameters() if p.grad is not None), x.grad], second


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointed_functions_have_the_noise_of_their_forward(reentrant: bool) -> None:
    want, output = gradients(None)
    got, again = gradients(reentrant)
    assert_same_bits(again.detach(), output.detach())
    assert len(got) == len(want) == 7
    for one, other in zip(got, want, strict=True):
        torch.testing.assert_close(one, other)


def test_the_check_can_fail() -> None:
    # Without the wrapping, the functions of a segment that runs again are the model's own.
    want, _ = gradients(None)
    model = Deep(False)
    torch.manual_seed(0)
    model = Deep(False)
    ng.inject(model, existing=True, seed=2)
    x = X.clone().requires_grad_()
    (model(x).sum() + (model(x) * 2).sum()).backward()
    assert not torch.allclose(x.grad, want[-1])


@pytest.mark.parametrize("how", ["deepcopy", "pickle"])
def test_copies_take_over_on_their_own(how: str) -> None:
    model = functional()
    noise = ng.inject(model, existing=True, seed=1)
    model(X)
    other = copy.deepcopy(model) if how == "deepcopy" else pickle.loads(pickle.dumps(model))
    (handle,) = ng.handles(other)
    torch.testing.assert_close(other(X), by_hand(model, step=1))
    assert (noise.step, handle.step) == (1, 2)
    handle.remove()
    assert not any("forward" in vars(module) for module in other.modules())
    clean = functional()
    torch.manual_seed(5)
    own = other(X)
    torch.manual_seed(5)
    assert_same_bits(own, clean(X))
    torch.testing.assert_close(model(X), by_hand(model, step=1))


def test_two_handles_stack_and_one_takes_over() -> None:
    model = functional()
    first = ng.inject(model, existing=True, example=X, seed=1)
    with assert_sentence(
        ng.InvalidValue,
        "inject: existing=True, and the model's own 'drop:dropout' is taken over by another handle "
        "already. Remove that one first; noisegate.handles(model) has it.",
    ):
        ng.inject(model, existing=True, seed=2)
    second = ng.inject(model, {"inner:dropout": 0.5}, seed=2)
    seen: list[Tensor] = []
    model.inner.register_forward_hook(lambda m, args, out: seen.append(out))
    model(X)
    h = model.inner.linear(ng.Dropout(0.3)(X, key("drop:dropout")))
    once = ng.Dropout(0.3)(h, key("inner:dropout"))
    twice = ng.Dropout(0.5)(once, key("inner:dropout", seed=2))
    assert_same_bits(seen[0].detach(), twice.detach())
    second.remove()
    model(X)
    assert first.step == 2
    first.remove()
    assert len(model._forward_hooks) == 0


def test_a_state_of_functions_is_resumed_before_they_have_shown() -> None:
    model = functional()
    noise = ng.inject(model, existing=True, seed=1)
    outs = [model(X) for _ in range(3)]
    noise.step = 2
    state = noise.state()
    other = functional()
    later = ng.inject(other, existing=True, seed=1)
    later.load_state(state)
    assert_same_bits(other(X).detach(), outs[2].detach())


def test_an_exception_within_leaves_nothing_behind() -> None:
    model = functional()
    noise = ng.inject(model, existing=True, seed=1)
    with pytest.raises(RuntimeError):
        model(torch.randn(5, 9))
    assert torch.overrides._get_current_function_mode() is None
    assert noise.step == 1
    torch.testing.assert_close(model(X), by_hand(model, step=1))
    assert torch.overrides._get_current_function_mode() is None


def test_a_removal_within_a_forward_ends_the_watch() -> None:
    model = functional()
    noise = ng.inject(model, existing=True, seed=1)
    hook = model.drop.register_forward_hook(lambda *_: noise.remove())
    model(X)
    assert torch.overrides._get_current_function_mode() is None
    hook.remove()
    clean = functional()
    torch.manual_seed(5)
    own = model(X)
    torch.manual_seed(5)
    assert_same_bits(own, clean(X))


def test_an_interrupt_from_the_keyboard_leaves_no_watch_that_acts() -> None:
    model = functional()
    noise = ng.inject(model, existing=True, seed=1)
    model(X)

    def interrupt(*args: Any) -> None:
        raise KeyboardInterrupt

    for _ in range(2):
        hook = model.inner.register_forward_hook(interrupt)
        with pytest.raises(KeyboardInterrupt):
            model(X)
        hook.remove()
        # torch calls no hooks then. What runs meanwhile is nobody's site.
        torch.manual_seed(5)
        meanwhile = F.dropout(X, 0.5)
        torch.manual_seed(5)
        with torch._C.DisableTorchFunction():
            assert_same_bits(meanwhile, F.dropout(X, 0.5))
    torch.testing.assert_close(model(X), by_hand(model, step=3))
    assert torch.overrides._get_current_function_mode() is None
    assert set(noise.sites) == {"drop:dropout", "inner:dropout", ":probs"}


def test_a_model_that_calls_itself_is_watched_in_both_calls() -> None:
    class Twice(nn.Module):
        def forward(self, x: Tensor, deep: bool = True) -> Tensor:
            x = F.dropout(x, 0.5, self.training)
            return F.dropout(self(x, False), 0.5, self.training) if deep else x

    model = Twice()
    noise = ng.inject(model, existing=True, seed=1)
    for step in range(2):
        y = X
        for site, call in ((":dropout", 0), (":dropout", 1), (":dropout.1", 0)):
            y = ng.Dropout(0.5)(y, key(site, step=step, call=call))
        assert_same_bits(model(X), y)
        assert noise.step == step + 1
    assert noise.sites == (":dropout", ":dropout.1")
    assert torch.overrides._get_current_function_mode() is None
