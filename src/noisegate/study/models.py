"""The study's models: two built-in networks, and what a user's own function makes.

A hidden layer is a single module that includes its activation, so that a site such as `hid1:out`
is the activated output, and `hid*:out` matches each hidden layer once.
"""

import importlib
import sys
import sysconfig
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from io import BytesIO
from itertools import chain
from math import prod
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parameter import is_lazy

from noisegate.core.errors import InvalidType, InvalidValue
from noisegate.core.words import shorten, suggest
from noisegate.torch.generators import TORCH, keep_states

from .design import MODELS, check_model_name, check_module, missing_module

CALL = "It is called as function(input_shape, n_outputs), and returns a torch.nn.Module."


class ReluLinear(nn.Linear):
    """A linear layer with its rectifier: max(0, x Wᵀ + b)."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the activated output, shape (rows, out_features)."""
        return functional.relu(super().forward(input))


class ReluConv2d(nn.Conv2d):
    """A convolution with its rectifier."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the activated maps, shape (rows, out_channels, height, width)."""
        return functional.relu(super().forward(input))


class Mlp(nn.Module):
    """Inputs of any shape, flattened; two hidden layers of 256 units."""

    def __init__(self, input_shape: Sequence[int], n_outputs: int) -> None:
        super().__init__()
        self.hid1 = ReluLinear(prod(input_shape), 256)
        self.hid2 = ReluLinear(256, 256)
        self.out = nn.Linear(256, n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs, shape (rows, n_outputs)."""
        outputs: Tensor = self.out(self.hid2(self.hid1(x.flatten(1))))
        return outputs


class Cnn(nn.Module):
    """Images; two convolutions (16, 32 channels), each pooled 2×2, and 64 hidden units."""

    def __init__(self, input_shape: Sequence[int], n_outputs: int) -> None:
        super().__init__()
        if len(input_shape) not in (2, 3) or min(input_shape[-2:]) < 4:
            raise InvalidValue(
                "study: cnn needs images, (channels, height, width) or (height, width), with at "
                f"least 4 rows and columns; got inputs of shape {tuple(input_shape)}. Take mlp."
            )
        *channels, height, width = input_shape
        self.conv1 = ReluConv2d(prod(channels), 16, kernel_size=3, padding=1)
        self.conv2 = ReluConv2d(16, 32, kernel_size=3, padding=1)
        self.hid1 = ReluLinear(32 * (height // 4) * (width // 4), 64)
        self.out = nn.Linear(64, n_outputs)

    def forward(self, images: Tensor) -> Tensor:
        """Return the outputs, shape (rows, n_outputs)."""
        if images.ndim == 3:
            images = images.unsqueeze(1)
        maps = functional.max_pool2d(self.conv1(images), 2)
        maps = functional.max_pool2d(self.conv2(maps), 2)
        outputs: Tensor = self.out(self.hid1(maps.flatten(1)))
        return outputs


BUILT_IN: Mapping[str, Callable[[Sequence[int], int], nn.Module]] = MappingProxyType(
    dict(zip(MODELS, (Mlp, Cnn), strict=True))
)


@dataclass(frozen=True, slots=True)
class Model:
    """A model by its name, which is all that another process needs to make it.

    `name` is `mlp`, `cnn`, or ``module:function``, which may have dots on both sides.
    """

    name: str

    def __post_init__(self) -> None:
        """Check the form of the name; nothing is imported."""
        check_model_name(self.name)

    def make(self, input_shape: Sequence[int], n_outputs: int) -> nn.Module:
        """Return a new model for samples of a shape, initialised by torch's generator."""
        shape = tuple(input_shape)
        if self.name in BUILT_IN:
            return BUILT_IN[self.name](shape, n_outputs)
        function = self._find_function()
        try:
            made = function(shape, n_outputs)
        except (Exception, SystemExit) as error:
            raise InvalidValue(
                f"study: '{self.name}', called with {shape}, {n_outputs}, raised "
                f"{describe_error(error)}."
            ) from error
        if not isinstance(made, nn.Module):
            raise InvalidType(
                f"study: '{self.name}' must return a torch.nn.Module; got {shorten(made)}."
            )
        return made

    @property
    def source_digest(self) -> str:
        """The digest of the file with the function; "" of built-in models.

        It tells whether the file was changed, not whether what the file imports was.
        """
        if self.name in BUILT_IN:
            return ""
        function = self._find_function()
        while isinstance(function, partial):
            function = function.func
        home = sys.modules.get(getattr(function, "__module__", None) or "")
        file = getattr(home or _import_module(self.name.partition(":")[0]), "__file__", None)
        return blake2b(Path(file).read_bytes(), digest_size=8).hexdigest() if file else ""

    def _find_function(self) -> Callable[..., Any]:
        module, _, path = self.name.partition(":")
        found: Any = _import_module(module)
        reached = ""
        for name in path.split("."):
            if not hasattr(found, name):
                known = [f"{reached}{word}" for word in _list_own_names(found, module)]
                file = _import_module(module).__file__
                where = f" ({_shorten_path(file)})" if file else ""
                listed = ", ".join([*known[:8], *(["…"] if len(known) > 8 else [])])
                raise InvalidValue(
                    f"study: the module '{module}'{where} has no '{path}'."
                    + (f" It has {listed}.{suggest(path, known)}" if known else "")
                )
            found = getattr(found, name)
            reached += f"{name}."
        if isinstance(found, nn.Module):
            raise InvalidType(
                f"study: '{self.name}' must be a function that makes a new model for every run; "
                f"got a {type(found).__name__} that is made already. {CALL}"
            )
        if not callable(found):
            raise InvalidType(
                f"study: '{self.name}' must be a function; got {shorten(found)}. {CALL}"
            )
        function: Callable[..., Any] = found
        return function


def check_trainable(model: Model, example: Tensor, n_outputs: int) -> None:
    """Raise if a model cannot be trained on such data, or not again in the same way.

    It is made twice and run on two rows, in evaluation and in training. Torch's generator is
    left as it was.
    """
    rows = torch.cat([example, example])[:2]
    made = []
    with keep_states(TORCH):
        for _ in range(2):
            torch.manual_seed(0)
            made.append(model.make(tuple(rows.shape[1:]), n_outputs))
        first, second = made
        _check_parameters(model.name, first)
        _check_state(model.name, first)
        _check_start(model.name, first, second)
        _check_outputs(model.name, first.eval(), rows, n_outputs)
        _check_outputs(model.name, second.train(), rows, n_outputs)


def _check_parameters(name: str, made: nn.Module) -> None:
    for module in made.modules():
        own = chain(module.parameters(recurse=False), module.buffers(recurse=False))
        if any(is_lazy(tensor) for tensor in own):
            raise InvalidValue(
                f"study: the model of '{name}' must have all its parameters before it runs; got "
                f"a {type(module).__name__}, which waits for its first input. Give it its size, "
                "made of input_shape."
            )
    if not any(parameter.requires_grad for parameter in made.parameters()):
        raise InvalidValue(f"study: the model of '{name}' has no parameter to train.")


def _check_state(name: str, made: nn.Module) -> None:
    """Raise unless the state can be saved, and loaded again without running code."""
    buffer = BytesIO()
    try:
        torch.save(dict(made.state_dict()), buffer)
        buffer.seek(0)
        torch.load(buffer, weights_only=True)
    except Exception as error:
        raise InvalidValue(
            "study: the `state_dict` of a model must hold tensors, numbers and text only, so "
            f"that it is read again without running code; that of {name} does not. Leave the "
            "rest out of it."
        ) from error


def _check_start(name: str, first: nn.Module, second: nn.Module) -> None:
    trained = ({id(p) for p in made.parameters() if p.requires_grad} for made in (first, second))
    if set.intersection(*trained):
        raise InvalidValue(
            f"study: '{name}' must make a new model at each call; it returned parameters twice, "
            "so that one run would go on where another had ended. Make them within the function."
        )
    mine, other = (
        dict(chain(made.named_parameters(), made.named_buffers())) for made in (first, second)
    )
    for tensor in mine | other:
        if not _hold_same_values(mine.get(tensor), other.get(tensor)):
            raise InvalidValue(
                f"study: '{name}' must make the same model under the same torch.manual_seed; "
                f"'{tensor}' differed between two calls. Draw from torch's generator only, not "
                "from NumPy's or Python's."
            )


def _hold_same_values(a: Tensor | None, b: Tensor | None) -> bool:
    """Return whether both tensors are there and have the same values; NaN is one."""
    if a is None or b is None or a.shape != b.shape or a.dtype != b.dtype:
        return False
    return bool(((a == b) | ((a != a) & (b != b))).all())


def _check_outputs(name: str, made: nn.Module, rows: Tensor, n_outputs: int) -> None:
    expected, training = (2, n_outputs), made.training
    try:
        with torch.set_grad_enabled(training):
            outputs: Any = made(rows)
    except (Exception, SystemExit) as error:
        raise InvalidValue(describe_refusal(name, rows.shape, error, training)) from error
    error_type: type[InvalidType] | type[InvalidValue] = InvalidType
    remedy = ""
    if not isinstance(outputs, Tensor):
        wrong = f"a {type(outputs).__name__}"
    elif outputs.shape != expected:
        wrong, error_type = f"shape {tuple(outputs.shape)}", InvalidValue
        if outputs.shape == (2,) and n_outputs == 1:
            remedy = " End it with nn.Linear(…, 1), or return y.unsqueeze(1)."
    elif not outputs.is_floating_point():
        wrong = str(outputs.dtype).removeprefix("torch.")
    else:
        return
    raise error_type(
        f"study: the model of '{name}' must return a floating-point tensor of shape {expected} "
        f"for two rows{' in training' * training}; got {wrong}.{remedy}"
    )


def describe_refusal(
    name: str, shape: Sequence[int], error: BaseException, training: bool = False
) -> str:
    """Return the sentence for a model that does not take inputs of a shape."""
    return (
        f"study: the model of '{name}' must take inputs of shape {tuple(shape)}"
        f"{' in training' * training}; it raised {describe_error(error)}."
    )


# The user's code -----------------------------------------------------------------------------


def _import_module(module: str) -> ModuleType:
    """Import a module of the current folder, or an installed one."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    check_module(module)
    try:
        # A module may draw at import, and would do so under the seed of its first model only.
        with keep_states(TORCH):
            return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing == module or module.startswith(f"{missing}."):
            raise missing_module(module) from None
        raise InvalidValue(
            f"study: the module '{module}' imports '{missing}', which is not there. Install it, "
            "or leave out the import."
        ) from error
    except (Exception, SystemExit) as error:
        raise InvalidValue(
            f"study: the module '{module}' must be importable; it raised {describe_error(error)}."
        ) from error


def _list_own_names(value: Any, module: str) -> list[str]:
    """Return the names of what can be called of a module or a class, without what it imports."""
    return [
        name
        for name, each in getattr(value, "__dict__", {}).items()
        if not name.startswith("_") and getattr(each, "__module__", None) == module
    ]


# Folders of code that is not the user's.
_LIBRARIES = (
    *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
    str(Path(__file__).parents[1]),
)


def describe_error(error: BaseException) -> str:
    """Return an error in one line, with the last line of the user's own code that led to it."""
    if isinstance(error, SyntaxError) and error.filename:
        places, words = [(error.filename, error.lineno)], error.msg
    else:
        frames = traceback.extract_tb(error.__traceback__)
        places, words = [(frame.filename, frame.lineno) for frame in frames], str(error)
    own = [f"{_shorten_path(file)}:{line}" for file, line in places if _is_users(file)]
    line = " ".join(words.split())
    told = f"{type(error).__name__}: {line[:200]}{'…' * (len(line) > 200)}" if line else None
    return (told or type(error).__name__).rstrip(".") + (f" ({own[-1]})" if own else "")


def _is_users(file: str) -> bool:
    return not file.startswith("<") and not any(
        Path(file).is_relative_to(folder) for folder in _LIBRARIES
    )


def _shorten_path(file: str) -> str:
    """Return a file's path as it is seen from the current folder."""
    path, here = Path(file), Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
