"""A simulated exchange over a market whose last minutes are written by hand."""

from collections.abc import Sequence
from decimal import Decimal as D

import numpy as np

from core.params import CostSettings
from core.units import MINUTE_MS, Instrument, Side
from exchanges.simulated.exchange import SimulatedExchange
from exchanges.simulated.filters import Limits
from exchanges.simulated.orders import OrderRequest, OrderType
from exchanges.simulated.tape import Tape

START = 1_767_225_600_000
PAST = 130
"""Quiet minutes before the story, for the windows to fill."""
BEGIN = START + PAST * MINUTE_MS
PRICE = 60_000.0
BTC = Instrument("binance", "BTC/USDT")
BNB = Instrument("binance", "BNB/USDT")
MONEY = {"USDT": D(100_000), "BTC": D(1)}
AT_ONCE = CostSettings(latency=False, participation=False)
"""What is shown is what is met."""

Ohlc = tuple[float, float, float, float]


def steady(minutes: int, price: float = PRICE, reach: float = 5.0) -> list[Ohlc]:
    return [(price, price + reach, price - reach, price)] * minutes


def story(
    bars: Sequence[Ohlc],
    balances=MONEY,
    costs: CostSettings = AT_ONCE,
    limits: Limits | None = None,
    volume: float = 50.0,
    bnb_price: float | None = None,
) -> SimulatedExchange:
    """BTC/USDT stands at ``PRICE`` until BEGIN, then goes through ``bars``; BNB/USDT, where wanted, stands still."""
    minutes = [*steady(PAST), *bars]
    rows = [[(*bar, volume) for bar in minutes]]
    instruments = [BTC]
    if bnb_price is not None:
        rows.append([(*bar, 1_000.0) for bar in steady(len(minutes), bnb_price, bnb_price / 10_000)])
        instruments.append(BNB)
    tape = Tape(tuple(instruments), START, np.array(rows, dtype=np.float64))
    return SimulatedExchange(tape, tape.default_rules(costs), balances, BEGIN, limits, costs)


def request(side: Side, kind: OrderType, quantity=None, price=None, **more) -> OrderRequest:
    """An order for BTC; numbers as they are read."""

    def number(value):
        return None if value is None else D(str(value))

    for name in ("stop_price", "quote_quantity", "iceberg"):
        if name in more:
            more[name] = number(more[name])
    return OrderRequest(instrument=BTC, side=side, type=kind, quantity=number(quantity), price=number(price), **more)
