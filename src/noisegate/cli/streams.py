"""Where what is printed goes."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

__all__ = ["nothing_beside"]


@contextmanager
def nothing_beside(json: bool) -> Iterator[None]:
    """Send to the error stream whatever is printed meanwhile, where only JSON is to be printed.

    A user's model may print, in other processes too, which inherit the streams.
    """
    if not json:
        yield
        return
    sys.stdout.flush()
    before = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(before, 1)
        os.close(before)
