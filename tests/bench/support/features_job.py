"""All features of made-up bars, timed: ``python -m tests.bench.support.features_job 20x10000,20x20000``."""

from collections.abc import Callable

from core.bars import fill_gaps
from core.features import feature_table
from tests.bench.support.big_lake import START
from tests.bench.support.made_market import bars_of
from tests.bench.support.points import run


def call_of(symbols: int, minutes: int) -> Callable[[], str]:
    """A call that computes the table of so many bars, which are made now."""
    bars, filler = fill_gaps(bars_of(symbols, minutes))
    return lambda: f"{feature_table(bars, filler, START).shape[2]} features"


if __name__ == "__main__":
    run(call_of)
