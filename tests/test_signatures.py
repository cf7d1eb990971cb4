"""`help()`, an editor and `inspect.signature` show what every public class and function takes."""

import inspect
import pydoc
from collections.abc import Callable
from inspect import Parameter
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

import noisegate as ng
from noisegate import nets

ROOMS = (ng, ng.numpy, ng.torch, nets, nets.regularizers)
# What takes any number of parts, or the rate of a kind by its name; and bases that are not made.
OPEN = {"join", "parallel", "Sequential", "forward", "mask", "noise"}
BASES = {"Kind", "Composed", "PreActivation"}


def public(room: Any) -> list[tuple[str, Any]]:
    names = dir(room) if room is nets else room.__all__
    found = [(name, getattr(room, name)) for name in names]
    return [(f"{room.__name__}.{name}", value) for name, value in found if callable(value)]


EVERY = [pair for room in ROOMS for pair in public(room)]


@pytest.mark.parametrize(("name", "value"), EVERY, ids=[name for name, _ in EVERY])
def test_every_argument_is_shown(name: str, value: Any) -> None:
    parameters = inspect.signature(value).parameters.values()
    stars = [p for p in parameters if p.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)]
    last = name.rpartition(".")[2]
    assert len(stars) == (1 if last in OPEN else 2 if last in BASES else 0), stars
    assert not [p.name for p in parameters if p.annotation is Parameter.empty]
    assert value.__doc__


def test_all_rooms_are_walked() -> None:
    assert len(EVERY) > 150
    assert {"noisegate.nets.LSTM", "noisegate.torch.dropout", "noisegate.Dropout"} <= {
        name for name, _ in EVERY
    }


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (nets.Dense, "Dense(out_features: int, activation: "),
        (nets.Relu, "Relu(out_features: int | None = None, *, bias: bool = True, "),
        (nets.LSTM, "LSTM(hidden_size: int, *, return_sequences: bool = False, "),
        (nets.Convolution2d, "Convolution2d(out_channels: int, kernel_size: "),
        (nets.GaussianNoise, "GaussianNoise(incoming: "),
        (ng.torch.Dropout, "Dropout(p: float | "),
        (ng.torch.alpha_dropout, "alpha_dropout(x: "),
        (ng.drop_path, "drop_path(p: float | "),
    ],
)
def test_help_begins_with_the_arguments(shown: Any, text: str) -> None:
    assert text in pydoc.plain(pydoc.render_doc(shown))


@pytest.mark.parametrize(
    "base", [nets.Dense, nets.Dropout, ng.torch.Dropout, nets.LSTM, nets.Reshape]
)
def test_a_class_of_the_user_s_shows_its_own_arguments(base: Any) -> None:
    class Same(base):
        pass

    class Own(base):
        def __init__(self, width: int = 3) -> None:
            super().__init__(width)

    assert inspect.signature(Same) == inspect.signature(base)
    assert list(inspect.signature(Own).parameters) == ["width"]


def test_an_instance_shows_how_it_is_called() -> None:
    for layer in (ng.torch.Dropout(0.5), nets.Dropout(0.5), nets.Dense(3)):
        assert "p" not in inspect.signature(layer).parameters
        assert "out_features" not in inspect.signature(layer).parameters


# Torch's twins -----------------------------------------------------------------------------------

TWINS = sorted(set(ng.torch.__all__) & set(dir(functional)))


@pytest.mark.parametrize("name", TWINS)
def test_a_function_has_the_arguments_and_defaults_of_torch_s(name: str) -> None:
    theirs = list(inspect.signature(getattr(functional, name)).parameters.values())
    ours = list(inspect.signature(getattr(ng.torch, name)).parameters.values())
    assert (theirs[0].name, ours[0].name) == ("input", "x")
    assert [(p.name, p.default) for p in ours[1 : len(theirs)]] == [
        (p.name, p.default) for p in theirs[1:]
    ]
    x = torch.ones(50, 40, *(2,) * int(name[-2]) if name[-1] == "d" else (3,))
    twin: Callable[..., Any] = getattr(functional, name)
    assert (getattr(ng.torch, name)(x) is x) == torch.equal(twin(x), x)


def test_the_twins_are_these() -> None:
    assert TWINS == [
        "alpha_dropout",
        "dropout",
        "dropout1d",
        "dropout2d",
        "dropout3d",
        "feature_alpha_dropout",
    ]


@pytest.mark.parametrize("name", sorted(set(ng.torch.__all__) & set(dir(nn))))
def test_a_layer_has_the_arguments_and_defaults_of_torch_s(name: str) -> None:
    theirs = list(inspect.signature(getattr(nn, name)).parameters.values())
    ours = list(inspect.signature(getattr(ng.torch, name)).parameters.values())
    assert [(p.name, p.default) for p in ours[: len(theirs)]] == [
        (p.name, p.default) for p in theirs
    ]


# Attributes --------------------------------------------------------------------------------------

LAYERS = [
    ng.torch.Dropout(0.3),
    ng.torch.Dropout(0.3, seed=1, site="a"),
    ng.torch.ConcreteDropout(0.3),
    ng.torch.layer(ng.GaussianNoise(0.3)),
    nets.Dropout(0.3),
    nets.GaussianNoise(torch.tensor(0.3)),
]


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_attributes_can_be_looked_at(layer: Any) -> None:
    assert hasattr(layer, "step") == (layer.seed is not None)
    assert getattr(layer, "step", None) == (None if layer.seed is None else 0)
    assert not hasattr(layer, "stepp")
    assert dict(inspect.getmembers(layer))["seed"] == layer.seed
