"""All rules over cached forecasts by the compiled engine: ``python -m tests.bench.support.engine_job 20x10000``.

In the time: the market made ready, regimes and shocks, votes and weights of four members, sizing, limits, TWAP slices,
costs and fills of one account, and the ``Result``. Forecasts are there before. The result's tables, with each order's
arithmetic in words, are made when somebody looks at them: ``engine_tables_job`` does.

Every instrument is traded alike however many there are, so that twice as many are twice the work: the account has so much
money for each, the band within which a position is left alone is so much of that (1 % of the account where there are ten,
as by default), and the orders a minute are so many for each. With the same limits for all, five instruments ran into the
daily loss and forty never came out of the band: a curve of those compares an account that trades with one that does not.
"""

from collections.abc import Callable
from decimal import Decimal

from core.features import HISTORY
from tests.bench.support.made_market import MEMBERS, bars_of, forecasts_of, market_of, names, settings_for
from tests.bench.support.points import run
from tune.simulate import Forecasts, simulate

WIDE = (
    *("risk.max_drawdown_pct=100", "risk.daily_loss_pct=100", "risk.daily_loss_usdt=null"),
    "risk.max_orders_per_day=1000000",
    *("risk.max_consecutive_losses=0", "risk.low_profit_trips=0", "risk.cooldown_minutes=0"),
)
"""So that the run trades to its end: an account that is stopped has little to compute."""


CASH_EACH = 50_000
"""USDT an instrument."""


def alike(symbols: int) -> tuple[str, ...]:
    """Limits under which each of so many instruments trades as each of fewer or more does."""
    return (
        f"risk.rebalance_band_pct={min(100.0, 10.0 / symbols)}",
        f"risk.max_orders_per_minute={min(1_000, 2 * symbols)}",
    )


def call_of(symbols: int, minutes: int, *, tables: bool = False) -> Callable[[], str]:
    """A call that trades so many minutes, whose market and forecasts are made now; and makes the result's ``tables``."""
    instruments = names(symbols)
    settings = settings_for(instruments, *WIDE, *alike(symbols))
    market = market_of(instruments, bars_of(symbols, minutes + HISTORY))
    mean, stdev = forecasts_of(len(MEMBERS), symbols, minutes + HISTORY)
    forecasts = Forecasts(members=MEMBERS, versions=("bench",) * len(MEMBERS), mean_bps=mean, stdev_bps=stdev)

    def trade() -> str:
        found = simulate(settings, market, forecasts, cash=Decimal(CASH_EACH * symbols))
        if tables:
            return f"{found.orders.height:,} orders, {found.fills.height:,} fills"
        return f"{found.counts.orders:,} orders, {found.counts.fills:,} fills"

    return trade


if __name__ == "__main__":
    run(call_of)
