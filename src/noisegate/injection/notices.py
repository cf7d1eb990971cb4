"""What a handle tells its user of, once each: noise that does not act as one might think."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from noisegate.core import messages
from noisegate.core.callers import warn_caller
from noisegate.core.plan import Placement
from noisegate.core.rules import EXISTING
from noisegate.core.survey import Call, Draw

from .steps import Forward

if TYPE_CHECKING:
    from .model_noise import ModelNoise


class Notices:
    """Looks at the forwards of a model, and warns once of each thing that is not as it seems."""

    def __init__(self, injection: "ModelNoise") -> None:
        self.injection = injection
        self._nowhere: set[str] = set()
        self._ranks = False
        # Draws of the model's own by their place, of which a prediction has seen some in training
        # and some in evaluation; those that may be another thread's; those that it has told of.
        self._in_training: dict[tuple[str, str], str] = {}
        self._in_evaluation: dict[tuple[str, str], str] = {}
        self._perhaps: dict[tuple[str, str], str] = {}
        self._told: set[tuple[str, str]] = set()
        # Rules that were told to have fresh noise, and parts that were called without the model.
        self._strays: set[str] = set()
        self._parts: set[str] = set()
        self._unwatch: Callable[[], None] | None = None

    def watch_parts(self) -> Callable[[], None]:
        """Look for parts that are called without the model, until it is; return the end."""
        if not self.injection.always:
            self._unwatch = self.injection.host.on_parts(self._part_begins)
        return self._stop

    def begin(self, forward: Forward) -> None:
        """Take note that a forward begins whose noise acts."""
        self._stop()
        injection = self.injection
        if self._ranks or forward.ids is not None or injection.steps.rows is not None:
            return
        world = injection.host.world_size()
        if world > 1:
            self._ranks = True
            sentence = messages.same_on_all_ranks(world)
            injection.plan.note(sentence)
            warn_caller(f"noisegate: {sentence}")

    def drew(self, draw: Draw, training: bool) -> None:
        """Take note of random numbers that the model's own code draws, in training or not."""
        injection, plan = self.injection, self.injection.plan
        if draw.known and plan.existing:
            return  # it is taken over, or the plan knows that it is not
        if draw.drops and plan.existing:
            plan.note_unreached(f"{draw.path}:dropout", draw.words)
        else:
            sentence = plan.note_draw(draw)
            if sentence and draw.coin and not (injection.always or plan.keep):
                warn_caller(f"noisegate: {sentence}")
        if not draw.certain:
            self._perhaps.setdefault(draw.place, draw.words)
        elif not training:
            self.drawn_in_evaluation(draw.place, str(draw))
        elif not draw.drops:
            self._in_training.setdefault(draw.place, str(draw))

    def drawn_in_evaluation(self, place: tuple[str, str], words: str) -> None:
        """Take note of what a prediction's seed does not reach."""
        self._in_evaluation.setdefault(place, words)

    def stays(self, site: str, words: str) -> None:
        """Tell of a function that is on in evaluation, and off now; or of one that is left on."""
        injection = self.injection
        if injection.always and not injection.plan.existing:
            self.drawn_in_evaluation((site, words), f"'{site}' ({words})")
        elif injection.plan.existing and not injection.always:
            injection.plan.note(messages.stays(site, words))

    def first_in_evaluation(self, site: str, call: Call) -> None:
        """Tell of a function of a rate of 0, that no run in training has reached."""
        if call.kind.is_identity(call.kind.rate_at(0, {})) and not call.live:
            warn_caller(messages.rate_unknown(site, call.words))

    def _tell_of_draws(self) -> None:
        """Tell, in a prediction, of draws that the seed does not reach."""
        trained = {k: v for k, v in self._in_training.items() if k not in self._in_evaluation}
        for draws, sentence in (
            (trained, messages.left_out),
            (self._in_evaluation, messages.unrepeatable),
            (self._perhaps, messages.perhaps_unrepeatable),
        ):
            new = [words for place, words in draws.items() if place not in self._told]
            self._told |= draws.keys()
            if new:
                warn_caller(sentence(new))

    def end(self, forward: Forward) -> None:
        """Tell of rules that were reached nowhere in a forward, and of draws."""
        if self.injection.always:
            self._tell_of_draws()
        noises = self.injection.noises
        reached = {noise.placement.rule for noise in noises if noise in forward.reached}
        nowhere = {noise.placement.rule for noise in noises} - reached - self._nowhere
        if nowhere and (reached or not self.injection.always):  # a prediction raises, where none is
            self._nowhere |= nowhere
            warn_caller(messages.acted_nowhere(sorted(nowhere)))

    def _part_begins(self, path: str, training: bool) -> None:
        """Tell, in a second step, of what cannot act or did not, as parts are called alone."""
        injection = self.injection
        if not training or not injection.acts_here or injection.steps.running is not None:
            return
        if path not in self._parts:
            self._parts.add(path)  # once may be a look at a part
            return
        self._stop()
        rules = self._rules_of_the_model()
        if rules:
            warn_caller(messages.parts_alone(rules, path))
        if injection.plan.looks:
            warn_caller(messages.functions_alone(path))
        placed = [n.placement for n in injection.noises if not n.placement.site.startswith(":")]
        used = {noise.placement.rule for noise in injection.noises if noise.used}
        nowhere = {placement.rule for placement in placed} - used - {EXISTING}
        if nowhere:
            warn_caller(messages.acted_nowhere(sorted(nowhere)))

    def stray(self, placement: Placement) -> None:
        """Tell once of each rule whose noise is fresh, since a part is called without the model."""
        if placement.rule not in self._strays:
            self._strays.add(placement.rule)
            sentence = messages.without_root(placement.site)
            self.injection.plan.note(sentence)
            warn_caller(f"noisegate: {sentence}")

    def _rules_of_the_model(self) -> list[str]:
        """Return the rules whose noise is at the model's own input or output."""
        placements = self.injection.plan.placements
        return list(dict.fromkeys(p.rule for p in placements if p.site.startswith(":")))

    def _stop(self) -> None:
        """Look for parts no more."""
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
