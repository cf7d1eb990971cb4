"""Files of the pipelines that a study hands over: what they hold, and what is refused."""

import io
import json
import pickle
import random
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import joblib
import numpy as np
import pytest
import torch
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from torch import nn

import noisegate as ng
from _fitted import TABLE, make_fitted, run_network
from _own_kinds import SignFlip
from noisegate.core.errors import InvalidType, InvalidValue
from noisegate.study import load
from noisegate.study.handover import FittedModel, make_pipeline
from noisegate.study.judge.scores import SplitScore
from noisegate.study.pipeline_files import pack, write_pipelines
from noisegate.study.recipes import RECIPES, Recipe

# A user's own function, in a file.
NETS = """\
from torch import nn

CALLS = []

def make(input_shape, n_outputs):
    CALLS.append((input_shape, n_outputs))
    return nn.Sequential(nn.Linear(input_shape[0], 5), nn.ReLU(), nn.Linear(5, n_outputs))

def longer(input_shape, n_outputs):
    return make(input_shape, n_outputs).append(nn.PReLU())

def nothing(input_shape, n_outputs):
    return "a network"
"""


def write_file(path: Path, fitted: FittedModel) -> Path:
    path.write_bytes(pack(fitted))
    return path


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder with nets.py, and the file of a pipeline of its function `make`."""
    (tmp_path / "nets.py").write_text(NETS, "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("nets", None)
    torch.manual_seed(1)
    weights = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2)).state_dict()
    yield write_file(
        Path("p.noisegate"), make_fitted(model="nets:make", weights=weights, recipe=RECIPES["none"])
    )
    sys.modules.pop("nets", None)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"recipe": RECIPES["none"]},
        {"recipe": Recipe("m", "m", {"in:out": [0.1, ng.GaussianNoise(0.1)], "hid1:out": 0.2})},
        {"classes": (), "center": 0.1, "scale": 1 / 3},
        {"classes": ("1", "2", "5")},
    ],
)
def test_a_loaded_pipeline_is_the_same_bit_for_bit(changes: Any, tmp_path: Path) -> None:
    fitted = make_fitted(**changes)
    pipeline, path = make_pipeline(fitted), tmp_path / "p.noisegate"
    loaded = load(write_file(path, fitted))
    assert np.array_equal(loaded.predict(TABLE), pipeline.predict(TABLE))
    noise = {"samples": 3, "seed": 1, "rules": {"hid1:out": 0.3}}
    assert np.array_equal(loaded.predict(TABLE, **noise), pipeline.predict(TABLE, **noise))
    one, other = (each["estimator"].get_params() for each in (pipeline, loaded))
    assert {n: v for n, v in one.items() if n != "network"} == {
        n: v for n, v in other.items() if n != "network"
    }
    weights = [each["estimator"].network.state_dict() for each in (pipeline, loaded)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_file_holds_json_tensors_and_a_preprocessor(tmp_path: Path) -> None:
    with ZipFile(write_file(tmp_path / "p.noisegate", make_fitted())) as archive:
        names = archive.namelist()
        facts = json.loads(archive.read("pipeline.json"))
    assert names == ["pipeline.json", "preprocessor.skops", "network.safetensors"]
    assert facts["format"] == 1
    assert facts["recipe"] == {
        "name": "hidden",
        "label": "hidden dropout",
        "rules": "hid*:out=0.5",
    }
    assert facts["versions"]["noisegate"] == ng.__version__


def test_a_network_of_a_user_s_own_function_is_made_by_consent_alone(nets: Path) -> None:
    with pytest.raises(InvalidValue) as caught:
        load(nets)
    assert str(caught.value) == (
        "study: `model` must say which function makes the network of 'p.noisegate', as loading "
        "calls it. If you trust it, write load('p.noisegate', model='nets:make')."
    )
    assert "nets" not in sys.modules
    named = load(nets, model="nets:make")
    module = sys.modules["nets"]
    assert module.CALLS == [((4,), 2)]
    called = load(nets, model=module.make)
    assert np.array_equal(named.predict_proba(TABLE), called.predict_proba(TABLE))


@pytest.mark.parametrize(
    ("model", "error", "sentence"),
    [
        (
            "nets:longer",
            InvalidValue,
            "study: the network does not take the stored weights of nets:make: RuntimeError: "
            "Error(s) in loading state_dict for Sequential: Missing key(s) in state_dict: "
            '"3.weight".',
        ),
        (
            lambda shape, outputs: "a network",
            InvalidType,
            "study: `model` must return an nn.Module; got 'a network'.",
        ),
        (7, InvalidType, "study: `model` must be a function or 'module:function'; got 7."),
    ],
)
def test_a_function_that_makes_another_network(
    model: Any, error: Any, sentence: str, nets: Path
) -> None:
    with pytest.raises(error) as caught:
        load(nets, model=model)
    assert str(caught.value) == sentence


def _zip(**parts: bytes) -> bytes:
    buffer = io.BytesIO()
    with ZipFile(buffer, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name.replace("_", "."), content)
    return buffer.getvalue()


FOREIGN = {
    "empty": (b"", "File is not a zip file"),
    "text": (b"a,b\n1,2\n", "File is not a zip file"),
    "a pickle": (pickle.dumps(StandardScaler()), "File is not a zip file"),
    "another archive": (
        _zip(a_txt=b"1"),
        "\"There is no item named 'pipeline.json' in the archive\"",
    ),
    "another JSON": (_zip(pipeline_json=b"[]"), "pop expected at most 1 argument, got 0"),
    "a later format": (
        _zip(pipeline_json=b'{"format": 2}'),
        "its format is 2, and this noisegate reads format 1",
    ),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_foreign_file(name: str, tmp_path: Path) -> None:
    content, reason = FOREIGN[name]
    (path := tmp_path / "p.noisegate").write_bytes(content)
    with pytest.raises(InvalidValue) as caught:
        load(path)
    if name != "another JSON":
        assert str(caught.value) == f"study: cannot load a pipeline from '{path}': {reason}."
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for path, reason in (
        (tmp_path / "p", "No such file or directory"),
        (tmp_path, "Is a directory"),
    ):
        with pytest.raises(InvalidValue) as caught:
            load(path)
        assert str(caught.value) == f"study: cannot load a pipeline from '{path}': {reason}."


def test_a_damaged_file_is_named_in_one_sentence_or_changes_nothing(tmp_path: Path) -> None:
    path = write_file(tmp_path / "p.noisegate", make_fitted())
    whole, expected = path.read_bytes(), load(path).predict_proba(TABLE)
    draw = random.Random(0)
    damaged = [whole[: draw.randrange(len(whole))] for _ in range(20)]
    for place in [draw.randrange(len(whole)) for _ in range(20)]:
        damaged.append(
            whole[:place] + bytes([whole[place] ^ 1 << draw.randrange(8)]) + whole[place + 1 :]
        )
    refused = [_try(path, content, expected) for content in damaged]
    assert sum(refused) >= 38


def _try(path: Path, content: bytes, expected: np.ndarray) -> bool:
    """Return whether a file is refused, in one sentence; else it must be as good as whole."""
    path.write_bytes(content)
    try:
        loaded = load(path)
    except InvalidValue as error:
        said = str(error)
    else:
        assert np.array_equal(loaded.predict_proba(TABLE), expected)
        return False
    assert said.startswith(f"study: cannot load a pipeline from '{path}': ")
    assert "\n" not in said
    return True


class Evil:
    """What runs code where it is unpickled."""

    def __reduce__(self) -> Any:
        return exec, ("import sys; sys.modules['evil'] = sys",)


def test_no_code_of_a_file_runs(tmp_path: Path) -> None:
    path = tmp_path / "p.noisegate"
    preprocessor = FunctionTransformer(func=run_network)
    write_file(path, make_fitted(preprocessor=preprocessor))
    with pytest.raises(InvalidValue) as caught:
        load(path)
    assert str(caught.value) == (
        f"study: cannot load a pipeline from '{path}': it holds "
        f"`{run_network.__module__}.run_network`, which no study writes."
    )
    for content in (pickle.dumps(Evil()), _pickled_by_joblib(Evil())):
        path.write_bytes(content)
        with pytest.raises(InvalidValue):
            load(path)
    assert "evil" not in sys.modules


def _pickled_by_joblib(value: object) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(value, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"weights": {"_extra_state": {"a": 1}}}, "'dict' object has no attribute 'detach'."),
        (
            {"recipe": Recipe("mine", "mine", {"hid1:out": SignFlip(0.1)})},
            "rule 'hid1:out': there is no noise called `SignFlip`. Write for example dropout(0.5) "
            "or gaussian_noise(0.1).",
        ),
    ],
)
def test_what_no_file_can_hold(changes: Mapping[str, Any], reason: str) -> None:
    fitted = make_fitted(**changes)
    with pytest.raises(InvalidValue) as caught:
        pack(fitted)
    assert str(caught.value) == f"study: the pipeline of mlp cannot be written: {reason}"


def test_a_pipeline_that_cannot_be_written_is_left_out_with_a_warning(tmp_path: Path) -> None:
    fitted = [make_fitted(seed=0), make_fitted(seed=0, model="nets:make", weights={"a": 1})]
    scores = [SplitScore(each.model, "hidden", {}, {}) for each in fitted]
    sentence = (
        "study: the pipeline of nets:make cannot be written: 'int' object has no attribute "
        "'detach'."
    )
    with pytest.warns(RuntimeWarning, match=f"^{re.escape(sentence)}$"):
        write_pipelines(fitted, scores, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["pipeline-mlp.noisegate"]
    expected = make_pipeline(fitted[0]).predict_proba(TABLE)
    found = load(tmp_path / "pipeline-mlp.noisegate").predict_proba(TABLE)
    assert np.array_equal(found, expected)


def test_tensors_that_share_memory_are_written(tmp_path: Path) -> None:
    fitted = make_fitted()
    flat = torch.cat([value.flatten() for value in fitted.weights.values()])
    shared, start = {}, 0
    for name, value in fitted.weights.items():
        shared[name] = flat[start : start + value.numel()].view(value.shape)
        start += value.numel()
    loaded = load(write_file(tmp_path / "p", replace(fitted, weights=shared)))
    expected = make_pipeline(fitted).predict_proba(TABLE)
    assert np.array_equal(loaded.predict_proba(TABLE), expected)
