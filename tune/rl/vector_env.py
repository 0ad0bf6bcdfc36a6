"""The agent's world: many accounts of the bot in one recorded market, stepped together by compiled code.

One step is one minute of a backtest. An action is a level of exposure an instrument: nothing, what is held, half the
share, all of it. It is a given intent: sizing, limits, exits, schedule, costs and fills are those of the backtest, because
they are the backtest's (``tune.rl.fleet``). Reward: log growth of equity from this decision to the next, after all costs,
less a penalty for its square, in basis points.

An observation has a row an instrument: its newest features, standardised, the position's share of equity, the cash's
share, and per level a 1, or a 0 where the limits would refuse it.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from config.settings import Settings
from core.bars import fill_gaps
from core.engine.market import fill_quotes
from core.engine.tables import NO_QUOTES, QUOTED, Grids, Rules, Tape, log_room, make_logs
from core.errors import ConfigError, DataError
from core.execution.schedules.rule import VOLUME_CURVE
from core.lean import bound
from core.messages import CLOSE, BoolArray, FloatArray
from core.units import MINUTE_MS
from core.volatility import MINUTES, volatility_table
from data.market import MarketCut, market_curves
from data.quote_worth import known_worth
from serve.models.base import standardise
from tune.dataset import tables
from tune.prepared import Prepared, prepare
from tune.rl.accounts import EQUITY, SHARES, Fleet, Seen, Turns, World
from tune.rl.fleet import step
from tune.rl.levels import LEVELS
from tune.run_rules import copied, fresh_account
from tune.simulate import compile_engine
from tune.spool import on_lines

CASH = Decimal(100_000)
EPISODE_MINUTES = 480
RISK_AVERSION = 2.0
LOGGED = 64
MOST_TABLED = 4
"""Slots a minute whose quotes are tabled."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AgentMarket:
    """What episodes are cut from: a market with its features, and the trading rules."""

    settings: Settings
    market: MarketCut
    features: FloatArray
    """(S, T, F), over all of ``market.bars``, as the desk would see them."""
    mean: FloatArray
    scale: FloatArray
    """(F,) by which they are standardised."""
    prepared: Prepared
    tape: Tape
    """That of ``prepared``, with the volatility of every minute, which every purchase asks for, and what the market shows
    to an order in each of its slots: here each is met many times."""

    @property
    def first(self) -> int:
        """Index of the first minute that may be decided."""
        return (self.market.first_minute - self.market.start_minute) // MINUTE_MS

    def shown(self) -> FloatArray:
        """(T, S, F) float32, standardised; 0 where a feature is not known, and to make F even."""
        rows, minutes, count = self.features.shape
        out = np.zeros((minutes, rows, count + count % 2), dtype=np.float32)
        for row in range(rows):
            out[:, row, :count] = np.nan_to_num(standardise(self.features[row], self.mean, self.scale), nan=0.0)
        return out


def agent_market(
    settings: Settings, market: MarketCut, features: FloatArray, mean: FloatArray, scale: FloatArray
) -> AgentMarket:
    """Raises ConfigError or DataError for a market or rules that the engine does not trade."""
    if settings.rules.execution.algorithm == "adaptive":
        raise ConfigError(
            "execution.algorithm adaptive rests orders in the book, and the agent learns in the compiled engine, which has"
            " no resting orders; choose another algorithm (--set execution.algorithm=twap)"
        )
    compile_engine()
    prepared = prepare(settings, market)
    rows, minutes = prepared.tape.seen.shape[:2]
    found = prepared.rules(settings, known_worth(market.worth, market.instruments).usdt)
    volatility = np.empty((rows, minutes))
    volatility_table(prepared.tape.seen, volatility, np.zeros((rows, MINUTES)))
    return AgentMarket(
        settings=settings,
        market=market,
        features=features,
        mean=mean,
        scale=scale,
        prepared=prepared,
        tape=prepared.tape._replace(volatility=volatility, quotes=_quotes(prepared.tape, found.grids, found.account)),
    )


def _quotes(tape: Tape, grids: Grids, rules: Rules) -> FloatArray:
    """``Tape.quotes``; nothing where slots come late by chance, or are so many that they take more room than features."""
    schedule = rules.schedule
    if schedule.jitter_s > 0 or schedule.slices > MOST_TABLED:
        return NO_QUOTES
    quotes = on_lines((*tape.seen.shape[:2], schedule.slices * QUOTED))
    fill_quotes(tape, grids, rules.terms, schedule.slice_ms, quotes)
    return quotes


def market_features(market: MarketCut) -> FloatArray:
    """(S, T, F) of all bars of a cut, by the live rule."""
    bars, filler = fill_gaps(market.bars)
    return tables(market.instruments, bars, filler, market.start_minute, market.sentiment, market.news)


def known(features: FloatArray) -> BoolArray:
    """(S, T): all features of the minute are defined."""
    return np.isfinite(features).all(axis=2)


class VectorEnv:
    """E accounts. ``reset`` begins all of them; an account whose episode ended begins the next one by itself."""

    def __init__(
        self,
        world: AgentMarket,
        count: int,
        *,
        minutes: int = EPISODE_MINUTES,
        cash: Decimal = CASH,
        risk_aversion: float = RISK_AVERSION,
        masked: bool = True,
        whole: bool = False,
        shown: FloatArray | None = None,
    ) -> None:
        """``whole``: episodes begin at the first minute and go to the end, without chance. ``shown``: the features as
        ``AgentMarket.shown`` gives them, where they are at hand."""
        market = world.market
        available = market.minutes - 1
        if available < 1 or count < 1:
            raise DataError(f"{market.minutes} minutes are too few for an episode, which needs 2")
        self.world, self.count, self.whole = world, count, whole
        self.minutes = available if whole else min(minutes, available)
        self.rows = len(market.instruments)
        self.level = np.array(LEVELS) / self.rows
        prepared, instruments = world.prepared, market.instruments
        worth = known_worth(market.worth, instruments)
        found = prepared.rules(world.settings, worth.usdt)
        trading = found.account
        curves = market_curves(market) if trading.schedule.kind == VOLUME_CURVE else None
        account = fresh_account(instruments, worth.currency, worth.units(cash), curves)
        tape = world.tape
        self._world = World(
            tape=tape,
            grids=found.grids,
            rules=trading,
            known=last_known_table(tape.seen),
            features=(world.shown() if shown is None else shown).view(np.float64),
            fresh=account,
            level=self.level,
            minutes=self.minutes,
            risk=risk_aversion / 2.0,
            masked=masked,
        )
        self._scratch = copied(found.scratch)
        self._logs = make_logs(log_room(self.rows, trading, LOGGED), 0)
        self.fleet = _fleet(account, count)
        turns = Turns(
            who=np.zeros((count, 3), dtype=np.int64),
            sized=np.zeros((count, self.rows, 2)),
            working=np.zeros((2, count), dtype=np.int64),
        )
        self._wanted = np.full((count, self.rows, 1), np.nan)
        self.width = 2 * self._world.features.shape[2] + SHARES + len(LEVELS)
        obs = np.zeros((count, self.rows, self.width), dtype=np.float32)
        self.seen = Seen(
            obs=obs,
            words=obs.view(np.float64),
            last=np.zeros((count, self.rows, self.width), dtype=np.float32),
            reward=np.zeros(count),
            growth=np.zeros(count),
            equity=np.zeros(count),
            ended=np.zeros(count, dtype=np.uint8),
            fills=np.zeros(count, dtype=np.int64),
        )
        if not masked:
            self.seen.obs[:, :, -len(LEVELS) :] = 1.0
        self._rng = np.random.default_rng(0)
        self._given = self._world, self.fleet, turns, self._scratch, self._logs, self._wanted, self.seen
        self._run = bound(step, *self._given, False)

    @property
    def equity(self) -> FloatArray:
        """(E,) USDT at the minute that is to be decided."""
        return self.fleet.worth[:, EQUITY]

    def reset(self, seed: int = 0) -> FloatArray:
        """Begin all episodes, with a chance of its own from ``seed``; gives (E, S, D) observations, which the next step
        overwrites."""
        self._rng = np.random.default_rng(seed)
        self._draw(np.ones(self.count, dtype=np.bool_))
        self._step(begin=True)
        self._draw(np.ones(self.count, dtype=np.bool_))
        return self.seen.obs

    def step(self, action: np.ndarray) -> Seen:
        """``action`` (E, S) indices into ``LEVELS``. What it gives is overwritten by the next step."""
        np.take(self.level, action, out=self._wanted[:, :, 0], mode="clip")
        return self._step()

    def step_targets(self, target: FloatArray) -> Seen:
        """As ``step``, for any targets (E, S): fractions of the investable equity, NaN keeps what is held."""
        self._wanted[:, :, 0] = target
        return self._step()

    def _step(self, begin: bool = False) -> Seen:
        lost = self._run(*self._given, begin)
        if lost:
            raise ConfigError(f"{lost} accounts grew beyond what is counted exactly; begin with less than {CASH} USDT")
        ended = self.seen.ended
        if not begin and ended.any():
            self._draw(ended != 0)
        return self.seen

    def _draw(self, which: BoolArray) -> None:
        """Where the next episodes begin."""
        slack = self.world.market.minutes - 1 - self.minutes
        chosen = np.zeros(int(which.sum()), dtype=np.int64)
        if not self.whole and slack > 0:
            chosen = self._rng.integers(0, slack + 1, len(chosen))
        self.fleet.start[which] = self.world.first + chosen

    def get_state(self) -> dict[str, Any]:
        """All that the coming steps depend on, beside the world: accounts, what was seen last, and chance."""
        return {
            "chance": self._rng.bit_generator.state,
            "fleet": [np.array(part) for part in self.fleet],
            "seen": [np.array(part) for part in self.seen],
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on where ``get_state`` was asked, in the same world with as many accounts."""
        self._rng.bit_generator.state = state["chance"]
        for into, parts in ((self.fleet, state["fleet"]), (self.seen, state["seen"])):
            for part, kept in zip(into, parts, strict=True):
                part[...] = kept


def last_known_table(bars: FloatArray) -> FloatArray:
    """(S, T) the last known close before each minute of ``bars`` (S, T, 5); NaN where there is none."""
    rows, minutes = bars.shape[:2]
    out = np.full((rows, minutes), np.nan)
    for row in range(rows):
        close = bars[row, :-1, CLOSE]
        at = np.where(np.isfinite(close), np.arange(minutes - 1), -1)
        at = np.maximum.accumulate(at)
        out[row, 1:] = np.where(at >= 0, close[np.maximum(at, 0)], np.nan)
    return out


def _fleet(account: object, count: int) -> Fleet:
    """``count`` accounts like this one."""

    def many(array: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(np.broadcast_to(array, (count, *array.shape))).copy()

    rows = len(account.close)  # type: ignore[attr-defined]
    guards, courses = account.guards, account.courses  # type: ignore[attr-defined]
    return Fleet(
        units=many(account.units),  # type: ignore[attr-defined]
        amount=many(account.amount),  # type: ignore[attr-defined]
        close=many(account.close),  # type: ignore[attr-defined]
        taken=many(account.taken),  # type: ignore[attr-defined]
        entry=many(account.entry),  # type: ignore[attr-defined]
        exits=many(account.exits),  # type: ignore[attr-defined]
        life=many(courses.life),
        stage=many(courses.stage),
        guard_floats=many(guards.floats),
        guard_ints=many(guards.ints),
        today=many(account.today),  # type: ignore[attr-defined]
        marks=np.zeros((count, 4), dtype=np.int64),
        levels=np.full((count, 5), np.nan),
        at=np.zeros((count, 2), dtype=np.int64),
        worth=np.zeros((count, 2)),
        mid=np.full((count, rows), np.nan),
        calm=np.zeros((count, rows, 2)),
        start=np.zeros(count, dtype=np.int64),
    )
