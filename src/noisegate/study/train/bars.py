"""What is printed before the work, and the bars that follow it; only where somebody watches."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from .board import Board

# The rate of work is measured over this many seconds: pieces are long, so a long window.
WINDOW = 120


def print_notes(notes: Iterable[str], *, enabled: bool) -> None:
    """Print lines on the error stream if it is a terminal, or in a notebook."""
    console = Console(stderr=True)
    if enabled and (console.is_terminal or console.is_jupyter):
        for note in notes:
            console.print(note, highlight=False, markup=False)


@contextmanager
def show_bars(
    board: Board,
    total: int,
    unit: str,
    *,
    steps: int = 1,
    name: Callable[[int], str] = str,
    enabled: bool,
    console: Console | None = None,
) -> Iterator[None]:
    """Show bars that follow a board for a block, on the error stream if it is a terminal.

    There are `total` pieces of work, called `unit` (`runs`, say), of `steps` epochs each; `name`
    returns the name of a piece by its number.
    """
    console = console or Console(stderr=True)
    if not enabled or not console.is_terminal:
        yield
        return
    bars = _Bars(board, total, unit, steps, name)
    with Live(get_renderable=bars.draw, console=console, refresh_per_second=10):
        yield


class _Bars:
    """A bar for all the work, and below it one for each piece in work."""

    def __init__(
        self, board: Board, total: int, unit: str, steps: int, name: Callable[[int], str]
    ) -> None:
        self.board, self.total, self.unit, self.steps, self.name = board, total, unit, steps, name
        # Never started: `Live` draws it, so adding a bar does not draw in the middle of a drawing.
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[count]}, left"),
            TimeRemainingColumn(),
            speed_estimate_period=WINDOW,
        )
        self.all = self.progress.add_task("all", total=total * steps, count="")
        self.pieces: dict[int, TaskID] = {}

    def draw(self) -> RenderableType:
        """Move every bar to where the board is, and return them."""
        now, finished = self.board.read(), self.board.finished
        for number in self.pieces.keys() - now.keys():
            self.progress.remove_task(self.pieces.pop(number))
        for number, epoch in now.items():
            if number not in self.pieces:
                name = self.name(number)
                self.pieces[number] = self.progress.add_task(name, total=self.steps, count="")
            count = f"epoch {epoch}/{self.steps}"
            self.progress.update(self.pieces[number], completed=epoch, count=count)
        done = min((finished * self.steps + sum(now.values())), self.total * self.steps)
        self.progress.update(self.all, completed=done, count=f"{finished}/{self.total} {self.unit}")
        return self.progress.get_renderable()
