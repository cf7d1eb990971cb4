"""Every module of torch's that draws random numbers draws them from the seed."""

import copy
import inspect
import pickle
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import noisegate as ng
from _asserts import assert_same_bits
from _draws import read_states, run_at, seed

GENERATOR = torch.Generator().manual_seed(1)
ROWS = torch.randn(4, 6, generator=GENERATOR)
TOKENS = torch.randn(4, 5, 8, generator=GENERATOR)
LINE, MAP, VOLUME = (torch.randn(4, 3, *[9] * rank, generator=GENERATOR) for rank in (1, 2, 3))


class Attending(nn.Module):
    """Self-attention of one input."""

    def __init__(self, **words: Any) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, dropout=0.3, batch_first=True, **words)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.attention(x, x, x)[0]
        return y


class Translating(nn.Module):
    """A module of two inputs, which are one here."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.module(x, x.flip(1))
        return y


class Recurrent(nn.Module):
    """The output of a recurrent layer."""

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.layer = kind(8, 6, 2, dropout=0.4, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x)[0]
        return y


class Function(nn.Module):
    """A function of torch's that draws, by its name."""

    def __init__(self, name: str, **words: Any) -> None:
        super().__init__()
        self.name, self.words = name, words

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = getattr(F, self.name)(x, **self.words)
        return y


def transform(kind: Any, *args: Any) -> nn.Module:
    module: nn.Module = kind(8, 2, *args, dim_feedforward=8, dropout=0.3, batch_first=True)
    return module


POOL = {"output_ratio": 0.6}
MODULES: dict[str, tuple[Callable[[], nn.Module], Tensor]] = {
    "Dropout": (lambda: nn.Dropout(0.4), ROWS),
    "Dropout1d": (lambda: nn.Dropout1d(0.4), LINE),
    "Dropout2d": (lambda: nn.Dropout2d(0.4), MAP),
    "Dropout3d": (lambda: nn.Dropout3d(0.4), VOLUME),
    "AlphaDropout": (lambda: nn.AlphaDropout(0.4), ROWS),
    "FeatureAlphaDropout": (lambda: nn.FeatureAlphaDropout(0.4), MAP),
    "RReLU": (nn.RReLU, ROWS),
    "RReLU in place": (lambda: nn.Sequential(nn.Linear(6, 6), nn.RReLU(inplace=True)), ROWS),
    "FractionalMaxPool2d": (lambda: nn.FractionalMaxPool2d(2, **POOL), MAP),
    "FractionalMaxPool3d": (lambda: nn.FractionalMaxPool3d(2, **POOL), VOLUME),
    "MultiheadAttention": (Attending, TOKENS),
    "MultiheadAttention with biases": (lambda: Attending(add_bias_kv=True), TOKENS),
    "TransformerEncoderLayer": (lambda: transform(nn.TransformerEncoderLayer), TOKENS),
    "TransformerDecoderLayer": (
        lambda: Translating(transform(nn.TransformerDecoderLayer)), TOKENS
    ),
    "Transformer": (lambda: Translating(transform(nn.Transformer, 1, 1)), TOKENS),
    "LSTM": (lambda: Recurrent(nn.LSTM), TOKENS),
    "GRU": (lambda: Recurrent(nn.GRU), TOKENS),
    "RNN": (lambda: Recurrent(nn.RNN), TOKENS),
    "gumbel_softmax": (lambda: Function("gumbel_softmax"), ROWS),
    "hard gumbel_softmax": (lambda: Function("gumbel_softmax", hard=True), ROWS),
    "rrelu": (lambda: Function("rrelu", training=True), ROWS),
    "dropout": (lambda: Function("dropout", p=0.4), ROWS),
    "feature_alpha_dropout": (lambda: Function("feature_alpha_dropout", training=True), MAP),
}  # fmt: skip
# They hold others' draws, or have none of their own.
CONTAINERS = {"TransformerEncoder", "TransformerDecoder", "RNNBase"}


def make(name: str) -> nn.Module:
    torch.manual_seed(0)
    # A parameter before it gives the modules without weights a gradient to compare.
    build, x = MODULES[name]
    return nn.Sequential(nn.LayerNorm(x.shape[-1]), build()).train()


def test_no_module_of_torch_s_is_left_out() -> None:
    draws = re.compile(r"F\.\w*dropout|F\.rrelu|fractional_max_pool|self\.dropout\b|dropout=")
    found = {
        name for name in nn.modules.__all__ if draws.search(inspect.getsource(getattr(nn, name)))
    }
    assert found <= MODULES.keys() | CONTAINERS
    assert len(found) > 15


@pytest.mark.parametrize("name", MODULES)
def test_a_module_draws_from_the_seed(name: str) -> None:
    x, model = MODULES[name][1], make(name)
    noise = ng.inject(model, existing=True, seed=1, example=x)
    first = run_at(noise, 3, lambda: model(x), 1)
    assert_same_bits(run_at(noise, 3, lambda: model(x), 2), first)
    assert not torch.equal(run_at(noise, 4, lambda: model(x), 1), first)
    part = run_at(noise, 3, lambda: model(x[:2]), 3)
    torch.testing.assert_close(part, first[:2], atol=1e-6, rtol=1e-5)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        (handle,) = ng.handles(other)
        assert_same_bits(run_at(handle, 3, lambda other=other: other(x), 4), first)
    if not noise.sites:
        return
    noise.set_rate("existing", 0.0)
    still = run_at(noise, 3, lambda: model(x))
    for site in noise.sites:
        noise.set_rate(site, 1.0)
        assert not torch.equal(run_at(noise, 3, lambda: model(x)), still)
        noise.set_rate(site, 0.0)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_what_it_was_after_the_noise(name: str) -> None:
    x, model, clean = MODULES[name][1], make(name), make(name)
    noise = ng.inject(model, existing=True, seed=1, example=x)
    run_at(noise, 3, lambda: model(x))
    noise.remove()
    assert model.state_dict().keys() == clean.state_dict().keys()
    for left, other in zip(model.modules(), clean.modules(), strict=True):
        assert type(left) is type(other)
        assert vars(left).keys() == vars(other).keys()
        assert not left._forward_hooks
        assert not left._forward_pre_hooks
    seed(7)
    y = model(x)
    after = read_states()
    seed(7)
    assert_same_bits(y, clean(x))
    assert read_states() == after


@pytest.mark.parametrize("name", MODULES)
def test_a_module_that_is_checkpointed_has_the_gradient_of_its_noise(name: str) -> None:
    class Part(nn.Module):
        def __init__(self, saves: bool) -> None:
            super().__init__()
            self.part, self.saves = make(name), saves

        def forward(self, x: Tensor) -> Tensor:
            if not self.saves:
                return self.part(x)  # type: ignore[no-any-return]
            y = checkpoint(self.part, x, use_reentrant=False, preserve_rng_state=False)
            assert isinstance(y, Tensor)
            return y

    grads = []
    for saves in (False, True):
        model, leaf = Part(saves), MODULES[name][1].clone().requires_grad_()
        ng.inject(model, existing=True, seed=1)
        seed(int(saves))
        model(leaf).square().sum().backward()
        grads.append(leaf.grad)
    assert_same_bits(grads[1], grads[0])
