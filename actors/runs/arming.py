"""May real money be traded? Every reason against it has a name, and says what to do about it."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from actors.limits import venue_gate
from actors.runs.brief import run_briefly
from actors.runs.findings import Finding
from actors.runs.run_mark import find_paper_run
from config.changes import changes, kept_in
from config.meanings import flat
from config.secrets import ApiKeys, load_secrets, open_to_others, require_keys
from config.settings import ExchangeSettings, Settings
from core.errors import ConfigError, DataError, ExchangeRefused
from core.execution.machine import ExecutionMachine
from core.execution.scribe import replay
from core.features import schema_hash
from core.messages import AccountState, OrderState
from core.orders import parse_id
from core.standing import KeyRights
from core.units import DAY_MS, MINUTE_MS, Instrument, Side
from data.artifacts import ArtifactStore
from data.journal import read_journal
from data.market import MarketSource
from data.model_registry import fitting
from exchanges.venues import gateway_of

RECENT_MINUTES = 5
CHANGES_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What the venue says of the account before the start."""

    venue: str
    name: str
    """The venue's number of the account; where it tells none, a fingerprint of the key: ``key-`` and 8 hex digits."""
    rights: KeyRights
    state: AccountState
    equity: float
    """The quote currencies of what is traded, and what the traded coins are worth, in USDT; other assets are not
    counted."""
    open_orders: tuple[str, ...]
    """Client ids of every open order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """An order that had not ended for our journal."""

    client_id: str
    instrument: Instrument
    side: Side
    state: OrderState
    executed: Decimal
    """Base units that we counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalState:
    """Where the last run of this instance ended."""

    orders: frozenset[str] = frozenset()
    pending: tuple[Pending, ...] = ()
    """Orders whose end is not known."""
    fault: str = ""
    """Why the journal cannot be gone on from; empty when it can."""

    @property
    def unsettled(self) -> tuple[str, ...]:
        """Client ids of the pending ones."""
        return tuple(order.client_id for order in self.pending)


def find_keys(
    path: Path, environ: Mapping[str, str] | None = None, venue: str = "binance"
) -> tuple[ApiKeys | None, list[Finding]]:
    """The account's key pair at ``venue``, or why there is none to use."""
    try:
        secrets = load_secrets(path, environ)
    except ConfigError as error:
        name = "key_file_open" if path.is_file() and open_to_others(path) else "key_file_wrong"
        return None, [Finding(name=name, text=str(error))]
    try:
        return require_keys(secrets, venue, path), []
    except ConfigError as error:
        return None, [Finding(name="no_keys", text=str(error))]


def ask_account(
    exchange: ExchangeSettings,
    keys: ApiKeys,
    instruments: tuple[Instrument, ...],
    server_ms: int,
    var: Path | None = None,
    venue: str = "binance",
    rates: Mapping[str, float] | None = None,
) -> tuple[Account | None, list[Finding]]:
    """What the venue says of the account. ``var``: where the limits are shared. ``rates``: USDT of one unit of each quote
    currency but USDT itself. Raises ExchangeUnavailable when the venue does not answer."""
    try:
        return run_briefly(_ask_account(exchange, keys, instruments, server_ms, var, venue, rates or {})), []
    except ExchangeRefused as error:
        text = f"{venue} turned our keys down: {error}; check both keys, and the key's IP list"
        return None, [Finding(name="keys_refused", text=text)]


async def _ask_account(
    exchange: ExchangeSettings,
    keys: ApiKeys,
    instruments: tuple[Instrument, ...],
    server_ms: int,
    var: Path | None,
    venue: str,
    rates: Mapping[str, float],
) -> Account:
    gateway = gateway_of(venue, exchange, keys, instruments, ledger=venue_gate(var, venue, exchange))
    worth = {"USDT": 1.0, **rates}
    try:
        rights = await gateway.rights()
        state = await gateway.account()
        open_orders = await gateway.open_orders()
        quotes = {i.quote for i in instruments} | {"USDT"}
        equity = sum(float(state.total(venue, quote)) * worth.get(quote, 0.0) for quote in quotes)
        first = server_ms // MINUTE_MS * MINUTE_MS - RECENT_MINUTES * MINUTE_MS
        for base, instrument in {i.base: i for i in reversed(instruments) if i.base not in quotes}.items():
            if held := float(state.total(venue, base)):
                bars = await gateway.history(instrument, first, RECENT_MINUTES)
                equity += held * bars[-1].close * worth.get(instrument.quote, 0.0) if bars else 0.0
        return Account(
            venue=venue,
            name=rights.account or fingerprint(keys),
            rights=rights,
            state=state,
            equity=equity,
            open_orders=tuple(order.client_id for order in open_orders),
        )
    finally:
        await gateway.close()


def fingerprint(keys: ApiKeys | tuple[str, str]) -> str:
    """What stands for the account where its number is not told: one key is of one account."""
    text = keys[0] if isinstance(keys, tuple) else keys.api_key.reveal()
    return "key-" + hashlib.sha256(text.encode()).hexdigest()[:8]


def read_past(run_dir: Path, settings: Settings, instance: str) -> JournalState:
    """Replay this instance's journal, without touching it."""
    path = run_dir / "journal.sqlite"
    if not path.exists():
        return JournalState()
    machine = ExecutionMachine(settings.rules.execution, {}, instance)
    try:
        replay(read_journal(path), machine)
    except DataError as error:
        return JournalState(fault=str(error))
    pending = tuple(
        Pending(
            client_id=order.client_id,
            instrument=order.placed.instrument,
            side=order.placed.side,
            state=order.state,
            executed=order.executed,
        )
        for order in machine.unsettled()
    )
    return JournalState(orders=frozenset(machine.books.orders), pending=pending)


def find_models(
    store: ArtifactStore, settings: Settings, market: str | None = None
) -> tuple[dict[str, str], list[Finding]]:
    """Artifact version of every enabled member, the champion's where it fits; a finding names those without one that fits.
    ``market``: the synthetic market they are of."""
    models = settings.rules.models
    found: dict[str, str] = {}
    for member in models.enabled:
        artifact = fitting(
            store,
            member.name,
            schema=schema_hash(),
            where=lambda a, m=member: a.family == m.family and a.extra.get("horizon") == models.horizon_minutes,
        )
        if artifact is not None:
            found[member.name] = artifact.version
    missing = [member for member in models.enabled if member.name not in found]
    old = [member.name for member in missing if store.latest("model", member.name) is not None]
    none = [member.name for member in missing if member.name not in old]
    findings = []
    of_market = f" --market {market}" if market else ""
    if none:
        text = f"no trained model for {', '.join(none)} in {store.root}; train them: python3 run.py train{of_market}"
        findings.append(Finding(name="models_missing", text=text))
    if old:
        text = (
            f"the models of {', '.join(old)} in {store.root} were trained on other features, or for another family or "
            f"horizon than models.horizon_minutes = {models.horizon_minutes}; train them again: python3 run.py train{of_market}"
        )
        findings.append(Finding(name="models_other_features", text=text))
    return found, findings


def judge_lake(
    source: MarketSource, instruments: Sequence[Instrument], now_ms: int, max_age_days: float
) -> list[Finding]:
    """Bars that models could learn from are there, and not too old."""
    advice = "python3 run.py data download (or data import), then python3 run.py train"
    if source.synthetic:
        name = source.name
        advice = f"python3 run.py data synth {name}, then python3 run.py train --market {name}"
    try:
        _, last = source.lake.common_span(instruments)
    except DataError as error:
        return [Finding(name="stale_lake", text=f"{error}; get them: {advice}")]
    age = (now_ms - last) / DAY_MS
    if age <= max_age_days:
        return []
    text = (
        f"the newest bars of all instruments in {source.lake.root} are {age:.1f} days old "
        f"({datetime.fromtimestamp(last / 1000, UTC):%Y-%m-%d %H:%M} UTC), allowed are {max_age_days:g} days "
        f"(live.max_lake_age_days): what the models learnt is of another market. Get newer ones: {advice}"
    )
    return [Finding(name="stale_lake", text=text)]


WITHDRAW_ADVICE = {
    "binance": "Binance: API Management > Edit restrictions > Enable Withdrawals off",
    "upbit": "Upbit: My Page > Open API management, neither 'Withdraw' nor 'View Withdrawals'",
}
TRADE_ADVICE = {
    "binance": "Binance: API Management > Edit restrictions > Enable Spot",
    "upbit": "Upbit: My Page > Open API management, 'Make Orders'",
}


def judge_account(account: Account, past: JournalState, instance: str, run_dir: Path, now_ms: int = 0) -> list[Finding]:
    """What speaks against trading this account with this key now. What is wrong with the journal is not among it
    (``judge_past``)."""
    found: list[Finding] = []
    rights, venue = account.rights, account.venue
    if rights.can_withdraw:
        text = (
            f"this key may withdraw from {venue}; a trading bot must not be able to. Make a key without the right "
            f"({WITHDRAW_ADVICE[venue]}), and delete this one"
        )
        found.append(Finding(name="withdraw_right", text=text))
    if not rights.can_trade:
        text = f"the account or the key of {venue} may not trade spot ({TRADE_ADVICE[venue]})"
        found.append(Finding(name="cannot_trade", text=text))
    if rights.expires_ms is not None and rights.expires_ms <= now_ms:
        text = f"the key of {venue} has expired; make a new one and put it into config/api_keys.json"
        found.append(Finding(name="key_expired", text=text))
    bound = bound_account(run_dir, venue)
    if bound and bound != account.name:
        text = (
            f"{run_dir} belongs to account {bound} of {venue}, the key to account {account.name}; "
            "give this account an instance of its own: --instance NAME"
        )
        if not rights.account:
            text += f". If it is the same account with a new key: remove {_account_file(run_dir, venue)}"
        found.append(Finding(name="other_account", text=text))
    strangers = foreign_orders(account.open_orders, past, instance)
    if strangers:
        shown = ", ".join(strangers[:5]) + (f" and {len(strangers) - 5} more" if len(strangers) > 5 else "")
        text = (
            f"{len(strangers)} open orders of this bot at {venue}, but not of this instance's journal ({shown}): another run may be "
            "trading this account. End it, or cancel them at the exchange"
        )
        found.append(Finding(name="open_orders", text=text))
    return found


def judge_past(past: JournalState) -> list[Finding]:
    """What speaks against going on from this journal."""
    return [Finding(name="unreconciled", text=past.fault)] if past.fault else []


def key_words(account: Account, now_ms: int) -> str:
    """The key's rights in a line."""
    rights = account.rights
    said = {True: "YES", False: "no", None: "the exchange does not say; look at the key's restrictions"}
    words = f"key: trade {said[rights.can_trade]}, withdraw {said[rights.can_withdraw]}, bound to IPs {said[rights.ip_bound]}"
    if rights.expires_ms is None:
        return words
    return f"{words}, expires in {max(0, rights.expires_ms - now_ms) / DAY_MS:.0f} days"


def foreign_orders(open_orders: Sequence[str], past: JournalState, instance: str) -> list[str]:
    """Open orders that carry this project's name but that this instance's journal does not know."""
    return [
        name
        for name in open_orders
        if (parts := parse_id(name)) is not None and not (parts.instance == instance and name in past.orders)
    ]


def _account_file(run_dir: Path, venue: str) -> Path:
    return run_dir / ("account" if venue == "binance" else f"account-{venue}")


def bound_account(run_dir: Path, venue: str = "binance") -> str:
    """The account at ``venue`` whose journal this folder holds; empty for a new one."""
    path = _account_file(run_dir, venue)
    return path.read_text(encoding="utf-8").strip() if path.exists() else ""


def bind_account(run_dir: Path, account: str, venue: str = "binance") -> None:
    """Write down whose journal this folder holds."""
    run_dir.mkdir(parents=True, exist_ok=True)
    _account_file(run_dir, venue).write_text(account + "\n", encoding="utf-8")


def judge_paper(
    runs_dir: Path, wanted: str, *, stand_in: bool, accepted: bool, settings: Settings | None = None
) -> list[Finding]:
    """A paper run with these very settings went before, or a person takes it on themselves. ``settings``: to tell what
    has changed since the last one."""
    if accepted or find_paper_run(runs_dir, wanted, stand_in=stand_in) is not None:
        return []
    remedy = "trade on paper first: python3 run.py paper, or take it on yourself: --i-accept-without-paper"
    last = find_paper_run(runs_dir, None, stand_in=stand_in)
    if last is None:
        text = f"no finished paper run with these settings ({wanted}); {remedy}"
        return [Finding(name="no_paper_run", text=text)]
    kept = kept_in(runs_dir / last.run_id)
    which = ""
    if kept is not None and settings is not None:
        found = [c.line() for c in changes(kept.settings, flat(settings), 0) if c.effect != "none"]
        which = ": " + "; ".join(line.partition("   (")[0] for line in found[:CHANGES_SHOWN])
        which += f"; and {len(found) - CHANGES_SHOWN} more" if len(found) > CHANGES_SHOWN else ""
    text = (
        f"the settings changed since the last paper run, {last.run_id}{which} (python3 run.py config diff tells what "
        f"that allows); {remedy}"
    )
    return [Finding(name="config_changed", text=text)]
