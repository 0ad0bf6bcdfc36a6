"""The order desk of the simulated Upbit: takes orders in its words, has the engine work them, and knows them again.

An ``identifier`` is used up by the first request that names it, whether that came to an order or not (docs.upbit.com,
"Create order").
"""

import re
from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from decimal import Decimal
from itertools import count

from core.units import Side, floor_to_step
from exchanges.simulated.events import OrderMoved
from exchanges.simulated.exchange import SimulatedExchange
from exchanges.simulated.fees import fee_on
from exchanges.simulated.filters import CLIENT_ID
from exchanges.simulated.orders import ZERO, OrderRequest, OrderType, SimOrder, Status
from exchanges.simulated.refusals import VenueRefusal
from exchanges.simulated.selftrade import Stp
from exchanges.simulated.upbit.errors import (
    duplicated_identifier,
    insufficient_funds,
    invalid_price,
    market_offline,
    of_engine,
    order_not_found,
    over_funds,
    under_min_total,
)
from exchanges.simulated.upbit.market import min_total, tick_of
from exchanges.simulated.upbit.payloads import code_of, exact
from exchanges.simulated.upbit.sheets import Sheet
from exchanges.simulated.upbit.wanted import Wanted, read_order

MAX_TOTAL_KRW = Decimal(1_000_000_000)
"""Largest order, as orders/chance states it."""
SELF_TRADES = {
    "cancel_maker": Stp.EXPIRE_MAKER,
    "cancel_taker": Stp.EXPIRE_TAKER,
    "reduce": Stp.DECREMENT,
    "none": Stp.NONE,
}
TIMES = {None: "GTC", "ioc": "IOC", "fok": "FOK", "post_only": "GTC"}


class Desk:
    """All orders of the account, by uuid and by identifier."""

    def __init__(self, exchange: SimulatedExchange) -> None:
        self.exchange = exchange
        self.rows = {code_of(i): row for row, i in enumerate(exchange.instruments)}
        self.sheets: dict[int, Sheet] = {}
        """By the engine's number; below 0 are those that never reached it."""
        self._by_uuid: dict[str, Sheet] = {}
        self._by_identifier: dict[str, Sheet] = {}
        self._used: set[str] = set()
        self._drafts = count(1)
        self.unworked: list[OrderMoved] = []
        """What happened to orders that never reached the engine, for whoever tells of it."""

    # Finding

    def find(self, uuid: str | None, identifier: str | None) -> Sheet:
        """The order; ``uuid`` counts when both are given. UpbitRefusal order_not_found when there is none."""
        found = self._by_uuid.get(uuid) if uuid else self._by_identifier.get(identifier or "")
        if found is None:
            raise order_not_found()
        return found

    def all(self) -> list[Sheet]:
        """Oldest first."""
        return list(self._by_uuid.values())

    # Asking

    def read(self, params: Mapping[str, object], test: bool = False) -> Wanted:
        """The order in the parameters, its identifier used up by this (unless it is a test)."""
        identifier = params.get("identifier")
        if identifier:
            if str(identifier) in self._used:
                raise duplicated_identifier()
            if not test:
                self._used.add(str(identifier))
        wanted = read_order(params, self.rows)
        if wanted.volume is not None:
            # The venue takes eight decimals of every coin; of the very cheapest the engine counts fewer.
            wanted = replace(wanted, volume=floor_to_step(wanted.volume, self.exchange.rules[wanted.row].step))
        return wanted

    def check(self, wanted: Wanted, released: Decimal = ZERO) -> None:
        """All that is checked before an order is taken. ``released``: what a cancelled order will have given back."""
        exchange, row, side = self.exchange, wanted.row, wanted.side
        limit = wanted.price if wanted.ord_type == "limit" else None
        if limit is not None and limit % tick_of(exchange, row, limit):
            raise invalid_price(side)
        if not exchange.trading(row):
            raise market_offline()
        rule = exchange.rules[row]
        total, least = self._total(wanted), min_total(exchange, row)
        if total < least:
            raise under_min_total(side, exact(least), rule.instrument.quote)
        if rule.instrument.quote == "KRW" and total > MAX_TOTAL_KRW:
            raise over_funds(side)
        if wanted.ord_type == "limit":
            request = self._request(wanted)
            try:
                if request is not None:
                    exchange.check(request)
            except VenueRefusal as refusal:
                raise of_engine(refusal, side, self._pays(wanted)) from None
        need = wanted.volume or ZERO
        if side is Side.BUY:
            need = total + fee_on(total, rule.taker_fee)
        if need > exchange.account.free(self._pays(wanted)) + released:
            raise insufficient_funds(side, self._pays(wanted))

    def _pays(self, wanted: Wanted) -> str:
        instrument = self.exchange.instruments[wanted.row]
        return instrument.quote if wanted.side is Side.BUY else instrument.base

    def _total(self, wanted: Wanted) -> Decimal:
        """Quote units an order is over: as asked, or what its volume fetches at the best bid."""
        if wanted.price is not None:
            return wanted.price if wanted.volume is None else wanted.price * wanted.volume
        met = self.exchange.met(wanted.row, wanted.side)
        price = met[0][0] * self.exchange.rules[wanted.row].tick if met else ZERO
        return price * (wanted.volume or ZERO)

    # Trading

    def place(self, wanted: Wanted) -> Sheet:
        """Take an order that was checked. UpbitRefusal when the engine refuses it nevertheless."""
        request = self._request(wanted)
        order = None if request is None else self._work(request, wanted)
        return self._keep(wanted, order or self._unworked(wanted))

    def draft(self, wanted: Wanted) -> Sheet:
        """The order as it would stand if it were placed: for orders/test. Its uuid is a new one, and finds nothing."""
        order = self._untouched(wanted, -(10**12) - next(self._drafts))
        return _sheet(wanted, order, self.exchange.rules[wanted.row].taker_fee)

    def _work(self, request: OrderRequest, wanted: Wanted) -> SimOrder | None:
        """The engine's order, or None for one that the venue takes only to cancel it."""
        try:
            return self.exchange.place(request)
        except VenueRefusal as refusal:
            # Taken, and cancelled at once: a post_only order that would trade, and an order that meets an empty book.
            if (wanted.time_in_force == "post_only" and "immediately" in refusal.text) or "liquidity" in refusal.text:
                return None
            raise of_engine(refusal, wanted.side, self._pays(wanted)) from None

    def _request(self, wanted: Wanted) -> OrderRequest | None:
        """The order in the engine's words; None when there is no price to take."""
        kind = OrderType.MARKET if wanted.ord_type in ("price", "market") else OrderType.LIMIT
        if wanted.time_in_force == "post_only":
            kind = OrderType.LIMIT_MAKER
        price, volume, money = wanted.price, wanted.volume, None
        if wanted.ord_type == "price":
            price, money = None, wanted.price
        if wanted.ord_type == "best":
            met, rule = self.exchange.met(wanted.row, wanted.side), self.exchange.rules[wanted.row]
            if not met:
                return None
            price = met[0][0] * rule.tick
            if wanted.price is not None:
                volume = floor_to_step(wanted.price / price, rule.step)
                if volume < rule.min_qty:
                    return None
        return OrderRequest(
            instrument=self.exchange.instruments[wanted.row],
            side=wanted.side,
            type=kind,
            quantity=volume,
            quote_quantity=money,
            price=price,
            time_in_force=TIMES[wanted.time_in_force],
            stp=SELF_TRADES[wanted.smp_type],
            # So that the account's statement names the order as its owner does.
            client_id=wanted.identifier if wanted.identifier and re.match(CLIENT_ID, wanted.identifier) else "",
        )

    def _unworked(self, wanted: Wanted) -> SimOrder:
        """An order that was taken and cancelled without touching the book."""
        order = self._untouched(wanted, -1 - sum(1 for number in self.sheets if number < 0))
        self.unworked.append(OrderMoved(copy(order), "NEW", 0, order.created_ms))
        order.status = Status.CANCELED
        self.unworked.append(OrderMoved(copy(order), "CANCELED", 0, order.created_ms))
        return order

    def _untouched(self, wanted: Wanted, number: int) -> SimOrder:
        rule, now = self.exchange.rules[wanted.row], self.exchange.now_ms
        return SimOrder(
            order_id=number,
            client_id="",
            row=wanted.row,
            instrument=rule.instrument,
            side=wanted.side,
            type=OrderType.LIMIT,
            time_in_force=TIMES[wanted.time_in_force],
            ticks=0,
            steps=int((wanted.volume or ZERO) / rule.step),
            price=wanted.price or ZERO,
            step=rule.step,
            created_ms=now,
            updated_ms=now,
        )

    def _keep(self, wanted: Wanted, order: SimOrder) -> Sheet:
        sheet = _sheet(wanted, order, self.exchange.rules[wanted.row].taker_fee)
        self.sheets[order.order_id] = self._by_uuid[sheet.uuid] = sheet
        if wanted.identifier:
            self._by_identifier[wanted.identifier] = sheet
        return sheet

    def cancel(self, sheet: Sheet) -> None:
        """Cancel an order that waits; UpbitRefusal order_not_found when it does not any more."""
        try:
            self.exchange.cancel(sheet.order.row, sheet.order.order_id)
        except VenueRefusal:
            raise order_not_found() from None

    def replace(self, sheet: Sheet, params: Mapping[str, object]) -> Sheet:
        """Cancel an order that waits and place another on the same side of the same market."""
        if not sheet.order.live:
            raise order_not_found()
        asked = {name.removeprefix("new_"): value for name, value in params.items() if name.startswith("new_")}
        if asked.get("volume") == "remain_only":
            asked["volume"] = str(sheet.order.remaining * sheet.order.step)
        side = "bid" if sheet.order.side is Side.BUY else "ask"
        wanted = self.read(asked | {"market": sheet.code, "side": side})
        self.check(wanted, released=sheet.order.locked)
        self.cancel(sheet)
        return self.place(wanted)


def _sheet(wanted: Wanted, order: SimOrder, fee_rate: Decimal) -> Sheet:
    return Sheet(
        order=order,
        ord_type=wanted.ord_type,
        price=wanted.price,
        volume=wanted.volume,
        time_in_force=wanted.time_in_force,
        smp_type=wanted.smp_type,
        fee_rate=fee_rate,
        identifier=wanted.identifier,
    )
