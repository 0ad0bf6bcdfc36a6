"""Which news is worth telling a person, and how it reads in each language.

A notice is a key with values; its text is chosen here, so that an alert sent to two people in two languages is
one notice. ``Newsroom`` reads the records of a run, one a minute, and tells changes rather than states: a member
that stays silent is told once, and once more when it speaks again.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from core.champions import CHALLENGED, CONFIRMED, SERVING, STARTED
from core.messages import SETTINGS_REFUSED, MinuteRecord, Notice, OrderState, TradingState
from core.reasons import joined, worded
from core.units import DAY_MS, MINUTE_MS
from core.wording import Wording

SEVERITIES = ("info", "warning", "critical")
STALE_MINUTES = 3
"""Minutes without fresh data in a row that are news."""


CATALOG: dict[str, Wording] = {
    "run_started": Wording(
        "Run {run} started: {mode}, {instruments} markets.", "{run} 실행을 시작했습니다: {mode}, 종목 {instruments}개."
    ),
    "armed_without_edge": Wording(
        "Account {account} is traded without a proven edge: somebody took it on themselves. The verdict: {verdict}",
        "{account} 계좌: 우위가 증명되지 않은 채 거래합니다. 사용자가 책임을 지고 승인했습니다. 판정: {verdict}",
    ),
    "starting_cap": Wording("A day of live trading was judged. {cap}", "실전 하루를 평가했습니다. {cap}"),
    "run_ended": Wording(
        "Run {run} ended: {done} minutes decided, {missed} missed. Equity {equity} USDT.",
        "{run} 실행이 끝났습니다: {done}분 결정, {missed}분 누락. 평가액 {equity} USDT.",
    ),
    "order_rejected": Wording(
        "The exchange rejected our order: {side} {quantity} {instrument} at {price}. Reason: {reason}",
        "거래소가 주문을 거부했습니다: {instrument} {side} {quantity} @ {price}. 사유: {reason}",
    ),
    "order_unknown": Wording(
        "We do not know what became of order {client_id} ({instrument}). The exchange is being asked; "
        "nothing is sent again before it answers.",
        "{instrument} 주문({client_id})이 어떻게 됐는지 알 수 없습니다. 거래소에 확인 중이며, "
        "답이 올 때까지 다시 보내지 않습니다.",
    ),
    "minute_missed": Wording(
        "The minute {time} UTC was missed, nothing new was traded. Reason: {reason}",
        "{time} UTC의 1분 결정을 놓쳤습니다. 새 거래는 없었습니다. 사유: {reason}",
    ),
    "minutes_resumed": Wording(
        "Minutes are being decided again, {count} were missed in a row.",
        "다시 매분 결정하고 있습니다. 연속으로 {count}분을 놓쳤습니다.",
    ),
    "actor_restarted": Wording(
        "The part '{actor}' was started again. Reason: {reason}",
        "'{actor}' 구성 요소를 다시 시작했습니다. 사유: {reason}",
    ),
    "member_silent": Wording(
        "The model '{member}' is silent, its weight is shared by the others. Reason: {reason}",
        "'{member}' 모델이 투표하지 않아 나머지 모델이 비중을 나눠 맡습니다. 사유: {reason}",
    ),
    "member_back": Wording(
        "The model '{member}' votes again after {count} minutes.",
        "'{member}' 모델이 {count}분 만에 다시 투표합니다.",
    ),
    "model_started": Wording(
        "The model '{member}' begins with version {version} as champion. {why}",
        "'{member}' 모델이 {version} 버전을 챔피언으로 두고 시작합니다. {why}",
    ),
    "model_challenged": Wording(
        "Version {version} of the model '{member}' now forecasts in shadow, without a vote. {why}",
        "'{member}' 모델의 {version} 버전이 투표 없이 그림자 예측을 시작했습니다. {why}",
    ),
    "model_promoted": Wording(
        "Version {version} of the model '{member}' is champion, after {before} (by {by}). {why}",
        "'{member}' 모델의 챔피언이 바뀌었습니다: {before} → {version} ({by}). {why}",
    ),
    "model_advised": Wording(
        "Version {version} of the model '{member}' is better than {before}; promote it with run.py models promote. {why}",
        "'{member}' 모델은 {version} 버전이 {before} 버전보다 낫습니다. run.py models promote 명령으로 승격하세요. {why}",
    ),
    "model_confirmed": Wording(
        "Version {version} of the model '{member}' stays champion. {why}",
        "'{member}' 모델은 {version} 버전이 챔피언 자리를 지킵니다. {why}",
    ),
    "model_rolled_back": Wording(
        "The model '{member}' was rolled back from {before} to version {version} (by {by}). {why}",
        "'{member}' 모델을 이전 버전으로 되돌렸습니다: {before} → {version} ({by}). {why}",
    ),
    "model_rejected": Wording(
        "Version {version} of the model '{member}' is out. {why}",
        "'{member}' 모델의 {version} 버전이 탈락했습니다. {why}",
    ),
    "model_serving": Wording(
        "The model '{member}' now votes with version {version}, before with {before}; {why}.",
        "'{member}' 모델이 이제 {version} 버전으로 투표합니다(이전: {before}). {why}.",
    ),
    "model_refused": Wording(
        "Version {version} of the model '{member}' was not taken over, {before} goes on. Reason: {why}",
        "'{member}' 모델의 {version} 버전을 적용하지 못해 {before} 버전이 계속 투표합니다. 사유: {why}",
    ),
    "training_done": Wording(
        "New versions were trained beside trading; they challenge in shadow: {versions}.",
        "거래하면서 새 버전을 학습했습니다. 그림자 예측으로 챔피언에 도전합니다: {versions}.",
    ),
    "training_failed": Wording(
        "Training beside trading failed; the models stay as they are. Reason: {reason}",
        "거래 중 재학습에 실패했습니다. 모델은 그대로입니다. 사유: {reason}",
    ),
    "limit_hit": Wording(
        "A limit held an order for {instrument}: {reason}", "한도에 걸려 {instrument} 주문을 막았습니다: {reason}"
    ),
    "settings_changed": Wording("Settings changed in mid-run: {what}.", "실행 중 설정 변경: {what}."),
    "settings_refused": Wording(
        "The new settings are not used, the old ones hold: {what}",
        "새 설정을 적용하지 않고 이전 설정을 유지합니다: {what}",
    ),
    "position_protected": Wording(
        "A {reason} sells {quantity} {instrument} at {price} or better. {why}",
        "{reason}: {instrument} {quantity} 매도, {price} 이상. {why}",
    ),
    "dust_written_off": Wording(
        "{quantity} {instrument} are left, less than the exchange's smallest order; they are written off and stay in "
        "the account.",
        "{instrument} 잔량 {quantity}: 거래소 최소 주문에 못 미쳐 장부에서 지웁니다. 계좌에는 그대로 있습니다.",
    ),
    "state_changed": Wording(
        "Trading is now {state} (was {before}). Reason: {reason}",
        "거래 상태가 바뀌었습니다: {before} → {state}. 사유: {reason}",
    ),
    "feed_stale": Wording(
        "No fresh market data for {instrument}; no new exposure is taken there.",
        "{instrument} 시세가 끊겼습니다. 이 종목의 신규 매수를 멈춥니다.",
    ),
    "feed_fresh": Wording(
        "Market data for {instrument} is fresh again after {count} minutes.",
        "{instrument} 시세가 {count}분 만에 돌아왔습니다.",
    ),
    "reconciliation_difference": Wording(
        "Our books and the exchange's differ: {difference}", "봇의 장부와 거래소 장부가 다릅니다: {difference}"
    ),
    "daily_digest": Wording(
        "{date} UTC: equity {equity} USDT ({change_pct}%). {done} minutes decided, {missed} missed, "
        "{fills} fills worth {traded}, {rejected} orders rejected.",
        "{date} UTC: 평가액 {equity} USDT ({change_pct}%). {done}분 결정, {missed}분 누락, "
        "체결 {fills}건({traded}), 거부된 주문 {rejected}건.",
    ),
    "notices_dropped": Wording(
        "{count} older notices were dropped because sending was too slow.",
        "전송이 늦어 오래된 알림 {count}건을 버렸습니다.",
    ),
}
QUIET_STEPS = frozenset({STARTED, CHALLENGED, CONFIRMED, SERVING})
"""What happens to a model's versions in the ordinary course; the rest asks for attention."""
SEVERITY_WORDS: dict[str, dict[str, str]] = {
    "en": {"info": "Info", "warning": "Warning", "critical": "CRITICAL"},
    "ko": {"info": "안내", "warning": "주의", "critical": "긴급"},
}


class _Shown(dict[str, str]):
    """Values for a text; one that is missing shows as a question mark rather than losing the news."""

    def __missing__(self, key: str) -> str:
        return "?"


def text(notice: Notice, language: str) -> str:
    """The notice in one language. An unknown key is shown with its values: news is never lost to a missing text."""
    wording = CATALOG.get(notice.key)
    if wording is None:
        return f"{notice.key}: " + ", ".join(f"{key}={value}" for key, value in notice.values)
    shown = _Shown({key: worded(value, language) for key, value in notice.values})
    return str(getattr(wording, language)).format_map(shown)


def title(notice: Notice, language: str) -> str:
    """Severity and project, for the subject of a message."""
    return f"Minutehand · {SEVERITY_WORDS[language][notice.severity]}"


def at_least(severity: str, least: str) -> bool:
    """``severity`` is ``least`` or graver."""
    return SEVERITIES.index(severity) >= SEVERITIES.index(least)


@dataclass(slots=True)
class _Day:
    """What the digest of one UTC day needs."""

    day: int
    first_equity: float = 0.0
    equity: float = 0.0
    done: int = 0
    missed: int = 0
    fills: int = 0
    rejected: int = 0
    traded: dict[str, float] = field(default_factory=dict)
    """Notional by quote asset."""


class Newsroom:
    """Turns records into notices. Give it every record once, in order."""

    def __init__(self) -> None:
        self._state = str(TradingState.ACTIVE)
        self._reason = ""
        self._silent: dict[str, int] = {}
        self._stale: dict[str, int] = {}
        self._missed = 0
        self._limits: frozenset[tuple[str, str]] = frozenset()
        self._exiting: frozenset[tuple[str, str]] = frozenset()
        self._unknown: frozenset[str] = frozenset()
        self._day: _Day | None = None

    def read(self, record: MinuteRecord) -> tuple[Notice, ...]:
        """The news in ``record``, gravest first."""
        at = record.minute + MINUTE_MS
        told = [
            Notice(severity=severity, key=key, values=tuple(values.items()), at_ms=at)
            for severity, key, values in self._news(record)
        ]
        return tuple(sorted(told, key=lambda notice: -SEVERITIES.index(notice.severity)))

    def _news(self, record: MinuteRecord) -> Iterator[tuple[str, str, dict[str, str]]]:
        yield from self._digest(record)
        yield from self._orders(record)
        yield from self._exits(record)
        if record.status == "missed":
            self._missed += 1
            if self._missed == 1:
                yield "warning", "minute_missed", {"time": clock(record.minute), "reason": record.reason}
            return
        if self._missed > 1:
            yield "info", "minutes_resumed", {"count": str(self._missed)}
        self._missed = 0
        yield from self._states(record)
        for what in record.settings:
            refused = what.startswith(SETTINGS_REFUSED)
            key = "settings_refused" if refused else "settings_changed"
            yield "warning", key, {"what": what.removeprefix(SETTINGS_REFUSED)}
        for step in record.models:
            values = {name: getattr(step, name) for name in ("member", "version", "before", "by", "why")}
            told = {name: value or "none" for name, value in values.items()}
            yield "info" if step.kind in QUIET_STEPS else "warning", f"model_{step.kind}", told
        yield from self._members(record)
        yield from self._freshness(record)

    def _orders(self, record: MinuteRecord) -> Iterator[tuple[str, str, dict[str, str]]]:
        unknown = {order.client_id: order for order in record.orders if order.state is OrderState.UNKNOWN}
        for client_id in sorted(unknown.keys() - self._unknown):
            values = {"client_id": client_id, "instrument": str(unknown[client_id].instrument)}
            yield "critical", "order_unknown", values
        self._unknown = frozenset(unknown)
        for order in record.orders:
            if order.state is OrderState.REJECTED:
                yield (
                    "warning",
                    "order_rejected",
                    {
                        "side": str(order.side),
                        "quantity": str(order.quantity),
                        "instrument": str(order.instrument),
                        "price": str(order.price),
                        "reason": order.reason or "not given",
                    },
                )

    def _exits(self, record: MinuteRecord) -> Iterator[tuple[str, str, dict[str, str]]]:
        """An exit is told at its first order; one that goes on over minutes is no news."""
        told = set()
        for sold in record.exits:
            key = (str(sold.instrument), sold.reason)
            if key not in told and key not in self._exiting:
                values = {
                    "reason": sold.reason,
                    "instrument": str(sold.instrument),
                    "quantity": str(sold.quantity),
                    "price": str(sold.limit_price),
                    "why": joined(sold.arithmetic[:2]),
                }
                yield "warning", "position_protected", values
            told.add(key)
        self._exiting = frozenset(told)
        for left in record.dust:
            yield "info", "dust_written_off", {"instrument": str(left.instrument), "quantity": str(left.quantity)}

    def _states(self, record: MinuteRecord) -> Iterator[tuple[str, str, dict[str, str]]]:
        # A halt stays a halt when a loss limit is breached in it.
        more = record.state == TradingState.HALTED and record.state_reason != self._reason
        if record.state and (record.state != self._state or more):
            severity = {"halted": "critical", "reducing": "warning"}.get(record.state, "info")
            values = {"state": record.state, "before": self._state, "reason": record.state_reason or "none"}
            yield severity, "state_changed", values
            self._state, self._reason = record.state, record.state_reason
        limits = {(str(r.instrument), r.reason.partition(":")[0]): r.reason for r in record.refused}
        for instrument, name in sorted(limits.keys() - self._limits):
            yield "info", "limit_hit", {"instrument": instrument, "reason": limits[instrument, name]}
        self._limits = frozenset(limits)

    def _members(self, record: MinuteRecord) -> Iterator[tuple[str, str, dict[str, str]]]:
        for vote in record.votes:
            silent = self._silent.pop(vote.member, 0)
            if not vote.spoke:
                self._silent[vote.member] = silent + 1
                if not silent:
                    yield "warning", "member_silent", {"member": vote.member, "reason": vote.silence}
            elif silent:
                yield "info", "member_back", {"member": vote.member, "count": str(silent)}

    def _freshness(self, record: MinuteRecord) -> Iterator[tuple[str, str, dict[str, str]]]:
        for instrument, fresh in zip(map(str, record.instruments), record.fresh, strict=True):
            stale = self._stale.pop(instrument, 0)
            if not fresh:
                self._stale[instrument] = stale + 1
                # One quiet minute is a filler bar; several in a row are news.
                if stale + 1 == STALE_MINUTES:
                    yield "warning", "feed_stale", {"instrument": instrument}
            elif stale >= STALE_MINUTES:
                yield "info", "feed_fresh", {"instrument": instrument, "count": str(stale)}

    def _digest(self, record: MinuteRecord) -> Iterator[tuple[str, str, dict[str, str]]]:
        day = record.minute // DAY_MS
        if self._day is not None and self._day.day != day:
            yield "info", "daily_digest", digest(self._day)
        if self._day is None or self._day.day != day:
            before = self._day.equity if self._day is not None else 0.0
            self._day = _Day(day=day, first_equity=before, equity=before)
        today = self._day
        if record.status == "done":
            today.done += 1
            today.equity = record.equity
            today.first_equity = today.first_equity or record.equity
        elif record.status == "missed":
            today.missed += 1
        today.rejected += sum(order.state is OrderState.REJECTED for order in record.orders)
        for fill in record.fills:
            today.fills += 1
            quote = fill.instrument.quote
            today.traded[quote] = today.traded.get(quote, 0.0) + float(fill.quantity * fill.price)


def digest(day: _Day) -> dict[str, str]:
    """The values of a day's digest."""
    change = (day.equity / day.first_equity - 1) * 100 if day.first_equity else 0.0
    return {
        "date": date(day.day * DAY_MS),
        "equity": f"{day.equity:,.2f}",
        "change_pct": f"{change:+.2f}",
        "done": str(day.done),
        "missed": str(day.missed),
        "fills": str(day.fills),
        "traded": ", ".join(f"{amount:,.0f} {quote}" for quote, amount in sorted(day.traded.items())) or "0",
        "rejected": str(day.rejected),
    }


def clock(ms: int) -> str:
    """``HH:MM`` UTC of an epoch time."""
    minutes = ms // MINUTE_MS % 1_440
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def date(ms: int) -> str:
    """``YYYY-MM-DD`` UTC of an epoch time."""
    return datetime.fromtimestamp(ms / 1000, UTC).date().isoformat()
