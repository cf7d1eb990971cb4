"""The documents are true: their Python runs, and their commands parse.

The `python` blocks of a page run in order in one namespace, in an empty folder, with warnings as
errors. A block below the line `<!-- not run: REASON -->` is shown and not run.
"""

import contextlib
import io
import re
import shlex
import traceback
from dataclasses import dataclass
from pathlib import Path

import pytest

from noisegate import cli

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
FOR_CONTRIBUTORS = ["CHANGES.md", "CONTRIBUTING.md"]
NOT_RUN = re.compile(r"<!-- not run: \S.*-->")


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, the line its code starts on, its code, and if it runs."""

    language: str
    line: int
    code: str
    runs: bool


def blocks(text: str) -> list[Block]:
    """Return the fenced blocks of a page, those with an indented fence included."""
    found: list[Block] = []
    fence: str | None = None
    language, start, code, above = "", 0, [], ""
    for number, line in enumerate(text.splitlines(), start=1):
        mark = re.match(r"( *)(`{3,}|~{3,})(.*)", line)
        if fence is None and mark:
            indent, fence = len(mark[1]), mark[2]
            language, start, code = mark[3].strip(), number + 1, []
        elif fence is not None and line.strip() == fence:
            runs = not NOT_RUN.fullmatch(above)
            found.append(Block(language, start, "\n".join(code) + "\n", runs))
            fence, above = None, ""
        elif fence is not None:
            code.append(line[min(indent, len(line) - len(line.lstrip())) :])
        elif line.strip():
            above = line.strip()
    assert fence is None, f"the block that starts on line {start} does not end"
    return found


def run(name: str, text: str) -> int:
    """Run the Python blocks of a page, and return how many ran.

    What a block prints is what the `text` block below it shows, where there is one.
    """
    namespace = {"__name__": "__main__"}
    found, count = blocks(text), 0
    for block, below in zip(found, [*found, None][1:], strict=True):
        if block.language != "python" or not block.runs:
            continue
        # Blank lines in front, so that a traceback names the line of the page.
        source = "\n" * (block.line - 1) + block.code
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(source, name, "exec", dont_inherit=True), namespace)
        if below is not None and below.language == "text":
            shown, out = below.code.strip(), printed.getvalue().strip()
            assert out == shown, f"{name}, line {block.line}: it prints\n{out}\nnot\n{shown}"
        count += 1
    return count


def commands(text: str) -> list[str]:
    """Return the commands of the console blocks: the lines after `$ `, continued ones joined."""
    console = [block.code for block in blocks(text) if block.language == "console"]
    joined = "".join(console).replace("\\\n", " ")
    return [line[2:] for line in joined.splitlines() if line.startswith("$ ")]


def check_command(command: str) -> None:
    """A `noisegate` command has a subcommand and options that its help knows; `make`, a target."""
    program, *words = shlex.split(command, comments=True)
    if program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
        for word in words:
            assert word in targets or "=" in word, f"`{command}`: there is no target `{word}`"
    if program == "noisegate":
        subcommand = [word for word in words[:1] if not word.startswith("-")]
        text = help_of(subcommand)
        for word in words:
            option = word.partition("=")[0]
            known = not word.startswith("-") or re.search(rf"(?<![\w-]){option}(?![\w-])", text)
            assert known, f"`{command}`: there is no option `{option}`"


def links(page: Path) -> list[str]:
    """Return where the links of a page lead, without the place in the target."""
    return re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text("utf-8"))


def help_of(subcommand: list[str]) -> str:
    """Return what `noisegate SUBCOMMAND --help` prints."""
    printed, complaint = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(complaint):
        try:
            status = cli.main([*subcommand, "--help"])
        except SystemExit as end:
            status = end.code
    assert not status, f"noisegate {' '.join(subcommand)}: {complaint.getvalue()}"
    return printed.getvalue()


@pytest.mark.parametrize("name", NAMES)
def test_python_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / name).read_text("utf-8")
    ran = run(name, text)
    if name == "README.md":
        assert ran > 0, "the README runs no Python at all"


@pytest.mark.parametrize("name", [*NAMES, *FOR_CONTRIBUTORS])
def test_commands_exist(name):
    for command in commands((ROOT / name).read_text("utf-8")):
        check_command(command)


def test_readme_shows_code_at_once():
    first = blocks((ROOT / "README.md").read_text("utf-8"))[0]
    assert first.line - 1 < 25


def test_readme_is_short():
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()
    assert len(lines) <= 120
    assert [line for line in lines if len(line) > 100 and not line.startswith("|")] == []


def test_every_page_is_in_the_index():
    indexes = [ROOT / "docs" / "README.md", ROOT / "docs" / "kinds" / "README.md"]
    listed = {(index.parent / target).resolve() for index in indexes for target in links(index)}
    pages = {page for page in PAGES if page not in [ROOT / "README.md", indexes[0]]}
    assert pages - listed == set()
    assert indexes[0] in {ROOT / target for target in links(ROOT / "README.md")}


@pytest.mark.parametrize("name", [*NAMES, *FOR_CONTRIBUTORS])
def test_links_lead_somewhere(name):
    page = ROOT / name
    for target in links(page):
        if "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), f"{name} links to {target}"


@pytest.mark.parametrize("name", ["docs/architecture.md", "docs/decisions.md"])
def test_the_files_and_folders_that_a_page_on_the_code_names_are_there(name):
    text = (ROOT / name).read_text("utf-8")
    paths = re.findall(r"`((?:\w+/)+(?:\w+\.\w+)?|\w+\.py)`", text)
    assert len(paths) > 10
    for path in paths:
        places = [ROOT / path, ROOT / "src" / "noisegate" / path]
        assert any(place.exists() for place in places), f"{name} names `{path}`"


PAGE = """\
```python
x = [1]
```

<!-- not run: needs a second machine -->
```python
raise SystemExit
```

1. in a list
   ```python
   def last():
       return x[0]

   Path("made.txt").write_text(str(last()))
   ```

```console
$ noisegate study --help
a line that it prints
$ make demo   # a remark
```

<!-- not run: -->
```text
python
```
"""


def test_the_reader_of_pages_sees_every_block():
    found = blocks(PAGE)
    assert [block.language for block in found] == ["python", "python", "python", "console", "text"]
    assert [block.runs for block in found] == [True, False, True, True, True]
    assert [block.line for block in found] == [2, 7, 12, 19, 26]
    assert found[2].code.startswith("def last():\n    return x[0]\n\nPath(")
    assert commands(PAGE) == ["noisegate study --help", "make demo   # a remark"]


def test_blocks_share_a_namespace_and_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("page.md", PAGE.replace("x = [1]", "from pathlib import Path; x = [1]")) == 2
    assert (tmp_path / "made.txt").read_text() == "1"


def test_a_fault_in_a_page_is_red_and_has_its_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NameError) as caught:
        run("page.md", PAGE)
    last = traceback.extract_tb(caught.tb)[-1]
    assert (last.filename, last.lineno) == ("page.md", 15)
    with pytest.raises(UserWarning):
        run("page.md", "```python\nimport warnings; warnings.warn('careful')\n```\n")
    with pytest.raises(AssertionError, match="starts on line 2 does not end"):
        run("page.md", "```python\nx = 1\n")


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("make dmeo", "there is no target `dmeo`"),
        ("noisegate sutdy", "sutdy"),
        ("noisegate study --sedes 3", "there is no option `--sedes`"),
        ("noisegate --vers", "there is no option `--vers`"),
    ],
)
def test_a_command_that_does_not_exist_is_red(command, reason):
    with pytest.raises(AssertionError, match=reason):
        check_command(command)


def test_a_page_that_shows_what_is_not_printed_is_found():
    page = "```python\nprint(1)\n```\n\n```text\n{}\n```\n"
    assert run("page", page.format(1)) == 1
    with pytest.raises(AssertionError, match="page, line 2: it prints"):
        run("page", page.format(2))
