"""What is said of calls, runs and files."""

__all__ = [
    "cannot_write",
    "corrupt",
    "has_runs",
    "needs_main_guard",
    "no_target",
    "not_a_number_between",
    "not_saved",
    "other_settings",
    "other_start_of_run",
    "process_ended",
    "run_failed",
    "state_not_kept",
    "target_without_data",
]


# Signs of a value in a sentence: there may be thousands of columns.
LONGEST = 200
# Which option sets what a folder's runs were made with.
_OPTIONS = {
    "data.name": "--data",
    "data.digest": "--data",
    "data.rows": "--data",
    "data.classes": "--data",
    "data.target": "--target",
    "data.task": "--task",
    "data.inputs": "--inputs",
    "data.groups": "--split",
    "test.file": "--test",
    "test.digest": "--test",
    "test.rows": "--test",
    "test.seed": "--test-seed",
    "test.share": "--test-share",
    "validation_share": "--validation-share",
    "epochs": "--epochs",
    "batch_size": "--batch-size",
    "learning_rate": "--learning-rate",
}


def no_target(path: object) -> str:
    return (
        f"study: `target` must say which column of '{path}' is to be predicted; it is missing. "
        "Name it with --target."
    )


def not_a_number_between(name: str, low: float, high: float, value: object) -> str:
    return f"study: `{name}` must be a number in ({low:g}, {high:g}); got {value!r}."


def cannot_write(folder: object, reason: str) -> str:
    return f"study: cannot write to '{folder}': {reason}. Name another folder with --out."


def not_saved(path: object, reason: str) -> str:
    return (
        f"study: cannot write '{path}': {reason}. Every run that had finished before is saved; "
        "mend that, and go on with --resume."
    )


def has_runs(folder: object) -> str:
    return (
        f"study: '{folder}' has runs already. Go on with them by --resume, "
        "or name another folder with --out."
    )


def other_settings(where: object, name: str, before: object, now: object) -> str:
    return (
        f"study: `{name}` must be what it was for the runs in '{where}', to go on with them; "
        f"it was {_short(before)}, and is {_short(now)}. {_way_out(name)}"
    )


def _way_out(name: str) -> str:
    option = _OPTIONS.get(name)
    same = f"Give the same {option} as then, or name" if option else "Name"
    return f"{same} another folder with --out."


def other_start_of_run(folder: object, job: object) -> str:
    return (
        f"study: the model must be what it was for the runs in '{folder}', to go on with them; "
        f"{job} starts otherwise now. Name another folder with --out."
    )


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


def corrupt(path: object) -> str:
    return (
        f"study: '{path}' is not what was written there, and is left as it is. "
        "Move it away, and go on with --resume: what was in it is made anew."
    )


def run_failed(job: object, what: str) -> str:
    return f"study: {job} failed: {what}"


def process_ended() -> str:
    return (
        "study: a process was ended from outside, perhaps for want of memory. Every run that had "
        "finished is saved: go on with --resume, and fewer --jobs."
    )


def needs_main_guard() -> str:
    return (
        "study: a worker process ended before its work did. In a script, call "
        'noisegate.study.run below `if __name__ == "__main__":`, or pass jobs=1.'
    )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
