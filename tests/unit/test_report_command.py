"""``run.py report``: the page of a stored run again, several side by side, and what is said of folders that are none."""

import argparse
import json
import shutil
from pathlib import Path

import pytest

from core.errors import EXIT_OK, DataError
from tests.support.results import made_up_result
from tune import report_command
from tune.report_command import names_of
from tune.result import Result
from tune.verdict import Verdict


@pytest.fixture
def runs(tmp_path) -> list[Path]:
    return [
        made_up_result(2_000, trades=30, seed=seed, name=f"run {seed}").save(tmp_path / name)
        for seed, name in ((1, "first"), (2, "second"), (3, "third"))
    ]


def report(*words: str | Path) -> int:
    parser = argparse.ArgumentParser()
    report_command.arguments(parser)
    return report_command.main(parser.parse_args([str(word) for word in words]))


def test_one_run_gets_its_page_again_with_its_verdict(runs, capsys):
    judged = Verdict(word="none", reasons=("Failed: it lost.",), figures={"days": 1.4})
    (runs[0] / "verdict.json").write_text(judged.to_json(), encoding="utf-8")
    assert report(runs[0]) == EXIT_OK
    page = (runs[0] / "report.html").read_text(encoding="utf-8")
    assert "<h1>run 1</h1>" in page
    assert "chip none'>none" in page
    told = capsys.readouterr().out
    assert "verdict: none" in told
    assert "Failed: it lost." in told
    assert "where the money went" in told


def test_several_runs_get_one_page_that_compares_them(runs, capsys, tmp_path):
    judged = Verdict(word="unproven", reasons=("Failed: few.",), figures={})
    (runs[1] / "verdict.json").write_text(judged.to_json(), encoding="utf-8")
    out = tmp_path / "elsewhere" / "page.html"
    assert report(*runs, "--out", out) == EXIT_OK
    page = out.read_text(encoding="utf-8")
    assert "<h1>first against second, third</h1>" in page
    assert page.count("verdict: unproven") == 1
    assert page.count("<th scope='col'>") == 6, "three columns of figures, three of costs"
    assert not (runs[0] / "compared.html").exists()
    told = capsys.readouterr().out
    assert "second" in told
    assert "compared" in told


def test_json_holds_every_figure_and_adds_up(runs, capsys):
    assert report(runs[0], runs[1], "--json") == EXIT_OK
    told = json.loads(capsys.readouterr().out)
    assert Path(told["report"]) == runs[0] / "compared.html"
    assert [one["name"] for one in told["runs"]] == ["run 1", "run 2"]
    costs = told["runs"][0]["costs"]
    kept = Result.load(runs[0])
    assert round(costs["gross"] - sum(costs[k] for k in ("fees", "spread", "impact", "delay")), 2) == costs["net"]
    assert costs["net"] == round(kept.costs.net, 2)
    assert told["runs"][0]["figures"]["return"] == pytest.approx(kept.equity[-1] / kept.equity[0] - 1.0)


def test_a_folder_that_is_no_run_is_named(runs, tmp_path):
    with pytest.raises(DataError, match=r"nowhere: there is no such folder"):
        report(tmp_path / "nowhere")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match=r"empty: neither a result .* nor records"):
        report(runs[0], empty)


def test_a_damaged_result_says_what_is_wrong(runs):
    (runs[0] / "fills.parquet").write_bytes(b"PAR1 not any more")
    with pytest.raises(DataError, match=r"first: the result cannot be read"):
        report(runs[0])
    (runs[1] / "columns.npz").unlink()
    with pytest.raises(DataError, match=r"columns\.npz is missing"):
        report(runs[1])
    (runs[2] / "verdict.json").write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match="no verdict"):
        report(runs[2])


def test_a_page_that_cannot_be_written_is_an_error_in_one_line(runs, tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(DataError, match="name a file by --out"):
        report(runs[0], "--out", tmp_path / "file" / "page.html")


def test_a_run_read_back_makes_the_same_page(runs, tmp_path):
    report(runs[0])
    first = (runs[0] / "report.html").read_bytes()
    copy = shutil.copytree(runs[0], tmp_path / "copy" / "first")
    report(copy)
    assert (copy / "report.html").read_bytes() == first


def test_runs_are_called_by_the_shortest_names_that_differ():
    assert names_of([Path("/a/x"), Path("/a/y")]) == ["x", "y"]
    assert names_of([Path("/a/x"), Path("/b/x")]) == ["a/x", "b/x"]
    assert names_of([Path("/a/x"), Path("/a/x")]) == ["x (1)", "x (2)"]
    assert names_of([]) == []
