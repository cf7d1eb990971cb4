"""Rules, ids and kinds at places where they cannot act, and the sentence for each."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import prune

import noisegate as ng
from _bad_numbers import Case, Type, Value, net
from _sequences import Given


def put(rules: dict[str, Any] | None = None, **words: Any) -> Any:
    """Return the handle of noise in a small network."""
    return ng.inject(net(), {"hid1:out": 0.5} if rules is None else rules, seed=1, **words)


def give(rows: Any, **words: Any) -> None:
    put(**words).rows = rows


def give_in_block(rows: Any) -> None:
    with put().at(0, rows=rows):
        pass


class Drops(nn.Module):
    """A model that drops by a function, which a forward alone shows."""

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.5, self.training)


def give_before_a_forward(rows: Any) -> None:
    noise = ng.inject(model := Drops(), {"*:dropout": 0.25}, seed=1)
    noise.rows = rows
    model(torch.ones(2, 4))


class Attends(nn.Module):
    """An attention by hand, without a dropout of its own."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(x @ x.transpose(1, 2), -1) @ x


def attend(rule: str) -> None:
    ng.inject(model := nn.Sequential(Attends()), {rule: 0.25}, seed=1)
    model(torch.ones(2, 3, 4))


def recur(rule: str) -> None:
    """Put a rule into a model of recurrent modules, which is not run."""
    parts = {"lstm": nn.LSTM(4, 4), "gru": nn.GRU(4, 4, 2), "cell": nn.RNNCell(4, 4)}
    model = nn.ModuleDict({**parts, "fc": nn.Linear(4, 4)})
    ng.inject(model, {rule: 0.5}, seed=1)


def parametrize(rule: str) -> None:
    model = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)))
    ng.inject(model, {rule: 0.5}, seed=1)


def prune_weight() -> None:
    model = nn.Sequential(prune.identity(nn.Linear(3, 4), "weight"))
    ng.inject(model, {"0:weight": 0.5}, seed=1)


def leave_out(module: nn.Module, rule: str = ":tokens", axis: Any = 0, **given: Any) -> None:
    noise = ng.inject(module, {rule: 0.5}, seed=1, sample_axis=axis)
    if given:
        module(torch.ones(5, 7, 4), **given)
    noise.remove()


def describe_axis(site: str, path: str, first: bool) -> str:
    """Return the sentence for tokens of a module that says on which axis its samples are."""
    said = int(not first)
    return (
        f"inject: '{site}' has its samples on axis {1 - said}, and '{path}' has batch_first="
        f"{first}, so it would leave out samples in place of tokens. Name the axis: "
        f"sample_axis={{'{site}': {said}}}, or {1 - said} if the module transposes what it is "
        "given."
    )


def describe_sequence(name: str) -> str:
    """Return the sentence for an argument that may be another sequence."""
    return (
        "inject: ':tokens' leaves other tokens out for each sample, and its module is given "
        f"`{name}` of shape (5, 7, 3) beside tokens of shape (5, 7, 4). Whether it is of the same "
        "tokens, its name does not say: `memory`, `context`, `encoder_…` and `cross_…` are of "
        "another sequence, and `position…`, `pos`, `rotary…`, `freqs…`, `rope`, `cos`, `sin` and "
        "`residual` of this one. Rename it, or name a module that is not given it."
    )


class Block(nn.Module):
    def __init__(self, first: bool) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=first)

    def forward(self, x: Tensor) -> Any:
        return x + self.attention(x, x, x)[0]


ENCODER = nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2), 2, enable_nested_tensor=False)

PORT = (
    "inject: the port of a rule must be `in`, `out`, `pre`, `branch`, `tokens`, `dropout`, "
    "`noise`, `probs`, `heads`, `scores`, `state`, `cell`, `layers` or a parameter's name; got "
)
OF_LSTM = "The parameters there are `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`."

NOT_IDS = (
    "inject: `rows` must be ids of samples, whole numbers in [0, 2**64), by rule or not, or the "
    "policy of ranks, 'contiguous', 'interleaved', 'batches' or 'replica'; got "
)
NOT_BY_RULE = (
    "inject: `rows` by rule must be ids of samples, whole numbers in [0, 2**64), since the policy "
    "of ranks is that of all rules; got {'hid1:out': "
)

CASES: list[Case] = [
    # Ids of samples
    (
        lambda: give({"hdi1:out": [0, 1]}),
        ng.UnmatchedRule,
        "rows: 'hdi1:out' has no noise. The nearest that have are 'hid1:out'.",
    ),
    (
        lambda: give_in_block({"hid2:out": [0, 1]}),
        ng.UnmatchedRule,
        "rows: 'hid2:out' has no noise. The nearest that have are 'hid1:out'.",
    ),
    (
        lambda: give({"hidden_dropout": [0, 1]}),
        ng.UnmatchedRule,
        "rows: 'hidden_dropout' has no noise. The nearest that have are 'hid1:out'.",
    ),
    (
        lambda: give_before_a_forward({":dropout": [0, 1], "inner:dropout": [0, 1]}),
        ng.UnmatchedRule,
        "rows: 'inner:dropout' has no noise. The nearest that have are ':dropout'.",
    ),
    (lambda: give(slice(2, 4)), Type, f"{NOT_IDS}slice(2, 4, None). Write range(2, 4)."),
    (lambda: give(slice(4)), Type, f"{NOT_IDS}slice(None, 4, None). Write range(0, 4)."),
    (lambda: give(slice(4, None)), Type, f"{NOT_IDS}slice(4, None, None)."),
    (lambda: give(7), Type, f"{NOT_IDS}7."),
    (lambda: give(np.array(7)), Type, f"{NOT_IDS}array(7)."),
    (lambda: give("interleave"), Value, f"{NOT_IDS}'interleave'. Did you mean `interleaved`?"),
    (lambda: give("ids"), Value, f"{NOT_IDS}'ids'."),
    (lambda: give({"hid1:out": "replica"}), Type, f"{NOT_BY_RULE}'replica'}}."),
    (
        lambda: give({"hid1:out": ng.RankRows("replica")}),
        Type,
        f"{NOT_BY_RULE}RankRows(policy='replica', rank=None, world=None)}}.",
    ),
    (
        lambda: give({"hid1:out": slice(2, 4)}),
        Type,
        f"{NOT_BY_RULE}slice(2, 4, None)}}. Write range(2, 4).",
    ),
    # Places that no module has
    (
        lambda: recur("lstm:layers"),
        ng.UnmatchedRule,
        "inject: the rule 'lstm:layers' matches no site: this LSTM has one layer, and the place is "
        "between two. Name 'lstm:out' for its output.",
    ),
    (
        lambda: recur("cell:layers"),
        ng.UnmatchedRule,
        "inject: the rule 'cell:layers' matches no site: this RNNCell has one layer, and the place "
        "is between two. Name 'cell:out' for its output.",
    ),
    (
        lambda: recur("gru:cell"),
        ng.UnmatchedRule,
        "inject: the rule 'gru:cell' matches no site: this GRU carries on the state alone. Name "
        "'gru:state'.",
    ),
    (
        lambda: recur("fc:state"),
        ng.UnmatchedRule,
        "inject: the rule 'fc:state' matches no site. The nearest sites are 'cell:state', "
        "'gru:state', 'lstm:state'.",
    ),
    (
        lambda: put({"hid1:state": 0.5}),
        ng.UnmatchedRule,
        "inject: the rule 'hid1:state' matches no site. The nearest sites are 'hid1:out', "
        "'hid1:in', 'hid2:out'.",
    ),
    (
        lambda: put({"hdi1:dropout": 0.5}),
        ng.UnmatchedRule,
        "inject: the rule 'hdi1:dropout' matches no site. The nearest sites are 'hid1:out', "
        "'hid2:out', ':out'.",
    ),
    (
        lambda: attend("*:probs"),
        ng.UnmatchedRule,
        "inject: the rule '*:probs' matches no site, since the attention drops no probabilities, "
        "and `probs` is the place of that dropout. Name its scores, '0:scores'.",
    ),
    # Parameters that no module has
    (
        lambda: recur("lstm:weight_hh_10"),
        Value,
        f"{PORT}`weight_hh_10` in 'lstm:weight_hh_10'. Did you mean 'lstm:weight_hh_l0'? {OF_LSTM}",
    ),
    (
        lambda: recur("lstm:stat"),
        Value,
        f"{PORT}`stat` in 'lstm:stat'. Did you mean 'lstm:state'? {OF_LSTM}",
    ),
    (
        lambda: recur("fc:wieght"),
        Value,
        f"{PORT}`wieght` in 'fc:wieght'. Did you mean 'fc:weight'? The parameters there are "
        "`weight`, `bias`.",
    ),
    (
        lambda: recur("g*:weight_hhl1"),
        Value,
        f"{PORT}`weight_hhl1` in 'g*:weight_hhl1'. Did you mean 'g*:weight_hh_l1'? The parameters "
        "there are `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`, `weight_ih_l1`, "
        "`weight_hh_l1`, `bias_ih_l1`, `bias_hh_l1`.",
    ),
    (
        lambda: recur("fc:elbow"),
        Value,
        f"{PORT}`elbow` in 'fc:elbow'. Write for example 'hid1:out'. The parameters there are "
        "`weight`, `bias`.",
    ),
    (
        lambda: recur("*:wat"),
        Value,
        f"{PORT}`wat` in '*:wat'. Write for example 'hid1:out'. The parameters there are "
        "`weight`, `weight_ih`, `weight_hh`, `bias`, `weight_ih_l1`, `weight_ih_l0`, "
        "`weight_hh_l1`, `weight_hh_l0`, `bias_ih`, `bias_hh`, `bias_ih_l1`, `bias_ih_l0`.",
    ),
    (
        lambda: recur("fd:wieght"),
        ng.UnmatchedRule,
        "inject: the rule 'fd:wieght' matches no site. The nearest sites are 'fc:weight', "
        "'cell:weight_ih', 'cell:weight_hh'.",
    ),
    (
        lambda: parametrize("0:weight"),
        ng.UnmatchedRule,
        "inject: '0:weight' is no parameter: the module makes it of others when it runs. Name "
        "'0.parametrizations.weight:original0' or '0.parametrizations.weight:original1' or "
        "'0:out'.",
    ),
    (
        lambda: parametrize("0:wieght"),
        Value,
        f"{PORT}`wieght` in '0:wieght'. Did you mean '0.parametrizations.weight:original0' or "
        "'0.parametrizations.weight:original1' or '0:out'? The parameters there are `bias`.",
    ),
    (
        lambda: parametrize("0:parametrizations.weight.original0"),
        Value,
        f"{PORT}`parametrizations.weight.original0` in '0:parametrizations.weight.original0'. "
        "Write '0.parametrizations.weight:original0'.",
    ),
    (
        prune_weight,
        ng.UnmatchedRule,
        "inject: '0:weight' is no parameter: the module makes it of others when it runs. Name "
        "'0:out'.",
    ),
    # Kinds that cannot act at a place
    *(
        (
            lambda rules=rules, words=words: put(rules, **words),
            Value,
            "inject: DropKey writes -inf for the softmax that follows scores, so its rule must "
            "name the port `scores` of an attention, or a module that takes or returns scores; "
            f"got '{next(iter({**rules, **words}))}'. Write for example {{'attn:scores': "
            "DropKey(p=0.1)}, or take Dropout.",
        )
        for rules, words in (
            *(
                ({f"hid1:{port}": ng.DropKey(0.1)}, {})
                for port in (
                    *("pre", "branch", "weight", "heads", "probs", "state", "cell", "layers"),
                    *("skip", "*"),
                )
            ),
            ({}, {"hidden_dropout": ng.DropKey(0.1)}),
            ({}, {"weight_noise": [0.1, ng.DropKey(0.1)]}),
        )
    ),
    # Tokens
    *(
        (lambda name=name: leave_out(Given(), **{name: torch.ones(5, 7, 3)}), Value, sentence)
        for name in ("other", "queries", "y", "single", "basin")
        for sentence in [describe_sequence(name)]
    ),
    (
        lambda: leave_out(ENCODER),
        Value,
        describe_axis(":tokens", "layers.0.self_attn", False),
    ),
    (
        lambda: leave_out(ENCODER, "layers.1:tokens"),
        Value,
        describe_axis("layers.1:tokens", "layers.1.self_attn", False),
    ),
    (lambda: leave_out(nn.GRU(4, 4)), Value, describe_axis(":tokens", "", False)),
    (
        lambda: leave_out(Block(False)),
        Value,
        describe_axis(":tokens", "attention", False),
    ),
    (
        lambda: leave_out(Block(True), axis=1),
        Value,
        describe_axis(":tokens", "attention", True),
    ),
]
