"""Symbols as the venue writes them."""

import difflib

from core.units import Instrument
from exchanges.binance.answers import WireExchange


def venue_symbol(instrument: Instrument) -> str:
    """``BTC/USDT`` as the venue writes it: ``BTCUSDT``."""
    return instrument.symbol.replace("/", "")


def near(instrument: Instrument, info: WireExchange) -> str:
    """``; did you mean …?`` for a symbol the venue does not list, empty when nothing is close."""
    names = [f"{s.baseAsset}/{s.quoteAsset}" for s in info.symbols]
    close = difflib.get_close_matches(instrument.symbol, names, n=1)
    return f"; did you mean {close[0]}?" if close else ""
