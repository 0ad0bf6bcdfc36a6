"""Upbit's pure parts: names, price steps, whole-second clocks, tokens; and the venues by name."""

import base64
import hashlib
import hmac
import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.settings import ExchangeSettings
from core.errors import ConfigError, DataError
from core.grid import upbit_tick
from core.orders import client_id, parse_id
from core.units import Instrument
from exchanges.upbit.names import ATTEMPTS, CLIENT_ID, client_id_of, identifier, instrument_of, market_code
from exchanges.upbit.signing import KeyPair, query_string
from exchanges.upbit.standing import DateClock, date_ms
from exchanges.upbit.ticks import Ticks
from exchanges.venues import VENUES, gateway_of, market_stream_of, symbol_of, user_stream_of

D = Decimal
BTC, DOGE, ETH = Instrument("upbit", "BTC/KRW"), Instrument("upbit", "DOGE/KRW"), Instrument("binance", "ETH/USDT")


def test_markets_are_written_quote_first():
    assert market_code(BTC) == "KRW-BTC"
    assert instrument_of("USDT-BTC") == Instrument("upbit", "BTC/USDT")
    for bad in ("", "KRW", "krw-btc", "KRW-BTC-X", "KRW-" + "A" * 30):
        with pytest.raises(DataError, match="no market code"):
            instrument_of(bad)


@given(
    instance=st.from_regex(r"[a-z0-9]{1,6}", fullmatch=True),
    symbol=st.sampled_from(["BTC/KRW", "1INCH/KRW", "VERYLONGNAME/KRW"]),
    slot=st.integers(0, 36 * 36 - 1),
    attempt=st.integers(0, ATTEMPTS),
)
def test_every_attempt_of_an_order_has_a_name_of_its_own_that_leads_back(instance, symbol, slot, attempt):
    ours = client_id(instance, "main", 1_772_000_040_000, symbol, slot)
    assert CLIENT_ID.fullmatch(ours)
    name = identifier(ours, attempt)
    assert client_id_of(name) == ours
    assert (parse_id(name) is None) == (attempt > 0)  # an attempt's mark is never taken for a slice
    assert len({identifier(ours, n) for n in range(ATTEMPTS + 1)}) == ATTEMPTS + 1


def test_the_table_is_the_rule_and_the_venue_corrects_the_stretch_it_speaks_of(caplog):
    ticks = Ticks()
    assert ticks.at(BTC, D("150000000")) == D(1_000)
    ticks.learn(BTC, 150_000_000.0, D("1000"))
    ticks.learn(DOGE, 298.0, D("0.5"))
    assert "our table says 1" in caplog.text
    assert ticks.current(DOGE) == ticks.at(DOGE, D(301)) == D("0.5")
    assert ticks.at(DOGE, D("99.9")) == D("0.1") == upbit_tick("DOGE/KRW", 99.9)
    foreign = Instrument("upbit", "ETH/BTC")
    ticks.learn(foreign, 0.03, D("0.000001"))
    assert ticks.at(foreign, D("0.031")) == D("0.000001")
    for bad in (D(0), D(-1), D("NaN"), D("Infinity")):
        with pytest.raises(DataError):
            ticks.learn(BTC, 1.0, bad)


@given(
    offset=st.integers(-100_000, 100_000),
    asked=st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 300), st.integers(0, 300)), min_size=1, max_size=12),
)
def test_the_true_offset_is_always_within_the_bounds(offset, asked):
    """Each answer is dated somewhere between the asking and its coming, in whole seconds."""
    clock, ours = DateClock(), 1_772_000_000_000
    for wait, there, back in asked:
        ours += wait
        sent, dated, got = ours, ours + there + offset, ours + there + back
        clock.heard(sent, got, dated - dated % 1_000)
        ours = got
    assert clock.low <= offset < clock.high
    assert abs(clock.offset_ms - offset) <= 500 + 300


def test_samples_spread_over_a_second_narrow_the_clock_down():
    clock = DateClock()
    for n in range(5):
        venue = 1_772_000_000_333 + n * 250
        clock.heard(n * 250, n * 250, venue - venue % 1_000)
    assert clock.high - clock.low <= 250
    assert clock.low <= 1_772_000_000_333 <= clock.high


def test_a_clock_that_was_set_is_learnt_anew():
    clock = DateClock()
    assert not clock.known
    clock.heard(0, 10, 5_000)
    clock.heard(20, 30, 65_000)
    assert 64_000 <= clock.offset_ms <= 66_000


@pytest.mark.parametrize("text", ["", "yesterday", "Wed, 99 Foo 2026 00:00:00 GMT"])
def test_a_date_that_is_none_is_not_believed(text):
    assert date_ms({"date": text}) is None
    assert date_ms({"DATE": "Wed, 25 Feb 2026 06:13:20 GMT"}) == 1_772_000_000_000


def test_a_token_is_a_signed_json_web_token_over_the_parameters():
    query = query_string({"states": ["wait", "watch"], "page": 1})
    assert query == "states[]=wait&states[]=watch&page=1"
    text, _, signature = KeyPair("access", "secret").token(query, lambda: "n-1").rpartition(".")
    meant = hmac.new(b"secret", text.encode(), hashlib.sha512).digest()
    assert base64.urlsafe_b64decode(signature + "==") == meant
    claims = json.loads(base64.urlsafe_b64decode(text.partition(".")[2] + "=="))
    assert claims == {
        "access_key": "access",
        "nonce": "n-1",
        "query_hash": hashlib.sha512(query.encode()).hexdigest(),
        "query_hash_alg": "SHA512",
    }


def test_without_a_nonce_given_none_is_ever_the_same():
    pair = KeyPair("access", "secret")
    assert len({pair.token() for _ in range(100)}) == 100


@pytest.mark.parametrize("venue", VENUES)
async def test_every_venue_has_the_same_face(venue):
    mine = Instrument(venue, "BTC/KRW")
    gateway = gateway_of(venue, ExchangeSettings(), None, [mine, BTC, ETH])
    assert {i.venue for i in gateway.instruments} == {venue}
    market = market_stream_of(
        venue, ExchangeSettings(), [mine, ETH], lambda *_: None, now_ms=gateway.now_ms, gateway=gateway
    )
    user = user_stream_of(
        venue, ExchangeSettings(), ("k", "s"), [mine], lambda _: None, now_ms=gateway.now_ms, resync=gateway.sync_clock
    )
    assert symbol_of(venue, mine) in market.instruments
    for stream in (market, user):
        assert (stream.state.connected, stream.state.lives, dict(stream.faults)) == (False, 0, {})
    await gateway.close()


def test_a_venue_nobody_knows_is_named():
    with pytest.raises(ConfigError, match="known: binance, upbit"):
        symbol_of("bithumb", BTC)
