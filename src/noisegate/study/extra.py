"""The packages that the extra `study` brings, and the sentence when one is missing."""

from importlib.util import find_spec

from noisegate.core.errors import MissingExtra

from . import messages

__all__ = ["require_extra"]

# Module to look for, and the name under which pip knows it.
PACKAGES = {
    "torch": "torch",
    "sklearn": "scikit-learn",
    "skorch": "skorch",
    "scipy": "scipy",
    "matplotlib": "matplotlib",
    "rich": "rich",
    "yaml": "pyyaml",
}


def require_extra() -> None:
    """Raise `MissingExtra` with the pip command if a package of the extra is not installed."""
    for module, package in PACKAGES.items():
        if find_spec(module) is None:
            raise MissingExtra(messages.missing_package(package))
