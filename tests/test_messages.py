"""Every sentence that bad input is answered with, word for word."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import noisegate as ng
from _asserts import assert_sentence
from noisegate.core import messages

KEY = ng.Stream(13).site("a").at(0)
SITE = ng.Stream(13).site("a")
X = np.ones((3, 4), np.float32)
T = torch.ones(3, 4)
Value, Type = ng.InvalidValue, ng.InvalidType


def net() -> nn.Module:
    model = nn.Sequential()
    model.add_module("hid1", nn.Linear(4, 4))
    model.add_module("hid2", nn.Linear(4, 4))
    return model


class Unknown:
    def __repr__(self) -> str:
        return "<unknown>"


CASES: list[tuple[Callable[[], Any], type[Exception], str]] = [
    # Rates
    (lambda: ng.Dropout(float("nan")), Value, "Dropout: `p` must be in [0, 1]; got nan."),
    (
        lambda: ng.Dropout(-0.1),
        Value,
        "Dropout: `p` must be in [0, 1]; got -0.1. Did you mean 0.1?",
    ),
    (lambda: ng.Dropout(1.1), Value, "Dropout: `p` must be in [0, 1]; got 1.1. Did you mean 0.11?"),
    (lambda: ng.Dropout(1.5), Value, "Dropout: `p` must be in [0, 1]; got 1.5. Did you mean 0.15?"),
    (lambda: ng.Dropout(30), Value, "Dropout: `p` must be in [0, 1]; got 30.0. Did you mean 0.3?"),
    (lambda: ng.Dropout(1e9), Value, "Dropout: `p` must be in [0, 1]; got 1000000000.0."),
    (
        lambda: ng.Dropout("0.5"),  # type: ignore[arg-type]
        Type,
        "Dropout: `p` must be a number; got '0.5'. Write p=0.5 without quotes.",
    ),
    (
        lambda: ng.Dropout("half"),  # type: ignore[arg-type]
        Type,
        "Dropout: `p` must be a number; got 'half'.",
    ),
    (
        lambda: ng.Dropout(None),  # type: ignore[arg-type]
        Type,
        "Dropout: `p` must be a number; got None. To switch the noise off, write p=0.",
    ),
    (lambda: ng.Dropout(True), Type, "Dropout: `p` must be a number; got True."),
    (
        lambda: ng.Dropout(0.5)(X, KEY, p=1.5),
        Value,
        "Dropout: `p` must be in [0, 1]; got 1.5. Did you mean 0.15?",
    ),
    (
        lambda: ng.GaussianDropout(1),
        Value,
        "GaussianDropout: `p` must be in [0, 1); got 1.0. p=1 would need infinite noise; "
        "take a number below 1.",
    ),
    (
        lambda: ng.GaussianDropout(-1),
        Value,
        "GaussianDropout: `p` must be in [0, 1); got -1.0. Did you mean 1?",
    ),
    (
        lambda: ng.GaussianNoise(-0.2),
        Value,
        "GaussianNoise: `sigma` must be a finite number >= 0; got -0.2. Did you mean 0.2?",
    ),
    (
        lambda: ng.GaussianNoise(float("inf")),
        Value,
        "GaussianNoise: `sigma` must be a finite number >= 0; got inf.",
    ),
    (
        lambda: ng.UniformNoise(float("nan")),
        Value,
        "UniformNoise: `width` must be a finite number >= 0; got nan.",
    ),
    (
        lambda: ng.Dropout(0.5, 0.5),  # type: ignore[arg-type]
        Type,
        "Dropout: `rescale` must be True or False; got 0.5.",
    ),
    (
        lambda: ng.Dropout()(X, KEY, p=np.ones((2, 4))),
        Value,
        "Dropout: `p` of shape (2, 4) does not broadcast to the input's shape (3, 4). "
        "Give a 0-d array or one with extents of 1 where the rate is shared.",
    ),
    (
        lambda: ng.Dropout()(T, KEY, p=torch.tensor(0.1, requires_grad=True)),
        Value,
        "Dropout: `p` requires grad, and noisegate computes no gradient of a rate. "
        "Pass p.detach().",
    ),
    # Keywords
    (
        lambda: ng.Dropout(ratio=0.5),  # type: ignore[call-arg]
        Type,
        "Dropout: unknown keyword `ratio`; known are `p`, `rescale`, `shared_axes`.",
    ),
    (
        lambda: ng.Dropout(0.5, shared_axis=1),  # type: ignore[call-arg]
        Type,
        "Dropout: unknown keyword `shared_axis`; known are `p`, `rescale`, `shared_axes`. "
        "Did you mean `shared_axes`?",
    ),
    (
        lambda: ng.Dropout()(X, KEY, row=[1]),
        Type,
        "Dropout: unknown keyword `row`; known are `x`, `key`, `rows`, `sample_axis`, `p`, "
        "`rescale`, `shared_axes`. Did you mean `rows`?",
    ),
    (
        lambda: ng.Dropout()(X, KEY, rescale=False),
        Type,
        "Dropout: `rescale` cannot be given at the call; only the rate `p` can. "
        "Make another Dropout for another `rescale`.",
    ),
    (
        lambda: ng.torch.Dropout(0.5, sed=1),  # type: ignore[call-arg]
        Type,
        "Dropout: unknown keyword `sed`; known are `p`, `rescale`, `shared_axes`, `seed`, `site`, "
        "`sample_axis`. Did you mean `seed`?",
    ),
    (
        lambda: ng.inject(net(), {":out": 0.5}, sede=1),  # type: ignore[call-arg]
        Type,
        "inject: unknown keyword `sede`; known are `model`, `rules`, `seed`. Did you mean `seed`?",
    ),
    (
        lambda: ng.numpy.dropout_forward(X, 0.5, trainning=True),  # type: ignore[call-arg]
        Type,
        "dropout_forward: unknown keyword `trainning`; known are `x`, `p`, `training`, `rng`. "
        "Did you mean `training`?",
    ),
    (
        lambda: ng.dropout_channels(0.5, "channels_first", shared_axes=1),
        Type,
        "dropout_channels: `shared_axes` is what dropout_channels sets itself. "
        "Use Dropout(p, shared_axes=...).",
    ),
    (
        lambda: ng.locked_dropout(0.5, 1, shared_axes=1),
        Type,
        "locked_dropout: `shared_axes` is what locked_dropout sets itself. "
        "Use Dropout(p, shared_axes=...).",
    ),
    (
        lambda: ng.drop_path(0.5, axis=1),
        Type,
        "drop_path: unknown keyword `axis`; known are `p`.",
    ),
    (
        lambda: ng.dropout_locations(0.5, "channel_last"),
        Value,
        "dropout_locations: `data_format` must be 'channels_first' or 'channels_last'; got "
        "'channel_last'. (samples, channels, ...) is channels_first.",
    ),
    # Axes, shapes, rows
    (
        lambda: ng.Dropout(shared_axes=2)(X, KEY),
        Value,
        "Dropout: `shared_axes` names axis 2, but the input of shape (3, 4) has axes -2 to 1.",
    ),
    (
        lambda: ng.GaussianNoise(shared_axes=-3)(T, KEY),
        Value,
        "GaussianNoise: `shared_axes` names axis -3, but the input of shape (3, 4) has axes "
        "-2 to 1.",
    ),
    (
        lambda: ng.Dropout()(np.float32(1), KEY, sample_axis=0),
        Value,
        "Dropout: `sample_axis` names axis 0, but the input of shape () has no axes.",
    ),
    (
        lambda: ng.Dropout(shared_axes="2"),
        Type,
        "Dropout: `shared_axes` must be whole numbers or a slice; got '2'. "
        "Write for example (2, 3) or slice(2, None).",
    ),
    (
        lambda: ng.Dropout(shared_axes=(1, 2.0)),
        Type,
        "Dropout: `shared_axes` must be whole numbers or a slice; got (1, 2.0). "
        "Write for example (2, 3) or slice(2, None).",
    ),
    (
        lambda: ng.Dropout()(X, KEY, sample_axis="0"),  # type: ignore[arg-type]
        Type,
        "Dropout: `sample_axis` must be a whole number or None; got '0'.",
    ),
    (
        lambda: ng.mask(ng.Dropout(), (3, -1), KEY),
        Value,
        "mask: `shape` must be a tuple of whole numbers >= 0; got (3, -1).",
    ),
    (
        lambda: ng.noise(ng.Dropout(), "ab", KEY),  # type: ignore[arg-type]
        Type,
        "noise: `shape` must be a tuple of whole numbers >= 0; got 'ab'.",
    ),
    (
        lambda: ng.Dropout()(np.ones(3), KEY, rows=[0, 1, 2]),
        Value,
        "Dropout: `rows` was given, but the input of shape (3,) has no sample axis. "
        "Name one with sample_axis=0, or leave out `rows`.",
    ),
    (
        lambda: ng.Dropout()(X, KEY, rows=[1, 2]),
        Value,
        "Dropout: `rows` must name each of the 3 samples of the input once; got 2 rows.",
    ),
    (
        lambda: ng.Dropout()(X, KEY, rows="abc"),
        Type,
        "Dropout: `rows` must be a slice or a sequence of whole numbers in [0, 2**64); got 'abc'.",
    ),
    (
        lambda: ng.Dropout()(X, KEY, rows=[0, 1, -1]),
        Value,
        "Dropout: `rows` must be in [0, 2**64); got -1.",
    ),
    (
        lambda: ng.Dropout()(X, KEY, rows=[0, 1, 2**64]),
        Value,
        "Dropout: `rows` must be in [0, 2**64); got 18446744073709551616.",
    ),
    (
        lambda: ng.Dropout()(X, KEY, rows=[0, 1, 0.5]),
        Type,
        "Dropout: `rows` must be a whole number; got 0.5.",
    ),
    (
        lambda: ng.Dropout()(X, KEY, rows=slice(5, None, -1)),
        Value,
        "Dropout: `rows` as a slice must have a start >= 0 and a step >= 1 at a call; got "
        "slice(5, None, -1). Write for example slice(32, 64).",
    ),
    (
        lambda: ng.mask(ng.Dropout(), (2, 2**36), KEY),
        Value,
        "Dropout: a sample must have at most 2**35 elements; got 68719476736. "
        "Split the input over the sample axis, or name another sample_axis.",
    ),
    # Seeds, sites, keys
    (lambda: ng.Stream(-1), Value, "Stream: `seed` must be in [0, 2**64); got -1."),
    (
        lambda: ng.Stream(2**64),
        Value,
        "Stream: `seed` must be in [0, 2**64); got 18446744073709551616.",
    ),
    (
        lambda: ng.Stream(1.0),  # type: ignore[arg-type]
        Type,
        "Stream: `seed` must be a whole number; got 1.0. Write 1.",
    ),
    (
        lambda: ng.Stream(1.5),  # type: ignore[arg-type]
        Type,
        "Stream: `seed` must be a whole number; got 1.5.",
    ),
    (lambda: ng.Stream(True), Type, "Stream: `seed` must be a whole number; got True."),
    (
        lambda: ng.inject(net(), {":out": 0.5}, seed=-3),
        Value,
        "inject: `seed` must be in [0, 2**64); got -3.",
    ),
    (
        lambda: ng.torch.Dropout(seed=2**64, site="a"),
        Value,
        "Dropout: `seed` must be in [0, 2**64); got 18446744073709551616.",
    ),
    (
        lambda: ng.Stream(1).site(3),  # type: ignore[arg-type]
        Type,
        "Stream.site: `name` must be text; got 3. Write for example 'hid1:out'.",
    ),
    (
        lambda: ng.Stream(1).site("\ud800"),
        Value,
        "Stream.site: `name` must be text that UTF-8 can hold; got '\\ud800'.",
    ),
    (lambda: SITE.at(2**32), Value, "Site.at: `step` must be in [0, 2**32); got 4294967296."),
    (lambda: SITE.at(0, -1), Value, "Site.at: `call` must be in [0, 2**32); got -1."),
    (
        lambda: ng.Stream(1).site("a", slot=2**32),
        Value,
        "Stream.site: `slot` must be in [0, 2**32); got 4294967296.",
    ),
    (
        lambda: ng.Dropout()(X, 13),  # type: ignore[arg-type]
        Type,
        "Dropout: `key` must be a Key; got 13. "
        "Make one with noisegate.Stream(seed).site(name).at(step).",
    ),
    (
        lambda: ng.numpy.dropout_forward(X, rng="13"),  # type: ignore[arg-type]
        Type,
        "forward: `rng` must be a whole number, a numpy.random.Generator, a Key or None; got '13'. "
        "Write for example rng=13.",
    ),
    (
        lambda: ng.numpy.dropout_forward(X, rng=-13),
        Value,
        "forward: `rng` must be in [0, 2**64); got -13.",
    ),
    # Arrays
    (
        lambda: ng.Dropout()([1.0], KEY),
        Type,
        "Dropout: the input must be an array of numpy or torch; got builtins.list.",
    ),
    (
        lambda: ng.torch.dropout(X),
        Type,
        "Dropout: the input must be an array of torch; got numpy.ndarray.",
    ),
    (
        lambda: ng.Dropout()(np.ones((3, 4), int), KEY),
        Type,
        "Dropout: the input must hold floating-point numbers; got int64. Convert it with "
        "x.astype('float32') or x.float(), or use Dropout(p, rescale=False), which keeps integers.",
    ),
    (
        lambda: ng.GaussianNoise()(torch.ones(3, dtype=torch.int32), KEY),
        Type,
        "GaussianNoise: the input must hold floating-point numbers; got torch.int32. "
        "Convert it with x.astype('float32') or x.float().",
    ),
    (
        lambda: ng.torch.Dropout()(torch.ones(3, dtype=torch.bool)),
        Type,
        "Dropout: the input must hold floating-point numbers; got torch.bool. Convert it with "
        "x.astype('float32') or x.float(), or use Dropout(p, rescale=False), which keeps integers.",
    ),
    (
        lambda: ng.Dropout()(torch.ones(3).to(torch.float8_e4m3fn), KEY),
        Type,
        "Dropout: the input's dtype must be float16, bfloat16, float32, float64, complex64 or "
        "complex128; got torch.float8_e4m3fn.",
    ),
    (
        lambda: ng.Dropout()(np.array(["a"]), KEY),
        Type,
        "Dropout: the input's dtype must be float16, bfloat16, float32, float64, complex64 or "
        "complex128; got <U1.",
    ),
    (
        lambda: ng.GaussianNoise()(np.ones(3, complex), KEY),
        Type,
        "GaussianNoise: additive noise on complex numbers is not defined; got complex128. "
        "Noise the real and the imaginary part on their own.",
    ),
    (
        lambda: ng.Dropout()(torch.eye(3).to_sparse(), KEY),
        Type,
        "Dropout: the input must be dense; got torch.sparse_coo. Convert it with x.to_dense().",
    ),
    (
        lambda: ng.Dropout()(torch.nested.nested_tensor([torch.ones(2)], layout=torch.jagged), KEY),
        Type,
        "Dropout: the input must be dense; got a nested tensor. "
        "Convert it with x.to_padded_tensor(0.0).",
    ),
    # Masks, fields, configs, caches
    (
        lambda: ng.mask(ng.GaussianNoise(), (3,), KEY),
        Value,
        "mask: GaussianNoise(sigma=0.1) removes nothing, so it has no mask. "
        "Use noisegate.noise for its field.",
    ),
    (
        lambda: ng.mask(0.5, (3,), KEY),  # type: ignore[arg-type]
        Type,
        "mask: `kind` must be a kind of noise; got 0.5. Write for example noisegate.Dropout(0.5).",
    ),
    (
        lambda: ng.noise(ng.Dropout(), (3,), KEY, dtype="float16"),
        Type,
        "noise: `dtype` must be float32 or float64, the precision of the noise; got float16.",
    ),
    (
        lambda: ng.from_config({"kind": "Dropuot"}),
        Value,
        "from_config: unknown kind 'Dropuot'; known are `Dropout`, `GaussianNoise`, "
        "`GaussianDropout`, `UniformNoise`. Did you mean `Dropout`?",
    ),
    (
        lambda: ng.from_config("Dropout"),
        Type,
        "from_config: a config is a dict with an entry 'kind'; got 'Dropout'.",
    ),
    (
        lambda: ng.numpy.backward(X, Unknown()),  # type: ignore[arg-type]
        Type,
        "backward: `cache` must be the second result of `forward`; got <unknown>.",
    ),
    (
        lambda: ng.numpy.backward(X[:2], ng.numpy.forward(ng.Dropout(), X)[1]),
        Value,
        "backward: the gradient must have the output's shape (3, 4); got (2, 4).",
    ),
    # Layers
    (
        lambda: ng.torch.Dropout(0.5, seed=13),
        Value,
        "Dropout: a layer with `seed` needs `site` too, or two layers with one seed would share "
        "a mask. Write for example Dropout(seed=13, site='hid1:out').",
    ),
    (
        lambda: ng.torch.UniformNoise(0.5, site="a"),
        Value,
        "UniformNoise: `site` does nothing without `seed`. "
        "Write for example UniformNoise(seed=13, site='hid1:out').",
    ),
    (
        lambda: ng.torch.Dropout().step,
        Value,
        "Dropout: a layer without `seed` has no step; it draws afresh at every call. "
        "Write for example Dropout(seed=13, site='hid1:out').",
    ),
    (
        lambda: setattr(ng.torch.Dropout(seed=1, site="a"), "step", -1),
        Value,
        "Dropout: `step` must be in [0, 2**32); got -1.",
    ),
    # Injection
    (
        lambda: ng.inject(net(), {"hdi1:out": 0.5}),
        ng.UnmatchedRule,
        "inject: the rule 'hdi1:out' matches no site. "
        "The nearest sites are 'hid1:out', 'hid2:out', ':out'.",
    ),
    (
        lambda: ng.inject("net", {"a:out": 0.5}),
        Type,
        "inject: `model` must be a torch.nn.Module; got builtins.str.",
    ),
    (
        lambda: ng.inject(net(), 0.5),  # type: ignore[arg-type]
        Type,
        "inject: `rules` must be a dict of patterns and noises; got 0.5. "
        "Write for example {'hid*:out': 0.5}.",
    ),
    (
        lambda: ng.inject(net(), {}),
        Value,
        "inject: `rules` is empty, so no noise would act. Write for example {'hid*:out': 0.5}.",
    ),
    (
        lambda: ng.inject(net(), {"hid1": 0.5}),
        Type,
        "inject: a pattern must be text of the form `path:port`; got 'hid1'. "
        "Write for example 'hid1:out'.",
    ),
    (
        lambda: ng.inject(net(), {"hid1:weight": 0.5}),
        Value,
        "inject: the port of a rule must be `in` or `out`; got `weight` in 'hid1:weight'. "
        "Write for example 'hid1:out'.",
    ),
    (
        lambda: ng.inject(net(), {"hid1:out": "0.5"}),
        Type,
        "inject: the noise of 'hid1:out' must be a number or a kind; got '0.5'. "
        "Write for example 0.5 or noisegate.GaussianNoise(0.1).",
    ),
]


@pytest.mark.parametrize(("call", "error", "sentence"), CASES, ids=[case[2][:60] for case in CASES])
def test_bad_input_is_answered_in_a_sentence(
    call: Callable[[], Any], error: type[Exception], sentence: str
) -> None:
    with assert_sentence(error, sentence):
        call()


def test_every_error_is_a_noisegate_error_and_a_standard_one() -> None:
    assert issubclass(ng.InvalidValue, ng.NoisegateError)
    assert issubclass(ng.InvalidValue, ValueError)
    assert issubclass(ng.InvalidType, TypeError)
    assert issubclass(ng.UnmatchedRule, ng.InvalidValue)
    assert issubclass(ng.RecomputationError, RuntimeError)
    assert issubclass(ng.MissingExtra, ImportError)


def test_no_sentence_is_without_its_test() -> None:
    """Each function of the messages is used by a case above or named in another test file."""
    elsewhere = {"in_backward", "no_tensor", "missing_extra"}
    called: set[str] = set()
    sentences = {
        name: function
        for name, function in inspect.getmembers(messages, inspect.isfunction)
        if not name.startswith("_") and function.__module__ == messages.__name__
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, function in sentences.items():

            def counted(*args: Any, name: str = name, function: Any = function) -> str:
                called.add(name)
                return str(function(*args))

            patch.setattr(messages, name, counted)
        for call, error, _ in CASES:
            with pytest.raises(error):
                call()
    assert set(sentences) - called == elsewhere
