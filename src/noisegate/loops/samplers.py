"""What a loader deals to the processes of a group, as the policy of `RankRows`."""

from collections.abc import Mapping
from typing import Any

from noisegate.core.rank_rows import BATCHES, CONTIGUOUS, INTERLEAVED

# Samplers, batch samplers, data sets and loaders that deal samples to ranks, by class name.
DEALERS = {
    "DistributedSampler": INTERLEAVED,  # torch's
    "DistributedSamplerWrapper": INTERLEAVED,  # Lightning's, around any sampler
    "BatchSamplerShard": BATCHES,  # Accelerate's, as transformers has it too
    "IterableDatasetShard": CONTIGUOUS,
    "DataLoaderDispatcher": CONTIGUOUS,  # the first rank reads whole batches and cuts them
}


def find_policy(loader: Any) -> str | None:
    """Return what a rank gets of a loader's samples; None if that is unknown.

    Of several loaders, in lists or mappings, it is what all of them deal. Loaders are told by the
    names of their classes, since no library is imported for it.
    """
    if isinstance(loader, Mapping):
        loader = list(loader.values())
    if isinstance(loader, list | tuple):
        policies = {find_policy(each) for each in loader}
        return policies.pop() if len(policies) == 1 else None
    for part in _list_parts(loader):
        names = {base.__name__ for base in type(part).__mro__}
        for name in DEALERS.keys() & names:
            return _find_policy_of_shard(part) if name == "BatchSamplerShard" else DEALERS[name]
    return None


def _find_policy_of_shard(shard: Any) -> str | None:
    if shard.num_processes == 1:
        return None  # what it wraps knows of ranks itself
    # The last batch may be cut into unequal parts, each of which begins where it would in a whole.
    return CONTIGUOUS if shard.split_batches and shard.even_batches else BATCHES


def _list_parts(loader: Any) -> list[Any]:
    """Return a loader, its samplers from the outermost on, and its data set."""
    parts = [loader]
    for name in ("batch_sampler", "sampler", "dataset"):
        part = getattr(loader, name, None)
        while part is not None and part not in parts:
            parts.append(part)
            part = getattr(part, "batch_sampler", None) or getattr(part, "sampler", None)
    return parts
