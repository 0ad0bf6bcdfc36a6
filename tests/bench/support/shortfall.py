"""Implementation shortfall of many parents on the simulated exchange, each worked by several algorithms.

Every parent meets the market alone, from its decision at a minute's close: the exchange is made anew for it and for each
algorithm, so all see the same prices, book and volume. What is not done within the minute is approved again at the next
close, as the ensemble would; after ``MOST_MINUTES`` what is left is bought (sold) at once at any price. Resting orders
fill by the exchange's own rules: by queue, when volume passes their price, and when the price trades through them.
"""

import contextlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Protocol

import numpy as np

from core.book import IntArray
from core.execution.local import LocalExecutor
from core.execution.machine import ExecutionMachine
from core.execution.schedules.twap import least_order
from core.execution.schedules.volume_curve import learn_curve
from core.impact import IMPACT_MINUTES, flow_at
from core.liquidity import liquidity_at
from core.messages import CLOSE, Approved, FloatArray, TradingState, Verdicts
from core.params import CostSettings, ExecutionSettings, RiskSettings
from core.path import place_of
from core.session import beat_times, decision_ms
from core.units import BPS, MINUTE_MS, Instrument, MarketRules, Side, round_price, to_decimal
from exchanges.simulated.exchange import SimulatedExchange
from exchanges.simulated.ladder import EMPTY, Ladder
from exchanges.simulated.local import SimulatedVenue
from exchanges.simulated.market import SECOND_MS, Passage, TapeMarket
from exchanges.simulated.orders import OrderRequest, OrderType
from exchanges.simulated.refusals import VenueRefusal
from exchanges.simulated.tape import Tape

SMALLEST, LARGEST = 0.001, 0.05
"""Of a usual minute's volume."""
MOST_MINUTES = 8
COLLAR = RiskSettings().collar_bps / BPS
WINDOW = 240
RICH = Decimal(10) ** 12
LEAST_USDT = 10.0


@dataclass(frozen=True, slots=True)
class Case:
    """One parent: what is wanted, where and when."""

    market: int
    row: int
    minute: int
    side: Side
    share: float
    """Of a usual minute's volume."""
    lots: int
    arrival: float
    """Mid at the decision."""
    shift_ms: int = 0
    """By how much the executor's clock is ahead of the market's."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a parent."""

    shortfall_bps: float
    """Mean price paid above the arrival mid (a sale: below it); fees are not in it."""
    maker: float
    """Share done by resting orders."""
    minutes: int
    """Until it was done."""
    forced: float
    """Share that had to be done after the last minute."""


class WanderingMarket(TapeMarket):
    """A tape whose price wanders from a minute's open to its close second by second, where the simulated exchange's goes
    straight from one extreme to the next.

    A Brownian bridge with the variance that the bar's range tells (Parkinson 1980, "The Extreme Value Method for
    Estimating the Variance of the Rate of Return", J. Business 53), cut at the bar's high and low. So nobody can earn by
    following a price that goes on as it went, nor by giving up when it turns.
    """

    def __init__(self, tape: Tape, rules: dict[Instrument, MarketRules], costs: CostSettings, seed: int = 1) -> None:
        super().__init__(tape, rules, costs)
        self._seed = seed
        self._paths: dict[tuple[int, int], FloatArray] = {}

    def price(self, row: int, ms: int) -> float | None:
        elapsed, prices = self._prices(row, ms)
        if prices is None:
            return None
        index, _ = place_of(self.start_ms, ms, self.tape.minutes)
        path = self._path(row, index, *prices)
        second, rest = divmod(elapsed, SECOND_MS)
        if second >= 60:
            return prices[3]
        return float(path[second] + (path[second + 1] - path[second]) * rest / SECOND_MS)

    def _path(self, row: int, index: int, o: float, h: float, low: float, c: float) -> FloatArray:
        found = self._paths.get((row, index))
        if found is None:
            rng = np.random.default_rng((self._seed, row, index))
            sigma = np.log(h / low) / np.sqrt(4.0 * np.log(2.0))
            walk = np.concatenate([[0.0], np.cumsum(rng.normal(0.0, sigma / np.sqrt(60.0), 60))])
            bridge = walk - np.linspace(0.0, 1.0, 61) * (walk[-1] - np.log(c / o))
            found = np.clip(o * np.exp(bridge), low, h)
            found[-1] = c
            self._paths[row, index] = found
        return found

    def ladder(self, row: int, ms: int) -> Ladder:
        price = self.price(row, ms)
        if price is None:
            return EMPTY
        half = self._half_spread(row, ms, price)
        volume, sigma = liquidity_at(self._bars[row], self._epoch_index(ms), self._terms.min_volatility)
        return Ladder(*(self._side(row, buying, price, half, volume, sigma) for buying in (False, True)))

    def passage(self, row: int, second_ms: int) -> Passage | None:
        straight = super().passage(row, second_ms)
        if straight is None:
            return None
        start, end = self.price(row, second_ms - SECOND_MS), self.price(row, second_ms)
        return None if start is None or end is None else replace(straight, start=start, end=end)


class Scene(Protocol):
    """Where parents are worked: markets that can be traded in again and again."""

    instruments: tuple[Instrument, ...]
    rules: dict[Instrument, MarketRules]
    most_minutes: int
    """After so many minutes what is left of a parent is done at any price."""

    def venue(self, case: Case) -> SimulatedVenue:
        """An exchange of its own, at the close of the case's minute."""
        ...

    def bars(self, case: Case, minute: int) -> FloatArray:
        """(S, W, 5) known at the close of ``minute``."""
        ...

    def curve(self, case: Case) -> FloatArray | None:
        """The volume curve of the case's market as the days before it tell; None where there are none."""
        ...


class TapeScene:
    """``Scene`` over bars."""

    most_minutes = MOST_MINUTES

    def __init__(self, tape: Tape, costs: CostSettings, *, wandering: bool = False) -> None:
        self.tape, self.costs, self.instruments = tape, costs, tape.instruments
        self.rules = tape.default_rules(costs)
        self.market = (WanderingMarket if wandering else TapeMarket)(tape, self.rules, costs)

    def venue(self, case: Case) -> SimulatedVenue:
        return self.venue_at(case.row, case.minute)

    def venue_at(self, row: int, minute: int) -> SimulatedVenue:
        instrument = self.tape.instruments[row]
        money = {instrument.base: RICH, instrument.quote: RICH}
        return SimulatedVenue(SimulatedExchange(self.market, self.rules, money, decision_ms(minute), costs=self.costs))

    def bars(self, case: Case, minute: int) -> FloatArray:
        index = (minute - self.tape.start_minute) // MINUTE_MS
        return self.tape.bars[:, max(0, index + 1 - WINDOW) : index + 1]

    def curve(self, case: Case) -> FloatArray:
        index = (case.minute - self.tape.start_minute) // MINUTE_MS
        return learn_curve(self.tape.bars[case.row, : index + 1], self.tape.start_minute)


LONG_S = 20


def variance_ratio(prices: Iterable[FloatArray]) -> float:
    """Variance of the log return over 20 seconds, per second, over that of one second: 1 of a random walk, 20 of a
    price that goes straight (Lo & MacKinlay 1988, "Stock market prices do not follow random walks"). ``prices``: one a
    second, stretch by stretch."""
    long, short, many, few = 0.0, 0.0, 0, 0
    for stretch in prices:
        log = np.log(stretch)
        far, near = log[LONG_S:] - log[:-LONG_S], np.diff(log)
        long, short = long + float(far @ far), short + float(near @ near)
        many, few = many + len(far), few + len(near)
    return long / many / LONG_S / (short / few)


def minutes_seen(scenes: Sequence[TapeScene], count: int, rng: np.random.Generator) -> Iterator[FloatArray]:
    """(61,) prices a second of random minutes, as the market of a scene tells them."""
    for _ in range(count):
        scene = scenes[int(rng.integers(len(scenes)))]
        row, index = int(rng.integers(len(scene.instruments))), int(rng.integers(1, scene.tape.minutes))
        start = scene.tape.start_minute + index * MINUTE_MS
        told = [scene.market.price(row, start + second * SECOND_MS) for second in range(61)]
        prices = np.array([math.nan if price is None else price for price in told])
        if np.isfinite(prices).all() and np.ptp(prices) > 0.0:
            yield prices


class Seen:
    """What the executor reads of the market that was decided upon."""

    def __init__(self, scene: Scene, venue: SimulatedVenue, case: Case, minute: int) -> None:
        self.minute, self.now_ms, self.instruments = minute, decision_ms(minute), scene.instruments
        self.bars = scene.bars(case, minute)
        self.quote_rate = np.ones(len(scene.instruments))
        tops = venue.tops(scene.instruments)
        self.bid = np.array([tops[i].bid if i in tops else np.nan for i in scene.instruments])
        self.ask = np.array([tops[i].ask if i in tops else np.nan for i in scene.instruments])


def draw(scenes: Sequence[TapeScene], parents: int, rng: np.random.Generator) -> list[Case]:
    """So many parents at random minutes, sizes even in the logarithm; only the past decides what a usual volume is.

    They come in pairs, a purchase and a sale of the same: what the market happened to do while they were worked cancels
    in their mean, which then needs thousands of parents less (antithetic variates).

    Raises ValueError where the markets have not enough minutes that trade.
    """
    found: list[Case] = []
    for _ in range(100 * parents):
        if len(found) >= parents:
            return found
        number = int(rng.integers(len(scenes)))
        tape, rules = scenes[number].tape, scenes[number].rules
        row = int(rng.integers(len(tape.instruments)))
        index = int(rng.integers(WINDOW, tape.minutes - MOST_MINUTES - 3))
        share = float(np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST))))
        volume, sigma = flow_at(tape.bars[row], index, IMPACT_MINUTES)
        step = float(rules[tape.instruments[row]].step)
        lots = int(volume * share / step) if volume > 0.0 else 0
        if not (sigma > 0.0 and lots * step * tape.bars[row, index, CLOSE] >= LEAST_USDT):
            continue
        minute = tape.start_minute + index * MINUTE_MS
        top = scenes[number].venue_at(row, minute).tops((tape.instruments[row],)).get(tape.instruments[row])
        if top is not None:
            mid = 0.5 * (top.bid + top.ask)
            found += [Case(number, row, minute, side, share, lots, mid) for side in Side]
    raise ValueError(f"only {len(found)} of {parents} parents could be placed in these markets")


def work(scene: Scene, case: Case, settings: ExecutionSettings) -> Outcome:
    """Let one parent be worked by the executor of a LocalDesk."""
    instrument = scene.instruments[case.row]
    rules, venue = scene.rules[instrument], scene.venue(case)
    curve = scene.curve(case) if settings.algorithm == "vwap" else None
    curves = None if curve is None else {instrument: curve}
    executor = LocalExecutor(ExecutionMachine(settings, scene.rules, "bench"), venue, curves=curves)
    whole, minute, minutes = case.lots * rules.step, case.minute, 0
    left = whole
    while minutes < scene.most_minutes:
        approved = approve(venue, case, minute, left, rules)
        if approved is None:
            break
        executor.execute(Seen(scene, venue, case, minute), said(minute, approved))  # type: ignore[arg-type]
        for now in beat_times(minute, settings):
            venue.advance_to(now)
            executor.beat(now)
        minute, minutes = minute + MINUTE_MS, minutes + 1
        venue.advance_to(decision_ms(minute))
        executor.account(venue.now_ms())
        left = whole - executed(venue, case.row)
    executor.stop(venue.now_ms())
    force(venue, case, rules, left)
    return outcome(venue, case, whole, left, minutes)


def approve(venue: SimulatedVenue, case: Case, minute: int, left: Decimal, rules: MarketRules) -> Approved | None:
    """What risk would let through at this minute's close; None where there is too little left, or no book."""
    top = venue.tops((rules.instrument,)).get(rules.instrument)
    if top is None:
        return None
    mid, sign = 0.5 * (top.bid + top.ask), 1.0 if case.side is Side.BUY else -1.0
    limit = round_price(to_decimal(mid * (1.0 + sign * COLLAR)), rules.tick, case.side)
    if left < least_order(rules, limit) * rules.step:
        return None
    return Approved(
        intent_id=f"{minute}",
        minute=minute,
        instrument=rules.instrument,
        side=case.side,
        quantity=left,
        limit_price=limit,
        reference_price=mid,
        arithmetic=(),
    )


def said(minute: int, approved: Approved) -> Verdicts:
    return Verdicts(
        minute=minute, trace="bench", state=TradingState.ACTIVE, state_reason="", approved=(approved,), refused=()
    )


def executed(venue: SimulatedVenue, row: int) -> Decimal:
    return sum((trade.quantity for trade in venue.exchange.my_trades(row)), Decimal(0))


def force(venue: SimulatedVenue, case: Case, rules: MarketRules, left: Decimal) -> None:
    """Take what is left at any price."""
    if not left:
        return
    market = OrderRequest(instrument=rules.instrument, side=case.side, type=OrderType.MARKET, quantity=left)
    with contextlib.suppress(VenueRefusal):  # below the smallest order, or nobody trades: it is priced at the touch
        venue.exchange.place(market)


def outcome(venue: SimulatedVenue, case: Case, whole: Decimal, left: Decimal, minutes: int) -> Outcome:
    trades = venue.exchange.my_trades(case.row)
    rest = float(whole - sum((t.quantity for t in trades), Decimal(0)))
    paid = float(sum((t.price * t.quantity for t in trades), Decimal(0)))
    if rest > 0.0:
        instrument = venue.exchange.instruments[case.row]
        top = venue.tops((instrument,)).get(instrument)
        price = case.arrival if top is None else top.ask if case.side is Side.BUY else top.bid
        paid += rest * price
    sign = 1.0 if case.side is Side.BUY else -1.0
    return Outcome(
        shortfall_bps=sign * (paid / float(whole) / case.arrival - 1.0) * BPS,
        maker=float(sum((t.quantity for t in trades if t.maker), Decimal(0)) / whole),
        minutes=minutes,
        forced=float(left / whole),
    )


@dataclass(frozen=True, slots=True)
class Band:
    """A figure with its 95 % confidence band."""

    value: float
    low: float
    high: float


MEAN, P95 = range(2)


def figures(shortfalls: FloatArray) -> FloatArray:
    """(2, ...) mean and 95th percentile over the last axis."""
    return np.stack([shortfalls.mean(axis=-1), np.quantile(shortfalls, 0.95, axis=-1)])


RESAMPLES = 2_000


def pairs_drawn(parents: int, rng: np.random.Generator) -> Iterator[IntArray]:
    """Bootstrap samples of parents that are independent, pair by pair (Efron 1979)."""
    for _ in range(RESAMPLES):
        pairs = rng.integers(0, parents // 2, parents // 2)
        yield np.concatenate([2 * pairs, 2 * pairs + 1])


def blocks_drawn(seconds: IntArray, span: int, block: int, rng: np.random.Generator) -> Iterator[IntArray]:
    """Bootstrap samples of parents that overlap in time: whole blocks of ``block`` seconds of the ``span`` in which they
    began, at random places of a circle (Politis & Romano 1992, "A circular block-resampling procedure")."""
    for _ in range(RESAMPLES):
        starts = rng.integers(0, span, -(-span // block))
        yield np.concatenate([np.flatnonzero((seconds - start) % span < block) for start in starts])


def bands(costs: dict[str, FloatArray], against: str, drawn: Iterable[IntArray]) -> dict[str, list[tuple[Band, Band]]]:
    """By algorithm, (figure, and figure of ``against`` less it) of mean and 95th percentile, as ``Band``.

    All algorithms are resampled together (``drawn``: rows of parents), as they worked the same ones.
    """
    names = list(costs)
    table = np.stack([costs[name] for name in names])
    resampled = np.stack([figures(table[:, rows]) for rows in drawn], axis=-1)  # (2, algorithms, resamples)
    whole, base = figures(table), names.index(against)
    return {
        name: [
            (
                _band(whole[f, k], resampled[f, k]),
                _band(whole[f, base] - whole[f, k], resampled[f, base] - resampled[f, k]),
            )
            for f in (MEAN, P95)
        ]
        for k, name in enumerate(names)
    }


def _band(value: float, resampled: FloatArray) -> Band:
    low, high = np.quantile(resampled, (0.025, 0.975))
    return Band(float(value), float(low), float(high))
