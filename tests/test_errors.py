"""Errors say what was called: the name is put before the sentence where the error leaves a room."""

import copy
import pickle

import pytest

from noisegate.core import errors
from noisegate.core.errors import NoisegateError, prefix_errors

CLASSES = [value for name in errors.__all__ if (value := getattr(errors, name))]


@pytest.mark.parametrize("error", CLASSES)
def test_the_innermost_block_names_the_speaker(error: type[NoisegateError]) -> None:
    with pytest.raises(error) as caught, prefix_errors("Network"), prefix_errors("Dropout"):
        raise error("`p` must be a number.")
    for same in (caught.value, copy.copy(caught.value), pickle.loads(pickle.dumps(caught.value))):
        assert str(same) == str(same.prefix("inject")) == "Dropout: `p` must be a number."
        assert repr(same) == f"{error.__name__}('Dropout: `p` must be a number.')"


def test_it_is_the_same_error_with_its_traceback() -> None:
    raised = NoisegateError("no.")
    with pytest.raises(NoisegateError) as caught, prefix_errors("A"):
        raise raised
    assert caught.value is raised
    assert raised.__cause__ is None
    assert raised.__context__ is None


@pytest.mark.parametrize("error", CLASSES)
def test_an_error_without_a_text_has_none(error: type[NoisegateError]) -> None:
    assert str(error()) == ""
    assert str(error().prefix("Dropout")) == "Dropout"


def test_what_else_an_error_holds_stays() -> None:
    raised = NoisegateError("no.", 17).prefix("Dropout")
    assert raised.args == ("Dropout: no.", 17)
    assert str(raised) == "Dropout: no."


def test_other_errors_pass_as_they_are() -> None:
    with pytest.raises(KeyError) as caught, prefix_errors("A"):
        raise KeyError("b")
    assert caught.value.args == ("b",)
