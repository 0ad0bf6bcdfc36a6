"""A parent's place in its schedule, as the machine asks for it: Decimals in, the kernels' lots between, Decimals out."""

from decimal import Decimal

import numpy as np

from core.execution.books import Books, Parent
from core.execution.schedules.rule import (
    EVEN,
    FIRST,
    TIME,
    VOLUME_CURVE,
    Schedule,
    Stage,
    due_lots,
    jitter_of,
    next_stage,
)
from core.execution.schedules.twap import least_order
from core.execution.schedules.volume_curve import shares_ahead
from core.execution.stimuli import Conditions
from core.messages import Approved
from core.units import MINUTE_MS, MarketRules, floor_to_step


def stage_of(
    books: Books, approved: Approved, seen: Conditions | None, schedule: Schedule, rules: MarketRules
) -> Stage:
    """Where the parent of ``approved`` stands: on where the minute before worked the same way, else at the beginning."""
    if schedule.kind == EVEN:
        return FIRST
    earlier = books.parents.get((approved.minute - MINUTE_MS, approved.instrument))
    continues = earlier is not None and earlier.side is approved.side and earlier.schedule == schedule
    last, done = FIRST, 0
    if earlier is not None and continues:
        last, done = earlier.stage, earlier.stage.before + int(earlier.executed // rules.step)
    if schedule.kind == TIME or seen is None:
        traded = volume = sigma = rate = float("nan")
    else:
        traded, volume, sigma, rate = seen.traded, seen.volume, seen.sigma, seen.rate
    lots, step = int(approved.quantity // rules.step), float(rules.step)
    share, ahead = 1.0, 0.0
    if schedule.kind == VOLUME_CURVE and seen is not None and seen.curve:
        left = schedule.minutes - (last.age + 1 if continues and last.age + 1 < schedule.minutes else 0)
        share, ahead = shares_ahead(np.array(seen.curve), 0, left)
    return next_stage(
        schedule,
        last,
        continues,
        done,
        float(lots),
        traded / step,
        volume / step,
        sigma,
        lots * step * approved.reference_price * rate,
        share,
        ahead,
    )


def slot_at(parent: Parent, now_ms: int) -> int:
    """The newest slot that is due; -1 before the first, ``slices`` and above after the end."""
    schedule = parent.schedule
    slot = max((now_ms - parent.start_ms) // schedule.slice_ms, 0)
    if parent.slot < 0:
        # However late the decision is within its minute, it gets one slice.
        slot = min(slot, schedule.slices - 1)
    if slot < schedule.slices and schedule.jitter_s:
        late = jitter_of(parent.seed, parent.start_ms // MINUTE_MS, slot, schedule.jitter_s)
        if now_ms < parent.start_ms + slot * schedule.slice_ms + late * 1_000:
            return slot - 1
    return int(slot)


def part_of(parent: Parent, slot: int, rules: MarketRules) -> Decimal | None:
    """What to send at ``slot``, 0 for nothing now; None when what is left is below the venue's smallest order."""
    # A venue may execute off the grid we know (it changed its lot step); that dust is given up at the end.
    unsent = int(floor_to_step(parent.unsent, rules.step) / rules.step)
    least = least_order(rules, parent.limit_price)
    if unsent < least:
        return None
    whole, most = int(parent.quantity // rules.step), int(rules.max_qty // rules.step)
    return int(due_lots(parent.schedule, parent.stage, slot, unsent, whole, least, most)) * rules.step
