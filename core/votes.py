"""The rules of silence: whose answer counts as a vote this minute, and why another's does not.

A member that is late, absent, of the wrong shape, or speaks NaN or infinity loses its vote for the whole minute.
Instruments whose features are not whole cannot be forecast by anybody: there, NaN is what is expected of a member,
and whatever it says is not heard.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.messages import BoolArray, FloatArray, Market, Votes

ABSENT = "absent: no answer"


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Why one member said nothing, e.g. ``late: no answer within 5000 ms``."""

    reason: str
    version: str = ""
    latency_ms: float = 0.0


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
    for row, member in enumerate(members):
        answer = answers.get(member, Silence(reason=ABSENT))
        versions.append(answer.version)
        latency.append(answer.latency_ms)
        if isinstance(answer, Silence):
            silence.append(answer.reason or "silent: no reason given")
            continue
        fault = _fault(market, asked, answer)
        silence.append(fault)
        if not fault:
            mean[row, asked] = np.asarray(answer.mean_bps, dtype=np.float64)[asked]
            stdev[row, asked] = np.asarray(answer.stdev_bps, dtype=np.float64)[asked]
    for array in (mean, stdev):
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
    )


def _fault(market: Market, asked: BoolArray, answer: Answer) -> str:
    """Why the answer is no vote; empty when it is one."""
    if answer.minute is not None and answer.minute != market.minute:
        return f"stale: answers minute {answer.minute}, asked {market.minute}"
    wanted = asked.shape
    for name, said in (("mean_bps", answer.mean_bps), ("stdev_bps", answer.stdev_bps)):
        try:
            numbers = np.asarray(said, dtype=np.float64)
        except (TypeError, ValueError):
            return f"not numbers: {name}"
        if numbers.shape != wanted:
            return f"wrong shape: {name} is {numbers.shape}, want {wanted}"
        unfit = asked & ~np.isfinite(numbers)
        if unfit.any():
            row = int(np.argmax(unfit))
            return f"not finite: {name} of {market.instruments[row]} is {float(numbers[row])}"
        if name == "stdev_bps" and (asked & (numbers < 0.0)).any():
            return f"negative: {name} of {market.instruments[int(np.argmax(asked & (numbers < 0.0)))]}"
    return ""
