"""Find where a model's own code draws random numbers, while its forwards run.

Every draw changes the state of one of the process's generators. A change is attributed to the
function that was called, or to the module that ran. Other threads change these states too: while
any runs, only functions that are known to draw are named, and any other change is reported as
uncertain.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import resolve_name

from noisegate.core.survey import OwnDraw

from ..generators import OTHERS, Ledger, find_generators, read_state
from .coins import find_bounds, get_coins, hold_coin, is_coin, mark_coin
from .sharing import is_alone

# Functions that draw by calling other functions. For all others a tag of torch's operator says so.
COMPOSED = (
    F.gumbel_softmax,
    F.fractional_max_pool2d,
    F.fractional_max_pool3d,
    F.fractional_max_pool2d_with_indices,
    F.fractional_max_pool3d_with_indices,
    F.multi_head_attention_forward,
    F.dropout1d,
    F.dropout2d,
    F.dropout3d,
    nn.init.kaiming_uniform_,
    torch.svd_lowrank,
    torch.pca_lowrank,
    torch.lobpcg,
)


class ModuleCall(Protocol):
    """A running call of a module."""

    training: bool
    module: Any
    multiplies: bool

    @property
    def path(self) -> str:
        """The module's path."""

    @property
    def known(self) -> bool:
        """Whether the module is a noise itself, or known to make noise inside."""


class KnownDraws:
    """The draws that earlier forwards of a model have shown."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Forget everything, so that the next forwards are watched closely again."""
        # Functions that drew; generators that moved without a known function; the modes (training
        # or not) in which a forward was watched closely.
        self.functions: set[Any] = set()
        self.unseen: set[str] = set()
        self.modes: set[bool] = set()

    def has_others(self, training: bool) -> bool:
        """Return whether Python's or NumPy's generator is drawn from, or may be in a first forward.

        Beside other threads, which share these generators, it must be known.
        """
        unknown = training not in self.modes and is_alone()
        return unknown or not self.unseen.isdisjoint(OTHERS)

    def __reduce__(self) -> Any:
        """Return how a copy is made: it knows no draws yet."""
        return KnownDraws, ()


class DrawWatch:
    """Watches the generators in one forward.

    The first forward in training and the first in evaluation are watched closely: generators are
    compared around every function that may draw and at every module call. In later forwards they
    are compared only around the functions that drew before, and at both ends of the forward.
    """

    def __init__(
        self, known: KnownDraws, model: nn.Module, tell: Callable[[OwnDraw], None]
    ) -> None:
        self.known, self.model, self.tell = known, model, tell
        self.training = training = model.training
        self.closely = get_coins() is not None or training not in known.modes
        skipped = frozenset() if self.closely else frozenset(known.unseen)
        self.ledger = Ledger(self.closely, skipped)
        self.close = self.ledger.close
        self.alone = is_alone()
        # Generators that the model stores, with their states; and the ids of those that functions
        # were given.
        self.kept = (
            [(k, read_state(k.generator)) for k in find_generators(model)] if self.closely else []
        )
        self.given: set[int] = set()
        # The site of the draw by the function that runs, if its numbers are from the field.
        self.served = ""
        # Draws of a single number, which may be coins; and the rate of each coin that was compared.
        # Only the end of the forward shows which single numbers decided something.
        self.single: dict[OwnDraw, None] = {}
        self.rates: dict[OwnDraw, float | None] = {}

    def run(self, place: ModuleCall, function: Any, args: Any, kwargs: Any) -> Any:
        """Return the result of a torch function, and report it if it draws."""
        closely = self.closely and (may_draw(function) or _is_foreign(function))
        if closely or function in self.known.functions:
            return self.run_drawing(place, function, args, kwargs)
        return function(*args, **kwargs)

    def run_drawing(self, place: ModuleCall, function: Any, args: Any, kwargs: Any) -> Any:
        """Return the result of a torch function that may draw, and report it if it does."""
        self.served = ""
        result, has_moved = self.ledger.watch_torch(
            lambda: function(*args, **kwargs), lambda: may_draw(function) or self._is_alone()
        )
        if is_coin(function, result):
            hold_coin(function, args, kwargs, result)
            # Compared with another range's rate, it would decide at another one.
            if find_bounds(function, args, kwargs) == (0, 1):
                mark_coin(result, self.served)
        if self.served:
            return result
        given = {id(x) for x in (*args, *kwargs.values()) if isinstance(x, torch.Generator)}
        self.given |= given
        # A generator that is an argument, or on another device, is not among those compared.
        if has_moved or given or (_is_unwatched(result) and may_draw(function)):
            self.known.functions.add(function)
            draw = make_draw(place.path, name_class(place.module), place.known, function)
            if not draw.drops and is_coin(function, result):
                mark_coin(result, draw)
                self.single[draw] = None
            else:
                self.tell(draw)
        return result

    def run_known(self, function: Callable[[], Any]) -> Any:
        """Return the result of a call whose draw was reported already."""
        return self.ledger.watch_torch(function, lambda: True)[0]

    def _is_alone(self) -> bool:
        """Return whether no other thread can have moved a generator in this forward."""
        return self.alone and is_alone()

    def note_decision(self, coin: OwnDraw, rate: float | None) -> None:
        """Note that a coin was compared with a rate, or with something unknown (None)."""
        before = self.rates.get(coin, rate)
        known = rate is not None and before is not None
        self.rates[coin] = max(rate or 0.0, before or 0.0) if known else None

    def look(self, place: ModuleCall) -> None:
        """Report generators that have moved since the last look, as drawn by a running module."""
        moved = self.ledger.find_moved()
        certain = not moved or self._is_alone()
        for name in moved:
            words = f"{name} generator"
            if certain:
                self.known.unseen.add(name)
                kind = name_class(place.module)
                drops = "drop" in kind.lower()
                draw = OwnDraw(place.path, f"{words} in {kind}", drops, place.known)
                self.tell(replace(draw, seeded=name in OTHERS))
            else:
                self.tell(OwnDraw("", words, known=place.known, certain=False))

    def _look_at_kept(self) -> None:
        """Report generators stored in the model that moved, unless a function was given them."""
        for kept, state in self.kept:
            if id(kept.generator) not in self.given and read_state(kept.generator) != state:
                module = self.model.get_submodule(kept.module)
                words = f"generator {kept.name} in {name_class(module)}"
                self.tell(OwnDraw(kept.module, words))

    def end(self, root: ModuleCall) -> None:
        """Report the remaining draws at the end of a forward."""
        before = len(self.known.unseen)
        self.look(root)
        self._look_at_kept()
        if self.closely and self.ledger.steady:
            self.known.modes.add(self.training)
        if not self.closely and len(self.known.unseen) > before:
            # Something draws that did not before: watch the next forward closely to find it.
            self.known.modes.discard(self.training)
        for draw in self.single:
            if draw not in self.rates:
                self.tell(draw)
        for coin, rate in self.rates.items():
            if rate != 0:  # a coin that is compared with 0 decides nothing
                self.tell(replace(coin, coin=True, rate=rate))


def make_draw(path: str, kind: str, known: bool, function: Any) -> OwnDraw:
    """Return the draw of a function that a module of a class calls."""
    name = name_function(function)
    drops = any(word in name for word in ("dropout", "bernoulli")) or "drop" in kind.lower()
    return OwnDraw(path, f"{name} in {kind}", drops, known)


def name_class(module: nn.Module) -> str:
    """Return the name of a module's class."""
    # A script module has a class of torch's, and stores the name of the original one.
    return str(getattr(module, "original_name", type(module).__name__))


def _is_unwatched(result: Any) -> bool:
    """Return whether a result is a tensor on a device whose generator is not compared."""
    return isinstance(result, torch.Tensor) and result.device.type not in ("cpu", "cuda", "meta")


def _is_foreign(function: Any) -> bool:
    """Return whether a function is an operator of another library, of which nothing is known."""
    operators = torch._ops.OpOverload, torch._ops.OpOverloadPacket
    return isinstance(function, operators) and not str(function).startswith("aten.")


@lru_cache(maxsize=256)
def may_draw(function: Any) -> bool:
    """Return whether a function is known to draw, by the tag of torch's operator of its name."""
    if function in COMPOSED:
        return True
    name = name_function(function).rpartition(".")[2]
    packet = getattr(torch.ops.aten, name, None)  # `__eq__` and the like are methods of Python's
    overloads = packet.overloads() if isinstance(packet, torch._ops.OpOverloadPacket) else []
    return any(torch.Tag.nondeterministic_seeded in getattr(packet, o).tags for o in overloads)


@lru_cache(maxsize=256)
def name_function(function: Any) -> str:
    """Return a torch function's name as code writes it, such as `F.dropout`."""
    if isinstance(function, torch._ops.OpOverload | torch._ops.OpOverloadPacket):
        name = str(function)
        return "torch.ops." + ".".join(name.split(".")[:2])
    name = resolve_name(function)
    if name is None:
        name = f"torch.{getattr(function, '__name__', function)}"
    return name.replace("torch.nn.functional.", "F.").replace("torch.Tensor.", "Tensor.")
