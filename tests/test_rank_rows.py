"""What the samples of a rank are: their noise is that of one process, whoever computes them."""

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import noisegate as ng
from _asserts import assert_same_bits

X = torch.arange(1.0, 24 * 6 + 1).reshape(24, 6)
WORLDS = (1, 2, 3, 4)
# By policy: the places in the whole batch that a rank has, as its loader deals them.
DEALT: dict[str, Callable[[int, int, int], list[int]]] = {
    "contiguous": lambda rank, world, n: list(
        range(n)[rank * n // world : (rank + 1) * n // world]
    ),
    "interleaved": lambda rank, world, n: list(range(n)[rank::world]),
    "batches": lambda rank, world, n: list(range(n)[rank * n // world : (rank + 1) * n // world]),
}


class Model(nn.Module):
    """Noise on features, on a part that sees other samples, and by a function."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Identity(), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(self.b(self.a(x)), 0.25, self.training)


RULES: dict[str, Any] = {"a:out": 0.5, "b:out": ng.GaussianNoise(0.5)}


def put(model: nn.Module) -> Any:
    return ng.inject(model, RULES, existing=True, seed=3)


def run_eager(model: nn.Module) -> Callable[[Tensor], Tensor]:
    return model


def run_compiled(model: nn.Module) -> Callable[[Tensor], Tensor]:
    return torch.compile(model, backend="aot_eager", fullgraph=True)


def run_checkpointed(model: nn.Module) -> Callable[[Tensor], Tensor]:
    return lambda x: checkpoint(model, x, use_reentrant=False)


def run_copied(model: nn.Module) -> Callable[[Tensor], Tensor]:
    copied: nn.Module = pickle.loads(pickle.dumps(copy.deepcopy(model)))
    return copied


RUNS = {run.__name__[4:]: run for run in (run_eager, run_compiled, run_checkpointed, run_copied)}


@pytest.mark.parametrize("policy", DEALT)
@pytest.mark.parametrize("way", RUNS)
def test_ranks_together_have_the_noise_of_one_process(policy: str, way: str) -> None:
    put(model := Model())
    whole = X.clone().requires_grad_()
    wholes = [model(whole) for _ in range(2)]
    (grads,) = torch.autograd.grad(wholes[1].sum(), whole)
    for world in (3,) if way == "compiled" else WORLDS:
        parts, found = torch.zeros(2, *X.shape), torch.zeros(X.shape)
        for rank in range(world):
            torch.compiler.reset()
            noise = put(model := Model())
            noise.rows = ng.RankRows(policy, rank, world)
            call = RUNS[way](model)
            places = DEALT[policy](rank, world, len(X))
            for step in range(2):
                x = X[places].requires_grad_()
                y = call(x)
                parts[step, places] = y.detach()
            (found[places],) = torch.autograd.grad(y.sum(), x)
        assert_same_bits(parts[0], wholes[0])
        assert_same_bits(parts[1], wholes[1])
        assert_same_bits(found, grads)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("policy", DEALT)
def test_micro_batches_of_a_step_follow_each_other_on_every_rank(
    policy: str, compiled: bool
) -> None:
    torch.compiler.reset()
    alone = put(model := Model())
    whole = model(X)
    alone.remove()
    world, each = 3, 4  # two micro-batches of 4 on each of three ranks
    for rank in range(world):
        noise = put(model := Model())
        noise.rows = ng.RankRows(policy, rank, world)
        call = run_compiled(model) if compiled else model
        with noise.at(0):
            for first in (0, world * each):
                dealt = [first + i for i in DEALT[policy](rank, world, world * each)]
                assert_same_bits(call(X[dealt]), whole[dealt])


def test_the_last_batch_dealt_may_be_smaller() -> None:
    alone = put(model := Model())
    wholes = [model(X[:8]), model(X[:7])]
    alone.remove()
    for compiled in (False, True):
        torch.compiler.reset()
        noise = put(model := Model())
        noise.rows = ng.RankRows("batches", 1, 2)
        call = run_compiled(model) if compiled else model
        assert_same_bits(call(X[4:8]), wholes[0][4:8])
        assert_same_bits(call(X[4:7]), wholes[1][4:7])
        state = json.loads(json.dumps(noise.state()))
        assert state["rows"] == {"policy": "batches", "declared": True, "world": 2, "largest": 4}
        # A process that resumes in the last batch knows how large a batch is.
        resumed = put(model := Model())
        resumed.rows = ng.RankRows("batches", 1, 2)
        resumed.load_state({**state, "step": 1})
        call = run_compiled(model) if compiled else model
        assert_same_bits(call(X[4:7]), wholes[1][4:7])
        # On more ranks batches are smaller.
        resumed = put(model := Model())
        resumed.rows = ng.RankRows("batches", 1, 4)
        resumed.load_state({**state, "step": 0})
        call = run_compiled(model) if compiled else model
        assert_same_bits(call(X[2:4]), wholes[0][2:4])


@pytest.mark.parametrize("compiled", [False, True])
def test_a_batch_dealt_after_a_smaller_one_of_its_step_is_refused(compiled: bool) -> None:
    torch.compiler.reset()
    noise = put(model := Model())
    noise.rows = ng.RankRows("batches", 1, 2)
    call = run_compiled(model) if compiled else model
    call(X[:4])
    with noise.at(1):
        call(X[:2])
        with pytest.raises(ng.errors.InvalidValue) as caught:
            call(X[2:4])
    assert str(caught.value).startswith(
        "RankRows: 'batches' counts on 4 samples in each micro-batch of a step but the last, as "
        "many as a forward has had; got 2 before this one. Where batches have become smaller, "
        "declare anew: noise.rows = None, then 'batches'. Where they are uneven, give ids."
    )
    noise.rows = None
    noise.rows = ng.RankRows("batches", 1, 2)
    whole = put(other := Model())
    with noise.at(1), whole.at(1):
        expected = other(X[:8])
        assert_same_bits(call(X[2:4]), expected[2:4])
        assert_same_bits(call(X[6:8]), expected[6:8])


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("rank", [0, 1, 2**16 - 1])
def test_a_replica_has_rows_of_its_own(rank: int, compiled: bool) -> None:
    torch.compiler.reset()
    noise = ng.inject(model := nn.Sequential(nn.Identity(), nn.Identity()), {"0:out": 0.5}, seed=3)
    noise.rows = ng.RankRows("replica", rank, 2**16)
    call = torch.compile(model, backend="aot_eager", fullgraph=True) if compiled else model
    key, base = ng.Stream(3).site("0:out"), rank * 2**48
    assert_same_bits(call(X), ng.Dropout(0.5)(X, key.at(0), range(base, base + 24)))
    with noise.at(5):
        assert_same_bits(call(X[:4]), ng.Dropout(0.5)(X[:4], key.at(5), range(base, base + 4)))
        rows = range(base + 4, base + 10)
        assert_same_bits(call(X[:6]), ng.Dropout(0.5)(X[:6], key.at(5), rows))
    expected = ng.mask(ng.Dropout(0.5), (6, 6), key.at(5), rows)
    assert (noise.mask("0:out") == expected).all()


class Windows(nn.Module):
    """A part that sees four windows of each sample, and one that sees positions."""

    def __init__(self) -> None:
        super().__init__()
        self.windows, self.positions = nn.Identity(), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        split = self.windows(x.reshape(len(x) * 2, 3)).reshape(x.shape)
        return split + self.positions(torch.ones(5, 6))[:1]


@pytest.mark.parametrize("compiled", [False, True])
def test_a_replica_differs_where_a_site_sees_other_samples(compiled: bool) -> None:
    torch.compiler.reset()
    rules = {"windows:out": 0.5, "positions:out": 0.5}
    noise = ng.inject(model := Windows(), rules, seed=3)
    noise.rows = ng.RankRows("replica", 2, 3)
    (torch.compile(model, backend="aot_eager", fullgraph=True) if compiled else model)(X)
    for site, shape in (("windows:out", (48, 3)), ("positions:out", (5, 6))):
        rows = range(2 * 2**48, 2 * 2**48 + shape[0])
        expected = ng.mask(ng.Dropout(0.5), shape, ng.Stream(3).site(site).at(0), rows)
        assert (noise.mask(site) == expected).all()
    noise.rows = ng.RankRows("contiguous", 2, 3)
    with pytest.raises(ng.errors.InvalidValue, match="rows"):
        model(X)


class Attends(nn.Module):
    """Attention probabilities, with and without an axis of heads."""

    def forward(self, x: Tensor) -> Tensor:
        q = x.reshape(len(x), 2, 3, 1).expand(-1, -1, -1, 4)
        return F.scaled_dot_product_attention(q, q, q).flatten(1)


@pytest.mark.parametrize("policy", [*DEALT, "replica"])
def test_attention_has_the_rows_of_a_rank(policy: str) -> None:
    whole = ng.inject(model := Attends(), {":probs": 0.5}, seed=3)
    y = model(X)
    whole.remove()
    noise = ng.inject(model, {":probs": 0.5}, seed=3)
    noise.rows = ng.RankRows(policy, 1, 3)
    if policy == "replica":
        model(X)
        key = ng.Stream(3).site(":probs").at(0)
        rows, kind = range(2**48, 2**48 + 24), ng.Dropout(0.5)
        expected = ng.mask(kind, (24, 2, 3, 3), key, rows, "attention")
        assert (noise.mask(":probs") == expected).all()
    else:
        places = DEALT[policy](1, 3, 24)
        assert_same_bits(model(X[places]), y[places])


def test_steps_of_a_loop_over_time_differ_between_replicas() -> None:
    inner = ng.nets.Dropout(0.5, seed=3, site="a")
    model = ng.nets.join(ng.nets.Input((4, 6)), ng.nets.TimeDistributed(inner, name="over"))
    noise = ng.inject(model, {"over.layer:dropout": 0.5}, seed=3)
    noise.rows = ng.RankRows("replica", 1, 2)
    model(X.reshape(6, 4, 6))
    rows = [2**48 + i * 2**20 + t for i in range(6) for t in range(4)]
    site = noise.sites[0]
    expected = ng.mask(ng.Dropout(0.5), (24, 6), ng.Stream(3).site(site).at(0), rows)
    assert (noise.mask(site) == expected).all()


def test_the_model_s_own_draws_have_the_rows_of_a_rank() -> None:
    class Draws(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + torch.rand_like(x)

    alone = ng.inject(model := Draws(), existing=True, seed=3)
    whole = model(X)
    alone.remove()
    for rank in range(3):
        noise = ng.inject(model := Draws(), existing=True, seed=3)
        noise.rows = ng.RankRows("interleaved", rank, 3)
        assert_same_bits(model(X[rank::3]), whole[rank::3])
    noise.rows = ng.RankRows("replica", 1, 3)
    assert not torch.equal(model(X), whole)


def test_the_report_and_the_state_have_it() -> None:
    noise = put(model := Model())
    assert "rows" not in noise.state()
    noise.rows = ng.RankRows("interleaved", 1, 4)
    assert "note: this is rank 1 of 4; its rows are 'interleaved'." in noise.report()
    assert noise.rows == ng.RankRows("interleaved", 1, 4)
    model(X)
    state = noise.state()
    declared = {"policy": "interleaved", "declared": True, "world": 4, "largest": 0}
    assert state["rows"] == declared
    other = put(Model())
    other.load_state({**state, "noises": other.state()["noises"]})
    assert other.rows == ng.RankRows("interleaved")  # of whichever rank it is
    assert other.state()["rows"] == {**declared, "world": 1}
    assert not any("rank" in note for note in other.report().notes)  # which is alone
    other.rows = ng.RankRows("replica", 0, 2)
    with pytest.raises(ng.errors.InvalidValue) as caught:
        other.load_state(state)
    assert str(caught.value) == (
        "load_state: the state's `rows` are 'interleaved', and this noise's 'replica'. Declare "
        "the same, or take them out of the state to go on with other rows: state.pop('rows')."
    )
    other.rows = [*range(24)]
    other.load_state(state)  # ids name each sample, whatever its rank
    other.rows = None
    other.load_state({**state, "rows": {**declared, "policy": "replica", "declared": False}})
    assert other.rows is None  # as nobody has declared


def test_ids_go_before_what_is_declared() -> None:
    put(model := Model())
    whole = model(X)
    noise = put(model := Model())
    noise.rows = ng.RankRows("contiguous", 3, 4)
    with noise.at(0, rows=range(24)):
        assert_same_bits(model(X), whole)
    with noise.at(0):
        assert_same_bits(model(X[18:]), whole[18:])
    with noise.at(0, rows="contiguous"):  # by the process group, which there is none
        assert_same_bits(model(X), whole)
    assert_same_bits(model(X[18:]), whole[18:])


@pytest.mark.parametrize("compiled", [False, True])
def test_members_of_a_map_follow_in_a_replica_and_are_refused_else(compiled: bool) -> None:
    torch.compiler.reset()
    noise = ng.inject(model := nn.Sequential(nn.Identity(), nn.Identity()), {"0:out": 0.5}, seed=3)

    def run(x: Tensor) -> Tensor:
        return torch.func.vmap(model, randomness="different")(x)

    call = torch.compile(run, backend="aot_eager", fullgraph=True) if compiled else run
    noise.rows = ng.RankRows("replica", 1, 2)
    rows = range(2**48, 2**48 + 24)
    whole = ng.Dropout(0.5)(X, ng.Stream(3).site("0:out").at(0), rows)
    assert_same_bits(call(X.reshape(4, 6, 6)).reshape(X.shape), whole)
    noise.rows = ng.RankRows("interleaved", 1, 2)
    with pytest.raises(ng.errors.InvalidValue) as caught:
        call(X.reshape(4, 6, 6))
    assert str(caught.value).startswith(
        "inject: the members of a map over different noise have no rows of their own under "
        "'interleaved'. Give the ids of the samples, or declare noise.rows = 'replica'."
    )
