"""A model run once: on whatever it takes, and so that nothing of it stays."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils.data import RandomSampler, SubsetRandomSampler, WeightedRandomSampler
from torch.utils.data.distributed import DistributedSampler

from noisegate.core.errors import InvalidType

from ..compiling import compiler_looks_on
from ..generators import hide_draws, seed_all
from .coins import HIGH, LOW, coins_held
from .hooks import batch_of, is_floating, parts_of, tensors
from .scripted import is_scripted, trains
from .sharing import alone_in

# What samples come in.
ARRAYS = (Tensor, np.ndarray)


def run(model: nn.Module, x: Any) -> Any:
    """Return a model's output: a mapping is given by name, a tuple or list by place."""
    if isinstance(x, Mapping):
        return model(**x)
    return model(*x) if isinstance(x, tuple | list) else model(x)


def dry_run(model: nn.Module, example: Any) -> None:
    """Run a model in training on an example, and leave it and every generator as they were.

    What a model skips at random runs too: where a coin decides, the model runs with every coin
    high, and once more with every coin low. What is found depends on no generator's state.
    """
    with alone_in(model.modules()), as_it_was(model), torch.no_grad():
        model.train()
        for module in model.modules():
            if isinstance(module, _NormBase):  # it would refuse one sample, and count the batch
                module.eval()
        seed_all(0, later=False)
        with coins_held(HIGH) as coins:
            run(model, example)
        if coins.tossed:
            # A model without any of its layers may fail, which is no fault of the caller's.
            with suppress(Exception), coins_held(LOW):
                run(model, example)


@contextmanager
def _modes_kept(model: nn.Module) -> Iterator[None]:
    """Put back, after a block, which modules train."""
    modes = [(module, trains(module)) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def as_it_was(model: nn.Module) -> Iterator[None]:
    """Put back, after a block, modes, buffers, and torch's, NumPy's and Python's generators."""
    # A script module has buffers that cannot be exchanged, only overwritten.
    modules = [module for module in model.modules() if not is_scripted(module)]
    owners = [(module, dict(module._buffers)) for module in modules]
    values = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        with _modes_kept(model), hide_draws():
            yield
    finally:
        for module, own in owners:
            module._buffers.clear()
            module._buffers.update(own)
        with torch.no_grad():
            for buffer, value in values:
                buffer.copy_(value)


def batches(x: Any, size: int | None) -> Iterator[Any]:
    """Yield the batches of x: a tensor, array, tuple or dict of them, or a loader of batches.

    Of what a loader yields as a list or tuple, the first is the input, and the others are not.

    Raises
    ------
    InvalidType
        If a list or tuple has numbers alone in it.
    """
    if _is_loader(x):
        for batch in x:
            inputs = batch[0] if isinstance(batch, tuple | list) else batch
            yield from batches(inputs, size)
        return
    if _is_of_numbers(x):
        raise InvalidType(
            f"predict: `x` must hold tensors or arrays; got a {type(x).__name__} of numbers. Pass "
            "torch.tensor(x)."
        )
    count = batch_of(x, ARRAYS)
    if size is None or count is None or count <= size:
        yield x
        return
    for start in range(0, count, size):
        yield part_of(x, slice(start, start + size), count)


def shuffled(x: Any) -> str | None:
    """Return the class of the sampler by which a loader shuffles, or None.

    A sampler of batches takes what another sampler yields.
    """
    sampler: Any = getattr(x, "batch_sampler", None) or getattr(x, "sampler", None)
    while hasattr(sampler, "sampler"):
        sampler = sampler.sampler
    random = isinstance(sampler, RandomSampler | SubsetRandomSampler | WeightedRandomSampler)
    if random or (isinstance(sampler, DistributedSampler) and sampler.shuffle):
        return type(sampler).__name__
    return None


def count_of(x: Any) -> int | None:
    """Return how many samples there are in all, or None where only a loader knows."""
    if _is_loader(x):
        whole: Any = getattr(x, "dataset", None)
        return len(whole) if hasattr(whole, "__len__") else None
    return batch_of(x, ARRAYS)


def vector_of(x: Any) -> np.ndarray | None:
    """Return an input of one floating number a sample as a vector; None for any other."""
    if not isinstance(x, Tensor | np.ndarray):
        return None
    values = x.detach().cpu().double().numpy() if isinstance(x, Tensor) else np.asarray(x)
    one = values.ndim == 1 or (values.ndim == 2 and values.shape[1] == 1)
    return values.reshape(-1) if one and np.issubdtype(values.dtype, np.floating) else None


def _is_loader(x: Any) -> bool:
    return not isinstance(x, Tensor | np.ndarray | Mapping | tuple | list) and hasattr(
        x, "__iter__"
    )


def _is_of_numbers(x: Any) -> bool:
    """Return whether a list or tuple has numbers in it, in lists or not, and nothing else."""
    return isinstance(x, tuple | list) and all(
        isinstance(value, int | float) or _is_of_numbers(value) for value in x
    )


def _each(x: Any, change: Callable[[Any], Any]) -> Any:
    """Return what a model takes with every value in it changed, in mappings, tuples and lists."""
    if isinstance(x, Mapping):
        return {name: _each(value, change) for name, value in x.items()}
    if isinstance(x, tuple | list):
        return tuple(_each(value, change) for value in x)
    return change(x)


def _each_sample(x: Any, count: int, change: Callable[[Any], Any]) -> Any:
    """Return what a model takes with every array of `count` samples changed, and the rest as is."""

    def of_samples(value: Any) -> Any:
        whole = isinstance(value, ARRAYS) and value.ndim and len(value) == count
        return change(value) if whole else value

    return _each(x, of_samples)


def part_of(x: Any, rows: slice | list[int], count: int) -> Any:
    """Return some samples of a batch of `count`; what has another extent stays whole."""
    return _each_sample(x, count, lambda value: value[rows])


def repeated(x: Any, count: int, times: int) -> Any:
    """Return a batch of `count` samples several times; what has another extent once."""
    return _each_sample(x, count, lambda value: value.repeat(times, *[1] * (value.ndim - 1)))


def joined(x: Any, y: Any) -> Any:
    """Return two batches of one sample each as one of both; of what is no array, the first's.

    Raises
    ------
    RuntimeError
        If samples are of different shapes.
    """
    if isinstance(x, Mapping):
        return {name: joined(value, y[name]) for name, value in x.items()}
    if isinstance(x, tuple | list):
        return tuple(joined(one, other) for one, other in zip(x, y, strict=True))
    return torch.cat([x, y]) if isinstance(x, Tensor) and x.ndim and len(x) == 1 else x


def mute(x: Tensor, part: int, parts: int) -> Tensor:
    """Return x with one of its equal parts along the first axis muted: its first row, quartered.

    Small values give way to others wherever a maximum, a scale or a sum is taken over the batch,
    and equal rows crowd into one place wherever places are limited. Quartered and not 0, which
    any scale has.
    """
    changed = x.clone()
    muted = changed.tensor_split(parts)[part]
    muted[:] = muted[:1] / 4
    return changed


def inputs_for(model: nn.Module, x: Any) -> Any:
    """Return a batch as tensors beside the model's weights; floating arrays of their dtype."""
    weights = [p for p in model.parameters() if p.is_floating_point()]
    like = weights[0] if weights else torch.empty(())

    def beside(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            value = torch.from_numpy(np.ascontiguousarray(value))
            value = value.to(like.dtype) if value.is_floating_point() else value
        return value.to(like.device) if isinstance(value, Tensor) else value

    return _each(x, beside)


@contextmanager
def in_evaluation(model: nn.Module) -> Iterator[None]:
    """Put a model in evaluation, without gradients, for a block; then its modes are as before."""
    changed = any(trains(module) for module in model.modules())
    alone = alone_in(model.modules()) if changed else nullcontext()
    with alone, _modes_kept(model), torch.no_grad():
        model.eval()
        yield


def rounding(model: nn.Module) -> float:
    """Return how far outputs of a model differ by rounding alone, as a share of the largest."""
    dtypes = {p.dtype for p in model.parameters() if p.is_floating_point()}
    return max([1e-5, *(4 * torch.finfo(dtype).eps for dtype in dtypes)])


@contextmanager
def measuring(model: nn.Module) -> Iterator[Callable[[], int]]:
    """Yield what tells how many elements the largest tensor had that modules took or returned."""
    sizes = [0]

    def measure(module: nn.Module, args: Any, output: Any) -> None:
        if not compiler_looks_on():
            sizes.append(max((x.numel() for x in tensors((args, output))), default=0))

    own = [m for m in model.modules() if not isinstance(m, torch.jit.ScriptModule)]
    hooks = [module.register_forward_hook(measure) for module in own]
    try:
        yield lambda: max(sizes)
    finally:
        for hook in hooks:
            hook.remove()


def output_of(output: Any, name: str | int | None) -> np.ndarray:
    """Return one tensor of what a model returns, in NumPy: the named, the logits, or the first.

    Raises
    ------
    InvalidType
        If there is none.
    """
    parts: dict[str, Any] = parts_of(output)
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
    return np.asarray((value.double() if value.dtype is torch.bfloat16 else value).cpu().numpy())
