"""Order books and trades over the market stream: joined, kept, lost and found again."""

import asyncio
import json

import pytest

from core.errors import Defect, ExchangeUnavailable
from core.units import Instrument
from exchanges.binance.gateway import BinanceGateway
from exchanges.binance.stream import MarketStream
from exchanges.book import Snapshot
from exchanges.link import LinkPolicy
from tests.support.binance_stub import BinanceStub
from tests.support.venue_stub import Reply

BTC = Instrument("binance", "BTC/USDT")
QUICK = LinkPolicy(silence_s=None, first_delay_s=0.02, longest_delay_s=0.1, confirm_s=2.0)


def depth(first: int, last: int, bids=(), asks=(), symbol: str = "BTCUSDT") -> str:
    data = {"e": "depthUpdate", "E": 1, "s": symbol, "U": first, "u": last, "b": list(bids), "a": list(asks)}
    return json.dumps({"stream": f"{symbol.lower()}@depth@100ms", "data": data}, separators=(",", ":"))


def trade(number: int, price: str = "10.5", quantity: str = "0.2") -> str:
    data = {"e": "trade", "E": 6, "s": "BTCUSDT", "t": number, "p": price, "q": quantity, "T": 5, "m": True, "M": True}
    return json.dumps({"stream": "btcusdt@trade", "data": data})


class Venue:
    """Snapshots as a test wants them; ``hold`` keeps the answer back."""

    def __init__(self) -> None:
        self.whole = Snapshot(100, [(10.0, 1.0)], [(11.0, 2.0)])
        self.asked = 0
        self.fails = 0

    async def snapshot(self, instrument: Instrument) -> Snapshot:
        assert instrument == BTC
        self.asked += 1
        if self.fails:
            self.fails -= 1
            raise ExchangeUnavailable("not now")
        return self.whole


@pytest.fixture
async def stub():
    async with BinanceStub() as server:
        yield server


class Watch:
    def __init__(self, stub: BinanceStub, venue: Venue) -> None:
        self.books, self.trades = [], []
        self.stream = MarketStream(
            stub.settings(),
            [BTC],
            lambda *_: None,
            now_ms=lambda: 42,
            policy=QUICK,
            trades=True,
            depth=True,
            on_book=lambda i, book: self.books.append(book and book.top()),
            on_trade=lambda i, t: self.trades.append(t),
            snapshot=venue.snapshot,
        )

    async def __aenter__(self) -> "Watch":
        self.task = asyncio.create_task(self.stream.run())
        async with asyncio.timeout(5):
            await self.stream.subscribed()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stream.close()
        async with asyncio.timeout(5):
            await self.task


async def test_a_book_is_joined_from_a_snapshot_and_followed(stub):
    venue = Venue()
    async with Watch(stub, venue) as watch:
        assert stub.inbox[0]["params"][2:] == ["btcusdt@trade", "btcusdt@depth@100ms"]
        assert watch.stream.book(BTC) is None
        await stub.say(depth(99, 101, [["10.2", "3"]]))
        await stub.until(lambda: watch.books)
        await stub.say(depth(102, 104, [["10.2", "0.000"]], [["10.9", "4"]]))
        await stub.until(lambda: len(watch.books) == 2)
        assert watch.books == [(10.2, 3.0, 11.0, 2.0), (10.0, 1.0, 10.9, 4.0)]
        assert watch.stream.book(BTC).asks == {11.0: 2.0, 10.9: 4.0}
        assert (venue.asked, watch.stream.resyncs, watch.stream.faults) == (1, 0, {})


async def test_a_gap_and_a_crossing_are_counted_told_and_mended(stub):
    venue = Venue()
    async with Watch(stub, venue) as watch:
        await stub.say(depth(100, 101))
        await stub.until(lambda: watch.books)
        venue.whole = Snapshot(110, [(10.4, 1.0)], [(11.0, 2.0)])
        await stub.say(depth(105, 109))
        await stub.until(lambda: len(watch.books) == 3)
        assert watch.books[1:] == [None, (10.4, 1.0, 11.0, 2.0)]
        venue.whole = Snapshot(112, [(12.0, 1.0)], [(13.0, 2.0)])
        await stub.say(depth(110, 112, [["12.0", "1"]]), depth(113, 113))
        await stub.until(lambda: len(watch.books) == 5)
        assert watch.books[3:] == [None, (12.0, 1.0, 13.0, 2.0)]
        assert watch.stream.faults == {"gap": 1, "crossed": 1}
        assert watch.stream.resyncs == 2


async def test_a_snapshot_that_is_too_old_or_fails_is_fetched_again(stub, monkeypatch):
    monkeypatch.setattr("exchanges.binance.stream.SNAPSHOT_PAUSE_S", 0.02)
    venue = Venue()
    venue.fails = 1
    async with Watch(stub, venue) as watch:
        await stub.say(depth(150, 151))
        await stub.until(lambda: venue.asked >= 3)
        assert watch.stream.book(BTC) is None
        venue.whole = Snapshot(151, *venue.whole[1:])
        await stub.until(lambda: watch.stream.book(BTC) is not None)


async def test_a_lost_connection_takes_the_book_and_the_next_one_brings_it_back(stub):
    venue = Venue()
    async with Watch(stub, venue) as watch:
        await stub.say(depth(100, 101))
        await stub.until(lambda: watch.stream.book(BTC) is not None)
        stub.cut()
        await stub.until(lambda: len(stub.inbox) == 2)
        assert watch.stream.book(BTC) is None
        assert watch.books[-1] is None
        venue.whole = Snapshot(500, *venue.whole[1:])
        await asyncio.sleep(0.05)
        await stub.say(depth(500, 501))
        await stub.until(lambda: watch.stream.book(BTC) is not None)
        assert watch.stream.resyncs == 0


async def test_each_trade_is_told_once_and_missing_ones_are_counted(stub):
    async with Watch(stub, Venue()) as watch:
        await stub.say(trade(7), trade(8), trade(8), trade(7), trade(11))
        await stub.until(lambda: len(watch.trades) == 3)
        assert [t.id for t in watch.trades] == [7, 8, 11]
        first = watch.trades[0]
        assert (first.price, first.quantity, first.at_ms, first.sold) == (10.5, 0.2, 5, True)
        assert watch.stream.missed_trades == 2
        assert watch.stream.trade(BTC).id == 11


def test_depth_without_snapshots_is_our_mistake():
    with pytest.raises(Defect, match="snapshots"):
        MarketStream(BinanceStub().settings(), [BTC], lambda *_: None, now_ms=lambda: 0, depth=True)


async def test_the_gateway_fetches_a_whole_book(stub):
    body = {"lastUpdateId": 160, "bids": [["0.0024", "10"]], "asks": [["0.0026", "100"], ["0.0027", "1"]]}
    stub.on("GET", "/api/v3/depth", Reply(body), Reply(body | {"bids": [["x", "10"]]}))
    gateway = BinanceGateway(stub.settings(), None, [BTC])
    try:
        assert await gateway.depth(BTC) == Snapshot(160, [(0.0024, 10.0)], [(0.0026, 100.0), (0.0027, 1.0)])
        assert stub.calls("GET", "/api/v3/depth")[0].params == {"symbol": "BTCUSDT", "limit": "1000"}
        with pytest.raises(ExchangeUnavailable, match="order book"):
            await gateway.depth(BTC)
    finally:
        await gateway.close()
