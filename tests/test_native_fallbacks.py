"""Arrays that the pure engines handle: transformed, traced, wrapped, odd in memory."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

import noisegate as ng
from _asserts import assert_same_bits
from _backends import pure_engines
from _native_kinds import Either
from _native_run import run
from noisegate.core.apply import apply
from noisegate.core.prepared import Prepared
from noisegate.core.window import Window
from noisegate.engines.numpy import NumpyEngine
from noisegate.engines.torch import TorchEngine

KEY = ng.Stream(13).site("hid1:out").at(5)
KINDS: list[Any] = [
    ng.Dropout(0.3),
    ng.Dropout(0.5, rescale=False),
    ng.AlphaDropout(0.3),
    ng.GaussianNoise(0.1),
    ng.GaussianDropout(0.3),
    ng.ImpulseNoise(0.4, -1, 0.3),
    ng.DropBlock(0.3, 2, axes=-1),
    Either(0.25),
]
LINEAR = [ng.Dropout(0.3), ng.Dropout(0.5, rescale=False), ng.GaussianDropout(0.3), Either(0.25)]
each_kind = pytest.mark.parametrize("kind", KINDS, ids=repr)
X = torch.from_numpy(np.random.default_rng(1).normal(size=(6, 70)).astype(np.float32))


def both(function: Any) -> Any:
    """What a function gives, once it gives the same without the native engine."""
    with pure_engines():
        expected = function()
    found = function()
    flat = [found] if isinstance(found, torch.Tensor | np.ndarray) else list(found)
    truth = [expected] if isinstance(expected, torch.Tensor | np.ndarray) else list(expected)
    for one, other in zip(flat, truth, strict=True):
        assert_same_bits(one, other)
    return found


@each_kind
def test_transformations(kind: Any) -> None:
    def noise(x: torch.Tensor) -> torch.Tensor:
        return kind(x, KEY)

    plain = noise(X)
    stacked = torch.stack([X, 2 * X])
    many = both(lambda: torch.func.vmap(noise, randomness="same")(stacked))
    assert_same_bits(many[0], plain)
    gradient = both(lambda: torch.func.grad(lambda x: noise(x).sum())(X))
    assert_same_bits(gradient, ng.numpy.backward(np.ones_like(X), cache_of(kind)))
    value, tangent = both(lambda: torch.func.jvp(noise, (X,), (torch.ones_like(X),)))
    assert_same_bits(value, plain)
    assert_same_bits(tangent, gradient)
    gradients = torch.func.vmap(torch.func.grad(lambda x: noise(x).sum()), randomness="same")
    each = both(lambda: gradients(stacked))
    assert_same_bits(each[1], gradient)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(X, torch.ones_like(X))
        unpacked = torch.autograd.forward_ad.unpack_dual(noise(dual))
    assert_same_bits(unpacked.tangent, gradient)


def cache_of(kind: Any) -> Any:
    return ng.numpy.forward(kind, X.numpy(), rng=KEY)[1]


@each_kind
def test_gradients_of_gradients(kind: Any) -> None:
    x = X.clone().requires_grad_()

    def twice() -> Any:
        (dx,) = torch.autograd.grad(kind(x, KEY).pow(2).sum(), x, create_graph=True)
        return [dx.detach(), torch.autograd.grad(dx.sum(), x)[0]]

    both(twice)


IN_A_MODE = """
    import torch, noisegate as ng
    from torch._subclasses.fake_tensor import FakeTensorMode
    key, x = ng.Stream(1).site("a").at(3), torch.ones(64, 1024)
    for kind in (ng.Dropout(0.5), ng.GaussianNoise(0.5), ng.DropBlock(0.5, 2, -1)):
        for convert in (lambda mode, x: x, lambda mode, x: mode.from_tensor(x)):
            try:
                with FakeTensorMode(allow_non_fake_inputs=True) as mode:
                    y = kind(convert(mode, x), key)
                print(type(y).__name__, tuple(y.shape), y.dtype)
            except Exception as error:
                print(type(error).__name__, error)
"""


def test_a_mode_in_which_everything_is_fake() -> None:
    """In a process of its own: what is fake has no memory that could be written."""
    found = run(IN_A_MODE)
    assert found.count("\n") == 6
    assert found == run(IN_A_MODE, NOISEGATE_NATIVE="0")


@each_kind
def test_meta_tensors(kind: Any) -> None:
    def attempt() -> str:
        try:
            return str(kind(X.to("meta"), KEY))
        except Exception as error:
            return f"{type(error).__name__}: {error}"

    found = attempt()
    with pure_engines():
        assert found == attempt()


EXACT = [ng.Dropout(0.5), ng.AlphaDropout(0.25), ng.ImpulseNoise(0.5, 0, 1)]


@pytest.mark.parametrize("kind", EXACT, ids=repr)
def test_what_is_traced_computes_its_noise(kind: Any) -> None:
    """With thresholds that have no ties, which a trace would look at."""
    traced = both(lambda: make_fx(lambda x: kind(x, KEY))(X)(2 * X))
    assert_same_bits(traced, kind(2 * X, KEY))


@pytest.mark.parametrize("kind", EXACT, ids=repr)
def test_what_torch_cannot_trace_is_an_error(kind: Any) -> None:
    """And no trace of memory that nobody has written."""

    def attempt() -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                torch.jit.trace(lambda x: kind(x, KEY), (X,), check_trace=False)
            except ng.NoisegateError as error:
                return str(error)
        return "traced"

    found = attempt()
    with pure_engines():
        assert found == attempt()


class Wrapped(torch.Tensor):
    """A subclass that counts what is asked of it."""

    asked = 0

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        cls.asked += 1
        return super().__torch_function__(func, types, args, kwargs or {})


@each_kind
def test_subclasses_are_asked(kind: Any) -> None:
    before = Wrapped.asked
    y = kind(X.as_subclass(Wrapped), KEY)
    assert type(y) is Wrapped
    assert Wrapped.asked > before
    assert_same_bits(y.as_subclass(torch.Tensor), kind(X, KEY))
    parameter = torch.nn.Parameter(X.clone())
    assert_same_bits(kind(parameter, KEY), kind(X, KEY))


@pytest.mark.parametrize("kind", LINEAR, ids=repr)
def test_conjugate_and_negative_views(kind: Any) -> None:
    z = torch.complex(X, X.flip(0))
    for view in (z.conj(), z.conj().imag, torch._neg_view(X), z.real, z.imag, z.conj().T):
        y = both(lambda view=view: kind(view, KEY))
        assert_same_bits(y, kind(view.resolve_conj().resolve_neg().clone(), KEY))
        assert not y.is_neg()
    leaf = z.conj().requires_grad_()
    both(lambda: torch.autograd.grad(kind(leaf, KEY), leaf, z.conj()))


ODD: dict[str, Any] = {
    "big-endian": lambda x: x.astype(">f4"),
    "big-endian doubles": lambda x: x.astype(">f8"),
    "unaligned": lambda x: _unaligned(x),
    "a field of 8 bytes": lambda x: _record(x, [("a", "i4"), ("x", "f4")])["x"],
    "a field of 5 bytes": lambda x: _record(x, [("x", "f4"), ("b", "u1")])["x"],
    "a field of 6 bytes": lambda x: _record(x, [("a", "u2"), ("x", "f4")])["x"],
    "doubles among floats": lambda x: _record(x, [("x", "f8"), ("a", "f4")])["x"],
    "read only": lambda x: _frozen(x),
    "no elements": lambda x: x[:, :0],
    "no samples": lambda x: x[:0],
    "one": lambda x: x[0, 0],
    "masked": lambda x: np.ma.masked_less(x, 0),
    "matrix": lambda x: x.view(np.matrix),
    "subclass": lambda x: x.view(Own),
    "memory map": lambda x: x.view(np.memmap),
    "long rows of one": lambda x: np.broadcast_to(x[:, :1], x.shape),
    "overlapping": lambda x: np.lib.stride_tricks.sliding_window_view(x, 8, axis=1),
}


class Own(np.ndarray):
    """An array of another class."""


def _unaligned(x: np.ndarray) -> np.ndarray:
    buffer = np.zeros(x.nbytes + 1, np.uint8)
    part = buffer[1:].view(x.dtype).reshape(x.shape)
    part[...] = x
    return part


def _record(x: np.ndarray, dtype: Any) -> np.ndarray:
    records = np.zeros(x.shape, dtype)
    records["x"] = x
    return records


def _frozen(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x.setflags(write=False)
    return x


@each_kind
@pytest.mark.parametrize("name", ODD)
def test_odd_arrays(kind: Any, name: str) -> None:
    x = ODD[name](X.numpy().copy())
    if isinstance(kind, ng.DropBlock) and not x.ndim:
        return
    before = np.array(x).copy()
    y = both(lambda: kind(x, KEY))
    assert type(y) is np.ndarray
    assert y.dtype == np.asarray(x).dtype
    plain = np.array(np.asarray(x), np.asarray(x).dtype.newbyteorder("="), order="C")
    assert_same_bits(y, kind(plain, KEY))
    assert_same_bits(np.array(x), before)

    def by_hand() -> Any:
        z, cache = ng.numpy.forward(kind, x, rng=KEY)
        return [z, ng.numpy.backward(np.asarray(x), cache)]

    both(by_hand)


@pytest.mark.parametrize("kind", LINEAR, ids=repr)
def test_many_axes(kind: Any) -> None:
    x = np.arange(2.0**16, dtype=np.float32).reshape([2] * 16)
    order = [*range(0, 16, 2), *range(1, 16, 2)]
    both(lambda: kind(x.transpose(order), KEY))
    both(lambda: kind(torch.from_numpy(x).permute(order), KEY))
    wide = np.ones([1] * 40 + [2] * 8 + [1] * 16, np.float32)
    both(lambda: kind(wide, KEY))


def test_the_last_offsets_rows_and_steps() -> None:
    """The ends of the addresses, read by a window of a few elements."""
    key = ng.Stream(2**64 - 1).site("a", slot=2**32 - 1).at(2**32 - 1, call=2**32 - 1)
    last = 2**35 - 101
    window = Window((2, 2**35), 0, (2**64 - 1, 2**63), (0, last), (2, 101))
    x = np.ones((2, 101), np.float32)
    for kind in KINDS[:6]:
        y = both(lambda kind=kind: apply(NumpyEngine(), kind, x, key, Prepared(window, kind.rate)))
        z = apply(TorchEngine(), kind, torch.from_numpy(x), key, Prepared(window, kind.rate))
        assert_same_bits(z, y)
