"""The finished runs of a study in a folder, each in a file, so that nothing finished is lost."""

import io
import json
import math
import pickle
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch

from noisegate.core.errors import InvalidValue, NoisegateError
from noisegate.core.words import shorten
from noisegate.estimators import Epoch, History

from ..files import check_unused, write_file
from ..json_text import FORMAT, format_json, replace_nan
from ..rule_text import rules_text
from .run import Job, Run, Trained

# Which option sets what the runs of a folder were made with.
OPTIONS = {
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


@dataclass(frozen=True, slots=True)
class Store:
    """A folder with the runs of one study: what decides them, and of each its numbers and weights.

    Every file is there whole or not at all, and none is written twice. A file that is not what
    was written is named in an error, and left as it is.
    """

    folder: Path
    settings: Mapping[str, Any]

    def begin(self, *, resume: bool) -> bool:
        """Store the settings that decide every run, or raise unless the stored ones are the same.

        Return whether there were none before. Unless `resume`, a folder with runs is refused.
        """
        path = self.folder / "settings.json"
        if not resume:
            check_unused(self.folder.parent)
        if not path.exists():
            write_file(path, _seal(dict(self.settings)))
            return True
        now = json.loads(json.dumps(self.settings))  # with lists instead of tuples, as a file has
        _check_same(self.folder.parent, _flatten_facts(_open_sealed(path)), _flatten_facts(now))
        return False

    def discard(self) -> None:
        """Remove the settings and the folder if nothing else has been stored."""
        inside = list(self.folder.rglob("*"))
        if [path.name for path in inside if not path.is_dir()] != ["settings.json"]:
            return
        with suppress(OSError):  # another process stores something after all
            (self.folder / "settings.json").unlink()
            for folder in (*reversed([path for path in inside if path.is_dir()]), self.folder):
                folder.rmdir()

    def save_run(self, job: Job, trained: Trained) -> None:
        """Store a finished run: its weights, then its numbers, which say that it has finished."""
        path = self._path(job)
        buffer = io.BytesIO()
        torch.save(dict(trained.weights), buffer)
        weights = buffer.getvalue()
        write_file(path.with_suffix(".pt"), weights)
        facts = {**self._identify(job), "weights": _digest(weights), "run": asdict(trained.run)}
        write_file(path, _seal(facts))

    def find_run(self, job: Job) -> Run | None:
        """Return the run of a job, None if it has not finished; raise if it was another's."""
        path = self._path(job)
        if not path.exists():
            return None
        facts = _open_sealed(path)
        _check_same(path, facts, self._identify(job))
        if not path.with_suffix(".pt").exists():
            return None
        return _read_run(facts["run"])

    def read_weights(self, job: Job) -> Mapping[str, Any]:
        """Return the weights of a finished run; raise if their file is not what was written."""
        numbers = self._path(job)
        path = numbers.with_suffix(".pt")
        data = path.read_bytes()
        if _digest(data) != _open_sealed(numbers)["weights"]:
            raise _corrupt(path)
        try:
            weights: Mapping[str, Any] = torch.load(io.BytesIO(data), weights_only=True)
        except pickle.UnpicklingError:
            raise _corrupt(path) from None
        return weights

    def read_value(self, name: str) -> Any:
        """Return what was stored under a name, or None."""
        path = self.folder / f"{name}.json"
        return _open_sealed(path)["kept"] if path.exists() else None

    def write_value(self, name: str, value: Any) -> None:
        """Store something else that JSON can hold under a name."""
        write_file(self.folder / f"{name}.json", _seal({"kept": value}))

    def _identify(self, job: Job) -> dict[str, str]:
        """Return what a run was made of, by which it is known again."""
        return {
            "job": str(job),
            "rules": rules_text(job.recipe.rules),
            "model_source": job.model.source_digest,
            "settings": _digest(_canonical(self.settings)),
        }

    def _path(self, job: Job) -> Path:
        # A colon is no part of a file's name everywhere.
        folder = self.folder / job.model.name.replace(":", "-")
        return folder / f"{job.recipe.name}-{job.seed}.json"


def _check_same(where: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise if anything differs from what the runs in a folder, or a file, were made with."""
    # A digest says the least, and columns differ where another setting does: both come last.
    for name in sorted(now, key=lambda name: name.endswith(("digest", "columns"))):
        was, value = before.get(name), now[name]
        if was != value:
            same = f"Give the same {OPTIONS[name]} as then, or name" if name in OPTIONS else "Name"
            raise InvalidValue(
                f"study: `{name}` must be what it was for the runs in '{where}', to go on with "
                f"them; it was {shorten(was, 200)}, and is {shorten(value, 200)}. "
                f"{same} another folder with --out."
            )


def _flatten_facts(facts: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return values by the names that lead to them: `data.target`."""
    found: dict[str, Any] = {}
    for name, value in facts.items():
        inner = isinstance(value, dict)
        found |= _flatten_facts(value, f"{above}{name}.") if inner else {f"{above}{name}": value}
    return found


def _read_run(facts: Mapping[str, Any]) -> Run:
    epochs = facts["history"]["epochs"]
    history = History(tuple(Epoch(**{k: _number(v) for k, v in one.items()}) for one in epochs))
    return Run(**{**facts, "history": history})


def _number(value: Any) -> Any:
    return math.nan if value is None else value


def _seal(facts: Mapping[str, Any]) -> str:
    """Return JSON with a digest of itself, by which it is known again."""
    body = replace_nan({"format": FORMAT, **facts})
    return format_json({**body, "digest": _digest(_canonical(body))})


def _open_sealed(path: Path) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = json.loads(path.read_bytes())
        digest = facts.pop("digest")
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        raise _corrupt(path) from None
    if digest != _digest(_canonical(facts)):
        raise _corrupt(path)
    return facts


def _corrupt(path: Path) -> NoisegateError:
    return NoisegateError(
        f"study: '{path}' is not what was written there, and is left as it is. "
        "Move it away, and go on with --resume: what was in it is made anew."
    )


def _canonical(facts: Any) -> bytes:
    return json.dumps(facts, sort_keys=True).encode()


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=8).hexdigest()
