"""Columns of the data: how each was read, and what became of it."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from shlex import quote

import numpy as np

from noisegate.core.errors import InvalidValue

from .cells import Cells, Notation, is_codes, whole
from .header import count_text

MOST_CATEGORIES = 100
# Whole numbers of fewer rows may differ by chance.
LEAST_IDENTIFIERS = 10
# A column of text with so many numbers in it is one of numbers.
MOSTLY = 0.9
# How numbers are written, with the options that read them.
_NOTATIONS = {
    f"--decimal {decimal} --thousands {quote(thousands or '')}".removesuffix(
        " --thousands ''"
    ).replace("--decimal . ", ""): (decimal, thousands)
    for decimal in ".,"
    for thousands in (None, ",", ".", " ", "'")
    if decimal != thousands
}
# A blank may be one that does not break; \s matches each.
_SIGNED = re.compile(
    r"[+\-−]?(?P<before>[$€£¥₹]|[~≈<>≤≥]=?|[A-Z]{3}\s)?\s?(?P<number>[+\-−]?\d[\d.,'\s]*?)"
    r"(?P<after>\s?(%|‰|[$€£¥₹]|°|(°?[^\W\d_]{1,4}[²³]?(/[^\W\d_]{1,3})?))|\s[^\W\d_]+)?"
)
_OTHER_DATE = re.compile(
    r"(\d{1,2}[./-]\d{1,2}[./-](\d\d|\d{4})|\d{1,2}[. -]+[^\W\d_]{3,9}\.?[, -]+\d{2,4}"
    r"|[^\W\d_]{3,9}\.? \d{1,2},? \d{4})([T ,]+\d.*)?|\d{4}[./-]\d{1,2}[./-]\d{1,2}([T ].*)?"
    r"|(1[89]|20)\d\d[/-](0[1-9]|1[0-2])|(0?[1-9]|1[0-2])[/-](1[89]|20)\d\d"
    r"|\d{1,2}:[0-5]\d(:[0-5]\d(\.\d+)?)?( ?[AaPp]\.?[Mm]\.?)?"
)


@dataclass(frozen=True, slots=True)
class Column:
    """How one column of the data was read, and what became of it.

    `role` is number, category, date, text, constant, identifier or array; or target or groups.
    `used` is whether it is an input, and `why` a few words on that: "3 values", "named by
    --ignore". `categories`, of a category, are in the order of their code points. `missing` has
    each word that was read as missing, as it stands in the file, and in how many cells; "" is an
    empty cell.
    """

    name: str
    role: str
    used: bool
    why: str
    categories: tuple[str, ...] = ()
    missing: Mapping[str, int] = field(default_factory=dict)


def find_role(cells: Cells, *, impute: bool) -> tuple[str, str]:
    """Return the role of a column, and a few words on why."""
    if cells.values.ndim > 1:
        return "array", f"{' x '.join(map(str, cells.values.shape[1:]))} numbers a row"
    present = cells.present
    if not len(present):
        return "constant", "no values"
    count = len(set(present.tolist()))
    if count == 1 and not (impute and cells.missing.any()):
        return "constant", "one value in every row"
    if cells.is_text:
        if 3 <= count == len(present):
            return "identifier", "another text in every row"
        if count > MOST_CATEGORIES:
            return "text", f"{count} different texts"
        return "category", count_text(count, "value") + ", codes with leading zeros" * cells.codes
    if cells.values.dtype.kind == "M":
        return "date", "YYYY-MM-DD"
    if LEAST_IDENTIFIERS <= count == len(present) and whole(present).all():
        counts = bool((np.diff(present) == 1).all())
        return "identifier", "counts the rows" if counts else "another whole number in every row"
    return "number", "numbers"


def give_role(cells: Cells, notation: Notation, *, named: bool, impute: bool) -> Column:
    """Return the column of cells that may be an input.

    One that the user has `named` is an input, whatever it looks like. It raises if the cells are
    numbers or dates in another notation; or text that cannot be an input, though it is named.
    """
    if cells.is_text and not cells.codes:
        check_notation(cells, notation, f"leave the column out with --ignore {quote(cells.name)}")
    role, why = find_role(cells, impute=impute)
    used = role in ("number", "category", "date", "array")
    if named and not used:
        if cells.is_text and role != "constant":
            raise _unfit_text(cells, role)
        used, why = len(cells.present) > 0, f"{why}; named by --inputs"
        role = (
            "category" if cells.is_text else "date" if cells.values.dtype.kind == "M" else "number"
        )
    return Column(cells.name, role, used, why, missing=cells.words)


def _unfit_text(cells: Cells, role: str) -> InvalidValue:
    word, place = cells.find(lambda word: True)
    way_out = f"as {word} at {place}. Leave it out of --inputs."
    if role == "identifier":
        return InvalidValue(
            "study: a column of text must have values that rows share; got another in every row "
            f"of `{cells.name}`, {way_out}"
        )
    count = len(set(cells.present))
    return InvalidValue(
        f"study: a column of text must have at most {MOST_CATEGORIES} different values; got "
        f"{count} in `{cells.name}`, {way_out}"
    )


def check_notation(cells: Cells, notation: Notation, other: str) -> None:
    """Raise if texts are nearly all numbers or dates that are written in another way.

    `other` is what the user can do instead of what the sentence proposes.
    """
    words = Counter(cells.present)
    total = len(cells.present)
    plain = {word: value for word in words if (value := notation.parse(word)) is not None}
    count = sum(words[word] for word in plain)
    if MOSTLY * total <= count < total and not is_codes(np.array([*plain.values()])):
        word, place = cells.find(lambda word: word not in plain)
        raise InvalidValue(
            f"study: `{cells.name}` must hold numbers, as {count} of its {total} cells do; got "
            f"{word} at {place}. Fix that cell, name it as a missing value with --na, or {other}."
        )
    _check_options(cells, notation, words, set(plain), other)
    _check_signs(cells, words, other)
    others = {word for word in words if _OTHER_DATE.fullmatch(word)}
    if sum(words[word] for word in others) >= MOSTLY * total:
        times = ", times beside a date" * any(":" in word for word in others)
        rule = f"dates must be written YYYY-MM-DD{times}"
        _refuse(cells, others, words, rule, f"Write them so, or {other}")


def _check_options(
    cells: Cells, notation: Notation, words: Mapping[str, int], plain: set[str], other: str
) -> None:
    """Raise if an option reads texts as numbers."""
    found: dict[str, set[str]] = {}
    signs = {" " if sign.isspace() else sign for sign in "".join(words)}
    for options, (decimal, thousands) in _NOTATIONS.items():
        if thousands and thousands not in signs:
            continue
        parse = replace(notation, decimal=decimal, thousands=thousands).parse
        found[options] = {word for word in words if parse(word) is not None}
    counts = {
        options: sum(words[word] for word in read)
        for options, read in found.items()
        if read - plain
    }
    most = max(counts.values(), default=0)
    if most < MOSTLY * len(cells.present):
        _check_one_notation(cells, found, words, other)
        return
    best = [options for options, count in counts.items() if count == most]
    # Without a second sign a notation is simpler.
    fewest = min(options.count("--") for options in best)
    best = [f"`{options}`" for options in best if options.count("--") == fewest]
    _refuse(
        cells,
        found[best[0].strip("`")] - plain,
        words,
        "numbers must be written as 1234.5, or an option must say how",
        f"Read them with {' or '.join(best)}, or {other}",
    )


def _check_one_notation(
    cells: Cells, found: Mapping[str, set[str]], words: Mapping[str, int], other: str
) -> None:
    """Raise if texts are numbers, some in one notation and some in another."""
    first = max(found, key=lambda options: sum(words[word] for word in found[options]))
    rest = {options: read - found[first] for options, read in found.items()}
    second = max(rest, key=lambda options: sum(words[word] for word in rest[options]))
    count = sum(words[word] for word in found[first] | found[second])
    if not rest[second] or count < MOSTLY * len(cells.present):
        return
    word, place = cells.find(lambda word: word in found[first] - found[second])
    another, elsewhere = cells.find(lambda word: word in rest[second])
    raise InvalidValue(
        f"study: numbers must be written in one way; got {word} (`{first}`) at {place} and "
        f"{another} (`{second}`) at {elsewhere}, both in `{cells.name}`. Write them alike, or "
        f"{other}."
    )


def _check_signs(cells: Cells, words: Mapping[str, int], other: str) -> None:
    """Raise if texts are numbers, each or many with the same sign or unit."""
    groups: dict[tuple[str, str], dict[str, float]] = {}
    for word in words:
        inner = word[1:-1] if word[0] + word[-1] == "()" else word
        if found := _SIGNED.fullmatch(inner):
            # One group has ~, < and >; one has `year` and `years`.
            before = re.sub("[~≈<>≤≥]=?", "<", found["before"] or "")
            before = before or "(" * (inner != word) or "−" * ("−" in word)
            after = (found["after"] or "").strip()
            number = Notation().parse(found["number"].replace("−", "-"))
            group = groups.setdefault((before, after.removesuffix("s") or after), {})
            group[word] = 0.5 if number is None else number
    plain = groups.pop(("", ""), {})
    for (before, after), signed in groups.items():
        alone = sum(words[word] for word in signed) >= MOSTLY * len(cells.present)
        group = signed if alone else signed | plain
        if sum(words[word] for word in group) < MOSTLY * len(cells.present):
            continue
        # Few names, such as 4wd and 2wd, (1) and (2), or <50K and >50K, are categories.
        named = before in ("", "(", "<") if after.isalpha() else (before, after) == ("(", "")
        named = named and not any(re.search(r"\d\s+[^\W\d_]", word) for word in signed)
        if before == "−" or (alone and not named) or not is_codes(np.array([*group.values()])):
            rule = "numbers must stand without a sign or a unit", "Write the numbers alone"
            if before in ("(", "−") and not after:
                rule = "negative numbers must be written as -1234.5", "Write them so"
            _refuse(cells, set(signed), words, rule[0], f"{rule[1]}, or {other}")


def _refuse(
    cells: Cells, found: set[str], words: Mapping[str, int], rule: str, way_out: str
) -> None:
    word, place = cells.find(lambda word: word in found)
    count = sum(words[word] for word in found)
    raise InvalidValue(
        f"study: {rule}; got {word} in `{cells.name}` at {place}, and such text in {count} of "
        f"{len(cells.present)} cells. {way_out}."
    )


def describe_mixed(cells: Cells, notation: Notation) -> str:
    """Return a note of text that has numbers among it; "" of any other column."""
    if not cells.is_text or cells.codes:
        return ""
    numbers = {word for word in set(cells.present) if notation.parse(word) is not None}
    word, place = cells.find(lambda word: word not in numbers)
    if not numbers or not word:
        return ""
    return f"`{cells.name}` is taken as text, numbers and all: it has {word} at {place}."
