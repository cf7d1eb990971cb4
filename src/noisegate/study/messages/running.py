"""What is said of calls, runs and files."""

__all__ = [
    "no_target",
    "not_a_number_between",
    "state_not_kept",
    "target_without_data",
]


def no_target(path: object) -> str:
    return (
        f"study: `target` must say which column of '{path}' is to be predicted; it is missing. "
        "Name it with --target."
    )


def not_a_number_between(name: str, low: float, high: float, value: object) -> str:
    return f"study: `{name}` must be a number in ({low:g}, {high:g}); got {value!r}."


def state_not_kept(name: str) -> str:
    return (
        "study: the `state_dict` of a model must hold tensors, numbers and text only, so that it "
        f"is read again without running code; that of {name} does not. Leave the rest out of it."
    )


def target_without_data(target: object) -> str:
    return (
        f"study: `data` must say where the target {target!r} is; it is missing, and the digits "
        "have one of their own. Name the file with --data."
    )
