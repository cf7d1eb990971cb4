"""Noise in programs that use the rest of torch: precision, memory, classes, hooks, packages."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn
from torch._subclasses import FakeTensorMode
from torch.masked import masked_tensor
from torch.nn.utils import parametrizations, parametrize

import noisegate as ng
from _asserts import assert_same_bits, assert_sentence
from _functional import key
from _programs import EVERY_KIND, KINDS, Net, X, injected, run

# Precision -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@EVERY_KIND
def test_autocast_changes_no_noise(kind: ng.Kind, dtype: torch.dtype) -> None:
    x = X.to(dtype)
    live = {kind.RATE: torch.tensor(0.3)} if kind.takes_live else {}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        values = kind(x, key("a")), kind(x, key("a"), **live)
    for value, expected in zip(values, (kind(x, key("a")), kind(x, key("a"), **live)), strict=True):
        assert_same_bits(value, expected)


def test_a_model_in_autocast_has_the_noise_on_its_low_precision() -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.4))
    ng.inject(model, {"0:out": ng.GaussianNoise(0.2)}, existing=True, seed=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        clean = torch.nn.functional.linear(X, model[0].weight, model[0].bias)
        y = model(X)
    expected = ng.GaussianNoise(0.2)(clean, key("0:out"))
    assert clean.dtype is torch.bfloat16
    assert_same_bits(y.detach(), ng.Dropout(0.4)(expected, key("1:dropout")).detach())
    y.float().sum().backward()
    assert model[0].weight.grad.dtype is torch.float32


@pytest.mark.parametrize("build", [Net, lambda: injected()[0]])
def test_scaled_gradients_are_the_gradients(build: Callable[[], Net]) -> None:
    def train(enabled: bool) -> list[Tensor]:
        model = build()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.125)
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, enabled=enabled)
        torch.manual_seed(5)
        for _ in range(3):
            optimizer.zero_grad()
            scaler.scale(model(X).square().mean()).backward()
            scaler.step(optimizer)
            scaler.update()
        return [parameter.detach() for parameter in model.parameters()]

    for scaled, expected in zip(train(True), train(False), strict=True):
        assert_same_bits(scaled, expected)


# Memory --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*KINDS[:-1], ng.DropBlock(0.2, 2)], ids=repr)
def test_channels_last_has_the_same_noise_and_stays(kind: ng.Kind) -> None:
    x = torch.randn(2, 3, 4, 5, requires_grad=True)
    last = x.detach().to(memory_format=torch.channels_last).requires_grad_()
    y, expected = kind(last, key("a")), kind(x, key("a"))
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert_same_bits(y.detach(), expected.detach())
    for each in (y, expected):
        each.square().sum().backward()
    assert last.grad is not None
    assert last.grad.is_contiguous(memory_format=torch.channels_last)
    assert_same_bits(last.grad, x.grad)


def test_a_channels_last_model_has_the_same_noise() -> None:
    def build() -> nn.Module:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Dropout2d(0.5), ng.torch.DropBlock2d(0.3, 2))
        ng.inject(model, {"0:out": 0.5}, existing=True, seed=1)
        return model

    x = torch.randn(2, 3, 4, 5)
    y = run(build().to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last))
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert_same_bits(y == 0, run(build(), x) == 0)


def test_inference_mode_counts_steps_and_leaves_nothing_that_training_cannot_use() -> None:
    (model, noise), (other, expected) = injected(), injected()
    for kind in KINDS:  # tables and the like are cached at the first use
        with torch.inference_mode():
            kind(X.double(), key("a"))
    with torch.inference_mode():
        first = run(model)
    assert first.is_inference()
    assert_same_bits(first.clone(), run(other))
    for each in (model, other):
        torch.manual_seed(5)
        each(X).sum().backward()
    assert_same_bits(model[0].weight.grad, other[0].weight.grad)
    assert noise.step == expected.step == 2


# Classes of tensors --------------------------------------------------------------------------


FUNCTIONS = list[Any]()


class Named(Tensor):
    """A subclass as those of fastai and torchvision: numbers with a name."""


class Watching(Tensor):
    """A subclass that sees all functions."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        FUNCTIONS.append(func)
        return super().__torch_function__(func, types, args, kwargs or {})


@pytest.mark.parametrize("cls", [Named, Watching])
@EVERY_KIND
def test_a_subclass_has_the_noise_of_its_numbers_and_stays(kind: ng.Kind, cls: Any) -> None:
    y = kind(X.as_subclass(cls), key("a"))
    assert type(y) is cls
    assert_same_bits(y.as_subclass(Tensor), kind(X, key("a")))


@pytest.mark.parametrize("cls", [Named, Watching])
def test_a_subclass_passes_layers_and_injected_noise(cls: Any) -> None:
    (model, _), (other, _) = injected(), injected()
    leaf = X.clone().requires_grad_()
    torch.manual_seed(5)
    y = model(leaf.as_subclass(cls))
    y.sum().backward()
    plain = X.clone().requires_grad_()
    torch.manual_seed(5)
    other(plain).sum().backward()
    assert type(y) is cls
    assert_same_bits(leaf.grad, plain.grad)


@EVERY_KIND
def test_a_fake_tensor_gets_another(kind: ng.Kind) -> None:
    with FakeTensorMode() as mode:
        x = torch.randn(4, 6, requires_grad=True)
        y = kind(x, key("a"))
        y.sum().backward()
    assert type(y) is type(x)
    assert x.grad is not None
    assert x.grad.shape == y.shape == x.shape
    # Outside of its mode too.
    y = kind(mode.from_tensor(X), key("a"))
    assert type(y) is type(x)


def test_a_fake_run_of_a_model_leaves_real_noise_real() -> None:
    def start() -> None:
        with FakeTensorMode(allow_non_fake_inputs=True):
            assert injected()[0](torch.randn(4, 6)).shape == (4, 3)
        # The thread's first seed was drawn in the mode.
        model, _ = injected()
        values.append(run(model))

    values: list[Tensor] = []
    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert_same_bits(values[0], run(injected()[0]))


@pytest.mark.filterwarnings("ignore:The PyTorch API of MaskedTensors is in prototype stage")
@EVERY_KIND
def test_a_masked_tensor_is_refused(kind: ng.Kind) -> None:
    x = masked_tensor(X, X > 0)
    sentence = (
        "{}: the input must be a plain tensor; got MaskedTensor. Put the noise on x.get_data()."
    )
    with assert_sentence(ng.InvalidType, sentence.format(type(kind).__name__)):
        kind(x, key("a"))


# Weights -------------------------------------------------------------------------------------


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.emb, self.out = nn.Embedding(10, 6), nn.Linear(6, 10, bias=False)
        self.out.weight = self.emb.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(self.emb(tokens))


def test_tied_weights_stay_one_and_get_both_gradients() -> None:
    model, tokens = Tied(), torch.tensor([[1, 2, 3], [3, 4, 5]])
    ng.inject(model, {"emb:out": 0.5, "out:out": ng.GaussianNoise(0.2)}, seed=1)
    model(tokens).square().sum().backward()
    weight = model.emb.weight.detach().clone().requires_grad_()
    hidden = ng.Dropout(0.5)(weight[tokens], key("emb:out"))
    expected = ng.GaussianNoise(0.2)(hidden @ weight.T, key("out:out"))
    expected.square().sum().backward()
    assert model.out.weight is model.emb.weight
    assert [name for name, _ in model.named_parameters()] == ["emb.weight"]
    assert model.emb.weight.grad is not None
    torch.testing.assert_close(model.emb.weight.grad, weight.grad)


class Symmetric(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight.triu() + weight.triu(1).T


def normed() -> nn.Module:
    return parametrizations.weight_norm(nn.Linear(6, 6))


def symmetric() -> nn.Module:
    layer = nn.Linear(6, 6)
    parametrize.register_parametrization(layer, "weight", Symmetric())
    return layer


@pytest.mark.parametrize("make", [normed, symmetric])
def test_parametrized_modules_have_the_noise_of_plain_ones(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    layer = make()
    model = nn.Sequential(layer, nn.ReLU())
    before = list(model.state_dict())
    noise = ng.inject(model, {"0:in": 0.2, "0:out": 0.5}, seed=1)
    y = model(X)
    hidden = torch.nn.functional.linear(
        ng.Dropout(0.2)(X, key("0:in")),
        layer.weight,
        layer.bias,  # type: ignore[arg-type]
    )
    assert_same_bits(y.detach(), ng.Dropout(0.5)(hidden, key("0:out")).relu().detach())
    y.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert list(model.state_dict()) == before
    noise.remove()
    parametrize.remove_parametrizations(layer, "weight")
    assert_same_bits(model(X).detach(), layer(X).relu().detach())


def test_a_dropout_that_is_a_parametrization_is_taken_over() -> None:
    layer = nn.Linear(6, 4)
    parametrize.register_parametrization(layer, "weight", nn.Dropout(0.5), unsafe=True)
    model = nn.Sequential(layer)
    noise = ng.inject(model, existing=True, seed=1)
    (site,) = noise.sites
    original = layer.parametrizations.weight.original
    weight = ng.Dropout(0.5)(original, key(site))
    assert_same_bits(model(X).detach(), torch.nn.functional.linear(X, weight, layer.bias).detach())


# Hooks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [{}, {"seed": 1, "site": "a"}])
def test_a_layer_alone_is_traced_in_evaluation(words: dict[str, Any]) -> None:
    for layer in (ng.torch.Dropout(0.5, **words), ng.torch.DropBlock2d(0.2, 2, **words)):
        traced = fx.symbolic_trace(layer.eval())
        assert {node.op for node in traced.graph.nodes} == {"placeholder", "output"}
        with pytest.raises(ng.NoisegateError, match="of a model in training would repeat"):
            fx.symbolic_trace(layer.train())
