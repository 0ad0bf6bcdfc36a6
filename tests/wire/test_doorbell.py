"""The door of a member's replica: the same numbers come out, late answers are nobody's, and whoever breaks harms nobody else."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from core.units import MINUTE_MS
from data.artifacts import ArtifactStore
from serve.doorbell import Door, Failed, Knocker, NoDoor, Said, door_path
from serve.panel import ServePanel
from serve.shared_rows import SLOTS, Board, Place
from tests.support.markets import BTC, ETH, MINUTE, market
from tests.support.served import a_ridge, features, kept, replica_of

PLACE = Place("/somewhere/in memory", 4_096, (2, 64, 91), 7)
Answer = Callable[[Place, int], Said | None]


def said(minute: int, trust: bool = True, rows: int = 2) -> Said:
    mean = np.linspace(-1.0, 1.0, rows)
    mean[0] = np.nan
    return Said(mean, np.ones(rows) / 3.0, "v1", minute, np.full(rows, 0.5) if trust else None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return door_path(tmp_path, "ridge")


@pytest.fixture
def opened(path: Path) -> Iterator[Callable[[Answer], Door]]:
    doors: list[Door] = []

    def open_one(answer: Answer) -> Door:
        doors.append(Door(path, answer))
        return doors[-1]

    yield open_one
    for door in doors:
        door.close()


@pytest.mark.parametrize("trust", [True, False])
async def test_what_is_asked_and_answered_goes_through_to_the_last_bit(opened, path: Path, trust: bool) -> None:
    heard: list[tuple[Place, int]] = []

    def answer(place: Place, minute: int) -> Said:
        heard.append((place, minute))
        return said(minute, trust, rows=500)

    opened(answer)
    knocker = Knocker(path)
    for minute in (MINUTE, MINUTE + MINUTE_MS):
        got, meant = await knocker.ask(PLACE, minute), said(minute, trust, rows=500)
        assert heard[-1] == (PLACE, minute)
        assert (got.version, got.minute) == ("v1", minute)
        for one, other in zip(got[:2] + got[4:], meant[:2] + meant[4:], strict=True):
            np.testing.assert_array_equal(one, other)
    knocker.close()


async def test_only_this_user_may_knock_and_a_deep_folder_has_a_door_too(tmp_path: Path) -> None:
    deep = tmp_path / "a deep folder" / ("x" * 90)
    deep.mkdir(parents=True)
    path = door_path(deep, "ridge")
    door = Door(path, lambda place, minute: said(minute))
    assert path.stat().st_mode & 0o077 == 0
    knocker = Knocker(path)
    assert (await knocker.ask(PLACE, MINUTE)).minute == MINUTE
    knocker.close()
    door.close()
    assert not path.exists()


async def test_a_late_answer_is_nobodys_and_the_next_question_hears_its_own(opened, path: Path) -> None:
    slow = threading.Event()

    def answer(place: Place, minute: int) -> Said:
        if minute == MINUTE:
            slow.wait(20)
        return said(minute)

    door = opened(answer)
    knocker = Knocker(path)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await knocker.ask(PLACE, MINUTE)
    with pytest.raises(RuntimeError, match="a forecast has been going on for"):
        door.look(0.0)
    asking = asyncio.create_task(knocker.ask(PLACE, MINUTE + MINUTE_MS))
    await asyncio.sleep(0.01)
    slow.set()
    assert (await asking).minute == MINUTE + MINUTE_MS
    door.look(0.0)
    knocker.close()


async def test_what_a_member_raises_or_says_in_the_wrong_shape_costs_one_answer(opened, path: Path) -> None:
    answers = iter(
        [RuntimeError("CUDA out of memory"), Said(np.ones(2), np.ones(3), "v1", MINUTE, None), None, said(MINUTE)]
    )

    def answer(place: Place, minute: int) -> Said | None:
        one = next(answers)
        if isinstance(one, Exception):
            raise one
        return one

    opened(answer)
    knocker = Knocker(path)
    with pytest.raises(Failed, match="RuntimeError: CUDA out of memory"):
        await knocker.ask(PLACE, MINUTE)
    with pytest.raises(Failed, match="ValueError: answers of the shapes"):
        await knocker.ask(PLACE, MINUTE)
    assert await knocker.ask(PLACE, MINUTE) is None
    assert (await knocker.ask(PLACE, MINUTE)).minute == MINUTE
    knocker.close()


async def test_who_speaks_nonsense_at_the_door_is_let_go_and_others_go_on(opened, path: Path) -> None:
    opened(lambda place, minute: said(minute))
    knocker = Knocker(path)
    await knocker.ask(PLACE, MINUTE)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stranger:
        stranger.connect(str(path))
        stranger.send(b"GET / HTTP/1.1")
        assert await asyncio.to_thread(stranger.recv, 100) == b""
    assert (await knocker.ask(PLACE, MINUTE)).minute == MINUTE
    knocker.close()


async def test_a_door_that_falls_shut_in_mid_call_is_told_and_the_next_one_is_found(path: Path) -> None:
    # As a process that is killed: the kernel closes what it had.
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as dying:
        dying.bind(str(path))
        dying.listen()
        knocker = Knocker(path)
        asking = asyncio.create_task(knocker.ask(PLACE, MINUTE))
        line, _ = await asyncio.to_thread(dying.accept)
        line.recv(1_000)
        line.close()
        with pytest.raises(ConnectionError, match="ended in the middle of the call"):
            await asking
    with pytest.raises(NoDoor, match=r"ridge\.sock: Connection refused"):
        await knocker.ask(PLACE, MINUTE)
    door = Door(path, lambda place, minute: said(minute))
    assert (await knocker.ask(PLACE, MINUTE)).minute == MINUTE
    knocker.close()
    door.close()


class ByServe:
    """A handle that remembers what it was asked."""

    def __init__(self) -> None:
        self.forecast = self
        self.asked: list[object] = []

    async def remote(self, features: np.ndarray, minute: int) -> Said:
        self.asked.append(features)
        return said(minute, rows=len(features))._replace(mean_bps=np.ones(2))


async def test_the_panel_asks_through_serve_whom_it_does_not_find_at_a_door(opened, tmp_path: Path, path: Path) -> None:
    seen = market((BTC, ETH), mids=(100.0, 50.0), minute=MINUTE, features=np.zeros((2, 64, 91)))
    finds = True

    def answer(place: Place, minute: int) -> Said | None:
        return said(minute)._replace(mean_bps=np.full(2, 3.0)) if finds else None

    opened(answer)
    near, far, handles = (
        door_path(tmp_path, "ridge"),
        door_path(tmp_path, "tcn"),
        {"ridge": ByServe(), "tcn": ByServe()},
    )
    panel = ServePanel(handles, dict.fromkeys(handles, 20.0), 15, doors={"ridge": near, "tcn": far})
    votes = await panel.forecast(seen)
    assert votes.mean_bps[:, 0].tolist() == [3.0, 1.0]
    assert (len(handles["ridge"].asked), len(handles["tcn"].asked)) == (0, 1)
    assert handles["tcn"].asked[0] is seen.features
    finds = False
    votes = await panel.forecast(seen)
    assert votes.mean_bps[:, 0].tolist() == [1.0, 1.0]
    panel.close()


async def test_at_the_door_too_a_member_that_is_late_or_fails_loses_its_vote_alone(opened, tmp_path: Path) -> None:
    hold = threading.Event()
    doors = {
        "good": Door(door_path(tmp_path, "good"), lambda place, minute: said(minute)._replace(mean_bps=np.ones(2))),
        "slow": Door(door_path(tmp_path, "slow"), lambda place, minute: hold.wait(20) and said(minute)),
        "nan": Door(
            door_path(tmp_path, "nan"), lambda place, minute: said(minute)._replace(mean_bps=np.full(2, np.nan))
        ),
        "broken": Door(door_path(tmp_path, "broken"), lambda place, minute: [][0]),
        "past": Door(
            door_path(tmp_path, "past"), lambda place, minute: said(minute - MINUTE_MS)._replace(mean_bps=np.ones(2))
        ),
    }
    handles = {name: ByServe() for name in doors}
    panel = ServePanel(
        handles, dict.fromkeys(doors, 5.0) | {"slow": 0.05}, 15, doors={n: door_path(tmp_path, n) for n in doors}
    )
    seen = market((BTC, ETH), mids=(100.0, 50.0), minute=MINUTE, features=np.zeros((2, 64, 91)))
    votes = await panel.forecast(seen)
    hold.set()
    why = dict(zip(votes.members, votes.silence, strict=True))
    assert why["good"] == ""
    assert why["slow"] == "late: no answer within 50 ms"
    assert why["nan"].startswith("not finite")
    assert why["broken"] == "failed: IndexError: list index out of range"
    assert not votes.spoke[list(doors).index("past")]
    assert not any(handle.asked for handle in handles.values())
    panel.close()
    for door in doors.values():
        door.close()


async def test_at_its_door_a_replica_says_what_it_says_through_serve_and_over_a_swap_too(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "artifacts")
    old, new = kept(store, a_ridge(5.0)), kept(store, a_ridge(-5.0))
    path = door_path(tmp_path, "ridge")
    replica = replica_of(store, old, tmp_path, door=str(path))
    board, knocker, seen = Board(tmp_path), Knocker(path), features(50)
    place = board.put(seen)
    assert (await knocker.ask(place, MINUTE)).version == old.version
    assert await replica.take(new.version) == (new.version, MINUTE + MINUTE_MS)
    for minute, version in ((MINUTE, old.version), (MINUTE + MINUTE_MS, new.version)):
        at_the_door, through_serve = await knocker.ask(place, minute), await replica.forecast(seen, minute)
        assert at_the_door.version == through_serve.version == version
        np.testing.assert_array_equal(at_the_door.mean_bps, through_serve.mean_bps)
        np.testing.assert_array_equal(at_the_door.stdev_bps, through_serve.stdev_bps)
    replica.check_health()
    for _ in range(SLOTS):
        board.put(seen)
    assert await knocker.ask(place, MINUTE) is None
    knocker.close()
    board.close()


def test_a_replica_whose_folder_takes_no_socket_serves_without_a_door(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "artifacts")
    replica = replica_of(store, kept(store, a_ridge(5.0)), tmp_path, door=str(tmp_path / "no folder" / "ridge.sock"))
    assert asyncio.run(replica.forecast(features(), MINUTE)).minute == MINUTE
    replica.check_health()
