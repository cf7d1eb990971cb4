"""Find the row of the field for each sample of a site, where rows do not simply count from 0."""

from collections.abc import Sequence
from typing import Any

from noisegate.core.errors import InvalidValue
from noisegate.core.plan import Placement
from noisegate.core.rank_rows import UNKNOWN
from noisegate.core.window import ATTENTION, SampleAxis, expand_rows, rows_count

from .running_forward import Forward, NotTogether
from .steps import Steps


class RowFinder:
    """Finds the rows of the samples that a site sees.

    In training a site must see the model's samples. In a prediction it may also see several per
    sample (windows, or tokens on the same axis), or entries that belong to no sample (positions).
    Forwards with two batch sizes distinguish these cases. Whether a site's samples lie in the
    model's order is checked by the prediction.
    """

    def __init__(self, steps: Steps, always: bool) -> None:
        self._steps, self._always = steps, always
        # By site, slot and call: the number of samples seen there, by batch size.
        self._seen: dict[tuple[str, int, int], dict[int, int]] = {}
        # Whether these numbers are compared; if not, all sites count as seeing the model's samples.
        self.compares = always

    def find(
        self, x: Any, axis: SampleAxis, placement: Placement, forward: Forward, call: int
    ) -> Any:
        """Return the row of each sample of x; None if they count from 0."""
        site = placement.site
        if axis is None:
            if forward.numbered and x.ndim and placement.sample_axis is not None:
                raise InvalidValue(
                    f"inject: the module at '{site}' takes a tensor of shape {tuple(x.shape)} for "
                    "one sample without a batch, so the rows of samples are not known there. Give "
                    "the model all samples at once, or leave the site out by a rule, "
                    f"{{'{site}': 0.0}}."
                )
            return None
        own = self._steps.find_ids(site, placement.rule)
        if own is not None:
            return own if forward.kept is None else _take_kept(own, site, *forward.kept)
        counts = forward.ids is None and not forward.first and forward.ranks is None
        if not self.compares and counts and not forward.shared:
            return None
        extent = x.shape[0 if axis == ATTENTION else axis]
        # With three axes, the heads of each sample lie one after the other on the first axis.
        heads_merged = axis == ATTENTION and x.ndim == 3
        if forward.shared:
            return (0,) * ((forward.batch or 1) if heads_merged else extent)
        if forward.takes_any(heads_merged):
            return forward.count_rows(extent)
        rows = forward.rows
        if self.compares:
            return self._compare((site, placement.slot, call), rows, extent)
        expected = len(rows)
        heads = extent // expected if heads_merged and expected else 1
        samples = forward.batch if heads_merged and forward.batch else expected
        if extent != expected * heads or samples != expected:
            raise self._other_extent(site, extent, forward)
        return rows

    def see(self, x: Any, axis: SampleAxis, forward: Forward) -> None:
        """Note how many samples a site sees in a forward whose batch is unknown."""
        merged = axis == ATTENTION and x.ndim == 3
        forward.see(UNKNOWN if merged else x.shape[0 if axis == ATTENTION else axis])

    def find_stray(self, x: Any, axis: SampleAxis) -> Any:
        """Return the rows of a module that is called outside of any forward; None from 0."""
        ranks = self._steps.find_ranks()
        if ranks is None or axis is None:
            return None
        return ranks.find(0, x.shape[0 if axis == ATTENTION else axis])

    def find_times(self, times: Any, site: str, forward: Forward) -> tuple[int, ...]:
        """Return the rows of time steps that a loop passes as samples.

        `times` are the loop's `TimeRows`, which hold if the model's samples count from 0. Otherwise
        its steps are applied to the rows of the model's samples.
        """
        if forward.together:
            raise NotTogether
        if not forward.numbered:
            return tuple(times)
        rows = (0,) * times.samples if forward.shared else forward.rows
        if forward.ranks is not None and forward.ranks.is_replica and forward.ids is None:
            # A sample's row times 2²⁰ would leave no bits for the replica.
            alone = times.of(range(forward.first, forward.first + times.samples))
            return tuple(forward.ranks.base + row for row in alone)
        if forward.takes_any():
            rows = forward.count_rows(times.samples)
        if len(rows) != times.samples:
            raise self._other_extent(site, times.samples, forward)
        return tuple(times.of(rows))

    @property
    def other(self) -> tuple[str, int, int] | None:
        """A site that saw another number of samples than the batch, with both numbers, or None."""
        for (site, *_), seen in self._seen.items() if self.compares else ():
            for batch, extent in seen.items():
                if extent != batch:
                    return site, extent, batch
        return None

    def _compare(
        self, use: tuple[str, int, int], rows: Sequence[int], extent: int
    ) -> Sequence[int] | None:
        """Return the rows of `extent` samples, inferred from the numbers in other batches."""
        batch = len(rows)
        if not batch:
            return None
        seen = self._seen.setdefault(use, {})
        same = seen.setdefault(batch, extent) == extent
        if rows == range(batch):
            return None
        each = extent // batch
        known = same and (len(seen) > 1 or each == 1)
        if known and all(total == each * count for count, total in seen.items()):
            return expand_rows(rows, each)
        if known and set(seen.values()) == {extent}:
            return None  # as many in every batch: positions and the like
        raise make_rows_error(use[0], extent, batch)

    def _other_extent(self, site: str, extent: int, forward: Forward) -> InvalidValue:
        """Return the error for a site that sees another number of samples than there are rows."""
        batch, count = forward.batch, len(forward.rows)
        # Without a batch, a part of the model is called by itself.
        named = extent if batch is None else batch
        if forward.ids is not None and (
            batch is None or (batch and batch != count and extent % batch == 0)
        ):
            return InvalidValue(f"inject: {rows_count(count, named)}")
        if self._always:
            return make_rows_error(site, extent, count)
        return InvalidValue(
            f"inject: the site '{site}' sees {extent} samples, and the model's forward has "
            f"{count}, so their rows are not known. Give them, noise.rows = {{'{site}': ids}}, or "
            "give the rule a sample_axis, or leave the site out."
        )


def _take_kept(ids: Sequence[int], site: str, kept: Sequence[int], count: int) -> Sequence[int]:
    """Return the ids given for a site, of the samples that the block around it keeps."""
    if len(ids) != count:
        raise InvalidValue(f"inject: '{site}', inside of a block: {rows_count(len(ids), count)}")
    return [ids[place] for place in kept]


def make_rows_error(site: str, extent: int, batch: int) -> InvalidValue:
    """Return the error for a site whose samples cannot be matched with the model's."""
    return InvalidValue(
        f"predict: the site '{site}' sees {extent} samples, and the model's forward has {batch}; "
        "which belong to which is unclear, so that batches would not have the noise of the whole. "
        "Pass all samples as one tensor, without batch_size and with quantiles=(), or leave the "
        f"site out, with existing=True by rules={{'{site}': 0.0}}."
    )
