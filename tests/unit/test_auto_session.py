"""What a search refuses before any work, and what its state keeps."""

import argparse
import io
import shlex
from pathlib import Path

import pytest
from rich.console import Console

from config.load import load_settings
from core.errors import ConfigError, DataError
from data.lake import Lake
from data.market import MarketSource
from data.synthetic import make_market, write_market
from data.synthetic_spec import SyntheticSpec
from tune import models_command, train_command
from tune.auto import command
from tune.auto.budget import Budget
from tune.auto.leaderboard import Finalist
from tune.auto.session import FOLDER, Now, State, run
from tune.auto.space import FAMILIES, Space
from tune.train import Span

SETTINGS = load_settings(environ={}, overrides=['trade.instruments=["binance:BTC/USDT","binance:ETH/USDT"]'])


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> MarketSource:
    root = tmp_path_factory.mktemp("market")
    lake = write_market(make_market(SyntheticSpec(name="m", seed=1, days=3, binance=("BTC", "ETH"), upbit=())), root)
    return MarketSource(name="m", root=root, lake=lake, synthetic=True)


def span(source: MarketSource, minutes: int) -> Span:
    return Span(first_minute=source.lake.common_span(SETTINGS.config.trade.rows)[0], minutes=minutes)


def budget(minutes: float) -> Budget:
    return Budget(seconds=minutes * 60, cores=1, memory=8 * 10**9, at_once=1, threads=1, trial_bytes=10**9)


def searched(source: MarketSource, minutes: float = 20.0, span_minutes: int = 4_000, resume: bool = False) -> None:
    run(
        source,
        SETTINGS,
        span(source, span_minutes),
        lambda days: Space(tuple(FAMILIES), days),
        lambda space: budget(minutes),
        resume=resume,
    )


def test_too_little_time_data_or_nothing_to_resume_is_said_before_any_work(source: MarketSource):
    with pytest.raises(ConfigError, match=r"--minutes 0\.2 leaves 10 s for trials, and one takes 15 s at least"):
        searched(source, minutes=0.2)
    with pytest.raises(DataError, match=r"2,000 minutes .* are too few for a search: it needs"):
        searched(source, span_minutes=2_000)
    with pytest.raises(ConfigError, match="--resume: no search of this market, span, families and seed was begun"):
        searched(source, resume=True)
    assert not (source.root / FOLDER).exists()


def test_state_outlives_a_start_and_a_broken_one_is_named(tmp_path: Path):
    state = State.load(tmp_path)
    assert (state.spent_s, state.finished) == (0.0, False)
    state.spent_s, state.peak, state.starts = 12.5, 7, 2
    state.save()
    assert State.load(tmp_path) == state
    state.path.write_text("[", encoding="utf-8")
    with pytest.raises(DataError, match="not the state of a search"):
        State.load(tmp_path)


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    train_command.arguments(parser)
    return parser.parse_args(list(words))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--minutes", "5"], "--minutes: only for a search; add --auto"),
        (["--memory", "4GB", "--resume"], "--memory, --resume: only for a search"),
        (["--auto", "--rl"], "--rl and --auto are two ways to train"),
        (["--auto", "--ensure"], "--ensure and --auto are two ways to train"),
    ],
)
def test_options_that_do_not_go_together_are_named(words: list[str], said: str):
    with pytest.raises(command.MisplacedOption, match=said):
        command.check(parsed(*words))


def test_a_size_that_is_none_is_a_usage_error(capsys: pytest.CaptureFixture):
    with pytest.raises(SystemExit) as refused:
        parsed("--auto", "--memory", "lots")
    assert refused.value.code == 2
    assert "'lots' is not an amount of memory like 8GB" in capsys.readouterr().err


def test_the_line_says_what_runs_what_is_left_and_the_memory():
    now = Now("12 trials done, 2 running, best +3.10", 0.5, 125.9, 3_200_000_000)
    assert command.in_words(now) == "12 trials done, 2 running, best +3.10; 2:05 left; memory 3.2 GB"
    said = io.StringIO()
    with command.line(Console(file=said)) as told:
        told(now)
        told(now)
    assert said.getvalue().count("12 trials done") == 1


@pytest.mark.parametrize(
    ("gain", "said"),
    [
        (1e-4, ""),
        (0.0, ", silent on the part that no trial saw"),
        (-1e-9, ", worse than silence on the part that no trial saw"),
    ],
)
def test_what_speaks_against_a_candidate_is_said_beside_it(gain: float, said: str):
    found = Finalist(
        key="k", member="gru", version="v0001.aa", held_out={"gain": gain}, net_pct=0.0, trades=0, verdict="none"
    )
    assert command.warning(found) == said


@pytest.mark.parametrize(
    ("synthetic", "data", "words"),
    [(True, None, ["--market", "m"]), (False, Path("my bars/2025"), ["--data", "my bars/2025"]), (False, None, [])],
)
def test_the_command_that_is_advised_finds_the_candidate_where_it_was_kept(synthetic: bool, data: Path | None, words):
    where = MarketSource(name="m", root=Path("var"), lake=Lake(Path("var")), synthetic=synthetic)
    said = shlex.split(command.promotion("ridge", "v0001.aa", where, data))
    assert said == ["python3", "run.py", "models", "promote", "ridge", "v0001.aa", *words]
    parser = argparse.ArgumentParser()
    models_command.arguments(parser)
    told = parser.parse_args(said[3:])
    assert (told.member, told.version, told.data) == ("ridge", "v0001.aa", data)
    assert told.market == ("m" if synthetic else None)
