"""What every key of the settings means: in words, in money, and whether a higher value allows more or less.

One table, read by ``config check`` (what a limit is worth in this account), ``config diff`` (what a change allows that
was not allowed before) and the text that ``live`` prints before it arms. A key that is not in it fails a test, so a new
limit cannot be added without saying in which direction it is dangerous.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from config import keys
from config.settings import Settings
from core.managed import managed_part
from core.units import BPS

Flat = Mapping[str, Any]
"""Settings as one level: ``risk.max_order_pct`` → 10. Values are those of JSON."""
Money = Callable[[float, Flat, float], float]
"""(value, all settings, equity in USDT) → USDT."""


class Way(StrEnum):
    """What a higher value does."""

    MORE = "allows more"
    LESS = "allows less"
    EITHER = "changes what is traded, in no one direction"
    TEST = "changes what a test says, not what live trading may do"
    NONE = "changes nothing that is traded"


class _Never:
    """No value switches the key off."""


NEVER = _Never()


@dataclass(frozen=True, slots=True)
class Meaning:
    """One key. A pattern's ``*`` stands for a name (a venue, a member)."""

    what: str
    """What it is, such that a value may follow."""
    way: Way
    unit: str = ""
    money: Money | None = None
    ranks: Mapping[str, int] = field(default_factory=dict)
    """Of words: which allows more."""
    off: Any = NEVER
    """The value that takes the limit away."""


def managed_usdt(flat: Flat, equity: float) -> float:
    """What of ``equity`` the bot manages; all percentages are of it."""
    most = flat.get("trade.capital_usdt")
    return float(
        managed_part(equity, float(flat.get("trade.capital_pct", 100)) / 100, math.inf if most is None else float(most))
    )


def _share(value: float, flat: Flat, equity: float) -> float:
    return managed_usdt(flat, equity) * value / 100


def _of_account(value: float, _: Flat, equity: float) -> float:
    return equity * value / 100


def _amount(value: float, _: Flat, __: float) -> float:
    return float(value)


def _largest_order(flat: Flat, equity: float) -> float:
    most = flat.get("risk.max_order_usdt")
    share = managed_usdt(flat, equity) * float(flat.get("risk.max_order_pct", 0)) / 100
    return share if most is None else min(share, float(most))


def _of_position(value: float, flat: Flat, equity: float) -> float:
    return managed_usdt(flat, equity) * float(flat.get("risk.max_position_pct", 0)) / 100 * value / 100


def _on_an_order(value: float, flat: Flat, equity: float) -> float:
    return _largest_order(flat, equity) * value / BPS


def _so_many_orders(value: float, flat: Flat, equity: float) -> float:
    return _largest_order(flat, equity) * value


def _of_invested(value: float, flat: Flat, equity: float) -> float:
    return managed_usdt(flat, equity) * float(flat.get("trade.invest_pct", 0)) / 100 * value / 100


def _a_slice(value: float, flat: Flat, equity: float) -> float:
    return _largest_order(flat, equity) / value if value else _largest_order(flat, equity)


_M, _L, _E, _T, _N = Way.MORE, Way.LESS, Way.EITHER, Way.TEST, Way.NONE

MEANINGS: dict[str, Meaning] = {
    "trade.instruments": Meaning("markets that are traded", _M),
    "trade.invest_pct": Meaning("the ensemble invests up to", _M, "%", _share),
    "trade.min_order_usdt": Meaning("an order is at least", _L, "USDT", _amount),
    "trade.max_pct.*": Meaning("of this one at most", _M, "%", _share),
    "trade.capital_pct": Meaning("of the account the bot manages", _M, "%", _of_account),
    "trade.capital_usdt": Meaning("of the account the bot manages at most", _M, "USDT", _amount, off=None),
    "trade.own_coins": Meaning("coins that the bot did not buy it will", _M, ranks={"leave": 0, "manage": 1}),
    "trade.reporting_currency": Meaning("all is counted in", _N),
    "live.starting_cap_pct": Meaning("live begins with, of what may be invested", _M, "%", _of_invested),
    "live.starting_cap_usdt": Meaning("live begins with at most", _M, "USDT", _amount, off=None),
    "live.cap_step_pct": Meaning("a step raises that by", _M, "%", _of_invested),
    "live.clean_days": Meaning("clean days that earn a step", _L, "days"),
    "live.clean_day_minutes": Meaning("minutes that a clean day has at least", _L, "minutes"),
    "live.max_lake_age_days": Meaning("live starts on bars no older than", _M, "days"),
    "exchanges.*.rest_url": Meaning("where the exchange is", _E),
    "exchanges.*.stream_url": Meaning("where the exchange's stream is", _E),
    "exchanges.*.user_stream_url": Meaning("where the account's stream is", _E),
    "exchanges.*.recv_window_ms": Meaning("how late a request may arrive", _M, "ms"),
    "exchanges.*.max_clock_offset_ms": Meaning("how far the clock may be off", _M, "ms"),
    "exchanges.*.timeout_ms": Meaning("how long an answer is waited for", _E, "ms"),
    "resources.object_store_mb": Meaning("memory for what the parts exchange", _N, "MB"),
    "resources.gpu_fraction": Meaning("share of a GPU for each model", _N),
    "resources.member_memory_mb": Meaning("memory that a model's process may take", _N, "MB"),
    "resources.torch_threads": Meaning("threads for each model", _N),
    "resources.trainer_niceness": Meaning("how far training stands back", _N),
    "redis_url": Meaning("where Redis is", _N),
    "var_dir": Meaning("where journals, models and bars are", _E),
    "dashboard.host": Meaning("where the page listens", _E),
    "dashboard.port": Meaning("port of the page", _N),
    "ray.address": Meaning("which cluster is used", _N),
    "ray.dashboard": Meaning("Ray's own page", _N),
    "ray.dashboard_port": Meaning("port of Ray's page", _N),
    "notifications.languages": Meaning("languages of the news", _N),
    "notifications.min_severity": Meaning("news is told from", _N),
    "notifications.queue_size": Meaning("news that may wait", _N),
    "grafana.url": Meaning("where Grafana is", _N),
    "grafana.folder": Meaning("Grafana's folder", _N),
    "logs.level": Meaning("logs are written from", _N),
    "logs.max_mb": Meaning("a log file is at most", _N, "MB"),
    "logs.keep": Meaning("log files kept", _N),
    "sentiment.enabled": Meaning("sources outside of the exchanges are asked", _E),
    "sentiment.fear_greed_url": Meaning("where the mood index is", _E),
    "sentiment.feeds.*": Meaning("a feed of headlines", _E),
    "sentiment.funding_url": Meaning("where funding rates are", _E),
    "sentiment.every_minutes": Meaning("a feed is looked at every", _N, "minutes"),
    "sentiment.timeout_s": Meaning("how long a source is waited for", _N, "s"),
    "sentiment.max_kb": Meaning("an answer of a source is at most", _N, "KB"),
    "sentiment.scorer": Meaning("what scores headlines", _E),
    "sentiment.transformer": Meaning("folder of the model that scores headlines", _E),
    "models.members.*.name": Meaning("a model's name", _E),
    "models.members.*.family": Meaning("kind of the model", _E),
    "models.members.*.enabled": Meaning("the model votes", _E),
    "models.members.*.deadline_ms": Meaning("how long its vote is waited for", _E, "ms"),
    "models.members.*.hyper.*": Meaning("how the model learns", _E),
    "champions.shadow": Meaning("newer versions of a model forecast beside the vote", _E),
    "champions.in_replay": Meaning("in replays too", _N),
    "champions.promotion": Meaning("what becomes of a version that is better", _E),
    "champions.confidence_pct": Meaning("how sure it is then", _E, "%"),
    "champions.challengers": Meaning("versions held against one champion", _E),
    "champions.watch_minutes": Meaning("how long a new champion is watched", _E, "minutes"),
    "champions.rollback_confidence_pct": Meaning("how sure a roll-back is", _E, "%"),
    "champions.silent_minutes": Meaning("silent minutes that end a new champion", _E, "minutes"),
    "retraining.every_hours": Meaning("hours between trainings beside trading, 0 for none", _E, "h"),
    "retraining.days": Meaning("days it learns from", _E, "days"),
    "retraining.cpus": Meaning("processors it may use", _N),
    "retraining.memory_mb": Meaning("memory it may use", _N, "MB"),
    "models.horizon_minutes": Meaning("how far is forecast", _E, "minutes"),
    "events.volatility_shock": Meaning("a shock is a return of so many times the usual", _M, "times"),
    "events.volume_surge": Meaning("a surge is a volume of so many times the usual", _E, "times"),
    "events.stale_minutes": Meaning("minutes without a trade that stop buying there", _M, "minutes"),
    "events.turbulent_ratio": Meaning("turbulent from this ratio of volatilities on", _E),
    "events.trend_ratio": Meaning("a trend from this ratio on", _E),
    "selection.entry_edge_bps": Meaning("a forecast opens a position above", _L, "bps", _on_an_order),
    "selection.exit_edge_bps": Meaning("a position is closed below a forecast of", _L, "bps", _on_an_order),
    "selection.full_edge_bps": Meaning("the full share is asked for from", _L, "bps", _on_an_order),
    "selection.shock_scale": Meaning("in a shock is bought, of what is wanted, at most", _M),
    "selection.default_weights.*": Meaning("a model's weight before tuning", _E),
    "risk.max_order_pct": Meaning("one order is at most", _M, "%", _share),
    "risk.max_order_usdt": Meaning("one order in money is at most", _M, "USDT", _amount, off=None),
    "risk.max_position_volatility_pct": Meaning(
        "a position may bring, in volatility a year", _M, "%", _share, off=None
    ),
    "risk.target_volatility_pct": Meaning("all positions may move a year by", _M, "%", _share, off=None),
    "risk.kelly_fraction": Meaning("of Kelly's share a position is at most", _M, off=None),
    "risk.max_position_pct": Meaning("one position is at most", _M, "%", _share),
    "risk.max_gross_pct": Meaning("all positions together are at most", _M, "%", _share),
    "risk.daily_loss_pct": Meaning("a day's loss that stops new positions", _M, "%", _share),
    "risk.daily_loss_usdt": Meaning("a day's loss in money that stops them", _M, "USDT", _amount, off=None),
    "risk.max_drawdown_pct": Meaning("a fall from the highest equity that stops them", _M, "%", _share),
    "risk.max_orders_per_minute": Meaning("orders in a minute, of the largest size", _M, "orders", _so_many_orders),
    "risk.max_orders_per_day": Meaning("orders in a day, of the largest size", _M, "orders", _so_many_orders),
    "risk.max_cancels_per_minute": Meaning("cancels in a minute; above it nothing is bought", _M),
    "risk.max_decision_delay_ms": Meaning("a decision that is later buys nothing", _M, "ms"),
    "risk.max_book_age_ms": Meaning("best prices that are older count as none", _M, "ms"),
    "risk.max_consecutive_losses": Meaning("losses in a row that stop buying", _M, off=0),
    "risk.consecutive_losses_pause_minutes": Meaning("after losses in a row nothing is bought for", _L, "minutes"),
    "risk.cooldown_minutes": Meaning("a closed position is not bought again for", _L, "minutes"),
    "risk.max_stop_outs": Meaning("protective exits at a loss that stop buying", _M, off=0),
    "risk.stop_outs_within_minutes": Meaning("protective exits are counted over the last", _L, "minutes"),
    "risk.stop_outs_pause_minutes": Meaning("after too many of them nothing is bought for", _L, "minutes"),
    "risk.low_profit_trips": Meaning("trips after which a market's result is judged", _M, off=0),
    "risk.low_profit_pct": Meaning("a market is left alone below a result of", _L, "%"),
    "risk.low_profit_within_minutes": Meaning("a market's result is that of the last", _E, "minutes"),
    "risk.low_profit_pause_minutes": Meaning("a market with a poor result is left alone for", _L, "minutes"),
    "risk.collar_bps": Meaning("what a limit may lie beyond the mid, an order", _M, "bps", _on_an_order),
    "risk.rebalance_band_pct": Meaning("a change too small to trade, a rise above a cap too", _M, "%", _share),
    "risk.max_premium_bps": Meaning("nothing is bought that is dearer here by", _M, "bps", _on_an_order),
    "risk.on_loss_limit": Meaning("after a loss limit positions", _M, ranks={"close": 0, "hold": 1}),
    "protection.stop_loss_pct": Meaning("a position is sold at a loss of", _M, "%", _of_position, off=None),
    "protection.trailing_stop_pct": Meaning("or so far below its highest worth", _M, "%", _of_position, off=None),
    "protection.trailing_activation_pct": Meaning("that holds after a gain of", _M, "%", _of_position),
    "protection.take_profit_pct": Meaning("a position is sold at a gain of", _E, "%", _of_position, off=None),
    "protection.time_stop_minutes": Meaning("a position is sold after", _E, "minutes", off=None),
    "protection.look_seconds": Meaning("positions are looked after every", _M, "s"),
    "protection.max_collar_bps": Meaning("what an exit may lie below the mid, an order", _M, "bps", _on_an_order),
    "protection.at_exchange": Meaning("stop and profit are left at the exchange", _L),
    "execution.algorithm": Meaning("an order is worked by", _E),
    "execution.slices": Meaning("slices of an order; one of the largest", _E, "slices", _a_slice),
    "execution.slice_seconds": Meaning("time between slices", _E, "s"),
    "execution.cost_gate": Meaning("a forecast must pay for", _M, ranks={"round_trip": 0, "one_way": 1, "off": 2}),
    "execution.split": Meaning("an order is split over the exchanges", _E),
    "execution.venue_latency_ms.*": Meaning("time to the exchange, for the split", _E, "ms"),
    "execution.horizon_minutes": Meaning("an order is worked for", _E, "minutes"),
    "execution.jitter_seconds": Meaning("a slice comes late by up to", _E, "s"),
    "execution.participation_pct": Meaning("pov: share of the volume", _E, "%"),
    "execution.risk_aversion": Meaning("is: weight of the variance", _E),
    "execution.urgency": Meaning("adaptive: weight of waiting", _E),
    "execution.reprice_seconds": Meaning("adaptive: looks at the book every", _E, "s"),
    "execution.edge_minutes": Meaning("adaptive: a forecast lasts", _E, "minutes"),
    "execution.unknown_requery_s": Meaning("a lost order is asked about again after", _E, "s"),
    "costs.fees": Meaning("fees are charged", _T),
    "costs.fee_tier.*": Meaning("fee level", _T),
    "costs.fee_paid_in": Meaning("fees are paid in", _T),
    "costs.spread": Meaning("half the spread is charged", _T),
    "costs.half_spread_default_bps": Meaning("half spread where bars are too few", _T, "bps", _on_an_order),
    "costs.half_spread_max_bps": Meaning("half spread at most", _T, "bps", _on_an_order),
    "costs.impact": Meaning("impact is charged", _T),
    "costs.impact_coefficient": Meaning("impact coefficient", _T),
    "costs.min_volatility_bps": Meaning("least volatility a minute", _T, "bps"),
    "costs.latency": Meaning("an order arrives later", _E),
    "costs.latency_ms": Meaning("by so much", _E, "ms"),
    "costs.recovery_half_life_s": Meaning(
        "half of what a simulated order took from a real book is back after", _E, "s"
    ),
    "costs.participation": Meaning("volume bounds what is filled", _T),
    "costs.max_participation_pct": Meaning("at most so much of a minute's volume", _T, "%"),
    "costs.min_notional": Meaning("the exchange's smallest order holds", _T),
    "costs.halts": Meaning("a halted market fills nothing", _T),
    "costs.rounding": Meaning("the exchange's tick and lot hold", _T),
}
LIMITS = ("trade", "live", "selection", "risk", "protection", "execution")
"""Sections that ``config check`` shows key by key."""


def meaning_of(key: str) -> Meaning | None:
    """What a key means, entries of lists and dicts by their pattern; None for one that no version of ours knows."""
    if key in MEANINGS:
        return MEANINGS[key]
    parts = key.split(".")
    for pattern, meaning in MEANINGS.items():
        wanted = pattern.split(".")
        if len(wanted) == len(parts) and all(w in ("*", part) for w, part in zip(wanted, parts, strict=True)):
            return meaning
    return None


def patterns(kind: Any = Settings, prefix: tuple[str, ...] = ()) -> Iterator[str]:
    """Every key there is, as the table writes it."""
    inner = keys.plain(kind)
    if isinstance(inner, type) and issubclass(inner, BaseModel):
        for name, info in inner.model_fields.items():
            root = inner is Settings
            yield from patterns(info.annotation, () if root else (*prefix, name))
    elif get_origin(inner) is dict:
        yield from patterns(get_args(inner)[1], (*prefix, "*"))
    elif get_origin(inner) in (tuple, list) and _is_section(get_args(inner)[0]):
        yield from patterns(get_args(inner)[0], (*prefix, "*"))
    else:
        yield ".".join(prefix)


def _is_section(kind: Any) -> bool:
    inner = keys.plain(kind)
    return isinstance(inner, type) and issubclass(inner, BaseModel)


def flat(settings: Settings | Mapping[str, Any]) -> dict[str, Any]:
    """Settings, or what ``model_dump(mode="json")`` once made of them, as one level. Members go by their name."""
    tree = settings.model_dump(mode="json") if isinstance(settings, Settings) else settings
    found: dict[str, Any] = {}
    for root in ("config", "rules"):
        _flatten(tree.get(root, {}), (), found)
    return found


def _flatten(here: Any, prefix: tuple[str, ...], found: dict[str, Any]) -> None:
    if isinstance(here, Mapping):
        for name, value in here.items():
            _flatten(value, (*prefix, str(name)), found)
    elif isinstance(here, list) and here and all(isinstance(entry, Mapping) and "name" in entry for entry in here):
        for entry in here:
            _flatten(entry, (*prefix, str(entry["name"])), found)
    else:
        found[".".join(prefix)] = here


def number(value: Any) -> float | None:
    """A value to reckon with: a number, or the text of one (Decimals are text in JSON)."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def usdt(key: str, settings: Flat, equity: float) -> float | None:
    """What the key's value is worth in an account of ``equity`` USDT; None where it is no money."""
    meaning, value = meaning_of(key), number(settings.get(key))
    if meaning is None or meaning.money is None or value is None:
        return None
    return meaning.money(value, settings, equity)


def of_what(key: str, settings: Flat, equity: float) -> str:
    """What the USDT of ``usdt`` are a part of, where the key does not say it: basis points are shown on an order."""
    meaning = meaning_of(key)
    if meaning is None or meaning.money is not _on_an_order:
        return ""
    return f" of the largest order ({_largest_order(settings, equity):,.2f} USDT)"


def shown(key: str, value: Any) -> str:
    """A value as people read it, with its unit."""
    meaning = meaning_of(key)
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    told = number(value)
    text = f"{told:.10g}" if told is not None else str(value)
    unit = meaning.unit if meaning is not None else ""
    if told == 1 and unit in ("days", "minutes", "slices", "orders", "times"):
        unit = unit[:-1]
    return f"{text} {unit}".rstrip()
