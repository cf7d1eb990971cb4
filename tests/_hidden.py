"""Fresh interpreters that can hide packages as if they were not installed."""

import subprocess
import sys
from pathlib import Path

from _deadline import DEADLINE

# No finder finds them, and none complains.
HIDE = """
import sys

class Without:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in HIDDEN:
            return self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
"""


def hidden(*packages: str) -> str:
    """Return code after which packages are as if they were not installed."""
    return f"HIDDEN = {packages!r}" + HIDE


def interpreted(code: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Return what a fresh interpreter does with code; a warning is an error."""
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=DEADLINE, check=False
    )


def run(code: str) -> str:
    """Return what a fresh interpreter prints, which must end well."""
    done = interpreted(code)
    assert done.returncode == 0, done.stderr
    return done.stdout.removesuffix("\n")
