"""Everything a venue's market stream shows, as whoever trades on paper against it is told: levels and trades, at both."""

import json

from config.settings import ExchangeSettings
from core.units import Instrument
from exchanges.book import Snapshot
from exchanges.venues import whole_market_stream_of
from tests.support.upbit_frames import MINUTE, book_frame, trade_frame

BTC, WON = Instrument("binance", "BTC/USDT"), Instrument("upbit", "BTC/KRW")


class Ear:
    """Hears a stream of one instrument."""

    def __init__(self, venue: str, instrument: Instrument) -> None:
        self.levels, self.trades, self.tops = [], [], []
        self.stream = whole_market_stream_of(
            venue,
            ExchangeSettings(),
            [instrument],
            lambda i, bar: None,
            lambda i, top: self.tops.append(top),
            lambda i, shown: self.levels.append(shown),
            lambda i, trade: self.trades.append(trade),
            now_ms=lambda: MINUTE,
            gateway=self,
        )

    async def depth(self, instrument: Instrument) -> Snapshot:
        raise AssertionError("nobody asks without a connection")


def test_upbit_tells_its_displayed_levels_without_the_empty_ones_and_its_trades():
    ear = Ear("upbit", WON)
    book = book_frame()
    book["orderbook_units"].append({"ask_price": 150_004_000, "bid_price": 0, "ask_size": 2, "bid_size": 0})
    ear.stream.take(json.dumps(book).encode())
    ear.stream.take(json.dumps(trade_frame(ask_bid="ASK")).encode())
    ((bids, asks),) = ear.levels
    assert bids == [(150_000_000, 0.25), (149_999_000, 1.25), (149_998_000, 2.25)]
    assert [price for price, _ in asks] == [150_001_000, 150_002_000, 150_003_000, 150_004_000]
    assert [(t.price, t.quantity, t.sold) for t in ear.trades] == [(150_000_000.0, 0.01, True)]


def test_upbit_tells_no_levels_of_a_book_with_an_empty_side_or_of_another_market():
    ear = Ear("upbit", WON)
    ear.stream.take(json.dumps(book_frame(orderbook_units=[])).encode())
    ear.stream.take(json.dumps(book_frame(code="KRW-ETH")).encode())
    assert (ear.levels, ear.tops) == ([], [None])


def test_binance_tells_levels_once_there_is_a_book_and_none_when_it_is_lost():
    ear = Ear("binance", BTC)

    def diff(first: int, last: int, bids: list, asks: list) -> bytes:
        data = {"e": "depthUpdate", "E": 1, "s": "BTCUSDT", "U": first, "u": last, "b": bids, "a": asks}
        return json.dumps({"stream": "btcusdt@depth@100ms", "data": data}, separators=(",", ":")).encode()

    ear.stream.take(diff(8, 9, [["9.9", "1"]], []))
    assert ear.levels == []
    (channel,) = ear.stream._books.values()
    channel.join(Snapshot(8, [(9.8, 2.0)], [(10.0, 3.0)]))
    ear.stream.take(diff(10, 10, [["9.9", "4"]], []))
    assert ear.levels[-1] == ([(9.9, 4.0), (9.8, 2.0)], [(10.0, 3.0)])
    ear.stream.take(diff(15, 16, [], []))
    assert ear.levels[-1] is None
