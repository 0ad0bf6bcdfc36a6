"""Frames of the simulated Upbit's streams, and the short names of the SIMPLE formats.

Fields and abbreviations from docs.upbit.com, WebSocket reference v1.6.4 (ticker, trade, orderbook, candle, myOrder,
myAsset). Numbers are JSON numbers here, unlike in REST's orders.
"""

from decimal import Decimal
from typing import Any

from core.units import Side
from exchanges.simulated.events import BookTop, OrderMoved
from exchanges.simulated.orders import ZERO, SimOrder
from exchanges.simulated.prints import Print
from exchanges.simulated.upbit.candles import Candle
from exchanges.simulated.upbit.payloads import change, kst, moment, money, number_of, utc
from exchanges.simulated.upbit.sheets import Sheet, name_of, paid_fee, remaining, state_of, trade_name

SHORT = {
    "type": "ty",
    "code": "cd",
    "stream_type": "st",
    "timestamp": "tms",
    "opening_price": "op",
    "high_price": "hp",
    "low_price": "lp",
    "trade_price": "tp",
    "prev_closing_price": "pcp",
    "change": "c",
    "change_price": "cp",
    "signed_change_price": "scp",
    "change_rate": "cr",
    "signed_change_rate": "scr",
    "trade_volume": "tv",
    "acc_trade_volume": "atv",
    "acc_trade_volume_24h": "atv24h",
    "acc_trade_price": "atp",
    "acc_trade_price_24h": "atp24h",
    "trade_date": "td",
    "trade_time": "ttm",
    "trade_timestamp": "ttms",
    "ask_bid": "ab",
    "acc_ask_volume": "aav",
    "acc_bid_volume": "abv",
    "highest_52_week_price": "h52wp",
    "highest_52_week_date": "h52wdt",
    "lowest_52_week_price": "l52wp",
    "lowest_52_week_date": "l52wdt",
    "market_state": "ms",
    "is_trading_suspended": "its",
    "delisting_date": "dd",
    "market_warning": "mw",
    "sequential_id": "sid",
    "best_ask_price": "bap",
    "best_ask_size": "bas",
    "best_bid_price": "bbp",
    "best_bid_size": "bbs",
    "total_ask_size": "tas",
    "total_bid_size": "tbs",
    "orderbook_units": "obu",
    "ask_price": "ap",
    "bid_price": "bp",
    "ask_size": "as",
    "bid_size": "bs",
    "level": "lv",
    "candle_date_time_utc": "cdttmu",
    "candle_date_time_kst": "cdttmk",
    "candle_acc_trade_volume": "catv",
    "candle_acc_trade_price": "catp",
    "uuid": "uid",
    "order_type": "ot",
    "state": "s",
    "trade_uuid": "tuid",
    "price": "p",
    "avg_price": "ap",
    "volume": "v",
    "remaining_volume": "rv",
    "executed_volume": "ev",
    "trades_count": "tc",
    "reserved_fee": "rsf",
    "remaining_fee": "rmf",
    "paid_fee": "pf",
    "locked": "l",
    "executed_funds": "ef",
    "time_in_force": "tif",
    "trade_fee": "tf",
    "is_maker": "im",
    "identifier": "id",
    "smp_type": "smpt",
    "prevented_volume": "pv",
    "prevented_locked": "pl",
    "order_timestamp": "otms",
    "asset_uuid": "astuid",
    "assets": "ast",
    "asset_timestamp": "asttms",
    "currency": "cu",
    "balance": "b",
}


def shortened(frame: dict) -> dict:
    """A frame with its short names."""
    return {SHORT.get(name, name): _short(value) for name, value in frame.items()}


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return shortened(value)
    return [_short(part) for part in value] if isinstance(value, list) else value


def trade_frame(trade: Print, closed_at: float, top: BookTop | None) -> dict:
    at, price = moment(trade.at_ms), float(trade.price)
    moved = change(price, closed_at)
    row = {
        "timestamp": trade.at_ms,
        "trade_date": at.strftime("%Y-%m-%d"),
        "trade_time": at.strftime("%H:%M:%S"),
        "trade_timestamp": trade.at_ms,
        "trade_price": price,
        "trade_volume": float(trade.quantity),
        "ask_bid": "ASK" if trade.seller_took else "BID",
        "prev_closing_price": closed_at,
        "change": moved["change"],
        "change_price": moved["change_price"],
        "sequential_id": number_of(trade),
    }
    if top is not None:
        row |= {
            "best_ask_price": float(top.ask),
            "best_ask_size": float(top.ask_qty),
            "best_bid_price": float(top.bid),
            "best_bid_size": float(top.bid_qty),
        }
    return row


def candle_frame(code: str, candle: Candle, now_ms: int) -> dict:
    return {
        "candle_date_time_utc": utc(candle.start_ms),
        "candle_date_time_kst": kst(candle.start_ms),
        "opening_price": candle.open,
        "high_price": candle.high,
        "low_price": candle.low,
        "trade_price": candle.close,
        "candle_acc_trade_volume": candle.volume,
        "candle_acc_trade_price": money(code, candle.money),
        "timestamp": now_ms,
    }


def my_order_frame(sheet: Sheet, event: OrderMoved, state: str) -> dict:
    """One row of ``myOrder``: the order as it stood then; an execution when ``event`` is of one."""
    order, trade = event.order, event.trade
    executed, left = order.executed_quantity, remaining(sheet, order)
    paid = paid_fee(order) if trade is None else _paid_up_to(order, trade.trade_id)
    return {
        "type": "myOrder",
        "code": sheet.code,
        "uuid": sheet.uuid,
        "ask_bid": "BID" if order.side is Side.BUY else "ASK",
        "order_type": sheet.ord_type,
        "state": state,
        "trade_uuid": None if trade is None else trade_name(order, trade),
        "price": _number(sheet.price) if trade is None else float(trade.price),
        "avg_price": float(order.quote_executed / executed) if executed else 0.0,
        "volume": _number(sheet.volume) if trade is None else float(trade.quantity),
        "remaining_volume": _number(left),
        "executed_volume": float(executed),
        "trades_count": sum(1 for t in order.trades if trade is None or t.trade_id <= trade.trade_id),
        "reserved_fee": float(sheet.reserved_fee),
        "remaining_fee": float(max(ZERO, sheet.reserved_fee - paid)) if order.live else 0.0,
        "paid_fee": float(paid),
        "locked": float(order.locked),
        "executed_funds": float(order.quote_executed),
        "time_in_force": sheet.time_in_force,
        "trade_fee": None if trade is None else float(trade.fee),
        "is_maker": None if trade is None else trade.maker,
        "identifier": sheet.identifier,
        "smp_type": sheet.smp_type,
        "prevented_volume": float(sheet.prevented_volume),
        "prevented_locked": float(sheet.prevented_locked),
        "trade_timestamp": None if trade is None else trade.at_ms,
        "order_timestamp": order.created_ms,
        "timestamp": event.at_ms,
        "stream_type": "REALTIME",
    }


def _paid_up_to(order: SimOrder, trade_id: int) -> Decimal:
    return sum((t.fee for t in order.trades if t.trade_id <= trade_id), ZERO)


def _number(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


def states_of(sheet: Sheet, event: OrderMoved) -> list[str]:
    """The rows that one change of an order comes to, by their state."""
    if event.kind == "NEW":
        return ["wait"]
    if event.kind == "TRADE":
        ended = state_of(sheet, event.order)
        return ["trade"] if ended == "wait" else ["trade", ended]
    if event.kind == "TRADE_PREVENTION":
        return ["prevented"] if event.order.live else ["prevented", "cancel"]
    return ["cancel"]


def my_asset_frame(balances: tuple[tuple[str, Decimal, Decimal], ...], at_ms: int) -> dict:
    return {
        "type": "myAsset",
        "asset_uuid": name_of("asset", at_ms),
        "assets": [{"currency": a, "balance": float(free), "locked": float(held)} for a, free, held in balances],
        "asset_timestamp": at_ms,
        "timestamp": at_ms,
        "stream_type": "REALTIME",
    }
