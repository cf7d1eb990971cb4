"""Noise put into models by name, and taken out without a trace."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import noisegate as ng
from _asserts import assert_same_bits, assert_sentence


class Net(nn.Module):
    """Three hidden layers of names that patterns like, and an output layer."""

    def __init__(self) -> None:
        super().__init__()
        self.hid1 = nn.Linear(6, 8)
        self.hid2 = nn.Linear(8, 8)
        self.hid3 = nn.Linear(8, 8)
        self.last = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        for layer in (self.hid1, self.hid2, self.hid3):
            x = layer(x) + 10  # far from 0, so that a 0 is a removal
        return self.last(x)


def seen(model: nn.Module, path: str, port: str = "out") -> list[Tensor]:
    """Return a list that will hold what leaves or enters a module, with the noise on it."""
    values: list[Tensor] = []
    module = model.get_submodule(path)
    if port == "out":
        module.register_forward_hook(lambda m, args, output: values.append(output))
    else:
        module.register_forward_pre_hook(lambda m, args: values.append(args[0]))
    return values


def ones(model: nn.Module) -> None:
    """Make every linear layer give ones."""
    for parameter in model.parameters():
        nn.init.constant_(parameter, 0.0 if parameter.ndim > 1 else 1.0)


X = torch.randn(5, 6)


def test_a_rule_removes_where_the_mask_is_false_at_every_step() -> None:
    model = Net()
    ones(model)
    noise = ng.inject(model, {"hid[23]:out": 0.4}, seed=13)
    values = {path: seen(model, path) for path in ("hid1", "hid2", "hid3")}
    for step in range(4):
        assert noise.step == step
        model(X)
        for path in ("hid2", "hid3"):
            key = ng.Stream(13).site(f"{path}:out").at(step)
            expected = ng.mask(ng.Dropout(0.4), (5, 8), key)
            assert_same_bits(values[path][-1] != 0, torch.from_numpy(expected))
        assert_same_bits(values["hid1"][-1], torch.ones(5, 8))
    assert noise.sites == ("hid2:out", "hid3:out")


def test_ports_in_and_out_and_the_model_s_own() -> None:
    for pattern, site, path, port in (
        ("in:out", ":in", "hid1", "in"),
        (":in", ":in", "hid1", "in"),
        ("hid1:in", "hid1:in", "hid1", "in"),
    ):
        model = Net()
        noise = ng.inject(model, {pattern: ng.GaussianNoise(0.5)}, seed=1)
        values = seen(model, path, port)
        model(X)
        expected = ng.GaussianNoise(0.5)(X, ng.Stream(1).site(site).at(0))
        assert_same_bits(values[0], expected)
        assert noise.sites == (site,)
    for pattern in ("out:out", ":out"):
        model = Net()
        clean = model(X).detach()
        ng.inject(model, {pattern: ng.UniformNoise(0.5)}, seed=1)
        expected = ng.UniformNoise(0.5)(clean, ng.Stream(1).site(":out").at(0))
        assert_same_bits(model(X).detach(), expected)


def test_a_module_called_out_wins_and_the_report_says_so() -> None:
    model = nn.Sequential()
    model.add_module("hid1", nn.Linear(6, 4))
    model.add_module("out", nn.Linear(4, 2))
    noise = ng.inject(model, {"out:out": 0.5}, seed=1)
    assert noise.sites == ("out:out",)
    assert "'out:out' is this model's module `out`; its own output is ':out'." in noise.report()
    plain = ng.inject(Net(), {"out:out": 0.5}, seed=1)
    assert plain.sites == (":out",)
    assert "'out:out' means ':out', the model's own output." in plain.report()


def test_a_star_crosses_dots_and_patterns_are_shell_globs() -> None:
    model = nn.Sequential(nn.Sequential(nn.Linear(6, 6), nn.ReLU()), nn.Linear(6, 2))
    assert ng.inject(model, {"*0:out": 0.1}, seed=1).sites == ("0:out", "0.0:out")
    assert ng.inject(model, {"0.?:in": 0.1}, seed=1).sites == ("0.0:in", "0.1:in")
    assert ng.inject(model, {"[!0]:out": 0.1}, seed=1).sites == ("1:out",)


def test_every_rule_that_matches_acts_with_its_own_mask() -> None:
    model = Net()
    ones(model)
    rules: dict[str, Any] = {"hid1:out": 0.5, "hid*:out": 0.5, "h*1:out": ng.GaussianNoise(1.0)}
    noise = ng.inject(model, rules, seed=2)
    values = seen(model, "hid1")
    model(X)
    site = ng.Stream(2).site("hid1:out")
    first, second = (
        ng.mask(ng.Dropout(0.5), (5, 8), ng.Stream(2).site("hid1:out", slot=slot).at(0))
        for slot in (0, 1)
    )
    assert (first != second).any()
    dropped = np.where(first & second, np.float32(4), np.float32(0))
    assert_same_bits(values[0].detach().numpy(), ng.GaussianNoise(1.0)(dropped, site.at(0)))
    assert [row[:4] for row in noise.report().rows[:2]] == [
        ("hid1:out", "Dropout(p=0.5)", "0", "hid1:out"),
        ("hid1:out", "Dropout(p=0.5)", "1", "hid*:out"),
    ]


def test_handles_share_the_slots_of_a_seed_and_remove_frees_them() -> None:
    model = Net()
    first = ng.inject(model, {"hid1:out": 0.5}, seed=2)
    second = ng.inject(model, {"hid1:out": 0.25}, seed=2)
    other = ng.inject(model, {"hid1:out": 0.5}, seed=3)
    slots = [handle.report().splitlines()[1].split()[2] for handle in (first, second, other)]
    assert slots == ["0", "1", "0"]
    first.remove()
    third = ng.inject(model, {"hid1:out": 0.5}, seed=2)
    assert third.report().splitlines()[1].split()[2] == "0"


def test_a_site_used_twice_in_a_forward_has_numbered_calls() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shared = nn.Identity()

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return self.shared(x), self.shared(x)

    model = Twice()
    ng.inject(model, {"shared:out": 0.5}, seed=4)
    for step in range(2):
        for call, value in enumerate(model(torch.ones(3, 30))):
            key = ng.Stream(4).site("shared:out").at(step, call=call)
            assert_same_bits(value != 0, torch.from_numpy(ng.mask(ng.Dropout(), (3, 30), key)))


def test_a_batch_of_rank_1_has_samples() -> None:
    model = nn.Identity()
    ng.inject(model, {":out": 0.5}, seed=4)
    key = ng.Stream(4).site(":out").at(0)
    expected = ng.mask(ng.Dropout(0.5), (40,), key, sample_axis=0)
    assert_same_bits(model(torch.ones(40)) != 0, torch.from_numpy(expected))
    assert model(torch.tensor(1.0)).shape == ()


def test_steps_count_training_forwards_of_the_root() -> None:
    model = Net()
    noise = ng.inject(model, {"hid1:out": 0.5}, seed=1)
    clean = model.eval()(X)
    assert noise.step == 0  # evaluation advances nothing, and has no noise
    assert_same_bits(model(X), clean)
    model.train()
    with torch.no_grad():
        model(X)
    assert noise.step == 1
    first = model(X)
    noise.step = 1
    assert_same_bits(model(X), first)  # a resume
    with pytest.raises(RuntimeError):
        model(torch.randn(5, 7))
    assert noise.step == 3  # it advances when the forward has begun, even if it fails


def test_a_site_is_active_while_its_own_module_trains() -> None:
    model = Net().eval()
    ones(model)
    noise = ng.inject(model, {"hid*:out": 0.5}, seed=1)
    model.hid2.train()
    values = {path: seen(model, path) for path in ("hid1", "hid2", "hid3")}
    model(X)
    expected = ng.mask(ng.Dropout(), (5, 8), ng.Stream(1).site("hid2:out").at(0))
    assert_same_bits(values["hid2"][0] != 0, torch.from_numpy(expected))
    for path in ("hid1", "hid3"):
        assert (values[path][0] == 1).all()
    assert noise.step == 0


def test_off_is_as_if_it_were_not_there() -> None:
    model = Net()
    clean = model(X)
    noise = ng.inject(model, {"hid1:out": 0.5}, seed=1)
    with noise.off():
        assert_same_bits(model(X), clean)
        with noise.off():
            pass
        assert_same_bits(model(X), clean)
    assert noise.step == 0
    assert not torch.equal(model(X), clean)
    with pytest.raises(ZeroDivisionError), noise.off():
        raise ZeroDivisionError
    assert not torch.equal(model(X), clean)


def hooks(model: nn.Module) -> list[Any]:
    return [
        {name: dict(value or {}) for name, value in vars(module).items() if "hook" in name}
        for module in model.modules()
    ]


def test_remove_leaves_no_trace() -> None:
    model = Net()
    model.hid1.register_forward_hook(lambda *_: None)  # a hook of the user's own
    before, keys, names = hooks(model), list(model.state_dict()), list(vars(model))
    noise = ng.inject(model, {"*:out": 0.5, "*:in": 0.1}, seed=1)
    assert list(model.state_dict()) == keys
    assert hooks(model) != before
    noise.remove()
    noise.remove()  # a second time does nothing
    assert hooks(model) == before
    assert list(vars(model)) == names


def test_state_dict_is_key_for_key_that_of_the_model() -> None:
    model = Net()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    noise = ng.inject(model, {"hid*:out": 0.5}, seed=1)
    model(X)
    assert list(model.state_dict()) == list(state)
    for name, value in model.state_dict().items():
        assert_same_bits(value, state[name])
    other = Net()
    other.load_state_dict(model.state_dict())
    noise.remove()


def test_without_a_seed_torch_s_generator_gives_one() -> None:
    torch.manual_seed(3)
    first = ng.inject(Net(), {"hid1:out": 0.5})
    torch.manual_seed(3)
    Net()
    torch.manual_seed(3)
    Net()
    second = ng.inject(Net(), {"hid1:out": 0.5})
    assert 0 <= first.seed < 2**64
    assert first.seed != second.seed
    torch.manual_seed(3)
    Net()
    assert ng.inject(nn.Identity(), {":out": 0.5}).seed == first.seed
    model = Net()
    state = torch.get_rng_state()
    ng.inject(model, {"hid1:out": 0.5}, seed=0)
    assert_same_bits(torch.get_rng_state(), state)


def test_tuples_lists_and_keyword_arguments() -> None:
    class Several(nn.Module):
        def forward(self, ids: Tensor, *, x: Tensor, pair: bool) -> Any:
            return (ids, x) if pair else [x, ids]

    model = Several()
    ids, x = torch.arange(4), torch.ones(4, 20)
    ng.inject(model, {":in": 0.5, ":out": ng.Dropout(0.3)}, seed=1)
    for step, pair in enumerate((True, False)):
        out = model(ids, x=x, pair=pair)
        assert type(out) is (tuple if pair else list)
        assert out[0 if pair else 1] is ids
        entered = ng.mask(ng.Dropout(0.5), (4, 20), ng.Stream(1).site(":in").at(step))
        left = ng.mask(ng.Dropout(0.3), (4, 20), ng.Stream(1).site(":out").at(step))
        assert_same_bits(out[1 if pair else 0] != 0, torch.from_numpy(entered & left))


def test_a_site_without_floats_is_refused_in_a_sentence() -> None:
    model = nn.Sequential(nn.Embedding(9, 4))
    ng.inject(model, {"0:in": 0.5}, seed=1)
    with assert_sentence(
        ng.InvalidType,
        "inject: the site '0:in' must see a floating-point tensor, or a tuple, list or dict that "
        "holds one; got a tensor of torch.int64. Name a site after the embedding or the tensor's "
        "own module.",
    ):
        model(torch.arange(3))


def test_a_compiled_model_has_the_noise_of_each_step() -> None:
    model, plain = Net(), Net()
    plain.load_state_dict(model.state_dict())
    ng.inject(model, {"hid*:out": 0.5, ":in": ng.GaussianNoise(0.1)}, seed=1)
    ng.inject(plain, {"hid*:out": 0.5, ":in": ng.GaussianNoise(0.1)}, seed=1)
    torch.compiler.reset()
    fast = torch.compile(model, backend="eager")
    for _ in range(12):
        assert_same_bits(fast(X).detach(), plain(X).detach())


def test_gradients_pass_through_the_noise() -> None:
    model = Net()
    ones(model)
    ng.inject(model, {"hid3:out": 0.5}, seed=1)
    values = seen(model, "hid3")
    model(X).sum().backward()
    kept = (values[0] != 0).float()
    expected = (2 * kept * model.last.weight.sum(0)).sum(0)
    assert_same_bits(model.hid3.bias.grad, expected)


def test_a_deep_copy_has_noise_of_its_own() -> None:
    model = Net()
    noise = ng.inject(model, {"hid1:out": 0.5}, seed=1)
    model(X)
    first, second = copy.deepcopy(model), copy.deepcopy(model)
    outputs = [first(X), second(X)]
    assert_same_bits(outputs[0].detach(), outputs[1].detach())
    assert noise.step == 1  # the copies count for themselves
    assert_same_bits(model(X).detach(), outputs[0].detach())


def test_a_failed_injection_leaves_the_model_alone() -> None:
    model = Net()
    before = hooks(model)
    for rules in ({"hid1:out": 0.5, "nowhere:out": 0.1}, {"hid1:out": 0.5, "hid2:out": 1.5}):
        with pytest.raises(ng.InvalidValue):
            ng.inject(model, rules, seed=1)
    with pytest.raises(ng.InvalidValue):
        ng.inject(model, {"hid1:out": 0.5}, seed=-1)
    assert hooks(model) == before
    assert ng.inject(model, {"hid1:out": 0.5}, seed=1).report().splitlines()[1].split()[2] == "0"


def test_the_repr_and_the_report() -> None:
    noise = ng.inject(Net(), {"hid[23]:out": 0.1, "in:out": ng.GaussianNoise(0.05)}, seed=13)
    assert repr(noise) == "<noise at 3 sites, seed 13, step 0>"
    assert noise.report() == (
        "site      noise                      slot  rule\n"
        "hid2:out  Dropout(p=0.1)             0     hid[23]:out\n"
        "hid3:out  Dropout(p=0.1)             0     hid[23]:out\n"
        ":in       GaussianNoise(sigma=0.05)  0     in:out\n"
        "note: 'in:out' means ':in', the model's own input."
    )
