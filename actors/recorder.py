"""The recorder: makes the minute's record, has it on disk, then shows it (Redis, metrics) and tells the news.

Only the disk can make it fail. Whatever Redis does, the minute goes on: what could not be shown is shown when
Redis is back, and a Redis that came back empty is filled again.
"""

import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

import ray

from actors.metrics import Metrics, make_metrics
from actors.plan import NAMESPACE, RunPlan
from actors.shell import Shell
from core.errors import BotError
from core.messages import Detected, Intents, Market, MinuteRecord, MinuteTick, Notice, Reports, Verdicts, Votes
from core.notices import Newsroom
from core.record import closing_record, make_record, missed_record
from core.units import MINUTE_MS
from data.hot import KEEP_RECORDS, Hot
from data.records import RecordStore

log = logging.getLogger("recorder")


class Shown(Protocol):
    """What the recorder needs of the hot state (``data.hot.Hot``)."""

    def publish_record(self, record: MinuteRecord) -> int: ...

    def publish_state(self, state: dict) -> int: ...

    def records(self) -> list[MinuteRecord]: ...

    def health(self) -> dict[str, dict]: ...


class Recorder:
    """Keeps the records of one run. ``tell`` passes a notice on and must not wait."""

    def __init__(
        self,
        *,
        store: RecordStore,
        hot: Shown,
        metrics: Metrics,
        tell: Callable[[Notice], object],
        about: Mapping[str, Any],
    ) -> None:
        """``about``: what the page says of the run (mode, clock, synthetic …), shown again when Redis lost it."""
        self._store = store
        self._hot = hot
        self._metrics = metrics
        self._tell = tell
        self._about = dict(about)
        self._news = Newsroom()
        self._recent: deque[MinuteRecord] = deque(maxlen=KEEP_RECORDS)
        self._unshown: deque[MinuteRecord] = deque(maxlen=KEEP_RECORDS)
        self._seq = 0
        self.redis_failures = 0

    def recover(self) -> int:
        """After a (re)start: take from Redis what disk has not, and remember where the news stood."""
        try:
            known = self._hot.records()
            recovered = self._store.recover(known)
            for record in known:
                self._news.read(record)
                self._recent.append(record)
            self._hot.publish_state(self._about)
        except BotError as error:
            self._redis_failed(error)
            return 0
        if recovered:
            log.info("recovered %d records from Redis", recovered)
        return recovered

    def record(
        self,
        tick: MinuteTick,
        market: Market,
        events: Detected,
        votes: Votes,
        intents: Intents,
        verdicts: Verdicts,
        reports: Reports,
    ) -> MinuteRecord:
        """The record of a minute that ran through; it is on disk when this returns."""
        record = make_record(tick, market, events, votes, intents, verdicts, reports)
        self._keep(record)
        return record

    def missed(self, tick: MinuteTick, reason: str) -> MinuteRecord:
        """The record of a minute that did not."""
        record = missed_record(tick, reason)
        self._keep(record)
        return record

    def closing(self, reports: Reports) -> None:
        """Keep what happened to orders after the last decision, and fills that no record tells, if there are any."""
        last = self._store.last_minute
        if last is None:
            return
        self._store.flush()
        told = {(f.instrument, f.trade_id) for record in self._store.read() for f in record.fills}
        rest = replace(reports, fills=tuple(f for f in reports.fills if (f.instrument, f.trade_id) not in told))
        if rest.orders or rest.fills:
            self._keep(closing_record(last + MINUTE_MS, rest))

    def last_minute(self) -> int | None:
        """Newest minute on disk."""
        return self._store.last_minute

    def close(self) -> None:
        self._store.close()

    def _keep(self, record: MinuteRecord) -> None:
        if not self._store.append(record):
            log.warning(
                "minute %d is recorded already; the second record (%s) is not kept", record.minute, record.status
            )
            return
        self._recent.append(record)
        self._unshown.append(record)
        self._show()
        self._metrics.minute(record)
        for notice in self._news.read(record):
            self._tell(notice)

    def _show(self) -> None:
        """Push what waits, oldest first; refill a Redis that lost its memory."""
        try:
            while self._unshown:
                seq = self._hot.publish_record(self._unshown[0])
                if seq <= self._seq:
                    log.warning("Redis lost its memory; showing the last %d minutes again", len(self._recent))
                    self._seq = 0
                    self._hot.publish_state(self._about)
                    for record in self._recent:
                        self._seq = self._hot.publish_record(record)
                    self._unshown.clear()
                    break
                self._seq = seq
                self._unshown.popleft()
            self._metrics.health(self._hot.health())
        except BotError as error:
            self._redis_failed(error)

    def _redis_failed(self, error: BotError) -> None:
        self.redis_failures += 1
        self._metrics.redis_failed()
        log.warning("not shown on the page (the record is safe on disk): %s", error)


class RecorderActor(Shell):
    """The recorder of a plan, with its logs and its notifier found by name."""

    def __init__(self, plan: RunPlan) -> None:
        super().__init__(plan, "recorder")
        self._recorder = Recorder(
            store=RecordStore(plan.run_dir / "records"),
            hot=Hot(plan.redis_url, plan.run_id),
            metrics=make_metrics(plan.run_id, plan.mode),
            tell=_tell_notifier,
            about=about(plan),
        )

    def start(self) -> None:
        self._recorder.recover()

    def record(
        self,
        tick: MinuteTick,
        market: Market,
        events: Detected,
        votes: Votes,
        intents: Intents,
        verdicts: Verdicts,
        reports: Reports,
    ) -> MinuteRecord:
        with self.minute(tick.minute, tick.trace):
            return self._recorder.record(tick, market, events, votes, intents, verdicts, reports)

    def missed(self, tick: MinuteTick, reason: str) -> MinuteRecord:
        with self.minute(tick.minute, tick.trace):
            return self._recorder.missed(tick, reason)

    def closing(self, reports: Reports) -> None:
        self._recorder.closing(reports)

    def last_minute(self) -> int | None:
        """Newest minute on disk, None at the very start."""
        return self._recorder.last_minute()

    def close(self) -> None:
        """Write what is pending; call before the run is ended."""
        self._recorder.close()

    def health(self) -> dict:
        return super().health() | {"redis_failures": self._recorder.redis_failures}


def about(plan: RunPlan) -> dict[str, Any]:
    """What the page says of a run before its first minute."""
    return {
        "mode": plan.mode,
        "clock": plan.clock,
        "speed": plan.speed,
        "synthetic": plan.synthetic,
        "planned": plan.minutes,
        "first_minute": plan.first_minute,
        "instruments": list(plan.settings.config.trade.instruments),
        "members": list(plan.member_names),
        "invest_pct": plan.settings.config.trade.invest_pct,
        "entry_edge_bps": plan.settings.rules.selection.entry_edge_bps,
        "exit_edge_bps": plan.settings.rules.selection.exit_edge_bps,
    }


def _tell_notifier(notice: Notice) -> None:
    try:
        ray.get_actor("notifier", namespace=NAMESPACE).tell.remote(notice)
    except ValueError:
        log.warning("no notifier runs; untold: %s", notice)
