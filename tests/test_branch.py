"""Stochastic depth on residual blocks that have none: the port `branch`."""

import copy
import io
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import noisegate as ng
from _asserts import assert_sentence
from _residual import BATCH, Block, Deep, N, deep, expect, inputs, read_kept

RULE = "layers.*:branch"
KEEP = ng.Dropout(0.5, False, shared_axes="all_but_samples")


def close(x: Tensor, y: Tensor) -> None:
    """Check that tensors are equal up to the rounding of products of matrices."""
    torch.testing.assert_close(x, y, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("step", range(4))
def test_a_block_adds_its_scaled_branch_to_the_samples_that_it_keeps(step: int) -> None:
    model, x = deep(), inputs()
    plain = copy.deepcopy(model)
    noise = ng.inject(model, {RULE: 0.25}, seed=3)
    with noise.at(step):
        y = model(x)
    for i, layer in enumerate(plain.layers):
        x = expect(layer, x, read_kept(noise, f"layers.{i}:branch", step), 0.25)
    torch.testing.assert_close(y, x, rtol=1e-12, atol=1e-12)


def test_a_block_computes_the_samples_that_it_keeps_and_no_others() -> None:
    model = deep()
    noise = ng.inject(model, {RULE: 0.5}, seed=3)
    for _ in range(6):
        model(inputs())
    for i, seen in enumerate(model.seen):
        kept = [int(read_kept(noise, f"layers.{i}:branch", step).sum()) for step in range(6)]
        assert seen == [count for count in kept if count]
        assert any(0 < count < N for count in kept)


def test_a_batch_is_kept_or_dropped_as_a_whole() -> None:
    model = deep(6)
    noise = ng.inject(model, {RULE: BATCH}, seed=3)
    y = model(inputs())
    x, plain = inputs(), deep(6)
    for i, layer in enumerate(plain.layers):
        kept = read_kept(noise, f"layers.{i}:branch", 0)
        assert len(set(kept.tolist())) == 1
        assert model.seen[i] == [N] * bool(kept[0])
        x = expect(layer, x, kept, 0.5)
    torch.testing.assert_close(y, x, rtol=1e-12, atol=1e-12)
    assert {len(seen) for seen in model.seen} == {0, 1}


@pytest.mark.parametrize("kind", [0.5, BATCH])
def test_kept_samples_have_the_blocks_own_output_without_rescaling(kind: Any) -> None:
    model, x = deep(1), inputs()
    plain = copy.deepcopy(model.layers[0])
    shared = "all_but_samples" if kind == 0.5 else slice(None)
    rule = ng.Dropout(0.5, rescale=False, shared_axes=shared)
    noise = ng.inject(model, {RULE: rule}, seed=3)
    for step in range(4):
        y, kept = model(x), read_kept(noise, "layers.0:branch", step)
        assert torch.equal(y[~kept], x[~kept])
        assert torch.equal(y[kept], plain(x[kept]) if kept.any() else x[kept])


def test_at_rate_0_a_model_is_as_without_noise() -> None:
    model, x = deep(drop=0.3), inputs()
    torch.manual_seed(1)
    y = model(x)
    with ng.inject(model, {RULE: 0.0}, seed=3):
        torch.manual_seed(1)
        assert torch.equal(model(x), y)
    torch.manual_seed(1)
    assert torch.equal(model(x), y)


@pytest.mark.parametrize("kind", [1.0, ng.Dropout(1.0, shared_axes=slice(None))])
def test_at_rate_1_no_block_runs_and_the_model_is_the_identity(kind: Any) -> None:
    model, x = deep(), inputs().requires_grad_()
    ng.inject(model, {RULE: kind}, seed=3)
    y = model(x)
    assert torch.equal(y, x)
    assert model.seen == [[], [], []]
    y.sum().backward()
    assert torch.equal(x.grad, torch.ones_like(x))
    # Processes that share gradients wait for one of each weight.
    assert all(not p.grad.any() for p in model.parameters())


def test_the_mean_is_the_blocks_own_output() -> None:
    model, x = deep(1), inputs()
    whole = copy.deepcopy(model)(x)
    ng.inject(model, {RULE: 0.4}, seed=3)
    runs = torch.stack([model(x) for _ in range(4000)])
    spread = (whole - x).abs() * (0.4 / 0.6) ** 0.5 / 4000**0.5
    assert bool(((runs.mean(0) - whole).abs() < 4.5 * spread).all())


def test_gradients_are_those_of_the_formula() -> None:
    model, x = deep(2), inputs(4).requires_grad_()
    noise = ng.inject(model, {RULE: 0.5}, seed=3)
    weights = tuple(model.parameters())

    def run(x: Tensor, *_: Tensor) -> Tensor:
        with noise.at(1):
            return model(x)

    assert 0 < int(read_kept_of(noise, model, x).sum()) < 4
    assert torch.autograd.gradcheck(run, (x, *weights))
    assert torch.autograd.gradgradcheck(run, (x, *weights))


def read_kept_of(noise: Any, model: nn.Module, x: Tensor) -> Tensor:
    with noise.at(1):
        model(x)
    return read_kept(noise, "layers.0:branch", 1)


def test_a_sample_depends_on_no_other() -> None:
    # The noise inside of a block is that of the samples which it keeps, whoever else is kept.
    rules = {RULE: 0.5, "layers.*.drop:dropout": 0.3, "layers.*.inner:out": ng.GaussianNoise(0.1)}
    model, x = deep(drop=0.3), inputs()
    noise = ng.inject(model, rules, seed=3)
    y = model(x)
    with noise.at(0):
        close(torch.cat([model(x[:3]), model(x[3:])]), y)
    for rows in ([7, 2, 5], [4]):
        with noise.at(0, rows=rows):
            close(model(x[rows]), y[rows])


def test_ids_by_rule_are_those_of_the_samples_that_a_block_keeps() -> None:
    rule = "layers.*.inner:out"
    model, x = deep(1), inputs()
    noise = ng.inject(model, {RULE: KEEP, rule: ng.GaussianNoise(0.1)}, seed=3)
    plain = deep(1)
    other = ng.inject(plain, {rule: ng.GaussianNoise(0.1)}, seed=3)
    noise.rows = other.rows = {rule: list(range(20, 20 + N))}
    y, whole = model(x), plain(x)
    kept = read_kept(noise, "layers.0:branch", 0)
    assert 0 < int(kept.sum()) < N
    close(y[kept], whole[kept])
    noise.rows = {rule: list(range(5))}
    with assert_sentence(
        ng.InvalidValue,
        "inject: 'layers.0.inner:out', inside of a block: `rows` must name each of the 8 samples "
        "of the input once; got 5 rows.",
    ):
        for _ in range(4):
            model(x)


@pytest.mark.parametrize("drop", [0.3, 0.0])
def test_the_noise_inside_is_that_of_a_model_which_computes_all(drop: float) -> None:
    model, x = deep(1, drop), inputs()
    rules = {"layers.*.drop:dropout": 0.3, "layers.*.inner:out": ng.GaussianNoise(0.1)}
    with ng.inject(copy.deepcopy(model), rules, seed=3) as alone:
        whole = alone.host.model(x)
    noise = ng.inject(
        model, {RULE: ng.Dropout(0.5, False, shared_axes="all_but_samples"), **rules}, 3
    )
    y, kept = model(x), None
    kept = read_kept(noise, "layers.0:branch", 0)
    assert 0 < int(kept.sum()) < N
    assert torch.equal(y[kept], whole[kept])


def test_draws_and_dropouts_of_the_models_own_are_those_of_its_samples() -> None:
    class Jitter(Block):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + torch.randn_like(x)

    model, x = Deep(3, make=lambda: Jitter(drop=0.3)).double(), inputs()
    noise = ng.inject(model, {RULE: 0.5}, existing=True, example=x, seed=3)
    y = model(x)
    assert any(0 < seen[-1] < N for seen in model.seen)
    with noise.at(0):
        close(torch.cat([model(x[:3]), model(x[3:])]), y)


def test_layers_of_noise_inside_see_the_rows_of_kept_samples() -> None:
    layer = ng.torch.Dropout(0.5, seed=7, site="mine")

    class Noisy(Block):
        def forward(self, x: Tensor) -> Tensor:
            return x + self.drop(torch.ones_like(x))

    model, x = Deep(1, make=Noisy).double(), inputs()
    model.layers[0].drop = layer
    whole = model(x)
    layer.step = 0
    noise = ng.inject(model, {RULE: ng.Dropout(0.5, False, shared_axes="all_but_samples")}, seed=3)
    y = model(x)
    kept = read_kept(noise, "layers.0:branch", 0)
    assert torch.equal(y[kept], whole[kept])


def test_another_handles_noise_inside_sees_the_rows_of_kept_samples() -> None:
    model, x = deep(1), inputs()
    inside = ng.inject(model, {"layers.0.inner:out": 0.5}, seed=4)
    whole = model(x)
    noise = ng.inject(model, {RULE: ng.Dropout(0.5, False, shared_axes="all_but_samples")}, seed=3)
    inside.step = 0
    y = model(x)
    kept = read_kept(noise, "layers.0:branch", 0)
    assert torch.equal(y[kept], whole[kept])
    assert noise.steps.last.batch == inside.steps.last.batch == N


def test_several_noises_of_a_block_act_one_after_the_other() -> None:
    model, x = deep(1), inputs()
    plain = copy.deepcopy(model.layers[0])
    noise = ng.inject(model, {RULE: [0.5, BATCH, 0.25]}, seed=3)
    for step in range(8):
        y = model(x)
        scale = torch.ones(N, 1).double()
        for one in noise.noises:
            kind = one.placement.kind
            key = ng.Stream(3).site("layers.0:branch", one.placement.slot).at(step)
            mask = torch.tensor(ng.mask(kind, (N, 6), key).tolist())[:, :1]
            scale = scale * mask / (1 - kind.p)
        torch.testing.assert_close(y, x + (plain(x) - x) * scale, rtol=1e-10, atol=1e-12)


def test_a_kind_that_decides_for_elements_acts_on_the_branch() -> None:
    model, x = deep(1), inputs()
    branch = copy.deepcopy(model.layers[0])(x) - x
    key = ng.Stream(3).site("layers.0:branch").at(0)
    for kind in (ng.GaussianNoise(0.1), ng.Dropout(0.5), ng.AlphaDropout(0.3)):
        with ng.inject(model, {RULE: kind}, seed=3):
            torch.testing.assert_close(model(x), x + kind(branch, key), rtol=1e-12, atol=1e-12)
    assert model.seen == [[N, N, N]]


def test_state_and_forward_are_those_of_a_model_without_noise() -> None:
    model = deep()
    before, names = copy.deepcopy(model.state_dict()), dict(vars(model.layers[0]))
    noise = ng.inject(model, {RULE: 0.5}, seed=3)
    assert {k: v.tolist() for k, v in model.state_dict().items()} == {
        k: v.tolist() for k, v in before.items()
    }
    assert "forward" in vars(model.layers[0])
    noise.remove()
    assert vars(model.layers[0]).keys() == names.keys()
    assert torch.equal(model(inputs()), deep()(inputs()))


def test_a_forward_that_was_there_before_is_there_after() -> None:
    model, calls = deep(1), []
    own = model.layers[0].forward
    mine = model.layers[0].forward = lambda x: calls.append(len(x)) or own(x)
    noise = ng.inject(model, {RULE: 0.5}, seed=3)
    model(inputs())
    assert calls[-1] == model.seen[0][-1] < N
    noise.remove()
    assert model.layers[0].forward is mine


def test_evaluation_is_without_noise() -> None:
    model, x = deep().eval(), inputs()
    y = model(x)
    ng.inject(model, {RULE: 0.5}, seed=3)
    assert torch.equal(model(x), y)


def test_rates_and_schedules_change_what_is_dropped() -> None:
    model, x = deep(), inputs()
    noise = ng.inject(model, {RULE: 0.5}, seed=3)
    noise.set_rate("layers.0:branch", 1.0)
    model(x)
    assert model.seen[0] == []
    noise.set_rate(RULE, ng.schedule.early(1.0, 2))
    assert torch.equal(model(x), x)
    assert not torch.equal(model(x), x)
    assert [kind for _, kind, *_ in noise.report().rows] == [
        "Dropout(p=schedule.early(1.0, steps=2), shared_axes='all_but_samples')"
    ] * 3


@pytest.mark.parametrize("by_pickle", [False, True])
def test_a_copy_counts_for_itself(by_pickle: bool) -> None:
    model, x = deep(), inputs()
    ng.inject(model, {RULE: 0.5}, seed=3)
    model(x)
    if by_pickle:
        file = io.BytesIO()
        torch.save(model, file)
        file.seek(0)
        other = torch.load(file, weights_only=False)
    else:
        other = copy.deepcopy(model)
    with torch.no_grad():
        model.layers[0].inner.weight.zero_()
    assert not torch.equal(other(x), model(x))
    first, second = ng.handles(other)[0], ng.handles(model)[0]
    assert first.step == second.step == 2
    first.remove()
    assert "forward" not in vars(other.layers[0])
    assert "forward" in vars(model.layers[0])


def test_hooks_see_the_block_as_a_whole_and_what_is_inside_sees_kept_samples() -> None:
    model, x = deep(1), inputs()
    seen: dict[str, list[int]] = {"block": [], "inner": []}
    model.layers[0].register_forward_hook(lambda m, a, y: seen["block"].append(len(y)))
    model.layers[0].inner.register_forward_hook(lambda m, a, y: seen["inner"].append(len(y)))
    noise = ng.inject(model, {RULE: 0.5}, seed=3)
    for _ in range(3):
        model(x)
    assert seen["block"] == [N] * 3
    assert seen["inner"] == [int(read_kept(noise, "layers.0:branch", k).sum()) for k in range(3)]


def test_predictions_drop_blocks() -> None:
    model, x = deep(), inputs().float()
    model.float()
    one = ng.predict(model, x, 8, rules={RULE: 0.5}, seed=3, keep_samples=True)
    assert len({sample.tobytes() for sample in one.samples}) == 8
    two = ng.predict(model, x, 8, rules={RULE: 0.5}, seed=3, keep_samples=True, batch_size=3)
    torch.testing.assert_close(torch.tensor(one.samples), torch.tensor(two.samples))
    noise = ng.inject(model, {RULE: 0.5}, seed=3)
    torch.testing.assert_close(model(x), torch.tensor(one.samples[0]), rtol=1e-5, atol=1e-6)
    noise.remove()


def test_a_block_may_write_into_its_input() -> None:
    class InPlace(Block):
        def forward(self, x: Tensor) -> Tensor:
            y = torch.tanh(self.inner(x))
            x += y
            return x

    torch.manual_seed(3)
    model, x = Deep(2, make=InPlace).double(), inputs()
    plain = deep(2)
    plain.load_state_dict(model.state_dict())
    for kind in (0.5, ng.Dropout(0.25, shared_axes=slice(None)), ng.Dropout(0.5)):
        with ng.inject(model, {RULE: kind}, seed=3), ng.inject(plain, {RULE: kind}, seed=3):
            for _ in range(4):
                y = x.clone()
                torch.testing.assert_close(model(y), plain(x), rtol=1e-12, atol=1e-12)
                assert torch.equal(y, x)


def test_a_module_that_changes_the_shape_is_no_residual_block() -> None:
    class Narrow(Block):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x)[:, :3]

    def make() -> Deep:
        torch.manual_seed(3)
        model = deep(3)
        model.layers[2] = Narrow().double()
        return model

    model, x = make(), inputs()
    sentence = (
        "'layers.2:branch' is no residual block: its input has the shape (8, 6), and its output "
        "the shape (8, 3). Name the blocks inside of it, or leave it out."
    )
    ng.inject(model, {"layers.2:branch": 0.5}, seed=3)
    with assert_sentence(ng.InvalidValue, f"inject: {sentence}"):
        model(x)
    model = make()
    noise = ng.inject(model, {RULE: 1.0}, seed=3)
    assert torch.equal(model(x), make()(x) * 0 + model.layers[2](x))
    note = f"'{RULE}' leaves this block out: {sentence}"
    model(x)
    assert noise.report().notes == (note,)
