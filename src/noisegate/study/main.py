"""The study from its settings to its result."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from noisegate.core.errors import InvalidValue

from . import messages
from .data import digits
from .experiment import Job, execute_all
from .models import MODELS
from .progress import counted_runs
from .recipes import chosen_recipes
from .results import Execution, Settings, Study

__all__ = ["run", "save"]


def run(
    models: str | Sequence[str] = ("mlp", "cnn"),
    recipes: str | Sequence[str] | None = None,
    *,
    seeds: int = 5,
    epochs: int = 60,
    out: str | Path | None = None,
    jobs: int = 2,
    progress: bool = True,
) -> Study:
    """Train each model with each recipe on scikit-learn's digits, over several seeds.

    1,000 digits train and 797 validate. Seed s decides split, initial weights and order of
    batches, the same for every recipe; noise is drawn from the same seed by `noisegate.inject`.
    The numbers depend on the arguments only, not on `jobs`.

    Parameters
    ----------
    models : str or sequence of str
        Of `mlp` (64-256-256-10) and `cnn` (two convolutions, one hidden layer).
    recipes : str or sequence of str, optional
        Names of `RECIPES`; `none`, with which all are compared, is always trained. All if None.
    seeds : int
        Seeds 0 to ``seeds - 1``; at least 2, since an interval needs two.
    epochs : int
        The budget of each run, at least 1; each is judged at its best validation loss.
    out : path, optional
        Folder for report.html, study.json, study.png and study.svg; nothing is written if None.
    jobs : int
        Processes, of one thread each. With 1, runs take place in this process; with more, a
        script must call `run` below ``if __name__ == "__main__":``.
    progress : bool
        Show a progress bar, if the error stream is a terminal.

    Returns
    -------
    Study
        With its `table`, `sentence` and `to_json()`; `save` writes it to a folder.

    Raises
    ------
    InvalidValue
        If a model or recipe is unknown, a count too small, or `out` cannot be written.
    MissingExtra
        On import, if a package of the extra `study` is not installed.
    """
    settings = _settings(
        _names(models), None if recipes is None else _names(recipes), seeds, epochs
    )
    _check_count("jobs", 1, jobs, "1 is this process.")
    if out is not None:
        # Before the work, not after it.
        _make_folder(Path(out))
    began = time.perf_counter()
    todo = [
        Job(model, recipe, seed, epochs)
        # Seeds outermost: long and short runs then alternate, and the time left is right.
        for seed in range(seeds)
        for model, names in settings.recipes.items()
        for recipe in names
    ]
    with counted_runs(len(todo), enabled=progress) as on_run:
        runs = execute_all(todo, digits(), min(jobs, len(todo)), on_run)
    finished = datetime.now(UTC).isoformat(timespec="seconds")
    study = Study(settings, runs, Execution(jobs, round(time.perf_counter() - began, 1), finished))
    if out is not None:
        save(study, out)
    return study


def save(study: Study, folder: str | Path) -> Path:
    """Write report.html, study.json, study.png and study.svg; return the report's path."""
    # matplotlib takes a second to import, and is needed only here.
    from . import plots, report

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.json").write_text(study.to_json(), encoding="utf-8")
    (folder / "study.png").write_bytes(plots.overview(study, "png"))
    (folder / "study.svg").write_bytes(plots.overview(study, "svg"))
    path = folder / "report.html"
    path.write_text(report.html(study), encoding="utf-8")
    return path


def _settings(
    models: Sequence[str], recipes: Sequence[str] | None, seeds: int, epochs: int
) -> Settings:
    if not models:
        raise InvalidValue(messages.no_model(MODELS))
    for model in models:
        if model not in MODELS:
            raise InvalidValue(messages.unknown_model(model, MODELS))
    _check_count("seeds", 2, seeds, "An interval needs at least two runs of each recipe.")
    _check_count("epochs", 1, epochs, "60 is the default.")
    return Settings("scikit-learn digits", 1797, chosen_recipes(models, recipes), seeds, epochs)


def _names(names: str | Sequence[str]) -> Sequence[str]:
    return (names,) if isinstance(names, str) else names


def _check_count(name: str, least: int, value: int, why: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InvalidValue(messages.not_a_count(name, least, value, why))


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidValue(messages.cannot_write(folder, error.strerror or str(error))) from None
