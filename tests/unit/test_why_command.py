"""``run.py why``: the whole story of a decision, from the records of a run or the orders of a backtest."""

import argparse
import json
from dataclasses import replace
from decimal import Decimal

import pytest

from config.changes import keep_settings
from config.load import load_settings
from core.errors import DataError
from core.messages import Fill, OrderState
from core.orders import client_id
from core.units import MINUTE_MS
from core.why import lines, of_order, why
from data.bar_log import BarLog
from data.records import RecordStore
from tests.support.markets import bar
from tests.support.minute_records import INSTRUMENTS, MadeUpRun
from tests.support.results import made_up_result
from tune import why_command

RECORDS = MadeUpRun().many(60)
BOUGHT = next(r for r in RECORDS if r.approved and r.fills)
HELD = next(r for r in RECORDS if r.refused)
MISSED = next(r for r in RECORDS if r.status == "missed")
FIRST = BOUGHT.approved[0]
NAME = client_id("live", "ens", BOUGHT.minute, FIRST.instrument.symbol, 0)


def with_late_news() -> list:
    """The run, with the order of the first purchase under its real name, and its last fill told a minute later."""
    told = next(o for o in BOUGHT.orders if o.intent_id == FIRST.intent_id)
    early = replace(told, client_id=NAME)
    fill = Fill(
        client_id=NAME,
        instrument=FIRST.instrument,
        trade_id="late",
        side=told.side,
        quantity=Decimal("0.5"),
        price=told.price,
        fee=Decimal("0.01"),
        fee_asset="USDT",
        maker=True,
        at_ms=BOUGHT.minute + MINUTE_MS + 31_500,
    )
    found = []
    for record in RECORDS:
        if record is BOUGHT:
            record = replace(record, orders=(early,), fills=())
        elif record.minute == BOUGHT.minute + MINUTE_MS:
            record = replace(record, orders=(replace(early, state=OrderState.FILLED),), fills=(fill,))
        found.append(record)
    return found


STORY = with_late_news()


def row_of(record) -> int:
    return record.instruments.index(FIRST.instrument)


def test_a_purchase_is_told_from_vote_to_fill():
    record = next(r for r in STORY if r.minute == BOUGHT.minute)
    text = "\n".join(lines(why(record, FIRST.instrument, [r for r in STORY if r.minute > record.minute])))
    row = row_of(record)
    for vote in (v for v in record.votes if v.spoke):
        assert f"{vote.member} {vote.version}: {vote.mean_bps[row]:+.2f}" in text
    assert f"together: {record.edge_bps[row]:+.2f} bps" in text
    for line in FIRST.arithmetic:
        assert f"    {line}" in text
    assert f"order {NAME}: filled" in text
    assert "+31.5 s after the close: 0.5 at" in text
    assert "fee 0.01 USDT, maker" in text


def test_what_a_limit_refused_is_told_with_the_limit():
    refused = HELD.refused[0]
    text = "\n".join(lines(why(HELD, refused.instrument)))
    assert f"REFUSED by {refused.reason}" in text
    assert refused.arithmetic[0] in text


def test_what_was_left_alone_says_which_threshold_left_it():
    quiet = next(
        (record, instrument)
        for record in RECORDS
        if record.status == "done"
        for row, instrument in enumerate(record.instruments)
        if 2 < record.edge_bps[row] < 12 and record.fresh[row]
    )
    said = next(lines(why(*quiet), 12.0, 2.0))
    assert "is between exit (2) and entry (12): keeps what it holds" in said


def test_an_order_leads_to_its_decision():
    assert of_order(STORY, NAME) == (BOUGHT.minute, FIRST.instrument)
    assert of_order(STORY, "mh-x") is None


@pytest.mark.parametrize(
    ("words", "minute", "market", "order"),
    [
        (["23:55", "ETH"], "23:55", "ETH", ""),
        (["2026-01-03T23:55", "binance:ETH/USDT"], "2026-01-03T23:55", "binance:ETH/USDT", ""),
        (["01-03", "23:55"], "01-03 23:55", "", ""),
        (["ETH/USDT", "23:55"], "23:55", "ETH/USDT", ""),
        ([NAME], None, "", NAME),
        ([], None, "", ""),
    ],
)
def test_words_in_any_order(words, minute, market, order):
    asked = why_command.read_words(words)
    assert (asked.clock and asked.clock.group(), asked.market, asked.order) == (minute, market, order)


def test_a_word_that_is_nothing_is_named():
    with pytest.raises(DataError, match="'a-b' is neither a minute"):
        why_command.read_words(["a-b"])


# As the user runs it


@pytest.fixture
def var(tmp_path):
    run = tmp_path / "runs" / "r1"
    store = RecordStore(run / "records", every=50)
    for record in STORY:
        store.append(record)
    store.close()
    keep_settings(run, load_settings(environ={}), "paper", "r1", 1)
    return tmp_path


def ask(var, *words: str) -> int:
    parser = argparse.ArgumentParser()
    why_command.arguments(parser)
    return why_command.main(parser.parse_args([*words, "--set", f"var_dir={var}"]))


def test_without_words_the_last_decision_of_the_newest_run(var, capsys):
    assert ask(var) == 0
    said = capsys.readouterr().out
    last = [r for r in STORY if r.approved or r.refused][-1]
    for one in (*last.approved, *last.refused):
        assert f"\n{one.instrument}: " in said


def test_an_order_by_its_name_as_json(var, capsys):
    assert ask(var, NAME, "--run", "r1", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    (row,) = told["rows"]
    assert (told["minute"], row["instrument"]) == (BOUGHT.minute, str(FIRST.instrument))
    assert row["arithmetic"] == list(FIRST.arithmetic)
    assert [o["state"] for o in row["orders"]] == ["filled"]
    assert [f["trade_id"] for f in row["fills"]] == ["late"]


def test_what_changed_in_the_settings_is_told_in_its_minute_and_after(tmp_path, capsys):
    records = MadeUpRun().many(30)
    change = "trade.invest_pct: 10 -> 20"
    store = RecordStore(tmp_path / "runs" / "r1" / "records", every=50)
    for number, record in enumerate(records):
        store.append(replace(record, settings=(change,)) if number == 10 else record)
    store.close()
    told = []
    for number in (9, 10, 12):
        assert ask(tmp_path, why_command._utc(records[number].minute).replace(" ", "T")) == 0
        told.append([line for line in capsys.readouterr().out.splitlines() if line.startswith("settings changed")])
    when = f"at {why_command._utc(records[10].minute)} UTC"
    assert told == [[], [f"settings changed in this minute: {change}"], [f"settings changed {when}: {change}"]]


def test_where_the_bar_came_from_is_told_where_it_was_kept(var, capsys):
    kept = BarLog(var / "runs" / "r1")
    kept.add(BOUGHT.minute, (FIRST.instrument,), (bar(BOUGHT.minute, 5.0, source="rest"),), ())
    assert ask(var, NAME, "--run", "r1") == 0
    assert f"bar of {FIRST.instrument}: final by REST" in capsys.readouterr().out
    assert ask(var, NAME, "--run", "r1", "--json") == 0
    assert json.loads(capsys.readouterr().out)["rows"][0]["bar_source"] == "rest"


def test_a_missed_minute_says_why(var, capsys):
    assert ask(var, why_command._utc(MISSED.minute).replace(" ", "T")) == 0
    assert "missed: late: no record within 20 s" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["22:59"], "has no minute 22:59; it has 2026-01-02 00:00 to"),
        (["00:01", "DOGE"], "DOGE was not traded then, but binance:BTC/USDT"),
        (["mh-live-ens-00000-BTCUSDT-0"], "no record tells of an order"),
        (["--run", "nowhere"], "--run nowhere: holds no records"),
        (["DOGE"], "nothing was approved or refused of DOGE"),
    ],
)
def test_what_is_not_there_is_said(var, words, said):
    with pytest.raises(DataError, match=said):
        ask(var, *words)


def test_without_any_run_it_says_how_to_make_one(tmp_path):
    with pytest.raises(DataError, match=r"make one: python3 run\.py replay"):
        ask(tmp_path)


def test_of_a_backtest_the_orders_are_told(tmp_path, capsys):
    result = made_up_result(minutes=300, trades=5)
    result.save(tmp_path / "backtests" / "b")
    assert ask(tmp_path) == 0
    said = capsys.readouterr().out
    last = result.orders["minute"].max()
    assert why_command._utc(last) in said
    assert f"{result.orders.filter(result.orders['minute'] == last)['symbol'][0]}: " in said
    assert " fee, " in said
    assert ask(tmp_path, "--json") == 0
    assert json.loads(capsys.readouterr().out)["minute"] == last
    with pytest.raises(DataError, match="a backtest has no ids"):
        ask(tmp_path, NAME)
    with pytest.raises(DataError, match="only the minutes with orders are kept"):
        ask(tmp_path, "07:77")


def test_every_market_of_a_named_minute_is_told(var, capsys):
    assert ask(var, "00:01") == 0
    said = capsys.readouterr().out
    assert all(f"\n{instrument}: " in said for instrument in INSTRUMENTS)
