"""``python -m noisegate.cli`` is the command `noisegate`."""

import sys

from . import main

if __name__ == "__main__":
    sys.exit(main())
