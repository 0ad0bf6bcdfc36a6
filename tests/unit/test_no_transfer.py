"""What our gateways can ask for moves nothing between exchanges and takes nothing out of one."""

import re
from pathlib import Path

import pytest

from exchanges.binance import calls as binance
from exchanges.upbit import calls as upbit

ROOT = Path(__file__).resolve().parents[2]
TAKES_OUT = re.compile(
    r"withdraws/(coin|krw)|capital/withdraw|withdraw/apply|asset/transfer|universaltransfer|sapiPost|travel_rule", re.I
)
SOURCES = [
    path
    for room in ("actors", "core", "data", "exchanges", "serve", "tune")
    for path in (ROOT / room).rglob("*.py")
    if "simulated" not in path.parts
]


def test_binance_is_asked_to_change_orders_and_nothing_else():
    every = [one for one in vars(binance).values() if isinstance(one, binance.Call)]
    changing = {one.method for one in every if not re.match(r"(public|private|sapi)Get", one.method)}
    assert changing == {"privatePostOrder", "privatePostOrderListOco", "privateDeleteOrder"}
    assert {one.method for one in every if one.placing} == changing


def test_upbit_is_asked_to_change_orders_and_nothing_else():
    every = [one for one in vars(upbit).values() if isinstance(one, upbit.Call)]
    changing = {(one.method, one.path) for one in every if one.method != "GET"}
    assert changing == {("POST", "/v1/orders"), ("POST", "/v1/orders/test"), ("DELETE", "/v1/order")}


@pytest.mark.parametrize("text", ["/v1/withdraws/coin", "/sapi/v1/capital/withdraw/apply", "sapiPostAssetTransfer"])
def test_the_search_finds_what_it_is_for(text):
    assert TAKES_OUT.search(text)


def test_no_line_of_ours_names_an_endpoint_that_takes_money_out():
    found = [f"{path}: {hit.group()}" for path in SOURCES if (hit := TAKES_OUT.search(path.read_text("utf-8")))]
    assert found == []
