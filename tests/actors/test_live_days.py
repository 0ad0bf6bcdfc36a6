"""Which days of live trading were clean: our records are held against a served exchange, beside a run that goes on."""

import asyncio
import threading
from dataclasses import replace
from decimal import Decimal as D

import pytest

from actors.runs.live_days import GRACE_MS, LiveDays, Midnight, of_day
from config.load import load_settings
from core.errors import BotError, ExchangeUnavailable
from core.messages import Fill, MinuteRecord, OrderReport, PlaceOrder, TimeInForce
from core.orders import client_id
from core.params import LiveSettings
from core.starting_cap import CapState, LiveDay, StartingCap, day_of
from core.units import DAY_MS, MINUTE_MS, Instrument, Side
from data.records import RecordStore
from exchanges.binance.gateway import BinanceGateway
from exchanges.simulated.server import serve_exchange
from tests.actors.test_arming import where
from tests.sim.conftest import BEGIN, KEY, SECRET, make_exchange

BTC = Instrument("binance", "BTC/USDT")
DAY = day_of(BEGIN)
MIDNIGHT = (DAY + 1) * DAY_MS
NAME = client_id("live", "ens", BEGIN, "BTC/USDT", 0)
LIVE = LiveSettings(clean_days=1, clean_day_minutes=1)
YESTERDAY = StartingCap(LIVE, CapState(judged=DAY - 1))


@pytest.fixture
async def server():
    running = await serve_exchange(make_exchange(), credentials={KEY: SECRET})
    yield running
    await running.close()


async def bought(server) -> MinuteRecord:
    """A purchase at the exchange, and the record of it."""
    gateway = BinanceGateway(where(server), (KEY, SECRET), (BTC,))
    order = PlaceOrder(
        client_id=NAME,
        intent_id="i",
        instrument=BTC,
        side=Side.BUY,
        quantity=D("0.001"),
        price=(server.state.exchange.top(0).ask * D("1.002")).quantize(D("0.01")),
        time_in_force=TimeInForce.IOC,
    )
    try:
        said = await gateway.place(order)
        fills: tuple[Fill, ...] = await gateway.fills(NAME, BTC)
    finally:
        await gateway.close()
    assert fills
    report = OrderReport(
        client_id=NAME,
        intent_id="i",
        instrument=BTC,
        side=Side.BUY,
        state=said.state,
        quantity=said.quantity,
        price=said.price,
        executed=said.executed,
    )
    minute = BEGIN // MINUTE_MS * MINUTE_MS
    return MinuteRecord(minute=minute, trace="t", status="done", state="active", orders=(report,), fills=fills)


def days_of(server, folder, *records: MinuteRecord) -> LiveDays:
    store = RecordStore(folder / "records")
    for record in records:
        store.append(record)
    store.close()
    settings = load_settings(environ={}, overrides=['trade.instruments=["binance:BTC/USDT"]'])
    exchange = {"binance": where(server)}
    settings = settings.model_copy(update={"config": settings.config.model_copy(update={"exchanges": exchange})})
    return LiveDays(settings, {"binance": (KEY, SECRET)}, folder, "live", folder)


async def finished(days: LiveDays, cap: StartingCap = YESTERDAY, now_ms: int = MIDNIGHT + GRACE_MS) -> list[LiveDay]:
    return await asyncio.to_thread(days.finished, cap, now_ms)


async def test_a_day_whose_orders_the_exchange_tells_as_we_do_is_clean(server, tmp_path):
    days = days_of(server, tmp_path, await bought(server))
    (seen,) = await finished(days)
    assert (seen.day, seen.minutes, seen.differences, seen.breaches) == (DAY, 1, (), ())
    assert seen.fills >= 1
    assert YESTERDAY.after(seen).state.steps == 1


async def test_a_fill_that_is_not_in_the_records_is_a_difference(server, tmp_path):
    record = await bought(server)
    (seen,) = await finished(days_of(server, tmp_path, replace(record, fills=())))
    assert "is not in the records" in seen.differences[0]


async def test_a_day_that_is_not_over_or_was_judged_is_not_judged(server, tmp_path):
    days = days_of(server, tmp_path, await bought(server))
    assert await finished(days, now_ms=MIDNIGHT + GRACE_MS - 1) == []
    assert await finished(days, StartingCap(LIVE, CapState(judged=DAY))) == []
    assert await finished(days, StartingCap(LIVE)) == []


async def test_what_is_told_of_a_days_order_after_midnight_belongs_to_that_day(server, tmp_path):
    record = await bought(server)
    evening = replace(record, minute=MIDNIGHT - MINUTE_MS, fills=())
    night = replace(record, minute=MIDNIGHT)
    assert of_day(DAY, [evening, night])[1].fills == night.fills
    (seen,) = await finished(days_of(server, tmp_path, evening, night))
    assert seen.differences == ()


# Beside a run that goes on


class Asked:
    """Days that are judged when they are told to be."""

    def __init__(self, *answers) -> None:
        self.answers = list(answers)
        self.go = threading.Event()

    def finished(self, cap, now_ms):
        assert self.go.wait(10)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


SEEN = LiveDay(day=DAY, minutes=5, fills=1)


def watch(asked: Asked, now: list[int]) -> tuple[Midnight, list[LiveDay]]:
    told: list[LiveDay] = []
    return Midnight(asked, YESTERDAY, lambda: now[0], told.append), told


def look_until_idle(midnight: Midnight) -> None:
    thread = midnight._asking
    if thread is not None:
        thread.join(10)
    midnight.look()


def test_nobody_waits_for_the_judgement_of_a_day():
    asked, now = Asked([SEEN]), [MIDNIGHT - 1]
    midnight, told = watch(asked, now)
    midnight.look()
    now[0] = MIDNIGHT + GRACE_MS
    midnight.look()
    midnight.look()
    assert told == []
    asked.go.set()
    look_until_idle(midnight)
    assert told == [SEEN]
    midnight.look()
    assert told == [SEEN]


def test_an_exchange_that_cannot_be_asked_is_asked_again():
    asked, now = Asked(ExchangeUnavailable("away"), [SEEN]), [MIDNIGHT - 1]
    asked.go.set()
    midnight, told = watch(asked, now)
    now[0] = MIDNIGHT + GRACE_MS
    midnight.look()
    look_until_idle(midnight)
    assert told == []
    now[0] += 10 * MINUTE_MS
    midnight.look()
    look_until_idle(midnight)
    assert told == [SEEN]


def test_a_part_that_does_not_take_the_day_is_told_again():
    asked, now = Asked([SEEN], [SEEN]), [MIDNIGHT - 1]
    asked.go.set()
    told: list[LiveDay] = []

    def tell(seen: LiveDay) -> None:
        told.append(seen)
        if len(told) == 1:
            raise BotError("risk is being started again")

    midnight = Midnight(asked, YESTERDAY, lambda: now[0], tell)
    for minutes in (0, 10, 10):
        now[0] = max(now[0], MIDNIGHT + GRACE_MS) + minutes * MINUTE_MS
        midnight.look()
        look_until_idle(midnight)
    assert told == [SEEN, SEEN]
