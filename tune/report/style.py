"""How numbers and series look, everywhere the same: on the page, in the terminal, in comparisons."""

import math

import numpy as np

MINUS = "\u2212"
DASH = "\u2013"
BLUE, ORANGE, GREY, RED, GREEN = "#3d7fd6", "#d38b28", "#8b929c", "#cf5148", "#3a9a62"
PALETTE = ("#3d7fd6", "#d38b28", "#3a9a62", "#a66bc9", "#cf5148", "#2aa3b5", "#b8a13a", "#8b929c")
"""Of symbols, members and runs: apart from each other on white and on black."""
REGIME_COLOURS = {"calm": "#7fb2d9", "trend": "#69b07e", "turbulent": "#dd7d5c", "unknown": "#a4a9b1"}
STATE_COLOURS = {"active": "#69b07e", "reducing": "#d9b44a", "halted": "#cf5148", "missed": "#8b929c"}
WORD_COLOURS = {"edge": GREEN, "unproven": ORANGE, "none": RED}


def percent(share: float, digits: int = 2, *, sign: bool = False) -> str:
    """0.0123 as ``1.23 %``; a dash for what is not a number."""
    return number(share * 100, digits, sign=sign) + " %" if math.isfinite(share) else DASH


def number(value: float, digits: int = 2, *, sign: bool = False) -> str:
    """With thousands and a true minus; infinity as a sign, NaN as a dash."""
    if math.isnan(value):
        return DASH
    if math.isinf(value):
        return "∞" if value > 0 else MINUS + "∞"
    text = f"{abs(value):,.{digits}f}"
    zero = not text.strip("0.,")
    if value < 0 and not zero:
        return MINUS + text
    return "+" + text if sign and not zero else text


def money(value: float, *, sign: bool = False) -> str:
    """USDT with cents."""
    return number(value, 2, sign=sign)


def price(value: float) -> str:
    """Seven significant digits, plainly."""
    if not math.isfinite(value):
        return DASH
    digits = max(0, 6 - math.floor(math.log10(abs(value)))) if value else 2
    text = f"{value:,.{min(digits, 10)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def clock(ms: int, *, seconds: bool = False) -> str:
    """UTC, to the minute or the second."""
    return str(np.datetime64(int(ms), "ms").astype("datetime64[s]" if seconds else "datetime64[m]")).replace("T", " ")


def span(minutes: float) -> str:
    """``45 min``, ``3.2 h``, ``12 d``: a duration as a person says it."""
    if not math.isfinite(minutes):
        return DASH
    if minutes < 120:
        return f"{minutes:.0f} min"
    return f"{minutes / 60:.1f} h" if minutes < 2_880 else f"{minutes / 1_440:.1f} d"
