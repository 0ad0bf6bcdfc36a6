"""Upbit's streams over a real socket: bars from trades with REST's word, tops, orders once, and every way of ending."""

import asyncio
import traceback
from dataclasses import replace
from decimal import Decimal

import pytest

from config.settings import ExchangeSettings
from core.errors import ConfigError, ExchangeRefused
from core.messages import OrderState
from core.units import MINUTE_MS, Instrument, Side
from exchanges.lag import BEHIND_FRAMES
from exchanges.link import LinkPolicy
from exchanges.trade_bars import GRACE_MS, HOLD_MS
from exchanges.upbit.gateway import UpbitGateway
from exchanges.upbit.stream import SETTLE_MS, MarketStream
from exchanges.upbit.user_stream import UserStream
from tests.support.upbit_frames import MINUTE, book_frame, my_asset, my_order, my_trade, trade_frame
from tests.support.upbit_stub import ACCESS_KEY, SECRET_KEY, UpbitStub, claims_of, send, ticker
from tests.support.venue_stub import Reply

D = Decimal
BTC, DOGE = Instrument("upbit", "BTC/KRW"), Instrument("upbit", "DOGE/KRW")
QUICK = LinkPolicy(silence_s=None, first_delay_s=0.02, longest_delay_s=0.1, confirm_s=2.0)
TICKER, CANDLES = "/v1/ticker", "/v1/candles/minutes/1"


class Watch:
    """Runs a market stream against the stub, with a clock of its own, and keeps what it told."""

    def __init__(self, stub: UpbitStub, policy: LinkPolicy = QUICK, now_ms: int = MINUTE - SETTLE_MS) -> None:
        self.bars, self.tops, self.gaps, self.now_ms = [], [], [], now_ms
        self.stub = stub
        stub.server_ms = now_ms
        self.gateway = UpbitGateway(stub.settings(), None, [BTC, DOGE])
        self.stream = MarketStream(
            stub.settings(),
            [BTC, DOGE],
            on_bar=lambda i, bar: self.bars.append((i, bar)),
            on_top=lambda i, top: self.tops.append((i, top)),
            on_gap=self.gaps.append,
            now_ms=lambda: self.now_ms,
            policy=policy,
            rest=self.gateway,
        )

    def at(self, now_ms: int) -> None:
        self.now_ms = self.stub.server_ms = now_ms

    async def __aenter__(self) -> "Watch":
        self.task = asyncio.create_task(self.stream.run())
        async with asyncio.timeout(5):
            await self.stream.subscribed()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stream.close()
        async with asyncio.timeout(5):
            await self.task
        await self.gateway.close()


@pytest.fixture
async def stub():
    async with UpbitStub() as server:
        server.greeting = [trade_frame(MINUTE - 70_000, 149_000_000.0, stream_type="SNAPSHOT"), book_frame()]
        yield server
        assert server.forged == []


async def test_the_whole_list_goes_out_in_one_request_and_data_confirms_it(stub):
    async with Watch(stub) as watch:
        (request,) = stub.inbox
        assert request[1:] == [
            {"type": "trade", "codes": ["KRW-BTC", "KRW-DOGE"]},
            {"type": "orderbook", "codes": ["KRW-BTC", "KRW-DOGE"]},
            {"format": "DEFAULT"},
        ]
        assert "ticket" in request[0]
        assert watch.stream.state.lives == 1
        assert "Authorization" not in stub.handshakes[0]


async def test_trades_become_a_bar_when_a_later_one_comes(stub):
    async with Watch(stub) as watch:
        await stub.say(trade_frame(MINUTE + 5, 150_000_000.0), trade_frame(MINUTE + 9, 150_002_000.0))
        await stub.say(trade_frame(MINUTE + 9, 150_002_000.0))  # once more
        watch.at(MINUTE + MINUTE_MS + HOLD_MS)
        await stub.say(trade_frame(MINUTE + MINUTE_MS + 1, 1.0))
        await stub.until(lambda: watch.bars)
        ((instrument, bar),) = watch.bars
        assert (instrument, bar.minute, bar.open, bar.close, bar.source) == (
            BTC,
            MINUTE,
            150_000_000.0,
            150_002_000.0,
            "stream",
        )
        assert bar.volume == pytest.approx(0.02)
        assert watch.stream.bars.faults["repeated"] == 1


async def test_one_ticker_request_closes_all_quiet_markets(stub):
    """BTC traded and then was silent; DOGE did not trade at all. No candle needs to be asked for."""
    async with Watch(stub) as watch:
        await stub.say(trade_frame(MINUTE + 5))
        await stub.until(lambda: watch.stream.state.frames == 3)
        rows = [ticker(trade_timestamp=MINUTE + 5), ticker(market="KRW-DOGE", trade_price=298.0, trade_timestamp=5)]
        stub.on("GET", TICKER, Reply(rows))
        watch.at(MINUTE + MINUTE_MS + GRACE_MS)
        await stub.until(lambda: len(watch.bars) == 2)
        told = {i: (b.minute, b.close, b.filler, b.source) for i, b in watch.bars}
        assert told == {BTC: (MINUTE, 150_000_000.0, False, "stream"), DOGE: (MINUTE, 298.0, True, "filler")}
        assert stub.calls("GET", CANDLES) == []


def candle(price: float, market: str = "KRW-BTC", volume: float = 3.0, stamp: str = "2026-02-25T06:14:00") -> dict:
    row = {"market": market, "candle_date_time_utc": stamp, "opening_price": price, "high_price": price}
    return row | {"low_price": price, "trade_price": price, "candle_acc_trade_volume": volume}


async def test_a_trade_that_was_not_heard_is_found_by_rest(stub):
    async with Watch(stub) as watch:
        await stub.say(trade_frame(MINUTE + 5))
        await stub.until(lambda: watch.stream.state.frames == 3)
        rows = [ticker(trade_timestamp=MINUTE + 900), ticker(market="KRW-DOGE", trade_price=298.0, trade_timestamp=5)]
        stub.on("GET", TICKER, Reply(rows))
        stub.on("GET", CANDLES, Reply([candle(151_000_000.0)]))
        watch.at(MINUTE + MINUTE_MS + GRACE_MS)
        await stub.until(lambda: len(watch.bars) == 2)
        bar = dict(watch.bars)[BTC]
        assert (bar.close, bar.volume, bar.source) == (151_000_000.0, 3.0, "rest")
        assert watch.stream.bars.faults["mended"] == 1


async def test_the_minute_of_the_connection_is_rests_alone(stub):
    async with Watch(stub, now_ms=MINUTE + 10_000) as watch:
        await stub.say(trade_frame(MINUTE + 20_000))
        watch.at(MINUTE + MINUTE_MS + HOLD_MS)
        await stub.say(trade_frame(MINUTE + MINUTE_MS + 5))
        await stub.until(lambda: watch.stream.state.frames == 4)
        assert watch.bars == []
        stub.on("GET", CANDLES, Reply([candle(152_000_000.0)]))
        watch.at(MINUTE + MINUTE_MS + GRACE_MS)
        await stub.until(lambda: dict(watch.bars).get(BTC))
        assert dict(watch.bars)[BTC].source == "rest"


async def test_after_a_cut_the_missed_minutes_come_by_rest_and_the_gap_is_told(stub):
    async with Watch(stub) as watch:
        await stub.say(trade_frame(MINUTE + 5))
        await stub.until(lambda: watch.stream.state.frames == 3)
        watch.at(MINUTE + MINUTE_MS + 20_000)
        stub.on("GET", CANDLES, Reply([candle(151_000_000.0)]))
        stub.cut()
        await stub.until(lambda: watch.gaps)
        assert "ConnectionClosed" in watch.gaps[0]
        await stub.until(lambda: dict(watch.bars).get(BTC))
        assert [(b.minute, b.source) for i, b in watch.bars if i == BTC] == [(MINUTE, "rest")]


RENEWING = replace(QUICK, renew_s=0.6, stagger_s=0.0, overlap_s=0.1)


async def test_a_renewal_with_overlap_leaves_no_gap_and_the_minute_whole(stub):
    async with Watch(stub, RENEWING) as watch:
        await stub.say(trade_frame(MINUTE + 5, 150_000_000.0))
        await stub.until(lambda: len(stub.handshakes) == 2)
        for socket in stub.sockets:
            if not socket.closed:  # both connections tell the same
                await send(socket, trade_frame(MINUTE + 9, 150_002_000.0))
        await stub.until(lambda: stub.sockets[0].closed)
        watch.at(MINUTE + MINUTE_MS + HOLD_MS)
        await stub.say(trade_frame(MINUTE + MINUTE_MS + 1))
        await stub.until(lambda: watch.bars)
        ((_, bar),) = watch.bars
        assert (bar.source, bar.volume, bar.close, watch.gaps) == ("stream", 0.02, 150_002_000.0, [])


async def test_a_stream_that_has_fallen_behind_is_left_for_one_that_begins_now(stub, monkeypatch):
    """Its books would still look fresh enough to trade on. What a SNAPSHOT tells may be of any age."""
    monkeypatch.setattr("exchanges.lag.MOST_BEHIND_MS", 200)
    async with Watch(stub, replace(QUICK, overlap_s=0.1)) as watch:
        for at in (0, 50, 100):
            await stub.say(book_frame(at_ms=MINUTE + at))
            await asyncio.sleep(0.05)
        for _ in range(2 * BEHIND_FRAMES):
            await stub.say(book_frame(at_ms=MINUTE - 90_000, stream_type="SNAPSHOT"))
        await stub.until(lambda: watch.stream.state.frames > 2 * BEHIND_FRAMES)
        assert len(stub.handshakes) == 1
        await asyncio.sleep(0.4)
        for at in range(BEHIND_FRAMES):  # 400 ms of market time are missing
            await stub.say(book_frame(at_ms=MINUTE + 150 + at))
        await stub.until(lambda: len(stub.inbox) == 2 and stub.sockets[0].closed)
        assert "old" in watch.stream.state.last_end
        assert watch.gaps == []


async def test_one_is_replaced_when_somebody_finds_it_deaf(stub):
    async with Watch(stub, replace(QUICK, overlap_s=0.1)) as watch:
        watch.stream.renew(Instrument("upbit", "XRP/KRW"), "not ours")
        watch.stream.renew(DOGE, "no book of it")
        watch.stream.renew(BTC, "while it is being replaced")
        await stub.until(lambda: len(stub.inbox) == 2 and stub.sockets[0].closed)
        assert watch.stream.state.last_end == "no book of it"
        assert (watch.gaps, len(stub.handshakes)) == ([], 2)


async def test_rest_that_fails_is_asked_again(stub):
    stub.on("GET", TICKER, Reply("oops", status=500), Reply([ticker(trade_timestamp=MINUTE + 5)]))
    async with Watch(stub) as watch:
        await stub.say(trade_frame(MINUTE + 5))
        await stub.until(lambda: watch.stream.state.frames == 3)
        watch.at(MINUTE + MINUTE_MS + GRACE_MS)
        await stub.until(lambda: len(stub.calls("GET", TICKER)) == 1)
        watch.at(MINUTE + MINUTE_MS + 2 * GRACE_MS + 10)
        await stub.until(lambda: watch.bars)
        assert watch.bars[0][1].source == "stream"


async def test_a_fault_of_ours_in_a_callback_ends_the_stream_and_is_seen(stub):
    watch = Watch(stub)

    def broken(instrument, bar) -> None:
        raise ZeroDivisionError

    watch.stream._on_bar = broken
    task = asyncio.create_task(watch.stream.run())
    await asyncio.wait_for(watch.stream.subscribed(), 5)
    stub.on("GET", TICKER, Reply([ticker(trade_timestamp=MINUTE - 70_000)]))
    watch.at(MINUTE + MINUTE_MS + GRACE_MS)
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(task, 5)
    await watch.gateway.close()


async def test_tops_are_the_latest_and_gone_when_the_connection_is(stub):
    async with Watch(stub) as watch:
        await stub.say(book_frame(1.0, 2.0), book_frame(0, 2.0), book_frame(3.0, 4.0))
        await stub.until(lambda: len(watch.tops) == 4)
        assert [top and (top.bid, top.ask) for _, top in watch.tops[1:]] == [(1.0, 2.0), None, (3.0, 4.0)]
        assert watch.stream.tops[BTC].bid_qty == 0.25
        stub.greeting = []
        stub.cut()
        await stub.until(lambda: not watch.stream.state.connected)
        assert watch.stream.tops == {}


async def test_a_refused_subscription_is_tried_again_later(stub):
    stub.greeting = [{"error": {"name": "NO_CODES", "message": "codes 필드가 없습니다."}}]
    watch = Watch(stub)
    task = asyncio.create_task(watch.stream.run())
    await stub.until(lambda: len(stub.handshakes) == 3)
    assert "NO_CODES" in watch.stream.state.last_end
    await watch.stream.close()
    await asyncio.wait_for(task, 5)
    await watch.gateway.close()


class Account:
    def __init__(self, stub: UpbitStub, keys=(ACCESS_KEY, SECRET_KEY), **more) -> None:
        self.orders, self.balances, self.reconnects = [], [], []
        self.stream = UserStream(
            stub.settings(),
            keys,
            [BTC],
            on_order=self.orders.append,
            on_balances=self.balances.extend,
            on_reconnect=self.reconnects.append,
            **{"policy": QUICK} | more,
        )

    async def __aenter__(self) -> "Account":
        self.task = asyncio.create_task(self.stream.run())
        async with asyncio.timeout(5):
            await self.stream.subscribed()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stream.close()
        async with asyncio.timeout(5):
            await self.task


@pytest.fixture
async def private():
    async with UpbitStub() as server:
        yield server
        assert server.forged == []


async def test_one_connection_carries_orders_and_assets_with_a_fresh_token_each_time(private):
    async with Account(private) as account:
        await private.until(lambda: private.inbox)
        assert private.inbox[0][1:3] == [{"type": "myOrder", "codes": ["KRW-BTC"]}, {"type": "myAsset"}]
        private.cut()
        await private.until(lambda: account.reconnects)
        first, second = (claims_of(token) for token in private.tokens())
        assert first["access_key"] == second["access_key"] == ACCESS_KEY
        assert first["nonce"] != second["nonce"]
        assert "query_hash" not in first


async def test_an_order_is_told_after_each_event_and_a_trade_once(private):
    async with Account(private) as account:
        await private.say(
            my_order(),
            my_trade(1, 0.0004, 0.0006),
            my_trade(1, 0.0004, 0.0006),
            my_trade(2, 0.0008, 0.0002),
            my_order(state="cancel", executed_volume=0.0008, remaining_volume=0.0002),
        )
        await private.until(lambda: len(account.orders) == 4)
        states = [(o.state, o.executed, [f.trade_id for f in o.fills]) for o in account.orders]
        assert states == [
            (OrderState.OPEN, D(0), []),
            (OrderState.PARTIAL, D("0.0004"), ["t-1"]),
            (OrderState.PARTIAL, D("0.0008"), ["t-2"]),
            (OrderState.CANCELLED, D("0.0008"), []),
        ]
        assert {(o.quantity, o.client_id, o.side) for o in account.orders} == {(D("0.001"), "mh-1", Side.BUY)}
        (fill,) = account.orders[1].fills
        assert (fill.quantity, fill.fee, fill.fee_asset, fill.at_ms) == (D("0.0004"), D("30.0"), "KRW", MINUTE + 101)
        assert account.stream.faults["repeated"] == 1


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"state": "trade", "executed_volume": 0.001, "remaining_volume": 0}, OrderState.FILLED),
        ({"state": "done", "executed_volume": 0.001, "remaining_volume": 0}, OrderState.FILLED),
        ({"state": "cancel", "time_in_force": "ioc"}, OrderState.EXPIRED),
        ({"state": "cancel", "time_in_force": "post_only"}, OrderState.CANCELLED),
        ({"state": "prevented", "remaining_volume": 0.0004, "prevented_volume": 0.0006}, OrderState.OPEN),
        ({"state": "prevented", "remaining_volume": 0, "prevented_volume": 0.001}, OrderState.EXPIRED),
        ({"identifier": "mh-1_r3"}, OrderState.OPEN),
    ],
)
async def test_states_of_the_stream_in_our_words(private, changes, state):
    async with Account(private) as account:
        frame = my_trade(1, 0.001, 0) if changes.get("state") == "trade" else my_order()
        await private.say(frame | changes)
        await private.until(lambda: account.orders)
        assert (account.orders[0].state, account.orders[0].quantity) == (state, D("0.001"))
        assert account.orders[0].client_id == "mh-1"


async def test_balances_are_read_digit_for_digit(private):
    async with Account(private) as account:
        await private.say(my_asset())
        await private.until(lambda: len(account.balances) == 2)
        assert (account.balances[0].free, account.balances[0].locked) == (D("1386929.37066662"), D("10329.670127489"))


@pytest.mark.parametrize("name", ["invalid_access_key", "no_authorization_ip", "INVALID_AUTH"])
async def test_a_refused_key_ends_the_stream_and_says_what_to_do(private, name):
    stream = Account(private).stream
    private.greeting = [{"error": {"name": name, "message": "거절"}}]
    with pytest.raises(ExchangeRefused, match=r"upbit\.com") as caught:
        await asyncio.wait_for(stream.run(), 5)
    assert caught.value.code == name


async def test_a_handshake_refused_with_401_ends_it_too(private):
    private.refuse_handshake = 401
    stream = Account(private).stream
    with pytest.raises(ExchangeRefused, match=r"upbit\.com") as caught:
        await asyncio.wait_for(stream.run(), 5)
    told = "".join(traceback.format_exception(caught.value))
    assert not [secret for secret in (ACCESS_KEY, SECRET_KEY, *private.tokens()) if secret in told]
    assert caught.value.__context__ is None


async def test_a_handshake_refused_otherwise_is_tried_again(private):
    private.refuse_handshake = 503
    account = Account(private)
    task = asyncio.create_task(account.stream.run())
    await private.until(lambda: len(private.handshakes) >= 2)
    private.refuse_handshake = 0
    await asyncio.wait_for(account.stream.subscribed(), 5)
    await account.stream.close()
    await asyncio.wait_for(task, 5)


async def test_no_keys_and_half_a_set_of_addresses_are_config_errors():
    with pytest.raises(ConfigError, match=r"config/api_keys\.json"):
        await UserStream(ExchangeSettings(), None, [BTC], print).run()
    with pytest.raises(ConfigError, match="both, or leave both out"):
        UserStream(ExchangeSettings(rest_url="http://127.0.0.1:9"), ("k", "s"), [BTC], print)
    lost = MarketStream(
        ExchangeSettings().model_copy(update={"stream_url": "http://x"}), [BTC], print, now_ms=lambda: 0
    )
    with pytest.raises(ConfigError, match=r"config\.json"):
        await lost.run()


async def test_what_is_not_ours_is_counted(private):
    async with Account(private) as account:
        await private.say(
            my_order(code="KRW-ETH"),
            my_order(order_type="best", price=None),
            {"type": "news"},
            {"status": "UP"},
            b"\xff\x00",
        )
        await private.until(lambda: account.stream.state.frames == 5)
        assert dict(account.stream.faults) == {"foreign": 3, "malformed": 1}
        assert account.orders == []
