"""How much each rule mattered for the values of trials."""

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

from .space import Range, Ranged, Space

__all__ = ["importance"]

# Fewer trials tell nothing: a forest would fit whatever there is.
LEAST = 10


def importance(space: Space, trials: Sequence[FrozenTrial], seed: int) -> dict[str, float]:
    """Return the share that each rule has in what made values differ, in all 1.

    It is asked of what acted, by functional analysis of variance: a rule that is off has rate 0,
    whatever was suggested. Trials that were given up count with what they reached.

    Returns
    -------
    dict
        Rules to shares; empty with less than ten trials, or if all have one value.

    Reference: Hutter, Hoos and Leyton-Brown, "An efficient approach for assessing
    hyperparameter importance", ICML, 2014.
    """
    ended = [t for t in trials if t.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    values = {trial.value for trial in ended}
    if len(ended) < LEAST or len(values) < 2:
        return {}
    domains = {name: domain for rule in space.rules for name, domain in _domains(rule).items()}
    study = optuna.create_study()
    for trial in ended:
        acted = {
            name: number
            for rule in space.rules
            for name, number in _acted(rule, trial.params, space.always).items()
        }
        study.add_trial(create_trial(params=acted, distributions=domains, value=trial.value))
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=seed % 2**32)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    shares = {
        rule.name: math.fsum(found.get(n, 0.0) for n in _domains(rule)) for rule in space.rules
    }
    total = math.fsum(shares.values())
    return {name: share / total for name, share in shares.items()} if total > 0 else {}


def _domains(rule: Ranged) -> dict[str, BaseDistribution]:
    """Return what each of a rule's numbers can be, that of a rule that is off included."""
    if not rule.ranges:
        return {rule.on: CategoricalDistribution([False, True])}
    return {one.name: _domain(one) for one in rule.ranges}


def _domain(one: Range) -> BaseDistribution:
    if one.how == "int":
        return IntDistribution(int(_off(one)), int(one.high))
    return FloatDistribution(_off(one), one.high, log=one.how == "log")


def _acted(rule: Ranged, parameters: Mapping[str, Any], always: bool) -> dict[str, Any]:
    on = always or parameters[rule.on]
    if not rule.ranges:
        return {rule.on: on}
    return {one.name: parameters[one.name] if on else _off(one) for one in rule.ranges}


def _off(one: Range) -> float:
    """Return the number of no noise; the lower end of a logarithm, which has no 0."""
    return one.low if one.how == "log" else min(one.low, 0)
