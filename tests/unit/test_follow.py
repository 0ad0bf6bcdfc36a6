"""What stands on the console while a run goes on."""

import io
import json
import math
from dataclasses import replace
from decimal import Decimal
from typing import Any

from rich.console import Console

from actors.runs.follow import PlainFollower
from actors.runs.refusals import REFUSED_AGAIN
from actors.runs.told import Teller, describe
from core.events import STALE_MARKET
from core.messages import SETTINGS_REFUSED, Approved, MarketEvent, MinuteRecord, OrderReport, OrderState, Refused
from core.units import MINUTE_MS, Instrument, Side
from core.why import lines, why
from data import plain
from serve.dashboard.views import minute_view


def test_what_changed_in_the_settings_is_said_and_what_could_not_be_used_too():
    fault = f"{SETTINGS_REFUSED}config.json: trade.invest_pct = 'lots'"
    minute = MinuteRecord(minute=0, trace="t", status="done", settings=("trade.invest_pct 10 → 20", fault))
    assert describe(minute) == [
        "01-01 00:00  settings changed: trade.invest_pct 10 → 20",
        f"01-01 00:00  {fault}",
    ]


BTC, ETH = Instrument("binance", "BTC/USDT"), Instrument("binance", "ETH/USDT")
FIRST = 1_679_652_000_000
"""2023-03-24 10:00 UTC."""


def minute(number: int, edge: float = 0.0, target: float = 0.0, held: float = 0.0, **changes: Any) -> MinuteRecord:
    """A minute of BTC and ETH; of ETH nothing is forecast and nothing held."""
    usual: dict[str, Any] = {"fresh": (True, True), "equity": 10_000.0} | changes
    return MinuteRecord(
        minute=FIRST + number * MINUTE_MS,
        trace="t",
        status="done",
        instruments=(BTC, ETH),
        close=(100.0, 10.0),
        position=(held, 0.0),
        edge_bps=(edge, 0.0),
        target=(target, 0.0),
        **usual,
    )


def order(number: int, side: Side, quantity: str) -> Approved:
    return Approved(
        intent_id=f"{number}:{BTC}",
        minute=FIRST + number * MINUTE_MS,
        instrument=BTC,
        side=side,
        quantity=Decimal(quantity),
        limit_price=Decimal(100),
        reference_price=100.0,
        arithmetic=(),
    )


def report(of: Approved, name: str, executed: str) -> OrderReport:
    return OrderReport(
        client_id=name,
        intent_id=of.intent_id,
        instrument=BTC,
        side=of.side,
        state=OrderState.EXPIRED,
        quantity=of.quantity,
        price=of.limit_price,
        executed=Decimal(executed),
    )


SALE = order(1, Side.SELL, "15")
STORY = (
    minute(0, 30.0, 0.2, 15.0),
    minute(1, 0.9, 0.0, 15.0, approved=(SALE,), orders=(report(SALE, "a", "0"),)),
    minute(2, 6.5, math.nan, 13.5, orders=(report(SALE, "a", "1"), report(SALE, "b", "0.5"))),
    minute(3, 6.6, math.nan, 13.5),
)


def test_what_was_filled_is_said_a_minute_later_and_what_is_left_of_a_sale_too():
    teller = Teller()
    told = [teller.tell(one) for one in STORY]
    assert told[0] == []
    assert told[1] == ["03-24 10:01  SELL 15 BTC/USDT near 100, forecast +0.9 bps (), target 20.0 → 0.0%"]
    assert told[2] == [
        "03-24 10:01  filled: SELL 1.5 of 15 BTC/USDT (10%)",
        "03-24 10:02  KEEP 13.5 BTC/USDT: the sale of a minute before was filled 10%; the forecast went from +0.9 to +6.5 "
        "bps, no longer below the exit, so what is left stays",
    ]
    assert told[3] == []


def test_why_tells_of_the_sale_that_was_not_finished():
    told = list(lines(why(STORY[3], BTC, (), STORY[:3])))
    assert told[1].startswith("  the sale of 2 minutes before was filled 10%; the forecast went from +0.9 to +6.6 bps")
    whole = replace(STORY[2], orders=(report(SALE, "a", "15"),))
    assert why(STORY[3], BTC, (), (*STORY[:2], whole)).left == ""
    assert why(STORY[3], BTC, (), ()).left == ""
    # Sold on: then its line is the order's.
    again = replace(STORY[3], approved=(order(3, Side.SELL, "13.5"),))
    assert why(again, BTC, (), STORY[:3]).left == ""
    deaf = replace(STORY[3], fresh=(False, True))
    assert "no fresh data now" in why(deaf, BTC, (), STORY[:3]).left


def test_the_page_tells_of_it_in_the_minute_after():
    plain_ones = [json.loads(plain.dumps(one)) for one in STORY]
    thresholds = {"entry_edge_bps": 25.0, "exit_edge_bps": 3.0}
    (said, other) = [row["why"] for row in minute_view(plain_ones[2], thresholds, plain_ones[1])["rows"]]
    assert said.startswith(
        "edge +6.5 bps is between exit (3) and entry (25): keeps what it holds; the sale of a minute "
    )
    assert "was filled 10%" in said and "sale" not in other
    assert "sale" not in minute_view(plain_ones[3], thresholds, plain_ones[2])["rows"][0]["why"]


def test_a_missed_minute_does_not_hide_what_was_filled():
    teller = Teller()
    lost = MinuteRecord(minute=FIRST + 2 * MINUTE_MS, trace="t", status="missed", reason="late")
    assert [len(teller.tell(one)) for one in (*STORY[:2], lost)] == [0, 1, 1]
    later = replace(STORY[2], minute=FIRST + 3 * MINUTE_MS)
    assert teller.tell(later)[0] == "03-24 10:01  filled: SELL 1.5 of 15 BTC/USDT (10%)"


def test_a_sale_above_the_exit_shows_that_its_target_shrank():
    before = minute(0, 39.1, 0.121, 12.0)
    (said,) = describe(minute(1, 33.0, 0.093, 12.0, approved=(SALE,)), before)
    assert said.endswith("forecast +33.0 bps (), target 12.1 → 9.3%")
    (said,) = describe(minute(1, 33.0, 0.093, 12.0, approved=(SALE,)), replace(before, target=(math.nan, 0.0)))
    assert said.endswith("target kept → 9.3%")


def test_an_order_that_a_limit_made_smaller_names_the_limit():
    sizes = ("target 0.1 of 30% of 10000.00 = 300.00", "held 0 BTC = 0.00, change +300.00", "cost_gate allows 120.00")
    (said,) = describe(minute(1, 33.0, 0.1, approved=(replace(order(1, Side.BUY, "1.2"), arithmetic=sizes),)))
    assert said.endswith("target 10.0%, cut by cost_gate")


def still(*markets: Instrument, minutes: int = 3) -> tuple[MarketEvent, ...]:
    return tuple(MarketEvent(kind=STALE_MARKET, instrument=one, size=float(minutes)) for one in markets)


def test_markets_that_stand_still_are_told_with_how_many_and_since_when():
    teller = Teller()
    assert teller.tell(minute(0)) == []
    deaf = [teller.tell(minute(n, fresh=(True, False))) for n in (1, 2, 3, 4)]
    line = "stand still (ETH/USDT) since 03-24 10:01: no trades or no data, nothing is bought there"
    assert deaf == [[], [], [f"03-24 10:03  STILL  1 of 2 markets {line}"], []]
    whole = teller.tell(minute(5, fresh=(False, False)))
    assert whole == [
        "03-24 10:05  STILL  2 of 2 markets stand still since 03-24 10:01: no trades or no data, nothing is bought there"
    ]
    assert teller.tell(minute(6)) == ["03-24 10:06  trades again after 5 minutes: BTC/USDT, ETH/USDT"]


def test_a_market_with_bars_and_no_trades_stands_still_as_well():
    teller = Teller()
    teller.tell(minute(4))
    (said,) = teller.tell(minute(5, events=still(BTC, ETH)))
    assert said.startswith("03-24 10:05  STILL  2 of 2 markets stand still since 03-24 10:03")


def test_the_sign_of_life_says_that_markets_stand_still():
    out = io.StringIO()
    follower = PlainFollower(Console(file=out, width=300), total=60)
    for number in range(21):
        follower.show(minute(number, fresh=(number < 1, number < 1)), number + 1, 0)
    said = out.getvalue().splitlines()
    assert said[0].startswith("03-24 10:00  hold: best forecast +0.0 bps; minute 1/60")
    assert said[1].startswith("03-24 10:01  STILL  2 of 2 markets")
    assert said[2].startswith("03-24 10:11  hold: 2 of 2 markets stand still since 03-24 10:01: ")
    assert "best forecast" not in said[2] and "minute 12/60" in said[2]


def refused(number: int, *reasons: str) -> MinuteRecord:
    held = tuple(Refused(intent_id="i", minute=0, instrument=BTC, reason=reason, arithmetic=()) for reason in reasons)
    return MinuteRecord(minute=number * MINUTE_MS, trace="t", status="done", refused=held)


def test_the_same_refusal_is_said_once_then_counted():
    teller = Teller()
    said = [teller.tell(refused(n, f"min_order: asked +{n}.00 USDT")) for n in range(REFUSED_AGAIN + 1)]
    assert said[0] == ["01-01 00:00  REFUSED BTC/USDT: min_order: asked +0.00 USDT"]
    assert not any(said[1 : REFUSED_AGAIN - 1])
    assert "for 60 minutes in a row" in said[REFUSED_AGAIN - 1][0]
    (ended,) = teller.tell(refused(REFUSED_AGAIN + 1))
    assert ended.endswith(f"BTC/USDT was REFUSED by min_order for {REFUSED_AGAIN + 1} minutes in a row")
    assert len(teller.tell(refused(99, "not_fresh: no bar", "max_gross: full"))) == 2, "another limit is news"
