"""The record of one trial."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Trial"]


@dataclass(frozen=True, slots=True)
class Trial:
    """One recipe that was tried.

    `state` is `finished`, `pruned` (given up after some of the seeds, since it was worse than the
    median) or `failed`. `value` is the mean validation loss over the seeds that were trained, None
    if it failed; `rules` is the recipe as the command line takes it, empty for no noise; `command`
    trains it again; `why` says why it failed.
    """

    number: int
    state: str
    value: float | None
    rules: str
    parameters: Mapping[str, Any]
    seeds: int
    seconds: float
    command: str
    why: str
