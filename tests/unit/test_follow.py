"""What stands on the console while a run goes on."""

from actors.runs.follow import REFUSED_AGAIN, Refusals, describe
from core.messages import SETTINGS_REFUSED, MinuteRecord, Refused
from core.units import MINUTE_MS, Instrument

BTC = Instrument("binance", "BTC/USDT")


def test_what_changed_in_the_settings_is_said_and_what_could_not_be_used_too():
    fault = f"{SETTINGS_REFUSED}config.json: trade.invest_pct = 'lots'"
    minute = MinuteRecord(minute=0, trace="t", status="done", settings=("trade.invest_pct 10 → 20", fault))
    assert describe(minute) == [
        "01-01 00:00  settings changed: trade.invest_pct 10 → 20",
        f"01-01 00:00  {fault}",
    ]


def refused(number: int, *reasons: str) -> MinuteRecord:
    held = tuple(Refused(intent_id="i", minute=0, instrument=BTC, reason=reason, arithmetic=()) for reason in reasons)
    return MinuteRecord(minute=number * MINUTE_MS, trace="t", status="done", refused=held)


def test_the_same_refusal_is_said_once_then_counted():
    known = Refusals()
    said = [describe(refused(n, f"min_order: asked +{n}.00 USDT"), known) for n in range(REFUSED_AGAIN + 1)]
    assert said[0] == ["01-01 00:00  REFUSED BTC/USDT: min_order: asked +0.00 USDT"]
    assert not any(said[1 : REFUSED_AGAIN - 1])
    assert "for 60 minutes in a row" in said[REFUSED_AGAIN - 1][0]
    (ended,) = describe(refused(REFUSED_AGAIN + 1), known)
    assert ended.endswith(f"BTC/USDT was REFUSED by min_order for {REFUSED_AGAIN + 1} minutes in a row")
    assert len(describe(refused(99, "not_fresh: no bar", "max_gross: full"), known)) == 2, "another limit is news"
