"""Everything a report tells of a run, computed once: round trips, ratios, bands, and what else luck could have made."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from tune.report.key_figures import KeyFigure, key_figures
from tune.report.waterfall import Step, steps_of, traded_of
from tune.result import Result
from tune.stats.bootstrap import Bands, bootstrap
from tune.stats.ratios import Ratios, ratios
from tune.stats.sampling import sampled
from tune.stats.trades import MonteCarlo, monte_carlo, round_trips

SEED = 20_260_301
"""Of the resampling, so that the same run gives the same page."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Findings:
    """A result and what follows from it."""

    result: Result
    trades: pl.DataFrame
    ratios: Ratios
    bands: Bands | None
    """None below two sampled returns."""
    luck: MonteCarlo | None
    """None below two round trips."""
    figures: list[KeyFigure]
    steps: list[Step]


def findings_of(result: Result) -> Findings:
    """All of it; defined for every result."""
    rng = np.random.default_rng(SEED)
    trades = round_trips(result)
    known = ratios(result, trades)
    bands = bootstrap(sampled(result.minute, result.equity), rng)
    return Findings(
        result=result,
        trades=trades,
        ratios=known,
        bands=bands,
        luck=monte_carlo(trades, result.cash, rng),
        figures=key_figures(result, known, bands),
        steps=steps_of(result.costs, traded_of(result)),
    )
