"""What is told at the end of a run."""

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from actors.runs.audit import Audit
from config.settings import Settings
from core.currency import REPORTING_CURRENCY, usdt_of
from core.messages import MinuteRecord
from core.metrics import measure, realised
from core.why import nothing_words
from data.market import MarketSource


def figures(records: list[MinuteRecord]) -> dict:
    """Counts, money and the time of each step (p50 and p99, ms). ``parents``: what was decided to be ordered, each sent as
    one or more ``orders``, its slices."""
    done = [r for r in records if r.status == "done"]
    steps: dict[str, list[float]] = {}
    for record in done:
        for step, took in record.timings:
            steps.setdefault(step, []).append(took)
    orders = {o.client_id: o for r in records for o in r.orders}
    return {
        "minutes": sum(r.status != "closed" for r in records),
        "done": len(done),
        "missed": sum(r.status == "missed" for r in records),
        "parents": len(
            {i for r in records for i in (*(a.intent_id for a in r.approved), *(e.intent_id for e in r.exits))}
        ),
        "orders": len(orders),
        "fills": sum(len(r.fills) for r in records),
        "refused": sum(len(r.refused) for r in records),
        "silent_votes": sum(not v.spoke for r in done for v in r.votes),
        "equity_first": done[0].equity if done else None,
        "equity_last": done[-1].equity if done else None,
        "exchanges": venue_lines(records),
        "steps": {
            step: {"p50_ms": round(float(np.percentile(v, 50)), 2), "p99_ms": round(float(np.percentile(v, 99)), 2)}
            for step, v in steps.items()
        },
    }


def venue_lines(records: list[MinuteRecord]) -> list[str]:
    """Where there are several exchanges: a line for each, and one for what the other currencies were worth."""
    done = [r for r in records if r.status == "done"]
    venues = tuple(dict.fromkeys(i.venue for r in done[-1:] for i in r.instruments))
    if len(venues) < 2:
        return []
    last, lines = done[-1], []
    orders = {o.client_id: o for r in records for o in r.orders}
    fills = [(r, f) for r in records for f in r.fills]
    for venue in venues:
        mine = [(r, f) for r, f in fills if f.instrument.venue == venue]
        traded = sum(float(f.quantity * f.price) * usdt_of(r.rates or last.rates, f.instrument.quote) for r, f in mine)
        held = [
            f"{quantity:.8g} {i.base}"
            for i, quantity in zip(last.instruments, last.position, strict=True)
            if i.venue == venue and quantity > 0
        ]
        count = sum(o.instrument.venue == venue for o in orders.values())
        lines.append(
            f"{venue}: slices {count}, fills {len(mine)}, traded {traded:,.2f} USDT; holds {', '.join(held) or 'no coins'}"
        )
    for name in dict.fromkeys(rate.currency for r in done for rate in r.rates if rate.currency != REPORTING_CURRENCY):
        known = [rate for r in done for rate in r.rates if rate.currency == name]
        line = f"rate: {1 / known[0].usdt:,.2f} → {1 / known[-1].usdt:,.2f} {name} a USDT, by {known[-1].source}"
        gaps = len(done) - len(known)
        lines.append(f"{line}; unknown in {gaps} of {len(done)} minutes" if gaps else line)
    return lines


def print_summary(
    console: Console,
    records: list[MinuteRecord],
    run_dir: Path,
    source: MarketSource,
    agreed: Audit,
    settings: Settings,
    *,
    as_json: bool,
) -> None:
    """A table on the console, or one JSON line on standard output."""
    result = figures(records) | {"run_dir": str(run_dir), "market": source.name, "synthetic": source.synthetic}
    result |= {"trades": agreed.trades, "differences": list(agreed.differences)}
    if as_json:
        print(json.dumps(result))
        return
    done = [r for r in records if r.status == "done"]
    equity = np.array([r.equity for r in done if np.isfinite(r.equity) and r.equity > 0])
    console.rule(
        f"{'synthetic market' if source.synthetic else 'market'} {source.name}: {result['done']} minutes, {result['missed']} missed"
    )
    console.print(
        f"orders {result['parents']}, sent in {result['orders']} slices, fills {result['fills']}, refused {result['refused']}, silent votes {result['silent_votes']}",
        highlight=False,
    )
    if len(equity):
        fills = [f for r in records for f in r.fills]
        did = measure(equity, fills=fills, rates=done[-1].rates)
        hits = f"hit rate {did.hit_rate:.0%}" if realised(fills) else "no position was sold"
        console.print(
            f"equity {equity[0]:,.2f} → {equity[-1]:,.2f} USDT ({did.total_return:+.2%}), largest fall {did.max_drawdown:.2%},"
            f" turnover {did.turnover:.2f}×, {hits}",
            highlight=False,
        )
    for line in venue_lines(records):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    table = Table("step", "p50 ms", "p99 ms")
    for step, times in result["steps"].items():
        table.add_row(step, f"{times['p50_ms']:.1f}", f"{times['p99_ms']:.1f}")
    console.print(table)
    console.print(agreed.line(), style="" if not agreed.differences else "bold red", highlight=False)
    if done and not result["orders"]:
        known = [e for r in done for e in r.edge_bps if np.isfinite(e)]
        entry, smallest = settings.rules.selection.entry_edge_bps, settings.config.trade.min_order_usdt
        best = max(known, default=None)
        console.print(
            nothing_words(best, any(known), entry, done[0].equity, f"{smallest:f}"), highlight=False, soft_wrap=True
        )
    kinds = Counter(re.sub(r"[\d.]+ s", "… s", r.reason) for r in records if r.status == "missed")
    for reason, count in kinds.most_common(5):
        console.print(f"missed {count}: {reason}", highlight=False, markup=False)
    console.print(f"records, journal and logs: {run_dir}", highlight=False, markup=False, soft_wrap=True)
