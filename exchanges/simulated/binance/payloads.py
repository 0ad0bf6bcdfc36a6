"""What the simulated Binance writes: orders, trades, bars and events as its documented JSON.

Formats from binance-spot-api-docs: rest-api.md, web-socket-streams.md, user-data-stream.md. Amounts have 8 decimals
as at the venue; bar figures are the shortest decimal that reads back as the same float64, so nothing is lost.
"""

from decimal import Decimal

from core.messages import Bar
from core.units import MINUTE_MS, Instrument, MarketRules, Side
from exchanges.simulated.events import AccountMoved, BookTop, OrderMoved, Transferred
from exchanges.simulated.filters import Limits, filter_list
from exchanges.simulated.orders import Amendment, OrderType, SimOrder, Trade

ORDER_TYPES = [str(kind) for kind in OrderType]
STP = "EXPIRE_MAKER"
ZERO_TEXT = "0.00000000"


def symbol_of(instrument: Instrument) -> str:
    """``BTC/USDT`` as the venue writes it: ``BTCUSDT``."""
    return instrument.base + instrument.quote


def amount(value: Decimal) -> str:
    return f"{value:.8f}"


def number(value: float) -> str:
    """Shortest decimal text of a float, never with an exponent."""
    text = repr(value)
    return format(Decimal(text), "f") if "e" in text else text


def _money(bar: Bar) -> float:
    """Quote volume, estimated: a bar does not record it."""
    return bar.volume * (bar.open + bar.high + bar.low + bar.close) / 4.0


def kline_row(bar: Bar) -> list:
    """One row of GET /klines. Quote volume, trade count and taker volumes are estimates."""
    money = _money(bar)
    count = 0 if bar.filler else 1
    close_ms = bar.minute + MINUTE_MS - 1
    head = [bar.minute, number(bar.open), number(bar.high), number(bar.low), number(bar.close), number(bar.volume)]
    return [*head, close_ms, number(money), count, number(bar.volume / 2), number(money / 2), "0"]


def kline_frame(symbol: str, bar: Bar, final: bool, now_ms: int) -> dict:
    money = _money(bar)
    return {
        "e": "kline",
        "E": now_ms,
        "s": symbol,
        "k": {
            "t": bar.minute,
            "T": bar.minute + MINUTE_MS - 1,
            "s": symbol,
            "i": "1m",
            "f": -1,
            "L": -1,
            "o": number(bar.open),
            "c": number(bar.close),
            "h": number(bar.high),
            "l": number(bar.low),
            "v": number(bar.volume),
            "n": 0 if bar.filler else 1,
            "x": final,
            "q": number(money),
            "V": number(bar.volume / 2),
            "Q": number(money / 2),
            "B": "0",
        },
    }


def book_ticker_frame(symbol: str, top: BookTop, update_id: int) -> dict:
    bid, bid_qty, ask, ask_qty = map(amount, top)
    return {"u": update_id, "s": symbol, "b": bid, "B": bid_qty, "a": ask, "A": ask_qty}


def book_ticker_row(symbol: str, top: BookTop) -> dict:
    bid, bid_qty, ask, ask_qty = map(amount, top)
    return {"symbol": symbol, "bidPrice": bid, "bidQty": bid_qty, "askPrice": ask, "askQty": ask_qty}


def _order_head(order: SimOrder) -> dict:
    return {
        "symbol": symbol_of(order.instrument),
        "orderId": order.order_id,
        "orderListId": -1,
        "clientOrderId": order.client_id,
    }


def _order_body(order: SimOrder) -> dict:
    """What all answers about an order share, the fields that only some orders have at the end."""
    body = {
        "price": amount(order.price),
        "origQty": amount(order.quantity),
        "executedQty": amount(order.executed_quantity),
        "origQuoteOrderQty": amount(order.quote_quantity),
        "cummulativeQuoteQty": amount(order.quote_executed),
        "status": str(order.status),
        "timeInForce": order.time_in_force,
        "type": str(order.type),
        "side": order.side.value.upper(),
        "selfTradePreventionMode": STP,
    }
    if order.stop_price:
        body["stopPrice"] = amount(order.stop_price)
    if order.trailing_delta:
        body["trailingDelta"] = order.trailing_delta
        body["trailingTime"] = order.trailing_ms or -1
    if order.expiry:
        body["expiryReason"] = order.expiry
    return body


def new_order_answer(order: SimOrder, kind: str) -> dict:
    """Answer to POST /order; ``kind`` is ACK, RESULT or FULL."""
    answer = _order_head(order) | {"transactTime": order.created_ms}
    if kind == "ACK":
        return answer
    answer |= _order_body(order) | {"workingTime": order.working_ms}
    if kind == "FULL":
        answer["fills"] = [
            {
                "price": amount(t.price),
                "qty": amount(t.quantity),
                "commission": amount(t.fee),
                "commissionAsset": t.fee_asset,
                "tradeId": t.trade_id,
            }
            for t in order.trades
        ]
    return answer


def order_row(order: SimOrder) -> dict:
    """An order as GET /order and /openOrders show it."""
    return (
        _order_head(order)
        | _order_body(order)
        | {
            "stopPrice": amount(order.stop_price),
            "icebergQty": ZERO_TEXT,
            "time": order.created_ms,
            "updateTime": order.updated_ms,
            "isWorking": order.working_ms >= 0,
            "workingTime": order.working_ms,
        }
    )


def cancel_answer(order: SimOrder, cancel_id: str) -> dict:
    return (
        _order_head(order)
        | _order_body(order)
        | {"origClientOrderId": order.client_id, "clientOrderId": cancel_id, "transactTime": order.updated_ms}
    )


def amend_answer(order: SimOrder, done: Amendment) -> dict:
    """Answer to PUT /order/amend/keepPriority; its fields are not named as in other answers."""
    body = _order_head(order) | {
        "origClientOrderId": done.old_client_id,
        "price": amount(order.price),
        "qty": amount(order.quantity),
        "executedQty": amount(order.executed_quantity),
        "preventedQty": ZERO_TEXT,
        "quoteOrderQty": amount(order.quote_quantity),
        "cumulativeQuoteQty": amount(order.quote_executed),
        "status": str(order.status),
        "timeInForce": order.time_in_force,
        "type": str(order.type),
        "side": order.side.value.upper(),
        "workingTime": order.working_ms,
        "selfTradePreventionMode": STP,
    }
    return {"transactTime": done.at_ms, "executionId": done.execution_id, "amendedOrder": body}


def amendment_row(order: SimOrder, done: Amendment) -> dict:
    return {
        "symbol": symbol_of(order.instrument),
        "orderId": order.order_id,
        "executionId": done.execution_id,
        "origClientOrderId": done.old_client_id,
        "newClientOrderId": done.client_id,
        "origQty": amount(done.old_steps * order.step),
        "newQty": amount(done.steps * order.step),
        "time": done.at_ms,
    }


def trade_row(instrument: Instrument, trade: Trade) -> dict:
    return {
        "symbol": symbol_of(instrument),
        "id": trade.trade_id,
        "orderId": trade.order_id,
        "orderListId": -1,
        "price": amount(trade.price),
        "qty": amount(trade.quantity),
        "quoteQty": amount(trade.quote_quantity),
        "commission": amount(trade.fee),
        "commissionAsset": trade.fee_asset,
        "time": trade.at_ms,
        "isBuyer": trade.side is Side.BUY,
        "isMaker": trade.maker,
        "isBestMatch": True,
    }


def execution_report(event: OrderMoved) -> dict:
    order, trade = event.order, event.trade
    report = {
        "e": "executionReport",
        "E": event.at_ms,
        "s": symbol_of(order.instrument),
        "c": event.cancel_id or order.client_id,
        "S": order.side.value.upper(),
        "o": str(order.type),
        "f": order.time_in_force,
        "q": amount(order.quantity),
        "p": amount(order.price),
        "P": amount(order.stop_price),
        "F": ZERO_TEXT,
        "g": -1,
        "C": order.client_id if event.cancel_id else event.former_id,
        "x": event.kind,
        "X": str(order.status),
        "r": event.reason,
        "i": order.order_id,
        "l": amount(trade.quantity) if trade else ZERO_TEXT,
        "z": amount(order.executed_quantity),
        "L": amount(trade.price) if trade else ZERO_TEXT,
        "n": amount(trade.fee) if trade else "0",
        "N": trade.fee_asset if trade else None,
        "T": event.at_ms,
        "t": trade.trade_id if trade else -1,
        "I": event.execution_id,
        "w": order.working,
        "m": trade.maker if trade else False,
        "M": False,
        "O": order.created_ms,
        "Z": amount(order.quote_executed),
        "Y": amount(trade.quote_quantity) if trade else ZERO_TEXT,
        "Q": amount(order.quote_quantity),
        "V": STP,
    }
    if order.working_ms >= 0:
        report["W"] = order.working_ms
    if order.trailing_delta:
        report["d"] = order.trailing_delta
        if order.trailing_ms:
            report["D"] = order.trailing_ms
    if order.expiry and event.kind == "EXPIRED":
        report["eR"] = order.expiry
    return report


def account_position(event: AccountMoved) -> dict:
    rows = [{"a": asset, "f": amount(free), "l": amount(locked)} for asset, free, locked in event.balances]
    return {"e": "outboundAccountPosition", "E": event.at_ms, "u": event.at_ms, "B": rows}


def balance_update(event: Transferred) -> dict:
    return {
        "e": "balanceUpdate",
        "E": event.at_ms,
        "a": event.asset,
        "d": amount(event.amount),
        "T": event.at_ms,
    }


def symbol_row(rules: MarketRules, trading: bool, limits: Limits) -> dict:
    """One market of GET /exchangeInfo."""
    instrument = rules.instrument
    return {
        "symbol": symbol_of(instrument),
        "status": rules.status if trading else "BREAK",
        "baseAsset": instrument.base,
        "baseAssetPrecision": 8,
        "quoteAsset": instrument.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ORDER_TYPES,
        "icebergAllowed": False,
        "ocoAllowed": False,
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
        "defaultSelfTradePreventionMode": STP,
        "allowedSelfTradePreventionModes": [STP],
    }
