"""What the bounds say of a change, the sizing says when asked: over many accounts, markets and limits, near every edge."""

import math

import numpy as np
import pytest

from core.sizing import TO_BUY, TO_SELL, Caps, Limit, Rows, change_of, priced, risen_above, size_rows, worth_of
from core.sizing_bounds import ALLOWED, REFUSED, UNSURE, enough, room_of, surely, too_little

CASES = 6_000
_change = getattr(change_of, "py_func", change_of)  # only kernels may call it compiled


def drawn(rng: np.random.Generator) -> tuple[Rows, Caps]:
    """Two instruments, of which the second is kept: a market, an account and limits, by chance."""

    def either(*values: float) -> float:
        return float(rng.choice(values))

    def spread(low: float, high: float) -> float:
        return float(10.0 ** rng.uniform(low, high))

    mid, rate = spread(-5, 5), either(1.0, 1.0, 1.0 / 1_390.0)
    tick = mid * either(spread(-7, -2), spread(-2, 0.3))
    lot = either(spread(-6, 0), spread(0, 2.5))
    step = lot / (mid * rate)
    notional = either(0.0, 5.0, spread(0, 3)) / rate
    equity = spread(1.5, 6)
    held = np.floor(either(0.0, 0.0, rng.uniform(0.0, 0.4), spread(-6, -1)) * equity / lot)
    caps = Caps(
        equity=equity,
        invest=either(0.3, 0.6, 1.0),
        min_order=either(0.0, 50.0, spread(0, 3)),
        max_order=either(0.1, 0.02, 1.0),
        max_position=either(0.15, 0.02, 1.0),
        max_gross=either(0.6, 0.2, 1.0),
        band=either(0.0, 0.01, 0.001),
        collar=either(0.0, 0.003, 0.05, 0.2),
        max_orders=either(20.0, 20.0, 1.0, 0.0),
        max_order_usdt=either(math.inf, 5_000.0, spread(0, 4)),
    )
    other = either(0.0, rng.uniform(0.0, 0.5)) * equity
    ints, pair = {"purse": [0, 0], "coin": [0, 1]}, (step * 1_000.0, step * 1_000.0)
    rows = Rows(
        target=np.array([either(0.0, 0.5, 1.0, rng.uniform(0.0, 1.0)), math.nan]),
        held=np.array([held * step + (rng.uniform(0.0, step) if held else 0.0), other / rate]),
        sellable=np.array([held, math.floor(other / rate)]),
        mid=np.array([mid if rng.random() < 0.97 else math.nan, 1.0]),
        price=np.array([mid, 1.0 if rng.random() < 0.97 else math.nan]),
        rate=np.array([rate, rate]),
        step=np.array([step, 1.0]),
        tick=np.array([tick, 0.001]),
        min_qty=np.array([either(0.0, step, spread(0, 3) / (mid * rate)), 1.0]),
        max_qty=np.array([either(*pair, spread(1, 7) / (mid * rate)) + 1e9 * step * (rng.random() < 0.8), 1e12]),
        min_notional=np.array([notional, 5.0]),
        fee=np.array([either(0.0, 0.001), 0.001]),
        cash=np.array([either(1.0, rng.uniform(0.0, 1.0), spread(-4, 0)) * equity / rate] * 2),
        most=np.array([either(1.0, 0.1), 1.0]),
        ceiling=np.array([either(math.inf, math.inf, rng.uniform(0.0, 0.4)), math.inf]),
        buy_block=np.array([rng.random() < 0.03, 0]) * int(Limit.COOLDOWN),
        sell_block=np.array([rng.random() < 0.03, 0]) * int(Limit.NOT_TRADING),
        ceiling_limit=np.array([int(Limit.POSITION_VOLATILITY), 0]),
        **{name: np.array(value, dtype=np.int64) for name, value in ints.items()},
    )
    return rows, caps


def edges(rows: Rows, caps: Caps) -> tuple[float, float]:
    """(too little, enough) of the first row, USDT."""
    of = (float(column[0]) for column in (rows.mid, rows.rate, rows.step, rows.tick, rows.min_qty, rows.max_qty))
    notional = float(rows.min_notional[0])
    return too_little(notional, float(rows.rate[0]), caps), enough(*of, notional, caps)


def said(rows: Rows, caps: Caps) -> tuple[int, int]:
    """(what the bounds say of the first row, what is wanted), put to them as the agent's mask does."""
    mid, rate, target, held = (float(column[0]) for column in (rows.mid, rows.rate, rows.target, rows.held))
    worth = worth_of(held, float(rows.price[0]), rate)
    other = worth_of(float(rows.held[1]), float(rows.price[1]), float(rows.rate[1]))
    if risen_above(other, float(rows.most[1]), caps.equity, caps) > 0.0:
        return UNSURE, 0  # what is kept is trimmed
    gross = worth + other
    room, little, much = 0.0, 0.0, math.inf
    if priced(1.0, mid, rate):
        if not rows.buy_block[0]:
            most, ceiling, cash, fee = (float(c[0]) for c in (rows.most, rows.ceiling, rows.cash, rows.fee))
            room = room_of(caps, most, ceiling, worth, gross, cash, rate, fee)
        if not rows.sell_block[0]:
            little, much = edges(rows, caps)
    known = priced(target, mid, rate)
    asked, wanted = _change(target, held, worth, float(rows.most[0]), known, True, caps)
    return surely(asked, wanted, target, room, little, much), wanted


def answer(rows: Rows, caps: Caps) -> int:
    sized = size_rows(rows, caps)
    return REFUSED if sized.lots[0] == 0.0 and sized.limit[0] > Limit.PASSED else ALLOWED


def put_at(rows: Rows, caps: Caps, amount: float, where: int) -> tuple[Rows, Caps]:
    """The same where what is wanted, or what one of the limits leaves to buy, is ``amount`` USDT."""
    rate, equity = float(rows.rate[0]), caps.equity
    worth = worth_of(float(rows.held[0]), float(rows.price[0]), rate)
    gross = worth + worth_of(float(rows.held[1]), float(rows.price[1]), float(rows.rate[1]))
    sign = -1.0 if where == 0 else 1.0
    if where <= 1:
        target = (worth + sign * amount) / (caps.invest * equity)
        return rows._replace(target=np.array([min(max(target, 1e-12), 1.0), math.nan])), caps
    if where == 2:
        return rows._replace(cash=np.full(2, amount * (1.0 + float(rows.fee[0])) / rate)), caps
    if where == 3:
        return rows._replace(ceiling=np.array([(worth + amount) / equity, math.inf])), caps
    changed = {
        4: {"max_order_usdt": amount},
        5: {"max_position": (worth + amount) / equity},
        6: {"max_gross": (gross + amount) / equity},
        7: {"invest": min((gross + amount) / equity, 1.0)},
    }
    return rows, caps._replace(**changed[where])


@pytest.mark.parametrize("seed", range(4))
def test_what_the_bounds_say_the_sizing_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    seen = dict.fromkeys([(a, w) for a in (REFUSED, UNSURE, ALLOWED) for w in (TO_BUY, TO_SELL)], 0)
    close = {REFUSED: 0, ALLOWED: 0}
    for case in range(CASES):
        rows, caps = drawn(rng)
        if case % 2:
            little, much = edges(rows, caps)
            near = [1.0, 1.0 + 1e-15, 1.0 - 1e-15, 1.0 + 1e-12, 1.0 - 1e-12, 1.0 + 1e-6, 1.0 - 1e-3]
            least = max(little, float(rows.min_qty[0] * rows.mid[0] * rows.rate[0]))
            at = [little, least, little * 2.0, least + rng.uniform(0.0, 3.0) * float(rows.step[0] * rows.mid[0]), much]
            amount = float(rng.choice(at) * rng.choice(near))
            rows, caps = put_at(rows, caps, amount if math.isfinite(amount) else little, int(rng.integers(0, 8)))
        found, wanted = said(rows, caps)
        if wanted in (TO_BUY, TO_SELL):
            seen[found, wanted] += 1
        if found == UNSURE:
            continue
        assert found == answer(rows, caps), (case, rows, caps)
        if case % 2:
            close[found] += 1
    # Each of the answers was held against the sizing often, but for a sale that is surely refused: bounds never say that.
    assert min(seen[REFUSED, TO_BUY], seen[ALLOWED, TO_BUY], seen[ALLOWED, TO_SELL]) > CASES / 50
    assert seen[REFUSED, TO_SELL] == 0
    assert min(close.values()) > CASES / 50


def test_of_a_usual_account_little_is_left_open() -> None:
    rng = np.random.default_rng(3)
    found = []
    for _ in range(2_000):
        rows, caps = drawn(rng)
        caps = caps._replace(equity=100_000.0, min_order=50.0, band=0.01, max_orders=20.0, max_order_usdt=5_000.0)
        mid = float(rows.mid[0])
        usual = {
            "tick": mid * 1e-4,
            "step": 0.01 / mid,
            "min_qty": 0.01 / mid,
            "max_qty": 1e9 / mid,
            "min_notional": 5.0,
        }
        rows = rows._replace(
            rate=np.ones(2),
            held=rows.held * [1.0, 0.0],
            **{name: np.array([value, 1.0]) for name, value in usual.items()},
        )
        rows = rows._replace(cash=np.full(2, rng.uniform(0.0, 100_000.0)), sell_block=np.zeros(2, dtype=np.int64))
        found.append(said(rows, caps)[0])
    assert np.mean(np.array(found) == UNSURE) < 0.01
