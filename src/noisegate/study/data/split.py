"""Split rows at random, by class, by group or plainly; and check that each part has enough."""

from collections.abc import Mapping, Sequence
from hashlib import blake2b

import numpy as np

from noisegate.core.errors import InvalidValue

from .dataset import Dataset
from .header import SHOWN, count_text

# A class or a part of fewer rows is refused; one below the second bound is noted.
LEAST_CLASS, SMALL_CLASS = 3, 10
LEAST_PART, SMALL_PART = 5, 30


def derived_seed(seed: int, purpose: str) -> int:
    """Return the 64-bit seed of one purpose: a hash, so that no two purposes share a stream."""
    return int.from_bytes(blake2b(f"{purpose} {seed}".encode(), digest_size=8).digest(), "little")


def split_rows(
    dataset: Dataset, share: float, seed: int, purpose: str
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a share of the rows at random; return the rest, then the share.

    Classification draws systematically through the rows in order of their classes, at random
    within a class: each class has its share, to less than one row. Groups are drawn whole, as many
    as come nearest to the share, whatever the task. Regression draws plainly.

    Both are row numbers, int64, in random order; neither is empty. The share has ``share * rows``
    rounded to whole rows, or groups. The same seed and purpose draw the same rows; any other seed
    or purpose draws independently.

    Reference: Madow and Madow, "On the theory of systematic sampling", Annals of Mathematical
    Statistics, 1944.
    """
    if not 0 < share < 1:
        raise InvalidValue(
            f"study: a share of the rows must be in (0, 1); got {share!r}. Write for example 0.2."
        )
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
        raise _one_sided(share, rows, "row")
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
        raise _one_sided(share, len(codes), "group")
    order = rng.permutation(len(codes))
    reached = np.cumsum(sizes[order])[:-1]
    count = int(np.argmin(np.abs(reached - share * len(groups)))) + 1
    return np.isin(groups, codes[order[:count]])


def check_parts(search: Dataset, test: Dataset, share: float, seeds: int) -> tuple[str, ...]:
    """Refuse data with too few rows of a class or in a part; return notes where they are few.

    `share` is that of the validation rows in `search`. The sizes are of the seed that makes the
    smallest part. Those of a class are of the first seed that leaves it out of a part, or of
    seed 0.
    """
    # Without groups all seeds have parts of the same sizes, but classes may differ by a row.
    alike = search.groups is None and not search.task.is_classification
    splits = [
        [*(search.target[rows] for rows in split_rows(search, share, seed, "split")), test.target]
        for seed in range(1 if alike else seeds)
    ]
    sizes = min(([len(part) for part in parts] for parts in splits), key=min)
    counts = _count_classes(splits, search.task.classes)
    totals = {name: int(parts[0].sum()) for name, parts in counts.items()}
    rare = {name: count_text(n, "row") for name, n in totals.items() if n < LEAST_CLASS}
    if rare:
        raise InvalidValue(
            f"study: each class must have at least {LEAST_CLASS} rows, to train on, to validate on "
            f"and to test on; got {_list_classes(rare)}. Leave out the rows of such a class, or "
            f"join it with another; if `{search.target_name}` is a quantity, give --task "
            "regression."
        )
    if min(sizes) < LEAST_PART:
        raise InvalidValue(
            f"study: each part must have at least {LEAST_PART} rows; got {_name_parts(sizes)}. "
            "Bring more rows, or change the shares."
        )
    untrained = _find_seeds(counts, slice(1))
    if untrained:
        named = {name: _name_seed(counts[name], seed) for name, seed in untrained.items()}
        grouped = search.groups is not None
        raise InvalidValue(
            "study: each class must have rows to train on, for every seed; got "
            f"{_list_classes(named)}. Bring more {'groups' if grouped else 'rows'}, join such "
            "a class with another or leave it out, or "
            f"{'study without --split' if grouped else 'change the shares'}."
        )
    missing = _find_seeds(counts, slice(1, 3))
    few = {
        name: _name_parts(counts[name][missing.pop(name, 0)])
        for name, n in totals.items()
        if n < SMALL_CLASS
    }
    notes = []
    if min(sizes) < SMALL_PART:
        notes.append(f"There are few rows: {_name_parts(sizes)}.")
    if few:
        notes.append(f"Classes have few rows: {_list_classes(few)}.")
    if missing:
        named = {name: _name_seed(counts[name], seed) for name, seed in missing.items()}
        notes.append(f"Classes are missing from a part: {_list_classes(named)}.")
    return tuple(notes)


def _count_classes(
    splits: list[list[np.ndarray]], classes: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """Return the rows of each class, (seeds, parts)."""
    if not classes:
        return {}
    counts = [[np.bincount(part, minlength=len(classes)) for part in parts] for parts in splits]
    return dict(zip(classes, np.moveaxis(np.array(counts), -1, 0), strict=True))


def _find_seeds(counts: Mapping[str, np.ndarray], parts: slice) -> dict[str, int]:
    """Return the first seed that leaves a class out of one of some parts, for each such class."""
    missing = {name: (of_seeds[:, parts] == 0).any(axis=1) for name, of_seeds in counts.items()}
    return {name: int(seeds.argmax()) for name, seeds in missing.items() if seeds.any()}


def _name_seed(counts: np.ndarray, seed: int) -> str:
    return f"{_name_parts(counts[seed])} for seed {seed}"


def _name_parts(counts: Sequence[int] | np.ndarray) -> str:
    train, validation, test = counts
    return f"{train} to train on, {validation} to validate on, {test} to test on"


def _list_classes(classes: Mapping[str, str]) -> str:
    shown = [f"`{name}` with {count}" for name, count in classes.items()]
    return "; ".join(shown[:SHOWN]) + f"; and {len(shown) - SHOWN} more" * (len(shown) > SHOWN)


def _one_sided(share: float, count: int, what: str) -> InvalidValue:
    return InvalidValue(
        f"study: a share of {share:g} must leave {what}s on both sides; got "
        f"{count_text(count, what)}. Bring more, or change the share."
    )
