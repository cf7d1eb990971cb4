"""The JSON that a study writes."""

import json
import math
from typing import Any

# Of a study.json, and of the files of the runs.
FORMAT = 2


def replace_nan(value: Any) -> Any:
    """Return the same with None for every number that is not finite, which JSON cannot hold."""
    if isinstance(value, dict):
        return {name: replace_nan(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [replace_nan(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def format_json(facts: Any) -> str:
    """Return facts, in which every number is finite, as JSON text."""
    return json.dumps(facts, indent=1, allow_nan=False) + "\n"
