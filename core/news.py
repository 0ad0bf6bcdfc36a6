"""Headlines and funding rates, each stamped by when it could first be known.

What a source says of the past later changes nothing here: a headline is what its first reading was, known from then on.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from core.units import MINUTE_MS

HEADLINE_LASTS_MS = 24 * 60 * MINUTE_MS
"""A headline older than this weighs nothing; with none younger, the sources count as lost."""
FUNDING_LASTS_MS = 12 * 60 * MINUTE_MS
"""Funding is settled every 8 hours; a rate that was not renewed for longer than this is not known any more."""
NEWS_DELAY_MS = 2 * MINUTE_MS
"""An item is used so long after it could first be known: by then a feed that looks every minute has heard of it, so that
history and live agree on every minute."""
KEPT_MS = HEADLINE_LASTS_MS + 2 * 60 * MINUTE_MS
"""How far back items are handed on: those in force, and those that were so in the minutes a model still looks back at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """One headline, read and scored."""

    knowable_ms: int
    key: str
    """Names it: what has the same key is the same headline."""
    source: str
    title: str
    bases: tuple[str, ...] = ()
    """The coins that it names (``BTC``); empty: it is about the whole market."""
    score: float = 0.0
    """-1 (bad news) to 1 (good news)."""
    published_ms: int | None = None
    """When its source says it was published, where that is to be believed; it ages from then on."""

    @property
    def age_ms(self) -> int:
        """How old it was when it could first be known."""
        return 0 if self.published_ms is None else max(0, self.knowable_ms - self.published_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class FundingRate:
    """What longs of a coin's perpetual pay shorts for one interval."""

    knowable_ms: int
    base: str
    rate_bps: float


@dataclass(frozen=True, slots=True)
class News:
    """Items in the order in which they became known; no key, and no coin's rate of one moment, twice."""

    headlines: tuple[Headline, ...] = ()
    funding: tuple[FundingRate, ...] = ()

    @classmethod
    def of(cls, headlines: Iterable[Headline] = (), funding: Iterable[FundingRate] = ()) -> "News":
        """In order; of headlines with one key, and of rates of one coin and moment, the first known stands."""
        first: dict[str, Headline] = {}
        for one in sorted(headlines, key=lambda h: (h.knowable_ms, h.key)):
            first.setdefault(one.key, one)
        rates: dict[tuple[int, str], FundingRate] = {}
        for rate in funding:
            rates.setdefault((rate.knowable_ms, rate.base), rate)
        return cls(tuple(first.values()), tuple(rates[at] for at in sorted(rates)))

    def __bool__(self) -> bool:
        return bool(self.headlines or self.funding)

    def between(self, first_ms: int, last_ms: int) -> "News":
        """What became knowable from ``first_ms`` to ``last_ms``, both included."""
        return News(
            tuple(h for h in self.headlines if first_ms <= h.knowable_ms <= last_ms),
            tuple(f for f in self.funding if first_ms <= f.knowable_ms <= last_ms),
        )

    def known_at(self, now_ms: int) -> "News":
        """What a minute decided at ``now_ms`` may look at."""
        return self.between(now_ms - KEPT_MS, now_ms)


NO_NEWS = News()
