"""Models that torch records: exported, traced, scripted, and as symbolic graphs.

In evaluation the record has no trace of noise. In training one sentence refuses it, since the step
would be frozen.
"""

import io
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.onnx._internal.torchscript_exporter import utils as onnx_utils

import noisegate as ng
from _asserts import assert_same_bits, assert_sentence
from _functional import key

# torch.jit is old; the models that have it are not gone for that.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
    # torch's own, at any constant that `linearize` folds.
    pytest.mark.filterwarnings("ignore:Attempted to insert a get_attr Node"),
]

X = torch.randn(4, 6)
FROZEN = (
    "a trace or an export of a model in training would repeat the noise of one step in every "
    "run. Call model.eval() first, or leave the noise out. A torch.fx.Tracer may keep layers of "
    "noise as leaf modules."
)
LINEARIZED = (
    "`torch.func.linearize` calls its function twice, and the tangent would have the noise of "
    "another call than the output. Choose the step inside of the function, by a key or a block, "
    "`def f(x): with noise.at(step): return model(x)`, or leave the noise out."
)


class Block(nn.Module):
    def __init__(self, noise: nn.Module | None, function: bool) -> None:
        super().__init__()
        self.linear, self.noise, self.function = nn.Linear(6, 8), noise, function

    def forward(self, x: Tensor) -> Tensor:
        y = self.linear(x).relu()
        if self.function:
            y = F.dropout(y, 0.5, self.training)
        return y if self.noise is None else self.noise(y)


class Net(nn.Module):
    def __init__(self, noise: nn.Module | None = None, function: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.block, self.last = Block(noise, function), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.block(x))


class Called(Block):
    """A block that calls a function of noise itself."""

    def __init__(self) -> None:
        super().__init__(None, False)

    def forward(self, x: Tensor) -> Tensor:
        return ng.torch.dropout(super().forward(x), 0.5, training=self.training)


def called() -> Net:
    model = Net()
    block = Called()
    block.load_state_dict(model.block.state_dict())
    model.block = block
    return model


def injected(rules: dict[str, Any] | None, noise: Any = None, **words: Any) -> Net:
    model = Net(noise, words.pop("function", False))
    ng.inject(model, rules, seed=1, **words)
    return model


# Each is a model with noise, and the name of what its noise is called.
WAYS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "seeded layer": (lambda: Net(ng.torch.Dropout(0.5, seed=1, site="a")), "Dropout: "),
    "layer": (lambda: Net(ng.torch.GaussianNoise(0.5)), "GaussianNoise: "),
    "shaped layer": (lambda: Net(ng.torch.Dropout1d(0.5)), "Dropout1d: "),
    "learned rate": (lambda: Net(ng.torch.ConcreteDropout(0.5)), "ConcreteDropout: "),
    "function": (called, "Dropout: "),
    "rule": (lambda: injected({"block:out": 0.5}), "inject ('block:out'): "),
    "rule inside": (lambda: injected({"block.linear:out": 0.5}), "inject ('block.linear:out'): "),
    "rules": (lambda: injected({"block:in": 0.5, ":out": 0.1}), "inject ('block:in'): "),
    "existing": (
        lambda: injected(None, nn.Dropout(0.5), existing=True),
        "inject ('block.noise:dropout'): ",
    ),
    "existing function": (
        lambda: injected(None, function=True, existing=True, example=X),
        "inject ('block:dropout'): ",
    ),
}
LAYERS = ("seeded layer", "layer", "shaped layer", "learned rate")


class Extractor(fx.Tracer):
    """A tracer that extracts features, as torchvision's: it notes the path of each module."""

    def __init__(self, leaves: tuple[type, ...] = ()) -> None:
        super().__init__()
        self.leaves, self.paths = leaves, list[str]()

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return super().is_leaf_module(m, module_qualified_name) or isinstance(m, self.leaves)

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        self.paths.append(self.path_of_module(m))
        return super().call_module(m, forward, args, kwargs)


Record = tuple[Callable[[Tensor], Tensor], list[str]]


def list_calls(graph: fx.Graph) -> list[str]:
    return [f"{node.op} {getattr(node.target, '__name__', node.target)}" for node in graph.nodes]


def export(model: nn.Module, strict: bool = False) -> Record:
    program = torch.export.export(model, (X,), strict=strict)
    assert not program.constants
    return program.module(), list_calls(program.graph)


def export_strictly(model: nn.Module) -> Record:
    return export(model, strict=True)


def jit_trace(model: nn.Module) -> Record:
    traced = torch.jit.trace(model, X)
    kinds = [node.kind() for node in torch.jit.freeze(traced.eval()).graph.nodes()]
    return traced, [kind for kind in kinds if kind != "prim::Constant"]


def onnx(model: nn.Module) -> Record:
    # `torch.onnx.export` does this, and then needs the package onnx to write a file.
    with onnx_utils.exporter_context(model, torch.onnx.TrainingMode.PRESERVE, False):
        graph, _, _ = onnx_utils._model_to_graph(model, (X,))
    return model, [node.kind() for node in graph.nodes()]


def symbolic_trace(model: nn.Module) -> Record:
    traced = fx.symbolic_trace(model)
    return traced, list_calls(traced.graph)


def extract_features(model: nn.Module) -> Record:
    tracer = Extractor()
    graph = tracer.trace(model)
    assert "block.linear" in tracer.paths
    return fx.GraphModule(model, graph), list_calls(graph)


def proxy_trace(model: nn.Module) -> Record:
    traced = make_fx(model)(X)
    return traced, list_calls(traced.graph)


def proxy_trace_before_dispatch(model: nn.Module) -> Record:
    traced = make_fx(model, pre_dispatch=True)(X)
    return traced, list_calls(traced.graph)


RECORDERS: list[Callable[[nn.Module], Record]] = [
    *(export, export_strictly, jit_trace, onnx, symbolic_trace, extract_features),
    *(proxy_trace, proxy_trace_before_dispatch),
]
CELLS = [(w, r) for w in WAYS for r in RECORDERS]
# A symbolic trace calls no inner module of torch's own and no hooks of the model.
KEPT = ("rule inside", "existing")
REFUSED = [(w, r) for w, r in CELLS if w not in KEPT or r not in (symbolic_trace, extract_features)]


@pytest.mark.parametrize(("way", "record"), CELLS)
def test_an_evaluated_model_is_recorded_without_a_trace_of_noise(
    way: str, record: Callable[[nn.Module], Record]
) -> None:
    model = WAYS[way][0]().eval()
    recorded, calls = record(model)
    clean = Net().eval()
    assert_same_bits(recorded(X).detach(), clean(X).detach())
    # A dropout of torch's stays a call that does nothing, and a learned rate a parameter.
    idle = ("dropout", "dropout.default", "block.noise", "p_logit")
    assert [call for call in calls if not call.endswith(idle)] == record(clean)[1]


@pytest.mark.parametrize(("way", "record"), REFUSED)
def test_a_training_model_is_refused_in_one_sentence(
    way: str, record: Callable[[nn.Module], Record]
) -> None:
    build, name = WAYS[way]
    model = build().train()
    with assert_sentence(ng.NoisegateError, name + FROZEN):
        record(model)
    # It is only the record that is refused.
    assert model(X).shape == (4, 3)


@pytest.mark.parametrize("way", KEPT)
def test_a_symbolic_trace_keeps_hooks_and_says_that_it_has_no_steps(way: str) -> None:
    model = WAYS[way][0]().train()
    recorded = symbolic_trace(model)[0]
    with pytest.warns(RuntimeWarning) as told:
        outputs = [recorded(X) for _ in range(2)]
    assert not torch.equal(*outputs)
    sentences = [str(each.message) for each in told]
    assert any("without a forward of" in sentence for sentence in sentences), sentences


class Inner(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.5, self.training)


@pytest.mark.parametrize(
    ("noise", "given", "who"),
    [
        (ng.torch.Dropout(0.3), {"existing": True}, "Dropout"),
        (ng.torch.Dropout(0.3), {"rules": {"1:dropout": 0.2}}, "Dropout"),
        (Inner(), {"existing": True, "example": torch.ones(4, 8)}, "inject ('1:dropout')"),
    ],
)
def test_a_symbolic_trace_refuses_noise_that_was_taken_over(
    noise: nn.Module, given: Any, who: str
) -> None:
    model = nn.Sequential(nn.Linear(8, 8), noise)
    handle = ng.inject(model, seed=1, **given)
    with pytest.raises(ng.NoisegateError) as caught:
        fx.symbolic_trace(model)
    assert str(caught.value).startswith(f"{who}: a trace or an export of a model in training")
    x = torch.ones(4, 8)
    assert_same_bits(fx.symbolic_trace(model.eval())(x), model[0](x))
    with handle.off():
        fx.symbolic_trace(model.eval())


def test_a_tracer_may_keep_layers_as_leaf_modules() -> None:
    model = Net(ng.torch.Dropout(0.5, seed=1, site="a")).train()
    recorded = fx.GraphModule(model, Extractor((ng.torch.NoiseLayer,)).trace(model))
    expected = Net(ng.torch.Dropout(0.5, seed=1, site="a")).train()
    for _ in range(3):
        assert_same_bits(recorded(X).detach(), expected(X).detach())
    assert_same_bits(recorded.eval()(X).detach(), expected.eval()(X).detach())


KINDS = pytest.mark.parametrize(
    "kind", [ng.Dropout(0.5), ng.GaussianNoise(0.3), ng.DropBlock(0.2, 2, axes=(1,))]
)


@KINDS
@pytest.mark.parametrize("words", [{}, {"pre_dispatch": True}, {"tracing_mode": "fake"}])
def test_a_key_of_the_callers_is_recorded_as_plain_operations(
    kind: ng.Kind, words: dict[str, Any]
) -> None:
    recorded = make_fx(lambda x: kind(x, key("a")), **words)(X)
    assert not any("noise" in call for call in list_calls(recorded.graph))
    for x in (X, 2 * X):
        assert_same_bits(recorded(x), kind(x, key("a")))


@KINDS
def test_a_key_of_the_callers_is_exported(kind: ng.Kind) -> None:
    class Keyed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return kind(x, key("a"))

    exported = torch.export.export(Keyed(), (X,), strict=False).module()
    assert_same_bits(exported(2 * X), kind(2 * X, key("a")))


@KINDS
def test_a_jit_trace_of_a_key_is_refused(kind: ng.Kind) -> None:
    with assert_sentence(ng.NoisegateError, f"{type(kind).__name__}: {FROZEN}"):
        torch.jit.trace(lambda x: kind(x, key("a")), X)
    function = ng.torch.dropout
    with assert_sentence(ng.NoisegateError, f"Dropout: {FROZEN}"):
        torch.jit.trace(lambda x: function(x, 0.5, key=key("a")), X)


@pytest.mark.parametrize("strict", [True, False])
def test_an_export_of_a_key_keeps_the_batch_size_open(strict: bool) -> None:
    kind, first, second = ng.Dropout(0.5), key("a"), key("b")

    class Keyed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return ng.torch.dropout(kind(x, first), 0.5, key=second)

    sizes = {"x": {0: torch.export.Dim("samples")}}
    Keyed()(X)  # the first call loads what tensors need
    program = torch.export.export(Keyed(), (X,), strict=strict, dynamic_shapes=sizes)
    more = torch.ones(9, 6)
    assert_same_bits(program.module()(more), Keyed()(more))


def test_a_linearization_holds_a_step_that_its_caller_chose() -> None:
    """torch calls the function twice, so what counts its calls has two steps."""
    kind, along = ng.Dropout(0.5), torch.randn(4, 6)
    layer, model = ng.torch.Dropout(0.5, seed=1, site="a"), nn.Sequential(nn.Identity())
    noise = ng.inject(model, {"0:out": kind}, seed=1)

    def call_layer(x: Tensor) -> Tensor:
        layer.step = 3
        return layer(x)

    def call_model(x: Tensor) -> Tensor:
        with noise.at(3):
            return model(x)

    for function, site in ((call_layer, "a"), (call_model, "0:out")):
        y, push = torch.func.linearize(function, X)
        assert_same_bits(y, kind(X, key(site, step=3)))
        assert_same_bits(push(along), kind(along, key(site, step=3)))
    for function, name in (
        (model, "inject ('0:out'): "),
        (layer, "Dropout: "),
        (ng.torch.Dropout(0.5), "Dropout: "),
        (lambda x: ng.torch.dropout(x, 0.5), "Dropout: "),
    ):
        with noise.at(3), assert_sentence(ng.NoisegateError, name + LINEARIZED):
            torch.func.linearize(function, X)
        with assert_sentence(ng.NoisegateError, name + LINEARIZED):
            torch.func.linearize(function, X)


def test_another_thread_trains_while_this_one_records() -> None:
    layer, values = ng.torch.Dropout(0.5, seed=1, site="a"), []

    def call(x: Tensor) -> Tensor:
        thread = threading.Thread(target=lambda: values.append(layer.forward(torch.ones(64))))
        thread.start()
        thread.join()
        return x + 1

    make_fx(call)(X)
    fx.symbolic_trace(call)
    expected = ng.torch.Dropout(0.5, seed=1, site="a")
    for value in values:
        assert_same_bits(value, expected(torch.ones(64)))
    assert len(values) == 2


# Scripts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", LAYERS)
def test_a_script_of_an_evaluated_layer_is_clean(way: str) -> None:
    model = WAYS[way][0]().eval()
    script, file = torch.jit.script(model), io.BytesIO()
    torch.jit.save(script, file)
    file.seek(0)
    expected = model(X).detach()
    for each in (script, torch.jit.load(file), torch.jit.freeze(script)):
        assert_same_bits(each(X).detach(), expected)
    with pytest.raises(torch.jit.Error) as caught:
        script.train()(X)
    sentence = "noisegate: a script has no noise. Call eval() on it first."
    assert str(caught.value).strip().endswith(f"RuntimeError: {sentence}")
    # The model has its noise as before.
    assert not torch.equal(model.train()(X), model.eval()(X))


@pytest.mark.parametrize("way", LAYERS)
def test_a_script_of_a_training_layer_is_refused(way: str) -> None:
    build, name = WAYS[way]
    with assert_sentence(ng.NoisegateError, name + FROZEN):
        torch.jit.script(build().train())


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("way", [way for way in WAYS if way not in (*LAYERS, "function")])
def test_a_script_of_a_model_with_noise_is_refused_until_it_is_removed(way: str, mode: str) -> None:
    model = getattr(WAYS[way][0](), mode)()
    sentence = (
        "noisegate: torch.jit.script cannot compile a model with noise. Remove the noise first, "
        "noise.remove(), or use torch.jit.trace(model.eval(), x)."
    )
    with assert_sentence(ng.MissingAttribute, sentence):
        torch.jit.script(model)
    for handle in ng.handles(model):
        handle.remove()
    assert_same_bits(torch.jit.script(model.eval())(X).detach(), model(X).detach())
