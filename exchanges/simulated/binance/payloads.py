"""What the simulated Binance writes: orders, trades, bars and events as its documented JSON.

Formats from binance-spot-api-docs: rest-api.md, web-socket-streams.md, user-data-stream.md. Amounts and prices have 8
decimals, as at the venue.
"""

from collections.abc import Sequence
from decimal import Decimal

from core.units import Instrument, MarketRules, Side, to_decimal
from exchanges.simulated.events import AccountMoved, ListMoved, OrderMoved, Transferred
from exchanges.simulated.lists import OrderList
from exchanges.simulated.orders import Amendment, SimOrder, Trade
from exchanges.simulated.selftrade import PreventedMatch

ZERO_TEXT = "0.00000000"
EXACT_BELOW = 1e7


def symbol_of(instrument: Instrument) -> str:
    """``BTC/USDT`` as the venue writes it: ``BTCUSDT``."""
    return instrument.base + instrument.quote


def amount(value: Decimal) -> str:
    return f"{value:.8f}"


def number(value: float) -> str:
    """A figure of a bar. It has 8 decimals, unless somebody's bars have more than any venue's: then all, so that none is
    lost on the wire."""
    text = rounded(value)
    return text if float(text) == value else f"{to_decimal(value):f}"


def rounded(value: float) -> str:
    """A figure that was worked out, with 8 decimals."""
    # Above, the digits that a float64 has end before the eighth decimal, and formatting would make some up.
    return f"{value:.8f}" if abs(value) < EXACT_BELOW else f"{to_decimal(value):.8f}"


def _order_head(order: SimOrder) -> dict:
    return {
        "symbol": symbol_of(order.instrument),
        "orderId": order.order_id,
        "orderListId": order.list_id,
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
        "selfTradePreventionMode": order.stp,
    }
    if order.stop_price:
        body["stopPrice"] = amount(order.stop_price)
    if order.trailing_delta:
        body["trailingDelta"] = order.trailing_delta
        body["trailingTime"] = order.trailing_ms or -1
    if order.match_id is not None:
        body["preventedMatchId"] = order.match_id
        body["preventedQuantity"] = amount(order.prevented_quantity)
    if order.expiry:
        body["expiryReason"] = order.expiry
    return body


def new_order_answer(
    order: SimOrder, kind: str, prevented: Sequence[PreventedMatch] = (), tick: Decimal = Decimal(0)
) -> dict:
    """Answer to POST /order; ``kind`` is ACK, RESULT or FULL. ``prevented``: matches with own orders that were not to
    be."""
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
    if kind == "FULL" and prevented:
        answer["preventedMatches"] = [
            {"preventedMatchId": m.match_id, "makerOrderId": m.maker_id}
            | _prevented_body(m, m.ticks * tick, order.step)
            for m in prevented
        ]
    return answer


def _prevented_body(match: PreventedMatch, price: Decimal, step: Decimal) -> dict:
    body = {"price": amount(price)}
    if match.taker_steps is not None:
        body["takerPreventedQuantity"] = amount(match.taker_steps * step)
    if match.maker_steps is not None:
        body["makerPreventedQuantity"] = amount(match.maker_steps * step)
    return body


def prevented_row(rules: MarketRules, match: PreventedMatch) -> dict:
    """One row of GET /myPreventedMatches."""
    symbol = symbol_of(rules.instrument)
    return {
        "symbol": symbol,
        "preventedMatchId": match.match_id,
        "takerOrderId": match.taker_id,
        "makerSymbol": symbol,
        "makerOrderId": match.maker_id,
        "tradeGroupId": -1,
        "selfTradePreventionMode": match.mode,
        **_prevented_body(match, match.ticks * rules.tick, rules.step),
        "transactTime": match.at_ms,
    }


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


def list_row(found: OrderList) -> dict:
    """An order list as it is queried; answers about placing and cancelling add ``orderReports``."""
    symbol = symbol_of(found.orders[0].instrument)
    return {
        "orderListId": found.list_id,
        "contingencyType": "OCO",
        "listStatusType": "ALL_DONE" if found.done else "EXEC_STARTED",
        "listOrderStatus": "ALL_DONE" if found.done else "EXECUTING",
        "listClientOrderId": found.client_id,
        "transactionTime": found.updated_ms,
        "symbol": symbol,
        "orders": [
            {"symbol": symbol, "orderId": order.order_id, "clientOrderId": order.client_id}
            for order in found.orders[::-1]
        ],
    }


def list_status(event: ListMoved, symbol: str) -> dict:
    return {
        "e": "listStatus",
        "E": event.at_ms,
        "s": symbol,
        "g": event.list_id,
        "c": "OCO",
        "l": "ALL_DONE" if event.done else "EXEC_STARTED",
        "L": "ALL_DONE" if event.done else "EXECUTING",
        "r": "NONE",
        "C": event.client_id,
        "T": event.at_ms,
        "O": [{"s": symbol, "i": order_id, "c": client_id} for order_id, client_id in event.orders[::-1]],
    }


def amend_answer(order: SimOrder, done: Amendment) -> dict:
    """Answer to PUT /order/amend/keepPriority; its fields are not named as in other answers."""
    body = _order_head(order) | {
        "origClientOrderId": done.old_client_id,
        "price": amount(order.price),
        "qty": amount(order.quantity),
        "executedQty": amount(order.executed_quantity),
        "preventedQty": amount(order.prevented_quantity),
        "quoteOrderQty": amount(order.quote_quantity),
        "cumulativeQuoteQty": amount(order.quote_executed),
        "status": str(order.status),
        "timeInForce": order.time_in_force,
        "type": str(order.type),
        "side": order.side.value.upper(),
        "workingTime": order.working_ms,
        "selfTradePreventionMode": order.stp,
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


def trade_row(instrument: Instrument, trade: Trade, list_id: int) -> dict:
    return {
        "symbol": symbol_of(instrument),
        "id": trade.trade_id,
        "orderId": trade.order_id,
        "orderListId": list_id,
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
        "g": order.list_id,
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
        "V": order.stp,
    }
    if order.working_ms >= 0:
        report["W"] = order.working_ms
    if event.counter_id is not None:
        # The account is in no trade group.
        report |= {
            "v": order.match_id,
            "A": amount(order.prevented_quantity),
            "B": amount(event.lost * order.step),
            "u": -1,
            "U": event.counter_id,
        }
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
