"""Users' hooks beside noise, and copies of models with noise."""

import copy
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn, package

import noisegate as ng
from _asserts import assert_same_bits
from _functional import key
from _programs import Net, X, injected, run


def test_users_hooks_see_the_noise_by_the_order_of_registration() -> None:
    model, seen = nn.Sequential(nn.Linear(6, 8), nn.Identity()), list[Tensor]()
    note = lambda module, args, output: seen.append(output.detach())  # noqa: E731
    model[0].register_forward_hook(note)
    model[0].register_forward_hook(lambda module, args, output: 2 * output)
    ng.inject(model, {"0:out": 0.5, "1:in": ng.GaussianNoise(0.1)}, seed=1)
    model[0].register_forward_hook(note)
    model[0].register_forward_hook(lambda module, args, output: output + 1)
    model[1].register_forward_pre_hook(lambda module, args: seen.append(args[0].detach()))
    model[1].register_forward_pre_hook(
        lambda module, args: seen.append(args[0].detach()), prepend=True
    )
    model(X)
    linear, noised, before, after = seen
    assert_same_bits(noised, ng.Dropout(0.5)(2 * linear, key("0:out")))
    assert_same_bits(before, noised + 1)
    assert_same_bits(after, ng.GaussianNoise(0.1)(before, key("1:in")))


def test_hooks_of_the_model_itself_surround_its_forward() -> None:
    model, steps = nn.Sequential(nn.Linear(6, 8)), list[tuple[str, int]]()
    model.register_forward_pre_hook(lambda module, args: steps.append(("old", noise.step)))
    noise = ng.inject(model, {"0:out": 0.5}, seed=1)
    model.register_forward_pre_hook(lambda module, args: steps.append(("new", noise.step)))
    model.register_forward_hook(lambda module, args, output: steps.append(("end", noise.step)))
    model(X)
    assert [name for name, _ in steps] == ["old", "new", "end"]
    assert noise.step == 1


def test_backward_hooks_get_the_gradient_behind_the_noise() -> None:
    model, grads = nn.Sequential(nn.Linear(6, 8), nn.Identity()), list[Tensor]()
    ng.inject(model, {"0:out": 0.5}, seed=1)
    model[0].register_full_backward_hook(lambda module, g_in, g_out: grads.append(g_out[0]))
    model[1].register_full_backward_pre_hook(lambda module, g_out: grads.append(g_out[0]))
    y = model(X.clone().requires_grad_())
    (weight := torch.randn_like(y)).mul(y).sum().backward()
    assert_same_bits(grads[0], weight)
    # The module's output is what its hooks have made of it.
    assert_same_bits(grads[1], weight)
    assert_same_bits(model[0].bias.grad, ng.Dropout(0.5)(weight, key("0:out")).sum(0))


def test_a_hook_of_every_module_and_one_that_fails() -> None:
    model, noise = injected()
    calls = list[str]()
    note = lambda module, args, output: calls.append(type(module).__name__)  # noqa: E731
    handle = nn.modules.module.register_module_forward_hook(note)
    try:
        values = run(model)
    finally:
        handle.remove()
    assert_same_bits(values, run(injected()[0]))
    assert "Net" in calls

    def fail(module: Any, args: Any, output: Any) -> None:
        raise KeyError("of the user's")

    handle = model.last.register_forward_hook(fail)
    with pytest.raises(KeyError, match="of the user's"):
        model(X)
    handle.remove()
    expected, other = injected()
    other.step, expected.noise.step = 2, 2
    assert noise.step == 2
    assert_same_bits(run(model), run(expected))


# Copies and packages -------------------------------------------------------------------------


def _save(model: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


COPIES = [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model)), _save]


@pytest.mark.parametrize("duplicate", COPIES)
def test_a_copy_goes_on_with_noise_of_its_own(duplicate: Callable[[nn.Module], nn.Module]) -> None:
    model, noise = injected()
    run(model)
    other = duplicate(model)
    (handle,) = ng.handles(other)
    assert handle is not noise
    assert handle.step == noise.step == 1
    values = [run(model) for _ in range(2)]
    assert handle.step == 1
    for value in values:
        assert_same_bits(run(other), value)
    handle.remove()
    assert not torch.equal(run(other), run(model))
    assert ng.handles(model) == (noise,)


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated:UserWarning")
def test_a_package_holds_a_model_with_noise(tmp_path: Path) -> None:
    model, _ = injected()
    run(model)
    with package.PackageExporter(tmp_path / "model.pt") as exporter:
        exporter.intern("_programs")
        exporter.extern("**")
        exporter.save_pickle("model", "model.pkl", model)
    other = package.PackageImporter(tmp_path / "model.pt").load_pickle("model", "model.pkl")
    assert type(other) is not Net
    (handle,) = ng.handles(other)
    assert handle.step == 1
    assert_same_bits(run(other), run(model))
    assert_same_bits(run(other.eval()), run(model.eval()))
