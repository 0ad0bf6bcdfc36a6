"""The account statement: every trade and the balances at the end, in the exchange's own words.

Made from the exchange's books alone, so that whoever traded there can be checked against it.
"""

import os
from pathlib import Path

import orjson

from exchanges.simulated.exchange import SimulatedExchange
from exchanges.simulated.orders import Trade
from exchanges.simulated.upbit.sheets import name_of


def write_statement(path: Path, exchange: SimulatedExchange) -> None:
    """Write trades, orders and balances to ``path`` as JSON, amounts as decimal strings; whole or not at all."""
    venue = exchange.instruments[0].venue
    names = _upbit_name if venue == "upbit" else _number
    trades = [
        {
            "symbol": instrument.symbol,
            "trade_id": names(row, trade),
            "order_id": str(trade.order_id),
            "client_id": trade.client_id,
            "side": str(trade.side),
            "quantity": str(trade.quantity),
            "price": str(trade.price),
            "fee": str(trade.fee),
            "fee_asset": trade.fee_asset,
            "at_ms": trade.at_ms,
        }
        for row, instrument in enumerate(exchange.instruments)
        for trade in exchange.my_trades(row)
    ]
    account = exchange.account
    balances = {a: {"free": str(account.free(a)), "locked": str(account.locked(a))} for a in account.assets()}
    open_orders = [order.client_id for order in exchange.open_orders()]
    draft = path.with_name(path.name + ".part")
    draft.write_bytes(
        orjson.dumps(
            {
                "venue": venue,
                "now_ms": exchange.now_ms,
                "trades": trades,
                "balances": balances,
                "open_orders": open_orders,
            }
        )
    )
    os.replace(draft, path)


def _number(row: int, trade: Trade) -> str:
    return str(trade.trade_id)


def _upbit_name(row: int, trade: Trade) -> str:
    return name_of("trade", row, trade.trade_id)
