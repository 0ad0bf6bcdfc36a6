"""Implementation shortfall of adaptive against immediate, TWAP and VWAP on the simulated exchange; planning time."""

import argparse
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from config.argument_types import whole
from core.book import IntArray
from core.errors import DataError
from core.execution.schedules.adaptive import Sight, choose
from core.execution.schedules.rule import FIRST, due_lots, next_stage, schedule_of
from core.messages import FloatArray
from core.params import CostSettings, ExecutionSettings
from core.units import DAY_MS, MINUTE_MS, Instrument
from data.synthetic import SyntheticSpec, make_market
from exchanges.simulated.tape import Tape
from tests.bench.support.recorded import Recording, depth_after, draw_seconds, read_streams
from tests.bench.support.shortfall import (
    MEAN,
    MOST_MINUTES,
    P95,
    Band,
    Case,
    Scene,
    TapeScene,
    bands,
    blocks_drawn,
    draw,
    minutes_seen,
    pairs_drawn,
    variance_ratio,
    work,
)
from tests.support.table import table

NAME = "execution"
ADAPTIVE = "adaptive"
COLUMNS = ("open", "high", "low", "close", "volume")
WORKED_OVER = ("twap", "vwap", ADAPTIVE)
SYMBOLS, VENUES, PLAN_MS = 200, 2, 5.0
QUOTES = ("USDT", "KRW", "BTC")
TUNED_DAYS = 14
"""Of a file's first days the rule may have been chosen."""
STRAIGHT = "straight from extreme to extreme, as the simulated exchange tells it"
WANDERING = "wandering"
RECORDED = "recorded books and trades"
LIKE_A_MARKET = (0.5, 2.0)
"""Variance ratios (``variance_ratio``) between which a price is like a real one; recorded BTC and ETH have 1.1 and 1.3."""
LAGS_MS = (100, 300, 600, 1_000, 2_000, 5_000, 10_000)
BLOCK_S = 60
"""Of the bootstrap over a recording: as long as a parent lives, so that parents of different blocks hardly overlap."""
JUDGED = 1_000
"""Parents from which on there is a verdict."""
CHANCE = " (its band holds 0)"
FIGURES = {MEAN: "mean", P95: "95th percentile"}


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a way that prices may go says of ``adaptive``."""

    price: str
    ratio: float
    missed: list[str]
    parents: int
    unsure: bool
    """The band of some figure holds 0: chance alone may have put adaptive above or below."""

    @property
    def counts(self) -> bool:
        return LIKE_A_MARKET[0] <= self.ratio <= LIKE_A_MARKET[1]

    @property
    def too_few(self) -> bool:
        """A small sample that says nothing sure; from ``JUDGED`` parents on every figure is judged, however near."""
        return self.parents < JUDGED and self.unsure

    @property
    def verdict(self) -> str:
        said = "NOT MET: " + "; ".join(self.missed) if self.missed else "met"
        if self.too_few:
            said = f"too few to say: {self.parents} parents, judged from {JUDGED:,} on"
        return said if self.counts else f"a stress, not judged ({said})"


def main(argv: list[str]) -> int:
    """Every parent, 0.1 to 5 % of a usual minute's volume at a random time, is worked by each algorithm against an
    exchange of its own, which fills resting orders by queue and trade-through. All have the same horizon: within one
    minute a VWAP is a TWAP, over more it follows the curve of the days before. Given more time, whoever spreads an order
    pays less impact and bears more risk. Fees are left out: at Binance they are equal. Bands are 95 %.

    What a price does inside a minute decides who is cheap, and a bar does not tell it; so there are three witnesses.
    Bars with the simulated exchange's own path, straight from one extreme to the other: the price of the next seconds is
    that of the last ones continued, which no market gives away. It rewards whoever gives up early and punishes whoever
    waits. The same bars with a price that wanders between their extremes. And with ``--recording``, real books and real
    trades, told as paper mode tells them: takers walk the recorded depth, resting orders wait in the recorded queue, what
    we took comes back with a half-life (``costs.recovery_half_life_s``). There parents begin at random seconds and overlap: a thousand of them
    live in a few minutes, so their bands come from a bootstrap of whole blocks of a minute, and are wide.

    The yardstick of which witness is to be believed is the variance over 20 seconds against that over one second: about
    1 of a market, 20 of a line that never turns, 7 to 15 of the straight path. It is measured of each in the same run and printed. The verdict is over those
    between 0.5 and 2: the straight path is far beyond, and is shown as a stress that is not judged.

    The rule of ``adaptive`` was chosen on the first fortnight of six coins of March 2023 (``--tuning`` on those bars shows
    it). Parents come from the days after the first fortnight, and the verdict speaks of them alone: met, if the mean and
    the 95th percentile of adaptive are at most those of each of the others; of fewer than 1,000 parents, where a band holds
    0, it is "too few to say". A recording of ten minutes (BTC and ETH, August
    2024) showed that an earlier rule, which knew the law of impact but not the displayed depth and queue, waited for
    nothing; it was looked at nine times meanwhile. No number of the rule was chosen by it."""
    parser = argparse.ArgumentParser(prog="run.py bench execution", description=__doc__)
    parser.add_argument("--parents", type=whole(1), default=JUDGED, help="how many (default 1,000)")
    parser.add_argument(
        "--data", type=Path, help="folder of bars, a Parquet file a symbol (default: a synthetic market)"
    )
    parser.add_argument(
        "--recording", type=Path, help="folder of recorded Binance streams (raw lines of depth, bookTicker and trade)"
    )
    parser.add_argument("--only-recording", action="store_true", help="leave the bars out")
    parser.add_argument(
        "--half-life",
        type=float,
        default=CostSettings().recovery_half_life_s,
        help="seconds until half of what we took from a recorded book is back; 0 = with its next update (default %(default)g)",
    )
    parser.add_argument("--days", type=whole(1), default=14, help="of each file, so many (default 14)")
    parser.add_argument("--tuning", action="store_true", help="the first of those days, on which the rule was chosen")
    parser.add_argument(
        "--horizon",
        type=int,
        default=1,
        choices=range(1, MOST_MINUTES + 1),
        help="minutes of an order's life (default 1)",
    )
    parser.add_argument("--seed", type=whole(0), default=1)
    args = parser.parse_args(argv)
    if args.only_recording and args.recording is None:
        parser.error("--only-recording needs --recording FOLDER")
    compared = algorithms(args.horizon)
    found: list[Judgement] = []
    if not args.only_recording:
        tapes = recorded(args.data, args.days, 0 if args.tuning else TUNED_DAYS) if args.data else synthetic(args.seed)
        for price in (STRAIGHT, WANDERING):
            found.append(on_bars(tapes, price, args.parents, args.seed, compared))
    if args.recording is not None:
        costs = CostSettings(recovery_half_life_s=args.half_life)
        found.append(on_recording(args.recording, args.horizon, args.parents, args.seed, compared, costs))
    took = planning_ms()
    plans = ", ".join(f"{name} {ms:.1f} ms" for name, ms in took.items())
    print(f"\nplanning a minute of {SYMBOLS} symbols x {VENUES} venues, one core: {plans} (bar {PLAN_MS:g})")
    where = "the days on which the rule was chosen (no verdict)" if args.tuning else "held-out time"
    print(f"\nadaptive at most each of the others, in mean and 95th percentile, on {where}:")
    headings = ("price inside a minute", "variance of 20 s to 1 s", "verdict")
    print(table(headings, [(one.price, f"{one.ratio:.1f}", one.verdict) for one in found]))
    judged = [one for one in found if one.counts]
    return (
        1 if not judged or any(one.missed and not one.too_few for one in judged) or max(took.values()) > PLAN_MS else 0
    )


def on_bars(
    tapes: list[Tape], price: str, parents: int, seed: int, compared: dict[str, ExecutionSettings]
) -> Judgement:
    scenes = [TapeScene(tape, CostSettings(), wandering=price == WANDERING) for tape in tapes]
    ratio = variance_ratio(minutes_seen(scenes, 500, np.random.default_rng(seed)))
    print(f"\nprice inside a minute: {price}; variance of 20 s to 1 s, per second: {ratio:.1f}")
    cases = draw(scenes, parents, np.random.default_rng(seed))
    drawn = pairs_drawn(len(cases), np.random.default_rng(seed))
    return Judgement(price, ratio, *told(scenes, cases, compared, drawn))


def on_recording(
    folder: Path, minutes: int, parents: int, seed: int, compared: dict[str, ExecutionSettings], costs: CostSettings
) -> Judgement:
    streams = read_streams(folder)
    places = [Recording(stream, costs, minutes + 1) for stream in streams]
    ratios = {str(place.instruments[0].symbol): variance_ratio([place.prices()]) for place in places}
    ratio = float(np.mean(list(ratios.values())))
    each = ", ".join(f"{symbol} {value:.1f}" for symbol, value in ratios.items())
    print(f"\nprice inside a minute: {RECORDED}; variance of 20 s to 1 s, per second: {each}")
    cases, seconds = draw_seconds(places, parents, np.random.default_rng(seed))
    span = max(place.seconds for place in places)
    print(
        f"decisions within {span} s of {len(places)} markets, so orders of {minutes} min overlap; bands from blocks of {BLOCK_S * minutes} s"
    )
    shares = ", ".join(
        f"{share:.0%} after {lag / 1e3:g} s" for lag, share in zip(LAGS_MS, depth_after(streams, LAGS_MS), strict=True)
    )
    print(f"volume near the touch after the largest bursts of trades, of what was there before: {shares}")
    print(f"half of what our orders took is back after {costs.recovery_half_life_s:g} s")
    drawn = blocks_drawn(seconds, span, BLOCK_S * minutes, np.random.default_rng(seed))
    return Judgement(RECORDED, ratio, *told(places, cases, compared, drawn))


def algorithms(minutes: int) -> dict[str, ExecutionSettings]:
    """What is compared, each with its default settings but for the horizon."""
    over = {name: ExecutionSettings(algorithm=name, horizon_minutes=minutes) for name in WORKED_OVER}  # type: ignore[arg-type]
    return {"immediate": ExecutionSettings(algorithm="immediate"), **over}


def told(
    scenes: Sequence[Scene],
    cases: Sequence[Case],
    compared: dict[str, ExecutionSettings],
    drawn: Iterable[IntArray],
) -> tuple[list[str], int, bool]:
    """Print the table; gives every figure of adaptive that is above another's, by however little, how many parents
    there were, and whether the band of any figure holds 0."""
    costs: dict[str, FloatArray] = {}
    rows = []
    began = time.process_time()
    for name, settings in compared.items():
        done = [work(scenes[case.market], case, settings) for case in cases]
        costs[name] = np.array([one.shortfall_bps for one in done])
        rows.append((f"{np.mean([one.maker for one in done]):.0%}", f"{np.mean([one.minutes for one in done]):.2f}"))
    found = bands(costs, ADAPTIVE, drawn)
    lines = [
        (name, shown(mean), shown(p95), shown(less_mean), shown(less_p95), *row)
        for (name, ((mean, less_mean), (p95, less_p95))), row in zip(found.items(), rows, strict=True)
    ]
    headings = ("algorithm", "mean bps", "p95 bps", "adaptive less it, mean", "p95", "resting", "minutes")
    print(table(headings, lines))
    if compared["vwap"].horizon_minutes == 1:
        print("within one minute the volume curve is even, so vwap is twap: equal lines are one and the same schedule")
    print(f"{len(cases)} parents, {time.process_time() - began:.1f} s of processor time")
    others = {name: pair for name, pair in found.items() if name != ADAPTIVE}
    sure = sum(pair[f][1].high <= 0.0 for pair in others.values() for f in FIGURES)
    print(f"adaptive is below beyond chance (the whole band) in {sure} of {len(others) * len(FIGURES)} figures")
    missed = [
        f"{pair[f][1].value:+.2f} bps against {name} in the {FIGURES[f]}{CHANCE * (pair[f][1].low <= 0.0)}"
        for name, pair in others.items()
        for f in FIGURES
        if pair[f][1].value > 0.0
    ]
    return missed, len(cases), any(p[f][1].low <= 0.0 <= p[f][1].high for p in others.values() for f in FIGURES)


def shown(band: Band) -> str:
    return f"{band.value:+.2f} [{band.low:+.2f}, {band.high:+.2f}]"


def synthetic(seed: int, markets: int = 2) -> list[Tape]:
    """Markets of two days without an edge."""
    tapes = []
    for number in range(markets * seed, markets * (seed + 1)):
        market = make_market(SyntheticSpec(name="bench", seed=number, days=2))
        instruments = tuple(i for i in market.instruments if i.venue == "binance")
        bars = np.stack([market.bars[i] for i in instruments])
        tapes.append(Tape(instruments, market.spec.start_ms, bars, True))
    return tapes


def recorded(folder: Path, days: int, skipped: int = 0) -> list[Tape]:
    """A tape a file of a folder, of so many days after the first ``skipped``; DataError where there is none."""
    tapes = []
    for path in sorted(folder.rglob("*.parquet")):
        found = pl.read_parquet(path)
        if not {"ts", *COLUMNS} <= set(found.columns):
            continue
        times = found["ts"].to_numpy()
        start = int(times.min()) // MINUTE_MS * MINUTE_MS + skipped * DAY_MS
        at = (times - start) // MINUTE_MS
        inside = (at >= 0) & (at < days * 1_440)
        if not inside.any():
            continue
        bars = np.full((1, int(at[inside].max()) + 1, 5), np.nan)
        bars[0, at[inside]] = found.select(COLUMNS).to_numpy()[inside]
        if bars.shape[1] > 300 + MOST_MINUTES:
            tapes.append(Tape((Instrument("binance", symbol_of(path.stem)),), start, bars))
    if not tapes:
        raise DataError(
            f"{folder}: no Parquet file with the columns ts, {', '.join(COLUMNS)} and 300 minutes of bars after the first {skipped} days"
        )
    return tapes


def symbol_of(stem: str) -> str:
    """``BTCUSDT`` and ``KRW-BTC`` as ``BTC/USDT`` and ``BTC/KRW``; DataError for another name."""
    quote, dash, base = stem.partition("-")
    if dash:
        return f"{base}/{quote}"
    for quote in QUOTES:
        if stem.endswith(quote) and stem != quote:
            return f"{stem.removesuffix(quote)}/{quote}"
    raise DataError(f"{stem}.parquet: name the file after its symbol, like BTCUSDT or KRW-BTC")


def planning_ms(rounds: int = 20) -> dict[str, float]:
    """Processor time, ms, of a minute's plans of so many parents: the stage and every slice of an
    implementation-shortfall schedule, the dearest of the sliced ones, or an adaptive parent's look."""
    schedule = schedule_of(ExecutionSettings(algorithm="is", horizon_minutes=10))
    parents = [(1_000 + k, 1e4 * (0.5 + 0.001 * k)) for k in range(SYMBOLS * VENUES)]

    def slices() -> None:
        for lots, volume in parents:
            stage = next_stage(schedule, FIRST, False, 0, float(lots), 1e4, volume, 8e-4, 5e3, 1.0, 0.0)
            for slot in range(schedule.slices):
                due_lots(schedule, stage, slot, lots, lots, 1, 10**6)

    def looks() -> None:
        for lots, volume in parents:
            choose(Sight(2e-4, 1e-5, 8e-4, volume, float(lots), 0.0, 1.0, 1 / 60, 0.0, 1.0, 0.0, 0.0, 1.0))

    return {"is": _median_ms(slices, rounds), "adaptive": _median_ms(looks, rounds)}


def _median_ms(plan: Callable[[], None], rounds: int) -> float:
    plan()
    took = []
    for _ in range(rounds):
        began = time.process_time()
        plan()
        took.append((time.process_time() - began) * 1e3)
    return float(np.median(took))
