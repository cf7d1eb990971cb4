"""The package obeys its floors and its sizes; and a tree that does not is caught and named."""

from pathlib import Path

import pytest

import _house
from _architecture import FILE_LINES, FUNCTION_LINES, Tree, oversized

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "noisegate"


@pytest.fixture(scope="module")
def tree():
    return Tree(PACKAGE)


def test_every_file_imports_only_from_lower_floors(tree):
    assert {source.floor for source in tree.sources} >= {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
    assert not tree.faults(), "\n".join(tree.faults())


def test_files_and_functions_are_short():
    files = [
        path
        for folder in ("src", "tests", "tools", "bench", "examples")
        for path in _python(folder)
    ]
    assert len(files) > 20
    found = [
        sentence
        for path in files
        for sentence in oversized(path.relative_to(ROOT).as_posix(), path.read_text("utf-8"))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("rule", _house.RULES)
def test_the_house_is_kept_light(tree, rule):
    found = dict.fromkeys(_house.RULES[rule](tree).values())
    assert not found, "\n".join(found)


def test_every_room_is_within_its_budget(tree):
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    rooms = {room for _, rooms, *_ in _house.budgets(page) for room in rooms}
    large = "core torch injection prediction loops nets estimators study tune"
    assert rooms == set(large.split())
    found = _house.over_budget(tree, page)
    assert not found, "\n".join(found)


def test_what_is_named_as_an_exception_is_one(tree):
    assert {f"{source.room}: {name}" for source, name, _ in _house.functions(tree)} >= _house.PUBLIC
    closes, by = _house.CLOSES
    assert by in _house.imports_within_rooms(tree)[closes]
    names = [name for source in tree.sources for name in _house.list_names(source)]
    assert all(names.count(name) > 1 for name in _house.ALIKE)


def _python(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


# A small tree that keeps to the plan; each case below adds one file to it.
SOUND = {
    "__init__.py": (
        "from noisegate.core.kinds import Dropout\n"
        "from .injection import inject\n"
        "def __getattr__(name):\n    from . import numpy, torch\n"
    ),
    "core/__init__.py": "",
    "core/backends.py": "def face(name):\n    return import_module(name)\n",
    "core/kinds.py": "from math import sqrt\nfrom . import philox\nfrom .philox import words\n",
    "core/philox.py": "def words(key): return key\n",
    "engines/__init__.py": "def engine(x):\n    from noisegate.engines import numpy, torch\n",
    "engines/generic.py": "from noisegate.core.kinds import Dropout\n",
    "engines/numpy.py": "import numpy as np\nfrom noisegate.engines.generic import apply\n",
    "engines/torch.py": "import torch\nfrom ..core import kinds\nfrom . import generic\n",
    "numpy/__init__.py": "import numpy\nfrom ..engines import numpy as engine\n",
    "torch/__init__.py": "import torch\nfrom noisegate.torch.layers import Layer\n",
    "torch/layers.py": "from torch import nn\nimport numpy as np\nimport noisegate.engines.torch\n",
    "injection.py": "from noisegate.core import kinds\nimport noisegate.torch\n",
    "nets/__init__.py": "import torch\n",
    "study/__init__.py": "import noisegate as ng\nfrom noisegate import nets\nimport sklearn.svm\n",
    "study/plots.py": "import matplotlib.pyplot as plt\n",
    "cli/__init__.py": "import argparse\nfrom noisegate import __version__, study\n",
}

VIOLATIONS = {
    "a framework in the core": (
        ("core/draws.py", "import torch\n"),
        "`core/draws.py` (floor 1) imports `torch` (a framework)",
    ),
    "numpy in the core, for types": (
        ("core/draws.py", "if TYPE_CHECKING:\n    import numpy.typing as npt\n"),
        "`core/draws.py` (floor 1) imports `numpy` (an array library)",
    ),
    "a framework in the core, by name": (
        ("core/draws.py", "import importlib\nimportlib.import_module('jax.numpy')\n"),
        "`core/draws.py` (floor 1) imports `jax` (a framework)",
    ),
    "a higher floor from a function": (
        ("core/draws.py", "def draw():\n    from noisegate.engines import numpy\n"),
        "`core/draws.py` (floor 1) imports `engines/numpy.py` (floor 2)",
    ),
    "a higher floor, relatively": (
        ("core/draws.py", "from ..torch.layers import Layer\n"),
        "`core/draws.py` (floor 1) imports `torch/layers.py` (floor 3)",
    ),
    "a higher floor by a relative name": (
        ("core/draws.py", "import_module('..nets', __package__)\n"),
        "`core/draws.py` (floor 1) imports `nets/__init__.py` (floor 6)",
    ),
    "a higher floor, nobody can tell which": (
        ("core/draws.py", "name = 'torch'\nimport_module(f'noisegate.{name}')\n"),
        "`core/draws.py` (floor 1) imports a computed name",
    ),
    "the table of contents from below": (
        ("core/draws.py", "from noisegate import Dropout\n"),
        "`core/draws.py` (floor 1) imports `__init__.py` "
        "(the table of contents, which gathers what stands below it)",
    ),
    "the reference with a helper": (
        ("core/philox.py", "from math import log\n"),
        "`core/philox.py` (floor 1) imports `math` (it imports nothing at all)",
    ),
    "the reference with a neighbour": (
        ("core/philox.py", "from .kinds import Dropout\n"),
        "`core/philox.py` (floor 1) imports `core/kinds.py` (it imports nothing at all)",
    ),
    "an engine with another's library": (
        ("engines/torch.py", "import numpy as np\nimport torch\n"),
        "`engines/torch.py` (floor 2) imports `numpy` (an array library)",
    ),
    "a library in what engines share": (
        ("engines/generic.py", "import numpy as np\n"),
        "`engines/generic.py` (floor 2) imports `numpy` (an array library)",
    ),
    "a sibling engine": (
        ("engines/torch.py", "from noisegate.engines.numpy import words\n"),
        "`engines/torch.py` (floor 2) imports `engines/numpy.py` (a sibling)",
    ),
    "an engine in what engines share": (
        ("engines/generic.py", "def f():\n    from . import torch\n"),
        "`engines/generic.py` (floor 2) imports `engines/torch.py` (a sibling)",
    ),
    "the engines' door, not lazily": (
        ("engines/__init__.py", "from . import torch\n"),
        "`engines/__init__.py` (floor 2) imports `engines/torch.py` (a sibling)",
    ),
    "a sibling face": (
        ("torch/layers.py", "def f():\n    from ..numpy import forward\n"),
        "`torch/layers.py` (floor 3) imports `numpy/__init__.py` (a sibling)",
    ),
    "another framework in a face": (
        ("numpy/__init__.py", "import torch\n"),
        "`numpy/__init__.py` (floor 3) imports `torch` (a framework)",
    ),
    "a framework in the injection": (
        ("injection.py", "def inject():\n    import torch\n"),
        "`injection.py` (floor 4) imports `torch` (a framework)",
    ),
    "a sibling on floor 6": (
        ("pictures.py", "from .nets import fit\n"),
        "`pictures.py` (floor 6) imports `nets/__init__.py` (a sibling)",
    ),
    "drawing in the wrong place": (
        ("cli/__init__.py", "from matplotlib import pyplot\n"),
        "`cli/__init__.py` (floor 10) imports `matplotlib` (only `prediction/`, `estimators/`, "
        "`study/`, `tune/` and `pictures.py` draw)",
    ),
    "the command line in the study": (
        ("study/tables.py", "from noisegate.cli import main\n"),
        "`study/tables.py` (floor 8) imports `cli/__init__.py` (floor 10)",
    ),
    "a package nobody planned": (
        ("study/tables.py", "import polars\n"),
        "`study/tables.py` (floor 8) imports `polars` (a package that this room does without)",
    ),
    "a face at once in the table of contents": (
        ("__init__.py", "from . import torch\n"),
        "`__init__.py` (floor 4) imports `torch/__init__.py` (not lazily)",
    ),
    "the study at once, beside a type check": (
        (
            "__init__.py",
            "if TYPE_CHECKING:\n    from . import cli\nelse:\n    import noisegate.study\n",
        ),
        "`__init__.py` (floor 4) imports `study/__init__.py` (not lazily)",
    ),
    "a framework in the table of contents": (
        ("__init__.py", "try:\n    import torch\nexcept ImportError:\n    pass\n"),
        "`__init__.py` (floor 4) imports `torch` (a framework)",
    ),
    "a file without a floor": (
        ("helpers.py", ""),
        "`helpers.py` has no floor: give it one in `docs/architecture.md` and in the test",
    ),
}


# For each rule of the house files that break it, and what is said of them, once.
BREACHES = {
    "two files, one of them lazily": (
        {
            "core/a.py": "from . import b\n",
            "core/b.py": "def f():\n    from .a import g\n",
        },
        "`core/a.py` imports `core/b.py`, which imports `core/a.py`: a circle. Move what both need "
        "into a lower file, or have the lower one ask for a Protocol",
    ),
    "three files, one of them for types": (
        {
            "torch/b.py": "from noisegate.torch.model import a\n",
            "torch/model/__init__.py": "",
            "torch/model/a.py": "if TYPE_CHECKING:\n    from .c import C\n",
            "torch/model/c.py": "import noisegate.torch.b\n",
        },
        "`torch/b.py` imports `torch/model/a.py`, which imports `torch/model/c.py`, which imports "
        "`torch/b.py`: a circle. Move what both need into a lower file, or have the lower one ask "
        "for a Protocol",
    ),
    "a package and its file": (
        {
            "study/plots.py": "from noisegate.study import run\n",
            "study/__init__.py": "import_module('.plots', __package__)\n",
        },
        "`study/__init__.py` imports `study/plots.py`, which imports `study/__init__.py`: a "
        "circle. Move what both need into a lower file, or have the lower one ask for a Protocol",
    ),
    "beside the one circle that may be": (
        {
            "nets/joinable.py": "def f():\n    from .joining import join\n",
            "nets/joining.py": "from .network import Network\n",
            "nets/network.py": "from .joinable import Joinable\nfrom .saving import save\n",
            "nets/saving.py": "from .network import Network\n",
        },
        "`nets/network.py` imports `nets/saving.py`, which imports `nets/network.py`: a circle. "
        "Move what both need into a lower file, or have the lower one ask for a Protocol",
    ),
    "nine arguments": (
        {"core/a.py": "class A:\n    def f(self, a, b, c, /, d, e, *more, f, g, h, i, **k): ...\n"},
        "`A.f` in `core/a.py` takes 9 arguments: at most 8. Give it a record of those that go "
        "together, or let it do less",
    ),
    "nine arguments within a function": (
        {"core/a.py": "def f():\n    return lambda a, b, c, d, e, f, g, h, i: a\n"},
        "`f.lambda` in `core/a.py` takes 9 arguments: at most 8. Give it a record of those that "
        "go together, or let it do less",
    ),
    "who asks": (
        {"core/a.py": "def f(x, *, who): ...\nasync def g(who): ...\n"},
        "`f` in `core/a.py` takes `who`: raise without it, and let the caller put its name in "
        "front, by `prefix_errors`",
    ),
    "the core as what a model is given to": (
        {
            "core/a.py": "def f(x):\n    raise ValueError(f'inject: {x} is none')\n",
            "injection.py": "def inject(model): ...\n",
        },
        '`core/a.py` says "inject: ", the name of something above it: raise without it, and let '
        "the room above put its name in front, by `prefix_errors`",
    ),
    "the core as a face": (
        {
            "core/a.py": "def f():\n    with prefix_errors('mask.at'):\n        return 1\n",
            "numpy/field.py": "def mask(): ...\n",
        },
        '`core/a.py` says "mask.at: ", the name of something above it: raise without it, and let '
        "the room above put its name in front, by `prefix_errors`",
    ),
    "the core as the package": (
        {"core/a.py": "warn('noisegate: no noise acts')\n"},
        '`core/a.py` says "noisegate: ", the name of something above it: raise without it, and '
        "let the room above put its name in front, by `prefix_errors`",
    ),
    "a module of messages": (
        {"cli/messages.py": ""},
        "`cli/messages.py`: write each sentence where it is raised, not in `messages`",
    ),
    "a package of messages": (
        {"nets/messages/layers.py": ""},
        "`nets/messages/layers.py`: write each sentence where it is raised, not in `messages`",
    ),
    "files of one name": (
        {"core/sites.py": "", "torch/model/sites.py": ""},
        "`core/sites.py` and `torch/model/sites.py` have one name: say in each what it is of",
    ),
    "functions of one name": (
        {"core/a.py": "def _split(x): ...\n", "torch/b.py": "async def _split(x): ...\n"},
        "`_split` is made in `core/a.py` and `torch/b.py`: one name, one thing. Rename one of them",
    ),
    "a class and a function of one name": (
        {"core/a.py": "class part: ...\n", "nets/b.py": "def part(x): ...\n"},
        "`part` is made in `core/a.py` and `nets/b.py`: one name, one thing. Rename one of them",
    ),
}

# What looks like a breach of these rules, and is none.
SOUND_HOUSE = {
    "nets/joinable.py": "def f():\n    from .joining import join\n",
    "nets/joining.py": "from .layer import Layer\n",
    "nets/layer.py": "from .joinable import Joinable\n",
    "core/a.py": (
        "class A:\n    def f(self, a, b, c, d, e, f, g, h, *more, **words): ...\n"
        "    @classmethod\n    def g(cls, a, b, c, d, e, f, g, h): ...\n"
    ),
    "injection.py": (
        "def inject(a, b, c, d, e, f, g, h, i, j): ...\nwho = 'a name'\n"
        "raise ValueError('inject: a name')\n"
    ),
    "core/sites.py": (
        "class Site:\n    def split(self): ...\n"
        "raise ValueError('Stream: the seed').prefix('Stream')\n"
        "raise ValueError('the seed: inject is above')\n"
    ),
    "numpy/functional.py": "def apply(x): ...\ndef __getattr__(name): ...\ndef split(x): ...\n",
    "torch/functional.py": "from .layers import Layer\ndef apply(x): ...\nsplit = Layer.split\n",
}


def grow(folder: Path, files: dict[str, str]) -> Tree:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, "utf-8")
    return Tree(folder)


def test_a_sound_tree_passes(tmp_path):
    assert grow(tmp_path, SOUND).faults() == []


@pytest.mark.parametrize("case", VIOLATIONS)
def test_each_violation_is_named_and_nothing_else(tmp_path, case):
    (path, text), sentence = VIOLATIONS[case]
    assert grow(tmp_path, SOUND | {path: text}).faults() == [sentence]


def breaches(tree: Tree) -> list[str]:
    found = [sentence for rule in _house.RULES.values() for sentence in rule(tree).values()]
    return [*tree.faults(), *dict.fromkeys(found)]


def test_a_house_that_keeps_the_rules_passes(tmp_path):
    assert breaches(grow(tmp_path, SOUND | SOUND_HOUSE)) == []


@pytest.mark.parametrize("case", BREACHES)
def test_each_breach_of_a_rule_is_named_and_nothing_else(tmp_path, case):
    files, sentence = BREACHES[case]
    assert breaches(grow(tmp_path, SOUND | files)) == [sentence]


PAGE = """
| rooms | at most | aim |
|---|--:|--:|
| `core/` | 12 lines | 3 |
| `nets/`, `study/` | 1,004 lines | 7 |
| all rooms | 1,040 lines | 37 |
"""


def test_a_room_over_its_budget_is_named(tmp_path):
    assert _house.over_budget(grow(tmp_path, SOUND), PAGE) == []
    more = SOUND | {"nets/a.py": "\n" * 1000, "nets/b.py": "\n", "jax/a.py": "\n" * 1000}
    assert _house.over_budget(grow(tmp_path, more), PAGE) == [
        "`nets/`, `study/` have 1,006 lines, and `docs/architecture.md` gives 1,004, so that a "
        "newcomer can read it. Look for what exists twice, and for what belongs elsewhere; the "
        "largest files are `nets/a.py`, `study/__init__.py`, `nets/__init__.py`. If neither helps, "
        "raise the number there and say why"
    ]
    pictures = SOUND | {"pictures.py": "\n" * 1040}
    assert _house.over_budget(grow(tmp_path / "more", pictures), PAGE)[0].startswith(
        "all rooms have 1,074 lines, and `docs/architecture.md` gives 1,040, so that"
    )


def test_length_is_counted_without_docstrings():
    def function(lines: int) -> str:
        return "def f():\n" + '    """One.\n\n    Three.\n    """\n' + "    x = 1\n" * (lines - 1)

    assert oversized("a.py", function(FUNCTION_LINES)) == []
    assert oversized("a.py", function(FUNCTION_LINES + 1)) == [
        "`f` in `a.py` has 61 lines without its docstring: at most 60"
    ]
    method = "class A:\n    async def f(self):\n" + "        x = 1\n" * FUNCTION_LINES
    assert oversized("a.py", method) == [
        "`f` in `a.py` has 61 lines without its docstring: at most 60"
    ]
    assert oversized("a.py", "\n" * FILE_LINES) == []
    assert oversized("a.py", "\n" * (FILE_LINES + 1)) == ["`a.py` has 401 lines: at most 400"]
