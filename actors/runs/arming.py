"""May real money be traded? Every reason against it has a name, and says what to do about it."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from actors.limits import venue_gate
from actors.runs.run_mark import find_paper_run
from config.secrets import ApiKeys, load_secrets, open_to_others, require_keys
from config.settings import ExchangeSettings, Settings
from core.errors import EXIT_CONFIG, BotError, ConfigError, DataError, ExchangeRefused
from core.execution.machine import ExecutionMachine
from core.execution.scribe import replay
from core.features import schema_hash
from core.messages import AccountState
from core.orders import parse_id
from core.units import MINUTE_MS, Instrument
from data.artifacts import ArtifactStore
from data.journal import read_journal
from exchanges.binance.gateway import BinanceGateway
from exchanges.binance.standing import KeyRights

VENUE = "binance"
RECENT_MINUTES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One reason not to trade."""

    name: str
    """Fixed word for scripts: no_keys, key_file_open, keys_refused, withdraw_right, cannot_trade, wrong_account,
    other_account, clock_off, open_orders, unreconciled, records_ahead, no_paper_run, no_proven_edge, models_missing,
    no_consent."""
    text: str
    """What is wrong, and what to do."""


class NotArmed(BotError):
    """Live trading was not started. ``names`` are those of the findings."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        lines = [f"[{f.name}] {f.text}" for f in findings]
        super().__init__("live trading was not started:\n  " + "\n  ".join(lines))
        self.names = tuple(f.name for f in findings)
        if "no_proven_edge" in self.names:
            # Rules that were never shown to earn are wrong settings for real money.
            self.exit_code = EXIT_CONFIG


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What the venue says of the account before the start."""

    rights: KeyRights
    state: AccountState
    equity: float
    """USDT, and what the traded coins are worth; other assets are not counted."""
    open_orders: tuple[str, ...]
    """Client ids of every open order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalState:
    """Where the last run of this instance ended."""

    orders: frozenset[str] = frozenset()
    unsettled: tuple[str, ...] = ()
    fault: str = ""
    """Why the journal cannot be gone on from; empty when it can."""


def find_keys(path: Path, environ: Mapping[str, str] | None = None) -> tuple[ApiKeys | None, list[Finding]]:
    """The account's key pair, or why there is none to use."""
    try:
        return require_keys(load_secrets(path, environ), VENUE), []
    except ConfigError as error:
        name = "key_file_open" if path.exists() and open_to_others(path) else "no_keys"
        return None, [Finding(name=name, text=str(error))]


def ask_account(
    exchange: ExchangeSettings,
    keys: ApiKeys,
    instruments: tuple[Instrument, ...],
    server_ms: int,
    var: Path | None = None,
) -> tuple[Account | None, list[Finding]]:
    """What the venue says of the account. ``var``: where the limits are shared. Raises ExchangeUnavailable when it does not answer."""
    try:
        return asyncio.run(_ask_account(exchange, keys, instruments, server_ms, var)), []
    except ExchangeRefused as error:
        text = f"the exchange turned our keys down: {error}; check both keys, and the key's IP list"
        return None, [Finding(name="keys_refused", text=text)]


async def _ask_account(
    exchange: ExchangeSettings, keys: ApiKeys, instruments: tuple[Instrument, ...], server_ms: int, var: Path | None
) -> Account:
    gateway = BinanceGateway(exchange, keys, instruments, ledger=venue_gate(var, VENUE, exchange))
    try:
        rights = await gateway.rights()
        state = await gateway.account()
        open_orders = await gateway.open_orders()
        equity = float(state.total(VENUE, "USDT"))
        first = server_ms // MINUTE_MS * MINUTE_MS - RECENT_MINUTES * MINUTE_MS
        for instrument in instruments:
            if held := float(state.total(VENUE, instrument.base)):
                bars = await gateway.history(instrument, first, RECENT_MINUTES)
                equity += held * bars[-1].close if bars else 0.0
        names = tuple(order.client_id for order in open_orders)
        return Account(rights=rights, state=state, equity=equity, open_orders=names)
    finally:
        await gateway.close()


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
    unsettled = tuple(order.client_id for order in machine.unsettled())
    return JournalState(orders=frozenset(machine.books.orders), unsettled=unsettled)


def find_models(store: ArtifactStore, settings: Settings) -> tuple[dict[str, str], list[Finding]]:
    """Artifact version of every enabled member; a finding names those without one that fits."""
    models = settings.rules.models
    found: dict[str, str] = {}
    for member in models.enabled:
        artifact = store.latest(
            "model",
            member.name,
            schema=schema_hash(),
            where=lambda a, m=member: a.family == m.family and a.extra.get("horizon") == models.horizon_minutes,
        )
        if artifact is not None:
            found[member.name] = artifact.version
    missing = [member.name for member in models.enabled if member.name not in found]
    if not missing:
        return found, []
    text = f"no trained model for {', '.join(missing)} in {store.root}; train them: python3 run.py train"
    return found, [Finding(name="models_missing", text=text)]


def judge_account(account: Account, past: JournalState, instance: str, run_dir: Path) -> list[Finding]:
    """What speaks against trading this account with this key now."""
    found: list[Finding] = []
    rights = account.rights
    if rights.can_withdraw:
        text = (
            "this key may withdraw; a trading bot must not be able to. Make a key without the right (Binance: API "
            "Management > Edit restrictions > Enable Withdrawals off), and delete this one"
        )
        found.append(Finding(name="withdraw_right", text=text))
    if not rights.can_trade:
        text = "the account or the key may not trade spot (Binance: API Management > Edit restrictions > Enable Spot)"
        found.append(Finding(name="cannot_trade", text=text))
    bound = bound_account(run_dir)
    if bound and bound != rights.account:
        text = (
            f"{run_dir} belongs to account {bound}, the key to account {rights.account}; "
            "give this account an instance of its own: --instance NAME"
        )
        found.append(Finding(name="other_account", text=text))
    strangers = foreign_orders(account.open_orders, past, instance)
    if strangers:
        shown = ", ".join(strangers[:5]) + (f" and {len(strangers) - 5} more" if len(strangers) > 5 else "")
        text = (
            f"{len(strangers)} open orders of this bot, but not of this instance's journal ({shown}): another run may be "
            "trading this account. End it, or cancel them at the exchange"
        )
        found.append(Finding(name="open_orders", text=text))
    if past.fault:
        found.append(Finding(name="unreconciled", text=past.fault))
    return found


def foreign_orders(open_orders: Sequence[str], past: JournalState, instance: str) -> list[str]:
    """Open orders that carry this project's name but that this instance's journal does not know."""
    return [
        name
        for name in open_orders
        if (parts := parse_id(name)) is not None and not (parts.instance == instance and name in past.orders)
    ]


def bound_account(run_dir: Path) -> str:
    """The account whose journal this folder holds; empty for a new one."""
    path = run_dir / "account"
    return path.read_text(encoding="utf-8").strip() if path.exists() else ""


def bind_account(run_dir: Path, account: str) -> None:
    """Write down whose journal this folder holds."""
    run_dir.mkdir(parents=True, exist_ok=True)
    (run_dir / "account").write_text(account + "\n", encoding="utf-8")


def judge_paper(runs_dir: Path, wanted: str, *, stand_in: bool, accepted: bool) -> list[Finding]:
    """A paper run with these very settings went before, or a person takes it on themselves."""
    if accepted or find_paper_run(runs_dir, wanted, stand_in=stand_in) is not None:
        return []
    text = (
        f"no finished paper run with these settings ({wanted}); trade on paper first: python3 run.py paper, "
        "or take it on yourself: --i-accept-without-paper"
    )
    return [Finding(name="no_paper_run", text=text)]
