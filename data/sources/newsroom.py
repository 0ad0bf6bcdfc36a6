"""The newsroom: looks at every source when it is due, stamps what is new, keeps it, and hands on what is in force.

An item is known from when it was published or fetched, whichever is later; of a recorded source, from when the record
says. A source that is away costs its own items alone: it is asked again later and later, and what it had said goes on
fading. Nothing that was once known is changed or taken back.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import aiohttp

from config.secrets import Secret
from core.errors import ConfigError
from core.news import HEADLINE_LASTS_MS, KEPT_MS, NO_NEWS, FundingRate, Headline, News
from data.coin_names import coins_in
from data.headline_scores import Scorer
from data.sources.fetching import SourceFault, fetch
from data.sources.log import NewsLog
from data.sources.parsing import RawHeadline, parse_feed, parse_funding
from data.sources.spec import KEY, SourceSpec

log = logging.getLogger(__name__)

LONGEST_BACK_OFF_MS = 2 * 3_600_000
REMEMBERED_MS = 31 * 86_400_000
"""How long an id is remembered: a feed may list what is weeks old."""
MOST_REMEMBERED = 50_000
AT_ONCE = 4
"""Sources that are asked at the same time."""


@dataclass(slots=True)
class Watched:
    """How it stands with one source."""

    spec: SourceSpec
    due_ms: int = 0
    failures: int = 0
    fault: str = ""
    """Why it is lost; empty while it answers."""
    validators: tuple[tuple[str, str], ...] = ()
    seen: bool = False
    """It has answered before, in this run or an earlier one."""
    heard: int = field(default=0)
    """Items that were new."""


class Newsroom:
    """One owner, one event loop; ``look`` may run beside ``known``."""

    def __init__(
        self,
        specs: Sequence[SourceSpec],
        scorer: Scorer,
        now_ms: Callable[[], int],
        bases: frozenset[str],
        *,
        keys: Mapping[str, Secret] | None = None,
        store: NewsLog | None = None,
    ) -> None:
        """``bases``: the coins whose funding is kept. ``store`` None keeps nothing on disk (recorded sources).

        Raises ConfigError for a source whose address asks for a key that is not there.
        """
        self._scorer, self._now, self._bases, self._store = scorer, now_ms, bases, store
        self._keys = dict(keys or {})
        for spec in specs:
            if KEY in spec.url and spec.name not in self._keys:
                raise ConfigError(
                    f"sentiment: the address of {spec.name!r} holds {KEY}, but there is no key for it; put "
                    f'"source_keys": {{"{spec.name}": "…"}} into config/api_keys.json'
                )
        self._watched = [Watched(spec) for spec in specs]
        self._news = NO_NEWS
        self._names: dict[str, None] = {}
        self._session: aiohttp.ClientSession | None = None
        self._looking = asyncio.Lock()
        if store is not None:
            self._remember(store.read(now_ms() - REMEMBERED_MS))

    @property
    def sources(self) -> tuple[Watched, ...]:
        return tuple(self._watched)

    @property
    def lost(self) -> dict[str, str]:
        """Name → why, of sources that do not answer."""
        return {one.spec.name: one.fault for one in self._watched if one.fault}

    def known(self, now_ms: int) -> News:
        """What a minute decided at ``now_ms`` may look at."""
        return self._news.known_at(now_ms)

    async def look(self) -> None:
        """Ask every source that is due; raises nothing but cancellation."""
        async with self._looking:
            due = [one for one in self._watched if one.due_ms <= self._now()]
            if not due:
                return
            if self._session is None or self._session.closed:
                self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AT_ONCE))
            await asyncio.gather(*(self._ask(one, self._session) for one in due))

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _remember(self, old: News) -> None:
        self._names = dict.fromkeys(h.key for h in old.headlines)
        names = {h.source for h in old.headlines}
        for one in self._watched:
            one.seen = one.spec.name in names
        self._news = old.known_at(self._now())

    async def _ask(self, one: Watched, session: aiohttp.ClientSession) -> None:
        spec = one.spec
        try:
            url = spec.url.replace(KEY, self._keys[spec.name].reveal()) if KEY in spec.url else spec.url
            answer = await fetch(
                session, url, timeout_s=spec.timeout_s, most_bytes=spec.most_bytes, validators=one.validators
            )
            now = self._now()
            if answer.body is not None and spec.kind == "feed":
                raw = await asyncio.to_thread(parse_feed, answer.body, spec.name, now, recorded=spec.recorded)
                scores = await asyncio.to_thread(self._scored, [i for i in raw if i.key not in self._names])
                self._add(one, self._stamped(one, raw, scores, now), ())
            elif answer.body is not None:
                rates = parse_funding(answer.body, now, recorded=spec.recorded)
                self._add(one, (), tuple(r for r in rates if r.base in self._bases))
        except SourceFault as error:
            self._lose(one, error)
            return
        if one.fault:
            log.info("source %s answers again", spec.name)
        one.validators, one.failures, one.fault = answer.validators, 0, ""
        one.due_ms = now + spec.every_ms

    def _lose(self, one: Watched, error: SourceFault) -> None:
        if str(error) != one.fault:
            log.warning("source %s is lost: %s", one.spec.name, error)
        one.failures, one.fault = one.failures + 1, str(error)
        # A recorded source is our own: being polite to it would only miss what it says.
        wait = one.spec.every_ms if one.spec.recorded else one.spec.every_ms * 2 ** min(one.failures, 10)
        one.due_ms = self._now() + max(min(wait, LONGEST_BACK_OFF_MS), int(error.retry_after_s * 1_000))

    def _scored(self, items: Sequence[RawHeadline]) -> dict[str, float]:
        """Key → score. In a thread: a transformer thinks for seconds about a feed, and the minute must not wait for it.
        Raises SourceFault where the scorer fails; the headlines are new again then, when the source is asked next."""
        scores = {}
        for item in items:
            try:
                score = self._scorer.score(item.title)
            # A model of somebody else's: whatever it fails in costs its headlines and no minute.
            except Exception as error:
                raise SourceFault(f"its headlines can not be scored ({type(error).__name__})") from None
            if not -1.0 <= score <= 1.0:
                raise SourceFault(f"its headlines can not be scored (a score of {score:g})")
            scores[item.key] = score
        return scores

    def _stamped(
        self, one: Watched, raw: Sequence[RawHeadline], scores: Mapping[str, float], now: int
    ) -> tuple[Headline, ...]:
        """Those that are new and young enough to count; their ids are remembered either way."""
        fresh = []
        for item in raw:
            if item.key in self._names:
                continue
            knowable = item.knowable_ms if item.knowable_ms is not None else now
            if knowable > now:
                continue  # a record of what is yet to come
            self._names[item.key] = None
            old = item.published_ms is not None and knowable - item.published_ms >= HEADLINE_LASTS_MS
            # What a feed without dates held when it was first looked at may be of any age.
            undated = item.published_ms is None and not one.seen and not one.spec.recorded
            if old or undated:
                continue
            fresh.append(
                Headline(
                    knowable_ms=knowable if one.spec.recorded else -(-knowable // 1_000) * 1_000,
                    published_ms=item.published_ms,
                    key=item.key,
                    source=one.spec.name,
                    title=item.title,
                    bases=coins_in(item.title),
                    score=scores[item.key],
                )
            )
        one.seen = True
        while len(self._names) > MOST_REMEMBERED:
            del self._names[next(iter(self._names))]
        return tuple(fresh)

    def _add(self, one: Watched, headlines: tuple[Headline, ...], funding: tuple[FundingRate, ...]) -> None:
        if not headlines and not funding:
            return
        one.heard += len(headlines) + len(funding)
        if self._store is not None:
            try:
                self._store.append(headlines, funding, self._scorer.name)
            except OSError as error:
                log.warning("what source %s said could not be written down: %s", one.spec.name, type(error).__name__)
        now = self._now()
        merged = News.of((*self._news.headlines, *headlines), (*self._news.funding, *funding))
        # A stamp was rounded up to the second.
        self._news = merged.between(now - KEPT_MS, now + 1_000)
