"""Special numbers in every dtype, by every instruction set and any number of threads."""

from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

import noisegate as ng
from _asserts import assert_same_bits
from _backends import DTYPES, numpy_of, pure_engines
from _native_cases import tensor_of
from _native_kinds import Either, Gate, Gated, Jitter
from _native_run import instruction_set, instruction_sets, needs_native, run
from _own_kinds import SignFlip

pytestmark = needs_native
KEY = ng.Stream(2**64 - 13).site("hid1:out", slot=3).at(2**32 - 1, call=7)
KINDS = [
    ng.Dropout(0.3),
    ng.Dropout(0.5),
    ng.Dropout(0.4, rescale=False),
    ng.Dropout(1.0),
    ng.AlphaDropout(0.3),
    ng.AlphaDropout(1.0),
    ng.GaussianNoise(0.1),
    ng.GaussianNoise(1e-38),
    ng.GaussianNoise(3e38),
    ng.GaussianDropout(0.3),
    ng.UniformNoise(0.7),
    ng.UniformNoise(1e-42),
    ng.ImpulseNoise(0.4, -1, 0.3),
    ng.ImpulseNoise(0.5, 1e-45, 1e300),
    ng.DropBlock(0.3, 2, axes=-1),
    ng.DropBlock(0.3, 2, axes=-1, normalize="sample"),
    Gated(0.25, 1e-30, 1e-40, -1e-44),
    Gated(0.25, 1e300, None, float("nan")),
    Gated(0.25, None, float("-inf"), float("inf")),
    Gated(0.25, float("nan"), 0.5, 0.0),
    Jitter(-1.5, 0.25),
    Jitter(0.25, None, shifts=True),
    Either(0.25, 1.5, None, -0.0),
    SignFlip(0.5),
    Gate(0.4),
    ng.Zoneout(0.3),
]
COMPLEX = {name: np.dtype(name) for name in ("complex64", "complex128")}
LINEAR = (ng.Dropout, ng.GaussianDropout, ng.DropBlock, ng.Zoneout, SignFlip)
SETS = instruction_sets()
BITS = {2: np.uint16, 4: np.uint32, 8: np.uint64}


def specials(dtype: np.dtype, count: int) -> np.ndarray:
    """Zeros, infinities, NaNs, the smallest and the largest numbers, and any bits at all."""
    info = ml_dtypes.finfo(dtype)
    some = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0]
    ends = [info.max, info.min, info.tiny, -info.tiny, info.smallest_subnormal, info.eps]
    numbers = np.array([*some, *map(float, ends), -float(info.smallest_subnormal)])
    with np.errstate(over="ignore"):
        made = numbers.astype(dtype)
    bits = np.random.default_rng(5).integers(0, 2 ** (8 * dtype.itemsize), count, np.uint64)
    result = bits.astype(BITS[dtype.itemsize]).view(dtype)
    result[::3] = np.resize(made, len(result[::3]))
    # Half of the subnormals of a dtype are few of its bit patterns.
    small = bits[1::5] % (1 << {2: 7, 4: 23, 8: 52}[dtype.itemsize])
    result[1::5] = small.astype(BITS[dtype.itemsize]).view(dtype)
    return result


def inputs(dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    count = int(np.prod(shape))
    if dtype.kind == "c":
        return specials(np.dtype(dtype.type(0).real.dtype), 2 * count).view(dtype).reshape(shape)
    return specials(dtype, count).reshape(shape)


def assert_pure(kind: Any, x: np.ndarray, **place: Any) -> None:
    """NumPy's and torch's bits, forward and linear, are those of their pure engines."""

    def everything() -> list[Any]:
        y, cache = ng.numpy.forward(kind, x, rng=KEY, **place)
        tensor = tensor_of(x).requires_grad_()
        z = kind(tensor, KEY, **place)
        (dz,) = torch.autograd.grad(z, tensor, tensor_of(x))
        return [y, ng.numpy.backward(x, cache), z, dz]

    ours = everything()
    with pure_engines():
        theirs = everything()
    for one, other in zip(ours, theirs, strict=True):
        assert_same_bits(one, other)
    if getattr(kind, "normalize", "") != "sample":  # see test_native_faults.py
        assert_same_bits(numpy_of(ours[2]), ours[0])


@pytest.fixture(params=SETS)
def chosen(request: pytest.FixtureRequest) -> Iterator[str]:
    with instruction_set(request.param):
        yield request.param


@pytest.mark.parametrize("kind", KINDS, ids=repr)
@pytest.mark.parametrize("dtype", [*DTYPES.values(), *COMPLEX.values()], ids=str)
def test_special_numbers(kind: Any, dtype: np.dtype, chosen: str) -> None:
    if dtype.kind == "c" and not isinstance(kind, LINEAR):
        return
    x = inputs(dtype, (7, 691))
    assert_pure(kind, x)
    assert_pure(kind, x[::-1, ::3])


@pytest.mark.parametrize("kind", KINDS[:15:2], ids=repr)
@pytest.mark.parametrize("shared", [(1,), (0, 2), (2,)], ids=str)
def test_instruction_sets_share_axes(kind: Any, shared: Any, chosen: str) -> None:
    if isinstance(kind, ng.DropBlock):
        return
    names = {name: getattr(kind, name) for name in kind.names()}
    kind = type(kind)(**{**names, "shared_axes": shared})
    for dtype in DTYPES.values():
        x = inputs(dtype, (5, 37, 129))
        assert_pure(kind, x)
        assert_pure(kind, x.transpose(2, 1, 0))


LARGE = {
    "long rows": ((3, 1 << 17), ()),
    "one row": (((1 << 18) + 5,), ()),
    "short rows": ((1 << 15, 10), ()),
    "channels": ((16, 64, 17, 17), (2, 3)),
    "channels last": ((16, 17, 17, 64), (1, 2)),
    "samples shared": ((64, 4099), (0,)),
    "one for all": ((512, 513), (0, 1)),
}
FEW = [ng.Dropout(0.1), ng.AlphaDropout(0.3), ng.GaussianNoise(0.1), ng.ImpulseNoise(0.3, 0, 1)]
FEW += [ng.GaussianDropout(0.3), ng.UniformNoise(1.0), Either(0.25, 1.5)]


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("where", LARGE)
@pytest.mark.parametrize("kind", FEW, ids=lambda kind: type(kind).__name__)
def test_any_number_of_threads(kind: Any, where: str) -> None:
    shape, shared = LARGE[where]
    kind = type(kind)(**{**{n: getattr(kind, n) for n in kind.names()}, "shared_axes": shared})
    x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    layouts = {"C": x, "steps": np.repeat(x, 2, axis=-1)[..., ::2]}
    if len(shape) > 1:
        layouts["F"] = np.asfortranarray(x)
    with pure_engines():
        expected = kind(x, KEY)
    for name in layouts:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            assert_same_bits(kind(layouts[name], KEY), expected)
            assert_same_bits(kind(tensor_of(layouts[name]), KEY), expected)


WITHOUT_TORCH = """
    import hashlib, sys
    import numpy as np, noisegate as ng
    from noisegate.engines import native
    key, digest = ng.Stream(1).site("a").at(3), hashlib.sha256()
    shapes = {(3, 1 << 17): (), (1 << 15, 10): (), (16, 64, 17, 17): (2, 3), (512, 513): (0, 1)}
    for shape, shared in shapes.items():
        x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
        for y in (x, x.T.copy().T, np.repeat(x, 2, axis=-1)[..., ::2]):
            for kind in (ng.Dropout(0.1, shared_axes=shared),
                         ng.GaussianNoise(1, shared_axes=shared),
                         ng.ImpulseNoise(0.3, 0, 1, shared_axes=shared)):
                digest.update(np.ascontiguousarray(kind(y, key)).tobytes())
    assert "torch" not in sys.modules
    lib = native.load_library()
    print(digest.hexdigest(), lib and lib.threads(), lib and lib.beside_torch())
"""


def test_any_number_of_threads_without_torch() -> None:
    import os

    pure = run(WITHOUT_TORCH, NOISEGATE_NATIVE="0").split()[0]
    for count in (1, 2, 5):
        said = run(WITHOUT_TORCH, NOISEGATE_THREADS=str(count)).split()
        assert said == [pure, str(count), "False"]
    said = run(WITHOUT_TORCH, NOISEGATE_THREADS="").split()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert said == [pure, str(cores), "False"]
