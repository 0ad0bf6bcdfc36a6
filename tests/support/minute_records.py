"""Made-up minutes as a run would leave them, for tests of whatever keeps or shows records. Seeded; no market rule."""

import math
from decimal import Decimal

import numpy as np

from core.messages import (
    Approved,
    Fill,
    MarketEvent,
    MemberVote,
    MinuteRecord,
    OrderReport,
    OrderState,
    Refused,
)
from core.units import MINUTE_MS, Instrument, Side

FIRST_MINUTE = 1_767_312_000_000
"""2026-01-02 00:00 UTC."""
INSTRUMENTS = tuple(Instrument("binance", f"{base}/USDT") for base in ("BTC", "ETH", "BNB", "SOL", "XRP"))
PRICES = (88_412.35, 3_021.44, 861.2, 127.93, 1.8734)
MEMBERS = ("ridge", "tcn", "rules")
STEPS = (("cache", 3.1), ("detector", 0.4), ("models", 41.0), ("selector", 0.3), ("risk", 0.6), ("executor", 9.0))


class MadeUpRun:
    """Minute after minute of a plausible run: a wandering account, trades now and then, all kinds of trouble."""

    def __init__(self, seed: int = 7, minutes_first: int = FIRST_MINUTE) -> None:
        self._chance = np.random.default_rng(seed)
        self._minute = minutes_first
        self._prices = np.array(PRICES)
        self._held = np.array([0.0121, 0.31, 0.0, 6.2, 0.0])
        self._cash = 10_000.0 - float(self._held @ self._prices)

    def next(self) -> MinuteRecord:
        """The next minute's record."""
        chance, minute = self._chance, self._minute
        self._minute += MINUTE_MS
        number = (minute - FIRST_MINUTE) // MINUTE_MS
        self._prices *= np.exp(chance.normal(0.00002, 0.0007, 5))
        if number % 47 == 31:
            return MinuteRecord(
                minute=minute, trace=f"{minute:x}", status="missed", reason="late: no record within 20 s"
            )
        edge = chance.normal(2, 9, 5)
        votes = _votes(chance, edge, silent="tcn" if number % 29 == 17 else "")
        target = tuple(
            math.nan if 2 <= value < 12 else 0.0 if value < 2 else min(1.0, value / 30) for value in edge.tolist()
        )
        approved, refused, orders, fills = self._trades(minute, number, edge, target)
        fresh = tuple(not (number % 41 > 36 and row == 4) for row in range(5))
        equity = self._cash + float(self._held @ self._prices)
        return MinuteRecord(
            minute=minute,
            trace=f"{minute:x}",
            status="done",
            input_hash=chance.bytes(32).hex(),
            instruments=INSTRUMENTS,
            equity=equity,
            close=tuple(self._prices.tolist()),
            position=tuple(self._held.tolist()),
            fresh=fresh,
            regime=("calm", "calm", "trend", "turbulent")[number // 23 % 4],
            events=(MarketEvent(kind="volatility_shock", instrument=INSTRUMENTS[3], size=4.2),)
            if number % 19 == 7
            else (),
            votes=votes,
            weights_version="tuned-3f2a",
            edge_bps=tuple(edge.tolist()),
            target=target,
            state="reducing" if number % 90 > 84 else "active",
            state_reason="daily_loss_pct: lost 5.02% of 10000.00 USDT, allowed 5%" if number % 90 > 84 else "",
            approved=approved,
            refused=refused,
            orders=orders,
            fills=fills,
            timings=tuple((step, took * float(chance.lognormal(0, 0.25))) for step, took in STEPS),
        )

    def many(self, count: int) -> list[MinuteRecord]:
        """``count`` minutes in a row."""
        return [self.next() for _ in range(count)]

    def _trades(
        self, minute: int, number: int, edge: np.ndarray, target: tuple[float, ...]
    ) -> tuple[tuple[Approved, ...], tuple[Refused, ...], tuple[OrderReport, ...], tuple[Fill, ...]]:
        approved, refused, orders, fills = [], [], [], []
        for row in range(5):
            intent, instrument, price = f"{minute}-{row}", INSTRUMENTS[row], float(self._prices[row])
            worth = self._held[row] * price
            if edge[row] > 16:
                quantity = Decimal(str(round(250 / price, 4)))
                limit = Decimal(str(round(price * 1.003, 4)))
                approved.append(
                    Approved(
                        intent_id=intent,
                        minute=minute,
                        instrument=instrument,
                        side=Side.BUY,
                        quantity=quantity,
                        limit_price=limit,
                        reference_price=price,
                        arithmetic=(
                            f"target {target[row]:.4f} of 30% of 10012.44 = {target[row] * 3003.7:.2f}",
                            f"held {self._held[row]:.10g} {instrument.base} = {worth:.2f}, change +250.00",
                            f"buy 25 lots of 0.0001 {instrument.base} = 250.00, limit mid +30 bps",
                        ),
                    )
                )
                state = OrderState.REJECTED if number % 13 == 5 else OrderState.PARTIAL
                done = quantity / 3 if state is OrderState.PARTIAL else Decimal(0)
                orders.append(
                    OrderReport(
                        client_id=f"mh-a1-{minute:x}-{row}-0",
                        intent_id=intent,
                        instrument=instrument,
                        side=Side.BUY,
                        state=state,
                        quantity=quantity,
                        price=limit,
                        executed=done.quantize(Decimal("0.0001")),
                        reason="Filter failure: NOTIONAL" if state is OrderState.REJECTED else "",
                    )
                )
                if state is OrderState.PARTIAL:
                    fills.append(_fill(minute, row, done.quantize(Decimal("0.0001")), price))
                    self._held[row] += float(done)
                    self._cash -= float(done) * price
            elif 13 < edge[row] <= 16:
                refused.append(
                    Refused(
                        intent_id=intent,
                        minute=minute,
                        instrument=instrument,
                        reason="max_position_pct: buy 412.10 USDT, 88.90 USDT are allowed; below min_order_usdt 50",
                        arithmetic=(
                            f"target {target[row]:.4f} of 30% of 10012.44 = {target[row] * 3003.7:.2f}",
                            "max_position_pct allows 88.90",
                        ),
                    )
                )
        return tuple(approved), tuple(refused), tuple(orders), tuple(fills)


def _votes(chance: np.random.Generator, edge: np.ndarray, silent: str) -> tuple[MemberVote, ...]:
    speaking = [member for member in MEMBERS if member != silent]
    votes = []
    for member in MEMBERS:
        spoke = member in speaking
        mean = tuple((edge + chance.normal(0, 3, 5)).tolist()) if spoke else (math.nan,) * 5
        stdev = tuple(chance.uniform(18, 44, 5).tolist()) if spoke else (math.nan,) * 5
        votes.append(
            MemberVote(
                member=member,
                version="2026-01-01T04",
                spoke=spoke,
                silence="" if spoke else "late: no answer within 5000 ms",
                weight=1 / len(speaking) if spoke else 0.0,
                mean_bps=mean,
                stdev_bps=stdev,
            )
        )
    return tuple(votes)


def _fill(minute: int, row: int, quantity: Decimal, price: float) -> Fill:
    return Fill(
        client_id=f"mh-a1-{minute:x}-{row}-0",
        instrument=INSTRUMENTS[row],
        trade_id=str(minute + row),
        side=Side.BUY,
        quantity=quantity,
        price=Decimal(str(round(price, 4))),
        fee=(quantity * Decimal(str(round(price, 4))) / 1000).quantize(Decimal("0.00000001")),
        fee_asset="USDT",
        maker=False,
        at_ms=minute + MINUTE_MS + 412,
    )
