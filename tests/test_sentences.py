"""No sentence of an error or a warning is without a test that has it word for word."""

from pathlib import Path

import pytest

from _sentences import find_untested, read_folder, read_sentences

TESTS = Path(__file__).resolve().parent
PACKAGE = TESTS.parent / "src" / "noisegate"

# Texts of four words or more that answer nobody: help of the command, titles, what the code says
# to itself. Each is here as it stands in the source, with `{}` for what is computed.
NO_ANSWERS = {
    "the test's share of all rows",
    "the validation's share of the others",
    "gap to the confidence",
    "share of what made trials better or worse, %",
    " with `torch.nn.{}`; without features, alone",
    "A dense layer{}; its arguments are those of `DenseLayer`.",
    "`noisegate.torch.{}` in a network; `incoming` may be first.",
    "{}: `torch.nn.{}`, its arguments torch's.",
    "checked by the kind",
    "a name, a format of names, or None",
    "rows of noise layers",
    "more than 1 value per channel",  # a sentence of torch's
    # A kind that cannot be traced is made of arrays instead.
    "this stands for an array that is not there",
    "arrays decide what such a number is",
    "arrays decide what such a rate is",
}


def test_no_sentence_is_without_its_test() -> None:
    """Each sentence of the source stands in a test."""
    sources = read_folder(PACKAGE)
    tests = [text for path, text in read_folder(TESTS).items() if path != Path(__file__).name]
    assert sum(len(read_sentences(*source)) for source in sources.items()) > 250
    untested = find_untested(sources, tests)
    missing = [str(each) for each in untested if each.text not in NO_ANSWERS]
    assert not missing, "\n".join(missing)
    stale = NO_ANSWERS - {each.text for each in untested}
    assert not stale, f"tested, or gone from the source: {stale}"


SAYS = '''
def check(name, value):
    """Raise unless the value that this docstring describes fits."""
    if value is None:
        raise InvalidType(f"`{name}` is missing.")
    if value < 0:
        raise InvalidValue(f"`{name}` must be at least 0; got {value}.{suggest(name)}")
'''
HEARS = """
CASES = [
    (lambda: check("p", None), Type, "Dropout: `p` is missing."),
    (lambda: check("p", -1), Value, f"Dropout: `p` must be at least 0; got {-1}. Write 0."),
]
"""


def untested(says: str, hears: str) -> list[str]:
    return [str(sentence) for sentence in find_untested({"a.py": says}, [hears])]


def test_sentences_that_a_test_has_word_for_word_are_found() -> None:
    assert [each.text for each in read_sentences("a.py", SAYS)] == [
        "`{}` is missing.",
        "`{}` must be at least 0; got {}.{}",
    ]
    assert untested(SAYS, HEARS) == []


@pytest.mark.parametrize(
    ("here", "there"),
    [
        ("is missing", "was missing"),
        ("is missing", "missing"),
        ("is missing.", "is missing. Give it."),
        ("Dropout: `p` is missing", "Ah. `p` is missing"),
        ("is missing", "{what} missing"),
        ('"Dropout: `p` is missing."', "None"),
        ('    (lambda: check("p", None), Type, "Dropout: `p` is missing."),', "]\n["),
        ("CASES", "'''Dropout: `p` is missing.'''\nCASES"),
    ],
)
def test_a_sentence_that_no_test_has_is_named(here: str, there: str) -> None:
    hears = HEARS.replace(here, there) if "'''" not in there else there.rpartition("\n")[0]
    if "{what}" in there:
        hears = hears.replace('"Dropout: `p` {', 'f"Dropout: `p` {')
    assert untested(SAYS, hears)[0] == (
        'a.py:5 says "`{}` is missing.", and no test has it word for word'
    )


@pytest.mark.parametrize(
    ("says", "text"),
    [
        ("raise InvalidValue('no place is left')", "no place is left"),
        ("raise InvalidValue('a place' if full else 'no room')", "no room"),
        ("raise InvalidValue('no ' + place + ' is left') from None", "no {} is left"),
        ("raise NoisegateError(say(f'{error} at the last step'))", "{} at the last step"),
        ("warn_caller(f'noisegate: {x} moved')", "noisegate: {} moved"),
        ("warnings.warn('it is slow', RuntimeWarning)", "it is slow"),
        ("def words(): return f'the {x} is out of bounds'", "the {} is out of bounds"),
        ("WORDS = {'rate': 'The rate is `p` here.'}", "The rate is `p` here."),
        ("END = 'is out of bounds'\ndef say(): return f'{x} {END}'", "{} is out of bounds"),
        (
            "def say(): return 'the {} {name} is out of it'.format(1, name=2)",
            "the {} {} is out of it",
        ),
        ("plan.note(', '.join(sites) + ' are left to it')", "{} are left to it"),
        ("plan.note(', '.join(sites) + (' are left to it' if a else ''))", " are left to it"),
        ("plan.note(f'{site} is left to the model')", "{} is left to the model"),
    ],
)
def test_a_sentence_is_found_wherever_it_is_written(says: str, text: str) -> None:
    assert text in [each.text for each in find_untested({"a.py": says}, [HEARS])]
    tested = text.replace("{}", "three")
    assert untested(says, f"CASES = [(call, {tested!r}), 'a place', 'is out of bounds']") == []


def test_what_is_computed_is_no_proof() -> None:
    says = "raise InvalidValue(f'{what}: {why} is left.')"
    assert untested(says, "CASES = ['Dropout: much is left.']") == []
    long = "so much more than anybody can count, by far, in all the days of a life, as it were,"
    assert len(untested(says, f"CASES = ['Dropout: {long} is left.']")) == 1
