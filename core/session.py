"""Minutes in a row: when a minute is decided, and when the schedules inside it beat.

The backtest loops this; the conductor follows the same instants on its own clock, so slices leave, and positions are
looked after, at the same market times in both.
"""

from collections.abc import Iterator

from core.desk import LocalDesk
from core.messages import MinuteRecord, MinuteTick
from core.minute import run_minute
from core.params import ExecutionSettings, ProtectionSettings
from core.units import MINUTE_MS


def decision_ms(minute: int) -> int:
    """When the bar of ``minute`` has closed and is decided upon, epoch ms."""
    return minute + MINUTE_MS


def beat_times(
    minute: int, execution: ExecutionSettings, protection: ProtectionSettings | None = None
) -> tuple[int, ...]:
    """Instants after the decision of ``minute`` at which a schedule acts or positions are looked after, epoch ms, all
    before the next close."""
    looks = range(0, 60, protection.look_seconds) if protection is not None and protection.on else ()
    start = decision_ms(minute)
    return tuple(start + s * 1000 for s in sorted({*_schedule_seconds(execution), *looks}) if s)


def _schedule_seconds(execution: ExecutionSettings) -> Iterator[int]:
    match execution.algorithm:
        case "immediate":
            return
        case "adaptive":
            yield from range(execution.reprice_seconds, 60, execution.reprice_seconds)
        case _:
            for k in range(execution.slices):
                yield from range(
                    k * execution.slice_seconds, k * execution.slice_seconds + execution.jitter_seconds + 1
                )


def tick_of(minute: int, config_version: int = 0) -> MinuteTick:
    """The tick of a replayed minute: decided exactly at its close."""
    return MinuteTick(minute=minute, now_ms=decision_ms(minute), trace=f"{minute:x}", config_version=config_version)


def run_session(
    desk: LocalDesk,
    first_minute: int,
    minutes: int,
    execution: ExecutionSettings,
    protection: ProtectionSettings | None = None,
) -> Iterator[MinuteRecord]:
    """Run ``minutes`` consecutive minutes on a LocalDesk, yielding each record as it is made."""
    for minute in range(first_minute, first_minute + minutes * MINUTE_MS, MINUTE_MS):
        desk.market.advance_to(decision_ms(minute))
        yield run_minute(desk, tick_of(minute))
        for now in beat_times(minute, execution, protection):
            desk.market.advance_to(now)
            desk.executor.beat(now)
