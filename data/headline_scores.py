"""Scorers: how good or bad a headline's news is, -1 to 1.

The lexicon is VADER (Hutto & Gilbert 2014, "VADER: a parsimonious rule-based model for sentiment analysis of social media
text") with the words of ``data.headline_words``. A transformer is used where it is asked for and installed; it is not in
our lock, since it brings a gigabyte.
"""

import re
from functools import cache
from importlib import import_module
from typing import Any, Protocol

from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from core.errors import ConfigError
from data.headline_words import PHRASES, SAY_NOTHING, WORDS

LONGEST = 500
"""Characters of a title that are read."""
LEXICON = "lexicon-1"
"""Name of the lexicon as it is now; raise the number with the words, and stored scores are taken anew."""
_PHRASE = re.compile(r"(?<!\w)(" + "|".join(re.escape(p) for p in sorted(PHRASES, key=len, reverse=True)) + r")(?!\w)")


class Scorer(Protocol):
    name: str
    """Stored beside each score."""

    def score(self, title: str) -> float:
        """-1 (bad news) to 1 (good news), 0 where nothing is said. The same for the same title, always."""
        ...


class LexiconScorer:
    """VADER with words of our own; the title is read in lower case, as headlines capitalise what they like."""

    name = LEXICON

    def __init__(self) -> None:
        self._reader = SentimentIntensityAnalyzer()
        for word in SAY_NOTHING:
            self._reader.lexicon.pop(word, None)
        self._reader.lexicon.update(WORDS)

    def score(self, title: str) -> float:
        text = _PHRASE.sub(lambda match: PHRASES[match[1]], title[:LONGEST].lower())
        return float(self._reader.polarity_scores(text)["compound"])


class TransformerScorer:
    """A text classifier of the ``transformers`` package whose labels say positive, negative or neutral."""

    def __init__(self, model: str) -> None:
        """``model``: a folder on this machine. Raises ConfigError when the package or the model is not there."""
        try:
            library: Any = import_module("transformers")
        except ImportError:
            raise ConfigError(
                "sentiment.scorer is 'transformer', but the package transformers is not installed: install it into .venv "
                "(.venv/bin/python -m pip install transformers), or set sentiment.scorer to 'lexicon'"
            ) from None
        try:
            self._read = library.pipeline("text-classification", model=model, tokenizer=model, top_k=None, device=-1)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"sentiment.transformer: no usable model in {model!r} ({type(error).__name__}); "
                "name a folder that holds a text classifier of positive, negative and neutral"
            ) from None
        self.name = f"transformer:{model}"

    def score(self, title: str) -> float:
        share = {str(one["label"]).lower(): float(one["score"]) for one in self._read([title[:LONGEST]])[0]}
        return share.get("positive", 0.0) - share.get("negative", 0.0)


@cache
def lexicon() -> LexiconScorer:
    """The one lexicon of this process: reading its 7,500 words takes 0.1 s."""
    return LexiconScorer()


def make_scorer(kind: str = "lexicon", model: str | None = None) -> Scorer:
    """``lexicon`` or ``transformer``; ConfigError where what is asked for is not there."""
    if kind == "lexicon":
        return lexicon()
    if not model:
        raise ConfigError("sentiment.scorer is 'transformer': sentiment.transformer must name the folder of a model")
    return TransformerScorer(model)


def current_score(title: str, score: float, scorer: str) -> float:
    """A stored score, taken anew when an older lexicon gave it."""
    return lexicon().score(title) if scorer.startswith("lexicon") and scorer != LEXICON else score
