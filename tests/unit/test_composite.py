"""Several venues behind one face: orders go where they belong, and a silent venue is never read as an empty one."""

from decimal import Decimal

import pytest

from core.errors import Defect, ExchangeUnavailable
from core.messages import AccountState, Balance, CancelOrder, OrderSnapshot, OrderState, PlaceOrder
from core.units import Instrument, MarketRules, Side
from exchanges.composite import Venues
from tests.support.fake_venue import AsyncFakeVenue, FakeVenue

BTC, KRW = Instrument("binance", "BTC/USDT"), Instrument("upbit", "BTC/KRW")


class Korean:
    """A second venue with one open order; ``down`` stops it answering."""

    name = "upbit"

    def __init__(self) -> None:
        self.down = False
        self.placed: list[PlaceOrder] = []

    async def rules(self) -> dict[Instrument, MarketRules]:
        self._served()
        usual = MarketRules(
            instrument=KRW,
            tick=Decimal(1000),
            step=Decimal("0.00000001"),
            min_qty=Decimal("0.00000001"),
            max_qty=Decimal(100),
            min_notional=Decimal(5000),
        )
        return {KRW: usual}

    async def account(self) -> AccountState:
        self._served()
        won = Balance(venue="upbit", asset="KRW", free=Decimal(1_000_000), locked=Decimal(0))
        return AccountState(at_ms=7, balances=(won,))

    async def place(self, order: PlaceOrder) -> OrderSnapshot:
        self.placed.append(order)
        return self._open(order.client_id)

    async def open_orders(self) -> tuple[OrderSnapshot, ...]:
        self._served()
        return (self._open("kept"),)

    def _open(self, client_id: str) -> OrderSnapshot:
        return OrderSnapshot(
            client_id=client_id,
            venue_id="1",
            instrument=KRW,
            side=Side.BUY,
            state=OrderState.OPEN,
            quantity=Decimal(1),
            price=Decimal(1000),
            executed=Decimal(0),
            at_ms=7,
        )

    def _served(self) -> None:
        if self.down:
            raise ExchangeUnavailable("upbit: no answer")


@pytest.fixture
def two() -> tuple[Venues, FakeVenue, Korean]:
    here, there = FakeVenue(), Korean()
    return Venues({"binance": AsyncFakeVenue(here), "upbit": there}), here, there  # type: ignore[dict-item]


def order(instrument: Instrument, client_id: str) -> PlaceOrder:
    return PlaceOrder(
        client_id=client_id,
        intent_id="i",
        instrument=instrument,
        side=Side.BUY,
        quantity=Decimal(1),
        price=Decimal(100),
    )


async def test_an_order_goes_where_its_instrument_trades(two):
    venues, here, there = two
    await venues.place(order(BTC, "a"))
    await venues.place(order(KRW, "b"))
    assert [held.placed.client_id for held in here.history] == ["a"]
    assert [o.client_id for o in there.placed] == ["b"]
    with pytest.raises(Defect, match="no such venue"):
        await venues.cancel(CancelOrder(client_id="c", instrument=Instrument("kraken", "BTC/EUR")))


async def test_the_account_and_the_rules_are_those_of_all(two):
    venues, _, _ = two
    account = await venues.account()
    assert account.reconciled
    assert account.free("upbit", "KRW") == 1_000_000
    assert account.free("binance", "USDT") == 1_000_000
    assert {BTC, KRW} <= (await venues.rules()).keys()
    assert "kept" in [o.client_id for o in await venues.open_orders()]


async def test_a_silent_venue_keeps_its_last_balances_and_the_account_says_so(two):
    venues, _, there = two
    await venues.account()
    there.down = True
    account = await venues.account()
    assert account.free("upbit", "KRW") == 1_000_000
    assert not account.reconciled
    assert "upbit did not state its account" in account.difference


async def test_a_venue_that_never_answered_has_no_account(two):
    venues, _, there = two
    there.down = True
    with pytest.raises(ExchangeUnavailable):
        await venues.account()


async def test_orders_that_were_not_told_are_not_gone(two):
    venues, _, there = two
    there.down = True
    with pytest.raises(ExchangeUnavailable):
        await venues.open_orders()


async def test_a_defect_of_one_venue_is_not_hidden_by_its_last_balances(two):
    venues, _, there = two
    await venues.account()

    async def broken() -> AccountState:
        raise Defect("unreadable")

    there.account = broken  # type: ignore[method-assign]
    with pytest.raises(Defect):
        await venues.account()
