"""Reports, handles, networks and kinds in a console and in a notebook."""

import copy
import pickle
import re
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from typing import Any

import pytest
from torch import nn

import noisegate as ng
from _nets import X, net
from noisegate.core.html import table
from noisegate.nets import Dense, Dropout, Input, join

EMPTY = {"rect"}  # written <rect/>


class Page(HTMLParser):
    """Reads HTML, and finds every element that is not closed where it should be."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[str] = []
        self.colours: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        assert tag in EMPTY
        self.colours.append(dict(attrs)["fill"])

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1] in ("td", "th"):
            self.cells[-1] += data


def noise() -> ng.injection.Injection:
    return ng.inject(nn.Sequential(nn.Linear(4, 8), nn.ReLU()), {"1:out": 0.5}, seed=13)


# Tables --------------------------------------------------------------------------------------


def test_a_table_escapes_what_is_in_it() -> None:
    text = table(["<a>", "b"], [["1 & 2", "</td>"], ["", '"']], caption="<c>")
    assert Page(text).cells == ["<a>", "b", "1 & 2", "</td>", "", '"']
    assert "<caption>&lt;c&gt;</caption>" in text
    assert "<caption>" not in table(["a"], [])


def test_a_console_shows_a_report_as_its_table() -> None:
    report = noise().report()
    assert repr(report) == str(report) == "\n".join(report.splitlines())
    assert "\\n" not in repr(report)
    for other in (copy.deepcopy(report), pickle.loads(pickle.dumps(report))):
        assert (other, other.rows) == (report, report.rows)


def test_a_notebook_shows_a_report_with_its_notes() -> None:
    handle = ng.inject(nn.Sequential(nn.Linear(4, 8)), {"in:out": ng.Dropout(0.5)}, seed=1)
    report = handle.report()
    text = report._repr_html_()
    assert Page(text).cells == [*report.columns, *report.rows[0]]
    assert text.endswith(
        "<p>note: &#x27;in:out&#x27; means &#x27;:in&#x27;, the model&#x27;s own input.</p>"
    )


def test_a_notebook_shows_a_handle_and_a_network_as_tables() -> None:
    handle = noise()
    text = handle._repr_html_()
    assert text.startswith("<p>&lt;noise at 1 site, seed 13, step 0&gt;</p><table>")
    assert Page(text).cells == [*handle.report().columns, *handle.report().rows[0]]
    for network in (join(Input(4), Dense(3) >> Dropout(0.5)), Dense(3) >> Dropout(0.5)):
        summary = network.summary()
        cells = [cell for row in summary.rows for cell in row]
        assert Page(network._repr_html_()).cells == [*summary.columns, *cells]


# Kinds ---------------------------------------------------------------------------------------

KINDS = [
    ng.Dropout(0.5),
    ng.Dropout(0.5, shared_axes=1),
    ng.Dropout(ng.schedule.linear(0.0, 0.5, steps=9)),
    ng.spatial_dropout(0.5),
    ng.drop_path(0.5),
    ng.AlphaDropout(0.3),
    ng.ConcreteDropout(0.3),
    ng.DropBlock(0.2, 3),
    ng.GaussianDropout(0.3),
    ng.GaussianNoise(0.3),
    ng.ImpulseNoise(0.3, -1.0, 2.0),
    ng.DropKey(0.3),
    ng.UniformNoise(0.3),
    ng.MultiplicativeUniformNoise(0.3),
    ng.SpeckleNoise(0.3),
    ng.NeftuneNoise(5),
    ng.ShotNoise(0.1),
    ng.QuantizationNoise(0.5, 3),
    ng.RandomErasing(1.0),
    ng.SpanMask(1.0, 5),
    ng.Zoneout(0.3),
    ng.PatchDropout(0.5),
]


@pytest.mark.parametrize("kind", KINDS, ids=repr)
def test_a_notebook_shows_a_kind_with_a_picture_of_its_noise(kind: ng.Kind) -> None:
    text = kind._repr_html_()
    colours = Page(text).colours
    assert len(colours) == 8 * 16
    assert len(set(colours)) > 1
    assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in colours)
    assert text == copy.deepcopy(kind)._repr_html_()


def test_the_picture_is_the_mask() -> None:
    kept = ng.mask(ng.Dropout(0.5), (8, 16), ng.Stream(13).site("").at(0))
    expected = ["#ededed" if keep else "#0072b2" for keep in kept.ravel()]
    assert Page(ng.Dropout(0.5)._repr_html_()).colours == expected
    assert set(Page(ng.Dropout(0.0)._repr_html_()).colours) == {"#ededed"}
    assert set(Page(ng.Dropout(1.0)._repr_html_()).colours) == {"#0072b2"}


@dataclass(frozen=True)
class Nowhere(ng.Kind):
    """A kind that no array fits."""

    p: float = 0.1
    RATE = "p"

    def field(self, draws: Any, rate: Any) -> ng.Field:
        raise ng.InvalidValue("nowhere")


def test_a_kind_that_no_array_fits_is_shown_without_a_picture() -> None:
    assert Nowhere()._repr_html_() == "<p>Nowhere(p=0.1)</p>"


# Names ---------------------------------------------------------------------------------------


def test_a_handle_names_what_is_public() -> None:
    handle = noise()
    names = [name for name in dir(handle) if not name.startswith("_")]
    assert names == [
        *("at", "load_state", "load_state_dict", "mask", "off", "on", "rates", "remove", "report"),
        *("rows", "seed", "set_rate", "sites", "state", "state_dict", "step", "suggest"),
    ]
    assert all(hasattr(handle, name) for name in names)
    assert "__exit__" in dir(handle)


def test_a_handle_has_torch_s_names_for_its_state() -> None:
    handle = noise()
    handle.step = 7
    state = handle.state_dict()
    assert state == handle.state()
    handle.step = 0
    handle.load_state_dict(state)
    assert handle.step == 7


# Predictions ----------------------------------------------------------------------------------


def test_a_prediction_is_a_table_of_its_numbers() -> None:
    p = ng.predict(net(), X, 6, hidden_dropout=0.4, seed=7)
    assert Page(p._repr_html_()).cells == [
        *("prediction", "value"),
        *("shape", "(40, 3)", "samples", "6", "seed", "7", "outputs", "logits"),
        *("mean standard deviation", f"{p.std.mean():.4g}"),
        *("mean entropy", f"{p.entropy.mean():.4g}"),
        *("mean mutual information", f"{p.mutual_information.mean():.4g}"),
    ]
    values = ng.predict(net(1), X, 6, hidden_dropout=0.4, seed=7)
    assert Page(values._repr_html_()).cells[8:] == [
        *("outputs", "values", "mean standard deviation", f"{values.std.mean():.4g}"),
    ]
    assert repr(ng.predict(net(), X, 1, hidden_dropout=0.4, seed=7)) == (
        "<prediction of shape (40, 3), 1 sample, seed 7>"
    )
    odd = replace(values, outputs="<b>")
    assert "<b>" not in odd._repr_html_()
    assert "<b>" in Page(odd._repr_html_()).cells
