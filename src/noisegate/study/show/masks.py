"""What each recipe does: its rules, pictures of its masks, and the sites that it matched."""

from typing import Any

from noisegate import pictures
from noisegate.core.errors import NoisegateError

from ..planning import Placed
from ..recipes import Recipe
from ..results import Study
from ..rule_text import rules_source
from .parts import Picture
from .sentences import name_model, title_model

MOST_PICTURES = 6
# A picture of more bytes makes the report too large.
LARGEST = 200_000
# The most that is drawn of an axis, so that single units can be seen.
UNITS, ROWS, CHANNELS, PIXELS = 64, 2, 8, 16


def describe_recipes(study: Study) -> list[dict[str, Any]]:
    """Return a part for each model and recipe; a mask that several share is drawn once."""
    drawn: dict[str, str] = {}
    return [
        _describe_recipe(study, model, recipe, drawn)
        for model, recipes in study.settings.recipes.items()
        for recipe in recipes
        if recipe.rules
    ]


def _describe_recipe(
    study: Study, model: str, recipe: Recipe, drawn: dict[str, str]
) -> dict[str, Any]:
    label = "" if recipe.label == recipe.name else f": {recipe.label}"
    first = study.find_runs(model, recipe.name)[0]
    last_step = first.count_steps(study.settings.design.epochs) - 1
    sites = {
        repr((one.site, one.kind, one.shape)): one for one in study.placed[(model, recipe.name)]
    }
    fresh = [key for key in sites if key not in drawn]
    above = [f"{sites[key].site} ({drawn[key]})" for key in sites if key in drawn]
    drawn.update(dict.fromkeys(fresh[:MOST_PICTURES], f"{recipe.name} on {name_model(model)}"))
    return {
        "title": f"{title_model(model)}, {recipe.name}{label}",
        "rules": rules_source(recipe.rules),
        "pictures": [_draw_mask(sites[key], last_step) for key in fresh[:MOST_PICTURES]],
        "above": above,
        "more": max(0, len(fresh) - MOST_PICTURES),
        "matched": first.matched.rstrip(),
    }


def _draw_mask(one: Placed, last_step: int) -> Picture:
    site = "The model's input (:in)" if one.site == ":in" else one.site
    shape = f"{one.shape[0]} rows have shape {one.shape}"
    for smaller in dict.fromkeys((_shrink_shape(one.shape), one.shape)):
        svg = _draw(one, smaller, last_step)
        if svg is not None:
            less = f", drawn on {smaller}" if smaller != one.shape else ""
            return Picture(f"{site}.", svg, f"mask at {site}", f"{shape}{less}.".capitalize())
    return Picture(f"{site}: {one.kind!r}; {shape}; there is no picture of it.", None, "")


def _draw(one: Placed, shape: tuple[int, ...], last_step: int) -> bytes | None:
    """Return a picture; None if the kind refuses the shape, or the picture is too large."""
    steps = 1 if isinstance(one.kind.rate, float) else sorted({0, max(last_step, 0)})
    try:
        svg = pictures.draw(one.kind, shape, seed=0, site=one.site, steps=steps, format="svg")
    except NoisegateError:
        return None
    return svg if len(svg) <= LARGEST else None


def _shrink_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape of the same rank in which single units can be seen."""
    if len(shape) <= 2:
        return tuple(min(size, UNITS) for size in shape)
    rows = ROWS if len(shape) > 3 and shape[-3] > 1 else 1
    most = (rows, *[CHANNELS] * (len(shape) - 3), PIXELS, PIXELS)
    return tuple(min(size, limit) for size, limit in zip(shape, most, strict=True))
