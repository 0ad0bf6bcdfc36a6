"""Types of command-line values: what argparse can judge by itself is a usage error (exit code 2), told in its own words.

Each maker takes what is allowed and gives a ``type=`` for ``add_argument``; the message names the value and what is
allowed, argparse puts the option before it. What needs the settings or the data to judge stays a ConfigError.
"""

import argparse
import math
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

from core.units import MINUTE_MS

DAY_MINUTES = 1_440
LONGEST_MINUTES = 10 * 366 * DAY_MINUTES
"""Ten years: the longest run, and more than any lake here holds."""
LARGEST_CASH = Decimal(90_000_000)
"""A float64 counts units of 1e-8 exactly up to here, and an account has to be counted exactly."""
LARGEST_WON = 1_000 * LARGEST_CASH
"""So for units of 1e-5, of which a thousand are worth about as much."""


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """A whole number from ``least`` to ``most`` (both allowed; no upper end for None)."""
    allowed = f"a whole number from {least:,} on" if most is None else f"a whole number from {least:,} to {most:,}"

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"{text!r} is not {allowed}")
        return value

    return read


def number(least: float, most: float, *, above: bool = False) -> Callable[[str], float]:
    """A number from ``least`` to ``most``; ``above``: ``least`` itself is not allowed."""
    allowed = f"a number above {least:g}, at most {most:g}" if above else f"a number from {least:g} to {most:g}"

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most or (above and value == least):
            raise argparse.ArgumentTypeError(f"{text!r} is not {allowed}")
        return value

    return read


minutes = whole(1, LONGEST_MINUTES)


def days(text: str) -> float:
    """A length in days, at least one minute when rounded to minutes."""
    longest = LONGEST_MINUTES // DAY_MINUTES
    value = number(0, longest, above=True)(text)
    if round(value * DAY_MINUTES) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} days is less than a minute; at least 0.0007, at most {longest:,}")
    return value


def amount(text: str) -> Decimal:
    """USDT of one account, above 0; thousands may be set apart by ``,`` or ``_``."""
    return _money(text, "USDT", LARGEST_CASH)


def won(text: str) -> Decimal:
    """KRW of one account, as ``amount``."""
    return _money(text, "KRW", LARGEST_WON)


def _money(text: str, currency: str, limit: Decimal) -> Decimal:
    try:
        value = Decimal(text.replace(",", "").replace("_", ""))
    except InvalidOperation:
        value = Decimal("nan")
    if not (value.is_finite() and 0 < value < limit):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not an amount of {currency} above 0 (and below {limit:,} in one exchange's account)"
        )
    return value


def minute(text: str) -> int:
    """A time like 2026-04-21T00:00 (UTC unless it says otherwise) as the ms at which its minute opens."""
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        return int(moment.timestamp() * 1000) // MINUTE_MS * MINUTE_MS
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is not a time like 2026-04-21T00:00") from None
