"""Which rows the samples of one process have, in a group of processes that train one model."""

from collections.abc import Sequence
from dataclasses import dataclass

from . import checks
from .errors import InvalidValue, prefix_errors

# Replica r has the rows from r · 2**REPLICA_BITS on.
REPLICA_BITS, RANK_BITS = 48, 16

CONTIGUOUS, INTERLEAVED = "contiguous", "interleaved"
BATCHES, REPLICA = "batches", "replica"
POLICIES = (CONTIGUOUS, INTERLEAVED, BATCHES, REPLICA)
# The first row of a forward where it is unknown how many samples of the step came before.
UNKNOWN = 2**62


@dataclass(frozen=True, slots=True)
class RankRows:
    """What the samples of one process are, among those of all processes at a step.

    Parameters
    ----------
    policy : str
        With b samples in a forward of this rank, of which the step has had f before:

        ============= ===================================== ======================================
        policy        sample i has the row                  as dealt by
        ============= ===================================== ======================================
        contiguous    world · f + rank · b + i              one batch, cut into equal parts
        interleaved   world · (f + i) + rank                torch's ``DistributedSampler``
        batches       world · f + rank · B + i              whole batches in turn, as by Accelerate
        replica       rank · 2⁴⁸ + f + i                    any loader: ranks differ on purpose
        ============= ===================================== ======================================

        B is the most samples that a forward of this rank has had, so that a last batch may be
        smaller.
    rank : int, optional
        In [0, world); by default that of the default process group at each forward. Name both for
        a mesh in which some ranks have the same samples, as under tensor parallelism.
    world : int, optional
        How many ranks have samples of their own, in [1, 2¹⁶].

    Raises
    ------
    InvalidValue
        If the policy is unknown, if the rank is outside of the world, or if only one is given.

    Examples
    --------
    >>> import noisegate as ng
    >>> ng.RankRows("interleaved", rank=1, world=4).find(0, 3)
    range(1, 13, 4)
    """

    policy: str
    rank: int | None = None
    world: int | None = None

    def __post_init__(self) -> None:
        with prefix_errors("RankRows"):
            checks.make_choice_check(*POLICIES)("policy", self.policy)
            if self.rank is None and self.world is None:
                return
            if self.rank is None or self.world is None:
                raise InvalidValue(
                    f"`rank` and `world` belong together; got {self.rank!r} and {self.world!r}."
                )
            rank = checks.check_whole("rank", self.rank, RANK_BITS)
            if not rank < checks.check_whole("world", self.world, RANK_BITS + 1) <= 2**RANK_BITS:
                raise InvalidValue(
                    f"`rank` must be in [0, world), and `world` at most 2**{RANK_BITS}; got "
                    f"{self.rank} and {self.world}."
                )

    @property
    def numbers(self) -> tuple[int, int, int]:
        """The policy, the rank and the world as numbers, for compiled graphs."""
        return POLICIES.index(self.policy), self.rank or 0, self.world or 1

    @classmethod
    def read(cls, numbers: Sequence[int]) -> "RankRows":
        """Return the object with these `numbers`."""
        policy, rank, world = numbers
        return cls(POLICIES[policy], rank, world)

    @property
    def is_replica(self) -> bool:
        """Whether the rows of this rank are those of no other, however many it has."""
        return self.policy == REPLICA

    def deals_as(self, other: "RankRows") -> bool:
        """Return whether the samples of as many ranks are dealt in the same way."""
        return (self.policy, self.world) == (other.policy, other.world)

    @property
    def base(self) -> int:
        """The first row of a replica; 0 of the other policies."""
        return (self.rank or 0) << REPLICA_BITS if self.is_replica else 0

    def find(self, first: int, count: int, largest: int = 0) -> range:
        """Return the rows of the `count` samples of a forward, after `first` others of the step.

        `largest` is B, if a forward before had more samples.

        Raises
        ------
        InvalidValue
            If a replica has 2⁴⁸ samples or more in a step, or if a batch of ``"batches"`` follows
            one that is smaller than B.
        """
        rank, world = self.rank or 0, self.world or 1
        if self.policy == INTERLEAVED:
            start = first * world + rank
            return range(start, start + world * count, world)
        if self.is_replica:
            if (first + count) >> REPLICA_BITS:
                raise InvalidValue(
                    f"RankRows: a replica must have fewer than 2**{REPLICA_BITS} samples."
                )
            start = self.base + first
        else:
            extent = max(largest, count) if self.policy == BATCHES else count
            if extent and first % extent and self.policy == BATCHES:
                raise InvalidValue(
                    f"RankRows: 'batches' counts on {extent} samples in each micro-batch of a step "
                    f"but the last, as many as a forward has had; got {first} before this one. "
                    "Where batches have become smaller, declare anew: noise.rows = None, then "
                    "'batches'. Where they are uneven, give ids."
                )
            start = first * world + rank * extent
        return range(start, start + count)


def check_known(first: int) -> None:
    """Raise if it is unknown how many samples of a step came before a forward."""
    if first >= UNKNOWN:
        raise InvalidValue(
            "rows: those of this micro-batch are unknown, since how many samples the step has "
            "had before it is: the model's inputs hold no tensors with axes, and the places with "
            "noise see different numbers of samples, or none. Name the samples: noise.rows = ids."
        )
