"""The arguments of layers: their checks, their owners, and how they are read and set."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from inspect import Parameter, Signature
from operator import index
from typing import Any, ClassVar, NamedTuple, Self

from torch import nn

from noisegate.core import checks
from noisegate.core.errors import InvalidType, InvalidValue, prefix_errors
from noisegate.core.words import list_names, suggest

from . import names, shapes

# Checks an argument and returns it in its stored form: (name, value).
Check = Callable[[str, Any], Any]


class Option(NamedTuple):
    """An argument of a layer.

    Attributes
    ----------
    class_name : str
        The class that owns the argument.
    check : callable
        ``check(name, value)`` returns what is stored, or raises.
    """

    class_name: str
    check: Check


@dataclass(frozen=True)
class NamedCheck:
    """A check with a description for `options` and a type for signatures."""

    words: str
    function: Check
    annotation: Any = Any

    def __call__(self, name: str, value: Any) -> Any:
        """Return the value in its stored form, or raise."""
        return self.function(name, value)

    def __repr__(self) -> str:
        """Return the description."""
        return self.words


def _check_positive(name: str, value: Any) -> int:
    sentence = f"`{name}` must be a whole number of at least 1; got {value!r}."
    if isinstance(value, bool):
        raise InvalidType(sentence)
    try:
        number = index(value)
    except TypeError:
        raise InvalidType(sentence) from None
    if number < 1:
        raise InvalidValue(sentence)
    return number


size = NamedCheck("whole number >= 1", _check_positive, int)
anything = NamedCheck("checked by torch", lambda name, value: value)
flag = NamedCheck("True or False", checks.check_flag, bool)
kind_s = NamedCheck("checked by the kind", lambda name, value: value)


def or_none(check: NamedCheck) -> NamedCheck:
    """Return a check that also takes None."""
    return NamedCheck(
        f"{check.words}, or None",
        lambda name, value: None if value is None else check(name, value),
        check.annotation if check.annotation is Any else check.annotation | None,
    )


def describe_unknown_name(name: str, value: object, known: Iterable[str]) -> str:
    """Return the sentence about a value that is neither callable nor one of some names."""
    return (
        f"`{name}` must be a callable, or one of {list_names(known)}; got {value!r}."
        f"{suggest(value, list(known))}"
    )


def _check_index(name: str, value: Any) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise InvalidType(f"`{name}` must be a whole number; got {value!r}.")
    return index(value)


axis = NamedCheck("whole number", _check_index, int)

# The arguments that every layer takes by name.
_SHAPE = NamedCheck(
    "a shape", lambda _, value: shapes.check_layer_shape(value), int | tuple[int | None, ...]
)
COMMON_CHECKS: dict[str, NamedCheck] = {
    "name": NamedCheck(
        "a name, a format of names, or None",
        lambda _, value: names.check_name(value),
        str | None,
    ),
    "trainable": flag,
    **dict.fromkeys(("input_shape", "batch_input_shape"), or_none(_SHAPE)),
    **dict.fromkeys(("input_dim", "input_length"), or_none(size)),
}
COMMON: dict[str, Any] = {**dict.fromkeys(COMMON_CHECKS), "trainable": True}


def annotate(parameter: Parameter, check: Check) -> Parameter:
    """Return a parameter with a type: its own, or that of its check."""
    if parameter.annotation is not Parameter.empty:
        return parameter
    return parameter.replace(annotation=getattr(check, "annotation", Any))


def list_common_parameters() -> list[Parameter]:
    """Return the parameters of every layer, by name only."""
    by_name = Parameter.KEYWORD_ONLY
    words = (Parameter(word, by_name, default=value) for word, value in COMMON.items())
    return [annotate(word, COMMON_CHECKS[word.name]) for word in words]


class Options(nn.Module):
    """A module with arguments by name, each with its check."""

    # The arguments of its own, with their checks.
    PARAMETERS: ClassVar[Mapping[str, Parameter]] = {}
    CHECKS: ClassVar[Mapping[str, Check]] = {}

    arguments: dict[str, Any]
    given_name: str | None
    trainable: bool

    @classmethod
    def signature(cls) -> Signature:
        """Return the signature of the class."""
        own = [annotate(p, cls.check_of(p.name)) for p in cls.PARAMETERS.values()]
        common = (p for p in list_common_parameters() if p.name not in cls.PARAMETERS)
        return Signature([*own, *common])

    @classmethod
    def check_of(cls, name: str) -> Check:
        """Return the check of an argument of its own."""
        return cls.CHECKS.get(name, COMMON_CHECKS.get(name, anything))

    def _accept(self, given: Mapping[str, Any]) -> None:
        self.arguments = {name: self._check(name, value) for name, value in given.items()}

    def _check(self, name: str, value: Any) -> Any:
        """Return an argument in its stored form, or raise with the class in front."""
        with prefix_errors(type(self).__name__):
            return self.check_of(name)(name, value)

    @property
    def options(self) -> dict[str, Option]:
        """Every argument with the class that owns it and its check."""
        own = {n: Option(self.owner_of(n), self.check_of(n)) for n in self.own_arguments()}
        common = {n: Option("Layer", check) for n, check in COMMON_CHECKS.items()}
        return dict(sorted({**own, **common}.items()))

    def own_arguments(self) -> dict[str, Any]:
        """Return the arguments of its own, by name."""
        return dict(self.arguments)

    def owner_of(self, name: str) -> str:
        """Return the name of the class that owns an argument."""
        # The mro ends with the base: the last class that has the argument introduced it.
        owners = [k for k in type(self).__mro__ if name in getattr(k, "PARAMETERS", ())]
        return (owners[-1] if owners else type(self)).__name__

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return every argument by name."""
        return {**self.own_arguments(), "name": self.given_name, "trainable": self.trainable}

    def set_params(self, **params: Any) -> Self:
        """Set arguments by name, checked as at the start; return the layer."""
        with prefix_errors(type(self).__name__):
            checks.check_keywords(params, list(self.options))
        for name, value in params.items():
            setattr(self, name, value)
        return self

    @property
    def always_shown(self) -> str | None:
        """The argument that the repr shows even at its default."""
        return None

    def write_arguments(self) -> str:
        """Return the arguments as in a call, without those at their default."""
        return ", ".join(
            f"{name}={value!r}"
            for name, value in self.own_arguments().items()
            if name not in self.PARAMETERS
            or name == self.always_shown
            or _differs(value, self.PARAMETERS[name].default)
        )


def _differs(value: Any, default: Any) -> bool:
    try:
        return bool(value != default)
    except (RuntimeError, ValueError):  # arrays compare element by element
        return True
