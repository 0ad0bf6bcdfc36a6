"""The executor as a pure state machine: stimuli in, instructions out. It does no IO and reads no clock.

Rules of this file. (1) An order is sent at most once: its name is in the books before the instruction exists, and a
name in the books is never sent again. (2) A quantity whose outcome is unknown is held back until the venue has said
what became of it, or has said twice, ``requery_ms`` apart, that it knows nothing of it. (3) While an older order of an
instrument may still fill, a newer intent for it waits. (4) What the venue says that cannot be, is noted as a fault and
blocks nothing; what we ask for that cannot be, is a ``Defect``, raised before anything has changed. (5) The chain of
answers to one stimulus ends: place -> query -> cancel, and nothing follows an answer to a cancel but what an adaptive
parent took the order back for, which is not looked at again until time passes, the other order of a pair, and the sale that
waited for a stop to be off.

Above 400 lines because every stimulus has its small handler here. What is due of an intent is in ``parents.py``, what
protects a position in ``exits.py`` and ``stops.py``, how an unknown outcome is settled in ``settling.py``, the reading of
what a venue says in ``intake.py``, the sums in ``books.py``.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from core.errors import Defect
from core.execution.books import Books, Order
from core.execution.exits import Exits
from core.execution.intake import Intake
from core.execution.parents import Parents
from core.execution.schedules.rule import EVEN, Schedule, schedule_of
from core.execution.settling import Settling, query_of
from core.execution.stimuli import (
    BalancesAgreed,
    Beat,
    BookSeen,
    CancelDone,
    CancelFailed,
    CancelWanted,
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
from core.messages import OrderSnapshot, OrderState, PlaceOrder, Reports, Top
from core.orders import OrderEvent, client_id, is_ours, symbol_code
from core.params import ExecutionSettings
from core.protection import NO_EXITS, ExitRules
from core.reasons import Reason, refused_words
from core.units import Instrument, MarketRules, Side

RETAIN_MINUTES = 2 * 1_440
"""Orders are kept in detail for two days: longer than any late news, long enough to compare a replayed day."""


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
        self.exits = Exits(self.books, instance)
        self.stops = Stops(self.books, instance)
        self.exits.rules = exits
        self._config = configured(settings, rules, exits, law=law)
        self._settling = Settling(self.books, self._intake, self._config.requery_ms)
        self._parents = Parents(
            self.books, self._settling, self.exits, self.stops, _schedule_in(self._config), instance, strategy
        )
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
        return self._parents.schedule

    @property
    def stopped(self) -> bool:
        """Nothing new is sent any more."""
        return self._settling.stopped

    @property
    def faults(self) -> tuple[str, ...]:
        """Contradictions between the venue and us, oldest first."""
        return tuple(self.books.faults)

    def looking(self) -> tuple[Instrument, ...]:
        """Markets whose books adaptive parents look at now."""
        return self._parents.looking()

    def wanting_depth(self, tops: Mapping[Instrument, Top]) -> dict[Instrument, Side]:
        """Of those, which have more to do than the touch gives, and on which side."""
        return self._parents.wanting_depth(tops)

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

    def overtaken(self, placed: PlaceOrder) -> bool:
        """Whether nobody wants a purchase any more that was decided and has not left: an exit, or an end, came between."""
        order = self.books.orders.get(placed.client_id)
        parent = order.parent if order is not None else None
        return placed.side is Side.BUY and parent is not None and parent.closed

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
        self._config, self._parents.schedule = stimulus, _schedule_in(stimulus)
        self._settling.requery_ms = stimulus.requery_ms
        self._set_rules({rule.instrument: rule for rule in stimulus.rules})
        self.exits.rules = stimulus.exits
        self.stops.venues, self.stops.pairs = frozenset(stimulus.stops_at), frozenset(stimulus.pairs_at)
        self.books.version += 1
        return []

    def _set_rules(self, rules: dict[Instrument, MarketRules]) -> None:
        _codes_differ(rules)
        self._parents.rules = self.books.trips.rules = self.books.positions.rules = rules

    def _restarted(self, stimulus: Restarted) -> list[Instruction]:
        self._settling.stopped = False
        self.books.version += 1
        return self._settling.ask_all(stimulus.now_ms)

    def _stopped(self, stimulus: Stopped) -> list[Instruction]:
        if not self.stopped:
            self._settling.stopped = True
            self.books.version += 1
        out = self._parents.close_all(Reason("executor_was_stopped"))
        return out + self._settling.end_all(stimulus.now_ms, {i.client_id for i in out}.union(stimulus.awaited))

    def _halted(self, _: Halted) -> list[Instruction]:
        """Risk approves no purchase from the next minute on; the slices of this one would still have been bought."""
        out = self._parents.close_all(Reason("trading_halted"), Side.BUY)
        for order in list(self.books.watch.values()):
            if order.standing and order.placed.side is Side.BUY:
                out += self._want_no_more(order)
        return out

    def _reported(self, _: Reported) -> list[Instruction]:
        self.books.forget_reported()
        return []

    def _nothing(self, _: QueryFailed) -> list[Instruction]:
        return []

    # --- what is wanted ----------------------------------------------------------------------------------------

    def _minute_started(self, stimulus: MinuteStarted) -> list[Instruction]:
        self._parents.check(stimulus)
        if stimulus.minute < self.minute:
            return []
        out: list[Instruction] = []
        if stimulus.minute > self.minute:
            self.minute = stimulus.minute
            self.books.version += 1
            out += self._parents.close_all(Reason("newer_minute"))
            self.books.prune(stimulus.minute)
            self.books.note_dust()
        return out + self._parents.begin(stimulus)

    def _book_seen(self, stimulus: BookSeen) -> list[Instruction]:
        self._parents.see(stimulus)
        return []

    def _order_wanted(self, stimulus: OrderWanted) -> list[Instruction]:
        placed = stimulus.order
        if placed.client_id in self.books.orders:
            return []
        rules = self._parents.rules.get(placed.instrument)
        if not self.owns(placed.client_id) or rules is None:
            raise Defect(f"{placed.client_id} for {placed.instrument} is not an order of instance {self.instance!r}")
        if placed.quantity <= 0 or placed.quantity % rules.step or placed.price <= 0:
            raise Defect(
                f"{placed.client_id}: {placed.quantity} at {placed.price} is not a positive amount on the lot grid"
            )
        order = self.books.add_order(placed, stimulus.minute, None, standing=True)
        if self.stopped:
            self.books.move(order, OrderEvent.DROP, Reason("never_sent", why=Reason("executor_is_stopped")))
            return []
        self.books.move(order, OrderEvent.SEND)
        return [placed]

    def _cancel_wanted(self, stimulus: CancelWanted) -> list[Instruction]:
        order = self.books.orders.get(stimulus.client_id)
        return self._want_no_more(order) if order is not None and order.standing else []

    def _want_no_more(self, order: Order) -> list[Instruction]:
        order.standing = False
        self.books.version += 1
        return self._settling.chase(order)

    # --- time --------------------------------------------------------------------------------------------------

    def _beat(self, stimulus: Beat) -> list[Instruction]:
        return self._settling.ask_due(stimulus.now_ms, stimulus.awaited) + self._parents.advance_all(stimulus.now_ms)

    def _prices_seen(self, stimulus: PricesSeen) -> list[Instruction]:
        if self.stopped:
            return []
        out: list[Instruction] = []
        for instrument in self.exits.see(stimulus.mids, stimulus.now_ms):
            parent = self.books.current.get(instrument)
            if parent is not None:
                out += self._parents.close(parent, Reason("exit_took_over", exit=self.exits.at_work(instrument)))
        for instrument, _ in stimulus.mids:
            out += self.stops.clear(instrument, stimulus.now_ms, self.exits.rules, self._settling)
        out += self.exits.orders(stimulus.mids, stimulus.now_ms, self.minute)
        for instrument, mid in stimulus.mids:
            stop = self.stops.missing(instrument, mid, stimulus.now_ms, self.minute, self.exits.rules)
            out += [stop] if stop is not None else []
        return out

    def _holdings_seen(self, stimulus: HoldingsSeen) -> list[Instruction]:
        for instrument, total in stimulus.totals:
            if self.books.positions.shrink(instrument, total):
                self.books.version += 1
        return []

    def _balances_agreed(self, stimulus: BalancesAgreed) -> list[Instruction]:
        self.books.agree({(venue, asset): total for venue, asset, total in stimulus.totals})
        return []

    def _reconcile(self, stimulus: Reconcile) -> list[Instruction]:
        return self._settling.ask_all(stimulus.now_ms, stimulus.awaited)

    # --- what the venue says -----------------------------------------------------------------------------------

    def _placed(self, stimulus: Placed) -> list[Instruction]:
        order = self._intake.order_of(stimulus.snapshot, self.minute)
        if order is None:
            return []
        self._take(order, stimulus.snapshot)
        if order.short:
            return [query_of(order)]
        # Of a pair the venue's answer is about the stop.
        return [*map(query_of, self.stops.unheard(order)), *self._settling.chase(order)]

    def _place_refused(self, stimulus: PlaceRefused) -> list[Instruction]:
        order = self._sent(stimulus.client_id, "a refusal")
        reason = refused_words(stimulus.code, stimulus.text.replace(" :", ":"))
        if order is None:
            return []
        if "duplicate" in stimulus.text.lower():
            # The venue has an order of this name: the one we sent. It must be asked about, not written off.
            lost = (order, *self.stops.unheard(order))
            for one in lost:
                self._intake.say(one, OrderEvent.LOSE, reason)
            return [query_of(one) for one in lost]
        if order.placed.post_only and stimulus.would_take:
            # An ordinary event: its parent looks again and prices it anew.
            self._intake.say(order, OrderEvent.EXPIRE, reason)
            return []
        for one in (order, *self.stops.unheard(order)):
            self._intake.say(one, OrderEvent.REFUSE, reason)
        self.stops.turned_down(order)
        if order.parent is not None and not order.parent.closed:
            # The same request would be refused again; the next minute decides anew.
            return self._parents.close(order.parent, reason)
        return []

    def _not_sent(self, stimulus: NotSent) -> list[Instruction]:
        order = self._sent(stimulus.client_id, "a failure to send")
        if order is not None:
            for one in (order, *self.stops.unheard(order)):
                self._intake.say(one, OrderEvent.DROP, Reason("not_sent", why=stimulus.text))
            self._parents.finish(order.parent)
        return []

    def _outcome_unclear(self, stimulus: OutcomeUnclear) -> list[Instruction]:
        order = self._sent(stimulus.client_id, "an unclear outcome")
        if order is None:
            return []
        lost = (order, *self.stops.unheard(order))
        for one in lost:
            self._intake.say(one, OrderEvent.LOSE, f"outcome unclear: {stimulus.text}")
        return [self._settling.ask(one, stimulus.now_ms) for one in lost]

    def _queried(self, stimulus: Queried) -> list[Instruction]:
        if stimulus.snapshot is not None:
            order = self._intake.order_of(stimulus.snapshot, self.minute)
            if order is None:
                return []
            self._take(order, stimulus.snapshot)
            return self._settling.chase(order)
        order = self.books.orders.get(stimulus.client_id)
        if order is None:
            return []
        if self._settling.denied(order, stimulus.now_ms):
            self._parents.finish(order.parent)
        return []

    def _cancel_done(self, stimulus: CancelDone) -> list[Instruction]:
        order = self._intake.order_of(stimulus.snapshot, self.minute)
        if order is None:
            return []
        self._take(order, stimulus.snapshot)
        return self._parents.released(order)

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
            self._parents.finish(order.parent)
        return [query_of(order)] if adopted else []

    def _snapshot_seen(self, stimulus: SnapshotSeen) -> list[Instruction]:
        order = self._intake.order_of(stimulus.snapshot, self.minute)
        if order is None:
            return []
        self._take(order, stimulus.snapshot)
        return self._settling.chase(order)

    def _open_seen(self, stimulus: OpenSeen) -> list[Instruction]:
        out: list[Instruction] = []
        for snapshot in stimulus.snapshots:
            stranger = snapshot.client_id not in self.books.orders
            order = self._intake.order_of(snapshot, self.minute)
            if order is None:
                continue
            self._take(order, snapshot)
            if stranger or order.state is not OrderState.CANCELLING:
                out += self._settling.chase(order)
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
        self._parents.finish(order.parent)


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


def _codes_differ(rules: Iterable[Instrument]) -> None:
    owners: dict[str, Instrument] = {}
    for instrument in rules:
        other = owners.setdefault(symbol_code(instrument.symbol), instrument)
        if other != instrument:
            raise Defect(
                f"{other} and {instrument} would share client ids; one machine serves one venue and distinct symbols"
            )
