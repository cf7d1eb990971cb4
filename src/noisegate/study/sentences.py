"""What a study found, in words."""

from collections.abc import Sequence

from .recipes import RECIPES
from .stats import Difference, Row

__all__ = ["NOTES", "budget_note", "first_to_try", "model_name", "overall", "snippet"]

NOTES = (
    "Every recipe of a seed has the same split, initial weights and order of batches.",
    "Each run is judged at the epoch of its best validation loss. That epoch is chosen on the "
    "validation rows themselves, so the figures are slightly optimistic, for every recipe alike.",
    "± is one standard error over the seeds. The difference is paired, seed by seed, with the "
    "recipe none; in brackets its 95 % t-interval. Below 0 is better.",
    "An interval speaks of splits and starts of this data. It is not corrected for the number of "
    "recipes; and since the seeds split the same rows again, it can be a little too narrow.",
    "The training loss is what the training steps saw, with the noise on; the validation loss is "
    "without noise. So a noisy recipe's training loss can be the larger of the two.",
)

# A best epoch in this last part of the budget says that the budget was short.
LAST_PART = 0.1


def model_name(model: str) -> str:
    """Return a model's name as it is written in text."""
    return model.upper()


def overall(rows: Sequence["Row"]) -> str:
    """Return one sentence: which recipe helped, by how much, how sure, on each model."""
    models = dict.fromkeys(row.model for row in rows)
    parts = (_of_model([row for row in rows if row.model == model]) for model in models)
    text = "; ".join(parts)
    return text[0].upper() + text[1:] + "."


def first_to_try(rows: Sequence["Row"]) -> "Row | None":
    """Return the row whose interval ends lowest: the surest help; None if nothing was compared."""
    compared = [row for row in rows if row.loss_difference is not None]
    return min(compared, key=lambda row: _difference(row).high, default=None)


def snippet(rules: str) -> str:
    """Return Python to paste below a torch model named `model`."""
    return (
        f"import noisegate as ng\nnoise = ng.inject(model, {rules}, seed=13)\nprint(noise.report())"
    )


def budget_note(best_epochs: Sequence[int], epochs: int) -> str:
    """Return a sentence on how many runs were still improving when the budget ended."""
    late = sum(best > epochs * (1 - LAST_PART) for best in best_epochs)
    return (
        f"In {late} of {len(best_epochs)} runs the best epoch lies in the last tenth of the budget "
        f"of {epochs} epochs: with a larger budget those might still improve."
    )


def _of_model(rows: Sequence["Row"]) -> str:
    place = f"on the {model_name(rows[0].model)}"
    base, compared = rows[0], rows[1:]
    if not compared:
        return f"{place} only no noise was trained, so there is nothing to compare"
    helped = [row for row in compared if _difference(row).verdict == "helped"]
    if helped:
        best = min(helped, key=lambda row: _difference(row).mean)
        most = " most" if len(helped) > 1 else ""
        return f"{place} {_label(best)} helped{most}, {_change(best, base)}"
    unclear = [row for row in compared if _difference(row).verdict == "unclear"]
    nearest = min(unclear or compared, key=lambda row: _difference(row).mean)
    if unclear:
        return (
            f"{place} no recipe is shown to help: {_label(nearest)} came nearest, "
            f"{_change(nearest, base)}, and that interval includes 0"
        )
    least = " least" if len(compared) > 1 else ""
    return f"{place} no recipe helped, and {_label(nearest)} hurt{least}, {_change(nearest, base)}"


def _change(row: "Row", base: "Row") -> str:
    difference = _difference(row)
    return (
        f"taking the validation loss from {base.validation_loss.mean:.3f} to "
        f"{row.validation_loss.mean:.3f}, a change of {difference.mean:+.3f} "
        f"(95 % interval {difference.low:+.3f} to {difference.high:+.3f}, {row.seeds} seeds)"
    )


def _label(row: "Row") -> str:
    return RECIPES[row.recipe].label


def _difference(row: "Row") -> Difference:
    if row.loss_difference is None:
        raise AssertionError(f"{row.recipe} is what the others are compared with")
    return row.loss_difference
