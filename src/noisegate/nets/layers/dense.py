"""Dense layers, and those that bear the name of their activation."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from inspect import Parameter
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from noisegate.core.errors import InvalidValue
from noisegate.torch import PreActivation

from .. import activations, initializers, messages, options, penalties
from ..shapes import Shape
from .torch_layers import Row, TorchLayer, arrays_of, build_from, refuse_shape, refuse_weights

_SAMPLES: ContextVar[int | None] = ContextVar("samples of a batch", default=None)


def samples_in_use() -> int | None:
    """Return how many samples the rows of a batch are of, where they are steps of time."""
    return _SAMPLES.get()


@contextmanager
def using_samples(count: int) -> Iterator[None]:
    """Tell layers, for a block, how many samples the rows of their batch are of."""
    token = _SAMPLES.set(_SAMPLES.get() or count)
    try:
        yield
    finally:
        _SAMPLES.reset(token)


_NAMED = str | Callable[..., Any] | None
_PENALTY = options.Named("a penalty", penalties.penalty, _NAMED | dict[str, Any])
_CONSTRAINT = options.Named("a constraint", penalties.constraint, _NAMED | dict[str, Any])

# Keras 1's words, and their checks.
KERAS: dict[str, tuple[Any, options.Named]] = {
    "init": (None, options.Named("a name, or a callable", initializers.checked, _NAMED)),
    "weights": (None, options.anything),
    "W_regularizer": (None, _PENALTY),
    "b_regularizer": (None, _PENALTY),
    "activity_regularizer": (None, _PENALTY),
    "W_constraint": (None, _CONSTRAINT),
    "b_constraint": (None, _CONSTRAINT),
}
_ACTIVATION = options.Named("a name, or a callable", activations.checked, _NAMED)


def _row(name: str) -> Row:
    # The units have several names, so that `DenseLayer` finds the shape itself.
    return Row(
        name, nn.Linear, lambda _, shape: shape, "in_features", -1, keeps_time=True, weighted=True
    )


class DenseLayer(PreActivation, TorchLayer):
    """A linear map and an activation: ``activation(x Wᵀ + b)``; without features, that alone.

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

    # The argument that says how many units.
    units_word: ClassVar[str] = "out_features"

    @property
    def units(self) -> int | None:
        """How many units; None if it is an activation alone."""
        return self.arguments[self.units_word]  # type: ignore[no-any-return]

    @property
    def is_linear(self) -> bool:
        """Whether its activation changes nothing."""
        named = getattr(type(self), "activation_class", None)
        if named is not None:
            return bool(named is nn.Identity)
        return self.arguments["activation"] in (None, "linear")

    def parameter_names(self) -> tuple[str, ...]:
        """Return the names of the parameters that it has or will have."""
        return () if self.units is None else ("weight", "bias")

    def activation_function(self) -> Any:
        """Return the function that is applied to the pre-activation."""
        raise NotImplementedError

    def _accept(self, given: Mapping[str, Any]) -> None:
        super(TorchLayer, self)._accept(given)
        self.__dict__["function"] = self.activation_function()  # no child, even if a module
        if self.units is None:
            self.built = True
        elif self.arguments["weights"] is not None:
            self._build_of_weights()

    def _assign(self, name: str, value: Any) -> None:
        words = (*KERAS, "activation", *_of_torch_s(type(self)))
        if name in words and name not in ("init", "weights"):
            self.arguments = {
                **self.arguments,
                name: self.check_of(name)(type(self).__name__, name, value),
            }
            self.__dict__["function"] = self.activation_function()  # no child, even if a module
        else:
            super(TorchLayer, self)._assign(name, value)

    def _inner(self, size: int | None, device: Any, dtype: Any) -> nn.Module:
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

    def shape_rule(self, *given: Shape) -> Shape:
        """Return the shape of the output; raise ValueError with the reason if there is none."""
        if self.units is None:
            return given[0]
        if len(given[0]) < 2:
            raise ValueError("it takes (N, ..., features)")
        return (*super().shape_rule(*given)[:-1], self.units)

    def build(self, *given: Shape, device: Any = None, dtype: Any = None) -> None:
        """Make the parameters for a shape of the input, once."""
        if self.built:
            return
        super().build(*given, device=device, dtype=dtype)
        init = self.arguments["init"]
        if init is not None:
            shape = (self.in_features, self.out_features)
            with torch.no_grad():
                self.weight.copy_(initializers.initial(self.shown, init, shape).T)
                if self.bias is not None:
                    self.bias.zero_()

    def _build_of_weights(self) -> None:
        values = arrays_of(self, self.arguments["weights"])
        units, bias = self.units or 0, self.arguments["bias"]
        inputs = values[0].shape[0] if values and values[0].ndim == 2 else None
        refuse_weights(self, values, [(inputs, units)] + ([(units,)] if bias else []))
        super().build((None, inputs))
        self.set_weights(values)
        self.arguments = {**self.arguments, "weights": None}  # they are the parameters now

    def get_weights(self) -> list[np.ndarray]:
        """Return weight (input_dim, output_dim) and bias, as arrays of their own."""
        if self.units is None or not self.built:
            raise InvalidValue(messages.no_weights(self.shown, self.units is None))
        bias = [] if self.bias is None else [self.bias]
        return [w.detach().cpu().numpy().copy() for w in (self.weight.T, *bias)]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Take a weight (input_dim, output_dim) and a bias."""
        values = arrays_of(self, weights)
        refuse_weights(self, values, [w.shape for w in self.get_weights()])
        with torch.no_grad():
            for parameter, value in zip(
                (self.weight, *([] if self.bias is None else [self.bias])), values, strict=True
            ):
                parameter.copy_(value.T if value.ndim == 2 else value)

    def forward(self, x: Tensor) -> Tensor:
        """Return the activated output, of the input's shape but for the last axis."""
        if not self.built:
            build_from(self, x)
        weight = self._parameters.get("weight")
        z = x if weight is None else self._linear(x, weight)
        if self.__dict__.get("_at_pre"):
            z = self.pre(z)
        y = self.function(z)
        if self.arguments["activity_regularizer"] is not None:
            # With how many samples it has: over time, a sample is several rows.
            self.activity = (y, samples_in_use() or len(y)) if self.training else None
        return y  # type: ignore[no-any-return]

    def _linear(self, x: Tensor, weight: Tensor) -> Tensor:
        try:
            return functional.linear(x, weight, self._parameters["bias"])
        except RuntimeError:
            refuse_shape(self, x)
            raise

    def penalty(self) -> Tensor | float:
        """Return the sum of the penalties, of the output of the last training forward too."""
        given, total = self.arguments, 0.0
        parameters = self._parameters
        for word, w in (
            ("W_regularizer", parameters.get("weight")),
            ("b_regularizer", parameters.get("bias")),
        ):
            if given[word] is not None and w is not None:
                total = total + given[word](w.T if w.ndim == 2 else w)
        activity = self.__dict__.get("activity")
        if activity is not None:
            y, samples = activity
            total = total + given["activity_regularizer"](y) / max(1, samples)
        return total

    @property
    def penalties(self) -> list[str]:
        """Which penalties it has, by the words for them."""
        return [w for w in KERAS if w.endswith("regularizer") and self.arguments[w] is not None]

    @property
    def constraints(self) -> list[str]:
        """Which constraints it has, by the words for them."""
        return [w for w in KERAS if w.endswith("constraint") and self.arguments[w] is not None]

    @torch.no_grad()
    def constrain(self) -> None:
        """Let the weights be what their constraints allow."""
        for word, w in (
            ("W_constraint", self._parameters.get("weight")),
            ("b_constraint", self._parameters.get("bias")),
        ):
            allowed = self.arguments[word]
            if allowed is not None and w is not None:
                w.copy_(allowed(w.T).T if w.ndim == 2 else allowed(w))

    def extra_repr(self) -> str:
        """Return nothing: the layer's own words say it."""
        return ""


def total_penalty(module: nn.Module) -> Tensor:
    """Return the sum of the penalties of all dense layers of a module, shape ()."""
    total: Any = 0.0
    for layer in module.modules():
        if isinstance(layer, DenseLayer):
            total = total + layer.penalty()
    return torch.as_tensor(total)


def constrain(module: nn.Module) -> None:
    """Let the weights of all dense layers of a module be what their constraints allow."""
    for layer in module.modules():
        if isinstance(layer, DenseLayer):
            layer.constrain()


def _of_torch_s(kind: type) -> dict[str, Parameter]:
    """Return the arguments of the activation that a class is named after."""
    found = getattr(kind, "activation_class", None)
    if found is None:
        return {}
    given = Row("", found, lambda given, shape: shape).parameters()
    return {name: p for name, p in given.items() if name != "inplace"}


def _parameters(named: type[nn.Module] | None) -> dict[str, Parameter]:
    by_place, by_name = Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY
    own = [Parameter("out_features", by_place, default=None if named else Parameter.empty)]
    if named is None:
        own.append(Parameter("activation", by_place, default=None))
    own.append(Parameter("bias", by_name, default=True))
    if named is not None:
        words = _of_torch_s(type("", (), {"activation_class": named}))
        own += [p.replace(kind=by_name) for p in words.values()]
    own += [Parameter(name, by_name, default=value) for name, (value, _) in KERAS.items()]
    own += [Parameter(name, by_name, default=None) for name in ("device", "dtype")]
    return {p.name: p for p in own}


def dense(
    name: str,
    named: type[nn.Module] | None,
    base: type[DenseLayer] = DenseLayer,
    given: dict[str, Parameter] | None = None,
    **default: Any,
) -> Any:
    """Return a dense layer's class: with the argument `activation`, or with that of its name."""

    def function(self: Any) -> Any:
        if named is None:
            return activations.function_of(self.arguments["activation"])
        return named(**{word: self.arguments[word] for word in _of_torch_s(type(self))})

    given = given or _parameters(named)
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
            "row": _row(name),
            "PARAMETERS": given,
            "CHECKS": {
                base.units_word: units,
                "activation": _ACTIVATION,
                "bias": options.flag,
                **{word: check for word, (_, check) in KERAS.items()},
            },
            "activation_class": named,
            "activation_function": function,
            "keeps_time": True,
        },
    )
