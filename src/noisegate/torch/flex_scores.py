"""Noise on the scores of flex_attention, made for one score at a time.

Torch's kernel never holds all scores, so noise is a function of a score and its place, as torch's
own `score_mod` is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from noisegate.core import blocks
from noisegate.core.apply import field_of
from noisegate.core.draws import Draws
from noisegate.core.engine import Draw
from noisegate.core.errors import InvalidValue
from noisegate.core.keys import Key
from noisegate.core.kind import Kind
from noisegate.core.philox import threshold
from noisegate.core.prepared import Prepared, prepare
from noisegate.core.trace import trace_kind
from noisegate.core.window import ATTENTION, KEY_BITS
from noisegate.engines.torch import TorchEngine

from .application import device_of_noise
from .in_graph import GraphCall
from .operations import define
from .query_blocks import Probabilities

# The place of a score: its batch entry, head, query and key, as torch passes them.
Place = Sequence[Tensor]


class FlexScores(Probabilities):
    """The scores of a flex_attention, which are never there at once.

    Where noise is put on a tensor, this stands for one. Its functions are `PointNoise`, or
    `GraphPointNoise` in code that a compiler traces.
    """

    def __init__(
        self, shape: Sequence[int], device: torch.device, functions: tuple[Any, ...] = ()
    ) -> None:
        super().__init__(shape, functions)
        self.device = device

    def apply(
        self, kind: Kind, key: Key, rows: Any, sample_axis: Any, live: Mapping[str, Any]
    ) -> "FlexScores":
        """Return these with one more noise."""
        call = prepare(kind, key, self.shape, rows, sample_axis, live)
        if call.idle:
            return self
        low, high = _make_words(call, device_of_noise(self.device))
        noise = PointNoise(kind, key, call, (low, high))
        return FlexScores(self.shape, self.device, (*self.functions, noise))

    def apply_in_graph(self, call: GraphCall) -> "FlexScores":
        """Return these with one more noise, in code that a compiler traces."""
        given = call.cursor, call.place, call.ids, call.batch, call.call
        words = _words(*given, list(self.shape)).to(self.device)
        noise = GraphPointNoise(words)
        return FlexScores(self.shape, self.device, (*self.functions, noise))

    def apply_steps(self, *_: Any) -> None:  # type: ignore[override]
        """Return None: several steps cannot share a pass."""
        return


def _make_words(call: Prepared, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the low and the high words of the rows, one for each sample and head."""
    engine, rows = TorchEngine(device), call.window.rows
    low, high = (blocks.make_column(engine, rows, shift).reshape(-1) for shift in (0, 32))
    return low, high


@dataclass(frozen=True, slots=True)
class PointNoise:
    """One noise as a function of a score and its place.

    `buffers` are what it reads, which torch passes on to it.
    """

    kind: Kind
    key: Key
    call: Prepared
    buffers: tuple[Tensor, ...]

    def add(self, score: Tensor, place: Place, low: Tensor, high: Tensor) -> Tensor:
        """Return a score with the noise of its place."""
        form = cast(tuple[int, ...], self.call.window.form)
        shown = [extent > 1 for extent in form]
        row, offset = _find_address(place, shown, form[1])
        element = _Element(low[row], high[row], offset, self.key.step)
        precision = "float64" if score.dtype is torch.float64 else "float32"
        name, engine = type(self.kind).__name__, TorchEngine(score.device)
        draws = _ElementDraws(engine, name, self.key, self.call.window, precision, element)
        keep, gain, shift, fill = field_of(self.kind, draws, self.call.rate)
        y = score if gain is None else score * gain
        y = y if shift is None else y + shift
        return y if keep is None else torch.where(keep, y, fill)


def _find_address(place: Place, shown: Sequence[Any], heads: Any) -> tuple[Tensor, Tensor]:
    """Return the number of a score's row, and its offset.

    `shown` says of each axis whether its places differ; along a shared axis each is the first.
    """
    b, h, query, key = (i.to(torch.int64) * s for i, s in zip(place, shown, strict=True))
    return b * heads + h, query << KEY_BITS | key


class _Element(NamedTuple):
    """The address of one element: the words of its row, its offset, and the step."""

    low: Tensor
    high: Tensor
    offset: Tensor
    step: Any

    def read_u32(self, keys: Sequence[tuple[Any, Any]]) -> Tensor:
        """Return the u32 of two planes, given their keys."""
        high, low = (self._read_lane(key) for key in keys)
        return high << 16 | low

    def _read_lane(self, key: tuple[Any, Any]) -> Tensor:
        words = blocks.philox(self.offset >> 3, self.low, self.high, self.step, key)
        lane = self.offset & 7
        word: Tensor = words[3]
        for place in (2, 1, 0):
            word = torch.where(lane >> 1 == place, words[place], word)
        return word >> 16 * (lane & 1) & 0xFFFF


@dataclass(frozen=True, slots=True)
class _ElementDraws(Draws):
    """The random numbers of one element."""

    element: Any = None

    def _read(self, draw: Draw, dtype: str, function: Callable[[Any], Any]) -> Any:
        return function(self)  # a function of a chunk, of which it asks for `u32` alone

    def u32(self, number: int = 0) -> Tensor:
        """Return 32 random bits, as int64 in [0, 2³²)."""
        keys = [self.key.plane(self.kind, 2 * number + i) for i in (0, 1)]
        return cast(Tensor, self.element.read_u32(keys))

    def keep(self, p: Any, number: int = 0) -> Tensor:
        """Return whether the element survives removal with probability p."""
        return self.u32(number) >= threshold(p)


# In graphs. ------------------------------------------------------------------------------------

# The words before those of the rows: two keys, step, threshold, four axes, heads, number of rows.
_FIRST = 12


class GraphPointNoise(NamedTuple):
    """The noise of DropKey as a function of a score and its place, in a compiled graph.

    Its numbers come in a tensor, so that other steps, rates and layers need no other graph.
    """

    words: Tensor

    @property
    def buffers(self) -> tuple[Tensor, ...]:
        """Nothing: a compiler finds by itself what a function reads."""
        return ()

    def add(self, score: Tensor, place: Place) -> Tensor:
        """Return a score with the noise of its place."""
        words = self.words
        row, offset = _find_address(place, [words[6 + axis] for axis in range(4)], words[10])
        low, high = words[_FIRST + row], words[_FIRST + words[11] + row]
        element = _Element(low, high, offset, words[4])
        u32 = element.read_u32([(words[0], words[1]), (words[2], words[3])])
        return torch.where(u32 < words[5], -float("inf"), score)


def _run_words(
    cursor: Tensor, place: Tensor, ids: Tensor | None, batch: int, call: int, shape: Sequence[int]
) -> Tensor:
    """Return the numbers that a `GraphPointNoise` needs."""
    # No memory: the call is only told how large the scores would be.
    scores = torch.empty((), device="cpu").expand(tuple(shape))
    given = GraphCall(cursor, place, None, ids, batch, call, ATTENTION, None)
    noise = given.make_noise(scores, False)
    rate, form = noise.call.rate, cast(tuple[int, ...], noise.call.window.form)
    _check_kind(noise.kind, rate)
    low, high = _make_words(noise.call, torch.device("cpu"))
    keys = [word for i in (0, 1) for word in noise.key.plane(type(noise.kind).__name__, i)]
    shown = [int(extent > 1) for extent in form]
    first = [*keys, noise.key.step, threshold(rate), *shown, form[1], len(low)]
    words = torch.zeros(_FIRST + 2 * shape[0] * shape[1], dtype=torch.int64, device="cpu")
    words[:_FIRST] = torch.tensor(first, device="cpu")
    words[_FIRST : _FIRST + 2 * len(low)] = torch.cat([low, high])
    return words


def _check_kind(kind: Kind, rate: float) -> None:
    """Raise unless all that a kind does is to replace elements by −inf."""
    trace = trace_kind(kind, rate, "float32")
    plain = trace is not None and trace.gain is None and trace.shift is None
    fill = None if trace is None else trace.fill
    if not plain or type(fill) is not float or fill != -float("inf"):
        raise InvalidValue(
            "inject: in compiled code the noise on the scores of flex_attention must be a DropKey; "
            f"got {kind!r}. Leave the attention out of what is compiled, or use "
            "scaled_dot_product_attention."
        )


def _fake_words(
    cursor: Tensor, place: Tensor, ids: Any, batch: int, call: int, shape: Sequence[int]
) -> Tensor:
    # Of shared axes there are fewer rows, and what is behind them is not read.
    return torch.empty(_FIRST + 2 * shape[0] * shape[1], dtype=torch.int64, device="cpu")


_words = define(
    "flex_words",
    (
        *("Tensor cursor", "Tensor place", "Tensor? ids"),
        *("SymInt batch", "SymInt call", "SymInt[] shape"),
    ),
    _run_words,
    _fake_words,
)
