"""The executor of a LocalDesk: the same machine and pump as live, with calls that return at once."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from core.errors import BotError, ExchangeUnavailable
from core.execution.conditions import Curves, book_seen, conditions_of
from core.execution.ledger import Ledger
from core.execution.machine import ExecutionMachine
from core.execution.pump import Answer, Came, Notes, Step, failed, lacks_fills, pump
from core.execution.rules_watch import RulesWatch
from core.execution.schedules.rule import ADAPTIVE
from core.execution.scribe import Scribe
from core.execution.stimuli import (
    Beat,
    CancelDone,
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
    Stimulus,
    Stopped,
)
from core.execution.summary import summary
from core.messages import (
    AccountState,
    CancelOrder,
    Market,
    OrderSnapshot,
    PlaceOrder,
    Reports,
    ShownBook,
    Top,
    Verdicts,
)
from core.ports import Journal, LocalVenue
from core.standing import NOT_READ
from core.units import Instrument


class LocalExecutor:
    """Works verdicts at an in-process venue. With a journal, it goes on from where the journal ends.

    ``machine`` must be new. Raises ``DataError`` when the journal cannot be replayed.
    """

    def __init__(
        self,
        machine: ExecutionMachine,
        venue: LocalVenue,
        journal: Journal | None = None,
        curves: Curves | None = None,
    ) -> None:
        self.machine = machine
        self._curves = curves
        self.venue = venue
        self._scribe = Scribe(journal)
        self._ledger = Ledger()
        self._watch = RulesWatch()
        self._last_account: AccountState | None = None
        self._now_ms = 0
        if journal is not None:
            config = machine.config
            replayed = self._scribe.replay(machine)
            self._run(config)
            if replayed:
                self._watch.restarted()
                self._run(Restarted(now_ms=self._now_ms))
            self._ledger.settle_faults(machine)

    def execute(self, market: Market, verdicts: Verdicts) -> Reports:
        """Start this minute's schedules (slice 0 is sent now); what happened since the last call."""
        self._now_ms = market.now_ms
        approved = verdicts.approved
        wanted, schedule = {one.instrument: one.side for one in approved}, self.machine.schedule
        books = self._books(tuple(wanted)) if schedule.kind == ADAPTIVE else {}
        seen = conditions_of(market, wanted, schedule, self._curves, books)
        self._run(MinuteStarted(minute=verdicts.minute, now_ms=market.now_ms, approved=approved, conditions=seen))
        reports = self.machine.report(verdicts.minute, verdicts.trace)
        self._run(Reported(minute=verdicts.minute))
        return reports

    def beat(self, now_ms: int) -> None:
        """Look after open positions, send the slices that are due at ``now_ms``; ask again about what is unknown."""
        self._now_ms = now_ms
        watched, looking = self.machine.exits.watched(), self.machine.looking()
        wanted = sorted({*watched, *looking})
        tops = self._tops(wanted) if wanted else {}
        if mids := self.machine.exits.mids_of(tops):
            self._run(PricesSeen(now_ms=self._now_ms, mids=mids))
        sides = self.machine.wanting_depth(tops)
        books = self._books(tuple(sides))
        for instrument in self.machine.looking():
            self._run(book_seen(instrument, tops.get(instrument), books.get(instrument), sides.get(instrument)))
        self._run(Beat(now_ms=now_ms))

    def _tops(self, instruments: Sequence[Instrument]) -> Mapping[Instrument, Top]:
        """None of any where the venue does not answer: what is due at this beat must not wait for a book."""
        try:
            return self.venue.tops(instruments)
        except BotError:
            return {}

    def _books(self, instruments: Sequence[Instrument]) -> Mapping[Instrument, ShownBook]:
        """The same of more than the touch."""
        try:
            return self.venue.books(instruments) if instruments else {}
        except BotError:
            return {}

    def account(self, now_ms: int) -> AccountState:
        """Settle every order that is not settled, then state the balances and whether they agree with our fills.

        When the venue does not answer, the last account it stated, marked as not reconciled; raises
        ``ExchangeUnavailable`` when it never stated one.
        """
        self._now_ms = now_ms
        self._run(Reconcile(now_ms=now_ms))
        self._look_at_rules()
        rules = self._watch.stated(self.machine.config)
        try:
            self._run(OpenSeen(snapshots=self.venue.open_orders()))
            account = self.venue.account()
        except ExchangeUnavailable as error:
            if self._last_account is None:
                raise
            difference = f"{NOT_READ}: {error}"
            return replace(self._last_account, reconciled=False, difference=difference, transferred=(), rules=rules)
        self._last_account = self._ledger.reconcile(self.machine, account)
        if (adopted := self._ledger.adopted()) is not None:
            self._run(adopted)
        if self._last_account.reconciled:
            self._run(HoldingsSeen(totals=self.machine.exits.totals_of(account)))
        self._last_account = self.machine.stops.released(self._last_account)
        return replace(self._last_account, rules=rules)

    def _look_at_rules(self) -> None:
        config = self.machine.config
        if self._watch.due(config) and (new := self._watch.take(config, self.venue.rules())) is not None:
            self._run(new)

    def halt(self, now_ms: int) -> None:
        """Give up what is being bought; what is being sold goes on."""
        self._now_ms = now_ms
        self._run(Halted(now_ms=now_ms))

    def closing(self) -> Reports:
        """What happened since the last report, when no minute will ask any more."""
        return self.machine.report(self.machine.minute, "closing")

    def stop(self, now_ms: int) -> tuple[OrderSnapshot, ...]:
        """Send nothing more, cancel our open orders; returns those of ours that the venue still shows open."""
        self._now_ms = now_ms
        self._run(Stopped(now_ms=now_ms))
        self._run(OpenSeen(snapshots=self.venue.open_orders()))
        self._scribe.flush()
        return tuple(s for s in self.venue.open_orders() if self.machine.must_end(s.client_id))

    def books(self) -> dict[str, Any]:
        """Our executed totals, see ``core.execution.summary``."""
        return summary(self.machine)

    def _run(self, stimulus: Stimulus) -> None:
        steps = pump(self.machine, stimulus)
        answer: Answer = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration:
                return
            answer = self._act(step)

    def _act(self, step: Step) -> Answer:
        if isinstance(step, Notes):
            return self._scribe.write(step.notes)
        return Came(stimuli=tuple(self._answer(instruction) for instruction in step.instructions))

    def _answer(self, instruction: Instruction) -> Stimulus:
        try:
            return self._call(instruction)
        except BotError as error:
            fault = failed(instruction, error, self._now_ms)
            self._watch.hear(fault)
            return fault

    def _call(self, instruction: Instruction) -> Stimulus:
        match instruction:
            case PlaceOrder():
                return Placed(snapshot=self.venue.place(instruction))
            case CancelOrder():
                return CancelDone(snapshot=self.venue.cancel(instruction))
        name, instrument = instruction.client_id, instruction.instrument
        snapshot = self.venue.query(name, instrument)
        if snapshot is not None and lacks_fills(snapshot):
            snapshot = replace(snapshot, fills=self.venue.fills(name, instrument))
        return Queried(client_id=name, snapshot=snapshot, now_ms=self._now_ms)
