"""Rates that grow with depth, in one rule."""

import json
from typing import Any

import pytest

import noisegate as ng
from _asserts import assert_sentence
from _residual import deep, inputs


def list_noises(noise: Any) -> list[str]:
    return [kind for _, kind, *_ in noise.report().rows]


def test_rates_go_in_equal_steps_from_the_first_site_to_the_last() -> None:
    noise = ng.inject(deep(5), {"layers.*:branch": ng.schedule.by_depth(0.0, 0.2)}, seed=3)
    rates = [one.kind.p for one in noise.plan.placements]
    assert rates == pytest.approx([0.0, 0.05, 0.1, 0.15, 0.2])
    assert (rates[0], rates[-1]) == (0.0, 0.2)
    assert list_noises(noise)[-1] == "Dropout(p=0.2, shared_axes='all_but_samples')"
    assert {one.rule for one in noise.plan.placements} == {"layers.*:branch"}


@pytest.mark.parametrize("port", ["inner:out", "drop:dropout", "inner:in"])
def test_any_port_takes_them(port: str) -> None:
    model = deep(3, drop=0.3)
    noise = ng.inject(model, {f"layers.*.{port}": ng.schedule.by_depth(0.1, 0.3)}, seed=3)
    model(inputs())
    assert [one.kind.p for one in noise.plan.placements] == pytest.approx([0.1, 0.2, 0.3])


def test_any_kind_takes_them_and_lists_may_hold_them() -> None:
    rates = ng.schedule.by_depth(ng.GaussianNoise(0.2), ng.GaussianNoise(0.0))
    noise = ng.inject(deep(3), {"layers.*.inner:out": [rates, 0.5]}, seed=3)
    assert list_noises(noise) == [
        "GaussianNoise(sigma=0.2)",
        "Dropout(p=0.5)",
        "GaussianNoise(sigma=0.1)",
        "Dropout(p=0.5)",
        "GaussianNoise(sigma=0.0)",
        "Dropout(p=0.5)",
    ]


def test_a_site_alone_has_the_last_rate() -> None:
    noise = ng.inject(deep(1), {"layers.*:branch": ng.schedule.by_depth(0.0, 0.2)}, seed=3)
    assert [one.kind.p for one in noise.plan.placements] == [0.2]


@pytest.mark.parametrize("ends", [(0.1, 0.4), (ng.GaussianNoise(0.1), ng.GaussianNoise(0.4))])
def test_the_config_goes_through_json(ends: tuple[object, object]) -> None:
    rates = ng.schedule.by_depth(*ends)
    config = json.loads(json.dumps(rates.config()))
    again = ng.schedule.by_depth(**config["by_depth"])
    rules = [{"layers.*:branch": one} for one in (rates, again)]
    first, second = (list_noises(ng.inject(deep(3), rule, seed=3)) for rule in rules)
    assert first == second
    assert len(set(first)) == 3


def test_what_has_no_rate_by_depth_is_refused() -> None:
    model = deep(3)
    with assert_sentence(
        ng.InvalidValue,
        "schedule.by_depth: its two noises must be of one kind and differ in the rate alone; got "
        "Dropout(p=0.1) and GaussianNoise(sigma=0.2).",
    ):
        kinds = ng.schedule.by_depth(ng.Dropout(0.1), ng.GaussianNoise(0.2))
        ng.inject(model, {"layers.*:branch": kinds}, seed=3)
    with assert_sentence(
        ng.InvalidType,
        "schedule.by_depth: its two rates must be numbers; a schedule has one at each step.",
    ):
        rates = ng.schedule.by_depth(0.0, ng.schedule.early(0.1, 3))
        ng.inject(model, {"layers.*:branch": rates}, seed=3)


def test_a_site_that_shows_in_a_forward_alone_is_refused() -> None:
    import torch
    import torch.nn.functional as F

    class Calling(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.dropout(x, 0.5, self.training)

    model = torch.nn.Sequential(Calling(), Calling())
    with assert_sentence(
        ng.InvalidValue,
        "inject: '*:dropout' has rates by depth, and '0:dropout' shows in a forward alone, where "
        "it has no place among the others. Give each of these sites a rule of its own.",
    ):
        ng.inject(model, {"*:dropout": ng.schedule.by_depth(0.1, 0.2)}, example=inputs(), seed=3)


def test_a_rate_that_is_set_may_grow_with_depth() -> None:
    model = deep(3)
    noise = ng.inject(
        model,
        {"layers.*:branch": 0.5, "layers.*.inner:weight": [0.5, ng.GaussianNoise(0.5)]},
        seed=3,
    )
    noise.set_rate("layers.*:branch", ng.schedule.by_depth(0.0, 0.2))
    noise.set_rate("layers.*.inner:weight", ng.schedule.by_depth(0.3, 0.1))
    assert list_noises(noise) == [
        "Dropout(p=0.0, shared_axes='all_but_samples')",
        "Dropout(p=0.1, shared_axes='all_but_samples')",
        "Dropout(p=0.2, shared_axes='all_but_samples')",
        *["Dropout(p=0.3)", "GaussianNoise(sigma=0.3)"],
        *["Dropout(p=0.2)", "GaussianNoise(sigma=0.2)"],
        *["Dropout(p=0.1)", "GaussianNoise(sigma=0.1)"],
    ]
    noise.set_rate("layers.[12]:branch", ng.schedule.by_depth(0.6, 0.7))
    assert [one.kind.p for one in noise.plan.placements[:3]] == [0.0, 0.6, 0.7]


def test_ends_that_are_no_rates_change_nothing() -> None:
    noise = ng.inject(deep(2), {"layers.*:branch": 0.5}, seed=3)
    before = list_noises(noise)
    with assert_sentence(
        ng.InvalidValue, "Dropout: `p` must be in [0, 1]; got 3.0. Did you mean 0.3?"
    ):
        noise.set_rate("layers.*:branch", ng.schedule.by_depth(0.0, 3))
    with assert_sentence(
        ng.InvalidType,
        "schedule.by_depth: its two rates must be numbers; a schedule has one at each step.",
    ):
        noise.set_rate("layers.*:branch", ng.schedule.by_depth(0.0, ng.schedule.early(0.1, 3)))
    assert list_noises(noise) == before
