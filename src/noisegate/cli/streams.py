"""The streams that a subcommand prints to."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

__all__ = ["divert_prints"]


@contextmanager
def divert_prints(json: bool) -> Iterator[None]:
    """Send what is printed in a block to the error stream, so that the output is JSON alone.

    A user's model may print, also in other processes, which inherit the file descriptors.
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
