"""Every transformation of torch, over every kind of noise, however the noise is put there.

The oracle of a cell is the plain call: noise with a fixed key is affine in x, so its derivative is
one more plain call, and a map is a loop. Everything is compared bit for bit.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, linearize, vjp, vmap

import noisegate as ng
from _asserts import assert_same_bits
from _cells import mark_cells
from _functorch import ALONG, KINDS, SEED, STEP, Plain, X

Noise = Callable[[Tensor], Tensor]
Pairs = Iterator[tuple[Tensor, Tensor]]
FEW = X[:2]


# The four ways to put noise on a tensor: each returns the noise at STEP, and the key that it has.


def by_call(kind: ng.Kind) -> tuple[Noise, ng.Key]:
    key = ng.Stream(SEED).site("a").at(STEP)
    return lambda x: kind(x, key), key


def by_layer(kind: ng.Kind) -> tuple[Noise, ng.Key]:
    if isinstance(kind, ng.ConcreteDropout):  # its layer learns its rate, as a tensor
        layer: Any = ng.torch.NoiseLayer(kind, seed=SEED, site="a")
    else:
        layer = ng.torch.layer(kind, seed=SEED, site="a")

    def noise(x: Tensor) -> Tensor:
        layer.step = STEP
        y = layer(x)
        assert layer.step == STEP + 1
        return y

    return noise, ng.Stream(SEED).site("a").at(STEP)


def by_injection(kind: ng.Kind) -> tuple[Noise, ng.Key]:
    if isinstance(kind, ng.Zoneout):  # which a rule puts on recurrent states alone
        return by_existing(kind)
    model = nn.Sequential(nn.Identity())
    return in_model(model, ng.inject(model, {"0:out": kind}, seed=SEED))


def by_existing(kind: ng.Kind) -> tuple[Noise, ng.Key]:
    model = nn.Sequential(ng.torch.NoiseLayer(kind))
    return in_model(model, ng.inject(model, existing=True, seed=SEED))


def in_model(model: nn.Module, handle: Any) -> tuple[Noise, ng.Key]:
    def noise(x: Tensor) -> Tensor:
        with handle.at(STEP):
            return model(x)

    (site,) = handle.sites
    return noise, ng.Stream(SEED).site(site).at(STEP)


FORMS = {
    "call": by_call,
    "layer": by_layer,
    "injection": by_injection,
    "existing": by_existing,
}


# The transformations: each yields what it gives, and what plain calls give.


def different_in_batches_of_one(noise: Noise, plain: Plain) -> Pairs:
    yield vmap(noise, randomness="different")(X[:, None])[:, 0], plain(X)
    yield vmap(noise, in_dims=1, randomness="different")(X[None])[:, 0], plain(X)


def different_in_batches_of_three(noise: Noise, plain: Plain) -> Pairs:
    yield vmap(noise, randomness="different")(X.reshape(2, 3, 4)).reshape(6, 4), plain(X)


def different_in_nested_maps(noise: Noise, plain: Plain) -> Pairs:
    within = vmap(noise, randomness="different")
    twice = vmap(within, randomness="different")(X.reshape(2, 3, 1, 4))
    yield twice.reshape(6, 4), plain(X)
    inner_first = vmap(within, in_dims=1, randomness="different")(X.reshape(3, 2, 1, 4))
    assert not torch.equal(inner_first, twice)
    expected = plain(X.reshape(3, 2, 4).movedim(1, 0).reshape(6, 4))
    yield inner_first.reshape(6, 4), expected


def different_in_chunks(noise: Noise, plain: Plain) -> Pairs:
    for size in (1, 4, 6):
        yield vmap(noise, randomness="different", chunk_size=size)(X[:, None])[:, 0], plain(X)
    within = vmap(noise, randomness="different", chunk_size=2)
    twice = vmap(within, randomness="different", chunk_size=1)(X.reshape(2, 3, 1, 4))
    yield twice.reshape(6, 4), plain(X)


def different_on_a_constant(noise: Noise, plain: Plain) -> Pairs:
    x = X[:1]
    many = vmap(lambda _: noise(x), randomness="different")(torch.arange(5))
    yield many[:, 0], plain(x.expand(5, 4))
    within = vmap(lambda _: noise(x), randomness="different")
    twice = vmap(lambda _: within(torch.arange(3)), randomness="different")(torch.arange(2))
    yield twice.reshape(6, 4), plain(x.expand(6, 4))


def different_in_a_mapped_ensemble(noise: Noise, plain: Plain) -> Pairs:
    models = [nn.Linear(4, 4) for _ in range(3)]
    params, _ = torch.func.stack_module_state(models)
    base = nn.Linear(4, 4).to("meta")
    of_inputs = vmap(lambda p: functional_call(base, p, (noise(X),)), randomness="different")
    masks = vmap(lambda p: noise(X) + 0 * p["weight"].sum(), randomness="different")(params)
    for i, model in enumerate(models):
        yield masks[i], plain(X, 6 * i) + 0
        torch.testing.assert_close(of_inputs(params)[i], model(plain(X, 6 * i)))
    outputs = vmap(lambda p: noise(functional_call(base, p, (X,))), randomness="different")(params)
    affine = vmap(lambda p: functional_call(base, p, (X,)))(params)
    for i in range(3):
        yield outputs[i], plain(affine[i], 6 * i)


def different_within_same(noise: Noise, plain: Plain) -> Pairs:
    several = torch.stack([X, 2 * X])[:, :, None]
    within = vmap(noise, randomness="different")
    yield from zip(
        vmap(within, randomness="same")(several)[:, :, 0], map(plain, (X, 2 * X)), strict=True
    )


def same_within_different(noise: Noise, plain: Plain) -> Pairs:
    several = torch.stack([X, 2 * X])[:, :, None]
    within = vmap(noise, randomness="same")
    turned = vmap(within, in_dims=1, randomness="different")(several)[:, :, 0]
    yield from zip(turned.movedim(1, 0), map(plain, (X, 2 * X)), strict=True)


def same(noise: Noise, plain: Plain) -> Pairs:
    several = torch.stack([X, 2 * X, X + 1])
    yield from zip(vmap(noise, randomness="same")(several), map(plain, several), strict=True)
    constant = vmap(lambda c: noise(X) + c, randomness="same")(torch.zeros(2))
    yield from zip(constant, [plain(X) + 0] * 2, strict=True)


def error(noise: Noise, plain: Plain) -> Pairs:
    for refused in (
        lambda: vmap(noise)(X[:, None]),
        lambda: vmap(lambda c: noise(X) * c)(torch.ones(2)),
        lambda: vmap(vmap(noise, randomness="different"))(X.reshape(2, 3, 1, 4)),
        lambda: vmap(grad(lambda x: noise(x).sum()))(X[:, None]),
        lambda: vmap(lambda x: jvp(noise, (x,), (x,))[1])(X[:, None]),
    ):
        with pytest.raises(RuntimeError, match="in randomness error mode") as caught:
            refused()
        assert isinstance(caught.value, ng.RandomnessError)
    yield noise(X), plain(X)  # as before


def gradients_by_sample(noise: Noise, plain: Plain) -> Pairs:
    def loss(w: Tensor, x: Tensor, along: Tensor) -> Tensor:
        return (noise(x * w) * along).sum()

    weights = torch.randn(4)
    given = weights, X[:, None], ALONG[:, None]
    found = vmap(grad(loss), in_dims=(None, 0, 0), randomness="different")(*given)
    yield found, plain.along(ALONG) * X + 0  # the sum over a batch of one makes -0 +0


def gradient_of_a_map(noise: Noise, plain: Plain) -> Pairs:
    def loss(x: Tensor) -> Tensor:
        return (vmap(noise, randomness="different")(x[:, None])[:, 0] * ALONG).sum()

    yield grad(loss)(X), plain.along(ALONG)
    leaf = X.clone().requires_grad_()
    yield torch.autograd.grad(loss(leaf), leaf)[0], plain.along(ALONG)
    _, tangent = jvp(vmap(noise, randomness="different"), (X[:, None],), (ALONG[:, None],))
    yield tangent[:, 0], plain.along(ALONG)


def gradient(noise: Noise, plain: Plain) -> Pairs:
    yield grad(lambda x: (noise(x) * ALONG).sum())(X), plain.along(ALONG)
    y, back = vjp(noise, X)
    yield y, plain(X)
    yield back(ALONG)[0], plain.along(ALONG)


def gradient_of_gradient(noise: Noise, plain: Plain) -> Pairs:
    _, back = vjp(lambda v: vjp(noise, X)[1](v)[0], ALONG)
    yield back(X)[0], plain.along(X)
    twice = grad(lambda x: grad(lambda x: noise(x).square().sum() / 2)(x).mul(ALONG).sum())
    yield twice(X), plain.along(plain.along(ALONG))


def tangent(noise: Noise, plain: Plain) -> Pairs:
    y, along = jvp(noise, (X,), (ALONG,))
    yield y, plain(X)
    yield along, plain.along(ALONG)


def tangents_by_sample(noise: Noise, plain: Plain) -> Pairs:
    def push(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        return jvp(noise, (x,), (t,))

    y, along = vmap(push, randomness="different")(X[:, None], ALONG[:, None])
    yield y[:, 0], plain(X)
    yield along[:, 0], plain.along(ALONG)


def dual_numbers(noise: Noise, plain: Plain) -> Pairs:
    with forward_ad.dual_level():
        y, along = forward_ad.unpack_dual(noise(forward_ad.make_dual(X, ALONG)))
    yield y, plain(X)
    yield along, plain.along(ALONG)


def linearization(noise: Noise, plain: Plain) -> Pairs:
    y, push = linearize(noise, X)
    yield y, plain(X)
    yield push(ALONG), plain.along(ALONG)


def basis(x: Tensor) -> Tensor:
    return torch.eye(x.numel()).reshape(-1, *x.shape)


def jacobians_of(plain: Plain, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the Jacobian by rows and by columns; they differ in the signs of zeros."""
    rows = torch.stack([plain.along(unit).reshape(-1) for unit in basis(x)])
    return rows.reshape(*x.shape, *x.shape), rows.T.reshape(*x.shape, *x.shape)


def jacobians(noise: Noise, plain: Plain) -> Pairs:
    by_rows, by_columns = jacobians_of(plain, FEW)
    yield jacrev(noise)(FEW), by_rows
    yield jacrev(noise, chunk_size=3)(FEW), by_rows
    yield jacfwd(noise)(FEW), by_columns
    yield jacfwd(noise, randomness="same")(FEW), by_columns
    constant = jacfwd(lambda w: noise(FEW) * w)(torch.ones(()))
    yield constant, plain(FEW)


def half_square(noise: Noise) -> Callable[[Tensor], Tensor]:
    return lambda x: noise(x).square().sum() / 2


def hessian_of(plain: Plain, x: Tensor) -> Tensor:
    """Return the Hessian of `half_square` by a loop; adding 0 makes all zeros +0."""
    rows = [plain.along(plain.along(unit)) for unit in basis(x)]
    return torch.stack(rows).reshape(*x.shape, *x.shape) + 0


def hessians(noise: Noise, plain: Plain) -> Pairs:
    expected = hessian_of(plain, FEW)
    yield hessian(half_square(noise))(FEW) + 0, expected
    yield jacrev(jacrev(half_square(noise)))(FEW) + 0, expected
    yield jacrev(jacfwd(half_square(noise)))(FEW) + 0, expected


def batched_gradients(noise: Noise, plain: Plain) -> Pairs:
    leaf = FEW.clone().requires_grad_()
    units = basis(FEW)
    y = noise(leaf)
    (found,) = torch.autograd.grad(y, leaf, units, is_grads_batched=True, retain_graph=True)
    yield from zip(found, map(plain.along, units), strict=True)
    mapped = vmap(lambda v: torch.autograd.grad(y, leaf, v, retain_graph=True)[0])(units)
    yield from zip(mapped, map(plain.along, units), strict=True)


def vectorized_jacobians(noise: Noise, plain: Plain) -> Pairs:
    compute = torch.autograd.functional
    by_rows, by_columns = jacobians_of(plain, FEW)
    yield compute.jacobian(noise, FEW, vectorize=True), by_rows
    forward: Any = {"vectorize": True, "strategy": "forward-mode"}
    yield compute.jacobian(noise, FEW, **forward), by_columns
    outer: Any = {"vectorize": True, "outer_jacobian_strategy": "forward-mode"}
    yield compute.hessian(half_square(noise), FEW, vectorize=True) + 0, hessian_of(plain, FEW)
    yield compute.hessian(half_square(noise), FEW, **outer) + 0, hessian_of(plain, FEW)


TRANSFORMATIONS = [
    different_in_batches_of_one,
    different_in_batches_of_three,
    different_in_nested_maps,
    different_in_chunks,
    different_on_a_constant,
    different_in_a_mapped_ensemble,
    different_within_same,
    same_within_different,
    same,
    error,
    gradients_by_sample,
    gradient_of_a_map,
    gradient,
    gradient_of_gradient,
    tangent,
    tangents_by_sample,
    dual_numbers,
    linearization,
    jacobians,
    hessians,
    batched_gradients,
    vectorized_jacobians,
]


# torch's own, at any constant that `linearize` folds.
@pytest.mark.filterwarnings("ignore:Attempted to insert a get_attr Node")
# Quick is each kind in one form, each form with some kinds, and each kind in every form somewhere.
@pytest.mark.parametrize(
    ("transformation", "name", "form"),
    mark_cells(TRANSFORMATIONS, KINDS, FORMS, every=len(FORMS)),
    ids=lambda value: getattr(value, "__name__", value),
)
def test_each_cell_equals_plain_calls(transformation: Any, name: str, form: str) -> None:
    noise, key = FORMS[form](KINDS[name])
    plain = Plain(KINDS[name], key)
    assert not torch.equal(plain(X), X)
    compared = 0
    for found, expected in transformation(noise, plain):
        assert_same_bits(found.detach(), expected.detach())
        compared += 1
    assert compared, "an empty cell"
