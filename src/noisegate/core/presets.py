"""Presets: functions that return well-known noises as kinds."""

from collections.abc import Callable
from functools import wraps
from typing import NoReturn, ParamSpec

from . import checks
from .axes import ALL_BUT_SAMPLES
from .errors import InvalidType, InvalidValue, prefix_errors
from .kinds import Dropout
from .schedule import Schedule
from .words import got

CHANNELS = {"channels_first": slice(2, None), "channels_last": slice(1, -1)}
LOCATIONS = {"channels_first": 1, "channels_last": -1}

P = ParamSpec("P")


def _preset(make: Callable[P, Dropout]) -> Callable[P, Dropout]:
    """Decorate a preset to refuse unknown keywords, and `shared_axes`, which it sets itself."""
    known = checks.check_call(make.__name__)(make)

    @wraps(make)
    def preset(*args: P.args, **kwargs: P.kwargs) -> Dropout:
        if "shared_axes" in kwargs:
            refuse_shared_axes(make.__name__)
        return known(*args, **kwargs)

    return preset


@_preset
def dropout_channels(p: float | Schedule, data_format: str = "channels_first") -> Dropout:
    """Return dropout of whole channels: one decision for all places of a feature map.

    Parameters
    ----------
    p : float or Schedule
        Probability that a channel is removed, in [0, 1].
    data_format : {"channels_first", "channels_last"}
        Where the channels are: axis 1, or the last axis. Works for every rank. Keras 1 wrote
        ``th`` and ``tf``.

    References
    ----------
    Tompson, Goroshin, Jain, LeCun, Bregler (2015), Efficient object localization using
    convolutional networks.

    Examples
    --------
    >>> import noisegate as ng
    >>> ng.dropout_channels(0.3, "channels_first")
    Dropout(p=0.3, shared_axes=slice(2, None))
    """
    with prefix_errors("dropout_channels"):
        channels = CHANNELS[check_data_format(data_format)]
    return Dropout(p, shared_axes=channels)


spatial_dropout = dropout_channels


@_preset
def dropout_locations(p: float | Schedule, data_format: str = "channels_first") -> Dropout:
    """Return dropout of whole locations: one decision for all channels of a pixel or voxel.

    Parameters
    ----------
    p : float or Schedule
        Probability that a location is removed, in [0, 1].
    data_format : {"channels_first", "channels_last"}
        Where the channels are: axis 1, or the last axis.

    Examples
    --------
    >>> import noisegate as ng
    >>> ng.dropout_locations(0.3, "channels_last")
    Dropout(p=0.3, shared_axes=(-1,))
    """
    with prefix_errors("dropout_locations"):
        locations = LOCATIONS[check_data_format(data_format)]
    return Dropout(p, shared_axes=locations)


@_preset
def drop_path(p: float | Schedule) -> Dropout:
    """Return dropout of whole samples, for the branch of a residual block.

    Samples lie along axis 0, or along the call's `sample_axis`. With ``sample_axis=None`` there is
    one decision for the whole array.

    Parameters
    ----------
    p : float or Schedule
        Probability that a sample's branch is removed, in [0, 1].

    References
    ----------
    Huang, Sun, Liu, Sedra, Weinberger (2016), Deep networks with stochastic depth.

    Examples
    --------
    >>> import noisegate as ng
    >>> ng.drop_path(0.1)
    Dropout(p=0.1, shared_axes='all_but_samples')
    """
    return Dropout(p, shared_axes=ALL_BUT_SAMPLES)


@_preset
def locked_dropout(p: float | Schedule, time_axis: int) -> Dropout:
    """Return dropout with one mask for all time steps of a sample (variational dropout).

    Parameters
    ----------
    p : float or Schedule
        Probability of removal, in [0, 1].
    time_axis : int
        The axis of time: 1 for (samples, time, features). For time-major data give 0 here, and
        ``sample_axis=1`` at the call.

    References
    ----------
    Gal, Ghahramani (2016), A theoretically grounded application of dropout in recurrent
    neural networks.

    Examples
    --------
    >>> import noisegate as ng
    >>> ng.locked_dropout(0.3, time_axis=1)
    Dropout(p=0.3, shared_axes=(1,))
    """
    return Dropout(p, shared_axes=time_axis)


def refuse_shared_axes(preset: str) -> NoReturn:
    """Raise, since a preset sets `shared_axes` itself."""
    raise InvalidType(
        f"`shared_axes` is what {preset} sets itself. Use Dropout(p, shared_axes=...)."
    ).prefix(preset)


def check_data_format(value: object) -> str:
    """Return where the channels are; Keras 1's `th` and `tf` are accepted."""
    old = {"th": "channels_first", "tf": "channels_last"}
    if not isinstance(value, str) or value not in (*CHANNELS, *old):
        raise InvalidValue(
            f"`data_format` must be 'channels_first' or 'channels_last'; {got(value)}. "
            "(samples, channels, ...) is channels_first."
        )
    return old.get(value, value)
