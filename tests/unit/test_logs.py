"""Logs: one line, one JSON object, with its minute; and no secret in it, whatever the way it came."""

import io
import json
import logging
import threading

import pytest

from config.secrets import Secret
from config.settings import LogSettings
from core.errors import ConfigError
from data.logs import bind_minute, configure_logs

KEY = "AKq83hfkQpLz77TTxPq21mmv"


@pytest.fixture(autouse=True)
def _restore():
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in [h for h in root.handlers if h not in handlers]:
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)
    logging.captureWarnings(False)


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_line_carries_its_minute_trace_and_actor(tmp_path):
    path = configure_logs(LogSettings(), tmp_path, "risk")
    log = logging.getLogger("rules")
    with bind_minute(60_000, "ea60"):
        log.info("sized %d orders", 3, extra={"symbol": "BTC/USDT"})
    log.warning("outside")
    inside, outside = lines(path)
    assert path.name == "risk.jsonl"
    assert inside | {"time": ""} == {
        "time": "",
        "level": "INFO",
        "actor": "risk",
        "logger": "rules",
        "minute": 60_000,
        "trace": "ea60",
        "message": "sized 3 orders",
        "symbol": "BTC/USDT",
    }
    assert inside["time"].endswith("+00:00")
    assert (outside["minute"], outside["trace"]) == (None, None)


def test_threads_do_not_share_a_minute(tmp_path):
    path = configure_logs(LogSettings(), tmp_path, "x")
    with bind_minute(1, "1"):
        thread = threading.Thread(target=logging.getLogger("t").info, args=("elsewhere",))
        thread.start()
        thread.join()
    assert lines(path)[0]["minute"] is None


def test_the_level_holds_and_calling_twice_writes_once(tmp_path):
    configure_logs(LogSettings(), tmp_path, "a")
    path = configure_logs(LogSettings(level="WARNING"), tmp_path, "a")
    logging.getLogger("x").info("quiet")
    logging.getLogger("x").error("loud")
    assert [line["message"] for line in lines(path)] == ["loud"]


def test_files_rotate_and_stay_bounded(tmp_path):
    configure_logs(LogSettings(max_mb=1, keep=2), tmp_path, "a")
    for _ in range(40):
        logging.getLogger("x").info("x" * 100_000)
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert len(sizes) == 3
    assert max(sizes) <= 1_000_000


@pytest.mark.parametrize(
    "say",
    [
        lambda log, secret: log.info("key %s", secret),
        lambda log, secret: log.info("%(key)s", {"key": secret}),
        lambda log, secret: log.info(secret),
        lambda log, secret: log.info("keys", extra={"deep": {"list": [secret]}}),
        lambda log, secret: log.info("a foreign library says " + secret.reveal()),
        lambda log, secret: log.info("GET /api?apiKey=%s", secret.reveal()),
        lambda log, secret: log.info("extra", extra={"url": f"https://x/{secret.reveal()}"}),
    ],
)
def test_a_secret_never_reaches_a_line(tmp_path, say):
    stream = io.StringIO()
    path = configure_logs(LogSettings(), tmp_path, "a", terminal=True, stream=stream)
    say(logging.getLogger("x"), Secret(KEY))
    text = path.read_text(encoding="utf-8") + stream.getvalue()
    assert KEY not in text
    assert "<secret>" in text
    assert len(lines(path)) == 1


def test_a_traceback_is_kept_without_the_secret(tmp_path):
    secret = Secret(KEY)
    path = configure_logs(LogSettings(), tmp_path, "a")
    try:
        raise ValueError(f"cannot sign with {secret.reveal()}")
    except ValueError:
        logging.getLogger("x").exception("signing failed")
    line = lines(path)[0]
    assert "ValueError: cannot sign with <secret>" in line["exception"]
    assert KEY not in json.dumps(line)


def test_a_signature_in_an_address_is_taken_out(tmp_path):
    path = configure_logs(LogSettings(), tmp_path, "a")
    logging.getLogger("x").warning("GET /order?symbol=BTCUSDT&signature=0f3c9a77&timestamp=1")
    assert lines(path)[0]["message"] == "GET /order?symbol=BTCUSDT&signature=<secret>&timestamp=1"


def test_the_terminal_reads_plainly_where_it_is_none(tmp_path):
    stream = io.StringIO()
    configure_logs(LogSettings(), tmp_path, "a", terminal=True, stream=stream)
    logging.getLogger("feed").warning("stale")
    assert stream.getvalue().rstrip().endswith("WARNING feed: stale")
    assert "\x1b[" not in stream.getvalue()


def test_a_folder_that_cannot_be_made_names_its_key(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ConfigError, match="var_dir"):
        configure_logs(LogSettings(), tmp_path / "file" / "logs", "a")
