"""Why an intent did not pass, in words: what was asked, and what the limit that held it allows."""

import math

from core.messages import Market
from core.params import RiskSettings, TradeSettings
from core.sizing import Limit, Sized
from core.units import MINUTE_MS


def asked_words(sized: Sized, row: int) -> str:
    change = float(sized.asked[row])
    return f"asked {change:+.2f} USDT" if math.isfinite(change) else "asked an unknown amount"


def pause_words(limit: Limit, limits: RiskSettings, until_ms: int) -> str:
    """Which guard holds, and until when."""
    match limit:
        case Limit.CONSECUTIVE_LOSSES:
            why = f"{limits.max_consecutive_losses} round trips in a row lost"
        case Limit.STOP_GUARD:
            why = f"{limits.max_stop_outs} stop-outs within {limits.stop_outs_within_minutes} minutes"
        case Limit.LOW_PROFIT:
            within = f"of the last {limits.low_profit_within_minutes} minutes brought less than"
            why = f"{limits.low_profit_trips} or more round trips {within} {limits.low_profit_pct:g}% together"
        case _:
            why = f"closed less than {limits.cooldown_minutes} minutes ago"
    seconds = until_ms // 1000 % 86_400
    clock = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return f"{why}: nothing is bought before {clock} UTC"


def allowance_words(
    limit: Limit, room: float, row: int, market: Market, trade: TradeSettings, limits: RiskSettings
) -> str:
    """What a limit allows that needs nothing but the minute; ``room`` is what it left, USDT."""
    account = market.account
    match limit:
        case Limit.UNRECONCILED:
            return f"not reconciled: {account.difference or 'could not be compared with the venue'}"
        case Limit.NOT_FRESH:
            return f"no final bar this minute, or no book of the last {limits.max_book_age_ms / 1000:g} s"
        case Limit.NO_BOOK:
            return "no usable book"
        case Limit.NO_EQUITY:
            return f"equity is {market.equity:.2f} USDT"
        case Limit.NOT_TRADING:
            return "the venue gives no rules for it or does not trade it now"
        case Limit.LATE:
            late, allowed = (market.now_ms - market.minute - MINUTE_MS) / 1000, limits.max_decision_delay_ms / 1000
            return f"decided {late:.1f} s after the minute's close, allowed {allowed:g} s"
        case Limit.CLOCK:
            allowed = account.clock_allowed_ms
            if not math.isfinite(account.clock_offset_ms or 0.0):
                return f"how far the venue's clock is from ours is not known, allowed {allowed:g} ms"
            return f"the venue's clock is {account.clock_offset_ms:+.0f} ms from ours, allowed {allowed:g} ms"
        case Limit.MAX_CANCELS:
            return f"{account.cancels} cancels in the last minute, allowed {limits.max_cancels_per_minute}"
        case Limit.PREMIUM:
            over = float(market.premium_bps[row]) if market.premium_bps is not None else math.nan
            return f"it costs {over:.0f} bps more than at the other venue, allowed {limits.max_premium_bps:g}"
        case Limit.SAME_COIN:
            return "another market of the coin sells this minute"
        case Limit.MIN_ORDER:
            return f"the least order is {room:.2f} USDT"
        case _:
            least = float(trade.min_order_usdt)
            return f"allowed {max(room, 0.0):.2f} USDT, the least order is {least:.2f} USDT"
