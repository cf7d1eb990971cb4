"""Calls from many threads at once, and after a fork: the right bits, and an end."""

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

import noisegate as ng
from _asserts import assert_same_bits
from _backends import pure_engines
from _native_kinds import Either
from _native_run import needs_native, run

SITE = ng.Stream(13).site("hid1:out")
KINDS: list[Any] = [
    ng.Dropout(0.3),
    ng.Dropout(0.3, shared_axes=0),
    ng.GaussianNoise(0.1),
    ng.ImpulseNoise(0.3, 0.0, 1.0),
    ng.AlphaDropout(0.3),
    ng.DropBlock(0.2, 3, axes=-1),
    Either(0.25, 1.5),
]
SHAPES = [(4, 5), (100, 10), (64, 1024), (3, 1 << 17)]


def work(turn: int) -> list[Any]:
    """Noise on arrays and tensors of mixed sizes, forward and backward."""
    kind, shape = KINDS[turn % len(KINDS)], SHAPES[turn % len(SHAPES)]
    key = SITE.at(turn)
    x = np.random.default_rng(turn).normal(size=shape).astype(np.float32)
    tensor = torch.from_numpy(x).requires_grad_()
    y = kind(tensor, key)
    (dx,) = torch.autograd.grad(y, tensor, tensor.detach())
    rows = ng.mask(kind, shape, key, rows=[turn, 1]) if kind.removes else x
    return [kind(x, key), y.detach(), dx, rows]


@pytest.mark.parametrize("threads", [1, 2])
def test_many_threads_at_once(threads: int) -> None:
    turns = range(56)
    with pure_engines():
        expected = [work(turn) for turn in turns]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with ThreadPoolExecutor(8) as pool:
            for again in range(4):
                order = [*turns][again:] + [*turns][:again]
                for turn, found in zip(order, pool.map(work, order), strict=True):
                    for one, other in zip(found, expected[turn], strict=True):
                        assert_same_bits(one, other)
    finally:
        torch.set_num_threads(before)


MANY = """
    import threading, sys
    import numpy as np, noisegate as ng
    key = ng.Stream(1).site("a").at(3)
    shapes = [(3, 1 << 17), (1 << 15, 10), (64, 1000), (5, 7)]
    arrays = [np.random.default_rng(1).normal(size=s).astype("float32") for s in shapes]
    kinds = [ng.Dropout(0.1), ng.GaussianNoise(1.0), ng.ImpulseNoise(0.3, 0, 1)]
    expected = [[kind(x, key) for x in arrays] for kind in kinds]
    wrong = []
    def work():
        for _ in range(10):
            for kind, row in zip(kinds, expected):
                for x, y in zip(arrays, row):
                    if kind(x, key).tobytes() != y.tobytes():
                        wrong.append(kind)
    threads = [threading.Thread(target=work) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert "torch" not in sys.modules
    print(len(wrong), "wrong")
"""


@pytest.mark.parametrize("threads", [2, 4])
def test_many_threads_without_torch(threads: int) -> None:
    assert run(MANY, NOISEGATE_THREADS=str(threads)) == "0 wrong\n"


FORK = """
    import hashlib, os, sys
    import numpy as np, noisegate as ng
    {before}
    key, x = ng.Stream(1).site("a").at(3), np.ones((3, 1 << 18), np.float32)
    def noise():
        return hashlib.sha256(np.asarray(ng.GaussianNoise(1.0)({input}, key))).hexdigest()
    {parent}
    sys.stdout.flush()
    for _ in range(3):
        child = os.fork()
        if child == 0:
            found = noise()
            second = os.fork()
            if second == 0:
                os._exit(noise() != found)
            os._exit(os.waitstatus_to_exitcode(os.waitpid(second, 0)[1]) or found != {expected})
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code == 0, code
    print("ended", noise() == noise() == {expected})
"""
NUMPY = {"before": "", "input": "x"}
TORCH = {
    "before": "import torch; torch.set_num_threads(2)",
    "input": "torch.from_numpy(x)",
}
PURE = {
    "before": "from noisegate.engines import native; native.load_library = lambda: None",
    "input": "x",
    "parent": "print(noise()); raise SystemExit",
    "expected": "None",
}


@cache
def compute_purely() -> str:
    """Return what the pure engine computes, in a process of its own."""
    return repr(run(FORK.format(**PURE)).strip())


def fork(words: dict[str, str], parent: str) -> None:
    """Fork, and compare what children compute with the pure engine's."""
    code = FORK.format(**words, parent=parent, expected=compute_purely())
    said = run(code, NOISEGATE_THREADS="2")
    assert said == "ended True\n"


# Torch's own threads do not outlive a fork, and the pure engine waits for them for ever.
WITH_TORCH = pytest.param(TORCH, marks=needs_native, id="torch")


@pytest.mark.parametrize("words", [pytest.param(NUMPY, id="numpy"), WITH_TORCH])
@pytest.mark.parametrize("parent", ["pass", "noise()"], ids=["first in the child", "again"])
def test_after_a_fork(words: dict[str, str], parent: str) -> None:
    fork(words, parent)


@needs_native
def test_after_a_fork_of_a_process_in_which_torch_had_threads() -> None:
    fork(TORCH, "torch.ones(1 << 22).mul(2).sum()")


LOADER = """
    import numpy as np, torch, noisegate as ng
    from torch.utils.data import DataLoader, Dataset
    torch.set_num_threads(2)
    key = ng.Stream(1).site("a").at(3)
    kind = ng.Dropout(0.1)
    class Noisy(Dataset):
        def __len__(self):
            return 6
        def __getitem__(self, i):
            x = np.ones((2, 1 << 17), np.float32)
            return kind(x, key, rows=[2 * i, 2 * i + 1]), kind(torch.ones(2, 1 << 17), key)
    torch.ones(1 << 22).mul(2).sum()
    whole = kind(torch.ones(12, 1 << 17), key)
    loader = DataLoader(Noisy(), 1, num_workers=2, multiprocessing_context="fork")
    got = list(loader)
    same = all(torch.equal(a[0], whole[2 * i : 2 * i + 2]) for i, (a, _) in enumerate(got))
    print(same, all(torch.equal(b[0], whole[:2]) for _, b in got))
"""


def test_workers_of_a_loader_make_noise() -> None:
    assert run(LOADER) == "True True\n"
