"""What ``live`` says before it asks for consent: what is traded, in which account, within which limits."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from actors.runs.arming import Account, JournalState, key_words
from actors.runs.reach import ReachedAll
from config.changes import changes, kept_in
from config.identity import rules_hash
from config.meanings import flat, managed_usdt
from config.money import doubts, in_money, money_line
from config.settings import Settings
from core.messages import Balance
from core.orders import parse_id
from core.starting_cap import StartingCap


def holding(balance: Balance) -> str:
    """``holds: 1.5 BTC, of it 0.01 locked in open orders``"""
    text = f"holds: {balance.total.normalize():f} {balance.asset}"
    return f"{text}, of it {balance.locked.normalize():f} locked in open orders" if balance.locked else text


def tell_live(
    console: Console,
    settings: Settings,
    accounts: Sequence[Account],
    past: JournalState,
    reached: ReachedAll,
    cap: StartingCap,
    versions: Mapping[str, str],
    run_dir: Path,
) -> None:
    """All of it, line by line; what to look at twice comes last."""

    def say(text: str, style: str | None = None) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True, style=style)

    several = len(reached.parts) > 1
    equity = sum(account.equity for account in accounts)
    say(f"trades: {', '.join(settings.config.trade.instruments)}")
    members = ", ".join(f"{m.name} {versions.get(m.name, '(none)')}" for m in settings.rules.models.enabled)
    say(f"models: {members}; settings {rules_hash(settings)}")
    for account in accounts:
        at = f"{account.venue} " if several else ""
        say(f"{at}{key_words(account, reached.server_ms)}")
        for balance in account.state.balances:
            say(f"{at}{holding(balance)}")
        others = [name for name in account.open_orders if parse_id(name) is None]
        if others:
            what = "open order that is" if len(others) == 1 else "open orders that are"
            say(f"{at}{len(others)} {what} not the bot's: left alone")
    say(cap.words(settings.config.trade.invest_pct, managed_usdt(flat(settings), equity)))
    say(f"limits of an account worth {equity:,.2f} USDT (all of them: python3 run.py config check):")
    for row in in_money(settings, equity):
        section, _, key = row[1].partition(" ")[0].partition(".")
        if section in ("live", "risk") or (section == "trade" and key not in ("instruments", "reporting_currency")):
            say(money_line(*row))
    kept = kept_in(run_dir)
    if kept is not None:
        for change in changes(kept.settings, flat(settings), equity):
            if change.effect in ("more", "either") and change.key != "redis_url":
                say(f"changed since {kept.name}, {change.effect_words}: {change.line()}", style="yellow")
    for doubt in doubts(settings, equity, cap):
        say(f"doubtful: {doubt}", style="yellow")
    if past.unsettled:
        names = ", ".join(past.unsettled[:5])
        say(
            f"{len(past.unsettled)} orders of the last run had not ended ({names}): they are settled with the exchange first"
        )
