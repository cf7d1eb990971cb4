"""A parser of arguments that guesses what a word that it does not know was meant to be."""

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

__all__ = ["Parser"]


class Parser(argparse.ArgumentParser):
    """Argparse's parser, whose subcommands answer themselves for an option that is none of theirs.

    Argparse leaves such an option to the parser of the whole command, which has another usage, and
    complains of what is left out before. Options are never abbreviated.
    """

    def __init__(self, *args: Any, **words: Any) -> None:
        plain = {"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False}
        super().__init__(*args, **{**plain, **words})
        self._commands: Mapping[str, argparse.ArgumentParser] = {}

    def add_subparsers(self, **words: Any) -> Any:
        """Add the place for subcommands, and remember it for guesses."""
        found = super().add_subparsers(**words)
        self._commands = found.choices
        return found

    def parse_known_args(  # type: ignore[override]  # argparse's is overloaded for namespaces
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Parse the words, or end with the usage and the nearest of what could have been meant."""
        words = sys.argv[1:] if args is None else list(args)
        self._check(words)
        parsed, others = super().parse_known_args(words, namespace)
        if others:
            self.error(f"unrecognized arguments: {' '.join(others)}")
        return parsed, others

    def error(self, message: str) -> NoReturn:
        """End with the usage and a sentence, which begins as those of the command's work do."""
        self.print_usage(sys.stderr)
        self.exit(2, f"{self.prog.replace(' ', ': ')}: {message}\n")

    def _check(self, words: Sequence[str]) -> None:
        for word in words:
            if word == "--":
                return
            # What has a space in it is a value, as it is to argparse.
            option = word.startswith("--") and " " not in word
            flag = word.partition("=")[0]
            if option and flag not in self._option_string_actions:
                self.error(f"unknown option {flag}{_guess(flag, self._option_string_actions)}")
            if self._commands and not word.startswith("-"):
                if word not in self._commands:
                    known = ", ".join(self._commands)
                    guess = _guess(word, self._commands)
                    self.error(f"unknown command {word!r}; known are {known}{guess}")
                return


def _guess(word: str, known: Iterable[str]) -> str:
    # By what is behind the dashes, which alone would make any two short options alike; and what
    # begins with another letter is likelier another thing than a slip.
    dashes = "--" if word.startswith("--") else ""
    start = word[: len(dashes) + 1]
    words = [each.removeprefix(dashes) for each in known if each.startswith(start)]
    near = get_close_matches(word.removeprefix(dashes), words, n=1, cutoff=0.65)
    return f"; did you mean {dashes}{near[0]}?" if near else ""
