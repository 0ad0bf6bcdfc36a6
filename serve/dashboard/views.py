"""What the page shows, computed from plain records (``data.plain`` of MinuteRecord): pure, no IO.

A minute's view says WHY in words and numbers: what each member expected and how much it counted, what came of
it for every instrument, and how sizes were reached.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from core.currency import REPORTING_CURRENCY
from core.messages import SETTINGS_REFUSED, MinuteRecord, settings_words
from core.units import Side
from core.why import coin_words, executed, idle_words, kept_words, unknown
from data import plain

Plain = Mapping[str, Any]


def minute_view(record: Plain, about: Plain, before: Plain | None = None) -> dict[str, Any]:
    """One minute as the page shows it. ``about``: the run's state, for the thresholds that held; ``before``: the minute
    decided before it, for sales that were not finished."""
    members = [
        {key: vote[key] for key in ("member", "version", "spoke", "silence", "weight")} for vote in record["votes"]
    ]
    rows = [_row(record, about, number) for number in range(len(record["instruments"]))]
    for number, words in _left(record, before):
        rows[number]["why"] += f"; {words}"
    return {
        **{
            key: record[key]
            for key in (
                *("minute", "trace", "status", "reason", "regime", "state", "state_reason"),
                *("events", "weights_version", "orders", "fills", "input_hash"),
            )
        },
        "equity": record["equity"] if record["status"] == "done" else None,
        "headline": headline(record, rows),
        "rates": list(record.get("rates", ())),
        "members": members,
        "settings": [
            {"words": settings_words(line), "refused": line.startswith(SETTINGS_REFUSED)}
            for line in record.get("settings", ())
        ],
        "models": [model_words(step) for step in record.get("models", ())],
        "rows": rows,
        "sizing": [
            *({"what": _order_words(a), "outcome": "approved", **_lines(a)} for a in record["approved"]),
            *({"what": r["instrument"], "outcome": "refused", **_lines(r)} for r in record["refused"]),
            *(_coin(coin) for coin in record.get("coins", ()) if not _decided(record, coin)),
        ],
        "timings": record["timings"],
        "took_ms": sum(took or 0.0 for _, took in record["timings"]),
        "gross": sum(row["value"] or 0.0 for row in rows),
    }


def headline(record: Plain, rows: Sequence[Plain]) -> str:
    """The minute in one line."""
    if record["status"] == "missed":
        return f"Missed: {record['reason']}"
    if record["status"] != "done":
        return "After the last decision: what became of the orders"
    parts = [
        f"{'buys' if order['side'] == 'buy' else 'sells'} {_base(order['instrument'])}" for order in record["approved"]
    ]
    if record["refused"]:
        parts.append(f"{len(record['refused'])} held back by limits")
    if parts:
        return _sentence(parts)
    voted = [row for row in rows if row["edge"] is not None]
    if not voted:
        return "No trade: nobody voted" if rows else "No trade"
    strongest = max(voted, key=lambda row: abs(row["edge"]))
    # A strong edge without a trade looks like a mistake where it is not said that the coin is held already.
    kept = ", held" if strongest["held"] else ""
    return f"No trade: strongest edge {strongest['edge']:+.1f} bps ({_base(strongest['instrument'])}{kept})".replace(
        "-", "−"
    )


def model_words(step: Plain) -> str:
    """What happened to a member's version, in one line."""
    return f"{step['member']} {step['version']} {step['kind'].replace('_', ' ')}: {step['why']}"


def latency(timings: Iterable[Sequence[Sequence[Any]]]) -> list[dict[str, Any]]:
    """p50, p99 (nearest rank) and last of each step over the given minutes, in the minute's order; then all steps."""
    by_step: dict[str, list[float]] = {}
    totals: list[float] = []
    for minute in timings:
        if minute:
            totals.append(sum(took or 0.0 for _, took in minute))
        for step, took in minute:
            by_step.setdefault(step, []).append(took or 0.0)
    if totals:
        by_step["all steps"] = totals
    return [
        {"step": step, "p50": quantile(took, 0.50), "p99": quantile(took, 0.99), "last": took[-1], "n": len(took)}
        for step, took in by_step.items()
    ]


def quantile(values: Sequence[float], share: float) -> float:
    """Smallest value that at least ``share`` of the values do not exceed (nearest-rank quantile)."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def thinned(points: Sequence[tuple[int, float]], most: int) -> list[tuple[int, float]]:
    """At most about ``most`` points of a curve: the lowest and highest of each stretch, so that no drawdown is lost."""
    if len(points) <= most:
        return list(points)
    stretch = math.ceil(len(points) / max(1, (most - 2) // 2))
    kept = {0, len(points) - 1}
    for start in range(0, len(points), stretch):
        window = range(start, min(start + stretch, len(points)))
        kept |= {min(window, key=lambda i: points[i][1]), max(window, key=lambda i: points[i][1])}
    return [points[i] for i in sorted(kept)]


def curve(points: Iterable[tuple[int, float]]) -> list[tuple[int, float]]:
    """Points by minute, each minute once (the later wins)."""
    return sorted(dict(points).items())


def _row(record: Plain, about: Plain, number: int) -> dict[str, Any]:
    """One instrument of a minute."""
    instrument = record["instruments"][number]
    held, close = _at(record["position"], number), _at(record["close"], number)
    edge, target = _at(record["edge_bps"], number), _at(record["target"], number)
    fresh = _at(record["fresh"], number)
    votes = [
        {"mean": _at(vote["mean_bps"], number), "stdev": _at(vote["stdev_bps"], number)} for vote in record["votes"]
    ]
    approved = [order for order in record["approved"] if order["instrument"] == instrument]
    refused = [intent for intent in record["refused"] if intent["instrument"] == instrument]
    return {
        "instrument": instrument,
        "close": close,
        "held": held,
        "value": _worth(record, instrument, held, close),
        "fresh": bool(fresh),
        "premium": _at(record.get("premium_bps", ()), number),
        "votes": votes,
        "edge": edge,
        "target": target,
        "why": _why(record, number, edge, target, held, bool(fresh), approved, refused, about),
        "outcome": "approved" if approved else "refused" if refused else "none",
    }


def _left(record: Plain, before: Plain | None) -> Iterator[tuple[int, str]]:
    """(row, why what is left is kept) of sales of the minute before that were not finished and are not asked for again."""
    if before is None or record["status"] != "done" or all(order["side"] != "sell" for order in before["approved"]):
        return
    then, now = plain.decode(MinuteRecord, before), plain.decode(MinuteRecord, record)
    for sale in then.approved:
        if sale.side is Side.SELL and sale.instrument in now.instruments:
            words = kept_words(sale, then, executed(sale, (then, now)), now)
            if words:
                yield now.instruments.index(sale.instrument), words


def _worth(record: Plain, instrument: str, held: float | None, close: float | None) -> float | None:
    """USDT of what is held; None where a price or the currency's rate is not known."""
    quote = instrument.rpartition("/")[2]
    rates = {rate["currency"]: rate["usdt"] for rate in record.get("rates", ())} | {REPORTING_CURRENCY: 1.0}
    if held is None or close is None or quote not in rates:
        return None
    return held * close * rates[quote]


def _why(
    record: Plain,
    number: int,
    edge: float | None,
    target: float | None,
    held: float | None,
    fresh: bool,
    approved: Sequence[Plain],
    refused: Sequence[Plain],
    about: Plain,
) -> str:
    """Why this instrument was, or was not, traded."""
    if approved:
        return "; ".join(_order_words(order) for order in approved)
    if refused:
        return "; ".join(intent["reason"] for intent in refused)
    thresholds = about.get("entry_edge_bps"), about.get("exit_edge_bps")
    instrument = record["instruments"][number]
    for coin in record.get("coins", ()):
        if instrument in coin["instruments"]:
            traded = {order["instrument"] for order in record["approved"]}
            where = [one.partition(":")[0] for one in coin["instruments"] if one in traded]
            asked = coin["edge_bps"], coin["held"], coin["wanted"]
            return coin_words(_base(instrument), *asked, record["equity"], fresh, where, *thresholds)
    return idle_words(edge, target, held, fresh, *thresholds, unknown=_unknown(record, number))


def _decided(record: Plain, coin: Plain) -> bool:
    """Whether an order of the coin, or a refused one, tells its arithmetic already."""
    return any(one["instrument"] in coin["instruments"] for one in (*record["approved"], *record["refused"]))


def _coin(coin: Plain) -> dict[str, Any]:
    """A coin at several exchanges of which nothing was asked."""
    return {"what": ", ".join(coin["instruments"]), "outcome": "none", "reason": "", "arithmetic": list(coin["lines"])}


def _unknown(record: Plain, number: int) -> bool:
    return unknown([_at(vote["mean_bps"], number) for vote in record["votes"] if vote["spoke"]])


def _order_words(order: Plain) -> str:
    return f"{order['side']} {order['quantity']} {_base(order['instrument'])}, limit {order['limit_price']}"


def _lines(verdict: Plain) -> dict[str, Any]:
    return {"reason": verdict.get("reason", ""), "arithmetic": verdict["arithmetic"]}


def _sentence(parts: Sequence[str]) -> str:
    text = ", ".join(parts)
    return text[0].upper() + text[1:]


def _base(instrument: str) -> str:
    return instrument.partition(":")[2].partition("/")[0] or instrument


def _at(values: Sequence[Any], number: int) -> Any:
    return values[number] if number < len(values) else None
