"""A layer of concrete dropout, which learns its rate."""

from math import log
from typing import Any

import torch
from torch import Tensor, nn

from noisegate.core import catalogue, checks
from noisegate.core.errors import InvalidType, InvalidValue, prefix_errors
from noisegate.core.kinds import ConcreteDropout as Kind
from noisegate.core.schedule import Schedule
from noisegate.core.window import DEFAULT_AXIS

from .noise_layer import NoiseLayer


class ConcreteDropout(NoiseLayer):
    """Dropout that learns its rate; put it before the layer whose inputs it drops.

    The rate is ``p = sigmoid(p_logit)``. Give the parameter `p_logit` to the optimizer, and add
    `regularization` to the loss: without it p would only fall.

    Parameters
    ----------
    p : float
        The initial rate, in (0, 1).
    temperature, shared_axes
        As of `noisegate.ConcreteDropout`; ``shared_axes=slice(2, None)`` for feature maps.
    seed, site, sample_axis
        As of `NoiseLayer`.

    Attributes
    ----------
    p_logit : Parameter
        The logit of the rate, of shape (); part of ``state_dict()``.
    p : Tensor
        The present rate, with its gradient; a number may be assigned.

    Raises
    ------
    InvalidType, InvalidValue
        If p is not a number in (0, 1). A schedule is refused, since the rate is learned.

    References
    ----------
    Gal, Hron, Kendall (2017), Concrete dropout.

    Examples
    --------
    >>> import noisegate as ng, torch
    >>> noise, linear = ng.torch.ConcreteDropout(0.1), torch.nn.Linear(8, 4)
    >>> loss = linear(noise(torch.ones(2, 8))).square().mean() + noise.regularization(linear)
    >>> loss.backward()
    >>> noise.p_logit.grad is not None
    True
    """

    _is_live = True
    definition = catalogue.LAYERS["ConcreteDropout"]

    def __init__(
        self,
        p: float = 0.1,
        temperature: float = 0.1,
        shared_axes: Any = (),
        *,
        seed: int | None = None,
        site: str | None = None,
        sample_axis: int | None = DEFAULT_AXIS,
    ) -> None:
        start = _check_rate(p)
        arguments = {"p": start, "temperature": temperature, "shared_axes": shared_axes}
        self._begin(arguments, Kind(**arguments), seed, site, sample_axis)
        self.p_logit = nn.Parameter(torch.tensor(log(start / (1 - start))))

    def __setattr__(self, name: str, value: Any) -> None:
        """Set the rate by its logit; anything else as in any layer."""
        if name == "p":
            rate = _check_rate(value)
            with torch.no_grad():
                self.p_logit.fill_(log(rate / (1 - rate)))
            return
        super().__setattr__(name, value)

    @property
    def p(self) -> Tensor:
        """The present rate, with its gradient."""
        return self.p_logit.sigmoid()

    def regularization(
        self,
        module: nn.Module,
        weight_regularizer: float = 1e-6,
        dropout_regularizer: float = 1e-5,
    ) -> Tensor:
        """Return the term to add to the loss: the pull of the prior on the weights and on p.

        ``weight_regularizer · ‖W‖² / (1 − p) + dropout_regularizer · K · (p log p + (1 − p)
        log(1 − p))``, where K is the number of inputs of `module`.

        Parameters
        ----------
        module : Module
            The layer after the noise, with a `weight` of shape (outputs, inputs, ...).
        weight_regularizer : float
            At least 0: l²/N for the prior length scale l and N training samples; for regression
            l²/(τN), where τ is the precision of the model.
        dropout_regularizer : float
            At least 0: 2/N, or 2/(τN) for regression.
        """
        weight = getattr(module, "weight", None)
        bounds = (0.0, float("inf"))
        with prefix_errors("ConcreteDropout.regularization"):
            if not isinstance(weight, Tensor) or weight.ndim < 2:
                raise InvalidType(
                    "`module` must be the layer that the noise feeds, with a weight of shape "
                    f"(outputs, inputs, ...); got {type(module).__name__}."
                )
            pull = checks.check_bounds("weight_regularizer", weight_regularizer, bounds)
            push = checks.check_bounds("dropout_regularizer", dropout_regularizer, bounds)
        inputs = weight.shape[1] * getattr(module, "groups", 1)
        p, q = self.p, (-self.p_logit).sigmoid()  # 1 − p without cancellation
        log_p = nn.functional.logsigmoid(self.p_logit)
        log_q = nn.functional.logsigmoid(-self.p_logit)
        negative_entropy = p * log_p + q * log_q
        return pull * weight.square().sum() / q + push * inputs * negative_entropy

    def _is_identity(self) -> bool:
        return False  # even at a tiny rate, which needs its gradient

    def live(self) -> dict[str, Any]:
        """Return the present rate, with its gradient."""
        return {"p": self.p}

    def _show_rate(self) -> str:
        return f"{self.p.item():.4g}"


def _check_rate(p: Any) -> float:
    if isinstance(p, Schedule):
        raise InvalidType(
            "ConcreteDropout: `p` is learned by this layer, so it follows no schedule. Give a "
            "number to begin with, or put noisegate.ConcreteDropout(p=schedule) in with "
            "noisegate.inject."
        )
    with prefix_errors("ConcreteDropout"):
        rate = checks.check_bounds("p", p, Kind.BOUNDS)
    if rate == 0:
        raise InvalidValue(
            "ConcreteDropout: `p` must be in (0, 1), since it is learned by its logit; got 0.0."
        )
    return rate
