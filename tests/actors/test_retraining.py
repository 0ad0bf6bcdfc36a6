"""Training beside trading: when it is due, what runs, what is told, and that it keeps to its means."""

import sys
from pathlib import Path

from actors.runs.retraining import HOUR_MS, LOOK_S, Ended, Retraining, run_all, train_commands
from config.settings import RetrainingSettings
from core.units import MINUTE_MS
from data.artifacts import ArtifactStore
from tests.support.markets import BTC, ETH, MINUTE
from tests.support.served import a_ridge, kept

SETTINGS = RetrainingSettings(every_hours=6, days=3)


class Lake:
    """Bars up to a minute."""

    newest = MINUTE

    def whole_span(self, instruments) -> tuple[int, int]:
        return 0, self.newest


class FakeWork:
    def __init__(self, commands) -> None:
        self.commands = commands
        self.result: Ended | None = None
        self.stopped = False

    def ended(self) -> Ended | None:
        return self.result

    def stop(self) -> None:
        self.stopped = True


class Beside:
    """A run with a store, a lake, and a clock that is set by hand."""

    def __init__(self, folder: Path, settings: RetrainingSettings = SETTINGS, downloads: bool = False) -> None:
        self.store = ArtifactStore(folder / "artifacts")
        self.lake = Lake()
        self.now = MINUTE + 3 * HOUR_MS
        self.works: list[FakeWork] = []
        self.told: list[tuple[str, str, dict]] = []
        self.retraining = Retraining(
            settings,
            self.store,
            self.lake,
            (BTC, ETH),
            commands=train_commands(
                Path("/bot"), ("--market", "demo"), ("--set=a=1",), (BTC, ETH), settings.days, downloads
            ),
            begin=self.begin,
            tell=lambda severity, key, **values: self.told.append((severity, key, values)),
            downloads=downloads,
            now_ms=lambda: self.now,
        )

    def begin(self, commands) -> FakeWork:
        self.works.append(FakeWork(commands))
        return self.works[-1]

    def keep(self, end: int, at: int) -> None:
        kept(self.store, a_ridge(0.0), span=(0, end), created_ms=at)

    def look(self, minute: int = MINUTE) -> int:
        """How many trainings were begun so far."""
        self.retraining._looked = -LOOK_S
        self.retraining.look(minute)
        return len(self.works)


def test_it_is_due_when_the_newest_version_is_old_and_there_is_something_new_to_learn(tmp_path: Path):
    run = Beside(tmp_path)
    run.keep(end=MINUTE, at=MINUTE)
    assert run.look() == 0
    run.now = MINUTE + 6 * HOUR_MS
    assert run.look(MINUTE + 6 * HOUR_MS) == 0, "the lake holds nothing new"
    run.lake.newest = MINUTE + 5 * HOUR_MS
    assert run.look(MINUTE + 30 * MINUTE_MS) == 0, "what is new has not come yet in this market"
    assert run.look(MINUTE + 6 * HOUR_MS) == 1
    assert run.look(MINUTE + 6 * HOUR_MS) == 1, "one at a time"


def test_off_means_off_and_nothing_begins_before_the_first_minute(tmp_path: Path):
    assert Beside(tmp_path, RetrainingSettings()).look() == 0
    run = Beside(tmp_path, downloads=True)
    assert run.look(0) == 0
    assert run.look() == 1


def test_the_newest_bars_are_got_first_and_nothing_is_learned_of_what_is_to_come(tmp_path: Path):
    run = Beside(tmp_path, downloads=True)
    run.look()
    download, train = run.works[0].commands
    assert download[2:8] == ("data", "download", "--exchange", "binance", "--symbols", "BTC/USDT,ETH/USDT")
    assert download[download.index("--since") + 1] == "2023-11-11T22:15"
    assert train[2:] == (
        "train",
        "--days",
        "3",
        "--before-ms",
        str(MINUTE + MINUTE_MS),
        "--json",
        "--market",
        "demo",
        "--set=a=1",
    )


def test_what_was_made_is_told_and_a_failure_waits_for_its_next_time(tmp_path: Path):
    run = Beside(tmp_path, downloads=True)
    run.look()
    run.works[0].result = Ended(1, "a line\nDataError: too few days")
    run.look()
    assert run.told == [("warning", "training_failed", {"reason": "exit code 1: DataError: too few days"})]
    assert run.look() == 1
    run.now += 6 * HOUR_MS
    assert run.look() == 2
    run.keep(end=MINUTE, at=run.now)
    run.works[1].result = Ended(0, "{}")
    run.look()
    (severity, key, values) = run.told[-1]
    assert (severity, key) == ("info", "training_done")
    assert values["versions"].startswith("ridge v0001.")
    assert run.look() == 2
    run.retraining.close()


def test_the_end_of_the_run_ends_it(tmp_path: Path):
    run = Beside(tmp_path, downloads=True)
    run.look()
    run.retraining.close()
    assert run.works[0].stopped


def test_commands_run_in_turn_with_their_threads_until_one_fails(tmp_path: Path):
    def python(code: str) -> tuple[str, ...]:
        return (sys.executable, "-c", code)

    threads = python("import os; print(os.environ['OMP_NUM_THREADS'])")
    assert run_all([python("print('one')"), threads], 2, 4_000, tmp_path / "log") == Ended(0, "2")
    failing = python("import sys; print('too few days', file=sys.stderr); sys.exit(3)")
    ended = run_all([failing, python("open('never', 'w')")], 1, 4_000, tmp_path / "log2")
    assert (ended.code, ended.words) == (3, "too few days")


def test_a_training_that_takes_more_memory_than_it_may_fails_alone(tmp_path: Path):
    code = "import sys; x = bytearray(800 * 2**20); print(len(x))"
    ended = run_all([(sys.executable, "-c", code)], 1, 500, tmp_path / "log")
    assert ended.code == 1
    assert "MemoryError" in ended.words
    assert run_all([(sys.executable, "-c", code)], 1, 2_000, tmp_path / "log").code == 0
