"""A day ends inside a running bot: the daily loss begins anew, and the starting cap's day is judged beside the run.

The live parts as plain classes (executor, risk, records, the watch over midnight) at a served exchange whose clock is
moved; only what is wanted is written down beforehand.
"""

import asyncio
import logging
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from actors.executor import ExecutorActor
from actors.plan import RunPlan
from actors.risk import RiskActor
from actors.runs.live_days import GRACE_MS, LiveDays, Midnight
from config.load import load_settings
from core.features import WINDOW
from core.messages import CLOSE, Market, MinuteRecord, MinuteTick, TradingState
from core.record import make_record
from core.starting_cap import CapState, LiveDay, StartingCap, day_of
from core.units import DAY_MS, MINUTE_MS, Instrument
from data.journal import SqliteJournal
from data.records import RecordStore
from data.starting_caps import CapKeeper, read_cap
from exchanges.binance.gateway import BinanceGateway
from exchanges.simulated.exchange import SimulatedExchange
from exchanges.simulated.server import RunningServer, serve_exchange
from exchanges.simulated.tape import Tape
from exchanges.simulated.walk import random_walk_tape
from tests.actors.test_arming import where
from tests.sim.conftest import KEY, MONEY, SECRET
from tests.support.markets import detected, intents, market, votes

BTC = Instrument("binance", "BTC/USDT")
MIDNIGHT = 1_767_225_600_000 + DAY_MS
DAY = day_of(MIDNIGHT) - 1
FIRST = MIDNIGHT - 8 * MINUTE_MS
"""The first minute that is decided."""
FALLS = {MIDNIGHT - 4 * MINUTE_MS: 0.93, MIDNIGHT + 9 * MINUTE_MS: 0.95, MIDNIGHT + 13 * MINUTE_MS: 0.93}
"""What the price is multiplied by from a minute on. A quarter of the account is in it: 1.75 %, then 1.2 %, then 1.6 %."""
LOOSE = (
    *(
        'trade.instruments=["binance:BTC/USDT"]',
        "trade.invest_pct=100",
        "live.clean_days=1",
        "live.clean_day_minutes=5",
    ),
    *("rules.risk.daily_loss_pct=2", "rules.risk.max_position_pct=100", "rules.risk.max_order_pct=100"),
    *("rules.risk.daily_loss_usdt=null", "rules.risk.max_order_usdt=null"),
    *("rules.risk.max_gross_pct=100", "rules.risk.kelly_fraction=null", "rules.execution.cost_gate=off"),
    *("rules.risk.max_position_volatility_pct=null", "rules.risk.target_volatility_pct=null"),
)


def tape() -> Tape:
    """A quiet walk that falls where FALLS says."""
    walk = random_walk_tape((BTC.symbol,), MIDNIGHT - 120 * MINUTE_MS, 180, seed=3)
    bars = walk.bars.copy()
    for minute, factor in FALLS.items():
        bars[:, (minute - walk.start_minute) // MINUTE_MS :, :4] *= factor
    bars[:, :, :4] = np.round(bars[:, :, :4], 2)
    bars[:, :, 4] *= 50.0
    return Tape(walk.instruments, walk.start_minute, bars, synthetic=True)


class LiveBot:
    """One minute after the other, as the conductor would ask for them; market time is the exchange's."""

    def __init__(self, server: RunningServer, folder: Path) -> None:
        self.server, self.exchange = server, server.state.exchange
        settings = load_settings(environ={}, overrides=list(LOOSE))
        config = settings.config.model_copy(update={"exchanges": {"binance": where(server)}})
        self.settings = settings.model_copy(update={"config": config})
        run_dir = folder / "live"
        run_dir.mkdir()
        cap = StartingCap(config.live, CapState(judged=DAY - 1))
        keeper = CapKeeper(run_dir, config.live)
        keeper.keep(cap)
        keeper.close()
        plan = RunPlan(
            run_id="r",
            mode="live",
            settings=self.settings,
            root=folder,
            run_dir=run_dir,
            log_dir=folder / "logs",
            artifacts_dir=folder,
            redis_url="",
            keys_path=folder / "keys",
            instance="live",
            clock="wall",
        )
        self.run_dir, self.risk = run_dir, RiskActor(plan)
        self.risk.take_up(dict(zip(self.exchange.instruments, self.exchange.rules, strict=True)))
        self.gateway = BinanceGateway(where(server), (KEY, SECRET), (BTC,))
        execution = self.settings.rules.execution
        self.executor = ExecutorActor(execution, "live", self.gateway, SqliteJournal(run_dir / "journal.sqlite"))
        self.records = RecordStore(run_dir / "records")
        self.judged: list[LiveDay] = []
        days = LiveDays(self.settings, {"binance": (KEY, SECRET)}, run_dir, "live", folder)
        self.midnight = Midnight(days, cap, lambda: self.exchange.now_ms, self._day_over)
        self.minute = FIRST

    def _day_over(self, seen: LiveDay) -> None:
        self.judged.append(seen)
        self.risk.day_over(seen)

    async def until(self, ms: int) -> None:
        async with self.server.state.lock:
            await self.server.state.advance(ms)

    async def play(self, wish: float) -> MinuteRecord:
        """Decide a minute; ``wish`` is the target, NaN for no opinion."""
        minute, now = self.minute, self.minute + MINUTE_MS
        self.minute = now
        await self.until(now)
        tick = MinuteTick(minute=minute, now_ms=now, trace=f"{minute:x}")
        seen = self._seen(tick, await self.executor.account(tick))
        wants = intents(seen, (wish,))
        verdicts = self.risk.review(seen, wants)
        reports = await self.executor.execute(seen, verdicts)
        said = votes(seen, {"ridge": (wish,)})
        record = make_record(tick, seen, detected(seen), said, wants, verdicts, reports)
        self.records.append(record)
        for beat in (15_000, 30_000, 45_000):
            await self.until(now + beat)
            await self.executor.beat(now + beat)
            self.midnight.look()
        return record

    def _seen(self, tick: MinuteTick, account) -> Market:
        played = self.exchange.market.tape
        end = (tick.minute - played.start_minute) // MINUTE_MS + 1
        bars = np.concatenate([np.repeat(played.bars[:, :1], WINDOW, axis=1), played.bars[:, :end]], axis=1)[
            :, -WINDOW:
        ]
        held, cash = float(account.total("binance", "BTC")), float(account.total("binance", "USDT"))
        mids = (float(bars[0, -1, CLOSE]),)
        told = {"mids": mids, "held": (held,), "cash": cash, "bars": bars, "account": account}
        return market((BTC,), minute=tick.minute, now_ms=tick.now_ms, trace=tick.trace, **told)

    async def judgement(self) -> LiveDay:
        """Wait until a day was judged, as the terminal that follows a run would: by looking again and again."""
        for _ in range(1_000):
            self.midnight.look()
            if self.judged:
                return self.judged[-1]
            await asyncio.sleep(0.01)
        raise AssertionError("the day was not judged within ten seconds")

    async def close(self) -> None:
        self.risk._journal.close()
        self.risk._caps.close()
        self.records.close()
        await self.gateway.close()


@pytest.fixture
async def bot(tmp_path):
    made = tape()
    balances = {"USDT": MONEY["USDT"]}
    exchange = SimulatedExchange(made, made.default_rules(), balances, FIRST)
    server = await serve_exchange(exchange, credentials={KEY: SECRET})
    handlers = list(logging.getLogger().handlers)
    bot = LiveBot(server, tmp_path)
    await bot.executor.start(FIRST)
    yield bot
    await bot.close()
    await server.close()
    logging.getLogger().handlers[:] = handlers


async def test_a_day_ends_while_the_bot_runs(bot):
    nothing = float("nan")
    bought = [await bot.play(1.0) for _ in range(2)]
    assert bought[0].approved[0].arithmetic[0] == "starting cap 25% of 100% = 25%"
    while bot.minute < MIDNIGHT:
        record = await bot.play(nothing)
    before = bot.risk._risk.state
    assert before.day == DAY and before.day_equity == pytest.approx(100_000.0, rel=1e-3)
    assert record.equity / before.day_equity == pytest.approx(0.983, abs=2e-3), "1.7 % lost, 2 % allowed"

    # Midnight: the loss of yesterday is no part of today's.
    while bot.minute < MIDNIGHT + GRACE_MS - MINUTE_MS:
        record = await bot.play(nothing)
    today = bot.risk._risk.state
    assert today.day == DAY + 1 and today.day_equity == pytest.approx(record.equity, rel=2e-3)
    assert today.peak_equity == before.peak_equity, "the fall from the highest equity goes on"
    assert bot.judged == [], "its last orders may still be recorded"

    # Five minutes later the day is judged beside the run, and the next size is of the raised cap.
    while bot.minute < MIDNIGHT + GRACE_MS + MINUTE_MS:
        await bot.play(nothing)
    seen = await bot.judgement()
    assert (seen.day, seen.minutes, seen.differences, seen.breaches) == (DAY, 8, (), ())
    assert seen.fills == len(bot.exchange.my_trades(0)) > 0
    assert read_cap(bot.run_dir, bot.settings.config.live).level_pct == 50
    grown = await bot.play(0.6)
    assert grown.approved[0].arithmetic[0] == "starting cap 50% of 100% = 50%"

    # What is lost from here on is today's: 2.9 % since the bot began are not yet 2 % of today, then they are.
    while bot.minute < MIDNIGHT + 12 * MINUTE_MS:
        record = await bot.play(nothing)
    assert record.equity < 0.972 * 100_000 and record.state == TradingState.ACTIVE
    while bot.minute < MIDNIGHT + 16 * MINUTE_MS:
        record = await bot.play(nothing)
    assert record.state == TradingState.REDUCING
    assert record.state_reason.startswith("daily_loss_pct: lost ")
    assert read_cap(bot.run_dir, bot.settings.config.live).level_pct == 25, "a breach takes the step back at once"
    assert len(bot.judged) == 1


async def test_a_difference_on_a_day_raises_nothing_at_its_midnight(bot):
    await bot.play(1.0)
    for _ in range(2):
        await bot.play(float("nan"))
    bot.exchange.account.transfer("USDT", Decimal(-5_000))
    while bot.minute < MIDNIGHT + GRACE_MS + MINUTE_MS:
        await bot.play(float("nan"))
    seen = await bot.judgement()
    assert seen.differences and "USDT" in seen.differences[0]
    kept = read_cap(bot.run_dir, bot.settings.config.live)
    assert (kept.level_pct, kept.state.judged, kept.state.clean_days) == (25, DAY, 0)
