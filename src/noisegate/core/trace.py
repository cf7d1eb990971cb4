"""What a kind does to one element, as data: what an engine needs to do it in one pass.

A kind says what it does by `field`, which works on arrays. Called with a `Recorder` in place of
draws, it works on what stands for arrays, and what comes out says how each element is made. A
kind that does more than a recorder can take down has no recipe, and its field is made as ever.
"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from . import checks
from .draws import Draws, Field
from .kind import Kind
from .philox import threshold


class StandIn:
    """What takes an array's place while a kind is taken down: most that arrays do it refuses."""

    __slots__ = ()
    __array_ufunc__ = None  # so that NumPy's numbers leave operators to it
    # As Python itself sets where there is no hash; its stubs know only functions.
    __hash__ = None  # type: ignore[assignment]

    def _refuse(self, *_: object, **__: object) -> Any:
        raise TypeError("this stands for an array that is not there")

    __array__ = __bool__ = __eq__ = __ne__ = _refuse


@dataclass(frozen=True, slots=True, eq=False)
class Kept(StandIn):
    """Where a random number's u32 is not below a threshold."""

    number: int
    threshold: int


@dataclass(frozen=True, slots=True, eq=False)
class Choice(StandIn):
    """One number where kept, another where not."""

    kept: Kept
    yes: float
    no: float


@dataclass(frozen=True, slots=True, eq=False)
class Random(StandIn):
    """A random number z of an element: ``z · factor + plus``, each where it is not None."""

    normal: bool
    number: int
    factor: float | None = None
    plus: float | None = None

    def __mul__(self, factor: Any) -> "Random":
        """Return the number times another; once, and before anything is added."""
        if not _is_plain(factor) or self.factor is not None or self.plus is not None:
            return NotImplemented
        return replace(self, factor=float(factor))

    def __add__(self, plus: Any) -> "Random":
        """Return the number and another one; once."""
        if not _is_plain(plus) or self.plus is not None:
            return NotImplemented
        return replace(self, plus=float(plus))

    __rmul__, __radd__ = __mul__, __add__


def _is_plain(value: object) -> bool:
    """Return whether every library takes a number for one of the array's precision."""
    return type(value) is float or (type(value) is int and abs(value) < 1 << 24)


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
            return self.shift is None and type(self.fill) is float and self.fill == 0.0
        if dtype in PRECISION:
            return True
        whole = dtype.startswith(("int", "uint", "bool"))
        return whole and (self.gain is None and self.shift is None and self.keep is not None)

    @property
    def linear(self) -> "Recipe":
        """The part that is linear in the input."""
        return self._replace(shift=None, fill=0.0)


class Recorder(Draws):
    """Draws that stand for arrays instead of being some."""

    __slots__ = ()

    def keep(self, p: Any, number: int = 0) -> Any:
        """Return what stands for where an element survives."""
        return Kept(_whole(number), threshold(_host(p)))

    def uniform(self, number: int = 0) -> Any:
        """Return what stands for uniform numbers."""
        return Random(False, _whole(number))

    def normal(self, number: int = 0) -> Any:
        """Return what stands for normal numbers."""
        return Random(True, _whole(number))

    def where(self, condition: Any, yes: float, no: float) -> Any:
        """Return what stands for one number where a condition holds and another where not."""
        return Choice(condition, float(yes), float(no))


def _whole(number: Any) -> int:
    if type(number) is not int or not 0 <= number < 1 << 31:
        raise TypeError("arrays decide what such a number is")
    return number


def _host(p: Any) -> float:
    if not checks.is_host(p):
        raise TypeError("arrays decide what such a rate is")
    return p


# In which precision numbers of a dtype are computed; integers are never computed with.
PRECISION = {
    "float16": "float32",
    "bfloat16": "float32",
    "float32": "float32",
    "complex64": "float32",
    "float64": "float64",
    "complex128": "float64",
}


def recipe_of(kind: Kind, rate: float, dtype: str) -> Recipe | None:
    """Return the recipe of a kind at a rate for elements of a dtype; None if it has none."""
    computed = PRECISION.get(dtype, "float64")
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
    keep, gain, shift, fill = field
    # Exactly these: a number of NumPy's is a float too, and makes arrays more precise.
    numbers = (float, Random, type(None))
    decided = type(keep) in (Kept, type(None))
    filled = type(fill) is float or (type(fill) is Choice and type(fill.kept) is Kept)
    if not (decided and filled and type(gain) in numbers and type(shift) in numbers):
        return None
    moved = sum(part is not None for part in (gain, shift))
    if type(fill) is Choice and moved:
        return None
    recipe = Recipe(keep, gain, shift, fill)
    # A random number moves elements alone.
    alone = keep is None and moved == 1
    return recipe if alone or recipe.random is None else None


__all__ = ["Choice", "Kept", "Random", "Recipe", "Recorder", "recipe_of"]
