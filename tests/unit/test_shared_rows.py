"""A minute's features in memory that other processes read: the same numbers, none of another minute, no leftovers."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np

from config.load import ROOT
from serve.shared_rows import PREFIX, SLOTS, Board, Reader, sweep


def features(rows: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, 4, 5))


def test_another_process_reads_what_was_put_to_the_last_bit(tmp_path: Path) -> None:
    board = Board(tmp_path)
    put = features()
    put[1, 2, 3] = np.nan
    place = board.put(put)
    code = (
        "import sys, pickle; from serve.shared_rows import Reader\n"
        "place = pickle.loads(bytes.fromhex(sys.argv[1]))\n"
        "rows = Reader().rows(place)\n"
        "assert not rows.flags.writeable\n"
        "print(rows.tobytes().hex())"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, pickle.dumps(place).hex()], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == put.tobytes().hex()
    assert os.stat(place.path).st_mode & 0o077 == 0


def test_a_minute_that_was_written_over_is_none_and_the_one_before_the_newest_is_still_there(tmp_path: Path) -> None:
    board, reader = Board(tmp_path), Reader()
    places = [board.put(features(seed=seed)) for seed in range(SLOTS + 1)]
    assert reader.rows(places[0]) is None
    for seed in (1, 2):
        np.testing.assert_array_equal(reader.rows(places[seed]), features(seed=seed))
    slow = reader.rows(places[1])
    board.put(features(seed=8)), board.put(features(seed=9))
    assert slow is not None and not reader.holds(places[1])


def test_more_instruments_take_a_new_file_and_the_old_one_goes(tmp_path: Path) -> None:
    board, reader = Board(tmp_path), Reader()
    reader.rows(board.put(features(3)))
    large = features(5_000)
    np.testing.assert_array_equal(reader.rows(board.put(large)), large)
    assert len(list(tmp_path.iterdir())) == 1
    board.close()
    assert not list(tmp_path.iterdir())
    assert reader.rows(board.put(large)) is not None


def test_where_there_is_no_room_or_no_such_machine_features_are_sent_themselves(tmp_path: Path) -> None:
    put = features()
    assert Board(tmp_path / "not there").put(put) is put
    place = Board(tmp_path).put(put)
    assert Reader().rows(place._replace(path=str(tmp_path / "elsewhere"))) is None


def test_what_a_killed_process_left_is_swept_away_by_the_next(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (tmp_path / f"{PREFIX}{ended.pid}-left").touch()
    (tmp_path / f"{PREFIX}{os.getpid()}-mine").touch()
    (tmp_path / "somebody").touch()
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{PREFIX}{os.getpid()}-mine", "somebody"]
