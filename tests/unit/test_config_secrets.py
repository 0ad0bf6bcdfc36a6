"""Secrets are read, and never shown."""

import copy
import json
import logging
import pickle
from dataclasses import asdict
from pathlib import Path

import pytest

from config.secrets import ApiKeys, Secret, load_api_keys, load_secrets, mask, open_to_others, require_keys
from core.errors import ConfigError

PAIR = {"api_key": "k-1234567890", "api_secret": "s-0987654321"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "api_keys.json"
    path.touch(mode=0o600)
    return path


def test_a_secret_prints_nowhere():
    secret = Secret("hunter2-hunter2")
    pair = ApiKeys(api_key=secret, api_secret=secret)
    shown = [
        str(secret),
        repr(secret),
        f"{secret}",
        f"{secret:>20}",
        f"{secret!r:.3}",
        "%s" % secret,  # noqa: UP031
        "{0}".format(secret),  # noqa: UP030, UP032
        repr(pair),
        repr([secret]),
        repr(asdict(pair)),
        repr(copy.deepcopy(pair)),
        logging.LogRecord("a", 10, "b", 1, "key %s", (secret,), None).getMessage(),
        json.dumps({"key": secret}, default=str),
    ]
    assert not any("hunter" in text for text in shown)
    assert secret.reveal() == "hunter2-hunter2"
    assert not hasattr(secret, "__dict__")


def test_a_secret_is_neither_pickled_nor_written_as_json():
    with pytest.raises(TypeError, match=r"load it with config\.secrets in the process that uses it") as caught:
        pickle.dumps(ApiKeys(api_key=Secret("hunter2"), api_secret=Secret("hunter3")))
    assert "hunter" not in str(caught.value)
    with pytest.raises(TypeError, match="not JSON serializable"):
        json.dumps({"key": Secret("hunter2")})


def test_words_of_others_are_masked():
    secret = Secret("tgram://123:abc/42")
    assert mask("could not reach tgram://123:abc/42, giving up") == "could not reach <secret>, giving up"
    del secret
    short = Secret("a")
    assert mask("a banana") == "a banana"
    assert short


def test_keys_come_from_the_private_file(file):
    file.write_text(
        json.dumps({"binance": PAIR, "notification_urls": ["tgram://token/chat"], "grafana_token": "glsa_1"})
    )
    secrets = load_secrets(file, {})
    assert secrets.venues["binance"].api_key.reveal() == PAIR["api_key"]
    assert secrets.venues["binance"].api_secret.reveal() == PAIR["api_secret"]
    assert [url.reveal() for url in secrets.notification_urls] == ["tgram://token/chat"]
    assert secrets.grafana_token is not None
    assert secrets.grafana_token.reveal() == "glsa_1"
    assert list(load_api_keys(file, {})) == ["binance"]


def test_the_environment_wins_and_needs_no_file(tmp_path, file):
    file.write_text(json.dumps({"binance": PAIR, "notification_urls": ["tgram://a/b"]}))
    environ = {
        "MINUTEHAND_BINANCE_API_KEY": "from-env",
        "MINUTEHAND_BINANCE_API_SECRET": "also-env",
        "MINUTEHAND_NOTIFICATION_URLS": "discord://a/b  mailto://c",
    }
    for path in (file, tmp_path / "absent.json"):
        secrets = load_secrets(path, environ)
        assert secrets.venues["binance"].api_key.reveal() == "from-env"
        assert [url.reveal() for url in secrets.notification_urls] == ["discord://a/b", "mailto://c"]


def test_without_keys_there_are_none_and_whoever_needs_them_says_how(tmp_path):
    secrets = load_secrets(tmp_path / "absent.json", {})
    assert secrets.venues == {}
    with pytest.raises(ConfigError, match=r"copy config/api_keys\.example\.json to config/api_keys\.json"):
        require_keys(secrets, "binance")


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_file_that_others_may_read_is_refused_with_the_command(file, mode):
    file.write_text(json.dumps({"binance": PAIR}))
    file.chmod(mode)
    assert open_to_others(file)
    with pytest.raises(ConfigError, match=f"mode 0{mode:o}.*run: chmod 600 .*api_keys.json"):
        load_secrets(file, {})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"binanse": PAIR}, "unknown key 'binanse'; did you mean 'binance'?"),
        ({"binance": {"api_key": PAIR["api_key"]}}, "binance.api_secret is missing"),
        ({"binance": {**PAIR, "secret": "x-secret-x"}}, "unknown key 'binance.secret'; known: api_key, api_secret"),
        ({"binance": "k-1234567890"}, "binance must be an object"),
        ({"binance": {"api_key": 1234567890, "api_secret": "s"}}, "binance.api_key must be text"),
        ({"notification_urls": "tgram://t-1234567890/c"}, "notification_urls must be a list"),
        ({"notification_urls": ["t-1234567890"]}, "notification_urls[0] is no address"),
    ],
)
def test_a_fault_names_the_key_and_never_the_value(file, content, said):
    file.write_text(json.dumps(content))
    with pytest.raises(ConfigError) as caught:
        load_secrets(file, {})
    line = str(caught.value)
    assert said in line
    assert not any(value in line for value in (*PAIR.values(), "1234567890", "x-secret-x"))


def test_the_example_is_understood_but_not_taken_for_keys(file):
    example = Path(__file__).resolve().parents[2] / "config" / "api_keys.example.json"
    file.write_text(example.read_text())
    with pytest.raises(ConfigError, match=r"binance\.api_key still holds the example's text"):
        load_secrets(file, {})


def test_upbits_keys_are_read_as_binances_are(file):
    file.write_text(json.dumps({"upbit": PAIR}))
    keys = require_keys(load_secrets(file, {}), "upbit")
    assert keys.api_secret.reveal() == PAIR["api_secret"]
    environ = {"MINUTEHAND_UPBIT_API_KEY": "e-1234567890", "MINUTEHAND_UPBIT_API_SECRET": "f-1234567890"}
    assert load_secrets(file, environ).venues["upbit"].api_key.reveal() == "e-1234567890"
    file.write_text(json.dumps({"binance": PAIR}))
    with pytest.raises(ConfigError, match="MINUTEHAND_UPBIT_API_KEY"):
        require_keys(load_secrets(file, {}), "upbit")


def test_upbits_keys_in_a_file_that_others_may_read_are_refused_with_the_cure(file):
    file.write_text(json.dumps({"upbit": PAIR}))
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600") as caught:
        load_secrets(file, {})
    assert PAIR["api_secret"] not in str(caught.value)


def test_missing_keys_are_looked_for_where_one_said(tmp_path):
    mistyped = tmp_path / "keyz.json"
    with pytest.raises(ConfigError, match=r"keyz.json: there is no such file, so no keys for binance"):
        require_keys(load_secrets(mistyped, {}), "binance", mistyped)
    mistyped.touch(mode=0o600)
    mistyped.write_text("{}")
    with pytest.raises(ConfigError, match=r"keyz.json: no keys for binance; .* 'chmod 600 .*keyz.json'"):
        require_keys(load_secrets(mistyped, {}), "binance", mistyped)
