"""What the settings mean in money, and which of them work against each other."""

from config.meanings import LIMITS, flat, managed_usdt, meaning_of, of_what, shown, usdt
from config.settings import Settings
from core.cost_gate import SIDES
from core.costs import fees_of
from core.currency import OWN_MARKETS
from core.grid import UPBIT_LEAST
from core.params import RiskSettings
from core.starting_cap import StartingCap
from core.units import BPS


def in_money(settings: Settings, equity: float) -> list[tuple[str, str, float | None]]:
    """Rows of (what it limits, the key with its value, USDT or None where it is no money) for an account of ``equity``
    USDT: every key of the sections that decide how much is traded."""
    keyed = flat(settings)
    found = []
    for key, value in keyed.items():
        meaning = meaning_of(key)
        if meaning is not None and key.split(".")[0] in LIMITS:
            setting = f"{key} = {shown(key, value)}{of_what(key, keyed, equity)}"
            found.append((meaning.what, setting, usdt(key, keyed, equity)))
    return sorted(found, key=lambda row: LIMITS.index(row[1].split(".")[0]))


def money_line(what: str, setting: str, usdt: float | None) -> str:
    """A row of ``in_money`` for people."""
    worth = f"{usdt:>12,.2f} USDT" if usdt is not None else " " * 17
    return f"  {what:<48}{worth}   {setting}"


def state_words(settings: Settings, equity: float) -> list[str]:
    """A line a state of trading: what it lets through in an account of ``equity`` USDT, and how it comes about."""
    keyed, risk = flat(settings), settings.rules.risk
    own = managed_usdt(keyed, equity)
    amounts = [f"{own * risk.daily_loss_pct / 100:,.2f} USDT in a day"]
    if risk.daily_loss_usdt is not None:
        amounts = [f"{min(own * risk.daily_loss_pct / 100, risk.daily_loss_usdt):,.2f} USDT in a day"]
    amounts.append(f"{own * risk.max_drawdown_pct / 100:,.2f} USDT from the highest equity")
    after = "sells all that is held" if risk.on_loss_limit == "close" else "leaves the exits to the ensemble"
    cap, band = own * risk.max_position_pct / 100, own * risk.rebalance_band_pct / 100
    tolerated = max(band, float(settings.config.trade.min_order_usdt))
    invest, gross = settings.config.trade.invest_pct, risk.max_gross_pct
    holds = "trade.invest_pct" if invest <= gross else "risk.max_gross_pct"
    return [
        f"active: buys up to {own * min(invest, gross) / 100:,.2f} USDT in all ({holds}), and sells",
        f"reducing: after a loss of {' or of '.join(amounts)}; buys nothing, {after} (risk.on_loss_limit)",
        "halted: by a person (halt); what is being bought is given up at once, nothing is bought",
        "in every state cancels, protective exits and sales pass; only a person's resume leads back to active",
        f"a position that prices lift above {cap:,.2f} USDT (or its max_pct) by more than {tolerated:,.2f} USDT is sold "
        "back to that",
    ]


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


def doubts(settings: Settings, equity: float, cap: StartingCap | None = None) -> list[str]:
    """Settings that are allowed but probably not meant, one line each. ``cap``: as it stands (default: at a first start)."""
    trade, risk, execution = settings.config.trade, settings.rules.risk, settings.rules.execution
    selection = settings.rules.selection
    equity = managed_usdt(flat(settings), equity)
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
    found += _doubtful_limits(risk, equity)
    if risk.max_order_usdt is not None and float(risk.max_order_usdt) < smallest:
        found.append(
            f"risk.max_order_usdt = {float(risk.max_order_usdt):g} is below trade.min_order_usdt = {smallest:g}: nothing can "
            "be traded"
        )
    elif largest < smallest:
        found.append(
            f"risk.max_order_pct = {risk.max_order_pct:g} allows {largest:,.2f} USDT an order, "
            f"below trade.min_order_usdt = {smallest:g}: with {equity:,.0f} USDT to manage nothing can be traded"
        )
    elif largest / execution.slices < smallest:
        found.append(
            f"execution.slices = {execution.slices}: one slice of the largest order is "
            f"{largest / execution.slices:,.2f} USDT, below trade.min_order_usdt = {smallest:g}"
        )
    if execution.algorithm == "adaptive":
        cancels = len(trade.instruments) * (60 // execution.reprice_seconds - 1)
        if cancels > risk.max_cancels_per_minute:
            found.append(
                f"execution.reprice_seconds = {execution.reprice_seconds}: {len(trade.instruments)} instruments may cancel "
                f"up to {cancels} orders a minute (usually one or two an order), above risk.max_cancels_per_minute = {risk.max_cancels_per_minute}, "
                "after which nothing is bought in the next minute"
            )
    if execution.algorithm == "vwap" and execution.horizon_minutes == 1:
        found.append(
            "execution.algorithm = vwap with horizon_minutes = 1 is twap: the volume curve is of minutes, within one it is "
            "taken to be even"
        )
    cap, share = cap or StartingCap(settings.config.live), 1 / len(trade.instruments)
    begins = cap.invest(trade.invest_pct / 100, equity) * equity * share
    if cap.binds and begins < smallest <= trade.invest_pct / 100 * equity * share:
        found.append(
            f"live.starting_cap_pct: {cap.level_pct:g} % of trade.invest_pct leave {begins:,.2f} USDT for each of "
            f"{len(trade.instruments)} instruments, below trade.min_order_usdt = {smallest:g}: live would not trade, and "
            "days without a trade do not raise the cap"
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


def _doubtful_limits(risk: RiskSettings, equity: float) -> list[str]:
    found = [
        f"risk.{key} = 0 is not off: the first cent that is lost "
        + ("sells all that is held" if risk.on_loss_limit == "close" else "ends buying")
        + "; 100 is as good as off"
        for key in ("daily_loss_pct", "max_drawdown_pct")
        if getattr(risk, key) == 0
    ]
    if risk.max_order_pct > risk.max_position_pct:
        found.append(
            f"risk.max_order_pct = {risk.max_order_pct:g} is above risk.max_position_pct = {risk.max_position_pct:g}, which "
            "holds instead"
        )
    for money, share in (("max_order_usdt", "max_order_pct"), ("daily_loss_usdt", "daily_loss_pct")):
        amount, percent = getattr(risk, money), getattr(risk, share)
        if amount is not None and amount < equity * percent / 100:
            found.append(
                f"risk.{money} = {amount:,.0f} holds before risk.{share} = {percent:g}, which would be "
                f"{equity * percent / 100:,.0f} USDT of the {equity:,.0f} that the bot manages; raise it, or null, if that "
                "is not meant"
            )
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
    costs = settings.rules.costs
    for instrument in settings.config.trade.rows:
        fees = 2.0 * float(fees_of(instrument, costs).taker) * BPS
        if exits.take_profit_pct is not None and exits.take_profit_pct * 100 <= fees:
            found.append(
                f"protection.take_profit_pct = {exits.take_profit_pct:g} sells at a gain of {exits.take_profit_pct * 100:g} bps, "
                f"of which fees of {fees:g} bps in and out leave nothing ({instrument}); per cent is 0 to 100"
            )
            break
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
