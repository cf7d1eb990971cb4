"""How the samples of a site follow those of the model, in predictions that take them in parts."""

from collections.abc import Sequence

from noisegate.core import messages
from noisegate.core.errors import InvalidValue
from noisegate.core.window import spread

# A site, a slot and a call: one use of one noise in a forward.
Name = tuple[str, int, int]


class Extents:
    """How many samples each use of a site sees, for how many of the model's.

    A site may see several of each sample (windows, tokens in one axis), or some that belong to no
    sample at all (positions). Forwards of two different batches tell these apart, if what one of
    them gives shows that the samples of a site lie in the order of the model's.
    """

    def __init__(self) -> None:
        self._seen: dict[Name, dict[int, int]] = {}

    def rows(self, name: Name, ids: Sequence[int], extent: int) -> Sequence[int] | None:
        """Return the row of each sample of a site; None where they count from 0.

        Parameters
        ----------
        name : tuple
            Which use of which site.
        ids : sequence of int
            The rows of the model's samples.
        extent : int
            How many samples the site sees.

        Raises
        ------
        InvalidValue
            If batches that were seen leave open which sample they belong to.
        """
        batch = len(ids)
        if not batch:
            return None
        seen = self._seen.setdefault(name, {})
        same = seen.setdefault(batch, extent) == extent
        if ids == range(batch):
            return None
        each = extent // batch
        known = same and (len(seen) > 1 or each == 1)
        if known and all(total == each * count for count, total in seen.items()):
            return spread(ids, each)
        if known and set(seen.values()) == {extent}:
            return None  # of no sample
        raise InvalidValue(messages.unclear_rows(name[0], extent, batch))

    @property
    def other(self) -> tuple[str, int, int] | None:
        """A site that sees other samples than the model's: its name, and how many for how many."""
        for (site, *_), seen in self._seen.items():
            for batch, extent in seen.items():
                if extent != batch:
                    return site, extent, batch
        return None
