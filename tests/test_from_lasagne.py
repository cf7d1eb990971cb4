"""Lasagne's noise layers and their tests: what holds here, and what differs.

L1 to L12, C1 to C5, C20, S1 to S9 and F11 to F20 number what the old code did: its own tests,
values to check, and faults. The page is docs/from/lasagne.md.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import noisegate as ng
from _asserts import assert_rate, assert_same_bits, assert_sentence, assert_within
from noisegate import nets
from noisegate.nets import (
    Dropout,
    GaussianNoise,
    Input,
    Relu,
    dropout_channels,
    dropout_locations,
    get_output,
    join,
    spatial_dropout,
)

# Their fixtures: an input of ones, its extents known or not.
SHAPES = [(100, 100), (None, 100)]
ONES = torch.ones(100, 100)
Layer = Callable[..., Any]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(20161121)


def values(x: Tensor) -> set[float]:
    return set(x.unique().tolist())


def zeros(x: Tensor) -> int:
    return int((x == 0).sum())


def scale_of(p: float) -> float:
    """Return what survivors are multiplied by: 1 / (1 - p), of a p of 32 binary digits."""
    return float(2**32 / (2**32 - round(p * 2**32)))


# Their tests -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_noise_unless_deterministic(shape: tuple[int | None, ...]) -> None:
    """L1. Half of the ones are 0, the others 2, and nothing has to be said for it."""
    found = Dropout(shape).get_output_for(ONES)
    assert values(found) == {0, 2}
    assert_rate(zeros(found), found.numel(), 0.5)


@pytest.mark.parametrize("shape", SHAPES)
def test_deterministic(shape: tuple[int | None, ...]) -> None:
    """L2, C3. The output is the input itself."""
    assert Dropout(shape).get_output_for(ONES, deterministic=True) is ONES


@pytest.mark.parametrize("shape", SHAPES)
def test_without_rescale(shape: tuple[int | None, ...]) -> None:
    """L3, C2. Survivors stay 1."""
    found = Dropout(shape, rescale=False).get_output_for(ONES)
    assert values(found) == {0, 1}
    assert_rate(zeros(found), found.numel(), 0.5)


def test_without_rescale_whole_numbers_stay_whole() -> None:
    """L4, C2. int32 in, int32 out."""
    found = Dropout((100, 100), rescale=False).get_output_for(ONES.to(torch.int32))
    assert found.dtype == torch.int32
    assert values(found) == {0, 1}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_rate_of_02(shape: tuple[int | None, ...]) -> None:
    """L5. {0, 1.25}, exactly."""
    found = Dropout(shape, p=0.2).get_output_for(ONES)
    assert values(found) == {0, 1.25}
    assert_rate(zeros(found), found.numel(), 0.2)


@pytest.mark.parametrize("number", [np.float32, np.float16])
def test_the_rate_s_type_does_not_change_the_output_s(number: type[np.floating]) -> None:
    """L6, L7. A rate of NumPy's float32 or float16, and an input of that type."""
    x = ONES.to(getattr(torch, number.__name__))
    found = Dropout((100, 100), p=number(0.5)).get_output_for(x)
    assert found.dtype == x.dtype
    assert values(found) == {0, 2}


@pytest.mark.parametrize("axes", [(), (0,), (2, 3), (-1, -2)])
def test_shared_axes(axes: tuple[int, ...]) -> None:
    """L8. The output does not change along the axes that share a mask."""
    found = Dropout((2, 4, 7, 9), shared_axes=axes).get_output_for(torch.ones(2, 4, 7, 9))
    mean = found.mean(axes, keepdim=True) if axes else found
    assert_same_bits(found, mean.expand_as(found))
    assert values(found) == {0, 2}


@pytest.mark.parametrize("kind", [Dropout, GaussianNoise])
def test_one_seed_for_all(kind: Layer) -> None:
    """L9. `torch.manual_seed` repeats everything.

    It differs where the seed is given: there `lasagne.random.set_rng`, read when a layer is made;
    here torch's own generator, read at each call, so that a layer that was made before is repeated
    too.
    """
    layer = kind((100, 100))
    torch.manual_seed(123456789)
    first, second = layer.get_output_for(ONES), layer.get_output_for(ONES)
    torch.manual_seed(123456789)
    assert_same_bits(layer.get_output_for(ONES), first)
    assert_same_bits(kind((100, 100)).get_output_for(ONES), second)
    assert (first != second).any()


AXES = [
    ((10, 20), ()),
    ((None, None, None), (2,)),
    ((1, 2, 3, 4), (2, 3)),
    ((1, 2, 3, 4, 5, 6), (2, 3, 4, 5)),
]


@pytest.mark.parametrize(("shape", "axes"), AXES)
def test_functions_for_channels_and_locations(
    shape: tuple[int | None, ...], axes: tuple[int, ...]
) -> None:
    """L10, C5. They return a Dropout; its shared axes are numbers of the incoming rank."""
    for incoming in (shape, Input(batch_shape=shape)):
        channels, alias = dropout_channels(incoming), spatial_dropout(incoming)
        assert type(channels) is type(alias) is Dropout
        assert channels.shared_axes == alias.shared_axes == axes
        assert dropout_locations(incoming).shared_axes == (1,)


@pytest.mark.parametrize("shape", SHAPES)
def test_gaussian_noise(shape: tuple[int | None, ...]) -> None:
    """L11. Every number differs from 1, their mean and spread do not differ from 1 and 0.1."""
    found = GaussianNoise(shape).get_output_for(ONES)
    assert (found != 1).all()
    assert found.mean() != 1
    assert_within(found.mean(), 1, 0.1 / 100)
    assert_within(found.var(), 0.01, 0.01 * 2**0.5 / 100)


def test_gaussian_noise_deterministic() -> None:
    """L12. The output is the input itself."""
    x = torch.rand(3, 3)
    assert GaussianNoise((3, 3)).get_output_for(x, deterministic=True) is x


# Values to check -------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.5, 0.2, 0.3, 0.9])
def test_exact_values(p: float) -> None:
    """C1. {0, 1 / (1 - p)} to the last bit of float32, where theirs was off by one at 0.9."""
    found = Dropout((100, 100), p).get_output_for(ONES)
    assert values(found) == {0, float(np.float32(scale_of(p)))}
    assert_rate(zeros(found), found.numel(), p)


def test_without_noise_the_same_object_comes_back() -> None:
    """C3. Deterministic, or with p = 0 or sigma = 0."""
    for layer in (Dropout((100, 100), p=0), GaussianNoise((100, 100), sigma=0)):
        assert layer.get_output_for(ONES) is ONES
        assert layer.get_output_for(ONES, deterministic=True) is ONES


def test_how_many_decisions_there_are() -> None:
    """C4. Axes 2 and 3 of (2, 4, 7, 9) leave 8 decisions; (-1, -2) are the same two axes."""
    x = torch.ones(2, 4, 7, 9)
    found = []
    for axes in ((2, 3), (-1, -2)):
        layer = Dropout((2, 4, 7, 9), shared_axes=axes, seed=13, site="a")
        assert layer.shared_axes == (2, 3)
        found.append(layer.get_output_for(x))
    assert_same_bits(found[0], found[1])
    many = Dropout((500, 4, 7, 9), shared_axes=(2, 3)).get_output_for(torch.ones(500, 4, 7, 9))
    cells = many[:, :, 0, 0]
    assert_same_bits(many, cells[:, :, None, None].expand_as(many))
    assert_rate(zeros(cells), 2000, 0.5)


def test_messages_like_theirs() -> None:
    """C20. A shape that is none, and a keyword that is nearly one."""
    sentence = (
        "Dropout: a shape has whole numbers of at least 1, and None for what is not known; "
        "got (0, 6)."
    )
    with assert_sentence(ng.InvalidValue, sentence):
        Dropout((0, 6))
    with pytest.raises(ng.InvalidType, match=r"`deterministc` \(perhaps you meant deterministic\)"):
        get_output(Dropout((None, 6)), torch.ones(2, 6), deterministc=True)


def test_statistics_of_dropout() -> None:
    """S1, S2. The share of zeros is p, and the mean of the output the mean of the input."""
    x = torch.randn(300, 300) + 10
    for p in (0.1, 0.5, 0.8):
        found = Dropout((300, 300), p).get_output_for(x)
        assert_rate(zeros(found), x.numel(), p)
        sd = ((x.double() ** 2).sum() * p / (1 - p)) ** 0.5 / x.numel()
        assert_within(found.double().mean(), x.double().mean(), sd)


@pytest.mark.parametrize("sigma", [0.3, 0.5, 2.0])
def test_statistics_of_gaussian_noise(sigma: float) -> None:
    """S3. Mean 0, standard deviation sigma."""
    noise = GaussianNoise((300, 300), sigma).get_output_for(torch.zeros(300, 300)).double()
    assert_within(noise.mean(), 0, sigma / 300)
    assert_within(noise.var(), sigma**2, sigma**2 * 2**0.5 / 300)


def test_layers_calls_and_samples_are_independent() -> None:
    """S5, S6. Two keep masks agree in a share of 1 - 2p(1 - p), whatever they are two of."""
    p, x = 0.3, torch.ones(200, 200)
    first, second = Dropout((200, 200), p), Dropout((200, 200), p)
    mask = first.get_output_for(x) > 0
    others = [second.get_output_for(x) > 0, first.get_output_for(x) > 0, mask.roll(1, 0)]
    for other in others:
        assert_rate(int((mask == other).sum()), x.numel(), 1 - 2 * p * (1 - p))


def test_the_order_in_which_layers_are_made_does_not_matter() -> None:
    """S7. One seed, one first mask, as there.

    It differs in the order: there every layer draws its own seed when it is made, so that a layer
    more in front changes all masks behind. Here a layer with a seed has a site, and its mask is a
    function of the two.
    """
    mine = Dropout((100, 100), seed=13, site="hid1:out")
    Dropout((100, 100), seed=13, site="hid2:out")
    again = Dropout((100, 100), seed=13, site="hid1:out")
    other = Dropout((100, 100), seed=13, site="hid2:out")
    first = mine.get_output_for(ONES)
    assert_same_bits(again.get_output_for(ONES), first)
    assert (other.get_output_for(ONES) != first).any()


def test_two_dropouts_in_a_row() -> None:
    """S9. Two masks: zeros in a share of 1 - (1 - p)^2, and the mean stays."""
    p = 0.3
    chain = join(Dropout(Dropout((300, 300), p), p))
    found = chain.output(torch.ones(300, 300), training=True)
    assert_rate(zeros(found), found.numel(), 1 - (1 - p) ** 2)
    kept = (1 - p) ** 2
    assert_within(found.double().mean(), 1, ((1 - kept) / kept) ** 0.5 / 300)


# Faults ----------------------------------------------------------------------------------------


def test_a_misspelt_keyword_is_an_error() -> None:
    """F11. It was a warning, and the noise stayed on."""
    layer = Dropout((None, 6))
    for call in (layer.get_output_for, layer.output, join(layer).output):
        with pytest.raises(ng.InvalidType, match="perhaps you meant deterministic"):
            call(torch.ones(2, 6), deterministc=True)
    with pytest.raises(ng.InvalidType, match="unknown keyword `pp`"):
        Dropout((None, 6), pp=0.5)


def test_axes_that_are_wrong_are_errors_and_one_axis_is_one_axis() -> None:
    """F12. Out of range was ignored, a bare 0 crashed, and presets threw the user's axes away."""
    for incoming in ((None, 6), Input(6)):
        with pytest.raises(ng.InvalidValue, match="axis 2"):
            Dropout(incoming, shared_axes=(2,))
        assert Dropout(incoming, shared_axes=0).shared_axes == (0,)
    for preset in (dropout_channels, dropout_locations):
        with pytest.raises(ng.InvalidType, match="`shared_axes` is what"):
            preset((1, 2, 3, 4), shared_axes=(0,))


def test_a_batch_of_another_size() -> None:
    """F13. The mask had the extents of the layer's shape, and another batch failed far away."""
    layer = Dropout((100, 6))
    assert layer.get_output_for(torch.ones(3, 6)).shape == (3, 6)
    with assert_sentence(
        ng.InvalidValue, "`input-1` takes (100, 6); got an input of shape (3, 6)."
    ):
        join(layer)(torch.ones(3, 6))


def test_several_outputs_have_one_mask() -> None:
    """F20. Asked for one after the other they have two masks, as any two calls; in a list, one."""
    hidden = Dropout(Input(1000))
    last = Dropout(hidden, 0.2)
    x = torch.ones(1, 1000)
    first, second = get_output([hidden, last], x)
    assert (second[first == 0] == 0).all()
    assert values(second[first != 0]) == {0, 2.5}
    alone = get_output(hidden, x)
    assert (alone != first).any()
    assert_same_bits(get_output([hidden, last], x, deterministic=True)[1], x)


# What the page says ----------------------------------------------------------------------------


def test_arguments_by_place_are_in_the_page_s_order() -> None:
    """DropoutLayer(incoming, p, rescale, shared_axes), of which the last goes by its name."""
    for incoming in ((2, 4, 7, 9), Input((4, 7, 9))):
        layer = Dropout(incoming, 0.3, False)
        assert (layer.p, layer.rescale) == (0.3, False)
        assert Dropout(incoming, 0.3, False, shared_axes=(2, 3)).shared_axes == (2, 3)
    for preset in (dropout_channels, dropout_locations):
        layer = preset((2, 4, 7, 9), 0.3, False)
        assert (layer.p, layer.rescale) == (0.3, False)
    assert GaussianNoise((None, 6), 0.3).sigma == 0.3


def test_defaults_and_aliases() -> None:
    layer = nets.dropout((None, 6))
    assert nets.dropout is Dropout
    assert spatial_dropout is dropout_channels
    assert (layer.p, layer.rescale, layer.shared_axes) == (0.5, True, ())
    assert GaussianNoise((None, 6)).sigma == 0.1
    assert not list(layer.parameters())
    assert Dropout((None, 6), name="drop").name == "drop"


def test_incoming_is_a_layer_a_network_or_a_shape() -> None:
    entry = Input((3, 8, 8))
    layer = Dropout(entry)
    assert layer.input_layer is entry
    assert layer.input_shape == layer.output_shape == (None, 3, 8, 8)
    by_name = Dropout(incoming=entry, p=0.2)
    assert (by_name.input_layer, by_name.p) == (entry, 0.2)
    shaped = Dropout((None, 6))
    assert shaped.input_layer is None
    assert shaped.input_shape == shaped.output_shape == (None, 6)
    behind = Dropout(Input(4) >> Relu(5))
    assert behind.input_layer.name == "relu-1"
    assert list(join(behind).layers) == ["input-1", "relu-1", "dropout-1"]
    assert not list(behind.children())
    assert not behind.state_dict()
    assert list(join(behind).state_dict()) == ["relu-1.weight", "relu-1.bias"]


def test_incoming_is_a_layer_that_a_network_has() -> None:
    """What it is joined to is behind it, and its shape is known."""
    network = Input((3, 8, 8)) >> nets.Convolution2d(4, 3, name="conv")
    layer = dropout_channels(network["conv"])
    assert layer.input_layer is network["conv"]
    assert layer.input_shape == (None, 4, 6, 6)
    assert layer.shared_axes == (2, 3)
    assert list(join(layer).layers) == ["input-1", "conv", "dropout-1"]
    assert get_output(layer, torch.ones(2, 3, 8, 8)).shape == (2, 4, 6, 6)


@pytest.mark.parametrize(("kind", "word"), [(Dropout, "p"), (GaussianNoise, "sigma")])
def test_a_rate_that_is_a_tensor_is_read_at_each_call(kind: Layer, word: str) -> None:
    rate = torch.tensor(0.5)
    layer = kind((None, 100), **{word: rate})
    assert getattr(layer, word) is rate
    assert list(layer.state_dict()) == [word]
    found = {}
    for number in (0.5, 0.25, 0.0):
        rate.fill_(number)
        found[number] = layer.get_output_for(ONES)
    if word == "p":
        assert values(found[0.5]) == {0, 2}
        assert values(found[0.25]) == {0, float(np.float32(4 / 3))}
    else:
        for sigma in (0.5, 0.25):
            assert_within(found[sigma].var(), sigma**2, sigma**2 * 2**0.5 / 100)
    assert_same_bits(found[0.0], ONES)
    layer.set_params(**{word: 0.75})
    assert rate == 0.75
    assert getattr(kind((None, 100), rate), word) is rate


@pytest.mark.parametrize("inputs", ["tensor", "dict", "input_var", "array"])
def test_get_output_takes_its_inputs_in_several_ways(inputs: str) -> None:
    x = torch.ones(2, 6)
    entry = Input((6,), input_var=x if inputs == "input_var" else None)
    layer = Dropout(entry, 0.5)
    given: Any = {"tensor": x, "dict": {entry: x}, "input_var": None, "array": x.numpy()}[inputs]
    assert_same_bits(get_output(layer, given, deterministic=True), x)
    assert get_output(layer, given).shape == (2, 6)


def test_an_input_that_nothing_takes_is_an_error() -> None:
    entry = Input(6)
    with pytest.raises(ng.NoisegateError):
        get_output(Dropout(entry), {entry: torch.ones(2, 6), Input(3): torch.ones(2, 3)})
