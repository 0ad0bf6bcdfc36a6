"""A few orders on a made-up market, so that the rules that match them are compiled and loaded before the first real one."""

from decimal import Decimal

from core.units import MINUTE_MS, Side, floor_to_step
from exchanges.simulated.exchange import SimulatedExchange
from exchanges.simulated.orders import OrderRequest, OrderType
from exchanges.simulated.rules import DEFAULT_COSTS
from exchanges.simulated.walk import random_walk_tape

PAST_MINUTES = 180
"""More than the cost model looks back before it trusts its estimates."""
MONEY = Decimal(1_000)


def load_matching() -> None:
    """Take by quantity and by money, and let an order rest for a second. Takes seconds on a fresh machine."""
    tape = random_walk_tape(("BTC/USDT",), 0, PAST_MINUTES + 2)
    rules = tape.default_rules(DEFAULT_COSTS)
    exchange = SimulatedExchange(tape, rules, {"USDT": 10 * MONEY}, PAST_MINUTES * MINUTE_MS, costs=DEFAULT_COSTS)
    (instrument,) = exchange.instruments
    (rule,) = exchange.rules
    top = exchange.top(0)
    if top is None:
        return

    def order(type_: OrderType, price: Decimal, time_in_force: str) -> OrderRequest:
        return OrderRequest(
            instrument=instrument,
            side=Side.BUY,
            type=type_,
            quantity=floor_to_step(MONEY / price, rule.step),
            price=price,
            time_in_force=time_in_force,
        )

    exchange.place(order(OrderType.LIMIT, top.ask, "IOC"))
    exchange.place(OrderRequest(instrument=instrument, side=Side.BUY, type=OrderType.MARKET, quote_quantity=MONEY))
    exchange.place(order(OrderType.LIMIT_MAKER, top.bid, "GTC"))
    exchange.advance_to(exchange.now_ms + MINUTE_MS)
