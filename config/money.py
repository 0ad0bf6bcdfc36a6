"""What the percentages mean in money, and which settings work against each other."""

from config.settings import Settings
from core.currency import OWN_MARKETS
from core.grid import UPBIT_LEAST
from core.units import BPS


def in_money(settings: Settings, equity: float) -> list[tuple[str, str, float]]:
    """Rows of (what it limits, the key with its value, USDT) for an account of ``equity`` USDT."""
    trade, risk = settings.config.trade, settings.rules.risk
    shares = (
        ("the ensemble invests up to", "trade.invest_pct", trade.invest_pct),
        ("one order is at most", "risk.max_order_pct", risk.max_order_pct),
        ("one position is at most", "risk.max_position_pct", risk.max_position_pct),
        ("all positions together are at most", "risk.max_gross_pct", risk.max_gross_pct),
        ("a day's loss that stops new positions", "risk.daily_loss_pct", risk.daily_loss_pct),
        ("a fall from the highest equity that stops them", "risk.max_drawdown_pct", risk.max_drawdown_pct),
        ("a change that is too small to trade", "risk.rebalance_band_pct", risk.rebalance_band_pct),
    )
    rows = [(what, f"{key} = {percent:g} %", equity * percent / 100) for what, key, percent in shares]
    return [*rows, ("an order is at least", "trade.min_order_usdt", float(trade.min_order_usdt))]


def venue_words(settings: Settings) -> list[str]:
    """A line an exchange: what is traded there, in which money, and the least order; then the gate on premiums."""
    rows = settings.config.trade.rows
    lines = []
    for venue in dict.fromkeys(row.venue for row in rows):
        mine = [row for row in rows if row.venue == venue]
        quotes = dict.fromkeys(row.quote for row in mine)
        line = f"{venue}: {', '.join(row.symbol for row in mine)}; paid in {' and '.join(quotes)}"
        if foreign := [quote for quote in quotes if quote in OWN_MARKETS]:
            markets = ", ".join(str(OWN_MARKETS[quote]) for quote in foreign)
            line += f", which the limits above count in USDT at the rate of {markets}"
        if venue == "upbit":
            least = [f"{UPBIT_LEAST[quote]:,f} {quote}" for quote in quotes if quote in UPBIT_LEAST]
            line += f"; the exchange takes no order below {' or '.join(least)}"
        lines.append(line)
    coins = sorted({a.base for a in rows for b in rows if a.base == b.base and a.venue != b.venue})
    limit = settings.rules.risk.max_premium_bps
    if coins:
        lines.append(
            f"premium: no {', '.join(coins)} is bought where it costs {limit / BPS:.2%} more than at the other exchange "
            f"(risk.max_premium_bps = {limit:g})"
        )
    elif len(lines) > 1:
        lines.append(
            f"premium: risk.max_premium_bps = {limit:g} has nothing to judge, no coin is traded at both exchanges"
        )
    return lines


def doubts(settings: Settings, equity: float) -> list[str]:
    """Settings that are allowed but probably not meant, one line each."""
    trade, risk, execution = settings.config.trade, settings.rules.risk, settings.rules.execution
    selection = settings.rules.selection
    smallest, largest = float(trade.min_order_usdt), equity * risk.max_order_pct / 100
    found = []
    if 0 < trade.invest_pct < 1:
        found.append(f"trade.invest_pct = {trade.invest_pct:g} is less than one per cent; per cent is 0 to 100")
    if trade.invest_pct > risk.max_gross_pct:
        found.append(
            f"trade.invest_pct = {trade.invest_pct:g} is above risk.max_gross_pct = {risk.max_gross_pct:g}, "
            "which holds instead"
        )
    if trade.invest_pct == 0:
        found.append("trade.invest_pct = 0: nothing will be bought")
    if largest < smallest:
        found.append(
            f"risk.max_order_pct = {risk.max_order_pct:g} allows {largest:,.2f} USDT an order, "
            f"below trade.min_order_usdt = {smallest:g}: with an equity of {equity:,.0f} USDT nothing can be traded"
        )
    elif largest / execution.slices < smallest:
        found.append(
            f"execution.slices = {execution.slices}: one slice of the largest order is "
            f"{largest / execution.slices:,.2f} USDT, below trade.min_order_usdt = {smallest:g}"
        )
    if selection.exit_edge_bps >= selection.entry_edge_bps:
        found.append(
            f"selection.exit_edge_bps = {selection.exit_edge_bps:g} is not below entry_edge_bps = "
            f"{selection.entry_edge_bps:g}: positions would be closed as they open"
        )
    if selection.full_edge_bps <= selection.entry_edge_bps:
        found.append(
            f"selection.full_edge_bps = {selection.full_edge_bps:g} is not above entry_edge_bps = "
            f"{selection.entry_edge_bps:g}: every entry asks for the full share at once"
        )
    if not settings.rules.models.enabled:
        found.append("models.members: every member is disabled, so nobody votes")
    return found
