"""Tokens that are left out, so that a sequence is shorter: the port `tokens`."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import noisegate as ng
from _asserts import assert_sentence
from _sequences import LENGTH, WIDTH, Given, N, Sequences, inputs, read_kept, sequences, take

SITE = "layers:tokens"


def close(x: Tensor, y: Tensor) -> None:
    torch.testing.assert_close(x, y, rtol=1e-12, atol=1e-12)


def expect(model: Sequences, x: Tensor, kept: Tensor) -> Tensor:
    """Return the output of a model without noise for the kept tokens, sample by sample."""
    rows = (model.layers(row[mine][None]) for row, mine in zip(model.embed(x), kept, strict=True))
    return torch.cat([row.mean(1) for row in rows])


@pytest.mark.parametrize("step", range(3))
def test_a_module_computes_the_kept_tokens_alone_in_their_old_order(step: int) -> None:
    model, x = sequences(), inputs()
    plain = copy.deepcopy(model)
    noise = ng.inject(model, {SITE: 0.5}, seed=3)
    with noise.at(step):
        y = model(x)
    kept = read_kept(noise, SITE, step)
    assert kept.sum(1).tolist() == [6] * N  # the first one, and 5 of 10
    assert bool(kept[:, 0].all())
    assert len({tuple(row) for row in kept.tolist()}) > 1
    close(y, expect(plain, x, kept))
    assert [layer.seen for layer in model.layers] == [[6], [6]]
    key = ng.Stream(3).site(SITE).at(step)
    mask = ng.mask(ng.PatchDropout(0.5), (N, LENGTH, WIDTH), key)
    np.testing.assert_array_equal(mask[..., 0], kept.numpy())
    with noise.at(step):
        model(x)
    assert "PatchDropout(p=0.5)" in str(noise.report())


@pytest.mark.parametrize(
    ("kind", "left"),
    [
        (0.04, 11),
        (0.05, 10),  # half a token counts as one
        (ng.PatchDropout(0.99), 2),
        (ng.PatchDropout(0.99, prefix=0), 1),
        (ng.PatchDropout(0.5, prefix=10), 11),  # the one that is left stays
        (ng.PatchDropout(0.5, prefix=4), 7),
    ],
)
def test_as_many_are_left_as_the_kind_says(kind: Any, left: int) -> None:
    model = sequences()
    ng.inject(model, {SITE: kind}, seed=3)
    model(inputs())
    assert model.layers[0].seen == [left]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("prefix", [11, 99])
def test_a_prefix_of_all_tokens_is_refused(prefix: int, compiled: bool) -> None:
    torch._dynamo.reset()
    model = sequences()
    ng.inject(model, {SITE: ng.PatchDropout(0.5, prefix=prefix)}, seed=3)
    sentence = (
        f"inject: '{SITE}' keeps the first {prefix} tokens of each sample, and its module is given "
        "11, so none would be left out. Take a smaller `prefix`."
    )
    if not compiled:
        with assert_sentence(ng.InvalidValue, sentence):
            model(inputs())
        return
    with pytest.raises(ng.InvalidValue) as caught:
        torch.compile(model, backend="eager", fullgraph=True)(inputs())
    assert str(caught.value).startswith(sentence)


def test_rate_0_evaluation_and_removal_are_as_without_noise() -> None:
    model, x = sequences(), inputs()
    y, hooks = model(x), len(model.layers._forward_pre_hooks)
    names = set(model.state_dict())
    with ng.inject(model, {SITE: 0.0}, seed=3):
        assert torch.equal(model(x), y)
    noise = ng.inject(model, {SITE: 0.5}, seed=3)
    assert not torch.equal(model(x), y)
    assert set(model.state_dict()) == names
    with noise.off():
        assert torch.equal(model(x), y)
    assert torch.equal(model.eval()(x), y)
    noise.remove()
    assert torch.equal(model.train()(x), y)
    assert len(model.layers._forward_pre_hooks) == hooks


def test_a_sample_keeps_its_tokens_whatever_the_batch() -> None:
    model, x = sequences(), inputs()
    noise = ng.inject(model, {SITE: 0.5}, seed=3)
    y = model(x)
    with noise.at(0):
        close(torch.cat([model(x[:2]), model(x[2:])]), y)
    for rows in ([4, 0, 2], [3]):
        with noise.at(0, rows=rows):
            close(model(x[rows]), y[rows])
    noise.rows = [7, 2**40, 0, 4, 1]
    model(x)
    key = ng.Stream(3).site(SITE).at(1)
    mask = ng.mask(ng.PatchDropout(0.5), (N, LENGTH), key, rows=noise.rows)
    np.testing.assert_array_equal(mask, read_kept(noise, SITE).numpy())


def test_gradients_reach_the_kept_tokens_alone() -> None:
    model, x = sequences(), inputs(3).requires_grad_()
    noise = ng.inject(model, {SITE: 0.5}, seed=3)

    def run(x: Tensor, *_: Tensor) -> Tensor:
        with noise.at(1):
            return model(x)

    run(x).sum().backward()
    assert torch.equal((x.grad != 0).any(-1), read_kept(noise, SITE, 1))
    assert torch.autograd.gradcheck(run, (x, *model.parameters()))
    assert torch.autograd.gradgradcheck(run, (x,))


def test_several_noises_act_one_after_the_other() -> None:
    model, x = sequences(), inputs()
    rules = {"layers.*:tokens": ng.schedule.by_depth(0.2, 0.5), SITE: [0.3, 0.3]}
    noise = ng.inject(model, rules, seed=3)
    model(x)
    # 11 → 8 → 6 on entry; 1 of 5 others in the first layer, and 2 of 4 in the second.
    assert [layer.seen for layer in model.layers] == [[5], [3]]
    assert [row[3:6] for row in noise.report().rows] == [
        ("layers.*:tokens", "(5, 6, 1)", "1"),
        ("layers.*:tokens", "(5, 5, 1)", "1"),
        (SITE, "(5, 11, 1)", "1"),
        (SITE, "(5, 8, 1)", "1"),
    ]


def test_rates_and_schedules_change_the_length() -> None:
    model, x = sequences(), inputs()
    noise = ng.inject(model, {SITE: ng.schedule.linear(0.0, 0.5, 2)}, seed=3)
    for _ in range(3):
        model(x)
    noise.set_rate(SITE, 0.9)
    model(x)
    assert model.layers[0].seen == [11, 8, 6, 2]
    with pytest.warns(RuntimeWarning, match="without a forward of its model"):
        assert model.layers(torch.ones(2, 5, WIDTH).double()).shape == (2, 2, WIDTH)


# What is given beside the tokens ---------------------------------------------------------------


def shorten(x: Tensor, *args: Any, axis: int = 0, **given: Any) -> Any:
    """Return what a module is given after x, and which tokens are kept."""
    model = Given()
    noise = ng.inject(model, {":tokens": 0.5}, seed=3, sample_axis={":tokens": axis})
    y, *rest = model(x, *args, **given)
    kept = read_kept(noise, ":tokens", axis=axis)
    first = (x, y) if axis == 0 else (x.transpose(0, 1), y.transpose(0, 1))
    assert torch.equal(first[1], take(first[0], kept))
    return rest, kept


def test_masks_and_positions_are_shortened_with_the_tokens() -> None:
    x, mask = inputs(), torch.arange(N * LENGTH).reshape(N, LENGTH) % 3 > 0
    rotations = torch.randn(1, LENGTH, 4), torch.randn(N, LENGTH, 4)
    wide = torch.randn(N, 2, LENGTH, LENGTH)
    flat = torch.randn(N, 1, 1, LENGTH)
    pairs = torch.randn(N, LENGTH, LENGTH)
    numbers = torch.arange(LENGTH)[None]
    note, other = [torch.ones(2)], torch.ones(N, 3, 7)
    (first, rest, others), kept = shorten(
        x, mask, numbers, x, position=rotations, attention_mask=wide, key_mask=flat,
        bias=pairs, note=note, other=other, plain=3,
    )  # fmt: skip
    assert torch.equal(first, take(mask, kept))
    assert torch.equal(rest[0], take(numbers.expand(N, -1), kept))
    assert torch.equal(rest[1], take(x, kept))
    shared, own = others["position"]
    assert torch.equal(shared, take(rotations[0].expand(N, -1, -1), kept))
    assert torch.equal(own, take(rotations[1], kept))
    for i, mine in enumerate(kept):
        assert torch.equal(others["attention_mask"][i], wide[i][:, mine][:, :, mine])
        assert torch.equal(others["key_mask"][i], flat[i][..., mine])
        assert torch.equal(others["bias"][i], pairs[i][mine][:, mine])
    assert others["note"] is note
    assert others["other"] is other
    assert others["plain"] == 3


def test_time_first_tokens_and_what_is_beside_them() -> None:
    x = inputs().transpose(0, 1)
    padding, turned = torch.rand(N, LENGTH), torch.arange(LENGTH * N).reshape(LENGTH, N)
    like, wide = torch.randn(LENGTH, N, 4), torch.randn(1, 1, LENGTH, LENGTH)
    (mask, _, others), kept = shorten(x, padding, axis=1, turned=turned, pos=like, pair_mask=wide)
    assert torch.equal(mask, take(padding, kept))
    assert torch.equal(others["turned"].T, take(turned.T, kept))
    assert torch.equal(others["pos"].transpose(0, 1), take(like.transpose(0, 1), kept))
    for i, mine in enumerate(kept):
        assert torch.equal(others["pair_mask"][i], wide[0][:, mine][:, :, mine])
    assert torch.equal(shorten(x, axis=-2)[1], kept)


@pytest.mark.parametrize("name", ["position_embeddings", "query_pos", "rotary", "cos", "residual"])
def test_a_sequence_of_the_same_tokens_is_shortened_by_its_name(name: str) -> None:
    x, like = inputs(), torch.randn(N, LENGTH, 4)
    (_, _, others), kept = shorten(x, **{name: like})
    assert torch.equal(others[name], take(like, kept))


def test_a_module_that_says_where_its_samples_are_may_transpose_what_it_is_given() -> None:
    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.attention(*[x.transpose(0, 1)] * 3)[0]
            return y.transpose(0, 1)

    for first, axis in ((False, {":tokens": 0}), (True, 0), (False, {":tokens": -3})):
        model = Turned()
        model.attention.batch_first = first
        ng.inject(model, {":tokens": 0.5}, seed=3, sample_axis=axis)
        assert model(torch.ones(5, 7, 4)).shape == (5, 4, 4)
    both = nn.ModuleDict({"a": nn.LSTM(4, 4), "b": nn.LSTM(4, 4, batch_first=True)})
    ng.inject(nn.Sequential(both), {"0.b:tokens": 0.5}, seed=3)  # by what it says itself
    ng.inject(nn.Sequential(both), {":tokens": 0.5}, seed=3)  # they do not agree


def test_of_as_many_samples_as_tokens_a_name_says_what_a_mask_is_of() -> None:
    x, square = inputs(LENGTH), torch.rand(LENGTH, LENGTH)
    for name in ("src_key_padding_mask", "attention_mask", "position_ids"):
        (_, _, others), kept = shorten(x, **{name: square})
        assert torch.equal(others[name], take(square, kept))
    with pytest.raises(ng.InvalidValue, match="`mask` of shape"):
        shorten(x, square)


def test_what_belongs_to_another_sequence_stays() -> None:
    x, memory = inputs(), torch.randn(N, LENGTH, 3)
    padding, queries = torch.rand(N, LENGTH) > 0.5, torch.rand(N, 1, LENGTH, LENGTH)
    (_, _, others), kept = shorten(
        x,
        memory=memory,
        context=memory,
        memory_key_padding_mask=padding,
        encoder_attention_mask=queries,
    )
    assert others["memory"] is others["context"] is memory
    assert others["memory_key_padding_mask"] is padding
    for i, mine in enumerate(kept):
        assert torch.equal(others["encoder_attention_mask"][i], queries[i][:, mine])


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("mask", (LENGTH, LENGTH)),
        ("mask", (2 * N, LENGTH, LENGTH)),
        ("cache_position", (LENGTH,)),
        ("condition", (2, LENGTH)),
        ("memory_mask", (LENGTH, 4)),
        ("key", (N, LENGTH, 3)),
        ("picture", (N, 3, LENGTH, LENGTH)),
        ("relation", (N, LENGTH, LENGTH)),
    ],
)
def test_what_cannot_be_known_is_refused(name: str, shape: tuple[int, ...]) -> None:
    with assert_sentence(
        ng.InvalidValue,
        "inject: ':tokens' leaves other tokens out for each sample, and its module is given "
        f"`{name}` of shape {shape} beside tokens of shape (5, 11, 3). Which of its entries "
        "belong to which of them is not known. Give a mask of shape (samples, tokens) or "
        "(samples, heads, tokens, tokens), or name a module that is not given it.",
    ):
        shorten(inputs(), **{name: torch.rand(shape)})


def test_the_tokens_are_the_first_of_the_modules_own_arguments() -> None:
    model, x, mask = Given(), inputs(), torch.rand(N, 1, 1, LENGTH)
    ng.inject(model, {":tokens": 0.5}, seed=3)
    y, short, _, others = model(mask=mask, x=x)
    assert (y.shape[1], short.shape[3], others) == (6, 6, {})


def test_torchs_encoder_with_a_padding_mask() -> None:
    torch.manual_seed(1)
    layer = nn.TransformerEncoderLayer(WIDTH, 2, 16, 0.0, batch_first=True)
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).double()
    x, padding = torch.randn(N, LENGTH, WIDTH).double(), torch.zeros(N, LENGTH, dtype=torch.bool)
    padding[:, 8:] = True
    plain = copy.deepcopy(model)
    noise = ng.inject(model, {":tokens": 0.5}, seed=3)
    y = model(x, src_key_padding_mask=padding)
    kept = read_kept(noise, ":tokens")
    close(y, plain(take(x, kept), src_key_padding_mask=take(padding, kept)))
    noise.remove()
    late = nn.TransformerEncoderLayer(WIDTH, 2, 16, 0.0).double()
    noise = ng.inject(late, {":tokens": 0.5}, seed=3, sample_axis={":tokens": 1})
    y = late(x.transpose(0, 1), src_key_padding_mask=padding)
    assert y.shape == (6, N, WIDTH)
    assert torch.equal(read_kept(noise, ":tokens", axis=1), kept)


# Models of transformers ------------------------------------------------------------------------

SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_an_encoder_of_transformers_with_masks(implementation: str) -> None:
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    model = BertModel(BertConfig(**SMALL)).train()
    model.set_attn_implementation(implementation)
    ids, mask = torch.randint(1000, (3, 12)), torch.ones(3, 12, dtype=torch.long)
    mask[1, 8:] = 0
    with ng.inject(model, {"encoder:tokens": 0.5}, seed=3) as noise:
        y = model(input_ids=ids, attention_mask=mask).last_hidden_state
        kept = read_kept(noise, "encoder:tokens")
    assert y.shape == (3, 6, 16)
    embedded = model.embeddings(ids)
    for i, mine in enumerate(kept):
        there = mask[i][mine].bool()
        alone = model.encoder(embedded[i][mine][there][None])[0]
        torch.testing.assert_close(y[i][there], alone[0])


def test_an_image_transformer_keeps_its_class_token() -> None:
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(0)
    model = ViTModel(ViTConfig(**SMALL, image_size=16, patch_size=4)).train()
    x, seen = torch.randn(3, 3, 16, 16), []
    model.layers[0].register_forward_hook(lambda m, args, y: seen.append(args[0]))
    embedded = model.embeddings(x)
    noise = ng.inject(model, {"layers.0:tokens": 0.5}, seed=3)
    assert model(x).last_hidden_state.shape == (3, 9, 16)
    assert torch.equal(seen[0], take(embedded, read_kept(noise, "layers.0:tokens")))
