"""`noisegate sites`: list where noise can go in a model, and what rules would match."""

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .streams import divert_prints

if TYPE_CHECKING:
    from noisegate.study.listing import Listing

__all__ = ["add"]

DESCRIPTION = """\
List the sites of a model, the places where noise can go, and what rules would
match there. The model is mlp, cnn, or module:function in the current folder:
the function is called as function(input_shape, n_outputs) and returns a
torch.nn.Module.
"""

EPILOG = """\
Examples:
  noisegate sites mlp
  noisegate sites mlp 'hid*:out=0.5, in:out=gaussian(0.1)'
  noisegate sites cnn 'conv*:out=spatial_dropout(0.2)' --shape 3,32,32 --json
"""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand to the command's parser."""
    parser = subparsers.add_parser(
        "sites",
        help="list where noise can go in a model, and what rules would match",
        description=DESCRIPTION,
        epilog=EPILOG,
        usage="noisegate sites MODEL [RULES] [--shape C,H,W] [--outputs COUNT] [--json]",
    )
    parser.add_argument("model", metavar="MODEL", help="mlp, cnn or module:function")
    parser.add_argument(
        "rules", metavar="RULES", nargs="?", help="for example 'hid*:out=0.5, in:out=gaussian(0.1)'"
    )
    parser.add_argument(
        "--shape",
        type=_parse_shape,
        default=(1, 8, 8),
        metavar="C,H,W",
        help="shape of one row of the data, with commas; default: 1,8,8",
    )
    parser.add_argument(
        "--outputs",
        type=_parse_count,
        default=10,
        metavar="COUNT",
        help="how many classes, or 1; default: %(default)s",
    )
    parser.add_argument("--json", action="store_true", help="as one JSON object")
    parser.set_defaults(execute=execute)


def execute(parsed: argparse.Namespace) -> None:
    """Print the sites of a model, and what the rules match."""
    from noisegate.study.design import check_model
    from noisegate.study.rule_text import parse_rules

    check_model(parsed.model)
    rules = None if parsed.rules is None else parse_rules(parsed.rules)
    # Imported here, so that the errors above need not wait for torch.
    from noisegate.study.listing import list_sites
    from noisegate.study.models import Model

    with divert_prints(parsed.json):
        found = list_sites(Model(parsed.model), parsed.shape, parsed.outputs, rules)
    print(json.dumps(_to_dict(found, parsed), indent=1) if parsed.json else _format_tables(found))


def _to_dict(found: "Listing", parsed: argparse.Namespace) -> dict[str, Any]:
    """Return a listing as a dict that JSON can hold; `matched` is None without rules."""
    report, notes, matched = found.report, found.notes, None
    if report is not None:
        matched = [dict(zip(report.columns, row, strict=True)) for row in report.rows]
        notes = (*notes, *report.notes)
    return {
        "model": parsed.model,
        "input_shape": parsed.shape,
        "outputs": parsed.outputs,
        "notes": notes,
        "sites": [asdict(site) for site in found.sites],
        "matched": matched,
    }


def _format_tables(found: "Listing") -> str:
    """Return the table of the sites, and that of the rules if there are any."""
    from noisegate.injection import Report

    columns = ["site", "module", "shape of two rows", "noise of the model's own"]
    rows = [[site.name, site.module, str(site.shape or ""), site.noise] for site in found.sites]
    width = 4 if any(site.noise for site in found.sites) else 3
    table = Report(columns[:width], [row[:width] for row in rows], found.notes)
    return table if found.report is None else f"{table}\n\n{found.report}"


def _parse_shape(text: str) -> tuple[int, ...]:
    """Return the shape of a text such as ``1,8,8``."""
    return tuple(_parse_count(part) for part in text.split(",") if part.strip()) or (
        _parse_count(text),
    )


def _parse_count(text: str) -> int:
    """Return the whole number of a text; it is at least 1."""
    if not text.strip().isdecimal() or int(text) < 1:
        sentence = f"whole numbers of at least 1 are needed, as 1,8,8; got {text!r}"
        raise argparse.ArgumentTypeError(sentence)
    return int(text)
