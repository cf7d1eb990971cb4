"""What the callbacks of all libraries take: the arguments of `inject`, and rows."""

import json
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler

import noisegate as ng
from noisegate.loops.noise_loop import WORDS, NoiseLoop

RULES = {"0:out": 0.5}


def make_state(rules: Any, seed: int, **words: Any) -> ng.accelerate.NoiseState:
    return ng.accelerate.NoiseState(
        Accelerator(cpu=True), nn.Sequential(nn.Identity()), rules, seed, **words
    )


MAKERS = {
    "lightning": ng.lightning.NoiseCallback,
    "transformers": ng.transformers.NoiseCallback,
    "skorch": ng.skorch.NoiseCallback,
    "accelerate": make_state,
}


@pytest.mark.parametrize("library", MAKERS)
def test_an_unknown_argument_is_refused_at_once_with_the_nearest(library: str) -> None:
    speaker, own = "NoiseCallback", ", `log`"
    if library == "accelerate":
        speaker, own = "NoiseState", ""
    listed = ", ".join(f"`{name}`" for name in WORDS)
    with pytest.raises(ng.InvalidType) as error:
        MAKERS[library](RULES, 1, exsting=True)
    assert str(error.value) == (
        f"{speaker}: unknown keyword `exsting`; known are `rules`, `seed`, `rows`{own}, {listed}. "
        "Did you mean `existing`?"
    )


@pytest.mark.parametrize("library", MAKERS)
def test_rows_that_are_no_policy_are_refused_at_once(library: str) -> None:
    with pytest.raises(ng.InvalidValue, match=r"Did you mean 'interleaved'\?"):
        MAKERS[library](RULES, 1, rows="interleave")
    speaker = "NoiseState" if library == "accelerate" else "NoiseCallback"
    with pytest.raises(ng.InvalidType) as error:
        MAKERS[library](RULES, 1, rows=[1, 2])
    assert str(error.value) == (
        f"{speaker}: `rows` must be a policy or a RankRows; got [1, 2]. Ids of samples are "
        "assigned to the handle in each step of training: noise.rows = ids."
    )


@pytest.mark.parametrize("rows", ["contiguous", ng.RankRows("contiguous", 1, 2)])
def test_rows_go_before_what_the_loader_deals_and_after_what_the_user_assigns(rows: Any) -> None:
    numbers: Any = range(8)
    loader = DataLoader(numbers, 2, sampler=DistributedSampler(numbers, 2, 0))
    expected = ng.RankRows("contiguous") if rows == "contiguous" else rows
    model = nn.Sequential(nn.Identity())
    besides = ng.inject(model, {"0:in": 0.5}, seed=3)
    loop = NoiseLoop(RULES, 1, {}, rows)
    noise = loop.begin(model, loader)
    assert noise.rows == besides.rows == expected
    noise.rows = "batches"
    assert loop.begin(model, loader).rows == ng.RankRows("batches")
    loop.end()
    assert make_state(RULES, 1, rows=rows).rows == expected


def test_rows_of_a_state_that_are_others_are_refused() -> None:
    loop = NoiseLoop(RULES, 1, {}, "contiguous")
    loop.begin(nn.Sequential(nn.Identity()))
    resumed = NoiseLoop(RULES, 1, {}, "interleaved")
    resumed.load(loop.state())
    with pytest.raises(ng.InvalidValue, match="the state's `rows` are 'contiguous'"):
        resumed.begin(nn.Sequential(nn.Identity()))


def test_a_checkpoint_of_the_trainer_has_the_rows_unless_they_are_those_of_one_rank() -> None:
    def restore(rows: Any) -> Any:
        state = json.loads(json.dumps(ng.transformers.NoiseCallback(RULES, 1, rows=rows).state()))
        return ng.transformers.NoiseCallback(**state["args"])

    for rows in ("contiguous", ng.RankRows("contiguous")):
        noise = restore(rows)._loop.begin(nn.Sequential(nn.Identity()))
        assert noise.rows == ng.RankRows("contiguous")
    with pytest.raises(ng.InvalidValue, match="rank=0, world=2"):
        restore(ng.RankRows("contiguous", 0, 2))


def test_arguments_with_their_default_count_as_not_given() -> None:
    model = nn.Sequential(nn.Identity())
    noise = ng.inject(model, RULES, seed=1)
    words = WORDS | {"example": torch.ones(2)}
    assert not NoiseLoop(None, None, WORDS)._owned
    assert NoiseLoop(None, None, words)._owned
    assert NoiseLoop(None, None, WORDS).begin(model) is noise
