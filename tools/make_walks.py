"""Make the pictures of docs/study.md and docs/tune.md by the commands on the pages.

The pages' Python makes the data, their commands make the rest. The output of the commands is
printed, to compare it with the pages. It takes some minutes.
"""

import contextlib
import re
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

from noisegate import cli

ROOT = Path(__file__).resolve().parents[1]
# The commands of a page, and the pictures that they make.
PAGES = {
    "study.md": (
        r"noisegate study$|.* --out tumours",
        {"noisegate-study/study.png": "study.png", "tumours/study.png": "study_walk.png"},
    ),
    "tune.md": (r".* --trials 30 ", {"cancer/tuning.png": "tune.png"}),
}


def main() -> int:
    """Run the commands of both pages, and copy their pictures."""
    for name, (wanted, pictures) in PAGES.items():
        text = (ROOT / "docs" / name).read_text("utf-8")
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            data = re.search(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
            assert data is not None
            exec(data[1], {})
            for command in re.findall(r"^\$ (noisegate (?:study|tune).*)$", text, re.MULTILINE):
                if re.match(wanted, command):
                    print(f"$ {command}", flush=True)
                    if cli.main(shlex.split(command)[1:]):
                        return 1
            for made, kept in pictures.items():
                shutil.copy(made, ROOT / "docs" / "images" / kept)
    return 0


if __name__ == "__main__":
    sys.exit(main())
