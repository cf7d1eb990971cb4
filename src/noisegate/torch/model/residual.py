"""Find the residual blocks of a model, as far as its modules show them."""

from collections import Counter
from collections.abc import Mapping

from torch import nn

from .paths import unwrap
from .scripted import is_scripted

_LISTS = (nn.ModuleList, nn.ModuleDict, nn.Sequential)
_TORCH_BLOCKS = (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)


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
