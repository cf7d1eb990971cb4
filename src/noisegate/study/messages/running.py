"""What is said of calls, runs and files."""

__all__ = [
    "no_target",
    "not_a_number_between",
    "target_without_data",
]


def no_target(path: object) -> str:
    return (
        f"study: `target` must say which column of '{path}' is to be predicted; it is missing. "
        "Name it with --target."
    )


def not_a_number_between(name: str, low: float, high: float, value: object) -> str:
    return f"study: `{name}` must be a number in ({low:g}, {high:g}); got {value!r}."


def target_without_data(target: object) -> str:
    return (
        f"study: `data` must say where the target {target!r} is; it is missing, and the digits "
        "have one of their own. Name the file with --data."
    )
