"""The options by which a verb is told which market, and which minutes of it, to run over."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from core.errors import ConfigError
from core.units import DAY_MS, MINUTE_MS, Instrument
from data.market import MarketCut, MarketSource, cut, demo_source, real_source, synthetic_source

LONGEST_MINUTES = 10 * 366 * 1_440


def add_market(parser: argparse.ArgumentParser) -> None:
    """Which market: imported bars, a synthetic market, or (by default) the demo."""
    group = parser.add_argument_group("market")
    group.add_argument("--exchange", choices=["binance"], help="imported bars of this exchange (var/lake)")
    group.add_argument(
        "--market", metavar="NAME", help="the synthetic market var/synth/NAME (default: a demo made now)"
    )


def add_span(parser: argparse.ArgumentParser, default_minutes: int) -> None:
    """Which minutes of it."""
    group = parser.add_argument_group("length")
    group.add_argument("--days", type=float, help="length in days (1,440 minutes each)")
    group.add_argument("--minutes", type=int, help=f"length in minutes (default {default_minutes:,})")
    group.add_argument(
        "--start", metavar="TIME", help="first minute, e.g. 2026-04-21T00:00 (UTC); default: the last ones there are"
    )


def source_of(args: argparse.Namespace, var: Path) -> MarketSource:
    """The market the arguments name; the demo is made when it is not there."""
    if args.exchange and args.market:
        raise ConfigError("--exchange takes imported bars and --market a synthetic market: give one of them")
    if args.exchange:
        return real_source(var)
    return synthetic_source(var, args.market) if args.market else demo_source(var)


def cut_of(
    args: argparse.Namespace, source: MarketSource, instruments: tuple[Instrument, ...], default_minutes: int
) -> MarketCut:
    """The minutes the arguments name, with the history before them."""
    if args.days is not None and args.minutes is not None:
        raise ConfigError("give --days or --minutes, not both")
    minutes = default_minutes
    if args.minutes is not None:
        minutes = args.minutes
    elif args.days is not None:
        minutes = round(args.days * DAY_MS / MINUTE_MS)
    if not 1 <= minutes <= LONGEST_MINUTES:
        raise ConfigError(f"a run of {minutes} minutes is not possible; from 1 to {LONGEST_MINUTES:,} is")
    return cut(source, instruments, minutes, _minute(args.start))


def _minute(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--start {text!r} is not a time like 2026-04-21T00:00") from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return int(moment.timestamp() * 1000) // MINUTE_MS * MINUTE_MS
