"""What is told at the end of a run."""

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from actors.runs.audit import Audit
from core.currency import REPORTING_CURRENCY, usdt_of
from core.messages import MinuteRecord
from core.metrics import measure
from data.market import MarketSource


def figures(records: list[MinuteRecord]) -> dict:
    """Counts, money and the time of each step (p50 and p99, ms)."""
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
            f"{venue}: orders {count}, fills {len(mine)}, traded {traded:,.2f} USDT; holds {', '.join(held) or 'no coins'}"
        )
    for name in dict.fromkeys(rate.currency for r in done for rate in r.rates if rate.currency != REPORTING_CURRENCY):
        known = [rate for r in done for rate in r.rates if rate.currency == name]
        line = f"rate: {1 / known[0].usdt:,.2f} → {1 / known[-1].usdt:,.2f} {name} a USDT, by {known[-1].source}"
        gaps = len(done) - len(known)
        lines.append(f"{line}; unknown in {gaps} of {len(done)} minutes" if gaps else line)
    return lines


def print_summary(
    console: Console, records: list[MinuteRecord], run_dir: Path, source: MarketSource, agreed: Audit, *, as_json: bool
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
        f"orders {result['orders']}, fills {result['fills']}, refused {result['refused']}, silent votes {result['silent_votes']}",
        highlight=False,
    )
    if len(equity):
        did = measure(equity, fills=[f for r in records for f in r.fills], rates=done[-1].rates)
        console.print(
            f"equity {equity[0]:,.2f} → {equity[-1]:,.2f} USDT ({did.total_return:+.2%}), largest fall {did.max_drawdown:.2%},"
            f" turnover {did.turnover:.2f}×, hit rate {did.hit_rate:.0%}",
            highlight=False,
        )
    for line in venue_lines(records):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    table = Table("step", "p50 ms", "p99 ms")
    for step, times in result["steps"].items():
        table.add_row(step, f"{times['p50_ms']:.1f}", f"{times['p99_ms']:.1f}")
    console.print(table)
    console.print(agreed.line(), style="" if not agreed.differences else "bold red", highlight=False)
    if not result["orders"]:
        best = max((e for r in done for e in r.edge_bps if np.isfinite(e)), default=float("nan"))
        console.print(
            f"no order was sent: the largest forecast was {best:+.1f} bps, and trading_rules.json asks for more than"
            " selection.entry_edge_bps before money is risked",
            highlight=False,
        )
    kinds = Counter(re.sub(r"[\d.]+ s", "… s", r.reason) for r in records if r.status == "missed")
    for reason, count in kinds.most_common(5):
        console.print(f"missed {count}: {reason}", highlight=False, markup=False)
    console.print(f"records, journal and logs: {run_dir}", highlight=False, markup=False, soft_wrap=True)
