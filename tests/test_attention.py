"""Attention probabilities: row = sample · heads + head, offset = query · 2¹⁷ + key."""

import numpy as np
import pytest
import torch

import noisegate as ng
from _asserts import assert_same_bits, assert_sentence
from noisegate.core import philox

KEY = ng.Stream(13).site("layer.0:probs").at(3, call=2)
SHAPE = (3, 4, 6, 11)


def by_hand(p: float, row: int, query: int, key: int) -> bool:
    """Return whether a probability is kept, from the words of the specification alone."""
    lanes = []
    for plane in range(2):
        words = KEY.plane("Dropout", plane)
        offset = query * 2**17 + key
        counter = (offset >> 3, row & 0xFFFFFFFF, row >> 32, KEY.step)
        word = philox.philox4x32(counter, words)[(offset & 7) >> 1]
        lanes.append(word >> 16 if offset & 1 else word & 0xFFFF)
    return (lanes[0] << 16 | lanes[1]) >= round(p * 2**32)


def mask(shape: tuple[int, ...] = SHAPE, p: float = 0.3, **words: object) -> np.ndarray:
    return ng.mask(ng.Dropout(p), shape, KEY, sample_axis="attention", **words)


def test_every_probability_has_the_address_of_the_contract() -> None:
    got = mask()
    for index in np.ndindex(*SHAPE):
        sample, head, query, key = index
        assert got[index] == by_hand(0.3, sample * 4 + head, query, key)


def test_neither_padding_nor_merging_changes_it() -> None:
    whole = mask()
    assert_same_bits(mask((3, 4, 9, 20))[:, :, :6, :11], whole)
    assert_same_bits(mask((12, 6, 11)), whole.reshape(12, 6, 11))
    assert_same_bits(mask((5, 4, 6, 11))[:3], whole)


def test_torch_and_numpy_have_the_same() -> None:
    x = np.ones(SHAPE, np.float32)
    for kind in (ng.Dropout(0.3), ng.GaussianNoise(0.5), ng.AlphaDropout(0.2)):
        expected = kind(x, KEY, sample_axis="attention")
        got = kind(torch.from_numpy(x), KEY, sample_axis="attention")
        assert_same_bits(got.numpy(), expected)
    kept = ng.Dropout(0.3)(x, KEY, sample_axis="attention") != 0
    assert_same_bits(kept, mask())


def test_ids_of_samples_count_heads() -> None:
    ids = [7, 2, 2**61]
    whole = mask(rows=ids)
    x = torch.ones(SHAPE)
    got = ng.Dropout(0.3)(x, KEY, rows=ids, sample_axis="attention") != 0
    assert_same_bits(got.numpy(), whole)
    merged = ng.Dropout(0.3)(x.reshape(12, 6, 11), KEY, rows=ids, sample_axis="attention") != 0
    assert_same_bits(merged.reshape(SHAPE).numpy(), whole)
    assert whole[2, 3, 5, 10] == by_hand(0.3, 2**63 + 3, 5, 10)
    assert_same_bits(mask(rows=slice(1, 3)), mask()[1:3])
    moved = ng.Dropout(0.3)(x[:2], KEY, rows=range(1, 3), sample_axis="attention") != 0
    assert_same_bits(moved.numpy(), mask()[1:3])
    with assert_sentence(ng.InvalidValue, f"Dropout: `rows` must be in [0, 2**64); got {2**64}."):
        ng.Dropout(0.3)(x, KEY, rows=[0, 1, 2**62], sample_axis="attention")


def test_shared_axes_are_those_of_the_array() -> None:
    for axes in ((1,), (0,), (2,), (3,), (1, 2), (0, 1), (0, 1, 2, 3)):
        kind = ng.Dropout(0.4, shared_axes=axes)
        got = ng.mask(kind, SHAPE, KEY, sample_axis="attention")
        extents = [1 if axis in axes else extent for axis, extent in enumerate(SHAPE)]
        for index in np.ndindex(*extents):
            sample, head, query, key = index
            part = tuple(slice(None) if a in axes else i for a, i in enumerate(index))
            expected = by_hand(0.4, sample * extents[1] + head, query, key)
            assert (got[part] == expected).all()
        x = torch.ones(SHAPE)
        assert_same_bits((kind(x, KEY, sample_axis="attention") != 0).numpy(), got)


def test_what_is_no_attention_is_refused() -> None:
    with assert_sentence(
        ng.InvalidValue,
        "Dropout: what an attention holds must have shape (batch, head, query, key), or the first "
        "two as one, of at most 262144 queries and 131072 keys; got (3, 4).",
    ):
        mask((3, 4))
    with pytest.raises(ng.InvalidValue, match="at most 262144 queries and 131072 keys"):
        mask((1, 1, 1, 2**17 + 1))
    with pytest.raises(ng.InvalidValue, match="`rows`"):
        ng.Dropout(0.3)(torch.ones(SHAPE), KEY, rows=[1, 2], sample_axis="attention")
    with assert_sentence(
        ng.InvalidValue,
        "DropBlock: what an attention holds has no spatial axes. Use noisegate.Dropout there.",
    ):
        ng.DropBlock(0.1, 3)(torch.ones(SHAPE), KEY, sample_axis="attention")
