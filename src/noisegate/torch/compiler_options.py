"""Set options of torch's compiler, whether it is imported yet or not."""

import sys
from typing import Any

SETTINGS = "torch._dynamo.config"

_wanted: dict[str, bool] = {}


def set_option(name: str, value: bool) -> None:
    """Set the default of an option of the compiler: now, or when it is imported.

    A value that somebody has set stays. The import takes 2 s, so it is left to who needs it.
    """
    _wanted[name] = value
    if SETTINGS in sys.modules:
        _set_all()
    elif _Waiting not in sys.meta_path:
        sys.meta_path.insert(0, _Waiting)


def _set_all() -> None:
    # The default, since a value that is set holds in the thread that sets it only. torch has no
    # public name for it.
    options = getattr(sys.modules[SETTINGS], "_config", {})
    for name, value in _wanted.items():
        if name in options:
            options[name].default = value


class _Waiting:
    """A finder of modules that finds none: it waits for the import of the compiler."""

    @classmethod
    def find_spec(cls, name: str, path: Any = None, target: Any = None) -> None:
        """Set the options once the compiler's settings are there, which it imports first."""
        if name.startswith("torch._dynamo.") and SETTINGS in sys.modules:
            _set_all()
            # A new list: the import goes through the old one, and would skip a finder.
            sys.meta_path = [finder for finder in sys.meta_path if finder is not cls]
