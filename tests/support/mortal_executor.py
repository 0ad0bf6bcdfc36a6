"""An executor in a process of its own, killed (SIGKILL) in the middle of its schedules and started again.

The simulated exchange, its wire and its clock stay in the test's process; the executor, its gateway and its journal on
disk live in a child. Children are forked from one that has everything imported (``Nursery``), so that a death and the
next life's start take a fraction of a second instead of the seconds that importing does.
"""

import asyncio
import multiprocessing
import os
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import numpy as np

from actors.executor import ExecutorActor
from config.settings import ExchangeSettings
from core.execution.machine import ExecutionMachine
from core.execution.scribe import replay
from core.features import WINDOW
from core.messages import Approved, Market, MinuteTick, TradingState, Verdicts
from core.orders import is_ours, parse_id
from core.params import ExecutionSettings
from core.protection import NO_EXITS, ExitRules
from core.units import MINUTE_MS, Side, floor_to_step, round_price, to_decimal
from data.journal import SqliteJournal, read_journal
from exchanges.simulated.exchange import SimulatedExchange
from exchanges.simulated.lists import OrderList
from exchanges.simulated.orders import OrderRequest, SimOrder
from exchanges.simulated.refusals import VenueRefusal
from exchanges.simulated.server import RunningServer, serve_exchange
from tests.support.binance_stub import API_KEY, SECRET
from tests.support.chaos_venues import BINANCE
from tests.support.markets import market

INSTANCE = "mortal"
Taken = TypeVar("Taken", SimOrder, OrderList)
FOREVER = 1 << 62
KINDS = ("lost", "taken", "any moment")
"""How a life ends: with a request that never arrives, with one that is taken and whose answer nobody hears, or some
milliseconds after one was answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """What a child is told."""

    settings: ExchangeSettings
    journal: Path
    execution: ExecutionSettings
    end_ms: int
    """It stops by itself when the venue's clock is there."""
    exits: ExitRules
    """With pairs left at the venue, where any is set."""
    repeats: bool
    """It asks for the minute it woke up in once more, as a conductor would that never heard an answer; else it only
    goes on with what the journal says."""
    seed: int


def seen(exchange: SimulatedExchange, minute: int, now_ms: int) -> Market:
    """The market as schedules look at it: the bars so far, and a book at the last close."""
    tape = exchange.market.tape  # type: ignore[attr-defined]
    end = (minute - tape.start_minute) // MINUTE_MS + 1
    bars = tape.bars[:, max(0, end - WINDOW) : end]
    before = np.repeat(bars[:, :1], WINDOW - bars.shape[1], axis=1)
    mids = tuple(float(close) for close in bars[:, -1, 3])
    whole = np.concatenate([before, bars], axis=1)
    return market(exchange.instruments, mids=mids, minute=minute, bars=whole, now_ms=now_ms)


def intents(exchange: SimulatedExchange, minute: int, seed: int) -> tuple[Approved, ...]:
    """What is wanted in a minute: the same whoever asks, in amounts that one slice often does not find."""
    found = []
    for row, instrument in enumerate(exchange.instruments):
        rng = np.random.default_rng((seed, minute // MINUTE_MS, row))
        bar, rule = exchange.market.bar(row, minute, FOREVER), exchange.rules[row]
        if bar is None:
            continue
        side = Side.BUY if rng.random() < 0.6 else Side.SELL
        close = to_decimal(bar.close)
        price = round_price(close * (Decimal("1.003") if side is Side.BUY else Decimal("0.997")), rule.tick, side)
        worth = to_decimal(float(rng.uniform(60.0, 6_000.0)))
        found.append(
            Approved(
                intent_id=f"{minute}-{instrument.symbol}",
                minute=minute,
                instrument=instrument,
                side=side,
                quantity=floor_to_step(worth / close, rule.step),
                limit_price=price,
                reference_price=bar.close,
                arithmetic=("by chance",),
            )
        )
    return tuple(found)


async def live(life: Life, exchange: SimulatedExchange) -> None:
    """Trade minute by minute, moving the venue's clock, until the end or death. ``exchange`` only says what is wanted."""
    gateway = BINANCE.gateway(life.settings, exchange.instruments)
    venues = [BINANCE.name] if life.exits.on else []
    journal = SqliteJournal(life.journal)
    executor = ExecutorActor(
        life.execution, INSTANCE, gateway, journal, exits=life.exits, stops_at=venues, pairs_at=venues
    )
    step = life.execution.slice_seconds * 1_000
    async with aiohttp.ClientSession(life.settings.rest_url) as http:
        now = await gateway.server_time_ms()
        await executor.start(now)
        started = -1 if life.repeats else now // MINUTE_MS * MINUTE_MS - MINUTE_MS
        while now < life.end_ms:
            minute = now // MINUTE_MS * MINUTE_MS - MINUTE_MS
            if minute == started:
                await executor.beat(now)
            else:
                await executor.account(MinuteTick(minute=minute, now_ms=now, trace="t"))
                said = Verdicts(
                    minute=minute,
                    trace="t",
                    state=TradingState.ACTIVE,
                    state_reason="",
                    approved=intents(exchange, minute, life.seed),
                    refused=(),
                )
                await executor.execute(seen(exchange, minute, now), said)
                started = minute
            async with http.post("/sim/advance", json={"to_ms": now // step * step + step}) as answer:
                now = (await answer.json())["now_ms"]
        for _ in range(10):
            left = await executor.stop()
            if not left["open"] and not left["unsettled"]:
                break
            async with http.post("/sim/advance", json={"to_ms": now + 3_000}) as answer:
                now = (await answer.json())["now_ms"]
    await gateway.close()


class Nursery:
    """A process that forks a child for each life it is told of. Make it before anything listens or runs in threads."""

    def __init__(self, exchange: SimulatedExchange) -> None:
        context = multiprocessing.get_context("fork")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_fork_for_ever, args=(theirs, self._ours, exchange), daemon=True)
        self._process.start()
        theirs.close()

    def bear(self, life: Life) -> int:
        """Start a life; its process id."""
        self._ours.send(life)
        return int(self._ours.recv())

    async def ended(self) -> int:
        """Wait until the life that was started last is over; its exit status as ``os.waitpid`` has it."""
        while not self._ours.poll():
            await asyncio.sleep(0.001)
        return int(self._ours.recv())

    def close(self) -> None:
        with suppress(OSError):
            self._ours.send(None)
        self._process.join(5)
        self._process.kill()


def _fork_for_ever(pipe: Any, others: Any, exchange: SimulatedExchange) -> None:
    others.close()
    while (life := pipe.recv()) is not None:
        child = os.fork()
        if not child:
            code = 1
            try:
                asyncio.run(live(life, exchange))
                code = 0
            except Exception:  # The test only sees how it ended.
                traceback.print_exc()
            finally:
                # Whatever it was: nothing of the test's process may be cleaned up by a copy of it.
                os._exit(code)
        pipe.send(child)
        pipe.send(os.waitpid(child, 0)[1])


@dataclass(slots=True)
class Deaths:
    """What came of it all."""

    kinds: Counter[str] = field(default_factory=Counter)
    slots: Counter[int] = field(default_factory=Counter)
    """Slice of the order with which a life ended."""
    unfinished: int = 0
    """Deaths that left a parent with something still to send or to hear of."""
    took_s: list[float] = field(default_factory=list)
    """From a kill to the next life's first word to the venue."""
    parents: int = 0
    partly: int = 0
    """Parents that did not get all they wanted."""
    orders: int = 0
    pairs: int = 0
    """Of a stop and a take-profit, that the venue was asked for."""
    over_pairs: int = 0
    """Deaths over one of them."""
    fills: int = 0
    differences: list[str] = field(default_factory=list)


class Mortality:
    """``kills`` lives that end by SIGKILL at moments of ``seed``, and a last one that ends by itself."""

    def __init__(
        self, folder: Path, kills: int, seed: int, execution: ExecutionSettings, exits: ExitRules = NO_EXITS
    ) -> None:
        self.folder, self.kills, self.seed, self.execution, self.exits = folder, kills, seed, execution, exits
        self.rng = np.random.default_rng(seed)
        self.exchange = BINANCE.make(seed)
        self.found = Deaths()
        self._place, self._place_pair = self.exchange.place, self.exchange.place_oco
        self._pid = 0
        self._due = -1
        """Orders until this life ends; -1: it is not to end."""
        self._kind = ""
        self._died_at = 0.0

    def run(self) -> Deaths:
        nursery = Nursery(self.exchange)
        try:
            asyncio.run(self._run(nursery))
        finally:
            nursery.close()
        return self.found

    async def _run(self, nursery: Nursery) -> None:
        self.exchange.place = self._place_and_kill  # type: ignore[method-assign]
        self.exchange.place_oco = self._pair_and_kill  # type: ignore[method-assign]
        server = await serve_exchange(self.exchange, credentials={API_KEY: SECRET})
        settings = ExchangeSettings(
            rest_url=server.url, stream_url=server.stream_url, user_stream_url=server.user_stream_url
        )
        try:
            for number in range(self.kills + 1):
                last = number == self.kills
                self._kind, self._due = str(self.rng.choice(KINDS)), -1 if last else int(self.rng.integers(1, 9))
                if number and self.rng.random() < 0.3:
                    async with server.state.lock:
                        await server.state.advance(self.exchange.now_ms + int(self.rng.integers(1_000, 90_000)))
                life = Life(
                    settings=settings,
                    journal=self.folder / "journal.sqlite",
                    execution=self.execution,
                    exits=self.exits,
                    end_ms=self.exchange.now_ms + 2 * MINUTE_MS if last else FOREVER,
                    repeats=bool(self.rng.random() < 0.5),
                    seed=self.seed,
                )
                self._pid = nursery.bear(life)
                status = await nursery.ended()
                if last != (status == 0) or (not last and os.WTERMSIG(status) != signal.SIGKILL):
                    self.found.differences.append(f"life {number} ended by itself with status {status}")
                    return
            self._compare(server)
        finally:
            await server.close()

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        self._died_at = time.perf_counter()
        machine = self._journaled()
        self.found.unfinished += any(not p.closed or p.open for p in machine.books.parents.values())

    def _place_and_kill(self, request: OrderRequest) -> SimOrder:
        return self._and_kill(request, lambda: self._place(request))

    def _pair_and_kill(self, above: OrderRequest, below: OrderRequest, client_id: str = "") -> OrderList:
        self.found.pairs += 1
        return self._and_kill(below, lambda: self._place_pair(above, below, client_id))

    def _and_kill(self, request: OrderRequest, place: Callable[[], Taken]) -> Taken:
        if self._died_at:
            self.found.took_s.append(time.perf_counter() - self._died_at)
            self._died_at = 0.0
        self._due -= self._due > 0
        if self._due:
            return place()
        if self._kind == "lost":
            self._ends_with(request)
            self._kill()
            raise VenueRefusal(-1001, "It never arrived, and nobody is there to be told so.")
        try:
            order = place()
        except VenueRefusal:
            self._due = 1  # Nothing was taken, so there is nothing to be killed over: the next order it is.
            raise
        self._ends_with(request)
        if self._kind == "taken":
            self._kill()
        else:
            asyncio.get_running_loop().call_later(float(self.rng.uniform(0.0, 0.03)), self._kill)
        return order

    def _ends_with(self, request: OrderRequest) -> None:
        self._due = -1
        parts = parse_id(request.client_id)
        self.found.kinds[self._kind] += 1
        self.found.over_pairs += request.stop_price is not None
        self.found.slots[parts.slice if parts is not None else -1] += 1

    def _journaled(self) -> ExecutionMachine:
        """What the journal on disk leads to."""
        rules = dict(zip(self.exchange.instruments, self.exchange.rules, strict=True))
        machine = ExecutionMachine(self.execution, rules, INSTANCE)
        replay(read_journal(self.folder / "journal.sqlite"), machine)
        return machine

    # --- comparing ----------------------------------------------------------------------------------------------

    def _compare(self, server: RunningServer) -> None:
        machine, found = self._journaled(), self.found
        machine.validate()
        books = machine.books
        taken: dict[str, list[SimOrder]] = {}
        for name, order in BINANCE.orders(server):
            if is_ours(name, INSTANCE):
                taken.setdefault(name, []).append(order)
        found.differences += list(machine.faults)
        found.differences += [f"{name}: sent {len(o)} times" for name, o in taken.items() if len(o) > 1]
        # Pairs stay, under what is still held.
        found.differences += [f"{o.client_id}: not settled" for o in machine.unsettled() if not o.protects]
        found.differences += [
            f"{o.client_id}: open at the venue"
            for o in self.exchange.open_orders()
            if o.client_id not in books.orders or not books.orders[o.client_id].protects
        ]
        for instrument in self.exchange.instruments:
            left = [o for o in self.exchange.order_lists() if not o.done and o.orders[0].instrument == instrument]
            if len(left) > 1:
                found.differences.append(f"{instrument}: {len(left)} pairs for one position")
        found.differences += [f"{name}: the journal does not know it" for name in taken.keys() - books.orders.keys()]
        for name, ours in books.orders.items():
            theirs = sum((o.executed_quantity for o in taken.get(name, ())), Decimal(0))
            if (ours.executed, ours.filled) != (theirs, theirs):
                found.differences.append(f"{name}: ours {ours.executed} ({ours.filled}), the venue's {theirs}")
        found.orders = len(taken)
        found.fills = sum(len(o.trades) for orders in taken.values() for o in orders)
        self._compare_parents(machine, taken)
        account = self.exchange.account
        for asset, start in BINANCE.balances.items():
            due = start + books.flows.get((BINANCE.name, asset), Decimal(0))
            if account.free(asset) + account.locked(asset) != due:
                found.differences.append(f"{asset}: the venue holds {account.free(asset)}, the journal says {due}")

    def _compare_parents(self, machine: ExecutionMachine, taken: dict[str, list[SimOrder]]) -> None:
        found = self.found
        for parent in machine.books.parents.values():
            found.parents += 1
            name = f"{parent.intent_id} ({parent.quantity})"
            theirs = sum((o.executed_quantity for p in parent.orders for o in taken.get(p.client_id, ())), Decimal(0))
            found.partly += theirs < parent.quantity
            if parent.executed + parent.abandoned != parent.quantity or parent.open or parent.unsent or parent.over:
                found.differences.append(
                    f"{name}: {parent.executed} executed, {parent.abandoned} given up, {parent.open} open"
                )
            if theirs != parent.executed or theirs > parent.quantity:
                found.differences.append(f"{name}: {parent.executed} executed, the venue says {theirs}")
            if not _never_beyond(parent.quantity, [o for p in parent.orders for o in taken.get(p.client_id, ())]):
                found.differences.append(f"{name}: an order was sent beyond what was left of it")


def _never_beyond(quantity: Decimal, orders: Sequence[SimOrder]) -> bool:
    """At no moment could more be executed than was wanted: what was done before, and the whole of the next order."""
    done = Decimal(0)
    for order in sorted(orders, key=lambda o: o.order_id):
        if done + order.quantity > quantity:
            return False
        done += order.executed_quantity
    return True
