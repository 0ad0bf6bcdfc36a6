"""What ``run.py sim`` can be asked for beside a market: fees in BNB, a price range, Ed25519 keys, a recording."""

import argparse
import json
import shlex
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from config.load import load_settings
from core.errors import ConfigError
from exchanges.sim_command import arguments, main, make_exchange, read_public_key
from exchanges.simulated.binance.auth import Keyring, VenueTime
from exchanges.simulated.process import start_simulator
from exchanges.simulated.server import serve_exchange
from tests.sim.conftest import START

ROOT = Path(__file__).resolve().parents[2]


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    arguments(parser)
    return parser.parse_args(["--minutes", "5", *words])


def test_a_price_range_is_given_in_percent():
    assert make_exchange(parsed(), START).limits.price_range is None
    band = make_exchange(parsed("--price-range", "2.5"), START).limits.price_range
    assert [str(x) for x in (band.bid_up, band.bid_down, band.ask_up, band.ask_down)] == ["1.025", "0.975"] * 2


@pytest.mark.parametrize("words", [("--lockstep",), ("--paused",), ("--tape", "market.npz")])
def test_a_recording_brings_its_own_market_and_time(words):
    with pytest.raises(ConfigError, match="--recording brings its own market and time"):
        main(parsed("--recording", "some.gz", *words))


def test_a_fault_that_only_the_other_venue_has_is_no_silent_nothing():
    with pytest.raises(ConfigError, match="upbit has no fault stamp, busy; it has slow-request, "):
        main(parsed("--venue", "upbit", "--chaos", "seed=1,only=stamp+busy"))
    with pytest.raises(ConfigError, match="binance has no fault again-snapshot"):
        main(parsed("--chaos", "seed=1,only=again"))


def test_fees_in_bnb_are_charged_once(tmp_path):
    (tmp_path / "costs.json").write_text('{"fee_paid_in": "bnb"}')
    with pytest.raises(ConfigError, match="fee_paid_in is bnb already"):
        main(parsed("--burn-bnb", "--costs", str(tmp_path / "costs.json")))


def pem(key) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def test_a_public_key_is_read_and_anything_else_is_named(tmp_path):
    good, other = tmp_path / "good.pem", tmp_path / "other.pem"
    good.write_text(pem(Ed25519PrivateKey.generate()))
    assert read_public_key(good) == good.read_text()
    other.write_text("-----BEGIN PRIVATE KEY-----")
    with pytest.raises(ConfigError, match=r"other\.pem: not a public key"):
        read_public_key(other)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_public_key(tmp_path / "absent.pem")
    still = VenueTime(lambda: 0, lambda: 0, steady=True)
    for wrong in (pem(generate_private_key(65_537, 2_048)), "-----BEGIN PUBLIC KEY-----\nxx\n-----END PUBLIC KEY-----"):
        with pytest.raises(ConfigError, match="not an Ed25519 key"):
            Keyring({"key": wrong}, still)


def test_a_recording_is_served_as_a_process(tmp_path):
    line = '1723161254087896568 {"stream":"btcusdt@trade","data":{"e":"trade","E":1723161255343,"t":1,"p":"61837.63","q":"0.02","T":1723161255342,"m":true}}'
    (tmp_path / "recorded.txt").write_text(line + "\n")
    simulator = start_simulator(ROOT, ["--recording", str(tmp_path / "recorded.txt"), "--speed", "5"])
    try:
        with urllib.request.urlopen(f"{simulator.rest}/sim/state", timeout=5) as answer:
            state = json.load(answer)
        assert (state["symbols"], state["speed"], state["sent"]) == (["BTC/USDT"], 5.0, 0)
    finally:
        simulator.close()
    assert simulator.process.returncode == 128 + signal.SIGTERM


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--symbols", "FOO/USDT"), "built-in market of binance has BTC/USDT, ETH/USDT, SOL/USDT, BNB/USDT, XRP/USDT"),
        (("--symbols", "FOO/KRW", "--venue", "upbit"), "built-in market of upbit has BTC/KRW, ETH/KRW.*--tape"),
        (("--symbols", "BTC/KRW"), "add --venue upbit for it"),
        (("--symbols", "BTC/USDT", "--venue", "upbit"), "add --venue binance for it"),
        (("--symbols", "BTCUSDT"), "write BASE/QUOTE"),
        (("--symbols", " , "), "names no symbol"),
        (("--start", "1767225600"), "no time in epoch milliseconds"),
        (("--start", "-5"), "no time in epoch milliseconds"),
    ],
)
def test_a_market_that_there_is_not_is_refused_with_those_that_there_are(words, said):
    with pytest.raises(ConfigError, match=said):
        make_exchange(parsed(*words), START)


def test_a_statement_that_could_not_be_written_is_told_at_the_start(tmp_path):
    with pytest.raises(ConfigError, match=r"--statement .*: there is no folder"):
        main(parsed("--statement", str(tmp_path / "absent" / "statement.json")))


def test_symbols_are_taken_as_people_write_them():
    exchange = make_exchange(parsed("--symbols", "xrp/usdt, BTC/USDT,XRP/USDT,"), START)
    assert [i.symbol for i in exchange.instruments] == ["XRP/USDT", "BTC/USDT"]
    exchange = make_exchange(parsed("--venue", "upbit", "--symbols", "doge/krw"), START)
    assert [i.symbol for i in exchange.instruments] == ["DOGE/KRW"]


def test_what_it_prints_can_be_pasted_and_ctrl_c_has_the_last_word(tmp_path):
    """The names are those of the settings, and the exit code the one that the help promises."""
    words = [sys.executable, str(ROOT / "run.py"), "sim", "--venue", "upbit", "--symbols", "BTC/KRW,USDT/KRW"]
    child = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        said = []
        while not said or not said[-1].startswith("Ctrl-C"):
            said.append(child.stdout.readline())
            assert said[-1], said
        pasted = shlex.split(next(line for line in said if "--set" in line).partition("run.py paper")[2])
        past = next(line for line in said if "data synth" in line).partition("data synth ")[2].split()
        # The market that the first line makes is the one that the second trains on.
        assert pasted[:2] == ["--market", past[0]]
        settings = load_settings(overrides=pasted[3::2])
        upbit = settings.config.exchanges["upbit"]
        assert [str(row) for row in settings.config.trade.rows] == ["upbit:BTC/KRW"]
        with urllib.request.urlopen(f"{upbit.rest_url}/sim/state", timeout=5) as answer:
            assert json.load(answer)["venue"] == "upbit"
        assert (upbit.stream_url.split("/", 3)[3], upbit.user_stream_url.rpartition("/")[2]) == (
            "websocket/v1",
            "private",
        )
        assert any(line.split()[:1] == ["api_secret"] for line in said)
        child.send_signal(signal.SIGINT)
        rest, _ = child.communicate(timeout=10)
        assert (child.returncode, rest.startswith("stopped: 0 minutes of the market")) == (130, True), rest
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("GET", "chaos", None, 404, "start the simulator with --chaos"),
        ("POST", "run", b"{bad", 400, "send no body"),
        ("POST", "run", b"[]", 400, "send no body"),
        ("POST", "run", b"{}", 409, "in lockstep"),
        ("GET", "run", None, 405, "takes POST"),
        ("POST", "state", None, 405, "takes GET"),
        ("GET", "nothing", None, 404, "there are GET /sim/state"),
        ("POST", "advance", b"{bad", 400, "to_ms"),
        ("POST", "advance", b"null", 400, "to_ms"),
        ("POST", "advance", b'{"to_ms": 1.5}', 400, "to_ms"),
        ("POST", "advance", b'{"to_ms": true}', 400, "to_ms"),
        ("POST", "advance", b'{"to_ms": -5}', 400, "cannot go back"),
        ("POST", "transfer", b'{"asset": "USDT", "amount": "1e400"}', 400, "decimal below"),
        ("POST", "transfer", b'{"asset": "USDT", "amount": "NaN"}', 400, "decimal below"),
        ("POST", "transfer", b'{"asset": "", "amount": "1"}', 400, "decimal below"),
        ("POST", "transfer", b'{"amount": "1"}', 400, "decimal below"),
        ("POST", "transfer", b'{"asset": "USDT", "amount": "-1000000000"}', 409, "is free"),
        ("POST", "status", b'{"symbol": "KRW-LUNA", "status": "HALT"}', 400, "KRW-BTC"),
        ("POST", "status", b'{"symbol": "KRW-BTC", "status": "ON"}', 400, "TRADING, HALT"),
        ("POST", "status", b'{"symbol": ["x"], "status": "HALT"}', 400, "KRW-BTC"),
    ],
)
async def test_controls_refuse_what_they_cannot_do_with_the_reason(controlled, method, path, body, status, said):
    session, url = controlled
    async with session.request(method, f"{url}/sim/{path}", data=body) as answer:
        assert (answer.status, said in (await answer.json())["error"]) == (status, True), await answer.text()


@pytest.fixture
async def controlled():
    running = await serve_exchange(make_exchange(parsed("--venue", "upbit"), START), venue="upbit")
    async with aiohttp.ClientSession() as session:
        yield session, running.url
    await running.close()
