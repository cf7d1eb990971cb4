"""Functions that make networks: from parts, from configs and from files."""

from collections.abc import Mapping
from operator import index
from typing import Any

from noisegate.core import checks
from noisegate.core.errors import InvalidValue

from .config import Reader, share
from .graph import chain, copy_part, graph_of, unite
from .network import Network
from .saving import read_file


def join(*parts: Any) -> Network:
    """Return a network in which each part takes what the one before gives.

    Parameters
    ----------
    *parts : Layer, Network, Kind, Module or list
        A kind of noise, or a preset, becomes its layer; a module of the user's stays what it is;
        a list is joined. With one layer, the network of all that is behind it.

    Raises
    ------
    InvalidValue
        If shapes do not fit, a name is taken, or a layer would be in the network twice.

    Examples
    --------
    >>> from noisegate.nets import Dropout, Input, Relu, Sigmoid, join
    >>> join(Input(10), Relu(5) >> Dropout(0.5), Relu(5) >> Dropout(0.5), Sigmoid(1))
    (?, 10) -> [... 6 layers ...] -> (?, 1)
    """
    return Network(chain(parts))


def parallel(*parts: Any) -> Network:
    """Return a network of branches beside each other; `Concatenate` or `Add` joins them.

    Examples
    --------
    >>> from noisegate.nets import Concatenate, Input, Relu, Tanh, join, parallel
    >>> join(Input(10), parallel([Relu(5), Relu(3)], Tanh(4)), Concatenate())
    (?, 10) -> [... 5 layers ...] -> (?, 7)
    """
    return Network(unite([graph_of(part) for part in parts]))


@checks.check_call("repeat")
def repeat(part: Any, n: int) -> Network:
    """Return copies of a layer or a network, each taking what the one before gives.

    Parameters
    ----------
    part : Layer, Network, Kind, Module or list
        What is repeated; its shapes must fit each other.
    n : int
        How often, at least 1. The first is `part` itself, the others are copies, which share
        with it the rates that are tensors.
    """
    if isinstance(n, bool) or not hasattr(n, "__index__") or index(n) < 1:
        raise InvalidValue(f"repeat: `n` must be a whole number of at least 1; got {n!r}.")
    copies = [copy_part(part) for _ in range(index(n) - 1)]
    try:
        return join(part, *copies)
    except InvalidValue as error:
        raise InvalidValue(
            f"repeat: the copies cannot be joined, each behind the one before. {error}"
        ) from None


def Sequential(*layers: Any) -> Network:
    """Return a network to which layers are added: empty, or of the layers that are given.

    Examples
    --------
    >>> from noisegate.nets import Dense, Sequential, TimeDistributed
    >>> model = Sequential()
    >>> model.add(TimeDistributed(Dense(32), input_shape=(None, 16)))
    >>> model
    (?, ?, 16) -> [... 2 layers ...] -> (?, ?, 32)
    """
    many = len(layers) == 1 and isinstance(layers[0], list | tuple)
    return join(*(layers[0] if many else layers))


def from_config(config: Mapping[str, Any], custom: Mapping[str, Any] | None = None) -> Any:
    """Return the layer or the network of a config; its weights are new.

    Parameters
    ----------
    config : dict
        As of `Network.get_config`, or of `Layer.write_config`.
    custom : dict of str to object, optional
        What is the user's own, by name: callables, and modules or what is called to make them.
    """
    return Reader(Network, custom).read(config)


@checks.check_call("load")
def load(path: Any, custom: Mapping[str, Any] | None = None) -> Network:
    """Return the network of a file.

    Parameters
    ----------
    path : path-like
        What `save` wrote.
    custom : dict of str to object, optional
        The user's own callables and modules, by the names that the file has for them; a module
        may be one, or a class or function that is called for it. Nothing else is ever imported.

    Raises
    ------
    InvalidValue
        If the file is none that `save` wrote, or something of the user's own is not given.
    """
    config, weights = read_file(path)
    network: Network = from_config(config, custom)
    try:
        network.load_state_dict(weights, assign=True)
        share(network, config.get("shared", {}))
    except RuntimeError as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise InvalidValue(
            f"load: the weights of {path} are not those of its config: {reason}."
        ) from None
    return network
