"""Rates at both ends, normality of 10⁸ numbers, independence of thousands of fields."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

import _statistical as st
import noisegate as ng
from _asserts import assert_rate

pytestmark = pytest.mark.slow

SITE = ng.Stream(13).site("hid1:out")
KEY = SITE.at(0)
WIDTH = 1 << 16
SHAPE = (256, 256)
FIELDS = 1024
LAGS = (1, 2, 4, 8, 16, 64, SHAPE[1])
ENDS = (1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1, 0.3)
RATES = (*ENDS, 0.5, *(1 - p for p in reversed(ENDS)))


def rows_in_chunks(rows: int, tall: int) -> Iterator[range]:
    return (range(start, min(start + tall, rows)) for start in range(0, rows, tall))


def removals(p: float, rows: int) -> np.ndarray:
    """The count of removals in each row of WIDTH elements."""
    counts = [
        WIDTH - np.count_nonzero(ng.mask(ng.Dropout(p), (1, WIDTH), KEY, rows=chunk), axis=1)
        for chunk in rows_in_chunks(rows, 256)
    ]
    return np.concatenate(counts)


def rows_for(p: float) -> int:
    """2**30 elements where removals or survivors are rare, else 2**28."""
    return 1 << 14 if min(p, 1 - p) < 5e-5 else 1 << 12


@pytest.mark.parametrize("p", RATES)
def test_dropout_removes_at_its_rate(p: float) -> None:
    rows = rows_for(p)
    counts, trials = removals(p, rows), rows * WIDTH
    z = (counts.sum() - trials * p) / (trials * p * (1 - p)) ** 0.5
    print(f"p = {p}: {counts.sum():,} of {trials:,} removed, {z:+.2f} sd")
    assert_rate(int(counts.sum()), trials, p)
    st.assert_spread(counts, WIDTH, p)


@pytest.mark.parametrize("p", [1e-6, 1 - 1e-6])
@pytest.mark.parametrize("deviations", [-7.5, 7.5])
def test_a_rare_rate_off_by_seven_deviations_is_refused(p: float, deviations: float) -> None:
    rows = rows_for(p)
    off = deviations * (p * (1 - p) / (rows * WIDTH)) ** 0.5
    with pytest.raises(AssertionError, match="standard deviations from"):
        assert_rate(int(removals(p + off, rows).sum()), rows * WIDTH, p)


@pytest.mark.parametrize("p", [1e-5, 1e-4, 1 - 1e-4])
def test_a_threshold_of_sixteen_bits_is_refused(p: float) -> None:
    rows, coarse = rows_for(p), np.round(p * 2**16) / 2**16
    with pytest.raises(AssertionError, match="standard deviations from"):
        assert_rate(int(removals(coarse, rows).sum()), rows * WIDTH, p)


# Distributions of 10⁸ numbers


def test_one_field_is_normal() -> None:
    tally = st.Tally()
    for rows in rows_in_chunks(1526, 64):
        tally.add(ng.noise(ng.GaussianNoise(1.0), (1, WIDTH), KEY, rows=rows).shift)
    assert tally.count > 10**8
    st.assert_normal(tally)


def test_a_thousand_small_fields_are_normal() -> None:
    tally = st.Tally()
    for step in range(1526):
        tally.add(ng.noise(ng.GaussianNoise(1.0), SHAPE, SITE.at(step)).shift)
    assert tally.count > 10**8
    st.assert_normal(tally)


def test_one_field_is_uniform() -> None:
    tally = st.Tally(st.uniform_cdf)
    for rows in rows_in_chunks(1526, 64):
        tally.add(ng.noise(ng.UniformNoise(1.0), (1, WIDTH), KEY, rows=rows).shift)
    st.assert_moments(tally, st.uniform_moment)
    st.assert_distribution(tally)
    st.assert_cells_of(tally)


# Independence


@pytest.mark.parametrize("what", st.READINGS)
@pytest.mark.parametrize("family", st.FAMILIES)
def test_fields_are_independent(family: str, what: str) -> None:
    fields = st.fields_of(what, st.FAMILIES[family](FIELDS), SHAPE)
    st.assert_independent(f"{family}, {what}", st.pair_z(fields))
    z = [st.pair_z(fields[i : i + 2]) for i in range(FIELDS - 1)]
    st.assert_independent(f"{family}, {what}, neighbours", np.concatenate(z))
    shifted = [st.shift_z(first, second) for first, second in pairwise(fields)]
    st.assert_small(f"{family}, {what}, neighbours at every shift", np.stack(shifted))


@pytest.mark.parametrize("what", st.READINGS)
def test_elements_of_a_field_are_independent(what: str) -> None:
    keys = (ng.Stream(13).site(name).at(5) for name in st.names(FIELDS))
    fields = st.fields_of(what, keys, SHAPE)
    for lag in LAGS:
        st.assert_independent(f"lag {lag}, {what}", st.lag_z(fields, lag))
    st.assert_small(f"every lag, {what}", np.stack([st.shift_z(row, row) for row in fields]))


@pytest.mark.parametrize("p", [0.5, 0.1])
def test_rows_are_independent(p: float) -> None:
    ids = st.neighbours(FIELDS, 64)
    keep = ng.mask(ng.Dropout(p), (1, WIDTH), KEY, rows=ids)
    z = st.pair_z(np.stack([st.standard_removal(row, p) for row in keep]))
    st.assert_independent(f"rows, p = {p}", z)


def test_kinds_at_one_site_are_independent() -> None:
    at = (ng.Stream(13).site(name).at(0) for name in st.names(1000))
    z = np.stack([st.pair_z(st.fields_of_kinds(key, SHAPE)) for key in at])
    for pair in z.T:
        st.assert_independent("two kinds", pair)


# Joint distributions of bits


def test_the_bits_of_a_block_are_independent() -> None:
    z = []
    for step in range(4):
        blocks = st.words(SITE.at(step), (512, 4096)).reshape(-1, 8)
        st.assert_block(blocks)
        z.append(st.bit_pair_z(blocks))
    st.assert_independent("bits of a block, all steps", np.sum(z, axis=0) / 2)


@pytest.mark.parametrize("what", ["rows", "blocks", "steps", "seeds", "calls", "kinds"])
def test_the_bits_of_neighbouring_blocks_are_independent(what: str) -> None:
    shape = (256, 4096)
    blocks = st.words(KEY, (257, 4104)).reshape(257, 513, 8)
    first = blocks[:256, :512] if what in ("rows", "blocks") else st.words(KEY, shape)
    second = {
        "rows": lambda: blocks[1:, :512],
        "blocks": lambda: blocks[:256, 1:],
        "steps": lambda: st.words(SITE.at(1), shape),
        "seeds": lambda: st.words(ng.Stream(14).site("hid1:out").at(0), shape),
        "calls": lambda: st.words(SITE.at(0, call=1), shape),
        "kinds": lambda: st.words(KEY, shape, "GaussianNoise"),
    }[what]()
    both = np.concatenate([first.reshape(-1, 8), second.reshape(-1, 8)], axis=1)
    st.assert_independent(f"bits of neighbouring {what}", st.bit_pair_z(both))


def test_lanes_and_planes_are_evenly_joint() -> None:
    blocks = st.words(KEY, (512, 65536)).reshape(-1, 8)
    lanes = [blocks[:, lane] >> 28 for lane in range(8)]
    for first in range(8):
        for second in range(first + 1, 8):
            cells = np.bincount(lanes[first] << 4 | lanes[second], minlength=256)
            st.assert_cells(f"lanes {first} and {second}", cells, 28)
    planes = (blocks >> 28 << 4 | blocks >> 12 & 15).reshape(-1)
    st.assert_cells("plane 0 and plane 1", np.bincount(planes, minlength=256))
    st.assert_cells("high halves", np.bincount((blocks >> 16).reshape(-1), minlength=1 << 16))
    st.assert_cells("low halves", np.bincount((blocks & 65535).reshape(-1), minlength=1 << 16))
    top = np.stack([lane >> 3 == 1 for lane in lanes] + [lane >> 2 & 1 == 1 for lane in lanes], 1)
    st.assert_patterns("two top bits of eight lanes", top)


@pytest.mark.parametrize("place", st.PLACES)
def test_one_bit_of_the_address_changes_half_of_the_words(place: str) -> None:
    bases = st.addresses(64, np.random.default_rng(8))
    st.assert_independent(place, st.avalanche_z(bases, place))
    if place == "offset":
        st.assert_independent("low bits of the offset", st.near_avalanche_z(bases))
