"""What else was asked: whether doubt can be trusted, and what a search found."""

from ...judge.uncertainty import Uncertainty
from ...judge.uncertainty.words import headings, words
from ...judge.uncertainty.words import table as rows_of
from ...results import Study
from ..wording import model_title
from .parts import figure, figures, paragraph, section, table

__all__ = ["search", "uncertainty"]


def uncertainty(study: Study) -> str:
    """Return what predictions with noise know of their doubt; nothing if nobody asked."""
    parts = (_doubt(model, result) for model, result in study.uncertainty.items())
    return section("Whether its doubt can be trusted", *parts)


def _doubt(model: str, result: Uncertainty) -> str:
    from ...judge.uncertainty.plots import figures as drawn

    name = model_title(model)
    rows = (
        f"{result.rows:,} test rows and {result.ood_rows:,} rows not of the data, "
        f"{result.samples} samples of the noise for each."
    )
    pictures = (
        figure(f"{title}.".capitalize(), picture, f"{name}: {title}")
        for title, picture in drawn(result, "svg").items()
    )
    return section(
        name,
        *map(paragraph, words(result)),
        table(headings(result), rows_of(result)),
        paragraph(rows, "quiet"),
        figures(pictures, "curves"),
        level=3,
    )


def search(study: Study) -> str:
    """Return the section on the search that found the recipe; "" if there was none."""
    return "" if study.search is None else study.search.section(study.settings.task)
