"""Pictures of noise: their colours, their parts, their text."""

import errno
import io
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

import noisegate as ng
from _own_kinds import NoisyGate
from noisegate import cli, pictures
from noisegate.core.expression import parse

PALE, BLUE, ORANGE = (to_rgb(colour) for colour in (pictures.KEPT, *pictures.GONE))
DOCS = Path(__file__).resolve().parents[1] / "docs" / "kinds"


def pixels(picture: bytes, *colours: tuple[float, ...]) -> list[int]:
    """Return how many pixels of a PNG have each colour, in the picture and not in its legend."""
    image = imread(io.BytesIO(picture), format="png")[..., :3]
    image = image[:, : int(image.shape[1] * 0.8)]
    return [int((np.abs(image - colour).max(-1) < 0.004).sum()) for colour in colours]


@pytest.mark.parametrize("shape", [(40,), (32, 48), (2, 16, 24), (2, 3, 16, 24), (2, 1, 3, 16, 16)])
def test_the_colours_are_the_mask(shape: tuple[int, ...]) -> None:
    kind = ng.Dropout(0.3)
    pale, blue = pixels(ng.pictures.draw(kind, shape, seed=7, site="a"), PALE, BLUE)
    mask = ng.mask(kind, shape, ng.Stream(7).site("a").at(0))
    assert pale + blue > 2000
    assert blue / (pale + blue) == pytest.approx(1 - mask.mean(), abs=0.02)


def test_steps_seeds_and_sites_are_those_asked_for() -> None:
    kind = ng.Dropout(ng.schedule.late(1.0, 4))
    legend = 400  # at most: its patches may be among the pixels
    pale, blue = pixels(ng.pictures.draw(kind, (8, 8), steps=[3]), PALE, BLUE)
    assert pale > 2000 > legend > blue
    pale, blue = pixels(ng.pictures.draw(kind, (8, 8), steps=[4]), PALE, BLUE)
    assert blue > 2000 > legend > pale
    assert min(pixels(ng.pictures.draw(kind, (8, 8), steps=[3, 4]), PALE, BLUE)) > 2000
    draw = ng.pictures.draw
    first = draw(ng.Dropout(0.3), (8, 8))
    assert draw(ng.Dropout(0.3), (8, 8)) == first  # no date, no program: equal bytes
    for other in ({"seed": 14}, {"site": "b"}, {"steps": [1]}, {"sample_axis": None}):
        assert draw(ng.Dropout(0.3), (8, 8), **other) != first


def test_replaced_values_have_a_colour_each() -> None:
    kind = ng.ImpulseNoise(0.4, 0, 1)
    pale, blue, orange = pixels(ng.pictures.draw(kind, (64, 64)), PALE, BLUE, ORANGE)
    field = ng.noise(kind, (64, 64), ng.Stream(13).site("").at(0))
    low, high = (float((~field.keep & (field.fill == value)).mean()) for value in (0, 1))
    total = pale + blue + orange
    assert blue / total == pytest.approx(low, abs=0.02)
    assert orange / total == pytest.approx(high, abs=0.02)


def parts(kind: ng.Kind, shape: tuple[int, ...] = (4, 5)) -> dict[str, Any]:
    keys = [ng.Stream(13).site("").at(0)]
    found = pictures._pick_parts(kind, shape, keys, 0, "channels_first")
    return {part.name: (part.classes, part.middle) for part in found}


def test_what_is_drawn_of_each_kind() -> None:
    mask = (("kept", "removed"), 0.0)
    assert parts(ng.Dropout(0.5)) == {"mask": mask}
    assert parts(ng.DropBlock(0.5, 2), (2, 2, 5, 5)) == {"mask": mask}
    assert parts(ng.AlphaDropout(0.5)) == {"mask": (("kept", "becomes -0.779"), 0.0)}
    assert parts(ng.GaussianNoise(0.5)) == {"shift": ((), 0.0)}
    assert parts(ng.UniformNoise(0.5)) == {"shift": ((), 0.0)}
    assert parts(ng.GaussianDropout(0.5)) == {"gain": ((), 1.0)}
    assert parts(ng.ConcreteDropout(0.5)) == {"gain": ((), 1.0)}
    assert list(parts(NoisyGate(0.5))) == ["mask", "gain", "shift"]
    assert parts(ng.NeftuneNoise(5)) == {"shift": ((), 0.0)}
    assert parts(ng.SpanMask(1.0, 3)) == {"mask": mask}
    assert parts(ng.PatchDropout(0.5)) == {"mask": mask}
    # Of a ramp from 0 to 1, since these read their input.
    assert parts(ng.ShotNoise(0.1)) == {"fill": ((), 0.0)}
    assert list(parts(ng.QuantizationNoise(0.5, 2))) == ["mask", "fill"]
    assert parts(ng.GaussianNoise(0)) == {}
    low, high = parts(ng.ImpulseNoise(0.9, -1, 2), (50, 5))["mask"][0][1:]
    assert (low, high) == ("becomes -1", "becomes 2")


@dataclass(frozen=True)
class ManyValues(ng.Kind):
    """Replaces by a number of a whole range."""

    p: float = 0.5
    RATE = "p"
    removes = True

    def field(self, draws: Any, rate: Any) -> ng.Field:
        return ng.Field(keep=draws.keep(rate), fill=draws.uniform(1))


def test_values_of_a_range_are_on_a_scale() -> None:
    assert list(parts(ManyValues())) == ["mask", "fill"]
    assert ng.pictures.draw(ManyValues(), (16, 16))[:4] == b"\x89PNG"


@pytest.mark.parametrize("kind", [ng.Dropout(0.3), ng.GaussianNoise(0.1), NoisyGate(0.2)])
@pytest.mark.parametrize("shape", [(), (7,), (3, 4), (2, 9, 9), (20, 70, 4, 4), (1, 2, 3, 4, 5, 6)])
def test_every_rank_and_format(kind: ng.Kind, shape: tuple[int, ...]) -> None:
    svg = ng.pictures.draw(kind, shape, format="svg", steps=2)
    assert ElementTree.fromstring(svg).tag.endswith("svg")
    assert ng.pictures.draw(kind, shape, format="pdf")[:4] == b"%PDF"


def test_long_axes_are_cut_and_the_title_says_so() -> None:
    place = ng.Stream(13).site("a")
    title = pictures._write_title(ng.Dropout(0.5), (20, 70, 4, 4), place)
    assert title == (
        "Dropout(p=0.5)\non (20, 70, 4, 4), seed 13, site 'a'; 8 of 20 rows and 8 of 70 columns "
        "of tiles shown"
    )
    unnamed = pictures._write_title(ng.Dropout(0.5), (4, 4), ng.Stream(13).site(""))
    assert unnamed == "Dropout(p=0.5)\non (4, 4), seed 13"
    assert "shown" not in pictures._write_title(ng.Dropout(0.5), (8, 8, 4, 4), place)
    tiles = np.arange(20 * 70 * 4).reshape(20, 70, 2, 2)
    mosaic = pictures._arrange_tiles(tiles)
    assert mosaic.shape == (8 * 3 - 1, 8 * 3 - 1)
    np.testing.assert_array_equal(mosaic[3:5, 6:8], tiles[1, 2])
    assert np.isnan(mosaic[2]).all()


@pytest.mark.parametrize("shape", [(40, 2, 3), (20, 9, 4, 6), (3, 2, 20, 9, 4, 6), (2, 2, 3, 4)])
@pytest.mark.parametrize("sample_axis", [0, None, 1])
@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
def test_what_is_seen_is_part_of_the_whole_noise(
    shape: tuple[int, ...], sample_axis: int | None, data_format: str
) -> None:
    keys = [ng.Stream(13).site("").at(step) for step in (0, 3)]
    found = list(pictures._draw_tiles(NoisyGate(0.3), shape, keys, sample_axis, data_format))
    for field, key in zip(found, keys, strict=True):
        whole = ng.noise(NoisyGate(0.3), shape, key, sample_axis=sample_axis)
        for seen, values in zip(field, whole, strict=True):
            drawn = np.moveaxis(values, -1, 1) if data_format == "channels_last" else values
            tiles = drawn.reshape(-1, 1 if len(shape) < 4 else drawn.shape[-3], *drawn.shape[-2:])
            np.testing.assert_array_equal(seen, tiles[:8, :8])


def test_noise_is_made_for_the_samples_that_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[int, ...]] = []
    noise = pictures.noise

    def counted(*arguments: Any) -> ng.Field:
        field = noise(*arguments)
        made.append(np.shape(field.keep))
        return field

    monkeypatch.setattr(pictures, "noise", counted)
    for shape in [(900, 3, 5, 5), (900, 4, 3, 5, 5), (900, 9, 9), (3, 9, 9), (900, 9)]:
        ng.pictures.draw(ng.Dropout(0.5), shape)
    ng.pictures.draw(ng.Dropout(0.5), (20, 9, 9), sample_axis=None)
    assert made == [(8, 3, 5, 5), (2, 4, 3, 5, 5), (8, 9, 9), (3, 9, 9), (900, 9), (20, 9, 9)]


def test_an_image_has_no_more_elements_than_the_picture_pixels() -> None:
    for shape in [(3000, 20), (20, 3000), (2500, 2500), (2, 3, 1500, 900), (5000,)]:
        tiles = pictures._split_tiles(np.broadcast_to(np.arange(shape[-1]), shape))
        height, width = pictures._arrange_tiles(tiles).shape
        assert max(height, width) <= pictures.PIXELS + 3 * pictures.TILES
        assert max(height, width) > pictures.PIXELS / 2
        step = tiles[0, 0, 0, 1] - tiles[0, 0, 0, 0]
        assert step == -(-pictures._measure_image(shape)[1] // pictures.PIXELS)
    pale, blue = pixels(ng.pictures.draw(ng.Dropout(0.3), (2, 3, 1500, 900)), PALE, BLUE)
    assert blue / (pale + blue) == pytest.approx(0.3, abs=0.03)


def test_a_shape_that_would_do_does() -> None:
    for shape in [(9000, 9000), (1, 9, 9, 5000, 500), (2**26,), (2**13, 2**13 + 1)]:
        assert np.prod(shape) > pictures.MOST >= np.prod(pictures._shrink(shape))
    assert pictures._shrink((3, 4)) == (3, 4)


def test_the_labels_say_which_axes_a_tile_has() -> None:
    assert pictures._choose_labels(3) == ("axis 0; a tile is axes 1, 2", "")
    assert pictures._choose_labels(4) == ("axis 0", "axis 1; a tile is axes 2, 3")
    (part,) = pictures._pick_parts(ng.Zoneout(0.5), (4, 8), [ng.Stream(1).site("").at(0)], 0, "x")
    assert part.classes == ("new", "as before")


def test_the_title_counts_the_tiles_that_are_drawn() -> None:
    place = ng.Stream(13).site("a")
    title = pictures._write_title(ng.Dropout(0.5), (4, 9, 7, 3), place, "channels_last")
    assert title == "Dropout(p=0.5)\non (4, 9, 7, 3), seed 13, site 'a'"


def test_channels_last_are_tiles_of_places() -> None:
    kind = ng.spatial_dropout(0.5, "channels_last")
    picture = ng.pictures.draw(kind, (4, 9, 7, 3), data_format="channels_last")
    same = ng.spatial_dropout(0.5, "channels_first")
    other = ng.pictures.draw(same, (4, 3, 9, 7))
    assert pixels(picture, BLUE)[0] == pytest.approx(pixels(other, BLUE)[0], rel=0.05)


# Text ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("0.5", ng.Dropout(0.5)),
        ("dropout(0.3)", ng.Dropout(0.3)),
        ("Dropout(p=0.3, shared_axes=(2, 3))", ng.Dropout(0.3, shared_axes=(2, 3))),
        ("dropout(0.3, shared_axes=slice(2, None))", ng.Dropout(0.3, shared_axes=slice(2, None))),
        (" spatial_dropout(0.3) ", ng.spatial_dropout(0.3)),
        ("spatial_dropout(0.3, 'channels_last')", ng.spatial_dropout(0.3, "channels_last")),
        ("SpatialDropout2D(0.3, dim_ordering='tf')", ng.spatial_dropout(0.3, "channels_last")),
        ("gaussian(0.1)", ng.GaussianNoise(0.1)),
        ("dropout", ng.Dropout()),
        ("gaussian_noise(sigma=1)", ng.GaussianNoise(1)),
        ("drop_block2d(0.2, [3, 5])", ng.DropBlock(0.2, (3, 5))),
        ("impulse_noise(0.2, -1, 1)", ng.ImpulseNoise(0.2, -1, 1)),
        ("locked_dropout(0.2, time_axis=1)", ng.locked_dropout(0.2, 1)),
        ("schedule.early(0.5, steps=3)", ng.Dropout(ng.schedule.early(0.5, 3))),
        (
            "alpha_dropout(schedule.cosine(0, .5, steps=9))",
            ng.AlphaDropout(ng.schedule.cosine(0, 0.5, 9)),
        ),
    ],
)
def test_noise_is_read_from_text(text: str, kind: ng.Kind) -> None:
    assert parse(text) == kind


@pytest.mark.parametrize(
    "kind", [ng.Dropout(0.3, False, shared_axes=slice(1, None)), ng.DropBlock(0.2, (2, 3))]
)
def test_a_repr_reads_back(kind: ng.Kind) -> None:
    assert parse(repr(kind)) == kind


@pytest.mark.parametrize(
    "text",
    ["__import__('os')", "dropout(open('x'))", "dropout.__class__", "(lambda: 1)()", "dropout(p)"],
)
def test_nothing_else_is_executed(text: str) -> None:
    with pytest.raises(ng.InvalidValue):
        parse(text)


# The command ---------------------------------------------------------------------------------


def test_the_command_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "masks.png"
    words = ["show", "spatial_dropout(0.3)", "--shape", "4,3,16,16", "-o", str(out)]
    assert cli.main(words) == 0
    assert out.read_bytes() == ng.pictures.draw(ng.spatial_dropout(0.3), (4, 3, 16, 16))
    said = f"Dropout(p=0.3, shared_axes=slice(2, None)): {out}\n"
    assert capsys.readouterr().out == said
    svg = tmp_path / "masks.svg"
    words = ["show", "0.3", "--shape", "6,5", "--steps", "2,5", "--seed", "3", "--site", "a"]
    assert cli.main([*words, "--sample-axis", "none", "-o", str(svg)]) == 0
    expected = ng.pictures.draw(
        ng.Dropout(0.3), (6, 5), seed=3, site="a", steps=(2, 5), sample_axis=None, format="svg"
    )
    assert svg.read_bytes() == expected


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (
            ["dropuot(0.5)", "--shape", "4,4"],
            2,
            "there is no noise called `dropuot`. Did you mean `dropout`?",
        ),
        (
            ["dropout(1.5)", "--shape", "4,4"],
            2,
            "Dropout: `p` must be in [0, 1]; got 1.5. Did you mean 0.15?",
        ),
        (
            ["dropout(0.5)", "--shape", "4,4", "-o", "mask.jpg"],
            2,
            "show: `format` must be 'png' or 'svg' or 'pdf'; got 'jpg'. Did you mean 'png'?",
        ),
        (
            ["dropout(0.5)", "--shape", "4,0"],
            2,
            "show: an input of shape (4, 0) has no elements to draw.",
        ),
        (
            ["drop_block(0.5, 3)", "--shape", "4,4"],
            2,
            "DropBlock: `axes` must name at least one spatial axis; an input of rank 2 has "
            "none of the axes from 2 on. Images are (samples, channels, height, width).",
        ),
    ],
)
def test_a_bad_command_is_answered_in_a_sentence(
    words: list[str], code: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["show", *words]) == code
    assert capsys.readouterr().err == f"noisegate: {sentence}\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["--shape", "4,x"],
            "--shape: whole numbers with commas are needed, as 4,3,16,16; got '4,x'",
        ),
        (
            ["--shape", "4,4", "--sample-axis", "0,1"],
            "--sample-axis: one axis or none is needed; got '0,1'",
        ),
        (
            ["--shape", "4,4", "--steps", "1;2"],
            "--steps: whole numbers with commas are needed, as 4,3,16,16; got '1;2'",
        ),
        ([], "the following arguments are required: --shape"),
    ],
)
def test_bad_options_are_answered_by_argparse(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["show", "dropout(0.5)", *words])
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err


def test_one_step_by_its_number(tmp_path: Path) -> None:
    for words, steps in (("7,", [7]), ("7", 7), ("2,5", [2, 5])):
        out = tmp_path / "a.png"
        assert cli.main(["show", "0.5", "--shape", "4,4", "--steps", words, "-o", str(out)]) == 0
        assert out.read_bytes() == ng.pictures.draw(ng.Dropout(0.5), (4, 4), steps=steps)


def test_a_folder_that_is_not_there_ends_in_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "none" / "a.png"
    assert cli.main(["show", "0.5", "--shape", "4,4", "-o", str(out)]) == 1
    assert str(out) in capsys.readouterr().err


def test_a_file_that_cannot_be_written_ends_in_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Path, "write_bytes", full)
    assert cli.main(["show", "0.5", "--shape", "4,4", "-o", "a.png"]) == 1
    assert capsys.readouterr().err == (
        "noisegate: show: cannot write 'a.png': No space left on device. Name another file.\n"
    )


def test_without_matplotlib_it_is_a_sentence() -> None:
    code = (
        "import sys\nimport importlib.util as u\nfind = u.find_spec\n"
        "u.find_spec = lambda name: None if name == 'matplotlib' else find(name)\n"
        "import noisegate as ng\n"
        "try:\n    ng.pictures.draw(ng.Dropout(), (4, 4))\n"
        "except ng.MissingExtra as error:\n    print(error)\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        'noisegate.pictures needs matplotlib. Install it with: pip install "noisegate[study]"',
        "False",
    ], done.stderr


# The gallery ---------------------------------------------------------------------------------


def test_every_kind_has_its_page_and_its_picture() -> None:
    from noisegate.core.catalogue import LAYERS
    from noisegate.core.kinds import KINDS

    index = (DOCS / "README.md").read_text("utf-8")
    for name in KINDS:
        page = LAYERS[name].function
        text = (DOCS / f"{page}.md").read_text("utf-8")
        assert text.startswith(f"# {name}\n")
        assert f"](images/{page}.png)" in text
        assert f"-o images/{page}.png" in text
        assert "```python" in text
        assert f"[{name}]({page}.md)" in index
        assert (DOCS / "images" / f"{page}.png").read_bytes()[:4] == b"\x89PNG"
    for name in LAYERS:
        assert f"`{name}" in index
