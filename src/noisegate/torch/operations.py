"""Define the operations that compiled graphs hold whole."""

from collections.abc import Sequence
from typing import Any

import torch

from noisegate.core.keys import SCHEME

from .compiling import eager_only

LIBRARY = torch.library.Library("noisegate", "DEF")


def name_operation(name: str) -> str:
    """Return the full name of an operation.

    It has the scheme, since torch's caches on disk know an operation by its name alone.
    """
    return f"noisegate::{name}_{SCHEME}"


def define(name: str, arguments: Sequence[str], run: Any, fake: Any, result: str = "Tensor") -> Any:
    """Define an operation without a gradient of its own, for every device; return it."""
    full = name_operation(name)
    short = full.partition("::")[2]
    tags = (torch.Tag.pt2_compliant_tag,)
    LIBRARY.define(f"{short}({', '.join(arguments)}) -> {result}", tags=tags)
    # Where a function is compiled in parts, torch would compile what an operation itself runs.
    LIBRARY.impl(short, eager_only(run), "CompositeExplicitAutograd")
    torch.library.register_fake(full, fake, lib=LIBRARY)
    return getattr(torch.ops.noisegate, short)
