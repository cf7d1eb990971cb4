"""A parser of arguments that suggests the nearest word for one that it does not know."""

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

__all__ = ["Parser"]


class Parser(argparse.ArgumentParser):
    """Argparse's parser, but a subcommand itself refuses an option that it does not have.

    Argparse leaves that to the parser of the whole command, which prints another usage, and after
    a complaint about missing arguments. Options are never abbreviated.
    """

    def __init__(self, *args: Any, **words: Any) -> None:
        plain = {"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False}
        super().__init__(*args, **{**plain, **words})
        self._commands: Mapping[str, argparse.ArgumentParser] = {}

    def add_subparsers(self, **words: Any) -> Any:
        """Add the subcommands, and remember their names for suggestions."""
        found = super().add_subparsers(**words)
        self._commands = found.choices
        return found

    def parse_known_args(  # type: ignore[override]  # argparse's is overloaded for namespaces
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Parse the words, or exit with the usage and a suggestion."""
        words = sys.argv[1:] if args is None else list(args)
        self._check(words)
        parsed, others = super().parse_known_args(words, namespace)
        if others:
            self.error(f"unrecognized arguments: {' '.join(others)}")
        return parsed, others

    def error(self, message: str) -> NoReturn:
        """Exit with the usage and a sentence, in the form of the errors of the command's work."""
        self.print_usage(sys.stderr)
        self.exit(2, f"{self.prog.replace(' ', ': ')}: {message}\n")

    def _check(self, words: Sequence[str]) -> None:
        """Exit if a word is an option or a subcommand that does not exist."""
        for word in words:
            if word == "--":
                return
            # A word with a space in it is a value, as argparse takes it too.
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
    """Return the question whether the nearest known word was meant; "" if none is near."""
    # Without the dashes, which make any two short options look alike. A word that begins with
    # another letter is hardly a slip.
    dashes = "--" if word.startswith("--") else ""
    start = word[: len(dashes) + 1]
    words = [each.removeprefix(dashes) for each in known if each.startswith(start)]
    near = get_close_matches(word.removeprefix(dashes), words, n=1, cutoff=0.65)
    return f"; did you mean {dashes}{near[0]}?" if near else ""
