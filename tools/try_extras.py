"""Run the examples of each extra, in the README and in the page of loops, with that extra alone.

An environment is made outside `.venv`, and another one for some of the extras. The extras are added
to it one after the other, and after each the code and commands for it run in their own folder. The
packages of a later extra must not be there yet. It needs Python 3.11 or newer and pip's index, and
nothing else.
"""

import os
import re
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "extras"
PYTHON = BUILD / "venv" / "bin" / "python"
CONSTRAINTS = ROOT / "constraints.txt"

# In the order of installation, each with a package that only the next extra installs.
EXTRAS = {
    "none": "torch",
    "torch": "skorch",
    "skorch": None,
    "estimators": "matplotlib",
    "study": "pyarrow",
    "parquet": "openpyxl",
    "excel": "optuna",
    "tune": None,
    "accelerate": "transformers",
    "transformers": "lightning",
    "lightning": None,
}
# Those that are tried in a new environment: they bring what others must bring themselves.
FRESH = {"accelerate"}
# The pages whose examples are run.
PAGES = ("README.md", "docs/loops.md")
# The extra that a command of the README needs; the first match counts.
COMMANDS = {
    r"noisegate info": "none",
    r"noisegate tune": "tune",
    r"noisegate .*\.parquet": "parquet",
    r"noisegate .*\.xlsx": "excel",
    r"noisegate (study|show)": "study",
}
# Arguments that make a command end soon.
BUDGETS = {
    "study": "--seeds 2 --epochs 2 --jobs 1 --out out",
    "tune": "--trials 2 --seeds 2 --epochs 2 --out out",
}
# The files that the README's commands read.
FILES = """
import random
from pathlib import Path
import numpy as np

draw = random.Random(0)
names = ["age", "dose", "clinic", "outcome"]
rows = [
    [draw.gauss(50, 10), draw.random(), f"clinic {i % 8}", "ill" if draw.random() < 0.5 else "well"]
    for i in range(240)
]
Path("patients.csv").write_text("".join(",".join(map(str, r)) + "\\n" for r in [names, *rows]))
x = np.random.default_rng(0).normal(size=(240, 6)).astype(np.float32)
np.savez("x.npz", x=x, y=(x[:, 0] > 0).astype(np.int64))
Path("nets.py").write_text(
    "import torch\\n"
    "from collections import OrderedDict as Named\\n"
    "def make(shape, outputs):\\n"
    "    layers = [('hid1', torch.nn.Linear(shape[0], 8)), ('act', torch.nn.ReLU())]\\n"
    "    return torch.nn.Sequential(Named([*layers, ('out', torch.nn.Linear(8, outputs))]))\\n"
)
"""
PARQUET = """
import pyarrow.csv, pyarrow.parquet
pyarrow.parquet.write_table(pyarrow.csv.read_csv("patients.csv"), "patients.parquet")
"""
EXCEL = """
import pandas
pandas.read_csv("patients.csv").to_excel("patients.xlsx", index=False)
"""


def main() -> int:
    """Build the package, and try one extra after the other."""
    jobs = dict.fromkeys(EXTRAS, "")
    for extra, job in list_jobs():
        jobs[extra] += job
    missing = [extra for extra in EXTRAS if not jobs[extra]]
    if missing:
        sys.exit(f"{', '.join(PAGES)} show nothing that needs {', '.join(missing)} alone")
    shutil.rmtree(BUILD, ignore_errors=True)
    (work := BUILD / "work").mkdir(parents=True)
    venv.create(BUILD / "venv", with_pip=True)
    pip("wheel", "--no-deps", "--wheel-dir", str(BUILD), str(ROOT))
    (wheel,) = BUILD.glob("noisegate-*.whl")
    for extra, absent in EXTRAS.items():
        began = time.perf_counter()
        if extra in FRESH:
            venv.create(BUILD / "venv", with_pip=True, clear=True)
        if extra == "torch" or extra in FRESH:
            pip("install", "torch")  # first and pinned, or a dependency installs another version
        pip("install", f"{wheel}[{extra}]" if extra != "none" else str(wheel))
        installed = time.perf_counter()
        if absent:
            run(f"from importlib.util import find_spec; assert not find_spec({absent!r})", work)
        run(make_files(extra) + jobs[extra], work)
        ended = time.perf_counter()
        times = f"{installed - began:.0f} s to install, {ended - installed:.0f} s to try"
        print(f"{extra}: {times}", flush=True)
    return 0


def list_jobs() -> Iterator[tuple[str, str]]:
    """Yield the jobs of all pages as pairs: the extra that a job needs, and its Python."""
    for page in PAGES:
        yield from readme_jobs((ROOT / page).read_text("utf-8"))


def readme_jobs(page: str) -> Iterator[tuple[str, str]]:
    """Yield the jobs of a page as pairs: the extra that a job needs, and its Python.

    A `python` block names its extra in a comment on the line above, `<!-- needs: torch -->`; a
    command is recognised by its words.
    """
    blocks = re.finditer(
        r"^(?:<!-- needs: (\w+) -->\n)?```(python|console)\n(.*?)^```$", page, re.M | re.S
    )
    for extra, language, text in (block.groups() for block in blocks):
        if language == "python" and extra is None:
            raise SystemExit(f"which extra does this need?\n{text}")
        if language == "python":
            yield extra, text
            continue
        for command in re.findall(r"^\$ (noisegate .*?) *(?:#.*)?$", text, re.M):
            needed = next(extra for form, extra in COMMANDS.items() if re.match(form, command))
            yield needed, make_job(command)


def make_job(command: str) -> str:
    """Return Python that runs a command on a small budget, and checks that its report is there."""
    name = command.split()[1]
    if name not in BUDGETS:
        return f"\nimport subprocess; subprocess.run({command!r}, shell=True, check=True)\n"
    return (
        f"\nimport pathlib, shutil, subprocess; shutil.rmtree('out', ignore_errors=True)\n"
        f"subprocess.run({f'{command} {BUDGETS[name]}'!r}, shell=True, check=True)\n"
        "assert pathlib.Path('out', 'report.html').is_file()\n"
    )


def make_files(extra: str) -> str:
    """Return Python that writes the files for the commands of an extra."""
    return {"study": FILES, "parquet": PARQUET, "excel": EXCEL}.get(extra, "")


def pip(*words: str) -> None:
    """Run the environment's pip with the pinned versions."""
    # In the variable too: pip passes it on to the tools that build the package.
    environment = {**os.environ, "PIP_CONSTRAINT": str(CONSTRAINTS)}
    command = [PYTHON, "-m", "pip", "--disable-pip-version-check", *words, "--quiet"]
    subprocess.run(command, check=True, env=environment, cwd=BUILD)


def run(code: str, folder: Path) -> None:
    """Run Python in the environment, with its commands on the path and without the repository."""
    environment = {**os.environ, "PATH": f"{PYTHON.parent}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [PYTHON, "-c", code],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{code}\n{done.stdout}\nWith this extra alone that does not work.")


if __name__ == "__main__":
    sys.exit(main())
