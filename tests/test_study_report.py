"""What a study shows: in a terminal, in its pictures, in its report."""

import ast
import io
import json
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import matplotlib.image
import numpy as np
import pytest
import torch
from rich.console import Console

import noisegate as ng
from noisegate.study import Study, progress, run, save, tables


@pytest.fixture(scope="module")
def study() -> Study:
    return run(seeds=2, epochs=2, jobs=1, progress=False)


@pytest.fixture(scope="module")
def page(study, tmp_path_factory) -> str:
    return save(study, tmp_path_factory.mktemp("study")).read_text(encoding="utf-8")


def test_what_a_terminal_shows(study, tmp_path):
    text = io.StringIO()
    tables.show(study, tmp_path / "report.html", Console(file=text, width=80))
    lines = text.getvalue().splitlines()
    end = lines.index(f"Report: {tmp_path / 'report.html'}")
    assert lines[end + 1] == study.sentence
    assert ast.parse("\n".join(line.strip() for line in lines[end + 3 :]))
    table = "\n".join(lines[:end])
    assert max(map(len, lines[:end])) <= 80
    for row in study.table:
        for cell in tables.cells(row):
            assert cell in table


def test_progress_is_quiet_where_nobody_watches(study):
    for terminal in (False, True):
        text = io.StringIO()
        console = Console(file=text, force_terminal=terminal, width=80)
        with progress.counted_runs(2, enabled=True, console=console) as finished:
            finished(study.runs[0])
        assert ("mlp none seed 0" in text.getvalue()) == terminal
        assert ("1/2" in text.getvalue()) == terminal
        assert terminal or not text.getvalue()


# Files --------------------------------------------------------------------------------------


class Page(HTMLParser):
    """Collects what a page asks for, and checks that its tags are closed."""

    VOID = frozenset({"meta", "link", "img", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.links += [value for name, value in attrs if name in ("src", "href", "srcset")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_report_needs_nothing_else(page):
    found = Page(page)
    assert len(found.links) == 1 + 2 * 4
    assert all(link.startswith("data:") for link in found.links)
    assert "@import" not in page
    assert "url(" not in page
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in page


def test_the_report_says_what_was_done(study, page):
    assert page.index(study.sentence) < page.index("<table>")
    assert study.settings.command() in page
    for one in study.runs:
        assert f"{one.history.best.validation_loss:.4f}" in page
    assert "conv2:out" in page
    assert "chosen on the validation rows themselves" in page
    assert "not corrected for the number of recipes" in page
    for text in (torch.__version__, np.__version__, ng.__version__):
        assert f"<td>{text}</td>" in page


def test_the_pictures_open_and_are_not_blank(study, tmp_path):
    save(study, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "report.html",
        "study.json",
        "study.png",
        "study.svg",
    }
    pixels = matplotlib.image.imread(tmp_path / "study.png")
    height, width, _ = pixels.shape
    assert width > 1000
    # Each quarter of the picture has ink, and most of it is paper.
    for rows in (slice(None, height // 2), slice(height // 2, None)):
        for columns in (slice(None, width // 2), slice(width // 2, None)):
            ink = (pixels[rows, columns, :3] < 0.5).any(axis=-1).mean()
            assert 0.005 < ink < 0.3
    assert ElementTree.parse(tmp_path / "study.svg").getroot().tag.endswith("svg")
    assert json.loads((tmp_path / "study.json").read_text("utf-8")) == json.loads(study.to_json())


def test_the_pictures_are_the_same_twice(study, tmp_path):
    for folder in ("a", "b"):
        save(study, tmp_path / folder)
    for name in ("study.png", "study.svg", "report.html"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
