"""The port `branch` in models of torch, of transformers, and in residual networks."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import noisegate as ng
from _asserts import assert_sentence
from _residual import Block, Deep, N, deep, inputs, read_kept
from noisegate.torch.model.discover import find_sites
from noisegate.torch.model.paths import find_modules

KEEP = ng.Dropout(0.5, False, shared_axes="all_but_samples")


class Residual(nn.Module):
    """A block of a residual network; one with a stride changes the shape."""

    def __init__(self, stride: int = 1) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 4, 3, stride, 1), nn.BatchNorm2d(4)
        self.shortcut = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.conv(x)) + self.shortcut(x))


class ResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.layer1 = nn.Sequential(Residual(), Residual())
        self.layer2 = nn.Sequential(Residual(2))
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer2(self.layer1(self.stem(x)))
        return self.head(x.mean((2, 3)))


def encoder(norm_first: bool = False, batch_first: bool = True) -> nn.Module:
    words = {"dropout": 0.0, "batch_first": batch_first, "norm_first": norm_first}
    layer = nn.TransformerEncoderLayer(8, 2, 16, **words)
    model = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
    return model.double().train()


def list_branches(model: nn.Module) -> list[str]:
    names = find_sites(model, find_modules(model)).names
    return [name.partition(":")[0] for name in names if name.endswith(":branch")]


def check_kept(model: nn.Module, run: Callable[[nn.Module], Tensor], path: str) -> None:
    """Check the first block: kept samples as in a model that computes all, others passed on."""
    layers = {}

    def watch(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        layers["in"] = args[0] if args else kwargs["hidden_states"]
        layers["out"] = output[0] if isinstance(output, tuple) else output

    block = model.get_submodule(path)
    block.register_forward_hook(watch, with_kwargs=True)
    run(model)
    whole = layers["out"]
    noise = ng.inject(model, {f"{path}:branch": KEEP}, seed=3)
    run(model)
    kept = read_kept(noise, f"{path}:branch", 0)
    assert 0 < int(kept.sum()) < len(kept)
    torch.testing.assert_close(layers["out"][kept], whole[kept], rtol=1e-5, atol=1e-6)
    assert torch.equal(layers["out"][~kept], layers["in"][~kept])
    assert noise.report().notes == ()
    noise.remove()


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_layers_of_torchs_transformers(norm_first: bool, masked: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(N, 5, 8).double()
    padding = torch.arange(5) >= torch.tensor([5, 3, 4, 5, 2, 1, 5, 3])[:, None]
    mask = torch.triu(torch.ones(5, 5, dtype=torch.bool), 1)
    words = {"mask": mask, "src_key_padding_mask": padding} if masked else {}
    check_kept(encoder(norm_first), lambda model: model(x, **words), "layers.0")


def test_samples_on_another_axis_are_named() -> None:
    torch.manual_seed(0)
    model, x = encoder(batch_first=False), torch.randn(5, N, 8).double()
    first = encoder()
    first.load_state_dict(model.state_dict())
    ng.inject(model, {"layers.*:branch": 0.5}, seed=3, sample_axis=1)
    ng.inject(first, {"layers.*:branch": 0.5}, seed=3)
    y = first(x.transpose(0, 1))
    torch.testing.assert_close(model(x), y.transpose(0, 1), rtol=1e-10, atol=1e-12)


def test_a_batch_on_another_axis_than_the_rules_is_refused() -> None:
    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder(batch_first=False)

        def forward(self, x: Tensor) -> Tensor:
            return self.encoder(x.transpose(0, 1)).transpose(0, 1)

    model, x = Turned(), torch.randn(N, 5, 8).double()
    rule = "encoder.layers.0:branch"
    noise = ng.inject(model, {rule: 0.5}, seed=3)
    with assert_sentence(
        ng.InvalidValue,
        f"inject: the block at '{rule}' takes a tensor of shape (5, 8, 8), and the model's forward "
        f"has 8 samples, which axis 0 does not hold. Name the axis, sample_axis={{'{rule}': ...}}, "
        "or leave the block out.",
    ):
        model(x)
    noise.remove()
    ng.inject(model, {rule: 1.0}, seed=3, sample_axis={rule: 1})
    model(x)


def make_llama() -> Any:
    from transformers import LlamaConfig, LlamaModel

    return LlamaModel(
        LlamaConfig(
            vocab_size=50,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
        )
    )


def make_bert() -> Any:
    from transformers import BertConfig, BertModel

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = BertConfig(vocab_size=50, intermediate_size=32, **sizes)
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    return BertModel(config)


def make_gpt2() -> Any:
    from transformers import GPT2Config, GPT2Model

    rates = {"attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0}
    sizes = {"vocab_size": 50, "n_embd": 16, "n_layer": 2, "n_head": 2}
    return GPT2Model(GPT2Config(**sizes, **rates))


TRANSFORMERS: Mapping[str, tuple[Callable[[], Any], str]] = {
    "llama": (make_llama, "layers.0"),
    "bert": (make_bert, "encoder.layer.0"),
    "gpt2": (make_gpt2, "h.0"),
}


def run_tokens(model: Any, **words: Any) -> Tensor:
    tokens = torch.arange(40).reshape(N, 5) % 50
    mask = (torch.arange(5) < torch.tensor([5, 3, 4, 5, 2, 1, 5, 3])[:, None]).long()
    return model(input_ids=tokens, attention_mask=mask, **words).last_hidden_state


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("name", TRANSFORMERS)
def test_layers_of_transformers(name: str, implementation: str) -> None:
    make, path = TRANSFORMERS[name]
    torch.manual_seed(0)
    model = make().train()
    model.set_attn_implementation(implementation)
    check_kept(model, lambda model: run_tokens(model, use_cache=False), path)


def test_layers_of_an_image_transformer() -> None:
    from transformers import ViTConfig, ViTModel

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = ViTConfig(**sizes, intermediate_size=32, image_size=8, patch_size=4)
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    torch.manual_seed(0)
    model, x = ViTModel(config).train(), torch.randn(N, 3, 8, 8)
    path = next(path for path in list_branches(model) if path.endswith(".0"))
    check_kept(model, lambda model: model(pixel_values=x).last_hidden_state, path)


def test_a_block_that_is_given_a_cache_computes_all_samples() -> None:
    torch.manual_seed(0)
    model = make_llama().train()
    first, second = (
        ng.inject(one, {"layers.*:branch": 0.5}, seed=3) for one in (model, copy.deepcopy(model))
    )
    seen: list[int] = []
    model.layers[0].mlp.register_forward_hook(lambda m, a, y: seen.append(len(y)))
    cached = run_tokens(model)
    torch.testing.assert_close(cached, run_tokens(second.host.model, use_cache=False))
    assert seen[-1] == N
    assert first.report().notes[0] == (
        "'layers.0:branch' computes all samples: it is given a DynamicCache, which may store them."
    )


def test_a_tensor_that_may_hold_samples_or_not_makes_a_block_compute_all() -> None:
    torch.manual_seed(0)
    x, mask = torch.randn(5, 5, 8).double(), torch.triu(torch.ones(5, 5), 1).bool()
    model = encoder()
    plain = copy.deepcopy(model)
    noise = ng.inject(model, {"layers.0:branch": 0.5}, seed=3)
    model(x, mask=mask)
    assert noise.report().notes == (
        "'layers.0:branch' computes all samples: which axis of a tensor of shape (5, 5) beside "
        "(5, 5, 8) holds samples is unclear.",
    )
    kept = read_kept(noise, "layers.0:branch", 0)
    y, whole = x.clone(), plain.layers[0](x, src_mask=mask)
    y[kept] = (x + (whole - x) * 2)[kept]
    assert 0 < int(kept.sum()) < 5
    for layer in plain.layers[1:]:
        y = layer(y, src_mask=mask)
    with noise.at(0):
        torch.testing.assert_close(model(x, mask=mask), y, rtol=1e-10, atol=1e-12)


def test_norms_over_the_batch_see_the_kept_samples() -> None:
    torch.manual_seed(0)
    model, x = ResNet().double().train(), torch.randn(N, 3, 8, 8).double()
    noise = ng.inject(model, {"layer1.0:branch": KEEP}, seed=3)
    plain = copy.deepcopy(model.layer1[0])
    given: list[Tensor] = []
    model.layer1[0].register_forward_hook(lambda m, a, y: given.extend([a[0], y]))
    model(x)
    kept = read_kept(noise, "layer1.0:branch", 0)
    ng.handles(plain)[0].remove() if ng.handles(plain) else None
    expected = Residual.forward(plain, given[0][kept])
    assert torch.equal(given[1][kept], expected)
    assert torch.equal(model.layer1[0].norm.running_mean, plain.norm.running_mean)


def test_wildcards_leave_out_blocks_that_change_the_shape() -> None:
    torch.manual_seed(0)
    model, x = ResNet().train(), torch.randn(N, 3, 8, 8)
    noise = ng.inject(model, {"layer*:branch": 1.0}, seed=3)
    plain = copy.deepcopy(model)
    ng.handles(plain)[0].remove()
    y = model(x)
    torch.testing.assert_close(y, plain.head(plain.layer2(plain.stem(x)).mean((2, 3))))
    assert len(noise.report().notes) == 1
    assert "'layer2.0:branch' is no residual block" in noise.report().notes[0]


def test_the_sites_are_blocks_and_not_what_is_inside_of_them() -> None:
    assert list_branches(deep(2)) == ["layers.0", "layers.1"]
    assert list_branches(ResNet()) == ["layer1.0", "layer1.1", "layer2.0"]
    assert list_branches(encoder()) == ["layers.0", "layers.1", "layers.2"]
    assert list_branches(nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))) == []
    alone = nn.TransformerEncoderLayer(8, 2)
    assert list_branches(nn.ModuleDict({"only": alone})) == ["only"]


def test_a_pattern_names_the_outermost_blocks() -> None:
    class Mixed(Block):
        def __init__(self) -> None:
            super().__init__()
            self.experts = nn.ModuleList(Block() for _ in range(2))

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + sum(expert(x) for expert in self.experts)

    model = Deep(2, make=Mixed).double()
    noise = ng.inject(model, {"layers.*:branch": 0.5}, seed=3)
    assert noise.sites == ("layers.0:branch", "layers.1:branch")
    noise.remove()
    noise = ng.inject(model, {"layers.*.experts.*:branch": 0.5, "layers.0:branch": 0.5}, seed=3)
    assert len(noise.sites) == 5
    y = model(inputs())
    with noise.at(0):  # blocks inside of blocks: the samples that are kept in both
        rows = [6, 1, 4]
        torch.testing.assert_close(model(inputs()[:4]), y[:4], rtol=1e-12, atol=1e-12)
    with noise.at(0, rows=rows):
        torch.testing.assert_close(model(inputs()[rows]), y[rows], rtol=1e-12, atol=1e-12)


def test_a_rule_names_listed_blocks_only() -> None:
    with assert_sentence(
        ng.UnmatchedRule,
        "inject: the rule 'layers.0.inner:branch' matches no site. The nearest sites are "
        "'layers.0.inner:in', 'layers.0:branch', 'layers.0.inner:out'.",
    ):
        ng.inject(deep(1), {"layers.0.inner:branch": 0.5}, seed=3)


@pytest.mark.parametrize("names", [("hidden", "attention"), None])
def test_blocks_may_return_several_values(names: Any) -> None:
    class Several(Block):
        def forward(self, x: Tensor) -> Any:
            y = super().forward(x)
            return {"hidden": y, "attention": y * 2} if names else (y, None)

    class Model(Deep):
        def forward(self, x: Tensor) -> Any:
            for layer in self.layers:
                found = layer(x)
                x = found["hidden"] if names else found[0]
            return found

    torch.manual_seed(1)
    model = Model(1, make=Several).double()
    plain = copy.deepcopy(model.layers[0])
    noise = ng.inject(model, {"layers.0:branch": KEEP}, seed=3)
    found, x = model(inputs()), inputs()
    kept = read_kept(noise, "layers.0:branch", 0)
    if names:
        torch.testing.assert_close(found["attention"][kept], plain(x)["attention"][kept])
        assert not found["attention"][~kept].any()
        noise.set_rate("layers.0:branch", 1.0)
        found = model(x)
        assert torch.equal(found["hidden"], x)
        assert not found["attention"].any()
    else:
        assert found[1] is None
        noise.set_rate("layers.0:branch", 1.0)
        assert torch.equal(model(x)[0], x)
        assert model.layers[0].seen == [int(kept.sum())]


def test_a_block_without_floating_inputs_is_refused() -> None:
    class Looking(Block):
        def forward(self, x: Tensor) -> Tensor:
            return torch.ones(len(x), 6)

    model = Deep(2, make=Looking)
    ng.inject(model, {"layers.0:branch": 0.5}, seed=3)
    with assert_sentence(
        ng.InvalidType,
        "inject: the block at 'layers.0:branch' must be given a floating-point tensor, or a tuple, "
        "list or dict that holds one; got a tensor of torch.int64, nothing. Leave the block out.",
    ):
        model(torch.ones(3, 6, dtype=torch.int64))


def test_a_wildcard_that_ends_with_no_block_warns_once() -> None:
    def make_stage(n: int) -> nn.Module:
        inner = (nn.Sequential(nn.Linear(2 * n, 2 * n)) for _ in range(2))
        return nn.Sequential(nn.Linear(n, 2 * n), *inner)

    stages, x = nn.Sequential(make_stage(4), make_stage(8)), torch.randn(5, 4)
    noise = ng.inject(stages, {"*:branch": [0.5, ng.GaussianNoise(0.1)]}, seed=3)
    assert noise.sites == ("0:branch", "1:branch")
    with pytest.warns(RuntimeWarning) as caught:
        stages(x)
    stages(x)
    assert [str(warning.message) for warning in caught] == [
        "noisegate: '*:branch' acts nowhere: it leaves out each block that it names, and the "
        "report says why. Name those inside of them."
    ]
    noise.remove()
    noise = ng.inject(stages, {"*.?:branch": 0.5}, seed=3)
    assert noise.sites == ("0.1:branch", "0.2:branch", "1.1:branch", "1.2:branch")
    stages(x)
