"""The sentences of the study's errors; each is tested word for word."""

from collections.abc import Iterable
from difflib import get_close_matches

from noisegate.core.messages import missing_extra

__all__ = [
    "cannot_write",
    "missing_package",
    "needs_main_guard",
    "no_model",
    "not_a_count",
    "unknown_model",
    "unknown_recipe",
]


def unknown_recipe(name: object, model: str, known: Iterable[str]) -> str:
    return f"study: unknown recipe {name!r} for {model}; known are {_listed(name, known)}"


def unknown_model(name: object, known: Iterable[str]) -> str:
    return f"study: unknown model {name!r}; known are {_listed(name, known)}"


def no_model(known: Iterable[str]) -> str:
    return f"study: `models` must name at least one model; known are {', '.join(known)}."


def not_a_count(name: str, least: int, value: object, why: str) -> str:
    return f"study: `{name}` must be a whole number >= {least}; got {value!r}. {why}"


def cannot_write(folder: object, reason: str) -> str:
    return f"study: cannot write to '{folder}': {reason}. Name another folder with out."


def needs_main_guard() -> str:
    return (
        "study: a worker process ended before its work did. In a script, call "
        'noisegate.study.run below `if __name__ == "__main__":`, or pass jobs=1.'
    )


def missing_package(package: str) -> str:
    return missing_extra("noisegate.study", package, "study")


def _listed(name: object, known: Iterable[str]) -> str:
    names = list(known)
    near = get_close_matches(str(name), names, n=1, cutoff=0.6)
    guess = f" Did you mean {near[0]}?" if near else ""
    return f"{', '.join(names)}.{guess}"
