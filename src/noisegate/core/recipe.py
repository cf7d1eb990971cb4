"""What a kind does to one element, as data: what an engine needs to do it in one pass.

A kind says what it does by `field`, which works on arrays. Called with a `Recorder` in place of
draws, it works on what stands for arrays, and what comes out says how each element is made. A
kind that does more than a recorder can take down has no recipe, and its field is made as ever.
"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from .draws import Draws, Field
from .kind import Kind
from .philox import threshold


class Kept(NamedTuple):
    """Where a random number's u32 is not below a threshold."""

    number: int
    threshold: int


class Choice(NamedTuple):
    """One number where kept, another where not."""

    kept: Kept
    yes: float
    no: float


@dataclass(frozen=True, slots=True)
class Random:
    """A random number z of an element: ``z · factor + plus``, each where it is not None."""

    normal: bool
    number: int
    factor: float | None = None
    plus: float | None = None

    def __mul__(self, factor: Any) -> "Random":
        """Return the number times another; once, and before anything is added."""
        if type(factor) not in (int, float) or self.factor is not None or self.plus is not None:
            return NotImplemented
        return replace(self, factor=float(factor))

    def __add__(self, plus: Any) -> "Random":
        """Return the number and another one; once."""
        if type(plus) not in (int, float) or self.plus is not None:
            return NotImplemented
        return replace(self, plus=float(plus))

    __rmul__, __radd__ = __mul__, __add__


class Recipe(NamedTuple):
    """The field of one element; see `noisegate.core.draws.Field`."""

    keep: Kept | None
    gain: float | Random | None
    shift: float | Random | None
    fill: float | Choice

    @property
    def random(self) -> Random | None:
        """The random number that moves elements, if there is one."""
        return next((part for part in (self.gain, self.shift) if isinstance(part, Random)), None)

    @property
    def idle(self) -> bool:
        """Whether it leaves elements as they are."""
        return self.keep is None and self.gain is None and self.shift is None

    def fits(self, dtype: str) -> bool:
        """Return whether it can be for a dtype; what is refused is told where arrays are used."""
        if dtype.startswith("complex"):
            return self.shift is None and self.fill == 0.0
        floating = dtype in FLOATS
        return floating or (self.gain is None and self.shift is None and self.keep is not None)

    @property
    def linear(self) -> "Recipe":
        """The part that is linear in the input."""
        return self._replace(shift=None, fill=0.0)


class Recorder(Draws):
    """Draws that stand for arrays instead of being some."""

    __slots__ = ()

    def keep(self, p: Any, number: int = 0) -> Any:
        """Return what stands for where an element survives."""
        return Kept(number, threshold(p))

    def uniform(self, number: int = 0) -> Any:
        """Return what stands for uniform numbers."""
        return Random(False, number)

    def normal(self, number: int = 0) -> Any:
        """Return what stands for normal numbers."""
        return Random(True, number)

    def where(self, condition: Any, yes: float, no: float) -> Any:
        """Return what stands for one number where a condition holds and another where not."""
        return Choice(condition, float(yes), float(no))


# Dtypes of real numbers, by the precision in which they are computed.
FLOATS = {
    "float16": "float32",
    "bfloat16": "float32",
    "float32": "float32",
    "float64": "float64",
}


def recipe_of(kind: Kind, rate: float, dtype: str) -> Recipe | None:
    """Return the recipe of a kind at a rate for elements of a dtype; None if it has none."""
    computed = "float32" if dtype == "complex64" else FLOATS.get(dtype, "float64")
    nothing: Any = None  # a recipe holds for every key and window
    recorder = Recorder(nothing, type(kind).__name__, nothing, nothing, computed)
    try:
        field = kind.field(recorder, rate)
    except Exception:
        # What a recorder cannot take down, or an error, which the kind raises again on arrays.
        return None
    recipe = _checked(field)
    return recipe if recipe is not None and recipe.fits(dtype) else None


def _checked(field: Any) -> Recipe | None:
    """Return a field of what stands for arrays as a recipe, if that is all it is."""
    if type(field) is not Field:
        return None
    numbers = (float, Random, type(None))
    fits = (
        isinstance(field.keep, Kept | None)
        and isinstance(field.gain, numbers)
        and isinstance(field.shift, numbers)
        and (isinstance(field.fill, float) or isinstance(getattr(field.fill, "kept", None), Kept))
    )
    recipe = Recipe(field.keep, field.gain, field.shift, field.fill)
    if not fits or (isinstance(field.fill, Choice) and (field.gain, field.shift) != (None, None)):
        return None
    if recipe.random is None:
        return recipe
    # A random number moves elements alone.
    alone = field.keep is None and None in (field.gain, field.shift)
    return recipe if alone else None


__all__ = ["Choice", "Kept", "Random", "Recipe", "Recorder", "recipe_of"]
