"""Find a model's sites before it runs."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules import dropout as torch_dropout

from noisegate.core import catalogue as layers
from noisegate.core.axes import ALL_BUT_SAMPLES
from noisegate.core.kind import Kind
from noisegate.core.kinds import Dropout
from noisegate.core.patterns import STATE, own_site, parse_port
from noisegate.core.survey import Call, Sites
from noisegate.core.window import ATTENTION

from ..layers import NoiseLayer
from .paths import unwrap
from .protocols import Composed, OwnStates, PreActivation
from .recurrent_places import find_lacking, find_recurrent, may_compute_states
from .residual import find_blocks
from .scripted import find_dropouts_inside, find_sites_inside, is_scripted
from .weight_words import EMBEDDINGS, find_made_weights, find_weights, is_weighted

# torch modules that call a function with a dropout inside, or with a place for noise.
INSIDE = (nn.MultiheadAttention, nn.RNNBase, nn.RNNCellBase)
_INSIDE = ("MultiheadAttention", "LSTM", "GRU", "RNN")
_NO_ACTIVATIONS = (nn.MultiheadAttention, nn.Softmax, nn.LogSoftmax, nn.Softmin, nn.Softmax2d)
_DROP_PATH = re.compile(r"(DropPath|StochasticDepth)$")
# Dropouts of other formulas than noisegate's: a rule takes their place, existing=True does not.
_OTHER_DROPOUT = re.compile(r"(DropBlock\w*|(RNN|Locked|Variational)Dropout)$")


def find_sites(model: nn.Module, found: dict[str, nn.Module]) -> Sites:
    """Return the sites of a model, given its modules by canonical path.

    Noises that functions make are not among them: only a forward shows these.
    """
    # A module that is used twice sees other tensors than those of one pre-activation.
    uses = Counter(id(m) for _, m in model.named_modules(remove_duplicate=False))
    names: list[str] = []
    own: dict[str, Call] = {}
    inside: list[str] = []
    composed, blocks = unwrap(model), find_blocks(found)
    # What holds blocks may be given the sequence that they compute; what else, a rule says.
    holders = {path for block in blocks for path in _list_holders(block)}
    unlisted: set[str] = set()
    inner = composed.inner if isinstance(composed, Composed) else ()
    for path, module in found.items():
        call = get_own_call(module)
        if call is not None:
            own[own_site(path, choose_port(call.kind), 0)] = call
        elif find_replaceable(module) is not None:
            names.append(own_site(path, "dropout", 0))
        own |= _find_inside(path, module)
        places = [*_find_attention(path, module), *find_recurrent(path, module)]
        inside += [site for site in places if site not in own]
        if any(path == part or path.startswith(f"{part}.") for part in inner):
            continue
        if not _is_called(module):
            continue
        names += [f"{path}:in", f"{path}:out"]
        before = find_pre_activation(module)
        has_pre = isinstance(module, PreActivation) and module.has_pre
        if has_pre or (before is not None and uses[id(before[0])] == 1):
            names.append(f"{path}:pre")
        if path in blocks:
            names.append(f"{path}:branch")
        if not is_scripted(module):
            unlisted.add(f"{path}:tokens")
        if path in holders:
            names.append(f"{path}:tokens")
    scripted = [(path, module) for path, module in found.items() if is_scripted(module)]
    unreached: dict[str, str] = {}
    for path, module in scripted:
        unreached |= find_dropouts_inside(path, module)
    tokens = _find_tokens(model, found)
    return Sites(
        names=(*names, *own, *inside),
        own=own,
        inside=tuple(inside),
        closed={
            site: path for path, module in scripted for site in find_sites_inside(path, module)
        },
        unreached=unreached,
        roles=_find_roles(composed, found)
        | {
            "weight": find_weights(found),
            "recurrent": tuple(s for s in (*own, *inside) if parse_port(s).name == STATE),
        },
        own_names=composed.own_names if isinstance(composed, Composed) else {},
        parameters=_find_parameters(found),
        tokens=tokens,
        takes_tokens=bool(tokens) and _takes_tokens(model, found),
        unlisted=frozenset(unlisted),
        **_describe_modules(found),
    )


def _describe_modules(found: dict[str, nn.Module]) -> dict[str, Any]:
    """Return what `Sites` has of modules, by which rules that name no place are refused."""
    return {
        "made_weights": find_made_weights(found),
        "modules": {path: may_compute_states(module) for path, module in found.items()},
        "lacking": {site: why for item in found.items() for site, why in find_lacking(*item)},
        "axes": _find_said_axes(found),
    }


def _find_said_axes(found: dict[str, nn.Module]) -> dict[str, tuple[int, str]]:
    """Return the axis of the samples by `batch_first`, of a module itself or of those inside."""
    said = {path: vars(unwrap(module)).get("batch_first") for path, module in found.items()}
    inside: dict[str, list[tuple[int, str]]] = {}
    for path, first in said.items():
        if isinstance(first, bool):
            for holder in {"", *_list_holders(path)}:
                if holder == path or not isinstance(said.get(holder), bool):
                    inside.setdefault(holder, []).append((int(not first), path))
    return {path: axes[0] for path, axes in inside.items() if len({axis for axis, _ in axes}) == 1}


def _list_holders(path: str) -> list[str]:
    """Return a module's path and those of the modules around it, but for the model's own."""
    names = path.split(".")
    return [".".join(names[:count]) for count in range(1, len(names) + 1)]


def _is_called(module: nn.Module) -> bool:
    """Return whether a module can be called; a ModuleList, which has no `forward`, cannot."""
    if is_scripted(module):
        return True
    return type(module).forward is not nn.Module.forward or "forward" in vars(module)


def find_pre_activation(module: nn.Module) -> tuple[nn.Module, str] | None:
    """Return the inner module and the port at which a module's pre-activation is, or None."""
    if isinstance(module, nn.TransformerEncoderLayer | nn.TransformerDecoderLayer):
        return module.linear1, "out"
    if isinstance(module, nn.Sequential) and len(module) > 1 and is_activation(module[-1]):
        return module[-1], "in"
    return None


def is_activation(module: nn.Module) -> bool:
    """Return whether a module is an activation of torch or of transformers."""
    home = type(module).__module__
    torch_s = home == "torch.nn.modules.activation" and not isinstance(module, _NO_ACTIVATIONS)
    return torch_s or home == "transformers.activations"


# The noises that modules make themselves -----------------------------------------------------


def get_own_call(module: nn.Module) -> Call | None:
    """Return the noise of a dropout or noise module, at its present rate; None for any other."""
    module = unwrap(module)
    if is_scripted(module):
        return None
    if isinstance(module, NoiseLayer):
        return Call(module.kind, f"noisegate's {type(module).__name__}", module.live())
    home = _get_home(module)
    if isinstance(module, torch_dropout._DropoutNd) and hasattr(torch_dropout, home):
        return make_dropout_call(home, float(module.p), f"nn.{home}(p={module.p:g})")
    if _DROP_PATH.search(type(module).__name__):
        rate = getattr(module, "drop_prob", getattr(module, "p", None))
        if rate is None or isinstance(rate, int | float):
            return _make_drop_path_call(module, float(rate or 0))
    return None


def find_replaceable(module: nn.Module) -> Call | None:
    """Return the noise that a rule at a module's port `dropout` replaces; None if it has none.

    That of another formula than any kind's is described as a plain dropout.
    """
    call = get_own_call(module)
    if call is not None or is_scripted(module):
        return call
    name = type(unwrap(module)).__name__
    return Call(Dropout(0.5), name) if _OTHER_DROPOUT.search(name) else None


def get_own_rate(module: nn.Module) -> Any:
    """Return the rate attribute of a dropout module; None for noisegate's own layers.

    A cached `Call` is valid as long as this number is the same.
    """
    if isinstance(module, NoiseLayer):
        return None
    return vars(module).get("p", vars(module).get("drop_prob"))


def get_call_at(module: nn.Module, call: Call, shape: tuple[int, ...]) -> tuple[str, Call]:
    """Return the name of a module's torch layer, "" if it is none, and its noise at this shape."""
    if type(module) is nn.Dropout:  # by far the most frequent, and its noise has any shape
        return "Dropout", call
    module = unwrap(module)
    if isinstance(module, NoiseLayer):
        axis = module.sample_axis
        if module.definition is not None:
            axis = module.definition.sample_axis(module.arguments, shape, axis)
        # Of the axis that a layer names, the rule's takes the place.
        return "", call if axis is not None else replace(call, sample_axis=None)
    name = _get_home(module)
    return name, adapt_to_rank(name, call, len(shape))


def _get_home(module: nn.Module) -> str:
    """Return the name of the class that defines a module's `forward`; "" if it is no function."""
    # Subclasses of torch's layers that keep its forward are handled like the layer itself.
    return str(getattr(type(module).forward, "__qualname__", "")).partition(".")[0]


# torch's layers for whole channels. `_RANKS` lists the ranks that torch takes without a warning.
# `_BATCHED` has the rank of a batch, where torch takes an input of another rank as one sample.
_RANKS: dict[str, Sequence[int]] = {
    "Dropout1d": (2, 3),
    "Dropout2d": (4,),
    "Dropout3d": (4, 5),
    "FeatureAlphaDropout": range(2, 65),
}
_BATCHED = {"Dropout1d": 3, "Dropout3d": 5}


def adapt_to_rank(name: str, call: Call, rank: int) -> Call:
    """Return the call of a torch layer as torch applies it to an input of this rank."""
    if rank == _BATCHED.get(name, rank):
        return call
    # torch prepends an axis to a single sample, and drops along the first two.
    return replace(call, sample_axis=None, shared_axes=tuple(range(1, rank)))


def check_rank(name: str, x: Tensor, acting: bool) -> None:
    """Let torch's own function warn of a rank or refuse it, so that it does so as without noise."""
    if x.ndim in _RANKS.get(name, (x.ndim,)):
        return
    # In training only where it raises: else it would draw.
    refused = x.ndim < (1 if name == "Dropout3d" else 2)
    function = getattr(functional, layers.LAYERS[name].function)
    function(x, 0.5, acting and refused)


def make_dropout_call(name: str, p: float, words: str) -> Call:
    """Return the call of a torch dropout, by the name of its layer."""
    return Call(_make_layer_kind(name, p), words)


def choose_port(kind: Kind) -> str:
    """Return the port of a module's own noise: `noise` for kinds named so, else `dropout`."""
    return "noise" if type(kind).__name__.endswith("Noise") else "dropout"


@lru_cache(maxsize=1024)
def _make_layer_kind(name: str, p: float) -> Kind:
    return layers.LAYERS[name].make(p)


def _make_drop_path_call(module: nn.Module, p: float) -> Call:
    """Return the call of a drop path module of timm, torchvision or transformers."""
    # torchvision's may drop the whole batch (`mode`), timm's may leave out the rescaling.
    whole = getattr(module, "mode", "row") == "batch"
    rescale = bool(getattr(module, "scale_by_keep", True))
    kind = Dropout(p, shared_axes=slice(None) if whole else ALL_BUT_SAMPLES, rescale=rescale)
    return Call(kind, f"{type(module).__name__}(p={p:g})")


def _find_inside(path: str, module: nn.Module) -> dict[str, Call]:
    """Return the noises that a module of torch's makes by a function with a dropout inside.

    At a rate of 0 it may be a mere holder of weights: a forward shows whether its sites are used.
    """
    inner = unwrap(module)
    if isinstance(inner, OwnStates):
        words = type(inner).__name__
        kinds = inner.own_states.items()
        return {own_site(path, port, 0): Call(k, words, sample_axis=0) for port, k in kinds}
    home = "" if is_scripted(inner) else _get_home(inner)
    drops = nn.MultiheadAttention, nn.RNNBase
    if not isinstance(inner, drops) or home not in _INSIDE or not inner.dropout:
        return {}
    call = make_dropout_call("Dropout", inner.dropout, f"nn.{home}(dropout={inner.dropout:g})")
    if isinstance(inner, nn.MultiheadAttention):
        return {own_site(path, "probs", 0): replace(call, sample_axis=ATTENTION)}
    between = range(inner.num_layers - 1)
    return {own_site(path, "dropout", i): replace(call, sample_axis=0) for i in between}


def _find_parameters(found: dict[str, nn.Module]) -> dict[str, tuple[str, ...]]:
    """Return the sites of parameters, each with all sites of the same parameter."""
    sites: dict[int, list[str]] = {}
    for path, module in found.items():
        for name, parameter in () if is_scripted(module) else module.named_parameters("", False):
            # A ParameterList numbers its weights; a name of another port stays that port.
            if name.isidentifier() and parse_port(f":{name}").parameter:
                sites.setdefault(id(parameter), []).append(f"{path}:{name}")
    return {site: tuple(tied) for tied in sites.values() for site in tied}


def _find_attention(path: str, module: nn.Module) -> list[str]:
    """Return the sites in the attention of a module of torch's where it makes no noise itself."""
    if is_scripted(module) or not isinstance(unwrap(module), nn.MultiheadAttention):
        return []
    return [own_site(path, port, 0) for port in ("heads", "scores")]


# The words `input` and `hidden` --------------------------------------------------------------


def _find_roles(composed: nn.Module, found: dict[str, nn.Module]) -> dict[str, tuple[str, ...]]:
    if isinstance(composed, Composed):
        return dict(composed.roles)
    return {"input": (":in",), "hidden": tuple(_find_hidden(found)), "output": (":out",)}


def _find_hidden(found: dict[str, nn.Module]) -> list[str]:
    """Return the outputs of the activations, except one that ends the model.

    In a model without activations, return the outputs of the layers with weights, except the last.
    """
    weighted = [path for path, module in found.items() if is_weighted(module)]
    order = list(found)
    last = order.index(weighted[-1]) if weighted else len(order)
    activations = [
        path
        for place, path in enumerate(order)
        if is_activation(found[path]) and (place < last or not _in_order(found, path))
    ]
    return [f"{path}:out" for path in activations or weighted[:-1]]


def _in_order(found: dict[str, nn.Module], path: str) -> bool:
    """Return whether a module is called in the order in which modules are registered."""
    parent = path.rpartition(".")[0]
    return not parent or isinstance(found.get(parent), nn.Sequential)


def _find_tokens(model: nn.Module, found: dict[str, nn.Module]) -> tuple[str, ...]:
    """Return the output sites of the embedding that tokens go through first.

    There are several if modules share its weight, as encoder and decoder may.
    """
    named: Any = _get_attribute(unwrap(model), "get_input_embeddings")
    try:
        embedding = named() if callable(named) else None
    except (NotImplementedError, AttributeError):  # transformers raises these if it has none
        embedding = None
    tables = {path: module for path, module in found.items() if isinstance(module, EMBEDDINGS)}
    if embedding not in tables.values():
        embedding = next(iter(tables.values()), None)
    weight = getattr(embedding, "weight", None)
    return tuple(f"{path}:out" for path, module in tables.items() if module.weight is weight)


def _get_attribute(module: nn.Module, name: str) -> Any:
    """Return an attribute of a module without calling its `__getattr__`; None if it has none.

    A user's `__getattr__` may answer any name, or raise any error.
    """
    try:
        return object.__getattribute__(module, name)
    except AttributeError:
        return None


def _takes_tokens(model: nn.Module, found: dict[str, nn.Module]) -> bool:
    """Return whether the model's input is tokens, as far as its names and first weights show."""
    word = _get_attribute(unwrap(model), "main_input_name")
    if isinstance(word, str):
        return word.endswith("ids")
    with_weights = (m for m in found.values() if any(True for _ in m.parameters(recurse=False)))
    return isinstance(next(with_weights, None), EMBEDDINGS)
