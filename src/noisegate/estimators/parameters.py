"""Checks of an estimator's parameters."""

from numbers import Integral
from typing import Any, TypeVar

import torch

from noisegate.core import checks
from noisegate.core.errors import InvalidType, InvalidValue, prefix_errors
from noisegate.core.words import got, list_names

C = TypeVar("C", bound=type)


def answer_keywords(cls: C) -> C:
    """Let the constructor of a class answer an unknown keyword: what it is here, or the nearest."""
    cls.__init__ = checks.check_call(cls.__name__)(cls.__init__)  # type: ignore[misc]
    return cls


def check_parameters(estimator: Any, has_validation: bool) -> None:
    """Raise unless the numbers of an estimator are within bounds and go together."""
    for name in ("batch_size", "max_epochs", "early_stopping"):
        value = getattr(estimator, name)
        if value is None and name == "early_stopping":
            continue
        if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
            raise parameter_error(estimator, name, "a whole number of at least 1")
    with prefix_errors(type(estimator).__name__):
        checks.check_positive("lr", estimator.lr)
        _check_optimizer(estimator.optimizer)
        _check_loss(estimator.loss)
    share = estimator.validation_split
    if share is not None and not (checks.is_number(share) and 0 < share < 1):
        raise parameter_error(estimator, "validation_split", "None or between 0 and 1")
    if estimator.resume and estimator.checkpoint is None:
        raise parameter_error(estimator, "resume", "False without a `checkpoint`")
    if estimator.early_stopping is not None and not has_validation:
        # The loss of training has the noise on.
        words = "None without validation: give `validation_data` or `validation_split`"
        raise parameter_error(estimator, "early_stopping", words)


def parameter_error(estimator: Any, name: str, words: str) -> InvalidValue:
    """Return the error for a parameter, whose value is not what `words` say."""
    value, speaker = getattr(estimator, name), type(estimator).__name__
    return InvalidValue(f"{speaker}: `{name}` must be {words}; {got(value)}.")


def _check_optimizer(value: Any) -> None:
    """Raise unless `value` can make an optimizer; a name of torch's is answered with its class."""
    if callable(value):
        return
    names = set(torch.optim.__all__) - {"Optimizer"}  # the base of all others
    classes = {name.lower(): name for name in names if name[0].isupper()}
    name = classes.get(value.lower()) if isinstance(value, str) else None
    remedy = f" Write torch.optim.{name}." if name else ""
    raise InvalidType(f"`optimizer` must be a class of torch.optim; {got(value)}.{remedy}")


def _check_loss(value: Any) -> None:
    """Raise unless `value` is None or a loss that can be called; torch's classes must be made."""
    is_class = isinstance(value, type)
    if value is not None and (is_class or not callable(value)):
        remedy = f" Write {value.__name__}()." if is_class else ""
        raise InvalidType(
            f"`loss` must be a function of outputs and targets, or None; {got(value)}.{remedy}"
        )


def find_device(estimator: Any) -> torch.device:
    """Return the device of an estimator; "auto" is this machine's accelerator, or the CPU."""
    device = estimator.device
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if device == "auto":
        return accelerator or torch.device("cpu")
    names = ["cpu"]
    if accelerator is not None:
        kind, count = accelerator.type, torch.accelerator.device_count()
        names += [kind, *(f"{kind}:{i}" for i in range(count))]
    try:
        place = torch.device(device)
    except (RuntimeError, TypeError):
        place = None
    if place is None or (place.type != "cpu" and str(place) not in names):
        raise InvalidValue(
            f"{type(estimator).__name__}: `device` must be 'auto' or a device of this machine, "
            f"{list_names(names)}; {got(str(device))}."
        )
    return place
