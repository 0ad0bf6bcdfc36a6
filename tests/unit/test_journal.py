"""The journal on disk: durable, whole, one writer, honest about damage."""

import multiprocessing
import os
import signal
import sqlite3
import stat
import threading
from pathlib import Path

import pytest

from core.errors import DataError, Defect
from core.execution.local import LocalExecutor
from core.execution.machine import ExecutionMachine
from core.messages import TradingState, Verdicts
from core.params import ExecutionSettings
from core.units import MINUTE_MS
from data.journal import SqliteJournal, read_journal
from tests.support.fake_venue import MINUTE, RULES, FakeVenue, approved

ENTRIES = [("Beat", b'[1,{"now_ms":1}]'), ("PlaceOrder", b"\x00\xff binary"), ("Beat", b"")]


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "run" / "journal.sqlite"


def test_what_is_appended_is_replayed_in_order(path):
    journal = SqliteJournal(path)
    journal.append(ENTRIES[:2])
    journal.append(ENTRIES[2:])
    assert journal.replay() == ENTRIES
    journal.close()
    again = SqliteJournal(path)
    assert again.replay() == ENTRIES
    again.append(ENTRIES[:1])
    assert again.replay() == ENTRIES + ENTRIES[:1]
    again.close()


def test_it_is_written_ahead_and_synced(path):
    journal = SqliteJournal(path)
    assert journal._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert journal._connection.execute("PRAGMA synchronous").fetchone() == (2,)
    journal.close()


def test_a_second_writer_is_told_file_and_process(path):
    journal = SqliteJournal(path)
    with pytest.raises(Defect, match=rf"{path}.*process {os.getpid()}\b"):
        SqliteJournal(path, wait_s=0)
    journal.append(ENTRIES)
    journal.close()
    SqliteJournal(path, wait_s=0).close()


def test_a_reader_may_look_while_it_is_written(path):
    journal = SqliteJournal(path)
    journal.append(ENTRIES)
    assert read_journal(path) == ENTRIES
    journal.append(ENTRIES[:1])
    assert len(read_journal(path)) == 4
    journal.close()
    assert len(read_journal(path)) == 4


def test_reading_what_is_not_there_creates_nothing(path):
    with pytest.raises(DataError, match="does not exist"):
        read_journal(path)
    assert not path.exists()


def _write_until_killed(path: Path, told) -> None:
    journal = SqliteJournal(path)
    for number in range(100_000):
        journal.append([("Beat", str(number).encode()), ("Beat", b"pair")])
        told.send(number)


def test_killed_while_writing_all_that_was_acknowledged_is_there_in_whole_batches(path):
    context = multiprocessing.get_context("spawn")
    ear, told = context.Pipe(duplex=False)
    process = context.Process(target=_write_until_killed, args=(path, told))
    process.start()
    last = -1
    while last < 20:
        assert ear.poll(30), "the writer says nothing"
        last = ear.recv()
    os.kill(process.pid, signal.SIGKILL)
    process.join(10)
    told.close()
    try:
        while ear.poll(0):
            last = ear.recv()
    except (EOFError, OSError):
        pass
    journal = SqliteJournal(path)
    entries = journal.replay()
    assert len(entries) % 2 == 0
    assert len(entries) // 2 >= last + 1
    assert [payload for _, payload in entries[::2]] == [str(n).encode() for n in range(len(entries) // 2)]
    journal.close()


def test_a_damaged_file_says_what_to_do(path):
    journal = SqliteJournal(path)
    journal.append([("Beat", b"x" * 2_000)] * 200)
    journal.close()
    with path.open("r+b") as file:
        file.seek(8_192)
        file.write(b"\xde\xad" * 40_000)
    with pytest.raises(DataError, match=r"damaged.*move the file aside"):
        SqliteJournal(path)
    # The failed opener let go of the lock.
    path.unlink()
    SqliteJournal(path, wait_s=0).close()


def test_an_entry_changed_on_disk_is_found_by_its_checksum(path):
    journal = SqliteJournal(path)
    journal.append(ENTRIES)
    journal.close()
    with sqlite3.connect(path) as other:
        other.execute("UPDATE entries SET payload = ? WHERE seq = 2", (b"forged",))
    other.close()
    journal = SqliteJournal(path)
    with pytest.raises(DataError, match="entry 2 does not match"):
        journal.replay()
    journal.close()


def test_an_entry_taken_out_is_found(path):
    journal = SqliteJournal(path)
    journal.append(ENTRIES)
    journal.close()
    with sqlite3.connect(path) as other:
        other.execute("DELETE FROM entries WHERE seq = 2")
    other.close()
    with pytest.raises(DataError, match="entry 2 is missing"):
        read_journal(path)


def test_a_file_that_is_no_database(path):
    path.parent.mkdir()
    path.write_bytes(b"minute,open,high,low,close\n" * 100)
    with pytest.raises(DataError, match="damaged"):
        SqliteJournal(path)
    assert path.read_bytes().startswith(b"minute,open")


def test_another_programs_database_is_left_alone(path):
    path.parent.mkdir()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE trades (id INTEGER)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(DataError, match="another program"):
        SqliteJournal(path)
    assert path.read_bytes() == before


def test_a_journal_of_a_newer_program_is_refused(path):
    SqliteJournal(path).close()
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version=7")
    other.close()
    with pytest.raises(DataError, match="schema 7"):
        SqliteJournal(path)


def test_a_full_disk_is_told_and_leaves_whole_batches(path):
    journal = SqliteJournal(path)
    journal.append(ENTRIES)
    pages = journal._connection.execute("PRAGMA page_count").fetchone()[0]
    journal._connection.execute(f"PRAGMA max_page_count={pages + 2}")
    with pytest.raises(Defect, match=rf"{path} cannot be written: .*full"):
        journal.append([("Beat", b"x" * 3_000)] * 50)
    assert journal.replay() == ENTRIES
    journal._connection.execute("PRAGMA max_page_count=1000000")
    journal.append(ENTRIES)
    assert journal.replay() == ENTRIES * 2
    journal.close()


def test_a_batch_that_fails_in_the_middle_is_left_out_whole(path):
    journal = SqliteJournal(path)
    journal._connection.execute(
        "CREATE TEMP TRIGGER fault AFTER INSERT ON entries WHEN NEW.kind = 'bad'"
        " BEGIN SELECT RAISE(FAIL, 'disk I/O error'); END"
    )
    with pytest.raises(Defect, match="disk I/O error"):
        journal.append([*ENTRIES, ("bad", b"")])
    assert journal.replay() == []
    journal.append(ENTRIES)
    assert journal.replay() == ENTRIES
    journal.close()


def test_with_a_full_disk_no_order_leaves_and_the_books_heal_afterwards(path):
    venue, journal = FakeVenue(), SqliteJournal(path)
    machine = ExecutionMachine(ExecutionSettings(slices=3, slice_seconds=15), RULES, "main")
    executor = LocalExecutor(machine, venue, journal)
    pages = journal._connection.execute("PRAGMA page_count").fetchone()[0]
    journal._connection.execute(f"PRAGMA max_page_count={pages}")
    minute = MINUTE
    while True:
        before = len(venue.history)
        _execute(executor, minute)
        if len(venue.history) == before:
            break
        minute += MINUTE_MS
        assert minute < MINUTE + 500 * MINUTE_MS
    assert "full" in executor._scribe.problem
    journal._connection.execute("PRAGMA max_page_count=1000000")
    executor.beat(minute + MINUTE_MS + 15_000)
    assert len(venue.history) == before + 1
    journal.close()
    again = ExecutionMachine(ExecutionSettings(slices=3, slice_seconds=15), RULES, "main")
    LocalExecutor(again, venue, SqliteJournal(path))
    assert again.books.totals == machine.books.totals
    assert venue.sent_twice() == []


class _At:
    def __init__(self, minute):
        self.minute, self.now_ms = minute, minute + MINUTE_MS


def _execute(executor, minute):
    verdicts = Verdicts(
        minute=minute,
        trace="t",
        state=TradingState.ACTIVE,
        state_reason="",
        approved=(approved("0.9", minute=minute),),
        refused=(),
    )
    return executor.execute(_At(minute), verdicts)


def test_a_place_where_no_file_can_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Defect, match=r"file/journal\.sqlite cannot be"):
        SqliteJournal(tmp_path / "file" / "journal.sqlite")


def test_a_folder_that_may_not_be_written(tmp_path):
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        if os.access(folder, os.W_OK):
            # The superuser writes anywhere: then it must simply work.
            SqliteJournal(folder / "journal.sqlite").close()
        else:
            with pytest.raises(Defect, match="permissions"):
                SqliteJournal(folder / "journal.sqlite")
    finally:
        folder.chmod(stat.S_IRWXU)


def test_it_may_be_made_in_one_thread_and_used_in_another(path):
    journal = SqliteJournal(path)
    thread = threading.Thread(target=journal.append, args=(ENTRIES,))
    thread.start()
    thread.join(10)
    assert journal.replay() == ENTRIES
    journal.close()
