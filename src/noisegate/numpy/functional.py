"""Forward and backward passes by hand, in NumPy."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from noisegate.core import apply as core
from noisegate.core import checks, keys, kinds
from noisegate.core.backends import refuse_array
from noisegate.core.errors import InvalidType, InvalidValue, prefix_errors
from noisegate.core.keys import Key, Stream
from noisegate.core.kind import Kind, check_kind
from noisegate.core.prepared import Prepared, Works, prepare
from noisegate.core.window import DEFAULT_AXIS, SampleAxis, Window, window_of
from noisegate.core.words import got
from noisegate.engines.numpy import NumpyEngine

Rng = int | np.random.Generator | Key | None

ENGINE = NumpyEngine()


def apply(
    kind: Kind,
    x: Any,
    key: Key,
    rows: Any = None,
    sample_axis: SampleAxis = DEFAULT_AXIS,
    live: Mapping[str, Any] | None = None,
) -> Any:
    """Return x with the noise of a key on it; ``kind(x, key)`` calls this for NumPy arrays."""
    call = prepare(kind, key, x.shape, rows, sample_axis, live or {})
    core.check_input(ENGINE, kind, x)
    if call.idle:
        return x
    return _apply(kind, x, key, call)


def _apply(kind: Kind, x: Any, key: Key, call: Prepared, *, linear: bool = False) -> Any:
    if type(key.step) is not int:
        keys.refuse_mapped_step(type(kind).__name__)
    # An element may overflow before it is removed, and NumPy would warn of a value not used.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        array = np.asarray(x)
        result = core.apply(ENGINE, kind, array, key, call, linear=linear)
    result = np.asarray(result, dtype=array.dtype)
    if result is array or result.flags.c_contiguous == array.flags.c_contiguous:
        return result
    laid_out = np.empty_like(array, subok=False)  # in the memory order of the input
    laid_out[...] = result
    return laid_out


@dataclass(frozen=True, slots=True, eq=False)
class Cache:
    """The place in the field of a forward's noise, from which `backward` computes it again.

    Attributes
    ----------
    kind, key, window, rate
        The kind of noise, the key and the window of the forward, and the rate in use.
    shape, dtype
        The shape and dtype of the forward's input.
    active : bool
        False if the forward returned its input: not training, or a rate of 0.
    """

    kind: Kind
    key: Key | None
    window: Window | None
    rate: Any
    shape: tuple[int, ...]
    dtype: np.dtype
    works: Works | None = field(default=None, repr=False)

    @property
    def active(self) -> bool:
        """Whether the forward put noise on its input."""
        return self.key is not None

    @property
    def mask(self) -> np.ndarray:
        """Zeros for removed elements and ones for the others, rebuilt from the key."""
        with prefix_errors("mask"):
            self.kind.check_removes()
        if self.key is None or self.window is None:
            return np.ones(self.shape, self.dtype)
        # A mask depends on no value of the input, so any will do.
        x = np.zeros(self.shape) if self.kind.reads_input else None
        draws = core.draws_of(ENGINE, self.kind, self.key, self.window, "float32", x)
        keep = core.field_of(self.kind, draws, self.rate).keep
        return np.broadcast_to(keep, self.shape).astype(self.dtype)


def forward(
    kind: Kind,
    x: np.ndarray,
    *,
    training: bool = True,
    rng: Rng = None,
    rows: Any = None,
    sample_axis: SampleAxis = DEFAULT_AXIS,
    **live: Any,
) -> tuple[np.ndarray, Cache]:
    """Return x with noise on it, and a cache for `backward`.

    Parameters
    ----------
    kind : Kind
        Any kind of noise.
    x : ndarray
        The input, of any shape.
    training : bool
        Whether to put noise on x; if False, x itself is returned.
    rng : int, numpy.random.Generator, Key or None
        A seed; a generator, which gives 64 bits; a key, used as it is; or None for fresh noise
        from the system's entropy. NumPy's global state is never touched.
    rows, sample_axis, **live
        As at a call of the kind.

    Returns
    -------
    out : ndarray
        Of x's shape and dtype.
    cache : Cache
        Holds the key and the window: a few numbers, whatever the size of x.

    Examples
    --------
    >>> import noisegate as ng, numpy as np
    >>> out, cache = ng.numpy.forward(ng.GaussianNoise(0.5), np.zeros(3), rng=13)
    >>> ng.numpy.backward(np.ones(3), cache)
    array([1., 1., 1.])
    """
    with prefix_errors("forward"):
        check_kind(kind)
        known = ["kind", "x", "training", "rng", "rows", "sample_axis", *kind.names()]
        checks.check_keywords(live, known)
        checks.check_flag("training", training)
    if not isinstance(x, np.ndarray | np.generic):
        with prefix_errors(type(kind).__name__):
            refuse_array(x, "numpy")
    dtype = np.asarray(x).dtype
    rate = kind.rate_at(rng.step if isinstance(rng, Key) else None, live)
    if not training or core.is_identity(kind, rate):
        if rows is not None:  # wrong rows are an error even without noise
            with prefix_errors(type(kind).__name__):
                window_of(x.shape, kind.shared, rows, sample_axis)
        return x, Cache(kind, None, None, rate, x.shape, dtype)
    key = key_of(rng)
    call = prepare(kind, key, x.shape, rows, sample_axis, live)
    if not checks.is_host(call.rate):
        # A copy, since the user may change the array before the backward, which needs this mask.
        call = call._replace(rate=np.array(call.rate))
    cache = Cache(kind, key, call.window, call.rate, x.shape, dtype, call.works)
    return _apply(kind, x, key, call), cache


def backward(dout: np.ndarray, cache: Cache) -> np.ndarray:
    """Return the gradient of the input from the gradient of the output.

    Parameters
    ----------
    dout : ndarray
        Gradient of the output, in the output's shape.
    cache : Cache
        The second result of `forward`, from whose key the noise is computed again.

    Raises
    ------
    InvalidType, InvalidValue
        If the cache is not from `forward`, or the gradient has another shape.
    """
    if not isinstance(cache, Cache):
        raise InvalidType(
            f"backward: `cache` must be the second result of `forward`; {got(cache)}."
        )
    if np.shape(dout) != cache.shape:
        raise InvalidValue(
            f"backward: the gradient must have the output's shape {cache.shape}; "
            f"got {np.shape(dout)}."
        )
    if cache.key is None or cache.window is None:
        return dout
    core.check_input(ENGINE, cache.kind, np.asarray(dout))
    call = Prepared(cache.window, cache.rate, works=cache.works)
    dx: np.ndarray = _apply(cache.kind, dout, cache.key, call, linear=True)
    return dx


@checks.check_call("dropout_forward")
def dropout_forward(
    x: np.ndarray, p: Any = 0.5, *, training: bool = True, rng: Rng = None
) -> tuple[np.ndarray, Cache]:
    """Return x with dropout on it, and a cache for `backward`.

    Parameters
    ----------
    x : ndarray
        The input, of any shape.
    p : float, or array that broadcasts to x
        Probability of removal, in [0, 1].
    training, rng
        As in `forward`.

    Returns
    -------
    out : ndarray
        x with survivors scaled by 1 / (1 − p); x itself if p is 0 or `training` is False.
    cache : Cache
        ``cache.mask`` is the mask of zeros and ones.

    Examples
    --------
    >>> import noisegate as ng, numpy as np
    >>> out, cache = ng.numpy.dropout_forward(np.arange(1.0, 7.0), p=0.5, rng=13)
    >>> out
    array([ 0.,  0.,  6.,  0.,  0., 12.])
    >>> cache.mask
    array([0., 0., 1., 0., 0., 1.])
    >>> ng.numpy.dropout_backward(np.ones(6), cache)
    array([0., 0., 2., 0., 0., 2.])
    """
    if isinstance(p, Mapping):
        raise InvalidType(
            f"dropout_forward: arguments are given by name, not in a dict; {got(p)}. Write "
            "dropout_forward(x, p=0.5, training=True, rng=seed), where p is the probability to "
            "remove: 1 - p of a dict of CS231n's."
        )
    return forward(_DROPOUT, x, training=training, rng=rng, p=p)


dropout_backward = backward

_DROPOUT = kinds.Dropout()


def key_of(rng: Any) -> Key:
    """Return the key for a source of randomness; SPEC 7 defines the sources.

    Reference: Scientific Python, SPEC 7, Seeding pseudo-random number generation.
    """
    if isinstance(rng, Key):
        return rng
    if isinstance(rng, int | np.integer):
        with prefix_errors("forward"):
            return Stream(checks.check_whole("rng", rng, keys.SEED_BITS)).site("").at(0)
    if rng is not None and not isinstance(rng, np.random.Generator):
        raise InvalidType(
            "forward: `rng` must be a whole number, a numpy.random.Generator, a Key or None; "
            f"{got(rng)}. Write for example rng=13."
        )
    generator = np.random.default_rng(rng)
    return Stream(int(generator.integers(2**64, dtype=np.uint64))).site("").at(0)
