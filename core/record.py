"""What is kept of one minute: the record of what was seen, thought and done, and the hash of what was seen."""

import hashlib
from collections.abc import Iterable
from decimal import Decimal

import numpy as np

from core.currency import REPORTING_CURRENCY
from core.errors import Defect
from core.messages import (
    Detected,
    Intents,
    Market,
    MemberVote,
    MinuteRecord,
    MinuteTick,
    Reports,
    Verdicts,
    Votes,
)


def make_record(
    tick: MinuteTick,
    market: Market,
    events: Detected,
    votes: Votes,
    intents: Intents,
    verdicts: Verdicts,
    reports: Reports,
) -> MinuteRecord:
    """Join one minute's messages. Raises Defect when they are not all of ``tick.minute``."""
    steps = (
        ("cache", market),
        ("detector", events),
        ("models", votes),
        ("selector", intents),
        ("risk", verdicts),
        ("executor", reports),
    )
    for name, message in steps:
        if message.minute != tick.minute:
            raise Defect(f"minute {tick.minute} was given the {name}'s message of minute {message.minute}")
    return MinuteRecord(
        minute=tick.minute,
        trace=tick.trace,
        status="done",
        input_hash=input_hash(market),
        instruments=market.instruments,
        equity=float(market.equity),
        close=_floats(market.close),
        position=_floats(market.position),
        fresh=tuple(bool(f) for f in market.fresh),
        regime=events.regime.value,
        events=events.events,
        votes=_member_votes(votes, intents),
        weights_version=intents.weights_version,
        edge_bps=_floats(intents.edge_bps),
        target=_floats(intents.target),
        state=verdicts.state.value,
        state_reason=verdicts.state_reason,
        approved=verdicts.approved,
        refused=verdicts.refused,
        coins=verdicts.coins,
        orders=reports.orders,
        fills=reports.fills,
        exits=reports.exits,
        dust=reports.dust,
        rates=tuple(rate for rate in market.rates if rate.currency != REPORTING_CURRENCY),
        premium_bps=() if market.premium_bps is None else _floats(market.premium_bps),
        difference="" if market.account.reconciled else market.account.difference or "could not be compared",
        settings=verdicts.settings,
        models=votes.steps,
        timings=tuple((name, float(message.took_ms)) for name, message in steps),
    )


def closing_record(minute: int, reports: Reports) -> MinuteRecord:
    """What happened to our orders after the last decision of a run; ``minute`` is the one after it. Decides nothing."""
    return MinuteRecord(
        minute=minute,
        trace=reports.trace,
        status="closed",
        reason="end of the run: orders and fills after its last decision",
        orders=reports.orders,
        fills=reports.fills,
        exits=reports.exits,
        dust=reports.dust,
    )


def missed_record(tick: MinuteTick, reason: str) -> MinuteRecord:
    """The record of a minute that decided nothing, and why."""
    return MinuteRecord(minute=tick.minute, trace=tick.trace, status="missed", reason=reason)


def input_hash(market: Market) -> str:
    """SHA-256 (hex) of everything a decision may depend on: the arrays, the account's balances, the minute.

    Left out, as they are the same market told by another way: trace, durations, when the account was read, empty
    balances, and how a Decimal is written (1.0 or 1.00).
    """
    digest = hashlib.sha256()
    digest.update(repr((market.minute, market.now_ms, [str(i) for i in market.instruments])).encode())
    for name in ("bars", "filler", "features", "bid", "ask", "fresh", "cash", "position", "quote_rate"):
        array = np.asarray(getattr(market, name))
        digest.update(f"{name}{array.shape}".encode())
        digest.update(_canonical(array))
    if market.premium_bps is not None:
        digest.update(b"premium_bps" + _canonical(market.premium_bps))
    if market.shown is not None:
        digest.update(b"shown" + _canonical(market.shown))
    digest.update(_canonical(np.array([market.equity])))
    held = sorted(
        (b.venue, b.asset, _plain(b.free), _plain(b.locked)) for b in market.account.balances if b.free or b.locked
    )
    mood = market.sentiment
    digest.update(
        repr((held, market.account.reconciled, (mood.value, mood.knowable_ms) if mood is not None else None)).encode()
    )
    return digest.hexdigest()


def _canonical(array: np.ndarray) -> bytes:
    """The same bytes for the same numbers: little-endian, row-major, one NaN, one zero."""
    if array.dtype == np.bool_:
        return np.packbits(array).tobytes()
    numbers = np.array(array, dtype="<f8", order="C") + 0.0
    numbers[np.isnan(numbers)] = np.nan
    return numbers.tobytes()


def _plain(amount: Decimal) -> str:
    return f"{amount.normalize():f}"


def _floats(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(float(v) for v in values)


def _member_votes(votes: Votes, intents: Intents) -> tuple[MemberVote, ...]:
    return tuple(
        MemberVote(
            member=member,
            version=votes.versions[m],
            spoke=bool(votes.spoke[m]),
            silence=votes.silence[m],
            weight=intents.weights[m],
            mean_bps=_floats(votes.mean_bps[m]),
            stdev_bps=_floats(votes.stdev_bps[m]),
            trust=_trust(votes, m),
        )
        for m, member in enumerate(votes.members)
    )


def _trust(votes: Votes, m: int) -> tuple[float, ...]:
    if votes.trust is None or not (votes.trust[m] < 1.0).any():
        return ()
    return _floats(votes.trust[m])
