"""The executor as an actor: the gateways, the user streams and the journal of one run, around ``actors.executor``."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from actors.account_news import AccountNews
from actors.clock_watch import ClockWatch
from actors.executor import ExecutorActor
from actors.limits import gate_of
from actors.plan import RunPlan
from actors.shell import Shell, keep_memory
from config.secrets import Secrets, load_secrets, require_keys
from core.errors import BotError, StaleData
from core.messages import AccountState, Market, MinuteTick, Reports, Top, Verdicts
from core.ports import Gateway
from core.prints import Crossing
from core.protection import Bounds, exit_rules
from core.units import Instrument, MarketRules
from core.warmup import load_execution
from data.artifacts import ArtifactStore
from data.impact_law import read_law
from data.journal import SqliteJournal
from data.kept_curves import kept
from exchanges.composite import Venues
from exchanges.venues import gateway_of, user_stream_of


def keys_of(plan: RunPlan) -> Secrets:
    """The keys of this run. Only live takes the user's own: for a simulator they never leave, it has a pair of its own."""
    return load_secrets(plan.keys_path, None if plan.mode == "live" else {})


def holders(gateways: Mapping[str, Gateway], *, pairs: bool = False) -> list[str]:
    """Venues that hold stop orders; ``pairs``: those of which one cancels the other."""
    return [name for name, gateway in gateways.items() if (gateway.holds_pairs if pairs else gateway.holds_stops)]


class LiveExecutor(Shell):
    """The only actor that holds a key. Its journal is on disk before anything is sent."""

    def __init__(self, plan: RunPlan) -> None:
        super().__init__(plan, "executor")
        config, rules = plan.settings.config, plan.settings.rules
        instruments, keys = config.trade.rows, keys_of(plan)
        reached = {**config.exchanges, **plan.orders_at}
        pairs = {venue: require_keys(keys, venue) for venue in dict.fromkeys(i.venue for i in instruments)}
        gates = {venue: gate_of(plan, venue, reached[venue]) for venue in pairs}
        self._gateways = {v: gateway_of(v, reached[v], pair, instruments, ledger=gates[v]) for v, pair in pairs.items()}
        left = rules.protection.at_exchange and plan.clock == "wall"
        self._executor = ExecutorActor(
            rules.execution,
            plan.instance,
            Venues(self._gateways),
            SqliteJournal(plan.run_dir / "journal.sqlite"),
            curves=kept(plan.run_dir),
            # A replay's and a paper account's coins are all the run's own.
            leave_others=plan.mode == "live" and config.trade.own_coins == "leave",
            exits=exit_rules(rules.protection, rules.risk),
            # On other clocks a replay is held against its backtest, in which the bot alone looks after positions.
            stops_at=holders(self._gateways) if left else (),
            pairs_at=holders(self._gateways, pairs=True) if left else (),
            law=read_law(ArtifactStore(plan.artifacts_dir), plan.impact_version),
            apart=plan.clock == "wall",
        )
        self._clocks = ClockWatch(self._gateways, reached) if plan.clock == "wall" else None
        self._look_s = float(rules.protection.look_seconds)
        self._wall = plan.clock == "wall"
        self._looking: asyncio.Task[None] | None = None
        """At what trades crossed."""
        self._watching: asyncio.Task[None] | None = None
        self._news = AccountNews(
            lambda on_order, on_reconnect: [
                user_stream_of(
                    venue,
                    reached[venue],
                    pairs[venue],
                    instruments,
                    on_order,
                    on_reconnect=on_reconnect,
                    now_ms=gateway.now_ms,
                    resync=gateway.sync_clock,
                    gate=gates[venue],
                )
                for venue, gateway in self._gateways.items()
            ],
            self.log,
        )
        self._fenced = -1
        self._told: Reports | None = None
        self._untold: tuple[Reports, ...] = ()
        """Reports of minutes that were given up after we had answered: the next minute tells them again."""
        self._rules: dict[Instrument, MarketRules] = {}

    async def start(self) -> None:
        """Listen to the account, replay the journal, settle with the venue, then take in what was heard meanwhile."""
        await asyncio.to_thread(load_execution)
        gateways = tuple(self._gateways.values())
        found = await asyncio.gather(*(gateway.rules() for gateway in gateways))
        self._rules = {i: rule for rules in found for i, rule in rules.items()}
        now_ms = await gateways[0].server_time_ms()
        await self._news.listen()
        await self._executor.start(now_ms)
        self._news.follow(self._executor)
        if self._wall and self._watching is None:
            self._watching = asyncio.create_task(self._watch())
        keep_memory()

    async def rules(self) -> dict[Instrument, MarketRules]:
        """The venues' rules for every instrument traded, as they hold now."""
        return self._executor.market_rules() or self._rules

    async def account(self, tick: MinuteTick) -> AccountState:
        with self.minute(tick.minute, tick.trace):
            account = await self._executor.account(tick)
            return self._clocks.told(account) if self._clocks is not None else account

    async def execute(self, market: Market, verdicts: Verdicts) -> Reports:
        """Raises StaleData for a minute the conductor has given up: it trades nothing new."""
        with self.minute(market.minute, market.trace):
            if market.minute <= self._fenced:
                raise StaleData(f"minute {market.minute} was given up before its orders were sent; nothing was sent")
            reports = await self._executor.execute(market, verdicts)
            told = (*self._untold, reports)
            self._told, self._untold = reports, ()
            return replace(
                reports,
                orders=tuple(order for part in told for order in part.orders),
                fills=tuple(fill for part in told for fill in part.fills),
                exits=tuple(one for part in told for one in part.exits),
                dust=tuple(one for part in told for one in part.dust),
            )

    async def closing(self) -> Reports:
        """Orders and fills since the last minute's report."""
        return await self._executor.closing()

    async def beat(self, now_ms: int) -> None:
        await self._executor.beat(now_ms)

    async def on_prices(
        self, tops: dict[Instrument, Top], crossings: dict[Instrument, Crossing], now_ms: int
    ) -> dict[Instrument, Bounds]:
        """From the feed: books that have changed, and trades that crossed a level of which the book said nothing.
        Positions whose exit is due are sold. Gives what is watched, and between which prices nothing is due."""
        await self._executor.on_tops(tops, now_ms)
        if crossings and (self._looking is None or self._looking.done()):
            # Beside the next message: a venue that is slow to tell its touch keeps no changed book waiting.
            self._looking = asyncio.create_task(self._look_again(crossings, now_ms))
        return self._executor.bounds()

    async def _look_again(self, crossings: dict[Instrument, Crossing], now_ms: int) -> None:
        try:
            await self._executor.on_crossings(crossings, now_ms)
        except BotError as error:
            self.log.warning("positions not looked after: %s", error)

    async def _watch(self) -> None:
        """The timer behind the books: where one is silent the venue is asked for prices, minute or no minute."""
        while True:
            await asyncio.sleep(self._look_s)
            if self._executor.heard_all(self._look_s):
                continue
            try:
                await self._executor.watch(next(iter(self._gateways.values())).now_ms())
            except BotError as error:
                self.log.warning("positions not looked after: %s", error)

    async def halt(self) -> None:
        """Buy nothing more of what this minute's schedules still hold."""
        await self._executor.halt()

    async def fence(self, minute: int) -> None:
        """Start nothing for ``minute`` or an earlier one from now on."""
        self._fenced = max(self._fenced, minute)
        if self._told is not None and self._told.minute == minute:
            self._untold, self._told = (*self._untold, self._told), None

    async def books(self) -> dict[str, Any]:
        """Our executed totals."""
        return await self._executor.books()

    async def health(self) -> dict:
        said = await self._executor.health()
        keep = ("minute", "unsettled", "faults", "journal", "reconciled", "difference", "protected", "blind")
        stream = {"stream": self._news.connected, "stream_problem": self._news.problem}
        return super().health() | {name: said[name] for name in keep} | stream

    async def stop(self) -> dict[str, Any]:
        """Cancel our open orders and send no more."""
        if self._watching is not None:
            self._watching.cancel()
        return await self._executor.stop()
