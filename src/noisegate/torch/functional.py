"""Noise as functions of tensors."""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from inspect import Parameter, Signature
from typing import Any, NoReturn, cast

import torch
from torch import Tensor
from torch._C import _are_functorch_transforms_active, _len_torch_dispatch_stack
from torch.utils._python_dispatch import _disable_current_modes as disable_modes

from noisegate.core import apply as core
from noisegate.core import catalogue, checks
from noisegate.core.backends import refuse_array
from noisegate.core.errors import InvalidType, InvalidValue, NoisegateError, prefix_errors
from noisegate.core.keys import Key
from noisegate.core.kind import Kind
from noisegate.core.prepared import prepare
from noisegate.core.window import DEFAULT_AXIS, SampleAxis, window_of
from noisegate.engines import native
from noisegate.engines.torch import FLOATS

from . import cursors, graph_sites, in_graph
from .application import (
    CPU,
    Noise,
    apply_noise,
    apply_plain,
    apply_transformed,
    is_plain,
    refuse_gradient,
    take_rate,
)
from .compiling import eager_only, hold_number
from .dtensors import find_local, give_back, is_dtensor
from .generators import draw_unseen
from .graph_rows import find_ids
from .maps import apply_in_maps, draw_cursor_in_maps
from .members import SHARED
from .nested import apply_to_nested, read_shape
from .query_blocks import Probabilities
from .tracing import is_symbolic, refuse_export, refuse_tracing


def apply_eagerly(
    kind: Kind,
    x: Tensor,
    key: Key,
    rows: Any = None,
    sample_axis: SampleAxis = DEFAULT_AXIS,
    live: Mapping[str, Any] | None = None,
) -> Tensor:
    """Return x with the noise of a key on it; not for code that a compiler traces."""
    if x.layout is not torch.strided or x.is_nested:
        if x.is_nested:
            return apply_to_nested(kind, x, key, rows, sample_axis, live or {}, apply_eagerly)
        if isinstance(x, Probabilities):
            return x.apply(kind, key, rows, sample_axis, live or {})
        _refuse_sparse(kind, x)
    if _are_functorch_transforms_active():
        return apply_in_maps(kind, x, key, rows, sample_axis, live or {})
    call = prepare(kind, key, x.shape, rows, sample_axis, live or {})
    integers = x.dtype not in FLOATS and core.check_input(CPU, kind, x) == "integer"
    if call.idle:
        return x
    if type(x) is not Tensor and is_dtensor(x):
        local, call = find_local(kind, x, key, call)
        return give_back(x, apply_noise(local, None, Noise(kind, key, call)))
    if type(call.rate) is float:
        noise = Noise(kind, key, call)
        return noise(x, None) if integers else apply_plain(x, noise)
    tensor, call = take_rate(kind, x, call)
    noise = Noise(kind, key, call)
    return noise(x, tensor) if integers else apply_transformed(x, tensor, noise, SHARED)


def _apply_in_graph(
    kind: Kind,
    x: Tensor,
    key: Key,
    rows: Any = None,
    sample_axis: SampleAxis = DEFAULT_AXIS,
    live: Mapping[str, Any] | None = None,
) -> Tensor:
    """Return x with the noise of a key on it, in code that a compiler traces."""
    numbers = graph_sites.find_place_numbers(kind, key.seed, key.site, key.slot)
    place = graph_sites.make_place_in_graph(numbers)
    rate = (live or {}).get(kind.RATE)
    if _needs_gradient(rate) and not kind.differentiable:
        _refuse_in_graph(kind)
    step = cursors.make_cursor_in_graph(key.step)
    axis = graph_sites.name_axis(sample_axis)
    return in_graph.add_noise(
        x,
        step,
        place,
        samples=(find_ids(rows, x, axis, type(kind).__name__), -1),
        call=key.call,
        axis=axis,
        rate=rate if rate is None or isinstance(rate, Tensor) else float(rate),
        own_backward=kind.has_own_backward,
    )


def _needs_gradient(rate: Any) -> bool:
    """Return whether a rate is a tensor that a derivative is taken by, also as it is traced."""
    return isinstance(rate, Tensor) and rate.requires_grad and torch.is_grad_enabled()


_refuse_in_graph = checks.at_trace_time(refuse_gradient)


# ``kind(x, key)`` calls this for tensors.
apply = eager_only(apply_eagerly, _apply_in_graph)


def apply_steps(
    kind: Kind, x: Tensor, key: Key, rows: Any, sample_axis: SampleAxis, steps: Sequence[int]
) -> Tensor | None:
    """Return x with the noise of several steps, each on an equal part of the first axis.

    `rows` are the rows of one part. Return None if steps cannot share a pass, because the rate
    depends on the step or x is of integers.
    """
    if isinstance(x, Probabilities):
        return x.apply_steps(kind, key, rows, sample_axis, steps)
    if x.layout is not torch.strided:
        _refuse_sparse(kind, x)
    shape = (len(x) // len(steps), *x.shape[1:])
    call = prepare(kind, key, shape, rows, sample_axis, {})
    if core.check_input(CPU, kind, x) == "integer" or not checks.is_host(kind.rate):
        return None
    if call.idle:
        return x
    plain = is_plain(x) and x.is_cpu
    fused = CPU.fuse_steps(kind, call, x, key, steps) if plain else None
    if fused is not None:
        return cast(Tensor, fused)
    # A pass of whole-array operations costs 0.4 ms however small it is, so all steps share one.
    simple = plain and kind.elementwise and x.is_floating_point() and x.itemsize <= 4
    if native.load_library() is not None or not simple:
        parts = zip(x.chunk(len(steps)), steps, strict=True)
        keys = ((part, key._replace(step=step)) for part, step in parts)
        return torch.cat([apply_noise(part, None, Noise(kind, k, call)) for part, k in keys])
    apart = x.reshape(len(steps), -1, *x.shape[1:])
    y = core.apply_stacked_steps(CPU, kind, apart, key, call, steps)
    return cast(Tensor, y).reshape(x.shape)


def check_rows(kind: Kind, x: Tensor, rows: Any, sample_axis: SampleAxis) -> None:
    """Raise if rows do not fit the samples of x, even where no noise acts."""
    if rows is not None:
        with prefix_errors(type(kind).__name__):
            window_of(read_shape(x, type(kind).__name__), kind.shared, rows, sample_axis)


def _refuse_sparse(kind: Kind, x: Tensor) -> NoReturn:
    raise InvalidType(
        f"{type(kind).__name__}: the input must be dense; got {x.layout}. "
        "Convert it with x.to_dense()."
    )


def draw_seed() -> int:
    """Return 64 bits from torch's CPU generator, so that `torch.manual_seed` governs them."""
    if _are_functorch_transforms_active():
        # One seed serves all members of a map, who differ by their rows.
        with torch._C._DisableFuncTorch():
            return _draw_bits()
    return _draw_bits()


def _draw_bits() -> int:
    # A mode that watches operations would take this one, and the tensor in the cache, for its own.
    with disable_modes() if _len_torch_dispatch_stack() else nullcontext():
        place = _SCRATCH.__dict__.get("place")
        if place is None:
            place = _SCRATCH.place = torch.empty((), dtype=torch.int64, device="cpu")
        return int(draw_unseen(lambda: place.random_(-(2**63), None).item())) % 2**64


_SCRATCH = threading.local()  # one tensor per thread to draw into, since making one costs time


def refuse_leaf(x: Tensor) -> None:
    """Raise if x is a leaf that requires grad, which torch does not let be overwritten."""
    if x.requires_grad and x.is_leaf and torch.is_grad_enabled():
        raise InvalidValue(
            "`inplace=True` would overwrite a leaf tensor that requires grad, whose gradient "
            "needs it. Leave out `inplace`, or work on x.clone()."
        )


def _make_function(name: str) -> Callable[..., Tensor]:
    """Return the function of a layer of the catalogue."""
    definition = catalogue.LAYERS[name]
    call = _build_signature(definition)
    bind = checks.make_binder(call)

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


def _build_signature(definition: catalogue.Definition) -> Signature:
    """Return a function's signature: x, rate, needed arguments and flags, then the rest by name."""
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


_DOC = """Return x with the noise of the layer `{layer}`: the noise of a key, or fresh noise.

    Parameters
    ----------
    x : Tensor
        An input of the layer, of any floating dtype; complex or integers if its kind takes them.
    {rate} : float, Schedule, or Tensor that broadcasts to x
        The rate. A number is checked, a tensor clamped; a schedule needs a key.
    training : bool
        False returns x itself. By default as in torch's function of this name.
    inplace : bool
        Whether x is overwritten; only in functions that torch has with this argument.
    key : Key, optional
        The key of the noise. Without it, 64 bits are drawn from torch's CPU generator, so that
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
    """Return x with the noise of the key, or with fresh noise if there is no key."""
    checks.check_flag("training", training)
    checks.check_flag("inplace", inplace)
    if not isinstance(x, Tensor):
        if is_symbolic(x) and not training:
            return x
        refuse_tracing(x)
        refuse_array(x, "torch")
    if torch.compiler.is_compiling():
        if not training:
            return x
        y = _draw_in_graph(definition.name, words, x, key, rows, sample_axis)
        return x.copy_(y) if inplace else y
    live: dict[str, Any] = {}
    if checks.is_host(words[definition.rate]):
        kind = definition.make_once(**words)
    else:  # a tensor or a schedule may differ at every call, so the cached kind has rate 0
        kind = definition.make_once(**{**words, definition.rate: 0.0})
        live = {kind.RATE: words[definition.rate]}
    axis = definition.sample_axis(words, read_shape(x, definition.name), sample_axis)
    rate = kind.rate
    if live:  # a step that torch maps is no number, and a schedule is read at it later
        mapped = key is not None and isinstance(key.step, Tensor)
        rate = live[kind.RATE] if mapped else kind.rate_at(None if key is None else key.step, live)
    if not training or core.is_identity(kind, rate):
        check_rows(kind, x, rows, axis)
        return x
    if inplace:
        refuse_leaf(x)
    if key is None:  # a key is the caller's own, and so is its step in a trace
        refuse_tracing(x)
        key = Key(draw_seed(), "", 0, 0, 0)
    y = apply(kind, x, key, rows, axis, live)
    return x.copy_(y) if inplace else y


def _draw_in_graph(
    name: str, words: dict[str, Any], x: Tensor, key: Key | None, rows: Any, sample_axis: Any
) -> Tensor:
    """Return x with the noise of a layer, in code that a compiler traces."""
    if key is None:
        refuse_export(name)
    rate = words[catalogue.LAYERS[name].rate]
    live = rate if isinstance(rate, Tensor) else None
    numbers = tuple(
        (word, hold_number(value) if isinstance(value, float) else value)
        for word, value in words.items()
        if value is not live
    )
    named = (None, "", 0) if key is None else (key.seed, key.site, key.slot)
    cursor = draw_cursor_in_maps() if key is None else cursors.make_cursor_in_graph(key.step)
    found, axis, own = _find_place_of_layer(
        name, numbers, x.ndim, sample_axis, named, _needs_gradient(live)
    )
    place = graph_sites.make_place_in_graph(found)
    call = 0 if key is None else key.call
    ids = find_ids(rows, x, axis, name)
    given: dict[str, Any] = {"rate": live, "samples": (ids, -1), "call": call, "axis": axis}
    return in_graph.add_noise(x, cursor, place, own_backward=own, **given)


@checks.at_trace_time
def _find_place_of_layer(
    name: str,
    words: Any,
    rank: int,
    sample_axis: Any,
    named: tuple[Any, str, int],
    with_gradient: bool,
) -> tuple[tuple[int, ...], str, bool]:
    """Return the numbers of a layer's noise, at rate 0 if it has none yet, and the sample axis.

    The last value is whether the derivative is of another field than the noise.
    """
    definition = catalogue.LAYERS[name]
    numbers = {definition.rate: 0.0, **dict(words)}
    axis = definition.sample_axis(numbers, (1,) * rank, sample_axis)
    kind = definition.make_once(**numbers)
    if with_gradient and not kind.differentiable:
        refuse_gradient(kind)
    found = graph_sites.find_place_numbers(kind, *named)
    return found, graph_sites.name_axis(axis), kind.has_own_backward


dropout = _make_function("Dropout")
dropout1d = _make_function("Dropout1d")
dropout2d = _make_function("Dropout2d")
dropout3d = _make_function("Dropout3d")
alpha_dropout = _make_function("AlphaDropout")
feature_alpha_dropout = _make_function("FeatureAlphaDropout")
spatial_dropout1d = _make_function("SpatialDropout1D")
spatial_dropout2d = _make_function("SpatialDropout2D")
spatial_dropout3d = _make_function("SpatialDropout3D")
dropout_channels = _make_function("DropoutChannels")
dropout_locations = _make_function("DropoutLocations")
drop_path = _make_function("DropPath")
locked_dropout = _make_function("LockedDropout")
concrete_dropout = _make_function("ConcreteDropout")
gaussian_dropout = _make_function("GaussianDropout")
gaussian_noise = _make_function("GaussianNoise")
uniform_noise = _make_function("UniformNoise")
impulse_noise = _make_function("ImpulseNoise")
multiplicative_uniform_noise = _make_function("MultiplicativeUniformNoise")
neftune_noise = _make_function("NeftuneNoise")
patch_dropout = _make_function("PatchDropout")
quantization_noise = _make_function("QuantizationNoise")
random_erasing = _make_function("RandomErasing")
shot_noise = _make_function("ShotNoise")
span_mask = _make_function("SpanMask")
speckle_noise = _make_function("SpeckleNoise")
drop_block = _make_function("DropBlock")
drop_key = _make_function("DropKey")
zoneout = _make_function("Zoneout")
drop_block1d = _make_function("DropBlock1d")
drop_block2d = _make_function("DropBlock2d")
drop_block3d = _make_function("DropBlock3d")
