"""The engine beside the LocalDesk: the same market, rules and forecasts through both, and where they first differ."""

from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import zip_longest
from typing import Any

import numpy as np

from config.settings import Config, Settings, TradingRules
from core.impact import PRIOR, ImpactLaw
from core.messages import Detected, Intents, Market, MinuteRecord, ProtectiveExit, TradingState, Votes
from core.orders import parse_id, symbol_code
from core.protection import is_exit
from core.selection import WeightTable
from core.units import MINUTE_MS, Instrument, Side
from core.votes import Answer, assemble_votes
from data.market import MarketCut
from data.quote_worth import QuoteWorth, known_worth
from tests.support.markets import MINUTE, walk
from tune.backtest import make_backtest
from tune.result import REGIMES, STATES, Result
from tune.simulate import Forecasts, simulate, simulate_targets

HISTORY = 310
"""Minutes before the first decision: features are whole, and a spread is estimated from the third hour on."""
NAMES = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "XRP/USDT", "DOGE/USDT")
PRICES = (60_000.0, 3_000.0, 150.0, 2.0, 0.2)
WON = QuoteWorth(currency="KRW", usdt=1.0 / 1_390.0, source="as was said")


def make_settings(rows: int, **changes: Any) -> Settings:
    """Rules under which much is traded; ``section__field=value`` changes one."""
    rules: dict[str, Any] = {
        "models": {"members": [{"name": "a", "family": "rules"}, {"name": "b", "family": "rules"}]},
        "selection": {"entry_edge_bps": 5, "exit_edge_bps": 1, "full_edge_bps": 30},
        "events": {},
        "risk": {},
        "execution": {"cost_gate": "off"},
        "protection": {},
        "costs": {},
    }
    names = [f"binance:{s}" for s in NAMES[:rows]]
    config: dict[str, Any] = {"trade": {"instruments": names, "invest_pct": 60}}
    for name, value in changes.items():
        section, field = name.split("__")
        (config if section == "trade" else rules)[section][field] = value
    return Settings(config=Config(**config), rules=TradingRules(**rules))


def make_market(rows: int, minutes: int, seed: int = 1, **changes: float) -> MarketCut:
    """Random walks with volumes that let an order move the price."""
    bars = []
    for row in range(rows):
        one = walk(
            HISTORY + minutes, 10 * seed + row, price=PRICES[row], volatility=1.5e-3, gaps=changes.get("gaps", 0.0)
        )
        one[:, 4] *= changes.get("money", 20_000.0) / PRICES[row] / 5.0
        stand_still(one, changes.get("still", 0.0), seed * 100 + row)
        bars.append(one)
    return cut_of(np.stack(bars))


def stand_still(bars: np.ndarray, share: float, seed: int) -> None:
    """At a ``share`` of the minutes nothing trades for one to eight minutes: bars without volume at the last close, some
    of them missing."""
    rng = np.random.default_rng(seed)
    for start in np.flatnonzero(rng.random(len(bars)) < share):
        before = bars[:start, 3][~np.isnan(bars[:start, 3])]
        if not len(before):
            continue
        stretch = bars[start : start + int(rng.integers(1, 9))]
        stretch[:] = [*[before[-1]] * 4, 0.0]
        stretch[rng.random(len(stretch)) < 0.2] = np.nan


def cut_of(bars: np.ndarray, history: int = HISTORY) -> MarketCut:
    rows, total, _ = bars.shape
    return MarketCut(
        instruments=tuple(Instrument("binance", s) for s in NAMES[:rows]),
        start_minute=MINUTE,
        first_minute=MINUTE + history * MINUTE_MS,
        minutes=total - history,
        bars=bars,
        synthetic=True,
        sentiment=(),
    )


def in_won(market: MarketCut) -> MarketCut:
    """The same coins at Upbit, for won."""
    bars = market.bars.copy()
    bars[..., :4] /= WON.usdt
    coins = tuple(Instrument("upbit", f"{i.base}/KRW") for i in market.instruments)
    return replace(market, instruments=coins, bars=bars, worth=WON)


def make_forecasts(market: MarketCut, seed: int = 1, scale: float = 15.0, silent: float = 0.0) -> Forecasts:
    """Two members that change their minds slowly; a share of ``silent`` answers is not finite or impossible."""
    rng = np.random.default_rng(seed)
    shape = (2, len(market.instruments), market.bars.shape[1])
    drift = np.cumsum(rng.normal(size=shape), axis=2)
    mean = scale * np.sin(drift / 3.0)
    stdev = rng.uniform(5.0, 50.0, shape)
    if silent:
        mean[rng.random(shape) < silent] = np.nan
        stdev[rng.random(shape) < silent] = -1.0
        stdev[rng.random(shape) < silent] = np.inf
    asked = rng.random(shape[1:]) > 0.02
    return Forecasts(members=("a", "b"), versions=("1", "1"), mean_bps=mean, stdev_bps=stdev, asked=asked)


class Panel:
    """Plays forecasts back to a LocalDesk; what can be asked is what the forecasts say, whatever the features are."""

    def __init__(self, market: MarketCut, forecasts: Forecasts, horizon: int) -> None:
        self._market, self._forecasts, self._horizon = market, forecasts, horizon

    def forecast(self, market: Market) -> Votes:
        t = (market.minute - self._market.start_minute) // MINUTE_MS
        assert self._forecasts.asked is not None
        features = np.where(self._forecasts.asked[:, t], 0.0, np.nan)[:, None, None]
        market = replace(market, features=features)
        said = {
            name: Answer(
                mean_bps=self._forecasts.mean_bps[m, :, t],
                stdev_bps=self._forecasts.stdev_bps[m, :, t],
                version=self._forecasts.versions[m],
                minute=market.minute,
            )
            for m, name in enumerate(self._forecasts.members)
        }
        return assemble_votes(market, said, self._forecasts.members, self._horizon)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pair:
    """One run by both."""

    records: list[MinuteRecord]
    result: Result


def run_both(
    settings: Settings,
    market: MarketCut,
    forecasts: Forecasts,
    cash: str = "10000",
    weights: WeightTable | None = None,
    law: ImpactLaw = PRIOR,
) -> Pair:
    panel = Panel(market, forecasts, settings.rules.models.horizon_minutes)
    test = make_backtest(settings, market, panel, cash=Decimal(cash), weights=weights, law=law)
    records = list(test.run())
    found = simulate(settings, market, forecasts, cash=Decimal(cash), weights=weights, law=law)
    return Pair(records=records, result=found)


class Wishes:
    """A selector that wants what a table of targets says."""

    def __init__(self, market: MarketCut, target: np.ndarray) -> None:
        self._market, self._target = market, target

    def choose(self, market: Market, events: Detected, votes: Votes) -> Intents:
        t = (market.minute - self._market.start_minute) // MINUTE_MS
        unknown = np.full(len(market.instruments), np.nan)
        return Intents(
            minute=market.minute,
            trace=market.trace,
            regime=events.regime,
            weights=(0.0,) * len(votes.members),
            weights_version="",
            edge_bps=unknown,
            spread_bps=unknown,
            target=self._target[t].copy(),
        )


def run_targets(settings: Settings, market: MarketCut, target: np.ndarray, cash: str = "10000") -> Pair:
    panel = Panel(market, make_forecasts(market), settings.rules.models.horizon_minutes)
    test = make_backtest(settings, market, panel, cash=Decimal(cash), selector=Wishes(market, target))
    found = simulate_targets(settings, market, target, cash=Decimal(cash))
    return Pair(records=list(test.run()), result=found)


def difference(pair: Pair) -> str:
    """The first thing that is not equal to the last digit; empty when nothing is."""
    result, rows = pair.result, pair.result.instruments
    done = [r for r in pair.records if r.status == "done"]
    if len(done) != result.minutes:
        return f"{len(done)} minutes against {result.minutes}"
    everything, fills = result.orders.to_dicts(), result.fills.to_dicts()
    protecting = [order for order in everything if is_exit(order["why"])]
    orders = [order for order in everything if order not in protecting]
    at = 0
    for k, record in enumerate(done):
        where = f"minute {k} ({record.minute})"
        seen = (repr(record.equity), record.regime, record.state)
        mine = (repr(float(result.equity[k])), str(REGIMES[result.regime[k]].value), str(STATES[result.state[k]].value))
        if seen != mine:
            return f"{where}: desk {seen}, engine {mine}"
        if len(result.grid) == result.minutes:
            weights = tuple(v.weight for v in record.votes)[: len(result.members)]
            pairs = (
                ("weights", weights, result.weights[k]),
                ("edge", record.edge_bps, result.edge_bps[k]),
                ("close", record.close, result.close[k]),
            )
            for what, theirs, ours in pairs:
                if not np.array_equal(np.array(theirs), ours, equal_nan=True):
                    return f"{where}: {what} desk {theirs}, engine {ours.tolist()}"
        for approved in record.approved:
            if at >= len(orders):
                return f"{where}: desk approved {approved}, the engine has no more orders"
            order = orders[at]
            row = rows.index(approved.instrument)
            # While a loss limit closes what is held, the order's target is not the ensemble's any more.
            closing = record.state == TradingState.REDUCING.value
            theirs = (
                record.minute,
                approved.instrument.symbol,
                approved.side.value,
                float(approved.quantity),
                float(approved.limit_price),
                approved.reference_price,
                repr(order["target"] if closing else record.target[row]),
                list(approved.arithmetic),
            )
            names = ("minute", "symbol", "side", "quantity", "limit_price", "mid", "target", "why")
            ours = tuple(repr(order[n]) if n == "target" else order[n] for n in names)
            if theirs != ours:
                return f"{where}: order desk {theirs}, engine {ours}"
            at += 1
    if at != len(orders):
        return f"the desk approved {at} orders, the engine {len(orders)}"
    sold = [one for record in pair.records for one in record.exits]
    if (found := exit_difference(sold, protecting)) != "":
        return found
    traded = [fill for record in pair.records for fill in record.fills]
    if len(traded) != len(fills):
        return f"the desk filled {len(traded)} times, the engine {len(fills)}"
    for fill, mine in zip(traded, fills, strict=True):
        parts = parse_id(fill.client_id)
        assert parts is not None and parts.code == symbol_code(fill.instrument.symbol)
        price, usdt = float(fill.price), known_worth(WON, rows).usdt
        in_base = fill.fee_asset == fill.instrument.base
        fee = (float(fill.fee) * price if in_base else float(fill.fee)) * usdt
        theirs = (parts.minute, fill.at_ms, fill.instrument.symbol, fill.side.value, float(fill.quantity), price, fee)
        names = ("minute", "at_ms", "symbol", "side", "quantity", "price", "fee_usdt")
        if theirs != (ours := tuple(mine[n] for n in names)):
            return f"fill desk {theirs}, engine {ours}"
    return ""


def exit_difference(sold: list[ProtectiveExit], protecting: list[dict[str, Any]]) -> str:
    """The first order of an exit that is not equal; empty when all are."""
    names = ("minute", "symbol", "quantity", "limit_price", "mid", "why")
    for one, order in zip_longest(sold, protecting):
        if one is None or order is None:
            return f"exit desk {one}, engine {order}"
        amounts = (float(one.quantity), float(one.limit_price), one.reference_price)
        theirs = (one.minute, one.instrument.symbol, *amounts, list(one.arithmetic))
        ours = tuple(order[n] for n in names)
        if theirs != ours:
            return f"exit desk {theirs}, engine {ours}"
    return ""


def describe(pair: Pair) -> dict[str, Any]:
    """What a test wants to have happened."""
    refused = [r.reason.split(":")[0] for record in pair.records for r in record.refused]
    states = {record.state for record in pair.records if record.state}
    rejected = [o.reason for record in pair.records for o in record.orders if o.reason]
    return {
        "orders": pair.result.orders.height,
        "fills": pair.result.fills.height,
        "sells": pair.result.orders.filter(side=Side.SELL.value).height,
        "limits": set(refused),
        "reduced": TradingState.REDUCING.value in states,
        "rejected": rejected,
        "exits": [one for record in pair.records for one in record.exits],
        "partial": int((pair.result.orders["executed"] < pair.result.orders["quantity"]).sum()),
    }
