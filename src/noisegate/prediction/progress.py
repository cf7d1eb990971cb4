"""The progress bar of a prediction, drawn by rich where it is installed."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from noisegate.core.extras import missing_extra


@contextmanager
def show_progress(
    progress: bool | None, rows: int | None, samples: int
) -> Iterator[Callable[[int], None]]:
    """Show a bar for a block; yield the function that advances it by a number of rows."""
    wanted = sys.stderr.isatty() if progress is None else progress
    # Only where a bar is wanted: looking for rich takes longer than a small prediction.
    installed = wanted and find_spec("rich") is not None
    if progress and not installed:
        raise missing_extra("predict: `progress`", "rich", "study")
    if not installed:
        yield lambda count: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(f"{samples} samples", total=None if rows is None else rows * samples)
        yield lambda count: bar.advance(task, count)
