"""What the simulated Binance writes about its markets: rules, bars, books and trades as its documented JSON.

Formats from binance-spot-api-docs: rest-api.md, web-socket-streams.md.
"""

from decimal import Decimal

from core.units import Instrument, MarketRules
from exchanges.simulated.binance.klines import Kline
from exchanges.simulated.binance.payloads import amount, number, symbol_of
from exchanges.simulated.events import BookTop
from exchanges.simulated.filters import Limits, filter_list
from exchanges.simulated.orders import OrderType
from exchanges.simulated.prints import Print
from exchanges.simulated.selftrade import Stp

ORDER_TYPES = [str(kind) for kind in OrderType]


def kline_row(kline: Kline) -> list:
    """One row of GET /klines."""
    bar = kline.bar
    head = [bar.minute, number(bar.open), number(bar.high), number(bar.low), number(bar.close), number(bar.volume)]
    return [*head, kline.last_ms, amount(kline.money), kline.count, *map(amount, kline.taken), "0"]


def kline_frame(symbol: str, kline: Kline, final: bool, now_ms: int) -> dict:
    bar = kline.bar
    bought, paid = kline.taken
    return {
        "e": "kline",
        "E": now_ms,
        "s": symbol,
        "k": {
            "t": bar.minute,
            "T": kline.last_ms,
            "s": symbol,
            "i": kline.interval,
            "f": kline.first_id,
            "L": kline.last_id,
            "o": number(bar.open),
            "c": number(bar.close),
            "h": number(bar.high),
            "l": number(bar.low),
            "v": number(bar.volume),
            "n": kline.count,
            "x": final,
            "q": amount(kline.money),
            "V": amount(bought),
            "Q": amount(paid),
            "B": "0",
        },
    }


def book_ticker_frame(symbol: str, top: BookTop, update_id: int) -> dict:
    bid, bid_qty, ask, ask_qty = map(amount, top)
    return {"u": update_id, "s": symbol, "b": bid, "B": bid_qty, "a": ask, "A": ask_qty}


def book_ticker_row(symbol: str, top: BookTop) -> dict:
    bid, bid_qty, ask, ask_qty = map(amount, top)
    return {"symbol": symbol, "bidPrice": bid, "bidQty": bid_qty, "askPrice": ask, "askQty": ask_qty}


def plain(value: Decimal) -> str:
    """A Decimal without an exponent."""
    return format(value, "f")


def trade_row_public(trade: Print) -> dict:
    """One row of GET /trades."""
    return {
        "id": trade.number,
        "price": amount(trade.price),
        "qty": amount(trade.quantity),
        "quoteQty": amount(trade.price * trade.quantity),
        "time": trade.at_ms,
        "isBuyerMaker": trade.seller_took,
        "isBestMatch": True,
    }


def agg_trade_row(trade: Print) -> dict:
    """One row of GET /aggTrades: every trade is a group of its own."""
    return {
        "a": trade.number,
        "p": amount(trade.price),
        "q": amount(trade.quantity),
        "f": trade.number,
        "l": trade.number,
        "T": trade.at_ms,
        "m": trade.seller_took,
        "M": True,
    }


def agg_trade_frame(symbol: str, trade: Print) -> dict:
    return {"e": "aggTrade", "E": trade.at_ms, "s": symbol} | agg_trade_row(trade)


def trade_frame(symbol: str, trade: Print) -> dict:
    return {
        "e": "trade",
        "E": trade.at_ms,
        "s": symbol,
        "t": trade.number,
        "p": amount(trade.price),
        "q": amount(trade.quantity),
        "T": trade.at_ms,
        "m": trade.seller_took,
        "M": True,
    }


def symbol_row(rules: MarketRules, status: str, limits: Limits) -> dict:
    """One market of GET /exchangeInfo."""
    instrument = rules.instrument
    return {
        "symbol": symbol_of(instrument),
        "status": status,
        "baseAsset": instrument.base,
        "baseAssetPrecision": 8,
        "quoteAsset": instrument.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ORDER_TYPES,
        "icebergAllowed": False,
        "ocoAllowed": True,
        "otoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "opoAllowed": False,
        "allowTrailingStop": True,
        "cancelReplaceAllowed": True,
        "amendAllowed": True,
        "pegInstructionsAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": filter_list(rules, limits),
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": str(limits.stp_default),
        "allowedSelfTradePreventionModes": [str(mode) for mode in Stp if mode in limits.stp_allowed],
    }


def execution_rules(instrument: Instrument, limits: Limits) -> dict:
    """The rules of one market in GET /executionRules."""
    band = limits.price_range
    if band is None:
        return {"symbol": symbol_of(instrument), "rules": []}
    bounds = {
        "bidLimitMultUp": plain(band.bid_up),
        "bidLimitMultDown": plain(band.bid_down),
        "askLimitMultUp": plain(band.ask_up),
        "askLimitMultDown": plain(band.ask_down),
    }
    return {"symbol": symbol_of(instrument), "rules": [{"ruleType": "PRICE_RANGE"} | bounds]}
