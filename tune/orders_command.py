"""``run.py orders``: the orders of a run, and one of them in full: its arithmetic, its costs, its states."""

import argparse
import json

from rich import box
from rich.console import Console
from rich.table import Table

from config import load
from core.errors import EXIT_OK, DataError
from core.execution.tca import PARTS, Parent, shortfall_of
from core.messages import OrderReport, OrderState, PlaceOrder
from core.units import Side, plainly
from tune.recorded_parents import Entry, RecordedParents, read_parents
from tune.report.style import DASH, clock, number, price
from tune.tca_command import WIDE, as_json, newest_run, run_argument
from tune.why_command import CLOCK, read_words

HELP = "the orders of a run, or one of them in full with its states"
EXAMPLE = "python3 run.py orders --symbol ETH/USDT --unfilled\npython3 run.py orders var/runs/RUN --order '23:55 ETH'"
SHOWN = 50


def arguments(parser: argparse.ArgumentParser) -> None:
    load.arguments(parser)
    run_argument(parser)
    parser.add_argument(
        "--order",
        metavar="ID",
        help="one order in full: minute and market as 'why' takes them ('23:55 ETH'), an intent, or an order's own id",
    )
    parser.add_argument("--symbol", metavar="NAME", help="only this market: BTC/USDT, or binance:BTC/USDT")
    parser.add_argument("--side", choices=[side.value for side in Side], help="only buys or sells")
    parser.add_argument(
        "--state", choices=[state.value for state in OrderState], help="only those with an order in this state"
    )
    parser.add_argument("--unfilled", action="store_true", help="only those that were not filled whole")
    parser.add_argument(
        "--limit", type=int, default=SHOWN, metavar="N", help=f"the newest N (default {SHOWN}; 0 = all)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON line, nothing else")


def main(args: argparse.Namespace) -> int:
    run = read_parents(args.run or newest_run(load.resolve_var(load.from_arguments(args)) / "runs"))
    console = Console()
    if args.order:
        parent = find(run, args.order)
        if args.json:
            print(json.dumps(_in_full(run, parent)))
        else:
            print_parent(console, run, parent)
        return EXIT_OK
    chosen = [parent for parent in run.parents if _wanted(parent, args)]
    shown = chosen[-args.limit :] if args.limit > 0 else chosen
    if args.json:
        print(json.dumps({"run": run.name, "orders": [_in_short(parent) for parent in shown]}))
        return EXIT_OK
    console.print(_table(shown, wide=console.width >= WIDE))
    rest = f", the newest {len(shown)} shown" if len(shown) < len(chosen) else ""
    console.print(
        "Wanted: base units; mean: of the fills; USDT and bps: shortfall against the decision, above zero is lost."
    )
    console.print(f"{len(chosen)} of {len(run.parents)} orders{rest}{_one_in_full(chosen)}", highlight=False)
    return EXIT_OK


def _one_in_full(parents: list[Parent]) -> str:
    """How to ask for one of these, by the newest of them."""
    if not parents:
        return ""
    newest = parents[-1].decided
    return f"; one in full: --order '{clock(newest.minute)[-5:]} {newest.instrument.base}'"


def find(run: RecordedParents, name: str) -> Parent:
    """The parent with this intent id, with an order of this client id, or the newest of this minute and market. DataError
    with near names when there is none."""
    for parent in run.parents:
        if name == parent.decided.intent_id or any(name == order.client_id for order in parent.orders):
            return parent
    if CLOCK.search(name):
        asked = read_words(name.split())
        for parent in reversed(run.parents):
            if asked.is_minute(parent.decided.minute) and asked.is_market(parent.decided.instrument):
                return parent
    near = [p.decided.intent_id for p in run.parents if name in p.decided.intent_id]
    hint = f"do you mean {near[-1]}?" if near else "python3 run.py orders lists them"
    raise DataError(f"{run.name} has no order {name!r}; {hint}")


def print_parent(console: Console, run: RecordedParents, parent: Parent) -> None:
    """Everything known of one parent."""

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    decided, cents = parent.decided, shortfall_of(parent).cents()
    base = decided.instrument.base
    why = f", to protect the position ({decided.exit})" if decided.exit else f"; forecast {parent.edge_bps:.2f} bps"
    say(
        f"{decided.intent_id}: {decided.side.value} {decided.quantity.normalize():f} {base} at {decided.limit_price} or better"
    )
    say(f"decided {clock(decided.at_ms, seconds=True)} UTC at a mid of {plainly(float(parent.decision))}{why}")
    for line in decided.arithmetic:
        say(f"  {line}")
    when = (
        "nothing was sent"
        if parent.arrived_ms is None
        else f"first sent {clock(parent.arrived_ms, seconds=True)} at a mid of {plainly(float(parent.arrival))}"
    )
    say(f"{when}; filled {parent.executed.normalize():f} of {decided.quantity.normalize():f} {base}")
    say(
        "  "
        + ", ".join(f"{name} {number(float(cents[name]))}" for name in PARTS)
        + f" = shortfall {number(float(cents['total']))} USDT"
    )
    for order in parent.orders:
        say(
            f"order {order.client_id}: {order.quantity.normalize():f} at {order.price}, {order.state.value}{_because(order)}"
        )
        for at_ms, text in life_of(run.journal, order.client_id):
            say(f"  {clock(at_ms, seconds=True)}  {text}" if at_ms else f"  {text}")
        for fill in parent.fills:
            if fill.client_id == order.client_id:
                role = "maker" if fill.maker else "taker"
                what = f"{fill.quantity.normalize():f} at {fill.price}, fee {fill.fee.normalize():f} {fill.fee_asset}"
                say(f"  {clock(fill.at_ms, seconds=True)}  fill {fill.trade_id}: {what}, {role}")
    if not run.journal and parent.orders:
        say("(this run kept no journal: an order's way is not known, only its end)")


def life_of(journal: tuple[Entry, ...], client_id: str) -> list[tuple[int, str]]:
    """(epoch ms, what happened) of one order, as the journal has it."""
    found = []
    for entry in journal:
        message = entry.message
        snapshot = getattr(message, "snapshot", None)
        fill = getattr(message, "fill", None)
        if client_id in (
            getattr(message, "client_id", ""),
            getattr(snapshot, "client_id", ""),
            getattr(fill, "client_id", ""),
        ):
            found.append((entry.at_ms, _event(message)))
    return found


def _event(message: object) -> str:
    """One entry in words: its kind, and what it says of the order."""
    name = type(message).__name__
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()
    if isinstance(message, PlaceOrder):
        return f"{words}: {message.side.value} {message.quantity.normalize():f} at {message.price} {message.time_in_force.value}"
    snapshot, fill = getattr(message, "snapshot", None), getattr(message, "fill", None)
    if snapshot is not None:
        return f"{words}: {snapshot.state.value}, executed {snapshot.executed.normalize():f} (the venue's {snapshot.venue_id})"
    if fill is not None:
        return f"{words}: {fill.quantity.normalize():f} at {fill.price}"
    told = [str(getattr(message, field)) for field in ("code", "text") if getattr(message, field, "")]
    return f"{words}: {' '.join(told)}" if told else words


def _because(order: OrderReport) -> str:
    return f" ({order.reason})" if order.reason else ""


def _wanted(parent: Parent, args: argparse.Namespace) -> bool:
    decided = parent.decided
    return (
        (not args.symbol or args.symbol in (decided.instrument.symbol, str(decided.instrument)))
        and (not args.side or decided.side.value == args.side)
        and (not args.state or any(order.state.value == args.state for order in parent.orders))
        and (not args.unfilled or parent.executed < decided.quantity)
    )


def _table(parents: list[Parent], *, wide: bool = True) -> Table:
    """A line an order. Not ``wide``: it fits 80 columns, without ids, without venues where the symbol tells, and without years where there is one."""
    heads = ("minute, UTC", "market", "side", "wanted", "filled", "mean", "USDT", "bps")
    heads = (*heads[:2], "id", *heads[2:]) if wide else heads
    markets = {parent.decided.instrument for parent in parents}
    # A won market has its exchange in its name; only a symbol that stands at two needs to be told where.
    by_symbol = len({market.symbol for market in markets}) == len(markets)
    one_year = len({clock(parent.decided.minute)[:4] for parent in parents}) == 1
    table = Table(*heads, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for column in table.columns:
        column.no_wrap = True
    for column in table.columns[heads.index("side") + 1 :]:
        column.justify = "right"
    for parent in parents:
        told, lost = _in_short(parent), shortfall_of(parent)
        share = f"{float(parent.executed / parent.decided.quantity) * 100:.0f} %"
        minute, instrument = clock(parent.decided.minute), parent.decided.instrument
        table.add_row(
            minute if wide or not one_year else minute[5:],
            instrument.symbol if by_symbol and not wide else str(instrument),
            *((str(told["id"]),) if wide else ()),
            str(told["side"]),
            str(told["quantity"]),
            share,
            price(float(str(told["mean_price"]))) if told["mean_price"] else DASH,
            number(float(lost.cents()["total"])),
            number(lost.bps("total"), 1),
        )
    return table


def _in_short(parent: Parent) -> dict[str, object]:
    decided, money = parent.decided, sum((f.quantity * f.price for f in parent.fills), parent.executed * 0)
    return {
        "id": decided.intent_id,
        "minute": decided.minute,
        "instrument": str(decided.instrument),
        "side": decided.side.value,
        "quantity": f"{decided.quantity.normalize():f}",
        "executed": f"{parent.executed.normalize():f}",
        "mean_price": f"{money / parent.executed:.10g}" if parent.executed else None,
        "orders": len(parent.orders),
        "costs": as_json(shortfall_of(parent)),
    }


def _in_full(run: RecordedParents, parent: Parent) -> dict[str, object]:
    orders = [
        {
            "id": order.client_id,
            "quantity": str(order.quantity),
            "price": str(order.price),
            "executed": str(order.executed),
            "state": order.state.value,
            "reason": order.reason,
            "life": [{"at_ms": at_ms, "what": what} for at_ms, what in life_of(run.journal, order.client_id)],
        }
        for order in parent.orders
    ]
    return {**_in_short(parent), "why": list(parent.decided.arithmetic), "children": orders}
