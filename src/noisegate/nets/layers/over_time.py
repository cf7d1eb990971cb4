"""Layers over time: TimeDistributed and TimeDistributedDense, after Keras 1; and Embedding."""

from collections.abc import Mapping
from contextlib import nullcontext
from inspect import Parameter
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from noisegate.core.errors import InvalidValue
from noisegate.core.kind import Kind
from noisegate.core.window import TIME_BITS
from noisegate.torch import PreActivation
from noisegate.torch.layers import NoiseLayer
from noisegate.torch.model.discover import get_own_call
from noisegate.torch.model.handlers import DROPOUTS
from noisegate.torch.time_rows import TimeRows, rows_in_use, use_rows

from .. import options
from ..graph import as_layer
from ..layer import Layer
from ..shapes import Shape
from .dense import KERAS, DenseLayer, make_dense, using_samples
from .torch_layers import TorchLayer, make_layer, parameters_of


class TimeDistributed(PreActivation, Layer):
    """A layer applied to each time step, axis 1, by itself.

    Parameters
    ----------
    layer : Layer, Network, Kind or Module
        What acts on (N, ...), and is given (N, time, ...).
    shared_mask : bool
        Whether noise within has one mask for all steps of a sample, or one for each. The noise
        of a sample depends neither on the batch nor on the number of steps.
    """

    PARAMETERS: ClassVar[Mapping[str, Parameter]] = {
        "layer": Parameter("layer", Parameter.POSITIONAL_OR_KEYWORD, annotation=nn.Module | Kind),
        "shared_mask": Parameter("shared_mask", Parameter.KEYWORD_ONLY, default=False),
    }
    CHECKS: ClassVar[Mapping[str, options.Check]] = {"shared_mask": options.flag}
    steps: Layer

    def _accept(self, given: Mapping[str, Any]) -> None:
        inner = as_layer(given["layer"])
        super()._accept({**given, "layer": inner})
        self.__dict__["steps"] = inner
        if self.expected is None and inner.expected is not None:
            # (N, features) of a step are (N, time, features) here.
            self.expected = (inner.expected[0], None, *inner.expected[1:])
        module = self._modules["layer"] = inner.child
        # Found once: a call has no time to look through the modules.
        self.noisy = any(get_own_call(m) is not None for m in module.modules())
        homes = {type(m).__module__.partition(".")[0] for m in module.modules()}
        self.has_foreign_code = not homes <= {"torch", "noisegate"}
        self._check_shared(self.arguments["shared_mask"])

    def _check_shared(self, shared: bool) -> None:
        modules = self.get_submodule("layer").modules()
        others = [m for m in modules if not isinstance(m, NoiseLayer) and get_own_call(m)]
        if shared and others:
            raise _draws_its_own(type(others[0]).__name__)

    def _assign(self, name: str, value: Any) -> None:
        if name == "layer":
            self.refuse_change(name)
        shared = self._check(name, value)
        self._check_shared(shared)
        self.arguments = {**self.arguments, name: shared}

    @property
    def is_weighted(self) -> bool:
        """Whether the inner layer has a matrix of weights."""
        return self.steps.is_weighted

    def get_weights(self) -> Any:
        """Return the weights of the inner layer."""
        return self.steps.get_weights()

    def set_weights(self, weights: Any) -> None:
        """Set the weights of the inner layer."""
        self.steps.set_weights(weights)

    @property
    def has_pre(self) -> bool:  # type: ignore[override]
        """Whether the inner layer takes all steps at once, and so has one pre-activation."""
        inner = self.steps
        of_rows = isinstance(inner, DenseLayer) and inner.units_word == "out_features"
        return of_rows and inner.arguments.get("dim", -1) == -1

    def register_pre_activation_hook(self, function: Any) -> Any:
        """Attach a function to the pre-activation of all steps."""
        return self.steps.register_pre_activation_hook(function)

    def infer_shape(self, *given: Shape) -> Shape:
        """Return the shape of the output; raise ValueError with the reason if there is none."""
        shape = given[0]
        if len(shape) < 3:
            raise ValueError("it takes (N, time, ...)")
        return (*shape[:2], *self.steps.infer_shape((None, *shape[2:]))[1:])

    def can_build(self, *given: Shape) -> bool:
        """Return whether parameters can be made for this shape of the input."""
        return self.steps.can_build((None, *given[0][2:]))

    def build(self, *given: Shape, device: Any = None, dtype: Any = None) -> None:
        """Make the parameters of the inner layer."""
        step = (None, *given[0][2:])
        self.steps.build(step, device=device, dtype=dtype)
        self.steps.connect((), step, self.steps.infer_shape(step))
        # The inner layer does not know that it is frozen.
        for parameter in self.parameters() if not self.trainable else ():
            parameter.requires_grad_(False)
        self.built = True

    def forward(self, x: Tensor) -> Tensor:
        """Return the output of every step."""
        if x.ndim < 3:
            self.refuse_input(str(tuple(x.shape)), "it takes (N, time, ...)")
        module = self._modules["layer"]
        assert module is not None
        if self.has_pre:
            y: Tensor = module(x)
            return y
        # Code of the user's may call dropouts of torch's, which no look at the modules finds.
        watch = self.arguments["shared_mask"] and self.has_foreign_code and self.training
        with (
            use_rows(self._rows(x) if self.noisy else rows_in_use()),
            using_samples(len(x)),
            _RefuseDropouts() if watch else nullcontext(),
        ):
            y = module(x.flatten(0, 1))
        return y.reshape(*x.shape[:2], *y.shape[1:])

    def _rows(self, x: Tensor) -> TimeRows:
        """Return the row of noise of each step of each sample."""
        count, time = x.shape[:2]
        if time >= 1 << TIME_BITS:
            raise InvalidValue(
                f"TimeDistributed: noise is numbered for fewer than {1 << TIME_BITS} steps of "
                f"time; got {time}."
            )
        # Within another layer over time, its steps are the samples here.
        outer = rows_in_use()
        samples = range(count) if outer is None else outer
        return TimeRows(samples, time, numbered=not self.arguments["shared_mask"])


def _draws_its_own(name: str) -> InvalidValue:
    return InvalidValue(
        f"TimeDistributed: shared_mask=True needs noise of noisegate; {name} draws its own. Put "
        "noisegate's layer in its place."
    )


class _RefuseDropouts(TorchFunctionMode):
    """Refuses torch's functional dropouts, which cannot share a mask over time."""

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if function in DROPOUTS:
            given = dict(zip(("input", "p", "training"), args, strict=False))
            words = {**given, **kwargs}
            if words.get("p", 0.5) and words.get("training", words.get("train", True)):
                raise _draws_its_own(f"F.{function.__name__}")
        return function(*args, **kwargs)


class EmbeddingLayer(TorchLayer):
    """`torch.nn.Embedding`, with Keras' `mask_zero`: index 0 is padding."""

    has_features = False
    beside_torch = ("mask_zero", "_weight", "_freeze")
    CHECKS: ClassVar[Mapping[str, options.Check]] = {
        "num_embeddings": options.size,
        "embedding_dim": options.size,
        "mask_zero": options.flag,
    }

    @property
    def makes_mask(self) -> bool:
        """Whether index 0 is padding."""
        return bool(self.arguments["mask_zero"])

    def rule(self, shape: Shape) -> Shape:
        """Return the shape of the output."""
        return (*shape, self.arguments["embedding_dim"])

    def compute_mask(self, x: Any, mask: Tensor | None = None) -> Tensor | None:
        """Return where an index is not 0 and was not masked before."""
        if not self.arguments["mask_zero"]:
            return mask
        found: Tensor = x != 0
        return found if mask is None else found & mask


def make_embedding() -> Any:
    """Return the class of embeddings."""
    given = {n: p for n, p in parameters_of(nn.Embedding).items() if not n.startswith("_")}
    flag = Parameter("mask_zero", Parameter.KEYWORD_ONLY, default=False)
    by_place = {n: p for n, p in given.items() if n in ("num_embeddings", "embedding_dim")}
    rest = {
        n: p.replace(kind=Parameter.KEYWORD_ONLY) for n, p in given.items() if n not in by_place
    }
    own = {**by_place, "mask_zero": flag, **rest}
    return make_layer(nn.Embedding, EmbeddingLayer, PARAMETERS=own)


class _TimeDistributedDense(DenseLayer):
    units_word = "output_dim"

    def own_arguments(self) -> dict[str, Any]:
        """Return the arguments of Keras' page, by name."""
        words = {word: self.common.get(word) for word in ("input_dim", "input_length")}
        return {**self.arguments, **words}

    def _read_expected(self, common: Mapping[str, Any]) -> Shape | None:
        shape = super()._read_expected(common)
        # (features,) alone leaves the length of sequences open.
        return (None, None, *shape[1:]) if shape is not None and len(shape) == 2 else shape

    def infer_shape(self, *given: Shape) -> Shape:
        """Return the shape of the output; raise ValueError with the reason if there is none."""
        if len(given[0]) != 3:
            raise ValueError("it takes (N, time, features)")
        return super().infer_shape(*given)

    def forward(self, x: Tensor) -> Tensor:
        """Return the output of every step, (N, time, output_dim)."""
        if x.ndim != 3:
            self.refuse_input(str(tuple(x.shape)), "it takes (N, time, features)")
        return super().forward(x)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments as a dict that JSON can hold, without the weights."""
        config = super().get_config()
        return {n: v for n, v in config.items() if n != "weights"}


def make_time_distributed_dense() -> Any:
    """Return the class of Keras 1's deprecated layer."""
    by_place = Parameter.POSITIONAL_OR_KEYWORD
    page: dict[str, Any] = {"init": "glorot_uniform", "activation": "linear"}
    page |= {word: None for word in KERAS if word != "init"}
    page |= {"bias": True, "input_dim": None, "input_length": None}
    given = {"output_dim": Parameter("output_dim", by_place)}
    given |= {n: Parameter(n, by_place, default=v) for n, v in page.items()}
    return make_dense("TimeDistributedDense", None, base=_TimeDistributedDense, given=given)
