"""What the loops of all libraries share: steps, rows, states, rates, and what samplers deal."""

import copy
import json
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.data_loader import BatchSamplerShard, IterableDatasetShard
from lightning.fabric.utilities.distributed import DistributedSamplerWrapper
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, SequentialSampler
from torch.utils.data.distributed import DistributedSampler

import noisegate as ng
from _asserts import assert_same_bits
from _loops import assert_clean
from noisegate.loops.guards import Guard, find_caller
from noisegate.loops.noise_loop import NoiseLoop
from noisegate.loops.rule_configs import read_config, write_config
from noisegate.loops.samplers import find_policy

X = torch.ones(4, 8)
KEY = ng.Stream(13).site("0:out")


def make(rules: Any = None, **words: Any) -> tuple[nn.Sequential, NoiseLoop]:
    model = nn.Sequential(nn.Identity())
    loop = NoiseLoop({"0:out": 0.5} if rules is None else rules, 13, words)
    loop.begin(model)
    return model, loop


def expect(step: int, first: int = 0) -> Tensor:
    y: Tensor = ng.Dropout(0.5)(X, KEY.at(step), range(first, first + 4))
    return y


# Steps -------------------------------------------------------------------------------------------


def test_the_noise_acts_in_steps_alone_and_micro_batches_go_on() -> None:
    model, loop = make()
    assert model(X) is X
    for step in (0, 5):
        loop.open_step(step)
        assert model(X) is X
        with loop.act():
            assert_same_bits(model(X), expect(step))
        loop.open_step(step)
        with loop.act():
            assert_same_bits(model(X), expect(step, 4))
    loop.close_step()
    assert model(X) is X
    loop.end()
    assert_clean(model)
    loop.end()


def test_the_users_own_silence_stays() -> None:
    model, loop = make()
    assert loop.noise is not None
    loop.open_step(0)
    with loop.noise.off(), loop.act():
        assert model(X) is X
    with loop.act():
        assert model(X) is not X


def test_a_block_is_one_forward_on_its_batch_whatever_it_calls() -> None:
    class Parts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Identity(), nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.second(self.first(x))
            return y

    model = Parts()
    loop = NoiseLoop({"first:out": 0.5}, 13, {})
    loop.begin(model)
    key = ng.Stream(13).site("first:out").at(3)
    loop.open_step(3)
    for first in (0, 4):
        loop.open_step(3)
        rows = range(first, first + 4)
        for again in range(2):  # as a closure does
            with loop.hold([X, 0]):
                one = model.first(X) if again else model(X)
                two = model(X)
            assert_same_bits(one, ng.Dropout(0.5)(X, key, rows))
            call = ng.Stream(13).site("first:out").at(3, call=1)
            assert_same_bits(two, ng.Dropout(0.5)(X, call, rows))
    loop.end()
    with loop.hold([X]):  # where training is over
        assert model(X) is X


def test_ids_that_the_user_gives_win() -> None:
    model, loop = make()
    assert loop.noise is not None
    loop.open_step(0)
    loop.noise.rows = [7, 9, 11, 13]
    for _ in range(2):
        with loop.hold([X]):
            assert_same_bits(model(X), ng.Dropout(0.5)(X, KEY.at(0), [7, 9, 11, 13]))
    loop.close_step()


# States ------------------------------------------------------------------------------------------


def test_a_state_is_json_and_resumes_within_a_step() -> None:
    model, loop = make()
    loop.open_step(2)
    with loop.act():
        model(X)
    state = json.loads(json.dumps(loop.state()))
    assert (state["step"], state["samples"]) == (2, 4)
    other, resumed = nn.Sequential(nn.Identity()), NoiseLoop({"0:out": 0.5}, 13, {})
    resumed.load(state)
    assert resumed.state() == state
    resumed.begin(other)
    resumed.open_step(2)
    with resumed.act():
        assert_same_bits(other(X), expect(2, 4))
    resumed.open_step(3)
    with resumed.act():
        assert_same_bits(other(X), expect(3))


def test_the_loops_own_step_goes_before_that_of_the_state() -> None:
    _, loop = make()
    loop.load({**loop.state(), "step": 9, "samples": 4})
    model = nn.Sequential(nn.Identity())
    loop.begin(model)
    loop.open_step(2)
    with loop.act():
        assert_same_bits(model(X), expect(2))


def test_a_model_without_one_handle_is_refused() -> None:
    with pytest.raises(ng.InvalidValue) as error:
        NoiseLoop(None, None, {}).begin(nn.Linear(2, 2))
    assert str(error.value) == (
        "`rules` must be given, or the model must have noise by one handle; got none, and 0 "
        "handles."
    )


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_that_is_made_in_training_is_trained_without_the_noise_of_the_other(
    duplicate: Any,
) -> None:
    model, loop = make()
    loop.open_step(0)
    loop.unmute()
    copied = duplicate(model)
    again = duplicate(loop)
    assert len(ng.handles(copied)) == 1
    again.begin(copied)
    again.open_step(1)
    with again.act():
        assert_same_bits(copied(X), expect(1))
    again.end()
    assert_clean(copied)
    assert_same_bits(model(X), expect(0))


# Rates -------------------------------------------------------------------------------------------


def test_rates_are_what_the_last_masks_removed() -> None:
    model = nn.Sequential(nn.Identity(), nn.Identity(), nn.Identity(), nn.Identity())
    rules = {"0:out": [0.5, 0.25], "1:out": ng.GaussianNoise(0.1), "2:out": 0.5, "3:in": 0.0}
    noise = ng.inject(model, rules, seed=13)
    assert noise.rates() == {}
    with noise.at(4, rows=[3, 5, 7, 9]):
        model(X)
    rates = noise.rates()
    assert list(rates) == ["0:out", "2:out", "3:in"]
    assert rates["0:out"] == 1 - noise.mask("0:out", 4, [3, 5, 7, 9]).mean()
    assert rates["2:out"] == 1 - noise.mask("2:out", 4, [3, 5, 7, 9]).mean()
    assert rates["3:in"] == 0.0


def test_what_is_logged_has_the_present_values_of_schedules() -> None:
    model, loop = make({"0:out": ng.GaussianNoise(ng.schedule.linear(0.0, 1.0, steps=10))})
    loop.open_step(4)
    with loop.act():
        model(X)
    loop.close_step()
    assert loop.measure() == {"noise/0:out/sigma": 0.4}
    assert NoiseLoop({}, 1, {}).measure() == {}


# Samplers ----------------------------------------------------------------------------------------


class Numbers(IterableDataset[int]):
    def __iter__(self) -> Any:
        return iter(range(24))


def deal(kind: str, rank: int, world: int) -> DataLoader[int]:
    """Return the loader of a rank, of 24 numbers in batches of 24 / world / 2 for each rank."""
    numbers: Any = range(24)
    share = 12 // world
    if kind == "interleaved":
        return DataLoader(numbers, share, sampler=DistributedSampler(numbers, world, rank, False))
    if kind == "wrapped":
        sampler = DistributedSamplerWrapper(
            SequentialSampler(numbers), num_replicas=world, rank=rank, shuffle=False
        )
        return DataLoader(numbers, share, sampler=sampler)
    if kind == "iterable":
        shard = IterableDatasetShard(Numbers(), share, num_processes=world, process_index=rank)
        return DataLoader(shard, share)  # type: ignore[arg-type]
    whole = kind != "batches"
    batches = BatchSampler(SequentialSampler(numbers), share * (world if whole else 1), False)
    even = kind != "uneven"
    shards = BatchSamplerShard(batches, world, rank, split_batches=whole, even_batches=even)
    return DataLoader(numbers, batch_sampler=shards)  # type: ignore[arg-type]


KINDS = {
    "interleaved": "interleaved",
    "wrapped": "interleaved",
    "batches": "batches",
    "split": "contiguous",
    "uneven": "batches",
    "iterable": "contiguous",
}


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_the_rows_of_a_rank_are_the_places_of_its_samples(kind: str, world: int) -> None:
    for rank in range(world):
        loader = deal(kind, rank, world)
        policy = find_policy(loader)
        assert policy == KINDS[kind]
        ranks, had = ng.RankRows(policy, rank, world), 0
        for batch in loader:
            assert list(ranks.find(had, len(batch))) == batch.tolist()
            had += len(batch)


def test_what_other_loaders_deal_is_unknown() -> None:
    assert find_policy(DataLoader(range(4))) is None  # type: ignore[arg-type]
    assert find_policy(None) is None
    batches = BatchSampler(SequentialSampler(range(4)), 2, False)
    loader: Any = DataLoader(range(4), batch_sampler=BatchSamplerShard(batches))  # type: ignore[arg-type]
    assert find_policy(loader) is None  # of one process, or what it wraps knows the ranks


def test_several_loaders_deal_what_all_of_them_deal() -> None:
    one, two, other = (deal(kind, 0, 2) for kind in ("interleaved", "wrapped", "batches"))
    assert find_policy([one, two]) == find_policy({"a": one, "b": [two]}) == "interleaved"
    assert find_policy((one, other)) is None
    assert find_policy([one, DataLoader(range(4))]) is None  # type: ignore[arg-type]
    assert find_policy([]) is None


def test_what_the_sampler_deals_is_declared_unless_the_user_has() -> None:
    for given, expected in ((None, "interleaved"), ("replica", "replica")):
        model = nn.Sequential(nn.Identity())
        noise = ng.inject(model, {"0:out": 0.5}, seed=13)
        noise.rows = given
        NoiseLoop(noise, None, {}).begin(model, deal("interleaved", 0, 2))
        assert noise.rows == ng.RankRows(expected)


# Helpers -----------------------------------------------------------------------------------------


class Owner:
    def work(self, fails: bool) -> str:
        if fails:
            raise KeyboardInterrupt
        return "done"

    def find(self) -> Any:
        return find_caller(Owner)


def test_a_guard_is_told_of_exceptions_and_is_not_copied() -> None:
    owner, told = Owner(), []
    guard = Guard(owner, "work", lambda: told.append(1))
    assert owner.work(False) == "done"
    assert not told
    with pytest.raises(KeyboardInterrupt):
        owner.work(True)
    assert told == [1]
    for copied in (copy.deepcopy(owner), pickle.loads(pickle.dumps(owner))):
        with pytest.raises(KeyboardInterrupt):
            copied.work(True)
        assert copied.work.__self__ is copied
    assert told == [1]
    guard.remove()
    assert not vars(owner)
    guard.remove()


def test_a_guard_calls_what_the_instance_has_and_gives_it_back() -> None:
    owner: Any = Owner()
    owner.work = own = lambda fails: "own"
    guard = Guard(owner, "work", lambda: None)
    assert owner.work(True) == "own"
    guard.remove()
    assert owner.work is own


def test_the_nearest_caller_of_a_class_is_found() -> None:
    owner = Owner()
    assert owner.find() is owner
    assert find_caller(Owner) is None


def test_rules_go_through_json() -> None:
    rules = {
        "a:out": 0.5,
        "b:out": [ng.GaussianNoise(0.1), ng.schedule.linear(0.0, 0.5, steps=10)],
        "c:branch": ng.schedule.by_depth(np.float32(0.0), ng.Dropout(0.5)),
        "d:out": np.float32(0.1),
        "sample_axis": {"a:out": 1},
    }
    written = json.loads(json.dumps(write_config(rules)))
    assert read_config(written) == rules
