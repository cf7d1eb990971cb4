"""The sites of a model, and what rules would match there."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

import noisegate as ng
from noisegate.core.backends import face_of_model
from noisegate.core.errors import InvalidValue
from noisegate.core.patterns import BRANCH, parse_port, split
from noisegate.injection import Report
from noisegate.torch.generators import TORCH, keep_states
from noisegate.torch.model.discover import find_pre_activation
from noisegate.torch.model.forward import keep_model
from noisegate.torch.model.values import find_tensors, is_floating

from .models import Model, describe_refusal

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ListedSite:
    """A place for noise.

    `module` is the class of the module there, `shape` that of the tensor which it saw of two
    rows, None if it saw none, or of the parameter, and `noise` the model's own noise there.
    """

    name: str
    module: str
    shape: Shape | None
    noise: str


@dataclass(frozen=True, slots=True)
class Listing:
    """The sites of a model, the report of an injection if rules were given, and notes."""

    sites: tuple[ListedSite, ...]
    report: Report | None
    notes: tuple[str, ...]


def list_sites(
    model: Model, input_shape: Sequence[int], n_outputs: int, rules: Mapping[str, Any] | None = None
) -> Listing:
    """Return the sites of a new model, and what rules would match.

    The model is run on two rows of zeros, which shows shapes and the noises that functions
    make; where it refuses them a note says so.

    Examples
    --------
    >>> listing = list_sites(Model("mlp"), (4,), 3, {"hid*:out": 0.5})
    >>> listing.sites[3]
    ListedSite(name='hid1:out', module='ReluLinear', shape=(2, 256), noise='')
    >>> print(listing.report)
    site      noise           slot  rule      shape     calls  removed
    hid1:out  Dropout(p=0.5)  0     hid*:out  (2, 256)  1      0.4824
    hid2:out  Dropout(p=0.5)  0     hid*:out  (2, 256)  1      0.5176
    """
    shape = tuple(input_shape)
    with keep_states(TORCH):
        made = model.make(shape, n_outputs)
    example: Tensor | None = torch.zeros(2, *shape)
    shapes, notes = {}, []
    try:
        shapes = _measure_shapes(made, example)
    except Exception as error:  # whatever a model may raise
        example = None
        notes = [describe_refusal(model.name, (2, *shape), error)]
    sites, more = _find_sites(made, shapes, example)
    report = None if rules is None else _report_rules(made, rules, example)
    return Listing(sites, report, (*notes, *more))


def _report_rules(made: nn.Module, rules: Mapping[str, Any], example: Tensor | None) -> Report:
    """Return the report of an injection, after a forward in training if there can be one."""
    with ng.inject(made, rules, seed=0, example=example) as noise:
        if example is not None:
            with keep_model(made), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # where no noise acts, the report says 0 calls
                made.train()(example)
        return noise.report()


def _find_sites(
    made: nn.Module, shapes: Mapping[str, Shape], example: Tensor | None
) -> tuple[tuple[ListedSite, ...], tuple[str, ...]]:
    """Return the sites of a model, and what is worth saying of them."""
    host = face_of_model(made).Host(made)
    known, (own, notes) = host.sites(), _find_own_noises(made, example)
    own = {**{site: repr(call.kind) for site, call in known.own.items()}, **own}
    modules: Mapping[str, nn.Module] = host.modules

    def shape(name: str) -> Shape | None:
        path, port = split(name)[0], parse_port(name)
        if name in known.parameters:
            found: Shape = host.get_parameter_shape(name)
            return found
        if port.name == BRANCH:
            return shapes.get(f"{path}:out")
        before = find_pre_activation(modules[path]) if port.name == "pre" else None
        if before is not None:
            path = next(where for where, module in modules.items() if module is before[0])
            return shapes.get(f"{path}:{before[1]}")
        of_module = known.own.get(name) is not None
        return shapes.get(f"{path}:in" if of_module else name)

    return tuple(
        ListedSite(name, type(modules[split(name)[0]]).__name__, shape(name), own.get(name, ""))
        for name in dict.fromkeys((*known.names, *own, *known.parameters))
    ), notes


def _find_own_noises(
    made: nn.Module, example: Tensor | None
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the noises of the model's own, those of functions too if it can be run."""
    try:
        with ng.inject(made, existing=True, unreached="keep", seed=0, example=example) as noise:
            report = noise.report()
    except InvalidValue:  # it has none
        return {}, ()
    return {site: kind for site, kind, *_ in report.rows}, report.notes


def _measure_shapes(made: nn.Module, example: Tensor | None) -> dict[str, Shape]:
    """Return the shape of what first enters and leaves each module, by site.

    It is run in evaluation and in training, so that later runs do not fail.
    """
    found: dict[str, Shape] = {}

    def look(path: str, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        for port, values in (("in", (args, kwargs)), ("out", output)):
            floating = [value for value in find_tensors(values) if is_floating(value)]
            if floating:
                found.setdefault(f"{path}:{port}", tuple(floating[0].shape))

    modules: Mapping[str, nn.Module] = face_of_model(made).Host(made).modules
    handles = [
        module.register_forward_hook(partial(look, path), with_kwargs=True)
        for path, module in modules.items()
    ]
    try:
        with keep_model(made), torch.no_grad():
            made.eval()(example)
            made.train()(example)
    finally:
        for handle in handles:
            handle.remove()
    return found
