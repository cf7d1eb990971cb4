"""Processes that train one model together."""

import warnings

from torch import distributed

from noisegate.core import messages

_told = False


def world_size() -> int:
    """Return how many processes are in this one's group; 1 where there is no group."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return 1
    return int(distributed.get_world_size())


def tell_of_ranks(who: str) -> None:
    """Warn once in a process that the layers of all ranks have the same masks."""
    global _told
    if not _told and world_size() > 1:
        _told = True
        sentence = messages.same_layers_on_all_ranks(who, world_size())
        warnings.warn(sentence, RuntimeWarning, stacklevel=4)
