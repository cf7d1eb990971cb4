"""Find the weights that the words `weight_dropout` and `weight_noise` mean, and those they miss."""

from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from .scripted import is_scripted

EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)


def find_weights(found: Mapping[str, nn.Module]) -> tuple[str, ...]:
    """Return the weights that the words mean; of recurrent layers, those between states."""
    return tuple(
        f"{path}:{name}"
        for path, module in found.items()
        if isinstance(module, nn.MultiheadAttention)
        or (is_weighted(module) and not is_scripted(module))
        for name, _ in module.named_parameters(recurse=False)
        if _is_meant(module, name) and not _is_source(module, name)
    )


def find_made_weights(found: Mapping[str, nn.Module]) -> tuple[str, ...]:
    """Return the weights that the words would mean if they were parameters themselves."""
    return tuple(
        f"{path}:{name}"
        for path, module in found.items()
        if not is_scripted(module) and not isinstance(module, EMBEDDINGS)
        for name, rank in _list_made(module).items()
        if _is_meant(module, name) and rank > 1
    )


def is_weighted(module: nn.Module) -> bool:
    """Return whether a module is a layer with weights, and no embedding or normalization."""
    if is_scripted(module):
        return any(True for _ in module.parameters())
    weight = module._parameters.get("weight")
    leaf = not module._modules and not isinstance(module, EMBEDDINGS)
    if isinstance(module, nn.RNNBase | nn.RNNCellBase):
        return True
    return leaf and isinstance(weight, Tensor) and weight.ndim > 1


def _is_meant(module: nn.Module, name: str) -> bool:
    if isinstance(module, nn.MultiheadAttention):
        return name.endswith("proj_weight")
    return name == "weight" or name.startswith("weight_hh")


def _list_made(module: nn.Module) -> dict[str, int]:
    """Return the tensors that are made of a module's parameters whenever it runs, and their ranks.

    To read one could run the code that makes it, which may draw, or change buffers.
    """
    ranks = {name: getattr(vars(module).get(name), "ndim", 0) for name, _ in find_makers(module)}
    parametrized = module._modules.get("parametrizations")
    for name, made in () if parametrized is None else parametrized.named_children():
        ranks[name] = max((x.ndim for x in made.parameters(recurse=False)), default=0)
    return ranks


def _is_source(module: nn.Module, name: str) -> bool:
    """Return whether a hook makes another tensor of a parameter."""
    return any(name.startswith(f"{made}_") for made, _ in find_makers(module))


def find_makers(module: nn.Module) -> Iterator[tuple[str, str]]:
    """Yield what hooks of torch's make before a module's forward, and where each hook is from."""
    for hook in module._forward_pre_hooks.values():
        home, name = type(hook).__module__, getattr(hook, "_tensor_name", None)
        name = getattr(hook, "name", None) if name is None else name
        if home.startswith("torch.nn.utils.") and isinstance(name, str):
            yield name, home
