"""Recorded news over the wire: the simulator serves them at its own time, and the bot knows what a backtest knows."""

from dataclasses import replace
from decimal import Decimal

import aiohttp
import numpy as np

from config.settings import SentimentSettings
from core.indicators.news import columns
from core.news import FundingRate, Headline, News
from core.units import MINUTE_MS
from data.coin_names import coins_in
from data.headline_scores import lexicon
from data.sources.newsroom import Newsroom
from data.sources.spec import recorded
from exchanges.simulated.exchange import SimulatedExchange
from exchanges.simulated.local import SimulatedVenue
from exchanges.simulated.server import serve_exchange
from exchanges.simulated.tape import Tape
from exchanges.simulated.walk import random_walk_tape
from tests.sim.conftest import BEGIN, MONEY, START

TITLES = (
    "Bitcoin <hits> all-time high & more",
    "Ether hacked: 40% drained",
    "비트코인 ETF approved",
    "Regulators meet",
)


def told(at: int, number: int, age: int = 0) -> Headline:
    title = TITLES[number % len(TITLES)]
    return Headline(
        knowable_ms=at,
        published_ms=at - age,
        key=f"k{number}",
        source="recorded",
        title=title,
        bases=coins_in(title),
        score=lexicon().score(title),
    )


def made_tape(minutes: int = 120) -> Tape:
    tape = random_walk_tape(("BTC/USDT", "ETH/USDT"), START, minutes, seed=5)
    rng = np.random.default_rng(1)
    at = BEGIN // 1_000 * 1_000 + 1_000 * rng.integers(-20 * 3_600, 3_600, 40)
    headlines = [told(int(ms), k, age=3_600_000 * (k % 3)) for k, ms in enumerate(at)]
    rates = [
        FundingRate(knowable_ms=int(ms), base=base, rate_bps=float(rng.normal()))
        for ms in at[::5]
        for base in ("BTC", "ETH")
    ]
    return replace(tape, news=News.of(headlines, rates))


async def test_what_is_heard_minute_by_minute_is_what_the_tape_knows() -> None:
    tape = made_tape()
    exchange = SimulatedExchange(tape, tape.default_rules(), MONEY, BEGIN)
    running = await serve_exchange(exchange, credentials={"k": "s"})
    settings = SentimentSettings()
    room = Newsroom(recorded(settings, running.url), lexicon(), lambda: exchange.now_ms, frozenset({"BTC", "ETH"}))
    table = columns(tape.news, tape.instruments, BEGIN, 60)
    try:
        async with aiohttp.ClientSession() as http:
            for t in range(60):
                if t:
                    ask = {"to_ms": BEGIN + t * MINUTE_MS}
                    async with http.post(f"{running.url}/sim/advance", json=ask) as answer:
                        assert answer.status == 200
                await room.look()
                assert not room.lost
                known = room.known(exchange.now_ms)
                assert all(h.knowable_ms <= exchange.now_ms for h in known.headlines)
                if t:
                    minute = BEGIN + (t - 1) * MINUTE_MS
                    np.testing.assert_array_equal(columns(known, tape.instruments, minute, 1)[:, 0], table[:, t - 1])
        assert np.ptp(table[0], axis=0)[:4].all()
    finally:
        await room.close()
        await running.close()


def test_in_this_process_the_slice_holds_the_same_news() -> None:
    tape = made_tape()
    venue = SimulatedVenue.of_tape(tape, {"USDT": Decimal(1_000)}, start_ms=BEGIN)
    venue.advance_to(BEGIN + 10 * MINUTE_MS)
    news = venue.slice(BEGIN + 9 * MINUTE_MS).news
    assert news == tape.news.known_at(BEGIN + 10 * MINUTE_MS)


def test_a_tape_keeps_its_news(tmp_path) -> None:
    tape = made_tape()
    tape.save(tmp_path / "t.npz")
    assert Tape.load(tmp_path / "t.npz").news == tape.news
