"""The packages that each extra of pyproject.toml installs, and the imports that each room may have.

That a job works with its extra alone is shown by `make extras`, in an environment of its own.
"""

import runpy
from collections.abc import Sequence
from pathlib import Path

import pytest

from _architecture import Tree
from _extras import beyond, extras
from _hidden import hidden, interpreted
from noisegate.core.extras import PACKAGES
from test_architecture import grow

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = (ROOT / "pyproject.toml").read_text("utf-8")

# Rooms ------------------------------------------------------------------------------------------


def test_each_extra_has_its_packages_and_those_of_the_extras_it_names():
    found = extras(PYPROJECT)
    assert found[""] == ({""}, {"numpy"})
    assert found["torch"] == ({"", "torch"}, {"numpy", "safetensors", "torch"})
    assert found["estimators"][1] - found["torch"][1] == {"sklearn", "skorch"}
    assert found["study"][1] - found["estimators"][1] == {
        "jinja2",
        "matplotlib",
        "pandas",
        "rich",
        "scipy",
        "skops",
        "yaml",
    }
    assert found["tune"][1] - found["study"][1] == {"optuna", "sqlalchemy"}
    assert found["parquet"][1] - found["study"][1] == {"pyarrow"}
    assert found["excel"][1] - found["study"][1] == {"openpyxl"}
    assert found["lightning"][1] - found["torch"][1] == {"lightning"}
    assert found["transformers"][1] - found["torch"][1] == {"accelerate", "transformers"}
    assert found["accelerate"][1] - found["torch"][1] == {"accelerate"}
    assert found["skorch"][1] - found["torch"][1] == {"skorch"}
    assert "tune" not in found["study"][0] | found["parquet"][0]


@pytest.mark.parametrize("extra", PACKAGES)
def test_what_a_room_requires_is_what_its_extra_brings(extra):
    brought = extras(PYPROJECT)[extra][1]
    assert set(PACKAGES[extra]) <= brought
    # The study says what a search lacks of the rest, and Optuna brings sqlalchemy.
    elsewhere = {*PACKAGES["study"], "sqlalchemy"} if extra == "tune" else set()
    assert brought - set(PACKAGES[extra]) - {"numpy"} == elsewhere


def test_no_room_reaches_beyond_its_extra():
    found = beyond(Tree(ROOT / "src" / "noisegate"), PYPROJECT)
    assert not found, "\n".join(found)


# A small tree that keeps to its extras; each case below adds one file to it.
SOUND = {
    "__init__.py": (
        "def __getattr__(name):\n    from . import estimators, nets, study, torch, tune\n"
    ),
    "core/kind.py": "from math import sqrt\n",
    "engines/numpy.py": "import numpy\n",
    "engines/torch.py": "import torch\n",
    "torch/__init__.py": "import torch, numpy\n",
    "injection/report.py": "def __rich__():\n    from rich.table import Table\n",
    "prediction/plots.py": "if TYPE_CHECKING:\n    from matplotlib.axes import Axes\n",
    "nets/__init__.py": "import torch, safetensors\n",
    "nets/layer.py": "from noisegate.torch import layers\n",
    "estimators/__init__.py": "import skorch\nfrom .base import Estimator\n",
    "estimators/fitting.py": "import skorch\nfrom noisegate.nets import layer\n",
    "estimators/base.py": "import sklearn\nfrom .fitting import fit\n",
    "study/__init__.py": (
        "import scipy, yaml, sklearn, torch\nfrom noisegate.estimators import fitting\n"
    ),
    "study/data/formats.py": "def read():\n    import pyarrow\n",
    "tune/__init__.py": "import optuna, sqlalchemy, matplotlib\nfrom noisegate import study\n",
    "cli/tune.py": "def execute():\n    from noisegate.tune import tune\n",
}

VIOLATIONS = {
    "the search in the study, lazily": (
        ("study/main.py", "def save():\n    from noisegate.tune import plots\n"),
        "`study/main.py` (extra `study`) imports `tune/` (the extra `tune` brings it)",
    ),
    "the search in the study, for types": (
        ("study/main.py", "if TYPE_CHECKING:\n    from noisegate.tune import Tuning\n"),
        "`study/main.py` (extra `study`) imports `tune/` (the extra `tune` brings it)",
    ),
    "a package of the search in the study": (
        ("study/show/report/trust.py", "import optuna\n"),
        "`study/show/report/trust.py` (extra `study`) imports `optuna` (the extra `tune` brings "
        "it)",
    ),
    "one that comes with it, by name": (
        ("study/train/store.py", "import_module('sqlalchemy.engine')\n"),
        "`study/train/store.py` (extra `study`) imports `sqlalchemy` (the extra `tune` brings it)",
    ),
    "parquet beside its door": (
        ("study/data/reading.py", "def read():\n    import pyarrow\n"),
        "`study/data/reading.py` (extra `study`) imports `pyarrow` (the extra `parquet` brings it)",
    ),
    "parquet in the search, which is beside it": (
        ("tune/rows.py", "import pyarrow\n"),
        "`tune/rows.py` (extra `tune`) imports `pyarrow` (the extra `parquet` brings it)",
    ),
    "parquet at its door, at once": (
        ("study/data/formats.py", "import pyarrow\n"),
        "`study/data/formats.py` (extra `study`) imports `pyarrow` "
        "(the extra `parquet` brings it, and this door is lazy)",
    ),
    "statistics in an estimator": (
        ("estimators/classifier.py", "from scipy.special import softmax\n"),
        "`estimators/classifier.py` (extra `estimators`) imports `scipy` "
        "(the extra `study` brings it)",
    ),
    "an estimator's package in a layer": (
        ("nets/dense.py", "def f():\n    import sklearn\n"),
        "`nets/dense.py` (extra `torch`) imports `sklearn` (the extra `estimators` brings it)",
    ),
    "the training loop in a layer": (
        ("nets/dense.py", "from noisegate.estimators import fit\n"),
        "`nets/dense.py` (extra `torch`) imports `estimators/` (the extra `estimators` brings it)",
    ),
    "the study in a network": (
        ("nets/dense.py", "def f():\n    import noisegate.study\n"),
        "`nets/dense.py` (extra `torch`) imports `study/` (the extra `study` brings it)",
    ),
    "torch where NumPy is enough": (
        ("injection/handle.py", "if TYPE_CHECKING:\n    import torch\n"),
        "`injection/handle.py` (extra ``) imports `torch` (the extra `torch` brings it)",
    ),
    "a bar beside its door": (
        ("injection/handle.py", "def f():\n    import rich\n"),
        "`injection/handle.py` (extra ``) imports `rich` (the extra `study` brings it)",
    ),
    "the study in the command line, at once": (
        ("cli/study.py", "from noisegate.study import run\n"),
        "`cli/study.py` (extra ``) imports `study/` "
        "(the extra `study` brings it, and this door is lazy)",
    ),
    "a package that no extra brings": (
        ("study/show/terminal.py", "def f():\n    import polars\n"),
        "`study/show/terminal.py` (extra `study`) imports `polars` (no extra brings it)",
    ),
    "a room of no extra": (
        ("helpers/__init__.py", ""),
        "`helpers/__init__.py` belongs to no extra: give its room one in the test",
    ),
}


def test_a_sound_tree_passes(tmp_path):
    assert beyond(grow(tmp_path, SOUND), PYPROJECT) == []


@pytest.mark.parametrize("case", VIOLATIONS)
def test_each_violation_is_named_and_nothing_else(tmp_path, case):
    (path, text), sentence = VIOLATIONS[case]
    assert beyond(grow(tmp_path, SOUND | {path: text}), PYPROJECT) == [sentence]


# What is missing, said before the work ------------------------------------------------------------

ROWS = "x,k\n" + "1.5,a\n2.5,b\n" * 20


def needs(what: str, package: str, extra: str) -> str:
    return f'{what} needs {package}. Install it with: pip install "noisegate[{extra}]"'


def command(*words: str) -> str:
    return f"\nfrom noisegate.cli import main\nraise SystemExit(main({list(words)}))"


def commanded(*calls: Sequence[str]) -> str:
    """Return code that runs commands, each up to its training, and prints codes and files."""
    watched = (
        "\nimport noisegate.study.train.run as experiment\n"
        "def execute(*words, **more):\n    raise SystemExit('it trains')\n"
        "experiment.execute = execute\n"
        "import noisegate.study.train.pool as pool\npool.execute = execute"
    )
    imports = "\nimport os\nfrom noisegate.cli import main"
    lines = (f"\nprint(main({[*words]}), *sorted(os.listdir()), flush=True)" for words in calls)
    return watched + imports + "".join(lines)


STUDY = ("--target", "k", "--seeds", "2", "--epochs", "1", "--jobs", "1", "--recipe", "hidden")
JOBS = {
    "a search": (
        ("optuna",),
        command("tune", "--data", "d.csv", "--target", "k"),
        needs("noisegate.tune", "optuna", "tune"),
    ),
    "a search, with torch alone": (
        ("optuna", "sklearn", "skorch", "scipy", "matplotlib", "rich", "yaml"),
        command("tune", "--data", "d.csv", "--target", "k"),
        needs("noisegate.tune", "optuna", "tune"),
    ),
    **{
        f"a study without {package}": (
            (module,),
            command("study", "--data", "d.csv", *STUDY),
            needs("noisegate.study", package, "study"),
        )
        for module, package in {
            "torch": "torch",
            "sklearn": "scikit-learn",
            "skorch": "skorch",
            "scipy": "scipy",
            "matplotlib": "matplotlib",
            "rich": "rich",
            "yaml": "pyyaml",
        }.items()
    },
    "a comparison": (
        ("rich",),
        command("compare", "a.json", "b.json"),
        needs("noisegate.study", "rich", "study"),
    ),
    "a model's sites": (
        ("torch",),
        command("sites", "mlp"),
        needs("noisegate.study", "torch", "study"),
    ),
    "a picture": (
        ("matplotlib",),
        command("show", "dropout(0.5)", "--shape", "4,8"),
        needs("noisegate.pictures", "matplotlib", "study"),
    ),
    **{
        f"an estimator without {package}": (
            (package,),
            "\nimport noisegate\ntry:\n    import noisegate.estimators\n"
            "except noisegate.MissingExtra as error:\n"
            "    raise SystemExit(f'noisegate: {error}')",
            needs("noisegate.estimators", name, "estimators"),
        )
        for package, name in (("skorch", "skorch"), ("sklearn", "scikit-learn"), ("torch", "torch"))
    },
}


@pytest.mark.parametrize("job", JOBS)
def test_a_job_whose_extra_is_missing_says_so_before_the_work(job, tmp_path):
    packages, code, sentence = JOBS[job]
    (tmp_path / "d.csv").write_text(ROWS)
    (tmp_path / "d.parquet").write_bytes(b"")
    done = interpreted(hidden(*packages) + code, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"noisegate: {sentence}\n")
    assert {path.name for path in tmp_path.iterdir()} == {"d.csv", "d.parquet"}


PARQUET = {
    "rows": ("--data", "d.parquet"),
    "test rows": ("--data", "d.csv", "--test", "d.parquet"),
    "other rows": ("--data", "d.csv", "--uncertainty", "--ood", "d.parquet"),
}


def test_rows_of_parquet_without_its_extra_are_told_before_the_work(tmp_path):
    """In one process, as none of them gets to the work; in the end one that does."""
    (tmp_path / "d.csv").write_text(ROWS)
    (tmp_path / "d.parquet").write_bytes(b"")
    calls = [["study", *words, *STUDY] for words in (*PARQUET.values(), ("--data", "d.csv"))]
    done = interpreted(hidden("pyarrow") + commanded(*calls), tmp_path)
    sentence = needs("A parquet file", "pyarrow", "parquet")
    said = [f"noisegate: {sentence}"] * len(PARQUET)
    *others, last = done.stderr.splitlines()
    assert (others, last.endswith("SystemExit: it trains")) == (said, True)
    assert done.stdout == "1 d.csv d.parquet\n" * len(calls)


def test_a_study_needs_neither_the_search_nor_parquet(tmp_path):
    (tmp_path / "d.csv").write_text(ROWS)
    code = hidden("optuna", "sqlalchemy", "pyarrow") + command("study", "--data", "d.csv", *STUDY)
    done = interpreted(code, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "noisegate-study" / "report.html").is_file()


@pytest.mark.parametrize("package", ["optuna", "pyarrow", "skorch", "matplotlib"])
def test_what_is_hidden_is_hidden(package):
    """The proof of the proof: it is there where nobody hides it."""
    ask = f"\nfrom importlib.util import find_spec\nprint(find_spec({package!r}) is None)"
    assert interpreted(hidden(package) + ask).stdout == "True\n"
    assert interpreted(hidden() + ask).stdout == "False\n"
    done = interpreted(hidden(package) + f"\nimport {package}")
    assert f"ModuleNotFoundError: No module named '{package}'" in done.stderr


# What `make extras` tries -------------------------------------------------------------------------


def test_the_readme_has_a_job_for_each_extra():
    tool = runpy.run_path(str(ROOT / "tools" / "try_extras.py"))
    jobs = list(tool["list_jobs"]())
    assert {extra for extra, _ in jobs} == set(tool["EXTRAS"])
    assert {"none", *extras(PYPROJECT)} == {"", *tool["EXTRAS"]}
    assert len(jobs) >= 12


def test_a_block_of_which_nobody_says_what_it_needs_is_named():
    tool = runpy.run_path(str(ROOT / "tools" / "try_extras.py"))
    with pytest.raises(SystemExit, match=r"which extra does this need\?\nx = 1"):
        list(tool["readme_jobs"]("```python\nx = 1\n```\n"))
