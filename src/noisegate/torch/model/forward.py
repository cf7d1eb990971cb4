"""Run a model on any input that it takes, without leaving a trace in it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.utils.rnn import PackedSequence
from torch.utils.data import RandomSampler, SubsetRandomSampler, WeightedRandomSampler
from torch.utils.data.distributed import DistributedSampler

from noisegate.core.errors import InvalidType

from ..compiling import compiler_looks_on, run_uncompiled
from ..generators import hide_draws, seed_all
from ..query_blocks import Probabilities
from .coins import HIGH, LOW, hold_coins
from .scripted import is_scripted, trains
from .sharing import exclude_others
from .values import count_batch, find_tensors, is_floating, name_parts

# The types of arrays whose first axis is the samples.
ARRAYS = (Tensor, np.ndarray)


# Layers that compute each row of a batch by itself, whatever the batch is.
ROW_BY_ROW = {
    *(nn.Sequential, nn.Identity, nn.Linear, nn.LayerNorm, nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ReLU, nn.LeakyReLU, nn.ELU, nn.SELU, nn.GELU, nn.SiLU, nn.Softplus, nn.Tanh, nn.Sigmoid),
    *(nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d),
    *(nn.AlphaDropout, nn.FeatureAlphaDropout),
}


class Runner:
    """Runs a model on any input that it takes, without leaving a trace in it."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        # Modules that are in training while the others are not.
        self._trained: Sequence[nn.Module] = ()

    def dry_run(self, example: Any) -> bool:
        """Run the model in training on an example, then restore it and every generator.

        Return whether the model draws single numbers, by which it may skip layers.

        Layers that the model skips at random run too: if coins decide, the model runs once with
        every coin high and once with every coin low. So the sites that are found depend on no
        generator's state.
        """
        model = self.model
        with exclude_others(model.modules()), keep_model(model), torch.no_grad():
            model.train()
            for module in model.modules():
                if isinstance(module, _NormBase):  # in training it refuses a batch of one sample
                    module.eval()
            seed_all(0, later=False)  # for draws that are no coins; seeding starts no device
            with hold_coins(HIGH) as coins:
                run_model(model, example)
            if coins.tossed:
                # A model that skips all of these layers at once may fail; that is no user's error.
                with suppress(Exception), hold_coins(LOW):
                    run_model(model, example)
        return coins.tossed

    def split_batches(self, x: Any, size: int | None) -> Iterator[tuple[Any, int]]:
        """Yield the batches of an input, beside the model's weights, with their sample counts."""
        for batch in split_batches(x, size):
            inputs = prepare_inputs(self.model, batch)
            count = count_batch(inputs)
            yield inputs, 1 if count is None else count

    @contextmanager
    def evaluate(self) -> Iterator[None]:
        """Put the model in evaluation, without gradients, for a block; then restore its modes."""
        modules = list(self.model.modules())
        # A model that is in evaluation already needs no other thread to wait.
        changes = any(trains(module) for module in modules)
        alone = exclude_others(modules) if changes else nullcontext()
        with alone, _keep_modes(self.model), torch.no_grad(), run_uncompiled():
            if changes:
                self.model.eval()
            yield

    def train_alone(self, paths: Iterable[str]) -> None:
        """Put the modules at some paths in training, without the modules in them.

        Their own buffers stay as they are in each run, as those of all others do.
        """
        self._trained = [self.model.get_submodule(path) for path in paths]
        for module in self._trained:
            module.training = True

    def runs_row_by_row(self) -> bool:
        """Return whether the model has only layers that compute each row of a batch by itself."""
        return all(type(module) in ROW_BY_ROW for module in self.model.modules())

    def estimate_rounding(self) -> float:
        """Return how far outputs may differ by rounding, as a share of the largest; at least 1e-5.

        The bound is 4 · eps of the coarsest dtype among the weights.
        """
        dtypes = {p.dtype for p in self.model.parameters() if p.is_floating_point()}
        return max([1e-5, *(4 * torch.finfo(dtype).eps for dtype in dtypes)])

    @contextmanager
    def measure_tensors(self) -> Iterator[Callable[[], int]]:
        """Yield a function that returns the number of elements of the largest tensor in the block.

        Only tensors that modules take or return count.
        """
        sizes = [0]

        def measure(module: nn.Module, args: Any, output: Any) -> None:
            if not compiler_looks_on():
                sizes.extend(x.numel() for x in find_tensors((args, output)))

        # Not by torch's method: its handles take longer than the forward of a small model.
        hooked = [m._forward_hooks for m in self.model.modules() if not is_scripted(m)]
        for hooks in hooked:
            hooks[id(measure)] = measure
        try:
            yield lambda: max(sizes)
        finally:
            for hooks in hooked:
                hooks.pop(id(measure), None)

    def run(self, batch: Any, name: str | int | None) -> np.ndarray:
        """Return the model's output for a batch, as a NumPy array."""
        with _keep_buffers(self._trained):
            return pick_output(run_model(self.model, batch), name)

    def find_shuffler(self, x: Any) -> str | None:
        """Return the class name of the sampler by which a loader shuffles, or None.

        A batch sampler wraps another sampler, which decides the order.
        """
        sampler: Any = getattr(x, "batch_sampler", None) or getattr(x, "sampler", None)
        while hasattr(sampler, "sampler"):
            sampler = sampler.sampler
        random = isinstance(sampler, RandomSampler | SubsetRandomSampler | WeightedRandomSampler)
        if random or (isinstance(sampler, DistributedSampler) and sampler.shuffle):
            return type(sampler).__name__
        return None

    def count_samples(self, x: Any) -> int | None:
        """Return how many samples an input has, or None for a loader of unknown length."""
        if _is_loader(x):
            whole: Any = getattr(x, "dataset", None)
            return len(whole) if hasattr(whole, "__len__") else None
        return count_batch(x, ARRAYS)

    def get_vector(self, x: Any) -> np.ndarray | None:
        """Return an input that has one floating number per sample as a vector; None for others."""
        if not isinstance(x, Tensor | np.ndarray):
            return None
        values = x.detach().cpu().double().numpy() if isinstance(x, Tensor) else np.asarray(x)
        one = values.ndim == 1 or (values.ndim == 2 and values.shape[1] == 1)
        return values.reshape(-1) if one and np.issubdtype(values.dtype, np.floating) else None

    def take_part(self, batch: Any, rows: slice | list[int], count: int) -> Any:
        """Return some samples of a batch of `count`; arrays of another length stay whole."""
        return take_part(batch, rows, count)

    def repeat_batch(self, batch: Any, count: int, times: int) -> Any:
        """Return a batch of `count` samples repeated; arrays of another length are not repeated."""
        return _change_samples(
            batch, count, lambda value: value.repeat(times, *[1] * (value.ndim - 1))
        )

    def join_batches(self, batch: Any, other: Any) -> Any:
        """Return two batches of one sample each as one batch.

        Values that are no tensor of one sample are taken from the first batch.

        Raises
        ------
        RuntimeError
            If the samples have different shapes.
        """
        return _join_values(batch, other)


def run_model(model: nn.Module, x: Any) -> Any:
    """Return a model's output for x: a mapping is passed by name, a tuple or list by position."""
    if isinstance(x, Mapping):
        return model(**x)
    return model(*x) if isinstance(x, tuple | list) else model(x)


@contextmanager
def _keep_modes(model: nn.Module) -> Iterator[None]:
    """Restore, after a block, the mode of every module."""
    modes = [(module, trains(module)) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            if trains(module) != training:  # to set it takes ten times as long
                module.training = training


@contextmanager
def keep_model(model: nn.Module) -> Iterator[None]:
    """Restore modes, buffers, and torch's, NumPy's and Python's generators after a block."""
    with _keep_buffers(list(model.modules())), _keep_modes(model), hide_draws():
        yield


@contextmanager
def _keep_buffers(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Restore, after a block, the buffers that modules have themselves."""
    # The buffer objects themselves are put back, then their values. A script module's buffers
    # cannot be exchanged, only overwritten.
    owners = [(m, dict(m._buffers)) for m in modules if not is_scripted(m)]
    values = [(buffer, buffer.clone()) for m in modules for buffer in m.buffers(recurse=False)]
    try:
        yield
    finally:
        for module, own in owners:
            module._buffers.clear()
            module._buffers.update(own)
        with torch.no_grad():
            for buffer, value in values:
                buffer.copy_(value)


def split_batches(x: Any, size: int | None) -> Iterator[Any]:
    """Yield the batches of x: a tensor, array, tuple or dict of them, or a loader of batches.

    If a loader yields a list or tuple, its first entry is the input.

    Raises
    ------
    InvalidType
        If x is a list or tuple of numbers, or holds a PackedSequence.
    """
    if _is_loader(x):
        for batch in x:
            inputs = batch[0] if isinstance(batch, tuple | list) else batch
            yield from split_batches(inputs, size)
        return
    if _is_of_numbers(x):
        raise InvalidType(
            f"predict: `x` must hold tensors or arrays; got a {type(x).__name__} of numbers. Pass "
            "torch.tensor(x)."
        )
    if find_tensors(x, (PackedSequence,)):
        raise InvalidType(
            "predict: `x` holds a PackedSequence, of which no samples can be taken or repeated. "
            "Pass the padded tensor with the lengths, and pack it in the model."
        )
    count = count_batch(x, ARRAYS)
    if size is None or count is None or count <= size:
        yield x
        return
    for start in range(0, count, size):
        yield take_part(x, slice(start, start + size), count)


def _is_loader(x: Any) -> bool:
    return not isinstance(x, Tensor | np.ndarray | Mapping | tuple | list) and hasattr(
        x, "__iter__"
    )


def _is_of_numbers(x: Any) -> bool:
    """Return whether x is a list or tuple of numbers, nested or not."""
    return isinstance(x, tuple | list) and all(
        isinstance(value, int | float) or _is_of_numbers(value) for value in x
    )


def _change_each(x: Any, change: Callable[[Any], Any]) -> Any:
    """Return an input with every value in its mappings, tuples and lists changed."""
    if isinstance(x, Mapping):
        return {name: _change_each(value, change) for name, value in x.items()}
    if isinstance(x, tuple | list):
        return tuple(_change_each(value, change) for value in x)
    return change(x)


def _change_samples(x: Any, count: int, change: Callable[[Any], Any]) -> Any:
    """Return an input with every array of `count` samples changed, and all else as it is."""

    def of_samples(value: Any) -> Any:
        whole = isinstance(value, ARRAYS) and value.ndim and len(value) == count
        return change(value) if whole else value

    return _change_each(x, of_samples)


def take_part(x: Any, rows: slice | list[int], count: int) -> Any:
    """Return some samples of a batch of `count`; arrays of another length stay whole."""
    return _change_samples(x, count, lambda value: value[rows])


def _join_values(x: Any, y: Any) -> Any:
    if isinstance(x, Mapping):
        return {name: _join_values(value, y[name]) for name, value in x.items()}
    if isinstance(x, tuple | list):
        return tuple(_join_values(one, other) for one, other in zip(x, y, strict=True))
    return torch.cat([x, y]) if isinstance(x, Tensor) and x.ndim and len(x) == 1 else x


def mute_part(x: Tensor, part: int, parts: int) -> Tensor:
    """Return x with one of `parts` equal parts along the first axis muted, in x's own memory.

    Every row of the muted part becomes a quarter of the part's first row. Small values lose
    wherever the model takes a maximum, a scale or a sum over the batch, and equal rows compete
    wherever places are limited. Rows of 0 would not show a scale, since no scale changes 0.
    """
    if isinstance(x, Probabilities):
        return x.then(lambda block, first: mute_part(block, part, parts))
    muted = x.tensor_split(parts)[part]
    muted[:] = muted[:1] / 4
    return x


def prepare_inputs(model: nn.Module, x: Any) -> Any:
    """Return a batch as tensors on the device of the model's weights.

    Floating NumPy arrays get the dtype of the weights; tensors keep theirs.
    """
    weights = [p for p in model.parameters() if p.is_floating_point()]
    like = weights[0] if weights else torch.empty((), device="cpu")

    def convert(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            value = torch.from_numpy(np.ascontiguousarray(value))
            value = value.to(like.dtype) if value.is_floating_point() else value
        return value.to(like.device) if isinstance(value, Tensor) else value

    return _change_each(x, convert)


def pick_output(output: Any, name: str | int | None) -> np.ndarray:
    """Return one tensor of a model's output as a NumPy array.

    It is the named one, else `logits`, else the first floating one that is not `loss`.

    Raises
    ------
    InvalidType
        If there is no such floating-point tensor.
    """
    parts: dict[str, Any] = name_parts(output)
    if name is None and "logits" in parts:
        name = "logits"
    if name is not None:
        value: Any = parts.get(str(name))
    else:
        value = next((x for key, x in parts.items() if key != "loss" and is_floating(x)), None)
    if not is_floating(value):
        known = [key for key, x in parts.items() if is_floating(x)]
        wanted = "" if name is None else f" `{name}`"
        raise InvalidType(
            f"predict: the model's output has no floating-point tensor{wanted}; it has "
            f"{', '.join(known) or 'none'}."
        )
    value = value.detach()
    # NumPy has no bfloat16.
    return np.asarray((value.double() if value.dtype is torch.bfloat16 else value).cpu().numpy())
