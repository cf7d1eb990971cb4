"""Files that are there whole or not at all."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from noisegate.core.errors import InvalidValue, NoisegateError

# Below a study's folder.
RUNS = "runs"
# Nobody's mistake: another call would fail as well.
FULL = (errno.ENOSPC, errno.EDQUOT)


def check_folder(folder: Path) -> None:
    """Raise if a file is in the way of a folder; nothing is made."""
    place = next((place for place in (folder, *folder.parents) if os.path.lexists(place)), None)
    if place is not None and not place.is_dir():
        code = errno.EEXIST if place == folder else errno.ENOTDIR
        raise InvalidValue(_cannot_write(folder, os.strerror(code)))


def check_unused(folder: Path) -> None:
    """Raise if a study has left runs in its folder."""
    if any((folder / RUNS).rglob("*.json")):
        raise InvalidValue(
            f"study: '{folder}' has runs already. Go on with them by --resume, "
            "or name another folder with --out."
        )


def make_folder(folder: Path) -> Path:
    """Make a folder, with those above it, and return it; raise unless it can be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (probe := folder / f".{os.getpid()}.tmp").touch()
        probe.unlink()
    except OSError as error:
        wrong = NoisegateError if error.errno in FULL else InvalidValue
        raise wrong(_cannot_write(folder, _explain(error))) from None
    return folder


@contextmanager
def open_folder(folder: Path) -> Iterator[None]:
    """Make a folder for a block; if the block fails, remove what was made and is still empty."""
    # Innermost first, as they can be removed.
    new = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        make_folder(folder)
        yield
    except BaseException:
        for each in new:
            with suppress(OSError):  # something has been stored in it
                each.rmdir()
        raise


def write_file(path: Path, content: str | bytes) -> None:
    """Write a file that is either the old one or the new one, whatever happens meanwhile."""
    data = content.encode(errors="backslashreplace") if isinstance(content, str) else content
    # In the same folder, since only within a file system a rename is one step.
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        raise NoisegateError(
            f"study: cannot write '{path}': {_explain(error)}. Every run that had finished before "
            "is saved; mend that, and go on with --resume."
        ) from None


def _cannot_write(folder: Path, reason: str) -> str:
    return f"study: cannot write to '{folder}': {reason}. Name another folder with --out."


def _explain(error: OSError) -> str:
    return error.strerror or str(error)
