"""Choose what acts at a site, by its port."""

from collections.abc import Iterable

from noisegate.core.kinds import DropKey
from noisegate.core.patterns import BRANCH, CELL, STATE, TOKENS, parse_port
from noisegate.core.plan import Placement

from .branch_noise import BranchNoise
from .parameter_noise import ParameterNoise
from .recurrent_noise import RecurrentNoise
from .site import Owner, SiteNoise
from .token_noise import TokenNoise


def make_site_noise(injection: Owner, placement: Placement) -> SiteNoise:
    """Return the noise of a placement: on a parameter, a branch, tokens, a state, or a tensor."""
    port = parse_port(placement.site)
    if isinstance(placement.kind, DropKey) and not placement.own:
        injection.notices.note_drop_key(placement)
    if port.parameter:
        return ParameterNoise(injection, placement)
    if port.name == BRANCH:
        return BranchNoise(injection, placement)
    if port.name == TOKENS:
        return TokenNoise(injection, placement)
    if port.name in (STATE, CELL):
        return RecurrentNoise(injection, placement)
    return SiteNoise(injection, placement)


def find_model_axis(noises: Iterable[SiteNoise]) -> int:
    """Return the sample axis of the model's input: that of all noises, if they have one."""
    axes = {n.placement.sample_axis for n in noises if not isinstance(n, ParameterNoise)}
    return (next(iter(axes)) if len(axes) == 1 else 0) or 0
