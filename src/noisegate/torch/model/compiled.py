"""Have compiled code compare the hooks of modules, so that it never goes on without noise."""

import sys
from typing import Any

import torch

from noisegate.core.callers import warn_caller

from ..compiler_options import SETTINGS, set_option

# torch's default is True: when it looks up compiled code for a module, it does not ask whether
# hooks came since, nor whether they are those of another module of the same structure.
_OPTION = "skip_nnmodule_hook_guards"


def guard_hooks() -> None:
    """Have compiled code run only for modules with the hooks that it was compiled for.

    Code compiled before is discarded, and compiled again at its next call. All of it: compiled
    functions may call a model too, and torch keeps no list of what they call.
    """
    settings: Any = sys.modules.get(SETTINGS)
    skipped = getattr(settings, _OPTION, False)
    set_option(_OPTION, False)
    if getattr(settings, _OPTION, False):
        warn_caller(
            f"noisegate: {SETTINGS}.{_OPTION} was set to True, so compiled code that has run may "
            "go on without the noise, silently. Set it to False, then call torch.compiler.reset()."
        )
    elif skipped and _has_run():
        torch.compiler.reset()
        warn_caller(
            "noisegate: compiled code has run that compares no hooks, and would go on without the "
            "noise. It was discarded, and is compiled again at its next call. Inject before "
            "the first call of compiled code."
        )


def _has_run() -> bool:
    """Return whether code was compiled since the compiler was reset; True if nobody can tell."""
    codes = getattr(sys.modules.get("torch._dynamo.convert_frame"), "input_codes", None)
    return bool(getattr(codes, "seen", True))
