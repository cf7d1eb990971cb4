"""The one list of array libraries, by name; noisegate imports none before the user has done so.

This is the only place where a lower floor reaches a higher one, and it does so late: when an
array or a model of a library arrives, its face is looked up here.
"""

import sys
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import Any, NoReturn

from . import checks
from . import forks as forks  # so that forks are noticed from the first import on
from .errors import InvalidType


@dataclass(frozen=True, slots=True)
class Backend:
    """An array library: its module, its arrays' and models' classes, and our face for it."""

    module: str
    arrays: tuple[str, ...]
    models: tuple[str, ...]
    face: str

    def owns(self, value: object, names: tuple[str, ...]) -> bool:
        """Return whether `value` has one of these classes; False if the library is not imported."""
        library = sys.modules.get(self.module)
        return library is not None and isinstance(
            value, tuple(_attribute(library, name) for name in names)
        )


BACKENDS = (
    Backend("numpy", ("ndarray", "generic"), (), "noisegate.numpy"),
    Backend("torch", ("Tensor",), ("nn.Module",), "noisegate.torch"),
)


# The faces of the libraries' own classes, which are asked for at every call. A user's subclass is
# not stored, since it would never be freed.
_FACES: dict[type, Any] = {}


def face_of_array(x: object) -> Any:
    """Return the face for an array."""
    face = _FACES.get(type(x))
    if face is not None:
        return face
    for backend in BACKENDS:
        if backend.owns(x, backend.arrays):
            _load_face(backend)
            face = getattr(_LOADED, backend.module)
            if type(x).__module__.partition(".")[0] == backend.module:
                _FACES[type(x)] = face
            return face
    return refuse_array(x, *(backend.module for backend in BACKENDS))


@checks.at_trace_time
def _load_face(backend: Backend) -> None:
    """Import a face; it may be a compiler that meets the first call of a process."""
    setattr(_LOADED, backend.module, import_module(backend.face))


# The faces by their library. A compiler looks up an attribute when it is read, but copies a dict.
_LOADED = SimpleNamespace()


def refuse_array(x: object, *supported: str) -> NoReturn:
    """Raise, since no supported library has arrays of x's class."""
    raise InvalidType(
        f"the input must be an array of {' or '.join(supported)}; "
        f"got {type(x).__module__}.{type(x).__qualname__}."
    )


def face_of_model(model: object) -> Any:
    """Return the face for a model."""
    for backend in BACKENDS:
        if backend.owns(model, backend.models):
            return import_module(backend.face)
    given = f"{type(model).__module__}.{type(model).__qualname__}"
    raise InvalidType(f"`model` must be a torch.nn.Module; got {given}.")


def numpy_face() -> Any:
    """Return NumPy's face, which is always available and needs no array to be found."""
    return import_module(BACKENDS[0].face)


def _attribute(library: ModuleType, dotted: str) -> Any:
    value: Any = library
    for name in dotted.split("."):
        value = getattr(value, name)
    return value
