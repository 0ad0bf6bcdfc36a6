"""The panel: all members are asked about a minute, and what they say in time becomes its votes.

Three panels with one result: ``LocalPanel`` calls members in this process, ``ServePanel`` asks Serve's replicas at
once and each under its own deadline, ``RecordedPanel`` plays back what was said before (for parity).
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from core.features import SEQUENCE
from core.messages import FloatArray, Market, MinuteRecord, Votes
from core.reasons import Reason
from core.units import MINUTE_MS, Instrument
from core.votes import Answer, Silence, assemble_votes
from serve.doorbell import Failed, Knocker, NoDoor, Said
from serve.models.base import Member
from serve.models.guard import Trusting
from serve.shared_rows import Board, Place

log = logging.getLogger(__name__)

HISTORY_BATCH = 512
PRECOMPUTED_TOLERANCE_BPS = 1e-3
"""How far a forecast made in batches may lie from the same made alone. ``ridge`` and ``rules`` are equal to the last
bit, so are ``lightgbm`` and ``sentiment``; networks and ``rl`` (float32) differ by about 1e-5, in the order of summation."""


def forecast_history(member: Member, table: FloatArray, first: int, end: int) -> tuple[FloatArray, FloatArray]:
    """Forecasts for minute indices [first, end) of one instrument's feature table (T, F), made in batches.

    Returns mean and stdev, each (end - first,) in basis points; NaN where there are fewer than L rows, or where one
    that the member reads is not known.
    """
    mean, stdev = np.full(end - first, np.nan), np.full(end - first, np.nan)
    if len(table) < SEQUENCE:
        return mean, stdev
    windows = sliding_window_view(table, member.depth, axis=0)
    for start in range(max(first, SEQUENCE - 1), end, HISTORY_BATCH):
        stop = min(start + HISTORY_BATCH, end)
        batch = windows[start - member.depth + 1 : stop - member.depth + 1].transpose(0, 2, 1)
        mean[start - first : stop - first], stdev[start - first : stop - first] = member.forecast(
            np.ascontiguousarray(batch)
        )
    return mean, stdev


class LocalPanel:
    """Members in this process, asked one after the other (backtest, RL environment, tests)."""

    def __init__(self, members: Mapping[str, tuple[Member, str]], horizon: int, *, names: Sequence[str] = ()) -> None:
        """``members``: name → (member, version). ``names``: order of the votes and who is expected (a name without a
        member is absent); by default those of ``members``."""
        self._members = dict(members)
        self._names = tuple(names) or tuple(members)
        self._horizon = horizon
        self._known: dict[str, dict[Instrument, tuple[int, FloatArray, FloatArray]]] = {}

    def precompute(self, tables: Mapping[Instrument, tuple[int, FloatArray]]) -> None:
        """Forecast whole histories in batches: instrument → (first minute, features (T, F)).

        Later answers for those minutes agree with exact ones within ``PRECOMPUTED_TOLERANCE_BPS``; without this call
        every minute is forecast exactly as live.
        """
        for name, (member, _) in self._members.items():
            self._known[name] = {
                instrument: (first, *forecast_history(member, table, 0, len(table)))
                for instrument, (first, table) in tables.items()
            }

    def forecast(self, market: Market) -> Votes:
        began = time.perf_counter()
        answers: dict[str, Answer | Silence] = {}
        for name, (member, version) in self._members.items():
            asked = time.perf_counter()
            mean, stdev = self._looked_up(name, market) or member.forecast(market.features)
            answers[name] = Answer(
                mean_bps=mean,
                stdev_bps=stdev,
                version=version,
                minute=market.minute,
                latency_ms=(time.perf_counter() - asked) * 1e3,
                trust=member.trust(market.features) if isinstance(member, Trusting) else None,
            )
        return _stamped(assemble_votes(market, answers, self._names, self._horizon), began)

    def _looked_up(self, name: str, market: Market) -> tuple[FloatArray, FloatArray] | None:
        known = self._known.get(name)
        if known is None:
            return None
        found = []
        for instrument in market.instruments:
            first, mean, stdev = known.get(instrument, (0, (), ()))
            at = (market.minute - first) // MINUTE_MS
            if not 0 <= at < len(mean):
                return None
            found.append((mean[at], stdev[at]))
        mean, stdev = np.array(found).T
        return mean, stdev


class ReigningPanel:
    """Members in this process whose versions change over time, as they did in a run that took over new champions."""

    def __init__(self, panels: Sequence[tuple[int, LocalPanel]]) -> None:
        """(first minute, panel), ascending; the first one answers for what came before as well."""
        self._panels = tuple(panels)

    def forecast(self, market: Market) -> Votes:
        first, *later = self._panels
        return max((p for p in later if p[0] <= market.minute), key=lambda p: p[0], default=first)[1].forecast(market)


class ForecastCall(Protocol):
    def remote(self, features: FloatArray, minute: int) -> Awaitable[Said]: ...


class MemberHandle(Protocol):
    """What the panel needs of a Serve handle."""

    forecast: ForecastCall


class ServePanel:
    """Members on Serve, all asked at once. Whoever is late, gone, failing or speaks NaN is silent this minute,
    with a reason; the others are not kept waiting beyond their own deadlines."""

    def __init__(
        self,
        handles: Mapping[str, MemberHandle],
        deadlines_s: Mapping[str, float],
        horizon: int,
        *,
        doors: Mapping[str, Path] | None = None,
    ) -> None:
        """``deadlines_s``: member → seconds, in the order of the votes; a member without a handle is absent. ``doors``:
        where a replica takes calls on this machine (``serve.doorbell``). They all read one copy of the minute's features;
        who has no door here, or does not find them, is sent them through Serve. With doors the panel is of one event loop."""
        self._handles = dict(handles)
        self._deadlines = dict(deadlines_s)
        self._horizon = horizon
        self._knockers = {member: Knocker(path) for member, path in (doors or {}).items()}
        self._board = Board() if doors else None
        self._by_serve: dict[str, str] = {}

    async def forecast(self, market: Market) -> Votes:
        began = time.perf_counter()
        shared = self._board.put(market.features) if self._board is not None else market.features
        said = await asyncio.gather(*(self._ask(member, shared, market) for member in self._deadlines))
        answers = dict(zip(self._deadlines, said, strict=True))
        return _stamped(assemble_votes(market, answers, tuple(self._deadlines), self._horizon), began)

    async def _ask(self, member: str, shared: Place | FloatArray, market: Market) -> Answer | Silence:
        handle = self._handles.get(member)
        if handle is None:
            return Silence(reason=Reason("not_deployed"))
        deadline = self._deadlines[member]
        began = time.perf_counter()
        try:
            async with asyncio.timeout(deadline):
                said = await self._knocked(member, shared, market.minute)
                if said is None:
                    said = await handle.forecast.remote(market.features, market.minute)
        except TimeoutError:
            return Silence(
                reason=Reason("late", ms=f"{deadline * 1e3:.0f}"), latency_ms=(time.perf_counter() - began) * 1e3
            )
        # A replica can fail in any way its code or its process can; each of them costs one vote and nothing more.
        except Exception as error:
            text = str(error).strip().splitlines()
            kind = "" if isinstance(error, Failed) else f"{type(error).__name__}: "
            return Silence(
                reason=Reason("failed", text=f"{kind}{text[-1][:200] if text else ''}"),
                latency_ms=(time.perf_counter() - began) * 1e3,
            )
        return Answer(
            mean_bps=said.mean_bps,
            stdev_bps=said.stdev_bps,
            version=said.version,
            minute=said.minute,
            latency_ms=(time.perf_counter() - began) * 1e3,
            trust=said.trust,
        )

    async def _knocked(self, member: str, shared: Place | FloatArray, minute: int) -> Said | None:
        """What the member says at its door; None where it must be asked through Serve."""
        knocker = self._knockers.get(member)
        if knocker is None or not isinstance(shared, Place):
            return None
        try:
            said = await knocker.ask(shared, minute)
            why = "" if said is not None else "the minute's features do not lie there"
        except NoDoor as error:
            said, why = None, str(error)
        if why != self._by_serve.get(member, ""):
            log.info("%s is asked %s", member, f"through Serve: {why}" if why else "at its door")
            self._by_serve[member] = why
        return said

    def close(self) -> None:
        """Hang up, and take the shared features away. In the event loop that asked."""
        for knocker in self._knockers.values():
            knocker.close()
        if self._board is not None:
            self._board.close()


class RecordedPanel:
    """Plays back recorded votes, to the last digit; a minute without a record is silent."""

    def __init__(self, votes: Mapping[int, Mapping[str, Answer | Silence]], names: Sequence[str], horizon: int) -> None:
        self._votes = votes
        self._names = tuple(names)
        self._horizon = horizon

    @classmethod
    def from_records(cls, records: Iterable[MinuteRecord], horizon: int) -> "RecordedPanel":
        """From the records of an earlier run (missed minutes have no votes)."""
        votes: dict[int, dict[str, Answer | Silence]] = {}
        names: tuple[str, ...] = ()
        for record in records:
            if not record.votes:
                continue
            names = names or tuple(vote.member for vote in record.votes)
            votes[record.minute] = {
                vote.member: Answer(
                    mean_bps=np.array(vote.mean_bps),
                    stdev_bps=np.array(vote.stdev_bps),
                    version=vote.version,
                    minute=record.minute,
                    trust=np.array(vote.trust) if vote.trust else None,
                )
                if vote.spoke
                else Silence(reason=vote.silence, version=vote.version)
                for vote in record.votes
            }
        return cls(votes, names, horizon)

    def forecast(self, market: Market) -> Votes:
        said = self._votes.get(market.minute, {})
        return assemble_votes(market, said, self._names, self._horizon)


def _stamped(votes: Votes, began: float) -> Votes:
    return replace(votes, took_ms=(time.perf_counter() - began) * 1e3)
