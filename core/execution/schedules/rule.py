"""How a parent is cut into slices over time: one kernel for every kind of schedule, over lots.

``due_lots`` says what to send at a slot; the executor's machine asks it slice by slice, the compiled engine loops it. A
parent lives ``minutes`` minutes of ``slices`` slots each. Every minute the ensemble decides anew how much is left; what
was done earlier in the parent's life (``before``) and the progress that the schedule should have made decide what is
due, so a slice that did not fill is made up for at the next slot.

Kinds and their sources: even slices in time (TWAP; immediate is one slot of it), the share of an intraday volume curve
(VWAP: Berkowitz, Logue & Noser 1988, "The Total Cost of Transactions on the NYSE", J. Finance 43), a share of the volume
that trades (POV), the sinh trajectory of Almgren & Chriss (2000), "Optimal execution of portfolio transactions",
J. Risk 3, equation 17 (IS).
"""

import hashlib
import math
from typing import NamedTuple

from core.execution.schedules.twap import next_slice
from core.impact import COEFFICIENT, PRIOR, ImpactLaw
from core.lean import pasted, shared
from core.params import ExecutionSettings
from core.units import Instrument

EVEN, TIME, VOLUME_CURVE, PARTICIPATION, SHORTFALL, ADAPTIVE = range(6)
"""Even slices within one minute; even over several; VWAP; POV; IS; adaptive (no slots: ``schedules.adaptive``)."""
SECOND_MS = 1_000


class Schedule(NamedTuple):
    """``ExecutionSettings`` as the kernels read them."""

    kind: int
    slices: int
    """Slots a minute."""
    slice_ms: int
    """Between slots."""
    minutes: int = 1
    """A parent's life."""
    jitter_s: int = 0
    """A slot comes up to so many whole seconds late."""
    participation: float = 0.0
    """Share of the volume, 0..1."""
    risk_aversion: float = 0.0
    """Lambda of Almgren & Chriss, per USDT."""
    urgency: float = 0.0
    """Of the adaptive kind: how much a standard deviation of waiting weighs against a cost."""
    reprice_ms: int = 0
    """Of the adaptive kind: how often it looks."""
    edge_minutes: float = 1.0
    """Of the adaptive kind: how long a forecast lasts."""
    coefficient: float = COEFFICIENT
    """Y of the law of impact that is believed (``core.impact.ImpactLaw``)."""


def schedule_of(settings: ExecutionSettings, law: ImpactLaw = PRIOR) -> Schedule:
    over_time = EVEN if settings.horizon_minutes == 1 else TIME
    kinds = {
        "immediate": EVEN,
        "twap": over_time,
        "vwap": VOLUME_CURVE,
        "pov": PARTICIPATION,
        "is": SHORTFALL,
        "adaptive": ADAPTIVE,
    }
    immediate = settings.algorithm == "immediate"
    return Schedule(
        kind=kinds[settings.algorithm],
        slices=1 if immediate else settings.slices,
        slice_ms=settings.slice_seconds * SECOND_MS,
        minutes=settings.horizon_minutes,
        jitter_s=0 if immediate else settings.jitter_seconds,
        participation=settings.participation_pct / 100.0,
        risk_aversion=settings.risk_aversion,
        urgency=settings.urgency,
        reprice_ms=settings.reprice_seconds * SECOND_MS,
        edge_minutes=settings.edge_minutes,
        coefficient=law.coefficient,
    )


def jitter_seed(instance: str, instrument: Instrument) -> int:
    """What ``jitter_of`` starts from: a digest of who trades what, below 2^31."""
    digest = hashlib.blake2s(f"{instance}/{instrument}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") % 2_147_483_647


@pasted
def jitter_of(seed: int, minute: int, slot: int, most: int) -> int:
    """0..``most`` whole seconds by which slot ``slot`` of minute number ``minute`` comes late.

    A pure function of its arguments (a Lehmer generator over each in turn: Park & Miller 1988, with the multipliers of
    Fishman & Moore 1986), so a replay waits as the backtest did; no product leaves 63 bits. ``seed`` is of an instance
    and instrument (``jitter_seed``).
    """
    x = (seed * 48_271 + minute) % 2_147_483_647
    x = (x * 69_621 + slot + 1) % 2_147_483_647
    x = (x * 1_226_874 % 2_147_483_647) * 39_373 % 2_147_483_647
    return x // 7 % (most + 1)


@pasted
def urgency_of(
    coefficient: float, risk_aversion: float, notional: float, sigma: float, share: float, minutes: int
) -> float:
    """kappa a minute: how fast an implementation-shortfall schedule decays.

    kappa² = lambda sigma² / eta (Almgren & Chriss 2000, the limit of their equation 15 for small steps). eta is the
    linear law that costs what the square-root law costs at the even rate: with ``share`` = quantity / (volume x minutes)
    it is Y sigma sqrt(share) of the price for quantity / minutes. So kappa² = lambda notional sigma / (Y sqrt(share)
    minutes). ``notional`` in USDT, ``sigma`` a minute; 0 (an even schedule) where the market says too little.
    """
    if not (share > 0.0 and sigma > 0.0 and notional > 0.0):
        return 0.0
    return math.sqrt(risk_aversion * notional * sigma / (coefficient * math.sqrt(share) * minutes))


@pasted
def still_to_come(kappa: float, minutes: float, passed: float) -> float:
    """Share of the whole that an implementation-shortfall schedule has left after ``passed`` of ``minutes``:
    sinh(kappa (T - t)) / sinh(kappa T), written so that no exponent overflows."""
    left = minutes - passed
    if kappa * minutes < 1e-6:
        return left / minutes
    a, b = kappa * left, kappa * minutes
    return math.exp(a - b) * (1.0 - math.exp(-2.0 * a)) / (1.0 - math.exp(-2.0 * b))


class Stage(NamedTuple):
    """Where a parent stands in its life, for the length of one minute."""

    age: int
    """Minutes of its life that are over."""
    before: int
    """Lots done in them."""
    passed: float
    """What the schedule counts, of those minutes: volume shares (VWAP), or lots (POV)."""
    now: float
    """The same of this minute."""
    ahead: float
    """The same of the minutes after it."""
    kappa: float
    """``urgency_of`` at the beginning of its life."""


FIRST = Stage(0, 0, 0.0, 0.0, 0.0, 0.0)


@shared
def next_stage(
    schedule: Schedule,
    last: Stage,
    continues: bool,
    done: int,
    quantity: float,
    traded: float,
    volume: float,
    sigma: float,
    notional: float,
    share: float,
    ahead: float,
) -> Stage:
    """The stage of a parent in a new minute.

    ``continues``: the minute before it worked the same way, at stage ``last``, and ``done`` lots of the life are done.
    Else, and when that life is over, a new one begins. ``quantity`` lots are wanted now; ``traded`` lots traded in the
    minute that has just closed, ``volume`` lots do in a usual one, whose volatility is ``sigma``; ``notional`` USDT is
    what the quantity is worth; ``share`` and ``ahead`` are the volume curve's for this minute and the rest of the life.
    """
    age, before, passed, now, kappa = 0 * done, 0 * done, 0.0, 0.0, 0.0
    if continues and last.age + 1 < schedule.minutes:
        age, before, passed, kappa = last.age + 1, done, last.passed, last.kappa
    if schedule.kind == VOLUME_CURVE:
        passed += last.now if age > 0 else 0.0
        now = share
    elif schedule.kind == PARTICIPATION:
        passed += schedule.participation * traded if age > 0 and traded > 0.0 else 0.0
        now = schedule.participation * volume
    elif schedule.kind == SHORTFALL and age == 0:
        kappa = urgency_of(
            schedule.coefficient,
            schedule.risk_aversion,
            notional,
            sigma,
            quantity / (volume * schedule.minutes),
            schedule.minutes,
        )
    return Stage(age, before, passed, now, ahead, kappa)


@shared
def due_lots(schedule: Schedule, stage: Stage, slot: int, unsent: int, quantity: int, least: int, most: int) -> int:
    """Lots to send at slot ``slot`` of this minute; 0 sends nothing now.

    ``quantity`` lots were wanted at the minute's beginning, ``unsent`` of them are neither done nor out. An order is
    from ``least`` to ``most`` lots; a share that is smaller waits for a later slot. The last slot of a life sends what
    is left, except of a participation, which never takes more than its share.
    """
    slices, minutes = schedule.slices, schedule.minutes
    if schedule.kind == EVEN:
        return next_slice(unsent, slices - slot, least, most)
    sent = quantity - unsent
    within = (slot + 1) / slices
    if schedule.kind == PARTICIPATION:
        wanted = stage.passed + stage.now * within
        part = int(wanted) - stage.before - sent if wanted < 9e15 else 0
        part = min(part, unsent, most)
        return part if part >= least else 0
    share = (stage.age + within) / minutes
    if schedule.kind == VOLUME_CURVE:
        whole = stage.passed + stage.now + stage.ahead
        if whole > 0.0:
            share = (stage.passed + stage.now * within) / whole
    elif schedule.kind == SHORTFALL:
        share = 1.0 - still_to_come(stage.kappa, float(minutes), stage.age + within)
    part = math.ceil(share * (stage.before + quantity)) - stage.before - sent
    if part > unsent or (slot == slices - 1 and stage.age == minutes - 1):
        part = unsent
    if part < least:
        return 0
    # A rest that is too small to be sent later goes with this slice.
    if unsent - part < least:
        part = unsent
    return min(part, most)
