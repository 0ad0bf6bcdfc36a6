"""No key, secret or token of Upbit in an exception, a traceback, a log line or a repr, whatever the log level."""

import asyncio
import logging
import pickle
import traceback

import pytest

from config.secrets import ApiKeys, Secret
from core.errors import BotError
from core.messages import CancelOrder
from core.units import Instrument
from exchanges.link import LinkPolicy
from exchanges.upbit.gateway import UpbitGateway
from exchanges.upbit.signing import KeyPair
from exchanges.upbit.user_stream import UserStream
from tests.support.upbit_stub import ACCESS_KEY, SECRET_KEY, UpbitStub, order_answer, refusal
from tests.support.venue_stub import Reply
from tests.wire.test_upbit_gateway import ORDER, ORDERS, PLACE_ROWS, order

BTC = Instrument("upbit", "BTC/KRW")
QUICK = LinkPolicy(silence_s=None, first_delay_s=0.02, longest_delay_s=0.1, confirm_s=2.0)


def keys() -> ApiKeys:
    return ApiKeys(api_key=Secret(ACCESS_KEY), api_secret=Secret(SECRET_KEY))


def assert_private(text: str, stub: UpbitStub) -> None:
    tokens = stub.tokens()
    assert tokens
    assert not [secret for secret in (ACCESS_KEY, SECRET_KEY, *tokens) if secret in text]
    assert "Bearer" not in text


@pytest.fixture
def everything(caplog):
    caplog.set_level(logging.DEBUG)
    for name in ("aiohttp", "websockets", "asyncio"):
        caplog.set_level(logging.DEBUG, logger=name)
    return caplog


@pytest.mark.parametrize("row", PLACE_ROWS)
async def test_a_failed_request_tells_nothing(row, everything):
    async with UpbitStub() as stub:
        gateway = UpbitGateway(stub.settings(timeout_ms=500), keys(), [BTC])
        stub.on("POST", ORDERS, PLACE_ROWS[row][0])
        stub.on("DELETE", ORDER, PLACE_ROWS[row][0])
        stub.on("GET", ORDER, refusal("order_not_found", status=404))
        for attempt in (gateway.place(order()), gateway.cancel(CancelOrder(client_id="mh-1", instrument=BTC))):
            with pytest.raises(BotError) as caught:
                await attempt
            assert_private("".join(traceback.format_exception(caught.value)) + repr(caught.value), stub)
            assert caught.value.__cause__ is None
            assert caught.value.__context__ is None or isinstance(caught.value.__context__, BotError)
            assert type(pickle.loads(pickle.dumps(caught.value))) is type(caught.value)  # crosses actors
        assert_private(everything.text + repr(gateway) + str(gateway), stub)
        await gateway.close()


async def test_a_venue_that_shows_the_key_back_is_not_repeated(everything):
    async with UpbitStub() as stub:
        gateway = UpbitGateway(stub.settings(), keys(), [BTC])
        stub.on(
            "GET", "/v1/accounts", refusal("jwt_verification", f"bad token {'e' * 60}.{'f' * 60} of {SECRET_KEY * 2}")
        )
        with pytest.raises(BotError) as caught:
            await gateway.account()
        assert SECRET_KEY not in str(caught.value)
        assert "e" * 60 not in str(caught.value)
        await gateway.close()


async def test_good_requests_leave_no_trace_of_the_key_at_debug_level(everything):
    async with UpbitStub() as stub:
        gateway = UpbitGateway(stub.settings(), keys(), [BTC])
        stub.on("POST", ORDERS, Reply(order_answer(), status=201))
        stub.on("GET", ORDER, Reply(order_answer()))
        stub.on("GET", "/v1/accounts", Reply([]))
        await gateway.place(order())
        await gateway.account()
        await gateway.close()
        assert_private(everything.text, stub)


@pytest.mark.parametrize("status", [0, 401, 503])
async def test_the_user_stream_tells_nothing(everything, status):
    async with UpbitStub() as stub:
        stub.refuse_handshake = status
        stub.greeting = [{"error": {"name": "INVALID_AUTH", "message": "인증 실패"}}] if not status else []
        stream = UserStream(stub.settings(), keys(), [BTC], lambda _: None, policy=QUICK)
        task = asyncio.create_task(stream.run())
        shown = repr(stream)
        if status == 503:
            await stub.until(lambda: len(stub.handshakes) > 1)
            await stream.close()
            await asyncio.wait_for(task, 5)
        else:
            with pytest.raises(BotError) as caught:
                await asyncio.wait_for(task, 5)
            shown += "".join(traceback.format_exception(caught.value))
        assert_private(everything.text + shown + stream.state.last_end, stub)


def test_a_key_pair_shows_and_sends_nothing():
    pair = KeyPair.of(keys())
    assert (repr(pair), pair.present, pair.api_key) == ("KeyPair(set)", True, ACCESS_KEY)
    with pytest.raises(TypeError, match="not sent or stored"):
        pickle.dumps(pair)
