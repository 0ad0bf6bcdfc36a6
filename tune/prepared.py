"""A market made ready for the engine: its bars checked, its spreads and its liquidity, once for all runs over it.

What stands here depends on the bars and on a few cost settings alone, not on rules, members, weights or cash. Whoever
runs over one market again hands it on (``simulate(..., prepared=...)``); with a store it is kept on disk and mapped.
With and without, the numbers are the same ones.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from config.load import ROOT
from config.numba_cache import sources_hash
from config.settings import Settings
from core.bars import MAX_PRICE, MAX_VOLUME, all_sound, fill_gaps, first_known
from core.costs import terms_of
from core.engine.prepared import blocks_of, fill_closes, fill_extremes, fill_liquidity
from core.engine.shown import fill_shown
from core.engine.tables import Grids, Tape, make_grids
from core.errors import ConfigError, DataError
from core.impact import PRIOR, ImpactLaw
from core.liquidity import half_spreads, hour_column
from core.messages import CLOSE, VOLUME, FloatArray
from core.units import MINUTE_MS, Instrument, MarketRules
from data.lake import Lake
from data.market import MarketCut, MarketSource, mood_of, news_of
from data.quote_worth import known_worth, worth_of
from data.schema import META_CONTENT, read_metadata
from exchanges.simulated.rules import default_rules
from exchanges.simulated.tape import Tape as RecordedTape
from tune.array_store import Arrays, ArrayStore, Shapes
from tune.fold_store import key_of
from tune.result import grid_of, stride_of
from tune.run_rules import RunRules, once, run_rules

FORMAT = 3
"""Of what is kept; another number makes everything anew."""
FOLDER = ("cache", "prepared")
"""Beside the lake."""

Terms = tuple[bool, float, float, float, bool]
"""Whether bars are filled for halts; half spread by default, and at most, in bps; least volatility; whether prices are
rounded to the venue's grid."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """A market as the engine trades it. Its bars may not be changed any more."""

    market: MarketCut
    terms: Terms
    """What of the settings it was made under (``terms_in``)."""
    tape: Tape
    first_price: tuple[float, ...]
    """(S,) the first close of each instrument, by which its grid is chosen; 1 where there is none."""
    minute: np.ndarray
    """(T,) open times of the minutes to decide, epoch ms; every result's own, and read-only."""
    close: FloatArray
    """(G, S) last known closes at the minutes of ``grid_of``; likewise."""
    notes: tuple[str, ...] = ()
    folder: Path | None = None
    """Where a run over it may keep what it notes down; in memory without."""

    def fits(self, settings: Settings, market: MarketCut) -> bool:
        """Whether a run of these settings over this very market may use it."""
        return market is self.market and terms_in(settings) == self.terms

    def rules(self, settings: Settings, usdt: float, members: int = 0, law: ImpactLaw = PRIOR) -> RunRules:
        """What a run of these settings trades by, with so many members; ``usdt`` is what a quote unit is worth."""
        return run_rules(settings, self.market.instruments, self.first_price, usdt, members, law)


def store_of(source: MarketSource) -> ArrayStore:
    """Where what is made from a market's bars is kept."""
    return ArrayStore(source.root.joinpath(*FOLDER))


@once
def terms_in(settings: Settings) -> Terms:
    """The settings that a prepared market depends on."""
    terms = terms_of(settings.rules.costs)
    spread = (terms.half_spread_default_bps, terms.half_spread_max_bps)
    return terms.halts, *spread, terms.min_volatility, settings.rules.costs.rounding


def prepare(
    settings: Settings, market: MarketCut, store: ArrayStore | None = None, noted: Sequence[str] = ()
) -> Prepared:
    """Check the bars and make the tables, or find them in ``store``. ``market.bars`` are read-only from here on.
    What was ``noted`` before is told in the results.

    Raises ConfigError or DataError for a market that the engine does not trade.
    """
    recorded = _plain(market.bars)
    _check(market, recorded)
    market.bars.setflags(write=False)
    terms = terms_in(settings)
    halts, default_bps, max_bps, floor, _ = terms
    rows, minutes = recorded.shape[:2]
    shapes: Shapes = {
        "liquidity": (rows, minutes + 1, 2),
        "half_bps": (rows, hour_column(market.start_minute, market.start_minute + minutes * MINUTE_MS) + 1),
        "shown": (rows, minutes),
        "extremes": (rows, blocks_of(minutes), 2),
        **({} if halts else {"filled": recorded.shape}),
    }
    first = [first_known(recorded[row, :, CLOSE]) for row in range(rows)]
    first_price = tuple(price if np.isfinite(price) else 1.0 for price in first)
    grids = _grids(market.instruments, first_price, settings)

    def fill(into: Arrays) -> None:
        bars = recorded
        if not halts:
            bars = into["filled"]
            for row in range(rows):
                bars[row] = fill_gaps(recorded[row])[0]
        fill_liquidity(bars, floor, into["liquidity"])
        fill_extremes(bars, into["extremes"])
        half = half_spreads(bars, market.start_minute, default_bps, max_bps)
        into["half_bps"][:] = half
        fill_shown(bars, recorded, half, market.start_minute, grids.floats, grids.ints, into["shown"])

    if store is None:
        tables, notes = {name: np.empty(shape) for name, shape in shapes.items()}, ()
        fill(tables)
    else:
        tables, notes = store.get(_key(market, terms), shapes, fill)
    bars = recorded if halts else tables["filled"]
    minute = market.first_minute + np.arange(market.minutes, dtype=np.int64) * MINUTE_MS
    minute.setflags(write=False)
    grid = grid_of(market.minutes)
    close = np.empty((len(grid), rows))
    begin = (market.first_minute - market.start_minute) // MINUTE_MS
    fill_closes(recorded, begin, stride_of(market.minutes), begin + market.minutes - 1, close)
    close.setflags(write=False)
    return Prepared(
        market=market,
        terms=terms,
        tape=Tape(
            bars,
            recorded,
            tables["liquidity"],
            tables["half_bps"],
            tables["shown"],
            tables["extremes"],
            np.zeros((rows, 0)),
            market.start_minute,
        ),
        first_price=first_price,
        minute=minute,
        close=close,
        notes=(*noted, *notes),
        folder=None if store is None or not store.writable else store.root,
    )


def mapped_cut(
    source: MarketSource,
    instruments: tuple[Instrument, ...],
    first_minute: int,
    minutes: int,
    history: int,
    store: ArrayStore,
    noted: list[str] | None = None,
) -> MarketCut:
    """``data.market.cut_out`` with the bars read month by month into a file of ``store``, and mapped from it. Notes are
    added to ``noted``."""
    start = first_minute - history * MINUTE_MS
    whole = history + minutes
    end = start + whole * MINUTE_MS
    content = _content(source.lake, instruments, start, end)

    def fill(into: Arrays) -> None:
        source.lake.read_into(into["bars"], instruments, start)

    found, notes = store.get(content, {"bars": (len(instruments), whole, 5)}, fill)
    if noted is not None:
        noted.extend(notes)
    return MarketCut(
        instruments=instruments,
        start_minute=start,
        first_minute=first_minute,
        minutes=minutes,
        bars=found["bars"],
        synthetic=source.synthetic,
        sentiment=mood_of(source, first_minute + minutes * MINUTE_MS),
        news=news_of(source, start, first_minute + minutes * MINUTE_MS),
        content=content,
        worth=worth_of(source.lake, instruments, first_minute, dict(source.per_usdt)),
    )


def _rules(
    instruments: Sequence[Instrument], prices: Sequence[float], settings: Settings
) -> dict[Instrument, MarketRules]:
    costs = settings.rules.costs
    return {i: default_rules(i, price, costs) for i, price in zip(instruments, prices, strict=True)}


def _grids(instruments: Sequence[Instrument], prices: Sequence[float], settings: Settings) -> Grids:
    """The grids of the venue's rules. How fees are paid changes nothing of what is shown."""
    return make_grids(instruments, _rules(instruments, prices, settings), dict.fromkeys(instruments, False))


def _check(market: MarketCut, plain: FloatArray) -> None:
    """Raises ConfigError or DataError for a market that the engine does not trade."""
    known_worth(market.worth, market.instruments)
    bases = [instrument.base for instrument in market.instruments]
    if len({i.venue for i in market.instruments}) > 1 and len(set(bases)) < len(bases):
        # The gate on a coin's premium (risk.max_premium_bps) is not in the engine.
        raise ConfigError("a backtest trades a coin at one exchange; leave one of its markets out, or use replay")
    if not market.minutes:
        raise DataError("there are no minutes to run")
    history, left = divmod(market.first_minute - market.start_minute, MINUTE_MS)
    if left or history < 0 or market.minutes < 0 or history + market.minutes > market.bars.shape[1]:
        raise DataError(
            f"{market.minutes:,} minutes from the {history + 1:,}th on are to be run, and there are bars of"
            f" {market.bars.shape[1]:,}: first_minute and minutes of a cut must be whole minutes of its bars"
        )
    bars = market.bars
    fits = bars.ndim == 3 and bars.shape[0] == len(market.instruments) and bars.shape[2] == 5 and bars.size
    alone = len(set(market.instruments)) == len(market.instruments)
    whole = not market.start_minute % MINUTE_MS
    if fits and alone and whole and all_sound(plain):
        return
    # Something is wrong, or odd: looked at again, slowly, for the words.
    RecordedTape(market.instruments, market.start_minute, bars, market.synthetic, market.sentiment, market.news)
    with np.errstate(invalid="ignore"):
        wild = (bars[..., :4] >= MAX_PRICE).any(axis=2) | (bars[..., VOLUME] >= MAX_VOLUME)
    if wild.any():
        row, index = (int(x[0]) for x in np.nonzero(wild))
        when = np.datetime64(market.start_minute + index * MINUTE_MS, "ms").astype("datetime64[m]")
        raise DataError(f"{market.instruments[row]} {when} UTC: {bars[row, index].tolist()} is no market's bar")


def _plain(bars: np.ndarray) -> FloatArray:
    """The bars as the kernels take them: the same memory where it may be written to (they do not), else a copy."""
    return np.require(bars, np.float64, ["C", "W"]).view(np.ndarray)


def _key(market: MarketCut, terms: Terms) -> str:
    """Names the tables by bars, settings and the code that makes them."""
    content = market.content
    if not content:
        bars = np.ascontiguousarray(market.bars, dtype=np.float64)
        content = hashlib.sha256(bars.reshape(-1).view(np.uint8).data).hexdigest()[:24]
    return key_of([FORMAT, content, market.start_minute, market.bars.shape, list(terms), _code()])


def _content(lake: Lake, instruments: tuple[Instrument, ...], start: int, end: int) -> str:
    """Names bars by the lake's files that they come from."""
    files = {
        str(i): [(p.name, read_metadata(p).get(META_CONTENT)) for p in lake.files(i, start, end)] for i in instruments
    }
    return key_of([FORMAT, "bars", files, list(map(str, instruments)), start, end])


@lru_cache(maxsize=1)
def _code() -> str:
    return sources_hash(ROOT)
