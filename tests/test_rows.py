"""Ids of samples, given before a block, inside it, or for it."""

import copy
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import noisegate as ng
from _asserts import assert_same_bits, assert_sentence

X = torch.ones(32, 40)
IDS = [5, 2**64 - 1, *range(100, 130)]


def injected() -> tuple[nn.Module, Any]:
    net = nn.Sequential(nn.Identity())
    return net, ng.inject(net, {"0:out": 0.5}, seed=13)


def expected(step: int, ids: Any = IDS) -> Tensor:
    noised: Tensor = ng.Dropout(0.5)(X[: len(ids)], ng.Stream(13).site("0:out").at(step), rows=ids)
    return noised


@pytest.mark.parametrize("sizes", [(32,), (16, 16), (5, 20, 7)])
@pytest.mark.parametrize("said", ["before", "within", "for the block"])
def test_ids_hold_in_a_pinned_step(said: str, sizes: tuple[int, ...]) -> None:
    net, noise = injected()
    if said == "before":
        noise.rows = IDS
    with noise.at(7, rows=IDS if said == "for the block" else None):
        if said == "within":
            noise.rows = IDS
        parts = [net(part) for part in X.split(list(sizes))]
    assert_same_bits(torch.cat(parts), expected(7))


def test_ids_may_be_set_before_each_micro_batch() -> None:
    net, noise = injected()
    with noise.at(7):
        noise.rows = IDS[:10]
        parts = [net(X[:10])]
        noise.rows = IDS[10:]
        parts.append(net(X[10:]))
        noise.rows = None
        counted = net(X[:4])  # from where the samples of the block have got to
    assert_same_bits(torch.cat(parts), expected(7))
    assert_same_bits(counted, expected(7, range(32, 36)))


def test_the_later_word_holds() -> None:
    net, noise = injected()
    noise.rows = range(1000, 1032)
    with noise.at(7, rows=IDS):
        assert_same_bits(net(X), expected(7))
    with noise.at(7, rows=range(32)):
        noise.rows = IDS
        assert_same_bits(net(X), expected(7))
    assert_same_bits(net(X), expected(0))  # outside, what was set last


def test_too_few_ids_and_ids_left_over_are_told() -> None:
    net, noise = injected()
    few = (
        "inject: `rows` must name each sample of the block at step 7 once; got 20 rows, and its "
        "forwards have 32 samples by now. Name all of them, or set `noise.rows` before each "
        "forward; where the model's input has its samples on another axis, name that by "
        "`sample_axis`."
    )
    with noise.at(7, rows=range(20)):
        net(X[:16])
        with assert_sentence(ng.InvalidValue, few):
            net(X[16:])
        net(X[:4])
    over = (
        "inject: `rows` must name each sample of the block at step 7 once; got 32 rows, and its "
        "forwards have 16 samples."
    )
    with assert_sentence(ng.InvalidValue, over), noise.at(7, rows=IDS):
        net(X[:16])
    with noise.at(7):
        noise.rows = IDS
        net(X[:16])
        noise.rows = range(16)
        with assert_sentence(ng.InvalidValue, over):
            net(X[:16])
    noise.rows = range(16)
    plain = "inject: `rows` must name each of the 32 samples of the input once; got 16 rows."
    with assert_sentence(ng.InvalidValue, plain):
        net(X)


def test_an_error_in_a_block_is_not_hidden_by_ids_left_over() -> None:
    net, noise = injected()

    def fail() -> None:
        with noise.at(7, rows=IDS):
            net(X[:16])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()


def test_evaluation_in_a_block_takes_no_ids() -> None:
    net, noise = injected()
    with noise.at(7, rows=IDS):
        first = net(X[:16])
        assert torch.equal(net.eval()(X), X)
        net.train()
        parts = [first, net(X[16:])]
    assert_same_bits(torch.cat(parts), expected(7))


@pytest.mark.parametrize("merged", [False, True])
def test_ids_of_attention_are_as_many_as_the_samples(merged: bool) -> None:
    class Attention(nn.Module):
        def forward(self, q: Tensor) -> Tensor:
            scores = q @ q.transpose(-2, -1)
            scores = (scores.flatten(0, 1) if merged else scores).softmax(-1)
            return nn.functional.dropout(scores, 0.5, self.training).reshape(4, 2, 3, 3)

    net, q = Attention(), torch.ones(4, 2, 3, 5)
    noise = ng.inject(net, existing=True, example=q, seed=13)
    noise.rows = range(4)
    counted = net(q)
    noise.step, noise.rows = 0, None
    assert_same_bits(net(q), counted)
    noise.rows = range(2)
    few = "inject: `rows` must name each of the 4 samples of the input once; got 2 rows."
    with assert_sentence(ng.InvalidValue, few):
        net(q)


def test_a_time_major_model_counts_its_samples_along_their_axis() -> None:
    net = nn.Sequential(nn.Identity())
    noise = ng.inject(net, {"0:out": 0.5}, seed=13, sample_axis=1)
    x = torch.ones(3, 8, 5)
    whole = net(x)
    with noise.at(0):
        parts = [net(x[:, :2]), net(x[:, 2:])]
    assert_same_bits(torch.cat(parts, 1), whole)
    with noise.at(0, rows=range(8)):
        parts = [net(x[:, :2]), net(x[:, 2:])]
    assert_same_bits(torch.cat(parts, 1), whole)


def test_a_copy_has_no_ids_of_forwards_that_have_passed() -> None:
    net, noise = injected()
    noise.rows = IDS
    net(X)
    (other,) = ng.handles(copy.deepcopy(net))
    assert other.rows is None
    assert other.step == 1
    assert_same_bits(other.host.model(X), expected(1, range(32)))
    assert noise.rows == tuple(IDS)


def test_ids_of_parts_that_are_called_without_the_model() -> None:
    class Lit(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Identity()

    def of(step: int, ids: Any) -> Tensor:
        x = X[: len(ids)]
        noised: Tensor = ng.Dropout(0.5)(x, ng.Stream(13).site("net:out").at(step), rows=ids)
        return noised

    model = Lit()
    noise = ng.inject(model, {"net:out": 0.5}, seed=13)
    with noise.at(7):
        noise.rows = IDS
        assert_same_bits(model.net(X), of(7, IDS))
        noise.rows = IDS[:10]  # each assignment begins a forward of the parts
        assert_same_bits(model.net(X[:10]), of(7, IDS[:10]))
    with noise.at(8, rows={"net:out": IDS}):
        assert_same_bits(model.net(X), of(8, IDS))
    few = "inject: `rows` must name each of the 2 samples of the input once; got 4 rows."
    with noise.at(7, rows=range(4)), assert_sentence(ng.InvalidValue, few):
        model.net(X[:2])


def test_ids_by_rule_for_a_block() -> None:
    net, noise = injected()
    noise.rows = range(32)
    with noise.at(7, rows={"0:out": IDS}):
        assert_same_bits(net(X), expected(7))
    assert_same_bits(net(X), expected(0, range(32)))


def test_a_copy_has_ids_of_forwards_that_are_to_come() -> None:
    net, noise = injected()
    noise.rows = IDS
    (other,) = ng.handles(copy.deepcopy(net))
    assert other.rows == tuple(IDS)
    assert_same_bits(other.host.model(X), expected(0))


@dataclass
class Batch:
    """Samples that noisegate does not see in a model's arguments."""

    x: Tensor


class Unseen(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.drop, self.narrow, self.linear = nn.Identity(), nn.Identity(), nn.Linear(6, 6)

    def forward(self, batch: Batch) -> Tensor:
        x = self.drop(batch.x)
        self.narrow(x[:1])
        return self.linear(x)


UNKNOWN = (
    "rows: those of this micro-batch are unknown, since how many samples the step has had "
    "before it is: the model's inputs hold no tensors with axes, and the places with noise see "
    "different numbers of samples, or none. Name the samples: noise.rows = ids."
)


@pytest.mark.parametrize("rank", [None, 1])
def test_micro_batches_that_a_model_hides_go_on_in_rows(rank: int | None) -> None:
    noise = ng.inject(model := Unseen(), {"drop:out": 0.5}, seed=3)
    rows: Any = range(8)
    if rank is not None:
        noise.rows, rows = ng.RankRows("interleaved", rank, 2), range(rank, 16, 2)
    seen: list[Tensor] = []
    model.drop.register_forward_hook(lambda module, args, y: seen.append(y))
    x = torch.ones(8, 6)
    with noise.at(4):
        for part in (slice(0, 3), slice(3, 5), slice(5, 8)):
            model(Batch(x[part]))
    key = ng.Stream(3).site("drop:out").at(4)
    assert_same_bits(torch.cat(seen), ng.Dropout(0.5)(x, key, rows))


def test_micro_batches_of_unknown_extent_are_refused() -> None:
    noise = ng.inject(model := Unseen(), {"drop:out": 0.5, "narrow:out": 0.5}, seed=3)
    batch = Batch(torch.ones(4, 6))
    with noise.at(0):
        model(batch)
        with pytest.raises(ng.errors.InvalidValue) as caught:
            model(batch)
        assert str(caught.value) == UNKNOWN
    noise.rows = {"drop:out": range(4), "narrow:out": [0]}
    with noise.at(0):
        model(batch)
        model(batch)
    noise.remove()
    noise = ng.inject(model, {"linear:weight": 0.5}, seed=3)
    with noise.at(0):  # of the step, whatever its samples
        assert_same_bits(model(batch), model(batch))


def test_compiled_micro_batches_of_unknown_extent_are_refused() -> None:
    torch.compiler.reset()
    noise = ng.inject(model := Unseen(), {"drop:out": 0.5}, seed=3)
    call: Any = torch.compile(model, backend="aot_eager")
    batch = Batch(torch.ones(4, 6))
    for compiled_first in (False, True):
        with noise.at(0):
            first, second = (call, model) if compiled_first else (model, call)
            first(batch)
            if compiled_first:
                with pytest.raises(ng.errors.InvalidValue) as caught:
                    second(batch)
                assert str(caught.value) == UNKNOWN
            else:
                expected = ng.Dropout(0.5)(torch.ones(8, 6), ng.Stream(3).site("drop:out").at(0))
                assert_same_bits(second(batch), model.linear(expected[4:]))
