"""Groups of processes that train one model together."""

import warnings

from torch import distributed

_has_warned = False


def world_size() -> int:
    """Return the number of processes in the default group; 1 without a group."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return 1
    return int(distributed.get_world_size())


def warn_of_equal_ranks(layer: str) -> None:
    """Warn, once per process, that a layer has the same masks on all ranks."""
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
