"""A link by itself: which life speaks, what confirms it, and when it is replaced."""

import asyncio

import pytest

from exchanges.limits import Gate
from exchanges.limits.tables import CONNECTS
from exchanges.link import Leave, Link, LinkPolicy
from tests.support.binance_stub import BinanceStub
from tests.support.venue_stub import Reply

QUICK = LinkPolicy(silence_s=None, first_delay_s=0.01, longest_delay_s=0.05, overlap_s=0.1, confirm_s=5.0)


class Listener:
    """Confirms by any frame, as a venue without confirmations needs; leaves when told ``leave``."""

    def __init__(
        self, stub: BinanceStub, policy: LinkPolicy = QUICK, gate: Gate | None = None, path: str = "/stream"
    ) -> None:
        self.heard: list[bytes] = []
        self.downs = 0
        url = f"ws://127.0.0.1:{stub.port}{path}"
        self.link = Link("test link", url, policy, self.opened, self.take, self.down, gate=gate)

    async def opened(self, link: Link) -> None:
        return None

    def take(self, frame: bytes) -> Leave | None:
        self.heard.append(frame)
        self.link.confirmed.set()
        return Leave("told to", planned=True) if frame == b"leave" else None

    def down(self) -> None:
        self.downs += 1

    async def __aenter__(self) -> "Listener":
        self.task = asyncio.create_task(self.link.run())
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.link.close()
        await asyncio.wait_for(self.task, 5)


@pytest.fixture
async def stub():
    async with BinanceStub() as server:
        yield server


async def test_the_old_life_speaks_until_the_new_one_has_spoken(stub):
    async with Listener(stub) as listener:
        await stub.until(lambda: stub.sockets)
        await stub.sockets[0].send_str("leave")
        await stub.until(lambda: len(stub.sockets) == 2)
        for _ in range(20):  # confirms nothing: the new one is silent
            await stub.sockets[0].send_str("old")
            await asyncio.sleep(0.02)
        assert not stub.sockets[0].closed
        assert listener.link.overlapping
        await stub.sockets[1].send_str("new")
        await stub.until(lambda: stub.sockets[0].closed, 3)
        assert listener.heard[-1] == b"new"
        assert (listener.downs, listener.link.state.lives) == (0, 2)
    assert listener.downs == 1


async def test_a_new_life_that_fails_is_tried_again_while_the_old_one_goes_on(stub):
    async with Listener(stub) as listener:
        await stub.until(lambda: stub.sockets)
        await stub.sockets[0].send_str("leave")
        for count in (2, 3):
            await stub.until(lambda n=count: len(stub.sockets) == n)
            stub.cut()
        await stub.until(lambda: len(stub.sockets) == 4)
        await stub.sockets[0].send_str("still here")
        await stub.until(lambda: b"still here" in listener.heard)
        assert listener.downs == 0
        await stub.sockets[3].send_str("new")
        await stub.sockets[3].send_str("new")
        await stub.until(lambda: stub.sockets[0].closed, 3)


async def test_an_old_life_that_dies_first_leaves_the_next_one_alone(stub):
    async with Listener(stub) as listener:
        await stub.until(lambda: stub.sockets)
        await stub.sockets[0].send_str("leave")
        await stub.until(lambda: len(stub.sockets) == 2)
        await stub.sockets[0].close()
        await stub.until(lambda: not listener.link.overlapping)
        assert not listener.link.confirmed.is_set()
        await stub.sockets[1].send_str("new")
        await stub.until(lambda: listener.heard[-1] == b"new")
        assert (stub.handshakes, listener.link.state.connected) == (2, True)


async def test_before_anything_is_confirmed_there_is_nothing_to_overlap(stub):
    class Deaf(Listener):
        def take(self, frame: bytes) -> Leave | None:
            return Leave("at once", planned=True)

    async with Deaf(stub) as listener:
        await stub.until(lambda: stub.sockets)
        await stub.sockets[0].send_str("x")
        await stub.until(lambda: len(stub.sockets) == 2)
        assert stub.sockets[0].closed
        assert listener.downs == 1


def used(gate: Gate) -> int:
    return gate.look(lambda line, now: line.used(now, CONNECTS))


@pytest.mark.parametrize("venue", ["binance", "upbit"])
async def test_every_connect_stands_in_the_line_of_the_limits(stub, venue):
    gate = Gate.of(venue)
    gate.look(lambda line, now: setattr(line.counters[CONNECTS], "foreign", 0))  # nobody was here before
    async with Listener(stub, gate=gate):
        await stub.until(lambda: stub.sockets)
        assert used(gate) == 1
        await stub.sockets[0].send_str("leave")
        await stub.until(lambda: len(stub.sockets) == 2)
        assert used(gate) == 2


async def test_where_no_connect_is_left_nobody_knocks_and_the_reason_is_told(stub):
    gate = Gate.of("binance")
    gate.look(lambda line, now: line.counters[CONNECTS].finish(now, 300, 0, None))
    async with Listener(stub, gate=gate) as listener:
        await stub.until(lambda: listener.link.state.last_end)
        assert (
            "connect of test link: not sent, the budget of websocket-connect is spent" in listener.link.state.last_end
        )
        assert stub.handshakes == 0


async def test_a_handshake_refused_for_rate_holds_further_ones_back(stub):
    stub.on("GET", "/busy", Reply(status=429, headers={"Retry-After": "40"}))
    gate = Gate.of("binance")
    async with Listener(stub, gate=gate, path="/busy") as listener:
        await stub.until(lambda: "asked for a pause" in listener.link.state.last_end)
        assert len(stub.calls("GET", "/busy")) == 1
    paused = gate.look(lambda line, now: {name: until - now for name, until in line.paused.items()})
    assert paused == {CONNECTS: pytest.approx(40_000, abs=2_000)}
