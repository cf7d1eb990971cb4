"""The memory that noise writes, stores and allocates."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import noisegate as ng
from _asserts import assert_same_bits
from _backends import pure_engines
from _native_kinds import Either, Gated, Jitter
from _native_run import needs_native, run

KEY = ng.Stream(13).site("hid1:out").at(5)
KINDS: list[Any] = [
    ng.Dropout(0.3),
    ng.Dropout(0.5, rescale=False),
    ng.AlphaDropout(0.3),
    ng.GaussianNoise(0.1),
    ng.GaussianDropout(0.3),
    ng.UniformNoise(0.7),
    ng.ImpulseNoise(0.4, -1, 0.3),
    Gated(0.25),
    Jitter(0.3),
]
DRAWN = [ng.DropBlock(0.3, 2, axes=-1), ng.ConcreteDropout(0.3), Either(0.25)]
each_kind = pytest.mark.parametrize("kind", [*KINDS, *DRAWN], ids=repr)


@each_kind
@pytest.mark.parametrize("shape", [(5, 6), (64, 4097)], ids=str)
def test_the_input_is_never_written(kind: Any, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    before = x.tobytes()
    x.setflags(write=False)
    y, cache = ng.numpy.forward(kind, x, rng=KEY)
    ng.numpy.backward(x, cache)
    assert x.tobytes() == before
    assert not np.shares_memory(x, y)
    tensor = torch.from_numpy(x.copy()).requires_grad_()
    up = torch.from_numpy(x.copy())
    kind(tensor, KEY).backward(up)
    assert tensor._version == up._version == 0
    assert tensor.detach().numpy().tobytes() == up.numpy().tobytes() == before


LAYERS = [
    (ng.torch.Dropout, nn.Dropout, (4, 70)),
    (ng.torch.AlphaDropout, nn.AlphaDropout, (4, 70)),
    (ng.torch.Dropout1d, nn.Dropout1d, (4, 7, 70)),
    (ng.torch.Dropout2d, nn.Dropout2d, (4, 7, 5, 6)),
    (ng.torch.Dropout3d, nn.Dropout3d, (4, 7, 5, 6, 3)),
    (ng.torch.FeatureAlphaDropout, nn.FeatureAlphaDropout, (4, 7, 5)),
    (ng.torch.Dropout, nn.Dropout, (64, 1 << 13)),
]


@pytest.mark.parametrize(("ours", "torchs", "shape"), LAYERS)
@pytest.mark.parametrize("step", [1, 2])
def test_in_place_where_asked(ours: Any, torchs: Any, shape: tuple[int, ...], step: int) -> None:
    x = torch.randn(*shape[:-1], shape[-1] * step)
    name = {"AlphaDropout": "alpha_dropout", "FeatureAlphaDropout": "feature_alpha_dropout"}
    function = getattr(ng.torch, name.get(torchs.__name__, torchs.__name__.lower()))
    with pure_engines():
        expected = function(x[..., ::step], 0.3, training=True, key=KEY)
    part = x[..., ::step]
    version, address = part._version, part.data_ptr()
    y = function(part, 0.3, training=True, inplace=True, key=KEY)
    assert y is part
    assert (part._version, part.data_ptr()) == (version + 1, address)
    assert_same_bits(part, expected)
    layer = ours(0.3, inplace=True)
    z = torch.ones(shape)
    assert layer(z) is z
    assert z._version == 1


def test_in_place_has_the_right_gradient_and_is_seen_by_autograd() -> None:
    x = torch.ones(8, 100, requires_grad=True)
    h = x * 2
    y = ng.torch.dropout(h, 0.5, inplace=True, key=KEY)
    y.sum().backward()
    assert_same_bits(x.grad, 2 * ng.Dropout(0.5)(torch.ones(8, 100), KEY))
    h = (x * 2).exp()
    ng.torch.dropout(h, 0.5, inplace=True, key=KEY)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        h.sum().backward()


SHAPES = {
    "all its own": ((256, 4096), ()),
    "channels": ((64, 64, 16, 16), (2, 3)),
    "samples": ((256, 4096), (0,)),
    "rows of ten": ((100_000, 10), ()),
    "one for all": ((256, 4096), (0, 1)),
}
each_shape = pytest.mark.parametrize("where", SHAPES)


def sharing(kind: Any, where: str) -> tuple[Any, tuple[int, ...]]:
    shape, shared = SHAPES[where]
    values = {name: getattr(kind, name) for name in kind.names()}
    return type(kind)(**{**values, "shared_axes": shared}), shape


@needs_native
@each_shape
@pytest.mark.parametrize("kind", KINDS, ids=repr)
def test_numpy_takes_memory_for_the_output_alone(kind: Any, where: str) -> None:
    kind, shape = sharing(kind, where)
    x = np.ones(shape, np.float32)
    ng.numpy.backward(x, ng.numpy.forward(kind, x, rng=KEY)[1])
    tracemalloc.start()
    try:
        y, cache = ng.numpy.forward(kind, x, rng=KEY)
        _, peak = tracemalloc.get_traced_memory()
        assert y.nbytes <= peak <= y.nbytes + 65536
        held, _ = tracemalloc.get_traced_memory()
        assert held <= y.nbytes + 65536
        del y
        tracemalloc.reset_peak()
        dx = ng.numpy.backward(x, cache)
        assert tracemalloc.get_traced_memory()[1] <= dx.nbytes + 65536
    finally:
        tracemalloc.stop()


@each_shape
@pytest.mark.parametrize("kind", KINDS, ids=repr)
def test_torch_keeps_no_tensor_for_backward(kind: Any, where: str) -> None:
    kind, shape = sharing(kind, where)
    x, kept = torch.ones(shape, requires_grad=True), []
    with torch.autograd.graph.saved_tensors_hooks(kept.append, lambda tensor: tensor):
        y = kind(x, KEY)
        ng.torch.layer(kind).train()(x)
    assert kept == []
    y.backward(torch.ones(shape))


PEAK = """
    import resource, torch, noisegate as ng
    torch.set_num_threads(1)
    key, kind = ng.Stream(1).site("a").at(3), {kind}
    small = torch.ones({small}, requires_grad=True)
    kind(small, key).sum().backward()
    x = torch.ones({shape}, requires_grad=True)
    up = torch.ones({shape})
    peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    before = peak()
    y = kind(x, key)
    between = peak()
    (dx,) = torch.autograd.grad(y, x, up)
    print(between - before, peak() - between, x.nbytes // 1024)
"""
PEAKS = {
    "plain": ("ng.Dropout(0.3)", "4, 16", "64, 1 << 18"),
    "channels": ("ng.Dropout(0.3, shared_axes=(2, 3))", "2, 2, 4, 4", "64, 64, 64, 64"),
    "noise": ("ng.GaussianNoise(0.3)", "4, 16", "64, 1 << 18"),
    "alpha": ("ng.AlphaDropout(0.3, shared_axes=(0,))", "4, 16", "64, 1 << 18"),
}


@needs_native
@pytest.mark.parametrize("where", PEAKS)
def test_torch_takes_memory_for_the_output_alone(where: str) -> None:
    kind, small, shape = PEAKS[where]
    said = run(PEAK.format(kind=kind, small=small, shape=shape))
    forward, backward, size = map(int, said.split())
    # Huge pages, and what Python takes for itself.
    assert forward <= size + 6000
    assert backward <= size + 6000
