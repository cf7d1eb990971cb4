"""One application of noise to a tensor."""

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from noisegate.core import apply as core
from noisegate.core.keys import Key
from noisegate.core.kind import Kind
from noisegate.core.window import Window
from noisegate.engines.torch import TorchEngine, Works

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
    works: Works | None = None

    def __call__(self, x: Tensor, live: Tensor | None) -> Tensor:
        """Return x with the noise on it."""
        if self.works is not None and self.rate is not None and x.is_cpu:
            given = self.kind, self.rate, x, self.key, self.window, self.linear
            y = CPU.fuse(*given, works=self.works)
            if y is not None:
                return cast(Tensor, y.clone() if y is x else y)
        if x.is_cpu:
            rate = self.rate if live is None else live
            result: Any = core.apply(
                CPU, self.kind, x, self.key, self.window, rate, linear=self.linear
            )
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
        return Noise(self.kind, self.key, self.window, self.rate, linear=True, works=self.works)
