"""A model run once: on whatever it takes, and so that nothing of it stays."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase


def run(model: nn.Module, x: Any) -> Any:
    """Return a model's output: a mapping is given by name, a tuple or list by place."""
    if isinstance(x, Mapping):
        return model(**x)
    return model(*x) if isinstance(x, tuple | list) else model(x)


def dry_run(model: nn.Module, example: Any) -> None:
    """Run a model in training on an example, and leave it and every generator as they were."""
    with as_it_was(model), torch.no_grad():
        model.train()
        for module in model.modules():
            if isinstance(module, _NormBase):  # it would refuse one sample, and count the batch
                module.eval()
        run(model, example)


@contextmanager
def as_it_was(model: nn.Module) -> Iterator[None]:
    """Put back, after a block, modes, buffers, and torch's, NumPy's and Python's generators."""
    modes = [(module, module.training) for module in model.modules()]
    owners = [(module, dict(module._buffers)) for module in model.modules()]
    values = [(b, b.clone()) for _, own in owners for b in own.values() if b is not None]
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    python, array = random.getstate(), np.random.get_state()  # noqa: NPY002  it is put back
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(array)  # noqa: NPY002
        for module, training in modes:
            module.training = training
        for module, own in owners:
            module._buffers.clear()
            module._buffers.update(own)
        with torch.no_grad():
            for buffer, value in values:
                buffer.copy_(value)
