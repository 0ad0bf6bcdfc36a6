"""What ``run.py sim`` can be asked for beside a market: fees in BNB, a price range, Ed25519 keys, a recording."""

import argparse
import json
import urllib.request
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from core.errors import ConfigError
from exchanges.sim_command import arguments, main, make_exchange, read_public_key
from exchanges.simulated.binance.auth import Keyring, VenueTime
from exchanges.simulated.process import start_simulator
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
    assert simulator.process.returncode == 0
