"""``run.py backtest`` from its arguments to its folder: engine and live parts agree, Ctrl-C keeps what is done."""

import argparse
import json
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from core.errors import EXIT_OK, ConfigError, DataError
from core.units import MINUTE_MS, Instrument
from data.lake import Lake
from data.market import MarketSource, cut
from data.records import read_records
from data.synthetic import SyntheticSpec, make_market, write_market
from tests.support import engines
from tests.support.markets import BTC, ETH, MINUTE
from tune import backtest_command, report_command, walkforward_command
from tune.gaps import gaps_of, left_out_of
from tune.report.style import clock
from tune.result import Result

MEMBER = 'rules.models.members=[{"name":"rules","family":"rules"}]'
"""The member that needs no training, so that a test is a matter of seconds."""


@pytest.fixture(scope="module")
def var(tmp_path_factory) -> Path:
    var = tmp_path_factory.mktemp("var")
    spec = SyntheticSpec(name="tiny", seed=3, days=2, edge="planted", edge_bps=150.0)
    write_market(make_market(spec), var / "synth" / "tiny")
    return var


@pytest.fixture
def backtest(var) -> Callable[..., int]:
    def run(*words: str | Path, minutes: int = 240) -> int:
        parser = argparse.ArgumentParser()
        backtest_command.arguments(parser)
        fixed = ("--market", "tiny", f"--set=var_dir={var}", f"--set={MEMBER}", "--minutes", str(minutes))
        return backtest_command.main(parser.parse_args([*fixed, *map(str, words)]))

    return run


def test_it_leaves_a_result_and_a_page_and_prints_the_waterfall(backtest, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(backtest_command, "LEAST_S", 0.0)
    assert backtest("--out", tmp_path / "run") == EXIT_OK
    told = capsys.readouterr().out
    assert "where the money went" in told
    assert "SYNTHETIC" in told
    assert "bars/s" in told
    result = Result.load(tmp_path / "run")
    assert result.minutes == 240
    assert len(result.fills) > 0
    assert result.settings["rules"]["models"]["members"][0]["name"] == "rules"
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "SYNTHETIC market:" in page
    assert "taker 0.1 %" in page


def test_the_live_parts_find_what_the_engine_finds(backtest, tmp_path, capsys):
    found = []
    for name, *words in (("fast",), ("exact", "--exact")):
        assert backtest(*words, "--out", tmp_path / name, "--json") == EXIT_OK
        found.append(json.loads(capsys.readouterr().out))
    fast, exact = found
    assert fast["costs"] == exact["costs"]
    assert fast["figures"]["return"] == exact["figures"]["return"]
    assert fast["figures"]["trades"] == exact["figures"]["trades"] > 0
    kept = Result.load(tmp_path / "fast"), Result.load(tmp_path / "exact")
    assert kept[0].fills["price"].to_list() == kept[1].fills["price"].to_list()
    assert (tmp_path / "exact" / "records").is_dir()


def test_what_was_done_to_the_bars_of_a_person_stands_among_the_notes(backtest, tmp_path, monkeypatch, capsys):
    told, found = "Bars: 100 rows repeat another exactly.", backtest_command.source_of
    monkeypatch.setattr(backtest_command, "source_of", lambda *given: replace(found(*given), notes=(told,)))
    walk = ("--walk-forward", "--folds", "1", "--samples", "1000", "--candidates", "1")
    for words, minutes in (((), 240), (("--exact",), 240), (walk, 2_880)):
        assert backtest(*words, "--out", tmp_path / "run", minutes=minutes) == EXIT_OK
        assert told in capsys.readouterr().out
        assert Result.load(tmp_path / "run").notes.count(told) == 1
        assert told in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_one_instrument_is_told_as_one(backtest, tmp_path, capsys):
    assert backtest("--set", 'trade.instruments=["binance:BTC/USDT"]', "--out", tmp_path / "run") == EXIT_OK
    assert "240 minutes × 1 instrument: " in capsys.readouterr().out
    assert Result.load(tmp_path / "run").market == "synthetic market, 1 instrument"


def test_a_second_run_stands_beside_it(backtest, tmp_path, capsys):
    assert backtest("--out", tmp_path / "before") == EXIT_OK
    free = "--set=rules.costs.fees=false"
    assert backtest(free, "--out", tmp_path / "after", "--against", tmp_path / "before", "--json") == EXIT_OK
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["costs"]["fees"] == 0.0
    assert told["notes"] == ["Without these costs: fees. What it earned is not what it would have earned."]
    page = (tmp_path / "after" / "report.html").read_text(encoding="utf-8")
    assert "<h2>Compared: costs</h2>" in page
    assert ">before</th>" in page
    with pytest.raises(DataError, match="there is no such folder"):
        backtest("--against", tmp_path / "never")


def test_ctrl_c_keeps_the_minutes_that_are_done(backtest, tmp_path, monkeypatch, capsys):
    @contextmanager
    def interrupted(console, what, minutes, instruments):
        """Somebody presses Ctrl-C after 50 minutes of trading."""

        def done(count: int, total: int) -> None:
            if what == "trading" and count >= 50:
                raise KeyboardInterrupt

        yield done

    monkeypatch.setattr(backtest_command, "minutes_bar", interrupted)
    assert backtest("--exact", "--out", tmp_path / "part") == backtest_command.EXIT_INTERRUPTED
    result = Result.load(tmp_path / "part")
    assert result.minutes == 50
    assert result.notes == ("interrupted: 50 of 240 minutes were run",)
    assert "interrupted: 50 of 240" in (tmp_path / "part" / "report.html").read_text(encoding="utf-8")
    assert "interrupted" in capsys.readouterr().out


def test_a_walk_forward_puts_its_verdict_on_top(backtest, tmp_path, capsys):
    few = ("--folds", "1", "--samples", "1000", "--candidates", "1")
    assert backtest("--walk-forward", *few, "--out", tmp_path / "walk", "--json", minutes=2_880) == EXIT_OK
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["verdict"] in ("unproven", "none"), "half a day proves nothing"
    assert told["reasons"]
    assert Result.load(tmp_path / "walk").market.endswith(" minutes out of sample in 1 fold")
    page = (tmp_path / "walk" / "report.html").read_text(encoding="utf-8")
    assert page.index(f"chip {told['verdict']}'>") < page.index("<h2>Equity")
    assert report_command.main(parsed(tmp_path / "walk")) == EXIT_OK, "the verdict is read back beside the result"
    assert f"verdict: {told['verdict']}" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="leave --exact away"):
        backtest("--walk-forward", "--exact")


def parsed(*words: str | Path) -> argparse.Namespace:
    """Arguments of ``run.py report``."""
    parser = argparse.ArgumentParser()
    report_command.arguments(parser)
    return parser.parse_args([*map(str, words)])


@pytest.mark.parametrize("cash", ["nothing", "-5", "0", "nan"])
def test_cash_that_is_none_is_a_usage_error(backtest, cash, capsys):
    with pytest.raises(SystemExit) as exit_:
        backtest("--cash", cash)
    assert exit_.value.code == 2
    assert "--cash" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_told_before_the_work(backtest, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    monkeypatch.setattr(backtest_command, "simulate", None)
    with pytest.raises(ConfigError, match="name a folder by --out"):
        backtest("--out", tmp_path / "file" / "run")


def test_a_folder_used_again_holds_the_last_run_alone_and_what_a_person_put_there(backtest, tmp_path, capsys):
    out = tmp_path / "run"
    assert backtest("--exact", "--out", out) == EXIT_OK
    assert "replaced" not in capsys.readouterr().out
    for name in ("verdict.json", "folds.json"):  # as of a walk-forward
        (out / name).write_text("{}", encoding="utf-8")
    (out / "notes.txt").write_text("mine", encoding="utf-8")
    assert backtest("--out", out) == EXIT_OK
    assert f"replaced the result of an earlier run in {out}" in capsys.readouterr().out.splitlines()
    fresh = tmp_path / "fresh"
    assert backtest("--out", fresh) == EXIT_OK
    assert {p.name for p in out.iterdir()} == {p.name for p in fresh.iterdir()} | {"notes.txt"}
    assert (out / "notes.txt").read_text(encoding="utf-8") == "mine"


def test_records_are_replaced_and_a_strangers_file_among_them_stays(backtest, tmp_path):
    out = tmp_path / "run"
    assert backtest("--exact", "--out", out) == EXIT_OK
    (out / "records" / "notes.txt").write_text("mine", encoding="utf-8")
    assert backtest("--exact", "--out", out, minutes=60) == EXIT_OK
    assert len(list(read_records(out / "records"))) == 60
    assert (out / "records" / "notes.txt").exists()


def test_the_records_of_a_run_that_was_no_backtest_are_left_alone(backtest, tmp_path, monkeypatch):
    monkeypatch.setattr(backtest_command, "simulate", None)
    (tmp_path / "live" / "records").mkdir(parents=True)
    (tmp_path / "live" / "records" / "tail.jsonl").write_text("", encoding="utf-8")
    for words in ((), ("--exact",), ("--walk-forward",)):
        with pytest.raises(ConfigError, match="records of a run that was no backtest; name another folder"):
            backtest(*words, "--out", tmp_path / "live")
    assert [p.name for p in (tmp_path / "live" / "records").iterdir()] == ["tail.jsonl"]


@pytest.mark.parametrize("when", ["learns", "one account over all test parts"])
def test_an_interrupted_walk_forward_leaves_its_folder_as_it_was(backtest, tmp_path, monkeypatch, when):
    few = ("--walk-forward", "--folds", "1", "--samples", "1000", "--candidates", "1")
    whole = walkforward_command.run_walk_forward

    def interrupted(*given, progress, **named):
        def say(text: str) -> None:
            if when in text:
                raise KeyboardInterrupt

        return whole(*given, progress=replace(progress, say=say), **named)

    monkeypatch.setattr(walkforward_command, "run_walk_forward", interrupted)
    earlier = tmp_path / "earlier"
    assert backtest("--exact", "--out", earlier) == EXIT_OK
    before = {p: p.stat().st_mtime_ns for p in earlier.rglob("*")}
    for number, out in enumerate((tmp_path / "new", earlier)):
        # Another seed: a fold that was learned before would not be learned, and interrupted, again.
        seed = str(100 * len(when) + number)
        with pytest.raises(KeyboardInterrupt):
            backtest(*few, "--seed", seed, "--out", out, minutes=2_880)
    assert not (tmp_path / "new").exists()
    assert {p: p.stat().st_mtime_ns for p in earlier.rglob("*")} == before
    monkeypatch.setattr(walkforward_command, "run_walk_forward", whole)
    assert backtest(*few, "--out", earlier, minutes=2_880) == EXIT_OK
    assert (earlier / "folds.json").is_file()
    assert (earlier / "verdict.json").is_file()
    assert not (earlier / "records").exists()


def test_other_rules_or_money_do_not_take_the_place_of_an_earlier_run(backtest, var, capsys):
    pages = []
    for words in ((), ("--set", "rules.selection.entry_edge_bps=31"), ("--cash", "5000"), ()):
        assert backtest("--json", *words) == EXIT_OK
        pages.append(json.loads(capsys.readouterr().out)["report"])
    assert len(set(pages[:3])) == 3
    assert pages[3] == pages[0]


def test_an_option_of_the_walk_forward_alone_is_a_usage_error(backtest):
    with pytest.raises(backtest_command.MisplacedOption, match="--folds, --seed: only for a walk-forward") as caught:
        backtest("--folds", "3", "--seed", "5")
    assert caught.value.exit_code == 2


def test_a_start_outside_the_data_is_told_what_there_is(backtest):
    with pytest.raises(DataError, match=r"such a run can start from 20\d\d-.* to 20\d\d-"):
        backtest("--start", "2020-01-01")


@pytest.mark.parametrize("name", ["columns.npz", "fills.parquet", "orders.parquet", "result.json"])
def test_a_damaged_result_is_named(backtest, tmp_path, name):
    assert backtest("--out", tmp_path / "run", "--json", minutes=5) == EXIT_OK
    part = tmp_path / "run" / name
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(DataError, match=r"run: the result"):
        Result.load(tmp_path / "run")
    part.unlink()
    with pytest.raises(DataError, match=rf"no result of a backtest in it \(({name}|a part of it) is missing\)"):
        Result.load(tmp_path / "run")


def in_one_lake(root: Path, minutes: dict[Instrument, range]) -> MarketSource:
    """Bars of each instrument in a stretch of its own of the same day."""
    lake = Lake(root)
    for instrument, there in minutes.items():
        ts = [MINUTE + at * MINUTE_MS for at in there]
        prices = dict.fromkeys(("open", "high", "low", "close", "volume"), [100.0] * len(ts))
        lake.write(instrument, pl.DataFrame({"ts": ts, **prices}), "rest")
    return MarketSource(name="made", root=root, lake=lake, synthetic=False)


def test_the_newest_minutes_are_not_left_out_in_silence(tmp_path):
    source = in_one_lake(tmp_path, {BTC: range(2_000), ETH: range(1_500)})
    market = cut(source, (BTC, ETH), 100)
    assert market.first_minute == MINUTE + 1_400 * MINUTE_MS
    (told,) = left_out_of(source, market)
    assert f"ends at {clock(MINUTE + 1_500 * MINUTE_MS)} UTC with the last bar of ETH/USDT" in told
    assert f"bars until {clock(MINUTE + 2_000 * MINUTE_MS)}" in told
    assert left_out_of(source, cut(source, (BTC,), 100)) == ()


def test_what_keeps_the_shared_minutes_short_is_named(tmp_path):
    source = in_one_lake(tmp_path, {BTC: range(2_000), ETH: range(1_900, 2_000)})
    with pytest.raises(DataError, match=r"share 100 minutes .*: ETH/USDT last to begin\. Leave out of"):
        cut(source, (BTC, ETH), 100)
    with pytest.raises(
        DataError, match=r"share 2000 minutes .*; ask for (\d+) minutes or fewer, or import more"
    ) as told:
        cut(source, (BTC,), 1_900)
    most = int(str(told.value).partition("ask for ")[2].partition(" ")[0])
    assert cut(source, (BTC,), most).minutes == most
    with pytest.raises(DataError, match=r"are asked for"):
        cut(source, (BTC,), most + 1)


def test_where_the_history_alone_does_not_fit_no_fewer_minutes_are_asked_for(tmp_path):
    source = in_one_lake(tmp_path, {BTC: range(30)})
    with pytest.raises(DataError, match=r"share 30 minutes [^;]*; import more$"):
        cut(source, (BTC,), 240)


def test_minutes_without_a_bar_are_counted():
    market = engines.make_market(1, 50)
    bars = market.bars.copy()
    bars[0, 10:14] = np.nan
    (told,) = gaps_of(replace(market, bars=bars))
    assert f"{market.instruments[0].symbol} 4." in told
    assert gaps_of(market) == ()
