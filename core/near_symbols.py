"""Which listed market was probably meant by one that is not listed."""

import difflib
from collections.abc import Iterable

CLOSE = 0.75
"""Least likeness (difflib's ratio) of two bases: one letter more or less of three, one wrong one of four."""


def near_symbol(symbol: str, listed: Iterable[str]) -> str | None:
    """The nearest ``BASE/QUOTE``, or None when nothing is near: the same coins the other way round, the same base in
    another currency, or a base that is written almost so. That a currency is right makes no coin alike."""
    known = sorted(set(listed))
    base, _, quote = symbol.upper().partition("/")
    for meant in (f"{base}/{quote}", f"{quote}/{base}"):
        if meant in known:
            return meant
    bases = {one.partition("/")[0]: one for one in known if one.partition("/")[2] == quote}
    swapped = next((b for b in bases if sorted(b) == sorted(base)), None)
    found = [swapped] if swapped else difflib.get_close_matches(base, list(bases), n=1, cutoff=CLOSE)
    if found:
        return bases[found[0]]
    quotes = {one.partition("/")[2]: one for one in known if one.partition("/")[0] == base}
    nearest = difflib.get_close_matches(quote, list(quotes), n=1, cutoff=0.0)
    return quotes[nearest[0]] if nearest else None
