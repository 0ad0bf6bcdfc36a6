"""Trades held against the levels of protective exits in the feed: CPU a trade, and how many messages leave."""

import argparse
import asyncio
import time
from collections.abc import Callable

from actors.top_news import TopNews
from config.settings import ExchangeSettings
from core.messages import Top
from core.protection import Bounds
from core.units import Instrument
from exchanges.binance.stream import MarketStream
from tests.support.table import table

NAME = "prints"
SYMBOLS, RATE = 50, 40
"""Markets, and trades a second in each: 2,000 together."""
HELD = tuple(Instrument("binance", f"C{number}/USDT") for number in range(SYMBOLS))
FRAME = (
    b'{"stream":"%s@trade","data":{"e":"trade","E":1672515782136,"s":"%s","t":%d,"p":"100.%04d","q":"0.5",'
    b'"T":1672515782136,"m":true,"M":true}}'
)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="run.py bench prints", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each story of messages runs (default 5)")
    parser.add_argument("--repeats", type=int, default=7, help="the fastest of so many passes counts (default 7)")
    args = parser.parse_args(argv)
    frames = [FRAME % ((b"c%dusdt" % (k % SYMBOLS)), b"C%dUSDT" % (k % SYMBOLS), k, k % 9_000) for k in range(50_000)]
    bare, held = asyncio.run(_decoding(frames, args.repeats))
    rows = [("read, told to nobody", bare), ("read, held against levels", held), ("of that: the levels", held - bare)]
    print(table(("a trade of 50 held markets", "CPU us"), rows))
    told = [(what, *asyncio.run(_story(args.seconds, low, alive))) for what, low, alive in STORIES]
    print(table(("2,000 trades a second, 5 s", "books", "messages a second", "with crossings", "CPU %"), told))
    return 0


STORIES = (
    ("far from every level", 50.0, True),
    ("all beyond their levels, books alive", 150.0, True),
    ("all beyond their levels, books silent", 150.0, False),
)


async def _decoding(frames: list[bytes], repeats: int) -> tuple[float, float]:
    """Microseconds a frame without and with the levels, in turns; the least of the passes."""
    best = [float("inf")] * 2
    for _ in range(repeats):
        for which in (0, 1):
            news = TopNews(_answer(50.0))
            news._prints.learn({i: Bounds(50.0, float("inf")) for i in HELD}, time.monotonic())
            hear: Callable = (lambda i, trade, to=news: to.hear_trade(i, trade.price, 5.0)) if which else _nobody
            stream = MarketStream(
                ExchangeSettings(), HELD, lambda *_: None, now_ms=lambda: 0, trades=True, on_trade=hear
            )
            began = time.process_time()
            for frame in frames:
                stream.take(frame)
            best[which] = min(best[which], (time.process_time() - began) / len(frames) * 1e6)
    return best[0], best[1]


def _nobody(*_: object) -> None:
    return None


def _answer(low: float) -> Callable:
    async def tell(tops: dict, crossings: dict) -> dict[Instrument, Bounds]:
        return dict.fromkeys(HELD, Bounds(low, float("inf")))

    return tell


async def _story(seconds: float, low: float, alive: bool) -> tuple[str, float, float, float]:
    """Messages a second, how many of them with crossings, and CPU in per cent, with trades at 100 for so long."""
    crossed, answer = 0, _answer(low)

    async def tell(tops: dict, crossings: dict) -> dict[Instrument, Bounds]:
        nonlocal crossed
        crossed += bool(crossings)
        await asyncio.sleep(0.002)
        return await answer(tops, crossings)  # type: ignore[no-any-return]

    news = TopNews(tell)
    running = asyncio.create_task(news.run())
    top = Top(bid=99.9, bid_qty=1.0, ask=100.1, ask_qty=1.0, at_ms=0)
    for instrument in HELD:
        news.hear(instrument, top)
    await asyncio.sleep(0.3)
    news.told = crossed = 0
    began, cpu, sent = time.monotonic(), time.process_time(), 0
    while (now := time.monotonic() - began) < seconds:
        while sent < now * SYMBOLS * RATE:
            instrument = HELD[sent % SYMBOLS]
            news.hear_trade(instrument, 100.0, 5.0)
            if alive:
                news.hear(instrument, top)
            sent += 1
        await asyncio.sleep(0.01)
    used = (time.process_time() - cpu) / seconds * 100.0
    running.cancel()
    return "alive" if alive else "silent", news.told / seconds, crossed / seconds, used
