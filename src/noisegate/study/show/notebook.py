"""A study in a notebook: the verdict, a table for each model, the overview as a picture."""

from ..results import Study
from .figures import draw_overview
from .page import environment, list_tests, model_table, split_opening

__all__ = ["render_notebook"]


def render_notebook(study: Study) -> str:
    """Return a study as the HTML of a notebook's cell."""
    picture = draw_overview(study, "svg").decode()
    words = {
        "opening": split_opening(study),
        "tests": [sentence for sentence, _ in list_tests(study)],
        "tables": {model: model_table(study, model) for model in study.models},
        # Without its first lines, which are for a file of its own.
        "picture": picture[picture.index("<svg") :],
    }
    return environment().get_template("notebook.html").render(words)
