"""Make docs/by_hand.ipynb from docs/by_hand.md; with --check, report whether it would change.

A `python` block of the page becomes a cell of code. The `text` block directly after it must equal
its printed output, and becomes the cell's output. Everything else becomes cells of Markdown. The
functions and classes of examples/by_hand.py must be on the page, line by line.
"""

import argparse
import ast
import contextlib
import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "by_hand.md"
NOTEBOOK = PAGE.with_suffix(".ipynb")
EXAMPLE = ROOT / "examples" / "by_hand.py"


@dataclass
class Part:
    """A part of a page: prose, or code with its printed text and its first line's number."""

    kind: str
    text: str
    line: int
    printed: str = ""


def main() -> int:
    """Write the notebook, or compare it; print the faults and return 1 if there are any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare; exit 1 if different")
    check = parser.parse_args().check
    parts = split_page(PAGE.read_text("utf-8"))
    faults = [
        *compare_definitions(parts, EXAMPLE.read_text("utf-8")),
        *run(parts, "docs/by_hand.md"),
    ]
    made = make_notebook(parts)
    if not check and not faults:
        NOTEBOOK.write_text(made, "utf-8")
    elif check and NOTEBOOK.read_text("utf-8") != made:
        faults.append("docs/by_hand.ipynb is not what docs/by_hand.md makes: make it anew.")
    for fault in faults:
        print(fault, file=sys.stderr)
    return bool(faults)


def split_page(page: str) -> list[Part]:
    """Return the parts of a page, in order."""
    parts: list[Part] = []
    lines = page.splitlines()
    at = 0
    while at < len(lines):
        line = lines[at]
        if not line.startswith("```"):
            _add_prose(parts, line, at)
            at += 1
            continue
        end = lines.index("```", at + 1)
        body = "\n".join(lines[at + 1 : end])
        if line == "```python":
            parts.append(Part("code", body, at + 2))
        elif line == "```text" and parts and parts[-1].kind == "code":
            parts[-1].printed = body + "\n"
        else:
            for number in range(at, end + 1):
                _add_prose(parts, lines[number], number)
        at = end + 1
    return parts


def _add_prose(parts: list[Part], line: str, at: int) -> None:
    if parts and parts[-1].kind == "prose":
        parts[-1].text += "\n" + line
    elif line:  # prose does not begin with an empty line
        parts.append(Part("prose", line, at + 1))


def compare_definitions(parts: list[Part], example: str) -> list[str]:
    """Return a sentence for each definition of the example that differs on the page.

    `main` is left out: the page shows its output.
    """
    shown: dict[str, str] = {}
    for part in parts:
        if part.kind == "code":
            shown |= list_definitions(part.text)
    return [
        f"docs/by_hand.md does not show `{name}` as examples/by_hand.py has it."
        for name, source in list_definitions(example).items()
        if name != "main" and shown.get(name) != source
    ]


def list_definitions(code: str) -> dict[str, str]:
    """Return the source of each function and class at the top of some code, by name."""
    lines, found = code.splitlines(), {}
    for node in ast.parse(code).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            start = min([node.lineno, *(mark.lineno for mark in node.decorator_list)])
            found[node.name] = "\n".join(lines[start - 1 : node.end_lineno])
    return found


def run(parts: list[Part], page: str) -> list[str]:
    """Run the code, and return a sentence for each block whose output differs from the page."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    faults = []
    for part in parts:
        if part.kind != "code":
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(part.text, f"{page}:{part.line}", "exec"), namespace)
        if printed.getvalue() != part.printed:
            faults.append(f"{page}, line {part.line}: the block prints\n{printed.getvalue()}")
    return faults


def make_notebook(parts: list[Part]) -> str:
    """Return the parts as a notebook in format 4.5."""
    cells: list[dict[str, Any]] = []
    codes = 0
    for number, part in enumerate(parts, start=1):
        cell = {"id": f"part-{number}", "metadata": {}, "source": _lines(part.text.rstrip())}
        if part.kind == "prose":
            cells.append({"cell_type": "markdown", **cell})
            continue
        codes += 1
        stream = {"name": "stdout", "output_type": "stream", "text": _lines(part.printed)}
        outputs = [stream] if part.printed else []
        cells.append({"cell_type": "code", "execution_count": codes, **cell, "outputs": outputs})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    whole = {
        "cells": cells,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


if __name__ == "__main__":
    sys.exit(main())
