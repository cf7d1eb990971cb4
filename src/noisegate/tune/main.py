"""A search from its call to its result."""

from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path

from noisegate.core.errors import NoisegateError
from noisegate.study.checks import Given, check_call
from noisegate.study.files import open_folder
from noisegate.study.main import kept, save, studied
from noisegate.study.planning import Planned, planned, with_recipes
from noisegate.study.pool import Board, Runs, performed
from noisegate.study.progress import counted, told
from noisegate.study.recipes import Recipe
from noisegate.study.results import Study
from noisegate.study.sources import DIGITS, Source
from noisegate.study.store import Store

from . import messages
from .checks import check_search
from .search import Search
from .space import Space, fitting_space, parse_space
from .storages import file_url
from .trials import Trials
from .tuning import Tuning

__all__ = ["tune"]

# Where the trials are kept, beside the runs, unless something else is said.
FILE = "trials.db"


def tune(
    model: str = "mlp",
    space: str | None = None,
    *,
    source: Source = DIGITS,
    trials: int = 30,
    always: bool = False,
    tune_seed: int = 0,
    storage: str | None = None,
    name: str = "noisegate",
    seeds: int = 5,
    epochs: int = 60,
    batch_size: int | None = None,
    learning_rate: float = 2e-3,
    uncertainty: bool = False,
    ood: str | Path | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    jobs: int = 1,
    progress: bool = True,
) -> Study:
    """Search for the rates and rules of the lowest mean validation loss over the seeds.

    Optuna's tree-structured Parzen estimator suggests which rules are on and their rates; a trial
    that is worse than the median of those before it is given up. The first trial is no noise. No
    trial sees a test row: afterwards no noise and the best recipe are scored on them, once.
    With one process the search repeats exactly, interrupted and resumed too; with several it
    depends on which of them is faster. Any trial can be had again by its command.

    Parameters
    ----------
    model : str
        As in `run`.
    space : str, optional
        Rules whose numbers may be ranges: ``'hid*:out=0..0.8, in:out=gaussian(0.01..1 log)'``; a
        range ends in `int` for whole numbers. By default dropout and Gaussian noise on the input
        and dropout on the hidden layers, as far as they fit the model.
    source : Source
        The rows; scikit-learn's digits by default.
    trials : int
        How many trials the search has in all, those of a search that is resumed and those of
        other processes included; at least 1.
    always : bool
        Have every rule on, and search for rates only.
    tune_seed : int
        Of the suggestions.
    storage : str, optional
        An URL of Optuna's, for a search by many machines; a file of SQLite in `out` if None.
    name : str
        Of the search in the storage.
    seeds, epochs, batch_size, learning_rate, uncertainty, ood, out, resume, progress
        As in `run`.
    jobs : int
        Processes that do trials side by side, of one thread each.

    Returns
    -------
    Study
        Of no noise and the best recipe, with `tuning`: the trials and what each rule mattered.

    Raises
    ------
    InvalidValue, InvalidType
        If the call is wrong, or the storage has another search of this name.
    NoisegateError
        If a run or the storage fails; what has finished is kept.
    MissingExtra
        On import, if a package of the extra `tune` is not installed.

    Reference: Akiba et al., "Optuna: a next-generation hyperparameter optimization framework",
    KDD, 2019.
    """
    check_search(space, always=always, trials=trials, tune_seed=tune_seed)
    given = Given((model,), source, seeds, epochs, batch_size, learning_rate, uncertainty, ood)
    goes_on = resume or storage is not None
    check_call(given, None, jobs=jobs, out=out, resume=goes_on)
    # Made before the work, not after it.
    with nullcontext() if out is None else open_folder(Path(out)):
        searched, plan = _searched(given, space, always)
        told(plan.settings.notes, enabled=progress)
        with kept(plan, out, resume=goes_on) as store:
            url = file_url(store.folder / FILE) if storage is None else storage
            kept_trials = Trials(url, name, tune_seed, trials)
            with closing(kept_trials):
                _search(plan, searched, kept_trials, store, jobs=jobs, progress=progress)
                recipe, found = _best(plan, searched, kept_trials)
            if storage is None:
                found = replace(found, storage=f"{store.folder.name}/{FILE}")
            study = studied(with_recipes(plan, [recipe]), store, jobs=jobs, progress=progress)
            study = replace(study, tuning=found)
    if out is not None:
        save(study, out)
    return study


def _searched(given: Given, text: str | None, always: bool) -> tuple[Space, Planned]:
    """Return the space and the plan of its upper ends: what is wrong with them shows here."""
    if text is not None:
        space = parse_space(text, always=always)
        return space, planned(given, [space.ends()])
    plan = planned(given, ["none"])
    (model,) = plan.settings.models
    space = fitting_space(model, plan.example, plan.settings.task.outputs, always=always)
    return space, with_recipes(plan, [space.ends()])


def _search(
    plan: Planned, space: Space, trials: Trials, store: Store, *, jobs: int, progress: bool
) -> None:
    settings = plan.settings
    (model,) = settings.models
    identity = {**settings.identity(), "model": [model.name, model.source_digest]}
    searched = {"space": space.text, "always": space.always, "tune_seed": trials.seed}
    trials.create({**identity, "seeds": settings.seeds, **searched})
    search = Search(
        Runs(plan.setup, store),
        model,
        settings.seeds,
        space,
        trials,
        tuple(settings.arguments([], [model.name])),
    )
    board, before = Board(jobs), len(trials.found())
    with counted(
        trials.total,
        "trials",
        settings.epochs * settings.seeds,
        lambda: before + board.finished,
        board.read,
        lambda number: f"trial {number}",
        enabled=progress,
    ):
        calls = [(number,) for number in range(jobs)]
        for _ in performed(search, calls, processes=jobs, board=board):
            pass


def _best(plan: Planned, space: Space, trials: Trials) -> tuple[Recipe, Tuning]:
    """Return the best recipe, and everything that was tried."""
    found = trials.found()
    finished = [trial for trial in found if trial.state == "finished" and trial.value is not None]
    if not finished:
        raise NoisegateError(messages.no_trial_finished(len(found)))
    best = min(finished, key=lambda trial: (trial.value, trial.number))
    (model,) = plan.settings.models
    tuning = Tuning(
        space.text, trials.shown, found, trials.importance(space), model.name, best.number
    )
    return space.recipe(best.parameters), tuning
