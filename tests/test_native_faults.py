"""Faults of the pure engines that were found beside the native one: the two must agree."""

import numpy as np
import pytest
import torch

import noisegate as ng
from _asserts import assert_same_bits
from _backends import pure_engines
from _native_run import run

KEY = ng.Stream(13).site("hid1:out").at(5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_share_of_each_sample_is_divided_by_once(dtype: type) -> None:
    """Torch makes `number / tensor` a product with the reciprocal, which rounds twice."""
    kind = ng.DropBlock(0.3, 2, axes=-1, normalize="sample")
    x = np.ones((200, 691), dtype)
    assert_same_bits(kind(torch.from_numpy(x), KEY), kind(x, KEY))


@pytest.mark.parametrize("shape", [(0, 3, 4), (0, 2, 3, 4), (2, 0, 3, 4)], ids=str)
def test_attention_without_samples(shape: tuple[int, ...]) -> None:
    x = np.ones(shape, np.float32)
    for kind in (ng.Dropout(0.5), ng.GaussianNoise(0.5)):
        assert kind(x, KEY, sample_axis="attention").shape == shape
        with pure_engines():
            assert kind(x, KEY, sample_axis="attention").shape == shape


@pytest.mark.parametrize("row", [2**63 - 1, 2**63, 2**64 - 1])
@pytest.mark.parametrize("native", [True, False])
def test_the_rows_around_half_of_all(row: int, native: bool) -> None:
    kind, x = ng.Dropout(0.5), np.ones((1, 9), np.float32)
    expected = kind(x, KEY, rows=[row])
    for rows in (range(row, row + 1), slice(row, row + 1), slice(row, None)):
        for array in (x, torch.from_numpy(x)):
            if native:
                assert_same_bits(kind(array, KEY, rows=rows), expected)
                continue
            with pure_engines():
                assert_same_bits(kind(array, KEY, rows=rows), expected)


FAKE = """
    import torch, noisegate as ng
    from torch._subclasses.fake_tensor import FakeTensorMode
    key, kind = ng.Stream(1).site("a").at(3), ng.GaussianNoise(0.5)
    with FakeTensorMode() as mode:
        kind(mode.from_tensor(torch.ones(4, 5)), key)
    print(type(kind(torch.ones(4, 5), key)).__name__)
"""


@pytest.mark.parametrize("native", ["", "0"])
def test_what_is_fake_is_not_kept(native: str) -> None:
    """The table of the normal numbers is kept; within such a mode it would be a fake one."""
    assert run(FAKE, NOISEGATE_NATIVE=native) == "Tensor\n"


LAYOUTS = {
    "F": lambda x: np.asfortranarray(x),
    "permuted": lambda x: x.transpose(2, 0, 1).copy().transpose(1, 2, 0),
    "broadcast": lambda x: np.lib.stride_tricks.as_strided(x, x.shape, (x.strides[0], 0, 4)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", [ng.Dropout(0.3), ng.GaussianNoise(0.1)], ids=repr)
def test_what_is_made_of_the_result_is_the_same(kind: ng.Kind, layout: str) -> None:
    """A sum's last bits depend on how the result lies in memory."""
    x = LAYOUTS[layout](np.random.default_rng(1).normal(size=(60, 70, 80)).astype(np.float32))
    for array in (x, torch.from_numpy(x)):
        found = kind(array, KEY).sum()
        with pure_engines():
            assert_same_bits(found, kind(array, KEY).sum())
