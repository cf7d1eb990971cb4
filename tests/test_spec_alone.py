"""Every vector, computed from the text of spec/ alone."""

import json
import struct
from decimal import Decimal, localcontext
from fractions import Fraction
from math import isinf
from pathlib import Path
from typing import Any

import pytest

import _draws_alone as draws
import _more_alone as more
import _spec_alone as spec


def show_words(words: list[int], digits: int = 8) -> str:
    return " ".join(f"{word:0{digits}x}" for word in words)


def show_scales(factor: Fraction) -> list[str]:
    forms = {"float32": ">f", "float64": ">d"}
    return [struct.pack(form, spec.round_to(dtype, factor)).hex() for dtype, form in forms.items()]


def compute_philox(counter: str, key: str, _: str) -> list[str]:
    return [
        show_words(spec.philox(*([int(w, 16) for w in cell.split()] for cell in (counter, key))))
    ]


def compute_keys(
    seed: str, site: str, slot: str, kind: str, call: str, plane: str, *_: str
) -> list[str]:
    hashed = spec.hash_name(json.loads(site), int(slot), kind)
    words = spec.derive_key(int(seed), hashed, int(call), int(plane))
    return [f"{hashed:016x}", show_words(words)]


def compute_lanes(plane: str, row: str, first: str, step: str, lanes: str) -> list[str]:
    offsets = range(int(first), int(first) + len(lanes.split()))
    values = [spec.lane(int(plane), int(row), offset, 0, int(step)) for offset in offsets]
    return [show_words(values, 4)]


def compute_ties(row: str, offset: str, _u: str, _t: str, p: str, _: str) -> list[str]:
    u = spec.u32((int(row), int(offset)), 0, 0, "Dropout")
    t = spec.threshold(float.fromhex(p))
    return [show_words([u]), show_words([t]), p, "removed" if u < t else "kept"]


def compute_uniforms(u: str, *_: str) -> list[str]:
    number = spec.uniform(int(u, 16))
    return [str(number * 2**24), struct.pack(">f", number).hex()]


def compute_normals(u: str, _: str) -> list[str]:
    return [struct.pack(">f", spec.normal(int(u, 16))).hex()]


def compute_scales(p: str, *_: str) -> list[str]:
    t = spec.threshold(float.fromhex(p))
    return [show_words([t]), *(["none"] * 2 if t == spec.ALL else show_scales(spec.scale(t)))]


def compute_thresholds(p: str, positions: str, *_: str) -> list[str]:
    t = spec.threshold(float.fromhex(p), int(positions))
    factor = spec.scale(t, int(positions))
    return [show_words([t]), *(show_scales(factor) if 0 < t < spec.ALL else ["none"] * 2)]


def compute_concrete(p: str, temperature: str, u: str, _: str) -> list[str]:
    rate, heat = Decimal(float.fromhex(p)), Decimal(float.fromhex(temperature))
    with localcontext(prec=60):
        v = (1 + Decimal(float(spec.uniform(int(u, 16))))) / 2
        w = ((rate / (1 - rate)).ln() - (v / (1 - v)).ln()) / heat
        return [float(1 / (1 + w.exp()) / (1 - rate)).hex()]


def compute_schedules(config: str, step: str, _: str) -> list[str]:
    return [spec.read_schedule(json.loads(config), int(step)).hex()]


def compute_kinds(config: str, dtype: str, case: str, _: str) -> list[str]:
    precision = "float64" if dtype == "float64" else "float32"
    noise = list(spec.make_terms(json.loads(config), json.loads(case), precision))
    output = []
    for position, (keep, gain, shift, fill) in enumerate(noise):
        x = Fraction(position + 1, 8)
        y = spec.round_to(precision, spec.round_to(precision, x * gain) + shift)
        y = y if keep else fill
        output.append(float(y if isinf(y) else spec.round_to(dtype, y)).hex())
    return [" ".join(output)]


def compute_more_kinds(config: str, dtype: str, case: str, _: str) -> list[str]:
    with localcontext(prec=60):
        values = more.compute(json.loads(config), dtype, json.loads(case))
    return [" ".join(float(value).hex() for value in values)]


def show_number(number: Any) -> str:
    return str(number) if isinstance(number, int) else float(number).hex()


def compute_draws(name: str, dtype: str, parameters: str, case: str, _: str) -> list[str]:
    drawn = draws.draw_exact(name, dtype, json.loads(parameters), json.loads(case))
    return [" ".join(map(show_number, drawn))]


def compute_close_draws(name: str, parameters: str, case: str, _: str) -> list[str]:
    with localcontext(prec=60):
        drawn = draws.draw_close(name, json.loads(parameters), json.loads(case))
    return [" ".join(map(show_number, drawn))]


COMPUTED = {
    "blocks.txt": compute_kinds,
    "concrete.txt": compute_concrete,
    "draws.txt": compute_draws,
    "draws_close.txt": compute_close_draws,
    "keys.txt": compute_keys,
    "kinds.txt": compute_kinds,
    "lanes.txt": compute_lanes,
    "more_kinds.txt": compute_more_kinds,
    "normals.txt": compute_normals,
    "philox.txt": compute_philox,
    "scales.txt": compute_scales,
    "schedules.txt": compute_schedules,
    "thresholds.txt": compute_thresholds,
    "ties.txt": compute_ties,
    "uniforms.txt": compute_uniforms,
}


FILES = sorted((spec.SPEC / "vectors").iterdir())
each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)


def check(path: Path, line: str) -> None:
    cells = [cell.strip() for cell in line.split("|")]
    computed = COMPUTED[path.name](*cells)
    assert computed == cells[-len(computed) :], line


@each_file
def test_vectors(path: Path) -> None:
    lines = spec.read_lines(path)
    assert lines
    for line in lines:
        check(path, line)


@each_file
def test_a_wrong_vector_is_red(path: Path) -> None:
    line = spec.read_lines(path)[0]
    wrong = line[:-1] + ("1" if line[-1] == "0" else "0")
    with pytest.raises(AssertionError):
        check(path, wrong)
