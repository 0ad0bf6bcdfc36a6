"""The verb ``data``: exit codes, plain lines, a table on a terminal, and JSON a script can read."""

import argparse
import io
import json
import re
import shlex

import pytest

from core.errors import ConfigError, DataError
from data.data_command import arguments, main
from data.import_report import ImportOptions
from data.importing import import_path
from data.lake import Lake
from data.report import IMPORT_WORDS, show_catalog, show_import
from tests.support.bar_files import changed, save, walk


def run(*words: object) -> int:
    parser = argparse.ArgumentParser(prog="run.py data")
    arguments(parser)
    return main(parser.parse_args([str(word) for word in words]))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def lake(tmp_path):
    return tmp_path / "lake"


def test_a_clean_import_is_exit_0_and_a_bad_row_exit_1_unless_allowed(tmp_path, lake, capsys):
    good, bad = save(walk(), tmp_path), save(changed(walk(), 40, close=0.0), tmp_path, "ETHUSDT.csv")
    assert run("import", good, "--lake", lake) == 0
    assert run("import", bad, "--lake", lake) == 1
    out = capsys.readouterr().out
    assert f"{bad} (binance:ETH/USDT): fault: line 41: close is 0.0; prices are positive" in out
    assert "299 rows new, 0 there already, 0 revised; 1 faults: what they name stayed out" in out
    assert run("import", bad, "--lake", lake, "--allow-bad") == 0


def test_the_import_as_json_has_every_finding(tmp_path, lake, capsys):
    bars = walk()
    for row in range(1, 120, 2):
        bars = changed(bars, row, close=0.0)
    assert run("import", save(bars, tmp_path), "--lake", lake, "--json", "--dry-run") == 1
    said = json.loads(capsys.readouterr().out)
    assert said["dry_run"] is True
    (file,) = said["files"]
    assert (file["instrument"], file["rows"], file["bad"], file["gaps"]) == ("binance:BTC/USDT", 300, 60, 59)
    assert [f["row"] for f in file["findings"] if f["severity"] == "fault"] == list(range(1, 120, 2))
    assert not lake.exists()


def test_a_person_sees_the_first_findings_and_is_told_of_the_rest(tmp_path, lake, capsys):
    bars = walk()
    for row in range(1, 120, 2):
        bars = changed(bars, row, close=0.0)
    run("import", save(bars, tmp_path), "--lake", lake)
    out = capsys.readouterr().out
    assert out.count(": fault: ") == 20
    assert "and 40 more findings; --json lists all" in out


def test_list_and_verify_speak_plainly_and_in_json(tmp_path, lake, capsys):
    assert run("list", "--lake", lake) == 0
    assert "is empty" in capsys.readouterr().out
    run("import", save(walk(), tmp_path), "--lake", lake)
    capsys.readouterr()
    assert run("list", "--lake", lake) == 0
    assert "instrument=binance:BTC/USDT rows=300 first=2024-03-01T00:00Z" in capsys.readouterr().out
    assert run("list", "--lake", lake, "--json") == 0
    assert json.loads(capsys.readouterr().out)["bars"][0]["rows"] == 300
    assert run("verify", "--lake", lake) == 0
    assert "300 rows read" in capsys.readouterr().out
    path = next(lake.rglob("2024-03.parquet"))
    path.write_bytes(b"PAR1" + bytes(100))
    assert run("verify", "--lake", lake, "--json") == 1
    said = json.loads(capsys.readouterr().out)
    assert (said["faults"], said["files"][0]["findings"][0]["code"]) == (1, "unreadable")


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("made", ["import", "synth"])
def test_what_an_empty_lake_advises_fills_what_is_listed(tmp_path, capsys, monkeypatch, named, made):
    var = tmp_path / "a var"
    monkeypatch.setenv("MINUTEHAND__VAR_DIR", str(var))
    listed = ["list", "--lake", str(tmp_path / "mine")] if named else ["list"]
    assert run(*listed) == 0
    said = capsys.readouterr().out
    assert "is empty" in said
    typed = [shlex.split(part)[2:] for part in re.findall(r"python3 run\.py data [^;]*?(?=;|, which|\n)", said)]
    bars = save(walk(), tmp_path)
    filled = {"PATH": str(bars), "NAME": "demo"}
    typed = [[re.sub("PATH|NAME", lambda m: filled[m[0]], word) for word in words][1:] for words in typed]
    (asked,) = (words for words in typed if words[0] == made)
    extra = ["--days", "1", "--symbols", "BTC/USDT", "--upbit", "BTC/KRW"] if made == "synth" else []
    assert run(*asked, *extra) == 0
    capsys.readouterr()
    # A synthetic market of a lake of its own is listed by the command that the advice gives.
    again = [words for words in typed if words[0] == "list"] if made == "synth" and not named else [listed]
    assert [run(*words) for words in again] == [0]
    assert "binance:BTC/USDT" in capsys.readouterr().out
    assert named or made == "import" or not (var / "lake").exists()


def test_synth_makes_a_labelled_lake(tmp_path, lake, capsys):
    words = ("synth", "tiny", "--seed", 3, "--days", 1, "--symbols", "BTC/USDT,ETH", "--upbit", "", "--edge", "none")
    assert run(*words, "--lake", lake, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["synthetic"], said["seed"], said["edge"]) == (True, 3, "none")
    assert said["instruments"] == ["binance:BTC/USDT", "binance:ETH/USDT"]
    assert run("list", "--lake", lake) == 0
    assert "synthetic=tiny seed=3 edge=none" in capsys.readouterr().out


def test_a_synthetic_market_goes_under_the_configured_var_by_its_name(tmp_path, capsys):
    elsewhere = ("--set", f"var_dir={tmp_path / 'elsewhere'}")
    assert run("synth", "tiny", "--days", 1, "--symbols", "BTC", "--upbit", "", *elsewhere) == 0
    assert (tmp_path / "elsewhere/synth/tiny/market.json").exists()
    assert "nothing can be earned" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ("import",),
        ("import", "x", "--timezone", "Asia/Nowhere"),
        ("synth", "../up"),
        ("synth", "x", "--seed", "-1"),
        ("synth", "x", "--edge", "huge"),
        ("grow",),
        (),
    ],
)
def test_wrong_words_are_usage_errors(words, capsys):
    with pytest.raises(SystemExit) as stop:
        run(*words)
    assert stop.value.code == 2


def test_every_verb_goes_by_the_settings_for_its_lake(tmp_path, lake, capsys, monkeypatch):
    monkeypatch.setenv("MINUTEHAND__VAR_DIR", str(tmp_path / "by-environment"))
    changed_for_now = ("--set", f"var_dir={tmp_path / 'by-set'}")
    assert run("import", save(walk(), tmp_path), *changed_for_now) == 0
    assert run("verify", *changed_for_now) == 0
    assert f"300 rows read in {tmp_path / 'by-set' / 'lake'}" in capsys.readouterr().out
    assert run("list") == 0
    assert f"the lake at {tmp_path / 'by-environment' / 'lake'} is empty" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="var_dri"):
        run("list", "--set", "var_dri=x")
    assert run("list", "--lake", lake, "--set", "var_dri=x") == 0  # a lake that is named needs no settings


def test_the_words_of_the_table_are_explained(tmp_path, lake, capsys):
    run("import", save(changed(walk(), 40, close=0.0), tmp_path), "--lake", lake)
    out = capsys.readouterr().out
    assert "bad: rows that can be no bar" in out
    assert "conflict:" not in out  # nothing of it is in the table
    with pytest.raises(SystemExit):
        run("import", "--help")
    told = capsys.readouterr().out
    for word, about in IMPORT_WORDS:
        assert f"  {word:<10}{about}" in told


def test_nothing_to_import_is_one_clear_error(tmp_path, lake):
    with pytest.raises(DataError, match="there is no such file or folder"):
        run("import", tmp_path / "none", "--lake", lake)


def test_every_verb_has_help_with_an_example(capsys):
    for verb in ("import", "list", "verify", "synth"):
        with pytest.raises(SystemExit):
            run(verb, "--help")
        assert f"example: python3 run.py data {verb}" in capsys.readouterr().out


def test_on_a_terminal_there_are_tables_that_fit_it(tmp_path, lake, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    screen = Terminal()
    show_import(import_path(Lake(lake), save(walk(), tmp_path), ImportOptions()), screen)
    show_catalog(lake, Lake(lake).survey(), 0, screen)
    shown = screen.getvalue()
    assert shown.count("binance:BTC/USDT") == 2  # once in each table, whole
    assert "disorder" not in shown
    assert "2024-03-01 " in shown
