"""What each extra brings, and the error where that is not installed."""

from importlib.util import find_spec

from .errors import MissingExtra

_TORCH = {"torch": "torch", "safetensors": "safetensors"}
_ESTIMATORS = {**_TORCH, "sklearn": "scikit-learn", "skorch": "skorch"}
_STUDY = {**_ESTIMATORS, "scipy": "scipy", "matplotlib": "matplotlib"}

# Extra: its modules, each with the name under which pip knows it.
PACKAGES: dict[str, dict[str, str]] = {
    "torch": _TORCH,
    "estimators": _ESTIMATORS,
    "study": {
        **_STUDY,
        "pandas": "pandas",
        "jinja2": "jinja2",
        "skops": "skops",
        "rich": "rich",
        "yaml": "pyyaml",
    },
    "lightning": {**_TORCH, "lightning": "lightning"},
    "transformers": {**_TORCH, "accelerate": "accelerate", "transformers": "transformers"},
    "skorch": {**_TORCH, "skorch": "skorch"},
    "accelerate": {**_TORCH, "accelerate": "accelerate"},
    "tune": {"optuna": "optuna"},  # the study says what it lacks itself
}


def missing_extra(what: str, package: str, extra: str) -> MissingExtra:
    """Return the error for a package that is not installed, with the command that installs it."""
    return MissingExtra(
        f'{what} needs {package}. Install it with: pip install "noisegate[{extra}]"'
    )


def find_missing(extra: str) -> str | None:
    """Return the first package of an extra that is not installed; None if all are."""
    missing = (name for module, name in PACKAGES[extra].items() if find_spec(module) is None)
    return next(missing, None)


def require_extra(room: str, extra: str) -> None:
    """Raise unless the packages of an extra are installed; `room` is the module that needs it."""
    package = find_missing(extra)
    if package is not None:
        raise missing_extra(room, package, extra)
