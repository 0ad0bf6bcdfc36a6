"""The shared file: what one process writes the next one reads, damage is told and begun anew, pauses outlive restarts."""

import os
from pathlib import Path

import pytest

from exchanges.limits.counters import Fixed
from exchanges.limits.gate import Gate
from exchanges.limits.line import Line
from exchanges.limits.priority import Priority
from exchanges.limits.sharing import limits_file, look_at, shared_gate
from exchanges.limits.store import HEAD, SLOT, FileStore
from exchanges.limits.tables import WEIGHT, binance_costs, binance_line, upbit_line

WALL = 1_772_000_000_000
COST = binance_costs(1)


def wall() -> int:
    return WALL


def store(path: Path) -> FileStore:
    return FileStore(path, binance_line, wall)


def know(line: Line, now: int) -> None:
    for counter in line.counters.values():
        if isinstance(counter, Fixed):
            counter.recorded_from = 0


def test_two_stores_on_one_file_see_each_others_requests(tmp_path):
    one, two = store(tmp_path / "b.bin"), store(tmp_path / "b.bin")
    number = one.run(lambda line, now: line.enter(now, 1, Priority.CANCEL, COST))
    assert one.run(lambda line, now: line.admit(now, number)) is None
    assert two.run(lambda line, now: line.flying(WEIGHT)) == 1
    two.run(lambda line, now: line.finish(now, number, {}))
    assert one.run(lambda line, now: line.flying(WEIGHT)) == 0


def test_a_pause_outlives_everyone_who_heard_of_it(tmp_path):
    first = store(tmp_path / "b.bin")
    first.run(lambda line, now: line.turned_away(now, 418, 600.0))
    first.close()
    left = store(tmp_path / "b.bin").run(lambda line, now: line.paused[""] - now)
    assert 590_000 < left <= 600_000


def test_a_pause_outlives_a_restart_of_the_machine(tmp_path):
    """Its monotonic clock begins anew; the pause is kept in the time of day, everything else is asked."""
    first = store(tmp_path / "b.bin")
    first.run(know)
    first.run(lambda line, now: line.turned_away(now, 418, 600.0))
    first.close()
    again = FileStore(tmp_path / "b.bin", binance_line, lambda: WALL + 400_000)
    again.close()
    again._boot = "another"
    left, unknown = again.run(lambda line, now: (line.paused[""] - now, line.unknown(now, COST)))
    assert 190_000 < left <= 200_001  # Two clocks were read, each to a whole millisecond.
    assert unknown


@pytest.mark.parametrize("damage", ["empty", "cut", "noise", "zeros", "one slot", "older shape"])
def test_a_damaged_file_is_begun_anew_and_what_is_used_is_asked(tmp_path, damage):
    path = tmp_path / "b.bin"
    first = store(path)
    first.run(know)
    first.run(lambda line, now: line.learn({WEIGHT: 1_200}))
    first.run(lambda line, now: None)
    first.close()
    whole = path.read_bytes()
    newer = max((0, 1), key=lambda slot: HEAD.unpack_from(whole, slot * SLOT)[1])
    path.write_bytes(
        {
            "empty": b"",
            "cut": whole[:10],
            "noise": os.urandom(len(whole)),
            "zeros": bytes(len(whole)),
            "one slot": whole[: newer * SLOT + 40] + b"X" * 9 + whole[newer * SLOT + 49 :],
            "older shape": whole.replace(b"orders-day", b"orders_day"),
        }[damage]
    )
    again = store(path)
    limit, unknown = again.run(lambda line, now: (line.counters[WEIGHT].limit, line.unknown(now, COST)))
    # Of the two slots the other one is whole: nothing but the last change is lost.
    assert (limit, unknown) == ((1_200, False) if damage == "one slot" else (6_000, True))


def test_a_change_that_fails_half_way_is_no_change(tmp_path):
    one = store(tmp_path / "b.bin")

    def half(line: Line, now: int) -> None:
        line.learn({WEIGHT: 7})
        raise ValueError("on the way")

    with pytest.raises(ValueError, match="on the way"):
        one.run(half)
    assert one.run(lambda line, now: line.counters[WEIGHT].limit) == 6_000


def test_a_file_that_can_not_be_had_leaves_every_process_to_itself(tmp_path, caplog):
    (tmp_path / "limits").write_text("a file where the folder should be")
    gate = shared_gate(tmp_path / "limits", "binance", None, wall)
    assert not gate.shared
    assert "counts binance's for itself" in caplog.text


def test_without_flock_every_process_counts_for_itself_and_says_so(tmp_path, monkeypatch, caplog):
    """Windows has none."""
    monkeypatch.setattr("exchanges.limits.store.fcntl", None)
    assert not shared_gate(tmp_path, "upbit", None, wall).shared
    assert "this system has no flock" in caplog.text
    assert "counts upbit's for itself" in caplog.text


def test_a_file_that_is_lost_on_the_way_does_not_stop_a_cancel(tmp_path, caplog):
    gate = shared_gate(tmp_path, "binance", None, wall)
    assert gate.shared
    os.close(gate._store._descriptor)
    assert gate.look(lambda line, now: line.used(now, WEIGHT)) > 0  # nobody knows: assumed
    assert not gate.shared
    assert "counts for itself" in caplog.text


def test_a_start_asks_anew_unless_the_venue_was_heard_a_moment_ago(tmp_path):
    path = tmp_path / "b.bin"
    first = store(path)
    first.run(know)
    assert Gate("binance", store(path)).look(lambda line, now: line.unknown(now, COST))
    first.run(know)
    first.run(lambda line, now: setattr(line, "heard_ms", now))
    assert not Gate("binance", store(path)).look(lambda line, now: line.unknown(now, COST))


def test_each_venue_and_each_address_has_a_file_of_its_own(tmp_path):
    files = {
        limits_file(tmp_path, venue, url)
        for venue in ("binance", "upbit")
        for url in (None, "http://127.0.0.1:8500", "http://127.0.0.1:8501/")
    }
    assert len(files) == 6
    assert limits_file(tmp_path, "upbit", "http://127.0.0.1:8501/") == limits_file(
        tmp_path, "upbit", "HTTP://127.0.0.1:8501/v1"
    )


def test_looking_creates_nothing_and_changes_nothing(tmp_path):
    path = tmp_path / "u.bin"
    assert look_at(path, "upbit", wall) is None
    assert not path.exists()
    FileStore(path, upbit_line, wall).run(lambda line, now: line.enter(now, 1, Priority.ORDER, {"order": 1}))
    before = path.read_bytes()
    line, _ = look_at(path, "upbit", wall)
    assert [t.priority for t in line.tickets] == [Priority.ORDER]
    assert path.read_bytes() == before
