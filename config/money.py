"""What the percentages mean in money, and which settings work against each other."""

from config.settings import Settings
from core.cost_gate import SIDES
from core.costs import fees_of
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
    for instrument in trade.rows:
        fees = SIDES[execution.cost_gate] * float(fees_of(instrument, settings.rules.costs).taker) * BPS
        if fees >= selection.full_edge_bps:
            found.append(
                f"{instrument}: fees alone cost {fees:g} bps, which execution.cost_gate = {execution.cost_gate} holds "
                f"every forecast against; one of selection.full_edge_bps = {selection.full_edge_bps:g} buys nothing"
            )
    if not settings.rules.models.enabled:
        found.append("models.members: every member is disabled, so nobody votes")
    return found
