"""One trading minute, written once. Backtest, replay, paper and live all run this."""

from core.messages import MinuteRecord, MinuteTick
from core.ports import Desk


def run_minute(desk: Desk, tick: MinuteTick) -> MinuteRecord:
    """Let one closed minute flow through the desk and return its record.

    No step awaits another: on a LocalDesk the values are plain objects; on a RayDesk each is an ``ObjectRef``
    that Ray carries from actor to actor, so this text is the message graph. What must branch, branches inside
    a part. An error in any step surfaces where the record is asked for.
    """
    market = desk.cache.observe(tick)
    events = desk.detector.detect(market)
    votes = desk.models.forecast(market)
    intents = desk.selector.choose(market, events, votes)
    verdicts = desk.risk.review(market, intents)
    reports = desk.executor.execute(market, verdicts)
    return desk.recorder.record(tick, market, events, votes, intents, verdicts, reports)
