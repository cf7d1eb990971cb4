"""Dropout by hand: a small network in NumPy, its gradients, and the loop that trains it.

`docs/by_hand.md` explains this code part by part. The network is

    image 8x8 > max-pooling 2x2 > dropout > (linear > ReLU > dropout) > linear > softmax

The part in brackets is a hidden layer; the number of weights decides how many there are, and one
gives the two-layer network of the page. The code needs NumPy, noisegate, and scikit-learn for the
digits. Run it for the table of the page, a network trained with and without dropout and L2:

    python examples/by_hand.py
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

import numpy as np
from sklearn.datasets import load_digits

import noisegate as ng
from noisegate.numpy import Cache, dropout_backward, dropout_forward

# Images of shape (rows, 8, 8) in [0, 1], and the digits that they show.
Data = tuple[np.ndarray, np.ndarray]
Weights = dict[str, np.ndarray]


# The gradient check ----------------------------------------------------------------------------


def numeric_gradient(loss: Callable[[], float], x: np.ndarray, h: float = 1e-4) -> np.ndarray:
    """Return the derivative of a loss by each element of x; x is changed and restored."""
    gradient = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        middle = x[place]
        for move, factor in ((1, 8), (-1, -8), (2, -1), (-2, 1)):
            x[place] = middle + move * h
            gradient[place] += factor * loss()
        x[place] = middle
    return gradient / (12 * h)


def relative_error(a: np.ndarray, b: np.ndarray) -> float:
    """Return the largest difference between two arrays, over the largest element of either."""
    largest = max(np.abs(a).max(), np.abs(b).max())
    return float(np.abs(a - b).max() / largest) if largest else 0.0


# Max-pooling -----------------------------------------------------------------------------------


def max_pool_forward(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest pixel of each 2x2 square, and its number in the square."""
    rows, height, width = images.shape
    squares = images.reshape(rows, height // 2, 2, width // 2, 2).swapaxes(2, 3)
    squares = squares.reshape(rows, height // 2, width // 2, 4)
    return squares.max(-1), squares.argmax(-1)


def max_pool_backward(dout: np.ndarray, largest: np.ndarray) -> np.ndarray:
    """Return the gradient of the images: each square passes its own to its largest pixel."""
    rows, height, width = dout.shape
    squares = np.zeros((rows, height, width, 4), dout.dtype)
    np.put_along_axis(squares, largest[..., None], dout[..., None], -1)
    squares = squares.reshape(rows, height, width, 2, 2).swapaxes(2, 3)
    return squares.reshape(rows, 2 * height, 2 * width)


# The network -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Noise:
    """How much dropout there is after the pooling and after each hidden layer, and its seed."""

    pool: float = 0.0
    hidden: float = 0.0
    seed: int = 13


@dataclass(frozen=True)
class Tape:
    """The record of a forward that backward needs: the inputs of each layer, and the caches."""

    inputs: list[np.ndarray]
    caches: list[Cache]
    largest: np.ndarray


def initial_weights(sizes: tuple[int, ...] = (16, 100, 10), seed: int = 0) -> Weights:
    """Return W1, b1, W2, b2 and so on: normal numbers of variance 2 / inputs, and zeros."""
    generator = np.random.default_rng(seed)
    weights = {}
    for layer, (inputs, outputs) in enumerate(pairwise(sizes), 1):
        weights[f"W{layer}"] = generator.normal(0, np.sqrt(2 / inputs), (inputs, outputs))
        weights[f"b{layer}"] = np.zeros(outputs)
    return weights


def drop(
    x: np.ndarray, p: float, seed: int, site: str, step: int | None
) -> tuple[np.ndarray, Cache]:
    """Return x after the dropout of a site at a step, and the cache; without a step, x itself."""
    if step is None:
        return dropout_forward(x, p, training=False)
    return dropout_forward(x, p, rng=ng.Stream(seed).site(site).at(step))


def forward(
    weights: Weights, images: np.ndarray, noise: Noise, step: int | None = None
) -> tuple[np.ndarray, Tape]:
    """Return the scores of the ten classes, and the tape; without a step, no noise."""
    pooled, largest = max_pool_forward(images)
    x = pooled.reshape(len(images), -1)
    x, cache = drop(x, noise.pool, noise.seed, "pool:out", step)
    inputs, caches = [x], [cache]
    last = len(weights) // 2
    for layer in range(1, last):
        x = np.maximum(0, x @ weights[f"W{layer}"] + weights[f"b{layer}"])
        x, cache = drop(x, noise.hidden, noise.seed, f"hid{layer}:out", step)
        inputs.append(x)
        caches.append(cache)
    scores = x @ weights[f"W{last}"] + weights[f"b{last}"]
    return scores, Tape(inputs, caches, largest)


def backward(weights: Weights, dscores: np.ndarray, tape: Tape) -> Weights:
    """Return the gradients of the weights by name, and the gradient of the images."""
    gradients, dx = {}, dscores
    for layer in range(len(weights) // 2, 0, -1):
        x = tape.inputs[layer - 1]
        if layer < len(weights) // 2:
            # After dropout and ReLU: an element that was removed, or below 0, passes nothing back.
            dx = dropout_backward(dx, tape.caches[layer]) * (tape.inputs[layer] > 0)
        gradients[f"W{layer}"] = x.T @ dx
        gradients[f"b{layer}"] = dx.sum(0)
        dx = dx @ weights[f"W{layer}"].T
    dx = dropout_backward(dx, tape.caches[0]).reshape(tape.largest.shape)
    gradients["images"] = max_pool_backward(dx, tape.largest)
    return gradients


def cross_entropy(scores: np.ndarray, digits: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the mean of -log softmax(scores) at the digits, and the gradient of the scores."""
    shifted = scores - scores.max(1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    rows = np.arange(len(digits))
    dscores = np.exp(logs)
    dscores[rows, digits] -= 1
    return -float(logs[rows, digits].mean()), dscores / len(digits)


def loss_and_gradients(
    weights: Weights, data: Data, noise: Noise, step: int, l2: float = 0.0
) -> tuple[float, Weights]:
    """Return the loss of a training step, l2/2 times the squared weights in it, and gradients."""
    images, digits = data
    scores, tape = forward(weights, images, noise, step)
    loss, dscores = cross_entropy(scores, digits)
    gradients = backward(weights, dscores, tape)
    for name in weights:
        if name.startswith("W"):
            loss += l2 / 2 * float((weights[name] ** 2).sum())
            gradients[name] = gradients[name] + l2 * weights[name]
    return loss, gradients


# Training --------------------------------------------------------------------------------------


def split_digits(seed: int, rows: int = 200) -> tuple[Data, Data]:
    """Return some of scikit-learn's digits for training, and all the others for validation."""
    pixels, digits = load_digits(return_X_y=True)
    images = pixels.reshape(-1, 8, 8) / 16
    order = np.random.default_rng(seed).permutation(len(images))
    train, validation = order[:rows], order[rows:]
    return (images[train], digits[train]), (images[validation], digits[validation])


def train(
    weights: Weights,
    data: Data,
    noise: Noise,
    l2: float = 0.0,
    epochs: int = 200,
    batch: int = 100,
    rate: float = 0.1,
) -> Weights:
    """Return the weights after training by gradient descent with a momentum of 0.9."""
    images, digits = data
    order = np.random.default_rng(noise.seed)
    velocity = {name: np.zeros_like(weights[name]) for name in weights}
    step = 0
    for _ in range(epochs):
        for rows in np.split(order.permutation(len(images)), len(images) // batch):
            part = images[rows], digits[rows]
            _, gradients = loss_and_gradients(weights, part, noise, step, l2)
            velocity = {name: 0.9 * velocity[name] - rate * gradients[name] for name in weights}
            weights = {name: weights[name] + velocity[name] for name in weights}
            step += 1
    return weights


def evaluate(weights: Weights, data: Data) -> tuple[float, float]:
    """Return the mean cross-entropy and the fraction of wrong digits, without noise."""
    images, digits = data
    scores, _ = forward(weights, images, Noise())
    return cross_entropy(scores, digits)[0], float((scores.argmax(1) != digits).mean())


def main(seeds: int = 5) -> None:
    """Print the effect of dropout and L2: means over seeds, which decide split, start and order.

    The last column counts the seeds whose validation loss is below that of the first row.
    """
    print("pool  hidden  l2     training loss  validation loss  error  better")
    alone: list[float] = []
    for pool, hidden in ((0.0, 0.0), (0.0, 0.5), (0.05, 0.5)):
        for l2 in (0.0, 1e-3):
            fitted, found = [], []
            for seed in range(seeds):
                data, others = split_digits(seed)
                weights = train(initial_weights(seed=seed), data, Noise(pool, hidden, seed), l2)
                fitted.append(evaluate(weights, data)[0])
                found.append(evaluate(weights, others))
            losses = [loss for loss, _ in found]
            alone = alone or losses
            better = sum(loss < other for loss, other in zip(losses, alone, strict=True))
            error = fmean(wrong for _, wrong in found)
            print(
                f"{pool:<4g}  {hidden:<6g}  {l2:<5g}  {fmean(fitted):<13.3f}  "
                f"{fmean(losses):<15.3f}  {error:.1%}  {better}/{seeds}"
            )


if __name__ == "__main__":
    main()
