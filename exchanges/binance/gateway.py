"""Trading on Binance spot over REST, as ``core.ports.Venue``: one gateway per account and process.

Above 400 lines because every call of the venue stands beside the others, with the one path all of them take.
"""

import asyncio
import json
import logging
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from config.settings import ExchangeSettings
from core.errors import BotError, ConfigError, DataError, Defect, ExchangeRefused, ExchangeUnavailable
from core.messages import LEVELS_SHOWN, AccountState, Bar, CancelOrder, Fill, OrderSnapshot, PlaceOrder, ShownBook, Top
from core.ports import Clock
from core.units import MINUTE_MS, Instrument, MarketRules, Side
from exchanges.binance import answers
from exchanges.binance.answers import plain, read
from exchanges.binance.calls import (
    ACCOUNT,
    BOOK,
    CANCEL,
    DEPTH,
    ENTER,
    KLINES,
    LEAVE,
    OPEN_ORDERS,
    PAIR,
    QUERY,
    RESTRICTIONS,
    RULES,
    TIME,
    TOPS,
    TRADES,
    Call,
)
from exchanges.binance.client import make_client
from exchanges.binance.names import near, venue_symbol
from exchanges.binance.pairs import of_list, pair_request
from exchanges.binance.signing import KeyPair
from exchanges.binance.standing import ClockReading, KeyRights
from exchanges.binance.wire import VENUE
from exchanges.book import Snapshot, shown_book
from exchanges.faults import VENDOR_ERRORS, UnreadableAnswer, VenueFault, translate
from exchanges.limits.gate import Gate, Turn
from exchanges.limits.tables import ORDERS, ORDERS_DAY, WEIGHT, binance_costs

log = logging.getLogger(__name__)

CLIENT_ID = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}")
"""What the venue takes as newClientOrderId (rest-api.md, New order)."""

RESYNC_S = 900.0
"""The venue's clock is read again after this long; monotonic clocks drift by milliseconds in that time."""

RETRY_SYNC_S = 30.0
"""Until the next try, when reading it failed."""

PAGE = 1_000
"""Most rows of one klines or myTrades answer."""

REMEMBERED_IDS = 4_096


class BinanceGateway:
    """The account at Binance spot.

    ``keys``: anything ``KeyPair.of`` takes; None for public data only. ``clock``: the market's clock, against which
    the venue's is measured; without one, time is the venue's own, carried on by the monotonic clock. ``ledger``: the
    gate to stand in line at (``exchanges.limits.sharing.shared_gate``); without one, limits are counted for this
    gateway alone. Raises what ``core.ports.Venue`` says, and ``ConfigError`` for a missing key or a symbol the venue
    does not list.
    """

    name = VENUE
    holds_stops = True
    holds_pairs = True

    def __init__(
        self,
        settings: ExchangeSettings,
        keys: Any,
        instruments: Sequence[Instrument],
        *,
        clock: Clock | None = None,
        ledger: Gate | None = None,
    ) -> None:
        self.settings = settings
        self.instruments = tuple(instruments)
        self.gate = ledger or Gate.of(VENUE)
        self.gate.probe, self.gate.timeout_ms = self.server_time_ms, settings.timeout_ms
        self._keys = KeyPair.of(keys)
        self._clock = clock
        self._symbols = {venue_symbol(i): i for i in self.instruments}
        self._seen_symbols = dict(self._symbols)
        """The same, and symbols of open orders that are not configured."""
        self._venue_ids: OrderedDict[str, str] = OrderedDict()
        self._started = time.monotonic()
        self._ahead_ms = 0.0
        """Venue minus our time base (the clock, or milliseconds since the start)."""
        self._synced_at: float | None = None
        self._told_ms = 0
        """What the venue's clock showed when it was last asked: it is not earlier by now."""
        self._syncing = asyncio.Lock()
        self._client = make_client(settings, self._keys.api_key, self._keys.secret, self.now_ms, self.gate.heard)

    def __repr__(self) -> str:
        return f"BinanceGateway({len(self.instruments)} instruments, {self._keys!r})"

    # --- time ---------------------------------------------------------------------------------------------------

    def now_ms(self) -> int:
        """The venue's time as we know it (right only after the first call)."""
        return int(self._base_ms() + self._ahead_ms)

    async def server_time_ms(self) -> int:
        """The venue's own clock, asked now."""
        answer = await self._call(TIME, {})
        self._told_ms = self._parsed(TIME, lambda: read(answer, answers.WireTime).serverTime)
        return self._told_ms

    async def sync_clock(self) -> None:
        """Read the venue's clock; requests are stamped with it from now on."""
        before = self._base_ms()
        stated = await self.server_time_ms()
        self._ahead_ms = stated - (before + self._base_ms()) / 2
        self._synced_at = time.monotonic()

    async def measure_clock(self, clock: Clock | None = None, samples: int = 3) -> ClockReading:
        """Offset of the venue's clock to ours, from the sample with the shortest round trip."""
        ours = clock or self._clock
        if ours is None:
            raise Defect("measure_clock: no clock was given to measure against")
        best = ClockReading(offset_ms=0.0, round_trip_ms=float("inf"), within=False)
        for _ in range(samples):
            before, start = ours.now_ms(), time.perf_counter()
            stated = await self.server_time_ms()
            trip, offset = (time.perf_counter() - start) * 1_000, stated - (before + ours.now_ms()) / 2
            if trip < best.round_trip_ms:
                within = abs(offset) <= self.settings.max_clock_offset_ms
                best = ClockReading(offset_ms=offset, round_trip_ms=trip, within=within)
        return best

    # --- the venue ----------------------------------------------------------------------------------------------

    async def rules(self) -> dict[Instrument, MarketRules]:
        """Filters and fees of every instrument, in its order; the request budget is taken from the same answer."""
        try:
            answer = await self._call(RULES, {"symbols": json.dumps(list(self._symbols), separators=(",", ":"))})
        except ExchangeRefused as refused:
            if refused.code != "-1121":
                raise
            answer = await self._call(RULES, {})
        info = self._parsed(RULES, lambda: read(answer, answers.WireExchange))
        self._learn_limits(info)
        listed = {s.symbol: s for s in info.symbols}
        for symbol, instrument in self._symbols.items():
            if symbol not in listed:
                raise ConfigError(
                    f"trade.instruments: {VENUE} does not list {instrument.symbol}{near(instrument, info)}"
                )
        rates = None
        if self._keys.present:
            account = await self._account()
            rates = account.commissionRates
        return self._parsed(
            RULES, lambda: {i: answers.rules_of(listed[symbol], i, rates) for symbol, i in self._symbols.items()}
        )

    async def account(self) -> AccountState:
        account = await self._account()
        return AccountState(at_ms=self.now_ms(), balances=self._parsed(ACCOUNT, lambda: answers.balances(account)))

    async def rights(self) -> KeyRights:
        """What our key may do. The wallet API, which knows, is not served by every host (testnet): then None."""
        account = await self._account()
        try:
            answer = await self._call(RESTRICTIONS, {})
            key = self._parsed(RESTRICTIONS, lambda: read(answer, answers.WireRestrictions))
        except (ExchangeRefused, ExchangeUnavailable) as error:
            log.warning("%s does not say what the key may do: %s", VENUE, error)
            return KeyRights(account=str(account.uid), can_trade=account.canTrade, can_withdraw=None, ip_bound=None)
        return KeyRights(
            account=str(account.uid),
            can_trade=account.canTrade and key.enableSpotAndMarginTrading,
            can_withdraw=key.enableWithdrawals,
            ip_bound=key.ipRestrict,
        )

    async def place(self, order: PlaceOrder) -> OrderSnapshot:
        """Send a limit order under our client id, with a ``stop_price`` one that waits for it (STOP_LOSS_LIMIT), with a
        ``pair_price`` too a list of both, of which one cancels the other (OCO). A sell is an exit (spot is long only)
        and goes first."""
        if not CLIENT_ID.fullmatch(order.client_id):
            raise ExchangeRefused(
                f"{VENUE} new order: client id {order.client_id!r} is not 1-36 of A-Z a-z 0-9 . : / _ -"
            )
        if order.pair_price is not None:
            answer = await self._call(PAIR, pair_request(order))
            return self._parsed(PAIR, lambda: self._known(answer, order.instrument, order.client_id))
        call = LEAVE if order.side is Side.SELL else ENTER
        params = {
            "symbol": venue_symbol(order.instrument),
            "side": order.side.value.upper(),
            "type": "LIMIT_MAKER" if order.post_only else "LIMIT",
            "quantity": plain(order.quantity),
            "price": plain(order.price),
            "newClientOrderId": order.client_id,
            "newOrderRespType": "FULL",
        }
        if order.stop_price is not None:
            params |= {"type": "STOP_LOSS_LIMIT", "stopPrice": plain(order.stop_price)}
        if not order.post_only:
            params["timeInForce"] = order.time_in_force.value
        answer = await self._call(call, params)
        return self._parsed(call, lambda: self._known(answer, order.instrument, order.client_id))

    async def cancel(self, order: CancelOrder) -> OrderSnapshot:
        """Cancel by client id; one of a pair takes the other with it. Where the venue has nothing to cancel, the order is
        what a query says it is."""
        params = {"symbol": venue_symbol(order.instrument), "origClientOrderId": order.client_id}
        try:
            answer = await self._call(CANCEL, params)
        except ExchangeRefused as refused:
            found = await self.query(order.client_id, order.instrument) if refused.code == "-2011" else None
            if found is None:
                raise
            return found
        return self._parsed(CANCEL, lambda: self._known(answer, order.instrument, order.client_id))

    async def query(self, client_id: str, instrument: Instrument) -> OrderSnapshot | None:
        params = {"symbol": venue_symbol(instrument), "origClientOrderId": client_id}
        try:
            answer = await self._call(QUERY, params)
        except ExchangeRefused as refused:
            if refused.code == "-2013":
                return None
            raise
        return self._parsed(QUERY, lambda: self._known(answer, instrument, client_id))

    async def open_orders(self) -> tuple[OrderSnapshot, ...]:
        """Every open order of the account, also those of symbols that are no longer traded."""
        answer = await self._call(OPEN_ORDERS, {})
        orders = self._parsed(OPEN_ORDERS, lambda: read(answer, list[answers.WireOrder]))
        for symbol in {o.symbol for o in orders} - self._seen_symbols.keys():
            await self._learn_symbol(symbol)
        return self._parsed(
            OPEN_ORDERS, lambda: tuple(answers.snapshot(o, self._seen_symbols[o.symbol]) for o in orders)
        )

    async def fills(self, client_id: str, instrument: Instrument) -> tuple[Fill, ...]:
        """Executions of one order, oldest first; empty when the venue has no such order."""
        if client_id not in self._venue_ids and await self.query(client_id, instrument) is None:
            return ()
        params = {"symbol": venue_symbol(instrument), "orderId": self._venue_ids[client_id], "limit": PAGE}
        fills: list[Fill] = []
        while True:
            answer = await self._call(TRADES, params)
            trades = self._parsed(TRADES, lambda a=answer: read(a, list[answers.WireTrade]))
            fills += self._parsed(TRADES, lambda t=trades: [answers.trade_fill(r, client_id, instrument) for r in t])
            if len(trades) < PAGE:
                return tuple(fills)
            params = {**params, "fromId": trades[-1].id + 1}

    async def history(self, instrument: Instrument, first_minute: int, count: int) -> list[Bar]:
        """Up to ``count`` closed bars from ``first_minute`` on, oldest first; never the open one.

        A minute the venue has no bar for is left out: the caller sees it by its time.
        """
        bars: list[Bar] = []
        end = first_minute + count * MINUTE_MS
        now = self._told_ms if end <= self._told_ms else await self.server_time_ms()
        start = first_minute
        while start < min(end, now):
            limit = min(PAGE, (end - start) // MINUTE_MS)
            params = {"symbol": venue_symbol(instrument), "interval": "1m", "startTime": start, "limit": limit}
            answer = await self._call(KLINES, params)
            rows = self._parsed(KLINES, lambda a=answer: [answers.bar_of(r, instrument) for r in read(a, list[list])])
            bars += [bar for bar, closes in rows if closes < now and start <= bar.minute < end]
            if not rows or rows[-1][0].minute < start:
                break
            start = rows[-1][0].minute + MINUTE_MS
        return bars

    async def depth(self, instrument: Instrument) -> Snapshot:
        """The 1,000 best levels of each side of the order book."""
        answer = await self._call(DEPTH, {"symbol": venue_symbol(instrument), "limit": 1_000})
        return self._parsed(DEPTH, lambda: answers.whole_book(answer))

    async def tops(self, instruments: Sequence[Instrument]) -> dict[Instrument, Top]:
        """Best bid and ask, asked now; none for an instrument whose book is empty on a side."""
        known = {venue_symbol(i): i for i in instruments}
        answer = await self._call(TOPS, {"symbols": json.dumps(list(known), separators=(",", ":"))})
        rows = self._parsed(TOPS, lambda: read(answer, list[answers.WireTop]))
        return self._parsed(TOPS, lambda: answers.tops_of(rows, known, self.now_ms()))

    async def books(self, instruments: Sequence[Instrument]) -> dict[Instrument, ShownBook]:
        """The best levels, asked now, a request an instrument; none for one that did not answer or shows no book.
        Raises where none answers."""
        asked = await asyncio.gather(*(self._book(i) for i in instruments), return_exceptions=True)
        for answer in asked:
            if isinstance(answer, BaseException) and (not isinstance(answer, BotError) or len(asked) == 1):
                raise answer
        return {i: book for i, book in zip(instruments, asked, strict=True) if isinstance(book, ShownBook)}

    async def _book(self, instrument: Instrument) -> ShownBook | None:
        answer = await self._call(BOOK, {"symbol": venue_symbol(instrument), "limit": LEVELS_SHOWN})
        whole = self._parsed(BOOK, lambda: answers.whole_book(answer))
        return shown_book(whole.bids, whole.asks, self.now_ms())

    async def first_minute(self, instrument: Instrument) -> int | None:
        """The first minute the venue has a bar of; None when it has none."""
        params = {"symbol": venue_symbol(instrument), "interval": "1m", "startTime": 0, "limit": 1}
        answer = await self._call(KLINES, params)
        rows = self._parsed(KLINES, lambda: [answers.bar_of(row, instrument) for row in read(answer, list[list])])
        return rows[0][0].minute if rows else None

    async def close(self) -> None:
        await self.gate.close()
        await self._client.close()

    # --- one request --------------------------------------------------------------------------------------------

    async def _call(self, call: Call, params: dict[str, Any]) -> Any:
        """The parsed JSON of one endpoint, or one of our errors. Never sends a placing request a second time,
        but for a time stamp the venue turned down unread."""
        if call.signed:
            await self._be_ready(call)
        outcome = await self._attempt(call, params)
        if isinstance(outcome, VenueFault) and outcome.code == "-1021" and call.signed:
            log.warning("%s turned down our time stamp; reading its clock again", VENUE)
            await self.sync_clock()
            outcome = await self._attempt(call, params)
        if isinstance(outcome, Exception):
            # Raised outside of any except block: the vendor's error, which may hold a signed URL, is not chained.
            raise translate(outcome, call.placing, f"{VENUE} {call.where}")
        return outcome

    async def _attempt(self, call: Call, params: dict[str, Any]) -> Any:
        """Send once, when it is our turn; the answer, or the vendor's error as a value."""
        costs = binance_costs(call.weight, orders=call.orders)
        line = self.gate.turn(costs, call.priority, call.patience_ms, call.where, probe=call is TIME)
        async with line as turn:
            try:
                answer = await getattr(self._client, call.method)(dict(params))
            except VENDOR_ERRORS as error:
                return self._obey(turn, error) if isinstance(error, VenueFault) else error
            turn.answered()
            if call is TIME and (stated := answers.stated_ms(answer)) is not None:
                turn.clock_read(stated)
            return answer if isinstance(answer, dict | list) else UnreadableAnswer()

    def _obey(self, turn: Turn, fault: VenueFault) -> VenueFault:
        """Note that the venue turned us away for rate, or its firewall did."""
        turn.answered()
        firewall = fault.status == 403 and not fault.code
        if fault.status not in (418, 429) and not firewall:
            return fault
        if fault.code == "-1015":
            # Too many orders; cancels and questions may go on.
            turn.full(ORDERS_DAY if "DAY" in fault.text else ORDERS)
            return fault
        pause = turn.turned_away(fault.status, fault.retry_after_s)
        log.warning("%s asks for a pause of %.0f s (HTTP %d)", VENUE, pause, fault.status)
        return replace(fault, retry_after_s=pause)

    async def _be_ready(self, call: Call) -> None:
        """Keys are there, and the venue's clock was read not long ago."""
        if not self._keys.present:
            raise ConfigError(f"{VENUE} {call.where}: needs an API key; put one for {VENUE} into config/api_keys.json")
        async with self._syncing:
            if self._synced_at is None:
                await self.sync_clock()
            elif time.monotonic() - self._synced_at > RESYNC_S:
                await self._refresh_clock()

    async def _refresh_clock(self) -> None:
        """Read the venue's clock again; the old reading serves on where that fails, for no order may wait for it."""
        try:
            await self.sync_clock()
        except BotError as error:
            self._synced_at = time.monotonic() - RESYNC_S + RETRY_SYNC_S
            log.warning("%s: its clock could not be read again: %s", VENUE, error)

    def _parsed(self, call: Call, build: Callable[[], Any]) -> Any:
        """``build()``; what it cannot read becomes our error for this call."""
        try:
            return build()
        except (msgspec.ValidationError, DataError, ValueError) as error:
            reason = str(error)[:160]
        log.error("%s %s: unreadable answer: %s", VENUE, call.where, reason)
        raise translate(UnreadableAnswer(), call.placing, f"{VENUE} {call.where}")

    # --- small knowledge ----------------------------------------------------------------------------------------

    def _base_ms(self) -> float:
        return self._clock.now_ms() if self._clock else (time.monotonic() - self._started) * 1_000

    def _known(self, answer: Any, instrument: Instrument, client_id: str) -> OrderSnapshot:
        """The answer as our order, or as that of its list; remembers the venue's id of it."""
        snapshot = answers.snapshot(read(of_list(answer, client_id), answers.WireOrder), instrument)
        if snapshot.client_id != client_id:
            raise DataError(f"asked about {client_id}, the answer is about another order")
        self._venue_ids[client_id] = snapshot.venue_id
        while len(self._venue_ids) > REMEMBERED_IDS:
            self._venue_ids.popitem(last=False)
        return snapshot

    async def _account(self) -> answers.WireAccount:
        answer = await self._call(ACCOUNT, {"omitZeroBalances": "true"})
        return self._parsed(ACCOUNT, lambda: read(answer, answers.WireAccount))

    async def _learn_symbol(self, symbol: str) -> None:
        """Base and quote of a symbol that is not configured."""
        answer = await self._call(RULES, {"symbol": symbol})
        info = self._parsed(RULES, lambda: read(answer, answers.WireExchange))
        for row in info.symbols:
            self._seen_symbols.setdefault(row.symbol, Instrument(VENUE, f"{row.baseAsset}/{row.quoteAsset}"))
        if symbol not in self._seen_symbols:
            raise ExchangeUnavailable(
                f"{VENUE} open orders: the venue has an order of {symbol!r}, but lists no such symbol"
            )

    def _learn_limits(self, info: answers.WireExchange) -> None:
        names = {
            ("REQUEST_WEIGHT", "MINUTE", 1): WEIGHT,
            ("ORDERS", "SECOND", 10): ORDERS,
            ("ORDERS", "DAY", 1): ORDERS_DAY,
        }
        stated = {(row.rateLimitType, row.interval, row.intervalNum): row.limit for row in info.rateLimits}
        self.gate.learn({name: stated[key] for key, name in names.items() if key in stated})
