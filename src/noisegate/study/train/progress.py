"""Progress bars with the time left, of all the work and of each piece; where somebody watches."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

__all__ = ["counted", "told"]

# The rate of work is measured over this many seconds: pieces are long, so a long window.
WINDOW = 120


def counted(
    total: int,
    unit: str,
    steps: int,
    done: Callable[[], int],
    at: Callable[[], Mapping[int, int]],
    name: Callable[[int], str],
    *,
    enabled: bool,
    console: Console | None = None,
) -> Progress:
    """Return bars that move by themselves while they are entered, on the error stream.

    So results can be piped; and where the error stream is no terminal, nothing is printed.

    Parameters
    ----------
    total : int
        How many pieces of work there are.
    unit : str
        What they are called: `runs`, `trials`.
    steps : int
        How many steps a piece has: epochs.
    done : callable
        Returns how many pieces have been finished.
    at : callable
        Returns the steps done of each piece in work, by its number.
    name : callable
        Returns the name of a piece by its number.
    """
    console = console or Console(stderr=True)
    visible = enabled and console.is_terminal
    return _Bars(total, unit, steps, done, at, name, console, visible)


def told(sentences: Iterable[str], *, enabled: bool, console: Console | None = None) -> None:
    """Print what is to be known before the work, where somebody watches."""
    console = console or Console(stderr=True)
    if enabled and console.is_terminal:
        for sentence in sentences:
            console.print(sentence, highlight=False, markup=False)


class _Bars(Progress):
    """A bar for all the work, and below it one for each piece in work."""

    def __init__(
        self,
        total: int,
        unit: str,
        steps: int,
        done: Callable[[], int],
        at: Callable[[], Mapping[int, int]],
        name: Callable[[int], str],
        console: Console,
        visible: bool,
    ) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[count]}, left"),
            TimeRemainingColumn(),
        )
        self._done, self._at, self._name = done, at, name
        self._pieces, self._unit, self._steps = total, unit, steps
        self._tasks_of: dict[int, TaskID] = {}
        self._all: TaskID | None = None
        self._looking = False
        super().__init__(
            *columns, console=console, disable=not visible, speed_estimate_period=WINDOW
        )
        self._all = self.add_task("all", total=total * steps, count=self._count())

    def get_renderables(self) -> Iterable[RenderableType]:
        """Look how far everything is, each time that it is drawn."""
        self._look()
        return super().get_renderables()

    def _look(self) -> None:
        if self._all is None or self._looking:  # what is done here draws in turn
            return
        self._looking = True
        try:
            self._move(self._all)
        finally:
            self._looking = False

    def _move(self, whole: TaskID) -> None:
        now = dict(self._at())
        for number in set(self._tasks_of) - set(now):
            self.remove_task(self._tasks_of.pop(number))
        for number, step in now.items():
            if number not in self._tasks_of:
                self._tasks_of[number] = self.add_task(
                    self._name(number), total=self._steps, count=""
                )
            words: Any = f"epoch {step}/{self._steps}"
            self.update(self._tasks_of[number], completed=step, count=words)
        done = self._done() * self._steps + sum(now.values())
        self.update(whole, completed=min(done, self._pieces * self._steps), count=self._count())

    def _count(self) -> str:
        return f"{self._done()}/{self._pieces} {self._unit}"
