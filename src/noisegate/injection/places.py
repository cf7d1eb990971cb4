"""Choose what acts at a site, by its port."""

from collections.abc import Iterable

from noisegate.core.patterns import BRANCH, parse_port
from noisegate.core.plan import Placement

from .branch_noise import BranchNoise
from .parameter_noise import ParameterNoise
from .site import Owner, SiteNoise


def make_site_noise(injection: Owner, placement: Placement) -> SiteNoise:
    """Return the noise of a placement: on a parameter, on a branch, or on a tensor."""
    port = parse_port(placement.site)
    if port.parameter:
        return ParameterNoise(injection, placement)
    if port.name == BRANCH:
        return BranchNoise(injection, placement)
    return SiteNoise(injection, placement)


def find_model_axis(noises: Iterable[SiteNoise]) -> int:
    """Return the sample axis of the model's input: that of all noises, if they have one."""
    axes = {n.placement.sample_axis for n in noises if not isinstance(n, ParameterNoise)}
    return (next(iter(axes)) if len(axes) == 1 else 0) or 0
