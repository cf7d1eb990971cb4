"""The GitBook's chapter on dropout and its functions: what holds here, and what differs.

G1 to G4, C18, C19 and F17 are the numbers of a list of what the old code did:
its author's own checks, golden values, and faults. `keep` is the old probability, 1 - p.
"""

import dataclasses
import importlib.util
import json
import math
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import noisegate as ng
from _asserts import assert_rate, assert_same_bits, assert_sentence, assert_within
from noisegate.numpy import dropout_backward, dropout_forward

ROOT = Path(__file__).resolve().parents[1]


def load(path: str) -> ModuleType:
    """Return a file of the repository, which no package holds, as a module."""
    spec = importlib.util.spec_from_file_location(f"_{Path(path).stem}", ROOT / path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


by_hand = load("examples/by_hand.py")
make_notebook = load("tools/make_notebook.py")
Noise = by_hand.Noise


def scale_of(p: float) -> float:
    """Return what survivors are multiplied by: 1 / (1 - p), of a p of 32 binary digits."""
    return float(2**32 / (2**32 - round(p * 2**32)))


# The author's checks ---------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.75])
def test_g1_the_mean_stays_and_the_right_fraction_goes(keep: float) -> None:
    x = np.random.default_rng(231).normal(size=(500, 500)) + 10
    out, cache = dropout_forward(x, 1 - keep, rng=231)
    assert_same_bits(out, np.where(cache.mask == 1, x * scale_of(1 - keep), 0.0))
    assert_rate(int((out == 0).sum()), x.size, 1 - keep)
    sd = math.sqrt((x**2).sum() * (1 - keep) / keep) / x.size
    assert_within(out.mean(), x.mean(), sd)
    test, _ = dropout_forward(x, 1 - keep, training=False)
    assert test is x


def test_g2_the_gradient_is_that_of_a_central_difference() -> None:
    """Each element on its own to 1e-9, of that element; the old code had 5.4e-11."""
    generator = np.random.default_rng(123)
    x, dout = generator.normal(size=(10, 10)) + 10, generator.normal(size=(10, 10))
    _, cache = dropout_forward(x, p=0.2, rng=123)
    dx = dropout_backward(dout, cache)
    h = 1e-5
    for place in np.ndindex(x.shape):
        values = []
        for move in (h, -h):
            moved = x.copy()
            moved[place] += move
            values.append(dropout_forward(moved, p=0.2, rng=123)[0])
        numeric = ((values[0] - values[1]) * dout).sum() / (2 * h)
        assert abs(numeric - dx[place]) <= 1e-9 * max(1e-8, abs(numeric) + abs(dx[place]))


def images_without_ties(rows: int) -> np.ndarray:
    """Return images of 64 different pixels, so far apart that no difference swaps two."""
    order = np.random.default_rng(5).permuted(np.tile(np.arange(64.0), (rows, 1)), axis=1)
    return order.reshape(rows, 8, 8) / 64


def worst_error(weights: by_hand.Weights, noise: object, l2: float = 0.0) -> dict[str, float]:
    """Return the relative error of the gradient of every weight and of the pixels."""
    data = images_without_ties(2), np.array([2, 7])

    def loss() -> float:
        return float(by_hand.loss_and_gradients(weights, data, noise, 7, l2)[0])

    _, gradients = by_hand.loss_and_gradients(weights, data, noise, 7, l2)
    arrays = {**weights, "images": data[0]}
    assert gradients.keys() == arrays.keys()
    return {
        name: by_hand.relative_error(gradients[name], by_hand.numeric_gradient(loss, values))
        for name, values in arrays.items()
    }


@pytest.mark.parametrize(("p", "l2"), [(0.0, 0.0), (0.25, 0.0), (0.5, 0.01)])
def test_g3_the_gradients_of_a_whole_network(p: float, l2: float) -> None:
    """Below 1e-9 of each array's largest element; the old check allowed 2e-7."""
    weights = by_hand.initial_weights((16, 6, 5, 10), seed=3)
    errors = worst_error(weights, Noise(pool=p, hidden=p), l2)
    assert max(errors.values()) < 1e-9, errors


def test_g3_the_check_finds_a_forgotten_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = by_hand.initial_weights((16, 6, 10), seed=3)
    monkeypatch.setattr(by_hand, "dropout_backward", lambda dout, cache: dout)
    errors = worst_error(weights, Noise(hidden=0.5))
    assert errors["W2"] < 1e-9  # behind the mask all is well
    assert min(errors["W1"], errors["b1"], errors["images"]) > 0.1


@pytest.mark.parametrize("p", [0.0, 0.25, 0.5])
def test_g3_at_first_the_loss_is_that_of_a_guess(p: float) -> None:
    """With weights of about 0.05 they had 2.3009, 2.3041 and 2.3061; ln 10 is 2.3026."""
    weights = by_hand.initial_weights((16, 20, 30, 10))
    weights = {name: 0.15 * value for name, value in weights.items()}
    data = images_without_ties(2), np.array([4, 8])
    loss, _ = by_hand.loss_and_gradients(weights, data, Noise(p, p), 0)
    assert abs(loss - math.log(10)) < 0.01


def test_g3_where_all_inputs_are_removed_a_bias_of_0_has_no_derivative() -> None:
    """The old check had an error of 0.33 at one bias: ReLU at exactly 0, and no fault of dropout.

    A central difference measures half of the slope there, and ours is 0: both are subgradients.
    """
    weights = by_hand.initial_weights((16, 6, 10), seed=3)
    everything = Noise(pool=1.0)
    errors = worst_error(weights, everything)
    assert errors["b1"] == 1
    weights["b1"] += 0.1
    errors = worst_error(weights, everything)
    assert max(errors.values()) < 1e-9
    assert errors["images"] == 0


def test_g4_with_dropout_the_network_fits_less_and_the_gap_is_smaller() -> None:
    """500 examples, 125 steps, keeping all or 0.75, as theirs; but digits in 16 pixels, 3 seeds.

    Without dropout they had 99.8 % of the examples right, and 29.7 % of other colour images.
    """
    for seed in range(3):
        data, others = by_hand.split_digits(seed, rows=500)
        losses = {}
        for p in (0.0, 0.25):
            noise = Noise(hidden=p, seed=seed)
            weights = by_hand.train(by_hand.initial_weights(seed=seed), data, noise, epochs=25)
            fitted, _ = by_hand.evaluate(weights, data)
            found, error = by_hand.evaluate(weights, others)
            losses[p] = fitted, found - fitted
            assert error < 0.2, "measured: 0.17 to 0.19"
        assert losses[0.25][1] < losses[0.0][1]
        assert losses[0.25][0] > losses[0.0][0]


def test_g4_where_the_network_learns_by_heart_dropout_and_l2_help() -> None:
    """200 digits, 400 steps: without them it knows 97 % and more of its own digits."""
    data, others = by_hand.split_digits(1)

    def outcome(p: float, l2: float) -> tuple[float, float, float]:
        noise = Noise(hidden=p, seed=1)
        weights = by_hand.train(by_hand.initial_weights(seed=1), data, noise, l2)
        return *by_hand.evaluate(weights, data), by_hand.evaluate(weights, others)[0]

    alone = outcome(0.0, 0.0)
    assert alone[1] < 0.04
    for p, l2 in ((0.5, 0.0), (0.0, 1e-3), (0.5, 1e-3)):
        fitted, _, found = outcome(p, l2)
        assert fitted > alone[0]
        assert found < alone[2]


# Golden values ---------------------------------------------------------------------------------

GOLDEN = [
    (0, 0.5, [[0, 0, 0, 0, 1], [0, 1, 0, 0, 1]]),
    (123, 0.8, [[1, 1, 1, 1], [1, 1, 0, 1], [1, 1, 1, 1]]),
]


@pytest.mark.parametrize(("seed", "keep", "golden"), GOLDEN)
def test_c18_the_old_masks_are_other_masks_of_the_same_kind(
    seed: int, keep: float, golden: list[list[int]]
) -> None:
    """The golden masks are those of NumPy's old generator, seeded anew at each call.

    Ours may differ and do: their bits are defined without any library's generator, so that every
    library and machine has them. The same are the values, the fraction that is removed, and what
    happens to what is kept; and an old mask can be given as the rate, to repeat an old result.
    """
    old = np.random.RandomState(seed)
    mask = np.array(golden, float)
    assert ((old.rand(*mask.shape) < keep) == mask).all()

    ones = np.ones((500, 500))
    out, cache = dropout_forward(ones, 1 - keep, rng=seed)
    theirs = old.rand(*ones.shape) < keep
    assert not np.array_equal(cache.mask, theirs)
    assert set(np.unique(out)) == {0.0, scale_of(1 - keep)}
    assert abs(scale_of(1 - keep) - 1 / keep) < 1e-9
    single, _ = dropout_forward(ones.astype(np.float32), 1 - keep, rng=seed)
    assert set(np.unique(single)) == {np.float32(0), np.float32(1 / keep)}
    for kept in (cache.mask, theirs):
        assert_rate(int((kept == 0).sum()), ones.size, 1 - keep)

    x = np.arange(1.0, mask.size + 1).reshape(mask.shape)
    out, cache = dropout_forward(x / keep, p=1 - mask)
    assert_same_bits(out, x / keep * mask)
    assert_same_bits(cache.mask, mask)
    assert_same_bits(dropout_backward(x, cache), x * mask)


@pytest.mark.parametrize("p", [0.2, 0.5, 0.9])
def test_c19_backward_has_the_mask_and_the_scale_of_its_forward(p: float) -> None:
    generator = np.random.default_rng(3)
    x, dout = generator.normal(size=(2, 40, 50))
    out, cache = dropout_forward(x, p, rng=generator)
    kept = out != 0
    dx = dropout_backward(dout, cache)
    assert_same_bits(dx, np.where(kept, dout * scale_of(p), 0.0))
    assert_same_bits(dropout_backward(dout, cache), dx)  # as often as one likes
    again, _ = dropout_forward(x, p, rng=generator)
    assert ((again != 0) != kept).any()  # a generator goes on, and the mask with it


# Faults ----------------------------------------------------------------------------------------


def test_f17_an_unknown_mode_is_an_error_that_says_so() -> None:
    """It was an AttributeError about None."""
    x = np.ones((2, 3))
    for word in ("Train", "eval"):
        sentence = f"forward: `training` must be True or False; got {word!r}."
        with assert_sentence(ng.InvalidType, sentence):
            dropout_forward(x, training=word)  # type: ignore[arg-type]
    with pytest.raises(ng.InvalidType, match=r"`rng`\. mode='train' is training=True here"):
        dropout_forward(x, mode="train")


def test_f17_a_seed_leaves_numpy_s_generator_alone() -> None:
    """It was planted into the global generator at each forward."""
    np.random.seed(7)  # noqa: NPY002
    expected = np.random.rand()  # noqa: NPY002
    np.random.seed(7)  # noqa: NPY002
    first, _ = dropout_forward(np.ones(100), rng=123)
    assert np.random.rand() == expected  # noqa: NPY002
    second, _ = dropout_forward(np.ones(100), rng=123)
    assert_same_bits(second, first)  # nor does it matter what was drawn in between


def test_f17_whole_numbers_are_not_cut_off() -> None:
    """5 times 1.25 was 6."""
    whole = np.arange(1, 9)
    with pytest.raises(ng.InvalidType, match=r"must hold floating-point numbers; got int64"):
        dropout_forward(whole, p=0.2, rng=1)
    out, _ = ng.numpy.forward(ng.Dropout(0.2, rescale=False), whole, rng=1)
    assert out.dtype == whole.dtype
    assert set(out) <= {0, *whole}


def test_f17_nobody_changes_the_mode_between_forward_and_backward() -> None:
    """The old cache held the caller's dict: setting its mode to test took the mask away."""
    options = {"p": 0.5, "training": True}
    out, cache = dropout_forward(np.ones(100), **options, rng=1)
    options.update(p=0.0, training=False)
    assert_same_bits(dropout_backward(np.ones(100), cache), out)
    for field in dataclasses.fields(cache):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(cache, field.name, None)


def test_edges_that_were_nan_or_silent() -> None:
    """Keeping nothing gave NaN; 1.5 and -0.5 were taken."""
    x = np.ones((4, 5))
    out, cache = dropout_forward(x, p=1.0)
    assert_same_bits(out, np.zeros((4, 5)))
    assert_same_bits(dropout_backward(x, cache), np.zeros((4, 5)))
    for p, meant in ((1.5, 0.15), (-0.5, 0.5)):
        sentence = f"Dropout: `p` must be in [0, 1]; got {p}. Did you mean {meant}?"
        with assert_sentence(ng.InvalidValue, sentence):
            dropout_forward(x, p)


# What the chapter says -------------------------------------------------------------------------


def test_half_by_default_by_a_mask_of_zeros_and_ones_that_serves_backward() -> None:
    x = np.random.default_rng(1).normal(size=(200, 200))
    out, cache = dropout_forward(x, rng=1)
    assert set(np.unique(cache.mask)) == {0.0, 1.0}
    assert_rate(int((cache.mask == 0).sum()), out.size, 0.5)
    assert_same_bits(out, x * cache.mask * 2 + 0.0)  # + 0: a product has the sign of x
    assert_same_bits(dropout_backward(x, cache), out)


def test_dropout_is_in_training_only() -> None:
    weights = by_hand.initial_weights((16, 30, 10))
    images = images_without_ties(4)
    noise = Noise(pool=0.2, hidden=0.5)
    plain, tape = by_hand.forward(weights, images, Noise())
    predicted, _ = by_hand.forward(weights, images, noise)
    assert_same_bits(predicted, plain)
    assert not any(cache.active for cache in tape.caches)
    scores = [by_hand.forward(weights, images, noise, step)[0] for step in (0, 0, 1)]
    assert_same_bits(scores[1], scores[0])
    assert (scores[0] != plain).any()
    assert (scores[2] != scores[0]).any()


@pytest.mark.parametrize(("site", "place"), [("pool:out", 0), ("hid1:out", 1), ("hid2:out", 2)])
def test_dropout_after_layers_and_after_max_pooling(site: str, place: int) -> None:
    """Each place has its own mask; and of what was removed nothing is learned."""
    weights = by_hand.initial_weights((16, 30, 20, 10))
    data = images_without_ties(1), np.array([6])
    noise = Noise(pool=0.4, hidden=0.4)
    _, tape = by_hand.forward(weights, data[0], noise, 5)
    width = weights[f"W{place + 1}"].shape[0]
    mask = ng.mask(ng.Dropout(0.4), (1, width), ng.Stream(13).site(site).at(5))
    assert_same_bits(tape.caches[place].mask == 1, mask)
    removed = ~mask[0]
    assert 0 < removed.sum() < width
    assert not tape.inputs[place][0, removed].any()
    _, gradients = by_hand.loss_and_gradients(weights, data, noise, 5)
    assert not gradients[f"W{place + 1}"][removed].any()
    if place:
        assert not gradients[f"W{place}"][:, removed].any()
        assert not gradients[f"b{place}"][removed].any()
    else:
        squares = gradients["images"].reshape(4, 2, 4, 2).any(axis=(1, 3)).ravel()
        assert not squares[removed].any()


def test_max_pooling_is_that_of_four_pixels() -> None:
    images = np.round(np.random.default_rng(2).random((3, 8, 8)), 1)  # with ties
    dout = np.random.default_rng(3).normal(size=(3, 4, 4))
    out, largest = by_hand.max_pool_forward(images)
    gradient = np.zeros_like(images)
    for n, i, j in np.ndindex(out.shape):
        square = images[n, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
        assert out[n, i, j] == square.max()
        at = np.argwhere(square == square.max())[0]  # the first, where two are equal
        gradient[n, 2 * i + at[0], 2 * j + at[1]] = dout[n, i, j]
    assert_same_bits(by_hand.max_pool_backward(dout, largest), gradient)


def test_l2_adds_the_same_with_dropout_and_without() -> None:
    weights = by_hand.initial_weights((16, 30, 10))
    data = images_without_ties(4), np.array([1, 2, 3, 4])
    penalty = 0.05 * sum((weights[name] ** 2).sum() for name in ("W1", "W2"))
    for noise in (Noise(), Noise(pool=0.2, hidden=0.5)):
        loss, gradients = by_hand.loss_and_gradients(weights, data, noise, 2)
        penalized, with_l2 = by_hand.loss_and_gradients(weights, data, noise, 2, l2=0.1)
        assert abs(penalized - loss - penalty) < 1e-12
        for name in weights:
            added = 0.1 * weights[name] if name.startswith("W") else 0 * weights[name]
            assert_same_bits(with_l2[name], gradients[name] + added)


def test_dropout_has_nothing_to_learn() -> None:
    dx = dropout_backward(np.ones(4), dropout_forward(np.ones(4), rng=1)[1])
    assert isinstance(dx, np.ndarray)  # and no gradient of anything else with it
    layer = ng.torch.Dropout(0.5)
    assert not list(layer.parameters())
    assert not layer.state_dict()
    weights = by_hand.initial_weights()
    data, _ = by_hand.split_digits(0, rows=100)
    trained = by_hand.train(weights, data, Noise(pool=0.1, hidden=0.5), epochs=1)
    assert trained.keys() == weights.keys() == {"W1", "b1", "W2", "b2"}


# The pages -------------------------------------------------------------------------------------

PAGES = ("docs/by_hand.md", "docs/from/cs231n-numpy.md")


def test_the_notebook_is_the_page_and_the_page_shows_the_example() -> None:
    parts = make_notebook.split_page((ROOT / PAGES[0]).read_text("utf-8"))
    example = (ROOT / "examples/by_hand.py").read_text("utf-8")
    assert make_notebook.compare_definitions(parts, example) == []
    assert make_notebook.compare_definitions(
        parts, example.replace("h: float = 1e-4", "h: float = 1")
    )
    written = (ROOT / "docs/by_hand.ipynb").read_text("utf-8")
    assert written == make_notebook.make_notebook(parts)
    found = json.loads(written)
    assert (found["nbformat"], found["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in found["cells"]}) == len(found["cells"])
    assert {cell["cell_type"] for cell in found["cells"]} == {"markdown", "code"}


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_print_what_they_show(page: str) -> None:
    parts = make_notebook.split_page((ROOT / page).read_text("utf-8"))
    assert make_notebook.run(parts, page) == []
    first = next(part for part in parts if part.kind == "code")
    first.printed = ""
    (fault,) = make_notebook.run([first], page)
    assert fault.startswith(f"{page}, line {first.line}: the block prints\n[[")
