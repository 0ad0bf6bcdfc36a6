"""Thousands of random orders through the real executor, over the wire, against a simulated venue in which things go
wrong; then every book is held against every other.

The pieces are the live ones: machine, pump, journal in SQLite, gateway, user stream. Only the conductor is missing: here
a seeded generator says when time moves and what is wanted. Waits are short because a fault's seconds are (``pace``) and
because the venue's clock, by which questions are spaced, is moved by hand.
"""

import asyncio
import logging
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from actors.account_news import AccountNews
from core.errors import BotError, DataError, ExchangeRefused, ExchangeUnavailable
from core.execution.books import Order
from core.execution.machine import ExecutionMachine
from core.execution.scribe import replay
from core.execution.summary import summary
from core.messages import (
    Approved,
    MinuteTick,
    OrderSnapshot,
    OrderState,
    PlaceOrder,
    TimeInForce,
    TradingState,
    Verdicts,
)
from core.orders import client_id, is_ours
from core.params import ExecutionSettings
from core.units import MINUTE_MS, Instrument, Side, floor_to_step, round_price, to_decimal
from data.journal import SqliteJournal
from exchanges.link import LinkPolicy
from exchanges.simulated.chaos.plan import Chaos
from tests.support.chaos_venues import ChaosVenue
from tests.support.hand_executor import HandExecutor

PACE = 0.02
"""A fault's second takes 20 ms; an answer that never comes (30 s) still outlasts the gateway's patience of 0.5 s."""
RATE = 0.08
MOST_STANDING = 25
EXECUTION = ExecutionSettings(slices=3, slice_seconds=15, unknown_requery_s=2.0)
SETTLE_ROUNDS = 30
LONGEST_HIDDEN_MS = 10_000
"""No order is kept from questions for longer, by the venue's clock."""
INSTANCE = "chaos"
ENDED = frozenset({OrderState.FILLED, OrderState.CANCELLED, OrderState.EXPIRED, OrderState.REJECTED})
NOT_FILLED = {OrderState.CANCELLED, OrderState.EXPIRED}
"""One word at Upbit."""
KINDS = ((TimeInForce.IOC, False), (TimeInForce.GTC, False), (TimeInForce.GTC, True))


class OneLife:
    """The journal as one executor sees it. What is still under way in it when its process dies (a snapshot that waits its
    turn) would go on here, in one process with the next one, and write between its entries."""

    def __init__(self, journal: SqliteJournal) -> None:
        self._journal = journal
        self.over = False

    def append(self, entries: list[tuple[str, bytes]]) -> None:
        if self.over:
            raise DataError("this executor's process is dead")
        self._journal.append(entries)

    def replay(self) -> list[tuple[str, bytes]]:
        return self._journal.replay()


@dataclass(slots=True)
class At:
    """The two fields of a market that the executor reads."""

    minute: int
    now_ms: int


@dataclass(slots=True)
class Outcome:
    """What came of a run."""

    seed: int
    orders: int = 0
    """Names that our side sent or tried to send."""
    accepted: int = 0
    fills: int = 0
    foreign: int = 0
    done: Counter[str] = field(default_factory=Counter)
    """Faults by kind."""
    states: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    """What our books noted as contradictions."""
    differences: list[str] = field(default_factory=list)
    """Between books that must agree. Empty is the point."""
    reconnects: int = 0
    deaths: int = 0
    """Of the executor, each with an order on its way."""
    refusals: int = 0
    surfaced: int = 0
    """Orders that were given up, the venue having denied them twice, and turned out to exist."""


class Run:
    """One seed."""

    def __init__(
        self, venue: ChaosVenue, seed: int, orders: int, folder: Path, rate: float = RATE, **chaos: Any
    ) -> None:
        self.venue, self.seed, self.wanted, self.folder = venue, seed, orders, folder
        self.rng = np.random.default_rng(seed)
        self.chaos = Chaos.seeded(seed, rate=rate, pace=PACE, venue=venue.name, **chaos)
        self.exchange = venue.make(seed)
        self.instruments = self.exchange.instruments
        self.standing: list[str] = []
        self.serial = 0
        self.sent = 0
        self.minute = self.exchange.now_ms - MINUTE_MS
        self.outcome = Outcome(seed)

    async def play(self) -> Outcome:
        """Trade, settle, stop, compare."""
        self.server = await self.venue.serve(self.exchange, self.chaos)
        settings = self.venue.settings(self.server)
        self.gateway = gateway = self.venue.gateway(settings, self.instruments)
        self.journal = journal = SqliteJournal(self.folder / f"journal-{self.seed}.sqlite")
        policy = LinkPolicy(silence_s=None, first_delay_s=0.01, longest_delay_s=0.2, confirm_s=2.0)
        self.news = news = AccountNews(
            lambda on_order, on_reconnect: [
                self.venue.user_stream(
                    settings,
                    self.instruments,
                    on_order,
                    on_reconnect=on_reconnect,
                    now_ms=gateway.now_ms,
                    resync=gateway.sync_clock,
                    policy=policy,
                )
            ],
            logging.getLogger("chaos run"),
            retry_s=0.2,
        )
        self.rules = await self._patiently(gateway.rules)
        self.executor = self._new_executor()
        try:
            await news.listen()
            await self._patiently(lambda: self.executor.start(self.exchange.now_ms))
            news.follow(self)
            while self.sent < self.wanted:
                await self._step()
            await self._settle()
            self._compare()
            self.outcome.reconnects = news.streams[0].state.lives - 1
            self.outcome.refusals = gateway.gate.look(lambda line, _: line.refusals)
        finally:
            await news.close()
            await gateway.close()
            await self.server.close()
            journal.close()
        return self.outcome

    # --- trading ------------------------------------------------------------------------------------------------

    async def _step(self) -> None:
        what = self.rng.random()
        if what < 0.62:
            # Now and then the cancel is wished for while the order is still on its way.
            order = self._order()
            acts = [self.executor.place(order, self.minute, self.exchange.now_ms)]
            if self.rng.random() < 0.1:
                acts.append(self.executor.withdraw(order.client_id, self.exchange.now_ms))
            await asyncio.gather(*acts)
        elif what < 0.75:
            if self.standing:
                name = self.standing.pop(int(self.rng.integers(len(self.standing))))
                await self.executor.withdraw(name, self.exchange.now_ms)
        elif what < 0.77:
            await self._foreign()
        elif what < 0.773:
            await self._die()
        else:
            await self._advance(int(self.rng.integers(200, 4_000)))

    async def _advance(self, ms: int) -> None:
        """Move the venue's clock; a new minute begins as the conductor would begin it."""
        async with self.server.state.lock:
            await self.server.state.advance(self.exchange.now_ms + ms)
        now = self.exchange.now_ms
        newest = now // MINUTE_MS * MINUTE_MS - MINUTE_MS
        if newest > self.minute:
            self.minute, self.serial = newest, 0
            with suppress(ExchangeUnavailable):
                await self.executor.account(MinuteTick(minute=newest, now_ms=now, trace="t"))
            verdicts = Verdicts(
                minute=newest,
                trace="t",
                state=TradingState.ACTIVE,
                state_reason="",
                approved=tuple(self._approved(i) for i in self.instruments if self.rng.random() < 0.5),
                refused=(),
            )
            reports = await self.executor.execute(At(newest, now), verdicts)
            self.sent += sum(not r.reason.startswith("never sent") for r in reports.orders if "-ens-" in r.client_id)
        else:
            await self.executor.beat(now)

    def _order(self) -> PlaceOrder:
        """A random limit order: kill, rest or post-only, of any size, near the touch or far."""
        row = int(self.rng.integers(len(self.instruments)))
        instrument, rule = self.instruments[row], self.rules[self.instruments[row]]
        side = Side.BUY if self.rng.random() < 0.5 else Side.SELL
        self.standing = [name for name in self.standing if self._stands(name)]
        full = len(self.standing) > MOST_STANDING
        force, post_only = KINDS[0 if full else int(self.rng.integers(len(KINDS)))]
        price, quantity = self._price(row, side, float(self.rng.normal(0.0, 4e-4))), self._size(row)
        name = client_id(INSTANCE, "hand", self.minute, instrument.symbol, self.serial)
        self.serial += 1
        self.sent += 1
        if force is TimeInForce.GTC:
            self.standing.append(name)
        return PlaceOrder(
            client_id=name,
            intent_id="by itself",
            instrument=instrument,
            side=side,
            quantity=max(floor_to_step(quantity, rule.step), rule.step),
            price=price,
            time_in_force=force,
            post_only=post_only,
        )

    def _approved(self, instrument: Instrument) -> Approved:
        row, side = self.instruments.index(instrument), Side.BUY if self.rng.random() < 0.5 else Side.SELL
        price = self._price(row, side, -5e-4)
        return Approved(
            intent_id=f"{self.minute}-{instrument.symbol}",
            minute=self.minute,
            instrument=instrument,
            side=side,
            quantity=max(floor_to_step(self._size(row), self.rules[instrument].step), self.rules[instrument].step),
            limit_price=price,
            reference_price=float(price),
            arithmetic=("by chance",),
        )

    def _price(self, row: int, side: Side, away: float) -> Decimal:
        """``away`` of the touch; negative crosses. In a halt of the last close."""
        top, rule = self.exchange.top(row), self.rules[self.instruments[row]]
        touch = (top.ask if side is Side.BUY else top.bid) if top is not None else Decimal(0)
        if not touch:
            touch = to_decimal(float(self.exchange.market.average_price(row, self.exchange.now_ms, 5) or 1.0))
        moved = touch * to_decimal(1 - away if side is Side.BUY else 1 + away)
        return round_price(moved, self.venue.tick(rule, moved), side)

    def _size(self, row: int) -> Decimal:
        """From too small for the venue to more than the account holds."""
        price = self._price(row, Side.BUY, 0.0)
        return to_decimal(float(np.exp(self.rng.normal(np.log(self.venue.money), 1.6)))) / price

    def _stands(self, name: str) -> bool:
        machine = self.executor._machine
        order = machine.books.orders.get(name) if machine is not None else None
        return order is not None and order.live

    async def _die(self) -> None:
        """The executor's process dies while an order is on its way; the next one goes on from the journal."""
        sending = asyncio.create_task(self.executor.place(self._order(), self.minute, self.exchange.now_ms))
        await asyncio.sleep(float(self.rng.uniform(0.0, 0.006)))
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        self.outcome.deaths += 1
        self.life.over = True
        self.executor = self._new_executor()
        await self._patiently(lambda: self.executor.start(self.exchange.now_ms))

    def _new_executor(self) -> HandExecutor:
        self.life = OneLife(self.journal)
        return HandExecutor(EXECUTION, INSTANCE, self.gateway, self.life, rules=self.rules)

    async def _foreign(self) -> None:
        """Somebody trades by hand in the same account."""
        row = int(self.rng.integers(len(self.instruments)))
        side = Side.BUY if self.rng.random() < 0.5 else Side.SELL
        resting = self.rng.random() < 0.5
        rule, money = self.rules[self.instruments[row]], Decimal(self.venue.money / 8)
        self.outcome.foreign += 1
        quantity = max(floor_to_step(money / self._price(row, side, 0.0), rule.step), rule.min_qty)
        price = self._price(row, side, 0.05 if resting else -1e-3)
        how = {"force": "GTC" if resting else "IOC", "name": f"by-hand-{self.outcome.foreign}"}
        async with self.server.state.lock:
            try:
                order = self.venue.by_hand(self.server, self.instruments[row], side, quantity, price, **how)
            except ExchangeRefused:
                return
            await self.server.state.traded(order)

    async def on_snapshot(self, snapshot: OrderSnapshot) -> None:
        """To whichever executor lives now."""
        await self.executor.on_snapshot(snapshot)

    async def on_reconnect(self) -> None:
        await self.executor.on_reconnect()

    async def _patiently(self, call):
        """Until the venue serves us."""
        for _ in range(20):
            try:
                return await call()
            except ExchangeUnavailable:
                await asyncio.sleep(0.05)
        raise AssertionError("the venue never answered")

    async def _settle(self) -> None:
        """Ask until nothing is open or unknown, with the faults still on; then once more when the venue hides nothing any
        longer: an order given up while it was hidden is asked about for minutes, and stands or is filled."""
        await self._end_all()
        await self._advance(LONGEST_HIDDEN_MS)
        await self._patiently(self.executor.on_reconnect)
        await self._end_all()
        await asyncio.sleep(0.15)
        while not self.news.idle:
            await asyncio.sleep(0.01)
        await self._patiently(self.executor.on_reconnect)

    async def _end_all(self) -> None:
        for _ in range(SETTLE_ROUNDS):
            await self._advance(3_000)
            try:
                left = await self.executor.stop()
            except BotError:
                continue
            health = await self.executor.health()
            if left["open"] == [] and not left["unsettled"] and self.news.idle and not health["unsettled"]:
                break
            await asyncio.sleep(0.05)

    # --- comparing ----------------------------------------------------------------------------------------------

    def _compare(self) -> None:
        machine = self.executor._machine
        assert machine is not None
        machine.validate()
        books, said = machine.books, self.outcome
        said.done, said.faults = Counter(self.chaos.done), list(machine.faults)
        said.orders, said.states = len(books.orders), Counter(o.state.value for o in books.orders.values())
        given_up = [o for o in books.orders.values() if o.reason.startswith("not placed: the venue denied it")]
        said.surfaced = sum(o.state is not OrderState.REJECTED for o in given_up)
        self._compare_orders(machine)
        self._compare_money(machine)
        again = ExecutionMachine(EXECUTION, self.rules, INSTANCE)
        replay(self.journal.replay(), again)
        if summary(again) != summary(machine):
            said.differences.append("the journal does not lead to our books")
        open_hand = [
            o for o in self.exchange.orders.values() if o.client_id.startswith("by-hand") and o.status == "CANCELED"
        ]
        said.differences += [f"{o.client_id}: somebody else's order was cancelled" for o in open_hand]

    def _compare_orders(self, machine: ExecutionMachine) -> None:
        said, books = self.outcome, machine.books
        theirs: dict[str, list] = {}
        for name, order in self.venue.orders(self.server):
            if is_ours(name, INSTANCE):
                theirs.setdefault(name, []).append(order)
        said.accepted = len(theirs)
        for name, orders in theirs.items():
            if len(orders) > 1:
                said.differences.append(f"{name}: placed {len(orders)} times")
            ours, order = books.orders.get(name), orders[-1]
            if ours is None:
                said.differences.append(f"{name}: at the venue, not in our books")
                continue
            ended = self.venue.state_of(order)
            same = ours.state is ended or (self.venue.name == "upbit" and {ours.state, ended} == NOT_FILLED)
            if not same or order.live:
                said.differences.append(f"{name}: ours {ours.state.value}, the venue's {order.status}")
            if (ours.filled, ours.executed) != (order.executed_quantity,) * 2:
                text = f"ours {ours.filled} ({ours.executed}), the venue's {order.executed_quantity}"
                said.differences.append(f"{name}: executed {text}")
            told = [(f.trade_id, f.quantity, f.price, f.fee, f.fee_asset) for f in ours.fills]
            made = [(self.venue.trade_id(order, t), t.quantity, t.price, t.fee, t.fee_asset) for t in order.trades]
            if sorted(told) != sorted(made):
                said.differences.append(f"{name}: our fills {told}, the venue's trades {made}")
        for name, ours in books.orders.items():
            if name not in theirs and (not _turned_away(ours) or ours.executed):
                said.differences.append(f"{name}: ours {ours.state.value}, and the venue never had it")

    def _compare_money(self, machine: ExecutionMachine) -> None:
        said, books, zero = self.outcome, machine.books, Decimal(0)
        foreign: dict[str, Decimal] = {}
        for row, instrument in enumerate(self.instruments):
            trades = self.exchange.my_trades(row)
            ours = [t for t in trades if is_ours(t.client_id, INSTANCE)]
            said.fills += len(ours)
            total = books.totals.get(instrument)
            found = (0, zero, zero, zero, zero)
            if total is not None:
                found = (total.fills, total.bought, total.sold, total.paid, total.received)
            sums = [
                sum((getattr(t, part) for t in ours if t.side is side), zero)
                for part in ("quantity", "quote_quantity")
                for side in (Side.BUY, Side.SELL)
            ]
            if found != (len(ours), *sums):
                said.differences.append(f"{instrument.symbol}: our totals {found}, the venue's {(len(ours), *sums)}")
            for t in trades:
                if is_ours(t.client_id, INSTANCE):
                    continue
                sign = 1 if t.side is Side.BUY else -1
                for asset, change in (
                    (instrument.base, sign * t.quantity),
                    (instrument.quote, -sign * t.quote_quantity),
                    (t.fee_asset, -t.fee),
                ):
                    foreign[asset] = foreign.get(asset, zero) + change
        account = self.exchange.account
        for asset in account.assets():
            holds = account.free(asset) + account.locked(asset)
            due = (
                self.venue.balances.get(asset, zero)
                + books.flows.get((self.venue.name, asset), zero)
                + foreign.get(asset, zero)
            )
            if holds != due:
                said.differences.append(f"{asset}: the account holds {holds}, the books say {due}")


def _turned_away(order: Order) -> bool:
    """Refused, or a post-only order that would have taken: the machine calls that expired, Binance never had it."""
    would_take = order.placed.post_only and "immediately match" in order.reason
    return order.state is OrderState.REJECTED or (order.state is OrderState.EXPIRED and would_take)


async def play(venue: ChaosVenue, seed: int, orders: int, folder: Path, rate: float = RATE, **chaos: Any) -> Outcome:
    """Run one seed; see ``Outcome``. ``chaos`` goes to the plan."""
    return await Run(venue, seed, orders, folder, rate, **chaos).play()
