"""Checks of an estimator's parameters."""

from numbers import Integral
from typing import Any, TypeVar

import torch

from noisegate.core import checks
from noisegate.core.errors import InvalidValue, prefix_errors
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
