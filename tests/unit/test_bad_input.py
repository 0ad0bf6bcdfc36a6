"""What a person, a market or a venue can do to us in the middle of a minute: each has one answer, and it is to hold less."""

import math
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from core.messages import TradingState
from core.params import RiskSettings, TradeSettings
from core.risk import Risk
from core.units import MINUTE_MS, Instrument, Side
from exchanges.simulated.ladder import Ladder
from tests.support.bad_days import fills_of, judge, moods, restless, trade_day
from tests.support.engines import HISTORY, cut_of, make_market
from tests.support.markets import BTC, intents, market, rules
from tests.support.story import Story, reasons


def quiet(rows: int = 2, minutes: int = 30, **changes):
    """A market that hardly moves and takes whatever is wanted."""
    return make_market(rows, minutes, seed=4, money=5e6, **changes)


def bought(story: Story, base: str = "BTC") -> float:
    return float(story.holds(base))


# --- the account ---------------------------------------------------------------------------------------------------


def test_a_withdrawal_in_mid_schedule_buys_no_more_than_is_left_and_stops_buying_until_it_is_understood():
    story = Story(quiet(), (0.3, math.nan))

    def withdraw(slot: int) -> None:
        if slot == 1:
            story.exchange.transfer("USDT", Decimal(40) - story.holds("USDT"))

    story.play(withdraw)
    (parent,) = story.machine.books.parents.values()
    assert parent.executed == parent.orders[0].executed > 0
    assert parent.executed + parent.abandoned == parent.quantity
    assert "insufficient balance" in parent.orders[1].reason
    assert len(parent.orders) == 2, "the same request would be refused again"
    held = bought(story)
    story.wish((1.0, 1.0))
    record = story.play()
    assert record.approved == () or all(a.side is Side.SELL for a in record.approved)
    assert set(reasons(record)) >= {"ETH"}
    for _ in range(5):
        story.play()
    assert story.holds("USDT") >= 0
    assert bought(story) <= held
    assert all(o.executed_quantity == 0 or o.order_id <= 2 or o.side is Side.SELL for o in story.orders())


def test_an_account_with_debts_buys_nothing_and_sells_what_it_holds():
    """No spot account is below zero; one that says so is not traded up."""
    story = Story(quiet(), (0.3, math.nan))
    story.play()
    assert bought(story) > 0
    account = story.executor.account

    def indebted(now_ms: int):
        stated = account(now_ms)
        owed = tuple(replace(b, free=Decimal(-50_000)) if b.asset == "USDT" else b for b in stated.balances)
        return replace(stated, balances=owed)

    story.executor.account = indebted
    story.wish((1.0, 1.0))
    record = story.play()
    assert record.equity < 0
    assert not any(a.side is Side.BUY for a in record.approved)
    for _ in range(4):
        record = story.play()
    assert record.state == TradingState.REDUCING.value
    assert bought(story) * 60_000 < 50.0


def test_debts_are_only_believed_of_an_account_that_agrees_with_our_books():
    seen = market((BTC,), held=(10.0,))
    desk = Risk(TradeSettings(instruments=(str(BTC),)), RiskSettings(), {BTC: rules(BTC)})
    desk.review(seen, intents(seen, (math.nan,)))
    doubtful = replace(
        seen,
        minute=seen.minute + MINUTE_MS,
        equity=-500.0,
        account=replace(seen.account, reconciled=False, difference="USDT: -10500 against our fills"),
    )
    assert desk.review(doubtful, intents(doubtful, (1.0,))).state is TradingState.ACTIVE
    sure = replace(seen, minute=seen.minute + 2 * MINUTE_MS, equity=-500.0)
    verdicts = desk.review(sure, intents(sure, (1.0,)))
    assert verdicts.state is TradingState.REDUCING
    assert [(a.side, a.quantity) for a in verdicts.approved] == [(Side.SELL, Decimal(10))]


def test_without_a_rate_nothing_is_bought_for_won_and_all_that_is_held_may_be_sold():
    """What a won is worth is not known: no equity, so no size. An exit needs none, and must not wait for one."""
    won, dollar = Instrument("upbit", "BTC/KRW"), Instrument("binance", "ETH/USDT")
    known = {won: rules(won, tick=Decimal(1_000), min_notional=Decimal(5_000)), dollar: rules(dollar)}
    desk = Risk(TradeSettings(instruments=(str(won), str(dollar))), RiskSettings(), known)
    seen = market((won, dollar), mids=(90_000_000.0, 3_000.0), held=(0.02, 0.5), equity=8_000.0)
    seen = replace(seen, quote_rate=np.array([1.0 / 1_400.0, 1.0]))
    desk.review(seen, intents(seen, (math.nan, math.nan)))
    blind = replace(seen, minute=seen.minute + MINUTE_MS, quote_rate=np.array([math.nan, 1.0]), equity=math.nan)
    verdicts = desk.review(blind, intents(blind, (1.0, 1.0)))
    assert verdicts.approved == ()
    assert {r.instrument.base: r.reason.split(":")[0] for r in verdicts.refused} == {"BTC": "equity", "ETH": "equity"}
    after = replace(blind, minute=blind.minute + MINUTE_MS)
    verdicts = desk.review(after, intents(after, (0.0, 0.0)))
    assert [(a.instrument, a.side, a.quantity) for a in verdicts.approved] == [
        (won, Side.SELL, Decimal("0.02")),
        (dollar, Side.SELL, Decimal("0.5")),
    ]
    assert Decimal(89_730_000) <= verdicts.approved[0].limit_price <= Decimal(89_731_000)
    assert "held 0.02 BTC = unknown, change unknown" in verdicts.approved[0].arithmetic


# --- the market ----------------------------------------------------------------------------------------------------


def gapped(size: float, minute: int):
    """Prices ``size`` higher from the open of a minute on, both coins."""
    bars = quiet(minutes=60).bars.copy()
    bars[:, HISTORY + minute :, :4] *= 1.0 + size
    return cut_of(bars)


def test_a_gap_of_30_per_cent_up_leaves_the_rest_unbought():
    """The limit was set by the price that was decided upon."""
    story = Story(gapped(0.30, 2), (0.3, math.nan))
    story.play()
    story.wish((1.0, math.nan))
    # Decided at the close of minute 1; minute 2 opens 30 % higher.
    record = story.play()
    (approved,) = record.approved
    (parent,) = (p for p in story.machine.books.parents.values() if p.minute == record.minute)
    assert (parent.executed, parent.abandoned) == (0, approved.quantity)
    found = judge(story.settings, replace(story.market, minutes=2), fills_of(story.venue))
    assert found.crossings == []
    assert "never sent" not in " ".join(order.reason for order in parent.orders)


def test_a_gap_of_30_per_cent_down_ends_buying_within_the_minute_and_sells():
    story = Story(gapped(-0.30, 6), (1.0, 1.0))
    for _ in range(6):
        story.play()
    assert bought(story) > 0
    held, minutes = bought(story), 0
    for _ in range(10):
        record = story.play()
        minutes += record.state == TradingState.REDUCING.value
        assert not any(a.side is Side.BUY for a in record.approved) or minutes == 0
    assert (held > 0 and minutes == 10) or minutes == 9
    assert bought(story) * 42_000 < 50.0 and bought(story, "ETH") * 2_100 < 50.0
    assert judge(story.settings, replace(story.market, minutes=16), fills_of(story.venue)).crossings == []


@pytest.mark.parametrize("missing", ["asks", "bids"])
def test_a_book_with_one_side_trades_nothing_until_the_other_is_back(missing, monkeypatch):
    story = Story(quiet(), (0.3, 0.3))
    whole = story.exchange.market.ladder

    def one_sided(row: int, ms: int) -> Ladder:
        ladder = whole(row, ms)
        return ladder if row else replace(ladder, **{missing: ()})

    def vanish(slot: int) -> None:
        if slot == 1:
            monkeypatch.setattr(story.exchange.market, "ladder", one_sided)

    story.play(vanish)
    held = bought(story)
    (btc,) = (p for p in story.machine.books.parents.values() if p.instrument.base == "BTC")
    if missing == "asks":
        assert [o.executed > 0 for o in btc.orders] == [True, False, False]
    assert btc.executed + btc.abandoned == btc.quantity
    sent = len(story.orders(story.market.instruments[0]))
    story.wish((0.0, 0.0))
    record = story.play()
    assert reasons(record) == {"BTC": f"no_book: asked -{held * record.close[0]:.2f} USDT, no usable book"}
    assert len(story.orders(story.market.instruments[0])) == sent
    assert bought(story) == held and bought(story, "ETH") * 3_000 < 50.0, "the other coin is sold meanwhile"
    monkeypatch.setattr(story.exchange.market, "ladder", whole)
    story.play()
    assert bought(story) * 60_000 < 50.0


# --- the venue -----------------------------------------------------------------------------------------------------


def test_a_coarser_grid_in_mid_schedule_is_learnt_by_the_first_refusal():
    story = Story(quiet(), (0.3, math.nan))
    btc = story.market.instruments[0]
    old = story.exchange.rules[0]
    coarse = replace(old, tick=old.tick * 10, step=old.step * 100, min_qty=old.step * 100, min_notional=Decimal(100))

    def restate(slot: int) -> None:
        if slot == 1:
            story.exchange.restate(coarse)

    story.play(restate)
    (parent,) = story.machine.books.parents.values()
    assert parent.executed == parent.orders[0].executed > 0
    assert "Filter failure" in parent.orders[-1].reason
    story.wish((0.6, math.nan))
    record = story.play()
    (approved,) = record.approved
    assert approved.quantity % coarse.step == 0 and approved.limit_price % coarse.tick == 0
    assert bought(story) > float(parent.executed)
    # The exit sells all that the new lot can hold, and only what it cannot stays.
    story.wish((0.0, math.nan))
    for _ in range(4):
        record = story.play()
    assert story.holds("BTC") < coarse.step
    assert all(o.quantity % coarse.step == 0 for o in story.orders(btc)[1:])
    assert record.approved == ()


def test_a_raised_minimum_buys_larger_or_not_at_all_and_what_is_below_it_is_left_as_dust():
    story = Story(quiet(), (0.02, math.nan))
    story.play()
    held = bought(story)
    assert held > 0
    story.exchange.restate(replace(story.exchange.rules[0], min_notional=Decimal(400)))
    story.wish((0.06, math.nan))
    first = story.play()
    assert len(first.approved) == 1
    assert all(
        "Filter failure" in o.reason for o in story.machine.books.parents[first.minute, first.instruments[0]].orders
    )
    second = story.play()
    assert reasons(second)["BTC"].startswith("min_order: ")
    story.wish((0.0, math.nan))
    sent = len(story.orders())
    for _ in range(3):
        record = story.play()
        assert record.approved == ()
    assert (bought(story), len(story.orders())) == (held, sent)


@pytest.mark.parametrize("status", ["CANCEL_ONLY", "HALT", "BREAK"])
def test_a_market_that_takes_no_orders_is_left_alone_until_it_does(status):
    story = Story(quiet(), (0.3, 0.3))
    btc = story.market.instruments[0]

    def close(slot: int) -> None:
        if slot == 1:
            story.exchange.status[0] = status

    story.play(close)
    parent = story.machine.books.parents[story.records[0].minute, btc]
    assert parent.executed == parent.orders[0].executed > 0
    assert "Market is closed" in parent.orders[-1].reason and len(parent.orders) == 2
    held, ether = bought(story), bought(story, "ETH")
    story.wish((0.0, 0.6))
    for _ in range(3):
        record = story.play()
        assert reasons(record)["BTC"].startswith("venue_rules: ")
    assert bought(story) == held and bought(story, "ETH") > ether, "the other market goes on"
    assert len(story.machine.books.parents) == 3 or not any(
        p.instrument == btc for p in list(story.machine.books.parents.values())[2:]
    ), "nothing is even tried"
    story.exchange.status[0] = "TRADING"
    story.play()
    assert bought(story) * 60_000 < 50.0


# --- the ensemble --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", [1e9, -1e9, math.inf, math.nan])
def test_a_forecast_that_no_market_could_keep_moves_nothing(said):
    """One member of two speaks nonsense of one coin; the other one's word is what counts, for both."""
    market = quiet(minutes=20)
    sane = moods(market, 1)
    mean = sane.mean_bps.copy()
    mean[0, 0] = said
    mad = trade_day(restless(2), market, replace(sane, mean_bps=mean))
    silent = sane.mean_bps.copy()
    silent[0] = np.nan
    alone = trade_day(restless(2), market, replace(sane, mean_bps=silent))
    assert mad.trades == alone.trades and mad.trades
    assert all(not r.votes[0].spoke for r in mad.records if r.votes)
