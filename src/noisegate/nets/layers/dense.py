"""Dense layers, with an `activation` or named after one."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from inspect import Parameter
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from noisegate.core.errors import InvalidType, InvalidValue
from noisegate.core.words import shorten
from noisegate.torch import PreActivation

from .. import options, penalties
from ..activations import check_activation, function_of
from ..shapes import Shape
from ..tensors import check_initializer, initialize, tensor_of
from .torch_layers import TorchLayer, parameters_of

# How many samples a batch has whose rows are time steps.
_SAMPLES: ContextVar[int | None] = ContextVar("samples of a batch", default=None)


@contextmanager
def using_samples(count: int) -> Iterator[None]:
    """Give layers the number of samples in their batch, for a block."""
    # Of nested layers over time the outermost counts the samples.
    token = _SAMPLES.set(_SAMPLES.get() or count)
    try:
        yield
    finally:
        _SAMPLES.reset(token)


_NAMED = str | Callable[..., Any] | None
_PENALTY = options.NamedCheck("a penalty", penalties.check_penalty, _NAMED | dict[str, Any])
_CONSTRAINT = options.NamedCheck(
    "a constraint", penalties.check_constraint, _NAMED | dict[str, Any]
)

# Keras 1's words, and their checks.
KERAS: dict[str, options.NamedCheck] = {
    "init": options.NamedCheck("a name, or a callable", check_initializer, _NAMED),
    "weights": options.anything,
    "W_regularizer": _PENALTY,
    "b_regularizer": _PENALTY,
    "activity_regularizer": _PENALTY,
    "W_constraint": _CONSTRAINT,
    "b_constraint": _CONSTRAINT,
}
_ACTIVATION = options.NamedCheck("a name, or a callable", check_activation, _NAMED)


class DenseLayer(PreActivation, TorchLayer):
    """A linear map and an activation, ``activation(x Wᵀ + b)``; without features the latter alone.

    Parameters
    ----------
    out_features : int
        How many units.
    bias : bool
        Whether there is a bias.
    init : str or callable, optional
        One of Keras 1's ten initializers, or ``init(shape)`` for a weight of shape
        (input_dim, output_dim); by default torch's.
    weights : list of arrays, optional
        The weight (input_dim, output_dim), and the bias.
    W_regularizer, b_regularizer, activity_regularizer : str, object or dict, optional
        Penalties, which `penalty` sums.
    W_constraint, b_constraint : str, object or dict, optional
        What `constrain` does to the weights after a step of training.
    device, dtype
        As of `torch.nn.Linear`.
    """

    torch_class = nn.Linear
    size_word = "in_features"
    size_axis = -1
    # The argument that says how many units.
    units_word: ClassVar[str] = "out_features"
    # The activation that it is named after.
    activation_class: ClassVar[type[nn.Module] | None] = None

    @property
    def units(self) -> int | None:
        """How many units; None if it is an activation alone."""
        return self.arguments[self.units_word]  # type: ignore[no-any-return]

    @property
    def is_linear(self) -> bool:
        """Whether its activation changes nothing."""
        if self.activation_class is not None:
            return self.activation_class is nn.Identity
        return self.arguments["activation"] in (None, "linear")

    @property
    def is_weighted(self) -> bool:
        """Whether it has units, and is no activation alone."""
        return self.units is not None

    @property
    def activates(self) -> bool:
        """Whether it is an activation alone, or applies one that changes something."""
        return self.units is None or not self.is_linear

    def parameter_names(self) -> tuple[str, ...]:
        """Return the names of the parameters that it has or will have."""
        return () if self.units is None else ("weight", "bias")

    def activation_function(self) -> Any:
        """Return the function that is applied to the pre-activation."""
        named = self.activation_class
        if named is None:
            return function_of(self.arguments["activation"])
        return named(**{word: self.arguments[word] for word in _activation_parameters(named)})

    def _accept(self, given: Mapping[str, Any]) -> None:
        # Past TorchLayer: an activation alone makes no module of torch's.
        super(TorchLayer, self)._accept(given)
        self._set_function()
        if self.units is None:
            self.built = True
        elif self.arguments["weights"] is not None:
            self._build_from_weights()

    def _set_function(self) -> None:
        # In the dict, since a module would become a child with a name in `state_dict`.
        self.__dict__["function"] = self.activation_function()

    def _assign(self, name: str, value: Any) -> None:
        # Penalties and activations may change at any time; sizes may not once there are weights.
        words = (*KERAS, "activation", *_activation_parameters(self.activation_class))
        if name in words and name not in ("init", "weights"):
            self.arguments = {**self.arguments, name: self._check(name, value)}
            self._set_function()
        else:
            super(TorchLayer, self)._assign(name, value)

    def _make_module(self, size: int | None, device: Any, dtype: Any) -> nn.Module:
        given = self.arguments
        assert size is not None
        assert self.units is not None
        return nn.Linear(
            size,
            self.units,
            given["bias"],
            device=given.get("device") or device,
            dtype=given.get("dtype") or dtype,
        )

    def can_build(self, *given: Shape) -> bool:
        """Return whether parameters can be made for this shape of the input."""
        return self.units is None or super().can_build(*given)

    def infer_shape(self, *given: Shape) -> Shape:
        """Return the shape of the output; raise ValueError with the reason if there is none."""
        if self.units is None:
            return given[0]
        if len(given[0]) < 2:
            raise ValueError("it takes (N, ..., features)")
        return (*super().infer_shape(*given)[:-1], self.units)

    def build(self, *given: Shape, device: Any = None, dtype: Any = None) -> None:
        """Make the parameters for a shape of the input, once."""
        if self.built:
            return
        super().build(*given, device=device, dtype=dtype)
        init = self.arguments["init"]
        if init is not None:
            shape = (self.in_features, self.out_features)
            with torch.no_grad():
                self.weight.copy_(initialize(self.shown, init, shape).T)
                if self.bias is not None:
                    self.bias.zero_()

    def _build_from_weights(self) -> None:
        values = _read_arrays(self, self.arguments["weights"])
        units, bias = self.units or 0, self.arguments["bias"]
        inputs = values[0].shape[0] if values and values[0].ndim == 2 else None
        _check_weights(self, values, [(inputs, units)] + ([(units,)] if bias else []))
        super().build((None, inputs))
        self.set_weights(values)
        self.arguments = {**self.arguments, "weights": None}  # they are the parameters now

    def get_weights(self) -> list[np.ndarray]:
        """Return weight (input_dim, output_dim) and bias, as arrays of their own."""
        if self.units is None or not self.built:
            alone = self.units is None
            reason = (
                "it is an activation alone" if alone else "the size of its input is not known yet"
            )
            remedy = "Give its size" if alone else "Join it to an Input, or run it"
            raise InvalidValue(f"{self.shown} has no weights: {reason}. {remedy}.")
        return [_transpose(w).detach().cpu().numpy().copy() for w in self._weights()]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Take a weight (input_dim, output_dim) and a bias."""
        values = _read_arrays(self, weights)
        _check_weights(self, values, [w.shape for w in self.get_weights()])
        with torch.no_grad():
            for parameter, value in zip(self._weights(), values, strict=True):
                parameter.copy_(_transpose(value))

    def _weights(self) -> list[Tensor]:
        return [w for w in (self.weight, self.bias) if w is not None]

    def forward(self, x: Tensor) -> Tensor:
        """Return the activated output, of the input's shape but for the last axis."""
        if not self.built:
            self.build_from(x)
        weight = self._read("weight")
        z = x if weight is None else self._linear(x, weight)
        if self.__dict__.get("_at_pre"):
            z = self.pre(z)
        y = self.function(z)
        if self.arguments["activity_regularizer"] is not None:
            # With the number of samples, since over time a sample is several rows.
            self.activity = (y, _SAMPLES.get() or len(y)) if self.training else None
        return y  # type: ignore[no-any-return]

    def _read(self, name: str) -> Any:
        """Return a parameter, or what lies over it: noise on it is an attribute of its name."""
        # torch's access of attributes is slow.
        return self.__dict__.get(name, self._parameters.get(name))

    def _linear(self, x: Tensor, weight: Tensor) -> Tensor:
        # Shapes are compared only after torch has refused: a check of each call would cost more.
        try:
            return functional.linear(x, weight, self._read("bias"))
        except RuntimeError:
            self.check_extents(x)
            raise

    def _pair_rules(self, rule: str) -> list[tuple[Any, Tensor]]:
        """Return each ``regularizer`` or ``constraint`` with the parameter that it is for."""
        pairs = (
            (self.arguments[f"{word}_{rule}"], self._parameters.get(name))
            for word, name in (("W", "weight"), ("b", "bias"))
        )
        return [(given, w) for given, w in pairs if given is not None and w is not None]

    def penalty(self) -> Tensor | float:
        """Return the sum of the penalties; that of the output is of the last training forward."""
        total: Tensor | float = 0.0
        for term, w in self._pair_rules("regularizer"):
            total = total + term(_transpose(w))
        activity = self.__dict__.get("activity")
        if activity is not None:
            y, samples = activity
            total = total + self.arguments["activity_regularizer"](y) / max(1, samples)
        return total

    @property
    def penalties(self) -> list[str]:
        """The names of the arguments that hold its penalties."""
        return [w for w in KERAS if w.endswith("regularizer") and self.arguments[w] is not None]

    @property
    def constraints(self) -> list[str]:
        """The names of the arguments that hold its constraints."""
        return [w for w in KERAS if w.endswith("constraint") and self.arguments[w] is not None]

    @torch.no_grad()
    def constrain(self) -> None:
        """Bring the weights within their constraints."""
        for constraint, w in self._pair_rules("constraint"):
            w.copy_(_transpose(constraint(_transpose(w))))

    def extra_repr(self) -> str:
        """Return nothing, since the repr has the arguments."""
        return ""


def _transpose(w: Tensor) -> Tensor:
    # Keras has weights as (input_dim, output_dim), torch the other way round.
    return w.T if w.ndim == 2 else w


def _activation_parameters(named: type[nn.Module] | None) -> dict[str, Parameter]:
    """Return the arguments of an activation of torch's, but `inplace`."""
    given = {} if named is None else parameters_of(named)
    return {name: p for name, p in given.items() if name != "inplace"}


def _list_dense_parameters(named: type[nn.Module] | None) -> dict[str, Parameter]:
    by_place, by_name = Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY
    own = [Parameter("out_features", by_place, default=None if named else Parameter.empty)]
    if named is None:
        own.append(Parameter("activation", by_place, default=None))
    own.append(Parameter("bias", by_name, default=True))
    own += [p.replace(kind=by_name) for p in _activation_parameters(named).values()]
    own += [Parameter(name, by_name, default=None) for name in (*KERAS, "device", "dtype")]
    return {p.name: p for p in own}


def make_dense(
    name: str,
    named: type[nn.Module] | None,
    base: type[DenseLayer] = DenseLayer,
    given: dict[str, Parameter] | None = None,
    **default: Any,
) -> Any:
    """Return a class of dense layers, with the argument `activation` or named after one."""
    given = given or _list_dense_parameters(named)
    for word, value in default.items():
        given[word] = given[word].replace(default=value)
    units = options.or_none(options.size) if named else options.size
    words = "" if named is None else f" with `torch.nn.{named.__name__}`; without features, alone"
    return type(
        name,
        (base, nn.Linear),
        {
            "__doc__": f"A dense layer{words}; its arguments are those of `DenseLayer`.",
            "__module__": "noisegate.nets.layers",
            "PARAMETERS": given,
            "CHECKS": {
                base.units_word: units,
                "activation": _ACTIVATION,
                "bias": options.flag,
                **KERAS,
            },
            "activation_class": named,
        },
    )


def _read_arrays(layer: DenseLayer, weights: Any) -> list[Tensor]:
    """Return a list of weights as tensors."""
    several = list(weights) if isinstance(weights, Iterable) else [None]
    found = [tensor_of(value) for value in several]
    known = [value for value in found if value is not None]
    if len(known) < len(found) or isinstance(weights, str | Mapping):
        raise InvalidType(
            f"{layer.shown}: `weights` must be a list of arrays of numbers, [W, b]; "
            f"got {shorten(weights)}."
        )
    return known


def _check_weights(
    layer: DenseLayer, values: Sequence[Tensor], expected: Sequence[tuple[int | None, ...]]
) -> None:
    """Refuse weights of another number, or of other shapes, than a layer has."""
    found = [tuple(value.shape) for value in values]
    if len(found) != len(expected):
        raise InvalidValue(
            f"{layer.shown}: `weights` must be {len(expected)} arrays; got {len(found)}."
        )
    if found != expected:
        raise InvalidValue(
            f"{layer.shown}: `weights` must have the shapes {expected}, the weight as "
            f"(input_dim, output_dim); got {found}."
        )
