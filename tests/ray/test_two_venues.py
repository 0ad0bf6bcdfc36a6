"""Two venues in one run: Binance in USDT and Upbit in KRW, each over its own wire, one account in one number."""

from pathlib import Path

import pytest

from data.records import read_records
from tests.support.replays import EAGER, Finished, run_replay

MINUTES = 20
BOTH = 'trade.instruments=["binance:BTC/USDT","binance:ETH/USDT","upbit:BTC/KRW","upbit:ETH/KRW"]'

pytestmark = [pytest.mark.slow, pytest.mark.timeout(700)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    # Each market on its own, so that there is something to be seen at both.
    settings = (BOTH, *EAGER, "rules.selection.entry_edge_bps=1", "rules.execution.split=false")
    return run_replay(
        tmp_path_factory.mktemp("var"), "--lockstep", f"--minutes={MINUTES}", settings=settings, timeout_s=600
    )


def test_every_minute_ran_and_both_exchanges_agree_with_our_books(finished: Finished) -> None:
    assert finished.code == 0, finished.stderr[-3000:]
    assert (finished.summary["done"], finished.summary["missed"]) == (MINUTES, 0)
    assert finished.summary["differences"] == []
    statements = {path.name for path in Path(finished.run_dir).glob("statement-*.json")}
    assert statements == {"statement-binance.json", "statement-upbit.json"}


def test_orders_were_filled_at_both_and_the_account_is_one_number(finished: Finished) -> None:
    records = [r for r in read_records(finished.run_dir / "records") if r.status == "done"]
    assert {f.instrument.venue for r in records for f in r.fills} == {"binance", "upbit"}
    # Ten thousand USDT there, and their worth in won here.
    assert records[0].equity == pytest.approx(20_000, rel=0.01)
    for record in records:
        (won,) = record.rates
        assert (won.currency, won.source) == ("KRW", "upbit:USDT/KRW")
        assert 1 / 2_500 < won.usdt < 1 / 500
        assert len(record.premium_bps) == 4
