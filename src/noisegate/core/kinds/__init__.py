"""The kinds of noise, one file each: what each does to an element. Rules: `spec/kinds.md`."""

from collections.abc import Iterable, Mapping
from typing import Any

from .. import axes, schedule
from ..errors import InvalidType, InvalidValue
from ..kind import Kind
from ..words import got, list_names, suggest
from .alpha_dropout import AlphaDropout
from .concrete_dropout import ConcreteDropout
from .drop_block import DropBlock
from .drop_key import DropKey
from .dropout import Dropout
from .gaussian_dropout import GaussianDropout
from .gaussian_noise import GaussianNoise
from .impulse_noise import ImpulseNoise
from .multiplicative_uniform_noise import MultiplicativeUniformNoise
from .neftune_noise import NeftuneNoise
from .patch_dropout import PatchDropout
from .quantization_noise import QuantizationNoise
from .random_erasing import RandomErasing
from .shot_noise import ShotNoise
from .span_mask import SpanMask
from .speckle_noise import SpeckleNoise
from .uniform_noise import UniformNoise
from .zoneout import Zoneout

__all__ = [
    "KINDS",
    "AlphaDropout",
    "ConcreteDropout",
    "DropBlock",
    "DropKey",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "ImpulseNoise",
    "MultiplicativeUniformNoise",
    "NeftuneNoise",
    "PatchDropout",
    "QuantizationNoise",
    "RandomErasing",
    "ShotNoise",
    "SpanMask",
    "SpeckleNoise",
    "UniformNoise",
    "Zoneout",
    "from_config",
]

KINDS: dict[str, type[Kind]] = {
    kind.__name__: kind
    for kind in (
        Dropout,
        AlphaDropout,
        ConcreteDropout,
        DropBlock,
        DropKey,
        GaussianDropout,
        GaussianNoise,
        ImpulseNoise,
        UniformNoise,
        MultiplicativeUniformNoise,
        NeftuneNoise,
        PatchDropout,
        QuantizationNoise,
        RandomErasing,
        ShotNoise,
        SpanMask,
        SpeckleNoise,
        Zoneout,
    )
}


def from_config(config: Any, kinds: Iterable[type[Kind]] = ()) -> Kind:
    """Return the kind that a config describes; the inverse of ``kind.config()``.

    Parameters
    ----------
    config : mapping
        The result of ``kind.config()``, or its copy by way of JSON.
    kinds : iterable of classes
        Your own kinds, which the config may name as well as noisegate's.

    Raises
    ------
    InvalidType, InvalidValue
        If the config is not a dict with an entry 'kind', the kind is unknown, or a number is
        invalid.

    Examples
    --------
    >>> import noisegate as ng
    >>> ng.from_config({"kind": "Dropout", "p": 0.2, "shared_axes": {"slice": [2, None, None]}})
    Dropout(p=0.2, shared_axes=slice(2, None))
    """
    values = dict(config) if isinstance(config, Mapping) else {}
    if "kind" not in values:
        raise InvalidType(f"from_config: a config is a dict with an entry 'kind'; {got(config)}.")
    known = KINDS | {kind.__name__: kind for kind in kinds}
    name = values.pop("kind")
    if not isinstance(name, str) or name not in known:
        near = suggest(name, list(known)) if isinstance(name, str) else ""
        raise InvalidValue(
            f"from_config: unknown kind {name!r}; known are {list_names(known)}.{near}"
        )
    return known[name](**{word: _restore_value(value) for word, value in values.items()})


def _restore_value(value: Any) -> Any:
    if isinstance(value, Mapping) and "schedule" in value:
        return schedule.from_config(value)
    return axes.from_config(value)
