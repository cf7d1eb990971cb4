"""The port `tokens` in compiled code, checkpoints, transformations, copies and predictions."""

import copy
import io
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vmap
from torch.utils.checkpoint import checkpoint

import noisegate as ng
from _asserts import assert_sentence
from _sequences import WIDTH, Given, N, inputs, read_kept, sequences, take

SITE = "layers:tokens"


def close(x: Tensor, y: Tensor) -> None:
    torch.testing.assert_close(x, y, rtol=1e-12, atol=1e-12)


def gradients(model: nn.Module, run: Any, x: Tensor) -> list[Tensor]:
    y = run(x)
    return [y.detach(), *torch.autograd.grad((y**2).sum(), [x, *model.parameters()])]


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_one_graph_leaves_out_what_eager_code_does(backend: str) -> None:
    torch._dynamo.reset()
    model, x = sequences(), inputs().requires_grad_()
    plain = copy.deepcopy(model)
    first, second = (ng.inject(one, {SITE: 0.5}, seed=3) for one in (plain, model))
    compiled = torch.compile(model, backend=backend, fullgraph=True)
    for step in range(3):
        for one, other in zip(
            gradients(model, compiled, x), gradients(plain, plain, x), strict=True
        ):
            close(one, other)
        assert torch.equal(read_kept(second, SITE), read_kept(first, SITE, step))
    assert first.step == second.step == 3
    for noise in (first, second):
        noise.set_rate(SITE, 0.2)  # another length, and so another graph
    close(compiled(x), plain(x))
    assert read_kept(second, SITE).sum(1).tolist() == [9] * N
    first.rows = second.rows = [4, 9, 2, 0, 1]
    close(compiled(x), plain(x))
    for noise in (first, second):
        noise.rows = None
        noise.set_rate(SITE, 0.0)
    close(compiled(x), plain(x))
    assert torch.equal(compiled.eval()(x), plain.eval()(x))


def test_a_graph_of_any_length() -> None:
    torch._dynamo.reset()
    model = sequences()
    plain = copy.deepcopy(model)
    for one in (model, plain):
        ng.inject(one, {SITE: 0.5}, seed=3)
    compiled = torch.compile(model, backend="eager", fullgraph=True, dynamic=True)
    for shape in ((5, 11), (4, 9), (3, 20)):
        close(compiled(inputs(*shape)), plain(inputs(*shape)))


def test_a_schedule_breaks_a_graph_or_is_refused() -> None:
    torch._dynamo.reset()
    model, x = sequences(), inputs()
    plain = copy.deepcopy(model)
    kind = ng.PatchDropout(ng.schedule.linear(0.0, 0.5, 2))
    for one in (model, plain):
        ng.inject(one, {SITE: kind}, seed=3)
    compiled = torch.compile(model, backend="eager")
    for _ in range(3):
        close(compiled(x), plain(x))
    torch._dynamo.reset()
    whole = torch.compile(model, backend="eager", fullgraph=True)
    sentence = (
        "inject: a schedule at 'layers:tokens' leaves another number of tokens at each step, and "
        "{} must have one length. Use a number there, and change it by `set_rate`."
    )
    with pytest.raises(ng.InvalidValue) as caught:
        whole(x)
    assert str(caught.value).startswith(sentence.format("a graph"))
    noise = ng.handles(plain)[0]

    def run(step: Tensor) -> Tensor:
        with noise.at(step):
            return plain(x)

    with assert_sentence(ng.InvalidValue, sentence.format("the members of a map")):
        vmap(run)(torch.arange(3))


def test_a_wildcard_leaves_a_module_out_in_a_graph() -> None:
    torch._dynamo.reset()
    model = Given()
    noise = ng.inject(nn.ModuleDict({"a": model}), {"a:tokens": 0.5}, seed=3)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    with pytest.raises(ng.InvalidValue, match="got one of shape"):
        compiled(torch.ones(2, 3, 4, 5))
    noise.remove()


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("inside", [False, True])
def test_a_checkpoint_repeats_the_same_tokens(inside: bool, reentrant: bool) -> None:
    model, x = sequences(), inputs().requires_grad_()
    plain = copy.deepcopy(model)
    rules = {"layers.0:tokens" if inside else SITE: 0.3, "layers.1:tokens": 0.3}
    ng.inject(plain, rules, seed=3)
    second = ng.inject(model, rules, seed=3)

    def run(x: Tensor) -> Tensor:
        x = model.embed(x)
        if not inside:
            return checkpoint(model.layers, x, use_reentrant=reentrant).mean(1)
        for layer in model.layers:
            x = checkpoint(layer, x, use_reentrant=reentrant)
        return x.mean(1)

    model.forward = run
    for _ in range(2):
        expected = gradients(plain, plain, x)
        x.grad = None
        model.zero_grad()
        y = model(x)
        with second.at(9):  # another step before the backward pass
            model(x)
        (y**2).sum().backward()
        for one, other in zip([y, x.grad], expected[:2], strict=True):
            close(one, other)
        for p, other in zip(model.parameters(), expected[2:], strict=True):
            close(p.grad, other)


def test_functional_calls_and_transformations() -> None:
    model, x = sequences(), inputs()
    plain = copy.deepcopy(model)
    noise = ng.inject(model, {SITE: 0.5}, seed=3)
    weights = dict(model.named_parameters())

    def loss(weights: dict[str, Tensor], x: Tensor) -> Tensor:
        with noise.at(2):
            return functional_call(model, weights, (x,)).square().sum()

    with noise.at(2):
        y = model(x)
    close(loss(weights, x), y.square().sum())
    whole = grad(loss)(weights, x)
    kept = read_kept(noise, SITE, 2)
    short = take(plain.embed(x), kept)
    plain.layers(short).mean(1).square().sum().backward()
    close(whole["layers.0.inner.weight"], plain.layers[0].inner.weight.grad)
    _, tangent = jvp(lambda x: loss(weights, x), (x,), (torch.ones_like(x),))
    close(tangent, grad(lambda x: loss(weights, x))(x).sum())
    # Each member of a map is a sample, and has the noise of its row.
    apart = vmap(grad(loss), in_dims=(None, 0), randomness="different")(weights, x[:, None])
    close(apart["layers.0.inner.weight"].sum(0), whole["layers.0.inner.weight"])
    steps = vmap(lambda step: run_at(noise, model, x, step))(torch.arange(3))
    for step in range(3):
        close(steps[step], run_at(noise, model, x, step))


def run_at(noise: Any, model: nn.Module, x: Tensor, step: Any) -> Tensor:
    with noise.at(step):
        y: Tensor = model(x)
        return y


@pytest.mark.parametrize("by_pickle", [False, True])
def test_a_copy_counts_for_itself(by_pickle: bool) -> None:
    model, x = sequences(), inputs()
    ng.inject(model, {SITE: 0.5}, seed=3)
    model(x)
    other = copy.deepcopy(model)
    if by_pickle:
        file = io.BytesIO()
        torch.save(model, file)
        file.seek(0)
        other = torch.load(file, weights_only=False)
    assert torch.equal(other(x), model(x))
    mine, theirs = ng.handles(other)[0], ng.handles(model)[0]
    assert mine.step == theirs.step == 2
    mine.remove()
    assert not torch.equal(other(x), model(x))
    assert theirs.step == 3


def test_predictions_leave_tokens_out() -> None:
    model, x = sequences().float().eval(), inputs().float()
    one = ng.predict(model, x, 4, rules={SITE: 0.5}, seed=3, keep_samples=True)
    two = ng.predict(model, x, 4, rules={SITE: 0.5}, seed=3, keep_samples=True, batch_size=2)
    np.testing.assert_allclose(one.samples, two.samples, rtol=1e-5, atol=1e-6)
    noise = ng.inject(model.train(), {SITE: 0.5}, seed=3)
    for sample in one.samples:
        torch.testing.assert_close(model(x), torch.tensor(sample), rtol=1e-5, atol=1e-6)
    noise.remove()


def test_blocks_that_are_dropped_see_the_rows_of_their_samples() -> None:
    model, x = sequences(), inputs()
    rules = {"layers.0:branch": ng.Dropout(0.5, False, shared_axes="all_but_samples"), SITE: 0.5}
    noise = ng.inject(model, {**rules, "layers.1:tokens": 0.3}, seed=3)
    y = model(x)
    with noise.at(0):
        close(torch.cat([model(x[:2]), model(x[2:])]), y)


# Which modules, and which noise ----------------------------------------------------------------


def test_sites_are_what_holds_blocks_and_any_module_that_a_rule_names() -> None:
    model = nn.Sequential(sequences(), nn.Identity())
    listed = [s for s in ng.torch.Host(model).sites().names if s.endswith(":tokens")]
    assert listed == ["0:tokens", "0.layers:tokens", "0.layers.0:tokens", "0.layers.1:tokens"]
    for rule, sites in (
        ("0.*:tokens", ("0.layers:tokens",)),
        ("*layers.*:tokens", ("0.layers.0:tokens", "0.layers.1:tokens")),
        ("*:tokens", ("0:tokens",)),
        ("0.embed:tokens", ("0.embed:tokens",)),
        ("1:tokens", ("1:tokens",)),
        (":tokens", (":tokens",)),
    ):
        with ng.inject(model, {rule: 0.5}, seed=3) as noise:
            assert noise.sites == sites
    with assert_sentence(
        ng.UnmatchedRule,
        "inject: the rule '2:tokens' matches no site. The nearest sites are '0:tokens', "
        "'0.layers:tokens', '0.layers.1:tokens'.",
    ):
        ng.inject(model, {"2:tokens": 0.5}, seed=3)


def test_a_wildcard_leaves_out_a_module_without_a_sequence() -> None:
    class Images(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.ModuleList([nn.Sequential(nn.Conv2d(3, WIDTH, 1)), nn.Identity()])
            self.last = sequences().float().layers

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.first[0](x).flatten(2).transpose(1, 2))

    model, x = Images(), torch.randn(N, 3, 2, 5)
    noise = ng.inject(model, {"*:tokens": 0.5}, seed=3)
    assert model(x).shape == (N, 5, WIDTH)  # the first one, and 4 of 9
    sentence = (
        "'first.0:tokens' leaves tokens out of the first floating-point tensor that its module is "
        "given, which must have the shape (samples, tokens, features), or with sample_axis 1 "
        "(tokens, samples, features); got one of shape (5, 3, 2, 5) with sample_axis 0. Name a "
        "module that is given such a sequence."
    )
    assert noise.report().notes == (f"'*:tokens' leaves this module out: {sentence}",)
    noise.remove()
    ng.inject(model, {"first.0:tokens": 0.5}, seed=3)
    with assert_sentence(ng.InvalidValue, f"inject: {sentence}"):
        model(x)


@pytest.mark.parametrize(
    ("x", "axis", "words"),
    [
        (torch.arange(6).reshape(2, 3), 0, "no floating-point tensor with sample_axis 0"),
        (torch.ones(2, 3, 4), None, "one of shape (2, 3, 4) with sample_axis None"),
        (torch.ones(2, 3, 4), 2, "one of shape (2, 3, 4) with sample_axis 2"),
        (
            torch.nested.nested_tensor([torch.ones(3, 2)] * 2, layout=torch.jagged),
            0,
            "a nested tensor with sample_axis 0",
        ),
    ],
)
def test_what_is_no_batch_of_sequences_is_refused(x: Tensor, axis: Any, words: str) -> None:
    model = Given()
    ng.inject(model, {":tokens": 0.5}, seed=3, sample_axis=axis)
    with pytest.raises(ng.InvalidValue) as caught:
        model(x)
    assert f"got {words}. Name" in str(caught.value)


def test_a_sequence_on_another_axis_than_the_models_samples_is_refused() -> None:
    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Given()

        def forward(self, x: Tensor) -> Any:
            return self.inner(x.transpose(0, 1))

    model = Turned()
    ng.inject(model, {"inner:tokens": 0.5}, seed=3)
    with assert_sentence(
        ng.InvalidValue,
        "inject: the module at 'inner:tokens' takes a tensor of shape (11, 5, 3), and the model's "
        "forward has 5 samples, which axis 0 does not hold. Name the axis, "
        "sample_axis={'inner:tokens': ...}, or leave the module out.",
    ):
        model(inputs())
    with assert_sentence(
        ng.InvalidType,
        "inject: the noise of 'inner:tokens' must be a number or a noisegate.PatchDropout, which "
        "leaves tokens out; got GaussianNoise(sigma=0.1). Name the port `in` for other noise on "
        "them.",
    ):
        ng.inject(model, {"inner:tokens": ng.GaussianNoise(0.1)}, seed=3)
