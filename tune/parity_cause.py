"""Why two runs of the same minutes part: from the first stage that differs to its likely reason, in words."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from core.messages import Fill, MemberVote, MinuteRecord, OrderReport
from core.units import MINUTE_MS
from tune.parity import Difference, exact

FORECAST_TOLERANCE_BPS = 1e-6
"""Forecasts computed afresh on the machine that computed them before agree within this, whatever is asked at once."""
ROUNDING_BPS = 1e-2
"""A larger difference of forecasts is no matter of rounding."""


AT_SPEED = "the replay ran at a speed, not in --lockstep: it decided some market time after the close, at the book of that instant"


def cause_of(
    found: Difference, features_agree: bool | None = None, clock: str = "", settings: Sequence[str] = ()
) -> str:
    """The likely reason of a difference between a replay (left) and its backtest (right).

    ``features_agree``: whether the members, asked again about this minute, say what they said; None when not known.
    ``clock``: of the replay, ``lockstep`` or ``speed``; empty when not known. ``settings``: what was changed in them
    before this minute.
    """
    left, right = found.records
    if left is None or right is None:
        there, gone = ("backtest", "replay") if left is None else ("replay", "backtest")
        return (
            f"the {gone} has no record of this minute and the {there} has: one of them began or ended at another time"
        )
    if found.stage == "features" and features_agree:
        if clock == "speed":
            return AT_SPEED
        perhaps = "" if clock else f"; or {AT_SPEED}"
        return (
            "the same closes, holdings and forecasts, so the same bars and features; what is left is the book (the exchange "
            f"was set to other costs: half spread), free cash, or the mood reading{perhaps}"
        )
    if found.stage == "verdicts" and settings:
        return f"settings were changed in mid-run ({'; '.join(settings)}); the backtest keeps those the run began with"
    return _CAUSES[found.stage](left, right)


def forecast_difference(replay: Sequence[MinuteRecord], again: Sequence[MinuteRecord]) -> tuple[Difference, str] | None:
    """The first vote that, computed afresh, is another one (beyond the tolerance), and its likely reason."""
    later = {record.minute: record for record in again}
    for record in replay:
        other = later.get(record.minute)
        if other is None or "missed" in (record.status, other.status):
            continue
        for mine, its in zip(record.votes, other.votes, strict=False):
            why = _vote_cause(record, mine, its, FORECAST_TOLERANCE_BPS)
            if why:
                found = Difference(
                    minute=record.minute,
                    stage="votes",
                    field=f"the vote of {mine.member}",
                    left=exact(mine),
                    right=exact(its),
                    records=(record, other),
                )
                return found, why
    return None


def _minute(left: MinuteRecord, right: MinuteRecord) -> str:
    for record, which in ((left, "replay"), (right, "backtest")):
        if record.status == "missed":
            return f"a missed minute: in the {which} nothing was decided ({record.reason})"
    return f"in the replay the minute is {left.status!r}, in the backtest {right.status!r}: they end at other times"


def _bars(left: MinuteRecord, right: MinuteRecord) -> str:
    for row, instrument in enumerate(left.instruments):
        if row < len(right.close) and not _same(left.close[row], right.close[row]):
            return (
                f"bar differs: {instrument} closed at {left.close[row]!r} when it was replayed and at "
                f"{right.close[row]!r} on the tape: revised since, or another tape"
            )
    rows = [k for k, (a, b) in enumerate(zip(left.fresh, right.fresh, strict=False)) if a != b]
    if rows:
        late = "replay" if not left.fresh[rows[0]] else "backtest"
        return f"{left.instruments[rows[0]]} was not fresh in the {late}: its final bar or its book came late or not at all"
    return "other instruments"


def _account(left: MinuteRecord, right: MinuteRecord) -> str:
    for row, instrument in enumerate(left.instruments):
        if row < len(right.position) and not _same(left.position[row], right.position[row]):
            return (
                f"{instrument.base} held is {left.position[row]!r} and {right.position[row]!r} although every fill before "
                "is equal: the account began or was changed otherwise (a deposit, other cash, a fee in another asset)"
            )
    return (
        "the same holdings are worth another sum: other cash at the start, or the exchange quoted another book "
        "(it was set to other costs)"
    )


def _features(left: MinuteRecord, right: MinuteRecord) -> str:
    return (
        "what was decided upon differs although closes, holdings and equity agree: features by other code, the volumes "
        "or the highs and lows of a bar (revised), the book (the exchange was set to other costs), or the mood reading"
    )


def _votes(left: MinuteRecord, right: MinuteRecord) -> str:
    if len(left.votes) != len(right.votes):
        return f"{len(left.votes)} members voted in the replay and {len(right.votes)} in the backtest: other settings"
    for mine, its in zip(left.votes, right.votes, strict=True):
        why = _vote_cause(left, mine, its, 0.0)
        if why:
            return why
    return "the votes say the same in other words"


def _vote_cause(record: MinuteRecord, mine: MemberVote, its: MemberVote, tolerance: float) -> str:
    """Why two votes of a member differ; empty when they agree within the tolerance."""
    if mine.member != its.member:
        return f"{mine.member} stands where {its.member} does: other members, or in another order"
    if mine.version != its.version:
        return f"{mine.member} was version {mine.version or 'none'} in the replay and is {its.version or 'none'}: another model"
    if mine.spoke != its.spoke:
        which, silence = ("replay", mine.silence) if not mine.spoke else ("backtest", its.silence)
        return f"{mine.member} was silent in the {which} ({silence})"
    for told, ours, theirs in (("forecast", mine.mean_bps, its.mean_bps), ("stdev", mine.stdev_bps, its.stdev_bps)):
        one, two = np.array(ours), np.array(theirs)
        if one.shape != two.shape or (np.isnan(one) != np.isnan(two)).any():
            return f"{mine.member} was asked about other instruments: features that were known in one were not in the other"
        apart = np.abs(one - two)
        gap = float(np.nanmax(apart, initial=0.0))
        if gap > tolerance:
            where = record.instruments[int(np.nanargmax(apart))] if record.instruments else ""
            why = (
                "other torch or BLAS build, or another number of threads"
                if gap < ROUNDING_BPS
                else "the same version fed other features, or a changed artifact"
            )
            return f"{told} of {mine.member} for {where} differs by {gap:.1g} bps: {why}"
    return ""


def _events(left: MinuteRecord, right: MinuteRecord) -> str:
    return "the same bars were read otherwise: other thresholds of the detector (rules.events), or other code"


def _intents(left: MinuteRecord, right: MinuteRecord) -> str:
    if left.weights_version != right.weights_version:
        return f"the ensemble's weights were {left.weights_version!r} in the replay and are {right.weights_version!r}"
    return "the same votes were weighed otherwise: other weights or rules.selection, or other code"


def _verdicts(left: MinuteRecord, right: MinuteRecord) -> str:
    if (left.state, left.state_reason) != (right.state, right.state_reason):
        reason = left.state_reason or right.state_reason
        return f"trading was {left.state!r} in the replay and {right.state!r} in the backtest ({reason}): a person or a limit"
    return "the same targets were sized otherwise: other limits (rules.risk, trade), lots, ticks, fees or free cash"


def _orders(left: MinuteRecord, right: MinuteRecord) -> str:
    pair = _first_unlike(left.orders, right.orders, lambda order: order.client_id)
    mine, its = pair
    if mine is None or its is None:
        there, gone = ("backtest", "replay") if mine is None else ("replay", "backtest")
        only = mine or its
        named = only.client_id if isinstance(only, OrderReport) else "an order"
        return f"{named} was sent in the {there} and not in the {gone}: a slice came late, or another schedule (rules.execution)"
    if mine.reason != its.reason and (mine.reason or its.reason):
        return f"{mine.client_id}: the venue said {mine.reason or 'nothing'!r} in the replay and {its.reason or 'nothing'!r}"
    if mine.executed != its.executed or mine.state != its.state:
        return (
            f"{mine.client_id} filled {mine.executed} of {mine.quantity} ({mine.state}) in the replay and {its.executed} "
            f"({its.state}) in the backtest: the exchange was set to other costs (depth, participation or latency)"
        )
    return f"{mine.client_id} asked for {mine.quantity} at {mine.price} in the replay and for {its.quantity} at {its.price}"


def _fills(left: MinuteRecord, right: MinuteRecord) -> str:
    decision = left.minute + MINUTE_MS
    mine, its = _first_unlike(left.fills, right.fills, lambda fill: (fill.client_id, fill.trade_id))
    if mine is None or its is None:
        there = "backtest" if mine is None else "replay"
        only = mine or its
        of = only.client_id if isinstance(only, Fill) else "an order"
        when = "before" if isinstance(only, Fill) and only.at_ms < decision else "after"
        return (
            f"{of} was filled in the {there} only, {when} the decision of the minute: the exchange was set to other costs "
            "(depth, participation or halts), or the news of it came late"
        )
    if mine.price != its.price:
        what = "spread, impact or latency"
    elif (mine.fee, mine.fee_asset) != (its.fee, its.fee_asset) and mine.quantity == its.quantity:
        return (
            f"{mine.client_id} paid a fee of {mine.fee} {mine.fee_asset} in the replay and {its.fee} {its.fee_asset} in the "
            "backtest: the exchange was set to other costs (fee tier or fee asset)"
        )
    elif mine.quantity != its.quantity:
        what = "depth or participation"
    else:
        what = "latency"
    return (
        f"{mine.client_id} filled {mine.quantity} at {mine.price} ({mine.at_ms} ms) in the replay and {its.quantity} at "
        f"{its.price} ({its.at_ms} ms) in the backtest: the exchange was set to other costs ({what})"
    )


def _first_unlike(left: Sequence, right: Sequence, key: Callable) -> tuple:
    """The first pair of the same key that differs; None on the side that has none."""
    mine, its = {key(x): x for x in left}, {key(x): x for x in right}
    for name in dict.fromkeys([*mine, *its]):
        if mine.get(name) != its.get(name):
            return mine.get(name), its.get(name)
    return left[0], right[0]


def _same(one: float, two: float) -> bool:
    return one == two or (math.isnan(one) and math.isnan(two))


_CAUSES: dict[str, Callable[[MinuteRecord, MinuteRecord], str]] = {
    "minute": _minute,
    "bars": _bars,
    "account": _account,
    "features": _features,
    "votes": _votes,
    "events": _events,
    "intents": _intents,
    "verdicts": _verdicts,
    "orders": _orders,
    "fills": _fills,
}
