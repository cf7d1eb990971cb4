"""Noise for neural networks: dropout and its family, for any model, with the same bits everywhere.

Kinds say what the noise is: `Dropout`, `GaussianNoise`, `DropBlock` and others. Presets are
functions that return kinds, and `schedule` makes rates that change with the step. A `Stream` gives
keys, which say where noise is read. `mask` and `noise` show it without a model, and `inject` puts
it into a model. `noisegate.numpy` and `noisegate.torch` are the faces of these libraries, imported
on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .core import errors, schedule
from .core.draws import Field
from .core.errors import InvalidType as InvalidType
from .core.errors import InvalidValue as InvalidValue
from .core.errors import MissingAttribute as MissingAttribute
from .core.errors import MissingExtra as MissingExtra
from .core.errors import NoisegateError as NoisegateError
from .core.errors import RandomnessError as RandomnessError
from .core.errors import RecomputationError as RecomputationError
from .core.errors import UnmatchedRule as UnmatchedRule
from .core.extras import find_missing
from .core.keys import Key, Stream
from .core.kind import Kind
from .core.kinds import (
    KINDS,
    AlphaDropout,
    ConcreteDropout,
    DropBlock,
    Dropout,
    GaussianDropout,
    GaussianNoise,
    ImpulseNoise,
    UniformNoise,
    from_config,
)
from .core.kinds import DropKey as DropKey
from .core.kinds import MultiplicativeUniformNoise as MultiplicativeUniformNoise
from .core.kinds import NeftuneNoise as NeftuneNoise
from .core.kinds import PatchDropout as PatchDropout
from .core.kinds import QuantizationNoise as QuantizationNoise
from .core.kinds import RandomErasing as RandomErasing
from .core.kinds import ShotNoise as ShotNoise
from .core.kinds import SpanMask as SpanMask
from .core.kinds import SpeckleNoise as SpeckleNoise
from .core.kinds import Zoneout as Zoneout
from .core.old_words import missing_name
from .core.presets import (
    drop_path,
    dropout_channels,
    dropout_locations,
    locked_dropout,
    spatial_dropout,
)

if TYPE_CHECKING:
    from . import accelerate as accelerate
    from . import estimators as estimators
    from . import lightning as lightning
    from . import nets, numpy, pictures, study, torch
    from . import skorch as skorch
    from . import transformers as transformers
    from . import tune as tune
    from .core import kinds as kinds
    from .injection import handles, inject
    from .numpy import mask, noise
    from .prediction import predict

__version__ = "0.1.0"

# Left out: the errors, which are listed in `errors`; the kinds that fewer models need, which are
# listed in `kinds` with the others; and `estimators`, `tune` and what trainers of other libraries
# call, which are modules to import from.
__all__ = [
    "AlphaDropout",
    "ConcreteDropout",
    "DropBlock",
    "Dropout",
    "Field",
    "GaussianDropout",
    "GaussianNoise",
    "ImpulseNoise",
    "Key",
    "Kind",
    "Stream",
    "UniformNoise",
    "drop_path",
    "dropout_channels",
    "dropout_locations",
    "errors",
    "from_config",
    "handles",
    "inject",
    "locked_dropout",
    "mask",
    "nets",
    "noise",
    "numpy",
    "pictures",
    "predict",
    "schedule",
    "spatial_dropout",
    "study",
    "torch",
]

# Name: (module, attribute; None for the module itself). A module names the extra that it lacks.
_LAZY = {
    "accelerate": ("accelerate", None),
    "RankRows": ("core.rank_rows", "RankRows"),
    "estimators": ("estimators", None),
    "handles": ("injection", "handles"),
    "inject": ("injection", "inject"),
    "kinds": ("core.kinds", None),
    "lightning": ("lightning", None),
    "mask": ("numpy", "mask"),
    "nets": ("nets", None),
    "noise": ("numpy", "noise"),
    "numpy": ("numpy", None),
    "pictures": ("pictures", None),
    "predict": ("prediction", "predict"),
    "skorch": ("skorch", None),
    "torch": ("torch", None),
    "transformers": ("transformers", None),
    "study": ("study", None),
    "tune": ("tune", None),
}
# The rooms that need an extra.
_EXTRAS = {
    "accelerate": "accelerate",
    "estimators": "estimators",
    "lightning": "lightning",
    "nets": "torch",
    "skorch": "skorch",
    "study": "study",
    "torch": "torch",
    "transformers": "transformers",
    "tune": "tune",
}
# Left out of `dir`, since their libraries take seconds to import.
_OF_TRAINERS = {"accelerate", "lightning", "skorch", "transformers"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise missing_name(__name__, name)
    module, attribute = _LAZY[name]
    loaded = import_module(f"{__name__}.{module}")
    value = loaded if attribute is None else getattr(loaded, attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    # What cannot be loaded is left out: `help` asks for everything that is here.
    missing = {name for name, extra in _EXTRAS.items() if find_missing(extra) is not None}
    return sorted({*__all__, *errors.__all__, *KINDS, *_LAZY} - missing - _OF_TRAINERS)
