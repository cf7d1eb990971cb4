"""Statistics that raise: each refuses results that are very improbable by chance.

Every test draws under fixed keys, so a test that passes once always passes. Each statistic here
has a planted fault that it must refuse, in `test_statistics.py` or `test_independence.py`.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, islice, product, zip_longest

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.special import kolmogorov, ndtr
from scipy.stats import binom, chi2, norm

import noisegate as ng
from _asserts import assert_within
from noisegate.core.draws import Draws
from noisegate.core.window import OFFSET_BITS, Window, window_of
from noisegate.engines.numpy import NumpyEngine

Floats = NDArray[np.floating]
Counts = NDArray[np.integer]
Words = NDArray[np.int64]

FAMILY = 1e-6  # chance that a family of comparisons refuses true noise
SITE = "hid1:out"


def bonferroni(comparisons: int) -> float:
    """Largest |z| that a family of this many normal z may show, at the family's level."""
    return float(norm.isf(FAMILY / (2 * comparisons)))


def assert_small(name: str, z: Floats) -> None:
    """The largest |z| lies below the Bonferroni bound; it is printed."""
    largest, bound = float(np.abs(z).max()), bonferroni(z.size)  # NaN spreads through max
    print(f"{name}: largest of {z.size:,} |z| is {largest:.2f}, bound {bound:.2f}")
    if not largest <= bound:
        raise AssertionError(f"{name}: |z| = {largest:.2f} of {z.size} z passes {bound:.2f}")


def assert_independent(name: str, z: Floats) -> None:
    """No z is large, and together they have mean 0 and variance 1: faint relations add up."""
    assert_small(name, z)
    assert_within(z.mean(), 0, z.size**-0.5)
    assert_within((z.astype(np.float64) ** 2).mean(), 1, (2 / z.size) ** 0.5)


def assert_chance(name: str, chance: float, comparisons: int = 1) -> None:
    """A probability of what was seen is not below the family's level."""
    if not chance >= FAMILY / comparisons:
        raise AssertionError(f"{name}: what was seen has a chance of {chance:.2g}")


def assert_cells(name: str, counts: Counts, comparisons: int = 1) -> None:
    """Counts of equally likely cells are neither too uneven nor too even."""
    expected = counts.sum() / counts.size
    if not expected >= 25:
        raise AssertionError(f"{name}: {expected:.3g} a cell are too few for chi square")
    statistic = float(((counts - expected) ** 2).sum() / expected)
    low, high = (tail(statistic, counts.size - 1) for tail in (chi2.cdf, chi2.sf))
    assert_chance(name, 2 * min(low, high), comparisons)


def assert_spread(counts: Counts, trials: int, p: float) -> None:
    """Binomial counts of many samples vary as much as independent removals do."""
    variance = trials * p * (1 - p)
    # Fourth central moment of a binomial count, in units of its variance squared.
    fourth = 3 + (1 - 6 * p * (1 - p)) / variance
    mean_square = (((counts - trials * p) ** 2) / variance).mean()
    assert_within(mean_square, 1, ((fourth - 1) / counts.size) ** 0.5)


def assert_patterns(name: str, bits: NDArray[np.bool_], comparisons: int = 1) -> None:
    """All 2**k patterns of k fair bits, shape (n, k), are equally frequent."""
    width = bits.shape[1]
    patterns = bits.astype(np.int64) @ (1 << np.arange(width))
    assert_cells(name, np.bincount(patterns, minlength=1 << width), comparisons)


# The shape of one distribution


def normal_moment(k: int) -> float:
    """E x**k of N(0, 1)."""
    return 0.0 if k % 2 else float(math.prod(range(1, k, 2)))


def uniform_moment(k: int) -> float:
    """E x**k of the uniform distribution on (-1, 1)."""
    return 0.0 if k % 2 else 1 / (k + 1)


def uniform_cdf(x: Floats) -> Floats:
    return (x + 1) / 2


CELLS = 1 << 16
TAILS = np.array([0.5, 1, 2, 3, 4, 4.5, 5, 5.5, 6])


@dataclass
class Tally:
    """What is kept of a sample that is too large to be held at once."""

    cdf: Callable[[Floats], Floats] = ndtr
    count: int = 0
    powers: Floats = field(default_factory=lambda: np.zeros(6))
    cells: Counts = field(default_factory=lambda: np.zeros(CELLS, np.int64))
    beyond: Counts = field(default_factory=lambda: np.zeros((2, TAILS.size), np.int64))

    def add(self, values: Floats) -> "Tally":
        """Count a chunk of the sample."""
        x = values.reshape(-1).astype(np.float64)
        self.count += x.size
        cell = np.minimum((self.cdf(x) * CELLS).astype(np.int64), CELLS - 1)
        self.cells += np.bincount(cell, minlength=CELLS)
        for side, sign in enumerate((-1, 1)):
            outer = x[sign * x > TAILS[0]] * sign
            self.beyond[side] += [np.count_nonzero(outer > bound) for bound in TAILS]
        power = np.ones_like(x)
        for k in range(self.powers.size):
            power *= x
            self.powers[k] += power.sum()
        return self


def assert_moments(tally: Tally, moment: Callable[[int], float] = normal_moment) -> None:
    """Moments 1 to 6 lie within 5 standard deviations."""
    for k, total in enumerate(tally.powers, start=1):
        variance = moment(2 * k) - moment(k) ** 2
        sd = (variance / tally.count) ** 0.5
        print(f"moment {k}: {(total / tally.count - moment(k)) / sd:+.2f} sd")
        assert_within(total / tally.count, moment(k), sd)


def assert_distribution(tally: Tally) -> None:
    """Kolmogorov-Smirnov, read at the edges of 65,536 equally likely cells."""
    share = np.cumsum(tally.cells) / tally.count
    distance = np.abs(share - np.arange(1, CELLS + 1) / CELLS).max() * tally.count**0.5
    print(f"Kolmogorov-Smirnov: {distance:.3f}, chance {kolmogorov(distance):.3f}")
    assert_chance("Kolmogorov-Smirnov", kolmogorov(distance))


def assert_cells_of(tally: Tally, cells: int = 4096) -> None:
    """Chi square on equally likely cells."""
    assert_cells("chi square", tally.cells.reshape(cells, -1).sum(axis=1))


def assert_tails(tally: Tally) -> None:
    """The exact binomial chances of the counts beyond each bound, on either side."""
    p = ndtr(-TAILS)
    low, high = (
        binom.cdf(tally.beyond, tally.count, p),
        binom.sf(tally.beyond - 1, tally.count, p),
    )
    assert_chance("tails", 2 * np.minimum(low, high).min(), tally.beyond.size)


def assert_normal(tally: Tally) -> None:
    """A sample is one of N(0, 1), by every statistic here."""
    assert_moments(tally)
    assert_distribution(tally)
    assert_cells_of(tally)
    assert_tails(tally)


# Relations between fields, each a row of standardised numbers


def standard_removal(keep: NDArray[np.bool_], p: float) -> Floats:
    """Removals as flat float32 numbers of mean 0 and variance 1."""
    low, high = -((p / (1 - p)) ** 0.5), ((1 - p) / p) ** 0.5
    return np.where(keep.reshape(-1), np.float32(low), np.float32(high))


def pair_z(fields: Floats) -> Floats:
    """Correlation z of every pair of fields, shape (fields, elements)."""
    products = (fields @ fields.T)[np.triu_indices(len(fields), 1)]
    return products.astype(np.float64) / fields.shape[1] ** 0.5


def lag_z(fields: Floats, lag: int) -> Floats:
    """Correlation z of each field with itself, `lag` elements on."""
    products = np.vecdot(fields[:, :-lag], fields[:, lag:])
    return products.astype(np.float64) / (fields.shape[1] - lag) ** 0.5


def shift_z(first: Floats, second: Floats) -> Floats:
    """Correlation z of two fields at every circular shift; of a field and itself, but 0."""
    spectrum = np.conj(fft.rfft(first)) * fft.rfft(second)
    z: Floats = fft.irfft(spectrum, first.size) / np.float32(first.size**0.5)
    # Shifts k and -k of one field are the same.
    return z[1 : first.size // 2] if first is second else z


def bit_pair_z(samples: Words) -> Floats:
    """Correlation z of every two bits of samples of words, shape (samples, words)."""
    octets = samples.astype("<u4").view(np.uint8)
    bits = np.unpackbits(octets, axis=1).astype(np.float32).T * 2 - 1
    return pair_z(bits)


def bit_z(samples: Words) -> Floats:
    """z of each of the 32 bits being 1 half of the time."""
    ones = np.array([np.count_nonzero(samples >> bit & 1) for bit in range(32)])
    return (2 * ones - samples.size) / samples.size**0.5


def assert_block(blocks: Words) -> None:
    """All 256 bits of a block, shape (blocks, 8): lanes and planes against each other."""
    assert_independent("bits of a block", bit_pair_z(blocks))
    assert_small("each bit", bit_z(blocks))
    for bit in (0, 15, 16, 31):
        assert_patterns(f"bit {bit} of eight lanes", blocks >> bit & 1 == 1, 4)


# What is drawn


def reading(name: str, shape: tuple[int, int], key: ng.Key) -> Floats:
    """A field as the named numbers, standardised and flat."""
    what, _, rate = name.partition(" ")
    if what == "mask":
        return standard_removal(ng.mask(ng.Dropout(float(rate)), shape, key), float(rate))
    return ng.noise(ng.GaussianNoise(1.0), shape, key).shift.reshape(-1)


READINGS = ("mask 0.5", "mask 0.1", "normal")


def fields_of(name: str, keys: Iterable[ng.Key], shape: tuple[int, int]) -> Floats:
    """The fields of many keys, shape (keys, elements)."""
    return np.stack([reading(name, shape, key) for key in keys])


def fields_of_kinds(key: ng.Key, shape: tuple[int, int]) -> Floats:
    """The fields of the four kinds under one key, shape (4, elements)."""
    shifts = [
        ng.noise(ng.GaussianNoise(1.0), shape, key).shift,
        ng.noise(ng.GaussianDropout(0.5), shape, key).gain - 1,
        ng.noise(ng.UniformNoise(3**0.5), shape, key).shift,
    ]
    removal = standard_removal(ng.mask(ng.Dropout(0.5), shape, key), 0.5)
    return np.stack([removal, *(shift.reshape(-1) for shift in shifts)])


def neighbours(count: int, bits: int) -> list[int]:
    """Numbers below 2**bits: neighbours at both ends, and powers of two."""
    ends = (
        range(count),
        (1 << bit for bit in range(bits)),
        (2**bits - 1 - i for i in range(count)),
    )
    mixed = (number for number in chain(*zip_longest(*ends)) if number is not None)
    return list(islice(dict.fromkeys(mixed), count))


def names(count: int) -> list[str]:
    """Names of sites as models have them, many of which differ by one letter."""
    forms = ("hid{}:out", "hid{}:in", "layers.{}.mlp:out", "{}", "block{}.conv1:out", "wörk{}:in")
    return [forms[i % len(forms)].format(i // len(forms)) for i in range(count)]


def grid(count: int) -> Iterator[ng.Key]:
    """Small numbers in every place of the key, so that none stands in for another."""
    side = math.ceil(count**0.25)
    for seed, slot, step, call in islice(product(range(side), repeat=4), count):
        yield ng.Stream(seed).site(SITE, slot).at(step, call)


FAMILIES: dict[str, Callable[[int], Iterable[ng.Key]]] = {
    "seeds": lambda m: (ng.Stream(n).site(SITE).at(3) for n in neighbours(m, 64)),
    "steps": lambda m: (ng.Stream(13).site(SITE).at(n) for n in neighbours(m, 32)),
    "calls": lambda m: (ng.Stream(13).site(SITE).at(3, n) for n in neighbours(m, 32)),
    "slots": lambda m: (ng.Stream(13).site(SITE, n).at(3) for n in neighbours(m, 32)),
    "sites": lambda m: (ng.Stream(13).site(name).at(3) for name in names(m)),
    "grid": grid,
}


def words(key: ng.Key, window: Window | tuple[int, ...], kind: str = "Dropout") -> Words:
    """The u32 of every element of a window, or of a whole array of a shape."""
    if not isinstance(window, Window):
        window = window_of(window)
    drawn: Words = Draws(NumpyEngine(), kind, key, window, "float32").u32()
    return drawn


@dataclass(frozen=True)
class Address:
    """Where 64 by 64 words are read: a key, 64 rows, and an offset that is a multiple of 64."""

    seed: int
    site: str
    slot: int
    call: int
    step: int
    rows: tuple[int, ...]
    offset: int

    def words(self) -> Words:
        key = ng.Stream(self.seed).site(self.site, self.slot).at(self.step, self.call)
        shape = (len(self.rows), 1 << OFFSET_BITS)
        return words(key, Window(shape, 0, self.rows, (0, self.offset), (len(self.rows), 64)))

    def flipped(self, place: str, bit: int) -> "Address":
        """The address that differs in one bit of one of its parts."""
        if place == "site":
            letters = list(self.site)
            letters[bit // 7] = chr(ord(letters[bit // 7]) ^ 1 << bit % 7)
            return replace(self, site="".join(letters))
        if place == "rows":
            return replace(self, rows=tuple(row ^ 1 << bit for row in self.rows))
        return replace(self, **{place: getattr(self, place) ^ 1 << bit})


PLACES = {
    "seed": range(64),
    "site": range(7 * len(SITE)),
    "slot": range(32),
    "call": range(32),
    "step": range(32),
    "rows": range(64),
    "offset": range(6, OFFSET_BITS),
}


def addresses(count: int, random: np.random.Generator) -> list[Address]:
    """Addresses all over the field."""

    def number(bits: int) -> int:
        return int.from_bytes(random.bytes(8), "little") >> (64 - bits)

    def rows() -> tuple[int, ...]:
        return tuple(number(64) for _ in range(64))

    def one() -> Address:
        return Address(
            number(64), SITE, number(32), number(32), number(32), rows(), number(29) << 6
        )

    return [one() for _ in range(count)]


def avalanche_z(bases: Iterable[Address], place: str) -> Floats:
    """z of each bit of a word changing half of the time, by bit of the place that is flipped."""
    changes = [
        [base.words() ^ base.flipped(place, bit).words() for base in bases] for bit in PLACES[place]
    ]
    return np.stack([bit_z(np.stack(change)) for change in changes])


def near_avalanche_z(bases: Iterable[Address]) -> Floats:
    """The same of the low 6 bits of the offset, of which a base holds both sides."""
    before = np.stack([base.words() for base in bases])
    columns = np.arange(64)
    lower = [columns[columns >> bit & 1 == 0] for bit in range(6)]
    changes = (before[..., at] ^ before[..., at ^ 1 << bit] for bit, at in enumerate(lower))
    return np.stack([bit_z(change) for change in changes])
