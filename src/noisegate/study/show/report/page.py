"""The whole page, in its order."""

from html import escape

from ...results import Study
from .findings import models, open_questions, test_split
from .making import every_run, how_made, how_to_read, recipe_files, try_it
from .recipes import what_recipes_do
from .style import STYLE
from .trust import search, uncertainty

__all__ = ["html"]

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>noisegate study: {subject}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<h1>What noise did: {subject}</h1>
<p class="sentence">{sentence}</p>
{sections}
</body>
</html>
"""

SECTIONS = (
    test_split,
    models,
    open_questions,
    what_recipes_do,
    uncertainty,
    search,
    how_to_read,
    try_it,
    recipe_files,
    how_made,
    every_run,
)


def html(study: Study) -> str:
    """Return the report of a study as one self-contained page."""
    sections = (section(study) for section in SECTIONS)
    return PAGE.format(
        style=STYLE,
        subject=escape(study.settings.data),
        sentence=escape(study.sentence),
        sections="\n".join(section for section in sections if section),
    )
