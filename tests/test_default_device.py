"""Noise where torch makes new tensors elsewhere: another default device, another default dtype.

The device is "meta", whose tensors have no numbers, so that a number read from one is an error.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import jvp, vmap

import noisegate as ng
from _asserts import assert_same_bits
from _functional import Functional
from _programs import KINDS, RULES, Net

X = torch.randn(4, 6)
SITE = ng.Stream(13).site("a")
KEY = SITE.at(3)
MANY = torch.randn(4, 3, 6)
ROWS = torch.arange(10, 14)
STEPS = torch.arange(3)
RATE = torch.tensor(0.3, dtype=torch.float64)
SAMPLES: Any = {"randomness": "different"}
PACKED = nn.utils.rnn.pack_padded_sequence(torch.randn(3, 4, 6), [4, 3, 1], batch_first=True)


@contextmanager
def default_device() -> Iterator[None]:
    torch.set_default_device("meta")
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextmanager
def default_dtype() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def fresh(function: Callable[[], Any]) -> Any:
    torch.manual_seed(5)
    return function()


def call_kinds() -> Iterator[Tensor]:
    for kind in KINDS:
        yield kind(X, KEY)
        yield kind(X, KEY, rows=ROWS)
        yield kind(X, KEY, rows=[2, 3, 4, 9])
        yield kind(X.double(), KEY)
        yield kind(X.bfloat16(), KEY)
        if kind.takes_live:
            yield kind(X, KEY, **{kind.RATE: RATE})
        leaf = X.clone().requires_grad_()
        yield torch.autograd.grad(kind(leaf, KEY).square().sum(), leaf)[0]
    yield ng.ImpulseNoise(0.3, 0, 1)(torch.ones(4, 6, dtype=torch.bool, device="cpu"), KEY)


def call_without_keys() -> Iterator[Tensor]:
    for kind in KINDS:
        with torch.device("cpu"):  # that of a parameter
            layers = ng.torch.layer(kind).float(), ng.torch.layer(kind, seed=2, site="b").float()
        yield fresh(lambda layer=layers[0]: layer(X))
        layer = layers[1]
        yield from (layer(X) for _ in range(40))
    yield fresh(lambda: ng.torch.dropout(X, 0.5, True))
    yield ng.torch.gaussian_noise(X, 0.5, True, key=KEY)


def call_in_maps() -> Iterator[Tensor]:
    rows = torch.arange(12, device="cpu").view(4, 3)
    for kind in KINDS:
        yield vmap(lambda x, kind=kind: kind(x, KEY), **SAMPLES)(MANY)
        yield vmap(lambda x, kind=kind: kind(x, KEY), chunk_size=3, **SAMPLES)(MANY)
        yield vmap(lambda step, kind=kind: kind(X, SITE.at(step)))(STEPS)
        yield vmap(lambda x, row, kind=kind: kind(x, KEY, rows=row))(MANY, rows)
        yield jvp(lambda x, kind=kind: kind(x, KEY), (X,), (X,))[1]
    falling = ng.GaussianNoise(ng.schedule.linear(0.1, 0.3, 9))
    yield vmap(lambda step: falling(X, SITE.at(step)))(STEPS)


def call_nested() -> Iterator[Tensor]:
    parts = [torch.ones(n, 4, device="cpu") for n in (3, 5, 1)]
    ragged = torch.nested.nested_tensor(parts, layout=torch.jagged, device="cpu")
    yield from ng.Dropout(0.5)(ragged, KEY).unbind()


def make_model() -> Net:
    with torch.device("cpu"):
        return Net().float()


def run_models() -> Iterator[Tensor]:
    model = make_model()
    noise = ng.inject(model, RULES, existing=True, seed=1)
    yield from fresh(lambda: [model(X) for _ in range(3)])
    noise.set_rate("0:out", 0.2)
    noise.rows = range(10, 14)
    yield from fresh(lambda: [model(X) for _ in range(3)])
    noise.rows = None
    with noise.at(7):
        yield from fresh(lambda: [model(X) for _ in range(2)])
    yield torch.from_numpy(noise.mask("0:out"))
    each = vmap(lambda x: model(x[None])[0], **SAMPLES)
    with noise.at(7):
        yield from fresh(lambda: [each(X) for _ in range(2)])
    unseeded = make_model()
    ng.inject(unseeded, {"0:out": 0.5})
    yield fresh(lambda: unseeded(X))


def run_functions() -> Iterator[Tensor]:
    for fast in (True, False):
        with torch.device("cpu"):
            torch.manual_seed(0)
            model = Functional(fast=fast).float()
        ng.inject(model, existing=True, example=torch.ones(5, 8, device="cpu"), seed=1)
        yield model(torch.ones(5, 8, device="cpu"))
    with torch.device("cpu"):
        torch.manual_seed(0)
        lstm = nn.Sequential(nn.LSTM(6, 4, num_layers=2, dropout=0.5)).float()
    ng.inject(lstm, {"0:out": 0.5}, existing=True, seed=1)
    yield lstm(PACKED)[0].data


def predict() -> Iterator[Tensor]:
    for x in (X, X.numpy(), X.double().numpy()):
        for mode in ({"seed": 13}, {}):
            words: Any = {"samples": 5, "rules": {"1:out": 0.5}, "batch_size": 3, **mode}
            model = nn.Sequential(nn.ReLU(), nn.Dropout(0.5)).eval()
            torch.manual_seed(5)
            yield torch.from_numpy(np.asarray(ng.predict(model, x, **words).mean))


PROGRAMS = [
    call_kinds,
    call_without_keys,
    call_in_maps,
    call_nested,
    run_models,
    run_functions,
    predict,
]
CONTEXTS = {"device": lambda: torch.device("meta"), "default device": default_device}


def check(program: Callable[[], Iterator[Tensor]], context: AbstractContextManager[Any]) -> None:
    expected = list(program())
    with context:
        values = list(program())
    for value, one in zip(values, expected, strict=True):
        assert_same_bits(value.detach(), one.detach())
    for value, one in zip(program(), expected, strict=True):  # nothing is left behind
        assert_same_bits(value.detach(), one.detach())


@pytest.mark.parametrize("name", CONTEXTS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_default_device_moves_no_noise(
    program: Callable[[], Iterator[Tensor]], name: str
) -> None:
    # In a thread of its own, which has drawn no seed yet.
    failures = list[BaseException]()

    def run() -> None:
        try:
            with CONTEXTS[name]():
                list(program())
            check(program, CONTEXTS[name]())
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


@pytest.mark.parametrize("program", [call_kinds, call_without_keys, call_in_maps, predict])
def test_a_default_dtype_changes_no_noise(program: Callable[[], Iterator[Tensor]]) -> None:
    check(program, default_dtype())


@pytest.mark.parametrize("device", [False, True])
def test_a_default_device_moves_nothing_in_compiled_code(device: bool) -> None:
    dropout, gaussian = ng.Dropout(0.5), ng.GaussianNoise(0.5)
    layer, fresh_one = ng.torch.Dropout(0.3, seed=2, site="b"), ng.torch.Dropout(0.5)
    model = make_model()
    noise = ng.inject(model, RULES, existing=True, seed=1)

    def forward(x: Tensor, rows: Tensor) -> list[Tensor]:
        y = dropout(x, KEY), gaussian(x, KEY, rows=rows)
        z = vmap(lambda x: dropout(x, KEY), **SAMPLES)(x)
        return [*y, z, layer(x), fresh_one(x), model(x)]

    forward(X, ROWS)  # loads what a compiler cannot
    compiled = torch.compile(forward, backend="eager", fullgraph=True)
    compiled(X, ROWS)
    noise.step = layer.step = 0
    torch.manual_seed(5)
    expected = forward(X, ROWS)
    noise.step = layer.step = 0
    torch.manual_seed(5)
    context = torch.device("meta") if device else default_dtype()
    with context:
        values = compiled(X, ROWS)
    for i in (0, 1, 2, 3):
        assert_same_bits(values[i], expected[i])
    assert set(values[4].unique().tolist()) <= set((X * 2).unique().tolist()) | {0.0}
    assert values[5].shape == expected[5].shape
