"""Rules and other arguments of `inject` as values that JSON can hold, and back."""

from collections.abc import Mapping
from typing import Any

from noisegate.core import schedule
from noisegate.core.kinds import from_config


def write_config(value: Any) -> Any:
    """Return rules, or what stands in them, as values that JSON can hold."""
    if isinstance(value, Mapping):
        return {name: write_config(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [write_config(inner) for inner in value]
    if type(value).__module__ == "numpy" and not value.ndim:
        return value.item()
    return write_config(value.config()) if hasattr(value, "config") else value


def read_config(value: Any) -> Any:
    """Return what `write_config` has written."""
    if isinstance(value, list):
        return [read_config(inner) for inner in value]
    if not isinstance(value, Mapping):
        return value
    if "kind" in value:
        return from_config(value)
    if "schedule" in value:
        return schedule.from_config(value)
    if "by_depth" in value:
        return schedule.by_depth(**read_config(value["by_depth"]))
    return {name: read_config(inner) for name, inner in value.items()}
