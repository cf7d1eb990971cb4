"""What every layer has: a name, shapes, checked arguments, and its place in a graph."""

import copy
from collections.abc import Mapping, Sequence
from inspect import Parameter, Signature
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from noisegate.core import checks
from noisegate.core.errors import InvalidType, InvalidValue, prefix_errors
from noisegate.core.old_words import answer

from . import messages, names, old_words, options, shapes
from .joinable import Joinable
from .noise_mode import GET_OUTPUT_FOR, OUTPUT, Way, in_mode, shows_mode
from .options import COMMON, Option
from .shapes import Shape
from .tensors import as_tensor

_OF_THE_INPUT = ("batch_input_shape", "input_dim", "input_length")


class Layer(Joinable, old_words.TrainedElsewhere):
    """A layer of a network.

    Parameters
    ----------
    name : str, optional
        As it is, or a format with one field that is counted: ``fc{}``. By default it is made of
        the class: ``relu-1``.
    trainable : bool
        Whether its parameters are trained.
    input_shape : tuple, optional
        Shape of a sample; it implies the network's `Input`. Unknown extents are None.
    batch_input_shape : tuple, optional
        The same with the batch in front.
    input_dim, input_length : int, optional
        Features, and time steps, of a sample.

    Attributes
    ----------
    input_layer : Layer or None
        The layer whose output it takes.
    input_shape, output_shape : tuple or None
        Shapes with the batch in front, once they are known.
    arguments : dict
        What it was given, checked.
    """

    # The arguments of its own, with their checks.
    PARAMETERS: ClassVar[Mapping[str, Parameter]] = {}
    CHECKS: ClassVar[Mapping[str, options.Check]] = {}
    # Whether it takes several inputs, keeps the axis of time, and is given the mask.
    merges: ClassVar[bool] = False
    keeps_time: ClassVar[bool] = True
    takes_mask: ClassVar[bool] = False
    is_noise: ClassVar[bool] = False
    # Whether features follow the length of its input.
    has_features: ClassVar[bool] = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        who = type(self).__name__
        self._refuse_incoming(who, args)
        with prefix_errors(who):
            given = checks.arguments(self.signature(), args, kwargs, old_words.ARGUMENTS)
        common = {word: given.pop(word) for word in COMMON}
        nn.Module.__init__(self)
        self._start(common)
        self._accept(given)

    def _refuse_incoming(self, who: str, args: Sequence[Any]) -> None:
        """Refuse what comes in as the first argument, as Lasagne's layers have it."""
        first = args[0] if args else None
        several = first if isinstance(first, list | tuple) else [first]
        if any(isinstance(part, Joinable) for part in several) and "layer" not in self.PARAMETERS:
            raise InvalidType(messages.incoming_first(who, first))

    @classmethod
    def signature(cls) -> Signature:
        """Return what the layer takes."""
        own = [options.annotated(p, cls.check_of(p.name)) for p in cls.PARAMETERS.values()]
        words = (p for p in options.common_parameters() if p.name not in cls.PARAMETERS)
        return Signature([*own, *words])

    __signature__ = checks.TableSignature(lambda cls: cls.signature())

    def _start(self, common: Mapping[str, Any]) -> None:
        who = type(self).__name__
        self.given_name = names.checked(common["name"])
        with prefix_errors(who):
            self.trainable = checks.flag("trainable", common["trainable"])
        self.network_name: str | None = None
        self.inputs: tuple[Layer, ...] = ()
        self.expected = self._told(who, common)
        self.common = {
            word: value
            for word, value in common.items()
            if word not in ("name", "trainable") and value is not None
        }
        self.input_shape: Shape | None = None
        self.output_shape: Shape | None = None
        self.made: dict[str, dict[str, Any]] = {}
        self.built = False

    def _told(self, who: str, common: Mapping[str, Any]) -> Shape | None:
        """Return the shape of the input that the layer was told, the batch in front."""
        batch, sample = common["batch_input_shape"], common["input_shape"]
        if batch is not None:
            return shapes.checked(who, batch)
        if sample is not None:
            return (None, *shapes.checked(who, sample))
        dim, length = common["input_dim"], common["input_length"]
        if length is not None:
            features = shapes.checked(who, dim) if self.has_features else ()
            return (None, *shapes.checked(who, length), *features)
        return None if dim is None else (None, *shapes.checked(who, dim))

    def _accept(self, given: Mapping[str, Any]) -> None:
        who = type(self).__name__
        self.arguments = {
            name: self.check_of(name)(who, name, value) for name, value in given.items()
        }

    # Arguments ---------------------------------------------------------------------------------

    @classmethod
    def check_of(cls, name: str) -> options.Check:
        """Return the check of an argument of its own."""
        return cls.CHECKS.get(name, options.COMMON_CHECKS.get(name, options.anything))

    @property
    def options(self) -> dict[str, Option]:
        """Every argument with the class that owns it and its check."""
        own = {n: Option(self.owner_of(n), self.check_of(n)) for n in self.own_arguments()}
        common = {n: Option("Layer", check) for n, check in options.COMMON_CHECKS.items()}
        return dict(sorted({**own, **common}.items()))

    def own_arguments(self) -> dict[str, Any]:
        """Return the arguments of its own, by name."""
        return dict(self.arguments)

    def owner_of(self, name: str) -> str:
        """Return the name of the class that owns an argument."""
        owner = type(self).__name__
        for base in type(self).__mro__:
            if name in getattr(base, "PARAMETERS", ()):
                owner = base.__name__
        return owner

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return every argument by name."""
        return {**self.own_arguments(), "name": self.given_name, "trainable": self.trainable}

    def set_params(self, **params: Any) -> "Layer":
        """Set arguments by name, checked as at the start; return the layer."""
        with prefix_errors(type(self).__name__):
            checks.keywords(params, list(self.options))
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an argument, checked; anything else as in any module."""
        plain = not isinstance(value, Tensor | None) or name not in self._parameters
        if name in self.__dict__.get("arguments", ()) and plain:
            self._assign(name, value)
        elif name in _OF_THE_INPUT and "common" in self.__dict__:
            self._tell(name, value)
        elif name == "trainable" and "trainable" in self.__dict__:
            with prefix_errors(type(self).__name__):
                flag = checks.flag(name, value)
            object.__setattr__(self, name, flag)
            for parameter in self.parameters():
                parameter.requires_grad_(flag)
        else:
            super().__setattr__(name, value)

    def _tell(self, name: str, value: Any) -> None:
        if self.network_name is not None:
            raise InvalidValue(messages.has_parameters(self.shown, name))
        words = {**dict.fromkeys(COMMON), **self.common, name: value}
        self.expected = self._told(type(self).__name__, words)
        self.common = {word: given for word, given in words.items() if given is not None}

    def _assign(self, name: str, value: Any) -> None:
        who = type(self).__name__
        value = self.check_of(name)(who, name, value)
        if self.built and self._parameters and value != self.arguments[name]:
            raise InvalidValue(messages.has_parameters(self.shown, name))
        self.arguments = {**self.arguments, name: value}
        if self.built and not self._parameters:
            self.built = False

    def __getattr__(self, name: str) -> Any:
        """Return an argument."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            arguments = self.__dict__.get("arguments", {})
            if name not in arguments:
                answer(type(self).__name__, name, old_words.OF_LAYERS)
                raise
            return arguments[name]

    # Names and places --------------------------------------------------------------------------

    @property
    def name(self) -> str | None:
        """The name in the network that it was joined into last, or the one that was given."""
        return self.network_name or self.given_name

    @name.setter
    def name(self, value: Any) -> None:
        if value in (self.given_name, self.network_name):
            return
        if self.network_name is not None:
            raise InvalidValue(messages.named_already(self.network_name))
        self.given_name = names.checked(value)

    @property
    def always_shown(self) -> str | None:
        """The argument that is shown also where it is its default."""
        return None

    @property
    def shown(self) -> str:
        """What messages call it: its name, or its class."""
        return f"`{self.name}`" if self.name else type(self).__name__

    @property
    def input_layer(self) -> "Layer | None":
        """The layer whose output it takes; None if there is none, or if there are several."""
        return self.inputs[0] if len(self.inputs) == 1 else None

    def wired(self, inputs: tuple["Layer", ...], given: Shape | None, output: Shape | None) -> None:
        """Take note of the layers behind it, and of shapes."""
        self.inputs, self.input_shape, self.output_shape = inputs, given, output

    # Shapes and parameters ---------------------------------------------------------------------

    def get_output_shape(self, *input_shape: Any) -> Shape:
        """Return the shape of the output for a shape of the input, the batch in front."""
        given = [shapes.checked(type(self).__name__, shape) for shape in input_shape]
        try:
            return self.shape_rule(*given)
        except ValueError as error:
            words = ", ".join(map(shapes.shown, given))
            raise InvalidValue(messages.cannot_take(self.shown, words, str(error))) from None

    def shape_rule(self, *given: Shape) -> Shape:
        """Return the shape of the output; raise ValueError with the reason if there is none."""
        return given[0]

    def can_build(self, *given: Shape) -> bool:
        """Return whether parameters can be made for this shape of the input."""
        return True

    def build(self, *given: Shape, device: Any = None, dtype: Any = None) -> None:
        """Make the parameters for a shape of the input, once."""
        self.built = True

    @property
    def makes_mask(self) -> bool:
        """Whether it marks steps of time that are none."""
        return False

    def merged_mask(self, given: Sequence[Tensor], masks: Sequence[Any]) -> Tensor | None:
        """Return what the masks of several inputs are together: a step is where all say so."""
        known = [mask for mask in masks if mask is not None]
        return torch.stack(known).all(0) if len(known) > 1 else next(iter(known), None)

    def compute_mask(self, x: Any, mask: Tensor | None = None) -> Tensor | None:
        """Return the mask of the output's time steps, (samples, time): True is a step that is."""
        return mask if self.keeps_time else None

    def parameter_names(self) -> tuple[str, ...]:
        """Return the names of the parameters that it has or will have."""
        return ()

    @property
    def variables(self) -> dict[str, Tensor]:
        """Its parameters and buffers by name; empty before there are any."""
        return {**dict(self.named_parameters()), **dict(self.named_buffers())}

    def variable(self, value: Any, name: str, shape: Any = None, trainable: bool = True) -> Tensor:
        """Make a variable of the layer: a parameter, or a buffer if it is not trained.

        Parameters
        ----------
        value : number, array, tensor, callable or str
            Its value; a number fills `shape`; a callable, or the name of an initializer, is
            given the shape.
        name : str
            Under which it is an attribute, and saved.
        shape : int or tuple of int, optional
            Needed for callables; a number without has shape ().
        trainable : bool
            Whether it is trained.
        """
        from .initializers import value_of

        known = isinstance(name, str) and name.isidentifier()
        if not known or hasattr(self, name) or name in self.parameter_names():
            raise InvalidValue(messages.bad_variable(self.shown, name))
        with prefix_errors(f"{self.shown}.variable"):
            known_shape = None if shape is None else checks.shape(shape)
        tensor = value_of(self.shown, value, known_shape)
        if trainable:
            self.register_parameter(name, nn.Parameter(tensor))
        else:
            self.register_buffer(name, tensor)
        made = {"shape": list(tensor.shape), "trainable": bool(trainable), "built": self.built}
        self.made[name] = made
        return getattr(self, name)  # type: ignore[no-any-return]

    # Calls -------------------------------------------------------------------------------------

    @shows_mode
    def output(self, *inputs: Any, **mode: Any) -> Any:
        """Return the output, without noise unless ``training=True``, or ``deterministic=False``.

        A truth value behind the inputs is `training`: ``output(x, True)``, as NeuPy prints it.
        """
        return self._in_a_way(OUTPUT, "output", inputs, mode)

    @shows_mode
    def get_output_for(self, *inputs: Any, **mode: Any) -> Any:
        """Return the output, with noise unless ``deterministic=True``: Lasagne's.

        A truth value behind the inputs is `deterministic`.
        """
        return self._in_a_way(GET_OUTPUT_FOR, "get_output_for", inputs, mode)

    def _in_a_way(self, way: Way, name: str, inputs: Sequence[Any], mode: Mapping[str, Any]) -> Any:
        who = f"{type(self).__name__}.{name}"
        inputs, training = way.read(who, inputs, mode)
        if not inputs:
            raise InvalidType(f"{who}: `{way.first}` is missing.")
        with in_mode(self, training):
            return self(*self._tensors(inputs, training))

    def _tensors(self, inputs: Sequence[Any], training: bool) -> Sequence[Any]:
        """Return arrays as tensors, but where the input itself is returned."""
        passes = self.is_noise and not training
        return inputs if passes else [as_tensor(x) for x in inputs]

    # Copies and words --------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """Return the arguments as a dict that JSON can hold."""
        from .config import encoded

        own = {n: encoded(self.shown, n, v) for n, v in self.own_arguments().items()}
        common = {n: encoded(self.shown, n, v) for n, v in self.common.items()}
        return {**own, **common, "name": self.name, "trainable": self.trainable}

    def __sklearn_clone__(self) -> "Layer":
        """Return a copy with its weights: it is not made anew of its arguments."""
        return copy.deepcopy(self)

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy needs: no tensors of a forward."""
        state: Any = super().__getstate__()  # type: ignore[no-untyped-call]
        return {n: v for n, v in state.items() if n != "activity"}

    def __repr__(self) -> str:
        """Return the layer as it is written."""
        words = [
            f"{name}={value!r}"
            for name, value in self.own_arguments().items()
            if name not in self.PARAMETERS
            or name == self.always_shown
            or _differs(value, self.PARAMETERS[name].default)
        ]
        words += [f"name={self.name!r}"] if self.name else []
        return f"{type(self).__name__}({', '.join(words)})"


def _differs(value: Any, default: Any) -> bool:
    try:
        return bool(value != default)
    except (RuntimeError, ValueError):  # arrays
        return True
