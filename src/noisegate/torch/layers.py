"""Noise as modules: active in train(), identity in eval()."""

from collections.abc import Callable
from inspect import Parameter, Signature, signature
from typing import Any, ClassVar, cast

from noisegate.core import catalogue, checks
from noisegate.core.errors import prefix_errors
from noisegate.core.kind import Kind, check_kind
from noisegate.core.window import DEFAULT_AXIS

from .concrete import ConcreteDropout as ConcreteDropout
from .noise_layer import NoiseLayer as NoiseLayer


def layer(
    kind: Kind,
    *,
    seed: int | None = None,
    site: str | None = None,
    sample_axis: int | None = DEFAULT_AXIS,
) -> NoiseLayer:
    """Return the layer of any kind, your own included.

    Parameters are those of `NoiseLayer`. A kind of noisegate's gives the named layer of the kind.

    Examples
    --------
    >>> import noisegate as ng
    >>> ng.torch.layer(ng.drop_path(0.1))
    Dropout(p=0.1, shared_axes='all_but_samples', inplace=False)
    """
    with prefix_errors("layer"):
        check_kind(kind)
    definition = catalogue.LAYERS.get(type(kind).__name__)
    # A kind of the user's may have the name of one of noisegate's.
    if definition is None or definition.make is not type(kind):
        return NoiseLayer(kind, seed, site, sample_axis)
    numbers = {name: getattr(kind, name) for name in kind.names()}
    named = cast(Callable[..., NoiseLayer], globals()[definition.name])
    return named(**numbers, seed=seed, site=site, sample_axis=sample_axis)


class NamedLayer(NoiseLayer):
    """A layer defined by a row of `noisegate.core.catalogue.LAYERS`, which names its arguments."""

    definition: ClassVar[catalogue.Definition]
    __signature__ = checks.TableSignature(lambda named: _build_layer_signature(named.definition))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        definition = self.definition
        call = _build_layer_signature(definition)
        with prefix_errors(definition.name):
            given = checks.bind_arguments(call, args, kwargs)
        arguments = {word: given[word] for word in definition.parameters}
        rest = (given[word] for word in ("seed", "site", "sample_axis"))
        self._begin(arguments, definition.make(**arguments), *rest)
        if definition.inplace:
            with prefix_errors(definition.name):
                self.inplace = checks.check_flag("inplace", given["inplace"])


def _make_layer(name: str) -> type[NamedLayer]:
    """Return the layer class of a row of the catalogue."""
    definition = catalogue.LAYERS[name]
    call = _build_layer_signature(definition)
    members = {
        "__doc__": _DOC.format(name=name, call=call),
        "__module__": __name__,
        "definition": definition,
    }
    return cast(type[NamedLayer], type(name, (NamedLayer,), members))


_DOC = """The layer {name}; its arguments are those of the kind and of `NoiseLayer`.

    {name}{call}
"""


def _build_layer_signature(definition: catalogue.Definition) -> Signature:
    """Return a layer's signature: the rate, torch's arguments in torch's order, others by name."""
    own = list(definition.parameters.values())
    if definition.inplace:
        needed = [p for p in own if p.name == definition.rate or p.default is Parameter.empty]
        others = [p.replace(kind=Parameter.KEYWORD_ONLY) for p in own if p not in needed]
        place = Parameter.POSITIONAL_OR_KEYWORD
        flag = Parameter("inplace", place, default=False, annotation=bool)
        own = [*needed, flag, *others]
    ours = signature(NoiseLayer).parameters
    words = (ours[name] for name in ("seed", "site", "sample_axis"))
    return Signature([*own, *(word.replace(kind=Parameter.KEYWORD_ONLY) for word in words)])


Dropout = _make_layer("Dropout")
Dropout1d = _make_layer("Dropout1d")
Dropout2d = _make_layer("Dropout2d")
Dropout3d = _make_layer("Dropout3d")
AlphaDropout = _make_layer("AlphaDropout")
FeatureAlphaDropout = _make_layer("FeatureAlphaDropout")
SpatialDropout1D = _make_layer("SpatialDropout1D")
SpatialDropout2D = _make_layer("SpatialDropout2D")
SpatialDropout3D = _make_layer("SpatialDropout3D")
DropoutChannels = _make_layer("DropoutChannels")
DropoutLocations = _make_layer("DropoutLocations")
DropPath = _make_layer("DropPath")
LockedDropout = _make_layer("LockedDropout")
GaussianDropout = _make_layer("GaussianDropout")
GaussianNoise = _make_layer("GaussianNoise")
UniformNoise = _make_layer("UniformNoise")
ImpulseNoise = _make_layer("ImpulseNoise")
MultiplicativeUniformNoise = _make_layer("MultiplicativeUniformNoise")
NeftuneNoise = _make_layer("NeftuneNoise")
PatchDropout = _make_layer("PatchDropout")
QuantizationNoise = _make_layer("QuantizationNoise")
RandomErasing = _make_layer("RandomErasing")
ShotNoise = _make_layer("ShotNoise")
SpanMask = _make_layer("SpanMask")
SpeckleNoise = _make_layer("SpeckleNoise")
DropBlock = _make_layer("DropBlock")
DropKey = _make_layer("DropKey")
Zoneout = _make_layer("Zoneout")
DropBlock1d = _make_layer("DropBlock1d")
DropBlock2d = _make_layer("DropBlock2d")
DropBlock3d = _make_layer("DropBlock3d")
