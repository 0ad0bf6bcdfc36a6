"""A market to replay: which lake, which minutes, and the arrays cut from it.

The demo market is synthetic, small and made on the spot; a real one is what was imported into the lake.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.errors import DataError
from core.execution.schedules.volume_curve import learn_curves
from core.features import HISTORY
from core.news import KEPT_MS, NO_NEWS, News
from core.units import MINUTE_MS, Instrument
from data.headlines import load_news
from data.lake import Lake
from data.quote_worth import QuoteWorth, worth_of
from data.sentiment import SentimentSeries, load_series
from data.synthetic import SyntheticSpec, make_market, write_market

WARMUP_MINUTES = HISTORY + 1
"""History before the first decision, so that every feature is whole."""
DEMO = "demo"
DEMO_DAYS = 3
DEMO_SEED = 7
DEMO_EDGE_BPS = 150.0
"""Several times what a round trip costs: the demo is there to show decisions, and says that its edge is planted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketSource:
    """Where bars come from."""

    name: str
    root: Path
    """Folder of the market: the lake, and the models trained on it, lie here."""
    lake: Lake
    synthetic: bool
    per_usdt: tuple[tuple[str, float], ...] = ()
    """(currency, how many of it a USDT costs), where somebody said so."""
    notes: tuple[str, ...] = ()
    """What was done to a person's bars on their way here, a sentence each; empty where they are as they were given."""

    def symbols(self) -> dict[str, set[str]]:
        """What there are bars of, by venue."""
        found: dict[str, set[str]] = {}
        for instrument in self.lake.instruments():
            found.setdefault(instrument.venue, set()).add(instrument.symbol)
        return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MarketCut:
    """Minutes cut out of a source, with the history that the first of them needs."""

    instruments: tuple[Instrument, ...]
    start_minute: int
    """Open time of the first bar (history included)."""
    first_minute: int
    """First minute to decide."""
    minutes: int
    bars: np.ndarray
    """(S, T, 5); NaN where the lake has no bar."""
    synthetic: bool
    sentiment: tuple[tuple[int, float], ...]
    """(knowable_ms, fear-and-greed value)."""
    content: str = ""
    """Names the bars by what they were cut from, where that is known: equal names, equal bars."""
    news: News = NO_NEWS
    """Headlines and funding rates that the cut may look at."""
    curves: np.ndarray | None = None
    """(S, 1440) intraday volume curves learnt from before the first minute; None: from the history cut out with it."""
    worth: QuoteWorth | None = None
    """What a unit of the quote currency is worth, one for the whole run; None where it is not known, or there are several
    currencies."""


def market_curves(market: MarketCut) -> np.ndarray:
    """(S, 1440) the volume curves that a run of ``market`` may know: of bars before its first minute alone."""
    if market.curves is not None:
        return market.curves
    history = (market.first_minute - market.start_minute) // MINUTE_MS
    return learn_curves(market.bars[:, :history], market.start_minute)


def real_source(var: Path) -> MarketSource:
    """The lake of imported bars."""
    return MarketSource(name="lake", root=var, lake=Lake(var / "lake"), synthetic=False)


def synthetic_source(var: Path, name: str) -> MarketSource:
    """A synthetic market made before; DataError says how to make one."""
    root = var / "synth" / name
    if not (root / "market.json").exists():
        raise DataError(
            f"no synthetic market {name!r} in {root.parent}; make one: python3 run.py data synth {name} --days 3"
        )
    return MarketSource(name=name, root=root, lake=Lake(root), synthetic=True)


def demo_source(var: Path) -> MarketSource:
    """The demo market, made now if it is not there."""
    root = var / "synth" / DEMO
    if not (root / "market.json").exists():
        write_market(
            make_market(
                SyntheticSpec(name=DEMO, seed=DEMO_SEED, days=DEMO_DAYS, edge="planted", edge_bps=DEMO_EDGE_BPS)
            ),
            root,
        )
    return synthetic_source(var, DEMO)


Reader = Callable[[MarketSource, tuple[Instrument, ...], int, int, int], MarketCut]
"""Reads bars as ``cut_out`` does."""


def cut(
    source: MarketSource,
    instruments: tuple[Instrument, ...],
    minutes: int,
    first_minute: int | None = None,
    read: Reader | None = None,
) -> MarketCut:
    """``minutes`` minutes from ``first_minute`` on (default: the last ones there are), with history before them; read by
    ``cut_out``, or by ``read``.

    Raises DataError naming the span that is there when the asked one, or its history, is not.
    """
    first, last = source.lake.common_span(instruments)
    asked = first_minute
    if first_minute is None:
        first_minute = last - (minutes - 1) * MINUTE_MS
    start = first_minute - WARMUP_MINUTES * MINUTE_MS
    end = first_minute + minutes * MINUTE_MS
    if start < first or end - MINUTE_MS > last:
        have = (last - first) // MINUTE_MS + 1
        earliest, latest = first + WARMUP_MINUTES * MINUTE_MS, last - (minutes - 1) * MINUTE_MS
        if asked is not None and earliest <= latest:
            there = reaching_of(source.lake, instruments, start, end - MINUTE_MS)
            listed = ",".join(f'"{i}"' for i in there)
            those = f". Of the markets these have them: --set 'trade.instruments=[{listed}]'" if there else ""
            raise DataError(
                f"{source.lake.root}: {minutes} minutes from {_utc(asked)} on are not all there; such a run can start from"
                f" {_utc(earliest)} (the {WARMUP_MINUTES} minutes before it are its history) to {_utc(latest)} UTC{those}"
            )
        raise DataError(
            f"{source.lake.root}: {minutes} minutes and {WARMUP_MINUTES} of history before them are asked for,"
            f" but the instruments share {have} minutes ({_utc(first)} to {_utc(last)} UTC)"
            f"{limited_by(source, instruments, first, last, have - WARMUP_MINUTES)}"
        )
    return (read or cut_out)(source, instruments, first_minute, minutes, WARMUP_MINUTES)


def reaching_of(lake: Lake, instruments: tuple[Instrument, ...], first: int, last: int) -> tuple[Instrument, ...]:
    """Those of ``instruments`` whose bars begin by minute ``first`` and go on to ``last``."""
    spans = {i: lake.common_span((i,)) for i in instruments}
    return tuple(i for i, (begins, ends) in spans.items() if begins <= first and ends >= last)


def limited_by(source: MarketSource, instruments: tuple[Instrument, ...], first: int, last: int, most: int = 0) -> str:
    """Which instruments keep what they all share, from ``first`` to ``last``, so short, and what to do about it; ``most``
    minutes can be had as they are, none of them where even one is too much."""
    spans = {i.symbol: source.lake.common_span((i,)) for i in instruments}
    late = [symbol for symbol, span in spans.items() if span[0] == first]
    early = [symbol for symbol, span in spans.items() if span[1] == last]
    said = [f"{', '.join(late)} last to begin"] if len(late) < len(spans) else []
    said += [f"{', '.join(early)} first to end"] if len(early) < len(spans) else []
    fewer = f"ask for {most} minutes or fewer, or " if most > 0 else ""
    if not said:
        return f"; {fewer}import more"
    told = f"{fewer}leave out of trade.instruments what has so few"
    return f": {'; '.join(said)}. {told[0].upper()}{told[1:]}"


def cut_out(
    source: MarketSource, instruments: tuple[Instrument, ...], first_minute: int, minutes: int, history: int
) -> MarketCut:
    """As ``cut``, with ``history`` minutes before, whatever of it the lake has: NaN where an instrument has no bar,
    was not yet listed, or no longer is."""
    start = first_minute - history * MINUTE_MS
    return MarketCut(
        instruments=instruments,
        start_minute=start,
        first_minute=first_minute,
        minutes=minutes,
        bars=source.lake.window(instruments, start, history + minutes),
        synthetic=source.synthetic,
        sentiment=mood_of(source, first_minute + minutes * MINUTE_MS),
        news=news_of(source, start, first_minute + minutes * MINUTE_MS),
        worth=worth_of(source.lake, instruments, first_minute, dict(source.per_usdt)),
    )


def mood_of(source: MarketSource, end_ms: int) -> tuple[tuple[int, float], ...]:
    """The readings beside a source's lake that are knowable before ``end_ms``."""
    return _known(load_series(source.lake.root), end_ms)


def news_of(source: MarketSource, start_ms: int, end_ms: int) -> News:
    """The items beside a source's lake that are knowable before ``end_ms`` and in force from ``start_ms`` on."""
    return load_news(source.lake.root).between(start_ms - KEPT_MS, end_ms - 1)


def _known(series: SentimentSeries, end_ms: int) -> tuple[tuple[int, float], ...]:
    """The readings that are knowable before the cut ends."""
    return tuple(
        (int(ms), float(value)) for ms, value in zip(series.knowable_ms, series.value, strict=True) if ms < end_ms
    )


def _utc(ms: int) -> str:
    return str(np.datetime64(ms, "ms").astype("datetime64[m]"))
