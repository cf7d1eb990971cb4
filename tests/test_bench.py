"""The benchmark runs and says what it should; how fast anything is, no test asks."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).resolve().parents[1] / "bench" / "run.py"
FORWARD = {
    "noisegate torch",
    "F.dropout",
    "torch copy",
    "noisegate numpy",
    "NumPy mask, float64",
    "NumPy mask, float32",
    "NumPy copy",
}


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """Return what a quick run prints and what it writes."""
    file = tmp_path_factory.mktemp("bench") / "deep" / "bench.json"
    command = [sys.executable, str(RUN), "--quick", "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout, json.loads(file.read_text("utf-8"))


def test_every_contender_is_timed_at_every_size(quick):
    _, written = quick
    times = written["times"]
    forward = [row for row in times if row["group"] == "dropout .5, forward"]
    for elements in (2**10, 2**13):
        here = {r["contender"] for r in forward if (r["elements"], r["threads"]) == (elements, 1)}
        assert here == FORWARD
    with_two = {row["contender"] for row in forward if row["threads"] == 2}
    assert with_two == {"noisegate torch", "F.dropout", "torch copy"}
    assert len({row["group"] for row in times}) == 5
    for row in times:
        assert row["rounds"] == 3
        assert 0 < row["low"] <= row["median"] <= row["high"] < math.inf


def test_a_ratio_is_that_of_the_medians(quick):
    _, written = quick
    medians = {
        (r["group"], r["threads"], r["elements"], r["contender"]): r["median"]
        for r in written["times"]
    }
    assert written["ratios"]
    for ratio in written["ratios"]:
        where = ratio["group"], ratio["threads"], ratio["elements"]
        expected = medians[*where, ratio["ours"]] / medians[*where, ratio["peer"]]
        assert math.isclose(ratio["ratio"], expected, rel_tol=1e-9)


def test_the_machine_is_named_and_small_sizes_prove_nothing(quick):
    printed, written = quick
    machine = written["machine"]
    assert machine["processor"] in printed
    assert machine["torch_serial_path"] in (True, False, None)
    assert machine["torch_serial_path_because"] in printed
    assert [r["met"] for r in written["requirements"]] == [None] * 4
    assert printed.count("no size was large enough to tell") == 4


def test_sites_and_predictions_are_timed_too(tmp_path):
    file = tmp_path / "models.json"
    command = [sys.executable, str(RUN.with_name("models.py")), "--quick", "--json", str(file)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    written = json.loads(file.read_text("utf-8"))
    assert [row["way"] for row in written["sites"]] == ["without a gradient", "with a gradient"]
    for row in written["sites"]:
        assert math.isclose(row["ratio"], row["overhead"] / row["dropout"])
        assert row["way"] in printed
    (prediction,) = written["predictions"]
    assert math.isclose(prediction["ratio"], prediction["predict"] / prediction["loop"])


def test_trainings_are_timed_against_a_loop(tmp_path):
    file = tmp_path / "training.json"
    script = RUN.with_name("training.py")
    command = [sys.executable, str(script), "--quick", "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    fits = json.loads(file.read_text("utf-8"))["fits"]
    assert [(row["p"], row["batch"]) for row in fits] == [(0, 32), (0, 128), (0.5, 32), (0.5, 128)]
    for row in fits:
        assert math.isclose(row["ratio"], row["fit"] / row["loop"], rel_tol=1e-9)
        assert f"{row['ratio']:.2f} of the loop's" in done.stdout
