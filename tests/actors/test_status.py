"""``run.py status`` of a bot that runs: what changed in its settings, and what cannot be used."""

import argparse
import json
import os
from pathlib import Path

import psutil
import pytest

from actors.runs.running import FILE
from actors.verbs import status_command
from core.messages import SETTINGS_REFUSED
from data.hot import Hot
from data.redis_server import EmbeddedRedis


def test_a_bad_setting_and_a_change_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    redis = EmbeddedRedis(tmp_path / "redis")
    redis.start()
    try:
        runs = tmp_path / "runs"
        runs.mkdir()
        noted = {"run_id": "r", "mode": "replay", "redis_url": redis.url, "dashboard_url": "http://x/"}
        noted |= {"pid": os.getpid(), "started": psutil.Process().create_time()}
        (runs / FILE).write_text(json.dumps(noted), encoding="utf-8")
        hot = Hot(redis.url, "r")
        hot.publish_state({"mode": "replay"})
        args = argparse.Namespace(config_dir=None, overrides=[f"var_dir={tmp_path}"], json=False)
        for line, said in (
            ("trade.invest_pct 10 → 20", "11:40 UTC: settings changed: trade.invest_pct 10 → 20"),
            (
                f"{SETTINGS_REFUSED}config.json: trade.invest_pct",
                f"11:40 UTC: {SETTINGS_REFUSED}config.json: trade.invest_pct",
            ),
        ):
            told = {"minute": 700 * 60_000, "lines": [line], "refused": False}
            hot.publish_health("risk", {"state": "running", "settings": told})
            assert status_command.main(args) == 0
            assert said in capsys.readouterr().out.splitlines()
            assert status_command.main(argparse.Namespace(**{**vars(args), "json": True})) == 0
            assert json.loads(capsys.readouterr().out)["settings"] == told
        hot.close()
    finally:
        redis.stop()
