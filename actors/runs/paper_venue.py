"""The paper venue: a simulated exchange priced from the real one's quotes, served over the venue's own wire.

A process of its own (``python -m actors.runs.paper_venue``, started by ``run.py paper``): the bot watches the real exchange
and sends its orders here. It holds no key of the user's, and reads public data only.
"""

import argparse
import asyncio
import json
import logging
import secrets
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from actors.clock import MarketTime, SimulatorControl, wall_ms
from actors.limits import venue_gate
from actors.runs.paper_account import open_account
from config import load
from config.settings import ExchangeSettings
from core.costs import fees_of
from core.errors import EXIT_OK, BotError, ConfigError, ExchangeUnavailable
from core.messages import Bar, Top
from core.params import CostSettings
from core.ports import MarketFeed
from core.units import MINUTE_MS, Instrument, MarketRules
from exchanges.book import Level
from exchanges.simulated.exchange import SimulatedExchange
from exchanges.simulated.followed import STALE_MS, FollowedMarket
from exchanges.simulated.process import until_stopped
from exchanges.simulated.server import RunningServer, serve_exchange
from exchanges.simulated.statement import write_statement
from exchanges.simulated.upbit.market import UpbitExchange, fine_rule
from exchanges.simulated.warmup import load_matching
from exchanges.venues import gateway_of, own, parts_of, whole_market_stream_of

log = logging.getLogger("paper_venue")

READY_S = 15.0
"""Until the stream is confirmed; then as long again until every market shows a book."""
RETELL_S = 1.0
"""How often a stand-in's clock is asked; on the wall nobody needs to."""
WATCH_S = 0.2
RECENT_MINUTES = 10
"""Bars read at the start, for the venue's filter on the average price."""


class Watch:
    """Looks at the real market and keeps what it shows in a ``FollowedMarket``."""

    def __init__(
        self,
        venue: str,
        settings: ExchangeSettings,
        instruments: tuple[Instrument, ...],
        speed: float,
        sim_url: str | None,
        var: Path,
        half_life_s: float,
    ) -> None:
        """``half_life_s``: of what our orders took, in market time. ``sim_url``: a stand-in for the exchange, whose clock counts; None = the wall's does. ``var``: where the
        limits are shared."""
        self.time = MarketTime(speed, wall=sim_url is None)
        self._sim_url = sim_url
        self._speed = speed
        self._half_life_s = half_life_s
        self._instruments = instruments
        self._venue = venue
        self._gate = venue_gate(var, venue, settings)
        self._gateway: Any = gateway_of(venue, settings, None, instruments, ledger=self._gate)
        self._settings = settings
        self.market: FollowedMarket
        self._stream: MarketFeed

    async def open(self, stack: AsyncExitStack) -> asyncio.Task:
        """Rules, the last bars, then the stream; returns its task once every market shows a book (or time is up)."""
        stack.push_async_callback(self._gateway.close)
        await self._ask_time()
        rules = await self._read_rules()
        self.rules, self.start_ms = rules, self.time.now_ms()
        first = self.start_ms // MINUTE_MS * MINUTE_MS - RECENT_MINUTES * MINUTE_MS
        known = {i: await self._recent(i, first) for i in self._instruments}
        begin = min([first, *(bar.minute for bars in known.values() for bar in bars)])
        # A clock that runs N times as fast makes N times as much of the same silence.
        self.market = FollowedMarket(
            self._instruments,
            rules,
            begin,
            stale_ms=int(STALE_MS * max(1.0, self._speed)),
            half_life_ms=self._half_life_s * 1_000.0,
        )
        for instrument, bars in known.items():
            for bar in bars:
                self.market.observe_bar(instrument, bar)
        self._stream = whole_market_stream_of(
            self._venue,
            self._settings,
            self._instruments,
            self.market.observe_bar,
            self._on_top,
            self._on_levels,
            self.market.observe_trade,
            now_ms=self.time.now_ms,
            gateway=self._gateway,
            gate=self._gate,
        )
        running = asyncio.create_task(self._stream.run())
        stack.push_async_callback(_end, running)
        stack.push_async_callback(self._stream.close)
        try:
            await asyncio.wait_for(self._stream.subscribed(), READY_S)
        except TimeoutError:
            where = self._settings.stream_url or self._venue
            raise ExchangeUnavailable(f"no market stream from {where} within {READY_S:g} s") from None
        await self._books()
        stack.push_async_callback(_end, asyncio.create_task(self._look_after()))
        return running

    async def _read_rules(self) -> dict[Instrument, MarketRules]:
        """The venue's rules; Upbit's with a grid that serves whatever height the price goes to."""
        rules: dict[Instrument, MarketRules] = await self._gateway.rules()
        if self._venue != "upbit":
            return rules
        prices = {i: price for i, (_, price) in (await self._gateway.newest_trades()).items()}
        return {i: fine_rule(rule, prices[i], prices[i]) for i, rule in rules.items()}

    async def _recent(self, instrument: Instrument, first: int) -> list[Bar]:
        """The last bars. Where there is none, that of the last trade, however old: Upbit's wire always tells a price."""
        bars: list[Bar] = await self._gateway.history(instrument, first, RECENT_MINUTES)
        if bars or self._venue != "upbit":
            return bars
        at_ms, _ = (await self._gateway.newest_trades())[instrument]
        return await self._gateway.history(instrument, at_ms // MINUTE_MS * MINUTE_MS, 1)

    async def _books(self) -> None:
        for _ in range(int(READY_S / WATCH_S)):
            if self.market.shown == len(self._instruments):
                return
            await asyncio.sleep(WATCH_S)
        log.warning(
            "%d of %d markets show no book yet", len(self._instruments) - self.market.shown, len(self._instruments)
        )

    def _on_top(self, instrument: Instrument, top: Top | None) -> None:
        if top is None:
            self.market.forget(instrument)
        else:
            self.market.observe_top(instrument, top)

    def _on_levels(self, instrument: Instrument, shown: tuple[Sequence[Level], Sequence[Level]] | None) -> None:
        if shown is None:
            self.market.lose_book(instrument)
        else:
            self.market.observe_book(instrument, *shown, self.time.now_ms())

    async def _ask_time(self) -> None:
        """Of a stand-in by its control, which tells it to the millisecond where Upbit's wire tells seconds."""
        if self._sim_url is not None:
            self.time.tell(await _let_run(self._sim_url))

    async def _look_after(self) -> None:
        """Forget the books when the stream is cut; follow a stand-in's clock."""
        loop = asyncio.get_running_loop()
        asked = loop.time()
        while True:
            await asyncio.sleep(WATCH_S)
            if not self._stream.state.connected:
                self.market.forget()
            if self._sim_url is not None and loop.time() - asked >= RETELL_S:
                asked = loop.time()
                try:
                    await self._ask_time()
                except BotError as error:
                    log.warning("its clock could not be read: %s", error)


async def _let_run(sim_url: str) -> int:
    """Its time. A market that stands shows no books: a stand-in that waits is told to go on; one that runs does."""
    control = SimulatorControl(sim_url)
    try:
        return int((await control.run())["now_ms"])
    finally:
        await control.close()


async def _end(task: asyncio.Task) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def charged(rules: Mapping[Instrument, MarketRules], costs: CostSettings) -> dict[Instrument, MarketRules]:
    """The venue's rules with the fees of our tier: what it tells without a key is the regular one."""
    fees = {instrument: fees_of(instrument, costs) for instrument in rules}
    return {i: replace(rule, maker_fee=fees[i].maker, taker_fee=fees[i].taker) for i, rule in rules.items()}


def make_exchange(
    venue: str,
    market: FollowedMarket,
    rules: Mapping[Instrument, MarketRules],
    balances: Mapping[str, Decimal],
    costs: CostSettings,
    start_ms: int,
) -> SimulatedExchange:
    """The venue that matches against ``market``, by the rules of ``venue``."""
    if venue == "upbit":
        return UpbitExchange(market, balances, start_ms, costs, rules)
    return SimulatedExchange(market, rules, balances, start_ms, costs=costs)


def totals(exchange: SimulatedExchange) -> dict[str, Decimal]:
    """Everything the account holds, by asset, what orders have set aside included."""
    account = exchange.account
    return {asset: account.free(asset) + account.locked(asset) for asset in account.assets()}


async def serve_paper(args: argparse.Namespace) -> int:
    """Serve until told to stop. Prints the address and a key pair for this run as one JSON line."""
    settings = load.from_arguments(args)
    parts_of(args.venue)
    account = open_account(args.account, None, reset=False)
    exchange_settings, var = settings.config.exchanges[args.venue], load.resolve_var(settings)
    instruments = own(args.venue, settings.config.trade.rows)
    costs = settings.rules.costs
    half_life_s = costs.recovery_half_life_s
    watch = Watch(args.venue, exchange_settings, instruments, args.speed, args.sim_url, var, half_life_s)
    async with AsyncExitStack() as stack:
        watching = await watch.open(stack)
        exchange = make_exchange(
            args.venue, watch.market, charged(watch.rules, costs), account.balances, costs, watch.start_ms
        )
        api_key, secret = secrets.token_hex(32), secrets.token_hex(32)
        server = await serve_exchange(
            exchange,
            mode="follow",
            speed=args.speed,
            credentials={api_key: secret},
            wall_ms=wall_ms if args.sim_url is None else None,
            market_ms=watch.time.now_ms,
            on_account=lambda: account.save(totals(exchange)),
            venue=args.venue,
        )
        try:
            _announce(server, {"api_key": api_key, "secret": secret})
            # Not before it is said where we are: no order comes until the actors are up.
            threading.Thread(target=load_matching, daemon=True).start()
            stopped = asyncio.create_task(until_stopped(args.parent_pid))
            await asyncio.wait((stopped, watching), return_when=asyncio.FIRST_COMPLETED)
            if watching.done() and not stopped.done():
                watching.result()
        finally:
            await server.close()
            account.save(totals(exchange))
            write_statement(args.statement, exchange)
    return EXIT_OK


def _announce(server: RunningServer, pair: Mapping[str, str]) -> None:
    print(
        json.dumps({"rest": server.url, "stream": server.stream_url, "ws_api": server.ws_api_url, **pair}), flush=True
    )


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="actors.runs.paper_venue", description="The paper venue; run.py paper starts it."
    )
    load.arguments(parser)
    parser.add_argument("--venue", default="binance", help="whose market is watched, and whose wire is served")
    parser.add_argument("--account", type=Path, required=True, help="file of the paper account")
    parser.add_argument("--statement", type=Path, required=True, help="write trades and balances here at the end")
    parser.add_argument("--speed", type=float, default=1.0, help="of the watched market's clock")
    parser.add_argument("--sim-url", help="the watched market is this simulator, which keeps its own time")
    parser.add_argument("--parent-pid", type=int, help="stop when this process is gone")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    try:
        return asyncio.run(serve_paper(args))
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except BotError as error:
        print(f"error: the paper venue {args.venue}: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
