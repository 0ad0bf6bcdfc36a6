"""What stands between a bot and real money at Upbit, and at two exchanges in one run."""

import asyncio
from decimal import Decimal as D

import pytest

from actors.runs.arming import (
    JournalState,
    ask_account,
    bind_account,
    bound_account,
    find_keys,
    fingerprint,
    judge_account,
    key_words,
)
from actors.runs.live_audit import LiveAudit, audit_live, together
from actors.runs.reach import Reached, ReachedAll, reach, won_a_usdt
from actors.verbs.live_command import _consent, _wrong_account
from config.load import load_settings
from config.settings import ExchangeSettings
from core.errors import ConfigError, ExchangeUnavailable
from core.messages import PlaceOrder, TimeInForce
from core.orders import client_id
from core.standing import ClockReading
from core.units import DAY_MS, Instrument, Side
from exchanges.simulated.server import serve_exchange
from exchanges.venues import gateway_of
from tests.sim.upbit.conftest import BEGIN, KEY, SECRET, UNHURRIED, make_exchange

BTC = Instrument("upbit", "BTC/KRW")
RATES = {"KRW": 1 / 1_450}


@pytest.fixture
async def server():
    running = await serve_exchange(
        make_exchange(), credentials={KEY: SECRET}, venue="upbit", allowance=UNHURRIED, mode="speed", speed=1.0
    )
    yield running
    await running.close()


def where(server) -> ExchangeSettings:
    return ExchangeSettings(
        rest_url=server.url, stream_url=server.stream_url, user_stream_url=server.user_stream_url, recv_window_ms=60_000
    )


async def ask(server, secret: str = SECRET):
    return await asyncio.to_thread(
        ask_account, where(server), (KEY, secret), (BTC,), BEGIN, None, venue="upbit", rates=RATES
    )


def names(findings) -> list[str]:
    return [finding.name for finding in findings]


async def test_an_account_at_upbit_is_worth_its_won_and_coins_in_usdt(server, tmp_path):
    account, found = await ask(server)
    assert found == []
    price = server.state.exchange.market.bar(0, BEGIN - 60_000, BEGIN).close
    assert account.equity == pytest.approx((100_000_000 + 2 * price) / 1_450)
    assert judge_account(account, JournalState(), "live", tmp_path, BEGIN) == []


async def test_upbit_tells_no_number_so_the_keys_fingerprint_is_bound(server, tmp_path):
    account, _ = await ask(server)
    assert account.name == fingerprint((KEY, SECRET))
    assert KEY not in account.name
    bind_account(tmp_path, "12345678")
    bind_account(tmp_path, account.name, "upbit")
    assert (bound_account(tmp_path), bound_account(tmp_path, "upbit")) == ("12345678", account.name)
    assert judge_account(account, JournalState(), "live", tmp_path, BEGIN) == []
    bind_account(tmp_path, "key-00000000", "upbit")
    (found,) = judge_account(account, JournalState(), "live", tmp_path, BEGIN)
    assert found.name == "other_account"
    assert "the same account with a new key" in found.text


async def test_a_key_of_upbit_that_withdraws_or_may_not_trade_or_is_over_is_refused(server, tmp_path):
    server.state.key_rights = frozenset({"withdraw"})
    account, _ = await ask(server)
    ends = account.rights.expires_ms
    found = judge_account(account, JournalState(), "live", tmp_path, ends)
    assert names(found) == ["withdraw_right", "cannot_trade", "key_expired"]
    assert "Open API management" in found[0].text


async def test_when_a_key_ends_and_that_it_is_bound_to_addresses_is_told(server):
    account, _ = await ask(server)
    said = key_words(account, account.rights.expires_ms - 30 * DAY_MS)
    assert said.startswith("key: trade YES, withdraw the exchange does not say")
    assert said.endswith("bound to IPs YES, expires in 30 days")


async def test_a_wrong_secret_at_upbit_is_told_and_not_shown(server):
    account, found = await ask(server, "not-the-secret")
    assert (account, names(found)) == (None, ["keys_refused"])
    assert "upbit turned our keys down" in found[0].text
    assert "not-the-secret" not in found[0].text


async def test_open_orders_of_another_run_are_named_at_upbit_too(server, tmp_path):
    gateway = gateway_of("upbit", where(server), (KEY, SECRET), (BTC,))
    other = client_id("other", "ens", BEGIN, "BTC/KRW", 0)
    price = (server.state.exchange.top(0).bid * D("0.9") / 1_000).to_integral_value() * 1_000
    order = PlaceOrder(
        client_id=other,
        intent_id="i",
        instrument=BTC,
        side=Side.BUY,
        quantity=D("0.001"),
        price=price,
        time_in_force=TimeInForce.GTC,
    )
    try:
        await gateway.place(order)
    finally:
        await gateway.close()
    account, _ = await ask(server)
    (found,) = judge_account(account, JournalState(), "live", tmp_path, BEGIN)
    assert found.name == "open_orders"
    assert other in found.text
    assert "at upbit" in found.text
    said = await asyncio.to_thread(audit_live, where(server), (KEY, SECRET), (BTC,), [], "other", None, "upbit")
    assert said.differences == (f"order {other} is still open at upbit",)


async def test_a_stop_that_was_left_under_a_position_is_no_difference_at_the_end(server):
    gateway = gateway_of("upbit", where(server), (KEY, SECRET), (BTC,))
    left = client_id("live", "stop", BEGIN, "BTC/KRW", 0)
    price = (server.state.exchange.top(0).bid * D("0.9") / 1_000).to_integral_value() * 1_000
    standing = {"quantity": D("0.001"), "price": price, "time_in_force": TimeInForce.GTC}
    try:
        await gateway.place(PlaceOrder(client_id=left, intent_id="i", instrument=BTC, side=Side.BUY, **standing))
    finally:
        await gateway.close()
    said = await asyncio.to_thread(audit_live, where(server), (KEY, SECRET), (BTC,), [], "live", None, "upbit")
    assert said.differences == ()


def test_keys_are_found_by_venue(tmp_path):
    path = tmp_path / "api_keys.json"
    path.write_text('{"binance": {"api_key": "kkkkkk", "api_secret": "ssssss"}}')
    path.chmod(0o600)
    assert find_keys(path, {})[1] == []
    (found,) = find_keys(path, {}, "upbit")[1]
    assert found.name == "no_keys"
    assert "upbit" in found.text


def test_audits_of_two_venues_are_one():
    one = LiveAudit(trades=2, differences=(), orders=3, left_out=1)
    other = LiveAudit(trades=1, differences=("order x",), orders=1, left_out=0)
    assert together([one, other]) == LiveAudit(trades=3, differences=("order x",), orders=4, left_out=1)


# Reaching


def reached(venue: str, offset_ms: float = 0.0) -> Reached:
    offset = ClockReading(offset_ms=offset_ms, round_trip_ms=5.0, within=abs(offset_ms) <= 1_000)
    return Reached(
        venue=venue, url="u", stand_in=False, synthetic=False, clock="wall", speed=1.0, server_ms=0, offset=offset
    )


def test_each_venues_clock_is_judged_by_its_own_setting():
    config = load_settings(environ={}).config
    both = ReachedAll({"binance": reached("binance"), "upbit": reached("upbit", -4_000.0)})
    (fault,) = both.clock_faults(config)
    assert "4.0 s ahead of upbit's" in fault
    assert "exchanges.upbit.max_clock_offset_ms" in fault


async def test_upbit_is_reached_and_its_market_of_usdt_tells_what_one_costs(server):
    found = await asyncio.to_thread(reach, where(server), (BTC,), None, "upbit")
    assert (found.venue, found.stand_in, found.speed) == ("upbit", True, 1.0)
    price = await asyncio.to_thread(won_a_usdt, where(server))
    assert price == pytest.approx(1_450, rel=0.05)


def test_an_upbit_that_is_away_or_half_set_is_named():
    with pytest.raises(ConfigError, match=r"exchanges\.upbit\.user_stream_url is not set"):
        reach(ExchangeSettings(rest_url="http://127.0.0.1:9", stream_url="ws://x/y"), (BTC,), None, "upbit")
    streams = dict.fromkeys(("stream_url", "user_stream_url"), "ws://127.0.0.1:9/x")
    nowhere = ExchangeSettings(rest_url="http://127.0.0.1:9", **streams)
    with pytest.raises(ExchangeUnavailable, match=r"exchanges\.upbit\.rest_url names it"):
        reach(nowhere, (BTC,), None, "upbit")


async def test_both_accounts_must_be_named_for_a_start_that_nobody_attends(server):
    account, _ = await ask(server)
    assert _wrong_account([account.name], [account]) == []
    (found,) = _wrong_account(["12345678"], [account])
    assert f"that of upbit is of account {account.name}" in found.text
    assert names(_wrong_account([account.name], [account, account])) == ["wrong_account"]
    _consent(None, [account], [account.name])
