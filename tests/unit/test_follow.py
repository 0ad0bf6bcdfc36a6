"""What stands on the console while a run goes on."""

from actors.runs.follow import describe
from core.messages import SETTINGS_REFUSED, MinuteRecord


def test_what_changed_in_the_settings_is_said_and_what_could_not_be_used_too():
    fault = f"{SETTINGS_REFUSED}config.json: trade.invest_pct = 'lots'"
    minute = MinuteRecord(minute=0, trace="t", status="done", settings=("trade.invest_pct 10 → 20", fault))
    assert describe(minute) == [
        "01-01 00:00  settings changed: trade.invest_pct 10 → 20",
        f"01-01 00:00  {fault}",
    ]
