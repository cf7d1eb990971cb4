"""One grammar of sites for any model: wrappers, ports, shorthands, any type of output."""

from collections import OrderedDict, namedtuple
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import noisegate as ng
from _asserts import assert_same_bits, assert_sentence
from _blocks import X, plain
from noisegate.torch.model.host import Host


def kept(site: str, shape: tuple[int, ...], seed: int = 1, step: int = 0, call: int = 0) -> Tensor:
    key = ng.Stream(seed).site(site).at(step, call)
    return torch.from_numpy(ng.mask(ng.Dropout(0.5), shape, key, sample_axis=0).copy())


# Ports ---------------------------------------------------------------------------------------


def test_pre_is_what_the_activation_gets() -> None:
    model = plain()
    ng.inject(model, {"block:pre": 0.5}, seed=1)
    seen: list[Tensor] = []
    model.block[1].register_forward_pre_hook(lambda m, args: seen.append(args[0]))
    model(X)
    assert_same_bits(seen[0] != 0, kept("block:pre", (5, 20)))
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    ng.inject(layer, {":pre": 0.5}, seed=1)
    layer.linear1.register_forward_hook(lambda m, args, out: seen.append(out))
    layer(torch.randn(3, 4, 8))
    assert_same_bits(seen[1] != 0, kept(":pre", (3, 4, 16)))


def test_a_shared_activation_is_nobody_s_pre() -> None:
    relu = nn.ReLU()
    model = nn.Sequential(
        nn.Sequential(nn.Linear(2, 2), relu), nn.Sequential(nn.Linear(2, 2), relu)
    )
    with pytest.raises(ng.UnmatchedRule):
        ng.inject(model, {"0:pre": 0.5}, seed=1)


def test_recurrent_modules_have_the_ports_of_their_states_and_layers() -> None:
    parts = {"lstm": nn.LSTM(4, 4, 2), "gru": nn.GRU(4, 4), "cell": nn.LSTMCell(4, 4)}
    model = nn.ModuleDict(parts | {"rnn": nn.RNNCell(4, 4)})
    found = list(Host(model).sites().inside)
    lstm = ["lstm:state", "lstm:cell", "lstm:layers"]
    assert found == [*lstm, "gru:state", "cell:state", "cell:cell", "rnn:state"]


def test_a_port_that_nothing_has_is_refused() -> None:
    with assert_sentence(
        ng.InvalidValue,
        "inject: the port of a rule must be `in`, `out`, `pre`, `branch`, `tokens`, `dropout`, "
        "`noise`, `probs`, `heads`, `scores`, `state`, `cell`, `layers` or a parameter's name; got "
        "`wieght` in 'hid:wieght'. "
        "Did you mean 'hid:weight'? The parameters there are `weight`, `bias`.",
    ):
        ng.inject(plain(), {"hid:wieght": 0.5}, seed=1)
    with pytest.raises(ng.InvalidValue, match=r"got `out\*` in 'hid:out\*'"):
        ng.inject(plain(), {"hid:out*": 0.5}, seed=1)


# What a hook sees ----------------------------------------------------------------------------

Pair = namedtuple("Pair", "first second")


class Returns(nn.Module):
    """Returns what it is told to, of ones."""

    def __init__(self, make: Any) -> None:
        super().__init__()
        self.inner = nn.Identity()
        self.make = make

    def forward(self, x: Tensor) -> Any:
        return self.make(self.inner(x))


ONES = torch.ones(5, 40)
IDS = torch.arange(5)
FORMS: dict[str, tuple[Any, str | None, Any]] = {
    "tensor": (lambda x: x, None, lambda y: y),
    "tuple": (lambda x: (IDS, x, x), None, lambda y: y[1]),
    "list": (lambda x: [IDS, x], None, lambda y: y[1]),
    "dict": (lambda x: {"ids": IDS, "logits": x}, None, lambda y: y["logits"]),
    "ordered": (lambda x: OrderedDict(ids=IDS, logits=x), None, lambda y: y["logits"]),
    "named tuple": (lambda x: Pair(IDS, x), None, lambda y: y.second),
    "nested": (lambda x: ([IDS, {"a": x}], x), None, lambda y: y[0][1]["a"]),
    "by number": (lambda x: (x, x + 0), "1", lambda y: y[1]),
    "by name": (lambda x: {"a": x, "b": x + 0}, "b", lambda y: y["b"]),
    "by field": (lambda x: Pair(x, x + 0), "second", lambda y: y.second),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_first_floating_tensor_or_the_one_that_is_named(form: str) -> None:
    make, part, read = FORMS[form]
    site = ":out" if part is None else f":out.{part}"
    model = Returns(make)
    noise = ng.inject(model, {site: 0.5}, seed=1)
    before = make(ONES)
    out = model(ONES)
    assert noise.sites == (site,)
    assert type(out) is type(before)
    assert_same_bits(read(out) != 0, kept(site, (5, 40)))
    others = [y for y in _leaves(out) if y is not read(out)]
    assert len(others) == len(_leaves(before)) - 1
    assert all(other is IDS or (other == 1).all() for other in others)


def _leaves(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    values = value.values() if isinstance(value, dict) else value
    return [leaf for part in values for leaf in _leaves(part)]


def test_what_a_module_takes_may_be_named_too() -> None:
    class Two(nn.Module):
        def forward(self, a: Tensor, *, b: Tensor, batch: dict[str, Tensor]) -> Any:
            return a, b, batch["c"]

    model = Two()
    ng.inject(model, {":in.b": 0.5}, seed=1)
    a, b, c = model(ONES, b=ONES, batch={"c": ONES})
    assert a is ONES
    assert c is ONES
    assert_same_bits(b != 0, kept(":in.b", (5, 40)))
    other = Two()
    ng.inject(other, {":in": 0.5}, seed=1)
    a, b, c = other(IDS, b=IDS, batch={"ids": IDS, "c": ONES})
    assert_same_bits(c != 0, kept(":in", (5, 40)))


def test_a_part_that_is_not_there_is_answered() -> None:
    model = Returns(lambda x: {"logits": x, "ids": IDS})
    ng.inject(model, {":out.loss": 0.5}, seed=1)
    with assert_sentence(
        ng.InvalidValue,
        "inject: the site ':out.loss' sees no floating-point tensor called 'loss'; it sees logits.",
    ):
        model(ONES)


# Tokens --------------------------------------------------------------------------------------


def embedded() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(9, 30), nn.Linear(30, 2))
    nn.init.ones_(model[0].weight)
    return model


def test_where_whole_numbers_enter_the_model_s_input_is_its_embedding() -> None:
    for rule in ("in:out", ":in"):
        model = embedded()
        noise = ng.inject(model, {rule: 0.5}, seed=1)
        assert noise.sites == ("0:out",)
        note = (
            f"'{rule}' means '0:out', the embedding's output: the model's input is whole numbers."
        )
        assert noise.report().notes == (note,)
        seen: list[Tensor] = []
        model[1].register_forward_pre_hook(lambda m, args, seen=seen: seen.append(args[0]))
        model(IDS)
        assert_same_bits(seen[0] != 0, kept("0:out", (5, 30)))


def test_an_embedding_is_found_at_the_first_forward_where_nothing_told_it_before() -> None:
    class Late(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Linear(30, 2)
            self.table = nn.Embedding(9, 30)

        def forward(self, ids: Tensor) -> Tensor:
            return self.last(self.table(ids))

    model = Late()
    nn.init.ones_(model.table.weight)
    noise = ng.inject(model, {"in:out": 0.5, "last:out": 0.1}, seed=1)
    assert noise.sites == (":in", "last:out")
    seen: list[Tensor] = []
    model.last.register_forward_pre_hook(lambda m, args: seen.append(args[0]))
    for step in range(2):
        model(IDS)
        assert_same_bits(seen[step] != 0, kept("table:out", (5, 30), step=step))
    assert noise.sites == ("table:out", "last:out")
    assert noise.report().notes == (
        "'in:out' means 'table:out', the embedding's output: the model's input is whole numbers.",
    )
    noise.remove()
    assert not model.table._forward_hooks


# Shorthands ----------------------------------------------------------------------------------


def hidden(model: nn.Module) -> tuple[str, ...]:
    return ng.inject(model, hidden_dropout=0.1, seed=1).sites


def test_hidden_is_activations_or_else_layers_with_weights_but_the_last() -> None:
    assert hidden(plain()) == ("block.1:out",)
    leaves = nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.Linear(8, 8), nn.Linear(8, 2))
    assert hidden(leaves) == ("0:out", "2:out")
    # What comes after the last layer is the output, not hidden.
    ended = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2), nn.Sigmoid())
    assert hidden(ended) == ("1:out",)
    softmax = nn.Sequential(nn.Linear(6, 8), nn.Softmax(-1), nn.Linear(8, 2))
    assert hidden(softmax) == ("0:out",)
    tokens = nn.Sequential(nn.Embedding(9, 4), nn.LSTM(4, 4), nn.Linear(4, 2))
    assert hidden(tokens) == ("1:out",)
    with assert_sentence(
        ng.UnmatchedRule,
        "inject: `hidden_dropout` finds no hidden sites in this model: it has no activation "
        "modules and no two layers with weights. Write a rule, for example {'hid*:out': 0.5}.",
    ):
        hidden(nn.Linear(3, 3))


def test_shorthands_are_shown_before_the_first_step() -> None:
    noise = ng.inject(
        plain(),
        input_dropout=0.2,
        hidden_dropout=[0.5, ng.GaussianNoise(0.1)],
        output_noise=0.3,
        input_noise=0.1,
        seed=1,
    )
    assert noise.report() == (
        "site         noise                     slot  rule\n"
        ":in          Dropout(p=0.2)            0     input_dropout\n"
        "block.1:out  Dropout(p=0.5)            0     hidden_dropout\n"
        "block.1:out  GaussianNoise(sigma=0.1)  0     hidden_dropout\n"
        ":in          GaussianNoise(sigma=0.1)  0     input_noise\n"
        ":out         GaussianNoise(sigma=0.3)  0     output_noise\n"
        "note: 'input_dropout' means ':in'.\n"
        "note: 'hidden_dropout' means 'block.1:out'.\n"
        "note: 'input_noise' means ':in'.\n"
        "note: 'output_noise' means ':out'."
    )
    same = ng.inject(plain(), {"output_noise": 0.3, "input_dropout": 0.2}, seed=1)
    assert same.sites == (":out", ":in")
    assert ng.inject(embedded(), input_noise=0.1, seed=1).sites == ("0:out",)


def test_input_is_every_floating_input() -> None:
    class Two(nn.Module):
        def forward(self, ids: Tensor, a: Tensor, b: Tensor) -> Any:
            return ids, a, b

    model = Two()
    ng.inject(model, input_dropout=0.5, seed=1)
    ids, a, b = model(IDS, ONES, ONES + 0)
    assert ids is IDS
    assert_same_bits(a != 0, kept(":in", (5, 40)))
    assert_same_bits(b != 0, kept(":in", (5, 40), call=1))


# Rules that act nowhere ------------------------------------------------------------------------


def test_a_rule_whose_modules_are_not_called_warns_once() -> None:
    model = plain()
    model.spare = nn.Linear(2, 2)
    ng.inject(model, {"spare:out": 0.5, "hid:out": 0.1}, seed=1)
    with pytest.warns(RuntimeWarning) as caught:
        model(X)
    assert [str(w.message) for w in caught] == [
        "noisegate: 'spare:out' acted nowhere in this forward: the modules that it names were not "
        "called."
    ]
    model(X)
