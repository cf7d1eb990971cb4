"""The operations that are timed: the noise of this package, its peers, and a copy as the floor.

A maker takes a size (a number of elements, or a shape such as "64x64x32x32") and returns
contenders by name. "kernel" writes into an output that is already allocated and warm; every other
contender allocates its own. This package asks the system for huge pages from 4 MiB on, as NumPy
does and torch does not. So there is also a kernel with a new output of small pages, and a clone
with one of huge pages.
"""

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from math import prod
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

import noisegate as ng
from noisegate.core.window import window_of
from noisegate.engines import native

Call = Callable[[], object]
Contenders = Mapping[str, Call]
Size = int | str

ROW, SIGMA = 1024, 0.1
KEY = ng.Stream(1).site("bench").at(0)

# Contenders with one thread, whatever torch's setting is; they are timed against one thread only.
ONE_THREAD = ("NumPy mask", "NumPy mask, float32", "NumPy normal", "NumPy copy", "jax.jit")
# Why a contender may be missing.
MISSING = {
    "kernel": "the native engine is not in use",
    "clone, huge pages": "the native engine is not in use",
    "jax.jit": "jax is not installed",
    "ng.numpy": "NumPy has no such dtype",
}


def shape_of(size: Size) -> tuple[int, ...]:
    """Return the shape of a size; a number means rows of ROW elements."""
    if isinstance(size, int):
        return size // ROW, ROW
    return tuple(map(int, size.rpartition(" ")[2].split("x")))


def elements(size: Size) -> int:
    """Return the number of elements of a size."""
    return prod(shape_of(size))


def inputs(
    size: Size, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Any, np.random.Generator]:
    """Return normal numbers as a tensor, as an array if NumPy has the dtype, and a generator."""
    t = torch.randn(shape_of(size), generator=torch.Generator().manual_seed(1)).to(dtype)
    x = None if dtype is torch.bfloat16 else t.numpy().copy()
    return t, x, np.random.default_rng(1)


def dropout(size: Size, p: float) -> Contenders:
    """Return ways to drop out float32, and the copies."""
    t, x, rng = inputs(size)
    return {
        **_ours(ng.Dropout(p), t),
        "ng.torch": lambda: ng.torch.dropout(t, p),
        "ng.numpy": lambda: ng.numpy.dropout_forward(x, p, rng=rng),
        "F.dropout": lambda: F.dropout(t, p),
        **_jax(x, p),
        "NumPy mask": lambda: x * (rng.random(x.shape) >= p) / (1 - p),
        "NumPy mask, float32": lambda: x * (rng.random(x.shape, dtype=np.float32) >= p) / (1 - p),
        **_copies(t),
        "NumPy copy": lambda: x.copy(),
    }


def dropout_of(size: Size, dtype: torch.dtype) -> Contenders:
    """Return ways to drop out half of another dtype."""
    t, x, rng = inputs(size, dtype)
    numpy = {} if x is None else {"ng.numpy": lambda: ng.numpy.dropout_forward(x, 0.5, rng=rng)}
    return {
        **_ours(ng.Dropout(0.5), t),
        "ng.torch": lambda: ng.torch.dropout(t, 0.5),
        **numpy,
        "F.dropout": lambda: F.dropout(t, 0.5),
        **_copies(t),
    }


def backward(size: Size, p: float) -> Contenders:
    """Return backward passes of dropout on a gradient, after their forward."""
    t, x, rng = inputs(size)
    upstream, gradient = np.ones_like(x), torch.ones_like(t)
    t.requires_grad_()
    y, z = ng.torch.dropout(t, p), F.dropout(t, p)
    _, cache = ng.numpy.dropout_forward(x, p, rng=rng)
    return {
        **_ours(ng.Dropout(p), gradient, linear=True),
        "ng.torch": lambda: y.grad_fn.apply(gradient),
        "ng.torch by autograd": lambda: torch.autograd.grad(y, t, gradient, retain_graph=True),
        "ng.numpy": lambda: ng.numpy.dropout_backward(upstream, cache),
        "F.dropout": lambda: z.grad_fn(gradient),
        **_copies(gradient),
    }


def saved_bytes(size: Size, p: float) -> Contenders:
    """Return how many bytes of tensors a forward stores for its backward."""
    t = inputs(size)[0].requires_grad_()

    def count(function: Callable[[Tensor, float], Tensor]) -> int:
        kept: list[Tensor] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda s: kept.append(s) or s, lambda s: s):
            function(t, p)
        return sum(tensor.nbytes for tensor in kept)

    return {"ng.torch": lambda: count(ng.torch.dropout), "F.dropout": lambda: count(F.dropout)}


def gaussian(size: Size) -> Contenders:
    """Return ways to add normal noise."""
    t, x, rng = inputs(size)
    kind, sigma = ng.GaussianNoise(SIGMA), np.float32(SIGMA)
    return {
        **_ours(kind, t),
        "ng.torch": lambda: ng.torch.gaussian_noise(t, SIGMA),
        "ng.numpy": lambda: ng.numpy.forward(kind, x, rng=rng),
        "torch.randn_like": lambda: t + SIGMA * torch.randn_like(t),
        "NumPy normal": lambda: x + sigma * rng.standard_normal(x.shape, dtype=np.float32),
    }


def channels(size: Size, p: float) -> Contenders:
    """Return ways to drop out whole channels."""
    t, x, rng = inputs(size)
    kind = ng.dropout_channels(p)
    decisions = (*x.shape[:2], 1, 1)
    return {
        **_ours(kind, t),
        "ng.torch": lambda: ng.torch.dropout(t, p, shared_axes=kind.shared_axes),
        "ng.numpy": lambda: ng.numpy.forward(kind, x, rng=rng),
        "F.dropout2d": lambda: F.dropout2d(t, p),
        "NumPy mask": lambda: x * ((rng.random(decisions) >= p) / np.float32(1 - p)),
        **_copies(t),
        "NumPy copy": lambda: x.copy(),
    }


def rows(size: Size) -> Contenders:
    """Return dropout on rows of several lengths, with equally many elements up to half a row."""
    found: dict[str, Call] = {}
    for length in (10, 100, 1001, ROW):
        t, x, rng = inputs(f"{elements(size) // length}x{length}")
        kernel = _ours(ng.Dropout(0.1), t)
        found |= {f"{name}, {length}": kernel[name] for name in ("kernel",) if name in kernel}
        found[f"ng.torch, {length}"] = lambda t=t: ng.torch.dropout(t, 0.1)
        found[f"ng.numpy, {length}"] = lambda x=x, rng=rng: ng.numpy.dropout_forward(
            x, 0.1, rng=rng
        )
    return found


def _small(p: float) -> dict[str, Callable[[Tensor], Tensor]]:
    kind, layer, peer = ng.Dropout(p), ng.torch.Dropout(p).train(), torch.nn.Dropout(p).train()
    seeded = ng.torch.Dropout(p, seed=1, site="bench").train()
    return {
        "kind(x, key)": lambda t: kind(t, KEY),
        "layer": layer,
        "layer with a seed": seeded,
        "ng.torch": lambda t: ng.torch.dropout(t, p),
        "F.dropout": lambda t: F.dropout(t, p),
        "nn.Dropout": peer,
        "x * 1.0": lambda t: t * 1.0,
    }


def small_forward(size: Size, p: float) -> Contenders:
    """Return ways to call dropout on few elements, where the call itself is the cost."""
    t = inputs(size)[0]
    return {name: lambda f=f: f(t) for name, f in _small(p).items()}


def small_both(size: Size, p: float) -> Contenders:
    """Return ways to call dropout and then compute the gradient."""
    t = inputs(size)[0].requires_grad_()
    g = torch.ones_like(t)
    return {name: lambda f=f: torch.autograd.grad(f(t), t, g) for name, f in _small(p).items()}


def _ours(kind: Any, t: Tensor, linear: bool = False) -> Contenders:
    """Return the native engine alone: from address to address, without checks or autograd."""
    if native.load_library() is None:
        return {}
    shape, strides, out = tuple(t.shape), t.stride(), torch.empty_like(t).zero_()
    window = window_of(shape, kind.shared)
    dtype = str(t.dtype).removeprefix("torch.")
    geometry = shape, strides, strides
    work = native.make_work(kind, kind.rate, linear, window, geometry, dtype, t.itemsize)
    assert work is not native.IDLE
    assert work is not native.UNABLE
    work = work._replace(large=0)  # asks for no huge pages

    def allocating() -> Tensor:
        new = torch.empty_like(t)
        work.run(KEY, t.data_ptr(), new.data_ptr())
        return new

    return {
        "kernel": lambda: work.run(KEY, t.data_ptr(), out.data_ptr()),
        "kernel, new small pages": allocating,
    }


def _copies(t: Tensor) -> Contenders:
    out, library = torch.empty_like(t).zero_(), native.load_library()

    def huge() -> Tensor:
        new = torch.empty_like(t)
        if new.nbytes >= native.HUGE:
            library.huge_pages(new.data_ptr(), new.nbytes)
        return new.copy_(t)

    found: dict[str, Call] = {"clone": t.clone, "copy_": lambda: out.copy_(t)}
    return found if library is None else {**found, "clone, huge pages": huge}


def _jax(x: np.ndarray, p: float) -> Contenders:
    """Return dropout as users of jax write it, compiled, with its default generator."""
    if find_spec("jax") is None:
        return {}
    import jax

    @jax.jit
    def function(key: Any, step: int, x: Any) -> Any:
        keep = jax.random.bernoulli(jax.random.fold_in(key, step), 1 - p, x.shape)
        return jax.numpy.where(keep, x / (1 - p), 0)

    key, on_device = jax.random.key(1), jax.numpy.asarray(x)
    return {"jax.jit": lambda: function(key, 7, on_device).block_until_ready()}
