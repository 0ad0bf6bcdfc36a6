"""A backtest by the compiled engine: the rules of the live bot over a market and forecasts, in bounded memory.

``simulate`` runs the ensemble on forecasts made before, ``simulate_targets`` a strategy that says itself what it wants to
hold; both under every limit and cost. What they find is what ``tune.backtest`` finds, to the last digit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

import numpy as np

from config.settings import Settings
from core.bars import MAX_PRICE, MAX_VOLUME, fill_gaps
from core.costs import UNITS, fees_of
from core.engine.loop import FULL, TOO_LARGE, advance
from core.engine.prepared import liquidity_table
from core.engine.shown import shown_table
from core.engine.tables import (
    EXACT,
    REPORTING_CURRENCY,
    Columns,
    Grids,
    Logs,
    Said,
    Tape,
    fresh_mark,
    make_account,
    make_columns,
    make_grids,
    make_logs,
    make_rows,
    make_rules,
    make_scratch,
)
from core.errors import ConfigError, DataError
from core.events import LONG, event_rules, read_span_of_market
from core.liquidity import half_spreads
from core.messages import CLOSE, VOLUME, BoolArray, FloatArray, Regime
from core.selection import WeightTable
from core.units import MINUTE_MS, Instrument, MarketRules
from data.market import MarketCut
from exchanges.simulated.tape import Tape as RecordedTape
from tune.result import Result, grid_of
from tune.simulated_result import Found, make_result

Progress = Callable[[int, int], object]
"""Told (minutes done, all minutes)."""
Schedule = Sequence[tuple[int, WeightTable]]
"""(first minute from which a table holds, table), increasing."""

CHUNK_CELLS = 1 << 20
"""Member-symbol-minutes handed to the engine at a time (8 MB of means)."""
MOST_CHUNK = 16_384
"""Minutes, at most: an interruption waits for the end of a chunk."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Forecasts:
    """What every member said of every minute of a ``MarketCut`` (history included)."""

    members: tuple[str, ...]
    versions: tuple[str, ...]
    mean_bps: FloatArray
    """(M, S, T) expected log return over the horizon, basis points; NaN where it could not be asked. Any float; may be
    mapped from a file."""
    stdev_bps: FloatArray
    """(M, S, T) its own uncertainty."""
    asked: BoolArray | None = None
    """(S, T) a forecast could be asked for; by default wherever some member gave one. A member that is not finite where
    it was asked is silent for the whole minute."""


def simulate(
    settings: Settings,
    market: MarketCut,
    forecasts: Forecasts,
    *,
    cash: Decimal,
    weights: WeightTable | Schedule | None = None,
    name: str = "",
    progress: Progress | None = None,
) -> Result:
    """Trade ``market`` on ``forecasts`` with one account of ``cash`` USDT.

    ``weights``: one table, or tables by the minute from which they hold (before the first of them, it holds too); by
    default the configured ones. Ctrl-C keeps the minutes done, with a note. Raises ConfigError or DataError naming
    what cannot be simulated.
    """
    rows, minutes = len(market.instruments), market.bars.shape[1]
    shape = (len(forecasts.members), rows, minutes)
    for what, array in (("mean_bps", forecasts.mean_bps), ("stdev_bps", forecasts.stdev_bps)):
        if array.shape != shape:
            raise DataError(f"forecasts: {what} is {array.shape}, the market wants {shape} (members, symbols, minutes)")
    if forecasts.asked is not None and forecasts.asked.shape != shape[1:]:
        raise DataError(f"forecasts: asked is {forecasts.asked.shape}, the market wants {shape[1:]}")
    return _Run(settings, market, forecasts, None, _schedule(settings, weights), cash, name).finish(progress)


def simulate_targets(
    settings: Settings,
    market: MarketCut,
    target: FloatArray,
    *,
    cash: Decimal,
    name: str = "",
    progress: Progress | None = None,
    regimes: bool = True,
) -> Result:
    """Trade ``market`` by wanted exposures: ``target`` (T, S) fractions of the investable equity over the minutes of
    ``market.bars``, decided at each minute's close; NaN keeps what is held. Limits, sizing, schedules and costs are
    those of ``simulate``. Without ``regimes`` the result's are unknown, which saves reading them.
    """
    shape = (market.bars.shape[1], len(market.instruments))
    if target.shape != shape:
        raise DataError(f"target is {target.shape}, the market wants {shape} (minutes, symbols)")
    return _Run(settings, market, None, target, [], cash, name, regimes).finish(progress)


class _Run:
    """One run: what it is made of, then chunk by chunk."""

    def __init__(
        self,
        settings: Settings,
        market: MarketCut,
        forecasts: Forecasts | None,
        target: FloatArray | None,
        schedule: list[tuple[int, WeightTable]],
        cash: Decimal,
        name: str,
        regimes: bool = True,
    ) -> None:
        self.settings, self.market, self.name, self.cash = settings, market, name, cash
        self.forecasts, self.target, self.regimes = forecasts, target, regimes
        instruments, rules = market.instruments, settings.rules
        self.rules = market_rules(settings, market)
        _check(market)
        members = forecasts.members if forecasts else ()
        self.first = (market.first_minute - market.start_minute) // MINUTE_MS
        self.grids = make_grids(instruments, self.rules, {i: fees_of(i, rules.costs).in_quote for i in instruments})
        self.tape = make_tape(settings, market, self.grids)
        self.account_rules = make_rules(
            settings.config.trade, rules.risk, rules.selection, rules.execution, rules.costs
        )
        self.account = make_account(instruments, {REPORTING_CURRENCY: cash})
        self.account.close[:] = last_closes(market.bars, self.first)
        self.rows = make_rows(instruments, self.rules)
        self.scratch = make_scratch(self.rows, len(self.account.units), len(members))
        grid = grid_of(market.minutes)
        stride = int(grid[1] - grid[0]) if len(grid) > 1 else 1
        self.columns: Columns = make_columns(self.first, market.minutes, stride, len(instruments), len(members))
        self.logs: Logs = make_logs(len(instruments), len(members), self.account_rules.slices)
        self.tables = np.array(
            [[table.weights(regime, members) for regime in Regime] for _, table in schedule], dtype=np.float64
        ).reshape(len(schedule), len(Regime), len(members))
        self.holds_from = np.array([minute for minute, _ in schedule], dtype=np.int64)
        self.regime = np.full(market.minutes, -1, dtype=np.int8)
        self.orders: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self.fills: list[np.ndarray] = []
        self.done = 0
        self.notes: tuple[str, ...] = ()

    def finish(self, progress: Progress | None) -> Result:
        """Run to the end, or to where Ctrl-C finds it."""
        minutes = self.market.minutes
        cells = max(1, len(self.market.instruments) * max(1, len(self.forecasts.members) if self.forecasts else 1))
        chunk = int(min(MOST_CHUNK, max(64, CHUNK_CELLS // cells)))
        state, index, orders = fresh_mark(), self.first, 0
        try:
            while self.done < minutes:
                first, end = self.first + self.done, self.first + min(self.done + chunk, minutes)
                said = self._said(first, end)
                while index < end:
                    why, index, state, more, fills = advance(
                        self.tape,
                        self.grids,
                        self.account_rules,
                        self.account,
                        state,
                        said,
                        self.scratch,
                        self.columns,
                        self.logs,
                        index,
                        end,
                        orders,
                    )
                    logs, orders = self.logs, orders + more
                    self.orders.append(
                        (logs.orders[:more].copy(), logs.floats[:more].copy(), logs.shares[:more].copy())
                    )
                    self.fills.append(logs.fills[:fills].copy())
                    if why == TOO_LARGE:
                        raise ConfigError(
                            f"a balance grew above {EXACT // UNITS} coins at "
                            f"{_utc(self.market.start_minute + index * MINUTE_MS)}: beyond what is counted exactly"
                        )
                    if why == FULL and not more and not fills:
                        raise AssertionError("the engine's logs cannot hold one minute")
                self.done = end - self.first
                if progress is not None:
                    progress(self.done, minutes)
        except KeyboardInterrupt:
            if not self.done:
                raise
            when = _utc(self.market.first_minute + self.done * MINUTE_MS)
            self.notes = (f"interrupted: {self.done} of {minutes} minutes were run, up to {when} UTC",)
        return make_result(self._found())

    def _said(self, first: int, end: int) -> Said:
        """What the engine needs of the minutes [first, end)."""
        market, rows, size = self.market, len(self.market.instruments), end - first
        flags = np.zeros((2, rows, size), dtype=np.bool_)
        which = np.zeros((2, size), dtype=np.int64)
        if self.regimes:
            which[0], flags[1] = readings(self.settings, market, first, end)
            self.regime[first - self.first : end - self.first] = which[0]
        if self.forecasts is None:
            target = np.ascontiguousarray(self.target[first:end].T, dtype=np.float64)  # type: ignore[index]
            return Said(first, False, np.zeros((2, 0, rows, 0)), flags, which, np.zeros((1, len(Regime), 0)), target)
        votes = np.stack(
            [
                np.asarray(a[:, :, first:end], dtype=np.float64)
                for a in (self.forecasts.mean_bps, self.forecasts.stdev_bps)
            ]
        )
        asked = self.forecasts.asked
        flags[0] = np.isfinite(votes[0]).any(axis=0) if asked is None else asked[:, first:end]
        opens = market.start_minute + np.arange(first, end) * MINUTE_MS
        which[1] = np.maximum(np.searchsorted(self.holds_from, opens, side="right") - 1, 0)
        return Said(first, True, votes, flags, which, self.tables, np.zeros((rows, 0)))

    def _found(self) -> Found:
        """What was logged of the minutes that are done."""
        last = self.first + self.done
        members = len(self.forecasts.members) if self.forecasts else 0
        fills = np.concatenate([*self.fills, np.zeros((0, self.logs.fills.shape[1]), np.int64)])
        ints, floats, shares = (np.concatenate(parts) for parts in zip(*self.orders, strict=True))
        kept = int(np.searchsorted(ints[:, 0], last))
        return Found(
            name=self.name,
            settings=self.settings,
            market=self.market,
            tape=self.tape,
            rules=self.rules,
            rows=self.rows,
            caps=self.account_rules.caps,
            members=self.forecasts.members if self.forecasts else (),
            cash=self.cash,
            minutes=self.done,
            columns=self.columns,
            regime=self.regime[: self.done],
            orders=ints[:kept],
            order_floats=floats[:kept],
            shares=shares[:kept].reshape(kept, members),
            fills=fills[: int(np.searchsorted(fills[:, 1], last))],
            fee_in_quote=self.grids.ints[:, 7] > 0,
            notes=self.notes,
        )


def market_rules(settings: Settings, market: MarketCut) -> dict[Instrument, MarketRules]:
    """The rules of the simulated venue for this market; raises DataError for bars that cannot be."""
    tape = RecordedTape(market.instruments, market.start_minute, market.bars, market.synthetic, market.sentiment)
    return tape.default_rules(settings.rules.costs)


def make_tape(settings: Settings, market: MarketCut, grids: Grids) -> Tape:
    """The market as the engine trades it under the configured costs."""
    rules = make_rules(
        settings.config.trade,
        settings.rules.risk,
        settings.rules.selection,
        settings.rules.execution,
        settings.rules.costs,
    )
    terms = rules.terms
    recorded = np.require(market.bars, np.float64, ["C", "W"])
    # One array where they are equal: what an order reads of both then lies in one place.
    bars = recorded if terms.halts else np.require(fill_gaps(recorded)[0], np.float64, ["C", "W"])
    half = half_spreads(bars, market.start_minute, terms.half_spread_default_bps, terms.half_spread_max_bps)
    shown = shown_table(bars, recorded, half, market.start_minute, grids.floats, grids.ints)
    return Tape(bars, recorded, liquidity_table(bars, terms.min_volatility), half, shown, market.start_minute)


def last_closes(bars: FloatArray, end: int) -> FloatArray:
    """(S,) the newest known close of each instrument before minute ``end``; NaN where there is none."""
    found = np.full(bars.shape[0], np.nan)
    for row in range(bars.shape[0]):
        if end and np.isfinite(bars[row, end - 1, CLOSE]):
            found[row] = bars[row, end - 1, CLOSE]
        elif len(known := np.flatnonzero(np.isfinite(bars[row, :end, CLOSE]))):
            found[row] = bars[row, known[-1], CLOSE]
    return found


def readings(settings: Settings, market: MarketCut, first: int, end: int) -> tuple[np.ndarray, BoolArray]:
    """(N,) regimes and (S, N) shocks of the minutes [first, end) of ``market.bars``."""
    low = max(0, first - LONG)
    window = np.array(market.bars[:, low:end], dtype=np.float64, order="C")
    for row, close in enumerate(last_closes(market.bars, low)):
        if not np.isfinite(window[row, 0, VOLUME]) and np.isfinite(close):
            window[row, 0] = (close, close, close, close, 0.0)
    bars, filler = fill_gaps(window)
    return read_span_of_market(bars, filler, first - low, end - low, event_rules(settings.rules.events))


def _schedule(settings: Settings, weights: WeightTable | Schedule | None) -> list[tuple[int, WeightTable]]:
    if weights is None:
        rules = settings.rules
        members = tuple(m.name for m in rules.models.enabled)
        weights = WeightTable.default(members, rules.selection.default_weights)
    if isinstance(weights, WeightTable):
        return [(0, weights)]
    found = [(int(minute), table) for minute, table in weights]
    if not found or any(a >= b for (a, _), (b, _) in pairwise(found)):
        raise ConfigError("a schedule of weights needs a first table, and minutes that increase")
    return found


def _check(market: MarketCut) -> None:
    """Raises ConfigError or DataError for a market that the engine does not trade."""
    for instrument in market.instruments:
        if instrument.quote != REPORTING_CURRENCY:
            raise ConfigError(f"{instrument}: a backtest trades {REPORTING_CURRENCY} markets only")
    if not market.minutes:
        raise DataError("there are no minutes to run")
    with np.errstate(invalid="ignore"):
        wild = (market.bars[..., :4] >= MAX_PRICE).any(axis=2) | (market.bars[..., VOLUME] >= MAX_VOLUME)
    if wild.any():
        row, index = (int(x[0]) for x in np.nonzero(wild))
        when = _utc(market.start_minute + index * MINUTE_MS)
        raise DataError(f"{market.instruments[row]} {when} UTC: {market.bars[row, index].tolist()} is no market's bar")


def _utc(ms: int) -> str:
    return str(np.datetime64(ms, "ms").astype("datetime64[m]"))
