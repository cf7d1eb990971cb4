"""Handle the attention that a module's own code computes: a product, a softmax, and a product.

Each function is seen alone, so tensors are marked: what a softmax returns, and what is computed
from it, are probabilities until they are multiplied with the values.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .attention import MASKED, normalize
from .replacing import Caller, Replacement, find_place

# Marks probabilities: True before their dropout, False after it.
_MARK = "_noisegate_probabilities"


def is_marked(x: Any) -> bool:
    """Return whether x are probabilities of an attention, before any dropout."""
    # A softmax's result with more than two axes is an attention's, not a classifier's.
    return x.ndim > 2 and getattr(x, _MARK, False)


def mark_dropped(x: Tensor, y: Any) -> None:
    """Mark y as probabilities after their dropout, if x are probabilities."""
    if hasattr(x, _MARK) and isinstance(y, Tensor) and y is not x:
        setattr(y, _MARK, False)


def _handle_softmax(caller: Caller, func: Any, args: Any, kwargs: Any) -> Any:
    """Put noise on the scores of an attention; mark the result as probabilities."""
    y = _compute_softmax(caller, func, args, kwargs)
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
    noisy = torch.where(scores < MASKED, scores, noise(scores))
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
                break
    return y


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
    noise = None if order is None else find_place(caller, "heads", "einsum", y.ndim)
    if noise is None or order is None:
        return y
    back = [order.index(axis) for axis in range(y.ndim)]
    return noise(y.permute(order)).permute(back)


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
    term = inputs.split(",")[marked.index(True)]
    first, key = term[:-1], term[-1]
    if key in result or not set(first) < set(result):
        return None
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
_PRODUCTS = (
    *(torch.matmul, Tensor.matmul, Tensor.__matmul__),
    *(torch.bmm, Tensor.bmm, torch.baddbmm, Tensor.baddbmm),
)

EAGER_ATTENTION_HANDLERS: dict[Any, Any] = {
    **dict.fromkeys(
        (F.softmax, torch.softmax, Tensor.softmax, torch.special.softmax), _handle_softmax
    ),
    **dict.fromkeys(_ELEMENTWISE, _pass_mark_on),
    **dict.fromkeys(_PRODUCTS, _handle_product),
    torch.einsum: _handle_einsum,
}
