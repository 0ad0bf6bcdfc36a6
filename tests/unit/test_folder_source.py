"""``--data``: raw bars become a market of their own, once; what is broken is refused with what to do."""

import argparse
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from config.load import load_settings
from core.errors import ConfigError, DataError
from core.units import MINUTE_MS, Instrument
from data.folder_source import MARK, folder_source
from data.lake import Lake
from data.market import MarketSource
from data.market_arguments import add_market, add_span, add_worth, cut_of, fitted, source_of
from tests.support.markets import MINUTE, walk

BTC = Instrument("binance", "BTC/USDT")


def raw(folder: Path, name: str = "BTCUSDT", *, minutes: int = 300, seed: int = 1, times: float = 1.0) -> Path:
    """A folder with one file of bars; one close in the middle is multiplied by ``times``."""
    bars = np.round(walk(minutes, seed), 2)
    bars[:, 1], bars[:, 2] = bars[:, :4].max(axis=1), bars[:, :4].min(axis=1)
    bars[minutes // 2, [1, 3]] *= times
    columns = dict(zip(("open", "high", "low", "close", "volume"), bars.T, strict=True))
    path = folder / "binance" / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame({"open_time": MINUTE + np.arange(minutes, dtype=np.int64) * MINUTE_MS, **columns}).write_parquet(path)
    return folder


def asked(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_market(parser)
    return parser.parse_args(words)


def test_raw_bars_are_imported_once_and_told_on_the_way(tmp_path: Path) -> None:
    folder, var, said = raw(tmp_path / "may"), tmp_path / "var", []
    source = folder_source(var, folder, lambda text, share: said.append(text))
    assert source.name.startswith("may-")
    assert source.root == source.lake.root == var / "markets" / source.name
    assert source.lake.common_span((BTC,)) == (MINUTE, MINUTE + 299 * MINUTE_MS)
    assert not source.synthetic
    assert "importing BTCUSDT.parquet" in said
    said.clear()
    again = folder_source(var, folder, lambda text, share: said.append(text))
    assert again.root == source.root
    assert not [text for text in said if text.startswith("importing")]


def test_rows_given_twice_are_counted_in_every_run_over_them(tmp_path: Path) -> None:
    folder, var = raw(tmp_path / "may"), tmp_path / "var"
    assert folder_source(var, folder).notes == ()
    path = folder / "binance" / "BTCUSDT.parquet"
    bars = pl.read_parquet(path)
    pl.concat([bars[:100], bars]).sort("open_time").write_parquet(path)
    bars[:1].write_parquet(path.with_name("BTCUSDT-1m.parquet"))
    told = "Bars: 101 rows repeat another exactly and were left out (BTCUSDT.parquet: 101)."
    first, again = folder_source(var, folder), folder_source(var, folder)
    assert first.notes == again.notes
    assert told in first.notes
    assert len(first.lake.window((BTC,), MINUTE, 300)[0]) == 300


def test_what_an_import_warns_of_is_told_too(tmp_path: Path) -> None:
    folder = raw(tmp_path / "may")
    path = folder / "binance" / "BTCUSDT.parquet"
    bars = pl.read_parquet(path)
    pl.concat([bars[:10], bars[20:30], bars[10:20], bars[30:]]).write_parquet(path)
    (told,) = folder_source(tmp_path / "var", folder).notes
    assert told.startswith("Files: 1 warning (BTCUSDT.parquet: row 21: ")
    assert told.endswith("all of them: python3 run.py data import PATH --lake FOLDER --dry-run.")


def test_other_bytes_under_the_same_name_are_another_market(tmp_path: Path) -> None:
    folder, var = tmp_path / "may", tmp_path / "var"
    first = folder_source(var, raw(folder, seed=1))
    second = folder_source(var, raw(folder, seed=2))
    assert first.root != second.root
    assert not np.array_equal(first.lake.window((BTC,), MINUTE, 300), second.lake.window((BTC,), MINUTE, 300))


def test_an_import_that_was_cut_off_is_done_again(tmp_path: Path) -> None:
    folder, var = raw(tmp_path / "may"), tmp_path / "var"
    source = folder_source(var, folder)
    (source.root / MARK).unlink()
    next((source.root / "bars").rglob("*.parquet")).unlink()
    assert folder_source(var, folder).lake.instruments() == (BTC,)


def test_a_lake_is_used_where_it_lies_and_written_to_nowhere(tmp_path: Path) -> None:
    made = folder_source(tmp_path / "var", raw(tmp_path / "may"))
    before = sorted(p for p in made.root.rglob("*"))
    source = folder_source(tmp_path / "other", made.root)
    assert source.lake.root == made.root
    assert source.root.is_relative_to(tmp_path / "other")
    assert sorted(p for p in made.root.rglob("*")) == before


@pytest.mark.parametrize("what", ["nothing", "empty", "strangers", "lake"])
def test_a_folder_without_bars_says_what_is_wanted(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "x"
    if what != "nothing":
        folder.mkdir()
    if what == "strangers":
        (folder / "notes.txt.md").write_text("no bars")
    if what == "lake":
        (folder / "bars" / "v1").mkdir(parents=True)
    with pytest.raises(DataError, match=r"--data .*(no such|no bars|without bars)"):
        folder_source(tmp_path / "var", folder)


def test_a_price_of_a_thousand_times_its_neighbours_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"faults in its bars: BTCUSDT\.parquet: row 151.*--allow-bad"):
        folder_source(tmp_path / "var", raw(tmp_path / "may", times=1_000.0))
    assert not [p for p in (tmp_path / "var" / "markets").iterdir() if (p / MARK).exists() and p.name[0] != "."]


def test_bars_of_no_named_exchange_say_how_to_name_it(tmp_path: Path) -> None:
    (raw(tmp_path / "may") / "binance").rename(tmp_path / "may" / "stuff")
    with pytest.raises(DataError, match=r"Name it: python3 run\.py data import .*may --exchange binance --lake FOLDER"):
        folder_source(tmp_path / "var", tmp_path / "may")


def test_only_the_instruments_that_the_folder_has_are_traded(tmp_path: Path) -> None:
    settings = load_settings(environ={})
    args = asked("--data", str(raw(tmp_path / "may")))
    changed, absent = fitted(args, settings, source_of(args, tmp_path / "var"))
    assert changed.config.trade.rows == (BTC,)
    assert [i.base for i in absent] == ["ETH", "BNB", "SOL", "XRP"]
    args = asked("--data", str(raw(tmp_path / "odd", "LTCUSDT")))
    with pytest.raises(ConfigError, match=r"binance:LTC/USDT, and none of the configured"):
        fitted(args, settings, source_of(args, tmp_path / "var"))


def test_two_markets_are_one_too_many(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        asked("--exchange", "binance", "--data", "x")
    assert stop.value.code == 2
    assert "--data: not allowed with argument --exchange" in capsys.readouterr().err


def test_the_label_of_a_synthetic_lake_is_kept(tmp_path: Path) -> None:
    source = source_of(asked(), tmp_path)
    assert folder_source(tmp_path, source.root).synthetic
    assert isinstance(source.lake, Lake)


def test_what_a_currency_is_worth_is_said_on_the_line() -> None:
    parser = argparse.ArgumentParser()
    add_market(parser)
    add_worth(parser)
    args = parser.parse_args(["--per-usdt", "krw=1390.5"])
    assert args.per_usdt == [("KRW", 1390.5)]
    for wrong in ("1390", "KRW=", "KRW=0", "KRW=-3", "KRW=nan", "=5"):
        with pytest.raises(SystemExit):
            parser.parse_args(["--per-usdt", wrong])


def test_markets_of_another_exchange_than_the_configured_are_named_with_the_line_to_set(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    add_market(parser)
    source = folder_source(tmp_path / "var", raw(tmp_path / "may"))
    args = parser.parse_args(["--exchange", "upbit"])
    settings = load_settings(environ={}, overrides=['trade.instruments=["upbit:BTC/KRW"]'])
    with pytest.raises(ConfigError, match=r'has bars of binance:.*none of the configured.*\["binance:'):
        fitted(args, settings, source)


@pytest.mark.parametrize(("exchange", "symbols"), [("binance", "BTC/USDT,ETH/USDT"), ("upbit", "BTC/KRW")])
def test_a_lake_without_bars_of_the_exchange_says_where_it_is_and_how_to_fill_it(
    tmp_path: Path, exchange: str, symbols: str
) -> None:
    args = asked("--exchange", exchange)
    settings = load_settings(environ={}, overrides=['trade.instruments=["binance:BTC/USDT","binance:ETH/USDT"]'])
    with pytest.raises(DataError) as refused:
        fitted(args, settings, source_of(args, tmp_path))
    said, lake = str(refused.value), tmp_path / "lake"
    assert said.startswith(f"{lake}: has no bars of {exchange}. ")
    assert f"data download --exchange {exchange} --symbols {symbols} --since 2026-01-01 --lake {lake}" in said
    assert said.endswith(f"python3 run.py data import PATH --lake {lake}")


def test_what_is_suggested_instead_has_the_minutes_that_were_asked_for(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    start = 24_000_000 * MINUTE_MS
    for symbol, late in (("BTC/USDT", 0), ("XRP/USDT", 2_000)):
        times = start + np.arange(late, 3_000) * MINUTE_MS
        bars = {"ts": times, **dict.fromkeys(("open", "high", "low", "close", "volume"), np.ones(len(times)))}
        lake.write(Instrument("binance", symbol), pl.DataFrame(bars), "test")
    source = MarketSource(name="lake", root=tmp_path, lake=lake, synthetic=False)
    three = load_settings(
        environ={}, overrides=('trade.instruments=["binance:BTC/USDT","binance:XRP/USDT","binance:BNB/USDT"]',)
    )
    when = str(np.datetime64(start + 1_000 * MINUTE_MS, "ms").astype("datetime64[m]"))

    def asks(*words: str) -> argparse.Namespace:
        parser = argparse.ArgumentParser()
        add_market(parser)
        add_span(parser, 60)
        return parser.parse_args(words)

    with pytest.raises(ConfigError) as refused:
        fitted(asks("--exchange", "binance", "--start", when), three, source)
    said = str(refused.value)
    assert "binance:XRP/USDT has none of those minutes" in said
    assert said.endswith("""--set 'trade.instruments=["binance:BTC/USDT"]'""")
    with pytest.raises(ConfigError, match="XRP/USDT\"]'"):
        fitted(asks("--exchange", "binance"), three, source)
    pair = (Instrument("binance", "BTC/USDT"), Instrument("binance", "XRP/USDT"))
    with pytest.raises(DataError) as short:
        cut_of(asks("--exchange", "binance", "--start", when), source, pair, 60)
    assert str(short.value).endswith("""these have them: --set 'trade.instruments=["binance:BTC/USDT"]'""")
