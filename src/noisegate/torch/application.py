"""One application of noise to a tensor, and the noise of the next steps, drawn ahead."""

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from noisegate.core import apply as core
from noisegate.core.draws import Field
from noisegate.core.keys import Key
from noisegate.core.kind import Kind
from noisegate.core.window import Window
from noisegate.engines.torch import TorchEngine

# Metal has no float64, which thresholds of live rates and normal numbers are made with.
WITHOUT_FLOAT64 = {"mps"}

CPU = TorchEngine(torch.device("cpu"))


def device_of_noise(device: torch.device) -> torch.device:
    """Return where the noise for tensors of a device is computed: there, or on the CPU."""
    if device.type == "xpu":
        exact = bool(torch.xpu.get_device_capability(device)["has_fp64"])
    else:
        exact = device.type not in WITHOUT_FLOAT64
    return device if exact else torch.device("cpu")


@dataclass(slots=True)
class Noise:
    """One application: which noise, which part of the field, and whether only its linear part.

    Nothing changes it; it is not frozen, since that would be half of what making it costs.
    """

    kind: Kind
    key: Key
    window: Window
    rate: float | None
    linear: bool = False
    field: Field | None = None

    def __call__(self, x: Tensor, live: Tensor | None) -> Tensor:
        """Return x with the noise on it."""
        if self.field is not None:
            field = self.field._replace(shift=None, fill=0.0) if self.linear else self.field
            result: Any = core.apply_field(CPU, self.kind, x, field, "float32")
        elif x.is_cpu:
            rate = self.rate if live is None else live
            result = core.apply(CPU, self.kind, x, self.key, self.window, rate, linear=self.linear)
        else:
            result = self._elsewhere(x, live)
        # A field of zeros and no arithmetic at all can leave x itself.
        return cast(Tensor, result.clone() if result is x else result)

    def _elsewhere(self, x: Tensor, live: Tensor | None) -> Tensor:
        """Return x with noise that is made where its device, or the CPU, has float64."""
        where = device_of_noise(x.device)
        rate = self.rate if live is None else live.to(where)
        given = self.kind, x.to(where), self.key, self.window, rate
        return cast(Tensor, core.apply(TorchEngine(where), *given, linear=self.linear)).to(x.device)

    def slope(self, factor: Tensor, x: Tensor, live: Tensor) -> Tensor:
        """Return a factor times the derivative by the rate, of the shape of x."""
        where = device_of_noise(x.device)
        factor = factor.expand(torch.broadcast_shapes(factor.shape, x.shape)).to(where)
        given = self.kind, factor, x.to(where), self.key, self.window, live.to(where)
        return cast(Tensor, core.slope(TorchEngine(where), *given, linear=self.linear)).to(x.device)

    def derivative(self) -> "Noise":
        """Return the part that is linear in x."""
        return Noise(self.kind, self.key, self.window, self.rate, linear=True, field=self.field)


# How many elements of noise are drawn at once, and for how many steps at most.
AT_ONCE, MOST = 1 << 19, 64


def survivors(x: Tensor, field: Field) -> Tensor | None:
    """Return x with a field on it that removes and scales, and no more; None for another one.

    By operations that torch differentiates: what they keep of the mask is what is drawn ahead.
    """
    keep, gain = field.keep, field.gain
    plain = field.shift is None and (gain is None or isinstance(gain, float))
    removes = isinstance(keep, Tensor) and isinstance(field.fill, float) and field.fill == 0
    if not (plain and removes and x.dtype is torch.float32 and keep.shape == x.shape):
        return None
    return torch.where(keep, x if gain is None else x * gain, _ZERO)


_ZERO = torch.zeros(())


class _Drawn:
    """The field of several steps, from a first one on."""

    def __init__(self, first: int, count: int, field: Field, rank: int) -> None:
        self.steps, self.field, self.rank = range(first, first + count), field, rank

    def at(self, step: int, count: int | None) -> Field:
        """Return the field of a step, for all samples or for the first ones."""
        place = step - self.steps.start

        def part(value: Any) -> Any:
            if getattr(value, "ndim", 0) > self.rank:
                value = value[place]
            if count is None or not getattr(value, "ndim", 0) or len(value) == 1:
                return value
            return value[:count]

        return Field(*(part(value) for value in self.field))


class Ahead:
    """The noise of one place at the next steps, drawn at once where it is small.

    A pass of whole-array operations costs half a millisecond however small the arrays are, which
    is more than a step of a small network. Steps that follow each other share one pass; a step
    that follows none has its own. It holds at most 2¹⁹ elements, 512 kB for what removes. A batch
    with fewer samples has the first of them.
    """

    def __init__(self, kind: Kind, window: Window, rate: float, steps: int, shape: Any) -> None:
        self.kind, self.window, self.rate, self.steps = kind, window, rate, steps
        self.shape = tuple(shape)
        self.last: dict[int, int] = {}
        self.drawn: dict[int, _Drawn] = {}

    @classmethod
    def of(
        cls, kind: Kind, x: Tensor, window: Window, rate: float, before: "Ahead | None"
    ) -> "Ahead | None":
        """Return what draws ahead for a place, or None where that is not worth it.

        `before` is what did so for the place: it does for fewer samples too.
        """
        if before is not None and before.serves(kind, x, window, rate):
            return before
        steps = min(AT_ONCE // max(1, x.numel()), MOST)
        simple = kind.elementwise and x.is_cpu and x.is_floating_point() and x.itemsize <= 4
        return cls(kind, window, rate, steps, x.shape) if simple and steps > 3 else None

    def serves(self, kind: Kind, x: Tensor, window: Window, rate: float) -> bool:
        """Return whether what it draws is the noise of other samples too."""
        fewer = x.is_cpu and x.ndim and x.shape[1:] == self.shape[1:] and len(x) <= self.shape[0]
        plain = window.sample_axis == self.window.sample_axis == 0
        counted = all(w.rows == range(len(w.rows)) for w in (window, self.window))
        same = (kind, rate, window.start[1:]) == (self.kind, self.rate, self.window.start[1:])
        return bool(fewer and plain and same and counted and x.itemsize <= 4)

    def field(self, key: Key, count: int | None = None) -> Field | None:
        """Return the noise of a key where it follows the step before, else None.

        `count` is the number of samples, where it may be fewer than those that were drawn for.
        """
        drawn = self.drawn.get(key.call)
        if drawn is None or key.step not in drawn.steps:
            before = self.last.get(key.call)
            self.last[key.call] = key.step
            if before is None or key.step != before + 1:
                return None
            steps = range(key.step, min(key.step + self.steps, 1 << 32))
            field = core.field_of_steps(CPU, self.kind, key, self.window, self.rate, steps)
            drawn = _Drawn(key.step, len(steps), field, len(self.shape))
            self.drawn[key.call] = drawn
        self.last[key.call] = key.step
        return drawn.at(key.step, None if count == self.shape[0] else count)

    def __reduce__(self) -> Any:
        """Return how a copy is made, which has drawn nothing yet."""
        return Ahead, (self.kind, self.window, self.rate, self.steps, self.shape)
