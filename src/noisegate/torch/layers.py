"""Noise as modules: active in train(), identity in eval()."""

from typing import Any

from torch import Tensor, nn

from noisegate.core import checks, kinds, messages
from noisegate.core.errors import InvalidValue
from noisegate.core.keys import SEED_BITS, STEP_BITS, Key, Stream
from noisegate.core.kind import Kind, SharedAxes
from noisegate.core.window import DEFAULT_AXIS

from .functional import apply, draw_seed, refuse_backward


class NoiseLayer(nn.Module):
    """A kind of noise as a module; its layers are `Dropout`, `GaussianNoise` and the others.

    Without a seed every training call draws 64 bits from torch's CPU generator, so that
    ``torch.manual_seed`` governs. With a seed and a site the layer reads
    ``Stream(seed).site(site).at(step)`` and counts its own training calls in `step`, which may
    be set and is not part of ``state_dict()``: a resume sets it.

    Attributes
    ----------
    kind : Kind
        The noise.
    seed : int or None
    site : str or None
    step : int
        The step that the next training call uses; only with a seed.

    Raises
    ------
    InvalidValue
        If a seed is given without a site, or a site without a seed.
    RecomputationError
        If a seeded layer is called inside a backward pass, as activation checkpointing does.
    """

    def __init__(
        self, kind: Kind, seed: int | None, site: str | None, sample_axis: int | None
    ) -> None:
        super().__init__()
        who = type(self).__name__
        if seed is not None and site is None:
            raise InvalidValue(messages.seed_without_site(who))
        if site is not None and seed is None:
            raise InvalidValue(messages.site_without_seed(who))
        self.kind = kind
        self.seed = None if seed is None else checks.whole(who, "seed", seed, SEED_BITS)
        self.site = site
        self.sample_axis = sample_axis
        self._step = 0
        if seed is not None and site is not None:
            Stream(seed).site(site)  # refuses what is no site, now and not at the first call

    @property
    def step(self) -> int:
        """The step that the next training call uses."""
        if self.seed is None:
            raise InvalidValue(messages.no_step(type(self).__name__))
        return self._step

    @step.setter
    def step(self, value: int) -> None:
        who = type(self).__name__
        if self.seed is None:
            raise InvalidValue(messages.no_step(who))
        self._step = checks.whole(who, "step", value, STEP_BITS)

    def forward(self, x: Tensor, rows: Any = None) -> Tensor:
        """Return x with noise in training, x itself otherwise."""
        if not self.training:
            return x
        if self.seed is None and self.kind.is_identity(self.kind.rate):
            return x
        return apply(self.kind, x, self._key(), rows, self.sample_axis)

    def _key(self) -> Key:
        if self.seed is None or self.site is None:
            return Stream(draw_seed()).site("").at(0)
        refuse_backward(type(self).__name__)
        key = Stream(self.seed).site(self.site).at(self._step)
        self._step += 1
        return key

    def extra_repr(self) -> str:
        """Return the kind's numbers and the seed, in torch's manner."""
        numbers = repr(self.kind).partition("(")[2].removesuffix(")")
        seed = "" if self.seed is None else f", seed={self.seed}, site={self.site!r}"
        return numbers + seed


class Dropout(NoiseLayer):
    """Removes elements in training; see `noisegate.Dropout` and `NoiseLayer`.

    Parameters
    ----------
    p, rescale, shared_axes
        As of `noisegate.Dropout`.
    seed : int, optional
        In [0, 2⁶⁴); with it `site` is needed too.
    site : str, optional
        Name of this noise in the seed's stream.
    sample_axis : int or None
        The axis of the samples, as at a call of a kind.

    Examples
    --------
    >>> import noisegate as ng, torch
    >>> layer = ng.torch.Dropout(0.5, seed=13, site="hid1:out")
    >>> layer(torch.ones(2, 4)), layer.step
    (tensor([[0., 0., 2., 2.],
            [2., 0., 2., 2.]]), 1)
    """

    @checks.known_keywords("Dropout")
    def __init__(
        self,
        p: float = 0.5,
        rescale: bool = True,
        shared_axes: SharedAxes = (),
        *,
        seed: int | None = None,
        site: str | None = None,
        sample_axis: int | None = DEFAULT_AXIS,
    ) -> None:
        super().__init__(kinds.Dropout(p, rescale, shared_axes), seed, site, sample_axis)


class GaussianNoise(NoiseLayer):
    """Adds normal noise in training; see `noisegate.GaussianNoise` and `Dropout`."""

    @checks.known_keywords("GaussianNoise")
    def __init__(
        self,
        sigma: float = 0.1,
        shared_axes: SharedAxes = (),
        *,
        seed: int | None = None,
        site: str | None = None,
        sample_axis: int | None = DEFAULT_AXIS,
    ) -> None:
        super().__init__(kinds.GaussianNoise(sigma, shared_axes), seed, site, sample_axis)


class GaussianDropout(NoiseLayer):
    """Multiplies by normal noise in training; see `noisegate.GaussianDropout` and `Dropout`."""

    @checks.known_keywords("GaussianDropout")
    def __init__(
        self,
        p: float = 0.5,
        shared_axes: SharedAxes = (),
        *,
        seed: int | None = None,
        site: str | None = None,
        sample_axis: int | None = DEFAULT_AXIS,
    ) -> None:
        super().__init__(kinds.GaussianDropout(p, shared_axes), seed, site, sample_axis)


class UniformNoise(NoiseLayer):
    """Adds uniform noise in training; see `noisegate.UniformNoise` and `Dropout`."""

    @checks.known_keywords("UniformNoise")
    def __init__(
        self,
        width: float,
        shared_axes: SharedAxes = (),
        *,
        seed: int | None = None,
        site: str | None = None,
        sample_axis: int | None = DEFAULT_AXIS,
    ) -> None:
        super().__init__(kinds.UniformNoise(width, shared_axes), seed, site, sample_axis)
