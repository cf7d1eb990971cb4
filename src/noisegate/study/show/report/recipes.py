"""What each recipe does: its rules, its masks, and what they matched."""

import math

from noisegate import pictures
from noisegate.core.errors import NoisegateError

from ...plan import Placed
from ...recipes import Recipe, rules_source
from ...results import Study
from ..wording import called, model_title
from .parts import code, figure, figures, paragraph, section

__all__ = ["what_recipes_do"]

MOST_PICTURES = 6
# More bytes than this are no picture but a file.
LARGEST = 200_000
# The most that is drawn of an axis, so that single units can be seen.
UNITS, ROWS, CHANNELS, PIXELS = 64, 2, 8, 16


def what_recipes_do(study: Study) -> str:
    """Return a part for each model and recipe; a mask that several have is drawn once."""
    drawn: dict[str, str] = {}
    parts = (
        _recipe(study, model, recipe, drawn)
        for model, recipes in study.settings.recipes.items()
        for recipe in recipes
        if recipe.rules
    )
    intro = (
        "Each picture shows what the noise of a site does to a small batch, as seed 0 draws it at "
        "its first step; of a schedule also at its last."
    )
    below = [part for part in parts if part]
    return section("What each recipe does", paragraph(intro), *below) if below else ""


def _recipe(study: Study, model: str, recipe: Recipe, drawn: dict[str, str]) -> str:
    label = "" if recipe.label == recipe.name else f": {recipe.label}"
    here = f"{recipe.name} on {called(model)}"
    first = study.runs_of(model, recipe.name)[0]
    last_step = math.ceil(first.train_rows / first.batch_size) * study.settings.design.epochs - 1
    every = {_key(one): one for one in study.placed[(model, recipe.name)]}
    fresh = [key for key in every if key not in drawn]
    above = [f"{every[key].site} ({drawn[key]})" for key in every if key in drawn]
    drawn.update(dict.fromkeys(fresh[:MOST_PICTURES], here))
    shown = [_picture(every[key], last_step) for key in fresh[:MOST_PICTURES]]
    more = len(fresh) - len(shown)
    return section(
        f"{model_title(model)}, {recipe.name}{label}",
        code(rules_source(recipe.rules), wraps=True),
        figures(shown),
        paragraph(f"Drawn above already: {', '.join(above)}." if above else "", "quiet"),
        paragraph(f"And {more} more {'site' if more == 1 else 'sites'}." if more else "", "quiet"),
        paragraph("What was matched, at seed 0:", "quiet"),
        code(first.matched.rstrip()),
        level=3,
    )


def _key(one: Placed) -> str:
    return repr((one.site, one.kind, one.shape))


def _picture(one: Placed, last_step: int) -> str:
    site = "The model's input (:in)" if one.site == ":in" else one.site
    told = f"{one.shape[0]} rows have shape {one.shape}"
    for shape in dict.fromkeys((_small(one.shape), one.shape)):
        picture = _drawn(one, shape, last_step)
        if picture is not None:
            less = f", drawn on {shape}" if shape != one.shape else ""
            return figure(f"{site}.", picture, f"mask at {site}", f"{told}{less}.".capitalize())
    return (
        f"<figure>{paragraph(f'{site}: {one.kind!r}; {told}; there is no picture of it.')}</figure>"
    )


def _drawn(one: Placed, shape: tuple[int, ...], last_step: int) -> bytes | None:
    """Return a picture; None if the kind refuses the shape, or the picture is too large."""
    steps = 1 if isinstance(one.kind.rate, float) else sorted({0, max(last_step, 0)})
    try:
        svg = pictures.draw(one.kind, shape, seed=0, site=one.site, steps=steps, format="svg")
    except NoisegateError:
        return None
    return svg if len(svg) <= LARGEST else None


def _small(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape of the same rank in which single units can be seen."""
    if len(shape) <= 2:
        return tuple(min(size, UNITS) for size in shape)
    rows = ROWS if len(shape) > 3 and shape[-3] > 1 else 1
    most = (rows, *[CHANNELS] * (len(shape) - 3), PIXELS, PIXELS)
    return tuple(min(size, limit) for size, limit in zip(shape, most, strict=True))
