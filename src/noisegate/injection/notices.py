"""Warn the user, once each, where noise does not act as expected."""

from collections.abc import Callable, Iterable

from noisegate.core.callers import warn_caller
from noisegate.core.errors import InvalidValue
from noisegate.core.patterns import parse_port
from noisegate.core.plan import Placement, name_draw
from noisegate.core.rank_rows import RankRows
from noisegate.core.rules import EXISTING
from noisegate.core.survey import Call, OwnDraw
from noisegate.core.words import list_names

from .running_forward import Forward
from .site import Owner

# Identifies a draw: the module's path and the words for the draw.
Place = tuple[str, str]


class Notices:
    """Watches the forwards of a model, and warns once where noise does not act as expected."""

    def __init__(self, injection: Owner, drawn: bool) -> None:
        self.injection = injection
        # Whether each rank of a process group has drawn a seed of its own, which was not said yet.
        self._drawn = drawn and not injection.always
        # Rules that were warned of: those that acted nowhere, and those whose noise was fresh.
        self._nowhere: set[str] = set()
        self._strays: set[str] = set()
        # Those that have DropKey where there are no scores.
        self._without_scores: set[str] = set()
        # Whether it was checked, and said where nobody declared it, how ranks differ.
        self._ranks = False
        # Whether layers that ranks compute together are known to be watched.
        self._layers = False
        # The model's own draws: in the training run of a prediction, in evaluation, and those that
        # may be another thread's; and the draws that were warned of.
        self._in_training: dict[Place, str] = {}
        self._in_evaluation: dict[Place, str] = {}
        self._perhaps: dict[Place, str] = {}
        self._reported: set[Place] = set()
        # Parts that were called without the model, and how to stop watching for such calls.
        self._parts: set[str] = set()
        self._unwatch: Callable[[], None] | None = None

    def watch_parts(self) -> Callable[[], None]:
        """Watch for parts that are called before the model is; return how to stop."""
        if not self.injection.always:
            self._unwatch = self.injection.host.watch_parts(self._begin_part)
        return self._stop

    def begin(self, forward: Forward) -> None:
        """Say, when a forward begins, how the ranks of a process group differ by default."""
        self._stop()
        ranks, steps = forward.ranks, self.injection.steps
        declared = steps.rows
        if self._drawn:
            self._warn_of_seeds(declared)
        if not self._layers:
            self._layers = True
            self.injection.host.check_layers()
        if self._ranks or ranks is None or forward.ids is not None:
            return
        if isinstance(declared, RankRows) and declared.rank is not None:
            return
        if self.injection.host.has_split_parameters():
            raise InvalidValue(
                "inject: the model's parameters are split over ranks, which then may have the same "
                "samples. Say which rank this is of those whose samples differ: noise.rows = "
                "noisegate.RankRows('contiguous', rank=..., world=...). Where all have the same, "
                "it is rank=0, world=1."
            )
        # Noise without samples, as on weights, is that of the step on all ranks.
        by_sample = any(p.sample_axis is not None for p in self.injection.plan.placements)
        self._ranks = by_sample or declared is not None
        if by_sample and declared is None and not ranks.rank:
            warn_caller(f"noisegate: {describe_ranks(ranks, True)}")

    def _warn_of_seeds(self, declared: object) -> None:
        """Warn where ranks share noise, and each has drawn a seed."""
        rank, world = self.injection.steps.graphs.find_rank()
        differs = isinstance(declared, RankRows) and declared.is_replica
        declares = declared is not None and not differs
        plan = self.injection.plan
        # The model's own code may skip layers, which shows in its forward alone.
        shares = declares or plan.existing or any(map(_is_shared, plan.placements))
        if world == 1 or not shares:
            return
        self._drawn = False
        if not rank:
            warn_caller(
                "noisegate: no seed was given, so each rank of the process group has drawn its own,"
                " and what should be the same on all of them differs, unless torch.manual_seed was "
                "called with one number before: noise on weights, layers that are skipped, and the "
                "rows that are declared. Give one: inject(..., seed=13)."
            )

    def end(self, forward: Forward) -> None:
        """Warn of rules that a forward reached nowhere; in a prediction, also of draws."""
        always, noises = self.injection.always, self.injection.noises
        if always:
            self._warn_of_draws()
        reached = {
            noise.placement.rule
            for noise in noises
            if noise in forward.reached or noise.may_act_in_graphs
        }
        nowhere = {noise.placement.rule for noise in noises} - reached - self._nowhere
        if nowhere and (reached or not always):  # a prediction that reaches nothing raises
            self._nowhere |= nowhere
            _warn_of_nowhere(nowhere)

    def note_draw(self, draw: OwnDraw, training: bool) -> None:
        """Note random numbers that the model's own code draws, in training or not."""
        injection, plan = self.injection, self.injection.plan
        if draw.known and plan.existing:
            return  # it is replaced, or the plan has noted already that it cannot be
        if draw.drops and plan.existing:
            plan.note_unreached(f"{draw.path}:dropout", draw.words)
        else:
            sentence = plan.note_draw(draw)
            if sentence and draw.coin and not (injection.always or plan.keep):
                warn_caller(f"noisegate: {sentence}")
        if not draw.certain:
            self._perhaps.setdefault(draw.place, draw.words)
        elif not training:
            self.note_unseeded(draw.place, name_draw(draw))
        elif not draw.drops:
            self._in_training.setdefault(draw.place, name_draw(draw))

    def note_unseeded(self, place: Place, words: str) -> None:
        """Note a draw in evaluation, which does not depend on a prediction's seed."""
        self._in_evaluation.setdefault(place, words)

    def note_always_on(self, site: str, words: str) -> None:
        """Note a function that the model's code leaves on in evaluation."""
        always, plan = self.injection.always, self.injection.plan
        if always and not plan.existing:
            self.note_unseeded((site, words), f"'{site}' ({words})")
        elif plan.existing and not always:
            plan.note(
                f"'{site}' ({words}) is on in evaluation too, as the model's code calls it; it is "
                "taken over as its module's mode says."
            )

    def note_late(self, site: str, call: Call) -> None:
        """Warn of a function with rate 0 whose rate in training is unknown: no run reached it."""
        if call.kind.is_identity(call.kind.rate_at(0, {})) and not call.live:
            warn_caller(
                f"predict: '{site}' ({call.words}) was not reached in training, where its rate is "
                "looked for; it is left at 0. Give it one with rules=."
            )

    def note_stray(self, placement: Placement) -> None:
        """Warn once per rule that its noise is fresh because a part is called by itself."""
        if placement.rule not in self._strays:
            self._strays.add(placement.rule)
            path = placement.site.partition(":")[0]
            self._note_and_warn(
                f"'{placement.site}' is used without a forward of its model, which alone knows the "
                "step. It drew fresh noise, which `mask()` cannot reproduce. Put the noise into "
                f"the part that is called, `model.{path}` or one around it, or call it in a block: "
                "with noise.at(step)."
            )

    def note_drop_key(self, placement: Placement) -> None:
        """Warn once per rule that DropKey is where there are no scores."""
        name = self.injection.host.find_without_scores(placement.site)
        if name is not None and placement.rule not in self._without_scores:
            self._without_scores.add(placement.rule)
            self._note_and_warn(
                f"'{placement.site}' has DropKey, which writes -inf for the softmax that follows "
                f"scores, and a {name} has no scores. Name the port `scores` of an attention, or "
                "take Dropout."
            )

    def warn_of_twins(self) -> None:
        """Warn of rules that another handle with this seed has in the model already."""
        injection = self.injection
        rules = injection.plan.rules
        for number, other in enumerate(injection.host.handles()):
            twins = [rule.text for rule in rules if rule in other.plan.rules]
            if twins and other is not injection and other.seed == injection.seed:
                names = list_names(twins, "'")
                warn_caller(
                    f"inject: {names} is in this model already, by a handle with seed {other.seed},"
                    " so its noise acts twice. To put it in anew, remove the earlier one first: "
                    f"noisegate.handles(model)[{number}].remove()."
                )
                return

    def _note_and_warn(self, sentence: str) -> None:
        """Add a sentence to the report, and warn with it."""
        self.injection.plan.note(sentence)
        warn_caller(f"noisegate: {sentence}")

    def _warn_of_draws(self) -> None:
        """Warn of draws that do not depend on the seed of a prediction."""
        trained = {k: v for k, v in self._in_training.items() if k not in self._in_evaluation}
        for draws, sentence in (
            (
                trained,
                "random numbers are drawn in training alone by {}, so these samples are without "
                "them. Put noise there with rules=.",
            ),
            (
                self._in_evaluation,
                "random numbers are drawn in evaluation by {}, from generators that the seed does "
                "not reach, so another run gives other samples.",
            ),
            (
                self._perhaps,
                "{} moved during a forward: something in the model draws, which the seed does not "
                "reach, or another thread does.",
            ),
        ):
            new = [words for place, words in draws.items() if place not in self._reported]
            self._reported |= draws.keys()
            if new:
                warn_caller("predict: " + sentence.format(", ".join(new)))

    def _begin_part(self, path: str, training: bool) -> None:
        """Warn of rules that cannot act, or did not, if parts are called without the model.

        Only the second call of a part counts as training: the first may be a mere try.
        """
        injection = self.injection
        if not training or not injection.acts_here or injection.steps.running is not None:
            return
        if path not in self._parts:
            self._parts.add(path)
            return
        self._stop()
        placements = injection.plan.placements
        whole = dict.fromkeys(p.rule for p in placements if p.site.startswith(":"))
        if whole:
            names = list_names(whole, "'")
            warn_caller(
                f"noisegate: {names} acts nowhere, since its place is the model's "
                f"own input or output, and `model.{path}` is called without a forward of the "
                "model, as in a `training_step`. Put the noise into the part that is called: "
                f"inject(model.{path}, ...)."
            )
        if injection.plan.looks:
            warn_caller(
                f"noisegate: `model.{path}` is called without a forward of the model, as in a "
                "`training_step`. Dropouts that functions make, and what else the model draws, are "
                "seen in a forward alone, and are left to the model here. Put the noise into the "
                f"part that is called: inject(model.{path}, ...)."
            )
        noises = injection.noises
        parts = {n.placement.rule for n in noises if not n.placement.site.startswith(":")}
        _warn_of_nowhere(parts - {n.placement.rule for n in noises if n.used} - {EXISTING})

    def _stop(self) -> None:
        """Stop watching for calls of parts."""
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None


def _is_shared(placement: Placement) -> bool:
    """Return whether a noise, or the decision to skip a layer, is that of the whole batch."""
    axis, shared = placement.sample_axis, placement.kind.shared
    if axis is None or parse_port(placement.site).name == "skip":
        return True
    if isinstance(shared, slice):
        return axis in range(axis + 1)[shared]
    return isinstance(shared, tuple) and axis in shared


def _warn_of_nowhere(rules: Iterable[str]) -> None:
    """Warn of rules whose modules were not called, if there are any."""
    names = list_names(sorted(rules), "'")
    if names:
        warn_caller(
            f"noisegate: {names} acted nowhere in this forward: the modules that it names were not "
            "called."
        )


def describe_ranks(ranks: RankRows, by_default: bool) -> str:
    """Return the sentence about what the samples of a rank are."""
    if not by_default:
        return f"this is rank {ranks.rank} of {ranks.world}; its rows are {ranks.policy!r}."
    return (
        f"the {ranks.world} ranks of the process group draw different noise, each by its own rows "
        "(noise.rows = 'replica'). For the noise of one process, declare what the samples of a "
        "rank are, as in noise.rows = 'interleaved' for torch's DistributedSampler, or give ids."
    )
