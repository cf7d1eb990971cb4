"""A progress bar with the time left, and nothing where nobody is watching."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .experiment import Run

__all__ = ["counted_runs"]


@contextmanager
def counted_runs(
    total: int, *, enabled: bool, console: Console | None = None
) -> Iterator[Callable[[Run], None]]:
    """Yield a function to call with each finished run; it moves a bar on the error stream.

    The bar goes to the error stream, so that results can be piped; where that is no terminal,
    nothing is printed.
    """
    console = console or Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("runs, left"),
        TimeRemainingColumn(),
    )
    hidden = not (enabled and console.is_terminal)
    # The rate is measured over this many seconds: long runs, so a long window.
    with Progress(*columns, console=console, disable=hidden, speed_estimate_period=120) as bar:
        task = bar.add_task("training", total=total)

        def finished(run: Run) -> None:
            job = run.job
            bar.update(task, advance=1, description=f"{job.model} {job.recipe} seed {job.seed}")

        yield finished
