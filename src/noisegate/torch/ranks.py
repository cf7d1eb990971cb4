"""Processes that train one model together."""

import warnings

from torch import distributed

_has_warned = False


def world_size() -> int:
    """Return how many processes are in this one's group; 1 where there is no group."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return 1
    return int(distributed.get_world_size())


def warn_of_equal_ranks(layer: str) -> None:
    """Warn, once in a process, that the layers of all ranks have the same masks."""
    global _has_warned
    world = 1 if _has_warned else world_size()
    if world == 1:
        return
    _has_warned = True
    warnings.warn(
        f"{layer}: all {world} ranks of the process group have the same masks, since sample i of "
        "each is row i and the layer's seed is the same. Give each its own samples' ids, "
        "layer(x, rows=ids), or each rank another seed.",
        RuntimeWarning,
        stacklevel=4,
    )
