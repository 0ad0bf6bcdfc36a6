"""A day of minutes from the simulated exchange, the streams cut every seven of them: every bar is the lake's.

Gateway, stream, feed and cache as they run live, without Ray; the market stands still between the minutes.
"""

import asyncio
from collections import Counter
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from actors.bar_feed import BarFeed
from config.settings import ExchangeSettings
from core.cache import Cache
from core.messages import VOLUME, AccountState, Market, MarketSlice, MinuteTick
from core.session import decision_ms
from core.units import MINUTE_MS, Instrument
from exchanges.binance.gateway import BinanceGateway
from exchanges.binance.stream import MarketStream
from exchanges.link import LinkPolicy
from exchanges.simulated.chaos.plan import Chaos
from exchanges.simulated.exchange import SimulatedExchange
from exchanges.simulated.server import RunningServer, serve_exchange
from exchanges.simulated.tape import Tape
from tests.support.markets import walk

BTC, ETH = Instrument("binance", "BTC/USDT"), Instrument("binance", "ETH/USDT")
START = 1_772_000_040_000
CUT_EVERY = 7
QUICK = LinkPolicy(silence_s=None, first_delay_s=0.01, longest_delay_s=0.01)
NOBODY = AccountState(at_ms=0, balances=())


class Day:
    """Everything that was seen while a tape was played."""

    def __init__(self, tape: Tape, chaos: Chaos | None = None) -> None:
        self.tape, self.chaos = tape, chaos
        self.slices: list[MarketSlice] = []
        self.markets: list[Market] = []
        self.revised = 0
        self.cuts = 0
        self.gaps = 0
        self.lives = 0
        self.faults: Counter[str] = Counter()

    async def play(self, grace_s: float = 0.05) -> "Day":
        tape = self.tape
        exchange = SimulatedExchange(tape, tape.default_rules(), {"USDT": Decimal(1_000)})
        server = await serve_exchange(exchange, chaos=self.chaos)
        settings = ExchangeSettings(
            rest_url=server.url, stream_url=server.stream_url, user_stream_url=server.ws_api_url, timeout_ms=10_000
        )
        gateway = BinanceGateway(settings, None, tape.instruments)
        feed = BarFeed(tape.instruments, gateway, grace_s)
        now = tape.start_minute
        stream = MarketStream(settings, tape.instruments, feed.hear, None, feed.gap, now_ms=lambda: now, policy=QUICK)
        running = asyncio.create_task(stream.run())
        cache = Cache(tape.instruments)
        try:
            await asyncio.wait_for(stream.subscribed(), 10)
            for number in range(tape.minutes):
                minute = tape.start_minute + number * MINUTE_MS
                due = self.chaos is None and number % CUT_EVERY == CUT_EVERY - 1
                # Every other cut comes when the minute's frames have been sent but not read.
                if due and number % 2:
                    self.cut(server)
                now = min(decision_ms(minute), tape.end_ms)
                async with server.state.lock:
                    await server.state.advance(now)
                if due and not number % 2:
                    self.cut(server)
                seen = await feed.collect(minute)
                await feed.settle()
                piece = MarketSlice(
                    minute=minute,
                    instruments=tape.instruments,
                    bars=seen.bars,
                    tops=tuple(stream.tops.get(i) for i in tape.instruments),
                    late=seen.late,
                    revised=seen.revised,
                )
                self.revised += len(seen.revised)
                self.slices.append(piece)
                self.markets.append(cache.observe(MinuteTick(minute=minute, now_ms=now, trace="t"), piece, NOBODY))
        finally:
            await stream.close()
            await asyncio.wait_for(running, 10)
            await gateway.close()
            await server.close()
        self.gaps, self.lives, self.faults = feed.gaps, stream.state.lives, stream.faults
        return self

    def cut(self, server: RunningServer) -> None:
        """Drop every connection without a word."""
        self.cuts += 1
        for connection in tuple(server.state.hub.connections):
            connection.abandon()

    def check(self) -> None:
        """Each final bar equals the tape's to the last digit; where there is none nothing is fresh. With faults of REST
        too a bar may come late: then it is told later, and the cache ends with the truth."""
        tape = self.tape
        for number, (piece, market) in enumerate(zip(self.slices, self.markets, strict=True)):
            for row, bar in enumerate(piece.bars):
                truth = tape.bars[row, number]
                if np.isnan(truth).any():
                    assert bar is None
                if bar is None:
                    assert self.chaos is not None or np.isnan(truth).any()
                    assert tape.instruments[row] in piece.late
                    assert not market.fresh[row]
                    assert market.filler[row, -1]
                    continue
                assert bar is not None
                assert bar.minute == piece.minute
                assert [bar.open, bar.high, bar.low, bar.close, bar.volume] == truth.tolist()
                assert bar.filler == market.filler[row, -1] == (truth[VOLUME] == 0.0)
                assert bar.source in ("stream", "rest")
                np.testing.assert_array_equal(market.bars[row, -1], truth)
                if market.fresh[row]:
                    assert piece.tops[row] is not None
                    assert piece.tops[row].at_ms > piece.minute
        assert self.revised == 0 or self.chaos is not None
        # Whatever was late has been found since, but for what the last minutes still owe.
        known, settled = self.markets[-1].bars[:, -tape.minutes :], tape.bars[:, -self.markets[-1].bars.shape[1] :]
        real = np.isfinite(settled[:, :-2])
        np.testing.assert_array_equal(known[:, :-2][real], settled[:, :-2][real])

    @property
    def sources(self) -> Counter[str]:
        return Counter(bar.source for piece in self.slices for bar in piece.bars if bar is not None)


async def test_minutes_with_a_flat_stretch_and_a_halt_come_through_cuts_as_they_are():
    bars = np.stack([walk(70, 1, price=60_000.0), walk(70, 2, price=3_000.0)])
    for row in range(2):
        bars[row, 20:26, :4] = bars[row, 19, 3]
        bars[row, 20:26, VOLUME] = 0.0
    bars[:, 26:33] = np.nan
    bars[1, 50] = np.nan
    day = await Day(Tape((BTC, ETH), START, bars)).play()
    day.check()
    assert day.cuts == 10
    assert day.sources["stream"] > 60
    assert day.sources["rest"] >= 2 * day.cuts / 2
    assert day.gaps > 3
    assert sum(len(piece.late) for piece in day.slices) == 15


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_final_frames_that_are_lost_late_or_doubled_and_ends_of_all_kinds_change_no_bar(seed):
    """A sixth of the final frames goes wrong; connections are shut down, aged and cut."""
    bars = np.stack([walk(60, 1, price=60_000.0), walk(60, 2, price=3_000.0)])
    kinds = ("late-bar", "lose-bar", "dup-bar", "end-shutdown", "end-day", "end-pong", "cut-json", "http-not")
    chaos = Chaos(np.random.default_rng(seed), rate=0.15, only=kinds, pace=0.02)
    day = await Day(Tape((BTC, ETH), START, bars), chaos).play()
    day.check()
    assert day.sources.total() + sum(len(piece.late) for piece in day.slices) == 120
    assert chaos.done["lose-bar"] + chaos.done["late-bar"] > 3
    assert day.sources["rest"] > 3


@pytest.mark.shared
async def test_the_day_of_the_halt_equals_the_lake(shared_data: Path):
    """24 March 2023: 72 minutes without a trade from 11:28, then nothing at all for 80."""
    start = 1_679_616_000_000
    rows = []
    for name in ("BTCUSDT", "ETHUSDT"):
        frame = pl.read_parquet(shared_data / "binance_2023-03" / "binance" / f"{name}.parquet")
        grid = np.full((1_440, 5), np.nan)
        day = frame.filter(pl.col("ts").is_between(start, start + 1_440 * MINUTE_MS, closed="left"))
        grid[(day["ts"].to_numpy() - start) // MINUTE_MS] = day.select(
            "open", "high", "low", "close", "volume"
        ).to_numpy()
        rows.append(grid)
    bars = np.stack(rows)
    day = await Day(Tape((BTC, ETH), start, bars)).play(0.01)
    day.check()
    assert np.isnan(bars[:, :, 0]).sum(axis=1).tolist() == [80, 80]
    assert sum(len(piece.late) for piece in day.slices) == 160
    assert sum(bar.filler for piece in day.slices for bar in piece.bars if bar is not None) >= 144
    assert day.cuts == 205
    assert min(day.sources["stream"], day.sources["rest"]) > 100
