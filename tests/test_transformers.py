"""Models of other libraries: families of transformers, with none of their code changed."""

import contextlib
import warnings
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import noisegate as ng
from _asserts import assert_same_bits
from _transformers import FAMILIES, example, model
from noisegate.torch import Host


def tensors(output: Any) -> list[Tensor]:
    if isinstance(output, Tensor):
        return [output]
    parts = output.values() if isinstance(output, dict) else output
    return [x for part in parts for x in tensors(part)] if isinstance(parts, Iterable) else []


def run(net: nn.Module, name: str) -> list[Tensor]:
    with torch.no_grad():
        return tensors(net(**example(name)))


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a, b) for a, b in zip(one, other, strict=True)
    )


# The values of what enters these are not used, so that no noise on them can change anything.
DTYPE_ONLY = {"rotary_emb:in"}


@pytest.mark.parametrize("name", [*FAMILIES, "Mamba"])
def test_every_site_alone_at_p_1_changes_the_output_or_is_refused(name: str) -> None:
    net = model(name, p=0.0)
    clean = run(net, name)
    assert same(run(net, name), clean)
    called: set[str] = set()
    for path, module in net.named_modules():
        module.register_forward_hook(lambda *_, path=path: called.add(path))
    names = list(Host(net).sites().names)
    if name != "Mamba":
        names += ng.inject(net, existing=True, example=example(name), seed=1).sites
        ng.handles(net)[0].remove()
    run(net, name)
    changed, refused, idle = [], {}, []
    # A module that is given fewer tokens may not fit the rest of the model: see below.
    shorter = [site for site in names if site.endswith(":tokens")]
    for site in dict.fromkeys(name for name in names if name not in shorter):
        with warnings.catch_warnings(record=True) as caught, ng.inject(net, {site: 1.0}, seed=1):
            warnings.simplefilter("always", RuntimeWarning)
            try:
                if same(run(net, name), clean):
                    if site in DTYPE_ONLY:
                        continue
                    assert caught, f"{site}: silently nothing"
                    idle.append(site)
                else:
                    changed.append(site)
            except ng.InvalidType as error:
                refused[site] = str(error)
    assert same(run(net, name), clean)
    assert len(changed) > 0.6 * len(names)
    # What is idle is what the model does not call at all; what is refused sees whole numbers.
    assert [site for site in idle if site.rpartition(":")[0] in called] == []
    assert all("must see a floating-point tensor" in words for words in refused.values())
    assert all(site.endswith(":in") for site in refused)
    for site in shorter:
        with ng.inject(net, {site: 0.5}, seed=1):
            shown = None
            with contextlib.suppress(RuntimeError, ng.InvalidValue):  # loud, which is right too
                shown = run(net, name)
            assert shown is None or not same(shown, clean), f"{site}: silently nothing"
    assert same(run(net, name), clean)


@pytest.mark.parametrize("name", FAMILIES)
def test_existing_works_on_every_default_model_in_either_attention(name: str) -> None:
    outputs, sites = [], []
    for attention in ("eager", "sdpa"):
        net = model(name, p=0.2, attention=attention)
        state = torch.get_rng_state()
        noise = ng.inject(net, existing=True, seed=13)
        outputs.append([run(net, name) for _ in range(2)])
        assert_same_bits(torch.get_rng_state(), state)
        sites.append({row[0] for row in noise.report().rows if row[5] != "0"})
        assert any(site.endswith(":probs") for site in sites[-1])
        for row in noise.report().rows:
            assert "p=0.2" in row[1]
            assert row[6] == "" or 0.1 < float(row[6]) < 0.3
        noise.remove()
        assert not any("forward" in vars(m) or m._forward_hooks for m in net.modules())
    assert sites[0] == sites[1]
    for one, other in zip(*outputs, strict=True):
        for a, b in zip(one, other, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    assert not same(outputs[0][0], outputs[0][1])


@pytest.mark.parametrize("name", [*FAMILIES, "Swin"])
def test_scores_and_heads_have_one_noise_in_either_attention(name: str) -> None:
    """They need no dropout in the model: its rates are 0."""
    results = []
    for attention in ("eager", "sdpa") if name != "Swin" else ("eager",):
        net = model(name, p=0.0, attention=attention)
        noise = ng.inject(net, {"*:scores": 0.3, "*:heads": 0.2}, seed=13)
        results.append((run(net, name), {site: noise.mask(site) for site in noise.sites}))
        assert {row[5] for row in noise.report().rows} <= {"1", "2"}
        assert len(results[0][1]) >= 2
        assert {site.partition(":")[2] for site in noise.sites} == {"scores", "heads"}
        noise.remove()
    (outputs, masks), (again, more) = results[0], results[-1]
    for a, b in zip(outputs, again, strict=True):
        assert a.isfinite().all()
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    assert more.keys() == masks.keys()
    for site, mask in masks.items():
        assert_same_bits(more[site], mask)
    assert not same(outputs, run(net, name))


@pytest.mark.parametrize("name", [*FAMILIES, "Swin"])
def test_a_default_config_is_taken_over_as_it_is(name: str) -> None:
    net = model(name)
    noise = ng.inject(net, existing=True, example=example(name), seed=13)
    first = run(net, name)
    noise.step = 0
    assert same(run(net, name), first)
    with noise.off():
        net.eval()
        clean = run(net, name)
    assert same(run(net, name), clean)


def test_a_module_used_many_times_has_numbered_calls() -> None:
    net = model("Albert", p=0.3)
    ng.inject(net, existing=True, example=example("Albert"), seed=13)
    (noise,) = ng.handles(net)
    run(net, "Albert")
    (probs,) = [row for row in noise.report().rows if row[0].endswith(":probs")]
    assert probs[5] == "2"
    site = probs[0]
    masks = [noise.mask(site, step=0, call=call) for call in range(2)]
    assert (masks[0] != masks[1]).any()
    for call in range(2):
        key = ng.Stream(13).site(site).at(0, call)
        expected = ng.mask(ng.Dropout(0.3), (2, 4, 7, 7), key, sample_axis="attention")
        assert_same_bits(masks[call], expected)


def test_shorthands_and_the_embedding_of_tokens() -> None:
    for name, embedding in (("Bert", "embeddings.word_embeddings"), ("GPT2", "wte")):
        net = model(name, p=0.0)
        noise = ng.inject(net, input_dropout=0.1, hidden_noise=0.1, output_dropout=0.1, seed=1)
        assert noise.sites[0] == f"{embedding}:out"
        inner = noise.sites[2:]
        assert noise.sites[1] == ":out"
        assert len(inner) == (2 if name == "GPT2" else 3)
        assert all(site.endswith(":out") and "act" in site for site in inner)
        run(net, name)
    shared = ng.inject(model("T5", p=0.0), {"in:out": 0.1}, seed=1)
    assert shared.sites == ("shared:out", "encoder.embed_tokens:out", "decoder.embed_tokens:out")
    image = ng.inject(model("ViT", p=0.0), {"in:out": 0.1}, seed=1)
    assert image.sites == (":in",)


@pytest.mark.parametrize("name", ["GPT2", "Bert", "Llama", "T5", "ViT"])
@pytest.mark.parametrize("reentrant", [True, False])
def test_gradient_checkpointing_has_the_noise_of_the_forward(name: str, reentrant: bool) -> None:
    gradients = []
    for checkpointing in (False, True):
        net = model(name, p=0.3)
        if checkpointing:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # it is to be renamed
                net.gradient_checkpointing_enable({"use_reentrant": reentrant})
        rules = {"*:out": ng.GaussianNoise(0.1)}
        noise = ng.inject(net, rules, existing=True, seed=13)
        total: Any = 0.0
        for scale in (1.0, 2.0):  # two forwards before one backward
            out = net(**example(name)).last_hidden_state
            total = total + scale * out.square().sum()
        total.backward()
        assert noise.step == 2
        gradients.append({n: p.grad for n, p in net.named_parameters() if p.grad is not None})
    plain, checked = gradients
    assert plain.keys() == checked.keys()
    for parameter, grad in plain.items():
        torch.testing.assert_close(checked[parameter], grad, rtol=1e-4, atol=1e-5)
