"""The made-up stream of the bench is one that a venue could send: books and tickers agree, the mix is the recording's."""

from bisect import bisect_right
from collections import Counter

import orjson

from config.settings import ExchangeSettings
from core.units import Instrument
from exchanges.binance.stream import MarketStream
from exchanges.book import Snapshot
from tests.bench.support.frames import CHANGES_PER_DIFF, SYMBOLS, TICKERS_PER_DIFF, TRADES_PER_DIFF, made


async def never(instrument: Instrument) -> Snapshot:
    raise AssertionError(instrument)


def test_made_up_frames_keep_their_own_book():
    told = made(4_000)
    books: dict[str, list] = {symbol: [] for symbol in SYMBOLS}
    stream = MarketStream(
        ExchangeSettings(),
        [Instrument("binance", name) for name in SYMBOLS.values()],
        lambda *_: None,
        now_ms=lambda: 0,
        trades=True,
        depth=True,
        snapshot=never,
        on_book=lambda i, b: books[i.symbol.replace("/", "")].append((kept(i).last_id, b and b.top())),
    )

    def kept(instrument: Instrument):
        return stream._books[instrument].kept

    tickers: dict[str, dict[int, tuple]] = {symbol: {} for symbol in SYMBOLS}
    kinds = Counter()
    for frame in told.frames:
        kinds[frame.split(b'"')[3].decode().partition("@")[2]] += 1
        data = orjson.loads(frame)["data"]
        if "A" in data:
            tickers[data["s"]][data["u"]] = tuple(float(data[name]) for name in "bBaA")
        stream.take(frame)
        for channel in stream._books.values():
            if channel.kept.wanting:
                channel.join(told.snapshots[channel.instrument.symbol.replace("/", "")][1])
    assert (stream.faults, stream.resyncs, stream.missed_trades) == ({}, 0, 0)
    for symbol, seen in books.items():
        ids = sorted(tickers[symbol])
        assert len(seen) > 100
        for last_id, top in seen:
            assert top == tickers[symbol][ids[bisect_right(ids, last_id) - 1]]
    diffs = kinds["depth@100ms"]
    assert kinds["bookTicker"] == TICKERS_PER_DIFF * diffs
    assert kinds["trade"] == TRADES_PER_DIFF * diffs
    assert CHANGES_PER_DIFF == 44
