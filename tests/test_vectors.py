"""The published vectors, through the reference, NumPy and torch."""

import json
import math
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import noisegate as ng
from _asserts import assert_same_bits
from _backends import BACKENDS, DTYPES, Backend, each_backend, numpy_of
from noisegate.core import backends, decimals, normal_table, philox
from noisegate.core.blocks import BIAS, read
from noisegate.core.catalogue import LAYERS
from noisegate.core.draws import Draws
from noisegate.core.keys import Key, site_hash
from noisegate.core.window import Window, window_of

SPEC = Path(__file__).parent.parent / "spec"
TABLE = (normal_table.A, normal_table.D, normal_table.C)


def vectors(name: str) -> list[list[str]]:
    lines = (SPEC / "vectors" / name).read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.split("|")] for line in lines if line[:1] != "#"]
    assert rows, f"{name} holds no vector"
    return rows


def key(slot: int = 0, call: int = 0, step: int = 0) -> Key:
    return ng.Stream(13).site("hid1:out", slot).at(step, call)


def window(first: int, count: int, rows: tuple[int, ...]) -> Window:
    """Return the window of `count` elements from offset `first` on, of the given rows."""
    return Window((len(rows), 2**35), 0, rows, (0, first), (len(rows), count))


def draws(backend: Backend, at: Window, dtype: str = "float32", kind: str = "Dropout") -> Draws:
    return Draws(backend.engine(), kind, key(), at, dtype)


def test_the_list_of_backends_is_the_package_s() -> None:
    assert [b.name for b in BACKENDS] == [b.module for b in backends.BACKENDS]


def test_the_vectors_are_those_of_the_reference() -> None:
    script = SPEC.parent / "tools" / "make_vectors.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_philox_known_answers() -> None:
    for counter, words, result in vectors("philox.txt"):
        c, k, r = (
            tuple(int(word, 16) for word in cell.split()) for cell in (counter, words, result)
        )
        assert philox.philox4x32(c, k) == r  # type: ignore[arg-type]


@each_backend
def test_philox_known_answers_of_engines(backend: Backend) -> None:
    from noisegate.core.blocks import philox as blocks_philox

    integers = backend.engine().integers
    for counter, words, result in vectors("philox.txt"):
        c0, c1, c2, c3 = (int(word, 16) for word in counter.split())
        k0, k1 = (int(word, 16) for word in words.split())
        got = blocks_philox(integers((c0,)), integers((c1,)), integers((c2,)), c3, (k0, k1))
        lanes = numpy_of(backend.engine().pack(got)).astype(np.int64).reshape(8) + BIAS
        expected = [int(word, 16) >> shift & 0xFFFF for word in result.split() for shift in (0, 16)]
        assert lanes.tolist() == expected


def test_keys() -> None:
    for seed, site, slot, kind, call, plane, hashed, words in vectors("keys.txt"):
        name = json.loads(site)
        assert f"{site_hash(name, int(slot), kind):016x}" == hashed
        place = ng.Stream(int(seed)).site(name, int(slot)).at(0, int(call))
        assert " ".join(f"{word:08x}" for word in place.plane(kind, int(plane))) == words


@each_backend
def test_lanes_at_odd_sizes_and_offsets(backend: Backend) -> None:
    for plane, row, first, step, lanes in vectors("lanes.txt"):
        expected = [int(lane, 16) for lane in lanes.split()]
        at = window(int(first), len(expected), (int(row),))
        place = key(step=int(step))
        got = read(
            backend.engine(), at, place, "Dropout", "int16", lambda c, p=int(plane): c.lanes(p)
        )
        assert (numpy_of(got).astype(np.int64).reshape(-1) + BIAS).tolist() == expected
        reference = [
            philox.lane(place.plane("Dropout", int(plane)), int(row), int(first) + i, int(step))
            for i in range(len(expected))
        ]
        assert reference == expected


@each_backend
def test_ties_are_decided_by_plane_1_both_ways(backend: Backend) -> None:
    decided = set()
    for row, offset, u, t, p, outcome in vectors("ties.txt"):
        rate = float.fromhex(p)
        assert philox.threshold(rate) == int(t, 16)
        at = window(int(offset), 1, (int(row),))
        assert numpy_of(draws(backend, at).u32()).item() == int(u, 16)
        kept = numpy_of(draws(backend, at).keep(rate)).item()
        assert kept == (outcome == "kept")
        if int(u, 16) >> 16 == int(t, 16) >> 16 and int(t, 16) & 0xFFFF:
            decided.add(outcome)
    assert decided == {"kept", "removed"}


@each_backend
@pytest.mark.parametrize("lazy", [True, False])
def test_ties_in_the_middle_of_a_field(backend: Backend, lazy: bool) -> None:
    # A threshold that equals an element's u32, or is one more, ties with that element only.
    shape = (5, 77)
    at = window_of(shape)
    engine = backend.engine()
    if not lazy and backend.name == "torch":
        import torch

        class Eager(type(engine)):  # type: ignore[misc]
            lazy = False

        engine = Eager(torch.device("cpu"))
    u = numpy_of(Draws(engine, "Dropout", key(), at, "float32").u32())
    for index in ((0, 0), (2, 40), (4, 76)):
        for t in (int(u[index]), int(u[index]) + 1):
            keep = Draws(engine, "Dropout", key(), at, "float32").keep(t / 2**32)
            assert_same_bits(numpy_of(keep), u >= t)


def _draw_single(
    backend: Backend, u: int, what: str | ng.Kind, dtype: str = "float32"
) -> np.ndarray:
    """Return the number or the gain that is made of a word, by a chunk that holds only it."""

    class Word:
        def u32(self, number: int) -> Any:
            return backend.engine().integers((u,))

    caught: list[Any] = []

    class Caught(Draws):
        def _read(self, draw: Any, dtype: str, function: Any) -> Any:
            caught.append(function(Word()))
            return caught[-1]

    instance = Caught(backend.engine(), "Dropout", key(), window(0, 1, (0,)), dtype)
    if isinstance(what, ng.Kind):
        with np.errstate(over="ignore"):
            return numpy_of(what.field(instance, what.rate).gain).reshape(())
    return numpy_of(getattr(instance, what)()).reshape(())


@each_backend
def test_uniforms(backend: Backend) -> None:
    for u, numerator, bits in vectors("uniforms.txt"):
        value = philox.uniform(int(u, 16))
        assert value == int(numerator) / 2**24
        assert struct.pack(">f", value).hex() == bits
        assert -1 < value < 1
        assert_same_bits(_draw_single(backend, int(u, 16), "uniform"), np.float32(value))


@each_backend
def test_normals(backend: Backend) -> None:
    for u, bits in vectors("normals.txt"):
        value = philox.normal(int(u, 16), TABLE)
        assert struct.pack(">f", value).hex() == bits
        assert_same_bits(_draw_single(backend, int(u, 16), "normal"), np.float32(value))


@each_backend
def test_scales_of_survivors(backend: Backend) -> None:
    at = window(0, 1, (0,))
    for p, t, single, double in vectors("scales.txt"):
        rate, threshold = float.fromhex(p), int(t, 16)
        assert philox.threshold(rate) == threshold
        for dtype, bits, form in (("float32", single, ">f"), ("float64", double, ">d")):
            scale = draws(backend, at, dtype).survivor_scale(rate)
            if threshold in (0, 2**32):
                assert scale is None
            else:
                assert struct.pack(form, scale).hex() == bits


def kind_cases(name: str) -> Iterator[tuple[ng.Kind, str, dict[str, Any], np.ndarray]]:
    for config, dtype, arguments, values in vectors(name):
        case = json.loads(arguments)
        shape = tuple(case.pop("shape"))
        numbers = np.array([float.fromhex(value) for value in values.split()])
        expected = numbers.astype(DTYPES[dtype]).reshape(shape)
        yield ng.from_config(json.loads(config)), dtype, case, expected


def through_faces(
    backend: Backend, kind: ng.Kind, x: np.ndarray, place: Key, arguments: dict[str, Any]
) -> Iterator[Any]:
    """Yield the noised array by the kind itself and by the function of its face."""
    yield kind(backend.array(x), place, **arguments)
    if backend.name == "numpy":
        yield ng.numpy.forward(kind, x, rng=place, **arguments)[0]
    else:
        function = getattr(ng.torch, LAYERS[type(kind).__name__].function)
        numbers = {name: getattr(kind, name) for name in kind.names()}
        yield function(backend.array(x), **numbers, training=True, key=place, **arguments)


@each_backend
@pytest.mark.parametrize(("name", "count"), [("kinds.txt", 7), ("more_kinds.txt", 9)])
def test_every_kind(backend: Backend, name: str, count: int) -> None:
    seen = set()
    for kind, dtype, arguments, expected in kind_cases(name):
        x = (np.arange(1, expected.size + 1) / 8).astype(DTYPES[dtype]).reshape(expected.shape)
        place = key(call=2, step=7)
        for got in through_faces(backend, kind, x, place, arguments):
            assert_same_bits(numpy_of(got), expected)
        seen.add((type(kind).__name__, dtype))
    assert len(seen) == count * len(DTYPES)


@each_backend
def test_blocks(backend: Backend) -> None:
    for config, dtype, arguments, values in vectors("blocks.txt"):
        kind, case = ng.from_config(json.loads(config)), json.loads(arguments)
        shape = tuple(case.pop("shape"))
        numbers = np.array([float.fromhex(value) for value in values.split()])
        x = (np.arange(1, numbers.size + 1) / 8).astype(DTYPES[dtype]).reshape(shape)
        expected = numbers.astype(DTYPES[dtype]).reshape(shape)
        for got in through_faces(backend, kind, x, key(call=2, step=7), case):
            assert_same_bits(numpy_of(got), expected)


def test_thresholds_of_blocks() -> None:
    for p, count, t, single, double in vectors("thresholds.txt"):
        rate, positions, threshold = float.fromhex(p), int(count), int(t, 16)
        assert philox.block_threshold(rate, positions) == threshold
        assert decimals.any_of(rate, positions) == threshold
        if positions == 1:
            assert philox.threshold(rate) == threshold
        if single == "none":
            assert threshold in (0, 2**32)
            continue
        for bits, digits, form in ((single, 24, ">f"), (double, 53, ">d")):
            scale = philox.block_scale(threshold, positions, digits)
            assert struct.pack(form, scale).hex() == bits
            assert decimals.inverse_power(threshold, positions, digits) == scale


@pytest.mark.parametrize(
    ("threshold", "positions"), [(1313500716, 4), (1381996033, 4), (2804234006, 4)]
)
def test_a_scale_beside_the_middle_of_two_floats_is_rounded_once(
    threshold: int, positions: int
) -> None:
    """As a float64 it is the middle itself, from which a float32 would be rounded to even."""
    exact = philox.block_scale(threshold, positions, 24)
    assert decimals.inverse_power(threshold, positions, 24) == exact
    twice = philox.round_float(philox.block_scale(threshold, positions, 53), 24)
    assert twice != exact


@each_backend
def test_relaxed_gains_are_within_their_tier(backend: Backend) -> None:
    for p, temperature, u, gain in vectors("concrete.txt"):
        kind = ng.ConcreteDropout(float.fromhex(p), float.fromhex(temperature))
        exact, rate = float.fromhex(gain), kind.rate
        w = (math.log(rate / (1 - rate)) - 2 * math.atanh(philox.uniform(int(u, 16)))) / (
            kind.temperature
        )
        for dtype in ("float32", "float64"):
            got = float(_draw_single(backend, int(u, 16), kind, dtype))
            bound = (4 + abs(w)) * 2.0**-50 * exact
            if dtype == "float32":
                bound += np.spacing(np.float32(exact)) / 2
            assert abs(got - exact) <= bound


def test_schedules() -> None:
    for config, step, rate in vectors("schedules.txt"):
        schedule = ng.schedule.from_config(json.loads(config))
        assert schedule.at(int(step)) == float.fromhex(rate)
        assert schedule.config() == json.loads(config)


@each_backend
def test_lanes_of_rows_beyond_32_bits_and_offsets_near_the_limit(backend: Backend) -> None:
    rows = (0, 2**32 - 1, 2**32, 2**40 + 3, 2**64 - 1)
    at = window(2**35 - 21, 21, rows)
    got = numpy_of(draws(backend, at).u32())
    high, low = (key().plane("Dropout", plane) for plane in (0, 1))
    expected = [
        [
            philox.join_planes(
                philox.lane(high, row, 2**35 - 21 + i, 0), philox.lane(low, row, 2**35 - 21 + i, 0)
            )
            for i in range(21)
        ]
        for row in rows
    ]
    assert got.tolist() == expected


@each_backend
@pytest.mark.parametrize(
    ("start", "extent"),
    [
        ((0, 0, 0, 0), (4, 6, 5, 9)),
        ((0, 1, 2, 3), (4, 3, 2, 5)),
        ((0, 5, 0, 0), (4, 1, 5, 9)),
        ((0, 2, 4, 7), (4, 2, 1, 2)),
        ((0, 0, 0, 8), (4, 6, 5, 1)),
        ((0, 3, 0, 0), (4, 0, 5, 9)),
    ],
)
def test_any_part_of_a_field_is_that_part(
    backend: Backend, start: tuple[int, ...], extent: tuple[int, ...]
) -> None:
    shape = (4, 6, 5, 9)
    whole = Window(shape, 0, range(4), (0, 0, 0, 0), shape)
    part = Window(shape, 0, range(4), start, extent)
    cut = tuple(slice(s, s + e) for s, e in zip(start, extent, strict=True))
    got = numpy_of(draws(backend, part).u32())
    assert_same_bits(got, numpy_of(draws(backend, whole).u32())[cut])
