"""How far each process is with its work, in memory that all processes share."""

import multiprocessing

from .processes import START


class Board:
    """For each process the number of its job and the epochs done; and how much is finished.

    Nobody waits for it and nothing is locked, so a process that is killed stops no other.
    """

    def __init__(self, processes: int) -> None:
        context = multiprocessing.get_context(START)
        self._cells = context.RawArray("q", [-1, 0] * processes)
        self._finished = context.RawArray("q", processes)
        self._next = context.Value("i", 0)

    def join(self) -> int:
        """Return the place of a process that has just started."""
        with self._next.get_lock():
            self._next.value += 1
            return int(self._next.value) - 1

    @property
    def has_started(self) -> bool:
        """Whether any process has come as far as its work."""
        return bool(self._next.value)

    def tell(self, place: int, job: int, epoch: int) -> None:
        """Write down how far a job is; job -1 means that none is in work."""
        # A process that takes the place of one that ended shares it.
        place %= len(self._finished)
        self._cells[2 * place : 2 * place + 2] = [job, epoch]

    def finish(self, place: int = 0, pieces: int = 1) -> None:
        """Count finished pieces of work."""
        self._finished[place % len(self._finished)] += pieces

    @property
    def finished(self) -> int:
        """How many pieces of work all processes have finished."""
        return sum(self._finished)

    def read(self) -> dict[int, int]:
        """Return the epochs done of each job that is in work."""
        cells = list(self._cells)
        return {job: epoch for job, epoch in zip(cells[::2], cells[1::2], strict=True) if job >= 0}
