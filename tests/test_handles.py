"""Steps, rows, lists, nested modules, and the methods of a handle."""

import copy
import json
import pickle
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import noisegate as ng
from _asserts import assert_same_bits, assert_sentence

X = torch.randn(32, 6)


class Net(nn.Module):
    """A block around a Sequential around a leaf, all of which return the leaf's tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Sequential(nn.Linear(6, 40)))
        self.last = nn.Linear(40, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.block(x) + 10)


def model() -> Net:
    torch.manual_seed(0)
    return Net()


def seen(module: nn.Module) -> list[Tensor]:
    values: list[Tensor] = []
    module.register_forward_hook(lambda m, args, output: values.append(output.detach()))
    return values


# Micro-batches and ids -----------------------------------------------------------------------

RULES = {"block:out": 0.5, ":in": ng.GaussianNoise(0.3), "last:out": ng.UniformNoise(0.2)}


def test_two_micro_batches_have_the_noise_of_one_batch() -> None:
    net = model()
    noise = ng.inject(net, RULES, seed=13)
    noise.step = 5
    whole = net(X)
    assert noise.step == 6
    with noise.at(5):
        parts = [net(X[:16]), net(X[16:])]
    assert noise.step == 6  # at leaves the counter alone
    torch.testing.assert_close(torch.cat(parts), whole)
    masks = ng.inject(model(), {"block:out": 0.5}, seed=13)
    masks.remove()
    with noise.at(5):
        uneven = [net(X[:3]), net(X[3:20]), net(X[20:])]
    torch.testing.assert_close(torch.cat(uneven), whole)
    with noise.at(5):
        torch.testing.assert_close(net(X), whole)


def test_micro_batches_are_bit_for_bit_those_of_the_batch() -> None:
    net = nn.Sequential(nn.Identity())
    noise = ng.inject(net, {"0:out": 0.5}, seed=13)
    with noise.at(2):
        parts = [net(X[:16]), net(X[16:])]
    key = ng.Stream(13).site("0:out").at(2)
    assert_same_bits(torch.cat(parts), ng.Dropout(0.5)(X, key))


def test_ids_give_samples_their_own_noise() -> None:
    net = nn.Sequential(nn.Identity())
    noise = ng.inject(net, {"0:out": 0.5}, seed=13)
    ids = [5, 2**64 - 1, *range(100, 130)]
    expected = ng.Dropout(0.5)(X, ng.Stream(13).site("0:out").at(0), rows=ids)
    noise.rows = ids
    assert_same_bits(net(X), expected)
    noise.rows = None
    with noise.at(0, rows=torch.tensor(range(32))):
        reverse = [net(X[:5]), net(X[5:])]
    assert_same_bits(torch.cat(reverse), ng.Dropout(0.5)(X, ng.Stream(13).site("0:out").at(0)))
    with noise.at(0, rows=ids):
        parts = [net(X[:16]), net(X[16:])]
    assert_same_bits(torch.cat(parts), expected)


class Windows(nn.Module):
    """Splits each sample in two on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.reshape(-1, 3)).reshape(len(x), -1)


def test_a_site_of_another_extent_raises_where_its_rows_are_not_known() -> None:
    net = Windows()
    noise = ng.inject(net, {"inner:out": 0.5}, seed=13)
    net(X)  # from row 0 on, they are
    sentence = (
        "inject: the site 'inner:out' sees 32 samples, and the model's forward has 16, so their "
        "rows are not known. Give them, noise.rows = {'inner:out': ids}, or give the rule a "
        "sample_axis, or leave the site out."
    )
    with noise.at(3):
        net(X[:16])
        with assert_sentence(ng.InvalidValue, sentence):
            net(X[16:])
    noise.rows = range(16)
    with assert_sentence(ng.InvalidValue, sentence):
        net(X[:16])


def test_sites_of_another_extent_may_have_rows_of_their_own() -> None:
    rules: dict[str, Any] = {"inn*:out": 0.5, ":out": ng.GaussianNoise(0.1)}
    whole = ng.inject(Windows(), rules, seed=13)
    expected = whole.host.model(X)
    for name in ("inner:out", "inn*:out", "*er:out"):
        net = Windows()
        noise = ng.inject(net, rules, seed=13)
        with noise.at(0):
            noise.rows = {name: range(32)}
            first = net(X[:16])
            noise.rows = {name: list(range(32, 64))}
            second = net(X[16:])
        assert_same_bits(torch.cat([first, second]), expected)
        assert noise.rows == {name: tuple(range(32, 64))}
        with pytest.raises(ng.InvalidValue, match="`rows`"):
            net(X[:3])
        noise.rows = None
        net(X)
    with assert_sentence(
        ng.InvalidType,
        "inject: a pattern must be text of the form `path:port`; got 'inner'. Write for example "
        "'hid1:out'.",
    ):
        noise.rows = {"inner": [1]}


def test_a_sample_axis_for_time_major_models() -> None:
    x = torch.ones(7, 4, 10)
    for axis in (1, {"0:out": 1}):
        net = nn.Sequential(nn.Identity())
        ng.inject(net, {"0:out": 0.5}, seed=1, sample_axis=axis)
        expected = ng.Dropout(0.5)(x, ng.Stream(1).site("0:out").at(0), sample_axis=1)
        assert_same_bits(net(x), expected)
    net = nn.Sequential(nn.Identity())
    ng.inject(net, {"0:out": 0.5, ":in": 0.5}, seed=1, sample_axis={"0:out": None})
    first = ng.Dropout(0.5)(x, ng.Stream(1).site(":in").at(0))
    key = ng.Stream(1).site("0:out").at(0)
    assert_same_bits(net(x), ng.Dropout(0.5)(first, key, sample_axis=None))


# Rules ---------------------------------------------------------------------------------------


def test_a_list_acts_one_after_the_other() -> None:
    net = nn.Sequential(nn.Identity())
    noise = ng.inject(net, {"0:out": [0.5, ng.GaussianNoise(0.1), 0.2]}, seed=13)
    site = ng.Stream(13).site("0:out")
    expected = ng.GaussianNoise(0.1)(ng.Dropout(0.5)(X, site.at(0)), site.at(0))
    second = ng.Stream(13).site("0:out", slot=1).at(0)
    assert_same_bits(net(X), ng.Dropout(0.2)(expected, second))
    assert [row[3] for row in noise.report().rows] == ["0:out"] * 3


def test_where_nested_modules_pass_on_a_tensor_a_rule_acts_once_innermost() -> None:
    net = model()
    noise = ng.inject(net, {"block*:out": 0.5}, seed=13)
    assert noise.sites == ("block:out", "block.0:out", "block.0.0:out")
    values = seen(net.block)
    for step in range(3):
        net(X)
        key = ng.Stream(13).site("block.0.0:out").at(step)
        assert_same_bits(values[-1] != 0, torch.from_numpy(ng.mask(ng.Dropout(), (32, 40), key)))
    assert noise.report().splitlines()[-2:] == [
        "note: 'block.0:out' passes on the tensor of 'block.0.0:out', where 'block*:out' has "
        "acted; it acts once.",
        "note: 'block:out' passes on the tensor of 'block.0.0:out', where 'block*:out' has acted; "
        "it acts once.",
    ]
    # Two rules are two noises, and what is another tensor is noised again.
    other = model()
    ng.inject(other, {"block.0.0:out": 0.5, "block:out": 0.5}, seed=13)
    values = seen(other.block)
    other(X)
    assert (values[0] == 0).float().mean() > 0.7
    lists = model()
    ng.inject(lists, {"block*:out": [0.5, 0.5]}, seed=13)
    values = seen(lists.block)
    lists(X)
    assert abs((values[0] == 0).float().mean() - 0.75) < 0.05


def test_two_rules_on_nested_modules_act_once_each() -> None:
    net = model()
    noise = ng.inject(net, {"block*:out": 0.5, "block*0:out": 0.3, "b*:out": 0.2}, seed=13)
    values = seen(net.block)
    net(X)
    inner = ng.Stream(13).site("block.0.0:out")
    kept = [
        ng.mask(ng.Dropout(p), (32, 40), ng.Stream(13).site(inner.name, slot=slot).at(0))
        for slot, p in enumerate((0.5, 0.3, 0.2))
    ]
    assert_same_bits(values[0] != 0, torch.from_numpy(kept[0] & kept[1] & kept[2]))
    assert sum("it acts once" in note for note in noise.report().notes) == 5


# The handle ----------------------------------------------------------------------------------


def test_off_and_on() -> None:
    net = model()
    clean = net(X)
    noise = ng.inject(net, {"block:out": 0.5}, seed=13)
    noise.off()
    noise.off()
    assert_same_bits(net(X), clean)
    noise.on()
    assert not torch.equal(net(X), clean)
    noise.off()
    with noise.off():
        assert_same_bits(net(X), clean)
    assert_same_bits(net(X), clean)  # as it was before the block
    assert noise.step == 1


def test_a_handle_is_a_context_manager() -> None:
    net = model()
    clean = net(X)
    with ng.inject(net, {"block:out": 0.5}, seed=13) as noise:
        assert not torch.equal(net(X), clean)
        assert ng.handles(net) == (noise,)
    assert_same_bits(net(X), clean)
    assert ng.handles(net) == ()
    with pytest.raises(ZeroDivisionError), ng.inject(net, {"block:out": 0.5}, seed=13):
        raise ZeroDivisionError
    assert ng.handles(net) == ()


def test_a_state_is_json_and_a_resume() -> None:
    net = model()
    noise = ng.inject(net, {"block:out": ng.Dropout(ng.schedule.linear(0, 1, 9))}, seed=13)
    whole = [net(X) for _ in range(4)]
    noise.step = 2
    state = json.loads(json.dumps(noise.state()))
    other = model()
    later = ng.inject(other, {"block:out": ng.Dropout(ng.schedule.linear(0, 1, 9))}, seed=13)
    later.load_state(state)
    assert_same_bits(other(X), whole[2])
    wrong = ng.inject(model(), {"block:out": 0.5}, seed=14)
    with assert_sentence(
        ng.InvalidValue,
        "load_state: the state's `seed` is another; got 13, and this noise has 14.",
    ):
        wrong.load_state(state)
    weaker = ng.inject(model(), {"block:out": 0.5}, seed=13)
    with pytest.raises(ng.InvalidValue, match=r"`noises` is another.*at 'block:out'"):
        weaker.load_state(state)
    several = ng.inject(model(), {":in": 0.5, "block:out": ng.Dropout(0.5)}, seed=13)
    both = several.state()
    with pytest.raises(ng.InvalidValue, match=r"They differ at ':in', 'block:out'\."):
        several.load_state({**both, "noises": both["noises"][::-1]})
    with pytest.raises(ng.InvalidValue, match=r"They differ at ':in'\."):
        several.load_state({**both, "noises": both["noises"][1:]})


def copies(net: nn.Module) -> list[nn.Module]:
    return [copy.deepcopy(net), pickle.loads(pickle.dumps(net))]


def test_copies_have_noise_and_a_handle_of_their_own() -> None:
    net = model()
    noise = ng.inject(net, {"block:out": 0.5, ":in": ng.GaussianNoise(0.3)}, seed=13)
    net(X)
    for other in copies(net):
        (handle,) = ng.handles(other)
        assert handle is not noise
        assert (handle.step, handle.seed, handle.sites) == (1, 13, noise.sites)
        noise.step = 1
        assert_same_bits(other(X), net(X))
        handle.step = 7
        assert noise.step == 2
        # Slots are told apart on the copy too.
        second = ng.inject(other, {"block:out": 0.25}, seed=13)
        assert second.report().splitlines()[1].split()[2] == "1"
        second.remove()
        handle.remove()
        assert ng.handles(other) == ()
        clean = model()
        clean.load_state_dict(other.state_dict())
        assert_same_bits(other(X), clean(X))
    assert ng.handles(net) == (noise,)


def test_several_handles_and_a_hook_of_the_user_s() -> None:
    net = model()
    mine: list[str] = []
    net.block.register_forward_hook(lambda *_: mine.append("ran"))
    first = ng.inject(net, {"block:out": 0.5}, seed=1)
    second = ng.inject(net, {"block:out": 0.5, ":out": ng.UniformNoise(0.1)}, seed=2)
    assert ng.handles(net) == (first, second)
    values = seen(net.block)
    net(X)
    kept = [
        torch.from_numpy(ng.mask(ng.Dropout(), (32, 40), ng.Stream(s).site("block:out").at(0)))
        for s in (1, 2)
    ]
    assert_same_bits(values[0] != 0, kept[0] & kept[1])
    first.step = 5
    net(X)
    assert (first.step, second.step) == (6, 2)
    first.remove()
    assert ng.handles(net) == (second,)
    assert mine == ["ran", "ran"]


# Without the model, and after errors ----------------------------------------------------------


def test_a_module_used_without_its_model_has_fresh_noise_and_warns_once() -> None:
    net = model()
    noise = ng.inject(net, {"block:out": 0.5}, seed=13)
    with pytest.warns(RuntimeWarning) as caught:
        first = net.block(X)
    assert str(caught[0].message) == (
        "noisegate: 'block:out' is used without a forward of its model, which alone knows the "
        "step. It drew fresh noise, which `mask()` cannot reproduce. Put the noise into the part "
        "that is called, `model.block` or one around it, or call it in a block: with "
        "noise.at(step)."
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        second = net.block(X)
    assert not torch.equal(first == 0, second == 0)
    assert noise.step == 0
    key = ng.Stream(13).site("block:out").at(0)
    values = seen(net.block)
    net(X)
    assert_same_bits(values[0] != 0, torch.from_numpy(ng.mask(ng.Dropout(), (32, 40), key)))


def test_a_checkpointed_module_without_its_model_is_replayed_too() -> None:
    net = model()
    ng.inject(net, {"block:out": 0.5}, seed=13)
    x = X.clone().requires_grad_()
    with pytest.warns(RuntimeWarning, match="without a forward of its model"):
        y = checkpoint(net.block, x, use_reentrant=False, preserve_rng_state=False)
    bias = net.block[0][0].bias
    (grad,) = torch.autograd.grad(y.sum(), bias)
    assert_same_bits(grad, 2 * (y != 0).sum(0).to(grad.dtype))


class Failing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.fails = nn.Identity(), False

    def forward(self, x: Tensor) -> Tensor:
        x = self.inner(x)
        if self.fails:
            raise ZeroDivisionError
        return x


def test_an_exception_in_a_forward_leaves_nothing_behind() -> None:
    net = Failing()
    noise = ng.inject(net, {"inner:out": 0.5}, seed=13)
    net.fails = True
    with pytest.raises(ZeroDivisionError):
        net(X)
    with pytest.warns(RuntimeWarning, match="without a forward of its model"):
        net.inner(X)
    net.fails = False
    expected: Any = ng.Dropout(0.5)(X, ng.Stream(13).site("inner:out").at(1))
    assert_same_bits(net(X), expected)
    net.fails = True
    with pytest.raises(ZeroDivisionError), noise.at(9):
        net(X)
    net.fails = False
    expected = ng.Dropout(0.5)(X, ng.Stream(13).site("inner:out").at(2))
    assert_same_bits(net(X), expected)
