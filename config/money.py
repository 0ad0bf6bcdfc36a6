"""What the percentages mean in money, and which settings work against each other."""

from config.settings import Settings


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
    rows += _exits_in_money(settings, equity)
    return [*rows, ("an order is at least", "trade.min_order_usdt", float(trade.min_order_usdt))]


def _exits_in_money(settings: Settings, equity: float) -> list[tuple[str, str, float]]:
    """What a position of the largest size has gained or lost when protection sells it."""
    largest, exits = equity * settings.rules.risk.max_position_pct / 100, settings.rules.protection
    shares = (
        ("the largest position is sold at a loss of", "stop_loss_pct", exits.stop_loss_pct),
        ("or after a fall from its highest worth of", "trailing_stop_pct", exits.trailing_stop_pct),
        ("or at a profit of", "take_profit_pct", exits.take_profit_pct),
    )
    return [
        (what, f"protection.{key} = {percent:g} %", largest * percent / 100)
        for what, key, percent in shares
        if percent is not None
    ]


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
    found += _doubtful_exits(settings)
    if not settings.rules.models.enabled:
        found.append("models.members: every member is disabled, so nobody votes")
    return found


def _doubtful_exits(settings: Settings) -> list[str]:
    exits, collar = settings.rules.protection, settings.rules.risk.collar_bps
    found = []
    if not exits.on:
        found.append("protection: no exit is set: a position is sold only when the ensemble or a loss limit says so")
    near = {"stop_loss_pct": exits.stop_loss_pct, "trailing_stop_pct": exits.trailing_stop_pct}
    for key, percent in near.items():
        if percent is not None and percent * 100 <= collar:
            found.append(
                f"protection.{key} = {percent:g} is within risk.collar_bps = {collar:g}: an order may be filled so far "
                "from the mid that it is sold again at once"
            )
    if exits.max_collar_bps < collar:
        found.append(
            f"protection.max_collar_bps = {exits.max_collar_bps:g} is below risk.collar_bps = {collar:g}, which holds "
            "instead: an exit that is not filled is sent again at the same distance"
        )
    if exits.at_exchange and exits.stop_loss_pct is None and exits.trailing_stop_pct is None:
        found.append("protection.at_exchange leaves a stop at the exchange, but neither stop is set: it leaves nothing")
    if 20 % exits.look_seconds:
        found.append(
            f"protection.look_seconds = {exits.look_seconds} does not divide 20: a backtest, whose prices turn after 20 "
            "and 40 seconds, may pass over the highest and lowest price of a minute"
        )
    return found
