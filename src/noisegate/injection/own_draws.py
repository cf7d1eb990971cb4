"""Give each draw of a model's own code its key and its rows."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import prod
from typing import Any, NamedTuple

from noisegate.core import checks
from noisegate.core.keys import DRAW, Key
from noisegate.core.philox import philox4x32
from noisegate.core.plan import name_draw
from noisegate.core.survey import OwnDraw
from noisegate.core.window import expand_rows

from .running_forward import Forward, NotTogether

Shape = tuple[int, ...]


class Choices(NamedTuple):
    """How `inject` treats what may be treated in several ways, in its words."""

    unreached: str = "raise"
    draws: str = "all"
    tied: str | None = None

    def check(self) -> None:
        """Raise if a word is none that `inject` knows."""
        checks.make_choice_check("raise", "keep")("unreached", self.unreached)
        checks.make_choice_check("all", "dropout")("draws", self.draws)
        if self.tied is not None:
            checks.make_choice_check("each", "all")("tied", self.tied)


USUAL = Choices()

# The site by which Python's and NumPy's generators are seeded for a forward.
GENERATORS = ":generators"


class BatchAxis(NamedTuple):
    """Where a drawn array holds the model's samples: the axis, and its entries per sample."""

    axis: int
    each: int


class Part(NamedTuple):
    """A part of a drawn array, along its first axis: its key, and the rows of its samples.

    Without samples, `rows` and `axis` are None.
    """

    key: Key
    rows: Sequence[int] | None
    axis: int | None


class OwnDraws:
    """The draws of a model into which noise was put, by site.

    With `of_dropouts`, what is no dropout is left to torch.

    Runs with different batches tell which axis of a draw holds samples. Without such runs, it is
    the first axis, if it has as many entries as the batch.
    """

    def __init__(self, seed: int, of_dropouts: bool) -> None:
        self.seed, self.of_dropouts = seed, of_dropouts
        # By site: what the runs have told.
        self.known: dict[str, BatchAxis | None] = {}
        # In a run that tells it, by site: the shape of each draw.
        self.shapes: dict[str, list[Shape]] = {}
        # Whether any draw was made; and the sites where samples have rows.
        self.acted = False
        self.by_sample: set[str] = set()

    def make_words(self, step: int) -> tuple[int, ...]:
        """Return the four words of 32 bits by which other generators are seeded in a forward."""
        return philox4x32((0, 0, 0, step), Key(self.seed, GENERATORS, 0, 0, step).plane(DRAW, 0))

    def note_shape(self, site: str, shape: Shape) -> list[Part]:
        """Note the shape of a draw in a run with one of the batches; return what serves it there.

        A single number is left to the run, which holds those that decide what the model skips.
        """
        self.shapes.setdefault(site, []).append(shape)
        return [Part(Key(self.seed, site, 0, 0, 0), None, None)] if prod(shape) > 1 else []

    def find_axes(self, host: Any, example: Any) -> None:
        """Find the axis of samples of each draw of a run on an example, by runs on more samples."""
        shapes, count = self._take_shapes(), host.count_samples(example)
        if not shapes or not count:
            return
        batches, runs = [count, 2 * count, count + 1], [shapes]
        for batch in batches[1:]:
            rows = [row % count for row in range(batch)]
            with suppress(Exception):  # a model for one size of batch
                host.dry_run(host.take_part(example, rows, count))
            runs.append(self._take_shapes())
        for site in shapes:
            uses = zip(*(run.get(site, []) for run in runs), strict=False)
            same = len({len(run.get(site, [])) for run in runs}) == 1
            found = {find_samples(batches, use) for use in uses}
            self.known[site] = found.pop() if same and len(found) == 1 else None

    def _take_shapes(self) -> dict[str, list[Shape]]:
        """Return the shapes of a run, and forget them."""
        shapes, self.shapes = self.shapes, {}
        return shapes

    def find(self, site: str, shape: Shape, forward: Forward) -> list[Part]:
        """Return the parts of a draw in a forward: one, or one for each step computed together."""
        self.acted = True
        number = forward.calls.get(site, 0)
        forward.calls[site] = number + 1
        steps = forward.together or (forward.step,)
        whole = (shape[0] // len(steps), *shape[1:]) if forward.together and shape else shape
        samples = self._find_samples(site, whole, forward)
        axis, rows = None, None
        if samples is not None:
            self.by_sample.add(site)
            axis = samples.axis
            count = whole[axis] // samples.each
            own = (0,) * count if forward.shared else forward.rows
            if len(own) != count:
                own = forward.count_rows(count) if forward.takes_any() else range(count)
            rows = expand_rows(own, samples.each)
        if forward.together and (axis != 0 or shape[0] % len(steps)):
            raise NotTogether
        return [Part(Key(self.seed, site, 0, number, step), rows, axis) for step in steps]

    def _find_samples(self, site: str, shape: Shape, forward: Forward) -> BatchAxis | None:
        if site not in self.known:
            batch = len(forward.rows)
            return BatchAxis(0, 1) if shape and batch and shape[0] == batch else None
        samples = self.known[site]
        if samples is not None and len(shape) > samples.axis:
            return samples
        return None

    def describe(self, draws: Mapping[str, OwnDraw]) -> list[str]:
        """Return a sentence for each draw that is made from the seed, for the report."""
        sentences = []
        for site, draw in draws.items():
            each = site in self.by_sample or self.known.get(site)
            whose = "each sample" if each else "the whole batch"
            how = f"'{site}' ({draw.words}) is drawn from the seed"
            if draw.seeded:
                how = f"{name_draw(draw)} is seeded for each forward"
            sentences.append(f"{how}: the numbers of {whose}.")
        return sentences


def find_samples(batches: Sequence[int], shapes: Sequence[Shape]) -> BatchAxis | None:
    """Return the axis of samples of an array, from its shapes in runs with several batches.

    It is the only axis that varies, in proportion to the batch. None if there is no such axis.
    """
    if len({len(shape) for shape in shapes}) != 1:
        return None
    extents = list(zip(*shapes, strict=True))
    vary = [axis for axis, sizes in enumerate(extents) if len(set(sizes)) > 1]
    if len(vary) != 1:
        return None
    each = {divmod(size, batch) for size, batch in zip(extents[vary[0]], batches, strict=True)}
    number, rest = each.pop()
    return None if each or rest else BatchAxis(vary[0], number)
