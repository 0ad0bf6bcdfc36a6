"""The compiled engine over the minutes and votes of a replay, and where the two part."""

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from core.messages import MinuteRecord
from core.protection import is_exit
from core.units import MINUTE_MS
from data.artifacts import ArtifactStore
from data.impact_law import read_law
from data.weights import read_weights
from tune.parity import Difference, Replayed, exact
from tune.result import REGIMES, STATES, Result
from tune.simulate import Forecasts, simulate

FEE_TOLERANCE = 1e-9
"""USDT: a record keeps a fee in its own asset, a result its worth, which is rounded once more."""


def recorded_forecasts(replayed: Replayed) -> Forecasts:
    """The votes of the records as the engine takes forecasts; NaN where a member was silent."""
    votes = {record.minute: record.votes for record in replayed.records if record.votes}
    members = tuple(vote.member for vote in next(iter(votes.values()), ()))
    rows, minutes = replayed.market.bars.shape[:2]
    mean = np.full((len(members), rows, minutes), np.nan)
    stdev = np.full_like(mean, np.nan)
    for minute, said in votes.items():
        at = (minute - replayed.market.start_minute) // MINUTE_MS
        for m, vote in enumerate(said):
            if vote.spoke:
                mean[m, :, at], stdev[m, :, at] = vote.mean_bps, vote.stdev_bps
    return Forecasts(members=members, versions=("",) * len(members), mean_bps=mean, stdev_bps=stdev)


def engine_of(replayed: Replayed) -> Result:
    """What the compiled engine makes of the replay's minutes and votes."""
    weights, store = None, ArtifactStore(replayed.artifacts)
    if replayed.weights_version is not None:
        weights = read_weights(store, replayed.weights_version)
    return simulate(
        replayed.settings,
        replayed.market,
        recorded_forecasts(replayed),
        cash=replayed.cash,
        weights=weights,
        law=read_law(store, replayed.impact_version),
    )


def engine_difference(replayed: Replayed, result: Result) -> Difference | None:
    """The first minute, and of it the first stage, in which the engine and the replay part."""
    ours = _by_minute(replayed.records)
    theirs = _fills_of(result)
    orders = defaultdict(list)
    exits = defaultdict(list)
    for row in result.orders.iter_rows(named=True):
        told = (row["symbol"], row["side"], row["quantity"], row["limit_price"])
        (exits if is_exit(row["why"]) else orders)[row["minute"]].append(told)
    sold = defaultdict(list)
    for one in (one for record in replayed.records for one in record.exits):
        sold[one.minute].append((one.instrument.symbol, "sell", float(one.quantity), float(one.limit_price)))
    whole = replayed.market.minutes == replayed.planned
    place = {int(t): k for k, t in enumerate(result.grid)}
    for t, minute in enumerate(map(int, result.minute)):
        record, fills = ours.get(minute, (None, []))
        if record is None or record.status == "missed":
            why = "has no record" if record is None else f"is missed ({record.reason})"
            return Difference(minute=minute, stage="minute", field="status", left=why, right="decided")
        engine = {
            "equity": float(result.equity[t]),
            "regime": REGIMES[result.regime[t]].value,
            "edge_bps": tuple(map(float, result.edge_bps[place[t]])) if t in place else record.edge_bps,
            "state": STATES[result.state[t]].value,
            "approved": sorted(orders[minute]),
        }
        for stage, name, left in _stages(record):
            mine, other = exact(left), exact(tuple(engine[name]) if name == "approved" else engine[name])
            if mine != other:
                return Difference(minute=minute, stage=stage, field=name, left=mine, right=other)
        last = t == len(result.minute) - 1 and not whole
        mine, other = (exact(tuple(sorted(some[minute]))) for some in (sold, exits))
        if mine != other and not last:
            return Difference(minute=minute, stage="exits", field="exits", left=mine, right=other)
        if not last and not _alike(fills, theirs[minute]):
            return Difference(
                minute=minute,
                stage="fills",
                field="fills",
                left=exact(tuple(fills)),
                right=exact(tuple(theirs[minute])),
            )
    return None


def _stages(record: MinuteRecord) -> Iterator[tuple[str, str, object]]:
    yield "account", "equity", record.equity
    yield "events", "regime", record.regime
    yield "intents", "edge_bps", record.edge_bps
    yield "verdicts", "state", record.state
    yield (
        "verdicts",
        "approved",
        tuple(
            sorted(
                (a.instrument.symbol, a.side.value, float(a.quantity), float(a.limit_price)) for a in record.approved
            )
        ),
    )


Filled = tuple[int, str, str, float, float, float]
"""(ms, symbol, side, quantity, price, fee in USDT)."""


def _by_minute(records: list[MinuteRecord]) -> dict[int, tuple[MinuteRecord, list[Filled]]]:
    """Each record with the fills from its decision to the next one, whichever record told of them."""
    fills: dict[int, list[Filled]] = defaultdict(list)
    for fill in (fill for record in records for fill in record.fills):
        price, fee = float(fill.price), float(fill.fee)
        worth = fee * price if fill.fee_asset == fill.instrument.base else fee
        told = (fill.at_ms, fill.instrument.symbol, fill.side.value, float(fill.quantity), price, worth)
        fills[_decided(fill.at_ms)].append(told)
    return {r.minute: (r, sorted(fills[r.minute])) for r in records if r.status != "closed"}


def _fills_of(result: Result) -> dict[int, list[Filled]]:
    fills: dict[int, list[Filled]] = defaultdict(list)
    for row in result.fills.iter_rows(named=True):
        told = tuple(row[name] for name in ("at_ms", "symbol", "side", "quantity", "price", "fee_usdt"))
        fills[_decided(row["at_ms"])].append(told)
    return defaultdict(list, {minute: sorted(some) for minute, some in fills.items()})


def _decided(ms: int) -> int:
    """The minute whose decision was the last before ``ms``."""
    return ms // MINUTE_MS * MINUTE_MS - MINUTE_MS


def _alike(left: list[Filled], right: list[Filled]) -> bool:
    return len(left) == len(right) and all(
        a[:5] == b[:5] and abs(a[5] - b[5]) <= FEE_TOLERANCE for a, b in zip(left, right, strict=True)
    )
