"""kill -9 of any one actor, and of every model's replica, in a running replay: the run goes on, and its books end equal to
the exchange's own."""

import json
import os
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.errors import BotError
from core.messages import MinuteRecord
from data.hot import Hot
from data.records import read_records
from tests.support.exposure_checker import check_run
from tests.support.replays import EAGER, ROOT, end_group, left_behind, noted, start_replay, wait_until

VICTIMS = (
    "feed",
    "cache",
    "detector",
    "panel",
    "selector",
    "risk",
    "executor",
    "recorder",
    "shadow",
    "notifier",
    "conductor",
)
MEMBERS = ("ridge", "tcn", "rules")
SETTINGS = (*EAGER, "champions.in_replay=true")
NEW_PROCESS_MS = 1_000.0
"""A replica takes longer than this to be there again, and a vote without one far less."""
MINUTES = 2_000
"""More than the test needs; it stops the run itself."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class Watched:
    """A running replay, seen through its hot state."""

    def __init__(self, current: dict) -> None:
        self._hot = Hot(current["redis_url"], current["run_id"])

    def health(self, name: str) -> dict:
        try:
            return self._hot.health().get(name, {})
        except BotError:
            return {}

    def done(self) -> int:
        try:
            return int(self._hot.state().get("done") or 0)
        except BotError:
            return -1

    def missed(self) -> int:
        return int(self._hot.state().get("missed") or 0)

    def replica(self, member: str) -> dict:
        """What the panel last heard of a member's replica."""
        return self.health("panel").get("replicas", {}).get(member, {})

    def stop(self) -> None:
        self._hot.send_command("stop")


def invest(folder: Path, percent: int) -> None:
    """Write ``trade.invest_pct`` into the settings, as a person does while the bot runs."""
    tree = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    tree["trade"]["invest_pct"] = percent
    (folder / "new.json").write_text(json.dumps(tree), encoding="utf-8")
    (folder / "new.json").replace(folder / "config.json")


def why_of_a_size(run_dir: Path, records: list[MinuteRecord], changed: int) -> str:
    """What ``run.py why`` tells of the first size after the change: the change, and its arithmetic line by line."""
    record = next(r for r in records if r.minute >= changed and (r.approved or r.refused))
    judged = (*record.approved, *record.refused)[0]
    minute = f"{datetime.fromtimestamp(record.minute / 1000, UTC):%Y-%m-%dT%H:%M}"
    asking = [sys.executable, str(ROOT / "run.py"), "why", f"--run={run_dir}", minute, str(judged.instrument)]
    said = subprocess.run(asking, check=True, capture_output=True, text=True, timeout=60, cwd=ROOT).stdout
    since = "in this minute" if record.minute == changed else "at "
    assert f"settings changed {since}" in said and "trade.invest_pct 10 → 20" in said, said
    assert all(f"    {line}" in said for line in judged.arithmetic), said
    return said


def sizes_follow(run_dir: Path, records: list[MinuteRecord]) -> None:
    """From the minute whose record names the change on, every size is reckoned with it; before, with what held before."""
    told = [record for record in records if record.settings]
    assert told[0].settings == ("trade.invest_pct 10 → 20",)
    for record in records:
        for judged in (*record.approved, *record.refused):
            share = 20 if record.minute >= told[0].minute else 10
            assert f" of {share}% of " in judged.arithmetic[0], record.minute
    assert " of 20% of " in why_of_a_size(run_dir, records, told[0].minute)
    # The part that sizes was killed later, and took the new value up again.
    assert [record.settings for record in told[1:]] == [told[0].settings]


def lose_each_replica_once(run: Watched) -> dict[str, tuple[int, int]]:
    """kill -9 of every member's replica on Serve, one after the other; minutes go on and none is missed. Gives how many
    were done before each death, and when minutes had gone on after it."""
    spans = {}
    for member in MEMBERS:
        wait_until(f"{member}'s replica tells its pid", lambda m=member: "pid" in run.replica(m), 60)
        pid, dead = run.replica(member)["pid"], run.done()
        os.kill(pid, signal.SIGKILL)
        wait_until(
            f"{member}'s replica is back", lambda m=member, p=pid: run.replica(m).get("pid") not in (None, p), 90
        )
        before = run.done()
        wait_until(f"minutes go on after {member}'s replica died", lambda b=before: run.done() >= b + 5, 60)
        spans[member] = dead, run.done()
    assert run.missed() == 0
    return spans


def votes_were_lost_and_came_back(records: list[MinuteRecord], spans: dict[str, tuple[int, int]]) -> None:
    """Of each member: minutes without its vote, with the reason, in which the others spoke; then it votes again as it did.

    A replica may be there again within the deadline (5 s) of the minute that found it dead. Then no vote is lost, and
    everybody waited for it.
    """
    decided = [record for record in records if record.status == "done"]
    for row, member in enumerate(MEMBERS):
        said = [record.votes[row] for record in decided]
        assert {vote.member for vote in said} == {member}
        lost = [number for number, vote in enumerate(said) if not vote.spoke]
        if not lost:
            dead, back = spans[member]
            waited = max(dict(record.timings)["models"] for record in records[dead:back])
            assert waited > NEW_PROCESS_MS, f"{member}'s replica was killed: no vote is missing, none was waited for"
            continue
        assert all(said[n].silence.startswith(("late", "failed")) for n in lost), said[lost[0]].silence
        first = lost[0]
        assert sum(vote.spoke for vote in decided[first].votes) >= len(MEMBERS) - 1
        after = next(vote for vote in said[first:] if vote.spoke)
        assert after.version == said[0].version


def test_every_actor_dies_once_and_no_order_is_lost_or_doubled(tmp_path: Path) -> None:
    folder = tmp_path / "settings"
    shutil.copytree(ROOT / "config", folder, ignore=lambda _, names: [n for n in names if not n.endswith(".json")])
    invest(folder, 10)
    replay = start_replay(tmp_path, "--lockstep", f"--minutes={MINUTES}", f"--config-dir={folder}", settings=SETTINGS)
    try:
        wait_until("the run is up", lambda: bool(noted(tmp_path)), 300)
        run = Watched(noted(tmp_path))
        wait_until("ten minutes are done", lambda: run.done() >= 10, 60)
        spans = lose_each_replica_once(run)
        invest(folder, 20)
        for name in VICTIMS:
            wait_until(f"{name} tells its pid", lambda n=name: "pid" in run.health(n), 30)
            pid = run.health(name)["pid"]
            os.kill(pid, signal.SIGKILL)
            wait_until(f"{name} is back", lambda n=name, p=pid: run.health(n).get("pid") not in (None, p), 60)
            before = run.done()
            wait_until(f"minutes go on after {name} died", lambda b=before: run.done() >= b + 5, 60)
        run.stop()
        out, err = replay.communicate(timeout=90)
    finally:
        end_group(replay)
    summary = json.loads(out.strip().splitlines()[-1])
    assert summary["differences"] == [], err[-3000:]
    assert replay.returncode == 0, err[-3000:]
    assert summary["trades"] > 0, "no trade says nothing about lost or doubled ones"
    assert summary["missed"] <= 2 * len(VICTIMS), summary
    records = list(read_records(Path(summary["run_dir"]) / "records"))
    sizes_follow(Path(summary["run_dir"]), records)
    votes_were_lost_and_came_back(records, spans)
    begun = [step for record in records for step in record.models]
    assert {step.member for step in begun if step.kind == "started"} == set(MEMBERS)
    found = check_run(Path(summary["run_dir"]), invest_pct=20)
    assert found.crossings == [] and found.buys > 0, found.text()
    minutes = [r.minute for r in records]
    assert minutes == sorted(set(minutes)), "a minute was recorded twice or out of order"
    assert all(r.reason for r in records if r.status == "missed")
    assert left_behind(str(tmp_path)) == []
