"""Rows drawn at random: by class, by group, or plainly; and a seed for each purpose."""

from hashlib import blake2b

import numpy as np

from noisegate.core.errors import InvalidValue
from noisegate.study import messages

from .dataset import Dataset

__all__ = ["derived_seed", "drawn"]


def derived_seed(seed: int, purpose: str) -> int:
    """Return the 64-bit seed of one purpose: a hash, so that no two purposes share a stream."""
    return int.from_bytes(blake2b(f"{purpose} {seed}".encode(), digest_size=8).digest(), "little")


def drawn(dataset: Dataset, share: float, seed: int, purpose: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a share of the rows drawn at random, and before it the rest.

    Classification draws systematically through the rows in order of their classes, at random
    within a class: each class has its share, to less than one row. Groups are drawn whole, as many
    as come nearest to the share, whatever the task. Regression draws plainly.

    Parameters
    ----------
    dataset : Dataset
        Its classes and groups are looked at, its inputs are not.
    share : float
        Of the rows, in (0, 1); the part has ``share * rows`` rounded to whole rows, or groups.
    seed, purpose : int, str
        The same two draw the same rows; any other seed or purpose draws independently.

    Returns
    -------
    rest, part : ndarray
        Row numbers, int64, each in random order. Neither is empty.

    Raises
    ------
    InvalidValue
        If the share is out of bounds, or rows or groups are too few for it.

    Reference: Madow and Madow, "On the theory of systematic sampling", Annals of Mathematical
    Statistics, 1944.
    """
    if not 0 < share < 1:
        raise InvalidValue(messages.share_out_of_bounds(share))
    rng = np.random.default_rng(derived_seed(seed, purpose))
    if dataset.groups is not None:
        inside = _by_group(dataset.groups, share, rng)
    else:
        inside = _by_row(dataset, share, rng)
    order = rng.permutation(dataset.rows)
    return order[~inside[order]], order[inside[order]]


def _by_row(dataset: Dataset, share: float, rng: np.random.Generator) -> np.ndarray:
    rows = dataset.rows
    count = int(share * rows + 0.5)
    if not 0 < count < rows:
        raise InvalidValue(messages.too_few_to_draw(share, rows, "row"))
    order = rng.permutation(rows)
    inside = np.zeros(rows, bool)
    if dataset.task.is_classification:
        order = order[np.argsort(dataset.target[order], kind="stable")]
        inside[order] = _systematic(share, rows, count, rng)
    else:
        inside[order[:count]] = True
    return inside


def _systematic(share: float, rows: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return `count` marks among `rows`, evenly spaced: any m in a row have share * m, ± 1."""
    # The start is drawn from those that give `count`, the total nearest to the share.
    start = rng.uniform(max(0.0, count - share * rows), min(1.0, count + 1 - share * rows))
    steps = np.floor(share * np.arange(rows + 1) + start)
    # At either end rounding must not shift the total.
    steps[0], steps[-1] = 0, count
    return np.asarray(np.diff(steps) > 0)


def _by_group(groups: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    codes, sizes = np.unique(groups, return_counts=True)
    if len(codes) < 2:
        raise InvalidValue(messages.too_few_to_draw(share, len(codes), "group"))
    order = rng.permutation(len(codes))
    reached = np.cumsum(sizes[order])[:-1]
    count = int(np.argmin(np.abs(reached - share * len(groups)))) + 1
    return np.isin(groups, codes[order[:count]])
