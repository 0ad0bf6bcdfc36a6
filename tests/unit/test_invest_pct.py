"""``invest_pct`` from 5 to 10 in a running desk: the next minute buys up to it, and the record says why."""

import math
from dataclasses import replace

import pytest

from config.watch import ConfigSource, TradeWatch
from core.messages import Intents, Market, Verdicts
from core.risk import Risk
from tests.support.engines import make_market, make_settings
from tests.support.story import Story
from tests.unit.test_config_watch import folder, write  # noqa: F401


class Watching:
    """Risk as the actor asks it: the file is looked at before each verdict."""

    def __init__(self, risk: Risk, watch: TradeWatch) -> None:
        self._risk, self._watch = risk, watch

    def review(self, market: Market, intents: Intents) -> Verdicts:
        change = self._watch.look()
        if change is not None:
            self._risk.set_trade(change.trade)
        return replace(self._risk.review(market, intents), settings=change.lines if change is not None else ())


def test_the_next_minute_holds_twice_as_much_and_says_why(folder):  # noqa: F811
    write(folder, invest_pct=5)
    settings = make_settings(2, trade__invest_pct=5, risk__max_position_pct=50, risk__max_order_pct=50)
    story = Story(make_market(2, 20, seed=4, money=5e6), (1.0, math.nan), settings)
    story.desk.risk = Watching(story.desk.risk, TradeWatch(ConfigSource(folder=folder), settings.config.trade))
    shares = []
    for number in range(4):
        if number == 2:
            write(folder, invest_pct=10)
        story.play()
        shares.append(float(story.holds("BTC")) * story.records[-1].close[0] / story.records[-1].equity)
    assert shares == pytest.approx([0.05, 0.05, 0.1, 0.1], abs=0.005)
    assert [r.settings for r in story.records[1:]] == [(), ("trade.invest_pct 5 → 10",), ()]
    (bought,) = story.records[2].approved
    assert bought.arithmetic[0].startswith("target 1.0000 of 10% of ")
