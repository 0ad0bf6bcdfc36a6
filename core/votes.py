"""The rules of silence: whose answer counts as a vote this minute, and why another's does not.

A member that is late, absent, of the wrong shape, speaks NaN or infinity, or of a move that no market makes within the
horizon, loses its vote for the whole minute.
Instruments whose features are not whole cannot be forecast by anybody: there, NaN is what is expected of a member,
and whatever it says is not heard.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.lean import lean
from core.messages import BoolArray, FloatArray, Market, Votes
from core.reasons import Reason

ABSENT = Reason("absent")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answer:
    """What one member said."""

    mean_bps: FloatArray
    """(S,) expected log return over the horizon, basis points."""
    stdev_bps: FloatArray
    """(S,) its own uncertainty, basis points."""
    version: str
    minute: int | None = None
    """The minute it was asked about; None when it does not say."""
    latency_ms: float = 0.0
    trust: FloatArray | None = None
    """(S,) how far the member was believed, 0..1; already in the mean. None: whole, or it does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Why one member said nothing, e.g. ``late: no answer within 5000 ms``."""

    reason: str
    version: str = ""
    latency_ms: float = 0.0


MOST_BPS = 10_000.0
"""A forecast beyond this (prices times e, or divided by it) is a broken member, not a strong opinion."""
SPOKE, MEAN_UNFIT, STDEV_UNFIT, STDEV_NEGATIVE, MEAN_ABSURD = range(5)
"""What ``fault_of`` finds."""


@lean
def fault_of(mean_bps: FloatArray, stdev_bps: FloatArray, asked: BoolArray) -> tuple[int, int]:
    """(SPOKE or what is wrong, in which row) of one member's (S,) answer; only what was asked is looked at."""
    for i in range(asked.shape[0]):
        if asked[i] and not math.isfinite(mean_bps[i]):
            return MEAN_UNFIT, i
    for i in range(asked.shape[0]):
        if asked[i] and not math.isfinite(stdev_bps[i]):
            return STDEV_UNFIT, i
    for i in range(asked.shape[0]):
        if asked[i] and stdev_bps[i] < 0.0:
            return STDEV_NEGATIVE, i
    for i in range(asked.shape[0]):
        if asked[i] and abs(mean_bps[i]) > MOST_BPS:
            return MEAN_ABSURD, i
    return SPOKE, 0


Finder = Callable[[FloatArray, FloatArray, BoolArray], tuple[int, int]]


def askable(market: Market) -> BoolArray:
    """(S,): every feature of the whole sequence is known, so a forecast can be asked for."""
    return np.isfinite(market.features).all(axis=(1, 2))


def assemble_votes(
    market: Market, answers: Mapping[str, Answer | Silence], members: Sequence[str], horizon: int
) -> Votes:
    """Judge the answers (by member name; a missing one is absent) and put them in the order of ``members``."""
    asked = askable(market)
    shape = (len(members), len(market.instruments))
    mean = np.full(shape, np.nan)
    stdev = np.full(shape, np.nan)
    silence: list[str] = []
    versions: list[str] = []
    latency: list[float] = []
    trust = np.ones(shape)
    for row, member in enumerate(members):
        answer = answers.get(member, Silence(reason=ABSENT))
        versions.append(answer.version)
        latency.append(answer.latency_ms)
        if isinstance(answer, Silence):
            silence.append(answer.reason or Reason("no_reason"))
            continue
        fault = fault_in(market, asked, answer)
        silence.append(fault)
        if not fault:
            mean[row, asked] = np.asarray(answer.mean_bps, dtype=np.float64)[asked]
            stdev[row, asked] = np.asarray(answer.stdev_bps, dtype=np.float64)[asked]
            if answer.trust is not None and np.shape(answer.trust) == asked.shape:
                trust[row, asked] = np.asarray(answer.trust, dtype=np.float64)[asked]
    for array in (mean, stdev, trust):
        array.flags.writeable = False
    return Votes(
        minute=market.minute,
        trace=market.trace,
        members=tuple(members),
        versions=tuple(versions),
        mean_bps=mean,
        stdev_bps=stdev,
        spoke=np.array([not reason for reason in silence], dtype=np.bool_),
        silence=tuple(silence),
        horizon=horizon,
        latency_ms=tuple(latency),
        trust=trust,
    )


def fault_in(market: Market, asked: BoolArray, answer: Answer, find: Finder = fault_of) -> str:
    """Why the answer is no vote; empty when it is one. ``find``: ``fault_of``, or the same uncompiled."""
    if answer.minute is not None and answer.minute != market.minute:
        return Reason("stale_answer", said=str(answer.minute), asked=str(market.minute))
    wanted = asked.shape
    numbers: list[FloatArray] = []
    for name, said in (("mean_bps", answer.mean_bps), ("stdev_bps", answer.stdev_bps)):
        try:
            numbers.append(np.array(said, dtype=np.float64, order="C"))
        except (TypeError, ValueError):
            return Reason("not_numbers", name=name)
        if numbers[-1].shape != wanted:
            return Reason("wrong_shape", name=name, shape=str(numbers[-1].shape), wanted=str(wanted))
    mean, stdev = numbers
    fault, row = find(mean, stdev, asked)
    instrument = str(market.instruments[row])
    if fault == MEAN_UNFIT:
        return Reason("not_finite", name="mean_bps", instrument=instrument, value=str(float(mean[row])))
    if fault == STDEV_UNFIT:
        return Reason("not_finite", name="stdev_bps", instrument=instrument, value=str(float(stdev[row])))
    if fault == STDEV_NEGATIVE:
        return Reason("negative", name="stdev_bps", instrument=instrument)
    if fault == MEAN_ABSURD:
        value, most = f"{float(mean[row]):g}", f"{MOST_BPS:g}"
        return Reason("beyond_belief", instrument=instrument, value=value, most=most)
    return ""
