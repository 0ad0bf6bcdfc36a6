"""What the simulated Upbit writes in answer to market questions. Fields from docs.upbit.com, API reference v1.6.4.

Amounts of an account are decimal strings (``exact``), market figures JSON numbers, times of day in UTC and in KST.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

from core.units import Instrument, MarketRules, to_decimal
from exchanges.simulated.ladder import Levels
from exchanges.simulated.prints import Print
from exchanges.simulated.upbit.candles import Candle

KST = timezone(timedelta(hours=9))
KOREAN = {
    "BTC": "비트코인",
    "ETH": "이더리움",
    "XRP": "엑스알피(리플)",
    "SOL": "솔라나",
    "DOGE": "도지코인",
    "USDT": "테더",
    "ADA": "에이다",
}
ENGLISH = {
    "BTC": "Bitcoin",
    "ETH": "Ethereum",
    "XRP": "XRP",
    "SOL": "Solana",
    "DOGE": "Dogecoin",
    "USDT": "Tether",
    "ADA": "Ada",
}
CAUTIONS = (
    "PRICE_FLUCTUATIONS",
    "TRADING_VOLUME_SOARING",
    "DEPOSIT_AMOUNT_SOARING",
    "GLOBAL_PRICE_DIFFERENCES",
    "CONCENTRATION_OF_SMALL_ACCOUNTS",
)


def code_of(instrument: Instrument) -> str:
    """``BTC/KRW`` as the venue writes it: ``KRW-BTC``."""
    return f"{instrument.quote}-{instrument.base}"


def exact(value: Decimal) -> str:
    """Decimal text without an exponent and without zeros at the end."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def money(code: str, value: float) -> float:
    """Money that changed hands in a market: 5 decimals in won, as the venue's candles have, 8 elsewhere."""
    return round(value, 5 if code.startswith("KRW-") else 8)


def volume(value: float) -> float:
    """Coins that changed hands."""
    return round(value, 8)


def moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def utc(ms: int) -> str:
    """``2020-02-20T11:59:00``, as the venue writes a candle's time in UTC."""
    return moment(ms).strftime("%Y-%m-%dT%H:%M:%S")


def kst(ms: int) -> str:
    return moment(ms).astimezone(KST).strftime("%Y-%m-%dT%H:%M:%S")


def created(ms: int) -> str:
    """``2018-04-10T15:42:23+09:00``, as orders carry it."""
    return moment(ms).astimezone(KST).isoformat(timespec="seconds")


def number_of(trade: Print) -> int:
    """``sequential_id``: unique in its market, and growing with time."""
    return trade.at_ms * 1_000


def market_row(instrument: Instrument, details: bool) -> dict:
    base = instrument.base
    row: dict = {
        "market": code_of(instrument),
        "korean_name": KOREAN.get(base, base),
        "english_name": ENGLISH.get(base, base),
    }
    if details:
        row["market_event"] = {"warning": False, "caution": dict.fromkeys(CAUTIONS, False)}
    return row


def candle_row(code: str, candle: Candle, unit: int | None) -> dict:
    """A row of GET /v1/candles; ``unit`` in minutes, None for a 1-second candle."""
    row = {
        "market": code,
        "candle_date_time_utc": utc(candle.start_ms),
        "candle_date_time_kst": kst(candle.start_ms),
        "opening_price": candle.open,
        "high_price": candle.high,
        "low_price": candle.low,
        "trade_price": candle.close,
        "timestamp": candle.last_ms,
        "candle_acc_trade_price": money(code, candle.money),
        "candle_acc_trade_volume": candle.volume,
    }
    return row if unit is None else row | {"unit": unit}


def trade_row(code: str, trade: Print, closed_at: float) -> dict:
    """A row of GET /v1/trades/ticks; ``closed_at`` is yesterday's last price."""
    at, price = moment(trade.at_ms), float(trade.price)
    return {
        "market": code,
        "trade_date_utc": at.strftime("%Y-%m-%d"),
        "trade_time_utc": at.strftime("%H:%M:%S"),
        "timestamp": trade.at_ms,
        "trade_price": price,
        "trade_volume": float(trade.quantity),
        "prev_closing_price": closed_at,
        "change_price": change(price, closed_at)["signed_change_price"],
        "ask_bid": "ASK" if trade.seller_took else "BID",
        "sequential_id": number_of(trade),
    }


def units(bids: Levels, asks: Levels, rules: MarketRules, count: int) -> dict:
    """Both sides of a book, level by level; the venue shows as many of one side as of the other."""
    tick, step = rules.tick, rules.step
    rows = [
        {
            "ask_price": float(ask[0] * tick),
            "bid_price": float(bid[0] * tick),
            "ask_size": float(ask[1] * step),
            "bid_size": float(bid[1] * step),
        }
        for bid, ask in zip(_held(bids), _held(asks), strict=False)
    ]
    return {
        "total_ask_size": float(sum(size for _, size in asks) * step),
        "total_bid_size": float(sum(size for _, size in bids) * step),
        "orderbook_units": rows[:count],
    }


def _held(levels: Levels) -> Sequence[tuple[int, int]]:
    return [level for level in levels if level[1] > 0]


def change(price: float, closed_at: float) -> dict:
    """How a price stands against yesterday's last one."""
    difference = float(to_decimal(price) - to_decimal(closed_at))
    rate = round(difference / closed_at, 10) if closed_at else 0.0
    return {
        "change": "RISE" if difference > 0 else "FALL" if difference < 0 else "EVEN",
        "change_price": abs(difference),
        "change_rate": abs(rate),
        "signed_change_price": difference,
        "signed_change_rate": rate,
    }
