"""No key, secret or signature in an exception, a traceback, a log line or a repr, whatever the log level."""

import asyncio
import logging
import pickle
import traceback

import pytest

from config.secrets import ApiKeys, Secret
from core.errors import BotError, ConfigError
from core.messages import CancelOrder
from exchanges.binance.gateway import BinanceGateway
from exchanges.binance.signing import KeyPair
from exchanges.binance.user_stream import UserStream
from tests.support.binance_stub import API_KEY, SECRET, BinanceStub
from tests.support.venue_stub import Reply
from tests.wire.test_error_table import ROWS
from tests.wire.test_gateway import BTC, ORDER, order, placed
from tests.wire.test_user_stream import QUICK, refusal


def keys() -> ApiKeys:
    return ApiKeys(api_key=Secret(API_KEY), api_secret=Secret(SECRET))


def assert_private(text: str, stub: BinanceStub) -> None:
    assert API_KEY not in text
    assert SECRET not in text
    signatures = [r.params["signature"] for r in stub.requests if "signature" in r.params]
    signatures += [m["params"]["signature"] for m in stub.inbox if "signature" in m["params"]]
    assert signatures
    assert not [s for s in signatures if s in text]
    assert "signature=" not in text


@pytest.fixture
def everything(caplog):
    caplog.set_level(logging.DEBUG)
    for name in ("ccxt", "aiohttp", "websockets", "asyncio"):
        caplog.set_level(logging.DEBUG, logger=name)
    return caplog


@pytest.mark.parametrize("row", ROWS)
async def test_a_failed_request_tells_nothing(row, everything):
    async with BinanceStub() as stub:
        gateway = BinanceGateway(stub.settings(timeout_ms=500), keys(), [BTC])
        stub.on("POST", ORDER, ROWS[row][0])
        stub.on("DELETE", ORDER, ROWS[row][0])
        for attempt in (gateway.place(order()), gateway.cancel(CancelOrder(client_id="mh-1", instrument=BTC))):
            with pytest.raises(BotError) as caught:
                await attempt
            assert_private("".join(traceback.format_exception(caught.value)) + repr(caught.value), stub)
            assert caught.value.__cause__ is None
            assert caught.value.__context__ is None or isinstance(caught.value.__context__, BotError)
            assert type(pickle.loads(pickle.dumps(caught.value))) is type(caught.value)  # crosses actors
        assert_private(everything.text + repr(gateway) + str(gateway), stub)
        await gateway.close()


async def test_good_requests_leave_no_trace_of_the_key_at_debug_level(everything):
    async with BinanceStub() as stub:
        gateway = BinanceGateway(stub.settings(), keys(), [BTC])
        stub.on("POST", ORDER, Reply(placed()))
        stub.on("GET", "/api/v3/account", Reply({"balances": []}))
        await gateway.place(order())
        await gateway.account()
        await gateway.close()
        assert_private(everything.text, stub)


async def test_the_user_stream_tells_nothing(everything):
    async with BinanceStub() as stub:
        stub.confirm = False
        stream = UserStream(stub.settings(), keys(), [BTC], lambda _: None, now_ms=lambda: 5, policy=QUICK)
        task = asyncio.create_task(stream.run())
        await stub.until(lambda: stub.inbox)
        stub.cut()
        await stub.until(lambda: len(stub.inbox) == 2)
        await stub.say(refusal(-1022, f"bad signature {stub.inbox[-1]['params']['signature']}"))
        with pytest.raises(BotError) as caught:
            await asyncio.wait_for(task, 5)
        shown = "".join(traceback.format_exception(caught.value)) + repr(stream) + stream.state.last_end
        assert_private(everything.text + shown, stub)


def test_a_key_pair_shows_and_sends_nothing():
    pair = KeyPair.of(keys())
    assert (repr(pair), pair.present, pair.api_key) == ("KeyPair(set)", True, API_KEY)
    assert repr(KeyPair.of(None)) == "KeyPair(empty)"
    assert KeyPair.of(pair) is pair
    with pytest.raises(TypeError, match="not sent or stored"):
        pickle.dumps(KeyPair("a", "b"))


def test_a_pem_that_is_no_ed25519_key_is_named_without_its_text():
    pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIHRoaXMgaXMgbm90\n-----END PRIVATE KEY-----"
    with pytest.raises(ConfigError, match="not a plain Ed25519") as caught:
        KeyPair("a", pem)
    assert "MC4CAQ" not in "".join(traceback.format_exception(caught.value))
