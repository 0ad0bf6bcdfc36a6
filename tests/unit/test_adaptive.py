"""The adaptive schedule: what it weighs, what the machine makes of it, and what it costs against the others."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from core.errors import ConfigError
from core.execution.adaptive import walked
from core.execution.local import LocalExecutor
from core.execution.machine import ExecutionMachine
from core.execution.rules_watch import RulesWatch
from core.execution.schedules.adaptive import PATIENCE, Sight, choose, impact, waiting_cost
from core.execution.stimuli import (
    Beat,
    BookSeen,
    CancelDone,
    Conditions,
    MinuteStarted,
    OutcomeUnclear,
    Placed,
    PlaceRefused,
)
from core.messages import CancelOrder, Fill, OrderSnapshot, OrderState, PlaceOrder, QueryOrder, TimeInForce, Top
from core.params import CostSettings, ExecutionSettings
from core.units import MINUTE_MS, Side
from exchanges.simulated.tape import Tape
from tests.bench.execution import algorithms, synthetic
from tests.bench.support.shortfall import Case, TapeScene, draw, work
from tests.support.engines import Panel, make_forecasts, make_market, make_settings
from tests.support.fake_venue import BTC, ETH, MINUTE, RULES, MemoryJournal, approved
from tests.unit.test_execution_crash import DyingVenue, Life, check
from tune.backtest import make_backtest
from tune.simulate import simulate

CLOSE = MINUTE + MINUTE_MS
CALM = Sight(
    half_spread=2e-4,
    tick=1e-5,
    sigma=5e-4,
    volume=1_000.0,
    left=2.0,
    crossed=0.0,
    minutes_left=1.0,
    look=1 / 30,
    waited=0.0,
    urgency=1.0,
    decay=0.0,
    maker_saves=0.0,
    coefficient=1.0,
)


def test_it_rests_where_the_spread_is_wide_and_the_market_calm():
    assert choose(CALM).cross == 0.0


@pytest.mark.parametrize(
    "change",
    [
        {"sigma": 4e-3, "left": 0.1},  # waiting is risky
        {"urgency": 10.0},
        {"half_spread": 5e-6},  # crossing is cheap
        {"decay": 0.1},  # the forecast is gone soon
        {"waited": 0.9, "sigma": 1e-3},  # patience is over
        {"minutes_left": 0.0},
        {"volume": float("nan")},
    ],
)
def test_it_crosses_where_waiting_costs_more(change):
    assert choose(CALM._replace(**change)).cross == 1.0


def with_levels(*levels: tuple[float, float]) -> Sight:
    """A large order in a narrow market, these levels displayed (log price beyond the touch, base units)."""
    beyond, sizes = walked(tuple((100.0 * (1.0 + beyond), size) for beyond, size in levels), 100.0, 100.0)
    return CALM._replace(half_spread=1e-6, left=60.0, sigma=1e-3, beyond=beyond, sizes=sizes)


def test_what_is_displayed_is_what_crossing_costs():
    law = with_levels()
    assert choose(law).cross < 1.0
    # All it wants stands at the touch.
    assert impact(with_levels((0.0, 60.0)), 60.0) == 0.0 and choose(with_levels((0.0, 60.0))).cross == 1.0
    # Level by level, and behind them the law, from where they end.
    two = with_levels((0.0, 20.0), (1e-4, 20.0))
    assert impact(two, 40.0) == pytest.approx(0.5e-4)
    behind = 60.0 * impact(law, 60.0) - 40.0 * impact(law, 40.0)
    assert impact(two, 60.0) == pytest.approx((20.0 * 1e-4 + max(behind, 20.0 * 1e-4)) / 60.0)
    assert impact(with_levels((0.0, 1.0), (1.0, 1.0)), 60.0) == pytest.approx(59.0 / 60.0)


def test_who_would_stand_behind_a_long_queue_crosses():
    patient = CALM._replace(half_spread=5e-5, tick=1e-4)
    assert choose(patient).cross == 0.0
    assert choose(patient._replace(queue=200.0)).cross == 1.0
    # Inside the spread nobody stands before it.
    wide = CALM._replace(half_spread=5e-4, queue=1e4)
    assert choose(wide).cross == 0.0 and choose(wide).inside > 0.0


def test_no_wait_is_shorter_than_a_look():
    crossing = choose(CALM).crossing
    longest = (PATIENCE * crossing / (CALM.urgency * CALM.sigma)) ** 2
    assert choose(CALM._replace(look=1.01 * longest)).cross == 1.0


def test_a_large_order_is_crossed_in_part():
    found = choose(CALM._replace(half_spread=5e-5, left=60.0, sigma=1e-3))
    assert 0.0 < found.cross < 1.0


def test_waiting_costs_more_the_longer_it_takes():
    costs = [waiting_cost(CALM, quantity, -CALM.half_spread, 1.0, 0.0) for quantity in (1.0, 100.0, 400.0, 2_000.0)]
    assert costs == sorted(costs) and costs[0] < 0.0 < costs[-1]


class Story:
    """One adaptive parent, its venue played by hand."""

    def __init__(self, quantity: str = "1", side: Side = Side.BUY, **settings) -> None:
        settings = ExecutionSettings(**{"algorithm": "adaptive", "reprice_seconds": 10, "urgency": 0.1} | settings)
        self.machine = ExecutionMachine(settings, RULES, "main")
        self.sent: list[PlaceOrder] = []
        self.side, self.number = side, 0
        self.start(quantity)

    def start(self, quantity: str, minute: int = MINUTE) -> list:
        limit = "102" if self.side is Side.BUY else "98"
        intent = replace(approved(quantity, self.side, price=limit, minute=minute), reference_price=100.0)
        seen = Conditions(instrument=BTC, traded=500.0, volume=500.0, sigma=5e-4, rate=1.0, bid=99.9, ask=100.1)
        return self.take(
            MinuteStarted(minute=minute, now_ms=minute + MINUTE_MS, approved=(intent,), conditions=(seen,))
        )

    def take(self, stimulus) -> list:
        out = self.machine.handle(stimulus)
        self.machine.validate()
        for one in out:
            if isinstance(one, PlaceOrder):
                assert one.client_id not in {o.client_id for o in self.sent}
                self.sent.append(one)
        return out

    def look(self, second: int, bid: float = 99.9, ask: float = 100.1) -> list:
        top = Top(bid=bid, bid_qty=5.0, ask=ask, ask_qty=5.0, at_ms=CLOSE + second * 1_000)
        assert self.take(BookSeen(instrument=BTC, top=top)) == []
        out = self.take(Beat(now_ms=CLOSE + second * 1_000))
        return [one for one in out if not isinstance(one, QueryOrder)]

    def says(self, order: PlaceOrder, state: OrderState, executed: str = "0") -> OrderSnapshot:
        fills = ()
        if Decimal(executed):
            self.number += 1
            fills = (
                Fill(
                    client_id=order.client_id,
                    instrument=BTC,
                    trade_id=str(self.number),
                    side=order.side,
                    quantity=Decimal(executed),
                    price=order.price,
                    fee=Decimal(0),
                    fee_asset="USDT",
                    maker=True,
                    at_ms=CLOSE,
                ),
            )
        return OrderSnapshot(
            client_id=order.client_id,
            venue_id="1",
            instrument=BTC,
            side=order.side,
            state=state,
            quantity=order.quantity,
            price=order.price,
            executed=Decimal(executed),
            at_ms=CLOSE,
            fills=fills,
        )


@pytest.mark.parametrize("side", Side)
def test_it_rests_inside_the_touch_follows_the_market_and_crosses_at_the_end(side):
    story = Story(side=side)
    sign = 1 if side is Side.BUY else -1
    (first,) = story.sent
    assert first.time_in_force is TimeInForce.GTC and first.quantity == 1
    assert Decimal("99.9") <= first.price <= Decimal("100.1")
    story.take(Placed(snapshot=story.says(first, OrderState.OPEN)))
    assert story.look(10) == []
    # The market moves away by a little: the order is taken back, then sent again at a better price.
    away = 0.02 * sign
    (cancel,) = story.look(20, 99.9 + away, 100.1 + away)
    assert isinstance(cancel, CancelOrder) and cancel.client_id == first.client_id
    (second,) = story.take(CancelDone(snapshot=story.says(first, OrderState.CANCELLED, "0.4")))
    assert second.quantity == Decimal("0.6") and (second.price - first.price) * sign > 0
    story.take(Placed(snapshot=story.says(second, OrderState.OPEN)))
    # The last look of its life.
    (cancel,) = story.look(50, 99.9 + away, 100.1 + away)
    (third,) = story.take(CancelDone(snapshot=story.says(second, OrderState.CANCELLED)))
    assert third.time_in_force is TimeInForce.IOC and third.quantity == Decimal("0.6")
    assert third.price == (Decimal(102) if side is Side.BUY else Decimal(98))
    story.take(Placed(snapshot=story.says(third, OrderState.FILLED, "0.6")))
    parent = story.machine.books.parents[MINUTE, BTC]
    assert (parent.executed, parent.open, parent.unsent, parent.abandoned) == (1, 0, 0, 0) and parent.closed


@pytest.mark.parametrize("answer", ["refused", "cancelled"])
def test_what_rests_never_takes_and_a_market_that_came_first_is_priced_anew(answer):
    story = Story()
    (first,) = story.sent
    assert first.post_only
    # Binance refuses such an order, Upbit takes it and cancels it.
    refused = PlaceRefused(client_id=first.client_id, code="-2010", text="Order would immediately match and take.")
    taken = Placed(snapshot=story.says(first, OrderState.CANCELLED))
    assert story.take(refused if answer == "refused" else taken) == []
    parent = story.machine.books.parents[MINUTE, BTC]
    assert not parent.closed and (parent.unsent, parent.open) == (1, 0)
    assert story.machine.books.orders[first.client_id].state is not OrderState.REJECTED
    (second,) = story.look(10, 99.7, 99.9)
    assert second.post_only and second.quantity == 1 and second.price < first.price
    story.take(Placed(snapshot=story.says(second, OrderState.OPEN)))
    story.look(50, 99.7, 99.9)
    (last,) = story.take(CancelDone(snapshot=story.says(second, OrderState.CANCELLED)))
    assert not last.post_only and last.time_in_force is TimeInForce.IOC


def test_such_a_refusal_says_nothing_of_the_rules_and_another_one_ends_the_parent():
    text = "Order would immediately match and take."
    watch = RulesWatch()
    watch.hear(PlaceRefused(client_id="x", code="-2010", text=text))
    assert not watch.due(Story().machine.config)
    watch.hear(PlaceRefused(client_id="x", code="-1013", text="Filter failure: LOT_SIZE"))
    assert watch.due(Story().machine.config)
    story = Story()
    story.take(PlaceRefused(client_id=story.sent[0].client_id, code="-2010", text="Market is closed."))
    assert story.machine.books.parents[MINUTE, BTC].closed


@pytest.mark.parametrize("side", Side)
def test_where_the_far_touch_is_past_the_limit_it_rests_there_and_sends_nothing_to_expire(side):
    story = Story(side=side)
    sign = 1 if side is Side.BUY else -1
    (first,) = story.sent
    story.take(Placed(snapshot=story.says(first, OrderState.OPEN)))
    # Patience is over, and the market is beyond the limit.
    story.look(40, 99.9 + 3 * sign, 100.1 + 3 * sign)
    (second,) = story.take(CancelDone(snapshot=story.says(first, OrderState.CANCELLED)))
    assert second.post_only and second.quantity == 1
    assert second.price == (Decimal(102) if side is Side.BUY else Decimal(98))


def test_who_comes_back_empty_time_and_again_rests_until_the_last_look():
    story = Story(urgency=10.0, reprice_seconds=8)
    story.take(Placed(snapshot=story.says(story.sent[0], OrderState.OPEN)))
    assert story.look(8) == []
    # Its patience is over at the next look.
    story.look(16)
    story.take(CancelDone(snapshot=story.says(story.sent[0], OrderState.CANCELLED)))
    for second in (16, 24, 32):
        if second > 16:
            story.look(second)
        assert story.sent[-1].time_in_force is TimeInForce.IOC
        story.take(Placed(snapshot=story.says(story.sent[-1], OrderState.EXPIRED)))
    (rests,) = story.look(40)
    assert rests.post_only and rests.quantity == 1
    story.take(Placed(snapshot=story.says(rests, OrderState.OPEN)))
    story.look(56)
    (last,) = story.take(CancelDone(snapshot=story.says(rests, OrderState.CANCELLED)))
    assert last.time_in_force is TimeInForce.IOC


def test_nothing_stays_in_the_book_over_a_minutes_end_and_the_next_one_goes_on():
    story = Story(horizon_minutes=3)
    (first,) = story.sent
    story.take(Placed(snapshot=story.says(first, OrderState.OPEN)))
    (cancel,) = story.look(50)
    assert isinstance(cancel, CancelOrder)
    assert story.take(CancelDone(snapshot=story.says(first, OrderState.CANCELLED, "0.25"))) == []
    story.start("0.75", MINUTE + MINUTE_MS)
    parent = story.machine.books.parents[MINUTE + MINUTE_MS, BTC]
    assert parent.stage.age == 1 and parent.stage.before == 250


def test_an_unknown_outcome_holds_everything_back():
    story = Story()
    (first,) = story.sent
    story.take(OutcomeUnclear(client_id=first.client_id, text="timed out", now_ms=CLOSE + 100))
    for second in (10, 20, 30, 40, 50):
        assert story.look(second) == []
    assert len(story.sent) == 1


def test_without_a_book_it_waits_and_still_ends():
    story = Story()
    (first,) = story.sent
    story.take(Placed(snapshot=story.says(first, OrderState.OPEN)))
    story.take(BookSeen(instrument=BTC, top=None))
    assert [o for o in story.take(Beat(now_ms=CLOSE + 10_000)) if not isinstance(o, QueryOrder)] == []
    assert any(isinstance(o, CancelOrder) for o in story.take(Beat(now_ms=CLOSE + 50_000)))
    (last,) = story.take(CancelDone(snapshot=story.says(first, OrderState.CANCELLED)))
    assert last.time_in_force is TimeInForce.IOC and last.quantity == 1


def test_it_does_not_chase_itself():
    story = Story()
    (first,) = story.sent
    story.take(Placed(snapshot=story.says(first, OrderState.OPEN)))
    for second in (10, 20, 30):
        top = Top(bid=float(first.price), bid_qty=1.0, ask=100.1, ask_qty=5.0, at_ms=CLOSE + second * 1_000)
        story.take(BookSeen(instrument=BTC, top=top))
        out = story.take(Beat(now_ms=CLOSE + second * 1_000))
        assert not any(isinstance(one, PlaceOrder | CancelOrder) for one in out)


def test_the_compiled_engine_refuses_it_by_name():
    settings, market = make_settings(1, execution__algorithm="adaptive"), make_market(1, 20)
    with pytest.raises(ConfigError, match=r"adaptive rests orders.*backtest --exact"):
        simulate(settings, market, make_forecasts(market), cash=Decimal(1_000))


def clearly_cheaper(costs: np.ndarray, others: list[np.ndarray]) -> bool:
    """Below each of the others by a quarter of a basis point in the mean and by half of one in the 95th percentile."""
    return all(
        costs.mean() <= other.mean() - 0.25 and np.quantile(costs, 0.95) <= np.quantile(other, 0.95) - 0.5
        for other in others
    )


def test_on_the_simulated_exchange_it_costs_clearly_less_than_the_others():
    scenes = [TapeScene(tape, CostSettings(), wandering=True) for tape in synthetic(1, markets=1)]
    cases = draw(scenes, 60, np.random.default_rng(1))
    compared = algorithms(1) | {"hasty": ExecutionSettings(algorithm="adaptive", urgency=10.0)}
    done = {name: [work(scenes[0], case, rules) for case in cases] for name, rules in compared.items()}
    costs = {name: np.array([one.shortfall_bps for one in outcomes]) for name, outcomes in done.items()}
    others = [costs[name] for name in ("immediate", "twap", "vwap")]
    assert clearly_cheaper(costs["adaptive"], others)
    # The measure can tell: who never waits earns nothing by it, who waits without resting pays the risk.
    assert not clearly_cheaper(costs["hasty"], others)
    assert not clearly_cheaper(costs["twap"], [costs["immediate"]])
    assert np.mean([one.maker for one in done["adaptive"]]) > 0.05
    assert all(one.maker == 0.0 for one in done["immediate"])
    assert all(one.forced == 0.0 for outcomes in done.values() for one in outcomes)


def test_patience_ends_by_volatility_whatever_the_price_did():
    lively = CALM._replace(sigma=1e-3)
    crossing = choose(lively).crossing
    longest = (PATIENCE * crossing / (lively.urgency * lively.sigma)) ** 2
    assert 0.0 < longest < lively.minutes_left
    assert choose(lively._replace(waited=0.9 * longest)).cross < 1.0
    assert choose(lively._replace(waited=1.01 * longest)).cross == 1.0
    assert choose(lively._replace(waited=0.3 * longest, urgency=2.0)).cross == 1.0


def test_the_measure_is_what_was_paid_against_the_arrival_mid():
    # A market that stands still.
    bars = np.tile([100.0, 100.0, 100.0, 100.0, 5_000.0], (1, 400, 1))
    scene = TapeScene(Tape((BTC,), MINUTE, bars), CostSettings(half_spread_default_bps=5.0))
    minute = MINUTE + 200 * MINUTE_MS
    top = scene.venue_at(0, minute).tops((BTC,))[BTC]
    mid = 0.5 * (top.bid + top.ask)
    for side, touch in ((Side.BUY, top.ask), (Side.SELL, top.bid)):
        case = Case(market=0, row=0, minute=minute, side=side, share=4e-5, lots=20_000, arrival=mid)
        found = work(scene, case, ExecutionSettings(algorithm="immediate"))
        assert found.shortfall_bps == pytest.approx(abs(touch / mid - 1.0) * 1e4, abs=1e-9)
        assert found.shortfall_bps > 4.0 and (found.maker, found.forced, found.minutes) == (0.0, 0.0, 1)
        # Who rests in a market that does not move away earns what the other pays.
        patient = work(scene, case, ExecutionSettings(algorithm="adaptive"))
        assert patient.maker == 1.0 and patient.shortfall_bps < 0.0


def test_a_backtest_works_it_minute_by_minute():
    rules = make_settings(2, execution__algorithm="adaptive", execution__urgency=0.2)
    market = make_market(2, 40)
    panel = Panel(market, make_forecasts(market), rules.rules.models.horizon_minutes)
    test = make_backtest(rules, market, panel, cash=Decimal(10_000))
    records = list(test.run())
    test.executor.machine.validate()
    fills = [fill for record in records for fill in record.fills]
    assert any(fill.maker for fill in fills) and any(not fill.maker for fill in fills)
    assert all(record.status in ("done", "closed") for record in records)
    # Whatever rested was taken back before the next decision: no balance was locked when a size was made of it.
    assert test.venue.open_orders() == () and not test.executor.machine.faults
    limits = {approved.intent_id: approved for record in records for approved in record.approved}
    for record in records:
        for order in record.orders:
            limit = limits[order.intent_id].limit_price
            assert order.price <= limit if order.side is Side.BUY else order.price >= limit


class SeenAt:
    """What the executor reads of a market of two coins that trade at 100."""

    def __init__(self, minute: int) -> None:
        self.minute, self.now_ms, self.instruments = minute, minute + MINUTE_MS, (BTC, ETH)
        self.bars = np.tile([100.0, 100.1, 99.9, 100.0, 50.0], (2, 100, 1))
        self.bars[:, ::2, 3] = 100.05
        self.quote_rate, self.bid, self.ask = np.ones(2), np.full(2, 99.9), np.full(2, 100.1)


class AdaptiveLife(Life):
    """Adaptive parents of two minutes' life, in a run that dies and begins again."""

    def begin(self) -> LocalExecutor:
        rules = ExecutionSettings(algorithm="adaptive", horizon_minutes=2, reprice_seconds=15, urgency=0.1)
        return LocalExecutor(ExecutionMachine(rules, RULES, "main"), self.venue, self.journal)

    def run(self) -> None:
        for number in range(3):
            minute = MINUTE + number * MINUTE_MS
            self.step(lambda e, at=minute: e.account(at + MINUTE_MS))
            self.step(lambda e, at=minute: self.reports.append(e.execute(SeenAt(at), self.verdicts(at))))
            for second in (15, 30, 45):
                self.venue.now_ms = minute + MINUTE_MS + second * 1_000
                self.venue.mids = dict.fromkeys((BTC, ETH), 100.0 + 0.001 * second)
                self.step(lambda e: e.beat(self.venue.now_ms))
        for late in range(3):
            self.step(lambda e, at=MINUTE + 4 * MINUTE_MS + late * 5_000: e.account(at))
        self.step(lambda e: e.stop(MINUTE + 5 * MINUTE_MS))
        self.step(lambda e: e.account(MINUTE + 5 * MINUTE_MS + 10_000))


@pytest.mark.parametrize("seed", range(30))
def test_killed_in_the_middle_it_loses_nothing_and_sends_nothing_twice(seed):
    rng = np.random.default_rng(seed)
    outcomes = ("rest", "rest", "half", "fill", "none", "lost-rest", "lost-half", "lost-before", "unavailable")
    venue, journal = DyingVenue(rng.choice(outcomes, 60).tolist()), MemoryJournal()
    life = AdaptiveLife(venue, journal)
    at = int(rng.integers(1, 7))
    if seed % 3 == 0:
        venue.crash_after = at
    elif seed % 3 == 1:
        journal.crash_before = at
    else:
        journal.crash_after = at
    life.run()
    assert life.deaths == 1
    check(life)
    assert any(held.placed.time_in_force is TimeInForce.GTC for held in venue.history)
