"""The faults of the five older libraries, one test each: none can happen here.

The numbers are those of a list of what the old libraries did when they were run; F6, F7, F10, F15
and F16 concern parts that noisegate does not have.
"""

import json
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import noisegate as ng
from _asserts import assert_rate, assert_same_bits
from noisegate.core.kinds import KINDS
from noisegate.estimators import fit

KEY = ng.Stream(13).site("hid1:out").at(0)
REMOVING = [
    ng.Dropout(1),
    ng.Dropout(1, rescale=False),
    ng.spatial_dropout(1),
    ng.AlphaDropout(1),
    ng.DropBlock(1, 3),
    ng.DropBlock(1, 3, normalize="sample"),
]


def everywhere(kind: ng.Kind, x: np.ndarray) -> list[np.ndarray]:
    """Return the noised array by every face that trains or predicts."""
    tensor = torch.from_numpy(x)
    layer = ng.torch.layer(kind, seed=13, site="hid1:out")
    model = nn.Sequential(nn.Identity())
    noise = ng.inject(model, {"0:out": kind}, seed=13)
    injected = model(tensor)
    noise.remove()
    found = [kind(x, KEY), ng.numpy.forward(kind, x, rng=KEY)[0]]
    return found + [t.numpy() for t in (kind(tensor, KEY), layer(tensor), injected)]


@pytest.mark.parametrize("kind", REMOVING, ids=repr)
def test_f1_all_removed_is_zeros_and_not_nan(kind: ng.Kind) -> None:
    """Lasagne, theanets and the GitBook divided by a keep probability of 0."""
    x = np.ones((4, 3, 5, 5), np.float32)
    for y in everywhere(kind, x):
        assert_same_bits(y, np.zeros_like(x))
    leaf = torch.ones(4, 3, 5, 5, requires_grad=True)
    (grad,) = torch.autograd.grad(kind(leaf, KEY).sum(), leaf)
    assert_same_bits(grad, torch.zeros(4, 3, 5, 5))


@pytest.mark.parametrize("kind", REMOVING, ids=repr)
def test_f2_a_rate_of_1_is_no_identity(kind: ng.Kind) -> None:
    """Keras took 1 for 0."""
    x = np.ones((4, 3, 5, 5), np.float32)
    for y in everywhere(kind, x):
        assert not (y == x).any()


def test_f3_a_rate_that_cannot_be_is_refused_when_it_is_made() -> None:
    """NeuPy took a rate of 1 and failed when the training graph was built."""
    for name, words in (("GaussianDropout", {}), ("ConcreteDropout", {})):
        for made in (getattr(ng, name), getattr(ng.torch, name)):
            with pytest.raises(ng.InvalidValue, match="infinite noise"):
                made(1, **words)
    ng.torch.Dropout(1)(torch.ones(3))  # and one that can be, trains


@pytest.mark.parametrize("rate", [-0.5, 1.5, float("nan"), float("inf"), 30])
def test_f4_a_rate_out_of_range_raises(rate: float) -> None:
    """Lasagne, theanets, the GitBook and Keras took any number in silence."""
    x, tensor = np.ones((2, 3)), torch.ones(2, 3)
    calls: list[Callable[[], Any]] = [
        lambda: ng.Dropout(rate),
        lambda: ng.AlphaDropout(rate),
        lambda: ng.DropBlock(rate, 3),
        lambda: ng.ImpulseNoise(rate, 0, 1),
        lambda: ng.GaussianDropout(rate),
        lambda: ng.ConcreteDropout(rate),
        lambda: ng.spatial_dropout(rate),
        lambda: ng.drop_path(rate),
        lambda: ng.Dropout()(x, KEY, p=rate),
        lambda: ng.Dropout(ng.schedule.linear(0, rate, 5)),
        lambda: ng.numpy.dropout_forward(x, rate),
        lambda: ng.torch.Dropout2d(rate),
        lambda: ng.torch.dropout(tensor, rate),
        lambda: ng.inject(nn.Sequential(nn.Linear(3, 3)), {"0:out": rate}),
        lambda: setattr(ng.torch.Dropout(0.5), "p", rate),
    ]
    for call in calls:
        with pytest.raises(ng.InvalidValue):
            call()


def test_f5_a_config_keeps_every_number() -> None:
    """Keras lost noise_shape, seed and dim_ordering on the way to a file and back."""
    kinds = [
        ng.Dropout(0.2, False, shared_axes=slice(1, -1)),
        ng.AlphaDropout(0.2, shared_axes=(2, 3)),
        ng.ConcreteDropout(0.2, 0.3, shared_axes=1),
        ng.DropBlock(0.2, (2, 3), slice(1, -1), shared_axes=-1, normalize="sample"),
        ng.DropKey(0.2, shared_axes=-2),
        ng.GaussianDropout(0.2, shared_axes=1),
        ng.GaussianNoise(ng.schedule.cosine(0, 1, 5), shared_axes=slice(None, None, 2)),
        ng.ImpulseNoise(0.2, -3, 4, shared_axes=1),
        ng.UniformNoise(0.2, shared_axes=(0, 2)),
        ng.MultiplicativeUniformNoise(0.2, shared_axes=1),
        ng.NeftuneNoise(3, shared_axes=1),
        ng.PatchDropout(0.2, 3),
        ng.QuantizationNoise(0.2, 4, channel_axes=0, shared_axes=slice(1, None)),
        ng.RandomErasing(0.2, (0.1, 0.2), [1, 2], fill=3, axes=(1, -1), shared_axes=2),
        ng.ShotNoise(0.2),
        ng.SpanMask(0.2, (3, 4), 2, vary=False, fill=-1, axes=(1, 2), shared_axes=3),
        ng.SpeckleNoise(0.2, shared_axes=1),
        ng.Zoneout(0.2, shared_axes=(1, -1)),
    ]
    assert {type(kind) for kind in kinds} == set(KINDS.values())
    for kind in kinds:
        defaults = ng.from_config({"kind": type(kind).__name__, **needed(kind)})
        for name in kind.names():
            assert getattr(kind, name) != getattr(defaults, name), f"{name} is at its default"
        assert ng.from_config(json.loads(json.dumps(kind.config()))) == kind
    layer = ng.torch.SpatialDropout2D(0.2, "channels_last", seed=3, site="a", sample_axis=1)
    layer.step = 7
    other = pickle.loads(pickle.dumps(layer))
    for name in ("kind", "seed", "site", "sample_axis", "step", "data_format", "p"):
        assert getattr(other, name) == getattr(layer, name)


def needed(kind: ng.Kind) -> dict[str, Any]:
    """Return other values of the numbers that have no default."""
    values = {"p": 0.9, "block_size": 9, "width": 9.0, "low": 9.0, "high": 9.0}
    values |= {"scale": 9.0, "size": 9}
    return {name: values[name] for name in kind.names() if name in values}


def test_f8_survivors_are_divided_by_what_is_kept() -> None:
    """theanets 0.7.3 divided by the rate of removal: 10 instead of 1.11 at .1."""
    scale = np.float32(2**32 / (2**32 - round(0.1 * 2**32)))
    assert abs(scale - 1 / 0.9) < 1e-7
    for y in everywhere(ng.Dropout(0.1), np.ones((40, 50), np.float32)):
        assert set(np.unique(y)) == {np.float32(0), scale}


def test_f9_two_places_of_one_seed_have_masks_of_their_own_and_seeds_act() -> None:
    """theanets began every stream with 13 and kept the first for good."""
    shape, p = (100, 4000), 0.3
    model = nn.Sequential(nn.Identity(), nn.Identity())

    def masks(seed: int) -> list[np.ndarray]:
        found = []
        for site in ("0:out", "1:out", "1:in"):
            noise = ng.inject(model, {site: p}, seed=seed)
            found.append((model(torch.ones(shape)) != 0).numpy())
            noise.remove()
        return found

    first = masks(13)
    agree = 1 - 2 * p * (1 - p)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert_rate(int((first[one] == first[other]).sum()), first[0].size, agree)
    for one, other in zip(first, masks(99), strict=True):
        assert_rate(int((one == other).sum()), one.size, agree)
    x = np.ones(shape)
    outs = [ng.numpy.dropout_forward(x, p, rng=rng)[0] for rng in (1, 2, KEY, None)]
    for i in range(3):
        assert (outs[i] != outs[i + 1]).any()


def test_f11_a_misspelt_keyword_raises() -> None:
    """theanets ignored it, Lasagne warned."""
    x, tensor = np.ones((2, 3)), torch.ones(2, 3)
    model = nn.Sequential(nn.Linear(3, 3))
    calls: list[Callable[[], Any]] = [
        lambda: ng.Dropout(rate=0.5),  # type: ignore[call-arg]
        lambda: ng.DropBlock(0.1, blocksize=3),  # type: ignore[call-arg]
        lambda: ng.spatial_dropout(0.1, dataformat="channels_first"),
        lambda: ng.drop_path(0.1, keep=0.5),
        lambda: ng.schedule.linear(0, 1, step=3),  # type: ignore[call-arg]
        lambda: ng.Dropout()(x, KEY, sigma=0.1),
        lambda: ng.mask(ng.Dropout(), (2, 3), KEY, row=[1]),
        lambda: ng.numpy.forward(ng.Dropout(), x, trainning=False),
        lambda: ng.numpy.dropout_forward(x, 0.5, mode="train"),  # type: ignore[call-arg]
        lambda: ng.torch.Dropout(0.5, in_place=True),
        lambda: ng.torch.SpatialDropout2D(0.5, dim_order="th"),
        lambda: ng.torch.DropBlock2d(0.5, 3, keep_prob=0.5),
        lambda: ng.torch.dropout(tensor, 0.5, train=False),
        lambda: ng.torch.drop_block2d(tensor, 0.5, 3, axes=1),
        lambda: ng.inject(model, {"0:out": 0.5}, sead=3),  # type: ignore[call-arg]
        lambda: ng.Stream(3).site("a").at(0, cal=1),  # type: ignore[call-arg]
        lambda: ng.from_config({"kind": "Dropout", "rate": 0.5}),
    ]
    for call in calls:
        with pytest.raises(ng.InvalidType, match="unknown keyword"):
            call()


def test_f12_shared_axes_are_checked_taken_as_numbers_and_never_overwritten() -> None:
    """Lasagne ignored axes out of range, failed on 0, and overwrote them in its shorthands."""
    x = np.ones((3, 4, 5), np.float32)
    for axes in (3, -4, (0, 7)):
        for array in (x, torch.from_numpy(x)):
            with pytest.raises(ng.InvalidValue, match="shared_axes"):
                ng.Dropout(0.5, shared_axes=axes)(array, KEY)
    y = ng.Dropout(0.5, shared_axes=0)(x, KEY)
    assert (y == y[:1]).all()
    for preset in (ng.dropout_channels, ng.dropout_locations, ng.drop_path):
        with pytest.raises(ng.InvalidType, match="`shared_axes` is what"):
            preset(0.5, shared_axes=1)


def test_f13_any_batch_goes_through() -> None:
    """Lasagne's mask had the size that the layer was built for."""
    for layer in (
        ng.torch.Dropout(0.5),
        ng.torch.SpatialDropout2D(0.5),
        ng.torch.DropBlock2d(0.5, 3),
    ):
        for shape in ((7, 3, 8, 8), (1, 3, 8, 8), (0, 3, 8, 8), (2, 5, 3, 9)):
            assert layer(torch.ones(shape)).shape == shape


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (ng.torch.SpatialDropout1D(0.5, "channels_last"), "(N, L, C)"),
        (ng.torch.SpatialDropout2D(0.5), "(N, C, H, W)"),
        (ng.torch.SpatialDropout3D(0.5, "tf"), "(N, D, H, W, C)"),
    ],
)
def test_f14_a_wrong_rank_is_named_with_the_right_one(layer: Any, words: str) -> None:
    """Keras left it to its backends, whose errors spoke of shapes of their own."""
    for shape in ((8,), (8, 9), (2, 3, 4, 5, 6, 7)):
        with pytest.raises(ng.InvalidValue) as caught:
            layer(torch.ones(shape))
        assert str(caught.value).endswith(f"must have the shape {words}; got {shape}.")


def test_f17_modes_seeds_integers_and_caches() -> None:
    """The GitBook's page: an unknown mode fell through, the seed was everybody's, ints were cut,
    and a mode changed between forward and backward changed the gradient.
    """
    x = np.arange(1.0, 21.0)
    for mode in ("train", "Train", 1, None):
        for call in (ng.numpy.dropout_forward, ng.torch.dropout):
            with pytest.raises(ng.InvalidType, match="training` must be True or False"):
                call(x if call is ng.numpy.dropout_forward else torch.ones(3), 0.5, training=mode)
    np.random.seed(3)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    for rng in (5, None, np.random.default_rng(1), KEY):
        ng.numpy.dropout_forward(x, 0.5, rng=rng)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    with pytest.raises(ng.InvalidType, match="floating-point numbers"):
        ng.numpy.dropout_forward(np.arange(20), 0.5)
    whole = ng.numpy.forward(ng.Dropout(0.5, rescale=False), np.arange(20), rng=5)[0]
    assert set(whole) <= set(range(20))
    assert whole.dtype == np.arange(20).dtype
    out, cache = ng.numpy.dropout_forward(x, 0.5, rng=5)
    ng.numpy.dropout_forward(x, 0.5, training=False)
    ng.numpy.dropout_forward(x, 0.9, rng=6)
    assert_same_bits(ng.numpy.dropout_backward(x, cache), out)
    still, quiet = ng.numpy.dropout_forward(x, 0.5, training=False)
    assert still is x
    assert_same_bits(ng.numpy.dropout_backward(x, quiet), x)


def test_f18_blocks_that_remove_all_or_are_larger_than_the_map() -> None:
    """NeuPy divided by nothing kept, and removed nothing where the block was too large."""
    x = np.ones((20000, 1, 4, 4), np.float32)
    for normalize in ("expected", "sample"):
        for p in (0.3, 0.99, 1.0):
            assert np.isfinite(ng.DropBlock(p, 4, normalize=normalize)(x, KEY)).all()
    for size in (5, 9, 40):
        corner = ng.mask(ng.DropBlock(0.3, size), x.shape, KEY)[:, 0, 0, 0]
        assert_rate(int((~corner).sum()), len(corner), 0.3)


def test_f19_validation_is_without_noise() -> None:
    """theanets measured its validation loss through the noise of training."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 1))
    x, y = torch.randn(64, 4), torch.randn(64, 1)
    noise = ng.inject(model, {"1:out": 0.9, ":in": ng.GaussianNoise(3.0)}, seed=13)
    optimizer = torch.optim.SGD(model.parameters(), 0.0)  # the weights stay
    loss = nn.MSELoss()
    how = {"epochs": 2, "batch_size": 64, "optimizer": optimizer, "order_seed": 1}
    history = fit(model, loss, (x, y), (x, y), **how)  # type: ignore[arg-type]
    noise.remove()
    with torch.no_grad():
        clean = loss(model.eval()(x), y).item()
    for epoch in history.epochs:
        assert epoch.validation_loss == pytest.approx(clean, rel=1e-6)
        assert epoch.train_loss != pytest.approx(clean, rel=0.1)


def test_f20_one_forward_has_one_mask_for_all_that_look() -> None:
    """Lasagne drew another mask for each output that was asked for on its own."""
    model = nn.Sequential(nn.Linear(4, 30), nn.ReLU(), nn.Identity())
    noise = ng.inject(model, {"1:out": 0.5}, seed=13)
    seen: list[torch.Tensor] = []
    for module in (model[1], model[2], model):
        module.register_forward_hook(lambda module, args, output: seen.append(output))
    x = torch.randn(6, 4)
    out = model(x)
    key = ng.Stream(13).site("1:out").at(0)
    expected = ng.Dropout(0.5)(model[0](x).relu(), key)
    for output in (*seen, out):
        assert_same_bits(output, expected)
    assert len(seen) == 3
    assert_same_bits(out != 0, expected != 0)
    reads = [ng.mask(ng.Dropout(0.5), (6, 30), key) for _ in range(2)]
    assert_same_bits(reads[0], reads[1])
    noise.remove()


def test_f17_a_live_rate_that_changes_before_the_backward_changes_nothing() -> None:
    rate = np.full((4, 8), 0.5)
    out, cache = ng.numpy.dropout_forward(np.ones((4, 8)), rate, rng=13)
    rate[:] = 0
    assert ((cache.mask == 0) == (out == 0)).all()
    assert (ng.numpy.dropout_backward(np.ones((4, 8)), cache) == out).all()
