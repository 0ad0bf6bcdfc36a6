"""`run.py config`: show the settings in force, check them, tell what changed, or write their JSON schemas."""

import argparse
import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from config import load, schema
from config.argument_types import amount
from config.changes import HEADINGS, changes, newest_kept, newest_replay, settings_at
from config.faults import without_password
from config.meanings import flat
from config.money import doubts, in_money, money_line, state_words, venue_words
from config.secrets import HIDDEN, Secrets, load_secrets
from config.settings import Settings
from core.errors import EXIT_OK, ConfigError

HELP = (
    "Show the settings in force (files, environment and --set together), check them, tell what they allow that the last "
    "run's did not, or write their JSON schemas."
)
EXAMPLE = "python3 run.py config check --equity 10000 --set trade.invest_pct=20"
ACTIONS = ("show", "check", "diff", "schema")


def arguments(parser: argparse.ArgumentParser) -> None:
    what = (
        "show: print them; check: what they mean in money, and exit 4 with one line when something is wrong; diff: what "
        "they allow that was not allowed before; schema: write the schemas for editors"
    )
    parser.add_argument("action", choices=ACTIONS, nargs="?", default="show", help=what)
    against = "diff: a run's folder or name, or a folder of settings (default: the last paper or live run, or the last replay where there is neither)"
    parser.add_argument("--against", type=Path, default=None, metavar="RUN", help=against)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--equity", type=amount, default="10000", metavar="USDT", help="account to reckon with (default %(default)s)"
    )
    parser.add_argument("--keys", type=Path, default=None, metavar="FILE", help="private file (config/api_keys.json)")
    load.arguments(parser)


def main(args: argparse.Namespace) -> int:
    if args.action == "schema":
        return _write_schemas(args.config_dir or load.ROOT / "config")
    settings = load.from_arguments(args)
    if args.against is not None and args.action != "diff":
        raise ConfigError(f"--against belongs to 'config diff', not to 'config {args.action}'")
    if args.action == "diff":
        return _diff(settings, args.against, float(args.equity), as_json=args.json)
    secrets = load_secrets(args.keys)
    if args.action == "show":
        print(json.dumps(shown(settings, secrets), indent=2, ensure_ascii=False))
        return EXIT_OK
    return _check(settings, secrets, float(args.equity), as_json=args.json)


def shown(settings: Settings, secrets: Secrets) -> dict[str, object]:
    """The settings as plain data; of the secrets only that they are there. Passwords in addresses are hidden."""
    config = settings.config.model_dump(mode="json")
    config["redis_url"] = without_password(config["redis_url"])
    private = {
        **{venue: {"api_key": HIDDEN, "api_secret": HIDDEN} for venue in secrets.venues},
        "notification_urls": [HIDDEN for _ in secrets.notification_urls],
        "grafana_token": HIDDEN if secrets.grafana_token else None,
    }
    return {
        "config": config,
        "rules": settings.rules.model_dump(mode="json"),
        "secrets": private,
        "var": str(load.resolve_var(settings)),
    }


def _check(settings: Settings, secrets: Secrets, equity: float, as_json: bool) -> int:
    rows, warnings, venues = in_money(settings, equity), doubts(settings, equity), venue_words(settings)
    states = state_words(settings, equity)
    if as_json:
        money = {key.partition(" ")[0]: usdt for _, key, usdt in rows if usdt is not None}
        answer = {"ok": True, "equity": equity, "in_usdt": money, "exchanges": venues, "states": states}
        answer["warnings"] = warnings
        print(json.dumps(answer, ensure_ascii=False))
        return EXIT_OK
    keyed = ", ".join(secrets.venues) or "none (replay, backtest and paper need none)"
    count = f"{len(warnings)} warning{'s' if len(warnings) > 1 else ''}, see the end" if warnings else "no warnings"
    print(f"The settings are valid: {count}. Exchange keys: {keyed}.")
    print(f"With an equity of {equity:,.0f} USDT:")
    for row in rows:
        print(money_line(*row))
    for line in (*states, *venues):
        print(line)
    for warning in warnings:
        print(f"  careful: {warning}")
    return EXIT_OK


def _diff(settings: Settings, against: Path | None, equity: float, as_json: bool) -> int:
    var = load.resolve_var(settings)
    old = (newest_kept(var) or newest_replay(var)) if against is None else settings_at(against, var)
    if old is None:
        raise ConfigError(f"there is no run in {var} to compare with; name settings by --against")
    now = flat(settings)
    now["redis_url"] = without_password(now["redis_url"])
    found = changes(old.settings, now, equity)
    if as_json:
        told = {"against": old.name, "equity": equity, "changes": [asdict(change) for change in found]}
        print(json.dumps(told, ensure_ascii=False))
        return EXIT_OK
    when = f" of {datetime.fromtimestamp(old.at_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC" if old.at_ms else ""
    print(f"Compared with {old.name}{when}, with an equity of {equity:,.0f} USDT:")
    for effect, heading in HEADINGS.items():
        mine = [change for change in found if change.effect == effect]
        if mine:
            print(f"{heading}:")
            for change in mine:
                print(f"  {change.line()}")
    if not found:
        print("  nothing has changed.")
    elif not any(change.effect in ("more", "either") for change in found):
        print("Nothing is allowed that was not allowed before.")
    return EXIT_OK


def _write_schemas(folder: Path) -> int:
    for name, model in schema.SCHEMAS.items():
        try:
            (folder / name).write_text(schema.text(model), encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{folder / name}: cannot be written: {error.strerror}") from None
        print(f"wrote {folder / name}")
    return EXIT_OK
