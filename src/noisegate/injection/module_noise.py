"""The noise on a module as a whole: what a wildcard leaves out, and which axis has the samples."""

from typing import Any, ClassVar

from noisegate.core.callers import warn_caller
from noisegate.core.errors import InvalidValue

from .site import SiteNoise


class ModuleSiteNoise(SiteNoise):
    """A noise on what a module does, rather than on a tensor; `word` says what the module is."""

    word: ClassVar[str] = "block"

    def check_samples(self, x: Any, axis: int) -> None:
        """Raise where a module on the default axis does not see the samples of the model."""
        site, rule, shape = self.placement.site, self.placement.rule, tuple(x.shape)
        steps = self.injection.steps
        batch, given = steps.forward.batch, steps.find_ids(site, rule)
        if batch is not None and given is None and axis == 0 and shape[axis] != batch:
            raise InvalidValue(
                f"inject: the {self.word} at '{site}' takes a tensor of shape {shape}, and the "
                f"model's forward has {batch} samples, which axis {axis} does not hold. Name the "
                f"axis, sample_axis={{'{rule}': ...}}, or leave the {self.word} out."
            )

    def leave_out(self, sentence: str) -> None:
        """Leave its module out if a wildcard has named it; else raise with the sentence."""
        injection, placement = self.injection, self.placement
        if not self.spreads:
            raise InvalidValue(f"inject: {sentence}")
        if not self.retired:
            self.retired = True
            rule = placement.rule
            injection.plan.note(f"'{rule}' leaves this {self.word} out: {sentence}")
            if all(one.retired for one in injection.noises if one.placement.rule == rule):
                warn_caller(
                    f"noisegate: '{rule}' acts nowhere: it leaves out each {self.word} that it "
                    "names, and the report says why. Name those inside of them."
                )

    def note(self, sentence: str) -> None:
        """Add a sentence to the report, once."""
        self.injection.plan.note(sentence)
