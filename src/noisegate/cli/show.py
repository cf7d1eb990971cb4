"""`noisegate show`: draw the field of a noise."""

import argparse
from pathlib import Path

__all__ = ["add"]

DESCRIPTION = """\
Draw the field of a noise: masks in two colours, continuous noise on a scale,
several steps side by side. The noise is a call of any kind, preset or layer,
or a number.
"""

EPILOG = """\
Examples:
  noisegate show 'spatial_dropout(0.3)' --shape 4,3,16,16 -o masks.png
  noisegate show 'drop_block(0.2, 5)' --shape 2,4,28,28 --steps 3
  noisegate show 'dropout(schedule.linear(0, .5, 4))' --shape 16,32 --steps 5
"""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand to the command's parser."""
    parser = subparsers.add_parser(
        "show",
        help="draw what a noise does to an input",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    parser.add_argument("noise", metavar="NOISE", help="for example 'spatial_dropout(0.3)'")
    parser.add_argument(
        "--shape",
        type=_parse_numbers,
        required=True,
        metavar="N,C,H,W",
        help="shape of the input, with commas",
    )
    parser.add_argument(
        "--steps",
        type=_parse_steps,
        default=1,
        metavar="COUNT",
        help="how many steps from 0 on; or which, with commas (7, is step 7); default: 1",
    )
    parser.add_argument("--seed", type=int, default=13, help="default: %(default)s")
    parser.add_argument("--site", default="", help="name of the place; default: empty")
    parser.add_argument(
        "--sample-axis",
        type=_parse_axis,
        default=0,
        metavar="AXIS",
        help="an axis, or none; default: 0",
    )
    parser.add_argument(
        "--data-format",
        choices=("channels_first", "channels_last"),
        default="channels_first",
        help="where the channels of the shape are; default: %(default)s",
    )
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        default=Path("noise.png"),
        metavar="FILE",
        help="the picture: .png, .svg or .pdf; default: %(default)s",
    )
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> None:
    """Draw the picture, write it and print its path."""
    from noisegate import pictures
    from noisegate.core.errors import NoisegateError
    from noisegate.core.expression import parse
    from noisegate.core.window import DEFAULT_AXIS

    # The noise and the place of the file are checked before matplotlib is imported.
    kind = parse(arguments.noise)
    out: Path = arguments.out
    _check_out(out)
    picture = pictures.draw(
        kind,
        arguments.shape,
        seed=arguments.seed,
        site=arguments.site,
        steps=arguments.steps,
        sample_axis=DEFAULT_AXIS if arguments.sample_axis == 0 else arguments.sample_axis,
        data_format=arguments.data_format,
        format=out.suffix[1:].lower(),
    )
    try:
        out.write_bytes(picture)
    except OSError as error:
        reason = error.strerror or str(error)
        raise NoisegateError(f"show: cannot write '{out}': {reason}. Name another file.") from error
    print(f"{kind!r}: {out}")


def _check_out(out: Path) -> None:
    """Raise if no file can be written there, before anything is drawn."""
    from noisegate.core.errors import NoisegateError

    if out.is_dir():
        raise NoisegateError(
            f"show: --out must name a file; '{out}' is a folder. Name a file in it."
        )
    if not out.parent.is_dir():
        raise NoisegateError(
            f"show: --out must name a file in a folder that exists; got '{out}'. Make "
            "that folder, or name another."
        )


def _parse_numbers(text: str) -> tuple[int, ...]:
    """Return the numbers of a text such as ``4,3,16,16``."""
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        sentence = f"whole numbers with commas are needed, as 4,3,16,16; got {text!r}"
        raise argparse.ArgumentTypeError(sentence) from None


def _parse_steps(text: str) -> int | tuple[int, ...]:
    """Return a count of steps, or with a comma the steps themselves."""
    numbers = _parse_numbers(text)
    return numbers if "," in text or len(numbers) != 1 else numbers[0]


def _parse_axis(text: str) -> int | None:
    """Return the axis of a text; None for ``none``."""
    numbers = () if text.lower() == "none" else _parse_numbers(text)
    if len(numbers) > 1:
        raise argparse.ArgumentTypeError(f"one axis or none is needed; got {text!r}")
    return numbers[0] if numbers else None
