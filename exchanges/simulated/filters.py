"""The filters of a market, checked as Binance does and refused in its words (binance-spot-api-docs, filters.md)."""

import math
import re
from dataclasses import dataclass
from decimal import Decimal

from core.book import ANY
from core.checks import lot_ok, notional_ok, percent_price_ok
from core.costs import units_of
from core.units import MarketRules, to_decimal
from exchanges.simulated.orders import OrderRequest, OrderType, SimOrder
from exchanges.simulated.price_range import PriceRange
from exchanges.simulated.refusals import (
    amend_rejected,
    filter_failure,
    illegal,
    missing,
    neither,
    no_icebergs,
    not_needed,
    stp_not_allowed,
    too_precise,
)
from exchanges.simulated.selftrade import Stp

DECIMALS = 8
CLIENT_ID = r"^[\.A-Z\:/a-z0-9_-]{1,36}$"


@dataclass(frozen=True, slots=True)
class Limits:
    """What all markets of the simulated venue share."""

    max_orders: int = 200
    """Open orders per market."""
    multiplier_up: Decimal = Decimal(5)
    multiplier_down: Decimal = Decimal("0.2")
    average_minutes: int = 5
    max_price_ticks: int = 10**12
    max_notional: Decimal = Decimal(9_000_000)
    """Largest value of a limit order, in quote units; market orders are free of it."""
    max_notional_krw: Decimal = Decimal(1_000_000_000)
    market_lot_share: Decimal = Decimal("0.1")
    """Largest market order, as a share of the largest order."""
    max_algo_orders: int = 5
    """Open contingent orders per market."""
    min_trailing_bps: int = 10
    max_trailing_bps: int = 2_000
    stp_default: str = Stp.EXPIRE_MAKER
    stp_allowed: frozenset[str] = frozenset(Stp)
    price_range: PriceRange | None = None
    """Band in which orders may trade; None: anywhere."""
    max_order_lists: int = 20
    """Open order lists per market."""
    max_amends: int = 10
    """Times one order may be amended."""


def _decimals(value: Decimal) -> int:
    return max(0, -int(value.normalize().as_tuple().exponent))


def check_filters(
    request: OrderRequest, rules: MarketRules, limits: Limits, average: float | None, open_orders: int, algos: int = 0
) -> None:
    """Raise VenueRefusal on the first filter that fails. ``average`` is the recent mean price, if any; ``open_orders``
    of this market, ``algos`` of them contingent."""
    for name, value in (
        ("price", request.price),
        ("stopPrice", request.stop_price),
        ("quantity", request.quantity),
        ("quoteOrderQty", request.quote_quantity),
    ):
        if value is not None and _decimals(value) > DECIMALS:
            raise too_precise(name)
    if request.price is not None:
        _check_price(request.price, rules, limits, average)
    if request.stop_price is not None:
        _check_on_grid(request.stop_price, rules, limits)
    delta = request.trailing_delta
    if delta is not None and not limits.min_trailing_bps <= delta <= limits.max_trailing_bps:
        raise filter_failure("TRAILING_DELTA")
    if request.quantity is not None:
        _check_lot(request.quantity, rules)
        if request.type.at_market and request.quantity > rules.max_qty * limits.market_lot_share:
            raise filter_failure("MARKET_LOT_SIZE")
    value = _notional(request, average)
    if value is not None:
        # The largest value is for limit orders only.
        largest = limits.max_notional_krw if rules.instrument.quote == "KRW" else limits.max_notional
        most = value if request.price is None else units_of(largest)
        if not notional_ok(value, 1, 1, units_of(rules.min_notional), most):
            raise filter_failure("NOTIONAL")
    if request.type is not OrderType.MARKET and open_orders >= limits.max_orders:
        raise filter_failure("MAX_NUM_ORDERS")
    if request.type.contingent and algos >= limits.max_algo_orders:
        raise filter_failure("MAX_NUM_ALGO_ORDERS")


def check_amendment(quantity: Decimal, order: SimOrder, rules: MarketRules, limits: Limits) -> None:
    """Whether an open order may be reduced to ``quantity`` (filters.md; errors.md, -2038)."""
    if _decimals(quantity) > DECIMALS:
        raise too_precise("newQty")
    _check_lot(quantity, rules)
    if quantity > order.quantity:
        raise amend_rejected("Order amend (quantity increase) is not supported.")
    if quantity == order.quantity or quantity <= order.executed_quantity:
        raise amend_rejected("The requested action would change no state; rejecting")
    if order.price and units_of(quantity * order.price) < units_of(rules.min_notional):
        raise filter_failure("NOTIONAL")
    if len(order.amendments) >= limits.max_amends:
        raise amend_rejected("Filter failure: MAX_NUM_ORDER_AMENDS")


def _check_lot(quantity: Decimal, rules: MarketRules) -> None:
    # Not beyond the largest first: what no integer of steps holds is not to be divided.
    steps, off = divmod(min(quantity, rules.max_qty + rules.step), rules.step)
    if off or not lot_ok(int(steps), int(rules.min_qty / rules.step), int(rules.max_qty / rules.step)):
        raise filter_failure("LOT_SIZE")


def _check_on_grid(price: Decimal, rules: MarketRules, limits: Limits) -> int:
    """The price in ticks."""
    ticks, off = divmod(min(price, rules.tick * (limits.max_price_ticks + 1)), rules.tick)
    if off or not 0 < ticks <= limits.max_price_ticks:
        raise filter_failure("PRICE_FILTER")
    return int(ticks)


def _check_price(price: Decimal, rules: MarketRules, limits: Limits, average: float | None) -> None:
    ticks = _check_on_grid(price, rules, limits)
    mean = math.nan if average is None else average
    if not percent_price_ok(ticks, float(rules.tick), mean, float(limits.multiplier_down), float(limits.multiplier_up)):
        raise filter_failure("PERCENT_PRICE_BY_SIDE")


def _notional(request: OrderRequest, average: float | None) -> int | None:
    """Value in units of 1e-8 of the quote, where it is known."""
    if request.quote_quantity is not None:
        return min(units_of(request.quote_quantity), ANY)
    price = request.price
    if price is None and average is not None:
        price = to_decimal(average)
    return None if price is None or request.quantity is None else min(units_of(price * request.quantity), ANY)


def check_shape(request: OrderRequest, limits: Limits) -> None:
    """Which parameters go with which type (binance-spot-api-docs, rest-api.md, New order)."""
    if request.client_id and not re.fullmatch(CLIENT_ID, request.client_id):
        raise illegal("newClientOrderId", CLIENT_ID)
    if request.stp and request.stp not in limits.stp_allowed:
        raise stp_not_allowed()
    if request.iceberg:
        raise not_needed("icebergQty") if request.type.at_market else no_icebergs()
    if request.type.contingent:
        if request.stop_price is None and request.trailing_delta is None:
            raise neither("stopPrice", "trailingDelta")
    elif request.stop_price is not None or request.trailing_delta is not None:
        raise not_needed("trailingDelta" if request.stop_price is None else "stopPrice")
    if request.type is OrderType.MARKET:
        if (request.quantity is None) == (request.quote_quantity is None):
            raise missing("quantity") if request.quantity is None else not_needed("quoteOrderQty")
    elif request.quote_quantity is not None:
        raise not_needed("quoteOrderQty")
    elif request.quantity is None:
        raise missing("quantity")
    if (request.price is None) != request.type.at_market:
        raise missing("price") if request.price is None else not_needed("price")


def filter_list(rules: MarketRules, limits: Limits) -> list[dict]:
    """The same, as exchangeInfo states them."""

    def text(value: Decimal) -> str:
        return f"{value:.8f}"

    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": text(rules.tick),
            "maxPrice": text(rules.tick * limits.max_price_ticks),
            "tickSize": text(rules.tick),
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": text(rules.min_qty),
            "maxQty": text(rules.max_qty),
            "stepSize": text(rules.step),
        },
        {
            "filterType": "MARKET_LOT_SIZE",
            "minQty": text(Decimal(0)),
            "maxQty": text(rules.max_qty * limits.market_lot_share),
            "stepSize": text(Decimal(0)),
        },
        {
            "filterType": "PERCENT_PRICE_BY_SIDE",
            "bidMultiplierUp": str(limits.multiplier_up),
            "bidMultiplierDown": str(limits.multiplier_down),
            "askMultiplierUp": str(limits.multiplier_up),
            "askMultiplierDown": str(limits.multiplier_down),
            "avgPriceMins": limits.average_minutes,
        },
        {
            "filterType": "NOTIONAL",
            "minNotional": text(rules.min_notional),
            "applyMinToMarket": True,
            "maxNotional": text(limits.max_notional),
            "applyMaxToMarket": False,
            "avgPriceMins": limits.average_minutes,
        },
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": limits.max_orders},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": limits.max_algo_orders},
        {"filterType": "MAX_NUM_ORDER_LISTS", "maxNumOrderLists": limits.max_order_lists},
        {"filterType": "MAX_NUM_ORDER_AMENDS", "maxNumOrderAmends": limits.max_amends},
        {
            "filterType": "TRAILING_DELTA",
            "minTrailingAboveDelta": limits.min_trailing_bps,
            "maxTrailingAboveDelta": limits.max_trailing_bps,
            "minTrailingBelowDelta": limits.min_trailing_bps,
            "maxTrailingBelowDelta": limits.max_trailing_bps,
        },
    ]
