"""Compiled code that has run: noise that comes or goes later, and models of equal structure.

torch's default is to look at no hooks when it looks up compiled code, so each test here would see a
model without its noise, or with another's.
"""

import copy
import pickle
from collections.abc import Callable, Iterator
from threading import Thread
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounter

import noisegate as ng
from _asserts import assert_same_bits
from _cells import mark_cells
from _hidden import run

X = torch.randn(5, 6)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hid = nn.Linear(6, 20)
        self.act = nn.ReLU()
        self.last = nn.Linear(20, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.act(self.hid(x)))


def sequential() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 2))


def of_a_class() -> nn.Module:
    torch.manual_seed(0)
    return Net()


def compile_in_place(model: nn.Module) -> nn.Module:
    model.compile(backend="eager")
    return model


def compile_parts(model: nn.Module) -> nn.Module:
    for name, part in list(model.named_children()):
        setattr(model, name, torch.compile(part, backend="eager"))
    return model


def compile_a_caller(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """Compile a function that calls the model; no code is then compiled of the model itself."""
    return torch.compile(lambda x: model(x) + 0, backend="eager")


# By model, the path of its activation.
MODELS: dict[Any, str] = {sequential: "1", of_a_class: "act"}
WAYS: dict[str, Any] = {
    "torch.compile": lambda model: torch.compile(model, backend="eager"),
    "in place": compile_in_place,
    "part by part": compile_parts,
    "in a function": compile_a_caller,
}


def each(test: Any) -> Any:
    """Run a test with every model and every way to compile it."""
    for mark in (
        pytest.mark.parametrize("way", WAYS),
        pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__),
    ):
        test = mark(test)
    return test


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def put(model: nn.Module, make: Any, port: str = "out", noise: Any = 0.5, seed: int = 7) -> Any:
    return ng.inject(model, {f"{MODELS[make]}:{port}": noise}, seed=seed)


def outputs(model: Any, count: int = 3) -> Tensor:
    return torch.stack([model(X).detach() for _ in range(count)])


def expected(make: Any) -> Tensor:
    """The outputs of a model with noise that no compiler sees."""
    model = make()
    put(model, make)
    return outputs(model)


@each
def test_a_model_with_noise_does_not_run_a_plain_one_s_code(make: Any, way: str) -> None:
    model = make()
    noise = put(model, make)
    clean = outputs(WAYS[way](make()))
    assert_same_bits(outputs(WAYS[way](model)), expected(make))
    assert noise.step == 3
    assert_same_bits(outputs(WAYS[way](make())), clean)


@each
def test_nor_one_that_ran_before_the_noise_was_put_in(make: Any, way: str) -> None:
    outputs(WAYS[way](make()))
    model = make()
    put(model, make)
    assert_same_bits(outputs(WAYS[way](model)), expected(make))


@each
def test_noise_acts_in_a_model_whose_code_has_run(make: Any, way: str) -> None:
    model = make()
    fast = WAYS[way](model)
    clean = outputs(fast)
    for _ in range(2):
        noise = put(model, make)
        assert_same_bits(outputs(fast), expected(make))
        noise.remove()
        assert_same_bits(outputs(fast), clean)


@each
def test_it_is_put_in_between_forward_and_backward(make: Any, way: str) -> None:
    model, reference = make(), make()
    loss, wanted = WAYS[way](model)(X).sum(), reference(X).sum()
    put(model, make)
    loss.backward()
    wanted.backward()
    for ours, theirs in zip(model.parameters(), reference.parameters(), strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        assert_same_bits(ours.grad, theirs.grad)


PORTS = [("out", "in"), ("in", "out"), ("out", "out")]


@pytest.mark.parametrize(("way", "make", "ports"), mark_cells(WAYS, MODELS, PORTS, every=3))
def test_a_second_noise_acts_and_the_first_goes_alone(
    make: Any, way: str, ports: tuple[str, str]
) -> None:
    def show(model: nn.Module, call: Any) -> Iterator[Tensor]:
        first = put(model, make, ports[0])
        yield outputs(call)
        put(model, make, ports[1], ng.GaussianNoise(0.5), seed=8)
        yield outputs(call)
        first.remove()
        yield outputs(call)

    model, reference = make(), make()
    for ours, theirs in zip(show(model, WAYS[way](model)), show(reference, reference), strict=True):
        assert_same_bits(ours, theirs)


@each
def test_noise_off_and_on(make: Any, way: str) -> None:
    model = make()
    clean = outputs(model)
    noise, fast = put(model, make), WAYS[way](model)
    wanted = expected(make)
    assert_same_bits(outputs(fast), wanted)
    noise.off()
    assert_same_bits(outputs(fast), clean)
    noise.on()
    noise.step = 0
    assert_same_bits(outputs(fast), wanted)
    model.eval()
    assert_same_bits(outputs(fast), clean)


def double(module: nn.Module, args: Any, output: Tensor) -> Tensor:
    return output * 2


@each
def test_a_model_with_a_hook_of_the_user_s_is_no_twin(make: Any, way: str) -> None:
    other = make()
    other.get_submodule(MODELS[make]).register_forward_hook(double)
    fast = WAYS[way](other)
    theirs = outputs(fast)
    model = make()
    put(model, make)
    assert_same_bits(outputs(WAYS[way](model)), expected(make))
    assert_same_bits(outputs(fast), theirs)


@each
def test_nor_is_one_with_another_noise_at_the_same_site(make: Any, way: str) -> None:
    other = make()
    put(other, make, noise=ng.GaussianNoise(0.5), seed=8)
    outputs(WAYS[way](other))
    model = make()
    put(model, make)
    assert_same_bits(outputs(WAYS[way](model)), expected(make))


@each
@pytest.mark.parametrize("replicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_have_the_noise_too(
    make: Any, way: str, replicate: Callable[[nn.Module], nn.Module]
) -> None:
    model = make()
    put(model, make)
    twin = replicate(model)
    outputs(WAYS[way](make()))
    for one in (model, twin):
        assert_same_bits(outputs(WAYS[way](one)), expected(make))


class Dropouts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hid = nn.Linear(6, 20)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(self.drop(self.hid(x)), 0.5, self.training)


@pytest.mark.parametrize(
    ("way", "late", "inner"), mark_cells(WAYS, [False, True], [False, True], every=2)
)
def test_the_model_s_own_dropouts_are_taken_over_and_given_back(
    way: str, late: bool, inner: bool
) -> None:
    def make() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(Dropouts()) if inner else Dropouts()

    def take_over(model: nn.Module) -> Any:
        return ng.inject(model, existing=True, example=X, seed=7)

    reference = make()
    take_over(reference)
    wanted = outputs(reference)
    model = make()
    if late:
        fast = WAYS[way](model)
        outputs(fast)
        noise = take_over(model)
    else:
        noise = take_over(model)
        outputs(WAYS[way](make()))
        fast = WAYS[way](model)
    assert_same_bits(outputs(fast), wanted)
    noise.remove()
    torch.manual_seed(1)
    first = outputs(fast)
    torch.manual_seed(1)
    assert_same_bits(outputs(fast), first)
    assert not torch.equal(outputs(fast), first)


@each
def test_predictions_of_a_model_whose_code_has_run(make: Any, way: str) -> None:
    model = make().eval()
    fast = WAYS[way](model)
    clean, rules = outputs(fast), {f"{MODELS[make]}:out": 0.5}
    wanted = ng.predict(make().eval(), X, 4, rules=rules, seed=7)
    for _ in range(2):
        # What is compiled around a model is no model.
        target = fast if isinstance(fast, nn.Module) else model
        prediction = ng.predict(target, X, 4, rules=rules, seed=7)
        assert_same_bits(prediction.mean, wanted.mean)
        assert_same_bits(prediction.std, wanted.std)
        assert_same_bits(outputs(fast), clean)


# How torch's compiler is told, which the rest of this file does not see -------------------------

OPTION = "skip_nnmodule_hook_guards"


@pytest.fixture
def as_torch_starts() -> Iterator[Any]:
    """torch's setting as it is before the first injection of a process."""
    settings: Any = torch._dynamo.config
    option = settings._config[OPTION]
    option.default = True
    before = option.user_override.set(option.user_override.get())
    yield settings
    option.user_override.reset(before)  # torch's `patch` leaves a value where there was none
    option.default = False


def test_the_compiler_is_told_when_it_is_imported_not_before() -> None:
    printed = run("""
import sys, warnings, torch, noisegate as ng
warnings.simplefilter("ignore", DeprecationWarning)  # torch's own, of its compiler
torch.set_grad_enabled(False)
def make():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(6, 20), torch.nn.ReLU())
x, model, before = torch.ones(5, 6), make(), list(sys.meta_path)
noise = ng.inject(model, {"1:out": 0.5}, seed=7)
ng.inject(make(), {"1:out": 0.5}, seed=7)
print("torch._dynamo" in sys.modules, len(sys.meta_path) - len(before))
torch.compile(make(), backend="eager")(x)
print(torch._dynamo.config.skip_nnmodule_hook_guards, sys.meta_path == before)
y = torch.compile(model, backend="eager")(x)
noise.step = 0
print(noise.step, torch.equal(y, model(x)))
""")
    assert printed == "False 1\nFalse True\n0 True"


def test_code_that_ran_before_the_first_noise_is_discarded(as_torch_starts: Any) -> None:
    model = sequential()
    fast = torch.compile(model, backend="eager")
    clean = outputs(fast)
    with pytest.warns(RuntimeWarning) as caught:
        noise = put(model, sequential)
    assert [str(warning.message) for warning in caught] == [
        "noisegate: compiled code has run that compares no hooks, and would go on without the "
        "noise. It was discarded, and is compiled again at its next call. Inject before the first "
        "call of compiled code."
    ]
    assert caught[0].filename == __file__
    assert_same_bits(outputs(fast), expected(sequential))
    noise.remove()
    assert_same_bits(outputs(fast), clean)


def test_nothing_is_discarded_where_nothing_has_run_or_hooks_were_compared(
    as_torch_starts: Any,
) -> None:
    model = sequential()
    put(model, sequential)
    assert_same_bits(outputs(torch.compile(model, backend="eager")), expected(sequential))
    as_torch_starts._config[OPTION].default = True
    with as_torch_starts.patch({OPTION: False}):
        counter = CompileCounter()
        fast = torch.compile(nn.Tanh(), backend=counter)
        outputs(fast)
        put(sequential(), sequential)
        outputs(fast)
        assert counter.frame_count == 1


def test_a_user_s_own_setting_stays_and_is_warned_of(as_torch_starts: Any) -> None:
    with as_torch_starts.patch({OPTION: True}):
        with pytest.warns(RuntimeWarning) as caught:
            put(sequential(), sequential)
        assert as_torch_starts.skip_nnmodule_hook_guards
    assert [str(warning.message) for warning in caught] == [
        "noisegate: torch._dynamo.config.skip_nnmodule_hook_guards was set to True, so compiled "
        "code that has run may go on without the noise, silently. Set it to False, then call "
        "torch.compiler.reset()."
    ]
    assert caught[0].filename == __file__


def test_every_thread_compares_hooks(as_torch_starts: Any) -> None:
    put(sequential(), sequential)
    ours: list[Tensor] = []

    def train() -> None:
        model = sequential()
        put(model, sequential)
        outputs(torch.compile(sequential(), backend="eager"))
        ours.append(outputs(torch.compile(model, backend="eager")))

    thread = Thread(target=train)
    thread.start()
    thread.join()
    assert_same_bits(ours[0], expected(sequential))


def test_a_loaded_model_tells_the_compiler_too(as_torch_starts: Any) -> None:
    model = sequential()
    put(model, sequential)
    saved = pickle.dumps(model)
    as_torch_starts._config[OPTION].default = True
    loaded = pickle.loads(saved)
    outputs(torch.compile(sequential(), backend="eager"))
    assert_same_bits(outputs(torch.compile(loaded, backend="eager")), expected(sequential))
