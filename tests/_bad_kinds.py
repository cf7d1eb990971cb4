"""Bad kinds, schedules and layers, and the sentence for each."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

import noisegate as ng
from _bad_numbers import KEY, Case, T, Type, Value, X
from noisegate.core.expression import parse

RISE = ng.schedule.linear(0, 0.5, steps=10)
MAPS = np.ones((2, 3, 4, 4), np.float32)
BYTES = np.ones((3, 4), np.uint8)


def unfinished() -> None:
    class Half(ng.Kind):
        def field(self, draws, rate):  # type: ignore[no-untyped-def]
            return ng.Field()

    Half()


def without_a_rate() -> None:
    @dataclass(frozen=True)
    class Half(ng.Kind):
        amount: float = 1.0

        def field(self, draws, rate):  # type: ignore[no-untyped-def]
            return ng.Field()

    Half()


def of_a_taken_name() -> None:
    class DropBlock(ng.Kind):
        pass


def changed(layer: nn.Module, **values: object) -> None:
    for name, value in values.items():
        setattr(layer, name, value)


CASES: list[Case] = [
    # Kinds
    (
        lambda: ng.AlphaDropout(2),
        Value,
        "AlphaDropout: `p` must be in [0, 1]; got 2.0. Did you mean 0.2?",
    ),
    (
        lambda: ng.ConcreteDropout(1.0),
        Value,
        "ConcreteDropout: `p` must be in [0, 1); got 1.0. p=1 would need infinite noise; take a "
        "number below 1.",
    ),
    (
        lambda: ng.ConcreteDropout(0.1, 0),
        Value,
        "ConcreteDropout: `temperature` must be a finite number > 0; got 0.0.",
    ),
    (
        lambda: ng.ImpulseNoise(0.1, 0, float("inf")),
        Value,
        "ImpulseNoise: `high` must be a finite number; got inf.",
    ),
    (
        lambda: ng.ImpulseNoise(0.1, 0, 256)(BYTES, KEY),
        Value,
        "ImpulseNoise: input of uint8 cannot hold 256, which takes the place of what is removed. "
        "Give another value, or convert the input.",
    ),
    (
        lambda: ng.ImpulseNoise(0.1, 0, 0.5)(BYTES, KEY),
        Type,
        "ImpulseNoise: the input must hold floating-point numbers; got uint8. Convert it with "
        "x.astype('float32') or x.float(), or give whole `low` and `high`.",
    ),
    (
        lambda: ng.ImpulseNoise(0.1, 0, 1)(torch.ones(3, 4, dtype=torch.complex64), KEY),
        Type,
        "ImpulseNoise: a value in place of complex numbers is not defined; got torch.complex64. "
        "Noise the real and the imaginary part on their own.",
    ),
    (
        lambda: ng.DropBlock(0.1, 0),
        Value,
        "DropBlock: `block_size` must be a whole number >= 1, or one for each spatial axis; got 0.",
    ),
    (
        lambda: ng.DropBlock(0.1, 2.5),  # type: ignore[arg-type]
        Type,
        "DropBlock: `block_size` must be a whole number; got 2.5.",
    ),
    (
        lambda: ng.DropBlock(0.1, (2, 2, 2))(MAPS, KEY),
        Value,
        "DropBlock: `block_size` must have one extent for each spatial axis; got (2, 2, 2) for "
        "the axes (2, 3).",
    ),
    (
        lambda: ng.DropBlock(0.1, 3)(X, KEY),
        Value,
        "DropBlock: `axes` must name at least one spatial axis; an input of rank 2 has none "
        "of the axes from 2 on. Images are (samples, channels, height, width).",
    ),
    (
        lambda: ng.DropBlock(0.1, 3, axes=(0, 1))(X, KEY),
        Value,
        "DropBlock: `axes` names axis 0, which is the sample axis; it must name others. Write for "
        "example axes=-1, or slice(1, -1) for (samples, height, width, channels).",
    ),
    (
        lambda: ng.DropBlock(0.1, 3, shared_axes=2)(MAPS, KEY),
        Value,
        "DropBlock: `axes` names axis 2, which is a shared axis; it must name others. Write for "
        "example axes=-1, or slice(1, -1) for (samples, height, width, channels).",
    ),
    (
        lambda: ng.DropBlock(0.1, 3, axes="all"),
        Type,
        "DropBlock: `axes` must be whole numbers or a slice; got 'all'. "
        "Write for example (2, 3) or slice(2, None).",
    ),
    (
        lambda: ng.DropBlock(0.1, 3, normalize="batch"),
        Value,
        "DropBlock: `normalize` must be 'expected' or 'sample'; got 'batch'.",
    ),
    (
        lambda: ng.DropBlock(0.1, 3)(MAPS, KEY, p=np.array(0.2)),
        Type,
        "DropBlock: `p` must be a number or a schedule, not an array: block sizes turn it into "
        "other rates on the host. Write float(p).",
    ),
    (
        unfinished,
        Type,
        "Half: a kind must be a dataclass with a class attribute RATE that names one of its "
        "numbers. Put @dataclass(frozen=True) above the class, and RATE = 'p' in it.",
    ),
    (
        without_a_rate,
        Type,
        "Half: a kind must be a dataclass with a class attribute RATE that names one of its "
        "numbers. Put @dataclass(frozen=True) above the class, and RATE = 'p' in it.",
    ),
    (
        of_a_taken_name,
        Value,
        "DropBlock: a kind of noisegate has this name, and the name is part of where noise is "
        "drawn. Give your class another name.",
    ),
    # Kinds as text, and pictures of them
    (
        lambda: parse("dropout(0.5"),
        Value,
        "got 'dropout(0.5', which is no noise. "
        "Write for example dropout(0.5) or gaussian_noise(0.1).",
    ),
    (
        lambda: parse("gauss_noise(0.1)"),
        Value,
        "there is no noise called `gauss_noise`. Did you mean `gaussian_noise`?",
    ),
    (
        lambda: parse("zzz(0.1)"),
        Value,
        "there is no noise called `zzz`. Write for example dropout(0.5) or gaussian_noise(0.1).",
    ),
    (
        lambda: parse("locked_dropout(0.1)"),
        Type,
        "locked_dropout: `time_axis` is missing.",
    ),
    (
        lambda: parse("Dropout1d(0.1, True, 2)"),
        Type,
        "Dropout1d: at most 1 argument goes by place (`p`); got 3. Give the others by name.",
    ),
    (
        lambda: parse("Dropout2d(0.2, seed=3)"),
        Type,
        "Dropout2d: unknown keyword `seed`; known are `p`.",
    ),
    (lambda: parse("drop_block()"), Type, "drop_block: `p` is missing."),
    (
        lambda: parse("dropout(0.5, shared_axes=slice())"),
        Value,
        "got 'dropout(0.5, shared_axes=slice())', which is no noise. "
        "Write for example dropout(0.5) or gaussian_noise(0.1).",
    ),
    (
        lambda: ng.DropBlock(0.1, 3, axes=slice(3, None))(X, KEY),
        Value,
        "DropBlock: `axes` must name at least one axis of the input, of rank 2; got slice(3, None, "
        "None). Write for example axes=-1.",
    ),
    (lambda: ng.drop_path(), Type, "drop_path: `p` is missing."),
    (
        lambda: ng.locked_dropout(0.5, p=0.5, time_axis=1),
        Type,
        "locked_dropout: `p` is given by place and by name. Give it once.",
    ),
    (lambda: ng.schedule.linear(0.1, 0.5), Type, "schedule.linear: `steps` is missing."),
    (lambda: ng.Stream(13).site(), Type, "Stream.site: `name` is missing."),
    (
        lambda: ng.Stream(13).site("a").at(0, 1, 2),
        Type,
        "Site.at: at most 2 arguments go by place (`step`, `call`); got 3. Give the others by "
        "name.",
    ),
    (
        lambda: ng.pictures.draw(ng.Dropout(0.5), (3, 0)),
        Value,
        "draw: an input of shape (3, 0) has no elements to draw.",
    ),
    (
        lambda: ng.pictures.draw(ng.Dropout(0.5), (9000, 9000)),
        Value,
        "draw: the samples that are shown must have at most 33,554,432 elements; got (9000, 9000), "
        "of which they have 81,000,000. (4500, 4500) would do.",
    ),
    (
        lambda: ng.pictures.draw(ng.Dropout(0.5), (3, 3), steps=17),
        Value,
        "draw: `steps` must be 1 to 16 steps; got 17.",
    ),
    # Schedules
    (
        lambda: ng.Dropout(ng.schedule.linear(0, 1.5, steps=3)),
        Value,
        "Dropout: `p` must be in [0, 1]; got 1.5. Did you mean 0.15?",
    ),
    (
        lambda: ng.schedule.linear(0, 0.5, steps=0),
        Value,
        "schedule.linear: `steps` must be at least 1; got 0.",
    ),
    (
        lambda: ng.schedule.cosine(0, 0.5, steps=1.5),  # type: ignore[arg-type]
        Type,
        "schedule.cosine: `steps` must be a whole number; got 1.5.",
    ),
    (
        lambda: ng.schedule.early(float("nan"), 3),
        Value,
        "schedule.early: `value` must be a finite number; got nan.",
    ),
    (
        lambda: ng.schedule.late(0.5, step=3),  # type: ignore[call-arg]
        Type,
        "schedule.late: unknown keyword `step`; known are `value`, `steps`. Did you mean `steps`?",
    ),
    (
        lambda: RISE.at(-1),
        Value,
        "Schedule.at: `step` must be in [0, 2**32); got -1.",
    ),
    (
        lambda: ng.from_config({"kind": "Dropout", "p": {"schedule": "liner"}}),
        Value,
        "from_config: unknown schedule 'liner'; known are `constant`, `linear`, `cosine`, "
        "`curriculum`, `early`, `late`. Did you mean `linear`?",
    ),
    (
        lambda: ng.from_config({"kind": "Dropout", "p": {"schedule": "early", "value": 0.5}}),
        Type,
        "schedule.early: `steps` is missing.",
    ),
    (
        lambda: ng.torch.Dropout(RISE),
        Value,
        "Dropout: `p` is a schedule, and without a seed there is no step to read it at. "
        "Give `seed=` and `site=`, a `key=`, or put the noise in with noisegate.inject.",
    ),
    (
        lambda: changed(ng.torch.GaussianNoise(0.1), sigma=RISE),
        Value,
        "GaussianNoise: `sigma` is a schedule, and without a seed there is no step to read it at. "
        "Give `seed=` and `site=`, a `key=`, or put the noise in with noisegate.inject.",
    ),
    (
        lambda: ng.torch.dropout(T, RISE),
        Value,
        "Dropout: `p` is a schedule, and without a seed there is no step to read it at. "
        "Give `seed=` and `site=`, a `key=`, or put the noise in with noisegate.inject.",
    ),
    (
        lambda: ng.numpy.forward(ng.Dropout(RISE), X, rng=3),
        Value,
        "Dropout: `p` is a schedule, and without a seed there is no step to read it at. "
        "Give `seed=` and `site=`, a `key=`, or put the noise in with noisegate.inject.",
    ),
    # Layers
    (
        lambda: ng.torch.DropBlock2d(0.5),
        Type,
        "DropBlock2d: `block_size` is missing.",
    ),
    (
        lambda: ng.torch.Dropout(0.5, True, False),
        Type,
        "Dropout: at most 2 arguments go by place (`p`, `inplace`); got 3. Give the others by "
        "name.",
    ),
    (lambda: ng.torch.locked_dropout(T, 0.5), Type, "locked_dropout: `time_axis` is missing."),
    (
        lambda: ng.torch.Dropout2d()(T),
        Value,
        "Dropout2d: the input must have the shape (N, C, H, W) or (N, C, L); got (3, 4).",
    ),
    (
        lambda: ng.torch.spatial_dropout2d(T, 0.5, data_format="tf"),
        Value,
        "SpatialDropout2D: the input must have the shape (N, H, W, C); got (3, 4).",
    ),
    (
        lambda: ng.torch.DropoutChannels(0.5)(torch.ones(3)),
        Value,
        "DropoutChannels: the input must have the shape (N, C, ...); got (3,).",
    ),
    (
        lambda: ng.torch.SpatialDropout1D(0.5),
        Type,
        "SpatialDropout1D: `data_format` is needed: 'channels_last' for Keras' (samples, "
        "timesteps, channels), 'channels_first' for torch's (N, C, L).",
    ),
    (
        lambda: ng.torch.SpatialDropout2D(0.5, dim_ordering="tg"),
        Value,
        "SpatialDropout2D: `data_format` must be 'channels_first' or 'channels_last'; got 'tg'. "
        "(samples, channels, ...) is channels_first.",
    ),
    (
        lambda: ng.torch.SpatialDropout1D(0.5, "channels_last", "th"),
        Type,
        "SpatialDropout1D: `dim_ordering` is Keras 1's word for `data_format`; give one of them.",
    ),
    (
        lambda: ng.torch.Dropout(0.5, inplace=True)(torch.ones(3, requires_grad=True)),
        Value,
        "Dropout: `inplace=True` would overwrite a leaf tensor that requires grad, whose gradient "
        "needs it. Leave out `inplace`, or work on x.clone().",
    ),
    (
        lambda: ng.torch.dropout1d(torch.ones(3, 4, requires_grad=True), 0.5, inplace=True),
        Value,
        "Dropout1d: `inplace=True` would overwrite a leaf tensor that requires grad, whose "
        "gradient needs it. Leave out `inplace`, or work on x.clone().",
    ),
    (
        lambda: ng.torch.Dropout(0.5, 0.5),  # type: ignore[call-arg]
        Type,
        "Dropout: `inplace` must be True or False; got 0.5.",
    ),
    (
        lambda: changed(ng.torch.Dropout2d(0.5), p=1.5),
        Value,
        "Dropout: `p` must be in [0, 1]; got 1.5. Did you mean 0.15?",
    ),
    (
        lambda: ng.torch.layer(0.5),  # type: ignore[arg-type]
        Type,
        "layer: `kind` must be a kind of noise; got 0.5. Write for example noisegate.Dropout(0.5).",
    ),
    (
        lambda: ng.torch.ConcreteDropout(RISE),  # type: ignore[arg-type]
        Type,
        "ConcreteDropout: `p` is learned by this layer, so it follows no schedule. Give a number "
        "to begin with, or put noisegate.ConcreteDropout(p=schedule) in with noisegate.inject.",
    ),
    (
        lambda: ng.torch.ConcreteDropout(0.0),
        Value,
        "ConcreteDropout: `p` must be in (0, 1), since it is learned by its logit; got 0.0.",
    ),
    (
        lambda: ng.torch.ConcreteDropout().regularization(nn.ReLU()),
        Type,
        "ConcreteDropout.regularization: `module` must be the layer that the noise feeds, with a "
        "weight of shape (outputs, inputs, ...); got ReLU.",
    ),
    (
        lambda: ng.torch.ConcreteDropout().regularization(nn.Linear(2, 2), -1),
        Value,
        "ConcreteDropout.regularization: `weight_regularizer` must be a finite number >= 0; got "
        "-1.0. Did you mean 1?",
    ),
]
