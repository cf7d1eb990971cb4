"""What every layer has: a name, shapes, checked arguments, and its place in a graph."""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from noisegate.core import checks
from noisegate.core.errors import InvalidType, InvalidValue, prefix_errors
from noisegate.core.old_words import answer

from . import names, old_words, shapes
from .joinable import Joinable
from .noise_mode import GET_OUTPUT_FOR, OUTPUT, Way, in_mode, shows_mode
from .options import COMMON, Options
from .shapes import Shape
from .tensors import as_tensor, make_value
from .to_json import encode

# Every class of layers by its name in configs; `layers/` fills it, since nothing here knows them.
LAYER_CLASSES: dict[str, type["Layer"]] = {}

_OF_THE_INPUT = ("batch_input_shape", "input_dim", "input_length")


class Layer(Joinable, old_words.TrainedElsewhere, Options):
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

    # Whether it takes several inputs, keeps the axis of time, and takes the mask.
    merges = False
    keeps_time = True
    takes_mask = False
    is_noise = False
    # Whether its input has features behind the axis of time; indices have none.
    has_features = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._refuse_incoming(args)
        with prefix_errors(type(self).__name__):
            given = checks.bind_arguments(self.signature(), args, kwargs, old_words.ARGUMENTS)
        common = {word: given.pop(word) for word in COMMON}
        nn.Module.__init__(self)
        self._start(common)
        self._accept(given)

    __signature__ = checks.TableSignature(lambda cls: cls.signature())

    def _refuse_incoming(self, args: Sequence[Any]) -> None:
        """Refuse an incoming layer as the first argument, which is Lasagne's order."""
        first = args[0] if args else None
        several = first if isinstance(first, list | tuple) else [first]
        if any(isinstance(part, Joinable) for part in several) and "layer" not in self.PARAMETERS:
            name = type(self).__name__
            raise InvalidType(
                f"{name}: what comes in is not an argument; got {first!r}. Join it: "
                f"l_in >> {name}(...), or join(l_in, {name}(...))."
            )

    def _start(self, common: Mapping[str, Any]) -> None:
        self.given_name = names.check_name(common["name"])
        with prefix_errors(type(self).__name__):
            self.trainable = checks.check_flag("trainable", common["trainable"])
            self.expected = self._read_expected(common)
        self.network_name: str | None = None
        self.inputs: tuple[Layer, ...] = ()
        self.common = {
            word: value
            for word, value in common.items()
            if word not in ("name", "trainable") and value is not None
        }
        self.input_shape: Shape | None = None
        self.output_shape: Shape | None = None
        self.made: dict[str, dict[str, Any]] = {}
        self.built = False

    def _read_expected(self, common: Mapping[str, Any]) -> Shape | None:
        """Return the input's shape that the arguments name, batch first; None if they name none."""
        batch, sample = common["batch_input_shape"], common["input_shape"]
        if batch is not None:
            return shapes.check_layer_shape(batch)
        if sample is not None:
            return (None, *shapes.check_layer_shape(sample))
        dim, length = common["input_dim"], common["input_length"]
        if length is not None:
            features = shapes.check_layer_shape(dim) if self.has_features else ()
            return (None, *shapes.check_layer_shape(length), *features)
        return None if dim is None else (None, *shapes.check_layer_shape(dim))

    # Arguments ---------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an argument, checked; anything else as in any module."""
        # `bias` is an argument and a parameter: a tensor is meant for the parameter.
        plain = not isinstance(value, Tensor | None) or name not in self._parameters
        if name in self.__dict__.get("arguments", ()) and plain:
            self._assign(name, value)
        elif name in _OF_THE_INPUT and "common" in self.__dict__:
            self._expect(name, value)
        elif name == "trainable" and "trainable" in self.__dict__:
            with prefix_errors(type(self).__name__):
                flag = checks.check_flag(name, value)
            object.__setattr__(self, name, flag)
            for parameter in self.parameters():
                parameter.requires_grad_(flag)
        else:
            super().__setattr__(name, value)

    def _expect(self, name: str, value: Any) -> None:
        """Set an argument that names the input's shape."""
        if self.network_name is not None:
            self.refuse_change(name)
        words = {**dict.fromkeys(COMMON), **self.common, name: value}
        with prefix_errors(type(self).__name__):
            self.expected = self._read_expected(words)
        self.common = {word: given for word, given in words.items() if given is not None}

    def _assign(self, name: str, value: Any) -> None:
        value = self._check(name, value)
        if self.built and self._parameters and value != self.arguments[name]:
            self.refuse_change(name)
        self.arguments = {**self.arguments, name: value}
        # Without parameters nothing depends on the old value.
        if self.built and not self._parameters:
            self.built = False

    def refuse_change(self, name: str) -> NoReturn:
        """Raise, since parameters or a network depend on an argument."""
        raise InvalidValue(f"{self.shown}: `{name}` cannot change any more. Make another layer.")

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
            raise InvalidValue(
                f"`{self.network_name}`: a layer keeps its name in its network. Give names before "
                "joining."
            )
        self.given_name = names.check_name(value)

    @property
    def class_name(self) -> str:
        """The name of its class, from which its default name is made."""
        return type(self).__name__

    @property
    def shown(self) -> str:
        """What messages call it: its name, or its class."""
        return f"`{self.name}`" if self.name else self.class_name

    @property
    def child(self) -> nn.Module:
        """The module that is the network's child."""
        return self

    @property
    def input_layer(self) -> "Layer | None":
        """The layer whose output it takes; None if there is none, or if there are several."""
        return self.inputs[0] if len(self.inputs) == 1 else None

    def connect(
        self, inputs: tuple["Layer", ...], given: Shape | None, output: Shape | None
    ) -> None:
        """Store the layers that it takes its input from, and the shapes."""
        self.inputs, self.input_shape, self.output_shape = inputs, given, output

    # What it does in a network -----------------------------------------------------------------

    @property
    def is_weighted(self) -> bool:
        """Whether it has a matrix of weights that its input is multiplied by."""
        return False

    @property
    def activates(self) -> bool:
        """Whether an activation is the last thing it does."""
        return False

    def penalty(self) -> Tensor | float:
        """Return its term of the loss, of shape () or 0."""
        return 0.0

    def constrain(self) -> None:
        """Bring its weights within their constraints."""

    @property
    def live_rate(self) -> Tensor | None:
        """Its rate, if that is a tensor of the user's, which copies share; else None."""
        return None

    # Shapes and parameters ---------------------------------------------------------------------

    def get_output_shape(self, *input_shape: Any) -> Shape:
        """Return the shape of the output for a shape of the input, the batch in front."""
        with prefix_errors(type(self).__name__):
            given = [shapes.check_layer_shape(shape) for shape in input_shape]
        try:
            return self.infer_shape(*given)
        except ValueError as error:
            self.refuse_input(", ".join(map(shapes.write, given)), str(error))

    def refuse_input(self, shape: str, reason: str) -> NoReturn:
        """Raise, since the layer does not take an input of this shape."""
        raise InvalidValue(f"{self.shown} cannot take {shape}: {reason.rstrip('.')}.") from None

    def infer_shape(self, *given: Shape) -> Shape:
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
        """Whether it marks steps of time as padding."""
        return False

    def merge_masks(self, given: Sequence[Tensor], masks: Sequence[Any]) -> Tensor | None:
        """Return the mask of several inputs together: a step is padding if one mask says so."""
        known = [mask for mask in masks if mask is not None]
        return torch.stack(known).all(0) if len(known) > 1 else next(iter(known), None)

    def compute_mask(self, x: Any, mask: Tensor | None = None) -> Tensor | None:
        """Return the mask of the output's time steps, (samples, time): False is padding."""
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
        known = isinstance(name, str) and name.isidentifier()
        if not known or hasattr(self, name) or name in self.parameter_names():
            raise InvalidValue(
                f"{self.shown}.variable: `name` must be an identifier that the layer does not "
                f"have yet; got {name!r}."
            )
        with prefix_errors(f"{self.shown}.variable"):
            known_shape = None if shape is None else checks.check_shape(shape)
        tensor = make_value(self.shown, value, known_shape)
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
        return self._run_in_mode(OUTPUT, "output", inputs, mode)

    @shows_mode
    def get_output_for(self, *inputs: Any, **mode: Any) -> Any:
        """Return the output, with noise unless ``deterministic=True``, as Lasagne does.

        A truth value behind the inputs is `deterministic`.
        """
        return self._run_in_mode(GET_OUTPUT_FOR, "get_output_for", inputs, mode)

    def _run_in_mode(
        self, way: Way, name: str, inputs: Sequence[Any], mode: Mapping[str, Any]
    ) -> Any:
        with prefix_errors(f"{type(self).__name__}.{name}"):
            inputs, training = way.read(inputs, mode)
            if not inputs:
                raise InvalidType(f"`{way.first}` is missing.")
        # Noise that does not act returns its input itself, an array too.
        passes = self.is_noise and not training
        with in_mode(self, training):
            return self(*(inputs if passes else map(as_tensor, inputs)))

    # Copies and words --------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """Return the arguments as a dict that JSON can hold."""
        given = {**self.own_arguments(), **self.common}
        words = {name: encode(self.shown, name, value) for name, value in given.items()}
        return {**words, "name": self.name, "trainable": self.trainable}

    def write_config(self) -> dict[str, Any]:
        """Return the config of a saved layer: class, arguments, variables, frozen parameters."""
        frozen = [n for n, p in self.named_parameters() if not p.requires_grad]
        return {
            "class": type(self).__name__,
            # The given name, since counted names are counted again on loading.
            "config": {**self.get_config(), "name": self.given_name},
            "variables": self.made,
            "frozen": frozen if self.trainable else [],
        }

    def nested_config(self) -> dict[str, Any]:
        """Return its form in the config of a layer that has it as an argument."""
        return {"layer": self.write_config()}

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without tensors of a forward, which cannot be copied."""
        state: Any = super().__getstate__()  # type: ignore[no-untyped-call]
        return {n: v for n, v in state.items() if n != "activity"}

    def __repr__(self) -> str:
        """Return the call that makes the layer."""
        written = self.write_arguments()
        named = f"name={self.name!r}" if self.name else ""
        return f"{type(self).__name__}({', '.join(filter(None, (written, named)))})"


def sum_penalties(module: nn.Module) -> Tensor:
    """Return the sum of the penalties of all layers of a module, shape ()."""
    layers = (layer for layer in module.modules() if isinstance(layer, Layer))
    return torch.as_tensor(sum((layer.penalty() for layer in layers), 0.0))


def constrain_weights(module: nn.Module) -> None:
    """Bring the weights of all layers of a module within their constraints."""
    for layer in module.modules():
        if isinstance(layer, Layer):
            layer.constrain()
