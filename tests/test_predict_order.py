"""Models that reorder their samples: noise in batches would not follow them, so it is refused."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import noisegate as ng
from _asserts import assert_same_bits, assert_sentence


def samples(model: nn.Module, x: Any, steps: Any = 4, **words: Any) -> np.ndarray:
    given: dict[str, Any] = {"existing": True, "seed": 7, "keep_samples": True, **words}
    found = ng.predict(model, x, steps, **given).samples
    assert found is not None
    return found


class Sites(nn.Module):
    """Dropout in a layout of its own: `there` makes it, `back` undoes it."""

    def __init__(self, there: Callable[[Tensor], Tensor], back: Callable[..., Tensor]) -> None:
        super().__init__()
        self.drop, self.there, self.back = nn.Dropout(0.3), there, back

    def forward(self, x: Tensor) -> Tensor:
        return self.back(self.drop(self.there(x)), x)


UNCLEAR = (
    "predict: the site 'drop:dropout' sees {0} samples, and the model's forward has {0}; which "
    "belong to which is unclear, so that batches would not have the noise of the whole. Pass all "
    "samples as one tensor, without batch_size and with quantiles=(), or leave the site out, with "
    "existing=True by rules={{'drop:dropout': 0.0}}."
)

MOVED: dict[str, tuple[Callable[[Tensor], Tensor], Callable[..., Tensor]]] = {
    "turned": (lambda x: x.flip(0), lambda y, x: y.flip(0)),
    "sorted": (
        lambda x: x[x[:, 0, 0].argsort()],
        lambda y, x: y[x[:, 0, 0].argsort().argsort()],
    ),
    "moved on": (lambda x: x.roll(1, 0), lambda y, x: y.roll(-1, 0)),
}


@pytest.mark.parametrize("name", MOVED)
@pytest.mark.parametrize("size", [1, 2, 3, 4, 6])
def test_samples_that_a_model_reorders_are_refused(name: str, size: int) -> None:
    torch.manual_seed(1)
    x = torch.randn(9, 4, 3)
    model = nn.Sequential(nn.Dropout(0.1), Sites(*MOVED[name]))
    whole = samples(model, x, 5)
    sentence = UNCLEAR.format(max(2, size)).replace("drop:", "1.drop:")
    with assert_sentence(ng.InvalidValue, sentence):
        samples(model, x, 5, batch_size=size)
    out: dict[str, Any] = {"rules": {"1.drop:dropout": 0.0}}
    assert_same_bits(samples(model, x, 5, batch_size=size, **out), samples(model, x, 5, **out))
    assert_same_bits(samples(model, x, 5, quantiles=()), whole)


def test_a_model_of_single_samples_and_samples_of_different_lengths_have_no_order() -> None:
    single = Sites(lambda x: x.view(1, 3), lambda y, x: y)
    x = torch.randn(5, 3)
    expected = ng.Dropout(0.3)(x, ng.Stream(7).site("drop:dropout").at(2))
    assert_same_bits(samples(single, x, 4, batch_size=1)[2], expected)
    lines = [torch.randn(1, length, 3) for length in (3, 4, 4, 2)]
    pooled = Sites(lambda x: x.mean(1), lambda y, x: y)
    found = samples(pooled, iter(lines), 4)
    means = torch.cat([line.mean(1) for line in lines])
    assert_same_bits(found[2], ng.Dropout(0.3)(means, ng.Stream(7).site("drop:dropout").at(2)))


def test_reordered_samples_of_a_model_that_takes_one_size_are_refused() -> None:
    def back(y: Tensor, x: Tensor) -> Tensor:
        return y.view(4, 4, 3).flip(0)

    x = torch.randn(8, 4, 3)
    with assert_sentence(ng.InvalidValue, UNCLEAR.format(4)):
        samples(Sites(lambda x: x.flip(0), back), x, 5, batch_size=4)


class Failing(nn.Module):
    """Fails at its third forward, which is that of the check."""

    def __init__(self) -> None:
        super().__init__()
        self.drop, self.count = nn.Dropout(0.3), 0

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        if self.count > 2:
            raise MemoryError("what the model says")
        return self.drop(x)


def test_an_error_of_the_model_is_told() -> None:
    with pytest.raises(MemoryError, match="what the model says"):
        samples(Failing(), torch.randn(8, 3), 5, batch_size=4)


def test_random_numbers_of_the_model_s_own_are_no_other_order() -> None:
    class Drawing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop = nn.Dropout(0.3)

        def forward(self, x: Tensor) -> Tensor:
            return self.drop(x) + torch.randn_like(x)

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # they are made from the seed
        samples(Drawing(), torch.randn(8, 3), 5, batch_size=4)
