"""`run` and `tune` show every word of `Source` in their signatures and their errors."""

import inspect
from dataclasses import fields

import pytest

import noisegate.study
import noisegate.tune
from noisegate import InvalidType
from noisegate.study.source import Source

CALLS = [(noisegate.study.run, "epoch", "epochs"), (noisegate.tune.tune, "trial", "trials")]


@pytest.mark.parametrize("function", [call for call, *_ in CALLS])
def test_a_signature_shows_every_word_of_a_source(function):
    parameters = inspect.signature(function).parameters
    for word in fields(Source):
        assert parameters[word.name].kind is inspect.Parameter.KEYWORD_ONLY
        assert parameters[word.name].default == word.default
        assert word.name in noisegate.study.run.__doc__
    assert "reading" not in parameters
    assert "test_share: float = 0.2" in str(inspect.signature(function))


@pytest.mark.parametrize(("function", "wrong", "meant"), CALLS)
def test_an_unknown_keyword_lists_all_and_the_nearest(function, wrong, meant):
    known = ", ".join(f"`{name}`" for name in inspect.signature(function).parameters)
    with pytest.raises(InvalidType) as raised:
        function(**{wrong: 3})
    assert str(raised.value) == (
        f"study: unknown keyword `{wrong}`; known are {known}. Did you mean `{meant}`?"
    )
    for name in ("data", "source", "progress", "validation_share", "drop_missing"):
        assert f"`{name}`" in known
