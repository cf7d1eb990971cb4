"""Noise as functions of tensors."""

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from inspect import Parameter, Signature
from typing import Any, cast

import torch
from torch import Tensor

from noisegate.core import apply as core
from noisegate.core import catalogue, checks
from noisegate.core.backends import refuse_array
from noisegate.core.errors import InvalidType, InvalidValue, NoisegateError, prefix_errors
from noisegate.core.keys import Key
from noisegate.core.kind import Kind
from noisegate.core.window import DEFAULT_AXIS, SampleAxis, Window, window_of
from noisegate.engines import native
from noisegate.engines.torch import TorchEngine, Works

from .application import CPU, Noise, apply_noise, device_of_noise, refuse_gradient
from .compiling import eager_only
from .generators import draw_unseen


@eager_only
def apply(
    kind: Kind,
    x: Tensor,
    key: Key,
    rows: Any = None,
    sample_axis: SampleAxis = DEFAULT_AXIS,
    live: Mapping[str, Any] | None = None,
) -> Tensor:
    """Return x with the noise of a key on it; what ``kind(x, key)`` calls for tensors."""
    if rows is None and not live and type(key) is Key and checks.is_host(kind.rate):
        plain = type(x) is Tensor and x.is_cpu and x.layout is torch.strided
        known = _known(kind, x.shape, x.dtype, sample_axis) if plain else None
        if known is not None:
            window, rate, works = known
            return apply_noise(x, None, Noise(kind, key, window, rate, False, works))
    window, rate, precision = _checked(kind, x, key, rows, sample_axis, live or {})
    if core.is_identity(kind, rate):
        return x
    if checks.is_host(rate):
        noise, tensor = Noise(kind, key, window, rate), None
    else:
        # A float64 of NumPy's has no place on a device without it.
        tensor = torch.as_tensor(rate, device=device_of_noise(x.device))
        noise = Noise(kind, key, window, None)
        if tensor.requires_grad and torch.is_grad_enabled() and not kind.differentiable:
            refuse_gradient(kind)
    return noise(x, tensor) if precision == "integer" else apply_noise(x, tensor, noise)


def window_for(
    kind: Kind, x: Tensor, key: Key, rows: Any, sample_axis: SampleAxis
) -> tuple[Window, bool]:
    """Return the window of a call whose rate is a number, and whether x is integers; or raise.

    Both depend on nothing of x but shape, dtype and layout.
    """
    window, _, precision = _checked(kind, x, key, rows, sample_axis, {})
    return window, precision == "integer"


def apply_in(
    kind: Kind, x: Tensor, key: Key, window: Window, rate: float, works: Works | None = None
) -> Tensor:
    """Return floating x with the noise of a key and a rate on it, where its window is known.

    `works` is a dict that the same window and rate are always given with.
    """
    return apply_noise(x, None, Noise(kind, key, window, rate, False, works))


def apply_steps(
    kind: Kind,
    x: Tensor,
    key: Key,
    window: Window,
    rate: float,
    steps: Sequence[int],
    works: Works | None = None,
) -> Tensor:
    """Return x with the noise of several steps on it, each on an equal part of its first axis.

    `works` is as for `apply_in`, of a part.
    """
    # Without a pass that is over in microseconds, all steps share one.
    simple = kind.elementwise and x.is_cpu and x.is_floating_point() and x.itemsize <= 4
    if native.library() is not None or not simple or (x.requires_grad and torch.is_grad_enabled()):
        parts = zip(x.chunk(len(steps)), steps, strict=True)
        keys = ((p, key._replace(step=step)) for p, step in parts)
        return torch.cat([apply_in(kind, p, k, window, rate, works) for p, k in keys])
    apart = x.reshape(len(steps), -1, *x.shape[1:])
    y = core.apply_steps(CPU, kind, apart, key, window, rate, steps)
    return cast(Tensor, y).reshape(x.shape)


def _known(
    kind: Kind, shape: tuple[int, ...], dtype: torch.dtype, sample_axis: SampleAxis
) -> tuple[Window, float, Works] | None:
    """Return the window and the rate of a call of which nothing but the key is new.

    And what the native engine does in such calls.
    """
    if not native.is_ours(kind) or not isinstance(sample_axis, int | str | None):
        return None  # of another's kinds equal ones may differ
    return _known_before(kind, shape, dtype, sample_axis)


@lru_cache(maxsize=4096, typed=True)
def _known_before(
    kind: Kind, shape: tuple[int, ...], dtype: torch.dtype, sample_axis: SampleAxis
) -> tuple[Window, float, Works] | None:
    rate = kind.rate
    if not dtype.is_floating_point or not checks.is_host(rate) or kind.is_identity(rate):
        return None
    x = torch.empty(shape, dtype=dtype, device="meta")
    core.check_input(CPU, kind, x)
    return (*core.prepare(kind, native.NO_KEY, tuple(shape), None, sample_axis, {}), Works())


def _checked(
    kind: Kind, x: Tensor, key: Key, rows: Any, sample_axis: SampleAxis, live: Mapping[str, Any]
) -> tuple[Window, Any, str]:
    """Return the window, the rate and the precision of a call, all arguments checked."""
    with prefix_errors(type(kind).__name__):
        _check_dense(x)
    window, rate = core.prepare(kind, key, tuple(x.shape), rows, sample_axis, live)
    engine = CPU if x.is_cpu else TorchEngine(x.device)
    return window, rate, core.check_input(engine, kind, x)


def check_rows(kind: Kind, x: Tensor, rows: Any, sample_axis: SampleAxis) -> None:
    """Refuse rows that are none of x's samples, also where no noise acts."""
    if rows is not None:
        with prefix_errors(type(kind).__name__):
            window_of(tuple(x.shape), kind.shared, rows, sample_axis)


def _check_dense(x: Tensor) -> None:
    if x.is_nested:
        raise InvalidType(
            "the input must be dense; got a nested tensor. Convert it with x.to_padded_tensor(0.0)."
        )
    if x.layout is not torch.strided:
        raise InvalidType(f"the input must be dense; got {x.layout}. Convert it with x.to_dense().")


def draw_seed() -> int:
    """Return 64 bits from torch's CPU generator, so that `torch.manual_seed` governs them."""
    place = _SCRATCH.__dict__.get("place")
    if place is None:
        place = _SCRATCH.place = torch.empty((), dtype=torch.int64)
    return int(draw_unseen(lambda: place.random_(-(2**63), None).item())) % 2**64


_SCRATCH = threading.local()  # where each thread draws


def refuse_leaf(x: Tensor) -> None:
    """Raise if x is what torch would not let be overwritten: a leaf that requires grad."""
    if x.requires_grad and x.is_leaf and torch.is_grad_enabled():
        raise InvalidValue(
            "`inplace=True` would overwrite a leaf tensor that requires grad, whose gradient "
            "needs it. Leave out `inplace`, or work on x.clone()."
        )


def _function(name: str) -> Callable[..., Tensor]:
    """Return the function of a layer: x, its rate and what else it needs, then by name."""
    definition = catalogue.LAYERS[name]
    call = _signature(definition)
    bind = checks.binder(call)

    def function(*args: Any, **kwargs: Any) -> Tensor:
        try:
            given = bind(args, kwargs)
        except NoisegateError as error:
            error.prefix(definition.function)
            raise
        try:
            words = {word: given.pop(word) for word in definition.parameters}
            return _apply_or_pass(definition, words, **given)
        except NoisegateError as error:
            error.prefix(definition.name)
            raise

    function.__name__ = function.__qualname__ = definition.function
    function.__doc__ = _DOC.format(layer=name, rate=definition.rate)
    function.__signature__ = call  # type: ignore[attr-defined]
    return function


def _signature(definition: catalogue.Definition) -> Signature:
    first, *others = definition.parameters.values()
    needed = [p for p in others if p.default is Parameter.empty]
    by_name = [p.replace(kind=Parameter.KEYWORD_ONLY) for p in others if p not in needed]
    place, name = Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY
    flags = [("training", definition.training)] + [("inplace", False)] * definition.inplace
    keys: list[Any] = [("key", None, Key | None), ("rows", None, Any)]
    keys += [("sample_axis", DEFAULT_AXIS, int | str | None)]
    return Signature(
        [
            Parameter("x", place, annotation=Tensor),
            first.replace(annotation=first.annotation | Tensor),
            *needed,
            *(Parameter(n, place, default=v, annotation=bool) for n, v in flags),
            *by_name,
            *(Parameter(n, name, default=v, annotation=a) for n, v, a in keys),
        ],
        return_annotation=Tensor,
    )


_DOC = """Return x with the noise of the layer `{layer}`, fresh or that of a key.

    Parameters
    ----------
    x : Tensor
        Of the layer's form and any floating dtype; complex and integers as its kind takes them.
    {rate} : float, Schedule, or Tensor that broadcasts to x
        The rate. A number is checked, a tensor clamped; a schedule needs a key.
    training : bool
        False returns x itself. The default is that of torch's function of this name.
    inplace : bool
        Whether x is overwritten, where torch has that too.
    key : Key, optional
        Which noise. Without it, 64 bits are drawn from torch's CPU generator, so that
        ``torch.manual_seed`` governs.
    rows, sample_axis
        As at a call of a kind. The other arguments are the layer's.
    """


def _apply_or_pass(
    definition: catalogue.Definition,
    words: dict[str, Any],
    x: Tensor,
    training: bool,
    key: Key | None,
    rows: Any,
    sample_axis: int | None,
    inplace: bool = False,
) -> Tensor:
    """Return x with noise: that of the key, or fresh noise by torch's generator."""
    checks.flag("training", training)
    checks.flag("inplace", inplace)
    if not isinstance(x, Tensor):
        refuse_array(x, "torch")
    live: dict[str, Any] = {}
    if checks.is_host(words[definition.rate]):
        kind = definition.make_once(**words)
    else:  # a tensor or a schedule, which a kind does not hold, or not for all calls
        kind = definition.make_once(**{**words, definition.rate: 0.0})
        live = {kind.RATE: words[definition.rate]}
    axis = definition.sample_axis(words, tuple(x.shape), sample_axis)
    rate = kind.rate_at(None if key is None else key.step, live) if live else kind.rate
    if not training or core.is_identity(kind, rate):
        check_rows(kind, x, rows, axis)
        return x
    if inplace:
        refuse_leaf(x)
    y = apply(kind, x, Key(draw_seed(), "", 0, 0, 0) if key is None else key, rows, axis, live)
    return x.copy_(y) if inplace else y


dropout = _function("Dropout")
dropout1d = _function("Dropout1d")
dropout2d = _function("Dropout2d")
dropout3d = _function("Dropout3d")
alpha_dropout = _function("AlphaDropout")
feature_alpha_dropout = _function("FeatureAlphaDropout")
spatial_dropout1d = _function("SpatialDropout1D")
spatial_dropout2d = _function("SpatialDropout2D")
spatial_dropout3d = _function("SpatialDropout3D")
dropout_channels = _function("DropoutChannels")
dropout_locations = _function("DropoutLocations")
drop_path = _function("DropPath")
locked_dropout = _function("LockedDropout")
concrete_dropout = _function("ConcreteDropout")
gaussian_dropout = _function("GaussianDropout")
gaussian_noise = _function("GaussianNoise")
uniform_noise = _function("UniformNoise")
impulse_noise = _function("ImpulseNoise")
drop_block = _function("DropBlock")
drop_block1d = _function("DropBlock1d")
drop_block2d = _function("DropBlock2d")
drop_block3d = _function("DropBlock3d")
