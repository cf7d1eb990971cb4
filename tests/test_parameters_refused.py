"""Where noise on a parameter could not act as it should, and is refused."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune, spectral_norm, weight_norm

import noisegate as ng
from _asserts import assert_sentence

SEED = 5


def prune_weight(layer: nn.Linear) -> nn.Module:
    return prune.l1_unstructured(layer, "weight", 0.5)  # type: ignore[no-any-return]


def prune_twice(layer: nn.Linear) -> nn.Module:
    return prune_weight(prune_weight(layer))  # type: ignore[arg-type]


HOOKED: dict[str, tuple[Callable[[Any], nn.Module], str, str]] = {
    "prune": (prune_weight, "weight_orig", "prune"),
    "prune twice": (prune_twice, "weight_orig", "prune"),
    "spectral_norm": (spectral_norm, "weight_orig", "spectral_norm"),
    "weight_norm": (weight_norm, "weight_v", "weight_norm"),
}


@pytest.mark.filterwarnings("ignore:`torch.nn.utils:FutureWarning")
@pytest.mark.parametrize("case", HOOKED)
def test_a_parameter_that_a_hook_reads_is_refused(case: str) -> None:
    change, name, home = HOOKED[case]
    model = nn.Sequential(change(nn.Linear(4, 3)), nn.Linear(3, 2))
    with assert_sentence(
        ng.InvalidValue,
        f"inject: '0:{name}' is read before its module runs, by a hook of torch.nn.utils.{home} "
        "that makes `weight` of it, so its noise would not act. Use "
        "torch.nn.utils.parametrizations instead, or put noise on the module's output.",
    ):
        ng.inject(model, {f"0:{name}": 0.5}, seed=SEED)
    assert "forward" not in vars(model[0])
    with ng.inject(model, {"0:bias": 1.0}, seed=SEED):  # no hook reads it
        y = model(torch.ones(1, 4))
        weight = nn.functional.linear(torch.ones(1, 4), model[0].weight)
        torch.testing.assert_close(y, model[1](weight))


def test_noise_acts_where_a_hook_comes_later() -> None:
    model, x = nn.Sequential(nn.Linear(4, 3, bias=False)), torch.eye(4)
    noise = ng.inject(model, {"0:weight": 0.5}, seed=SEED)
    prune_weight(model[0])
    with noise.at(0):
        y = model(x)
    kept = torch.from_numpy(noise.mask("0:weight", 0))
    assert torch.equal(y.T, model[0].weight * kept * 2)


@pytest.mark.parametrize("make", [copy.copy, lambda m: m._replicate_for_data_parallel()])
def test_a_copy_that_shares_the_modules_forward_is_refused(make: Any) -> None:
    layer = nn.Linear(4, 3)
    noise = ng.inject(layer, {":weight": 0.5}, seed=SEED)
    with assert_sentence(
        ng.InvalidValue,
        "inject: this Linear is a copy of a module with noise on its parameters, as "
        "nn.DataParallel makes them, and would compute with those of the original. Use "
        "nn.parallel.DistributedDataParallel, or copy.deepcopy.",
    ):
        make(layer)(torch.ones(2, 4))
    layer(torch.ones(2, 4))
    copy.deepcopy(layer)(torch.ones(2, 4))
    noise.remove()
    assert "forward" not in vars(make(layer))


# One draw for each sample ----------------------------------------------------------------------


def test_the_parameters_of_a_module_have_one_axis_of_samples() -> None:
    rules = {"0:weight": 0.5, "0:bias": 0.5}
    with assert_sentence(
        ng.InvalidValue,
        "inject: '0:bias' has its samples along axis 1, and another parameter of the same module "
        "along axis 0. Give both one `sample_axis`.",
    ):
        axes: Any = {"0:weight": 0, "0:bias": 1}
        ng.inject(nn.Sequential(nn.Linear(4, 3)), rules, sample_axis=axes, seed=SEED)


def test_an_axis_that_the_input_lacks_is_named() -> None:
    model = nn.Sequential(nn.Linear(4, 3))
    ng.inject(model, {"0:weight": 0.5}, sample_axis={"0:weight": 2}, seed=SEED)
    with assert_sentence(
        ng.InvalidValue,
        "inject: '0:weight' has one draw for each sample along axis 2, and its module takes a "
        "tensor of shape (2, 4). Name another `sample_axis`.",
    ):
        model(torch.ones(2, 4))


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x * self.weight, x


def test_a_module_that_returns_several_tensors_has_no_draw_for_each_sample() -> None:
    model = nn.Sequential(Pair())
    ng.inject(model, {"0:weight": 0.5}, sample_axis={"0:weight": 0}, seed=SEED)
    with assert_sentence(
        ng.InvalidType,
        "inject: '0:weight' has one draw for each sample, so its module must return one tensor; "
        "got tuple. Leave its rule out of `sample_axis`, for one draw a step.",
    ):
        model(torch.ones(2, 3))


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (nn.LSTMCell(4, 3), "weight_hh"),
        (nn.GRUCell(4, 3), "weight_hh"),
        (nn.InstanceNorm1d(4, affine=True, track_running_stats=True), "weight"),
    ],
)
def test_layers_that_torch_cannot_map_have_no_draw_for_each_sample(
    layer: nn.Module, name: str
) -> None:
    with assert_sentence(
        ng.InvalidValue,
        f"inject: ':{name}' cannot have one draw for each sample: that is for layers such as "
        f"Linear, Conv2d and Embedding; got {type(layer).__name__}. Leave its rule out of "
        "`sample_axis`, for one draw a step.",
    ):
        ng.inject(layer, {f":{name}": 0.5}, sample_axis={f":{name}": 0}, seed=SEED)
