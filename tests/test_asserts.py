"""Each assertion accepts right values and is red on a wrong one: the tests of the tests."""

import math

import ml_dtypes
import numpy as np
import pytest
import torch

from _asserts import assert_rate, assert_same_bits, assert_sentence, assert_ulps, assert_within

DTYPES = ["float16", "float32", "float64", "complex64", "complex128", "int32", "uint8", "bool"]


def example(dtype: str) -> np.ndarray:
    return np.arange(6).reshape(2, 3).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("left", [np.array, torch.tensor])
@pytest.mark.parametrize("right", [np.array, torch.tensor])
def test_same_bits_hold_across_libraries(dtype, left, right):
    assert_same_bits(left(example(dtype)), right(example(dtype)))
    wrong = example(dtype)
    wrong[1, 2] = 0
    with pytest.raises(AssertionError, match=r"1 of .* differ in their bits; .* number "):
        assert_same_bits(left(example(dtype)), right(wrong))


@pytest.mark.parametrize(
    ("actual", "expected", "reason"),
    [
        (np.zeros(2), np.zeros(2, np.float32), "dtype is float64, not float32"),
        (np.zeros(2, np.int32), np.zeros(2, np.uint32), "dtype is int32, not uint32"),
        (np.zeros((2, 1)), np.zeros(2), r"shape is \(2, 1\), not \(2,\)"),
        (np.zeros(()), np.zeros(1), r"shape is \(\), not \(1,\)"),
        (np.zeros((0, 3)), np.zeros((3, 0)), r"shape is \(0, 3\), not \(3, 0\)"),
        (np.array([0.0]), np.array([-0.0]), "0x0000000000000000, not 0x8000000000000000"),
        (np.array([1.0]), np.nextafter([1.0], 2.0), "1 of 1"),
        (np.array([1.0, np.nan]), np.array([np.nan, np.nan]), "number 0"),
        (np.array([np.inf]), np.array([np.nan]), "1 of 1"),
        (np.array([1 + 2j]), np.array([1 - 2j]), "number 1"),
        ([1.0], np.array([1.0]), "neither an array nor a tensor: list"),
    ],
)
def test_same_bits_refuse(actual, expected, reason):
    with pytest.raises(AssertionError, match=reason):
        assert_same_bits(actual, expected)


def test_same_bits_take_any_nan_for_any_nan():
    quiet, negative, payload = np.array([0x7FC00000, 0xFFC00000, 0x7FC00123], np.uint32)
    nans = np.array([quiet, negative, payload], np.uint32).view(np.float32)
    assert_same_bits(nans, np.full(3, np.nan, np.float32))
    assert_same_bits(torch.tensor([float("nan"), 1]), np.array([np.nan, 1], np.float32))


def test_same_bits_see_values_and_not_the_layout():
    values = np.arange(24.0).reshape(4, 6)
    assert_same_bits(values.T.copy().T, values)
    assert_same_bits(values.astype(">f8"), values)
    assert_same_bits(torch.tensor(values).t().contiguous().t(), values)
    assert_same_bits(np.float32(3), np.array(3, np.float32))
    with pytest.raises(AssertionError, match="differ in their bits"):
        assert_same_bits(values[::-1], values)


def test_same_bits_know_bfloat16_of_both_libraries():
    values = [1.0, -0.0, float("nan"), 3.140625, 1e-40]
    tensor, array = torch.tensor(values, dtype=torch.bfloat16), np.array(values, ml_dtypes.bfloat16)
    assert_same_bits(tensor, array)
    assert_same_bits(array, tensor)
    with pytest.raises(AssertionError, match="dtype is bfloat16, not float32"):
        assert_same_bits(tensor, tensor.float())
    with pytest.raises(AssertionError, match="1 of 5"):
        assert_same_bits(tensor, np.array([1.0, 0.0, *values[2:]], ml_dtypes.bfloat16))


def test_same_bits_read_a_tensor_that_requires_grad_or_is_a_conjugate():
    assert_same_bits(torch.ones(2, requires_grad=True), np.ones(2, np.float32))
    assert_same_bits(torch.tensor([1 + 2j]).conj(), np.array([1 - 2j], np.complex64))


def test_within_counts_standard_deviations():
    assert_within(1.49, 1.0, 0.1)
    assert_within(np.float32(0.5), 1.0, 0.1, 5.0)
    assert_within(0.0, 0.0, 1e-9, 0.0)
    with pytest.raises(AssertionError, match=r"is \+5\.10 standard deviations from 1\.0"):
        assert_within(1.51, 1.0, 0.1)
    with pytest.raises(AssertionError, match=r"at most 2 are allowed"):
        assert_within(0.7, 1.0, 0.1, 2)
    for value, target in [(math.nan, 0.0), (0.0, math.nan), (math.inf, 0.0)]:
        with pytest.raises(AssertionError):
            assert_within(value, target, 1.0)
    for sd in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(AssertionError, match="must be positive and finite"):
            assert_within(0.0, 0.0, sd)


def test_rate_is_binomial_and_refuses_a_small_sample():
    assert_rate(500, 1000, 0.5)
    assert_rate(400, 400_000_000, 1e-6)
    assert_rate(500 + 79, 1000, 0.5)  # sd = 15.8
    for count in (500 - 80, 500 + 80):
        with pytest.raises(AssertionError, match="standard deviations"):
            assert_rate(count, 1000, 0.5)
    for p in (1e-6, 1 - 1e-6, 0.0, 1.0):
        with pytest.raises(AssertionError, match="rare events, not 400"):
            assert_rate(round(1000 * p), 1000, p)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_ulps_count_the_steps_of_the_dtype(dtype):
    one = np.ones(3, dtype)
    next_one = np.nextafter(one, np.array(2, dtype))
    assert_ulps(next_one, one, 1)
    assert_ulps(torch.tensor(next_one), one, 1)
    with pytest.raises(AssertionError, match="3 of 3 values are further off than 1 unit"):
        assert_ulps(np.nextafter(next_one, np.array(2, dtype)), one, 1)
    with pytest.raises(AssertionError, match="further off"):
        assert_ulps(next_one, one, 0)
    # A sum that cancels is off by the unit of its larger term, not by its own.
    difference = np.array([np.finfo(dtype).eps] * 2, dtype)
    assert_ulps(difference, np.zeros(2, dtype), 1, larger=np.ones(2, dtype))
    with pytest.raises(AssertionError, match="further off"):
        assert_ulps(difference, np.zeros(2, dtype), 1)


def test_ulps_know_bfloat16_and_what_is_not_finite():
    one = torch.ones(1, dtype=torch.bfloat16)
    assert_ulps(one + 2**-7, one, 1)
    with pytest.raises(AssertionError, match="of bfloat16"):
        assert_ulps(one + 2**-6, one, 1)
    odd = np.array([np.nan, np.inf, -np.inf])
    assert_ulps(odd, odd, 0)
    for wrong in (np.array([1.0, np.inf, -np.inf]), odd[::-1].copy(), -odd):
        with pytest.raises(AssertionError, match="further off"):
            assert_ulps(wrong, odd, 1e9)
    with pytest.raises(AssertionError, match="shape is"):
        assert_ulps(np.ones(2), np.ones(3), 1)


def test_sentence_wants_the_class_and_every_word():
    with assert_sentence(ValueError, "p is 2"):
        raise ValueError("p is 2")
    with pytest.raises(AssertionError, match="the sentence is"), assert_sentence(ValueError, "p"):
        raise ValueError("p is 2")
    with (
        pytest.raises(AssertionError, match="raised UnicodeError: p"),
        assert_sentence(ValueError, "p"),
    ):
        raise UnicodeError("p")
    with (
        pytest.raises(AssertionError, match="nothing was raised, where ValueError"),
        assert_sentence(ValueError, "p"),
    ):
        pass
