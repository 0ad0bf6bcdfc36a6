"""Judge the finished UTC days of live trading, which the starting cap rises by: our records against the exchange."""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from actors.runs.live_audit import ask_about, together
from config.secrets import ApiKeys
from config.settings import ExchangeSettings, Settings
from core.errors import BotError
from core.messages import MinuteRecord
from core.starting_cap import LiveDay, StartingCap, day_of, live_day
from core.units import DAY_MS, MINUTE_MS
from data.records import read_records
from exchanges.venues import own

log = logging.getLogger("live_days")

GRACE_MS = 5 * MINUTE_MS
"""After midnight, until the last orders of a day have ended and are recorded."""
AGAIN_MS = 10 * MINUTE_MS
"""Until an exchange that could not be asked about a day is asked again."""


class LiveDays:
    """The days of one live folder. ``keys`` by venue; ``var``: where the request limits are shared."""

    def __init__(
        self, settings: Settings, keys: Mapping[str, ApiKeys], run_dir: Path, instance: str, var: Path
    ) -> None:
        self._settings = settings
        self._keys = dict(keys)
        self._records = run_dir / "records"
        self._instance = instance
        self._var = var

    def finished(self, cap: StartingCap, now_ms: int) -> list[LiveDay]:
        """The days since the last judged one that are over, oldest first. Raises BotError when an exchange cannot be
        asked about one of them; DataError when the records cannot be read."""
        judged, today = cap.state.judged, day_of(now_ms - GRACE_MS)
        if judged is None or judged >= today - 1 or not self._records.is_dir():
            return []
        records = list(read_records(self._records, (judged + 1) * DAY_MS))
        days = sorted({day_of(record.minute) for record in records})
        return [self._judge(day, records) for day in days if day < today]

    def _judge(self, day: int, records: list[MinuteRecord]) -> LiveDay:
        mine = of_day(day, records)
        rows = self._settings.config.trade.rows
        audits = [
            ask_about(
                self._exchange(venue),
                keys,
                own(venue, rows),
                mine,
                self._instance,
                self._var,
                venue,
                ended=False,
            )
            for venue, keys in self._keys.items()
        ]
        return live_day(day, records, together(audits).differences)

    def _exchange(self, venue: str) -> ExchangeSettings:
        return next(settings for name, settings in self._settings.config.exchanges.items() if name == venue)


def of_day(day: int, records: list[MinuteRecord]) -> list[MinuteRecord]:
    """A day's records, and of later ones what they tell of its orders, which may have ended after midnight."""
    mine = [record for record in records if day_of(record.minute) == day]
    names = {order.client_id for record in mine for order in record.orders}
    later = [
        replace(
            record,
            orders=tuple(order for order in record.orders if order.client_id in names),
            fills=tuple(fill for fill in record.fills if fill.client_id in names),
        )
        for record in records
        if day_of(record.minute) > day
    ]
    return mine + later


class Midnight:
    """Judges each day when it is over, beside the run that goes on. ``look`` is called often and never waits."""

    def __init__(
        self, days: LiveDays, cap: StartingCap, now_ms: Callable[[], int], tell: Callable[[LiveDay], object]
    ) -> None:
        """``now_ms``: market time. ``tell`` is given each finished day, in the thread that calls ``look``, and again later
        when it raises BotError."""
        self._days = days
        self._cap = cap
        self._now_ms = now_ms
        self._tell = tell
        self._found: list[LiveDay] | None = None
        self._asking: threading.Thread | None = None
        # What was over before the start was judged before it.
        self._next_ms = (day_of(now_ms() - GRACE_MS) + 1) * DAY_MS + GRACE_MS

    def look(self) -> None:
        """Begin to judge when a day is over; tell of it when that is done."""
        if self._asking is not None:
            if self._asking.is_alive():
                return
            self._asking = None
            try:
                for seen in self._found or []:
                    self._tell(seen)
                    self._cap = self._cap.after(seen)
            except BotError as error:
                self._later(error)
            return
        now = self._now_ms()
        if now >= self._next_ms:
            self._found = None
            self._next_ms = (day_of(now) + 1) * DAY_MS + GRACE_MS
            # A daemon: an exchange that does not answer must not keep a stopped bot from ending.
            self._asking = threading.Thread(target=self._ask, args=(now,), name="midnight", daemon=True)
            self._asking.start()

    def _ask(self, now: int) -> None:
        try:
            self._found = self._days.finished(self._cap, now)
        except BotError as error:
            self._later(error)

    def _later(self, error: BotError) -> None:
        log.warning("the day that ended could not be judged, the starting cap stays: %s", error)
        self._next_ms = self._now_ms() + AGAIN_MS
