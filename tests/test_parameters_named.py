"""Which parameters a rule or a word names: tied ones, those of fused code, all weights."""

import re
import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

import noisegate as ng
from _asserts import assert_same_bits, assert_sentence

SEED = 5


# Tied parameters -------------------------------------------------------------------------------


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.table = nn.Embedding(6, 4)
        self.head = nn.Linear(4, 6, bias=False)
        self.head.weight = self.table.weight

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.table(ids))


def test_a_tied_parameter_needs_a_choice() -> None:
    with assert_sentence(
        ng.InvalidValue,
        "inject: 'head:weight' is one parameter with 'table:weight'. Say where its noise acts: "
        "tied='all' for all of them alike, or tied='each' for those that rules name.",
    ):
        ng.inject(Tied(), {"head:weight": 0.5}, seed=SEED)
    with assert_sentence(ng.InvalidValue, "inject: `tied` must be 'each' or 'all'; got 'one'."):
        ng.inject(Tied(), {"head:weight": 0.5}, seed=SEED, tied="one")


def test_noise_on_a_tied_parameter_acts_in_each_or_in_all() -> None:
    model, ids = Tied(), torch.arange(6)
    raw, kind = model.table.weight, ng.Dropout(0.5)

    def draw(site: str) -> Tensor:
        return kind(raw, ng.Stream(SEED).site(site).at(0), sample_axis=None)

    with ng.inject(model, {"head:weight": kind}, seed=SEED, tied="each") as noise:
        assert noise.sites == ("head:weight",)
        assert_same_bits(model(ids), raw @ draw("head:weight").T)
    for rule in ("head:weight", "*:weight"):
        with ng.inject(model, {rule: kind}, seed=SEED, tied="all") as noise:
            assert noise.sites == ("table:weight",)
            both = draw("table:weight")
            assert_same_bits(model(ids), both @ both.T)
    with ng.inject(model, {"*:weight": kind}, seed=SEED, tied="each"):
        assert_same_bits(model(ids), draw("table:weight") @ draw("head:weight").T)
    assert model.head.weight is model.table.weight


# The rest of the handle, and predictions ---------------------------------------------------------


def test_the_handle_serves_parameters() -> None:
    layer, x = nn.Linear(4, 3, bias=False), torch.eye(4)
    rate = ng.schedule.linear(0.0, 0.5, 10)
    noise = ng.inject(layer, {":weight": rate}, seed=SEED)
    noise.step = 10
    kept = layer(x).T != 0
    assert_same_bits(kept, torch.from_numpy(noise.mask(":weight")))
    noise.set_rate("*:weight", 0.0)
    assert_same_bits(layer(x).T.contiguous(), layer.weight)
    layer.eval()
    noise.set_rate(":weight", 0.9)
    assert_same_bits(layer(x).T.contiguous(), layer.weight)


@pytest.mark.parametrize(
    "site", ["self_attn:in_proj_weight", "self_attn.out_proj:weight", "linear1:weight"]
)
def test_predictions_reach_weights_that_fused_code_reads(site: str) -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    x = torch.randn(2, 3, 8)
    result = ng.predict(layer, x, 4, rules={site: 0.5}, seed=SEED, keep_samples=True)
    assert (result.std > 0).all()
    again = ng.predict(layer, x, 4, rules={site: 0.5}, seed=SEED, batch_size=1, keep_samples=True)
    torch.testing.assert_close(torch.tensor(again.samples), torch.tensor(result.samples))


def test_a_word_that_no_parameter_has_and_a_path_that_no_module_has() -> None:
    with assert_sentence(
        ng.UnmatchedRule,
        "inject: the rule 'hid:weight' matches no site. The nearest sites are '0:weight', "
        "'0:bias'.",
    ):
        ng.inject(nn.Sequential(nn.Linear(2, 2)), {"hid:weight": 0.5}, seed=SEED)


# The words for weights -------------------------------------------------------------------------


def test_the_words_for_weights_mean_layers_weights() -> None:
    parts = nn.Embedding(9, 4), nn.LSTM(4, 3, 2), nn.Linear(3, 3), nn.LayerNorm(3), nn.Linear(3, 2)
    model = nn.Sequential(*parts)
    with ng.inject(model, weight_dropout=0.5, weight_noise=0.1, seed=SEED) as noise:
        assert noise.sites == ("1:weight_hh_l0", "1:weight_hh_l1", "2:weight", "4:weight")
        assert {str(n.placement.kind) for n in noise.noises} == {
            "Dropout(p=0.5)",
            "GaussianNoise(sigma=0.1)",
        }
        assert {n.placement.sample_axis for n in noise.noises} == {None}


def test_a_word_without_sites_is_refused() -> None:
    with assert_sentence(
        ng.UnmatchedRule,
        "inject: `weight_dropout` finds no weight sites in this model: it has no layers with "
        "weights. Write a rule, for example {'hid*:out': 0.5}.",
    ):
        ng.inject(nn.Sequential(nn.ReLU()), weight_dropout=0.5, seed=SEED)


def make_tied_down() -> nn.Sequential:
    """Return layers of which pruning, weight_norm and parametrizations make the weights."""
    parts = [nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3), nn.LSTM(3, 3), nn.Embedding(3, 3)]
    prune.l1_unstructured(parts[0], "weight", 0.3)
    prune.l1_unstructured(parts[0], "bias", 0.3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nn.utils.weight_norm(parts[1])
    nn.utils.parametrizations.spectral_norm(parts[2])
    nn.utils.parametrizations.orthogonal(parts[3], "weight_hh_l0")
    nn.utils.parametrizations.orthogonal(parts[4])
    prune.random_unstructured(parts[3], "weight_ih_l0", 0.3)
    return nn.Sequential(*parts)


def test_the_report_names_weights_that_are_made_of_others() -> None:
    model = nn.Sequential(make_tied_down(), nn.Linear(3, 2))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with ng.inject(model, weight_dropout=0.5, seed=SEED) as noise:
        assert all(value.equal(before[name]) for name, value in model.state_dict().items())
        assert noise.sites == ("1:weight",)
        assert noise.report().notes == (
            "'weight_dropout' leaves out '0.0:weight', '0.1:weight', '0.2:weight', "
            "'0.3:weight_hh_l0', which pruning or a parametrization makes of other parameters.",
            "'weight_dropout' means '1:weight'.",
        )


def test_a_word_whose_weights_are_all_made_is_refused() -> None:
    with assert_sentence(
        ng.UnmatchedRule,
        "inject: `weight_noise` finds no weight sites in this model: it has no layers with "
        "weights but those that pruning or a parametrization makes of other parameters. Write "
        "a rule, for example {'hid*:out': 0.5}.",
    ):
        ng.inject(make_tied_down(), weight_noise=0.5, seed=SEED)


def test_estimators_take_noise_on_weights() -> None:
    from noisegate.estimators import Classifier

    x = torch.randn(40, 4).numpy()
    y = (x[:, 0] > 0).astype(int)
    model = Classifier((None, 8, None), max_epochs=2, random_state=0, weight_dropout=0.3)
    assert "hid1:weight" in model.fit(x, y).noise_[0]
    mean, std = model.predict_proba(x, samples=20, return_std=True, weight_dropout=0.5, seed=1)
    assert mean.shape == std.shape == (40, 2)
    assert (std > 0).all()


def test_an_estimator_reports_noise_on_weights_and_states_once() -> None:
    from noisegate import nets
    from noisegate.estimators import Classifier

    x = torch.randn(20, 5, 3).numpy()
    net = nets.join(nets.Input((None, 3)), nets.LSTM(4, name="lstm"), nets.Linear(2))
    model = Classifier(net, max_epochs=1, random_state=0)
    words = {"weight_noise": 0.1, "recurrent_dropout": 0.3, "weight_dropout": 0.2}
    (report,) = model.fit(x, x[:, 0, 0] > 0, **words).noise_
    rules = [re.split(r" {2,}", line)[3] for line in report.splitlines()[1:6]]
    assert rules == ["recurrent_dropout", *["weight_dropout"] * 2, *["weight_noise"] * 2]


@pytest.mark.parametrize(("more", "names"), [({}, ["in"]), ({"kdim": 3}, ["q", "k", "v"])])
def test_the_words_for_weights_mean_all_projections_of_an_attention(
    more: dict[str, int], names: list[str]
) -> None:
    model = nn.Sequential(nn.MultiheadAttention(4, 2, **more))
    with ng.inject(model, weight_dropout=0.5, seed=SEED) as noise:
        expected = [f"0:{name}_proj_weight" for name in names]
        assert sorted(noise.sites) == sorted([*expected, "0.out_proj:weight"])
