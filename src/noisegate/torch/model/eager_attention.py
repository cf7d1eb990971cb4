"""Handle the attention that a module's own code computes: a product, a softmax, and a product.

Each function is seen alone, so tensors are marked: what a softmax returns, and what is computed
from it, are probabilities until they are multiplied with the values. What an equation returns is
marked with the order of its axes.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .attention import MASKED, normalize
from .replacing import Caller, Replacement, find_place

# Marks probabilities: True before their dropout, False after it.
_MARK = "_noisegate_probabilities"

# The axes of scores or probabilities in the order (batch, head, query, key), if they have another.
_AXES = "_noisegate_axes"


def is_marked(x: Any) -> bool:
    """Return whether x are probabilities of an attention, before any dropout."""
    # A softmax's result with more than two axes is an attention's, not a classifier's.
    return x.ndim > 2 and getattr(x, _MARK, False)


def mark_dropped(x: Tensor, y: Any) -> None:
    """Mark y as probabilities after their dropout, if x are probabilities."""
    if hasattr(x, _MARK) and isinstance(y, Tensor) and y is not x:
        setattr(y, _MARK, False)


def apply_in_order(x: Tensor, noise: Callable[[Tensor], Tensor]) -> Tensor:
    """Return scores or probabilities with noise, which sees them as (batch, head, query, key)."""
    return _permute(x, getattr(x, _AXES, None), noise)


def _permute(x: Tensor, order: Any, noise: Callable[[Tensor], Tensor]) -> Tensor:
    """Return x with noise, which sees its axes in an order."""
    if order is None:
        return noise(x)
    return noise(x.permute(order)).permute([order.index(axis) for axis in range(x.ndim)])


def _handle_softmax(caller: Caller, func: Any, args: Any, kwargs: Any) -> Any:
    """Put noise on the scores of an attention; mark the result as probabilities."""
    y = _compute_softmax(caller, func, args, kwargs)
    _pass_axes_on(args[0] if args else kwargs["input"], y)
    setattr(y, _MARK, True)
    return y


def _compute_softmax(caller: Caller, func: Any, args: Any, kwargs: Any) -> Any:
    given = dict(zip(("input", "dim"), args, strict=False)) | kwargs
    scores, axis = given["input"], given.get("dim")
    if scores.ndim < 3 or axis not in (-1, scores.ndim - 1):
        return func(*args, **kwargs)
    noise = _find_noise_on_scores(caller, scores.ndim)
    if noise is None:
        return func(*args, **kwargs)
    rest = args[1:] if args else ()
    others = {name: value for name, value in kwargs.items() if name != "input"}
    # A mask has been added already, and what it hides stays hidden.
    noisy = torch.where(scores < MASKED, scores, apply_in_order(scores, noise))
    return normalize(noisy, lambda x: func(x, *rest, **others))


def _find_noise_on_scores(caller: Caller, rank: int) -> Replacement:
    """Return what noise does to the input of a softmax; None if it is no attention's.

    An attention multiplies queries and keys first. Any other softmax has noise if a rule names the
    module without a wildcard.
    """
    if not caller.frame.multiplies and not caller.waits_for(f"{caller.frame.path}:scores"):
        return None
    return find_place(caller, "scores", "a softmax", rank)


def _pass_mark_on(caller: Caller, func: Any, args: Any, kwargs: Any) -> Any:
    """Mark the result of an elementwise function of probabilities as probabilities."""
    y = func(*args, **kwargs)
    if isinstance(y, Tensor):
        for x in args:
            if isinstance(x, Tensor) and hasattr(x, _MARK):
                setattr(y, _MARK, getattr(x, _MARK))
                _pass_axes_on(x, y)
                break
    return y if hasattr(y, _MARK) else _find_axes(args, y)


def _keep_axes(caller: Caller, func: Any, args: Any, kwargs: Any) -> Any:
    """Mark the result of an elementwise function of scores with the order of their axes."""
    y = func(*args, **kwargs)
    return _find_axes(args, y) if caller.frame.multiplies else y


def _find_axes(args: Any, y: Any) -> Any:
    for x in args:
        if isinstance(x, Tensor) and hasattr(x, _AXES):
            _pass_axes_on(x, y)
            break
    return y


def _pass_axes_on(x: Tensor, y: Any) -> None:
    if hasattr(x, _AXES) and isinstance(y, Tensor) and y.shape == x.shape:
        setattr(y, _AXES, getattr(x, _AXES))


def _handle_product(caller: Caller, func: Any, args: Any, kwargs: Any) -> Any:
    """Put noise on the heads' outputs where probabilities are multiplied with the values."""
    y = func(*args, **kwargs)
    if y.ndim < 3:
        return y
    caller.frame.multiplies = True
    if not args or not hasattr(args[0], _MARK):
        return y
    noise = find_place(caller, "heads", "a product", y.ndim)
    return y if noise is None else noise(y)


def _handle_einsum(caller: Caller, func: Any, args: Any, kwargs: Any) -> Any:
    """Do the same for a product that is written as an equation."""
    y = func(*args, **kwargs)
    if y.ndim < 3:
        return y
    caller.frame.multiplies = True
    order = _order_of_equation(args)
    if order is None:
        axes = find_axes_of_scores(args[0])
        if axes is not None and axes != tuple(range(y.ndim)):
            setattr(y, _AXES, axes)
        return y
    noise = find_place(caller, "heads", "einsum", y.ndim)
    return y if noise is None else _permute(y, order, noise)


def find_axes_of_scores(equation: Any) -> tuple[int, ...] | None:
    """Return the axes of an equation's result as (batch, head, query, key); None if it has none.

    Queries and keys share the axes of batch and heads, batch first.
    """
    if not isinstance(equation, str) or "." in equation:
        return None
    inputs, arrow, result = equation.replace(" ", "").partition("->")
    terms = inputs.split(",")
    if not arrow or len(terms) != 2 or not result:
        return None
    key = result[-1]
    queries, keys = terms if key in terms[1] else terms[::-1]
    alone = [axis for axis in queries if axis in result and axis not in keys]
    shared = [axis for axis in queries if axis in result and axis in keys]
    order = [*shared, *alone, key]
    if len(alone) != 1 or key in queries or sorted(order) != sorted(result):
        return None
    return tuple(result.index(axis) for axis in order)


def _order_of_equation(args: Any) -> list[int] | None:
    """Return the axes of an equation's result as (batch, head, query, feature).

    None if it is no product of probabilities and values.
    """
    equation, *tensors = args
    if not isinstance(equation, str) or len(tensors) != 2 or "." in equation:
        return None
    inputs, arrow, result = equation.replace(" ", "").partition("->")
    marked = [hasattr(x, _MARK) for x in tensors]
    if not arrow or not any(marked):
        return None
    terms = inputs.split(",")
    term, values = terms[marked.index(True)], terms[marked.index(False)] if not all(marked) else ""
    first, key = term[:-1], term[-1]
    if key in result or not set(first) < set(result):
        return None
    alone = [axis for axis in first if axis not in values]
    if len(alone) == 1:  # the query; the others, which values have too, in the result's order
        first = "".join(axis for axis in result if axis in first and axis in values) + alone[0]
    return [result.index(axis) for axis in (*first, *(a for a in result if a not in first))]


# Functions that models call between the softmax and the product; each keeps all elements in place.
_ELEMENTWISE = (
    *(Tensor.to, Tensor.type_as, Tensor.type),
    *(Tensor.float, Tensor.half, Tensor.bfloat16, Tensor.double),
    *(Tensor.mul, Tensor.__mul__, torch.mul),
    *(Tensor.masked_fill, Tensor.masked_fill_, torch.masked_fill),
    *(Tensor.clone, torch.clone, Tensor.contiguous, torch.nan_to_num),
    *(Tensor.view, Tensor.reshape, torch.reshape),
)
# Functions between the product and the softmax.
_ON_SCORES = (
    *(Tensor.add, Tensor.sub, Tensor.div, torch.add, torch.sub, torch.div, torch.true_divide),
    *(torch.where, Tensor.where, torch.tanh, Tensor.tanh, torch.clamp, Tensor.clamp),
)
_PRODUCTS = (
    *(torch.matmul, Tensor.matmul, Tensor.__matmul__),
    *(torch.bmm, Tensor.bmm, torch.baddbmm, Tensor.baddbmm),
)

EAGER_ATTENTION_HANDLERS: dict[Any, Any] = {
    **dict.fromkeys(
        (F.softmax, torch.softmax, Tensor.softmax, torch.special.softmax), _handle_softmax
    ),
    **dict.fromkeys(_ELEMENTWISE, _pass_mark_on),
    **dict.fromkeys(_ON_SCORES, _keep_axes),
    **dict.fromkeys(_PRODUCTS, _handle_product),
    torch.einsum: _handle_einsum,
}
