"""Noise as modules: active in train(), identity in eval()."""

from inspect import Parameter, Signature, signature
from typing import Any, cast

from torch import Tensor, nn

from noisegate.core import checks, kinds, messages
from noisegate.core.errors import InvalidValue
from noisegate.core.keys import SEED_BITS, STEP_BITS, Key, Stream
from noisegate.core.kind import Kind
from noisegate.core.window import DEFAULT_AXIS

from .functional import apply, draw_seed, refuse_backward


class NoiseLayer(nn.Module):
    """A kind of noise as a module; its layers are `Dropout`, `GaussianNoise` and the others.

    Without a seed every training call draws 64 bits from torch's CPU generator, so that
    ``torch.manual_seed`` governs. With a seed and a site the layer reads
    ``Stream(seed).site(site).at(step)`` and counts its own training calls in `step`, which may
    be set and is not part of ``state_dict()``: a resume sets it.

    Parameters
    ----------
    kind : Kind
        The noise; a named layer takes the kind's numbers instead.
    seed : int, optional
        In [0, 2⁶⁴); with it `site` is needed too.
    site : str, optional
        Name of this noise in the seed's stream.
    sample_axis : int or None
        The axis of the samples, as at a call of a kind.

    Attributes
    ----------
    step : int
        The step that the next training call uses; only with a seed.

    Raises
    ------
    InvalidValue
        If a seed is given without a site, or a site without a seed.
    RecomputationError
        If a seeded layer is called inside a backward pass, as activation checkpointing does.

    Examples
    --------
    >>> import noisegate as ng, torch
    >>> layer = ng.torch.Dropout(0.5, seed=13, site="hid1:out")
    >>> layer(torch.ones(2, 4)), layer.step
    (tensor([[0., 0., 2., 2.],
            [2., 0., 2., 2.]]), 1)
    """

    def __init__(
        self,
        kind: Kind,
        seed: int | None = None,
        site: str | None = None,
        sample_axis: int | None = DEFAULT_AXIS,
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


def _layer(kind_class: type[Kind]) -> type[NoiseLayer]:
    """Return the layer of a kind: its numbers, then `seed`, `site` and `sample_axis` by name."""
    who = kind_class.__name__
    own = signature(kind_class).parameters
    given = signature(NoiseLayer.__init__).parameters
    ours = [
        given[name].replace(kind=Parameter.KEYWORD_ONLY) for name in ("seed", "site", "sample_axis")
    ]
    call = Signature([*own.values(), *ours])

    def __init__(self: NoiseLayer, *args: Any, **kwargs: Any) -> None:
        checks.keywords(who, kwargs, list(call.parameters))
        numbers = {name: kwargs.pop(name) for name in list(kwargs) if name in own}
        NoiseLayer.__init__(self, kind_class(*args, **numbers), **kwargs)

    text = (
        f"{who} as a layer; numbers as of `noisegate.{who}`, the rest as of `NoiseLayer`.\n\n"
        f"    {who}{call.replace(return_annotation=Signature.empty)}\n"
    )
    members = {
        "__init__": __init__,
        "__doc__": text,
        "__signature__": call,
        "__module__": __name__,
    }
    return cast(type[NoiseLayer], type(who, (NoiseLayer,), members))


Dropout = _layer(kinds.Dropout)
GaussianNoise = _layer(kinds.GaussianNoise)
GaussianDropout = _layer(kinds.GaussianDropout)
UniformNoise = _layer(kinds.UniformNoise)
