"""The benchmarks run and report correctly; no test asks how fast anything is."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[1] / "bench"
FORWARD = {"ng.torch", "ng.numpy", "F.dropout", "NumPy mask", "NumPy mask, float32"}
FORWARD |= {"clone", "copy_", "NumPy copy"}
# What is there only with a native engine, or with jax.
PERHAPS = {"kernel", "kernel, new small pages", "clone, huge pages", "jax.jit"}


def run(script, file, *more):
    command = [sys.executable, str(BENCH / script), "--quick", "--json", str(file), *more]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout, json.loads(file.read_text("utf-8"))


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """Return what a quick run prints and what it writes."""
    return run("run.py", tmp_path_factory.mktemp("bench") / "deep" / "bench.json")


def test_every_contender_is_timed_at_every_size(quick):
    _, written = quick
    times = written["times"]
    forward = [row for row in times if row["task"] == "dropout 0.5"]
    for size in ("2^10", "2^13"):
        here = {r["contender"] for r in forward if (r["size"], r["threads"]) == (size, 1)}
        assert here - PERHAPS == FORWARD
    with_two = {row["contender"] for row in forward if row["threads"] == 2}
    assert with_two - PERHAPS == {"ng.torch", "ng.numpy", "F.dropout", "clone", "copy_"}
    assert len({row["task"] for row in times}) == 16
    for row in times:
        if row["unit"] != "bytes saved per element":
            assert row["rounds"] == 3
            assert 0 < row["low"] <= row["median"] <= row["high"] < math.inf
            assert 1 <= row["tail"] < math.inf


def test_no_mask_is_saved(quick):
    _, written = quick
    saved = {r["contender"]: r["median"] for r in written["times"] if r["unit"].startswith("bytes")}
    assert saved["ng.torch"] == 0 < saved["F.dropout"]


def test_a_ratio_is_that_of_the_medians_or_of_the_tails(quick):
    _, written = quick
    rows = {(r["task"], r["threads"], r["size"], r["contender"]): r for r in written["times"]}
    ratios = [figure for figure in written["figures"] if figure["unit"] == "times"]
    goals = {verdict["goal"]["text"]: verdict["goal"] for verdict in written["verdicts"]}
    assert ratios
    for figure in ratios:
        where = figure["task"], figure["threads"], figure["size"]
        ours, peer = rows[*where, figure["ours"]], rows[*where, figure["peer"]]
        of = "tail" if goals[figure["goal"]]["tail"] else "median"
        expected = ours[of] / peer[of]
        assert any(math.isclose(figure["value"], r) for r in (expected, 1 / expected))


def test_the_machine_is_named_and_small_sizes_prove_nothing(quick):
    printed, written = quick
    machine = written["machine"]
    assert machine["processor"] in printed
    assert machine["engine"] in printed
    assert machine["torch_serial_path"] in (True, False, None)
    assert machine["torch_serial_path_because"] in printed
    assert {"load", "load_after", "engine_threads"} <= set(machine)
    assert {verdict["met"] for verdict in written["verdicts"]} == {None}
    assert {verdict["verdict"] for verdict in written["verdicts"]} <= {
        "no such size",
        "not measured",
    }


def test_every_figure_that_is_asked_for_has_a_line(quick):
    printed, written = quick
    asked = {verdict["goal"]["text"] for verdict in written["verdicts"]}
    assert {"float32 forward", "float32 forward, 2 threads", "backward", "Gaussian noise"} < asked
    assert {"bfloat16", "float16", "float64", "channel dropout", "training step"} < asked
    assert {"rows of 10", "rows of 100", "rows of 1001", "99th percentile over median"} < asked
    for text in asked:
        assert text in printed


def test_a_verdict_is_that_of_the_worst_size(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    import goals
    import report

    task = goals.Task("t", dict, (2**18, 2**20))
    slow = goals.Goal("slow", ("t",), ("a",), most=2.0)
    fast = goals.Goal("fast", ("t",), ("a", "kernel"), "b", least=3)
    few = {2**18: 1.0, 2**20: 2.5, 2**10: 9.0}
    found = []
    for size, time in few.items():
        samples = {"a": [time * size * 1e-9] * 3, "b": [5 * size * 1e-9] * 3}
        found += report.figures((slow, fast), task, 1, size, samples)
    first, second, third = report.verdicts((slow, fast), [(task, 1)], found)
    assert (first.verdict, first.worst.size) == ("NOT MET", "2^20")
    assert math.isclose(first.worst.value, 2.5)
    assert (second.verdict, second.worst.value) == ("NOT MET", 2.0)
    assert (third.verdict, third.line()[-1]) == ("not measured", "the native engine is not in use")
    assert report.verdicts((slow,), [(task, 1)], found[:1])[0].verdict == "MET"


def test_sites_and_predictions_are_timed_too(tmp_path):
    printed, written = run("models.py", tmp_path / "models.json")
    assert [row["way"] for row in written["sites"]] == ["without a gradient", "with a gradient"]
    for row in written["sites"]:
        assert math.isclose(row["ratio"], row["overhead"] / row["dropout"])
        assert row["way"] in printed
    (prediction,) = written["predictions"]
    assert math.isclose(prediction["ratio"], prediction["predict"] / prediction["loop"])


def test_predictions_are_timed_against_both_peers(tmp_path):
    printed, written = run("predictions.py", tmp_path / "predictions.json")
    assert [row["model"] for row in written["predictions"]] == ["MLP", "LSTM"]
    for row in written["predictions"]:
        for peer in ("in one forward", "a loop"):
            ratio = row["predict, ms"] / row[f"{peer}, ms"]
            assert math.isclose(row[peer]["ratio"], ratio)
            assert f"{ratio:.2f} of {peer}" in printed


def test_trainings_are_timed_against_a_loop(tmp_path):
    printed, written = run("training.py", tmp_path / "training.json")
    fits = written["fits"]
    assert [(row["p"], row["batch"]) for row in fits] == [(0, 32), (0, 128), (0.5, 32), (0.5, 128)]
    for row in fits:
        assert math.isclose(row["ratio"], row["fit"] / row["loop"], rel_tol=1e-9)
        assert f"{row['ratio']:.2f} of the loop's" in printed


@pytest.mark.parametrize("threads", ["1", pytest.param("1 2", marks=pytest.mark.slow)])
def test_compiled_steps_are_one_graph_and_their_noise_acts(threads, tmp_path):
    counts = threads.split()
    printed, written = run("compiled.py", tmp_path / "compiled.json", "--threads", *counts)
    ways = {"no noise", "F.dropout", "layers", "rules", "existing"}
    for activation in ("ReLU", "GELU"):
        for count in map(int, counts):
            task = f"compiled training step, {activation}", count
            here = {r["contender"] for r in written["times"] if (r["task"], r["threads"]) == task}
            compiled = {f"compiled, {way}" for way in {*ways, "opaque copies"}}
            assert here == compiled | {f"eager, {way}" for way in ways}
    assert {verdict["goal"]["text"] for verdict in written["verdicts"]} <= {
        line[14:].partition("  ")[0] for line in printed.splitlines()
    }


def test_two_checkouts_are_timed_in_turns(tmp_path):
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    (tmp_path / "src").mkdir()
    command = [sys.executable, str(BENCH / "against.py"), str(tmp_path / "src"), "--turns", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    _, *lines = done.stdout.splitlines()
    tasks = ["call, NumPy", "call, torch", "call + grad", "layer", "layer + grad"]
    tasks += ["site", "site + grad", "step", "fit", "predict"]
    assert [line[:12].strip() for line in lines] == tasks
    for line in lines:
        this, other, ratio, low, _, high = line[12:].split()
        assert min(float(this), float(other)) > 0
        assert float(low) <= float(high)
        assert math.isclose(float(ratio), float(low), abs_tol=2e-3)


def test_noise_at_other_places_is_timed_too(tmp_path):
    printed, written = run("places.py", tmp_path / "places.json")
    assert [row["case"] for row in written["places"]] == ["weight drop, LSTM", "DropConnect, MLP"]
    for row in written["places"]:
        assert math.isclose(row["ratio"], row["noise, ms"] / row["plain, ms"])
        assert row["case"] in printed
