"""Requests a second by group, and what happens to who does not listen."""

import asyncio

from exchanges.simulated.upbit.budget import Allowance
from tests.sim.upbit.conftest import Caller, make_exchange, serve


async def test_remaining_requests_are_told_by_group(http):
    server = await serve(make_exchange(), allowance=Allowance())
    try:
        api = Caller(http, server.url)
        seen = {}
        for path, params in (
            ("market/all", {}),
            ("candles/minutes/1", {"market": "KRW-BTC"}),
            ("trades/ticks", {"market": "KRW-BTC"}),
            ("ticker", {"markets": "KRW-BTC"}),
            ("orderbook", {"markets": "KRW-BTC"}),
            ("accounts", {}),
        ):
            assert (await api.get(path, **params))[0] == 200
            group, dead, left = api.headers["Remaining-Req"].split("; ")
            seen[group.removeprefix("group=")] = (dead, left)
        quoted = ("min=600", "sec=9")
        assert seen == dict.fromkeys(("market", "candle", "trade", "ticker", "orderbook"), quoted) | {
            "default": ("min=1800", "sec=29")
        }
        body = {"market": "KRW-BTC", "side": "bid", "ord_type": "price", "price": "1"}
        for path, said in (
            ("orders", "group=order; min=720; sec=11"),
            ("orders/test", "group=order-test; min=480; sec=7"),
        ):
            assert (await api.post(path, **body))[0] == 400
            assert api.headers["Remaining-Req"] == said
        await api.delete("orders/open")
        assert api.headers["Remaining-Req"] == "group=order-cancel-all; min=30; sec=0"
    finally:
        await server.close()


async def test_who_goes_on_after_a_429_is_blocked_and_longer_the_next_time(http):
    limits = Allowance(groups={"market": (2, 600.0)}, patience=3, block_s=0.3)
    server = await serve(make_exchange(), allowance=limits)
    try:
        api = Caller(http, server.url)
        answers = [await api.get("market/all") for _ in range(6)]
        assert [status for status, _ in answers] == [200, 200, 429, 429, 429, 418]
        assert answers[2][1]["error"]["name"] == answers[5][1]["error"]["name"] == "too_many_requests"
        assert api.headers["Remaining-Req"].endswith("sec=0")
        assert (await api.get("accounts"))[0] == 418  # the address, not the group
        await asyncio.sleep(0.35)
        assert (await api.get("accounts"))[0] == 200
        statuses = [(await api.get("market/all"))[0] for _ in range(4)]
        assert statuses == [429, 429, 429, 418]
        await asyncio.sleep(0.35)
        assert (await api.get("accounts"))[0] == 418  # twice as long now
    finally:
        await server.close()


async def test_a_browsers_origin_may_ask_once_in_ten_seconds(server, http):
    async def ask(path):
        async with http.get(f"{server.url}/v1/{path}", headers={"Origin": "https://example.com"}) as answer:
            return answer.status, answer.headers["Remaining-Req"]

    assert await ask("market/all") == (200, "group=origin; min=6; sec=0")
    assert (await ask("ticker?markets=KRW-BTC"))[0] == 429
    async with http.get(f"{server.url}/v1/market/all") as answer:
        assert answer.status == 200
