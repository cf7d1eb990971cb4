"""Independence of fields, elements, bits and addresses, on samples small enough for every run.

Each statistic is followed by faults planted for it, so that none is unable to fail.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

import _statistical as st
import noisegate as ng
from noisegate.core import blocks, keys
from noisegate.numpy import dropout_forward

KEY = ng.Stream(13).site("hid1:out").at(0)
SMALL = (128, 128)

Fault = Callable[[Any], Any]


@pytest.mark.parametrize("what", st.READINGS)
@pytest.mark.parametrize("family", st.FAMILIES)
def test_fields_are_independent(family: str, what: str) -> None:
    fields = st.fields_of(what, st.FAMILIES[family](61), SMALL)
    st.assert_independent(f"{family}, {what}", st.pair_z(fields))
    shifted = [st.shift_z(first, second) for first, second in pairwise(fields)]
    st.assert_small(f"{family}, {what}, every shift", np.stack(shifted))


@pytest.mark.parametrize("what", st.READINGS)
def test_elements_and_rows_are_independent(what: str) -> None:
    fields = st.fields_of(what, st.FAMILIES["steps"](60), SMALL)
    for lag in (1, 2, 4, 8, 16, 64, SMALL[1]):
        st.assert_independent(f"lag {lag}, {what}", st.lag_z(fields, lag))
    st.assert_small(f"every lag, {what}", np.stack([st.shift_z(row, row) for row in fields]))
    ids = st.neighbours(60, 64)
    rows = ng.mask(ng.Dropout(0.1), (1, 16384), KEY, rows=ids)
    z = st.pair_z(np.stack([st.standard_removal(row, 0.1) for row in rows]))
    st.assert_independent("rows", z)


def kinds_z(sites: list[str]) -> st.Floats:
    return np.stack(
        [st.pair_z(st.fields_of_kinds(ng.Stream(13).site(name).at(0), SMALL)) for name in sites]
    )


def test_kinds_at_one_site_are_independent(monkeypatch: pytest.MonkeyPatch, pure: None) -> None:
    st.assert_independent("kinds", kinds_z(st.names(60)))
    own = keys._plane_key
    monkeypatch.setattr(keys, "_plane_key", lambda *key: own(*key[:3], "Kind", *key[4:]))
    with pytest.raises(AssertionError, match="passes"):
        st.assert_independent("kinds of one name", kinds_z(["hid1:out"]))


BLOCKS = st.words(KEY, (512, 4096)).reshape(-1, 8)


def test_the_bits_of_a_block_are_independent() -> None:
    st.assert_block(BLOCKS)


BLOCK_FAULTS: dict[str, Fault] = {
    "a bit that is stuck": lambda w: w | 1 << 7,
    "plane 1 follows plane 0": lambda w: w ^ (w & 1) ^ (w >> 16 & 1),
    "a lane that is its neighbour": lambda w: np.concatenate([w[:, :7], w[:, :1]], axis=1),
    "a bit that leans": lambda w: w & ~(w >> 1 & w >> 2 & w >> 3 & w >> 4 & 1),
    "a parity": lambda w: w ^ np.where(np.arange(8) == 7, np.bitwise_xor.reduce(w, 1)[:, None], 0),
}


@pytest.mark.parametrize("fault", BLOCK_FAULTS.values(), ids=BLOCK_FAULTS.keys())
def test_bits_that_depend_are_refused(fault: Fault) -> None:
    with pytest.raises(AssertionError):
        st.assert_block(fault(BLOCKS))


def test_the_patterns_of_rows_and_steps_are_even() -> None:
    half = ng.Dropout(0.5)
    rows = ng.mask(half, (4096, 512), KEY).reshape(512, 8, 512)
    st.assert_patterns("eight rows", rows.swapaxes(1, 2).reshape(-1, 8))
    at = [ng.mask(half, SMALL, ng.Stream(13).site("hid1:out").at(step)) for step in range(8)]
    st.assert_patterns("eight steps", np.stack(at, axis=-1).reshape(-1, 8))


# Planted relations; F is a family of 60 independent fields

F = st.fields_of("normal", st.FAMILIES["seeds"](60), SMALL)
N = F.shape[1]


def related(z: float) -> st.Floats:
    """F, the last field of which is correlated with the first, at about this z."""
    fields, r = F.copy(), z / N**0.5
    fields[-1] = r * F[0] + (1 - r * r) ** 0.5 * F[-1]
    return fields


def test_related_fields_are_refused() -> None:
    keys_added = (ng.Stream(key.seed + key.step).site("").at(0) for key in st.grid(60))
    added = st.fields_of("normal", keys_added, SMALL)
    planted = {
        "one pair": related(1.5 * st.bonferroni(60 * 59 // 2)),
        "a copy": np.concatenate([F, F[:1]]),
        "a mirrored copy": np.concatenate([F, -F[:1]]),
        "something faint in all": 0.998 * F + 0.06 * np.roll(F[0], 9),
        "steps added to seeds": added,
    }
    st.assert_independent("F", st.pair_z(F))
    for name, fields in planted.items():
        with pytest.raises(AssertionError):
            st.assert_independent(name, st.pair_z(fields))


@pytest.mark.parametrize("shift", [1, 17, 128, 9000])
def test_a_shifted_copy_is_refused(shift: int) -> None:
    for copy in (np.roll(F[0], shift), np.roll(related(200 * 0.6)[0], shift)):
        st.assert_small("unshifted", st.pair_z(np.stack([F[0], copy])))
        with pytest.raises(AssertionError, match="passes"):
            st.assert_small("every shift", st.shift_z(F[0], copy))


@pytest.mark.parametrize("lag", [1, 2, 4, 8, 16, 64, 128])
def test_a_field_that_follows_itself_is_refused(lag: int) -> None:
    follows = F + 0.06 * np.roll(F, lag, axis=1)
    with pytest.raises(AssertionError):
        st.assert_independent("lag", st.lag_z(follows, lag))
    with pytest.raises(AssertionError, match="passes"):
        st.assert_small("every lag", st.shift_z(follows[0], follows[0]))


# Avalanche: one bit of the address changes half of the bits of a word

BASES = st.addresses(2, np.random.default_rng(7))


@pytest.mark.parametrize("place", st.PLACES)
def test_one_bit_of_the_address_changes_half_of_the_words(place: str) -> None:
    st.assert_independent(place, st.avalanche_z(BASES, place))


def test_one_low_bit_of_the_offset_changes_half_of_the_words() -> None:
    st.assert_independent("low bits of the offset", st.near_avalanche_z(BASES))


@pytest.mark.parametrize("place", ["step", "rows", "offset"])
def test_too_few_rounds_are_refused(
    place: str, monkeypatch: pytest.MonkeyPatch, pure: None
) -> None:
    monkeypatch.setattr(blocks, "ROUNDS", 3)
    with pytest.raises(AssertionError):
        st.assert_independent(place, st.avalanche_z(BASES, place))


def test_too_few_rounds_show_in_the_low_bits_of_the_offset(
    monkeypatch: pytest.MonkeyPatch, pure: None
) -> None:
    monkeypatch.setattr(blocks, "ROUNDS", 3)
    with pytest.raises(AssertionError):
        st.assert_independent("low bits of the offset", st.near_avalanche_z(BASES))


@pytest.mark.parametrize("place", ["seed", "site", "slot", "call"])
def test_a_key_that_overlooks_a_bit_is_refused(
    place: str, monkeypatch: pytest.MonkeyPatch, pure: None
) -> None:
    whole, mask = keys._plane_key, ~(1 << 5)

    def forgetful(seed: int, site: str, slot: int, kind: str, call: int, plane: int) -> Any:
        part = {"seed": seed, "slot": slot, "call": call}
        part = {name: n & mask if name == place else n for name, n in part.items()}
        site = site.lower() if place == "site" else site
        return whole(part["seed"], site, part["slot"], kind, part["call"], plane)

    monkeypatch.setattr(keys, "_plane_key", forgetful)
    with pytest.raises(AssertionError, match="passes"):
        st.assert_small(place, st.avalanche_z(BASES, place))


# The faces that draw their own seeds


def test_calls_with_a_generator_are_independent() -> None:
    ones, generator = np.ones(SMALL), np.random.default_rng(3)
    calls = [dropout_forward(ones, 0.5, rng=generator)[0] for _ in range(60)]
    st.assert_independent("rng", st.pair_z(np.stack(calls).reshape(60, -1) - 1))


def test_torch_layers_without_a_seed_are_independent() -> None:
    ones, layer = torch.ones(SMALL), ng.torch.Dropout(0.5)
    torch.manual_seed(3)
    calls = [layer(ones).numpy() for _ in range(60)]
    torch.manual_seed(4)  # a neighbour
    calls += [layer(ones).numpy() for _ in range(60)]
    st.assert_independent("layer", st.pair_z(np.stack(calls).reshape(120, -1) - 1))
