"""Bad seeds, sites, arrays, layers and injections, and the sentence for each."""

import numpy as np
import torch

import noisegate as ng
from _bad_numbers import KEY, Case, Type, Value, X, net

SITE = ng.Stream(13).site("a")


class Unknown:
    def __repr__(self) -> str:
        return "<unknown>"


def make_a_kind_named_draw() -> None:
    class Draw(ng.Kind):
        pass


CASES: list[Case] = [
    # Rules
    (
        lambda: ng.inject(net(), {"hid1:out": []}, seed=1),
        Value,
        "inject: the list of 'hid1:out' is empty, so no noise would act. Leave out the rule.",
    ),
    (
        lambda: ng.inject(net(), {"hid1:out": 0.5}, seed=1, sample_axis={"hid2:out": 1}),
        Value,
        "inject: `sample_axis` names 'hid2:out', which is none of the rules 'hid1:out'.",
    ),
    (
        lambda: ng.inject(net(), {"hid1:out": 0.5}, seed=1, sample_axis="1"),  # type: ignore[arg-type]
        Type,
        "inject: `sample_axis` must be a whole number or None; got '1'.",
    ),
    (
        lambda: ng.inject(net(), {"hid1:out": [0.5, ng.Zoneout(0.1)]}, seed=1),
        Value,
        "inject: Zoneout keeps the former value of a recurrent state, so its rule must name the "
        "port `state` or `cell`; got 'hid1:out'. Write for example {'lstm:state': Zoneout(p=0.1)}.",
    ),
    (
        lambda: ng.inject(net(), hidden_dropout=ng.Zoneout(0.2), seed=1),
        Value,
        "inject: Zoneout keeps the former value of a recurrent state, so its rule must name the "
        "port `state` or `cell`; got 'hidden_dropout'. Write for example "
        "{'lstm:state': Zoneout(p=0.2)}.",
    ),
    (
        lambda: ng.inject(torch.nn.GRU(2, 2), {":state": ng.ShotNoise(0.1)}, seed=1),
        Value,
        "inject: the noise of ':state' is drawn for all time steps at once, and ShotNoise reads "
        "the state or has a gradient of its own. Put it at the port `in`, `layers` or `out`.",
    ),
    (
        lambda: ng.inject(net(), recurrent_dropout=0.5, seed=1),
        ng.UnmatchedRule,
        "inject: `recurrent_dropout` finds no recurrent sites in this model: it has no recurrent "
        "layers. Write a rule, for example {'hid*:out': 0.5}.",
    ),
    # Seeds, sites, keys
    (
        make_a_kind_named_draw,
        Value,
        "Draw: what a model's own code draws has this name, and the name is part of where noise "
        "is drawn. Give your class another name.",
    ),
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
        lambda: ng.Dropout()(
            torch.nested.nested_tensor([torch.ones(2)] * 2, layout=torch.jagged),
            KEY,
            sample_axis=1,
        ),
        Value,
        "Dropout: the samples of a nested tensor lie on axis 0; got sample_axis=1. "
        "Leave `sample_axis` out.",
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
        "from_config: unknown kind 'Dropuot'; known are `Dropout`, `AlphaDropout`, "
        "`ConcreteDropout`, `DropBlock`, `DropKey`, `GaussianDropout`, `GaussianNoise`, "
        "`ImpulseNoise`, `UniformNoise`, `MultiplicativeUniformNoise`, `NeftuneNoise`, "
        "`PatchDropout`, `QuantizationNoise`, `RandomErasing`, `ShotNoise`, `SpanMask`, "
        "`SpeckleNoise`, `Zoneout`. Did you mean `Dropout`?",
    ),
    (
        lambda: ng.from_config({"kind": ["Dropout"]}),
        Value,
        "from_config: unknown kind ['Dropout']; known are `Dropout`, `AlphaDropout`, "
        "`ConcreteDropout`, `DropBlock`, `DropKey`, `GaussianDropout`, `GaussianNoise`, "
        "`ImpulseNoise`, `UniformNoise`, `MultiplicativeUniformNoise`, `NeftuneNoise`, "
        "`PatchDropout`, `QuantizationNoise`, `RandomErasing`, `ShotNoise`, `SpanMask`, "
        "`SpeckleNoise`, `Zoneout`.",
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
        ng.MissingAttribute,
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
        "inject: no rule is given, so no noise would act. Write for example {'hid*:out': 0.5}, or "
        "existing=True for the model's own dropouts.",
    ),
    (
        lambda: ng.inject(net(), {"hid1": 0.5}),
        Type,
        "inject: a pattern must be text of the form `path:port`; got 'hid1'. "
        "Write for example 'hid1:out'.",
    ),
    (
        lambda: ng.inject(net(), {"hid1:wieght": 0.5}),
        Value,
        "inject: the port of a rule must be `in`, `out`, `pre`, `branch`, `tokens`, `dropout`, "
        "`noise`, `probs`, `heads`, `scores`, `state`, `cell`, `layers` or a parameter's name; got "
        "`wieght` in 'hid1:wieght'. "
        "Did you mean 'hid1:weight'? The parameters there are `weight`, `bias`.",
    ),
    (
        lambda: ng.inject(net(), {"hid1:out": "0.5"}),
        Type,
        "inject: the noise of 'hid1:out' must be a number or a kind; got '0.5'. "
        "Write for example 0.5 or noisegate.GaussianNoise(0.1).",
    ),
    (
        lambda: ng.inject(net(), {":out": 0.5}, unreached="ignore"),
        Value,
        "inject: `unreached` must be 'raise' or 'keep'; got 'ignore'.",
    ),
    (
        lambda: ng.inject(net(), {":out": 0.5}, existing="yes"),  # type: ignore[arg-type]
        Type,
        "inject: `existing` must be True or False; got 'yes'.",
    ),
    (
        lambda: ng.inject(net(), {":out": 0.5}, seed=1).mask("hid1:out"),
        Value,
        "mask: 'hid1:out' has no noise. The nearest that have are ':out'.",
    ),
    (
        lambda: ng.inject(net(), {":out": 0.5}, seed=1).mask(":out"),
        Value,
        "mask: the shape at ':out' is not known before a forward with noise there. Run the model "
        "once in training.",
    ),
    # Ranks
    (
        lambda: ng.RankRows("interleave"),
        Value,
        "RankRows: `policy` must be 'contiguous' or 'interleaved' or 'batches' or 'replica'; "
        "got 'interleave'. Did you mean 'interleaved'?",
    ),
    (
        lambda: ng.RankRows("replica", rank=1),
        Value,
        "RankRows: `rank` and `world` belong together; got 1 and None.",
    ),
    (
        lambda: ng.RankRows("replica", rank=4, world=4),
        Value,
        "RankRows: `rank` must be in [0, world), and `world` at most 2**16; got 4 and 4.",
    ),
    (
        lambda: ng.RankRows("replica", rank=-1, world=4),
        Value,
        "RankRows: `rank` must be in [0, 2**16); got -1.",
    ),
    (
        lambda: ng.RankRows("replica", rank=0, world=4).find(0, 2**48),
        Value,
        "RankRows: a replica must have fewer than 2**48 samples.",
    ),
]
