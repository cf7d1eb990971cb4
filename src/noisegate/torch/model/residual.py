"""Find the residual blocks of a model, and what in a block needs to be called."""

from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from .paths import unwrap
from .scripted import is_scripted

_LISTS = (nn.ModuleList, nn.ModuleDict, nn.Sequential)
_TORCH_BLOCKS = (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)
# Whose hooks a block may need.
_HOMES = ("torch", "noisegate")


def find_blocks(found: Mapping[str, nn.Module]) -> set[str]:
    """Return the paths of modules that may be residual blocks.

    They are torch's transformer layers, the modules of a ModuleList or ModuleDict, those of a
    Sequential with another of the same class, and all others of such a class. A module without
    modules inside is none.
    """
    members = {path: unwrap(module) for path, module in found.items() if _is_member(path, found)}
    alike = Counter((path.rpartition(".")[0], type(m)) for path, m in members.items())
    blocks = {
        path
        for path, module in members.items()
        if not isinstance(unwrap(found[path.rpartition(".")[0]]), nn.Sequential)
        or alike[path.rpartition(".")[0], type(module)] > 1
    }
    classes = {type(members[path]) for path in blocks} - set(_LISTS)
    classes = {one for one in classes if one.__module__.partition(".")[0] != "torch"}
    return blocks | {
        path
        for path, module in found.items()
        if path and (type(unwrap(module)) in classes or isinstance(unwrap(module), _TORCH_BLOCKS))
    }


def _is_member(path: str, found: Mapping[str, nn.Module]) -> bool:
    """Return whether a module with others inside is in a list of modules."""
    module, parent = found[path], found.get(path.rpartition(".")[0])
    if not path or parent is None or is_scripted(module) or is_scripted(parent):
        return False
    inner = any(True for _ in unwrap(module).children())
    return inner and isinstance(unwrap(parent), _LISTS)


def find_waiting(block: nn.Module) -> str | None:
    """Return the class of a module in a block that waits for other processes, or None.

    Those may keep samples where this one keeps none, and would wait for ever. FSDP around the
    whole block has gathered its weights before.
    """
    for module in block.modules():
        names = {one.__name__ for one in type(module).__mro__}
        shared = names & {"FSDPModule", "FullyShardedDataParallel"} and module is not block
        spread = any(type(p).__name__ == "DTensor" for p in module.parameters(recurse=False))
        if shared or spread or (isinstance(module, nn.SyncBatchNorm) and module.training):
            return type(module).__name__
    return None


def find_normalization(block: nn.Module) -> str | None:
    """Return the class of a module in a block that computes statistics of a batch, or None."""
    found = (m for m in block.modules() if isinstance(m, _BatchNorm) and m.training)
    return next((type(module).__name__ for module in found), None)


@contextmanager
def hide_hooks(module: nn.Module) -> Iterator[None]:
    """Let no hooks but torch's and noisegate's run in a module, for a block.

    Others may collect what the module computes, as those of transformers do.
    """
    hidden = []
    for inner in module.modules():
        for name in ("_forward_hooks", "_forward_pre_hooks") if not is_scripted(inner) else ():
            hooks = vars(inner)[name]
            own = {number: hook for number, hook in hooks.items() if _find_home(hook) in _HOMES}
            if len(own) < len(hooks):
                hidden.append((inner, name, hooks))
                vars(inner)[name] = OrderedDict(own)
    try:
        yield
    finally:
        for inner, name, hooks in hidden:
            vars(inner)[name] = hooks


def _find_home(hook: Any) -> str:
    """Return the name of the package of a hook."""
    while isinstance(hook, partial):
        hook = hook.func
    home = getattr(hook, "__module__", None) or type(hook).__module__
    return str(home).partition(".")[0]
