"""Trading on Upbit over REST, as ``core.ports.Venue``: one gateway per account and process.

Above 400 lines because every call of the venue stands beside the others, with the one path all of them take.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from decimal import ROUND_FLOOR, Decimal
from typing import Any

from config.settings import ExchangeSettings
from core.costs import UNIT
from core.errors import BotError, ConfigError, DataError, Defect, ExchangeRefused
from core.messages import (
    LEVELS_SHOWN,
    AccountState,
    Bar,
    CancelOrder,
    Fill,
    OrderSnapshot,
    OrderState,
    PlaceOrder,
    ShownBook,
    Top,
)
from core.ports import Clock
from core.units import MINUTE_MS, Instrument, MarketRules, Side, round_price
from exchanges.faults import UnreadableAnswer, translate
from exchanges.limits import Gate
from exchanges.upbit import answers
from exchanges.upbit.answers import iso, plain, read
from exchanges.upbit.calls import (
    ACCOUNTS,
    BOOKS,
    CANCEL,
    CANDLES,
    CHANCE,
    CONFIRM,
    ENTER,
    KEYS,
    LEAVE,
    MARKETS,
    OPEN_ORDERS,
    QUERY,
    TEST,
    TICKER,
    TICKS,
    WITHDRAWALS,
    Call,
)
from exchanges.upbit.client import Answer, UpbitClient
from exchanges.upbit.faults import NOT_FOUND, OUT_OF_SCOPE
from exchanges.upbit.names import ATTEMPTS, CLIENT_ID, VENUE, identifier, instrument_of, market_code, near
from exchanges.upbit.signing import KeyPair, Params, new_nonce
from exchanges.upbit.standing import ClockReading, DateClock, KeyRights, VenueTime, date_ms, mono_ms
from exchanges.upbit.ticks import Ticks
from exchanges.upbit.wire import WireAsset

log = logging.getLogger(__name__)

PAGE = 100
"""Most rows of one open-orders answer."""

CANDLES_PAGE = 200
"""Most minutes of one candles answer."""

CLOCK_SPACE_S = 0.25
"""Between the samples of ``measure_clock``: the venue states whole seconds, and these fall into different parts of one."""

REMEMBERED_IDS = 4_096
LIVE = (OrderState.OPEN, OrderState.PARTIAL)


class UpbitGateway:
    """The account at Upbit.

    ``keys``: anything ``KeyPair.of`` takes; None for public data only. ``clock``: the market's clock, against which
    the venue's is measured; without one, time is the venue's own, carried on by the monotonic clock. Raises what
    ``core.ports.Venue`` says, and ``ConfigError`` for a missing key or a market the venue does not list.
    """

    name = VENUE
    holds_stops = False
    holds_pairs = False

    def __init__(
        self,
        settings: ExchangeSettings,
        keys: Any,
        instruments: Sequence[Instrument],
        *,
        clock: Clock | None = None,
        ledger: Gate | None = None,
        nonce: Callable[[], str] = new_nonce,
    ) -> None:
        self.settings = settings
        self.instruments = tuple(instruments)
        self.gate = ledger or Gate.of(VENUE)
        self._keys = KeyPair.of(keys)
        self._clock = clock
        self._codes = {market_code(i): i for i in self.instruments}
        self._ticks = Ticks()
        self._venue_ids: OrderedDict[str, str] = OrderedDict()
        self._spent: OrderedDict[str, int] = OrderedDict()
        """Client id → identifiers it has used up without becoming an order."""
        self._time = VenueTime(clock)
        self._client = UpbitClient(settings, self._keys, self.gate, nonce, self._time.heard)

    def __repr__(self) -> str:
        return f"UpbitGateway({len(self.instruments)} instruments, {self._keys!r})"

    # --- time ---------------------------------------------------------------------------------------------------

    def now_ms(self) -> int:
        """The venue's time as we know it (right, within a second or better, only after the first call)."""
        return self._time.now_ms()

    async def server_time_ms(self) -> int:
        """The venue's clock as its answers' ``Date`` tells it, after asking it now."""
        await self.sync_clock()
        return self.now_ms()

    async def sync_clock(self) -> None:
        """Hear the venue's ``Date`` once more. No request carries a time here, so nothing depends on it but minutes."""
        await self._hear()
        if not self._time.bounds.known:
            raise translate(UnreadableAnswer(), False, f"{VENUE} server time: the answer has no Date header")

    async def measure_clock(self, clock: Clock | None = None, samples: int = 4) -> ClockReading:
        """Offset of the venue's clock to ours, known to about ``CLOCK_SPACE_S`` and the round trip.

        There is no endpoint for the time: what is used are ``Date`` headers of whole seconds, of ``samples`` answers
        spread over a second (see ``DateClock``).
        """
        ours = clock or self._clock
        if ours is None:
            raise Defect("measure_clock: no clock was given to measure against")
        bounds, shortest = DateClock(), float("inf")
        for n in range(samples):
            if n:
                await asyncio.sleep(CLOCK_SPACE_S)
            before, start = ours.now_ms(), mono_ms()
            headers = (await self._hear()).headers
            shortest = min(shortest, mono_ms() - start)
            stated = date_ms(headers)
            if stated is not None:
                bounds.heard(before, ours.now_ms(), stated)
        if not bounds.known:
            raise translate(UnreadableAnswer(), False, f"{VENUE} server time: the answer has no Date header")
        within = abs(bounds.offset_ms) <= self.settings.max_clock_offset_ms
        return ClockReading(offset_ms=bounds.offset_ms, round_trip_ms=shortest, within=within)

    # --- the venue ----------------------------------------------------------------------------------------------

    async def rules(self) -> dict[Instrument, MarketRules]:
        """What the venue enforces for every instrument at the price of now, in its order; fees where keys are there.

        ``tick`` is that of the current price: it is a table of the price, so ``place`` rounds each order at its own.
        """
        listed = {m.market for m in await self._read(MARKETS, {"is_details": "false"}, list[answers.WireMarket])}
        for code, instrument in self._codes.items():
            if code not in listed:
                raise ConfigError(
                    f"trade.instruments: {VENUE} does not list {instrument.symbol}{near(instrument, listed)}"
                )
        codes = ",".join(self._codes)
        prices = {
            t.market: t.trade_price for t in await self._read(TICKER, {"markets": codes}, list[answers.WireTicker])
        }
        stated = {t.market: t.tick_size for t in await self._read(TICKS, {"markets": codes}, list[answers.WireTick])}
        missing = self._codes.keys() - (prices.keys() & stated.keys())
        if missing:
            raise self._unreadable(TICKS, f"no price or no tick size for {', '.join(sorted(missing))}")
        chances = await self._chances() if self._keys.present else {}
        return self._parsed(TICKS, lambda: self._rules(prices, stated, chances))

    async def account(self) -> AccountState:
        rows = await self._read(ACCOUNTS, {}, list[WireAsset])
        return AccountState(at_ms=self.now_ms(), balances=self._parsed(ACCOUNTS, lambda: answers.balances(rows)))

    async def rights(self) -> KeyRights:
        """What our key may do, as far as Upbit tells.

        Known: when it ends, and whether it may order (a test order is placed nowhere, but asks for the right). A key
        that may look at withdrawals is taken for one that may make them; that one may not look says nothing, for the
        two are granted apart. A key that may order is always bound to addresses: Upbit issues none without. No account
        number is told.
        """
        keys = await self._read(KEYS, {}, list[answers.WireKey])
        expires = self._parsed(KEYS, lambda: answers.key_expiry(keys, self._keys.api_key))
        code, instrument = next(iter(self._codes.items()), ("KRW-BTC", Instrument(VENUE, "BTC/KRW")))
        tickers = await self._read(TICKER, {"markets": code}, list[answers.WireTicker])
        price = self._parsed(TICKER, lambda: answers.price_of(tickers, code))
        can_trade = await self._granted(
            TEST, answers.smallest_order(instrument, self._ticks.at(instrument, price), price)
        )
        looks = await self._granted(WITHDRAWALS, {"currency": instrument.base})
        known = {"can_withdraw": looks or None, "ip_bound": can_trade or None, "expires_ms": expires}
        return KeyRights(account="", can_trade=can_trade, **known)

    async def place(self, order: PlaceOrder) -> OrderSnapshot:
        """Send a limit order under our client id. A sell is an exit (spot is long only) and goes first.

        The price is put on the grid at its own height, a buy's down and a sell's up, and the quantity cut to 8
        decimals. ``cancel_taker`` keeps us from trading with ourselves; it cannot go with post-only, which never takes.
        The venue's first answer only says that the order was accepted: what became of it is asked at once.

        A client id that was turned away before is looked up by what it was called then, and only where the venue
        knows of no order is sent again, under a new identifier.
        """
        if not CLIENT_ID.fullmatch(order.client_id):
            raise ExchangeRefused(f"{VENUE} new order: client id {order.client_id!r} is not 1-36 of A-Z a-z 0-9 _ -")
        if order.stop_price is not None:
            raise ExchangeRefused(f"{VENUE} new order: {order.client_id} has a stop price; this venue holds no stops")
        attempt = self._spent.get(order.client_id, 0)
        if attempt:
            earlier = await self.query(order.client_id, order.instrument)
            if earlier is not None:
                return earlier
        if attempt > ATTEMPTS:
            raise ExchangeRefused(f"{VENUE} new order: {order.client_id} was turned away {attempt} times; given up")
        call = LEAVE if order.side is Side.SELL else ENTER
        try:
            body = await self._call(call, self._order_params(order, identifier(order.client_id, attempt)))
            accepted = self._parsed(call, lambda: self._known(body, order.instrument, order.client_id))
        except BotError:
            _remember(self._spent, order.client_id, attempt + 1)
            raise
        return await self._settled(accepted)

    async def cancel(self, order: CancelOrder) -> OrderSnapshot:
        """Ask to cancel by client id; the snapshot says whether it has come to that yet. Where the venue has nothing
        to cancel, the order is what a query says it is."""
        venue_id = self._venue_ids.get(order.client_id)
        name = identifier(order.client_id, max(0, self._spent.get(order.client_id, 0) - 1))
        try:
            return await self._cancel(order, {"identifier": name} if venue_id is None else {"uuid": venue_id})
        except ExchangeRefused:
            found = await self.query(order.client_id, order.instrument)
            if found is None or (found.state in LIVE and venue_id is not None):
                raise
            if found.state not in LIVE:
                return found
        # It stands under another of its names.
        return await self._cancel(order, {"uuid": found.venue_id})

    async def query(self, client_id: str, instrument: Instrument) -> OrderSnapshot | None:
        """The order with its fills, under whichever of its identifiers the venue knows it."""
        if client_id in self._venue_ids:
            return await self._query({"uuid": self._venue_ids[client_id]}, client_id, instrument)
        # A fresh process does not know how often an order was sent: the second name is always tried too.
        for attempt in range(max(2, self._spent.get(client_id, 0))):
            found = await self._query({"identifier": identifier(client_id, attempt)}, client_id, instrument)
            if found is not None:
                return found
        return None

    async def open_orders(self) -> tuple[OrderSnapshot, ...]:
        """Every open order of the account, also those of markets that are not traded here and those of other hands."""
        orders, page = [], 1
        while True:
            params = {"states": ["wait", "watch"], "page": page, "limit": PAGE, "order_by": "asc"}
            rows = await self._read(OPEN_ORDERS, params, list[answers.WireOrder])
            orders += rows
            if len(rows) < PAGE:
                break
            page += 1
        now = self.now_ms()
        return self._parsed(
            OPEN_ORDERS, lambda: tuple(answers.snapshot(o, instrument_of(o.market), now) for o in orders)
        )

    async def fills(self, client_id: str, instrument: Instrument) -> tuple[Fill, ...]:
        """Executions of one order, oldest first; empty when the venue has no such order."""
        found = await self.query(client_id, instrument)
        return () if found is None else found.fills

    async def history(
        self, instrument: Instrument, first_minute: int, count: int, *, urgent: bool = False
    ) -> list[Bar]:
        """Up to ``count`` closed bars from ``first_minute`` on, oldest first; never the open one.

        The venue has no candle for a minute without a trade; such minutes are left out, and pages are counted by time.
        ``urgent``: somebody waits for them, so they go before other history.
        """
        call = CONFIRM if urgent else CANDLES
        bars: dict[int, Bar] = {}
        end = first_minute + count * MINUTE_MS
        start = first_minute
        while start < end:
            stop = min(end, start + CANDLES_PAGE * MINUTE_MS)
            params = {"market": market_code(instrument), "to": iso(stop), "count": CANDLES_PAGE}
            rows = await self._read(call, params, list[answers.WireCandle])
            now = self.now_ms()
            page = self._parsed(call, lambda r=rows: [answers.bar_of(candle) for candle in r])
            bars |= {b.minute: b for b in page if start <= b.minute < stop and b.minute + MINUTE_MS <= now}
            if stop > now:
                break
            start = stop
        return [bars[minute] for minute in sorted(bars)]

    async def newest_trades(self) -> dict[Instrument, tuple[int, float]]:
        """When each instrument last traded (epoch ms) and for how much, by one request for all of them."""
        rows = await self._read(TICKER, {"markets": ",".join(self._codes)}, list[answers.WireTicker])
        return {self._codes[t.market]: (t.trade_timestamp, t.trade_price) for t in rows if t.market in self._codes}

    async def tops(self, instruments: Sequence[Instrument]) -> dict[Instrument, Top]:
        """Best bid and ask, asked now; none for an instrument whose book is empty on a side."""
        known = {market_code(i): i for i in instruments}
        rows = await self._read(BOOKS, {"markets": ",".join(known), "count": 1}, list[answers.WireBook])
        return answers.tops_of(rows, known, self.now_ms())

    async def books(self, instruments: Sequence[Instrument]) -> dict[Instrument, ShownBook]:
        """The best levels, asked now, in one request; none for an instrument that shows no book."""
        known = {market_code(i): i for i in instruments}
        rows = await self._read(BOOKS, {"markets": ",".join(known), "count": LEVELS_SHOWN}, list[answers.WireBook])
        return answers.books_of(rows, known, self.now_ms())

    async def close(self) -> None:
        await self._client.close()

    # --- orders -------------------------------------------------------------------------------------------------

    def _order_params(self, order: PlaceOrder, name: str) -> Params:
        tick = self._ticks.at(order.instrument, order.price)
        params = {
            "market": market_code(order.instrument),
            "side": "bid" if order.side is Side.BUY else "ask",
            "ord_type": "limit",
            "volume": plain(order.quantity.quantize(UNIT, rounding=ROUND_FLOOR)),
            "price": plain(round_price(order.price, tick, order.side)),
            "identifier": name,
        }
        if order.post_only:
            return params | {"time_in_force": "post_only"}
        force = order.time_in_force.value.lower()
        return params | ({} if force == "gtc" else {"time_in_force": force}) | {"smp_type": "cancel_taker"}

    async def _settled(self, accepted: OrderSnapshot) -> OrderSnapshot:
        """What became of an order by now; where that cannot be read, what was said when it was accepted."""
        try:
            found = await self._query({"uuid": accepted.venue_id}, accepted.client_id, accepted.instrument)
        except BotError as error:
            log.warning("%s: order %s was accepted, but not read again: %s", VENUE, accepted.client_id, error)
            return accepted
        return found or accepted

    async def _cancel(self, order: CancelOrder, target: Params) -> OrderSnapshot:
        body = await self._call(CANCEL, target)
        return await self._settled(self._parsed(CANCEL, lambda: self._known(body, order.instrument, order.client_id)))

    async def _query(self, target: Params, client_id: str, instrument: Instrument) -> OrderSnapshot | None:
        try:
            body = await self._call(QUERY, target)
        except ExchangeRefused as refused:
            if refused.code == NOT_FOUND:
                return None
            raise
        return self._parsed(QUERY, lambda: self._known(body, instrument, client_id))

    def _known(self, body: bytes, instrument: Instrument, client_id: str) -> OrderSnapshot:
        """The answer as our order; remembers the venue's id of it."""
        order = read(body, answers.WireOrder)
        if order.market != market_code(instrument):
            raise DataError(f"asked about {instrument.symbol}, the answer is about {order.market[:20]}")
        if order.identifier is None:
            order.identifier = client_id
        snapshot = answers.snapshot(order, instrument, self.now_ms())
        if snapshot.client_id != client_id:
            raise DataError(f"asked about {client_id}, the answer is about another order")
        _remember(self._venue_ids, client_id, snapshot.venue_id)
        return snapshot

    # --- small knowledge ----------------------------------------------------------------------------------------

    def _rules(
        self, prices: dict[str, float], stated: dict[str, Decimal], chances: dict[str, answers.WireChance]
    ) -> dict[Instrument, MarketRules]:
        rules = {}
        for code, instrument in self._codes.items():
            self._ticks.learn(instrument, prices[code], stated[code])
            tick = self._ticks.current(instrument)
            rules[instrument] = answers.rules_of(instrument, tick, prices[code], chances.get(instrument.quote))
        return rules

    async def _chances(self) -> dict[str, answers.WireChance]:
        """Terms by quote currency; they are the same in all markets of one."""
        markets = {i.quote: code for code, i in self._codes.items()}
        return {
            quote: await self._read(CHANCE, {"market": code}, answers.WireChance) for quote, code in markets.items()
        }

    async def _granted(self, call: Call, params: Params) -> bool:
        """Whether the key has the right that this call needs; any other refusal is about what was asked."""
        try:
            await self._call(call, params)
        except ExchangeRefused as refused:
            return refused.code != OUT_OF_SCOPE
        return True

    async def _hear(self) -> Answer:
        """Any answer of the venue. ConfigError where it is asked of a market that it does not list."""
        try:
            return await self._client.call(TICKER, {"markets": next(iter(self._codes), "KRW-BTC")})
        except ExchangeRefused as refused:
            if refused.code == "404":
                await self.rules()
            raise

    async def _call(self, call: Call, params: Params) -> bytes:
        return (await self._client.call(call, params)).body

    async def _read(self, call: Call, params: Params, kind: Any) -> Any:
        body = await self._call(call, params)
        return self._parsed(call, lambda: read(body, kind))

    def _parsed(self, call: Call, build: Callable[[], Any]) -> Any:
        """``build()``; what it cannot read becomes our error for this call."""
        try:
            return build()
        except (DataError, ValueError, ArithmeticError) as error:
            reason = str(error)[:160]
        raise self._unreadable(call, reason)

    def _unreadable(self, call: Call, reason: str) -> BotError:
        log.error("%s %s: unreadable answer: %s", VENUE, call.where, reason)
        return translate(UnreadableAnswer(), call.placing, f"{VENUE} {call.where}")


def _remember(known: OrderedDict[str, Any], key: str, value: Any) -> None:
    known[key] = value
    known.move_to_end(key)
    while len(known) > REMEMBERED_IDS:
        known.popitem(last=False)
