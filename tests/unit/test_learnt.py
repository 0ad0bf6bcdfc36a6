"""Members that learnt long before the run begins are told, with the date."""

from actors.runs.learnt import learnt_until, too_old, until_words
from core.units import DAY_MS
from data.artifacts import ArtifactStore

UNTIL = 20_000 * DAY_MS


def test_the_date_is_said_and_old_ones_are_warned_of(tmp_path):
    store = ArtifactStore(tmp_path)
    kept = store.save(
        "model",
        "ridge",
        lambda folder: (folder / "m.txt").write_text("x", encoding="utf-8"),
        family="ridge",
        schema="",
        span=(UNTIL - DAY_MS, UNTIL),
        instruments=(),
        seed=0,
        code="",
    )
    known = learnt_until(store, {"ridge": kept.version})
    assert known == {"ridge": UNTIL}
    assert until_words(UNTIL, UNTIL + 30 * DAY_MS) == " (trained until 2024-10-04, 30 days before)"
    assert until_words(UNTIL, UNTIL + DAY_MS // 24) == " (trained until 2024-10-04, 1 hours before)"
    assert too_old(known, UNTIL + 14 * DAY_MS, 14) == []
    (line,) = too_old(known, UNTIL + 30 * DAY_MS, 14)
    assert line.startswith("ridge learnt from bars that ended up to 30 days before the first minute")
    assert "live.max_lake_age_days = 14" in line
