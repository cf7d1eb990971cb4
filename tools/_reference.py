"""The reference for the tools that make vectors: places, keys and words."""

import struct

from noisegate.core import normal_table, philox
from noisegate.core.keys import site_hash

TABLE = (normal_table.A, normal_table.D, normal_table.C)

Place = tuple[int, str, int, str, int]  # seed, site, slot, kind, call


def key_of(place: Place, plane: int) -> tuple[int, int]:
    """Return the key words of a plane."""
    seed, site, slot, kind, call = place
    return philox.plane_key(seed, site_hash(site, slot, kind), call, plane)


def u32_of(place: Place, row: int, offset: int, step: int, number: int = 0) -> int:
    """Return the u32 of an element."""
    high, low = (
        philox.lane(key_of(place, 2 * number + half), row, offset, step) for half in (0, 1)
    )
    return philox.join_planes(high, low)


def bits32(value: float) -> str:
    """Return the bits of a float32."""
    return struct.pack(">f", value).hex()


def bits64(value: float) -> str:
    """Return the bits of a float64."""
    return struct.pack(">d", value).hex()
