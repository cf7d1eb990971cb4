"""What a model's watch tells those who listen to it."""

from typing import Any, Protocol

from noisegate.core.survey import Call, OwnDraw


class Listener(Protocol):
    """Receives what the watch observes in a forward."""

    # The ports of functions that rules name, and the sites that rules name without a wildcard.
    waited: frozenset[str]

    def note_site(self, site: str, call: Call) -> None:
        """Note a function that makes noise at a site; called every time the function is."""

    def note_unreached(self, site: str, words: str) -> None:
        """Note a noise that cannot be replaced."""

    def note_draw(self, draw: OwnDraw) -> None:
        """Note random numbers that the model's own code draws."""

    def find_draw(self, site: str, shape: tuple[int, ...], draw: OwnDraw) -> list[Any] | None:
        """Return the parts of a draw, with keys and rows; none if torch serves it for once.

        None if the draw is not the listener's.
        """

    def forget_draw(self, site: str) -> None:
        """Forget a draw that is a coin, which decides by a key of its own."""

    def refuse_export(self) -> None:
        """Raise if it has noise: an export records the model in training."""

    @property
    def watches(self) -> bool:
        """Whether `note_draw` is wanted for the forward that begins now."""
