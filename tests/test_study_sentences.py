"""What a study says in words, for intervals made by hand."""

import pytest

from noisegate.study import Row, sentences
from noisegate.study.stats import Difference, Estimate


def rows(model: str = "mlp", **differences: tuple[float, float]) -> list[Row]:
    """Make rows from intervals, over a loss of .1 without noise."""

    def row(recipe: str, interval: tuple[float, float] | None) -> Row:
        difference = None if interval is None else Difference(sum(interval) / 2, *interval)
        loss = 0.1 + (difference.mean if difference else 0)
        same = Estimate(1.0, 0.1)
        return Row(model, recipe, 5, same, same, Estimate(loss, 0.01), same, difference, difference)

    return [row("none", None), *(row(name, ends) for name, ends in differences.items())]


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (
            rows(hidden=(-0.03, -0.01), gaussian=(-0.04, -0.02)),
            "On the MLP Gaussian noise helped most, taking the validation loss from 0.100 to "
            "0.070, a change of -0.030 (95\u00a0% interval -0.040 to -0.020, 5 seeds).",
        ),
        (
            rows(hidden=(-0.03, -0.01), gaussian=(-0.08, 0.01)),
            "On the MLP hidden dropout helped, taking the validation loss from 0.100 to "
            "0.080, a change of -0.020 (95\u00a0% interval -0.030 to -0.010, 5 seeds).",
        ),
        (
            rows(hidden=(-0.02, 0.01), gaussian=(0.001, 0.002)),
            "On the MLP no recipe is shown to help: hidden dropout came nearest, taking the "
            "validation loss from 0.100 to 0.095, a change of -0.005 (95\u00a0% interval -0.020 to "
            "+0.010, 5 seeds), and that interval includes 0.",
        ),
        (
            rows(hidden=(0.01, 0.03), gaussian=(0.02, 0.04)),
            "On the MLP no recipe helped, and hidden dropout hurt least, taking the validation "
            "loss from 0.100 to 0.120, a change of +0.020 (95\u00a0% interval +0.010 to +0.030, "
            "5 seeds).",
        ),
        (
            rows(hidden=(0.01, 0.03)),
            "On the MLP no recipe helped, and hidden dropout hurt, taking the validation "
            "loss from 0.100 to 0.120, a change of +0.020 (95\u00a0% interval +0.010 to +0.030, "
            "5 seeds).",
        ),
        (
            [*rows(), *rows("cnn", spatial=(-0.03, -0.01))],
            "On the MLP only no noise was trained, so there is nothing to compare; on the CNN "
            "spatial dropout helped, taking the validation loss from 0.100 to 0.080, a change of "
            "-0.020 (95\u00a0% interval -0.030 to -0.010, 5 seeds).",
        ),
    ],
    ids=["helped most", "helped", "unclear", "hurt least", "hurt", "nothing to compare"],
)
def test_the_sentence(table, sentence):
    assert sentences.overall(table) == sentence


def test_what_to_try_first_is_the_surest():
    table = rows(hidden=(-0.09, 0.02), gaussian=(-0.03, -0.01))
    assert sentences.first_to_try(table).recipe == "gaussian"
    assert sentences.first_to_try(rows()) is None


def test_the_note_on_the_budget():
    assert sentences.budget_note([54, 55, 60, 3], 60) == (
        "In 2 of 4 runs the best epoch lies in the last tenth of the budget of 60 epochs: "
        "with a larger budget those might still improve."
    )
