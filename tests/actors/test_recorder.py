"""The recorder's promises: on disk before anything else, shown when it can be, news told once. No Ray."""

import os
import signal
from dataclasses import replace

import numpy as np
import pytest

from actors.metrics import METRICS, Metrics, make_metrics, no_sink
from actors.recorder import Recorder
from core.messages import MinuteRecord, Notice, Reports, TradingState, Verdicts
from core.units import MINUTE_MS
from data.hot import Hot, HotUnavailable
from data.records import RecordStore, read_records
from data.redis_server import EmbeddedRedis
from tests.support import markets
from tests.support.minute_records import MadeUpRun

ABOUT = {"mode": "replay", "clock": "lockstep"}


class FakeHot:
    """A hot state that counts, and can be away or forget."""

    def __init__(self) -> None:
        self.shown: list[MinuteRecord] = []
        self.states: list[dict] = []
        self.away = False
        self.kept: list[MinuteRecord] = []

    def _there(self) -> None:
        if self.away:
            raise HotUnavailable("Redis cannot be reached: gone for the test")

    def publish_record(self, record: MinuteRecord) -> int:
        self._there()
        self.shown.append(record)
        return len(self.shown)

    def publish_state(self, state: dict) -> int:
        self._there()
        self.states.append(state)
        return 1

    def records(self) -> list[MinuteRecord]:
        self._there()
        return self.kept

    def health(self) -> dict[str, dict]:
        self._there()
        return {"feed": {"state": "running", "restarts": 2, "rss_mb": 90.0}}


class Setting:
    """A recorder over a folder, with everything it tells within sight."""

    def __init__(self, folder, hot=None) -> None:
        self.folder = folder
        self.hot = hot or FakeHot()
        self.told: list[Notice] = []
        self.measured: list[tuple[str, float, dict]] = []
        self.recorder = Recorder(
            store=RecordStore(folder),
            hot=self.hot,
            metrics=Metrics(lambda name, value, tags: self.measured.append((name, value, dict(tags)))),
            tell=self.told.append,
            about=ABOUT,
        )

    def minute(self, number: int = 0, silent: bool = False) -> MinuteRecord:
        """Record one minute that ran through."""
        minute = markets.MINUTE + number * MINUTE_MS
        seen = markets.market(minute=minute)
        members = {"ridge": (5.0,), "tcn": None if silent else (7.0,)}
        verdicts = Verdicts(
            minute=minute, trace="t", state=TradingState.ACTIVE, state_reason="", approved=(), refused=()
        )
        wants = replace(markets.intents(seen, (0.5,)), weights=(0.5, 0.5))
        return self.recorder.record(
            markets.tick(minute),
            seen,
            markets.detected(seen),
            markets.votes(seen, members),
            wants,
            verdicts,
            Reports(minute=minute, trace="t", orders=(), fills=()),
        )

    def on_disk(self) -> list[int]:
        return [record.minute for record in read_records(self.folder)]


@pytest.fixture
def setting(tmp_path):
    return Setting(tmp_path / "records")


def test_a_minute_is_on_disk_shown_and_measured(setting):
    record = setting.minute()
    assert repr(list(read_records(setting.folder))) == repr([record])
    assert setting.hot.shown == [record]
    assert setting.recorder.last_minute() == record.minute
    assert ("minutehand_equity", 10_000.0, {}) in setting.measured
    assert ("minutehand_minutes", 1.0, {"status": "done"}) in setting.measured
    assert ("minutehand_actor_restarts", 2.0, {"actor": "feed"}) in setting.measured
    assert setting.told == []


def test_a_missed_minute_is_recorded_and_told(setting):
    setting.recorder.missed(markets.tick(), "late: no record within 20 s")
    (record,) = read_records(setting.folder)
    assert (record.status, record.reason) == ("missed", "late: no record within 20 s")
    assert [notice.key for notice in setting.told] == ["minute_missed"]
    assert ("minutehand_minutes", 1.0, {"status": "missed"}) in setting.measured


def test_a_vote_that_was_lost_is_counted_by_its_member_in_every_such_minute(setting):
    for number, silent in enumerate((False, True, True, False)):
        setting.minute(number, silent=silent)
    assert [found for found in setting.measured if found[0] == "minutehand_member_silent"] == [
        ("minutehand_member_silent", 1.0, {"member": "tcn"})
    ] * 2


def test_a_redis_outage_loses_nothing_and_what_was_not_shown_is_shown_later(setting):
    setting.minute(0)
    setting.hot.away = True
    records = [setting.minute(number) for number in (1, 2)]
    assert len(setting.on_disk()) == 3
    assert setting.recorder.redis_failures == 2
    assert sum(name == "minutehand_redis_failures" for name, _, _ in setting.measured) == 2
    setting.hot.away = False
    setting.minute(3)
    assert setting.hot.shown[1:3] == records
    assert [record.minute for record in setting.hot.shown] == setting.on_disk()


def test_a_late_second_word_on_a_minute_is_not_kept(setting):
    record = setting.minute()
    setting.recorder.missed(markets.tick(), "late")
    assert [r.status for r in read_records(setting.folder)] == ["done"]
    assert setting.hot.shown == [record]
    assert setting.told == []


def test_a_restarted_recorder_takes_over_and_does_not_repeat_the_news(tmp_path):
    first = Setting(tmp_path)
    first.minute(0, silent=True)
    assert [notice.key for notice in first.told] == ["member_silent"]
    # No close: its process was killed. Redis still has a minute that disk, say on another machine, has not.
    second = Setting(tmp_path)
    later = MadeUpRun(minutes_first=markets.MINUTE + 60 * MINUTE_MS).next()
    second.hot.kept = [*first.hot.shown, later]
    assert second.recorder.recover() == 1
    assert second.recorder.last_minute() == later.minute
    assert second.hot.states == [ABOUT]
    second.minute(61, silent=True)
    assert "member_silent" not in [notice.key for notice in second.told if dict(notice.values)["member"] == "ridge"]
    assert len(second.on_disk()) == 3


def test_recovering_without_redis_is_no_obstacle(setting):
    setting.hot.away = True
    assert setting.recorder.recover() == 0
    setting.minute()
    assert len(setting.on_disk()) == 1


def test_a_real_redis_that_lost_its_memory_is_filled_again(tmp_path):
    with EmbeddedRedis(tmp_path / "redis") as server:
        hot = Hot(server.url, "run")
        setting = Setting(tmp_path / "records", hot)
        for number in range(5):
            setting.minute(number)
        os.kill(server.pid, signal.SIGKILL)
        server.ensure()
        setting.minute(5)
        assert {record.minute for record in hot.records()} == set(setting.on_disk())
        assert hot.state() == ABOUT
        assert setting.recorder.redis_failures == 0
        setting.minute(6)
        assert len(hot.records()) == 8
        hot.close()


def test_closing_leaves_a_whole_part(setting):
    setting.minute()
    setting.recorder.close()
    assert len(list(setting.folder.glob("part-*.parquet"))) == 1
    assert (setting.folder / "tail.jsonl").read_text(encoding="utf-8") == ""


def test_measurements_name_known_metrics_with_their_tags():
    measured = []
    metrics = Metrics(lambda name, value, tags: measured.append((name, value, set(tags))))
    for record in MadeUpRun(seed=5).many(300):
        metrics.minute(record)
    metrics.health({"feed": {"state": "restarting", "restarts": 1, "rss_mb": 80.0}})
    metrics.redis_failed()
    assert {name for name, _, _ in measured} == set(METRICS)
    for name, value, tags in measured:
        assert tags == set(METRICS[name].tags), name
        assert np.isfinite(value), name


def test_outside_ray_nobody_counts():
    metrics = make_metrics("run", "replay")
    metrics.minute(MadeUpRun().next())
    assert no_sink("minutehand_equity", 1.0, {}) is None
