"""What an estimator's arguments may be."""

from typing import Any

import numpy as np
import torch

from noisegate.core import checks
from noisegate.core.errors import InvalidValue, prefix_errors
from noisegate.nets import messages


def check_options(estimator: Any) -> None:
    """Refuse numbers of an estimator that are out of their bounds."""
    who = type(estimator).__name__
    for name in ("batch_size", "max_epochs", "early_stopping"):
        value = getattr(estimator, name)
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if value is None and name == "early_stopping":
            continue
        if not whole or value < 1:
            words = "a whole number of at least 1"
            raise InvalidValue(messages.bad_option(who, name, value, words))
    with prefix_errors(who):
        checks.positive("lr", estimator.lr)
    share = estimator.validation_split
    if share is not None and not (checks.is_number(share) and 0 < share < 1):
        words = "None or between 0 and 1"
        raise InvalidValue(messages.bad_option(who, "validation_split", share, words))
    if estimator.resume and estimator.checkpoint is None:
        words = "False without a `checkpoint`"
        raise InvalidValue(messages.bad_option(who, "resume", estimator.resume, words))


def found_device(who: str, device: Any) -> torch.device:
    """Return a device of this machine, by its name; "auto" is its accelerator, or else the CPU."""
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if device == "auto":
        return accelerator or torch.device("cpu")
    known = ["cpu"]
    if accelerator is not None:
        kind, count = accelerator.type, torch.accelerator.device_count()
        known += [kind, *(f"{kind}:{i}" for i in range(count))]
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError):
        found = None
    if found is None or (found.type != "cpu" and str(found) not in known):
        raise InvalidValue(messages.no_device(who, str(device), known))
    return found
