"""What a run notes down, in memory or in a file: the same rows."""

from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from core.errors import DataError
from tests.support.engines import make_forecasts, make_market, make_settings
from tests.unit.test_prepared import equal
from tune.array_store import ArrayStore
from tune.prepared import prepare
from tune.simulate import simulate
from tune.spool import Spool, lent, room_for


@pytest.mark.parametrize("kept", [False, True])
def test_rows_come_back_in_order_and_no_file_is_seen(tmp_path: Path, kept: bool) -> None:
    folder = tmp_path / "kept" if kept else None
    spool = Spool(3, np.int64, folder)
    parts = [np.arange(3 * n).reshape(n, 3) for n in (2, 0, 5)]
    for part in parts:
        spool.add(part)
        part += 100
    found = spool.rows()
    assert np.array_equal(found, np.concatenate(parts) - 100) and found.flags.writeable
    assert Spool(3, np.int64, folder).rows().shape == (0, 3)
    assert Spool(0, np.float64, folder).rows().shape == (0, 0)
    room = room_for((2, 4), folder)
    room[:] = 1.5
    assert room.sum() == 12.0
    assert not kept or list(tmp_path.glob("kept/*")) == []


def test_a_width_of_nothing_still_counts_its_rows(tmp_path: Path) -> None:
    spool = Spool(0, np.float64, tmp_path)
    spool.add(np.zeros((4, 0)))
    assert spool.rows().shape == (4, 0)


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file"):
        Spool(3, np.int64, tmp_path / "file")


def test_a_run_noted_down_in_files_is_the_same_run(tmp_path: Path) -> None:
    settings, market = make_settings(2), make_market(2, 500)
    said = make_forecasts(market, scale=40.0)
    mapped = prepare(settings, market, ArrayStore(tmp_path))
    assert mapped.folder == tmp_path
    found = simulate(settings, market, said, cash=Decimal(10_000), prepared=mapped)
    assert found.counts.fills > 0
    assert equal(found, simulate(settings, market, said, cash=Decimal(10_000)))


def test_memory_is_lent_again_when_nobody_looks_into_it_any_more():
    first = lent((3, 50_000))
    first[:] = 1.0
    part = first[1, 100:]
    where = first.ctypes.data
    del first
    other = lent((3, 50_000))
    assert other.ctypes.data != where, "a part of the first is still looked at"
    other[:] = 2.0
    assert (part == 1.0).all()
    del part, other
    third = lent((3, 50_000))
    fourth = lent((3, 50_000))
    third[:], fourth[:] = 3.0, 4.0
    assert (third == 3.0).all() and (fourth == 4.0).all(), "two of them never share memory"
    assert lent((4,)).shape == (4,) and lent((2, 70_000), np.int8).dtype == np.int8
