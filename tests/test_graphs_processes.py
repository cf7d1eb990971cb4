"""Compiled programs in processes of their own: the first call, no extension, torch's disk cache."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys, torch, noisegate as ng
from torch import nn
seed, backend = int(sys.argv[1]), sys.argv[2]
torch.manual_seed(0)
kind, key, x = ng.Dropout(0.5), ng.Stream(seed).site("a").at(3), torch.randn(6, 8)
compiled = torch.compile(lambda x: kind(x, key), backend=backend, fullgraph=True)(x)
assert compiled.equal(kind(x, key))
model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), ng.torch.Dropout(0.5, seed=seed, site="b"))
noise = ng.inject(model, {"1:out": 0.5}, seed=seed)
fast = torch.compile(model, backend=backend, fullgraph=True)
for step in range(3):
    y = fast(x).detach()
    noise.step = model[2].step = step
    torch.testing.assert_close(y, model(x).detach())
print(int(compiled.count_nonzero()), int(y.count_nonzero()), sep="-")
"""


def run_program(seed: int, backend: str, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(seed), backend],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("native", ["0", ""])
def test_the_first_call_of_a_process_may_be_compiled(native: str) -> None:
    """Also where the native engine is switched off, and with the same bits."""
    assert run_program(1, "aot_eager", NOISEGATE_NATIVE=native) == run_program(1, "eager")


@pytest.mark.slow
def test_graphs_of_torch_s_disk_cache_have_the_noise_of_their_process(tmp_path: Path) -> None:
    folder = {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    first = run_program(1, "inductor", **folder)
    assert list(tmp_path.iterdir())
    assert run_program(1, "inductor", **folder) == first
    other = run_program(2, "inductor", **folder)
    assert other == run_program(2, "eager")
