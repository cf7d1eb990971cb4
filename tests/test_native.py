"""The native engine: it is built, it can be switched off, and it is only a shortcut."""

import os
import subprocess
import sys
import textwrap

import pytest

from _deadline import DEADLINE
from noisegate.engines import native

SWITCHED_OFF = os.environ.get(native.VARIABLE) == "0"


def run(code: str, asked: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, with the variable set to what is asked, or not set."""
    environment = {k: v for k, v in os.environ.items() if k != native.VARIABLE}
    environment |= {} if asked is None else {native.VARIABLE: asked}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


@pytest.mark.skipif(SWITCHED_OFF, reason="NOISEGATE_NATIVE=0 asks for the pure engines")
def test_the_native_engine_is_there() -> None:
    assert native.load_library() is not None, "build it: `make native`"


NOISE = (
    "import numpy as np, noisegate as ng; ng.Dropout(0.5)(np.ones(9), ng.Stream(1).site('a').at(0))"
)
HIDDEN = "import of noisegate.engines._native halted; None in sys.modules"
MISSING = f"import sys; sys.modules['noisegate.engines._native'] = None\n{NOISE}"


def test_nothing_is_said_where_it_is_switched_off() -> None:
    done = run(MISSING, "0")
    assert (done.returncode, done.stderr) == (0, "")


def test_where_it_is_missing_that_is_said_once() -> None:
    done = run(f"{MISSING}\n{NOISE}\n{NOISE}")
    assert done.returncode == 0
    sentence = (
        f"noisegate: the native engine cannot be imported ({HIDDEN}), so the pure one is in use: "
        "the same noise, 4 to 25 times slower. Where there is a C++17 compiler, `pip install "
        "--force-reinstall --no-cache-dir noisegate` builds it; NOISEGATE_NATIVE=0 leaves this "
        "unsaid."
    )
    assert done.stderr.count(sentence) == 1
    assert done.stderr.count("cannot be imported") == 1


def test_where_it_is_required_and_missing_that_is_an_error() -> None:
    done = run(MISSING, "1")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last == (
        "noisegate.core.errors.MissingExtra: NOISEGATE_NATIVE is 1, so the native engine must be "
        f"there, and it cannot be imported: {HIDDEN}. Where there is a C++17 compiler, `pip "
        "install --force-reinstall --no-cache-dir noisegate` builds it."
    )


@pytest.mark.parametrize("threads", ["0", "-3", "4x", "99999999999"])
def test_threads_are_a_number(threads: str) -> None:
    done = run(f"import os; os.environ['NOISEGATE_THREADS'] = {threads!r}\n{NOISE}")
    assert done.stderr.strip().splitlines()[-1] == (
        "noisegate.core.errors.InvalidValue: NOISEGATE_THREADS must be a whole number from 1 to "
        f"1024; got {threads!r}."
    )


def test_a_warning_that_is_an_error_is_raised_once() -> None:
    once = "import warnings; warnings.simplefilter('error')"
    done = run(
        f"{once}\ntry:\n    exec({MISSING!r})\nexcept RuntimeWarning: print('said')\n{NOISE}"
    )
    assert (done.returncode, done.stdout) == (0, "said\n"), done.stderr


def test_what_the_variable_may_not_be_is_an_error() -> None:
    done = run(NOISE, "yes")
    assert done.stderr.strip().splitlines()[-1] == (
        "noisegate.core.errors.InvalidValue: NOISEGATE_NATIVE must be 0 (no native engine), 1 (no "
        "noise without it) or one of avx512, avx2, neon, portable; got 'yes'."
    )
    other = "neon" if os.uname().machine == "x86_64" else "avx2"
    done = run(NOISE, other)
    assert done.stderr.strip().splitlines()[-1] == (
        f"noisegate.core.errors.InvalidValue: NOISEGATE_NATIVE is {other}, which this processor or "
        "this build of noisegate does not have."
    )
