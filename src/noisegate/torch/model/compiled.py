"""Refuse models whose compiled code has run already: it would ignore hooks that are added later."""

import gc
import sys
from typing import Any

from torch import nn

from noisegate.core.callers import warn_caller
from noisegate.core.errors import InvalidValue


def refuse_compiled(model: nn.Module) -> None:
    """Raise if a model or a module of it was compiled and has run; warn if only its class's has.

    When torch 2.13 looks up compiled code, it compares neither hooks nor the instance
    (``torch._dynamo.config.skip_nnmodule_hook_guards``).
    """
    # Not imported: without torch._dynamo in memory nothing was compiled.
    dynamo = sys.modules.get("torch._dynamo.eval_frame")
    entries = getattr(dynamo, "_debug_get_cache_entry_list", None)
    if dynamo is None or entries is None:
        return
    own = {id(module) for module in model.modules()}
    classes = {type(module) for module in model.modules() if not _is_torch_s(module)}
    codes = [(c.__name__, getattr(c.forward, "__code__", None)) for c in classes]
    ran = [name for name, code in codes if code is not None and entries(code)]
    inlined = _find_inlined(entries)
    ran += [_name(module) for module in inlined if type(module) is type(model)]
    if not ran:
        return
    # All instances of a class share its code, so another instance's may have run.
    compiled = [module for module in inlined if id(module) in own] or _find_compiled(dynamo, own)
    if compiled:
        raise InvalidValue(
            f"inject: code compiled of {_name(compiled[0])} has already run, and would go on "
            "without the noise, silently. Inject before the first call, or call "
            "torch.compiler.reset() first."
        )
    warn_caller(
        f"noisegate: code compiled of another {ran[0]} has already run. If this one is compiled "
        "too, it would be used without the noise; call torch.compiler.reset() before that."
    )


def _is_torch_s(module: nn.Module) -> bool:
    return type(module).__module__.partition(".")[0] == "torch"


def _name(module: nn.Module) -> str:
    return type(module).__name__


def _find_compiled(dynamo: Any, own: set[int]) -> list[nn.Module]:
    """Return the modules, of those with the given ids, that were passed to `torch.compile`."""
    # torch keeps no list of them: this searches all objects, only where compiled code has run.
    found = []
    for value in gc.get_objects():
        if type(value) is dynamo.OptimizedModule and id(value._orig_mod) in own:
            found.append(value._orig_mod)
        elif id(value) in own and getattr(value, "_compiled_call_impl", None) is not None:
            found.append(value)
    return found


def _find_inlined(entries: Any) -> list[nn.Module]:
    """Return the modules of torch's own classes whose compiled code has run.

    torch compiles a closure around their call, so their `forward` has no compiled code.
    """
    inline = getattr(sys.modules.get("torch._dynamo.external_utils"), "wrap_inline", None)
    if inline is None:
        return []
    codes = [code for code in inline.__code__.co_consts if hasattr(code, "co_freevars")]
    closures = [f for code in codes if entries(code) for f in gc.get_referrers(code)]
    cells = [cell for f in closures for cell in getattr(f, "__closure__", None) or ()]
    around = [getattr(cell.cell_contents, "__self__", cell.cell_contents) for cell in cells]
    return [value for value in around if isinstance(value, nn.Module)]
