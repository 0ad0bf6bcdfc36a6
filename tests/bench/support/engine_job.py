"""All rules over cached forecasts by the compiled engine: ``python -m tests.bench.support.engine_job 20x10000``.

In the time: regimes and shocks, votes and weights of four members, sizing, limits, TWAP slices, costs and fills of
one account, and the ``Result``. Forecasts are there before.
"""

from collections.abc import Callable
from decimal import Decimal

from core.features import HISTORY
from tests.bench.support.made_market import CASH, MEMBERS, bars_of, forecasts_of, market_of, names, settings_for
from tests.bench.support.points import run
from tune.simulate import Forecasts, simulate

WIDE = (
    *("risk.max_drawdown_pct=100", "risk.daily_loss_pct=100", "risk.max_orders_per_day=1000000"),
    *("risk.max_consecutive_losses=0", "risk.low_profit_trips=0", "risk.cooldown_minutes=0"),
)
"""So that the run trades to its end: an account that is stopped has little to compute."""


def call_of(symbols: int, minutes: int) -> Callable[[], str]:
    """A call that trades so many minutes, whose market and forecasts are made now."""
    instruments = names(symbols)
    settings = settings_for(instruments, *WIDE)
    market = market_of(instruments, bars_of(symbols, minutes + HISTORY))
    mean, stdev = forecasts_of(len(MEMBERS), symbols, minutes + HISTORY)
    forecasts = Forecasts(members=MEMBERS, versions=("bench",) * len(MEMBERS), mean_bps=mean, stdev_bps=stdev)

    def trade() -> str:
        found = simulate(settings, market, forecasts, cash=Decimal(CASH))
        return f"{found.orders.height:,} orders, {found.fills.height:,} fills"

    return trade


if __name__ == "__main__":
    run(call_of)
