"""Models: the built-in ones for any input, and those of a user's own function."""

import os
import pickle
import subprocess
import sys
from hashlib import blake2b
from pathlib import Path

import pytest
import torch
from torch import nn

import noisegate as ng
from noisegate.study.models import BUILT_IN, Model, check_trainable

OWN = """\
import functools
import torch
from torch import nn

table = torch.randn(3)  # drawn at import

def make(input_shape, n_outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(8, 5), nn.BatchNorm1d(5), nn.Linear(5, n_outputs))

class Factory:
    @staticmethod
    def make(input_shape, n_outputs):
        return make(input_shape, n_outputs)

wide = functools.partial(make)
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Return how to write a module into the current folder; it is forgotten again."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    names = []

    def write(name, text=OWN):
        names.append(name)
        (tmp_path / f"{name}.py").write_text(text, "utf-8")

    yield write
    for name in names:
        sys.modules.pop(name, None)


def seeded(model, shape, outputs):
    torch.manual_seed(7)
    return model.make(shape, outputs)


@pytest.mark.parametrize(
    ("name", "shape", "layers"),
    [
        ("mlp", (30,), {"hid1": (256, 30), "hid2": (256, 256), "out": (4, 256)}),
        ("mlp", (2, 3, 5), {"hid1": (256, 30), "hid2": (256, 256), "out": (4, 256)}),
        (
            "cnn",
            (3, 9, 4),
            {
                "conv1": (16, 3, 3, 3),
                "conv2": (32, 16, 3, 3),
                "hid1": (64, 32 * 2 * 1),
                "out": (4, 64),
            },
        ),
        (
            "cnn",
            (12, 8),
            {
                "conv1": (16, 1, 3, 3),
                "conv2": (32, 16, 3, 3),
                "hid1": (64, 32 * 3 * 2),
                "out": (4, 64),
            },
        ),
    ],
)
def test_the_built_in_models_take_any_input(name, shape, layers):
    made = Model(name).make(shape, 4)
    assert {path: tuple(layer.weight.shape) for path, layer in made.named_children()} == layers
    assert made(torch.randn(7, *shape)).shape == (7, 4)
    assert Model(name).source_digest == ""


def test_an_image_without_a_channel_is_one_channel():
    images = torch.randn(3, 8, 6)
    flat, whole = (seeded(Model("cnn"), shape, 2) for shape in ((8, 6), (1, 8, 6)))
    assert torch.equal(flat(images), whole(images.unsqueeze(1)))


@pytest.mark.parametrize("function", ["make", "Factory.make", "wide"])
def test_a_function_of_the_current_folder(function, module, tmp_path):
    module("study_own_net")
    model = Model(f"study_own_net:{function}")
    made = model.make((8,), 3)
    assert [type(layer) for layer in made] == [nn.Flatten, nn.Linear, nn.BatchNorm1d, nn.Linear]
    digest = blake2b((tmp_path / "study_own_net.py").read_bytes(), digest_size=8).hexdigest()
    assert model.source_digest == digest
    assert sys.path.count(str(tmp_path)) == 1
    assert sys.path[0] == str(tmp_path)


def test_a_class_of_an_installed_package():
    model = Model("torch.nn:Linear")
    with pytest.raises(ng.InvalidValue, match=r"called with \(8,\), 3, raised TypeError"):
        model.make((8,), 3)
    assert type(Model("torch.nn:Identity").make((8,), 3)) is nn.Identity


def test_what_a_module_draws_at_import_moves_no_weights(module):
    module("study_drawing_net")
    model = Model("study_drawing_net:make")
    first, second = (seeded(model, (8,), 3) for _ in range(2))
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])


def test_another_process_makes_the_same_model(module):
    module("study_sent_net")
    model = Model("study_sent_net:make")
    code = (
        "import pickle, sys, torch\n"
        f"model = pickle.loads({pickle.dumps(model)!r})\n"
        "torch.manual_seed(7)\n"
        "print(model.make((8,), 3)[1].weight.double().sum().item())"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    home = {**os.environ, "PYTHONPATH": str(Path(ng.__file__).parents[1])}
    ran = subprocess.run(command, capture_output=True, text=True, check=True, env=home)
    assert float(ran.stdout) == seeded(model, (8,), 3)[1].weight.double().sum().item()


@pytest.mark.parametrize("rows", [1, 2, 9])
@pytest.mark.parametrize("name", [*BUILT_IN, "study_checked_net:make"])
def test_a_check_leaves_torchs_generator(name, rows, module):
    module("study_checked_net")
    shape = (2, 4) if name.startswith("study") else (1, 8, 8)
    state = torch.get_rng_state()
    check_trainable(Model(name), torch.randn(rows, *shape, generator=torch.Generator()), 3)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_check_passes_one_output_and_modules_that_draw(module):
    module(
        "study_odd_net",
        "from torch import nn\n"
        "def make(shape, n):\n"
        "    return nn.Sequential(nn.Linear(*shape, 6), nn.Dropout(0.5), nn.Linear(6, n))\n",
    )
    check_trainable(Model("study_odd_net:make"), torch.randn(4, 5), 1)


def test_the_cause_is_kept_for_whoever_mends_it(module):
    module("study_wrong_net", "def make(shape, n):\n    return {}['key']\n")
    with pytest.raises(
        ng.InvalidValue, match=r"raised KeyError: 'key' \(study_wrong_net.py:2\)"
    ) as e:
        Model("study_wrong_net:make").make((8,), 3)
    assert isinstance(e.value.__cause__, KeyError)


def test_an_interrupt_goes_through(module):
    module("study_slow_net", "def make(shape, n):\n    raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        Model("study_slow_net:make").make((8,), 3)


def test_an_error_of_many_lines_is_one(module):
    module("study_long_net", "def make(shape, n):\n    raise ValueError('a\\n b' * 200)\n")
    with pytest.raises(ng.InvalidValue) as caught:
        Model("study_long_net:make").make((8,), 3)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert "… (study_long_net.py:2)." in sentence
    assert len(sentence) < 320
