"""The study's data: scikit-learn's bundled handwritten digits, and its split by seed."""

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import torch
from torch import Tensor

__all__ = ["TRAIN_ROWS", "Data", "Split", "derived_seed", "digits", "split"]

TRAIN_ROWS = 1000


@dataclass(frozen=True, slots=True)
class Data:
    """Images of shape (rows, 1, 8, 8), float32 in [0, 1], and their classes, int64 (rows,)."""

    name: str
    images: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True, slots=True)
class Split:
    """Inputs and targets to train on and to validate on, and a digest of which rows are where."""

    train: tuple[Tensor, Tensor]
    validation: tuple[Tensor, Tensor]
    digest: str


def digits() -> Data:
    """Return the 1,797 digits of scikit-learn, pixels divided by 16; nothing is downloaded."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    # Reshaped, not indexed by None: torch tells the memory format, and so the convolution and its
    # rounding, from the strides, and those of an axis of 1 would be lost on the way to a process.
    images = (bunch.data / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    return Data("scikit-learn digits", images, bunch.target.astype(np.int64))


def split(data: Data, seed: int) -> Split:
    """Return the split of `seed`: 1,000 rows at random to train on, the rest to validate on."""
    order = np.random.default_rng(derived_seed(seed, "split")).permutation(len(data.images))
    train, validation = (
        # Cloned into torch's own memory, whose alignment is the same in every process.
        (torch.from_numpy(data.images[rows]).clone(), torch.from_numpy(data.labels[rows]).clone())
        for rows in (order[:TRAIN_ROWS], order[TRAIN_ROWS:])
    )
    return Split(
        train, validation, blake2b(order.astype("<i8").tobytes(), digest_size=8).hexdigest()
    )


def derived_seed(seed: int, purpose: str) -> int:
    """Return the 64-bit seed of one purpose: a hash, so that no two purposes share a stream."""
    return int.from_bytes(blake2b(f"{purpose} {seed}".encode(), digest_size=8).digest(), "little")
