"""`tune`: a search from its call to its result."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from noisegate.core.errors import NoisegateError
from noisegate.study.design import Design, check_design
from noisegate.study.main import carry_out, open_work, save
from noisegate.study.planning import StudyPlan, make_plan, replace_recipes
from noisegate.study.recipes import Recipe
from noisegate.study.results import Study
from noisegate.study.source import Reading, Source, make_source, show_reading
from noisegate.study.train.bars import show_bars
from noisegate.study.train.board import Board
from noisegate.study.train.pool import Runs, run_calls
from noisegate.study.train.processes import start_fork_server
from noisegate.study.train.store import Store

from .part import TuningPart
from .records import Tuning
from .search import Search
from .space import Space, check_search, find_space, parse_space
from .storages import file_url
from .trials import Trials

# The file of the trials, beside the runs, unless a storage is given.
FILE = "trials.db"


@show_reading
def tune(
    model: str = "mlp",
    space: str | None = None,
    *,
    data: Any = None,
    target: str | None = None,
    source: Source | None = None,
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
    ood: Any = None,
    out: str | Path | None = None,
    resume: bool = False,
    jobs: int = 1,
    progress: bool = True,
    **reading: Unpack[Reading],
) -> Study:
    """Search for the rates and rules of the lowest mean validation loss over the seeds.

    Optuna's tree-structured Parzen estimator suggests which rules are on and their rates; a trial
    that is worse than the median of those before it is given up. The first trial is no noise. No
    trial sees a test row: afterwards no noise and the best recipe are scored on them, once.
    With one process the search repeats exactly, even if it is interrupted and resumed; with
    several it depends on which of them is faster. Each trial has a command that repeats it.

    Parameters
    ----------
    model : str
        As in `run`.
    space : str, optional
        Rules whose numbers may be ranges: ``'hid*:out=0..0.8, in:out=gaussian(0.01..1 log)'``; a
        range ends in `int` for whole numbers. By default dropout and Gaussian noise on the input
        and dropout on the hidden layers, as far as they fit the model.
    data, target, source
        As in `run`.
    trials : int
        How many trials the search has in all, at least 1; those of a resumed search and of other
        processes included.
    always : bool
        Keep every rule on, and search for rates only.
    tune_seed : int
        The seed of the suggestions.
    storage : str, optional
        The URL of a database, for a search by many machines; an SQLite file in `out` if None.
    name : str
        The name of the search in the storage.
    seeds, epochs, batch_size, learning_rate, uncertainty, ood, out, resume, progress
        As in `run`.
    jobs : int
        Processes that do trials side by side, of one thread each.
    **reading
        Any other word of `Source`, as in `run`.

    Returns
    -------
    Study
        The study of no noise and the best recipe; its `tuning` has the trials and each rule's
        importance.

    Raises
    ------
    InvalidValue, InvalidType
        If the call is wrong, or the storage has another search of this name.
    NoisegateError
        If a run or the storage fails; runs and trials that have finished stay stored.
    MissingExtra
        On import, if a package of the extra `tune` is not installed.

    Reference: Akiba et al., "Optuna: a next-generation hyperparameter optimization framework",
    KDD, 2019.
    """
    check_search(space, always=always, trials=trials, tune_seed=tune_seed)
    design = Design(
        (model,),
        None,
        make_source(source, data, target, reading, tune),
        seeds,
        epochs,
        batch_size,
        learning_rate,
        uncertainty,
        ood,
    )
    # A search in a storage may go on, so a folder that has its runs is no mistake.
    goes_on = resume or storage is not None
    check_design(design, jobs=jobs, out=out, resume=goes_on)
    if jobs > 1:
        start_fork_server()
    with open_work(out, resume=goes_on, progress=progress) as open_store:
        searched, plan = _plan_search(design, space, always)
        store = open_store(plan)
        url = file_url(store.folder / FILE) if storage is None else storage
        with closing(Trials(url, name, tune_seed, trials)) as several:
            _run_search(plan, searched, several, store, jobs=jobs, progress=progress)
            recipe, tuning = _pick_best(plan, searched, several)
        if storage is None:
            tuning = replace(tuning, storage=f"{store.folder.name}/{FILE}")
        study = carry_out(replace_recipes(plan, [recipe]), store, jobs=jobs, progress=progress)
        study = replace(study, search=TuningPart(tuning))
    if out is not None:
        save(study, out)
    return study


def _plan_search(design: Design, text: str | None, always: bool) -> tuple[Space, StudyPlan]:
    """Return the space, and a plan with the recipe of its upper ends, which shows their errors."""
    if text is not None:
        space = parse_space(text, always=always)
        return space, make_plan(replace(design, recipes=(space.ends(),)))
    # Which default rules fit is known once the model is made, and planning makes it.
    plan = make_plan(replace(design, recipes=("none",)))
    (model,) = plan.settings.models
    space = find_space(model, plan.example, plan.settings.task.outputs, always=always)
    return space, replace_recipes(plan, [space.ends()])


def _run_search(
    plan: StudyPlan, space: Space, trials: Trials, store: Store, *, jobs: int, progress: bool
) -> None:
    settings = plan.settings
    (model,) = settings.models
    identity = {**settings.identity(), "model": [model.name, model.source_digest]}
    searched = {"space": space.text, "always": space.always, "tune_seed": trials.seed}
    trials.create({**identity, "seeds": settings.design.seeds, **searched})
    search = Search(
        Runs(plan.setup, store),
        model,
        settings.design.seeds,
        space,
        trials,
        tuple(settings.arguments([], [model.name])),
    )
    board = Board(jobs)
    board.finish(pieces=len(trials.list_ended()))
    with show_bars(
        board,
        trials.total,
        "trials",
        steps=settings.design.epochs * settings.design.seeds,
        name=lambda number: f"trial {number}",
        enabled=progress,
    ):
        calls = [(number,) for number in range(jobs)]
        for _ in run_calls(search, calls, processes=jobs, board=board):
            pass


def _pick_best(plan: StudyPlan, space: Space, trials: Trials) -> tuple[Recipe, Tuning]:
    """Return the best recipe, and the record of the search."""
    ended = trials.list_ended()
    finished = [trial for trial in ended if trial.state == "finished" and trial.value is not None]
    if not finished:
        raise NoisegateError(
            f"tune: at least one trial must finish with all its seeds; of {len(ended)} none did. "
            "Go on with --resume and more --trials."
        )
    # The lower number wins a tie, so that no noise, which is tried first, does.
    best = min(finished, key=lambda trial: (trial.value, trial.number))
    (model,) = plan.settings.models
    tuning = Tuning(
        space.text, trials.public_url, ended, trials.importance(space), model.name, best.number
    )
    return space.read_recipe(best.parameters), tuning
