"""The reference: noise in readable Python integers, without any import.

Every engine must return the bits of this file, and the vectors in `spec/vectors` are made from
it. It is written to be read beside `spec/streams.md` and `spec/kinds.md`, and is far too slow for
anything else.
"""

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
WORD = 0xFFFFFFFF


def philox4x32(
    counter: tuple[int, int, int, int], key: tuple[int, int], rounds: int = ROUNDS
) -> tuple[int, int, int, int]:
    """Return the four 32-bit words of one Philox block.

    Reference: Salmon, Moraes, Dror, Shaw (2011), Parallel random numbers: as easy as 1, 2, 3.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(rounds):
        product0, product1 = MULTIPLIERS[0] * c0, MULTIPLIERS[1] * c2
        c0, c1 = (product1 >> 32) ^ c1 ^ k0, product1 & WORD
        c2, c3 = (product0 >> 32) ^ c3 ^ k1, product0 & WORD
        k0, k1 = (k0 + WEYL[0]) & WORD, (k1 + WEYL[1]) & WORD
    return c0, c1, c2, c3


def plane_key(seed: int, site_hash: int, call: int, plane: int) -> tuple[int, int]:
    """Return the key of one plane: the first two words of a block under the seed."""
    counter = (site_hash & WORD, site_hash >> 32, call, plane)
    return philox4x32(counter, (seed & WORD, seed >> 32))[:2]


def lane(key: tuple[int, int], row: int, offset: int, step: int) -> int:
    """Return the lane of one element, 16 bits, in the plane with this key."""
    words = philox4x32((offset >> 3, row & WORD, row >> 32, step), key)
    position = offset & 7
    return (words[position >> 1] >> 16 * (position & 1)) & 0xFFFF


def join_planes(high: int, low: int) -> int:
    """Return the u32 of an element from its lanes in two planes, 2k (high) and 2k + 1 (low)."""
    return high << 16 | low


def threshold(p: float) -> int:
    """Return T = p · 2³², rounded half to even: an element is removed if and only if u32 < T."""
    return round(p * 2**32)


def round_ratio(numerator: int, denominator: int, digits: int) -> float:
    """Return numerator / denominator, both > 0, rounded once to `digits` binary digits.

    24 digits are a float32, 53 a float64. The result must be a normal number of that format.
    """
    shift = digits + denominator.bit_length() - numerator.bit_length()
    # Bit lengths give the exponent up to one; the quotient must have exactly `digits` digits.
    for exponent in (shift - 1, shift, shift + 1):
        scaled = numerator << max(exponent, 0)
        divisor = denominator << max(-exponent, 0)
        quotient, remainder = divmod(scaled, divisor)
        if quotient.bit_length() == digits:
            break
    if 2 * remainder > divisor or (2 * remainder == divisor and quotient & 1):
        quotient += 1
    return quotient / 2**exponent if exponent >= 0 else float(quotient * 2**-exponent)


def round_float(value: float, digits: int) -> float:
    """Return a finite float rounded once to `digits` binary digits."""
    if value == 0:
        return value
    numerator, denominator = abs(value).as_integer_ratio()
    rounded = round_ratio(numerator, denominator, digits)
    return rounded if value > 0 else -rounded


def survivor_scale(t: int, digits: int) -> float:
    """Return the factor of survivors, 2³² / (2³² - t), for a threshold t < 2³²."""
    return round_ratio(2**32, 2**32 - t, digits)


def uniform(u: int) -> float:
    """Return a u32's uniform number in (-1, 1): an odd multiple of 2⁻²⁴, exact."""
    return (2 * (u >> 8) + 1 - 2**24) / 2**24


def normal(u: int, table: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]) -> float:
    """Return a u32's normal number, a float32, by inversion in integers.

    `table` holds the columns A, D, C of `spec/normal_table.txt`; see `spec/normal.md`.
    """
    tail = (u << 1 | 1) & WORD
    exponent = tail.bit_length() - 1
    fraction = (tail << 31 - exponent) & 0x7FFFFFFF
    segment = 32 * exponent + (fraction >> 26)
    f = (fraction >> 10) & 0xFFFF
    g = f * (65535 - f) >> 16
    a, d, c = (column[segment] for column in table)
    magnitude = a - (d * f + c * g >> 10)
    signed = -magnitude if u >> 31 else magnitude
    return round_float(float(signed), 24) / 2**27


def address(
    shape: tuple[int, ...],
    shared: tuple[int, ...],
    sample_axis: int | None,
    rows: tuple[int, ...] | None,
    index: tuple[int, ...],
) -> tuple[int, int]:
    """Return (row, offset) of the element at `index` in an input of a global shape.

    All axes are numbers >= 0. `rows` are the samples' ids; without `rows` an id is the index.
    """
    row = offset = 0
    for axis, (extent, position) in enumerate(zip(shape, index, strict=True)):
        if axis in shared:
            continue
        if axis == sample_axis:
            row = position if rows is None else rows[position]
        else:
            offset = offset * extent + position
    return row, offset


def dropout(x: float, u: int, p: float, rescale: bool, digits: int) -> float:
    """Return Dropout of one element, computed with `digits` binary digits."""
    t = threshold(p)
    if u < t:
        return 0.0
    return round_float(x * survivor_scale(t, digits), digits) if rescale else x


def gaussian_noise(x: float, epsilon: float, sigma: float, digits: int) -> float:
    """Return GaussianNoise of one element."""
    return round_float(x + round_float(round_float(sigma, digits) * epsilon, digits), digits)


def gaussian_dropout(x: float, epsilon: float, p: float, digits: int) -> float:
    """Return GaussianDropout of one element."""
    sigma = round_float((p / (1 - p)) ** 0.5, digits)
    gain = round_float(1 + round_float(sigma * epsilon, digits), digits)
    return round_float(x * gain, digits)


def uniform_noise(x: float, number: float, width: float, digits: int) -> float:
    """Return UniformNoise of one element."""
    return gaussian_noise(x, number, width, digits)


# Where SELU saturates: minus its scale times its alpha.
FLOOR = -1.7580993408473766


def alpha_dropout(x: float, u: int, p: float, digits: int) -> float:
    """Return AlphaDropout of one element, for 0 < T."""
    t = threshold(p)
    kept = (2**32 - t) / 2**32
    spread = 1 + (1 - kept) * (FLOOR * FLOOR)
    if u < t:
        return round_float(FLOOR * (kept / spread) ** 0.5, digits) + 0.0
    gain = 1 / (kept * spread) ** 0.5
    product = round_float(x * round_float(gain, digits), digits)
    return round_float(product + round_float(-FLOOR * (1 - kept) * gain, digits), digits)


def drop_key(x: float, u: int, p: float) -> float:
    """Return DropKey of one element."""
    return x if u >= threshold(p) else float("-inf")


def impulse_noise(
    x: float, u: int, coin: int, p: float, low: float, high: float, digits: int
) -> float:
    """Return ImpulseNoise of one element; `coin` is its second u32."""
    if u >= threshold(p):
        return x
    return round_float(low if coin < 2**31 else high, digits)


def block_threshold(p: float, count: int) -> int:
    """Return T of a block's seed: 2³² · (1 − (1 − p)^(1/count)), rounded half to even.

    Whole numbers decide: T is at least t if 1 − (t − ½)/2³² is at least the root of 1 − p.
    """
    removed, denominator = p.as_integer_ratio()
    numerator = denominator - removed

    def side(t: int) -> int:
        """Return the sign of (exact threshold) − (t − ½)."""
        left: int = (2**33 - 2 * t + 1) ** count * denominator
        right = numerator << 33 * count
        return (left > right) - (left < right)

    low, high = 0, 2**32
    while low < high:
        middle = (low + high + 1) // 2
        at = side(middle)
        if at > 0 or (at == 0 and middle % 2 == 0):
            low = middle
        else:
            high = middle - 1
    return low


def block_scale(t: int, count: int, digits: int) -> float:
    """Return the factor of DropBlock's survivors: (1 − t/2³²)^(−count)."""
    return round_ratio(2 ** (32 * count), (2**32 - t) ** count, digits)
