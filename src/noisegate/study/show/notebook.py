"""A study in a notebook: the verdict, a table for each model, the overview as a picture."""

from ..results import Study
from .figures import draw_overview
from .report import environment, model_table, split_opening
from .sentences import describe_tests

__all__ = ["render_notebook"]


def render_notebook(study: Study) -> str:
    """Return a study as the HTML of a notebook's cell."""
    settings = study.settings
    # Without its first lines, which are of a file of its own.
    picture = draw_overview(study, "svg").decode()
    words = {
        "opening": split_opening(study),
        "tests": describe_tests(
            study.tests, study.table, settings.task, study.labels, study.execution.scored
        ),
        "tables": {model: model_table(study, model) for model in study.models},
        "picture": picture[picture.index("<svg") :],
    }
    return environment().get_template("notebook.html").render(words)
