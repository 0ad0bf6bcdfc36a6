"""What the bot tells Prometheus, through Ray's metrics: one table of metrics, and who counts them.

Ray serves each as ``ray_<name>`` (counters with ``_total``) about every 10 s, one series a process: queries
aggregate (``sum by``). ``config/grafana/board.json`` is drawn over this table, and a test holds the two together.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Protocol

import ray
from ray.util.metrics import Counter, Gauge, Histogram

from core.currency import usdt_of
from core.messages import MinuteRecord, OrderState, TradingState

RUN_TAGS = ("run", "mode")
"""On every metric: which run, and whether it is a replay, paper or live."""
_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 60_000)


class Metric(NamedTuple):
    """One line of the table."""

    kind: Literal["counter", "gauge", "histogram"]
    about: str
    tags: tuple[str, ...] = ()


METRICS: dict[str, Metric] = {
    "minutehand_step_ms": Metric("histogram", "Time of one step of a minute, ms", ("step",)),
    "minutehand_minute_ms": Metric("histogram", "Sum of a minute's steps, ms"),
    "minutehand_minutes": Metric("counter", "Minutes, by status done or missed", ("status",)),
    "minutehand_orders": Metric("counter", "Orders that ended, by final state", ("instrument", "side", "state")),
    "minutehand_fills": Metric("counter", "Executions", ("instrument", "side")),
    "minutehand_traded": Metric("counter", "Value of executions, quote units", ("instrument", "side")),
    "minutehand_refusals": Metric("counter", "Intents that a limit held", ("instrument", "limit")),
    "minutehand_equity": Metric("gauge", "Whole account, USDT"),
    "minutehand_position": Metric("gauge", "Held, quote units at the last close", ("instrument",)),
    "minutehand_trading_state": Metric("gauge", "0 active, 1 reducing, 2 halted"),
    "minutehand_stale": Metric("gauge", "1 when an instrument has no fresh data", ("instrument",)),
    "minutehand_member_silent": Metric("counter", "Minutes in which a member lost its vote", ("member",)),
    "minutehand_member_weight": Metric("gauge", "Weight of a member's vote", ("member",)),
    "minutehand_actor_up": Metric("gauge", "1 when the supervisor calls an actor running", ("actor",)),
    "minutehand_actor_restarts": Metric("gauge", "How often an actor was started again", ("actor",)),
    "minutehand_actor_rss_mb": Metric("gauge", "Resident memory of an actor's process, MB", ("actor",)),
    "minutehand_redis_failures": Metric("counter", "Times that Redis did not take what we had to show"),
}
_ENDS = frozenset({OrderState.FILLED, OrderState.CANCELLED, OrderState.EXPIRED, OrderState.REJECTED})
_STATES = {str(state): number for number, state in enumerate(TradingState)}


class Sink(Protocol):
    """Takes one measurement of a metric of the table."""

    def __call__(self, name: str, value: float, tags: Mapping[str, str]) -> None: ...


class Metrics:
    """Reads records and health into measurements. Without a sink nothing is kept (tests, no Ray)."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def minute(self, record: MinuteRecord) -> None:
        """Count one minute."""
        self._tell("minutehand_minutes", 1, status=record.status)
        for order in record.orders:
            if order.state in _ENDS:
                self._tell("minutehand_orders", 1, instrument=str(order.instrument), side=order.side, state=order.state)
        for fill in record.fills:
            self._tell("minutehand_fills", 1, instrument=str(fill.instrument), side=fill.side)
            value = float(fill.quantity * fill.price)
            self._tell("minutehand_traded", value, instrument=str(fill.instrument), side=fill.side)
        for refused in record.refused:
            limit = refused.reason.partition(":")[0]
            self._tell("minutehand_refusals", 1, instrument=str(refused.instrument), limit=limit)
        if record.status == "done":
            self._decided(record)

    def health(self, actors: Mapping[str, Mapping[str, Any]]) -> None:
        """Show each actor's health as the supervisor published it."""
        for actor, health in actors.items():
            self._tell("minutehand_actor_up", float(health.get("state") == "running"), actor=actor)
            self._tell("minutehand_actor_restarts", float(health.get("restarts", 0)), actor=actor)
            if "rss_mb" in health:
                self._tell("minutehand_actor_rss_mb", float(health["rss_mb"]), actor=actor)

    def redis_failed(self) -> None:
        self._tell("minutehand_redis_failures", 1)

    def _decided(self, record: MinuteRecord) -> None:
        for step, took in record.timings:
            self._tell("minutehand_step_ms", took, step=step)
        self._tell("minutehand_minute_ms", sum(took for _, took in record.timings))
        self._tell("minutehand_equity", record.equity)
        self._tell("minutehand_trading_state", _STATES.get(record.state, 0))
        for instrument, held, close, fresh in zip(
            record.instruments, record.position, record.close, record.fresh, strict=True
        ):
            worth = held * close * usdt_of(record.rates, instrument.quote) if held else 0.0
            if worth == worth:  # an unknown price or rate values nothing
                self._tell("minutehand_position", worth, instrument=str(instrument))
            self._tell("minutehand_stale", float(not fresh), instrument=str(instrument))
        for vote in record.votes:
            self._tell("minutehand_member_weight", vote.weight, member=vote.member)
            if not vote.spoke:
                self._tell("minutehand_member_silent", 1, member=vote.member)

    def _tell(self, name: str, value: float, **tags: str) -> None:
        self._sink(name, float(value), {key: str(tag) for key, tag in tags.items()})


class RaySink:
    """Measurements into Ray's metrics; only inside a Ray worker or driver."""

    def __init__(self, run_id: str, mode: str) -> None:
        self._metrics = {name: _make(name, metric) for name, metric in METRICS.items()}
        for metric in self._metrics.values():
            metric.set_default_tags({"run": run_id, "mode": mode})

    def __call__(self, name: str, value: float, tags: Mapping[str, str]) -> None:
        metric, tags = self._metrics[name], dict(tags)
        if isinstance(metric, Counter):
            if value > 0:
                metric.inc(value, tags)
        elif isinstance(metric, Gauge):
            metric.set(value, tags)
        else:
            metric.observe(value, tags)


def no_sink(name: str, value: float, tags: Mapping[str, str]) -> None:
    """Outside Ray nobody asks for metrics."""


def make_metrics(run_id: str, mode: str) -> Metrics:
    """Ray's metrics inside Ray, none outside."""
    return Metrics(RaySink(run_id, mode) if ray.is_initialized() else no_sink)


def _make(name: str, metric: Metric) -> Counter | Gauge | Histogram:
    tags = (*metric.tags, *RUN_TAGS)
    if metric.kind == "counter":
        return Counter(name, description=metric.about, tag_keys=tags)
    if metric.kind == "gauge":
        return Gauge(name, description=metric.about, tag_keys=tags)
    return Histogram(name, description=metric.about, boundaries=list(_MS), tag_keys=tags)
