"""The study's data: files as rows of inputs and a target, split at random.

`encoding` makes tensors of them. It has to be imported by its own name, since torch takes a second,
and the first line of a file is read before.
"""

from .dataset import Column, Dataset
from .read import DIGITS, check_columns, digits, input_columns, read, read_like
from .split import derived_seed, drawn
from .tasks import Task

__all__ = [
    "DIGITS",
    "Column",
    "Dataset",
    "Task",
    "check_columns",
    "derived_seed",
    "digits",
    "drawn",
    "input_columns",
    "read",
    "read_like",
]
