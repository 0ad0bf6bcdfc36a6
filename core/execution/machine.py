"""The executor as a pure state machine: stimuli in, instructions out. It does no IO and reads no clock.

Rules of this file. (1) An order is sent at most once: its name is in the books before the instruction exists, and a
name in the books is never sent again. (2) A quantity whose outcome is unknown is held back until the venue has said
what became of it, or has said twice, ``requery_ms`` apart, that it knows nothing of it. (3) While an older order of an
instrument may still fill, a newer intent for it waits. (4) What the venue says that cannot be, is noted as a fault and
blocks nothing; what we ask for that cannot be, is a ``Defect``, raised before anything has changed. (5) The chain of
answers to one stimulus ends: place -> query -> cancel, and nothing follows an answer to a cancel but what an adaptive
parent took the order back for, which is not looked at again until time passes, the other order of a pair, and the sale that
waited for a stop to be off.

Above 400 lines because every decision about orders stands here, one small handler a stimulus; the sums are in
``books.py``, the reading of what a venue says in ``intake.py``.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Any

from core.errors import Defect
from core.execution.adaptive import RESTING, is_last_look, move_of, see, stands_well
from core.execution.books import Books, Order, Parent
from core.execution.exits import Exits
from core.execution.intake import Intake
from core.execution.pace import part_of, slot_at, stage_of
from core.execution.schedules.rule import ADAPTIVE, EVEN, Schedule, jitter_seed, schedule_of
from core.execution.stimuli import (
    BalancesAgreed,
    Beat,
    BookSeen,
    CancelDone,
    CancelFailed,
    CancelWanted,
    Conditions,
    Configured,
    FillSeen,
    Halted,
    HoldingsSeen,
    Instruction,
    MinuteStarted,
    NotSent,
    OpenSeen,
    OrderWanted,
    OutcomeUnclear,
    Placed,
    PlaceRefused,
    PricesSeen,
    Queried,
    QueryFailed,
    Reconcile,
    Reported,
    Restarted,
    SnapshotSeen,
    Stimulus,
    Stopped,
)
from core.execution.stops import Stops
from core.impact import PRIOR, ImpactLaw
from core.messages import (
    Approved,
    CancelOrder,
    OrderSnapshot,
    OrderState,
    PlaceOrder,
    QueryOrder,
    Reports,
    TimeInForce,
)
from core.orders import OrderEvent, client_id, is_ours, symbol_code
from core.params import ExecutionSettings
from core.protection import NO_EXITS, ExitRules
from core.units import MINUTE_MS, Instrument, MarketRules, Side

RETAIN_MINUTES = 2 * 1_440
"""Orders are kept in detail for two days: longer than any late news, long enough to compare a replayed day."""
MOST_SENDS = 1_200
"""Orders of one parent; a client id has no room for more than 1,296."""
DOUBT_MS = 10 * MINUTE_MS
"""An order that was given up as denied is asked about at every reconciliation of so long a time: the request may have
been late, and the news of it lost with a connection."""


class ExecutionMachine:
    """Works approved intents into the market in time-weighted slices.

    ``instance`` (1 to 6 of a-z0-9) and ``strategy`` (1 to 4) go into every client id. One machine serves one venue.
    """

    def __init__(
        self,
        settings: ExecutionSettings,
        rules: dict[Instrument, MarketRules],
        instance: str,
        strategy: str = "ens",
        retain_minutes: int = RETAIN_MINUTES,
        exits: ExitRules = NO_EXITS,
        law: ImpactLaw = PRIOR,
    ) -> None:
        client_id(instance, strategy, 0, "BTC/USDT", 0)
        self.instance = instance
        self.strategy = strategy
        self.books = Books(retain_minutes)
        self._intake = Intake(self.books, instance)
        self.minute = -1
        """The newest minute started."""
        self.stopped = False
        self.exits = Exits(self.books, instance)
        self.stops = Stops(self.books, instance)
        self.exits.rules = exits
        self._config = configured(settings, rules, exits, law=law)
        self._schedule = _schedule_in(self._config)
        self._set_rules(dict(rules))
        self._handlers: dict[type, Callable[[Any], list[Instruction]]] = {
            Configured: self._configured,
            Restarted: self._restarted,
            MinuteStarted: self._minute_started,
            BookSeen: self._book_seen,
            OrderWanted: self._order_wanted,
            CancelWanted: self._cancel_wanted,
            Beat: self._beat,
            PricesSeen: self._prices_seen,
            HoldingsSeen: self._holdings_seen,
            BalancesAgreed: self._balances_agreed,
            Reconcile: self._reconcile,
            Placed: self._placed,
            PlaceRefused: self._place_refused,
            NotSent: self._not_sent,
            OutcomeUnclear: self._outcome_unclear,
            Queried: self._queried,
            QueryFailed: self._nothing,
            CancelDone: self._cancel_done,
            CancelFailed: self._cancel_failed,
            FillSeen: self._fill_seen,
            SnapshotSeen: self._snapshot_seen,
            OpenSeen: self._open_seen,
            Reported: self._reported,
            Stopped: self._stopped,
            Halted: self._halted,
        }

    @property
    def version(self) -> int:
        """Rises with every change of state."""
        return self.books.version

    @property
    def config(self) -> Configured:
        """The settings and rules that hold now."""
        return self._config

    @property
    def schedule(self) -> Schedule:
        """How parents that begin now are worked."""
        return self._schedule

    @property
    def faults(self) -> tuple[str, ...]:
        """Contradictions between the venue and us, oldest first."""
        return tuple(self.books.faults)

    def looking(self) -> tuple[Instrument, ...]:
        """Markets whose books adaptive parents look at now."""
        return tuple(i for i, parent in self.books.current.items() if parent.schedule.kind == ADAPTIVE)

    def owns(self, name: str) -> bool:
        """Whether a client id is one of this instance's."""
        return is_ours(name, self.instance)

    def must_end(self, name: str) -> bool:
        """Whether an open order of this name may not be left behind when we stop: ours, and no stop of a position."""
        order = self.books.orders.get(name)
        return self.owns(name) and not (order is not None and order.protects and order.standing)

    def handle(self, stimulus: Stimulus) -> list[Instruction]:
        """Take in one stimulus; the answer is what must be done about it, in this order."""
        return self._handlers[type(stimulus)](stimulus)

    def report(self, minute: int, trace: str) -> Reports:
        """What happened since the last ``Reported`` stimulus; handle one after handing this out."""
        return self.books.report(minute, trace)

    def unsettled(self) -> tuple[Order, ...]:
        """Orders whose end, or whose fills, are not known."""
        return tuple(self.books.watch.values())

    def validate(self) -> None:
        """Check every invariant. Raises ``Defect``. For tests and for health checks."""
        self.books.validate()
        for key, order in self.books.orders.items():
            if not self.owns(key):
                raise Defect(f"{key} is not an order of instance {self.instance!r}")
            if order.state is OrderState.PLANNED:
                raise Defect(f"{key} is planned, yet neither sent nor dropped")

    # --- settings and life -------------------------------------------------------------------------------------

    def _configured(self, stimulus: Configured) -> list[Instruction]:
        self._config, self._schedule = stimulus, _schedule_in(stimulus)
        self._set_rules({rule.instrument: rule for rule in stimulus.rules})
        self.exits.rules = stimulus.exits
        self.stops.venues, self.stops.pairs = frozenset(stimulus.stops_at), frozenset(stimulus.pairs_at)
        self.books.version += 1
        return []

    def _set_rules(self, rules: dict[Instrument, MarketRules]) -> None:
        _codes_differ(rules)
        self._rules = rules
        self.books.trips.rules = self.books.positions.rules = rules

    def _restarted(self, stimulus: Restarted) -> list[Instruction]:
        self.stopped = False
        self.books.version += 1
        return self._ask_all(stimulus.now_ms)

    def _stopped(self, stimulus: Stopped) -> list[Instruction]:
        if not self.stopped:
            self.stopped = True
            self.books.version += 1
        out: list[Instruction] = []
        for parent in list(self.books.current.values()):
            out += self._close(parent, "the executor was stopped")
        asked = {i.client_id for i in out}
        for order in list(self.books.watch.values()):
            if order.client_id not in asked:
                out += self._chase(order) or [self._ask(order, stimulus.now_ms)]
        # The last chance to hear of those that were given up.
        out += [self._ask(order, stimulus.now_ms) for order in self._doubted(stimulus.now_ms)]
        return out

    def _halted(self, _: Halted) -> list[Instruction]:
        """Risk approves no purchase from the next minute on; the slices of this one would still have been bought."""
        out: list[Instruction] = []
        for parent in list(self.books.current.values()):
            if parent.side is Side.BUY:
                out += self._close(parent, "trading was halted")
        for order in list(self.books.watch.values()):
            if order.standing and order.placed.side is Side.BUY:
                order.standing = False
                self.books.version += 1
                out += self._chase(order)
        return out

    def _reported(self, _: Reported) -> list[Instruction]:
        self.books.forget_reported()
        return []

    def _nothing(self, _: QueryFailed) -> list[Instruction]:
        return []

    # --- the schedule ------------------------------------------------------------------------------------------

    def _minute_started(self, stimulus: MinuteStarted) -> list[Instruction]:
        self._check(stimulus)
        if stimulus.minute < self.minute:
            return []
        out: list[Instruction] = []
        if stimulus.minute > self.minute:
            self.minute = stimulus.minute
            self.books.version += 1
            for parent in list(self.books.current.values()):
                out += self._close(parent, "a newer minute took over")
            self.books.prune(stimulus.minute)
            self.books.note_dust()
        seen = {conditions.instrument: conditions for conditions in stimulus.conditions}
        # Sells first: what they bring in may pay for the buys.
        for approved in sorted(stimulus.approved, key=lambda a: a.side is Side.BUY):
            if (stimulus.minute, approved.instrument) not in self.books.parents:
                out += self._start(approved, seen.get(approved.instrument), stimulus.now_ms)
        return out

    def _check(self, stimulus: MinuteStarted) -> None:
        seen: set[Instrument] = set()
        for approved in stimulus.approved:
            name = f"intent {approved.intent_id} for {approved.instrument}"
            if approved.minute != stimulus.minute:
                raise Defect(f"{name} belongs to minute {approved.minute}, not to {stimulus.minute}")
            if approved.instrument not in self._rules:
                raise Defect(
                    f"{name}: the executor has no market rules for it; it knows {', '.join(map(str, self._rules))}"
                )
            if approved.instrument in seen:
                raise Defect(f"{name}: a second intent for one instrument in one minute")
            if (
                approved.quantity <= 0
                or approved.quantity % self._rules[approved.instrument].step
                or approved.limit_price <= 0
            ):
                raise Defect(
                    f"{name}: {approved.quantity} at {approved.limit_price} is not a positive amount on the lot grid"
                )
            seen.add(approved.instrument)

    def _start(self, approved: Approved, seen: Conditions | None, now_ms: int) -> list[Instruction]:
        parent = Parent(
            intent_id=approved.intent_id,
            minute=approved.minute,
            instrument=approved.instrument,
            side=approved.side,
            quantity=approved.quantity,
            limit_price=approved.limit_price,
            schedule=self._schedule,
            stage=stage_of(self.books, approved, seen, self._schedule, self._rules[approved.instrument]),
            unsent=approved.quantity,
            seed=jitter_seed(self.instance, approved.instrument),
            seen=seen,
            arrival=approved.reference_price,
            edge_bps=approved.edge_bps,
        )
        if seen is not None:
            parent.bid, parent.ask, parent.book_ms = seen.bid, seen.ask, now_ms
        self.books.open_parent(parent)
        if self.stopped:
            return self._close(parent, "the executor is stopped")
        if exit_name := self.exits.at_work(approved.instrument):
            return self._close(parent, f"a {exit_name} is selling the position")
        if now_ms >= parent.start_ms + MINUTE_MS:
            return self._close(parent, f"came {now_ms - parent.start_ms} ms after its minute closed")
        return self._slice(parent, now_ms)

    def _slice(self, parent: Parent, now_ms: int) -> list[Instruction]:
        if parent.side is Side.SELL and (stop := self.stops.standing(parent.instrument)) is not None:
            # It binds the coins. The slot stays open: it is used when the venue has said that the stop is off.
            return self._take_off(stop)
        if parent.schedule.kind == ADAPTIVE:
            return self._look(parent, now_ms)
        slot = slot_at(parent, now_ms)
        if slot <= parent.slot:
            return []
        if slot >= parent.schedule.slices:
            return self._close(parent, "the schedule is over")
        parent.slot = slot
        self.books.version += 1
        blocker = self.books.older_live(parent)
        if blocker is not None:
            if slot == parent.schedule.slices - 1:
                return self._close(parent, f"{blocker.client_id} is not settled ({blocker.state.value})")
            return []
        part = part_of(parent, slot, self._rules[parent.instrument])
        if part is None:
            if parent.open:
                return []
            return self._close(parent, f"{parent.unsent} is below the venue's smallest order")
        if not part:
            if slot == parent.schedule.slices - 1 and not parent.orders:
                return self._close(parent, "its share of this minute is below the venue's smallest order")
            self._finish(parent)
            return []
        return self._send(parent, self._place(parent, part, slot))

    def _look(self, parent: Parent, now_ms: int) -> list[Instruction]:
        """Let an adaptive parent look at the book: what rests and should not, is cancelled first; what is due is sent
        when nothing of it is out any more, here or on the answer to the cancel."""
        parent.looked_ms = now_ms
        self.books.version += 1
        out = [order for order in parent.orders if order.live]
        if self.books.older_live(parent) is not None or any(
            order.state not in (*RESTING, OrderState.CANCELLING) for order in out
        ):
            return []
        move = move_of(parent, self._rules[parent.instrument], now_ms)
        if move is None:
            return []
        resting = [order for order in out if not stands_well(parent, order.placed.price, move)]
        if resting:
            for order in resting:
                self.books.move(order, OrderEvent.ASK_CANCEL)
            return [CancelOrder(client_id=o.client_id, instrument=parent.instrument) for o in resting]
        if out:
            return []
        sent: list[Instruction] = []
        limit, free = parent.limit_price, parent.unsent
        for quantity, price, how in ((move.cross, limit, TimeInForce.IOC), (move.rest, move.price, TimeInForce.GTC)):
            if quantity and quantity <= free and not parent.closed and parent.slot < MOST_SENDS:
                free -= quantity
                parent.slot += 1
                placed = self._place(parent, quantity, parent.slot, price, how)
                # What is to rest must not take: a market that came to its price first is looked at again.
                sent += self._send(parent, replace(placed, post_only=how is TimeInForce.GTC))
        if not sent and (is_last_look(parent, now_ms) or not move.rest):
            return self._close(parent, f"{parent.unsent} is below the venue's smallest order, or was not due yet")
        return sent

    def _send(self, parent: Parent, placed: PlaceOrder) -> list[Instruction]:
        if placed.client_id in self.books.orders:
            # An earlier life sent it, and its journal is gone.
            return self._close(parent, "sent before")
        order = self.books.add_order(placed, parent.minute, parent)
        self.books.move(order, OrderEvent.SEND)
        return [order.placed]

    def _place(
        self,
        parent: Parent,
        quantity: Decimal,
        slot: int,
        price: Decimal | None = None,
        how: TimeInForce = TimeInForce.IOC,
    ) -> PlaceOrder:
        return PlaceOrder(
            client_id=client_id(self.instance, self.strategy, parent.minute, parent.instrument.symbol, slot),
            intent_id=parent.intent_id,
            instrument=parent.instrument,
            side=parent.side,
            quantity=quantity,
            price=parent.limit_price if price is None else price,
            time_in_force=how,
        )

    def _close(self, parent: Parent, reason: str) -> list[Instruction]:
        """End a parent; one that never sent anything leaves a dropped order, so that the record shows why."""
        if not parent.orders:
            order = self.books.add_order(
                self._place(parent, parent.quantity, max(parent.slot, 0)), parent.minute, parent
            )
            self.books.move(order, OrderEvent.DROP, f"never sent: {reason}")
        self.books.close_parent(parent)
        return self._chase_all(parent.orders)

    def _finish(self, parent: Parent | None) -> None:
        """Close a parent with nothing open, once nothing is left to send or no slot is left to send it in."""
        if parent is None or parent.closed or parent.open:
            return
        over = parent.schedule.kind != ADAPTIVE and parent.slot == parent.schedule.slices - 1
        if not parent.unsent or over:
            self.books.close_parent(parent)

    # --- orders wanted by themselves -----------------------------------------------------------------------------

    def _book_seen(self, stimulus: BookSeen) -> list[Instruction]:
        parent, top = self.books.current.get(stimulus.instrument), stimulus.top
        if parent is not None and parent.schedule.kind == ADAPTIVE:
            see(parent, top)
            self.books.version += 1
        return []

    def _order_wanted(self, stimulus: OrderWanted) -> list[Instruction]:
        placed = stimulus.order
        if placed.client_id in self.books.orders:
            return []
        rules = self._rules.get(placed.instrument)
        if not self.owns(placed.client_id) or rules is None:
            raise Defect(f"{placed.client_id} for {placed.instrument} is not an order of instance {self.instance!r}")
        if placed.quantity <= 0 or placed.quantity % rules.step or placed.price <= 0:
            raise Defect(
                f"{placed.client_id}: {placed.quantity} at {placed.price} is not a positive amount on the lot grid"
            )
        order = self.books.add_order(placed, stimulus.minute, None, standing=True)
        if self.stopped:
            self.books.move(order, OrderEvent.DROP, "never sent: the executor is stopped")
            return []
        self.books.move(order, OrderEvent.SEND)
        return [placed]

    def _cancel_wanted(self, stimulus: CancelWanted) -> list[Instruction]:
        order = self.books.orders.get(stimulus.client_id)
        if order is None or not order.standing:
            return []
        order.standing = False
        self.books.version += 1
        return self._chase(order)

    # --- time --------------------------------------------------------------------------------------------------

    def _beat(self, stimulus: Beat) -> list[Instruction]:
        latest = stimulus.now_ms - self._config.requery_ms
        due = [order for order in self.books.watch.values() if order.asked_ms <= latest and not _stands(order)]
        out: list[Instruction] = [self._ask(order, stimulus.now_ms) for order in due]
        for parent in list(self.books.current.values()):
            out += self._slice(parent, stimulus.now_ms)
        return out

    def _prices_seen(self, stimulus: PricesSeen) -> list[Instruction]:
        if self.stopped:
            return []
        out: list[Instruction] = []
        for instrument in self.exits.see(stimulus.mids, stimulus.now_ms):
            parent = self.books.current.get(instrument)
            if parent is not None:
                out += self._close(parent, f"a {self.exits.at_work(instrument)} took over")
        for instrument, _ in stimulus.mids:
            out += self._take_off(self.stops.too_long(instrument, stimulus.now_ms))
            out += self._take_off(self.stops.outdated(instrument, self.exits.rules))
        out += self.exits.orders(stimulus.mids, stimulus.now_ms, self.minute)
        for instrument, mid in stimulus.mids:
            stop = self.stops.missing(instrument, mid, stimulus.now_ms, self.minute, self.exits.rules)
            out += [stop] if stop is not None else []
        return out

    def _take_off(self, stop: Order | None) -> list[Instruction]:
        """Cancel a stop that was left at the venue."""
        if stop is None:
            return []
        for order in self.stops.pair_of(stop):
            if order.standing:
                order.standing = False
                self.books.version += 1
        return self._chase(stop) if stop.state is not OrderState.CANCELLING else []

    def _holdings_seen(self, stimulus: HoldingsSeen) -> list[Instruction]:
        for instrument, total in stimulus.totals:
            if self.books.positions.shrink(instrument, total):
                self.books.version += 1
        return []

    def _balances_agreed(self, stimulus: BalancesAgreed) -> list[Instruction]:
        self.books.agree({(venue, asset): total for venue, asset, total in stimulus.totals})
        return []

    def _reconcile(self, stimulus: Reconcile) -> list[Instruction]:
        return self._ask_all(stimulus.now_ms)

    def _ask_all(self, now_ms: int) -> list[Instruction]:
        return [self._ask(order, now_ms) for order in (*self.books.watch.values(), *self._doubted(now_ms))]

    def _doubted(self, now_ms: int) -> list[Order]:
        """Orders given up not long ago, of which nothing was heard since."""
        doubted = self.books.doubted
        for order in list(doubted.values()):
            if order.state is not OrderState.REJECTED or now_ms - order.absent_ms > DOUBT_MS:
                del doubted[order.client_id]
                self.books.version += 1
        return list(doubted.values())

    def _ask(self, order: Order, now_ms: int) -> QueryOrder:
        if order.state is OrderState.SENT:
            # Stimuli come one by one, so an order still "sent" when time passes has lost its answer.
            self.books.move(order, OrderEvent.LOSE, "its answer never came")
        order.asked_ms = now_ms
        self.books.version += 1
        return _query(order)

    # --- what the venue says -----------------------------------------------------------------------------------

    def _placed(self, stimulus: Placed) -> list[Instruction]:
        order = self._intake.order_of(stimulus.snapshot, self.minute)
        if order is None:
            return []
        self._take(order, stimulus.snapshot)
        if order.short:
            return [_query(order)]
        # Of a pair the venue's answer is about the stop.
        return [*map(_query, self.stops.unheard(order)), *self._chase(order)]

    def _place_refused(self, stimulus: PlaceRefused) -> list[Instruction]:
        order = self._sent(stimulus.client_id, "a refusal")
        reason = f"refused {stimulus.code}: {stimulus.text}".replace(" :", ":")
        if order is None:
            return []
        if "duplicate" in stimulus.text.lower():
            # The venue has an order of this name: the one we sent. It must be asked about, not written off.
            lost = (order, *self.stops.unheard(order))
            for one in lost:
                self._intake.say(one, OrderEvent.LOSE, reason)
            return [_query(one) for one in lost]
        if order.placed.post_only and stimulus.would_take:
            # An ordinary event: its parent looks again and prices it anew.
            self._intake.say(order, OrderEvent.EXPIRE, reason)
            return []
        for one in (order, *self.stops.unheard(order)):
            self._intake.say(one, OrderEvent.REFUSE, reason)
        self.stops.turned_down(order)
        if order.parent is not None and not order.parent.closed:
            # The same request would be refused again; the next minute decides anew.
            return self._close(order.parent, reason)
        return []

    def _not_sent(self, stimulus: NotSent) -> list[Instruction]:
        order = self._sent(stimulus.client_id, "a failure to send")
        if order is not None:
            for one in (order, *self.stops.unheard(order)):
                self._intake.say(one, OrderEvent.DROP, f"not sent: {stimulus.text}")
            self._finish(order.parent)
        return []

    def _outcome_unclear(self, stimulus: OutcomeUnclear) -> list[Instruction]:
        order = self._sent(stimulus.client_id, "an unclear outcome")
        if order is None:
            return []
        lost = (order, *self.stops.unheard(order))
        for one in lost:
            self._intake.say(one, OrderEvent.LOSE, f"outcome unclear: {stimulus.text}")
        return [self._ask(one, stimulus.now_ms) for one in lost]

    def _queried(self, stimulus: Queried) -> list[Instruction]:
        if stimulus.snapshot is not None:
            order = self._intake.order_of(stimulus.snapshot, self.minute)
            if order is None:
                return []
            self._take(order, stimulus.snapshot)
            return self._chase(order)
        order = self.books.orders.get(stimulus.client_id)
        if order is None:
            return []
        if order.state is OrderState.SENT:
            self._intake.say(order, OrderEvent.LOSE, "the venue does not show it yet")
        if order.state is OrderState.UNKNOWN:
            self._absent(order, stimulus.now_ms)
        elif (order.live or order.short) and self._denied_twice(order, stimulus.now_ms):
            self.books.fault(
                f"{order.client_id}: the venue denies an order that it had confirmed ({order.state.value})"
            )
        return []

    def _denied_twice(self, order: Order, now_ms: int) -> bool:
        """Note a denial; True when an earlier one lies ``requery_ms`` back. A venue's questions lag behind its engine."""
        if order.absences == 0:
            order.absences, order.absent_ms = 1, now_ms
            self.books.version += 1
            return False
        return now_ms - order.absent_ms >= self._config.requery_ms

    def _absent(self, order: Order, now_ms: int) -> None:
        if self._denied_twice(order, now_ms):
            order.absences += 1
            order.absent_ms = now_ms
            self._intake.say(order, OrderEvent.ABSENT, f"not placed: the venue denied it {order.absences} times")
            self.books.doubted[order.client_id] = order
            self._finish(order.parent)

    def _cancel_done(self, stimulus: CancelDone) -> list[Instruction]:
        order = self._intake.order_of(stimulus.snapshot, self.minute)
        if order is None:
            return []
        self._take(order, stimulus.snapshot)
        if order.protects and not order.live and not self.stopped:
            waiting = self.books.current.get(order.placed.instrument)
            if waiting is None or waiting.side is Side.BUY or waiting.orders:
                return []
            return self._slice(waiting, max(waiting.start_ms, waiting.looked_ms))
        parent = order.parent
        if parent is None or parent.closed or order.live or self.stopped or parent.schedule.kind != ADAPTIVE:
            return []
        # An adaptive parent took it back to do something else with it.
        return self._look(parent, parent.looked_ms)

    def _cancel_failed(self, stimulus: CancelFailed) -> list[Instruction]:
        order = self.books.orders.get(stimulus.client_id)
        if order is not None and order.live:
            order.asked_ms = 0
            order.reason = f"cancel failed: {stimulus.text}"
            self.books.touch(order)
        return []

    def _fill_seen(self, stimulus: FillSeen) -> list[Instruction]:
        order, adopted = self._intake.order_of_fill(stimulus.fill, self.minute)
        if order is None:
            return []
        if self._intake.count(order, stimulus.fill):
            self._finish(order.parent)
        return [_query(order)] if adopted else []

    def _snapshot_seen(self, stimulus: SnapshotSeen) -> list[Instruction]:
        order = self._intake.order_of(stimulus.snapshot, self.minute)
        if order is None:
            return []
        self._take(order, stimulus.snapshot)
        return self._chase(order)

    def _open_seen(self, stimulus: OpenSeen) -> list[Instruction]:
        out: list[Instruction] = []
        for snapshot in stimulus.snapshots:
            stranger = snapshot.client_id not in self.books.orders
            order = self._intake.order_of(snapshot, self.minute)
            if order is None:
                continue
            self._take(order, snapshot)
            if stranger or order.state is not OrderState.CANCELLING:
                out += self._chase(order)
        return out

    # --- shared ------------------------------------------------------------------------------------------------

    def _sent(self, name: str, what: str) -> Order | None:
        order = self.books.orders.get(name)
        if order is None:
            self.books.fault(f"{what} for {name}, which is not in the books")
        return order

    def _take(self, order: Order, snapshot: OrderSnapshot) -> None:
        if order.absences:
            order.absences = 0
            self.books.version += 1
        self._intake.take(order, snapshot)
        self._finish(order.parent)

    def _chase_all(self, orders: Iterable[Order]) -> list[Instruction]:
        return [instruction for order in orders for instruction in self._chase(order)]

    def _chase(self, order: Order) -> list[Instruction]:
        """Cancel an order that stands although its intent has ended."""
        if order.state not in (OrderState.OPEN, OrderState.PARTIAL, OrderState.CANCELLING):
            return []
        parent = order.parent
        wanted = order.standing or (parent is not None and not parent.closed and not parent.over)
        # A stop stays at the venue when we go: that is what it is for.
        if wanted and (not self.stopped or order.protects):
            return []
        self.books.move(order, OrderEvent.ASK_CANCEL)
        return [CancelOrder(client_id=order.client_id, instrument=order.placed.instrument)]


def configured(
    settings: ExecutionSettings,
    rules: dict[Instrument, MarketRules],
    exits: ExitRules = NO_EXITS,
    stops_at: Iterable[str] = (),
    pairs_at: Iterable[str] = (),
    law: ImpactLaw = PRIOR,
) -> Configured:
    """The stimulus that puts these settings and rules in force."""
    schedule = schedule_of(settings, law)
    return Configured(
        slices=schedule.slices,
        slice_ms=schedule.slice_ms,
        schedule=schedule,
        requery_ms=int(settings.unknown_requery_s * 1_000),
        rules=tuple(rules[instrument] for instrument in sorted(rules)),
        exits=exits,
        stops_at=tuple(sorted(stops_at)),
        pairs_at=tuple(sorted(pairs_at)),
    )


def _schedule_in(config: Configured) -> Schedule:
    return config.schedule or Schedule(EVEN, config.slices, config.slice_ms)


def _query(order: Order) -> QueryOrder:
    return QueryOrder(client_id=order.client_id, instrument=order.placed.instrument)


def _stands(order: Order) -> bool:
    """Known to rest as wanted: the stream and the next reconciliation tell of it, no beat need ask."""
    return order.standing and not order.short and order.state in (OrderState.OPEN, OrderState.PARTIAL)


def _codes_differ(rules: Iterable[Instrument]) -> None:
    owners: dict[str, Instrument] = {}
    for instrument in rules:
        other = owners.setdefault(symbol_code(instrument.symbol), instrument)
        if other != instrument:
            raise Defect(
                f"{other} and {instrument} would share client ids; one machine serves one venue and distinct symbols"
            )
