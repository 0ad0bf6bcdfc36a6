"""The executor live: the machine of the backtest, with awaited calls, a journal on disk and a real venue.

Above 400 lines because every call that holds the one lock stands here; what each decides is the machine's.
"""

import asyncio
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from time import monotonic, perf_counter
from typing import Any

from actors.courses import Courses
from core.errors import BotError, Defect, ExchangeUnavailable
from core.execution.conditions import Curves, book_seen, conditions_of
from core.execution.exits import Mids
from core.execution.ledger import Ledger
from core.execution.machine import ExecutionMachine, configured
from core.execution.ours import ours
from core.execution.pump import failed, lacks_fills
from core.execution.rules_watch import RulesWatch
from core.execution.schedules.rule import ADAPTIVE
from core.execution.scribe import Scribe
from core.execution.stimuli import (
    Beat,
    CancelDone,
    FillSeen,
    Halted,
    HoldingsSeen,
    Instruction,
    MinuteStarted,
    OpenSeen,
    Placed,
    PricesSeen,
    Queried,
    Reconcile,
    Reported,
    Restarted,
    SnapshotSeen,
    Stimulus,
    Stopped,
)
from core.execution.summary import summary
from core.impact import PRIOR, ImpactLaw
from core.messages import (
    AccountState,
    CancelOrder,
    Fill,
    Market,
    MinuteTick,
    OrderSnapshot,
    PlaceOrder,
    QueryOrder,
    Reports,
    ShownBook,
    Top,
    Verdicts,
)
from core.params import ExecutionSettings
from core.ports import Journal, Venue
from core.prints import LOOK_S, Crossing
from core.protection import NO_EXITS, Bounds, ExitRules
from core.standing import NOT_READ
from core.units import Instrument, MarketRules

log = logging.getLogger("executor")

STOP_ROUNDS = 3
"""How often ``stop`` looks for open orders of ours before it says what is left."""


SETTLED_S = 1.0
"""How long an account waits for the answers to exits before it is asked for: it must not hold up its minute."""
STATED_ROUNDS = 2
"""How often it is asked for, where exits were filled meanwhile."""
STOPPED_S = 30.0
"""How long a stop waits for the answers to exits; every call of a gateway ends sooner."""


class ExecutorActor:
    """Owns the orders of one instance, at one venue or behind ``exchanges.composite.Venues`` at several.

    Nothing is sent before ``start``; calls are taken one by one, but for prices: an exit that is due takes no turn, and
    waits for no answer but those to its own orders. A stimulus is taken in and written down without a pause, so
    whatever waits meanwhile finds whole books, and the journal has the order in which things were taken in. An order
    whose answer is on its way is no lost one for whoever looks meanwhile (``Beat.awaited``). Books are asked for before
    a call takes its turn. The actor must run with ``max_task_retries=0``: a call that failed may have taken effect, and
    the journal knows.
    """

    def __init__(
        self,
        settings: ExecutionSettings,
        instance: str,
        venue: Venue,
        journal: Journal,
        strategy: str = "ens",
        rules: Mapping[Instrument, MarketRules] | None = None,
        exits: ExitRules = NO_EXITS,
        stops_at: Iterable[str] = (),
        pairs_at: Iterable[str] = (),
        curves: Curves | None = None,
        leave_others: bool = False,
        law: ImpactLaw = PRIOR,
        apart: bool = False,
    ) -> None:
        """``apart``: the exits of several instruments do not wait for each other's answers, and nobody for theirs; which
        of them is answered first is chance then, so it is for clocks that nobody holds. ``leave_others``: only the coins
        that our own fills brought are told of (``core.execution.ours``); ``law``: what schedules believe of impact."""
        self._law = law
        self._apart = apart
        self._leave_others = leave_others
        self._settings = settings
        self._instance = instance
        self._strategy = strategy
        self._venue = venue
        self._journal = journal
        self._rules = dict(rules) if rules is not None else None
        self._exits = exits
        self._stops_at, self._pairs_at = tuple(stops_at), tuple(pairs_at)
        self._curves = curves
        self._lock = asyncio.Lock()
        self._reset()

    def _reset(self) -> None:
        self._machine: ExecutionMachine | None = None
        self._up = False
        """Started: exits may go to work."""
        self._scribe = Scribe(self._journal)
        self._courses = Courses(self._scribe, self._answer)
        self._ledger = Ledger()
        self._watch = RulesWatch()
        self._last_account: AccountState | None = None
        self._now_ms = 0
        self._cancels = 0
        """Sent since the account was last told."""
        self._heard: dict[Instrument, float] = {}
        """When the stream told of each book last, seconds of the monotonic clock."""
        self.blind = ""
        """Why the books of open positions could not be read at the last look; empty when they were."""
        self._fresh = False
        """The journal was empty: an earlier life without it may have sent the first minute's orders."""

    async def start(self, now_ms: int = 0) -> dict[str, Any]:
        """Replay the journal, ask the venue about every order that had not ended, cancel strangers of our name.

        Returns ``health()``. Raises ``DataError`` when the journal cannot be replayed and ``ExchangeUnavailable``
        when the venue does not answer; then nothing was sent and ``start`` may be called again.
        """
        async with self._lock:
            if self._machine is None:
                await self._take_over(now_ms)
        return await self.health()

    async def account(self, tick: MinuteTick) -> AccountState:
        """Settle every order that is not settled, then state the balances and whether they agree with our fills.

        When the venue does not answer, the last account it stated, marked as not reconciled; raises
        ``ExchangeUnavailable`` when it never stated one.
        """
        started = perf_counter()
        async with self._lock:
            self._now_ms = max(self._now_ms, tick.now_ms)
            await self._look_at_rules()
            rules = self._watch.stated(self._started.config)
            try:
                await self._look()
                account = await self._stated()
            except ExchangeUnavailable as error:
                if self._last_account is None:
                    raise
                told = replace(self._last_account, reconciled=False, difference=f"{NOT_READ}: {error}", transferred=())
            else:
                told = self._ledger.reconcile(self._started, account)
                if (adopted := self._ledger.adopted()) is not None:
                    await self._run(adopted)
                if told.reconciled:
                    await self._run(HoldingsSeen(totals=self._started.exits.totals_of(account)))
                self._last_account = told = self._started.stops.released(told)
            if self._leave_others:
                told = ours(told, self._started.books.flows, self._started.books.trips.rules)
            cancels, self._cancels = self._cancels, 0
            return replace(told, rules=rules, cancels=cancels, took_ms=_ms_since(started))

    async def execute(self, market: Market, verdicts: Verdicts) -> Reports:
        """Start this minute's schedules (slice 0 is sent now); what happened since the last call."""
        started = perf_counter()
        now_ms, approved = market.now_ms, verdicts.approved
        wanted, schedule = {one.instrument: one.side for one in approved}, self._started.schedule
        books = await self._books(tuple(wanted)) if schedule.kind == ADAPTIVE else {}
        async with self._lock:
            self._now_ms = max(self._now_ms, market.now_ms)
            seen = conditions_of(market, wanted, self._started.schedule, self._curves, books)
            await self._run(MinuteStarted(minute=verdicts.minute, now_ms=now_ms, approved=approved, conditions=seen))
            self._fresh = False
            reports = self._started.report(verdicts.minute, verdicts.trace)
            await self._run(Reported(minute=verdicts.minute))
        return replace(reports, took_ms=_ms_since(started))

    async def closing(self) -> Reports:
        """Orders since the last report, and every fill still kept: a report may have died with the minute that
        asked for it, so whoever keeps records takes from here what they lack. Settles what is not settled first."""
        async with self._lock:
            await self._look()
            machine = self._started
            fills = tuple(fill for order in machine.books.orders.values() for fill in order.fills)
            return replace(machine.report(machine.minute, "closing"), fills=fills)

    async def beat(self, now_ms: int) -> None:
        """Look after open positions, send the slices that are due at ``now_ms``; ask again about what is unknown."""
        looking = self._started.looking()
        tops = await self._look_after(now_ms, looking)
        books = await self._books(tuple(self._started.wanting_depth(tops)))
        async with self._lock:
            # What happened since the books were asked for counts: an order may have ended, or another begun.
            self._now_ms = max(self._now_ms, now_ms)
            sides = self._started.wanting_depth(tops)
            for instrument in self._started.looking():
                if instrument in looking:
                    shown = book_seen(instrument, tops.get(instrument), books.get(instrument), sides.get(instrument))
                    await self._run(shown)
            await self._run(Beat(now_ms=self._now_ms, awaited=self._courses.awaited()))

    async def watch(self, now_ms: int) -> None:
        """Look after open positions: ask the venue for their prices, sell those whose exit is due."""
        await self._look_after(now_ms)

    async def on_tops(self, tops: Mapping[Instrument, Top], now_ms: int) -> None:
        """Books have changed: sell the positions whose exit is due."""
        self._heard |= dict.fromkeys(tops, monotonic())
        if self._machine is not None:
            await self._see(now_ms, tops)

    async def on_crossings(self, crossings: Mapping[Instrument, Crossing], now_ms: int) -> None:
        """Trades have crossed levels of positions, and their books said nothing: look at the books anew, and where they
        cannot be seen, by the rule of ``core.prints``, at the trades."""
        if self._machine is None:
            return
        began = monotonic()
        wanted = [i for i in self.watched() if i in crossings]
        tops: Mapping[Instrument, Top] = {}
        try:
            tops = await asyncio.wait_for(self._venue.tops(wanted), LOOK_S) if wanted else {}
        except (BotError, TimeoutError) as error:
            self.blind = str(error) or f"no prices within {LOOK_S:g} s"
        else:
            self.blind = ""
            await self._see(now_ms, tops)
        now = monotonic()
        silent = {i: now - max(self._heard.get(i, -math.inf), began - crossings[i].silent_s) for i in wanted}
        unseen = [i for i in wanted if i not in tops and crossings[i].counts(silent[i])]
        await self._see_mids(now_ms, tuple((i, crossings[i].price) for i in unseen))

    def heard_all(self, within_s: float) -> bool:
        """Whether the stream told the book of everything that is watched so lately."""
        since = monotonic() - within_s
        return all(self._heard.get(instrument, -math.inf) > since for instrument in self.watched())

    def watched(self) -> list[Instrument]:
        """Whose price is wanted now; takes no lock."""
        return self._machine.exits.watched() if self._machine is not None else []

    def bounds(self) -> dict[Instrument, Bounds]:
        """Of what is watched, between which prices nothing is due."""
        return self._machine.exits.bounds() if self._machine is not None else {}

    async def halt(self) -> None:
        """Give up what is being bought; what is being sold goes on. Risk lets only sales through from the next minute on."""
        async with self._lock:
            if self._machine is not None:
                await self._run(Halted(now_ms=self._now_ms))

    async def on_fill(self, fill: Fill) -> None:
        """Take in a fill from the user stream."""
        await self._courses.answer_to(fill.client_id)
        async with self._lock:
            await self._run(FillSeen(fill=fill))

    async def on_snapshot(self, snapshot: OrderSnapshot) -> None:
        """Take in an order's news from the user stream."""
        await self._courses.answer_to(snapshot.client_id)
        async with self._lock:
            await self._run(SnapshotSeen(snapshot=snapshot))

    async def on_reconnect(self) -> None:
        """The user stream was away: what it missed is asked for. Raises ``ExchangeUnavailable``."""
        async with self._lock:
            await self._look()

    async def stop(self) -> dict[str, Any]:
        """Send nothing more, cancel our open orders, look until none is left.

        ``open``: client ids of ours that the venue still shows open (None: it could not be asked); ``unsettled``:
        those whose end is not known. Both empty is a clean stop. ``stops``, where there are any: stop orders
        that stay at the venue, under positions that are still held. May be called again.
        """
        async with self._lock:
            left: list[str] | None = []
            if self._machine is not None:
                await self._stop()
                left = await self._clear()
                self._scribe.flush()
            machine = self._machine
            ended = [] if machine is None else [o for o in machine.unsettled() if machine.must_end(o.client_id)]
            stops = [] if machine is None else [o for o in machine.unsettled() if not machine.must_end(o.client_id)]
            said: dict[str, Any] = {"open": left, "unsettled": [o.client_id for o in ended]}
            return said | ({"stops": [o.client_id for o in stops]} if stops else {})

    async def health(self) -> dict[str, Any]:
        """Plain facts for the supervisor and the page; takes no lock, so it answers during a slow call."""
        machine = self._machine
        return {
            "started": machine is not None,
            "stopped": machine is not None and machine.stopped,
            "minute": machine.minute if machine is not None else -1,
            "now_ms": self._now_ms,
            "busy": self._lock.locked(),
            "unsettled": [o.client_id for o in machine.unsettled()] if machine is not None else [],
            "faults": list(machine.faults) if machine is not None else [],
            "journal": self._scribe.problem or "ok",
            "reconciled": self._last_account is not None and self._last_account.reconciled,
            "protected": [str(i) for i in machine.exits.watched()] if machine is not None else [],
            "blind": self.blind,
            "difference": self._last_account.difference if self._last_account is not None else "",
        }

    def market_rules(self) -> dict[Instrument, MarketRules]:
        """What holds now; empty before ``start``."""
        return {} if self._machine is None else {rule.instrument: rule for rule in self._machine.config.rules}

    async def books(self) -> dict[str, Any]:
        """Our executed totals, see ``core.execution.summary``."""
        async with self._lock:
            return summary(self._started)

    @property
    def _started(self) -> ExecutionMachine:
        if self._machine is None:
            raise Defect("the executor was not started; call start() first")
        return self._machine

    async def _look_after(self, now_ms: int, also: Iterable[Instrument] = ()) -> Mapping[Instrument, Top]:
        """Ask for the touch of open positions and of ``also``, sell what is due; none where no venue answers."""
        wanted = sorted({*self._started.exits.watched(), *also})
        if not wanted:
            return {}
        try:
            tops = await self._venue.tops(wanted)
        except BotError as error:
            # The orders that are due at this beat must not wait for a book.
            self.blind = str(error)
            return {}
        self.blind = ""
        await self._see(now_ms, tops)
        return tops

    async def _see(self, now_ms: int, tops: Mapping[Instrument, Top]) -> None:
        await self._see_mids(now_ms, self._started.exits.mids_of(tops))

    async def _see_mids(self, now_ms: int, mids: Mids) -> None:
        """Let exits that are due go to work: at once, whatever the calls that have their turn wait for."""
        if not mids or not self._up:
            return
        self._now_ms = max(self._now_ms, now_ms)
        if not self._apart:
            await self._run(PricesSeen(now_ms=self._now_ms, mids=mids))
            return
        for one in mids:
            self._courses.beside(self._started, PricesSeen(now_ms=self._now_ms, mids=(one,)))

    async def _stated(self) -> AccountState:
        """The account, of a moment at which no exit of ours was at work, if there is one soon enough: else it is compared
        as it stands, and does not agree with the books for a minute."""
        for _ in range(STATED_ROUNDS):
            await self._courses.settled(SETTLED_S)
            flows = dict(self._started.books.flows)
            account = await self._venue.account()
            if flows == self._started.books.flows and not self._courses.awaited():
                break
        return account

    async def _stop(self) -> None:
        """Send nothing more. Exits that are out already have their answers first."""
        out = self._courses.awaited()
        await self._run(Stopped(now_ms=self._now_ms, awaited=out))
        if out:
            await self._courses.settled(STOPPED_S)
            await self._run(Stopped(now_ms=self._now_ms, awaited=self._courses.awaited()))

    async def _books(self, instruments: Sequence[Instrument]) -> Mapping[Instrument, ShownBook]:
        """More than the touch; none where no venue answers: then the law of impact says what crossing costs."""
        try:
            return await self._venue.books(instruments) if instruments else {}
        except BotError:
            return {}

    async def _take_over(self, now_ms: int) -> None:
        rules = self._rules if self._rules is not None else await self._venue.rules()
        self._reset()
        self._now_ms = now_ms
        machine = ExecutionMachine(
            self._settings, rules, self._instance, self._strategy, exits=self._exits, law=self._law
        )
        replayed = self._scribe.replay(machine)
        self._fresh = replayed == 0
        # What the machine was told before the crash is history: only what is found now is news.
        self._ledger.settle_faults(machine)
        self._machine = machine
        try:
            await self._run(configured(self._settings, rules, self._exits, self._stops_at, self._pairs_at, self._law))
            if replayed:
                self._watch.restarted()
                await self._run(Restarted(now_ms=now_ms))
            await self._sweep()
            self._up = True
        except BaseException:
            # Half a start is none: the journal holds what was done, the next start goes on from it.
            self._machine = None
            raise

    async def _look_at_rules(self) -> None:
        """Ask for the rules again where an order was refused or a market was closed; those given by argument stay."""
        config = self._started.config
        if self._rules is not None or not self._watch.due(config):
            return
        try:
            rules = await self._venue.rules()
        except BotError as error:
            # Then by the old ones, and asked again with the next minute: an account must not fail for this.
            log.warning("the venues' rules were not read again: %s", error)
            return
        if (new := self._watch.take(config, rules)) is not None:
            await self._run(new)

    async def _look(self) -> None:
        await self._run(Reconcile(now_ms=self._now_ms, awaited=self._courses.awaited()))
        await self._sweep()

    async def _sweep(self) -> None:
        await self._run(OpenSeen(snapshots=await self._venue.open_orders()))

    async def _clear(self) -> list[str] | None:
        left: list[str] | None = None
        for _ in range(STOP_ROUNDS):
            try:
                snapshots = await self._venue.open_orders()
            except BotError:
                continue
            left = [s.client_id for s in snapshots if self._started.must_end(s.client_id)]
            if not left:
                break
            await self._run(Stopped(now_ms=self._now_ms, awaited=self._courses.awaited()))
            await self._run(OpenSeen(snapshots=snapshots))
        return left

    async def _run(self, stimulus: Stimulus) -> None:
        await self._courses.run(self._started, stimulus)

    async def _answer(self, instruction: Instruction) -> Stimulus:
        try:
            return await self._call(instruction)
        except BotError as error:
            fault = failed(instruction, error, self._now_ms)
            self._watch.hear(fault)
            return fault

    async def _call(self, instruction: Instruction) -> Stimulus:
        match instruction:
            case PlaceOrder():
                earlier = await self._query(instruction) if self._fresh else None
                return Placed(snapshot=earlier or await self._venue.place(instruction))
            case CancelOrder():
                self._cancels += 1
                return CancelDone(snapshot=await self._venue.cancel(instruction))
        snapshot = await self._query(instruction)
        return Queried(client_id=instruction.client_id, snapshot=snapshot, now_ms=self._now_ms)

    async def _query(self, order: PlaceOrder | QueryOrder) -> OrderSnapshot | None:
        snapshot = await self._venue.query(order.client_id, order.instrument)
        if snapshot is not None and lacks_fills(snapshot):
            fills = await self._venue.fills(order.client_id, order.instrument)
            snapshot = replace(snapshot, fills=fills)
        return snapshot


def _ms_since(started: float) -> float:
    return (perf_counter() - started) * 1_000
