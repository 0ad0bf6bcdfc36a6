"""What the other instruments say: the market they make together, the one that leads, and how far one follows.

The *market's* return of a minute is the plain mean of the 1-minute log returns of all instruments that traded a bar in
it and whose bar before is known; 0 when there are none. It depends on which instruments the bot watches: train on the
list you trade. The *leader* is the first instrument of that list (Bitcoin, by custom); a return of its that is not
known counts as 0, and ``leader_known`` says so. With one instrument alone the market is itself: beta and correlation
are 1, residuals 0, and ``peers`` is 0.
"""

import math

from core.indicators.series import (
    BREADTH,
    FLAT_RETURN,
    LATE,
    LATE_60,
    LEADER,
    LEADER_5,
    LEADER_REAL,
    LOG,
    MARKET,
    MARKET_60,
    MARKET_240,
    PEERS,
    REAL,
    RET,
    SPREAD,
    TEMP,
    difference,
    is_known,
)
from core.indicators.spec import FeatureSpec
from core.indicators.windows import window_comoment, window_sum
from core.lean import lean
from core.messages import CLOSE, BoolArray, FloatArray

BREADTH_MINUTES = 15
SHARED = 7
"""Rows that are equal for all instruments: MARKET, LEADER, LEADER_5, LEADER_REAL, SPREAD, BREADTH, PEERS."""

SPECS: tuple[FeatureSpec, ...] = (
    FeatureSpec("market_ret_15", "log return", 16, "the market's return over 15 min", "own"),
    FeatureSpec("market_ret_60", "log return", 61, "the market's return over 60 min", "own"),
    FeatureSpec(
        "beta_240",
        "1",
        241,
        "slope of own 1-minute returns on the market's; 1 flat",
        "market model, Sharpe 1963",
        "BETA(240) of series with these returns",
    ),
    FeatureSpec(
        "corr_60",
        "-1..1",
        61,
        "correlation of own 1-minute returns with the market's; 0 flat",
        "Pearson",
        "CORREL(60) of both returns",
    ),
    FeatureSpec(
        "residual_15",
        "log return",
        241,
        "own return over 15 min less beta_240 times the market's",
        "market model, Sharpe 1963",
    ),
    FeatureSpec(
        "residual_60",
        "log return",
        241,
        "own return over 60 min less beta_240 times the market's",
        "market model, Sharpe 1963",
    ),
    FeatureSpec(
        "dispersion_15",
        "log return per sqrt(minute)",
        16,
        "root mean square, over 15 min, of the instruments' deviations from the market's return",
        "cross-sectional volatility",
    ),
    FeatureSpec("breadth_15", "-1..1", 16, "(instruments risen - fallen over 15 min) / known", "advance-decline"),
    FeatureSpec("leader_ret_1", "log return", 2, "the leader's return of this minute", "own"),
    FeatureSpec("leader_ret_5", "log return", 6, "the leader's return over 5 min", "own"),
    FeatureSpec(
        "leader_gap_5", "log return", 6, "the leader's return over 5 min less own: how far it went ahead", "own"
    ),
    FeatureSpec(
        "lead_corr_60",
        "-1..1",
        62,
        "correlation of own 1-minute returns with the leader's of one minute before; 0 flat (the leader's own: with itself)",
        "lead-lag, Lo & MacKinlay 1990",
        "CORREL(60) of returns and the leader's, one minute late",
    ),
    FeatureSpec("leader_known", "0 or 1", 1, "mask: the leader traded a bar this minute", "mask"),
    FeatureSpec(
        "peers", "0..1", 1, "mask: share of the other instruments that traded a bar this minute; 0 when alone", "mask"
    ),
)
(
    MARKET_RET_15,
    MARKET_RET_60,
    BETA,
    CORR,
    RESIDUAL_15,
    RESIDUAL_60,
    DISPERSION,
    BROAD,
    LEADER_RET,
    LEADER_RET_5,
    LEADER_GAP,
    LEAD_CORR,
    LEADER_KNOWN,
    OTHERS,
) = range(14)


@lean
def read_closes(bars: FloatArray, start: int, logs: FloatArray) -> None:
    """(S, n) log closes from index ``start`` on; NaN where the bar is not known."""
    for s in range(logs.shape[0]):
        for t in range(logs.shape[1]):
            logs[s, t] = math.log(bars[s, start + t, CLOSE]) if is_known(bars, s, start + t) else math.nan


@lean
def read_market(logs: FloatArray, filler: BoolArray, start: int, room: FloatArray, shared: FloatArray) -> None:
    """Fill the (SHARED, n) rows, in the (2, n) ``room``, from the log closes (S, n) of all instruments, of which ``start`` is the first minute."""
    rows, n = logs.shape
    count, known = room[0], room[1]
    for t in range(n):
        count[t] = known[t] = 0.0
        for k in range(SHARED):
            shared[k, t] = 0.0
    market, leader, leader_5, leader_real = shared[0], shared[1], shared[2], shared[3]
    spread, breadth, peers = shared[4], shared[5], shared[6]
    for s in range(rows):
        for t in range(n):
            if not math.isnan(logs[s, t]) and not filler[s, start + t]:
                peers[t] += 1.0  # the instrument itself is taken out where it is written
                if s == 0:
                    leader_real[t] = 1.0
        for t in range(1, n):
            change = logs[s, t] - logs[s, t - 1]
            if not math.isnan(change) and not filler[s, start + t]:
                market[t] += change
                count[t] += 1.0
        for t in range(BREADTH_MINUTES, n):
            change = logs[s, t] - logs[s, t - BREADTH_MINUTES]
            if not math.isnan(change):
                known[t] += 1.0
                breadth[t] += 1.0 if change > 0.0 else -1.0 if change < 0.0 else 0.0
    for t in range(n):
        market[t] = market[t] / count[t] if count[t] > 0.0 else 0.0
        breadth[t] = breadth[t] / known[t] if known[t] > 0.0 else 0.0
    for s in range(rows):
        for t in range(1, n):
            change = logs[s, t] - logs[s, t - 1]
            if not math.isnan(change) and not filler[s, start + t]:
                spread[t] += (change - market[t]) * (change - market[t])
    for t in range(n):
        spread[t] = spread[t] / count[t] if count[t] > 0.0 else 0.0
    for t in range(1, n):
        change = logs[0, t] - logs[0, t - 1]
        leader[t] = 0.0 if math.isnan(change) else change
    for t in range(5, n):
        change = logs[0, t] - logs[0, t - 5]
        leader_5[t] = 0.0 if math.isnan(change) else change


def write_shared(w: FloatArray, base: int) -> None:
    """Fill what is equal for all instruments: of SPECS, from row ``base`` on, and the moments that each is held against."""
    window_sum(w, MARKET, 15, base + MARKET_RET_15)
    window_sum(w, MARKET, 60, base + MARKET_RET_60)
    window_sum(w, SPREAD, 15, base + DISPERSION)
    _plain(w, base)
    window_comoment(w, MARKET, MARKET, 240, MARKET_240)
    window_comoment(w, MARKET, MARKET, 60, MARKET_60)
    window_comoment(w, LATE, LATE, 60, LATE_60)


def write(w: FloatArray, base: int, rows: int) -> None:
    """Fill the other rows of SPECS, for one of ``rows`` instruments."""
    difference(w, LOG, 5, base + LEADER_GAP)
    difference(w, LOG, 15, base + RESIDUAL_15)
    difference(w, LOG, 60, base + RESIDUAL_60)
    _own(w, base, rows)
    window_comoment(w, RET, MARKET, 240, TEMP + 1)
    _market_model(w, base)
    window_comoment(w, RET, RET, 60, TEMP + 1)
    window_comoment(w, RET, MARKET, 60, TEMP + 2)
    _correlation(w, TEMP + 1, TEMP + 2, MARKET_60, base + CORR)
    window_comoment(w, RET, LATE, 60, TEMP + 2)
    _correlation(w, TEMP + 1, TEMP + 2, LATE_60, base + LEAD_CORR)


@lean
def _plain(w: FloatArray, base: int) -> None:
    """What is taken over as it is, and the leader's return of one minute before."""
    n = w.shape[1]
    broad, one, five, known = w[base + BROAD], w[base + LEADER_RET], w[base + LEADER_RET_5], w[base + LEADER_KNOWN]
    dispersion, late = w[base + DISPERSION], w[LATE]
    leader, leader_5, breadth, leader_real = w[LEADER], w[LEADER_5], w[BREADTH], w[LEADER_REAL]
    before = 0.0
    for t in range(n):
        broad[t] = breadth[t]
        one[t] = leader[t]
        five[t] = leader_5[t]
        known[t] = leader_real[t]
        dispersion[t] = math.sqrt(dispersion[t] / 15.0)
        late[t] = before
        before = leader[t]


@lean
def _own(w: FloatArray, base: int, rows: int) -> None:
    """How far the leader went ahead, and how many of the others traded."""
    gap, others, leader_5, peers, real = w[base + LEADER_GAP], w[base + OTHERS], w[LEADER_5], w[PEERS], w[REAL]
    for t in range(w.shape[1]):
        gap[t] = leader_5[t] - gap[t]
        others[t] = (peers[t] - real[t]) / (rows - 1.0) if rows > 1 else 0.0


@lean
def _market_model(w: FloatArray, base: int) -> None:
    """Slope on the market from the co-moment in TEMP + 1 and the market's own, and what it does not explain."""
    n = w.shape[1]
    both, alone, beta, short, long = (
        w[TEMP + 1],
        w[MARKET_240],
        w[base + BETA],
        w[base + RESIDUAL_15],
        w[base + RESIDUAL_60],
    )
    market_15, market_60 = w[base + MARKET_RET_15], w[base + MARKET_RET_60]
    for t in range(n):
        beta[t] = both[t] / alone[t] if alone[t] > 240.0 * FLAT_RETURN * FLAT_RETURN else 1.0
        short[t] = short[t] - beta[t] * market_15[t]
        long[t] = long[t] - beta[t] * market_60[t]


@lean
def _correlation(w: FloatArray, own: int, both: int, other: int, to: int) -> None:
    """Correlation from three rows of co-moments of 60 returns; 0 where one of the two does not move."""
    n = w.shape[1]
    least = 60.0 * FLAT_RETURN * FLAT_RETURN
    x, xy, y, out = w[own], w[both], w[other], w[to]
    for t in range(n):
        out[t] = xy[t] / math.sqrt(x[t] * y[t]) if x[t] > least and y[t] > least else 0.0
