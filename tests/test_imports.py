"""`import noisegate` brings in no framework, and its names are the ones promised.

Every claim about imports is tested in a process of its own, since this one has torch already.
Each proof is proved by a process in which the claim is false.
"""

import ast

import pytest

import noisegate
from _hidden import hidden, run

# Typed by hand: a name that comes or goes is a change for users, to be told in CHANGES.md.
NAMES = {
    "AlphaDropout",
    "ConcreteDropout",
    "DropBlock",
    "Dropout",
    "Field",
    "GaussianDropout",
    "GaussianNoise",
    "ImpulseNoise",
    "Key",
    "Kind",
    "Stream",
    "UniformNoise",
    "drop_path",
    "dropout_channels",
    "dropout_locations",
    "errors",
    "from_config",
    "handles",
    "inject",
    "locked_dropout",
    "mask",
    "nets",
    "noise",
    "numpy",
    "pictures",
    "predict",
    "schedule",
    "spatial_dropout",
    "study",
    "torch",
}
LAZY = {"nets", "numpy", "study", "torch"}
HEAVY = ["jax", "keras", "matplotlib", "rich", "scipy", "sklearn", "tensorflow", "torch"]

TOUCH = f"""
import sys
import numpy as np
import noisegate as ng
for name in sorted(set(ng.__all__) - {LAZY!r}):
    getattr(ng, name)
key = ng.Stream(13).site("hid1:out").at(0)
ng.mask(ng.Dropout(0.5), (4, 3), key)
ng.Dropout(0.5)(np.ones((4, 3), np.float32), key)
ng.numpy.dropout_forward(np.ones((4, 3)), 0.5, rng=1)
print([name for name in {HEAVY!r} if name in sys.modules])
"""

ASK = """
import noisegate as ng
try:
    ng.{name}
except ng.MissingExtra as error:
    print(error)
else:
    print("{name} is there")
"""


def test_import_and_use_with_numpy_bring_in_no_framework():
    assert run(TOUCH) == "[]"


@pytest.mark.parametrize("name", ["torch", "rich"])
def test_the_proof_catches_a_framework(name):
    assert name in ast.literal_eval(run(f"import {name}\n{TOUCH}"))


def test_numpy_is_all_it_needs():
    assert run(hidden(*HEAVY) + TOUCH) == "[]"


def test_hidden_packages_are_hidden():
    caught = "\ntry:\n    import torch\nexcept ModuleNotFoundError as error:\n    print(error)"
    assert run(hidden("torch") + caught) == "No module named 'torch'"


def test_names_are_the_ones_promised():
    assert len(NAMES) <= 30
    assert set(noisegate.__all__) == NAMES
    assert list(noisegate.__all__) == sorted(noisegate.__all__)
    assert set(dir(noisegate)) >= NAMES
    for name in NAMES:
        assert getattr(noisegate, name) is not None


@pytest.mark.parametrize("room", ["estimators", "numpy", "torch"])
def test_a_room_offers_its_names_and_nothing_internal(room):
    module = getattr(noisegate, room)
    assert dir(module) == sorted(module.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'noisegate' has no attribute 'dropuot'"):
        noisegate.dropuot  # noqa: B018 - the access is what raises


def test_a_name_that_the_study_lacks_is_an_attribute_error():
    from noisegate import study

    with pytest.raises(AttributeError) as caught:
        study.rum  # noqa: B018
    assert str(caught.value) == "module 'noisegate.study' has no attribute 'rum'"


def test_a_face_comes_when_it_is_asked_for():
    code = (
        "import sys\nimport noisegate as ng\nbefore = 'torch' in sys.modules\n"
        "print(before, ng.torch.Dropout.__name__, 'torch' in sys.modules)"
    )
    assert run(code) == "False Dropout True"


@pytest.mark.parametrize("missing", ["torch", "sklearn", "matplotlib", "optuna"])
def test_help_works_where_an_extra_is_missing(missing):
    """And what cannot be loaded is not offered."""
    code = (
        "\nimport inspect, pydoc, noisegate"
        "\nprint('inject(' in pydoc.render_doc(noisegate))"
        "\nprint(len(inspect.getmembers(noisegate)) > 30)"
        "\nprint([name for name in ('estimators', 'nets', 'study', 'torch', 'tune') "
        "if name not in dir(noisegate)])"
    )
    gone = {
        "torch": ["estimators", "nets", "study", "torch"],
        "sklearn": ["estimators", "study"],
        "matplotlib": ["study"],
        "optuna": ["tune"],
    }
    assert run(hidden(missing) + code).splitlines() == ["True", "True", str(gone[missing])]


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("nets", "torch"),
        ("estimators", "torch"),
        ("torch", "torch"),
        ("study", "torch"),
        ("study", "matplotlib"),
        ("tune", "optuna"),
    ],
)
def test_without_an_extra_there_is_one_sentence_with_the_remedy(name, missing):
    ask = ASK.format(name=name)
    extra = "torch" if name == "nets" else name
    assert run(hidden(missing) + ask) == (
        f'noisegate.{name} needs {missing}. Install it with: pip install "noisegate[{extra}]"'
    )
    assert run(ask) == f"{name} is there"
