"""The exchange's books: orders, the money set aside for them, their trades, and the reports of all that.

What is done to an order is written down here; when it is done, the exchange decides (``exchange``).
"""

import copy
from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import count
from typing import Any

from core.units import MarketRules, Side
from exchanges.simulated.accounts import Account
from exchanges.simulated.events import AccountMoved, Event, ListMoved, OrderMoved
from exchanges.simulated.fees import DISCOUNT_ASSET, Charge, bnb_charge, fee_on, plain_charge
from exchanges.simulated.lists import OrderList
from exchanges.simulated.orders import ZERO, Amendment, SimOrder, Status, Trade
from exchanges.simulated.selftrade import PreventedMatch, Stp

BnbPrice = Callable[[str, int], Decimal | None]
"""(asset, at_ms) to the price of one BNB in it; None where nobody quotes one."""


class Books:
    """Orders by number and by client id, trades and resting orders by market, and one account.

    ``in_quote``: by market, whether fees are taken from the quote coin. ``bnb_price``: see ``burns_bnb``.
    """

    def __init__(
        self, rules: Sequence[MarketRules], in_quote: Sequence[bool], account: Account, bnb_price: BnbPrice
    ) -> None:
        self.rules = tuple(rules)
        self.unit = [r.tick * r.step for r in rules]
        """Quote units of one tick times one step, by market."""
        self.account = account
        self.burns_bnb = False
        """Fees are paid in BNB, a quarter off, as long as there is enough of it and a price for it."""
        self.orders: dict[int, SimOrder] = {}
        self.trades: list[list[Trade]] = [[] for _ in rules]
        self.working: list[dict[int, SimOrder]] = [{} for _ in rules]
        """Orders that rest in the book."""
        self.waiting: list[dict[int, SimOrder]] = [{} for _ in rules]
        """Contingent orders whose price has not come."""
        self.prevented: list[PreventedMatch] = []
        self.lists: dict[int, OrderList] = {}
        self._in_quote = tuple(in_quote)
        self._bnb_price = bnb_price
        self._by_client: dict[tuple[int, str], SimOrder] = {}
        self._order_ids = count(1)
        self._trade_ids = [count(1) for _ in rules]
        self._execution_ids = count(1)
        self._events: list[Event] = []

    # Finding

    def by_client(self, row: int, client_id: str) -> SimOrder | None:
        """The newest order with that client id."""
        return self._by_client.get((row, client_id))

    def find(self, row: int, order_id: int | None, client_id: str | None) -> SimOrder | None:
        order = self._by_client.get((row, client_id or "")) if order_id is None else self.orders.get(order_id)
        if order is None or order.row != row or (client_id is not None and order.client_id != client_id):
            return None
        return order

    def open_in(self, row: int) -> list[SimOrder]:
        """Open orders of a market, resting or waiting for their price."""
        return [*self.working[row].values(), *self.waiting[row].values()]

    def take_events(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def tell(self, event: Event) -> None:
        self._events.append(event)

    # Writing

    def number(self, order: SimOrder) -> None:
        """Give a new order its number, and a client id where it brought none."""
        order.order_id = next(self._order_ids)
        order.client_id = order.client_id or f"sim{order.order_id:019d}"

    def enter(self, order: SimOrder) -> None:
        """Take a new order, for which everything needed is set aside."""
        self.orders[order.order_id] = self._by_client[order.row, order.client_id] = order
        self.moved(order, "NEW")

    def enter_pair(self, above: SimOrder, below: SimOrder, client_id: str, need: Decimal) -> OrderList:
        """Take two orders of which one cancels the other; what they need is set aside once, for the second."""
        self.set_aside(below, need)
        list_id = len(self.lists)
        made = OrderList(
            list_id=list_id,
            client_id=client_id or f"list{list_id:018d}",
            row=above.row,
            orders=(above, below),
            created_ms=above.created_ms,
            updated_ms=above.created_ms,
        )
        self.lists[list_id] = made
        above.list_id = below.list_id = list_id
        for order in (above, below):
            self.enter(order)
        self._list_moved(made, above.created_ms)
        return made

    def alone(self, order: SimOrder, at_ms: int) -> None:
        """An order begins to act: the other one of its list expires and leaves it what is set aside for both."""
        found = self.lists.get(order.list_id)
        if found is None or found.done:
            return
        other = found.other(order)
        order.locked, other.locked = order.locked + other.locked, ZERO
        self._list_done(found, order, Status.EXPIRED, "EXPIRED", at_ms)

    def _list_done(
        self, found: OrderList, order: SimOrder, status: Status, kind: str, at_ms: int, cancel_id: str = ""
    ) -> None:
        """``order`` acts, or is gone: the other one goes too."""
        found.done, found.updated_ms = True, at_ms
        other = found.other(order)
        if other.live:
            self.end(other, status, kind, at_ms, cancel_id=cancel_id)
        self._list_moved(found, at_ms)

    def _list_moved(self, found: OrderList, at_ms: int) -> None:
        orders = tuple((order.order_id, order.client_id) for order in found.orders)
        self.tell(ListMoved(found.list_id, found.client_id, found.row, orders, found.done, at_ms))

    def set_aside(self, order: SimOrder, need: Decimal) -> None:
        """Lock what an order needs; VenueRefusal -2010 when it is not there."""
        self.account.lock(paid_in(order), need)
        order.locked = need

    def give_back(self, order: SimOrder, keep: Decimal = ZERO) -> None:
        """Release what is set aside for an order beyond ``keep``."""
        self.account.release(paid_in(order), order.locked - keep)
        order.locked = keep

    def needed(self, order: SimOrder, ticks: int) -> Decimal:
        """What must be set aside for the rest of an order: coins to sell, or money at ``ticks`` and the fee on it."""
        if order.side is Side.SELL:
            return order.remaining * order.step
        rule = self.rules[order.row]
        money = order.remaining * ticks * self.unit[order.row]
        return money + self.fee_beside(order, money, maker=rule.maker_fee > rule.taker_fee)

    def fee_beside(self, order: SimOrder, money: Decimal, maker: bool) -> Decimal:
        """The fee that a buy pays on top of ``money``."""
        rule = self.rules[order.row]
        return fee_on(money, rule.maker_fee if maker else rule.taker_fee) if self._in_quote[order.row] else ZERO

    def fill(self, order: SimOrder, ticks: int, steps: int, at_ms: int, maker: bool) -> None:
        """Trade a part of an order, and report it. An order that is done leaves the book."""
        self.alone(order, at_ms)
        row, rule = order.row, self.rules[order.row]
        money, quantity = steps * ticks * self.unit[row], steps * order.step
        base, quote = order.instrument.base, order.instrument.quote
        fee = self._charge(order, quantity, money, rule.maker_fee if maker else rule.taker_fee, at_ms)
        self.account.settle(order.side, base, quote, quantity, money, fee)
        order.executed += steps
        order.quote_executed += money
        order.status = Status.PARTIALLY_FILLED if order.remaining else Status.FILLED
        order.updated_ms = at_ms
        order.locked -= quantity if order.side is Side.SELL else money + (fee.amount if fee.beside else ZERO)
        if order.ticks:
            self.give_back(order, self.needed(order, order.ticks))
        trade = Trade(
            trade_id=next(self._trade_ids[row]),
            order_id=order.order_id,
            client_id=order.client_id,
            side=order.side,
            price=ticks * rule.tick,
            quantity=quantity,
            quote_quantity=money,
            fee=fee.amount,
            fee_asset=fee.asset,
            maker=maker,
            at_ms=at_ms,
        )
        order.trades.append(trade)
        self.trades[row].append(trade)
        if order.status is Status.FILLED:
            self.leave_book(order)
            # Fees are cut at each fill, so a little of what was set aside for them may be left.
            self.give_back(order)
        self.moved(order, "TRADE", trade)

    def end(self, order: SimOrder, status: Status, kind: str, now_ms: int, cancel_id: str = "") -> None:
        """Take an order out of the book unfilled, or filled in part."""
        self.give_back(order)
        order.status, order.updated_ms = status, max(order.updated_ms, now_ms)
        self.leave_book(order)
        self.moved(order, kind, cancel_id=cancel_id)
        found = self.lists.get(order.list_id)
        if found is not None and not found.done:
            self._list_done(found, order, status, kind, now_ms, cancel_id)

    def prevent(self, taker: SimOrder, maker: SimOrder, ticks: int, at_ms: int, steps: int | None = None) -> None:
        """Record a trade of ``taker`` with ``maker`` that is not to be, and take from both what the mode takes: all
        that is left of one or both, or, with ``steps``, so much of each."""
        losses = {
            Stp.EXPIRE_TAKER: (taker.remaining, None),
            Stp.EXPIRE_MAKER: (None, maker.remaining),
            Stp.EXPIRE_BOTH: (taker.remaining, maker.remaining),
        }.get(Stp(taker.stp), (steps, steps))
        match = PreventedMatch(
            match_id=sum(m.row == taker.row for m in self.prevented),
            row=taker.row,
            taker_id=taker.order_id,
            maker_id=maker.order_id,
            mode=taker.stp,
            ticks=ticks,
            taker_steps=losses[0],
            maker_steps=losses[1],
            at_ms=at_ms,
        )
        self.prevented.append(match)
        for order, other, lost in ((maker, taker, losses[1]), (taker, maker, losses[0])):
            if lost is not None:
                self._lose(order, other, lost, match.match_id, at_ms)

    def _lose(self, order: SimOrder, other: SimOrder, steps: int, match_id: int, at_ms: int) -> None:
        order.prevented += steps
        order.match_id = match_id
        order.updated_ms = max(order.updated_ms, at_ms)
        if order.remaining:
            if order.ticks:
                self.give_back(order, self.needed(order, order.ticks))
        else:
            order.status = Status.EXPIRED_IN_MATCH
            self.leave_book(order)
            self.give_back(order)
        self.moved(order, "TRADE_PREVENTION", counter_id=other.order_id, lost=steps)
        found = self.lists.get(order.list_id)
        if found is not None and not found.done and not order.live:
            self._list_done(found, order, Status.EXPIRED, "EXPIRED", at_ms)

    def reduce(self, order: SimOrder, steps: int, client_id: str, now_ms: int) -> Amendment:
        """Lessen an order's quantity to ``steps``; it keeps its place."""
        execution_id = next(self._execution_ids)
        done = Amendment(
            execution_id=execution_id,
            old_client_id=order.client_id,
            client_id=client_id,
            old_steps=order.steps,
            steps=steps,
            at_ms=now_ms,
        )
        order.steps, order.client_id, order.updated_ms = steps, client_id, max(order.updated_ms, now_ms)
        order.amendments.append(done)
        self._by_client[order.row, client_id] = order
        self.give_back(order, self.needed(order, order.ticks or order.lock_ticks))
        then = copy.copy(order)
        self.tell(OrderMoved(then, "REPLACED", execution_id, now_ms, former_id=done.old_client_id))
        return done

    def leave_book(self, order: SimOrder) -> None:
        order.working = False
        self.working[order.row].pop(order.order_id, None)
        self.waiting[order.row].pop(order.order_id, None)

    def moved(self, order: SimOrder, kind: str, trade: Trade | None = None, **more: Any) -> None:
        """Report an order as it stands; ``more`` are fields of ``OrderMoved``."""
        then = copy.copy(order)
        self.tell(OrderMoved(then, kind, next(self._execution_ids), order.updated_ms, trade, **more))

    def account_moved(self, order: SimOrder, now_ms: int) -> None:
        """Report the balances that an order may have changed."""
        assets = [order.instrument.base, order.instrument.quote]
        if self.burns_bnb and DISCOUNT_ASSET not in assets:
            assets.append(DISCOUNT_ASSET)
        self.balances_moved(assets, now_ms)

    def balances_moved(self, assets: Sequence[str], now_ms: int) -> None:
        self.account.changed_ms = now_ms
        rows = tuple((asset, self.account.free(asset), self.account.locked(asset)) for asset in assets)
        self.tell(AccountMoved(rows, now_ms))

    def _charge(self, order: SimOrder, quantity: Decimal, money: Decimal, rate: Decimal, at_ms: int) -> Charge:
        base, quote = order.instrument.base, order.instrument.quote
        in_quote = self._in_quote[order.row]
        if self.burns_bnb and not in_quote:
            price = self._bnb_price(quote, at_ms)
            charge = bnb_charge(money, rate, price, self.account.free(DISCOUNT_ASSET)) if price else None
            if charge is not None:
                return charge
        return plain_charge(order.side, base, quote, quantity, money, rate, in_quote)


def paid_in(order: SimOrder) -> str:
    """The asset that an order pays with."""
    return order.instrument.base if order.side is Side.SELL else order.instrument.quote
