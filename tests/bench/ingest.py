"""Market data of Binance taken in: messages per CPU second, ours beside bare JSON parsing and ccxt.pro."""

import argparse
import asyncio
import gc
import subprocess
import sys
import time
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ccxt.pro
import msgspec
import orjson
from websockets.asyncio.client import connect

from config.argument_types import whole
from config.settings import ExchangeSettings
from core.units import Instrument
from exchanges.binance.channels import BookChannel
from exchanges.binance.stream import MarketStream
from exchanges.book import OrderBook, Snapshot
from exchanges.simulated.process import start_simulator
from tests.bench.support.frames import MADE, SYMBOLS, Frames, find, made, recorded
from tests.bench.support.minute import measure, spread_of
from tests.bench.support.tapes import taped
from tests.support.table import table

NAME = "ingest"
ROOT = Path(__file__).resolve().parents[2]
FASTER_THAN_PEER = 10.0
SLOWER_THAN_PARSING = 3.0
"""The bars of the issue: at least so many times ccxt.pro's rate, at most so many times the time of bare parsing."""
INSTRUMENTS = tuple(Instrument("binance", symbol) for symbol in SYMBOLS.values())
QUOTE = {"binance": "USDT", "upbit": "KRW"}
STREAMS = {"binance": "klines and book tickers", "upbit": "trades and order books, minutes confirmed by REST"}
IN_CACHE_MS = 250.0
"""The minute's bars of 200 symbols are in the cache so soon after the last message."""
Fetch = Callable[[Instrument], Awaitable[Snapshot]]
HEADINGS = ("what", "messages", "CPU s", "messages a CPU s", "us each", "x bare parsing", "x ccxt.pro rate")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="run.py bench ingest", description=__doc__)
    parser.add_argument("--recording", type=Path, help="folder of the raw recording; default: ../shared/data")
    parser.add_argument("--repeats", type=whole(1), default=5, help="the fastest of so many passes counts (default 5)")
    parser.add_argument("--symbols", type=whole(0), default=0, help="only: a minute of so many symbols into the cache")
    parser.add_argument("--venue", choices=("binance", "upbit"), default="binance", help="of --symbols")
    parser.add_argument("--minutes", type=whole(1), default=20, help="minutes measured with --symbols (default 20)")
    args = parser.parse_args(argv)
    if args.symbols:
        return 0 if many_symbols(args.venue, args.symbols, args.minutes) else 1
    folder = find(args.recording, ROOT)
    told = made(MADE) if folder is None else recorded(folder)
    print(f"{told.about}: {len(told.frames):,} messages, {sum(map(len, told.frames)) / 2**20:.1f} MiB")
    good = parsing(told, args.repeats)
    print()
    asyncio.run(through_sockets(told, args.recording))
    return 0 if good else 1


# ---------------------------------------------------------------- in process


def parsing(told: Frames, repeats: int) -> bool:
    """Print the table; whether both bars hold."""
    print(checked(told))
    rows = {
        "orjson.loads": best(lambda: parse(orjson.loads, told.frames), repeats),
        "msgspec.json.decode": best(lambda: parse(msgspec.json.Decoder().decode, told.frames), repeats),
        "ours": best(lambda: ours(told), repeats),
        "ccxt.pro 4.5.90": best(lambda: asyncio.run(peer(told)), 1),
    }
    count, bare, slow = len(told.frames), min(list(rows.values())[:2]), rows["ccxt.pro 4.5.90"]
    lines = [
        (name, count, used, count / used, used / count * 1e6, used / bare, slow / used) for name, used in rows.items()
    ]
    print(table(HEADINGS, lines))
    print("ccxt.pro: its client's own text handler in this process, payloads unwrapped, nobody waiting, no checksums")
    ratio, times = slow / rows["ours"], rows["ours"] / bare
    good = ratio >= FASTER_THAN_PEER and times <= SLOWER_THAN_PARSING
    print(
        f"ours: {ratio:.1f} x ccxt.pro (bar {FASTER_THAN_PEER:g}), {times:.2f} x the time of bare parsing "
        f"(bar {SLOWER_THAN_PARSING:g}): {'both hold' if good else 'NOT HELD'}"
    )
    return good


def best(run: Callable[[], float], repeats: int) -> float:
    """Fewest CPU seconds of a few passes."""
    seconds = []
    for _ in range(repeats):
        gc.collect()
        seconds.append(run())
    return min(seconds)


def parse(loads: Callable[[bytes], object], frames: list[bytes]) -> float:
    began = time.process_time()
    for frame in frames:
        loads(frame)
    return time.process_time() - began


async def never(instrument: Instrument) -> Snapshot:
    raise AssertionError(f"nobody fetches a book of {instrument} here")


def stream_of(settings: ExchangeSettings | None = None, *, snapshot: Fetch = never, **more: Any) -> MarketStream:
    """Our stream with books and trades."""
    return MarketStream(
        settings or ExchangeSettings(),
        INSTRUMENTS,
        lambda *_: None,
        now_ms=lambda: time.time_ns() // 1_000_000,  # noqa: TID251
        trades=True,
        depth=True,
        snapshot=snapshot,
        **more,
    )


def book_channel(stream: MarketStream, symbol: str) -> BookChannel:
    return stream._books[stream.instruments[symbol]]


def play(stream: MarketStream, told: Frames) -> None:
    """Every frame in order, each snapshot where it came."""
    take, done = stream.take, 0
    for symbol, (index, complete) in sorted(told.snapshots.items(), key=lambda item: item[1][0]):
        index += 1
        for frame in told.frames[done:index]:
            take(frame)
        done = max(done, index)
        while not book_channel(stream, symbol).kept.live:
            book_channel(stream, symbol).join(complete)
            if not book_channel(stream, symbol).kept.live:
                take(told.frames[done])
                done += 1
    for frame in told.frames[done:]:
        take(frame)


def ours(told: Frames) -> float:
    """Books, trades and tops kept, every number checked; no callbacks, as nobody waits on ccxt.pro's side either."""
    stream = stream_of()
    began = time.process_time()
    play(stream, told)
    used = time.process_time() - began
    if stream.faults or stream.resyncs or stream.missed_trades:
        raise SystemExit(f"the stream was not kept: {stream.faults}, {stream.missed_trades} trades missed")
    return used


def checked(told: Frames) -> str:
    """A pass that compares: after each diff the book's best must be the last book ticker's of that id."""
    shown: dict[str, list[tuple[int, tuple]]] = {symbol: [] for symbol in SYMBOLS}
    held: dict[str, list[tuple[int, tuple]]] = {symbol: [] for symbol in SYMBOLS}

    def on_book(instrument: Instrument, book: OrderBook | None) -> None:
        symbol = instrument.symbol.replace("/", "")
        if book is not None:
            held[symbol].append((book_channel(stream, symbol).kept.last_id, book.top()))

    stream = stream_of(on_book=on_book)
    for frame in told.frames:
        if b"@bookTicker" in frame[:40]:
            data = orjson.loads(frame)["data"]
            shown[data["s"]].append((data["u"], tuple(float(data[name]) for name in "bBaA")))
    play(stream, told)
    equal = total = 0
    for symbol, tops in held.items():
        tickers = sorted(shown[symbol])
        ids = [u for u, _ in tickers]
        for last_id, top in tops:
            at = bisect_right(ids, last_id) - 1
            if at >= 0 and top is not None:
                total += 1
                equal += tickers[at][1] == top
    return f"checked: the book's best equals the book ticker's after {equal:,} of {total:,} diffs; {stream.resyncs} resyncs"


# ---------------------------------------------------------------- many symbols


def many_symbols(venue: str, count: int, minutes: int) -> bool:
    """Print how soon the minute of all symbols is in the cache; whether the bar holds."""
    names = [f"C{number:03d}/{QUOTE[venue]}" for number in range(count)]
    instruments = tuple(Instrument(venue, name) for name in names)
    with taped(venue, names, minutes + 5) as market:
        # It reads its tape before it says where it is.
        simulator = start_simulator(ROOT, ["--lockstep", *market], venue=venue)
    try:
        told = asyncio.run(measure(simulator, instruments, minutes))
    finally:
        simulator.close()
    rows = {
        "last message read to all known final": told.complete,
        "last message read to market in the cache": told.cached,
        "first to last bar known": told.spread,
        "simulator told to move, until it had written": told.wrote,
        "simulator told to move, until in the cache": told.asked,
        "our CPU a minute": told.cpu,
    }
    print(
        f"{count} symbols of {venue}, {STREAMS[venue]}, {minutes} minutes, {told.frames:,} messages; "
        "the simulator has its own process"
    )
    print(table(("ms", "median", "p99", "most"), [(name, *spread_of(values)) for name, values in rows.items()]))
    worst = max(told.cached)
    print(
        f"in the cache {worst:.0f} ms after the last message (bar {IN_CACHE_MS:g}): {'holds' if worst <= IN_CACHE_MS else 'NOT HELD'}"
    )
    return worst <= IN_CACHE_MS


# ---------------------------------------------------------------- ccxt.pro


async def peer(told: Frames) -> float:
    """ccxt.pro's own message path without sockets: its client's text handler, which parses (with orjson) and dispatches.

    As generous as it gets: payloads unwrapped and already str, markets and books set up before the clock starts,
    nobody waiting (so no futures are resolved and no tasks wake up), no checksums.
    """
    exchange = ccxt.pro.binance({"options": {"watchOrderBook": {"checksum": False}}})
    try:
        exchange.set_markets([market_of(symbol, name) for symbol, name in SYMBOLS.items()])
        client = exchange.client("wss://stream.binance.com:9443/ws/0/stream")
        texts = [orjson.dumps(orjson.loads(frame)["data"]).decode() for frame in told.frames]
        for symbol, (_, whole) in told.snapshots.items():
            name = SYMBOLS[symbol]
            book = exchange.order_book({}, 1000)
            book.reset({"symbol": name, "bids": _rows(whole.bids), "asks": _rows(whole.asks), "nonce": whole.last_id})
            exchange.orderbooks[name] = book
        handle = client.handle_text_or_binary_message
        began = time.process_time()
        for text in texts:
            handle(text)
        used = time.process_time() - began
        for symbol, name in SYMBOLS.items():
            last = max(orjson.loads(t)["u"] for t in texts if f'"s":"{symbol}"' in t and '"depthUpdate"' in t)
            if exchange.orderbooks[name]["nonce"] != last or not exchange.trades[name] or name not in exchange.bidsasks:
                raise SystemExit("ccxt.pro did not take in what it was given: the comparison would be void")
        return used
    finally:
        await exchange.close()


def _rows(levels: list[tuple[float, float]]) -> list[list[float]]:
    return [list(level) for level in levels]


def market_of(symbol: str, name: str) -> dict:
    """What ccxt.pro must know of a spot market to parse its messages."""
    base, quote = name.split("/")
    return {
        "id": symbol, "lowercaseId": symbol.lower(), "symbol": name, "base": base, "quote": quote, "baseId": base,
        "quoteId": quote, "type": "spot", "spot": True, "margin": False, "swap": False, "future": False,
        "option": False, "contract": False, "active": True, "linear": None, "inverse": None, "settle": None,
        "precision": {"amount": 1e-5, "price": 0.01}, "limits": {},
    }  # fmt: skip


# ---------------------------------------------------------------- through a socket


async def through_sockets(told: Frames, recording: Path | None) -> None:
    """The same frames from another process over a loopback WebSocket: CPU seconds of this process alone."""
    lines = []
    for name, receive in (("websockets, nothing parsed", received), ("ours", received_by_us)):
        with blaster(recording) as url:
            count, used = await receive(told, url)
        lines.append((name, count, used, count / used, used / count * 1e6))
    print("through a loopback WebSocket:")
    print(table(HEADINGS[:5], lines))


@contextmanager
def blaster(recording: Path | None) -> Iterator[str]:
    """A child that sends all frames to whoever subscribes; gives its address."""
    more = [] if recording is None else [str(recording)]
    program = [sys.executable, "-m", "tests.bench.support.blast", *more]
    child = subprocess.Popen(program, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        yield child.stdout.readline().strip()
    finally:
        child.terminate()
        child.wait(10)
        child.stdout.close()


async def received(told: Frames, url: str) -> tuple[int, float]:
    """The library's own cost: every frame taken from the socket and dropped."""
    async with connect(url, compression=None, proxy=None, max_queue=1_024) as socket:
        await socket.send('{"method":"SUBSCRIBE","params":[],"id":1}')
        await socket.recv()
        began = time.process_time()
        for _ in told.frames:
            await socket.recv(decode=False)
        return len(told.frames), time.process_time() - began


async def received_by_us(told: Frames, url: str) -> tuple[int, float]:
    async def snapshot(instrument: Instrument) -> Snapshot:
        return told.snapshots[instrument.symbol.replace("/", "")][1]

    stream = stream_of(ExchangeSettings(stream_url=url), snapshot=snapshot)
    began = time.process_time()
    task = asyncio.create_task(stream.run())
    async with asyncio.timeout(300):
        while stream.state.frames <= len(told.frames):
            await asyncio.sleep(0.01)
    used = time.process_time() - began
    if stream.faults or stream.resyncs or any(stream.book(i) is None for i in INSTRUMENTS):
        raise SystemExit(f"the stream was not kept: {stream.faults}, {stream.resyncs} resyncs")
    await stream.close()
    await task
    return len(told.frames), used
