"""The paper account on disk: begun, gone on with, begun anew, and not believed when it is damaged."""

from decimal import Decimal as D

import pytest

from actors.runs.paper_account import open_account
from core.errors import ConfigError, DataError


def test_an_account_goes_on_where_the_last_run_left_it(tmp_path):
    path = tmp_path / "paper" / "account.json"
    new = open_account(path, D(500), reset=False)
    assert (new.balances, new.fresh) == ({"USDT": D(500)}, True)
    new.save({"USDT": D("120.50"), "BTC": D("0.00000001"), "ETH": D(0)})
    again = open_account(path, None, reset=False)
    assert (again.balances, again.fresh) == ({"USDT": D("120.50"), "BTC": D("0.00000001")}, False)


def test_cash_for_an_account_that_exists_is_a_mistake_unless_it_begins_anew(tmp_path):
    path = tmp_path / "account.json"
    open_account(path, None, reset=False).save({"USDT": D(7)})
    with pytest.raises(ConfigError, match=r"holds 7 USDT; --reset begins it anew"):
        open_account(path, D(500), reset=False)
    assert open_account(path, D(500), reset=True).balances == {"USDT": D(500)}
    assert open_account(path, None, reset=True).balances == {"USDT": D(10_000)}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"format": 2, "balances": {}}',
        '{"format": 1, "balances": {"USDT": "x"}}',
        '{"format": 1, "balances": {"USDT": "-1"}}',
        '{"format": 1, "balances": {"USDT": "NaN"}}',
        '{"format": 1, "balances": []}',
    ],
)
def test_a_damaged_account_is_named_and_left_as_it_is(tmp_path, text):
    path = tmp_path / "account.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"account\.json.*--reset"):
        open_account(path, None, reset=False)
    assert path.read_text() == text
