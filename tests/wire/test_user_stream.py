"""The account's events over a real socket: signed subscription, each execution once, and reconnects told."""

import asyncio
import base64
import hashlib
import hmac
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from config.settings import ExchangeSettings
from core.errors import ConfigError, ExchangeRefused, ExchangeUnavailable
from core.messages import OrderState
from core.units import Instrument
from exchanges.binance.user_stream import UserStream
from exchanges.limits import Gate
from exchanges.limits.priority import Priority
from exchanges.limits.tables import binance_costs
from exchanges.link import LinkPolicy
from tests.support.binance_stub import API_KEY, SECRET, BinanceStub
from tests.wire.test_decode import report

BTC = Instrument("binance", "BTC/USDT")
QUICK = LinkPolicy(silence_s=None, first_delay_s=0.02, longest_delay_s=0.1, confirm_s=2.0)


def event(value: dict) -> str:
    return json.dumps({"subscriptionId": 0, "event": value})


def trade(number: int, **changes) -> str:
    values = {"x": "TRADE", "X": "PARTIALLY_FILLED", "l": "0.001", "L": "50000", "n": "0.05", "N": "USDT"}
    return event(report(**values | {"t": number, "I": 100 + number, "z": f"0.00{number}"} | changes))


class Watch:
    def __init__(self, stub: BinanceStub, keys=(API_KEY, SECRET), **more) -> None:
        self.orders, self.balances, self.reconnects = [], [], []
        self.stream = UserStream(
            stub.settings(),
            keys,
            [BTC],
            on_order=self.orders.append,
            on_balances=self.balances.extend,
            on_reconnect=self.reconnects.append,
            **{"now_ms": lambda: 1_772_000_000_000, "policy": QUICK} | more,
        )

    async def __aenter__(self) -> "Watch":
        self.task = asyncio.create_task(self.stream.run())
        async with asyncio.timeout(5):
            await self.stream.subscribed()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stream.close()
        async with asyncio.timeout(5):
            await self.task


@pytest.fixture
async def stub():
    async with BinanceStub() as server:
        yield server


async def test_the_subscription_is_signed_over_sorted_parameters(stub):
    async with Watch(stub):
        (asked,) = stub.inbox
    assert asked["method"] == "userDataStream.subscribe.signature"
    payload = f"apiKey={API_KEY}&recvWindow=5000&timestamp=1772000000000"
    wanted = hmac.new(SECRET.encode(), payload.encode(), hashlib.sha256).hexdigest()
    assert asked["params"]["signature"] == wanted


async def test_an_ed25519_key_signs_too(stub):
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    async with Watch(stub, keys=(API_KEY, pem)):
        params = dict(stub.inbox[0]["params"])
    signature = base64.b64decode(params.pop("signature"))
    payload = "&".join(f"{k}={params[k]}" for k in sorted(params))
    private.public_key().verify(signature, payload.encode())


async def test_executions_come_once_and_in_order_with_their_fills(stub):
    async with Watch(stub) as watch:
        await stub.say(event(report()), trade(1), trade(1), trade(2, X="FILLED"))
        await stub.until(lambda: len(watch.orders) == 3)
        assert [o.state for o in watch.orders] == [OrderState.OPEN, OrderState.PARTIAL, OrderState.FILLED]
        assert [f.trade_id for o in watch.orders for f in o.fills] == ["1", "2"]
        assert watch.stream.faults == {"repeated": 1}


async def test_balances_that_changed_are_told(stub):
    position = {"e": "outboundAccountPosition", "E": 1, "u": 1, "B": [{"a": "USDT", "f": "9.5", "l": "0.5"}]}
    async with Watch(stub) as watch:
        await stub.say(event(position))
        await stub.until(lambda: watch.balances)
        assert watch.balances[0].total == 10


async def test_broken_and_foreign_events_are_counted(stub):
    async with Watch(stub) as watch:
        await stub.say("{", event(report(X="ODD")), event({"e": "executionReport"}), event(report(s="AAABBB")))
        await stub.say(event({"e": "novelty"}), event({"e": "balanceUpdate", "a": "BTC", "d": "1", "T": 1}), "{}")
        await stub.say(trade(1))
        await stub.until(lambda: watch.orders)
        assert watch.stream.faults == {"malformed": 3, "foreign": 3}
        assert watch.stream.state.lives == 1


@pytest.mark.parametrize("notice", ["serverShutdown", "eventStreamTerminated"])
async def test_a_stream_the_venue_ends_is_subscribed_again_and_told(stub, notice):
    slow = LinkPolicy(silence_s=None, first_delay_s=30.0, longest_delay_s=30.0)
    async with Watch(stub, policy=slow) as watch:
        await stub.say({"event": {"e": notice, "E": 1}})
        await stub.until(lambda: watch.reconnects, within_s=2.0)
        assert len(stub.inbox) == 2
        assert notice in watch.reconnects[0]


async def test_a_dropped_connection_is_told_after_it_is_subscribed_again(stub):
    async with Watch(stub) as watch:
        assert watch.reconnects == []
        stub.cut()
        await stub.until(lambda: watch.reconnects)
        assert len(stub.inbox) == 2
        await stub.say(trade(1))
        await stub.until(lambda: watch.orders)


def refusal(code: int, msg: str) -> str:
    return json.dumps({"id": "1", "status": 400, "error": {"code": code, "msg": msg}})


async def test_a_refused_key_ends_the_stream_with_its_reason(stub):
    stub.confirm, text = False, refusal(-2015, f"Invalid API-key {API_KEY}, IP, or permissions for action.")
    watch = Watch(stub)
    task = asyncio.create_task(watch.stream.run())
    await stub.until(lambda: stub.inbox)
    await stub.say(text)
    with pytest.raises(ExchangeRefused, match="Invalid API-key") as refused:
        await asyncio.wait_for(task, 5)
    assert refused.value.code == "-2015"
    assert API_KEY not in str(refused.value)


async def test_a_refused_time_stamp_reads_the_clock_before_the_next_try(stub):
    stub.confirm = False
    calls = []

    async def resync() -> None:
        calls.append(len(stub.inbox))
        if len(calls) == 1:
            raise ExchangeUnavailable("binance server time: no connection")
        stub.confirm = True

    watch = Watch(stub, resync=resync)
    task = asyncio.create_task(watch.stream.run())
    for lives in (1, 2):
        await stub.until(lambda wanted=lives: len(stub.inbox) == wanted)
        if lives == 1:
            await stub.say(refusal(-1021, "Timestamp for this request is outside of the recvWindow."))
    await asyncio.wait_for(watch.stream.subscribed(), 5)
    assert calls == [1, 1]
    await watch.stream.close()
    await asyncio.wait_for(task, 5)


@pytest.mark.parametrize(
    ("status", "data", "pause_s"),
    [
        (418, {"serverTime": 1_772_000_000_000, "retryAfter": 1_772_000_300_000}, 300.0),
        (429, {"serverTime": 1_772_000_000_000, "retryAfter": 1_772_000_007_000}, 7.0),
        (418, None, 120.0),
        (418, {"serverTime": 5, "retryAfter": -1}, 120.0),
        (418, {"serverTime": "now", "retryAfter": [1]}, 120.0),
        (418, {"serverTime": 1, "retryAfter": 2**52}, 3 * 86_400.0),
    ],
)
async def test_a_ban_told_on_the_stream_holds_everything_that_leaves_this_address(stub, status, data, pause_s):
    stub.confirm, gate = False, Gate.of("binance")
    error = {"code": -1003, "msg": "Way too much request weight used; IP banned."} | ({"data": data} if data else {})
    watch = Watch(stub, gate=gate)
    task = asyncio.create_task(watch.stream.run())
    await stub.until(lambda: stub.inbox)
    await stub.say(json.dumps({"id": "1", "status": status, "error": error}))
    await stub.until(lambda: gate.look(lambda line, _: line.refusals))
    left = gate.look(lambda line, now: line.paused[""] - now) / 1_000
    assert pause_s - 1 < left <= pause_s
    await asyncio.sleep(0.3)  # ten times the back-off: nobody knocks while the pause lasts
    assert stub.handshakes == 1
    with pytest.raises(ExchangeUnavailable, match="asked for a pause"):
        async with gate.turn(binance_costs(1), Priority.CANCEL, 100, "cancel"):
            pass
    await watch.stream.close()
    await asyncio.wait_for(task, 5)


async def test_without_a_key_it_says_what_to_do(stub):
    with pytest.raises(ConfigError, match=r"config/api_keys\.json"):
        await Watch(stub, keys=None).stream.run()


def test_a_simulators_key_is_never_shown_to_the_venue():
    half = ExchangeSettings(rest_url="http://127.0.0.1:9")
    with pytest.raises(ConfigError, match="user_stream_url both"):
        UserStream(half, (API_KEY, SECRET), [BTC], print, now_ms=lambda: 0)
