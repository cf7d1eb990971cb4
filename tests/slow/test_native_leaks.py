"""A million calls, thousands of shapes and batches: memory does not grow."""

import pytest

from _deadline import DEADLINE
from _native_run import needs_native, run

pytestmark = [pytest.mark.slow, needs_native]

START = """
    import gc
    import numpy as np, noisegate as ng
    {imports}
    site = ng.Stream(1).site("a")
    kinds = [ng.Dropout(0.3), ng.GaussianNoise(0.1), ng.ImpulseNoise(0.3, 0, 1)]
    kinds += [ng.AlphaDropout(0.3), ng.DropBlock(0.3, 2, axes=-1), ng.GaussianDropout(0.3)]
    def resident():
        gc.collect()
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096 / 2**20
"""
CALLS = """
    x = {array}
    def calls(first, count):
        for step in range(first, first + count):
            kind = kinds[step % len(kinds)]
            {call}
    calls(0, 20_000)
    before = resident()
    calls(20_000, {count})
    print(resident() - before)
"""
SHAPES = """
    def calls(first, count):
        for i in range(first, first + count):
            x = {array}
            kind = kinds[i % len(kinds)]
            {call}
    # What is kept is bounded, once it is full.
    calls(0, 6_000)
    before = resident()
    calls(6_000, 6_000)
    print(resident() - before)
"""
NUMPY = {
    "imports": "",
    "call": "y, cache = ng.numpy.forward(kind, x, rng=site.at(step)); ng.numpy.backward(y, cache)",
}
TORCH = {
    "imports": "import torch",
    "call": "z = x.requires_grad_(); kind(z, site.at(step)).backward(u); z.grad = None",
}


@pytest.mark.parametrize("count", [500_000])
def test_a_million_small_calls(count: int) -> None:
    """Each is a forward and a backward."""
    code = START.format(**NUMPY) + CALLS.format(array='np.ones((4, 5), "f4")', count=count, **NUMPY)
    assert float(run(code, timeout=2 * DEADLINE)) < 4


@pytest.mark.parametrize("count", [500_000])
def test_a_million_small_calls_of_torch(count: int) -> None:
    made = "torch.ones(4, 5); u = torch.ones(4, 5)"
    code = START.format(**TORCH) + CALLS.format(array=made, count=count, **TORCH)
    assert float(run(code, timeout=2 * DEADLINE)) < 4


@pytest.mark.parametrize("torch", [False, True])
def test_thousands_of_shapes(torch: bool) -> None:
    words = TORCH if torch else NUMPY
    shape = "(1 + i % 89, 2 + i // 89)"
    array = f"torch.ones{shape}; u = torch.ones{shape}" if torch else f'np.ones({shape}, "f4")'
    call = words["call"].replace("step", "i")
    code = START.format(**words) + SHAPES.format(array=array, call=call)
    assert float(run(code, timeout=DEADLINE)) < 8


IDS = """
    import numpy as np, noisegate as ng
    rng, x = np.random.default_rng(1), np.ones((4096, 4), "f4")
    def calls(count):
        for step in range(count):
            ids = rng.integers(2**62, size=4096)
            ng.Dropout(0.3)(x, site.at(step), rows=ids)
    calls(20)
    before = resident()
    calls(1500)
    print(resident() - before)
"""


def test_batches_of_ids_are_not_kept() -> None:
    """A sampler gives other ids at every step: 4096 of them are half a megabyte."""
    assert float(run(START.format(**NUMPY) + IDS, timeout=DEADLINE)) < 32
