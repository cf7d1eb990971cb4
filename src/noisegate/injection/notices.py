"""What a handle tells its user of, once each: noise that does not act as one might think."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from noisegate.core import messages
from noisegate.core.callers import warn_caller

from .steps import Forward

if TYPE_CHECKING:
    from .model_noise import ModelNoise


class Notices:
    """Looks at the forwards of a model, and warns once of each thing that is not as it seems."""

    def __init__(self, injection: "ModelNoise") -> None:
        self.injection = injection
        self._nowhere: set[str] = set()
        self._ranks = False
        self._unwatch: Callable[[], None] | None = None

    def watch_parts(self) -> Callable[[], None]:
        """Look for parts that are called without the model, where rules need it; return the end."""
        if self._rules_of_the_model() and not self.injection.always:
            self._unwatch = self.injection.host.on_parts(self._part_begins)
        return self._stop

    def begin(self) -> None:
        """Take note that a forward begins whose noise acts."""
        self._stop()
        injection = self.injection
        steps = injection.steps
        if self._ranks or steps.rows is not None or steps.forward.ids is not None:
            return
        world = injection.host.world_size()
        if world > 1:
            self._ranks = True
            sentence = messages.same_on_all_ranks(world)
            injection.plan.note(sentence)
            warn_caller(f"noisegate: {sentence}")

    def end(self, forward: Forward) -> None:
        """Tell of rules that were reached nowhere in a forward."""
        noises = self.injection.noises
        reached = {noise.placement.rule for noise in noises if noise in forward.reached}
        nowhere = {noise.placement.rule for noise in noises} - reached - self._nowhere
        if nowhere and (reached or not self.injection.always):  # a prediction raises, where none is
            self._nowhere |= nowhere
            warn_caller(messages.acted_nowhere(sorted(nowhere)))

    def _part_begins(self, path: str, training: bool) -> None:
        injection = self.injection
        if training and injection.acts_here and injection.steps.running is None:
            self._stop()
            warn_caller(messages.parts_alone(self._rules_of_the_model(), path))

    def _rules_of_the_model(self) -> list[str]:
        """Return the rules whose noise is at the model's own input or output."""
        placements = self.injection.plan.placements
        return list(dict.fromkeys(p.rule for p in placements if p.site.startswith(":")))

    def _stop(self) -> None:
        """Look for parts no more."""
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
