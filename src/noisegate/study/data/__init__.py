"""The study's data: files as rows of inputs and a target, split at random, and as tensors."""

from .dataset import Column, Dataset
from .encoding import Encoder, input_shape
from .reading import digits, read, read_like
from .splits import derived_seed, drawn
from .tasks import Task

__all__ = [
    "Column",
    "Dataset",
    "Encoder",
    "Task",
    "derived_seed",
    "digits",
    "drawn",
    "input_shape",
    "read",
    "read_like",
]
