"""Models whose modules are swapped, fused or reparametrised while there is noise in them."""

import copy
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.ao import quantization
from torch.nn.utils import parametrizations, parametrize

import noisegate as ng
from _asserts import assert_same_bits
from _functional import key

X = torch.randn(6, 8)


@pytest.fixture(autouse=True)
def engine() -> Iterator[None]:
    """Choose an engine of quantized arithmetic, which may be none."""
    before = torch.backends.quantized.engine
    engines = [name for name in torch.backends.quantized.supported_engines if name != "none"]
    torch.backends.quantized.engine = engines[0]
    yield
    torch.backends.quantized.engine = before


def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 3))


RULES: dict[str, Any] = {"0:in": 0.5, "0:out": 0.5, "3:in": 0.2, ":out": ng.GaussianNoise(0.1)}


def dynamic(net: nn.Module) -> nn.Module:
    return quantization.quantize_dynamic(net, {nn.Linear}).train()


def dynamic_in_place(net: nn.Module) -> nn.Module:
    return quantization.quantize_dynamic(net, {nn.Linear}, inplace=True).train()


def aware(net: nn.Module) -> nn.Module:
    net.qconfig = quantization.get_default_qat_qconfig(torch.backends.quantized.engine)
    return quantization.prepare_qat(net.train())


def quietly(swap: Any, *args: Any) -> Any:
    """Swap without torch's word that quantization has moved to another package."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return swap(*args)


def copied(net: nn.Module) -> nn.Module:
    return copy.deepcopy(net)


def reparametrised(net: nn.Sequential) -> nn.Module:
    parametrizations.weight_norm(net[0])
    parametrize.register_parametrization(net[3], "weight", nn.Identity())
    return net


SWAPS = [dynamic, dynamic_in_place, aware, copied, reparametrised]


@pytest.mark.parametrize("swap", SWAPS)
def test_noise_goes_on_where_modules_are_swapped(swap: Any) -> None:
    net = model()
    ng.inject(net, RULES, existing=True, seed=1)
    net(X)
    swapped = quietly(swap, net)
    (noise,) = ng.handles(swapped)
    assert noise.step == 1
    seen: list[Tensor] = []
    swapped[0].register_forward_hook(lambda m, args, y: seen.extend([args[0], y.detach()]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # every rule acts
        first, second = swapped(X), swapped(X)
    assert not torch.equal(first, second)
    for step, (before, after) in enumerate(zip(seen[::2], seen[1::2], strict=True), start=1):
        assert_same_bits(before, ng.Dropout(0.5)(X, key("0:in", step=step)))
        kept = ng.Dropout(0.5)(torch.ones(6, 32), key("0:out", step=step)) != 0
        assert not after[~kept].any()
        assert (after[kept] != 0).float().mean() > 0.9  # small ones are rounded to 0
    noise.remove()
    swapped(X)
    assert_same_bits(seen[-2], X)
    assert (seen[-1] != 0).float().mean() > 0.9
    assert ng.handles(swapped) == ()


def test_a_swapped_part_that_has_noise_of_its_own_keeps_it() -> None:
    net = model()
    noise = ng.inject(net[0], {":in": 0.5}, seed=1)
    swapped = quietly(dynamic_in_place, net)
    swapped[0](X)
    swapped(X)
    assert noise.step == 2
    assert ng.handles(swapped) == (noise,)
    noise.remove()
    swapped(X)
    assert noise.step == 2
    assert ng.handles(swapped) == ()


def test_fused_modules_keep_the_noise_of_both_ends() -> None:
    net = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.ReLU())
    x = torch.randn(5, 4, 6, 2)
    ng.inject(net, {"0:in": 0.5, "2:out": 0.5}, seed=1)
    fused: Any = quietly(quantization.fuse_modules_qat, net, [["0", "1", "2"]])
    (noise,) = ng.handles(fused)
    seen: list[Tensor] = []
    fused[0].register_forward_hook(lambda m, args, y: seen.extend([args[0], y]))
    y = fused(x)
    assert_same_bits(seen[0], ng.Dropout(0.5)(x, key("0:in")))
    kept = ng.Dropout(0.5)(torch.ones_like(y), key("2:out")) != 0
    assert not y[~kept].any()
    noise.remove()
    seen.clear()
    fused(x)
    assert_same_bits(seen[0], x)


# Weights that drop -----------------------------------------------------------------------------


class WeightDrop(nn.Module):
    """A layer whose weight is dropped in each forward, as AWD-LSTM has it."""

    def __init__(self, by_module: bool) -> None:
        super().__init__()
        self.inner = nn.Linear(8, 8)
        raw = self.inner._parameters.pop("weight")
        self.inner.register_parameter("raw", raw)
        self.drop = nn.Dropout(0.5) if by_module else None

    def forward(self, x: Tensor) -> Tensor:
        raw: Any = self.inner.raw
        dropped = F.dropout(raw, 0.5, self.training) if self.drop is None else self.drop(raw)
        self.inner.weight = dropped
        return self.inner(x)


@pytest.mark.parametrize("by_module", [False, True])
def test_a_module_that_drops_weights_stays_whole_at_rate_0(by_module: bool) -> None:
    net = WeightDrop(by_module)
    names = list(net.state_dict())
    noise = ng.inject(net, {"*:dropout": 0.0}, seed=1)
    y = net(X)
    assert list(net.state_dict()) == names
    assert_same_bits(y, F.linear(X, net.inner.raw, net.inner.bias))
    (gradient,) = torch.autograd.grad(y.sum(), net.inner.raw)
    assert gradient.any()
    noise.set_rate("*:dropout", 0.5)
    assert not torch.equal(net(X), net(X))
    noise.remove()
    net(X)  # torch's own dropout is assigned as before
    assert list(net.state_dict()) == names


def test_what_is_no_parameter_comes_back_itself() -> None:
    class Returns(nn.Module):
        def forward(self, x: Tensor, p: float, inplace: bool = False) -> Tensor:
            return F.dropout(x, p, self.training, inplace)

    net, weight = Returns(), nn.Parameter(torch.ones(3, 3))
    ng.inject(net, {":dropout": 0.0}, seed=1)
    x = torch.ones(3, 3)
    assert net(x, 0.5) is x
    assert net(weight, 0.5) is not weight
    assert not isinstance(net(weight, 0.5), nn.Parameter)
    assert net(weight, 0.0) is weight  # as torch's
    assert net(weight, 0.5, inplace=True) is weight
