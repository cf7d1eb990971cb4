"""NeuPy's noise layers, names and composition: what holds here, and what differs.

N1 to N12, C1 to C20, S1 to S9 and F3 to F18 are the numbers of a list of
what the old code did: its own tests, values to check, and faults. The page is docs/from/neupy.md.
"""

import copy
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import noisegate as ng
from _asserts import assert_rate, assert_same_bits, assert_sentence, assert_within
from noisegate.nets import (
    DropBlock,
    DropBlock2d,
    Dropout,
    GaussianNoise,
    Input,
    Relu,
    Sigmoid,
    join,
    parallel,
    repeat,
)

ONES = torch.ones(50, 20)
LAST = slice(1, -1)  # NeuPy's images are (N, H, W, C)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def page_s_network() -> Any:
    return join(Input(10), Relu(5) >> Dropout(0.5), Relu(5) >> Dropout(0.5), Sigmoid(1))


def values(x: Tensor) -> set[float]:
    return set(x.unique().tolist())


def zeros(x: Tensor) -> int:
    return int((x == 0).sum())


# Their tests -----------------------------------------------------------------------------------


def test_dropout_in_training() -> None:
    """N1, C1, S1, S2. Ones become 0 or 2, half of them each."""
    found = Dropout(0.5).output(ONES, training=True)
    assert values(found) == {0, 2}
    assert_rate(zeros(found), 1000, 0.5)


@pytest.mark.parametrize("p", [0.2, 0.9])
def test_survivors_are_scaled(p: float) -> None:
    """C1. Exactly 1 / (1 - p) in float32; theirs was 9.999998 at 0.9."""
    found = Dropout(p).output(torch.ones(100, 100), training=True)
    assert values(found) == {0, float(np.float32(1 / (1 - p)))}
    assert_rate(zeros(found), 10000, p)


@pytest.mark.parametrize("layer", [Dropout(0.5), GaussianNoise(0.5), DropBlock(0.1, 5)])
def test_inference_is_the_default_and_the_identity(layer: Any) -> None:
    """N2, N5, N8, C3. The very same object comes back, an array of NumPy's too."""
    for x in (torch.ones(2, 3, 8, 8), np.ones((2, 3, 8, 8))):
        assert layer.output(x) is x
        assert layer.output(x, training=False) is x


def test_repr() -> None:
    """N3, N6, C11. Class, arguments in their order, and the name.

    It differs in the words: `p` is `proba`, `sigma` is `std`, there is no `mean`, since a mean
    that is not 0 is a bias, and DropBlock has the probability of removal. A layer has its name
    from its network, which counts; before it has none.
    """
    assert repr(Dropout(0.5)) == "Dropout(p=0.5)"
    network = join(Input((3, 9, 9)), Dropout(0.5), GaussianNoise(1), DropBlock(0.1, (3, 3)))
    assert [repr(layer) for layer in network][1:] == [
        "Dropout(p=0.5, name='dropout-1')",
        "GaussianNoise(sigma=1.0, name='gaussian-noise-1')",
        "DropBlock(p=0.1, block_size=(3, 3), name='drop-block-1')",
    ]


def test_gaussian_noise_is_normal() -> None:
    """N4, S3. Theirs looked at no result; ours are those of a normal distribution."""
    noise = GaussianNoise(0.5).output(torch.zeros(300, 300), training=True).double()
    assert_within(noise.mean(), 0, 0.5 / 300)
    assert_within(noise.var(), 0.25, 0.25 * 2**0.5 / 300)
    for bound in (0.5, 1.0, 2.0):
        inside = int((noise.abs() < 0.5 * bound).sum())
        assert_rate(inside, noise.numel(), math.erf(bound / 2**0.5))


def test_drop_block_of_wide_blocks() -> None:
    """N7, S8. Of (2, 100, 100, 1), with blocks of 2 by 10, about nine tenths stay.

    It differs in three ways: the number is the probability of removal; `axes` says where the image
    is; and what is kept is scaled by its expected share, or with ``normalize="sample"`` by the
    sample's own, never by the batch's, so that no sample depends on another.
    """
    x = torch.ones(2, 100, 100, 1)
    layer = DropBlock(0.1, (2, 10), axes=LAST, normalize="sample")
    found = layer.output(x, training=True)
    kept = (found != 0).double().mean(dim=(1, 2, 3))
    assert ((kept > 0.88) & (kept < 0.92)).all()
    assert found.max() > 1
    for sample, share in zip(found, kept, strict=True):
        assert values(sample) == {0, float(np.float32(1 / share))}
    expected = DropBlock(0.1, (2, 10), axes=LAST).output(x, training=True)
    assert values(expected) == {0, float(np.float32(1 / 0.9))}


def test_one_number_is_a_square_block() -> None:
    """N8. 5 is (5, 5) for images: the same bits."""
    x = torch.ones(4, 3, 20, 20)
    for word in (5, [5, 5]):
        layer = DropBlock(0.2, word, seed=1, site="a")
        expected = DropBlock(0.2, (5, 5), seed=1, site="a")
        assert_same_bits(layer.output(x, training=True), expected.output(x, training=True))


def test_the_shape_stays() -> None:
    """N9. Unknown extents too."""
    shape = (None, 10, 10, 3)
    for layer in (DropBlock(0.1, 5, axes=LAST), Dropout(0.5), GaussianNoise()):
        assert layer.get_output_shape(shape) == shape
        network = join(Input((10, 10, 3)), layer)
        assert network.output_shape == shape
        assert not list(network.parameters())


def test_drop_block_refuses_another_rank_when_it_is_joined() -> None:
    """N10. Theirs is of images, and refuses an input of three axes when it is joined.

    It differs in that DropBlock is of any number of places: (N, C, L) has one axis of them.
    DropBlock2d is of images only; and where there is no place at all DropBlock refuses too.
    """
    sequences = join(Input((10, 10)), DropBlock(0.1, 3))
    assert sequences.output_shape == (None, 10, 10)
    with pytest.raises(
        ng.InvalidValue, match=r"`drop-block2d-1` cannot follow `input-1`.*\(\?, 10"
    ):
        join(Input((10, 10)), DropBlock2d(0.1, 3))


def test_drop_block_without_a_place_is_refused_when_it_is_joined() -> None:
    """N10. And a block of another number of extents than there are places."""
    with pytest.raises(ng.InvalidValue, match=r"`drop-block-1` cannot follow `input-1`"):
        join(Input(10), DropBlock(0.1, 3))
    with pytest.raises(ng.InvalidValue, match=r"`drop-block-1` cannot follow `input-1`"):
        join(Input((3, 9, 9)), DropBlock(0.1, (3, 3, 3)))


def names_of(*layers: Any) -> list[str]:
    return list(join(Input(3), *layers).layers)[1:]


class ABCD(nn.Linear):
    pass


class ABCDef(nn.Linear):
    pass


def test_names() -> None:
    """N11, C12. Formats are counted, classes give names with hyphens, and copies are counted.

    It differs in the counter, which belongs to the network and not to the process, so that a
    name does not depend on what was built before.
    """
    for _ in range(2):
        assert names_of(*(Relu(3, name="rl{}") for _ in range(3))) == ["rl1", "rl2", "rl3"]
        assert names_of(Relu(3), Relu(3), Dropout(0.5)) == ["relu-1", "relu-2", "dropout-1"]
    assert names_of(Relu(3, name="relu-{}a")) == ["relu-1a"]
    assert names_of(Relu(3, name="rl{:>04d}")) == ["rl0001"]
    assert names_of(ABCD(3, 3), ABCDef(3, 3)) == ["abcd-1", "abc-def-1"]
    counted, fixed = Relu(3, name="dd{}"), Relu(3, name="fixed")
    assert names_of(counted, copy.deepcopy(counted), copy.copy(Relu(3))) == ["dd1", "dd2", "relu-1"]
    assert copy.deepcopy(fixed).name == "fixed"
    for bad in ("{}{}", "a{n}", "a{"):
        with pytest.raises(ng.InvalidValue, match="a format of names must have one field"):
            Relu(3, name=bad)
    with pytest.raises(ng.InvalidType, match="a layer's name must be text"):
        Relu(3, name=5)


def test_a_name_that_two_layers_have_is_an_error() -> None:
    """C12. There it was allowed, and asking for the layer by its name failed later.

    It differs because a name is a place: for noise, for a weight in a file, for `start` and `end`.
    """
    with pytest.raises(ng.InvalidValue, match="`z`: another layer of the network has this name"):
        join(Input(3), Relu(3, name="z"), Relu(3, name="z"))


def test_rates_that_are_taken_and_refused() -> None:
    """N12, C20. In [0, 1], checked when it is set; NumPy's numbers are taken, True is none."""
    for good in (0, 0.5, 1 / 3, 1, np.float32(0.5), np.int64(1)):
        assert Dropout(good).p == float(good)
    for bad in (10, 1 + 1e-10, -1e-10, float("nan")):
        with pytest.raises(ng.InvalidValue, match=r"Dropout: `p` must be in \[0, 1\]; got"):
            Dropout(bad)
    for wrong in ("test", None, True):
        with pytest.raises(ng.InvalidType, match="Dropout: `p` must be a number; got"):
            Dropout(wrong)


# Values to check -------------------------------------------------------------------------------


def test_the_page_s_network() -> None:
    """C13. Its repr; and a dropout adds no parameters."""
    assert repr(page_s_network()) == "(?, 10) -> [... 6 layers ...] -> (?, 1)"
    small = Input(10) >> Relu(5) >> Dropout(0.5)
    assert sum(p.numel() for p in small.parameters()) == 55
    assert Dropout(0.5).variables == {}


def test_options() -> None:
    """C14. Every argument with the class that owns it and its check.

    It differs in the words, and has the arguments that Dropout has here; the check is a callable.
    """
    layer = Dropout(0.5)
    options, own = layer.options, ["p", "rescale", "seed", "shared_axes", "site"]
    assert {"name", "trainable", *own} <= set(options)
    assert (options["name"].class_name, options["p"].class_name) == ("Layer", "Dropout")
    assert {"name", "trainable", *own} <= layer.get_params().keys()
    assert (layer.get_params()["p"], layer.get_params()["name"]) == (0.5, None)


def opened(removed: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return what full blocks within the removed places cover; beyond the edges all is removed."""
    h, w = size
    padded = np.pad(removed, [(h, h), (w, w)], constant_values=True)
    full = np.lib.stride_tricks.sliding_window_view(padded, size).all(axis=(2, 3))
    covered = np.zeros_like(padded)
    for i, j in np.argwhere(full):
        covered[i : i + h, j : j + w] = True
    return covered[h:-h, w:-w]


@pytest.mark.parametrize("size", [(3, 3), (2, 4), (1, 5)])
def test_what_is_removed_is_a_union_of_blocks(size: tuple[int, int]) -> None:
    """C15. Every removed place is in a full block of removed places.

    It differs at the edges, which blocks may reach over, so that corners are removed as often as
    the middle; in the mean, which is 1 for each sample with ``normalize="sample"`` instead of
    for the batch; and in the ranks that are taken (see N10).
    """
    x = torch.ones(3, 2, 24, 24)
    found = DropBlock(0.2, size, normalize="sample").output(x, training=True)
    for removed in (found == 0).flatten(0, 1).numpy():
        assert removed.any()
        assert (opened(removed, size) == removed).all()
    assert (found.mean(dim=(1, 2, 3)) - 1).abs().max() < 1e-6
    assert DropBlock(0.0, size).output(x, training=True) is x


@pytest.mark.parametrize(("p", "block"), [(0.1, 3), (0.5, 3), (0.9, 5), (0.2, 30)])
def test_the_share_that_drop_block_removes(p: float, block: int) -> None:
    """S8. The share that was asked for, at every p and for every block.

    It differs from theirs, which removed 0.39 instead of 0.5, since their blocks overlap and lie
    within the map; and nothing at all where a block is larger than the map.
    """
    found = DropBlock(p, block).output(torch.ones(1500, 1, 20, 20), training=True)
    shares = (found == 0).double().mean(dim=(1, 2, 3))
    assert_within(shares.mean(), p, shares.std() / 1500**0.5)
    assert_within(found.double().mean(), 1, found.double().mean(dim=(1, 2, 3)).std() / 1500**0.5)
    corner = found[:, 0, 0, 0] == 0
    assert_within(corner.double().mean(), p, (p * (1 - p) / 1500) ** 0.5)


def test_sites_and_calls_are_independent() -> None:
    """S5, S6. Two dropouts of one network, and two calls of one."""
    network = join(Input(300), Dropout(0.3, name="a{}"), Dropout(0.3, name="a{}"))
    x = torch.ones(300, 300)
    first, second = network.outputs(["a1", "a2"], x, training=True)
    assert_rate(zeros(second), x.numel(), 1 - 0.7**2)  # S9
    kept = first != 0
    assert_rate(int((second[kept] == 0).sum()), int(kept.sum()), 0.3)
    again = network.outputs(["a1"], x, training=True)[0] != 0
    assert_rate(int((again == kept).sum()), x.numel(), 1 - 2 * 0.3 * 0.7)


def test_one_seed_repeats_all() -> None:
    """S7. As `utils.reproducible`; and layers with a seed of their own do not know their order."""
    network, x = page_s_network(), torch.ones(100, 10)
    torch.manual_seed(3)
    first = network.output(x, training=True)
    torch.manual_seed(3)
    assert_same_bits(network.output(x, training=True), first)
    assert (network.output(x, training=True) != first).any()
    masks = []
    for sites in (("a", "b"), ("b", "a")):
        layers = {site: Dropout(0.5, seed=13, site=site) for site in sites}
        masks.append({site: layers[site].output(ONES, training=True) for site in sites})
    assert_same_bits(masks[0]["a"], masks[1]["a"])
    assert (masks[0]["a"] != masks[0]["b"]).any()


# Faults ----------------------------------------------------------------------------------------


def test_old_faults() -> None:
    """F3, F6, F7, F18. Each was wrong there."""
    assert not Dropout(1).output(ONES, training=True).any()  # F3: an error, when training began
    noise = GaussianNoise().output(torch.zeros(100, 100), training=True)  # F6: exactly 1 was added
    assert GaussianNoise().sigma == 0.1
    assert_within(noise.mean(), 0, 0.1 / 100)
    assert names_of(Relu(3, name="fc-{:<03d}"), Relu(3, name="fc-{:<03d}")) == ["fc-001", "fc-002"]
    assert names_of(Relu(3, name="fc-{:03d}")) == ["fc-001"]  # F7: the page's gave fc-100
    x = torch.ones(2, 1, 5, 5)
    assert not DropBlock(1.0, 4).output(x, training=True).any()  # F18: NaN


def test_set_params_is_checked() -> None:
    """It went past every check there; and a failed constructor moved the counter of names on."""
    layer = Dropout(0.5)
    sentence = "Dropout: `p` must be in [0, 1]; got 7.0. Did you mean 0.7?"
    for change in (lambda: layer.set_params(p=7), lambda: setattr(layer, "p", 7)):
        with assert_sentence(ng.InvalidValue, sentence):
            change()
    assert layer.p == 0.5
    assert layer.set_params(p=0.2) is layer
    assert values(layer.output(ONES, training=True)) == {0, 1.25}
    with pytest.raises(ng.InvalidValue):
        Dropout(7, name="d{}")
    assert names_of(Dropout(0.5, name="d{}")) == ["d1"]


# What the page says ----------------------------------------------------------------------------


def test_training_reaches_every_layer_and_nothing_else_does() -> None:
    network, x = page_s_network(), torch.randn(20, 10)
    assert_same_bits(network.output(x), network.output(x, training=False))
    assert (network.output(x, training=True) != network.output(x)).any()
    with pytest.raises(ng.InvalidType, match="unknown keyword `epoch`"):
        network.output(x, epoch=3)


def test_dtypes() -> None:
    for name in ("float16", "bfloat16", "float32", "float64"):
        dtype = getattr(torch, name)
        for layer in (Dropout(0.2), GaussianNoise(0.2)):
            assert layer.output(ONES.to(dtype), training=True).dtype == dtype
    with pytest.raises(ng.InvalidType, match=r"must hold floating-point numbers; got torch\.int32"):
        Dropout(0.5).output(ONES.to(torch.int32), training=True)


def test_a_layer_takes_arrays_as_a_network_does() -> None:
    x = np.ones((50, 20), np.float32)
    assert join(Input(20), Dropout(0.5)).output(x, training=True).shape == (50, 20)
    assert Dropout(0.5).output(x, training=True).shape == (50, 20)


def test_operators() -> None:
    network = Input(3)
    network >>= Relu(4)
    network |= Input(5)
    assert repr(network) == "[(?, 3), (?, 5)] -> [... 3 layers ...] -> [(?, 4), (?, 5)]"
    assert len(parallel([Relu(5), Relu(3)], Relu(4)).exits) == 2
    twice = names_of(repeat(Relu(3) >> Dropout(0.5), 2))
    assert twice == ["relu-1", "dropout-1", "relu-2", "dropout-2"]


STAR = """
import sys, time as before
from importlib.machinery import PathFinder
class Hiding:
    def find_spec(self, name, path=None, target=None):
        hidden = name.partition(".")[0] in ("skorch", "sklearn")
        return None if hidden else PathFinder.find_spec(name, path, target)
sys.meta_path = [Hiding() if finder is PathFinder else finder for finder in sys.meta_path]
import time
from noisegate.nets import *
assert time is before
print(join(Input(10), Relu(5) >> Dropout(0.5), Sigmoid(1)))
"""


def test_the_page_s_import_of_everything_needs_torch_only() -> None:
    """`from neupy.layers import *`; estimators wait until they are asked for."""
    done = subprocess.run([sys.executable, "-c", STAR], capture_output=True, text=True)
    assert done.stdout == "(?, 10) -> [... 4 layers ...] -> (?, 1)\n", done.stderr[-2000:]
