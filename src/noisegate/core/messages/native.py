"""Sentences about the native engine."""

from collections.abc import Sequence


def bad_native(variable: str, asked: str, sets: Sequence[str]) -> str:
    return (
        f"{variable} must be 0 (no native engine), 1 (no noise without it) or one of "
        f"{', '.join(sets)}; got {asked!r}."
    )


def missing_native(variable: str, asked: str, error: object) -> str:
    return (
        f"{variable} is {asked}, so the native engine must be there, and it cannot be imported: "
        f"{error}. Where there is a C++17 compiler, `pip install --force-reinstall --no-cache-dir "
        "noisegate` builds it."
    )


def no_instruction_set(variable: str, asked: str) -> str:
    return f"{variable} is {asked}, which this processor or this build of noisegate does not have."


def pure_engine(error: object) -> str:
    return (
        f"noisegate: the native engine cannot be imported ({error}), so the pure one is in use: "
        "the same noise, 4 to 25 times slower. Where there is a C++17 compiler, "
        "`pip install --force-reinstall --no-cache-dir noisegate` builds it; "
        "NOISEGATE_NATIVE=0 leaves this unsaid."
    )


def bad_threads(variable: str, given: str, most: int) -> str:
    return f"{variable} must be a whole number from 1 to {most}; got {given!r}."
