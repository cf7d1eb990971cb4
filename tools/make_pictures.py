"""Make the pictures of docs/kinds by the `noisegate show` command that each page prints."""

import os
import re
import shlex
import sys
from pathlib import Path

from noisegate import cli

PAGES = Path(__file__).parent.parent / "docs" / "kinds"
COMMAND = re.compile(r"^\$ noisegate (show .* -o images/.*)$", re.MULTILINE)


def main() -> int:
    """Run every command in the folder of its page; return how many failed."""
    os.chdir(PAGES)
    commands = [c for page in sorted(PAGES.glob("*.md")) for c in COMMAND.findall(page.read_text())]
    return sum(cli.main(shlex.split(command)) != 0 for command in commands)


if __name__ == "__main__":
    sys.exit(main())
