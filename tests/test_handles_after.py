"""Handles after their noise was removed, and the counts of the report."""

import torch
from torch import nn

import noisegate as ng
from _asserts import assert_sentence

X = torch.ones(32, 6)


def test_noise_that_was_removed_says_so() -> None:
    net = nn.Sequential(nn.Identity())
    noise = ng.inject(net, {"0:out": 0.5}, seed=13)
    net(X)
    kept = noise.mask("0:out")
    noise.remove()
    noise.remove()  # twice is once
    assert repr(noise) == "<removed noise at 1 site, seed 13, step 1>"
    assert noise.report().notes == ("the noise was removed from the model.",)
    assert (noise.mask("0:out") == kept).all()
    assert (noise.step, noise.state()["step"]) == (1, 1)

    def set_step() -> None:
        noise.step = 3

    def set_rows() -> None:
        noise.rows = [3]

    asked = {
        "step": set_step,
        "rows": set_rows,
        "at": lambda: noise.at(3),
        "on": noise.on,
        "set_rate": lambda: noise.set_rate("0:out", 0.3),
    }
    for name, ask in asked.items():
        sentence = (
            f"inject: `{name}` has no effect on noise that was removed. Put it in again with "
            "inject(model, rules, seed=...)."
        )
        with assert_sentence(ng.InvalidValue, sentence):
            ask()


def test_the_report_counts_the_calls_of_the_last_forward_in_which_noise_acted() -> None:
    net = nn.Sequential(nn.Identity())
    noise = ng.inject(net, {"0:out": 0.5}, seed=13)
    net(X)
    net.eval()(X)
    assert noise.report().rows[0][-2] == "1"
