"""Sentences about shapes, axes and rows."""

from collections.abc import Sequence

from ._words import _got


def bad_axes(who: str, name: str, value: object) -> str:
    words = ', a slice or "all_but_samples"' if name == "shared_axes" else " or a slice"
    return (
        f"{who}: `{name}` must be whole numbers{words}; {_got(value)}. "
        "Write for example (2, 3) or slice(2, None)."
    )


def no_such_axis(who: str, name: str, axis: int, shape: Sequence[int]) -> str:
    rank = len(shape)
    have = f"axes {-rank} to {rank - 1}" if rank else "no axes"
    return f"{who}: `{name}` names axis {axis}, but the input of shape {tuple(shape)} has {have}."


def no_block(who: str, value: object) -> str:
    return (
        f"{who}: `block_size` must be a whole number >= 1, or one for each spatial axis; "
        f"{_got(value)}."
    )


def block_count(who: str, sizes: Sequence[int], spatial: Sequence[int]) -> str:
    return (
        f"{who}: `block_size` must have one extent for each spatial axis; got {tuple(sizes)} for "
        f"the axes {tuple(spatial)}."
    )


def no_spatial_axis(who: str, axes: object, rank: int) -> str:
    return (
        f"{who}: `axes` must name at least one spatial axis; {axes!r} names none of an input of "
        f"rank {rank}. Images are (samples, channels, height, width)."
    )


def spatial_and_other(who: str, axis: int, other: str) -> str:
    return (
        f"{who}: `axes` names axis {axis}, which is {other}; blocks extend over other axes. "
        "Write for example axes=slice(1, -1) for (samples, height, width, channels)."
    )


def bad_sample_axis(who: str, value: object) -> str:
    return f"{who}: `sample_axis` must be a whole number or None; {_got(value)}."


def bad_shape(who: str, value: object) -> str:
    return f"{who}: `shape` must be a tuple of whole numbers >= 0; {_got(value)}."


def rows_without_samples(who: str, shape: Sequence[int]) -> str:
    return (
        f"{who}: `rows` was given, but the input of shape {tuple(shape)} has no sample axis. "
        "Name one with sample_axis=0, or leave out `rows`."
    )


def rows_count(who: str, count: int, extent: int) -> str:
    return (
        f"{who}: `rows` must name each of the {extent} samples of the input once; got {count} rows."
    )


def bad_rows(who: str, value: object) -> str:
    return (
        f"{who}: `rows` must be a slice or a sequence of whole numbers in [0, 2**64); "
        f"{_got(value)}."
    )


def open_slice(who: str, value: slice) -> str:
    return (
        f"{who}: `rows` as a slice must have a start >= 0 and a step >= 1 at a call; "
        f"{_got(value)}. Write for example slice(32, 64)."
    )


def too_many_offsets(who: str, count: int) -> str:
    return (
        f"{who}: a sample must have at most 2**35 elements; got {count}. "
        "Split the input over the sample axis, or name another sample_axis."
    )


def wrong_rank(who: str, words: Sequence[str], shape: Sequence[int]) -> str:
    return f"{who}: the input must have the shape {' or '.join(words)}; got {tuple(shape)}."


def nothing_to_draw(who: str, shape: Sequence[int]) -> str:
    return f"{who}: an input of shape {tuple(shape)} has no elements to draw."


def large_to_draw(
    who: str, shape: Sequence[int], count: int, most: int, smaller: Sequence[int]
) -> str:
    return (
        f"{who}: the samples that are shown must have at most {most:,} elements; got "
        f"{tuple(shape)}, of which they have {count:,}. {tuple(smaller)} would do."
    )


def steps_to_draw(who: str, count: int, most: int) -> str:
    return f"{who}: `steps` must be 1 to {most} steps; got {count}."


def no_attention(who: str, shape: Sequence[int], queries: int, keys: int) -> str:
    return (
        f"{who}: attention probabilities must have shape (batch, head, query, key), or the first "
        f"two as one, of at most {queries} queries and {keys} keys; got {tuple(shape)}."
    )


def blocks_of_attention(who: str) -> str:
    return f"{who}: attention probabilities have no spatial axes. Use noisegate.Dropout there."
