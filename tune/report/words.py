"""What a run assumed, in words: the costs it was charged, from the settings it ran under."""

import numpy as np
from pydantic import ValidationError

from core.costs import fees_of
from core.errors import ConfigError
from core.params import CostSettings
from core.why import nothing_words
from tune.report.style import DASH, number
from tune.result import Result, stopped

UNKNOWN = "The settings kept with this run do not say which costs it assumed."


def costs_of(result: Result) -> CostSettings | None:
    """The ``costs`` of the rules kept with the result; None where they were not kept or are of another version."""
    rules = result.settings.get("rules", result.settings)
    found = rules.get("costs") if isinstance(rules, dict) else None
    if not isinstance(found, dict):
        return None
    try:
        return CostSettings.model_validate(found)
    except ValidationError:
        return None


def costs_in_words(result: Result) -> list[str]:
    """One line an assumption; what was switched off is said too."""
    costs = costs_of(result)
    if costs is None:
        return [UNKNOWN]
    lines = [
        _fees(result, costs),
        (
            f"Spread: estimated from the bars of the 24 hours before (EDGE), {costs.half_spread_default_bps:g} bps of half "
            f"spread where there are too few, at most {costs.half_spread_max_bps:g}"
            if costs.spread
            else "Spread: switched off"
        ),
        (
            f"Impact: {costs.impact_coefficient:g} × volatility × √(quantity / volume of a minute)"
            if costs.impact
            else "Impact: switched off"
        ),
        (
            f"Latency: {costs.latency_ms} ms from the decision to the match"
            if costs.latency
            else "Latency: switched off; orders match at the price that was seen"
        ),
        (
            f"Participation: at most {costs.max_participation_pct:g} % of a minute's volume, the rest is not filled"
            if costs.participation
            else "Participation: switched off; any size is filled"
        ),
        (
            "Halts: a minute without trades fills nothing"
            if costs.halts
            else "Halts: switched off; empty minutes trade at the last close"
        ),
    ]
    lines += [] if costs.rounding else ["Rounding to tick and lot: switched off"]
    lines += [] if costs.min_notional else ["Smallest order value: switched off"]
    return lines


def switched_off(result: Result) -> list[str]:
    """Names of the costs that this run did not charge."""
    costs = costs_of(result)
    names = ("fees", "spread", "impact", "latency", "participation", "halts", "rounding", "min_notional")
    return [] if costs is None else [name.replace("_", " ") for name in names if not getattr(costs, name)]


def why_nothing(result: Result) -> str:
    """Why a run traded nothing, as far as its forecasts tell; empty for one that traded."""
    if len(result.orders) or len(result.fills) or not result.minutes:
        return ""
    known = result.edge_bps[np.isfinite(result.edge_bps)]
    rules, trade = result.settings.get("rules", {}), result.settings.get("trade")
    step = round(result.minutes / len(result.grid))
    return nothing_words(
        float(known.max()) if len(known) else None,
        bool(known.any()),
        rules.get("selection", {}).get("entry_edge_bps") if isinstance(rules, dict) else None,
        result.cash,
        str(trade.get("min_order_usdt") or "") if isinstance(trade, dict) else "",
        f" (of those kept, one minute in {step})" if step > 1 else "",
    )


def why_stopped(result: Result) -> str:
    """That a limit or a halt stopped buying, since when and for how long; empty where none did."""
    minutes = stopped(result)
    if not minutes.any():
        return ""
    at, decided = int(np.argmax(minutes)), int(np.isfinite(result.equity).sum())
    when = str(np.datetime64(int(result.minute[at]), "ms").astype("datetime64[m]")).replace("T", " ")
    return (
        f"A loss limit or a halt let nothing be bought in {minutes.sum():,} of {decided:,} minutes, first at {when} UTC (equity"
        f" {result.equity[at]:,.2f} of {result.cash:,.2f} USDT): the figures are of an account that then could only sell."
    )


def _fees(result: Result, costs: CostSettings) -> str:
    if not costs.fees:
        return "Fees: switched off"
    by_rate: dict[str, list[str]] = {}
    for instrument in result.instruments:
        try:
            taker = float(fees_of(instrument, costs).taker)
        except ConfigError:
            continue
        rate = f"{number(100 * taker, 4).rstrip('0').rstrip('.')} %"
        by_rate.setdefault(rate, []).append(instrument.venue)
    rates = " or ".join(f"{rate} ({', '.join(dict.fromkeys(venues))})" for rate, venues in by_rate.items())
    paid = "paid in BNB" if costs.fee_paid_in == "bnb" else "taken from what comes in"
    return f"Fees: taker {rates or DASH}, {paid}"


def notes_of(result: Result) -> tuple[str, ...]:
    """What a reader must know before the figures: why nothing happened, that it was stopped, costs that were not charged,
    the run's own notes.

    In this order, as a page folds away all but the first.
    """
    off = switched_off(result)
    said = [f"Without these costs: {', '.join(off)}. What it earned is not what it would have earned."] if off else []
    return (*filter(None, [why_nothing(result), why_stopped(result)]), *said, *result.notes)
