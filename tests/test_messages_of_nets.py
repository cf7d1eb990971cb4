"""Every sentence for bad input to layers and networks, word for word."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import _bad_estimators
import _bad_estimators_more
import _bad_nets
import _bad_nets_more
import _bad_old_nets
import _bad_reasons
import noisegate as ng
from _asserts import assert_sentence
from _bad_nets import Own, of_weights
from noisegate.nets import DropBlock2d, Dropout, Input, Relu, get_output

CASES = [
    *_bad_nets.CASES,
    *_bad_nets_more.CASES,
    *_bad_old_nets.CASES,
    *_bad_reasons.CASES,
    *_bad_estimators.CASES,
    *_bad_estimators_more.CASES,
]


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("call", "error", "sentence"), CASES, ids=[case[2][:60] for case in CASES])
def test_bad_input_is_answered_in_a_sentence(
    call: Callable[[], Any], error: type[Exception], sentence: str
) -> None:
    with assert_sentence(error, sentence):
        call()


NESTED = [
    lambda: Dropout((None, 6), shared_axes=(2,)),
    lambda: Input((10, 10)) >> DropBlock2d(0.1, 3),
    lambda: Input(5) >> Own(),
    lambda: of_weights({"c": torch.ones(2)}, Input(3) >> nn.Linear(3, 2)),
]


@pytest.mark.parametrize("call", NESTED)
def test_a_sentence_that_tells_another_ends_once(call: Callable[[], Any]) -> None:
    """And has no extents that nobody gave."""
    with pytest.raises(ng.InvalidValue) as caught:
        call()
    sentence = str(caught.value)
    assert re.search(r"[^.]\.$", sentence), sentence
    assert not re.search(r"\(2, \d+\)", sentence), sentence


def test_a_keyword_that_is_called_known_is_taken() -> None:
    layer, x = Relu(input_dim=3), torch.ones(2, 3)
    with pytest.raises(ng.InvalidType) as caught:
        get_output(layer, x, foo=True)
    for word in ("training", "deterministic"):
        if f"`{word}`" in str(caught.value):
            assert get_output(layer, x, **{word: True}).shape == (2, 3)
