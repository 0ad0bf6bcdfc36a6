"""Minute records: exact on disk and back, never lost by a crash, never half read."""

import json
import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.errors import DataError
from core.messages import MinuteRecord
from core.units import MINUTE_MS
from data import plain
from data.records import RecordStore, frame, read_records
from tests.support.minute_records import FIRST_MINUTE, MadeUpRun


def same(left: list[MinuteRecord], right: list[MinuteRecord]) -> bool:
    """Equal to the last digit, NaN included (a NaN equals nothing, so the shortest decimals are compared)."""
    return list(map(repr, left)) == list(map(repr, right))


def test_records_come_back_exactly(tmp_path):
    made = MadeUpRun().many(130)
    store = RecordStore(tmp_path, every=50)
    for record in made:
        assert store.append(record)
    store.close()
    back = list(read_records(tmp_path))
    assert same(back, made)
    assert [r.decisions() for r in back if r.status == "done"] == [r.decisions() for r in made if r.status == "done"]
    assert len(list(tmp_path.glob("part-*.parquet"))) == 3
    assert not list(tmp_path.glob("*.tmp"))


def test_a_crash_loses_nothing_that_was_acknowledged(tmp_path):
    made = MadeUpRun().many(7)
    crashed = RecordStore(tmp_path, every=5)
    for record in made:
        crashed.append(record)
    # No close: five minutes are in a part, two in the tail, and the process is gone in the middle of a line.
    with (tmp_path / "tail.jsonl").open("a", encoding="utf-8") as tail:
        tail.write('{"minute":17673')
    again = RecordStore(tmp_path, every=5)
    assert again.last_minute == made[-1].minute
    again.close()
    assert same(list(read_records(tmp_path)), made)


def test_a_crash_between_part_and_tail_shows_each_minute_once(tmp_path):
    made = MadeUpRun().many(4)
    store = RecordStore(tmp_path, every=100)
    for record in made:
        store.append(record)
    tail = (tmp_path / "tail.jsonl").read_text(encoding="utf-8")
    store.flush()
    (tmp_path / "tail.jsonl").write_text(tail, encoding="utf-8")
    assert same(list(read_records(tmp_path)), made)


def test_reading_while_writing_sees_the_tail(tmp_path):
    made = MadeUpRun().many(3)
    store = RecordStore(tmp_path)
    for record in made:
        store.append(record)
    assert same(list(read_records(tmp_path)), made)
    store.close()


def test_done_replaces_missed_and_nothing_replaces_done(tmp_path):
    done = MadeUpRun().next()
    missed = MinuteRecord(minute=done.minute, trace=done.trace, status="missed", reason="late")
    store = RecordStore(tmp_path)
    assert store.append(missed)
    store.flush()
    assert store.append(done)
    assert not store.append(missed)
    assert not store.append(done)
    store.close()
    assert same(list(read_records(tmp_path)), [done])


def test_recover_takes_only_what_disk_has_not(tmp_path):
    made = MadeUpRun().many(6)
    store = RecordStore(tmp_path, every=4)
    for record in made[:5]:
        store.append(record)
    assert store.recover(reversed(made)) == 1
    store.close()
    assert same(list(read_records(tmp_path)), made)


def test_a_newer_schema_is_refused_by_name(tmp_path):
    store = RecordStore(tmp_path)
    store.append(MadeUpRun().next())
    part = store.flush()
    store.close()
    table = pq.read_table(part)
    pq.write_table(table.replace_schema_metadata({b"minutehand.records": b"99"}), part)
    with pytest.raises(DataError, match=rf"{part.name}.*schema 99.*update the bot"):
        list(read_records(tmp_path))


@pytest.mark.parametrize("content", [b"", b"PAR1 not really PAR1"])
def test_a_corrupt_part_is_named(tmp_path, content):
    (tmp_path / "part-1-000001.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"part-1-000001\.parquet"):
        list(read_records(tmp_path))


def test_a_foreign_parquet_file_is_named(tmp_path):
    pq.write_table(pa.table({"minute": [1]}), tmp_path / "part-1-000001.parquet")
    with pytest.raises(DataError, match="not a file of minute records"):
        list(read_records(tmp_path))


def test_a_corrupt_tail_line_is_named(tmp_path):
    (tmp_path / "tail.jsonl").write_text("{]\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"tail.jsonl: line 1"):
        RecordStore(tmp_path)


def test_no_records_says_where_they_should_be(tmp_path):
    with pytest.raises(DataError, match="no records here"):
        list(read_records(tmp_path / "nowhere"))


def test_the_frame_has_numbers_to_reckon_with():
    made = MadeUpRun().many(40)
    table = frame(made)
    done = [record for record in made if record.status == "done"]
    assert table.filter(table["status"] == "done")["equity"].to_list() == [record.equity for record in done]
    assert table["minute"].to_list() == list(range(FIRST_MINUTE, FIRST_MINUTE + 40 * MINUTE_MS, MINUTE_MS))
    first = json.loads(table["votes"][0])
    assert [vote["member"] for vote in first] == ["ridge", "tcn", "rules"]


def test_plain_text_is_standard_json_with_exact_numbers():
    record = MinuteRecord(
        minute=1, trace="1", status="done", close=(0.1 + 0.2, math.nan, math.inf, -math.inf, 5e-324, -0.0)
    )
    text = plain.dumps(record)
    assert "NaN" not in text
    assert repr(plain.loads(MinuteRecord, text)) == repr(record)


def test_a_missing_field_takes_its_default_and_an_unknown_one_is_named():
    data = {"minute": 1, "trace": "1", "status": "done"}
    assert plain.decode(MinuteRecord, data) == MinuteRecord(minute=1, trace="1", status="done")
    with pytest.raises(DataError, match=r"MinuteRecord.mood: unknown field"):
        plain.decode(MinuteRecord, data | {"mood": 3})
    with pytest.raises(DataError, match=r"MinuteRecord.status: missing"):
        plain.decode(MinuteRecord, {"minute": 1, "trace": "1"})
    with pytest.raises(DataError, match=r"MinuteRecord.equity: 'much' does not fit"):
        plain.decode(MinuteRecord, data | {"equity": "much"})
