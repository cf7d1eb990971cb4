"""Two studies that were compared: the sentence, the tables in a terminal, and the JSON."""

import math
from dataclasses import asdict, replace
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..json_text import replace_nan
from ..judge.stats import MANY, Difference
from ..judge.study_pairs import ComparedRecipe, Comparison
from .numbers import PERCENT, chance, find_shared_decimals, interval, number
from .rich_tables import STYLES, make_table
from .sentences import join_names, measure, name_model, title_model

WORDS = {"helped": "better", "hurt": "worse"}
OTHERS = {
    "unclear": "no difference is shown with {}",
    "same": "a and b are the same with {}",
    "lost": "there is no verdict with {}, where some losses are not finite",
}


def describe_comparison(comparison: Comparison) -> str:
    """Return with which recipes b is better or worse, by how much, how sure."""
    rows, task = comparison.rows, comparison.task
    digits = find_shared_decimals(
        (row.loss_difference, row.losses[0].mean, row.losses[1].mean) for row in rows
    )
    names: dict[str, list[str]] = {verdict: [] for verdict in OTHERS}
    clauses = []
    for row in rows:
        one, name = row.loss_difference, row.label
        if comparison.several:
            name += f" on {name_model(row.models[0])}"
        if (verdict := _find_verdict(one)) in OTHERS:
            names[verdict].append(name)
            continue
        clauses.append(
            f"b is {WORDS[verdict]} with {name}: {measure(task)} "
            f"{number(one.mean, digits, sign=True)} ({PERCENT} interval "
            f"{interval(one.low, one.high, digits)}, {chance(one.holm)})"
        )
    clauses += [OTHERS[verdict].format(join_names(each)) for verdict, each in names.items() if each]
    a, b = rows[0].models
    text = (
        f"with {name_model(b)} instead of {name_model(a)}, " * (a != b) + "; ".join(clauses) + "."
    )
    # `a` and `b` are names.
    return text if text.startswith(("a ", "b ")) else text[0].upper() + text[1:]


def comparison_facts(comparison: Comparison) -> dict[str, Any]:
    """Return every number; the errors of a classification are shares, as in study.json."""
    facts: dict[str, Any] = replace_nan(
        {
            "a": comparison.a,
            "b": comparison.b,
            "task": comparison.task.name,
            "seeds": comparison.seeds,
            "differs": [{"what": what, "a": a, "b": b} for what, a, b in comparison.differs],
            "rows": [_recipe_facts(row) for row in comparison.rows],
            "sentence": describe_comparison(comparison),
        }
    )
    return facts


def print_comparison(comparison: Comparison, console: Console | None = None) -> None:
    """Print the tables, what differs in the settings, and the sentence."""
    console = console or Console()
    task = comparison.task
    console.print(_make_table(comparison, measure(task), "loss", 1))
    errors = f"validation {task.error_name}"
    console.print(_make_table(comparison, errors, "error", task.error_factor))
    family = len(comparison.rows)
    holm = f", p after Holm's correction for {family} rows" if family > 1 else ""
    legend = [f"b − a paired by seed, below 0: b is better{holm}."]
    if len(comparison.seeds) > MANY:
        legend.append(
            f"Over {len(comparison.seeds)} splits of the same rows the interval is optimistic; "
            "corrected as Nadeau and Bengio do."
        )
    console.print(*legend, style="dim", highlight=False, markup=False)
    console.print()
    lines = [f"a: {comparison.a}", f"b: {comparison.b}"]
    lines += [f"What differs: {what}: {a} | {b}" for what, a, b in comparison.differs]
    for line in (*lines, describe_comparison(comparison)):
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def _make_table(comparison: Comparison, title: str, kind: str, factor: int) -> Table:
    """Return a table of the losses or the errors, each number times a factor."""
    rows = [(row, *_scale(row, kind, factor)) for row in comparison.rows]
    digits = find_shared_decimals((one, a, b) for _, one, a, b in rows)
    optimistic = any(one.optimistic for _, one, *_ in rows)
    models = (
        [] if comparison.several else [*dict.fromkeys(map(title_model, comparison.rows[0].models))]
    )
    parts = (" → ".join(models), title, f"seeds: {len(comparison.seeds)}")
    table = make_table(" · ".join(filter(None, parts)))
    table.add_column("recipe", overflow="fold")
    headings = ["a", "b", "b − a", f"{PERCENT} interval"]
    for heading in [*headings, *["corrected"] * optimistic, "p"]:
        table.add_column(heading, justify="right", no_wrap=True)
    for row, one, a, b in rows:
        cells = [row.recipe + f", {title_model(row.models[0])}" * comparison.several]
        cells += [number(a, digits), number(b, digits)]
        cells += [number(one.mean, digits, sign=True), interval(one.low, one.high, digits)]
        cells += [interval(one.corrected_low, one.corrected_high, digits)] * optimistic
        cells += [chance(one.holm).removeprefix("p ").removeprefix("= ")]
        table.add_row(*map(escape, cells), style=STYLES[one.verdict])
    return table


def _scale(row: ComparedRecipe, kind: str, factor: int) -> tuple[Difference, float, float]:
    """Return a row's difference, and its means in a and in b, times a factor."""
    one: Difference = getattr(row, f"{kind}_difference")
    names = ("mean", "low", "high", "corrected_low", "corrected_high")
    scaled = replace(one, **{name: getattr(one, name) * factor for name in names})
    a, b = row.losses if kind == "loss" else row.errors
    return scaled, a.mean * factor, b.mean * factor


def _find_verdict(one: Difference) -> str:
    if math.isnan(one.mean):
        return "lost"
    return "same" if one.low == one.high == 0 else one.verdict


def _recipe_facts(row: ComparedRecipe) -> dict[str, Any]:
    sides = [
        {"model": model, "loss": asdict(loss), "error": asdict(error)}
        for model, loss, error in zip(row.models, row.losses, row.errors, strict=True)
    ]
    changes = {"loss_difference": row.loss_difference, "error_difference": row.error_difference}
    return {
        "recipe": row.recipe,
        "label": row.label,
        "a": sides[0],
        "b": sides[1],
        **{
            name: {**asdict(one), "verdict": one.verdict, "optimistic": one.optimistic}
            for name, one in changes.items()
        },
    }
