"""argparse that answers a mistake with one line and the nearest hint, not with a page of usage. Standard library only."""

import argparse
import difflib
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from core.errors import EXIT_USAGE

CUTOFF = 0.6
"""How alike two words are that may have been meant for each other, 0 to 1."""
_CHOICE = re.compile(r"invalid choice: '(?P<word>[^']*)' \(choose from (?P<choices>.*)\)$", re.DOTALL)


class Parser(argparse.ArgumentParser):
    """As ``argparse.ArgumentParser``; ``error`` ends with ``EXIT_USAGE``. Its subparsers are of this kind too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})
        self._given: list[str] = []

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> Any:
        self._given = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """What is wrong, what was probably meant, and where all of it stands."""
        speaker = self._chosen()
        hint = speaker._hint(message, self._given)
        self.exit(EXIT_USAGE, f"error: {message}{hint} All options: python3 {speaker.prog} --help\n")

    def _chosen(self) -> "Parser":
        """The subparser the words lead to: what is wrong on its line is told by its parent."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                named = next((word for word in self._given if word in action.choices), None)
                found = action.choices.get(named) if named is not None else None
                if isinstance(found, Parser):
                    return found._chosen()
        return self

    def _hint(self, message: str, given: Sequence[str]) -> str:
        if choice := _CHOICE.search(message):
            return _meant(choice["word"], re.findall(r"[\w/.-]+", choice["choices"]))
        # A misspelt option is often told as another that is missing.
        options = (word.partition("=")[0] for word in given if word.startswith("--"))
        unknown = next((word for word in options if word not in self._option_string_actions), None)
        if unknown is not None:
            return _meant(unknown, self._option_string_actions, unknown)
        verbs = [name for a in self._actions if isinstance(a, argparse._SubParsersAction) for name in a.choices]
        return f": one of {', '.join(verbs)}." if verbs else "."


def _meant(word: str, known: Iterable[str], named: str = "") -> str:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=CUTOFF)
    if not close:
        return "."
    return f"; did you mean {close[0]}{f', not {named}' if named else ''}?"
