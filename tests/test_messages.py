"""Every sentence for bad input, word for word."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest

import _bad_kinds
import _bad_numbers
import _bad_old
import _bad_places
import noisegate as ng
from _asserts import assert_sentence
from noisegate.core import messages

CASES = [*_bad_kinds.CASES, *_bad_numbers.CASES, *_bad_old.CASES, *_bad_places.CASES]


@pytest.mark.parametrize(("call", "error", "sentence"), CASES, ids=[case[2][:60] for case in CASES])
def test_bad_input_is_answered_in_a_sentence(
    call: Callable[[], Any], error: type[Exception], sentence: str
) -> None:
    with assert_sentence(error, sentence):
        call()


def test_every_error_is_a_noisegate_error_and_a_standard_one() -> None:
    assert issubclass(ng.InvalidValue, ng.NoisegateError)
    assert issubclass(ng.InvalidValue, ValueError)
    assert issubclass(ng.InvalidType, TypeError)
    assert issubclass(ng.UnmatchedRule, ng.InvalidValue)
    assert issubclass(ng.RecomputationError, RuntimeError)
    assert issubclass(ng.MissingExtra, ImportError)


def test_no_sentence_is_without_its_test() -> None:
    """Each function of the messages is used by a case above or named in another test file."""
    elsewhere = {"in_backward", "no_tensor"}
    elsewhere |= {"other_extent", "other_state", "passed_on", "without_root"}  # of handles
    elsewhere |= {"rows_left_over", "rows_used_up", "parts_alone", "removed"}  # of rows and parts
    elsewhere |= {"was_removed", "no_forward", "functions_alone"}
    elsewhere |= {"same_on_all_ranks", "same_layers_on_all_ranks"}  # of many processes
    elsewhere |= {"model_in_use"}  # of threads
    elsewhere |= {"collision", "no_part", "no_role", "meaning", "tokens", "acted_nowhere"}  # sites
    elsewhere |= {"compiled", "compiled_another"}  # of compiled models
    elsewhere |= {"closed", "not_inside"}  # of script modules
    elsewhere |= {"left_to_model", "nothing_existing", "own_random", "reserved", "taken_over"}
    elsewhere |= {"unreached", "stays", "all_left"}  # of the model's own dropouts
    elsewhere |= {"coin", "left_out", "rate_unknown", "unrepeatable"}  # of the model's own draws
    elsewhere |= {"perhaps_drawn", "perhaps_unrepeatable"}  # or of another thread's
    elsewhere |= {"all_silent", "bad_labels", "bad_quantile", "no_output", "no_quantile", "no_rows"}
    elsewhere |= {"no_samples", "not_a_classifier", "nothing_to_plot", "nothing_to_predict"}
    elsewhere |= {"only_in_training", "predict_what"}  # of predictions
    elsewhere |= {
        "no_spread",
        "parts_of_first_axis",
        "unclear_rows",
        "coupled_rows",
    }  # of predictions
    elsewhere |= {"unbatched_rows", "shuffled", "no_arrays"}
    called: set[str] = set()
    sentences = {
        name: function
        for name, function in inspect.getmembers(messages, inspect.isfunction)
        if not name.startswith("_") and function.__module__.startswith(messages.__name__)
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, function in sentences.items():

            def counted(*args: Any, name: str = name, function: Any = function) -> str:
                called.add(name)
                return str(function(*args))

            patch.setattr(messages, name, counted)
        for call, error, _ in CASES:
            with pytest.raises(error):
                call()
    assert set(sentences) - called == elsewhere & set(sentences)
