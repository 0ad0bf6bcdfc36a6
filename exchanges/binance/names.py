"""Symbols as the venue writes them."""

from core.near_symbols import near_symbol
from core.units import Instrument
from exchanges.binance.answers import WireExchange


def venue_symbol(instrument: Instrument) -> str:
    """``BTC/USDT`` as the venue writes it: ``BTCUSDT``."""
    return instrument.symbol.replace("/", "")


def near(instrument: Instrument, info: WireExchange) -> str:
    """``; did you mean …?`` for a symbol the venue does not list; how many it lists when nothing is close."""
    close = near_symbol(instrument.symbol, (f"{s.baseAsset}/{s.quoteAsset}" for s in info.symbols))
    return f"; did you mean {close}?" if close else f"; it lists {len(info.symbols):,} others"
