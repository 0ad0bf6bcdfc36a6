"""Minutes in a row: when a minute is decided, and when the schedules inside it beat.

The backtest loops this; the conductor follows the same instants on its own clock, so slices leave at the
same market times in both.
"""

from collections.abc import Iterator

from core.desk import LocalDesk
from core.messages import MinuteRecord, MinuteTick
from core.minute import run_minute
from core.params import ExecutionSettings
from core.units import MINUTE_MS


def decision_ms(minute: int) -> int:
    """When the bar of ``minute`` has closed and is decided upon, epoch ms."""
    return minute + MINUTE_MS


def beat_times(minute: int, execution: ExecutionSettings) -> tuple[int, ...]:
    """Instants after the decision of ``minute`` at which a schedule acts, epoch ms, all before the next close."""
    start = decision_ms(minute)
    match execution.algorithm:
        case "immediate":
            return ()
        case "adaptive":
            return tuple(start + s * 1000 for s in range(execution.reprice_seconds, 60, execution.reprice_seconds))
    late = range(execution.jitter_seconds + 1)
    after = (k * execution.slice_seconds + j for k in range(execution.slices) for j in late)
    return tuple(start + s * 1000 for s in after if s)


def tick_of(minute: int, config_version: int = 0) -> MinuteTick:
    """The tick of a replayed minute: decided exactly at its close."""
    return MinuteTick(minute=minute, now_ms=decision_ms(minute), trace=f"{minute:x}", config_version=config_version)


def run_session(
    desk: LocalDesk, first_minute: int, minutes: int, execution: ExecutionSettings
) -> Iterator[MinuteRecord]:
    """Run ``minutes`` consecutive minutes on a LocalDesk, yielding each record as it is made."""
    for minute in range(first_minute, first_minute + minutes * MINUTE_MS, MINUTE_MS):
        desk.market.advance_to(decision_ms(minute))
        yield run_minute(desk, tick_of(minute))
        for now in beat_times(minute, execution):
            desk.market.advance_to(now)
            desk.executor.beat(now)
