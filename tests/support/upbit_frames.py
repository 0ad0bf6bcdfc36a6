"""Frames of Upbit's streams as its documentation shows them, with made-up numbers."""

from typing import Any

MINUTE = 1_772_000_040_000
"""Open of a minute."""


def trade_frame(
    at_ms: int = MINUTE + 5, price: float = 150_000_000.0, number: int | None = None, **changes: Any
) -> dict:
    frame = {
        "type": "trade",
        "code": "KRW-BTC",
        "trade_price": price,
        "trade_volume": 0.01,
        "ask_bid": "BID",
        "prev_closing_price": 149_000_000.0,
        "change": "RISE",
        "change_price": 1_000_000.0,
        "trade_date": "2026-02-25",
        "trade_time": "06:14:00",
        "trade_timestamp": at_ms,
        "timestamp": at_ms + 3,
        "sequential_id": at_ms * 10_000 if number is None else number,
        "best_ask_price": 150_001_000,
        "best_ask_size": 0.1,
        "best_bid_price": 150_000_000,
        "best_bid_size": 0.2,
        "stream_type": "REALTIME",
    }
    return frame | changes


def book_frame(bid: float = 150_000_000, ask: float = 150_001_000, at_ms: int = MINUTE + 7, **changes: Any) -> dict:
    units = [
        {"ask_price": ask + n * 1_000, "bid_price": bid - n * 1_000, "ask_size": 0.5 + n, "bid_size": 0.25 + n}
        for n in range(3)
    ]
    frame = {
        "type": "orderbook",
        "code": "KRW-BTC",
        "timestamp": at_ms,
        "total_ask_size": 4.5,
        "total_bid_size": 3.75,
        "orderbook_units": units,
        "stream_type": "REALTIME",
        "level": 0,
    }
    return frame | changes


def my_order(**changes: Any) -> dict:
    frame = {
        "type": "myOrder",
        "code": "KRW-BTC",
        "uuid": "ac2dc2a3-fce9-40a2-a4f6-5987c25c438f",
        "ask_bid": "BID",
        "order_type": "limit",
        "state": "wait",
        "trade_uuid": None,
        "price": 150_000_000,
        "avg_price": 0,
        "volume": 0.001,
        "remaining_volume": 0.001,
        "executed_volume": 0,
        "trades_count": 0,
        "reserved_fee": 75,
        "remaining_fee": 75,
        "paid_fee": 0,
        "locked": 150_075,
        "executed_funds": 0,
        "time_in_force": None,
        "trade_fee": None,
        "is_maker": None,
        "identifier": "mh-1",
        "smp_type": "cancel_taker",
        "prevented_volume": 0,
        "prevented_locked": 0,
        "trade_timestamp": None,
        "order_timestamp": MINUTE,
        "timestamp": MINUTE + 9,
        "stream_type": "REALTIME",
    }
    return frame | changes


def my_trade(number: int, executed: float, remaining: float, **changes: Any) -> dict:
    """A trade of that order; its volume is what was traded."""
    return my_order(
        **{
            "state": "trade",
            "trade_uuid": f"t-{number}",
            "volume": 0.0004,
            "executed_volume": executed,
            "remaining_volume": remaining,
            "trade_fee": 30.0,
            "is_maker": False,
            "trade_timestamp": MINUTE + 100 + number,
        }
        | changes
    )


def my_asset(**changes: Any) -> dict:
    frame = {
        "type": "myAsset",
        "asset_uuid": "e635f223-1609-4969-8fb6-4376937baad6",
        "assets": [
            {"currency": "KRW", "balance": 1_386_929.370_666_62, "locked": 10_329.670_127_489},
            {"currency": "BTC", "balance": 0.1, "locked": 0},
        ],
        "asset_timestamp": MINUTE,
        "timestamp": MINUTE + 11,
        "stream_type": "REALTIME",
    }
    return frame | changes
