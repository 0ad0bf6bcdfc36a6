"""Candles that Upbit really answered with, where the folder of them is there."""

import json
from pathlib import Path

import pytest

from core.bars import is_sound
from core.units import MINUTE_MS, Instrument
from exchanges.upbit import answers
from exchanges.upbit.gateway import UpbitGateway
from tests.support.upbit_stub import UpbitStub
from tests.support.venue_stub import Reply

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "wire_samples" / "upbit_rest_candles_2020-02-20"
BTC = Instrument("upbit", "BTC/KRW")
FIRST = 1_582_185_600_000
"""2020-02-20T08:00:00Z, 17:00 in Seoul."""

pytestmark = pytest.mark.shared


def recorded() -> list[dict]:
    rows = [row for path in sorted(FOLDER.glob("*.json")) for row in json.loads(path.read_text())]
    return sorted(rows, key=lambda row: row["candle_date_time_utc"])


def test_every_recorded_candle_is_a_sound_bar_and_writes_back_the_same():
    rows = recorded()
    bars = [answers.bar_of(answers.read(json.dumps(row).encode(), answers.WireCandle)) for row in rows]
    assert len(bars) == 240
    assert all(is_sound(bar) and not bar.filler for bar in bars)
    assert [b.minute for b in bars] == [FIRST + n * MINUTE_MS for n in range(240)]
    for bar, row in zip(bars, rows, strict=True):
        assert answers.iso(bar.minute) == row["candle_date_time_utc"] + "Z"
        assert (bar.open, bar.high, bar.low, bar.close, bar.volume) == (
            row["opening_price"],
            row["high_price"],
            row["low_price"],
            row["trade_price"],
            row["candle_acc_trade_volume"],
        )


async def test_the_recorded_pages_are_history():
    """Newest first, as they were answered: 200 of them, then the rest."""
    rows = recorded()[::-1]
    async with UpbitStub() as stub:
        stub.server_ms = FIRST + 300 * MINUTE_MS
        stub.on("GET", "/v1/candles/minutes/1", Reply(rows[40:]), Reply(rows[:200]))
        gateway = UpbitGateway(stub.settings(), None, [BTC])
        bars = await gateway.history(BTC, FIRST, 240)
        await gateway.close()
    assert [b.minute for b in bars] == [FIRST + n * MINUTE_MS for n in range(240)]
