"""The importance of each rule: its share in what made the values of trials differ."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState, create_trial

from .space import Range, RangedRule, Space

# With fewer trials the evaluator's forest fits noise.
LEAST = 10


def compute_importance(space: Space, trials: Sequence[FrozenTrial], seed: int) -> dict[str, float]:
    """Return the share of each rule in the variance of the values; the shares add up to 1.

    They come from a functional analysis of variance over the noise that acted: a rule that is
    off counts with rate 0, whatever was suggested for it. Trials that were given up count with
    the value they reached. With fewer than ten trials, or if all have the same value, it is empty.

    Reference: Hutter, Hoos and Leyton-Brown, "An efficient approach for assessing
    hyperparameter importance", ICML, 2014.
    """
    ended = [t for t in trials if t.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    values = {trial.value for trial in ended}
    if len(ended) < LEAST or len(values) < 2:
        return {}
    domains = {name: domain for rule in space.rules for name, domain in _domains(rule).items()}
    # A study in memory: the one in the storage has what was suggested, not what acted.
    study = optuna.create_study()
    for trial in ended:
        acting = {
            name: number
            for rule in space.rules
            for name, number in _select_acting(rule, trial.params, space.always).items()
        }
        study.add_trial(create_trial(params=acting, distributions=domains, value=trial.value))
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=seed % 2**32)
    importances = optuna.importance.get_param_importances(study, evaluator=evaluator)
    shares = {
        rule.name: math.fsum(importances.get(n, 0.0) for n in _domains(rule))
        for rule in space.rules
    }
    total = math.fsum(shares.values())
    return {name: share / total for name, share in shares.items()} if total > 0 else {}


def _domains(rule: RangedRule) -> dict[str, BaseDistribution]:
    """Return the domain of each of a rule's numbers, with its number when the rule is off."""
    if not rule.ranges:
        return {rule.on: CategoricalDistribution([False, True])}
    return {one.name: _domain(one) for one in rule.ranges}


def _domain(one: Range) -> BaseDistribution:
    if one.how == "int":
        return IntDistribution(int(_number_when_off(one)), int(one.high))
    return FloatDistribution(_number_when_off(one), one.high, log=one.how == "log")


def _select_acting(rule: RangedRule, parameters: Mapping[str, Any], always: bool) -> dict[str, Any]:
    """Return the numbers that a rule acted with: those of no noise if it was off."""
    on = always or parameters[rule.on]
    if not rule.ranges:
        return {rule.on: on}
    return {one.name: parameters[one.name] if on else _number_when_off(one) for one in rule.ranges}


def _number_when_off(one: Range) -> float:
    """Return the number of no noise; the lower end of a logarithmic range, which has no 0."""
    return one.low if one.how == "log" else min(one.low, 0)
