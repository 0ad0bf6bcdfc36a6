"""News: what is told, once, and that every text exists in every language."""

import re
import string
from dataclasses import replace
from decimal import Decimal

import pytest

from core.messages import SETTINGS_REFUSED, MinuteRecord, Notice, OrderState, WrittenOff
from core.notices import CATALOG, SEVERITIES, SEVERITY_WORDS, Newsroom, at_least, text, title
from core.params import ProtectionSettings, RiskSettings
from core.protection import Due, exit_rules, protective_exit
from core.units import DAY_MS, MINUTE_MS, MarketRules
from core.wording import LANGUAGES, WORDS
from tests.support.fake_venue import BTC
from tests.support.minute_records import FIRST_MINUTE, MadeUpRun


def quiet(number: int = 0, **changes) -> MinuteRecord:
    """A minute without any news."""
    record = MadeUpRun().next()
    plain = replace(
        record,
        minute=FIRST_MINUTE + number * MINUTE_MS,
        events=(),
        approved=(),
        refused=(),
        orders=(),
        fills=(),
        votes=tuple(replace(vote, spoke=True, silence="") for vote in record.votes),
        fresh=(True,) * 5,
        state="active",
        state_reason="",
    )
    return replace(plain, **changes)


def missed(number: int) -> MinuteRecord:
    return MinuteRecord(minute=FIRST_MINUTE + number * MINUTE_MS, trace="t", status="missed", reason="late: 21 s")


def with_order(number: int, state: OrderState) -> MinuteRecord:
    run = MadeUpRun()
    record = next(record for record in iter(run.next, None) if record.orders)
    return quiet(number, orders=(replace(record.orders[0], state=state, reason="Filter failure: NOTIONAL"),))


def keys(notices: tuple[Notice, ...]) -> list[str]:
    return [notice.key for notice in notices]


def silent(number: int) -> MinuteRecord:
    record = quiet(number)
    return replace(record, votes=(replace(record.votes[0], spoke=False, silence="spoke NaN"), *record.votes[1:]))


def test_a_quiet_minute_is_no_news():
    room = Newsroom()
    assert [room.read(quiet(number)) for number in range(5)] == [()] * 5


def test_silence_is_told_once_and_so_is_its_end():
    room = Newsroom()
    told = [keys(room.read(record)) for record in (silent(0), silent(1), silent(2), quiet(3), quiet(4))]
    assert told == [["member_silent"], [], [], ["member_back"], []]


def test_misses_are_told_at_the_first_and_when_they_end():
    room = Newsroom()
    told = [keys(room.read(record)) for record in (missed(0), missed(1), missed(2), quiet(3), missed(4), quiet(5))]
    assert told == [["minute_missed"], [], [], ["minutes_resumed"], ["minute_missed"], []]


def test_a_rejected_order_is_told_every_time():
    room = Newsroom()
    notice, again = (room.read(with_order(number, OrderState.REJECTED))[0] for number in (0, 1))
    assert notice.key == again.key == "order_rejected"
    assert "Filter failure: NOTIONAL" in text(notice, "en")
    assert "매수" in text(notice, "ko")


def test_an_unknown_order_is_critical_and_told_once_while_it_lasts():
    room = Newsroom()
    first = room.read(with_order(0, OrderState.UNKNOWN))
    assert [(n.key, n.severity) for n in first] == [("order_unknown", "critical")]
    assert room.read(with_order(1, OrderState.UNKNOWN)) == ()
    assert room.read(quiet(2)) == ()
    assert keys(room.read(with_order(3, OrderState.UNKNOWN))) == ["order_unknown"]


@pytest.mark.parametrize(("state", "severity"), [("reducing", "warning"), ("halted", "critical")])
def test_a_change_of_state_is_told_with_its_reason(state, severity):
    room = Newsroom()
    room.read(quiet(0))
    (notice,) = room.read(quiet(1, state=state, state_reason="daily_loss_pct: lost 5.02%"))
    assert (notice.key, notice.severity) == ("state_changed", severity)
    assert "daily_loss_pct: lost 5.02%" in text(notice, "en")
    assert room.read(quiet(2, state=state, state_reason="daily_loss_pct: lost 5.02%")) == ()
    assert [(n.key, n.severity) for n in room.read(quiet(3))] == [("state_changed", "info")]


def test_a_loss_limit_breached_in_a_halt_is_told_once():
    room = Newsroom()
    states = ["news", "news", "daily_loss_pct: lost 6.00%", "daily_loss_pct: lost 6.00%"]
    told = [keys(room.read(quiet(n, state="halted", state_reason=why))) for n, why in enumerate(states)]
    assert told == [["state_changed"], [], ["state_changed"], []]


def test_a_limit_is_told_when_it_begins_to_hold():
    refused = next(record.refused[:1] for record in iter(MadeUpRun().next, None) if record.refused)
    room = Newsroom()
    told = [keys(room.read(quiet(n, refused=refused if n in (0, 1, 3) else ()))) for n in range(4)]
    assert told == [["limit_hit"], [], [], ["limit_hit"]]


def test_one_quiet_market_minute_is_not_news_but_three_are():
    room = Newsroom()
    stale = (True, False, True, True, True)
    told = [keys(room.read(quiet(n, fresh=stale if n < 4 else (True,) * 5))) for n in range(6)]
    assert told == [[], [], ["feed_stale"], [], ["feed_fresh"], []]


def test_the_day_ends_with_a_digest():
    room = Newsroom()
    room.read(quiet(0, equity=10_000.0))
    room.read(missed(1))
    room.read(quiet(2, equity=10_250.0))
    room.read(MinuteRecord(minute=FIRST_MINUTE + 3 * MINUTE_MS, trace="closing", status="closed"))
    (notice,) = room.read(quiet(DAY_MS // MINUTE_MS, equity=10_300.0))
    values = dict(notice.values)
    assert notice.key == "daily_digest"
    assert values["date"] == "2026-01-02"
    assert (values["equity"], values["change_pct"]) == ("10,250.00", "+2.50")
    assert (values["done"], values["missed"]) == ("2", "1")


def test_the_gravest_comes_first():
    record = replace(silent(0), state="halted", state_reason="operator")
    told = Newsroom().read(record)
    assert [notice.severity for notice in told] == sorted(
        (notice.severity for notice in told), key=SEVERITIES.index, reverse=True
    )
    assert len(told) == 2


@pytest.mark.parametrize("key", CATALOG)
def test_every_text_uses_the_same_values_in_both_languages(key):
    fields = [
        {name for _, name, _, _ in string.Formatter().parse(getattr(CATALOG[key], language)) if name}
        for language in LANGUAGES
    ]
    assert fields[0] == fields[1]
    assert re.search("[가-힣]", CATALOG[key].ko)


def test_made_up_trouble_is_all_in_the_catalog_and_filled():
    room = Newsroom()
    told = [notice for record in MadeUpRun(seed=3).many(1_600) for notice in room.read(record)]
    seen = {notice.key for notice in told}
    assert {"order_rejected", "minute_missed", "member_silent", "limit_hit", "state_changed", "daily_digest"} <= seen
    for notice in told:
        for language in LANGUAGES:
            assert "?" not in text(notice, language)
            assert "{" not in text(notice, language)
            assert title(notice, language)


def test_news_without_a_text_or_a_value_is_still_told():
    assert text(Notice(severity="info", key="new_kind", values=(("a", "1"),)), "ko") == "new_kind: a=1"
    assert "'?'" in text(Notice(severity="info", key="actor_restarted", values=(("reason", "died"),)), "en")


def test_severities_are_ordered_and_worded():
    assert at_least("critical", "warning")
    assert at_least("warning", "warning")
    assert not at_least("info", "warning")
    for language in LANGUAGES:
        assert set(SEVERITY_WORDS[language]) == set(SEVERITIES)
    assert set(WORDS) == set(LANGUAGES)


def test_an_exit_is_told_with_its_reason_when_it_begins_and_not_while_it_goes_on():
    rules, news = exit_rules(ProtectionSettings(stop_loss_pct=5), RiskSettings()), Newsroom()
    market = MarketRules(
        instrument=BTC,
        tick=Decimal("0.01"),
        step=Decimal("0.1"),
        min_qty=Decimal(0),
        max_qty=Decimal(9),
        min_notional=Decimal(5),
    )
    sold = [
        protective_exit(
            minute=FIRST_MINUTE,
            now_ms=FIRST_MINUTE,
            instrument=BTC,
            due=Due.STOP_LOSS,
            attempt=k,
            quantity=Decimal("0.2"),
            ticks=9_370,
            mid=94.0,
            entry=100.0,
            peak=101.0,
            since_ms=0,
            exits=rules,
            rules=market,
        )
        for k in range(2)
    ]
    (told,) = news.read(quiet(0, exits=tuple(sold)))
    assert news.read(quiet(1, exits=tuple(sold))) == ()
    assert news.read(quiet(2)) == () and len(news.read(quiet(3, exits=tuple(sold)))) == 1
    assert told.severity == "warning"
    english, korean = text(told, "en"), text(told, "ko")
    assert english == (
        "A stop loss sells 0.2 binance:BTC/USDT at 93.70 or better. stop loss at -5% = 95; entered at 100, now 94 = -6.00%"
    )
    assert korean.startswith("손절: binance:BTC/USDT 0.2") and "93.70" in korean
    (left,) = news.read(quiet(4, dust=(WrittenOff(instrument=BTC, quantity=Decimal("0.05"), price=94.0),)))
    assert left.severity == "info" and "0.05 binance:BTC/USDT are left" in text(left, "en")


def test_settings_that_are_not_used_are_a_warning_of_their_own():
    fault = "config.json: trade.invest_pct = 'lots': must be a number, without quotes"
    changed, refused = Newsroom().read(quiet(settings=("trade.invest_pct 10 → 20", f"{SETTINGS_REFUSED}{fault}")))
    assert (changed.key, refused.key) == ("settings_changed", "settings_refused")
    assert refused.severity == "warning"
    assert text(refused, "en") == f"The new settings are not used, the old ones hold: {fault}"
    assert fault in text(refused, "ko")
