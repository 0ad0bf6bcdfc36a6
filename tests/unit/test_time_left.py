"""The time that is left counts every kind of work that is to come, by what it took so far."""

import io
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from rich.console import Console

from config.load import load_settings
from data.market import MarketSource
from data.progress import LINE_SECONDS, bars_bar
from data.synthetic import SyntheticSpec, make_market, write_market
from tune import backtest_command
from tune.fold_work import Plan, Progress
from tune.time_left import TimeLeft
from tune.walkforward import run_walk_forward

FOLDS = 4
WORK = {"reading": 1_000 * FOLDS, "trading": 500 * FOLDS, "learning ridge": 100 * FOLDS, "learning trees": 100 * FOLDS}
TOOK = {"reading": 10.0, "trading": 2.0, "learning ridge": 30.0, "learning trees": 60.0}
"""Seconds of a fold."""


def walk(left: TimeLeft, now: list[float], idle: float = 0.0) -> Iterator[str]:
    """A walk-forward by the fake clock: gives the kind of each piece after it was told, then "fold"."""
    left.plan(WORK)
    for _ in range(FOLDS):
        for kind, half in (
            ("reading", 2),
            ("learning ridge", 1),
            ("learning trees", 1),
            ("reading", 2),
            ("trading", 1),
        ):
            now[0] += idle
            left.begin(kind)
            now[0] += TOOK[kind] / half
            left.did(kind, WORK[kind] // FOLDS // half)
            yield kind
        yield "fold"


@pytest.mark.parametrize("idle", [0.0, 7.0])
def test_learning_that_is_to_come_counts_as_soon_as_all_was_done_once(idle: float) -> None:
    now = [100.0]
    left = TimeLeft(lambda: now[0])
    assert left.left() == 0.0
    whole, told = sum(TOOK.values()), []
    for what in walk(left, now, idle):
        if what == "fold":
            told.append(left.left())
        elif not told and what != "trading":
            assert left.left() is None, "nobody knows how long the trading takes, at first not the learning either"
    assert told == pytest.approx([3 * whole, 2 * whole, whole, 0.0])


def test_the_time_of_what_is_going_on_passes() -> None:
    now = [0.0]
    left = TimeLeft(lambda: now[0])
    left.plan({"learning ridge": 200, "trading": 200})
    for kind, seconds in (("learning ridge", 50.0), ("trading", 4.0)):
        left.begin(kind)
        now[0] += seconds
        left.did(kind, 100)
    left.begin("learning ridge")
    assert left.left() == 54.0
    now[0] += 20.0
    assert left.left() == 34.0
    now[0] += 100.0
    assert left.left() == 4.0, "it takes longer than the last time; the trading is still to come"


def test_what_is_loaded_the_first_time_is_not_expected_again() -> None:
    now = [0.0]
    left = TimeLeft(lambda: now[0])
    left.plan({"learning tcn": 500})
    told = []
    for seconds in (90.0, 10.0, 14.0):
        left.begin("learning tcn")
        now[0] += seconds
        left.did("learning tcn", 100)
        told.append(left.left())
    assert told == [360.0, 30.0, 24.0]


def test_what_an_earlier_run_has_done_takes_no_time_and_says_nothing_of_the_speed() -> None:
    now = [0.0]
    left = TimeLeft(lambda: now[0])
    left.plan({"reading": 300, "learning ridge": 30})
    left.spare("reading", 100)
    left.spare("learning ridge", 10)
    assert left.left() is None
    for kind, units in (("reading", 100), ("learning ridge", 10)):
        left.begin(kind)
        now[0] += 8.0
        left.did(kind, units)
    assert left.left() == 16.0
    left.spare("reading", 100)
    left.spare("learning ridge", 10)
    assert left.left() == 0.0


def test_a_walk_forward_tells_all_of_its_work_and_what_was_done_before(tmp_path: Path) -> None:
    """To the last bar and sample: else the time left would never be nothing, or be nothing too early."""
    spec = SyntheticSpec(name="told", seed=4, days=3, binance=("BTC", "ETH"), upbit=())
    lake = write_market(make_market(spec), tmp_path / "told")
    source = MarketSource(name="told", root=tmp_path / "told", lake=lake, synthetic=True)
    settings = load_settings(
        environ={},
        overrides=[
            'trade.instruments=["binance:BTC/USDT","binance:ETH/USDT"]',
            'rules.models.members=[{"name":"ridge","family":"ridge"},{"name":"rules","family":"rules"}]',
        ],
    )

    def told() -> tuple[dict[str, int], dict[str, int], dict[str, int], float | None]:
        planned: dict[str, int] = {}
        left = TimeLeft()
        did, spared = dict[str, int](), dict[str, int]()

        def plan(units) -> None:
            planned.update(units)
            left.plan(units)

        def count(kind: str, units: int) -> None:
            did[kind] = did.get(kind, 0) + units
            left.did(kind, units)

        def spare(kind: str, units: int) -> None:
            spared[kind] = spared.get(kind, 0) + units
            left.spare(kind, units)

        progress = Progress(plan=plan, begin=left.begin, did=count, spare=spare)
        run_walk_forward(
            source,
            settings,
            Plan(folds=2, candidates=2, samples=1_000),
            tmp_path / "out",
            cash=Decimal(10_000),
            progress=progress,
        )
        return planned, did, spared, left.left()

    planned, did, spared, left = told()
    assert set(planned) == {"reading", "trading", "learning ridge", "learning rules"}
    assert planned["learning ridge"] == 2_000
    assert (did, spared, left) == (planned, {}, 0.0)
    again, did, spared, left = told()
    assert again == planned and left == 0.0
    assert did == {"trading": planned["trading"] // 3}, "the one account goes through the test parts each time"
    assert spared == {kind: units - did.get(kind, 0) for kind, units in planned.items()}


def test_the_bar_of_parts_tells_the_time_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    now, left = 100.0, [None, 1_234.0, 61.0]
    monkeypatch.setattr(time, "monotonic", lambda: now)
    out = io.StringIO()
    with bars_bar(Console(file=out), "walk-forward", lambda: left.pop(0)) as (say, walk):
        now += LINE_SECONDS
        say("fold 1 of 2: reading the past")
        now += LINE_SECONDS
        walk(10, 40)
        now += LINE_SECONDS
        say("fold 2 of 2: ridge learns")
    assert out.getvalue().splitlines() == [
        "walk-forward …",
        "  fold 1 of 2: reading the past (0%)",
        "  fold 1 of 2: reading the past (25%), about 21 min left",
        "  fold 2 of 2: ridge learns (25%), about 61 s left",
    ]
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100)
    with bars_bar(console, "walk-forward", lambda: 3_725.0) as (say, walk):
        walk(10, 40)
    assert "1:02:05" in out.getvalue()
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100)
    with bars_bar(console, "walk-forward", lambda: None) as (say, walk):
        walk(10, 40)
    assert "-:--:--" in out.getvalue()


@pytest.mark.parametrize(("seconds", "words"), [(2.0, " (500 bars/s)"), (0.04, "")])
def test_the_speed_of_a_backtest_is_that_of_the_trading_alone(
    seconds: float, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(backtest_command.time, "perf_counter", lambda: now)
    speed = backtest_command._Speed(instruments=5)
    assert speed.words() == ""
    now += 30.0  # compiled, read, made ready
    speed.reached(0)
    assert speed.words() == ""
    for minutes in (50, 150, 200):
        now += seconds / 3
        speed.reached(minutes)
    now += 30.0  # the result's tables
    assert speed.words() == words
