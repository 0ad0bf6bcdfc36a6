"""The filters of a market, checked as Binance does and refused in its words (binance-spot-api-docs, filters.md)."""

import re
from dataclasses import dataclass
from decimal import Decimal

from core.units import MarketRules, Side
from exchanges.simulated.orders import OrderRequest, OrderType
from exchanges.simulated.refusals import filter_failure, illegal, missing, not_needed, too_precise

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
    """Largest value of a limit order; market orders are free of it."""


def _decimals(value: Decimal) -> int:
    return max(0, -int(value.normalize().as_tuple().exponent))


def check_filters(
    request: OrderRequest, rules: MarketRules, limits: Limits, average: float | None, open_orders: int
) -> None:
    """Raise VenueRefusal on the first filter that fails. ``average`` is the recent mean price, if any."""
    for name, value in (
        ("price", request.price),
        ("quantity", request.quantity),
        ("quoteOrderQty", request.quote_quantity),
    ):
        if value is not None and _decimals(value) > DECIMALS:
            raise too_precise(name)
    mean = None if average is None else Decimal(repr(average))
    if request.price is not None:
        _check_price(request.price, request.side, rules, limits, mean)
    if request.quantity is not None:
        quantity = request.quantity
        if not rules.min_qty <= quantity <= rules.max_qty or quantity % rules.step:
            raise filter_failure("LOT_SIZE")
    value = _notional(request, mean)
    if value is not None and value < rules.min_notional:
        raise filter_failure("NOTIONAL")
    if value is not None and request.price is not None and value > limits.max_notional:
        raise filter_failure("NOTIONAL")
    if request.type is not OrderType.MARKET and open_orders >= limits.max_orders:
        raise filter_failure("MAX_NUM_ORDERS")


def _check_price(price: Decimal, side: Side, rules: MarketRules, limits: Limits, mean: Decimal | None) -> None:
    if price <= 0 or price % rules.tick or price > rules.tick * limits.max_price_ticks:
        raise filter_failure("PRICE_FILTER")
    if mean is not None and not mean * limits.multiplier_down <= price <= mean * limits.multiplier_up:
        raise filter_failure("PERCENT_PRICE_BY_SIDE")


def _notional(request: OrderRequest, mean: Decimal | None) -> Decimal | None:
    if request.quote_quantity is not None:
        return request.quote_quantity
    price = request.price if request.price is not None else mean
    return None if price is None or request.quantity is None else price * request.quantity


def check_shape(request: OrderRequest) -> None:
    """Which parameters go with which type (binance-spot-api-docs, rest-api.md, New order)."""
    if request.client_id and not re.match(CLIENT_ID, request.client_id):
        raise illegal("newClientOrderId", CLIENT_ID)
    if request.type is OrderType.MARKET:
        if request.price is not None:
            raise not_needed("price")
        if (request.quantity is None) == (request.quote_quantity is None):
            raise missing("quantity") if request.quantity is None else not_needed("quoteOrderQty")
        return
    if request.quote_quantity is not None:
        raise not_needed("quoteOrderQty")
    if request.quantity is None:
        raise missing("quantity")
    if request.price is None:
        raise missing("price")


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
            "maxQty": text(rules.max_qty),
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
        {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": 5},
    ]
