"""Finds the sentences that a package says, and those of them that no test has word for word.

A sentence is read where it is written. What stands in `{}` may be anything, every other letter is
compared with the texts of the tests. What an error or a warning is given has to be a whole sentence
of a test, but for the name of what was called in front of it; a part that is written elsewhere has
to stand in one.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

# A part with fewer words is a word of the grammar rather than a sentence.
WORDS = 4
# So much of what is compared has to be letters of the source, or `{sentence}` would fit anything.
SHARE, ENOUGH = 0.25, 24

# Calls whose text a user reads, beside errors.
SPEAKERS = {"warn", "warn_caller"}
# Texts that are no answer to anybody: help, titles, formulas.
SILENT = {"help", "description", "epilog", "metavar", "usage", "doc"}

# Stands in the text of a test for what it computes: nothing but a `{}` of the source fits.
COMPUTED = "\0"

# Names of what was called, each with its colon.
_PREFIXES = r"(?:(?:(?!\. )[^:])*: )*"

Parts = tuple[str | None, ...]


@dataclass(frozen=True)
class Sentence:
    """A text of the source: where it is, its letters with None for each `{}`."""

    path: str
    line: int
    parts: Parts
    raised: bool

    @property
    def text(self) -> str:
        return "".join("{}" if part is None else part for part in self.parts)

    @property
    def letters(self) -> int:
        return sum(len(part) for part in self.parts if part is not None)

    @property
    def counts(self) -> bool:
        """Whether it has words enough to be compared, and is no page of help and no markup."""
        words = [word for word in self.text.split() if re.search("[A-Za-z]{2}", word)]
        is_prose = "\n" not in self.text and not self.text.startswith("<")
        return len(words) >= (1 if self.raised else WORDS) and (self.raised or is_prose)

    @property
    def ends(self) -> bool:
        """Whether it is a whole sentence, or a question at most is added to it."""
        last = next(part for part in reversed(self.parts) if part is not None)
        return last.rstrip().endswith((".", "?"))

    def __str__(self) -> str:
        return f'{self.path}:{self.line} says "{self.text}", and no test has it word for word'

    def is_in(self, texts: Iterable[str]) -> bool:
        longest = max((part for part in self.parts if part), key=len)
        return any(longest in text and self._fits(text) for text in texts)

    def _fits(self, text: str) -> bool:
        inner = "".join("(.*?)" if part is None else re.escape(part) for part in self.parts)
        if self.raised and self.ends:
            found = re.fullmatch(rf"{_PREFIXES}(?P<own>{inner})\n?", text)
        else:
            before = r"(?<!\w)" if re.match(r"\w", self.text) else ""
            found = re.search(rf"{before}(?P<own>{inner})(?!\w)", text)
        return found is not None and self.letters >= min(ENOUGH, SHARE * len(found["own"]))


def read_sentences(path: str, text: str) -> list[Sentence]:
    """Return the sentences of a file: what is raised or warned of, and texts of `WORDS` words."""
    found = _Reader(ast.parse(text, path)).texts()
    sentences = (Sentence(path, line, parts, raised) for line, parts, raised in found)
    return [sentence for sentence in sentences if sentence.counts]


def read_texts(text: str) -> set[str]:
    """Return every text of a test file but its docstrings."""
    found = _Reader(ast.parse(text), is_test=True).texts()
    texts = {"".join(COMPUTED if part is None else part for part in parts) for _, parts, _ in found}
    return texts | {each.replace("{{", "{").replace("}}", "}") for each in texts}  # for `format`


def find_untested(sources: dict[str, str], tests: Iterable[str]) -> list[Sentence]:
    """Return the sentences of some files that the text of no test file has."""
    texts = {text for test in tests for text in read_texts(test)}
    return [
        sentence
        for path, source in sources.items()
        for sentence in read_sentences(path, source)
        if not sentence.is_in(texts)
    ]


def read_folder(folder: Path) -> dict[str, str]:
    """Return the text of each Python file below a folder, by its path there."""
    paths = sorted(folder.rglob("*.py"))
    return {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in paths}


class _Reader:
    """Reads the texts of a file: neighbours and sums as one, its constants where they are used."""

    def __init__(self, tree: ast.Module, is_test: bool = False) -> None:
        self._tree = tree
        self._is_test = is_test
        self._constants: dict[str, list[str | None]] = {}
        self._docstrings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                parts = self._parts(node.value)
                if parts is not None:
                    self._constants[node.targets[0].id] = parts

    def texts(self) -> Iterator[tuple[int, Parts, bool]]:
        """Yield the line of each text, its parts, and whether it is raised or warned of."""
        return self._below(self._tree, False)

    def _below(self, node: ast.AST, raised: bool) -> Iterator[tuple[int, Parts, bool]]:
        if isinstance(node, ast.Constant) and node in self._docstrings:
            return
        if isinstance(node, ast.keyword) and node.arg in SILENT:
            return
        parts = self._parts(node)
        if parts is None:
            for child in ast.iter_child_nodes(node):
                yield from self._below(child, _is_said(node, child, raised))
        elif isinstance(node, ast.expr) and not isinstance(node, ast.Name):
            yield node.lineno, _joined(parts), raised
            for computed in self._computed(node):
                yield from self._below(computed, False)

    def _parts(self, node: ast.AST) -> list[str | None] | None:
        """Return the letters of a text with None for what is computed; None if it is no text."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return [node.value] if self._is_test else _fields(node.value)
        if isinstance(node, ast.Name):
            return self._constants.get(node.id)
        if isinstance(node, ast.JoinedStr):
            return [each for part in node.values for each in self._parts(part) or [None]]
        if isinstance(node, ast.FormattedValue):
            return self._parts(node.value)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            left, right = self._parts(node.left), self._parts(node.right)
            if left is not None or right is not None:
                return [*(left or [None]), *(right or [None])]
        return None

    def _computed(self, node: ast.AST) -> Iterator[ast.AST]:
        """Yield what stands in the `{}` of a text."""
        if isinstance(node, ast.JoinedStr):
            yield from (part.value for part in node.values if isinstance(part, ast.FormattedValue))
        elif isinstance(node, ast.BinOp):
            for side in (node.left, node.right):
                yield from [side] if self._parts(side) is None else self._computed(side)


def _is_said(node: ast.AST, child: ast.AST, raised: bool) -> bool:
    """Say whether a text at this child is what an error or a warning says."""
    if isinstance(node, ast.Raise):
        return child is node.exc
    if isinstance(node, ast.IfExp):
        return raised and child is not node.test
    if isinstance(node, ast.Call):
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        is_error = raised and name[:1].isupper()
        return child in node.args[:1] and (name in SPEAKERS or is_error)
    return False


def _fields(text: str) -> list[str | None]:
    """Return a text with None for each field such as {} and {name}, which `format` fills."""
    pieces = re.split(r"\{\w*\}", text)
    return [part for piece in pieces for part in (None, piece)][1:]


def _joined(parts: list[str | None]) -> Parts:
    """Return the parts with neighbours of one sort as one."""
    joined: list[str | None] = []
    for part in parts:
        if joined and part is not None and joined[-1] is not None:
            joined[-1] += part
        elif not joined or part is not None or joined[-1] is not None:
            joined.append(part)
    return tuple(joined)
