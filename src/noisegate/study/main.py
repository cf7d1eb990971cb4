"""The study from its call to its result."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Unpack

from .design import Design, check_design
from .files import RUNS, make_folder, open_folder, write_file
from .handover import collect_fitted
from .judge.choice import choose
from .judge.scores import SplitScore
from .judge.scoring import evaluate_uncertainty, score_test_split
from .judge.uncertainty import Uncertainty
from .pipeline_files import write_pipelines
from .planning import StudyPlan, make_plan
from .recipes import Recipe
from .results import Execution, Study
from .show.column_lines import describe_reading
from .source import Reading, Samples, Source, make_source, show_reading
from .train.bars import print_notes, show_bars
from .train.board import Board
from .train.pool import execute_all
from .train.processes import start_fork_server
from .train.run import Job, Run
from .train.store import Store


@show_reading
def run(
    models: str | Sequence[str] | None = None,
    recipes: str | Recipe | Iterable[str | Recipe] | None = None,
    *,
    data: Any = None,
    target: str | None = None,
    source: Source | None = None,
    seeds: int = 5,
    epochs: int = 60,
    batch_size: int | None = None,
    learning_rate: float = 2e-3,
    uncertainty: bool = False,
    ood: Any = None,
    out: str | Path | None = None,
    resume: bool = False,
    jobs: int = 2,
    progress: bool = True,
    **reading: Unpack[Reading],
) -> Study:
    """Train each model with each recipe over several seeds, and test what validation has chosen.

    Seed s decides the split into training and validation samples, the initial weights and the
    order of batches, the same for every recipe; noise is drawn from the same seed by
    `noisegate.inject`. Each run is judged at its best validation loss. Then no noise and the
    recipe of the lowest mean validation loss are scored on the test samples, which nothing has
    seen before. The numbers depend on the arguments only, not on `jobs`, nor on interruptions.

    Parameters
    ----------
    models : str or sequence of str, optional
        `mlp`, `cnn`, or `module:function`, which is called with the shape of one input and the
        number of outputs and returns an `nn.Module`. By default `mlp`, and `cnn` on the digits.
    recipes : str, Recipe, or several of them, optional
        Names of `RECIPES`, texts ``NAME=RULES``, files .yaml or .toml; `none`, with which all are
        compared, is always trained. All built-in ones that fit the model if None.
    data : DataFrame, path, or pair of arrays (X, y), optional
        The data, as in `Source`; scikit-learn's digits if None.
    target : str, optional
        The column to predict.
    source : Source, optional
        The data with every word on how to read and split them, instead of `data` and `target`.
    seeds : int
        Seeds 0 to ``seeds - 1``; at least 2, since an interval needs two.
    epochs : int
        The budget of each run, at least 1.
    batch_size : int, optional
        Samples of a step; a tenth of the training samples if None, at least 16 and at most 128.
    learning_rate : float
        Of Adam; above 0.
    uncertainty : bool
        Evaluate on the test samples how far the uncertainty of predictions with noise can be
        trusted.
    ood : DataFrame or path, optional
        Out-of-distribution inputs for that; test samples with their columns shuffled if None.
    out : path, optional
        Folder for report.html, study.json, study.png, study.svg, a fitted pipeline of each model,
        which `load` reads, and the runs; nothing is stored if None.
    resume : bool
        Continue from the runs that `out` has; without it, a folder with runs is refused.
    jobs : int
        Processes, of one thread each. With 1, runs take place in this process; with more, a
        script must call `run` below ``if __name__ == "__main__":``.
    progress : bool
        Show progress bars, if the error stream is a terminal.
    **reading
        Any other word of `Source`: `task`, `inputs`, `ignore`, `split`, `missing`, `na`,
        `decimal`, `thousands`, `test`, `test_seed`, `test_share`, `validation_share`,
        `drop_missing`.

    Returns
    -------
    Study
        With its `table`, `sentence` and `to_json()`; `save` writes it to a folder.

    Raises
    ------
    InvalidValue, InvalidType
        If the call is wrong: a file, a column, a recipe, a number, a folder.
    NoisegateError
        If a run fails or cannot be stored; those that have finished are stored.
    MissingExtra
        On import, if a package of the extra `study` is not installed.
    """
    names = (models,) if isinstance(models, str) else models
    several = [recipes] if isinstance(recipes, str | Recipe) else recipes
    design = Design(
        None if names is None else tuple(names),
        None if several is None else tuple(several),
        make_source(source, data, target, reading, run),
        seeds,
        epochs,
        batch_size,
        learning_rate,
        uncertainty,
        ood,
    )
    check_design(design, jobs=jobs, out=out, resume=resume)
    if jobs > 1:
        start_fork_server()
    with open_work(out, resume=resume, progress=progress) as open_store:
        plan = make_plan(design)
        study = carry_out(plan, open_store(plan), jobs=jobs, progress=progress)
    if out is not None:
        save(study, out)
    return study


@contextmanager
def open_work(
    out: str | Path | None, *, resume: bool, progress: bool
) -> Iterator[Callable[[StudyPlan], Store]]:
    """Yield the function that prints a plan's notes and opens the store of its runs.

    The folder of the results is made first, so that no work is lost for want of one. Where the
    block fails before a run is stored, nothing is left of what was begun here.
    """
    with ExitStack() as stack:
        if out is not None:
            stack.enter_context(open_folder(Path(out)))

        def open_store(plan: StudyPlan) -> Store:
            settings = plan.settings
            print_notes(describe_reading(settings.facts, settings.notes), enabled=progress)
            return stack.enter_context(_store_of(plan, out, resume=resume))

        yield open_store


@contextmanager
def _store_of(plan: StudyPlan, out: str | Path | None, *, resume: bool) -> Iterator[Store]:
    """Yield the store of a plan's runs: in the folder `out`, or a temporary one."""
    with TemporaryDirectory(prefix="noisegate-") as folder:
        store = Store(Path(folder if out is None else out) / RUNS, plan.settings.identity())
        new = store.begin(resume=resume)
        try:
            yield store
        except BaseException:
            if new:
                store.discard()
            raise


def save(study: Study, folder: str | Path) -> Path:
    """Write report, study.json, pictures and pipelines, and return the path of report.html.

    Of a search there are tuning.png and tuning.svg too.
    """
    # matplotlib takes a second to import, and is needed only here.
    from .show import figures as plots
    from .show import page

    folder = make_folder(Path(folder))
    write_file(folder / "study.json", study.to_json())
    for format in ("png", "svg"):
        write_file(folder / f"study.{format}", plots.draw_overview(study, format))
        if study.search is not None:
            picture = study.search.picture(study.settings.task, format)
            write_file(folder / f"tuning.{format}", picture)
    path = folder / "report.html"
    write_file(path, page.render_report(study))
    write_pipelines(study.fitted, study.tests, folder)
    return path


def carry_out(plan: StudyPlan, store: Store, *, jobs: int, progress: bool) -> Study:
    """Train what is planned and not stored yet, and score on the test split what it chooses."""
    began = time.perf_counter()
    settings, setup, design = plan.settings, plan.setup, plan.settings.design
    todo = [
        Job(model, recipe, seed)
        # Seeds outermost: long and short runs then alternate, and the time left is right.
        for seed in range(design.seeds)
        for model in settings.models
        for recipe in settings.recipes[model.name]
    ]
    board = Board(jobs)
    with show_bars(
        board,
        len(todo),
        "runs",
        steps=design.epochs,
        name=lambda number: str(todo[number]),
        enabled=progress,
    ):
        runs = execute_all(todo, setup, store, processes=jobs, board=board)
    tests, scored, uncertainty = _score_tests(plan, store, runs, progress)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    execution = Execution(jobs, round(time.perf_counter() - began, 1), now, scored)
    fitted = collect_fitted(plan, store, runs, tests)
    return Study(
        settings,
        runs,
        plan.placed,
        tests,
        uncertainty,
        execution,
        fitted=fitted,
        render=_render,
    )


def _render(study: Study) -> str:
    """Return a study as a notebook shows it."""
    from .show.page import render_notebook  # matplotlib takes a second to import

    return render_notebook(study)


def _score_tests(
    plan: StudyPlan, store: Store, runs: Sequence[Run], progress: bool
) -> tuple[tuple[SplitScore, ...], dict[str, int], dict[str, Uncertainty]]:
    """Score what each model's runs choose: the scores, how often that was, the uncertainty."""
    settings, setup, rows = plan.settings, plan.setup, plan.data
    design = settings.design
    own = {model: [run for run in runs if run.model == model.name] for model in settings.models}
    pairs = {model: choose(model.name, settings.recipes[model.name], own[model]) for model in own}
    each = design.seeds * (2 if design.uncertainty else 1)
    total, board = each * sum(map(len, pairs.values())), Board(1)
    found: list[SplitScore] = []
    scored: dict[str, int] = {}
    uncertainty: dict[str, Uncertainty] = {}
    with show_bars(board, total, "scorings", enabled=progress):
        for model, pair in pairs.items():
            one, scored[model.name] = score_test_split(
                model,
                pair,
                setup,
                rows.test,
                store,
                design.seeds,
                board.finish,
                uncertainty=_name_ood(design.uncertainty, rows),
            )
            found.append(one)
            if design.uncertainty:
                uncertainty[model.name] = evaluate_uncertainty(
                    model,
                    pair,
                    setup,
                    (rows.test, rows.ood),
                    store,
                    own[model],
                    board.finish,
                )
    return tuple(found), scored, uncertainty


def _name_ood(evaluated: bool, rows: Samples) -> str:
    """Return what tells one evaluation of uncertainty from another; "" for none."""
    if not evaluated:
        return ""
    return "shuffled" if rows.ood is None else rows.ood.digest
