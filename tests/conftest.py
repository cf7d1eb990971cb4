"""Set-up of every test process: one thread, and repeatable examples from hypothesis."""

import _thread
import os
import sys
from collections.abc import Iterator

# Before any array library starts its threads: two test processes share two cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

from _backends import Backend, pure_engines

# A red test must be red again when it is run again; and a slow machine is not a fault.
settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Each array library, with the native engine and without it."""
    if not request.param.pure:
        yield request.param
        return
    with pure_engines():
        yield request.param


@pytest.fixture
def pure() -> Iterator[None]:
    """The pure engines alone, for tests that plant faults in what they are made of."""
    with pure_engines():
        yield


@pytest.fixture(autouse=True, scope="module")
def nothing_compiled_stays() -> Iterator[None]:
    """Let compiled code of one file be no other file's, and let it compare hooks.

    The first injection of a process would else discard the code that a test has compiled, and warn.
    """
    if "torch" in sys.modules:
        from noisegate.torch.model.compiled import guard_hooks

        guard_hooks()
    yield
    if "torch._dynamo" in sys.modules:
        sys.modules["torch"].compiler.reset()


@pytest.fixture(autouse=True)
def threads_of_the_runner_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count a test as alone beside the threads of pytest's plugins, which draw nothing."""
    if "noisegate.torch.model.draw_watch" in sys.modules:
        runner = _thread._count()
        monkeypatch.setattr(
            "noisegate.torch.model.draw_watch.is_alone", lambda: _thread._count() <= runner
        )


@pytest.fixture
def blank_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the pictures of a study blank, for tests of the words around them."""
    from noisegate.study.show import figures, uncertainty_figures
    from noisegate.tune import plots

    for module in (figures, uncertainty_figures, plots):
        monkeypatch.setattr(module, "draw_figure", lambda *words, **more: b"<svg></svg>")
