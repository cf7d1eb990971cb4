"""Compiled programs in processes of their own: the first call, no extension, torch's disk cache."""

import os
import subprocess
import sys
from functools import cache
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


@cache
def run_program_eagerly() -> str:
    return run_program(1, "eager")


@pytest.mark.parametrize("native", ["0", ""])
def test_the_first_call_of_a_process_may_be_compiled(native: str) -> None:
    """Also where the native engine is switched off, and with the same bits."""
    assert run_program(1, "aot_eager", NOISEGATE_NATIVE=native) == run_program_eagerly()


EXPORTED = """
import sys, torch, noisegate as ng
import noisegate.torch
key, x = ng.Stream(13).site("a").at(3), torch.ones(4, 64)
falling = ng.GaussianNoise(ng.schedule.linear(0.5, 0.1, steps=9))
rate = falling if "schedule" in sys.argv else ng.ImpulseNoise(0.2, -1.0, 2.0)
kinds = ng.Dropout(0.5, shared_axes=(1,)), ng.AlphaDropout(0.3), rate
class Model(torch.nn.Module):
    def forward(self, x):
        x = ng.torch.gaussian_noise(x, 0.25, True, key=key)
        for kind in kinds:
            x = kind(x, key)
        return x
if sys.argv[1] == "save":
    strict = "strict" in sys.argv
    torch.export.save(torch.export.export(Model(), (x,), strict=strict), sys.argv[2])
else:
    program = torch.export.load(sys.argv[2]).module()
    assert program(x).equal(Model()(x))
"""


def run_exported(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", EXPORTED, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


@pytest.mark.parametrize("strict", ["strict", "not so"])
def test_an_exported_program_runs_in_another_process(tmp_path: Path, strict: str) -> None:
    for way in ("save", "load"):
        done = run_exported(way, str(tmp_path / "program.pt2"), strict)
        assert done.returncode == 0, done.stderr


def test_an_exported_schedule_is_refused_in_another_process(tmp_path: Path) -> None:
    path = str(tmp_path / "program.pt2")
    assert run_exported("save", path, "schedule").returncode == 0
    sentence = (
        "noise: this program was exported by another process, and has a kind of noise or a "
        "schedule of your own, which this process does not know. Export the program here."
    )
    done = run_exported("load", path, "schedule")
    assert done.stderr.rstrip().endswith(sentence)


@pytest.mark.slow
def test_graphs_of_torch_s_disk_cache_have_the_noise_of_their_process(tmp_path: Path) -> None:
    folder = {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    first = run_program(1, "inductor", **folder)
    assert list(tmp_path.iterdir())
    assert run_program(1, "inductor", **folder) == first
    other = run_program(2, "inductor", **folder)
    assert other == run_program(2, "eager")
