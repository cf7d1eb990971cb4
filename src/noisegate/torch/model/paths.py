"""Canonical paths: names of modules without the parts that wrappers add."""

from collections.abc import Iterator, Sequence

from torch import nn

from noisegate.core.errors import InvalidValue

from .scripted import is_scripted

# Names that only wrappers give to what they wrap.
_WRAPPED = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
# A user's own attribute may be called `module`: the name is left out for these classes and their
# subclasses alone.
_WRAPPERS = {
    "AveragedModel",
    "DataParallel",
    "DeepSpeedEngine",
    "DistributedDataParallel",
    "FullyShardedDataParallel",
}


def find_modules(model: nn.Module) -> dict[str, nn.Module]:
    """Return every module by its canonical path, each once; a wrapper stands for what it wraps.

    Modules inside a script module are left out.

    Raises
    ------
    InvalidValue
        If two modules would have one path.
    """
    found: dict[str, nn.Module] = {"": model}
    places = {"": ""}
    seen = {id(model)}
    for place, path, module, inner in _walk(model, "", "", seen):
        if inner:
            continue
        if path in found:
            raise InvalidValue(
                f"inject: the modules '{places[path]}' and '{place}' would both be '{path}', since "
                "names of wrappers are left out. Rename one of them."
            )
        found[path], places[path] = module, place
    return found


def unwrap(module: nn.Module) -> nn.Module:
    """Return the module inside one or several wrappers; any other module itself."""
    name = _find_wrapped(module)
    return module if name is None else unwrap(module.get_submodule(name))


def _walk(
    module: nn.Module, place: str, path: str, seen: set[int], rest: Sequence[str] = ()
) -> Iterator[tuple[str, str, nn.Module, bool]]:
    """Yield place, canonical path, module, and whether a wrapper above it has this path already.

    `rest` are the names of a wrapper's path that are still to be left out.
    """
    if is_scripted(module):
        return
    wrapped = rest or (_find_wrapped(module) or "").split(".")
    for name, child in module._modules.items():
        if child is None or id(child) in seen:
            continue
        seen.add(id(child))
        inner = name == wrapped[0]
        at, below = _join_path(place, name), path if inner else _join_path(path, name)
        yield at, below, child, inner
        yield from _walk(child, at, below, seen, wrapped[1:] if inner else ())


def _join_path(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _find_wrapped(module: nn.Module) -> str | None:
    """Return the path of the wrapped module within a wrapper; None if a module is no wrapper."""
    if is_scripted(module):
        return None
    children = module._modules
    for name in _WRAPPED & children.keys():
        return name
    classes = {base.__name__ for base in type(module).__mro__}
    if "module" in children and classes & _WRAPPERS:
        return "module"
    inner = children.get("base_model")
    if inner is None or "model" not in inner._modules:
        return None
    # An adapter (PEFT), by its class's name or because it contains nothing else.
    alone = len(children) == 1 == len(inner._modules)
    named = any(name.startswith("Peft") for name in classes)
    return "base_model.model" if alone or named else None
