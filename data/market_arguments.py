"""The options by which a verb is told which market, and which minutes of it, to run over."""

import argparse
from dataclasses import replace
from pathlib import Path

from config.argument_types import days, minute, minutes, number
from config.settings import Settings
from core.errors import ConfigError, DataError
from core.units import DAY_MS, MINUTE_MS, Instrument
from data.catalog import how_to_bring
from data.folder_source import Progress, folder_source
from data.market import (
    WARMUP_MINUTES,
    MarketCut,
    MarketSource,
    Reader,
    cut,
    demo_source,
    reaching_of,
    real_source,
    synthetic_source,
)

STARTERS = {"binance": Instrument("binance", "BTC/USDT"), "upbit": Instrument("upbit", "BTC/KRW")}
"""What to begin with at an exchange of which nothing is configured."""


def add_market(parser: argparse.ArgumentParser) -> None:
    """Which market: imported bars, a synthetic market, or (by default) the demo."""
    group = parser.add_argument_group("market").add_mutually_exclusive_group()
    group.add_argument("--exchange", choices=["binance", "upbit"], help="imported bars of this exchange (var/lake)")
    group.add_argument(
        "--data",
        type=Path,
        metavar="PATH",
        help="a folder of bar files as 'data import' takes them (imported once, under var/markets), or of a lake; "
        "the configured instruments that it has bars of are traded",
    )
    group.add_argument(
        "--market", metavar="NAME", help="the synthetic market var/synth/NAME (default: a demo made now)"
    )


def add_worth(parser: argparse.ArgumentParser) -> None:
    """What a currency is worth, for runs that keep their account in it."""
    parser.add_argument(
        "--per-usdt",
        type=_per_usdt,
        action="append",
        default=[],
        metavar="CURRENCY=NUMBER",
        help="how many of a currency a USDT costs through the whole run, e.g. KRW=1390 (default: the last price of its own "
        "market, upbit:USDT/KRW, before the first minute, where there are bars of it)",
    )


def add_span(parser: argparse.ArgumentParser, default_minutes: int) -> None:
    """Which minutes of it."""
    group = parser.add_argument_group("length")
    length = group.add_mutually_exclusive_group()
    length.add_argument("--days", type=days, help="length in days (1,440 minutes each)")
    length.add_argument("--minutes", type=minutes, help=f"length in minutes (default {default_minutes:,})")
    group.add_argument(
        "--start",
        type=_time,
        metavar="TIME",
        help="first minute, e.g. 2026-04-21T00:00 (UTC); default: the last ones there are",
    )


def source_of(args: argparse.Namespace, var: Path, progress: Progress = lambda text, share: None) -> MarketSource:
    """The market the arguments name; the demo is made, and a folder imported, when it is not there yet."""
    if args.data:
        source = folder_source(var, args.data, progress)
    elif args.exchange:
        source = real_source(var)
    else:
        source = synthetic_source(var, args.market) if args.market else demo_source(var)
    return replace(source, per_usdt=tuple(getattr(args, "per_usdt", ())))


def wanted_span(args: argparse.Namespace) -> tuple[int, int] | None:
    """The first minute (with its history) and the last one that the arguments name; None where they leave it open."""
    if getattr(args, "start", None) is None:
        return None
    first = minute(args.start)
    count = args.minutes or (1 if args.days is None else round(args.days * DAY_MS / MINUTE_MS))
    return first - WARMUP_MINUTES * MINUTE_MS, first + (count - 1) * MINUTE_MS


def fitted(
    args: argparse.Namespace, settings: Settings, source: MarketSource
) -> tuple[Settings, tuple[Instrument, ...]]:
    """The settings with the instruments that this market has, and which of the configured ones it has not.

    Only ``--data`` drops any: whoever names a folder asks for what is in it. ConfigError when nothing is left,
    DataError when ``--exchange`` asks for a lake that holds nothing yet.
    """
    rows = settings.config.trade.rows
    there = set(source.lake.instruments())
    if not args.data and not there and args.exchange:
        wanted = [row for row in rows if row.venue == args.exchange] or [STARTERS[args.exchange]]
        raise DataError(
            f"{source.lake.root}: has no bars of {args.exchange}. {how_to_bring(source.lake.root, *wanted)}"
        )
    left = tuple(row for row in rows if row in there)
    if len(left) == len(rows):
        return settings, ()
    if there and not left:
        names, all_of_them = ", ".join(map(str, sorted(there))), ",".join(f'"{i}"' for i in sorted(there))
        where = f"--data {args.data}" if args.data else source.lake.root
        raise ConfigError(
            f"{where}: has bars of {names}, and none of the configured instruments; trade them with "
            f"--set 'trade.instruments=[{all_of_them}]'"
        )
    if there and not args.data:
        missing = [row for row in rows if row not in there]
        span = wanted_span(args)
        reaching = left if span is None else reaching_of(source.lake, left, *span)
        said = f"{source.lake.root}: has no bars of {', '.join(map(str, missing))}; import or download them"
        if not reaching:
            raise ConfigError(f"{said}; of {', '.join(map(str, left))} there are none of those minutes either")
        late = [str(row) for row in left if row not in reaching]
        without = f" ({', '.join(late)} {'has' if len(late) == 1 else 'have'} none of those minutes)" if late else ""
        listed = ",".join(f'"{i}"' for i in reaching)
        raise ConfigError(f"{said}, or trade what there is{without}: --set 'trade.instruments=[{listed}]'")
    if not args.data:
        return settings, ()
    trade = settings.config.trade.model_copy(update={"instruments": tuple(map(str, left))})
    changed = settings.model_copy(update={"config": settings.config.model_copy(update={"trade": trade})})
    return changed, tuple(row for row in rows if row not in there)


def cut_of(
    args: argparse.Namespace,
    source: MarketSource,
    instruments: tuple[Instrument, ...],
    default_minutes: int,
    read: Reader | None = None,
) -> MarketCut:
    """The minutes the arguments name, with the history before them; ``read`` as in ``data.market.cut``."""
    count = default_minutes
    if args.minutes is not None:
        count = args.minutes
    elif args.days is not None:
        count = round(args.days * DAY_MS / MINUTE_MS)
    return cut(source, instruments, count, None if args.start is None else minute(args.start), read)


def _per_usdt(text: str) -> tuple[str, float]:
    currency, _, amount = text.partition("=")
    if not currency.isalpha() or not amount:
        raise argparse.ArgumentTypeError(f"{text!r} is not CURRENCY=NUMBER, e.g. KRW=1390")
    return currency.upper(), number(0.0, 1e9, above=True)(amount)


def _time(text: str) -> str:
    """A time as it was written, once it is one: messages about it use its own words."""
    minute(text)
    return text


def market_words(source: MarketSource, data: Path | None = None) -> tuple[str, ...]:
    """The options by which another command is told of the same market; ``data``: the folder that it was found by."""
    if data is not None:
        return ("--data", str(data))
    return ("--market", source.name) if source.synthetic else ()
