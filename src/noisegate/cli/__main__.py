"""Run the command `noisegate` as ``python -m noisegate.cli``."""

import sys

from . import main

if __name__ == "__main__":
    sys.exit(main())
