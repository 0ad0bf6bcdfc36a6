"""What an order lost against its decision, part by part: the parts are the shortfall, to the last digit."""

import json
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

import run
from core.errors import ConfigError, DataError
from core.execution.tca import CENT, PARTS, Parent, Shortfall, decided_of, parents_of, shortfall_of, sum_of
from core.messages import Approved, Fill, MinuteRecord, OrderReport, OrderState, ProtectiveExit
from core.units import MINUTE_MS, Instrument, Side
from data.artifacts import ArtifactStore
from data.impact_law import newest_law, read_law
from data.journal import SqliteJournal
from data.records import RecordStore
from tests.support.engines import Panel, make_forecasts, make_market, make_settings
from tests.support.markets import BTC, MINUTE
from tune.backtest import make_backtest, make_tape
from tune.orders_command import _one_in_full, _table
from tune.recorded_parents import read_parents, touch_of
from tune.recorded_result import Touches, result_of_records
from tune.report.style import clock, number
from tune.tca_command import grouped, newest_run

D = Decimal


def approved(side: Side = Side.BUY, quantity: str = "10") -> Approved:
    return Approved(
        intent_id="i",
        minute=MINUTE,
        instrument=BTC,
        side=side,
        quantity=D(quantity),
        limit_price=D("101"),
        reference_price=100.0,
        arithmetic=(),
    )


def fill(quantity: str, price: str, fee: str = "0", asset: str = "USDT", maker: bool = False, n: int = 1) -> Fill:
    return Fill(
        client_id="c",
        instrument=BTC,
        trade_id=str(n),
        side=Side.BUY,
        quantity=D(quantity),
        price=D(price),
        fee=D(fee),
        fee_asset=asset,
        maker=maker,
        at_ms=MINUTE + MINUTE_MS + n,
    )


def parent(*fills: tuple[Fill, tuple[str, str] | None], side: Side = Side.BUY, **prices: str) -> Parent:
    known = {"decision": "100", "arrival": "100", "end": "100", "rate": "1", **prices}
    return Parent(
        decided=decided_of(approved(side)),
        rate=D(known["rate"]),
        decision=D(known["decision"]),
        arrival=D(known["arrival"]),
        arrived_ms=MINUTE + MINUTE_MS,
        end=D(known["end"]),
        orders=(),
        fills=tuple(f for f, _ in fills),
        touches=tuple(None if t is None else (D(t[0]), D(t[1])) for _, t in fills),
        edge_bps=30.0,
    )


def test_a_story_by_hand() -> None:
    # Ten wanted at 100; it stood at 100.5 when the first order left. Six taken one tick behind an ask of 101.1, when the
    # mid was 101; two earned waiting at a bid of 100.8 (mid 101); two never filled, and the mid ended at 103.
    lost = shortfall_of(
        parent(
            (fill("6", "101.2", fee="0.6"), ("100.9", "101.1")),
            (fill("2", "100.8", fee="0.002", asset="BTC", maker=True, n=2), ("100.8", "101.2")),
            arrival="100.5",
            end="103",
        )
    )
    assert lost.delay == D("4.0"), "8 x 0.5"
    assert lost.timing == D("4.0"), "8 x 0.5"
    assert lost.spread == D("0.2"), "6 x 0.1 - 2 x 0.2"
    assert lost.impact == D("0.6"), "6 x 0.1"
    assert lost.fees == D("0.6") + D("0.002") * D("100.8")
    assert lost.opportunity == D("6"), "2 x 3"
    assert lost.total == D("15.6016") == sum(getattr(lost, name) for name in PARTS)
    assert lost.bps("total") == pytest.approx(156.016)


def test_a_sale_loses_when_prices_fall_and_won_are_counted_in_usdt() -> None:
    lost = shortfall_of(
        parent((fill("10", "99.4"), ("99.4", "99.6")), side=Side.SELL, arrival="99.8", end="90", rate="0.0007")
    )
    assert (lost.delay, lost.timing, lost.spread) == (D("0.0014"), D("0.0021"), D("0.0007"))
    assert (lost.impact, lost.opportunity, lost.total) == (0, 0, D("0.0042"))


def test_what_was_not_sent_is_opportunity_alone() -> None:
    lost = shortfall_of(parent(end="97"))
    assert lost.opportunity == lost.total == D("-30"), "waiting was right"
    assert lost.filled == 0 and lost.notional == D("1000")


money = st.decimals(min_value="0.0001", max_value="99999", places=4)
amount = st.decimals(min_value="0.00000001", max_value="1000", places=8)
rate = st.floats(1e-5, 1e3).map(lambda value: D(repr(value)))


@st.composite
def any_parent(draw: st.DrawFn) -> Parent:
    fills = []
    for n in range(draw(st.integers(0, 4))):
        some = fill(str(draw(amount)), str(draw(money)), str(draw(amount)), draw(st.sampled_from(["USDT", "BTC"])), n=n)
        low, high = sorted((draw(money), draw(money)))
        fills.append((some, draw(st.sampled_from([None, (str(low), str(high))]))))
    prices = {name: repr(draw(st.floats(1e-4, 1e6))) for name in ("decision", "arrival", "end")}
    return parent(*fills, side=draw(st.sampled_from(list(Side))), rate=str(draw(rate)), **prices)


@settings(max_examples=100, deadline=None)
@given(st.lists(any_parent(), max_size=4))
def test_parts_add_up_exactly_alone_and_together(parents: list[Parent]) -> None:
    losses = [shortfall_of(one) for one in parents]
    for lost in [*losses, sum_of(losses)]:
        assert exactly(lost) == lost.total
        cents = lost.cents()
        assert sum(cents[name] for name in PARTS) == cents["total"]
        assert abs(cents["total"] - lost.total) <= CENT / 2
    assert sum_of(losses).parents == len(parents)


def exactly(lost: Shortfall) -> Decimal:
    total = sum(Fraction(getattr(lost, name)) for name in PARTS)
    assert total == Fraction(lost.total)
    return lost.total


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a journal, as a replay leaves it."""
    run_dir = tmp_path_factory.mktemp("var") / "runs" / "first"
    run_dir.mkdir(parents=True)
    rules = make_settings(2, execution__cost_gate="round_trip")
    market = make_market(2, 80, money=2_000.0, gaps=0.02)
    forecasts = make_forecasts(market, scale=60.0)
    journal = SqliteJournal(run_dir / "journal.sqlite")
    test = make_backtest(rules, market, Panel(market, forecasts, 15), cash=D(10_000), journal=journal)
    store = RecordStore(run_dir / "records")
    for record in test.run():
        store.append(record)
    store.close()
    journal.close()
    make_tape(market).save(run_dir / "tape.npz")
    told = {"settings": rules.model_dump(mode="json"), "market": "made up"}
    (run_dir / "run.json").write_text(json.dumps(told))
    return run_dir


def records_of(folder: Path) -> list[MinuteRecord]:
    return list(RecordStore(folder / "records").read())


def test_where_only_closes_are_known_a_market_that_stood_still_costs_who_was_not_filled_nothing(folder: Path) -> None:
    """A close lies beside the mid of its decision; what is charged is how far the closes moved."""
    for moved in (0.0, 2.0):
        first = next(record for record in records_of(folder) if record.approved)
        one = first.approved[0]
        row = first.instruments.index(one.instrument)
        after = replace(first, minute=first.minute + MINUTE_MS, approved=(), orders=(), fills=())
        closes = list(first.close)
        closes[row] += moved
        records = [replace(first, orders=(), fills=()), replace(after, close=tuple(closes))]
        (parent,) = [p for p in parents_of(records, lambda i, ms: None, {}) if p.decided.intent_id == one.intent_id]
        assert parent.end - parent.decision == D(repr(closes[row])) - D(repr(first.close[row]))


def test_a_runs_parents_lost_what_its_report_says(folder: Path) -> None:
    read = read_parents(folder)
    assert len(read.parents) > 20 and not read.notes
    lost = sum_of(map(shortfall_of, read.parents))
    assert exactly(lost) == lost.total
    market = make_market(2, 80, money=2_000.0, gaps=0.02)
    costs = make_settings(2).rules.costs
    touches = Touches(market, costs, make_tape(market).default_rules(costs))
    told = result_of_records(records_of(folder), name="", market="", synthetic=True, touches=touches).fills
    assert float(lost.delay + lost.timing) == pytest.approx(told["delay_usdt"].sum(), rel=1e-9)
    assert float(lost.spread) == pytest.approx(told["spread_usdt"].sum(), rel=1e-9)
    assert float(lost.impact) == pytest.approx(told["impact_usdt"].sum(), rel=1e-9, abs=1e-9)
    assert float(lost.fees) == pytest.approx(told["fee_usdt"].sum(), rel=1e-9)
    assert lost.opportunity != 0, "some were not filled whole"
    assert any(p.arrived_ms == p.decided.minute + MINUTE_MS for p in read.parents)


def test_a_protective_exit_is_an_order_of_its_own(folder: Path) -> None:
    first, *rest = records_of(folder)[:3]
    stop = ProtectiveExit(
        intent_id=f"{first.minute}:{first.instruments[0]}:stop_loss",
        minute=first.minute,
        at_ms=first.minute + MINUTE_MS + 7_000,
        instrument=first.instruments[0],
        reason="stop_loss",
        quantity=D("2"),
        limit_price=D("90"),
        reference_price=100.0,
        arithmetic=("stop",),
    )
    report = OrderReport(
        client_id="x",
        intent_id=stop.intent_id,
        instrument=stop.instrument,
        side=Side.SELL,
        state=OrderState.EXPIRED,
        quantity=D("2"),
        price=D("90"),
        executed=D("1"),
    )
    sold = replace(fill("1", "99"), client_id="x", instrument=stop.instrument, side=Side.SELL)
    again = replace(stop, quantity=D("1"), at_ms=stop.at_ms + 1_000)
    after = replace(rest[0], approved=(), exits=(stop, again), orders=(report,), fills=(sold,))
    (one,) = parents_of([replace(first, approved=(), exits=()), after], lambda i, ms: None, {}, "twap")
    assert (one.schedule, one.decided.quantity, one.executed) == ("stop_loss", 2, 1)
    lost = shortfall_of(one)
    assert lost.timing == 1 and exactly(lost) == lost.total


def test_groups_are_a_partition(folder: Path) -> None:
    read = read_parents(folder)
    losses = [shortfall_of(one) for one in read.parents]
    for by in ("symbol", "schedule", "hour", "side"):
        groups = grouped(read, losses, by)
        assert sum_of(groups.values()) == sum_of(losses)
    assert set(grouped(read, losses, "schedule")) == {"twap"}


def test_without_prices_the_spread_is_what_the_decision_saw(folder: Path) -> None:
    blind = parents_of(records_of(folder), lambda instrument, ms: None, {})
    filled = [p for p in blind if p.fills]
    for one in filled:
        lost = shortfall_of(one)
        half = D(repr(one.decided.expected[0])) / 10_000 * D(repr(one.decided.reference_price))
        assert float(lost.spread) == pytest.approx(float(half * one.executed))
        assert lost.impact == 0 and exactly(lost) == lost.total
    assert filled


def command(verb: str, *words: str) -> int:
    return run.run(verb, list(words))


def test_the_commands_show_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert newest_run(folder.parent) == folder
    assert command("tca", str(folder), "--by", "hour") == 0
    shown = capsys.readouterr().out
    lines = shown.splitlines()
    assert "opportunity" in shown and "…" not in shown and max(map(len, lines[:-1])) <= 80, shown
    assert str(folder / "tca.html") in shown.replace("\n", "")
    page = (folder / "tca.html").read_text()
    total = sum_of(shortfall_of(parent) for parent in read_parents(folder).parents).cents()["total"]
    assert f"<span>shortfall</span><b>{number(float(total))} USDT</b>" in page and "By symbol" in page
    assert "Only one schedule: twap." in page and "By schedule" not in page
    assert page.count("class='figure'") >= 6 and "default-src 'none'" in page
    assert command("tca", str(folder), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    cents = told["total"]["usdt"]
    assert sum(D(cents[name]) for name in PARTS) == D(cents["total"])
    assert command("orders", str(folder), "--json", "--unfilled", "--side", "buy", "--limit", "3") == 0
    orders = json.loads(capsys.readouterr().out)["orders"]
    assert len(orders) == 3 and all(o["side"] == "buy" and D(o["executed"]) < D(o["quantity"]) for o in orders)
    assert command("orders", str(folder)) == 0
    shown = capsys.readouterr().out
    assert "one in full: --order" in shown and "…" not in shown and max(map(len, shown.splitlines())) <= 80, shown
    assert command("orders", str(folder), "--order", orders[0]["id"]) == 0
    full = capsys.readouterr().out
    minute, market = clock(orders[0]["minute"]), orders[0]["instrument"].partition(":")[2]
    assert command("orders", str(folder), "--order", f"{minute} {market}") == 0
    assert capsys.readouterr().out == full, "as the table and why name it"
    for words in ("forecast ", "expected cost ", "= shortfall ", "place order: buy", "placed: ", "executed "):
        assert words in full, full
    with pytest.raises(DataError, match="has no order 'nonsense'"):
        command("orders", str(folder), "--order", "nonsense")


def test_a_calibration_is_shown_and_kept(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = (str(folder), "--calibration", f"--set=var_dir={tmp_path}")
    assert command("tca", *words) == 0
    shown = capsys.readouterr().out
    assert "Y, temporary (square root)" in shown and "not kept; --keep" in shown
    assert command("tca", *words, "--keep", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["learnt"] and told["kept"].startswith("impact/simulated/v0001")
    store = ArtifactStore(tmp_path / "artifacts")
    law = read_law(store, told["kept"])
    assert law._asdict() == pytest.approx(told["law"])
    last = max(f.at_ms for p in read_parents(folder).parents for f in p.fills)
    assert newest_law(store, last, real_only=False) is None, "no run may know its own fills"
    assert newest_law(store, last + 1, real_only=False) == told["kept"]
    with pytest.raises(ConfigError, match="add --calibration"):
        command("tca", str(folder), "--keep")


def test_a_folder_without_records_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such folder"):
        read_parents(tmp_path / "none")
    with pytest.raises(DataError, match="keeps none: its report says"):
        read_parents(tmp_path)
    with pytest.raises(DataError, match="there is no run yet"):
        newest_run(tmp_path)


def test_the_touch_of_a_tape_is_on_its_grid() -> None:
    market = make_market(1, 20)
    costs = make_settings(1).rules.costs
    rules = make_tape(market).default_rules(costs)
    instrument = market.instruments[0]
    touch = touch_of(Touches(market, costs, rules), rules)
    found = touch(instrument, market.first_minute)
    assert found is not None and found[0] < found[1]
    assert all(price % rules[instrument].tick == 0 for price in found)


def test_orders_of_two_exchanges_keep_their_minutes_in_80_columns(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parents = list(read_parents(folder).parents)
    won = Instrument("upbit", "BTC/KRW")
    both = [replace(p, decided=replace(p.decided, instrument=won)) if n % 2 else p for n, p in enumerate(parents)]
    Console(width=80).print(_table(both, wide=False))
    shown = capsys.readouterr().out
    assert "…" not in shown and "BTC/KRW" in shown and clock(both[-1].decided.minute)[5:] in shown, shown
    same = Instrument("upbit", parents[0].decided.instrument.symbol)
    twice = [parents[0], replace(parents[0], decided=replace(parents[0].decided, instrument=same))]
    Console(width=80).print(_table(twice, wide=False))
    assert str(same) in capsys.readouterr().out, "one symbol at two exchanges needs its exchange"


def test_the_example_is_of_this_run_and_there_is_none_where_nothing_was_ordered(folder: Path) -> None:
    parents = list(read_parents(folder).parents)
    newest = parents[-1].decided
    assert _one_in_full(parents) == f"; one in full: --order '{clock(newest.minute)[-5:]} {newest.instrument.base}'"
    assert _one_in_full([]) == ""
