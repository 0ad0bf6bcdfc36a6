"""The market stream over a real socket: final bars once, the latest top, and every way a connection can end."""

import asyncio
import json

import pytest

from core.errors import ConfigError
from core.units import Instrument
from exchanges.binance.stream import PER_SUBSCRIBE, MarketStream
from exchanges.lag import BEHIND_FRAMES
from exchanges.link import LinkPolicy, renew_after
from tests.support.binance_stub import BinanceStub
from tests.wire.test_decode import kline

BTC, ETH = Instrument("binance", "BTC/USDT"), Instrument("binance", "ETH/USDT")
QUICK = LinkPolicy(silence_s=None, first_delay_s=0.02, longest_delay_s=0.1, confirm_s=2.0)
MINUTE = 1_672_515_780_000


def bar_frame(minute: int = MINUTE, symbol: str = "BTCUSDT", **changes) -> str:
    frame = kline(t=minute, T=minute + 59_999, s=symbol, **changes) | {"s": symbol}
    return json.dumps({"stream": f"{symbol.lower()}@kline_1m", "data": frame})


def top_frame(bid: str, ask: str, symbol: str = "BTCUSDT", u: int = 1) -> str:
    data = {"u": u, "s": symbol, "b": bid, "B": "1", "a": ask, "A": "2"}
    return json.dumps({"stream": f"{symbol.lower()}@bookTicker", "data": data})


class Watch:
    """Runs a stream against the stub and keeps what it told."""

    def __init__(self, stub: BinanceStub, policy: LinkPolicy = QUICK, instruments=(BTC, ETH)) -> None:
        self.bars, self.tops, self.gaps = [], [], []
        self.stream = MarketStream(
            stub.settings(),
            instruments,
            on_bar=lambda i, bar: self.bars.append((i, bar)),
            on_top=lambda i, top: self.tops.append((i, top)),
            on_gap=self.gaps.append,
            now_ms=lambda: 42,
            policy=policy,
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


async def test_one_subscription_asks_for_bars_and_tops_of_all(stub):
    async with Watch(stub) as watch:
        (asked,) = stub.inbox
        assert asked["method"] == "SUBSCRIBE"
        assert asked["params"] == ["btcusdt@kline_1m", "btcusdt@bookTicker", "ethusdt@kline_1m", "ethusdt@bookTicker"]
        assert watch.stream.state.connected
    assert not watch.stream.state.connected
    assert watch.gaps == []


async def test_only_the_final_frame_makes_a_bar_and_only_once(stub):
    async with Watch(stub) as watch:
        await stub.say(bar_frame(x=False), bar_frame(c="16530.2"), bar_frame(c="16530.2"))
        await stub.say(bar_frame(MINUTE + 60_000), bar_frame(symbol="ETHUSDT"))
        await stub.until(lambda: len(watch.bars) == 3)
        assert [(i, b.minute) for i, b in watch.bars] == [(BTC, MINUTE), (BTC, MINUTE + 60_000), (ETH, MINUTE)]
        assert watch.bars[0][1].close == 16530.2
        assert watch.stream.faults == {"repeated": 1}


async def test_a_final_frame_that_comes_after_its_successors_is_not_lost(stub):
    async with Watch(stub) as watch:
        await stub.say(bar_frame(MINUTE + 60_000), bar_frame(MINUTE))
        await stub.until(lambda: len(watch.bars) == 2)
        assert [b.minute for _, b in watch.bars] == [MINUTE + 60_000, MINUTE]
        assert {b.source for _, b in watch.bars} == {"stream"}


async def test_a_successor_without_a_final_frame_leaves_an_unconfirmed_bar_and_the_late_one_still_counts(stub):
    async with Watch(stub) as watch:
        await stub.say(bar_frame(x=False, c="16530.2"), bar_frame(MINUTE + 60_000, x=False), bar_frame(c="16531.0"))
        await stub.until(lambda: len(watch.bars) == 2)
        (_, first), (_, second) = watch.bars
        assert (first.minute, first.close, first.source) == (MINUTE, 16530.2, "unconfirmed")
        assert (second.minute, second.close, second.source) == (MINUTE, 16531.0, "stream")
        assert watch.stream.faults == {"unfinished": 1}


async def test_a_final_frame_that_contradicts_the_first_is_handed_on_as_unconfirmed(stub):
    async with Watch(stub) as watch:
        await stub.say(bar_frame(c="16530.2"), bar_frame(c="16531.0"))
        await stub.until(lambda: len(watch.bars) == 2)
        assert [(b.close, b.source) for _, b in watch.bars] == [(16530.2, "stream"), (16531.0, "unconfirmed")]
        assert watch.stream.faults == {"contradicted": 1}


async def test_the_latest_top_of_each_is_kept(stub):
    async with Watch(stub) as watch:
        await stub.say(top_frame("1.0", "1.1"), top_frame("2.0", "2.1", "ETHUSDT"), top_frame("1.2", "1.3", u=2))
        await stub.until(lambda: len(watch.tops) == 3)
        assert watch.stream.tops[BTC].bid == 1.2
        assert (watch.stream.tops[ETH].ask, watch.stream.tops[ETH].at_ms) == (2.1, 42)


async def test_an_empty_book_and_a_lost_connection_leave_no_top_behind(stub):
    empty = json.dumps(
        {"stream": "btcusdt@bookTicker", "data": {"u": 2, "s": "BTCUSDT", **dict.fromkeys("bBaA", "0.00")}}
    )
    async with Watch(stub) as watch:
        await stub.say(top_frame("1.0", "1.1"), top_frame("2.0", "2.1", "ETHUSDT"), empty)
        await stub.until(lambda: len(watch.tops) == 3)
        assert watch.tops[-1] == (BTC, None)
        assert list(watch.stream.tops) == [ETH]
        stub.cut()
        await stub.until(lambda: watch.gaps)
        assert watch.stream.tops == {}


async def test_broken_frames_are_counted_and_the_good_ones_go_on(stub):
    async with Watch(stub) as watch:
        await stub.say("{", "[]", '"x"', "", '{"stream":"btcusdt@kline_1m"}', bar_frame(o="NaN"), top_frame("2", "1"))
        await stub.say(top_frame("1", "2", "DOGEUSDT"), '{"stream":"btcusdt@trade","data":{}}')
        await stub.say(bar_frame())
        await stub.until(lambda: watch.bars)
        assert watch.stream.faults == {"malformed": 7, "foreign": 2}
        assert watch.stream.state.lives == 1


async def test_a_dropped_connection_is_made_again_and_the_gap_is_told(stub):
    async with Watch(stub) as watch:
        await stub.say(bar_frame())
        await stub.until(lambda: watch.bars)
        stub.cut()
        await stub.until(lambda: watch.gaps)
        assert len(stub.inbox) == 2
        await stub.say(bar_frame(), bar_frame(MINUTE + 180_000))
        await stub.until(lambda: len(watch.bars) == 2)
        assert watch.bars[1][1].minute == MINUTE + 180_000  # the hole between is the caller's to fill
        assert "ConnectionClosed" in watch.gaps[0]


@pytest.mark.parametrize(
    "notice",
    [{"e": "serverShutdown", "E": 1}, {"stream": "!serverShutdown", "data": {"e": "serverShutdown", "E": 1}}],
)
async def test_a_server_going_down_is_left_at_once_and_heard_to_the_end(stub, notice):
    slow = LinkPolicy(silence_s=None, first_delay_s=30.0, longest_delay_s=30.0, overlap_s=0.2)
    async with Watch(stub, slow) as watch:
        await stub.say(notice)
        await stub.until(lambda: len(stub.inbox) == 2, within_s=2.0)
        old, new = stub.sockets
        await old.send_str(bar_frame())  # what the old one still says is not lost
        await new.send_str(bar_frame())
        await new.send_str(bar_frame(MINUTE + 60_000))
        await stub.until(lambda: len(watch.bars) == 2 and old.closed)
        assert (watch.gaps, watch.stream.faults) == ([], {})
        assert watch.stream.state.last_end == "the server is shutting down"
        assert watch.stream.state.connected


async def test_a_server_that_goes_down_before_the_next_is_ready_leaves_a_gap(stub):
    async with Watch(stub, LinkPolicy(silence_s=None, first_delay_s=30.0, overlap_s=0.2)) as watch:
        stub.confirm = False
        await stub.say({"e": "serverShutdown", "E": 1})
        await stub.until(lambda: len(stub.inbox) == 2, within_s=2.0)
        await stub.sockets[0].close()
        await stub.until(lambda: stub.sockets[0].closed)
        await asyncio.sleep(0.05)
        await stub.sockets[1].send_str(json.dumps({"result": None, "id": stub.inbox[-1]["id"]}))
        await stub.until(lambda: watch.gaps)
        assert watch.gaps == ["the server is shutting down"]
        assert stub.handshakes == 2


async def test_a_server_that_keeps_going_down_is_not_hammered(stub):
    stub.greeting = ['{"e":"serverShutdown","E":1}']
    async with Watch(stub, LinkPolicy(silence_s=None, first_delay_s=0.2, longest_delay_s=0.2)):
        await asyncio.sleep(0.7)
        assert 2 <= stub.handshakes <= 8


async def test_a_stream_that_has_fallen_behind_is_left_for_one_that_begins_now(stub, monkeypatch):
    monkeypatch.setattr("exchanges.lag.MOST_BEHIND_MS", 200)
    async with Watch(stub, LinkPolicy(silence_s=None, first_delay_s=0.01, overlap_s=0.1)) as watch:
        said = json.loads(bar_frame(x=False))
        for at in (0, 50, 100):
            await stub.say(json.dumps(said | {"data": said["data"] | {"E": MINUTE + at}}))
            await asyncio.sleep(0.05)
        assert stub.handshakes == 1
        await asyncio.sleep(0.4)
        for at in range(BEHIND_FRAMES):  # 400 ms of market time are missing
            await stub.say(json.dumps(said | {"data": said["data"] | {"E": MINUTE + 150 + at}}))
        await stub.until(lambda: len(stub.inbox) == 2 and stub.sockets[0].closed)
        assert "old" in watch.stream.state.last_end
        assert watch.gaps == []


async def test_silence_is_noticed(stub):
    async with Watch(stub, LinkPolicy(silence_s=0.3, first_delay_s=0.01)) as watch:
        await stub.until(lambda: watch.gaps, within_s=3.0)
        assert "nothing heard for 0.3 s" in watch.gaps[0]


async def test_frames_keep_the_watchdog_quiet(stub):
    async with Watch(stub, LinkPolicy(silence_s=1.0, first_delay_s=0.01)) as watch:
        for _ in range(15):
            await stub.say(top_frame("1", "2"))
            await asyncio.sleep(0.1)
        assert watch.stream.state.lives == 1


async def test_a_connection_is_renewed_before_the_venue_ends_it_and_nothing_is_missed(stub):
    """Bars come all the while, on whatever connection is there: each is told once, and no gap."""
    policy = LinkPolicy(silence_s=None, renew_s=0.6, overlap_s=0.3, first_delay_s=0.01)
    async with Watch(stub, policy) as watch:
        minute = MINUTE
        async with asyncio.timeout(8):
            while stub.handshakes < 4:
                for socket in [s for s in stub.sockets if not s.closed]:
                    await socket.send_str(bar_frame(minute))
                minute += 60_000
                await asyncio.sleep(0.02)
        await stub.until(lambda: watch.bars and watch.bars[-1][1].minute >= minute - 120_000)
        told = [b.minute for _, b in watch.bars]
        assert told == list(range(MINUTE, told[-1] + 1, 60_000))
        assert (watch.gaps, watch.stream.faults) == ([], {})


def test_links_of_one_process_are_not_renewed_together():
    policy = LinkPolicy()
    ages = [renew_after(policy, name, place) for name in ("market", "user") for place in range(3)]
    assert len(set(ages)) == 6
    assert all(22 * 3_600 < age <= policy.renew_s for age in ages)
    assert min(abs(a - b) for a in ages[:3] for b in ages[:3] if a != b) == policy.stagger_s
    assert renew_after(LinkPolicy(renew_s=60.0), "market", 9) == 30.0


async def test_more_streams_than_a_connection_takes_are_spread(stub, monkeypatch):
    monkeypatch.setattr("exchanges.binance.stream.PER_CONNECTION", 4)
    many = [Instrument("binance", f"C{n}/USDT") for n in range(5)]
    async with Watch(stub, instruments=many) as watch:
        assert stub.handshakes == 3
        assert sorted(len(m["params"]) for m in stub.inbox) == [2, 4, 4]
        assert len({m["id"] for m in stub.inbox}) == 3
        first = next(s for s, m in zip(stub.sockets, stub.inbox, strict=False) if "c0usdt@kline_1m" in m["params"])
        for symbol in ("C0USDT", "C4USDT"):
            await stub.say(top_frame("1", "2", symbol))
        await stub.until(lambda: len(watch.stream.tops) == 2)
        assert watch.stream.state.connected
        await first.close()
        await stub.until(lambda: watch.gaps)
        assert stub.handshakes == 4
        assert list(watch.stream.tops) == [many[4]]  # the other connections' tops stand


async def test_an_unconfirmed_subscription_is_tried_again(stub):
    stub.confirm = False
    watch = Watch(stub, LinkPolicy(silence_s=None, confirm_s=0.2, first_delay_s=0.01))
    task = asyncio.create_task(watch.stream.run())
    await stub.until(lambda: stub.handshakes >= 3)
    assert not watch.stream.state.connected or watch.gaps == []
    await watch.stream.close()
    await asyncio.wait_for(task, 5)
    assert watch.stream.state.last_end.startswith("subscription not confirmed")


async def test_a_refused_subscription_is_a_reason_to_come_again(stub):
    async with Watch(stub) as watch:
        await stub.say({"error": {"code": 2, "msg": "Invalid request: unknown variant"}, "id": 9})
        await stub.until(lambda: watch.gaps)
        assert "Invalid request" in watch.gaps[0]


async def test_many_symbols_are_asked_for_in_few_messages_slowly(stub):
    many = [Instrument("binance", f"C{n}/USDT") for n in range(PER_SUBSCRIBE + 1)]
    started = asyncio.get_running_loop().time()
    async with Watch(stub, instruments=many):
        assert len(stub.inbox) == 3
        assert sum(len(m["params"]) for m in stub.inbox) == 2 * len(many)
        assert asyncio.get_running_loop().time() - started >= 0.45  # under 5 messages a second


async def test_back_off_grows_while_nobody_is_there():
    async with BinanceStub() as stub:
        settings = stub.settings()
    policy = LinkPolicy(silence_s=None, first_delay_s=0.05, longest_delay_s=10.0)
    stream = MarketStream(settings, [BTC], lambda *_: None, now_ms=lambda: 0, policy=policy)
    task = asyncio.create_task(stream.run())
    await asyncio.sleep(0.5)
    assert stream.state.lives == 0
    assert "Refused" in stream.state.last_end or "OSError" in stream.state.last_end
    await stream.close()
    await asyncio.wait_for(task, 2)


async def test_an_address_that_is_none_is_the_users_to_mend(stub):
    # Past the settings' own look at it.
    nowhere = stub.settings().model_copy(update={"stream_url": "http://nowhere"})
    stream = MarketStream(nowhere, [BTC], lambda *_: None, now_ms=lambda: 0, policy=QUICK)
    with pytest.raises(ConfigError, match="http://nowhere"):
        await asyncio.wait_for(stream.run(), 3)


async def test_an_error_of_the_listener_is_not_hidden(stub):
    def fail(*_: object) -> None:
        raise ZeroDivisionError("ours")

    stream = MarketStream(stub.settings(), [BTC], fail, now_ms=lambda: 0, policy=QUICK)
    stub.greeting = [bar_frame()]
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(stream.run(), 3)
