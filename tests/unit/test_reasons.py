"""Reasons: in Korean notices no English sentence of ours is left, and older records read as before."""

import json
import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from pickle import dumps, loads

import pytest

from actors.runs.edge import describe
from core.champions import Standing
from core.errors import DataError
from core.messages import ModelStep, Notice, TradingState
from core.notices import CATALOG, Newsroom, text
from core.params import ChampionSettings, LiveSettings, RiskSettings
from core.protection import Due, ExitRules, exit_arithmetic
from core.reasons import TEXTS, Reason, counted, from_plain, joined, to_plain, worded
from core.refusals import pause_words, state_words
from core.risk_state import RiskState
from core.shadow import Evidence
from core.sizing import Limit
from core.starting_cap import CapState, StartingCap, fallen
from core.succession import next_step
from core.units import Instrument
from core.wording import WORDS
from data.artifacts import ArtifactStore
from data.model_registry import ModelRegistry
from data.verdicts import keep_verdict, newest_verdict
from tests.unit.test_notices import quiet
from tune.verdict import Verdict

NAMES = r"trade\.invest_pct|live\.cap_step_pct|[\w.]*_[\w.]*|run\.py models promote|UTC|USDT|BTC|bps|ms|ridge|mean_bps|binance|v\d+\.\w+"
"""What stays in Latin letters in a Korean text: units, names of settings, members and markets."""


def korean(notice: Notice) -> str:
    """The notice in Korean; an English word that is no name in it fails the test."""
    told = text(notice, "ko")
    left = re.findall(r"[A-Za-z]{2,}", re.sub(NAMES, "", told))
    assert not left, f"{told!r}: English is left: {left}"
    assert re.search("[가-힣]", told)
    return told


def only(told: tuple[Notice, ...], key: str) -> Notice:
    (found,) = (notice for notice in told if notice.key == key)
    return found


def names_of(wording: str) -> set[str]:
    return set(re.findall(r"{(\w+)}", wording))


@pytest.mark.parametrize("code", TEXTS)
def test_every_reason_has_its_values_in_both_languages_and_no_particle_after_an_unknown_ending(code):
    wording = TEXTS[code]
    # What is said by another unit or clock in the other language stands in one of them alone.
    own = {"since_ms", "at", "one", "period"}
    assert names_of(wording.en) - own == names_of(wording.ko) - own
    assert not re.search(r"}(은|는|이|가|을|를|와|과|로|으로|라|이라)(?![가-힣])", wording.ko)
    bare = re.sub(NAMES, "", re.sub(r"{\w+}", "", wording.ko))
    assert not re.search("[A-Za-z]{2,}", bare)


@pytest.mark.parametrize("code", CATALOG)
def test_no_korean_notice_puts_a_particle_after_a_value_whose_ending_is_not_known(code):
    assert not re.search(r"}(은|는|이|가|을|를|와|과|로|으로|라|이라)(?![가-힣])", CATALOG[code].ko)


@pytest.mark.parametrize("name", ["daily_loss_pct", "max_drawdown_pct"])
def test_a_loss_limit_is_told_in_korean(name):
    reason = Reason("lost_part", name=name, lost="5.02", base="2000.00", allowed="5")
    assert reason == f"{name}: lost 5.02% of 2000.00 USDT, allowed 5%"
    told = korean(only(Newsroom().read(quiet(0, state="reducing", state_reason=reason)), "state_changed"))
    assert told.startswith("거래 상태가 바뀌었습니다: 정상 → 매도만 가능. 사유: ")
    assert told.endswith(f"({name}): 2000.00 USDT 중 5.02% 손실, 허용 5%")


def test_an_english_sentence_in_a_korean_notice_is_found():
    with pytest.raises(AssertionError, match="English is left"):
        korean(only(Newsroom().read(quiet(0, state="halted", state_reason="daily loss")), "state_changed"))


def test_a_halt_without_a_reason_and_its_end_are_told_in_korean_and_a_persons_words_stay():
    news = Newsroom()
    assert "사용자 요청" in korean(
        only(news.read(quiet(0, state="halted", state_reason=Reason("asked_for"))), "state_changed")
    )
    assert "거래 재개" in korean(
        only(news.read(quiet(1, state="active", state_reason=Reason("resumed"))), "state_changed")
    )
    told = only(news.read(quiet(2, state="halted", state_reason="the Fed speaks")), "state_changed")
    assert text(told, "ko").endswith("사유: the Fed speaks")


@pytest.mark.parametrize("limit", [Limit.CONSECUTIVE_LOSSES, Limit.STOP_GUARD, Limit.LOW_PROFIT, Limit.COOLDOWN])
def test_a_guard_is_told_in_korean(limit):
    allowed = pause_words(limit, RiskSettings(), 3_600_000)
    reason = Reason("held", name="cooldown_minutes", asked=Reason("asked", change="+600.00"), allowed=allowed)
    told = korean(Notice(severity="info", key="limit_hit", values=(("instrument", "BTC"), ("reason", reason))))
    assert told.endswith("01:00:00 UTC 전에는 매수하지 않음")


def test_an_order_that_the_state_holds_is_told_with_a_time_that_can_be_read():
    why = Reason("lost_today", name="daily_loss_usdt", lost="515.00", allowed="500")
    allowed = state_words("reducing", 1_767_312_000_000, why)
    assert allowed == f"state reducing since 1767312000000: {why}"
    reason = Reason("held", name="reducing", asked=Reason("asked_unknown"), allowed=allowed)
    told = korean(Notice(severity="info", key="limit_hit", values=(("instrument", "BTC"), ("reason", reason))))
    assert "2026-01-02 00:00 UTC부터" in told and "오늘 손실 515.00 USDT" in told


def test_promotion_rollback_and_the_end_of_the_watch_are_told_in_korean():
    settings = ChampionSettings(promotion="automatic", watch_minutes=60)
    steady = Standing(path=("v0001.ab",), challenged=("v0002.cd",))
    watched = Standing(path=("v0001.ab", "v0002.cd"), watched=True)
    much = Evidence(blocks=1, minutes=2_500, total=0.3, wealth=(9.0,) * len(Evidence().wealth))
    stored = ("v0001.ab", "v0002.cd")

    def step(now, evidence=None, silent=0):
        pair = ("ridge", now.champion, "v0002.cd" if now is steady else "v0001.ab")
        found = next_step("ridge", now, stored, {pair: evidence} if evidence else {}, settings, silent)
        assert found is not None
        return found

    told = {}
    for one in (
        step(Standing(path=("v0001.ab",))),
        step(steady, much),
        step(watched, silent=settings.silent_minutes),
        step(watched, much),
        step(watched, replace(much, wealth=Evidence().wealth)),
    ):
        notice = only(Newsroom().read(quiet(0, models=(one,))), f"model_{one.kind}")
        told[one.why] = korean(notice)
    assert {w.split(":")[0].split(" beside")[0] for w in told} >= {"better in shadow", "forecasts in shadow"}
    (promoted,) = (ko for en, ko in told.items() if en.startswith("better"))
    assert "v0001.ab → v0002.cd (그림자 평가)" in promoted and "2,500분, 1구간" in promoted


def test_a_champion_keeps_its_reason_in_the_registry_and_an_older_registry_reads_as_text(tmp_path: Path):
    registry = ModelRegistry(tmp_path)
    why = Reason("lost_its_vote", count="5")
    step = ModelStep(kind="promoted", member="ridge", version="v0001.ab", by="shadow", why=why)
    assert registry.take("ridge", lambda now: step) is not None
    (read,) = registry.steps()
    assert read.why == "the champion lost its vote 5 minutes in a row" == why
    assert worded(read.why, "ko") == "챔피언이 5분 연속으로 투표하지 못했습니다"
    line = json.loads(registry.path.read_text(encoding="utf-8"))
    assert line.pop("said")
    registry.path.write_text(json.dumps(line) + "\n", encoding="utf-8")
    (older,) = registry.steps()
    assert older.why == why and worded(older.why, "ko") == why


def test_a_loss_limit_keeps_its_words_over_a_restart_and_an_older_state_reads_as_text():
    why = Reason("lost_today", name="daily_loss_usdt", lost="515.00", allowed="500")
    state = RiskState().changed(TradingState.REDUCING, "limit", why, 7)
    kept = json.loads(json.dumps(state.to_json()))
    again = RiskState.from_json(kept)
    assert again == state and worded(again.reason, "ko").endswith("오늘 손실 515.00 USDT, 허용 500 USDT")
    older = RiskState.from_json({name: value for name, value in kept.items() if name != "said"})
    assert older == state and worded(older.reason, "ko") == str(why)
    with pytest.raises(DataError, match="not a reason"):
        RiskState.from_json(kept | {"said": {"code": 3}})


@pytest.mark.parametrize("usdt", [None, 500])
@pytest.mark.parametrize("changes", [{}, {"clean_days": 2}, {"cap_step_pct": 0.0}])
def test_the_starting_cap_is_told_in_korean_and_kept_with_its_reason(changes, usdt):
    settings = LiveSettings(starting_cap_usdt=usdt).model_copy(update=changes)
    breach = Reason("lost_today", name="daily_loss_usdt", lost="515.00", allowed="500")
    for state in (CapState(), fallen(CapState(), breach), CapState(reason=Reason("clean_day"), clean_days=1)):
        words = StartingCap(settings, state).words(30, 5_000)
        told = korean(Notice(severity="info", key="starting_cap", values=(("cap", words),)))
        assert worded(state.reason, "ko") in told
        kept = json.loads(json.dumps(state.to_json()))
        assert worded(CapState.from_json(kept).reason, "ko") == worded(state.reason, "ko")
        del kept["said"]
        assert CapState.from_json(kept) == state


def test_what_another_version_words_differently_stays_what_was_said():
    assert from_plain("lost it all", to_plain(Reason("resumed"))) == "lost it all"
    assert not isinstance(from_plain("gone", {"code": "of_the_future", "values": {}}), Reason)


def test_a_reason_travels_whole_and_is_its_text_everywhere_else():
    why = joined([Reason("minutes", count="2"), counted(1, "block"), "as the exchange said"])
    again = loads(dumps(why))
    assert again == why == "2 minutes; 1 block; as the exchange said"
    assert worded(again, "ko") == "2분; 1구간; as the exchange said"
    assert joined([]) == ""


@pytest.mark.parametrize("due", [Due.STOP_LOSS, Due.TRAILING_STOP, Due.TAKE_PROFIT, Due.TIME_STOP])
def test_an_exit_is_told_in_korean(due):
    rules = ExitRules(stop=0.05, trail=0.02, profit=0.1, time_ms=3_600_000)
    why = joined(exit_arithmetic(int(due), 94.0, 100.0, 101.0, 61.0, 0, rules)[:2])
    values = {
        "reason": due.name.lower(),
        "quantity": str(Decimal("0.2")),
        "instrument": "BTC",
        "price": "93.7",
        "why": why,
    }
    told = korean(Notice(severity="warning", key="position_protected", values=tuple(values.items())))
    assert "진입가 100, 현재가 94 = -6.00%" in told and told.startswith(WORDS["ko"][due.name.lower()])


def test_the_verdict_of_a_walk_forward_is_told_in_korean_from_the_store(tmp_path: Path):
    why = Reason("failed_test", sentence=Reason("trades_closed", count="12", wanted="30"))
    assert why == "Failed: 12 trades were closed, at least 30 are needed."
    verdict = Verdict(word="unproven", reasons=(why,), figures={})
    assert Verdict.from_json(verdict.to_json()) == verdict
    store, rules = ArtifactStore(tmp_path), "ab" * 32
    keep(store, rules, verdict.to_json())
    said = describe(newest_verdict(store, rules, synthetic=True))
    assert said == f"unproven (walk-forward on binance): {why}"
    values = (("account", "binance"), ("verdict", said))
    told = korean(Notice(severity="warning", key="armed_without_edge", values=values))
    assert told.endswith("증명되지 않음(워크포워드 데이터: binance): 미달: 청산한 거래 12건, 최소 30건이 필요합니다.")
    older = json.loads(verdict.to_json())
    del older["said"]
    keep(store, rules, json.dumps(older))
    assert describe(newest_verdict(store, rules, synthetic=True)) == said
    assert "판정한 적 없음" in korean(
        Notice(severity="warning", key="armed_without_edge", values=(("account", "BTC"), ("verdict", describe(None))))
    )


def keep(store: ArtifactStore, rules: str, text: str) -> None:
    keep_verdict(
        store,
        rules,
        text,
        schema="s",
        span=(0, 60_000),
        instruments=(str(Instrument("binance", "BTC/USDT")),),
        seed=0,
        code="1",
        source="binance",
        synthetic=True,
        members={},
    )
