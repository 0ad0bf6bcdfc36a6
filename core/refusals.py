"""Why an intent did not pass, in words: what was asked, and what the limit that held it allows."""

import math
from datetime import UTC, datetime

from core.messages import Market
from core.params import RiskSettings, TradeSettings
from core.reasons import Reason
from core.sizing import Limit, Sized
from core.units import MINUTE_MS


def asked_words(sized: Sized, row: int) -> Reason:
    change = float(sized.asked[row])
    return Reason("asked", change=f"{change:+.2f}") if math.isfinite(change) else Reason("asked_unknown")


def state_words(state: str, since_ms: int, reason: str) -> Reason:
    """Since when nothing is bought, and why."""
    at = f"{datetime.fromtimestamp(since_ms / 1000, UTC):%Y-%m-%d %H:%M}"
    return Reason("state_since", state=state, since_ms=str(since_ms), at=at, reason=reason)


def pause_words(limit: Limit, limits: RiskSettings, until_ms: int) -> Reason:
    """Which guard holds, and until when."""
    match limit:
        case Limit.CONSECUTIVE_LOSSES:
            why = Reason("losses_in_a_row", count=str(limits.max_consecutive_losses))
        case Limit.STOP_GUARD:
            why = Reason("stop_outs", count=str(limits.max_stop_outs), minutes=str(limits.stop_outs_within_minutes))
        case Limit.LOW_PROFIT:
            why = Reason(
                "low_profit",
                trips=str(limits.low_profit_trips),
                minutes=str(limits.low_profit_within_minutes),
                pct=f"{limits.low_profit_pct:g}",
            )
        case _:
            why = Reason("cooling_down", minutes=str(limits.cooldown_minutes))
    seconds = until_ms // 1000 % 86_400
    clock = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return Reason("paused", why=why, clock=clock)


def allowance_words(
    limit: Limit, room: float, row: int, market: Market, trade: TradeSettings, limits: RiskSettings
) -> Reason:
    """What a limit allows that needs nothing but the minute; ``room`` is what it left, USDT."""
    account = market.account
    match limit:
        case Limit.UNRECONCILED:
            return Reason("not_reconciled", difference=account.difference or Reason("not_compared"))
        case Limit.NOT_FRESH:
            return Reason("no_final_bar", seconds=f"{limits.max_book_age_ms / 1000:g}")
        case Limit.NO_BOOK:
            return Reason("no_usable_book")
        case Limit.NO_EQUITY:
            return Reason("equity_is", equity=f"{market.equity:.2f}")
        case Limit.NOT_TRADING:
            return Reason("not_trading")
        case Limit.LATE:
            late, allowed = (market.now_ms - market.minute - MINUTE_MS) / 1000, limits.max_decision_delay_ms / 1000
            return Reason("decided_late", late=f"{late:.1f}", allowed=f"{allowed:g}")
        case Limit.CLOCK:
            allowed = account.clock_allowed_ms
            if not math.isfinite(account.clock_offset_ms or 0.0):
                return Reason("clock_not_known", allowed=f"{allowed:g}")
            return Reason("clock_off", offset=f"{account.clock_offset_ms:+.0f}", allowed=f"{allowed:g}")
        case Limit.MAX_CANCELS:
            return Reason("cancels", count=str(account.cancels), allowed=str(limits.max_cancels_per_minute))
        case Limit.PREMIUM:
            over = float(market.premium_bps[row]) if market.premium_bps is not None else math.nan
            return Reason("premium", over=f"{over:.0f}", allowed=f"{limits.max_premium_bps:g}")
        case Limit.SAME_COIN:
            return Reason("coin_sells")
        case Limit.MIN_ORDER:
            return Reason("least_order", least=f"{room:.2f}")
        case _:
            least = float(trade.min_order_usdt)
            return Reason("allowed", room=f"{max(room, 0.0):.2f}", least=f"{least:.2f}")
