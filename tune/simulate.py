"""A backtest by the compiled engine: the rules of the live bot over a market and forecasts, in bounded memory.

``simulate`` runs the ensemble on forecasts made before, ``simulate_targets`` a strategy that says itself what it wants to
hold; both under every limit and cost. What they find is what ``tune.backtest`` finds, to the last digit.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise

import numpy as np

from config.load import load_settings
from config.settings import Settings
from core.bars import fill_gaps, last_known
from core.costs import UNITS
from core.engine.loop import DONE, FULL, TOO_LARGE, advance
from core.engine.tables import (
    ASKED,
    EXACT,
    REGIME,
    SHOCK,
    TABLE,
    Columns,
    Logs,
    Said,
    Tape,
    fresh_mark,
    make_columns,
    make_logs,
)
from core.errors import ConfigError, DataError
from core.events import LONG, event_rules, read_span_of_market
from core.execution.schedules.rule import VOLUME_CURVE
from core.impact import PRIOR, ImpactLaw
from core.loss_limits import Mark
from core.messages import CLOSE, VOLUME, BoolArray, FloatArray, Regime
from core.selection import WeightTable
from core.units import MINUTE_MS
from data.market import MarketCut, market_curves
from data.quote_worth import known_worth
from tune.compiling import compile_side_by_side, is_compiled, is_loaded, small_market
from tune.found import INDEX, ORDER, Found
from tune.pieces import Pieces
from tune.prepared import Prepared, prepare, terms_in
from tune.result import Result, stride_of
from tune.run_rules import copied, fresh_account
from tune.simulated_result import make_result, worth_is_invested
from tune.spool import Spool, lent, room_for
from tune.targets import Wanted, checked, nothing_said, said_of

Progress = Callable[[int, int], object]
"""Told (minutes done, all minutes), none done when the trading begins."""
Schedule = Sequence[tuple[int, WeightTable]]
"""(first minute from which a table holds, table), increasing."""

CHUNK_CELLS = 1 << 20
"""Member-symbol-minutes handed to the engine at a time (8 MB of means)."""
MOST_CHUNK = 1 << 20
"""Minutes, at most: an interruption waits for the end of a chunk."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Forecasts:
    """What every member said of every minute of a ``MarketCut`` (history included)."""

    members: tuple[str, ...]
    versions: tuple[str, ...]
    mean_bps: FloatArray | Pieces
    """(M, S, T) expected log return over the horizon, basis points; NaN where it could not be asked. Any float; may be
    mapped from a file."""
    stdev_bps: FloatArray | Pieces
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
    prepared: Prepared | None = None,
    law: ImpactLaw = PRIOR,
) -> Result:
    """Trade ``market`` on ``forecasts`` with one account of ``cash`` USDT.

    ``weights``: one table, or tables by the minute from which they hold (before the first of them, it holds too); by
    default the configured ones. ``prepared``: the market made ready before (``tune.prepared``), where it fits; else it is
    made ready now. ``law``: what is believed of impact. Ctrl-C keeps the minutes done, with a note. Raises ConfigError or DataError naming
    what cannot be simulated.
    """
    rows, minutes = len(market.instruments), market.bars.shape[1]
    shape = (len(forecasts.members), rows, minutes)
    for what, array in (("mean_bps", forecasts.mean_bps), ("stdev_bps", forecasts.stdev_bps)):
        if array.shape != shape:
            raise DataError(f"forecasts: {what} is {array.shape}, the market wants {shape} (members, symbols, minutes)")
    if forecasts.asked is not None and forecasts.asked.shape != shape[1:]:
        raise DataError(f"forecasts: asked is {forecasts.asked.shape}, the market wants {shape[1:]}")
    table = _schedule(settings, weights)
    return _Run(settings, market, forecasts, None, table, cash, name, True, prepared, law).finish(progress)


def simulate_targets(
    settings: Settings,
    market: MarketCut,
    target: Wanted,
    *,
    cash: Decimal,
    name: str = "",
    progress: Progress | None = None,
    regimes: bool = True,
    prepared: Prepared | None = None,
) -> Result:
    """Trade ``market`` by wanted exposures: ``target`` (T, S) fractions of the investable equity over the minutes of
    ``market.bars``, decided at each minute's close, NaN keeps what is held; or of each instrument ``Targets``, of those
    minutes alone in which something is wanted, which is quicker where they are few. Limits, sizing, schedules and costs
    are those of ``simulate``. Without ``regimes`` the result's are unknown, which saves reading them.
    """
    target = checked(target, market.bars.shape[1], len(market.instruments))
    return _Run(settings, market, None, target, [], cash, name, regimes, prepared).finish(progress)


COMPILING = "compiling the rules, once (some 15 s, more on a busy machine)"


def compile_engine(say: Callable[[str], object] = lambda text: None) -> None:
    """Compile all that a run needs, if that was not done before: once a machine and version of the rules. ``say`` is told
    when somebody has to wait for it. What is on disk is read now, so that it is no part of the trading's time."""
    if not is_compiled():
        say(COMPILING)
        compile_side_by_side(_compile_loop)
    elif not is_loaded():
        _compile_loop()


def _compile_loop() -> None:
    """Call the loop for no minute at all, with arguments of the types it always has, and ask what that lost."""
    run = idle_run()
    run.advance(fresh_mark(), nothing_said(len(run.market.instruments)), run.first, run.first, 0)
    run._found().lost(0)


def idle_run() -> "_Run":
    """A run over ``small_market`` for the types of its parts, which needs next to nothing compiled."""
    settings = load_settings(environ={})
    market = small_market()
    bars, (rows, minutes) = market.bars, market.bars.shape[:2]
    tape = Tape(
        bars,
        bars,
        np.zeros((rows, minutes + 1, 2)),
        np.zeros((rows, 1)),
        np.zeros((rows, minutes)),
        np.zeros((rows, 1, 2)),
        np.zeros((rows, 0)),
        0,
    )
    nothing = Prepared(
        market=market,
        terms=terms_in(settings),
        tape=tape,
        first_price=(1.0,),
        minute=np.zeros(1, np.int64),
        close=np.zeros((1, rows)),
    )
    return _Run(settings, market, None, np.zeros((minutes, rows)), [], Decimal(1), "", False, nothing)


class _Run:
    """One run: what it is made of, then chunk by chunk."""

    def __init__(
        self,
        settings: Settings,
        market: MarketCut,
        forecasts: Forecasts | None,
        target: Wanted | None,
        schedule: list[tuple[int, WeightTable]],
        cash: Decimal,
        name: str,
        regimes: bool = True,
        prepared: Prepared | None = None,
        law: ImpactLaw = PRIOR,
    ) -> None:
        self.settings, self.market, self.name, self.cash = settings, market, name, cash
        self.forecasts, self.target, self.regimes = forecasts, target, regimes
        instruments = market.instruments
        if settings.rules.execution.algorithm == "adaptive":
            raise ConfigError(
                "execution.algorithm adaptive rests orders in the book, and the compiled engine has no resting orders:"
                " run backtest --exact, which trades minute by minute against the simulated exchange's book, or choose"
                " another algorithm (--set execution.algorithm=twap)"
            )
        if prepared is None or not prepared.fits(settings, market):
            compile_engine()
            prepared = prepare(settings, market)
        members = forecasts.members if forecasts else ()
        self.first = (market.first_minute - market.start_minute) // MINUTE_MS
        self.tape, self.folder, self.minute, self.close = (
            *(prepared.tape, prepared.folder),
            *(prepared.minute, prepared.close),
        )
        self.worth = known_worth(market.worth, instruments)
        self.run_rules = found = prepared.rules(settings, self.worth.usdt, len(members), law)
        self.rules, self.grids, self.account_rules, self.rows = found.venue, found.grids, found.account, found.rows
        curves = market_curves(market) if self.account_rules.schedule.kind == VOLUME_CURVE else None
        self.account = fresh_account(instruments, self.worth.currency, self.worth.units(cash), curves)
        self.account.close[:] = last_closes(self.tape.seen, self.first)
        self.scratch = copied(found.scratch)
        # The result's are these and not copies of them. Where what is invested is all that is held, every so many of its
        # minutes are the positions' worth; the last of them does not stand where that step leads, but is put there.
        count, stride = market.minutes, stride_of(market.minutes)
        noted, self.worth_at = room_for((2 * count + stride,), self.folder), None
        if worth_is_invested(instruments, members):
            self.worth_at, stride = noted[count::stride, None], count
        self.columns: Columns = make_columns(
            *(self.first, noted[: 2 * count].reshape(2, count), stride, len(instruments), len(members)),
            lambda shape: room_for(shape, self.folder),
        )
        self.logs: Logs = make_logs(found.room, len(members), lent)
        self.tables = np.array(
            [[table.weights(regime, members) for regime in Regime] for _, table in schedule], dtype=np.float64
        ).reshape(len(schedule), len(Regime), len(members))
        self.holds_from = np.array([minute for minute, _ in schedule], dtype=np.int64)
        self.regime = unknown_regimes(market.minutes)
        if regimes:
            self.regime = self.regime.copy()
        logs = (self.logs.orders, self.logs.floats, self.logs.shares, self.logs.fills)
        self.noted = [Spool(log.shape[1], log.dtype.type, self.folder) for log in logs]
        self.done = 0
        self.notes = (*prepared.notes, *filter(None, [self.worth.note()]))

    def finish(self, progress: Progress | None) -> Result:
        """Run to the end, or to where Ctrl-C finds it."""
        minutes = self.market.minutes
        cells = max(1, len(self.market.instruments) * max(1, len(self.forecasts.members) if self.forecasts else 1))
        chunk = int(min(MOST_CHUNK, max(64, CHUNK_CELLS // cells)))
        state, index, orders = fresh_mark(), self.first, 0
        try:
            if progress is not None:
                progress(0, minutes)
            while self.done < minutes:
                first, end = self.first + self.done, self.first + min(self.done + chunk, minutes)
                said = self._said(first, end)
                while index < end:
                    why, index, state, more, fills = self.advance(state, said, index, end, orders)
                    logs, orders = self.logs, orders + more
                    # The logs are written over by the next call; those of the last one are kept as they are.
                    kept = why == DONE and end == self.first + minutes
                    for spool, log in zip(self.noted, (logs.orders, logs.floats, logs.shares), strict=False):
                        spool.add(log[:more], kept=kept)
                    self.noted[-1].add(logs.fills[:fills], kept=kept)
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
            self.notes += (f"interrupted: {self.done} of {minutes} minutes were run, up to {when} UTC",)
        return make_result(self._found())

    def advance(self, state: Mark, said: Said, first: int, end: int, orders: int) -> tuple[int, int, Mark, int, int]:
        """The loop over [first, end), after so many orders."""
        return advance(
            self.tape,
            self.grids,
            self.account_rules,
            self.account,
            state,
            said,
            self.scratch,
            self.columns,
            self.logs,
            first,
            end,
            orders,
        )

    def _said(self, first: int, end: int) -> Said:
        """What the engine needs of the minutes [first, end)."""
        market, rows, size = self.market, len(self.market.instruments), end - first
        if self.regimes:
            regime, shock = readings(self.settings, self.tape.seen, first, end)
            self.regime[first - self.first : end - self.first] = regime
        if self.forecasts is None:
            assert self.target is not None
            return said_of(self.target, rows, first, end)
        flags, which = np.empty((2, rows, size), dtype=np.bool_), np.empty((2, size), dtype=np.int64)
        which[REGIME], flags[SHOCK] = regime, shock
        votes = lent((2, len(self.forecasts.members), rows, apart(size)))
        votes[0, :, :, :size] = self.forecasts.mean_bps[:, :, first:end]
        votes[1, :, :, :size] = self.forecasts.stdev_bps[:, :, first:end]
        asked = self.forecasts.asked
        flags[ASKED] = np.isfinite(votes[0, :, :, :size]).any(axis=0) if asked is None else asked[:, first:end]
        opens = market.start_minute + np.arange(first, end) * MINUTE_MS
        which[TABLE] = np.maximum(np.searchsorted(self.holds_from, opens, side="right") - 1, 0)
        return nothing_said(rows)._replace(
            first=first, ensemble=True, votes=votes, flags=flags, which=which, weights=self.tables
        )

    def _found(self) -> Found:
        """What was logged of the minutes that are done."""
        last = self.first + self.done
        ints, floats, shares, fills = (spool.rows() for spool in self.noted)
        # numpy's own search would copy a column first.
        kept = bisect_left(ints[:, INDEX], last)
        fills = fills[: bisect_left(fills[:, ORDER], kept)]
        return Found(
            name=self.name,
            settings=self.settings,
            market=self.market,
            tape=self.tape,
            rules=self.rules,
            rows=self.rows,
            caps=self.account_rules.caps,
            gate=self.account_rules.gate,
            members=self.forecasts.members if self.forecasts else (),
            cash=self.cash,
            minutes=self.done,
            minute=self.minute,
            close=self.close,
            columns=self.columns,
            worth=self.worth_at,
            regime=self.regime[: self.done],
            orders=ints[:kept],
            order_floats=floats[:kept],
            shares=shares[:kept],
            fills=fills,
            units=self.run_rules.units,
            usdt=self.worth.usdt,
            folder=self.folder,
            notes=self.notes,
        )


def apart(minutes: int) -> int:
    """At least so many minutes, and hardly more: an odd number of the cache's lines (64 bytes). A minute of all rows and
    members is read at once, each from a line of its own; were their distance a power of two, or a small part or multiple
    of one, they would all have to lie in the same few places of the cache, and listening took two to three times as long.
    """
    return 8 * (-(-minutes // 8) | 1)


@lru_cache(maxsize=8)
def unknown_regimes(minutes: int) -> np.ndarray:
    """(T,) int8, one number seen as many; read-only."""
    return np.broadcast_to(np.int8(-1), (minutes,))


def last_closes(bars: FloatArray, end: int) -> FloatArray:
    """(S,) the newest known close of each instrument before minute ``end``; NaN where there is none."""
    return np.array([last_known(bars[row, :, CLOSE], end) for row in range(bars.shape[0])])


def readings(settings: Settings, recorded: FloatArray, first: int, end: int) -> tuple[np.ndarray, BoolArray]:
    """(N,) regimes and (S, N) shocks of the minutes [first, end) of ``recorded`` (S, T, 5)."""
    low = max(0, first - LONG)
    window = np.array(recorded[:, low:end], dtype=np.float64, order="C")
    for row, close in enumerate(last_closes(recorded, low)):
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


def _utc(ms: int) -> str:
    return str(np.datetime64(ms, "ms").astype("datetime64[m]"))
