"""Several steps in one pass of the native engine have the bits of one pass for each step."""

from typing import Any

import pytest
import torch
from torch.autograd import forward_ad

import noisegate as ng
from _asserts import assert_same_bits
from _native_cases import among, chance_by, kind_of, laid_out, rows_of, tensor_of, values
from _native_run import needs_native
from noisegate.engines import native
from noisegate.torch.functional import apply_steps

KEY = ng.Stream(2**64 - 13).site("hid1:out", slot=3).at(0, call=7)
STEPS = (7, 3, 3, 2**32 - 1)
SHAPES = ((5,), (3, 8), (1, 17), (2, 3, 4, 4), (16, 128), (4, 2, 3, 70), (64, 1024))


def apply_apart(kind: Any, x: torch.Tensor, rows: Any, axis: Any, steps: Any) -> torch.Tensor:
    parts = zip(x.chunk(len(steps)), steps, strict=True)
    given = {"rows": rows, "sample_axis": axis}
    return torch.cat([kind(part, KEY._replace(step=step), **given) for part, step in parts])


@needs_native
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("seed", range(20))
def test_bits_are_those_of_one_pass_for_each_step(shape: tuple[int, ...], seed: int) -> None:
    chance = chance_by(seed)
    axis: Any = "attention" if len(shape) > 2 and chance(3) == 0 else 0
    shared = tuple(i for i in range(1, len(shape)) if chance(3) == 0)
    kind, dtypes = kind_of(chance, shape, shared, axis)
    dtype = among(chance, [d for d in dtypes if d.kind not in "biu"])
    rows = None if chance(2) else rows_of(chance, shape[0])
    layout = among(chance, ("C", "permuted", "stepped", "broadcast", "offset", "F"))
    whole = (len(STEPS) * shape[0], *shape[1:])
    x = tensor_of(laid_out(values(whole, dtype), layout, chance))
    found = apply_steps(kind, x, KEY, rows, axis, STEPS)
    assert_same_bits(found, apply_apart(kind, x, rows, axis, STEPS))


@needs_native
@pytest.mark.parametrize("threads", [1, 2])
def test_threads_share_the_steps(threads: int) -> None:
    x, steps = torch.randn(50 * 16, 512), range(50)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for kind in (ng.Dropout(0.1), ng.GaussianNoise(1.0), ng.Dropout(0.5, shared_axes=1)):
            found = apply_steps(kind, x, KEY, None, 0, steps)
            assert_same_bits(found, apply_apart(kind, x, None, 0, steps))
    finally:
        torch.set_num_threads(before)


@needs_native
def test_it_is_one_call_with_the_layout_of_x(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    real = native.Work.run_steps

    def count(*given: Any) -> None:
        calls.append(given)
        real(*given)

    monkeypatch.setattr(native.Work, "run_steps", count)
    x = torch.randn(20, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    y = apply_steps(ng.Dropout(0.5), x, KEY, None, 0, range(10))
    assert len(calls) == 1
    assert y is not None
    assert y.stride() == x.stride()


def test_derivatives_are_those_of_the_steps() -> None:
    x, along = torch.randn(8, 6, dtype=torch.float64), torch.randn(8, 6, dtype=torch.float64)
    kind, wanted = ng.Dropout(0.5), x.clone().requires_grad_()
    gain = apply_apart(kind, along, None, 0, STEPS)
    y = apply_steps(kind, wanted, KEY, None, 0, STEPS)
    assert y is not None
    (found,) = torch.autograd.grad(y, wanted, along)
    assert_same_bits(found, gain)
    with forward_ad.dual_level():
        z = apply_steps(kind, forward_ad.make_dual(x, along), KEY, None, 0, STEPS)
        assert_same_bits(forward_ad.unpack_dual(z).tangent, gain)
