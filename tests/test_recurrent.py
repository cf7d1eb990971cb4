"""Noise on recurrent states and between recurrent layers, against formulas written from papers."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import noisegate as ng
from _asserts import assert_rate, assert_same_bits
from _recurrent import (
    NETS,
    SAMPLES,
    SEED,
    TIME,
    UNITS,
    WIDTH,
    Masks,
    draw_factor,
    draw_keep,
    has_loop,
    list_tensors,
    make_input,
    make_net,
    run_layers,
)

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")
P = 0.4
SHARED = ng.Dropout(P, shared_axes=(0, 1))
every_net = pytest.mark.parametrize("name", NETS)


def assert_close(actual: Any, expected: Any) -> None:
    torch.testing.assert_close(
        torch.as_tensor(actual), torch.as_tensor(expected), rtol=1e-12, atol=1e-12
    )


def get_last(output: Any) -> Tensor:
    return output[1][0] if isinstance(output[1], tuple) else output[1]


@every_net
def test_a_number_drops_the_state_with_one_mask_a_sequence(name: str) -> None:
    """Gal and Ghahramani: the mask of a sample is that of all its time steps."""
    net, x = make_net(name), make_input()
    y, last = run_layers(net, x, lambda call: Masks(factor=draw_factor(":state", P, call)))
    with ng.inject(net, {":state": P}, seed=SEED) as noise:
        output = net(x)
        assert has_loop(noise)
        mask = noise.mask(":state")
    assert_close(output[0], y)
    assert_close(get_last(output), last)
    assert mask.shape == (SAMPLES, TIME, UNITS)
    assert (mask == mask[:, :1]).all()


@every_net
def test_a_mask_of_the_whole_batch_is_made_part_of_the_weights(name: str) -> None:
    """And the fused call runs; a loop gives the same numbers."""
    net, x = make_net(name), make_input()

    def find_masks(call: int) -> Masks:
        key = ng.Stream(SEED).site(":state").at(0, call)
        factor = ng.Dropout(P)(np.ones((1, UNITS)), key)
        return Masks(factor=np.broadcast_to(factor, (TIME, SAMPLES, UNITS)))

    y, last = run_layers(net, x, find_masks)
    with ng.inject(net, {":state": SHARED}, seed=SEED) as noise:
        output = net(x)
        assert not has_loop(noise)
        assert noise.mask(":state").shape == (SAMPLES, TIME, UNITS)
    assert_close(output[0], y)
    assert_close(get_last(output), last)


@every_net
def test_zoneout_keeps_the_former_state(name: str) -> None:
    """Krueger et al.: on h, and on c of an LSTM, which h does not read before the next step."""
    net, x = make_net(name), make_input()
    rules = {":state": ng.Zoneout(P)} | ({":cell": ng.Zoneout(P)} if "LSTM" in name else {})

    def find_masks(call: int) -> Masks:
        cell = draw_keep(":cell", P, call) if "LSTM" in name else None
        return Masks(new_h=draw_keep(":state", P, call), new_c=cell)

    y, last = run_layers(net, x, find_masks)
    with ng.inject(net, rules, seed=SEED) as noise:
        output = net(x)
        assert has_loop(noise)
    assert_close(output[0], y)
    assert_close(get_last(output), last)


@every_net
def test_zoneout_in_evaluation_is_its_expectation(name: str) -> None:
    net, x = make_net(name).eval(), make_input()
    plain = net(x)
    y, last = run_layers(net, x, lambda _: Masks(new_h=np.full(TIME, 1 - P)))
    with ng.inject(net, {":state": ng.Zoneout(P)}, seed=SEED) as noise:
        output = net(x)
        assert_close(output[0], y)
        assert_close(get_last(output), last)
        assert noise.step == 0
        with noise.off():
            assert all(map(torch.equal, list_tensors(net(x)), list_tensors(plain)))
        noise.set_rate(":state", 0)
        assert all(map(torch.equal, list_tensors(net(x)), list_tensors(plain)))
    assert all(map(torch.equal, list_tensors(net(x)), list_tensors(plain)))


@pytest.mark.parametrize("name", [name for name in NETS if "two" in name])
def test_noise_between_the_layers_has_one_mask_a_sequence(name: str) -> None:
    net, x = make_net(name), make_input()

    def drop(layer: int, y: Any) -> Any:
        key = ng.Stream(SEED).site(":layers").at(0, layer)
        return y * ng.Dropout(P)(np.ones(y.shape[1:]), key)

    y, last = run_layers(net, x, lambda _: Masks(), drop)
    with ng.inject(net, {":layers": P}, seed=SEED) as noise:
        output = net(x)
        assert not has_loop(noise)
    assert_close(output[0], y)
    assert_close(get_last(output), last)


@every_net
@pytest.mark.parametrize("kind", [ng.Dropout(0.0, shared_axes=1), SHARED.at_rate(0), ng.Zoneout(0)])
def test_a_rate_of_0_is_the_plain_net(name: str, kind: ng.Kind) -> None:
    net, x = make_net(name), make_input()
    plain = list(list_tensors(net(x)))
    with ng.inject(net, {":state": kind}, seed=SEED) as noise:
        assert all(map(torch.equal, list_tensors(net(x)), plain))
        assert not has_loop(noise)


@every_net
@pytest.mark.parametrize("kind", [ng.Dropout(1.0, shared_axes=1), SHARED.at_rate(1)])
def test_a_rate_of_1_leaves_no_recurrent_product(name: str, kind: ng.Kind) -> None:
    net, x, without = make_net(name), make_input(), make_net(name)
    for part, weight in without.named_parameters():
        weight.data *= not part.startswith("weight_hh")
    with ng.inject(net, {":state": kind}, seed=SEED):
        assert_close(net(x)[0], without(x)[0])


@every_net
def test_zoneout_at_1_never_leaves_the_first_state(name: str) -> None:
    net, x = make_net(name), make_input()
    first = torch.randn(get_last(net(x)).shape, dtype=torch.float64)
    given = (first, torch.randn_like(first)) if "LSTM" in name else first
    with ng.inject(net, {":state": ng.Zoneout(1.0)}, seed=SEED):
        assert_same_bits(get_last(net(x, given)).detach(), first)


@every_net
@pytest.mark.parametrize("given", [False, True])
def test_a_loop_without_effect_is_torch_s_own_call(name: str, given: bool) -> None:
    """With a first state or without; batch first, unbatched, packed."""
    x, net = make_input(), make_net(name)
    net.batch_first = True
    state = torch.randn(get_last(net(x)).shape, dtype=torch.float64)
    hx = None if not given else (state, state / 2) if "LSTM" in name else state
    single = make_input()[:, 0]
    packed = pack_padded_sequence(x, torch.tensor([3, 1, 3, 2, 2]), True, enforce_sorted=False)

    def run() -> list[Tensor]:
        outputs = [net(x, hx), net(single), net(packed, hx)]
        return [t for o in outputs for t in list_tensors(o) if t.is_floating_point()]

    plain = run()
    with ng.inject(net, {":state": ng.Zoneout(1e-9)}, seed=SEED) as noise:
        for actual, expected in zip(run(), plain, strict=True):
            assert_close(actual, expected)
        assert has_loop(noise)


def test_a_projected_lstm_has_noise_on_the_projected_state() -> None:
    torch.manual_seed(3)
    net = nn.LSTM(WIDTH, 7, 2, bidirectional=True, proj_size=UNITS).double()
    x = make_input()
    y, last = run_layers(net, x, lambda call: Masks(factor=draw_factor(":state", P, call)))
    with ng.inject(net, {":state": P}, seed=SEED):
        output = net(x)
    assert_close(output[0], y)
    assert_close(get_last(output), last)
    with ng.inject(net, {":state": SHARED}, seed=SEED) as noise:
        assert net(x)[0].shape == y.shape
        assert not has_loop(noise)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("ordered", [False, True])
def test_packed_sequences_have_the_noise_of_padded_ones(name: str, ordered: bool) -> None:
    """At each time step of its own, in either direction, whatever the order of the samples."""
    net, x = make_net(name), make_input()
    lengths = torch.tensor([5, 4, 2] if ordered else [2, 5, 4])
    rules: dict[str, Any] = {":state": [ng.Dropout(P, shared_axes=1), ng.Zoneout(P)]}
    if net.num_layers > 1:
        rules[":layers"] = P
    with ng.inject(net, rules, seed=SEED, sample_axis=1) as noise:
        packed = pack_padded_sequence(x, lengths, enforce_sorted=ordered)
        with noise.at(0):
            output = net(packed)
        y = pad_packed_sequence(output[0])[0]
        for i, length in enumerate(lengths.tolist()):
            with noise.at(0, rows=[i]):
                alone = net(x[:length, i : i + 1])
            assert_close(y[:length, i], alone[0][:, 0])
            assert_close(get_last(output)[:, i], get_last(alone)[:, 0])


class Unrolled(nn.Module):
    """A cell, called once for each time step."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor) -> Tensor:
        state, outputs = None, []
        for step in x:
            state = self.cell(step, state)
            outputs.append(state[0] if isinstance(state, tuple) else state)
        return torch.stack(outputs)


@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN of ReLU", "LSTM, no bias"])
def test_a_cell_has_one_mask_for_all_its_calls_and_zoneout_another_at_each(name: str) -> None:
    layer, x = make_net(name), make_input()
    more = {"nonlinearity": "relu"} if "ReLU" in name else {}
    cell = getattr(nn, f"{name[:4].strip(',')}Cell".replace(" ", ""))
    net = Unrolled(cell(WIDTH, UNITS, "no bias" not in name, **more).double())
    if layer.bidirectional:
        layer = nn.RNN(WIDTH, UNITS, **more).double()
    named = {n.removesuffix("_l0"): p for n, p in layer.state_dict().items()}
    net.cell.load_state_dict(named)
    factor = draw_factor("cell:state", P, 0)
    y, _ = run_layers(layer, x, lambda _: Masks(factor=factor))
    with ng.inject(net, {"cell:state": P}, seed=SEED, sample_axis=1) as noise:
        assert_close(net(x), y)
        assert not has_loop(noise)
        assert noise.report().rows[0][5] == str(TIME)
        assert_same_bits(noise.mask("cell:state")[:, 0], factor[0] != 0)
    place = ng.Stream(SEED).site("cell:state")
    keep = np.stack(
        [ng.mask(ng.Zoneout(P), (SAMPLES, UNITS), place.at(0, call)) for call in range(TIME)]
    ).astype(float)
    y, _ = run_layers(layer, x, lambda _: Masks(new_h=keep))
    with ng.inject(net, {"cell:state": ng.Zoneout(P)}, seed=SEED, sample_axis=1):
        assert_close(net(x), y)


def test_rates_of_masks() -> None:
    """One decision for each sample and unit, and for each time step too under zoneout."""
    net, x = nn.LSTM(2, 64), torch.randn(30, 40, 2)
    with ng.inject(net, {":state": P, ":cell": ng.Zoneout(0.2)}, seed=SEED) as noise:
        net(x)
        dropped, zoned = ~noise.mask(":state"), ~noise.mask(":cell")
    assert_rate(int(dropped[:, 0].sum()), 40 * 64, P)
    assert_rate(int(zoned.sum()), 30 * 40 * 64, 0.2)


def test_the_report_says_that_a_loop_runs_and_what_it_costs() -> None:
    net = nn.LSTM(2, 3)
    loop = (
        "the model computes its time steps in a loop, without the fused call: on a CPU a training "
        "step takes 1.1 to 1.6 times as long with 256 units, and up to 15 times with 16."
    )
    way = "the noise of ':state' needs no loop with shared_axes=(0, 1), one mask for all samples."
    share = "`removed` is the share of elements that Zoneout leaves as before."
    for kind, notes in ((0.3, (loop, way)), (ng.Zoneout(0.3), (loop, share))):
        with ng.inject(net, {"*:state": kind}, seed=SEED) as noise:
            net(torch.randn(4, 2, 2))
            assert noise.report().notes == notes
    inner = nn.Sequential(nn.LSTM(2, 3))
    with ng.inject(inner, {"0:state": 0.3, "0:cell": 0.1}, seed=SEED) as noise:
        inner(torch.randn(4, 2, 2))
        notes = tuple(
            note.replace("'0' computes", "the model computes") for note in noise.report().notes
        )
        assert notes == (loop, way.replace(":state", "0:state"), share)
