"""The verb ``data``: import, list and verify the lake, make synthetic markets."""

import argparse
import json
import shlex
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from config import load
from config.argument_types import number, whole
from core.errors import EXIT_FAILURE, EXIT_OK, DataError
from data.catalog import how_to_import
from data.checks import iso
from data.headlines import load_news
from data.import_report import ImportOptions
from data.importing import import_path
from data.lake import Lake
from data.report import IMPORT_WORDS, show_catalog, show_import, show_verify
from data.sentiment import load_series
from data.synthetic import describe, make_market, write_market
from data.synthetic_spec import ASSETS, SyntheticSpec
from data.verify import verify

HELP = "import, list and verify stored bars; make synthetic markets"
EXAMPLE = "python3 run.py data import ~/bars/binance --dry-run"


def arguments(parser: argparse.ArgumentParser) -> Any:
    """Gives the sub-verbs, so that what needs an exchange too can be added outside of this room."""
    verbs = parser.add_subparsers(dest="data_verb", required=True, metavar="VERB")
    raw = argparse.RawDescriptionHelpFormatter

    one = verbs.add_parser(
        "import",
        help="bring Parquet, CSV or Feather bars into the lake",
        description="Bring one-minute bars into the lake. Bad rows are listed with row number and fault and stay out;\n"
        "a bar that differs from the stored one stays out unless --replace. Rows of a CSV are counted in\n"
        "lines (header included), those of other files in bars from 1.\n"
        "Exit code 1 when anything stayed out (0 with --allow-bad).\n\n"
        "The table counts, by file:\n" + "\n".join(f"  {word:<10}{about}" for word, about in IMPORT_WORDS),
        epilog="example: python3 run.py data import ~/bars/binance_2026-03 --dry-run",
        formatter_class=raw,
    )
    one.add_argument("path", type=Path, help="a file, or a folder with all its folders")
    one.add_argument("--exchange", type=str.lower, help="when no folder above the file is named after one")
    one.add_argument("--symbol", help="BASE/QUOTE, when the file's name does not tell")
    one.add_argument(
        "--timezone", type=_zone, metavar="ZONE", help="what times without a zone mean, e.g. Asia/Seoul (default UTC)"
    )
    one.add_argument("--replace", action="store_true", help="take the file's bar where the lake has another")
    one.add_argument("--allow-bad", action="store_true", help="exit 0 although rows stayed out")
    one.add_argument("--dry-run", action="store_true", help="report, write nothing")
    common(one)

    one = verbs.add_parser(
        "list",
        help="what the lake holds",
        description="What the lake holds, an instrument a line. A file that can not be read is named and not counted;\n"
        "the exit code is then 1.",
        epilog="example: python3 run.py data list --json",
        formatter_class=raw,
    )
    common(one)

    one = verbs.add_parser(
        "verify",
        help="read the lake again and name every fault",
        description="Read every file and row of the lake again; name file, row and fault; change nothing.\n"
        "Exit code 1 on a fault.",
        epilog="example: python3 run.py data verify",
        formatter_class=raw,
    )
    common(one)

    one = verbs.add_parser(
        "synth",
        help="make a seeded, labelled synthetic market",
        description="Make a synthetic market in a lake of its own (var/synth/NAME), labelled in every file\n"
        "and in market.json.",
        epilog="example: python3 run.py data synth demo --seed 7 --days 5 --edge planted",
        formatter_class=raw,
    )
    spec = SyntheticSpec()
    one.add_argument("name", type=_name, help="letters, digits, - and _")
    one.add_argument("--seed", type=whole(0), default=spec.seed, help=f"same seed, same bars (default {spec.seed})")
    one.add_argument("--days", type=whole(1, 3_660), default=spec.days, help=f"default {spec.days}")
    one.add_argument(
        "--start",
        type=_midnight,
        default=spec.start_ms,
        metavar="DATE",
        help=f"its first day, UTC (default {datetime.fromtimestamp(spec.start_ms / 1000, UTC):%Y-%m-%d})",
    )
    one.add_argument(
        "--symbols",
        type=_bases,
        default=spec.binance,
        help=f"bases quoted in USDT on binance, of {','.join(ASSETS)} (default {','.join(spec.binance)})",
    )
    one.add_argument(
        "--upbit",
        type=_bases,
        default=spec.upbit,
        help=f"bases quoted in KRW on upbit; '' for none (default {','.join(spec.upbit)})",
    )
    one.add_argument(
        "--edge",
        choices=("planted", "none"),
        default=spec.edge,
        help="plant something to be earned, or nothing (default planted)",
    )
    one.add_argument(
        "--edge-bps",
        type=number(0, 1_000),
        default=spec.edge_bps,
        help=f"strength of a planted edge, 0 to 1000 (default {spec.edge_bps:g})",
    )
    common(one)
    return verbs


def main(args: argparse.Namespace) -> int:
    return {"import": _import, "list": _list, "verify": _verify, "synth": _synth}[args.data_verb](args)


def _import(args: argparse.Namespace) -> int:
    options = ImportOptions(
        venue=args.exchange, symbol=args.symbol, zone=args.timezone, replace=args.replace, dry_run=args.dry_run
    )
    report = import_path(lake_of(args), args.path, options)
    if args.json:
        print_json(
            {
                "lake": report.lake,
                "dry_run": report.dry_run,
                "faults": report.faults,
                "files": [
                    {
                        **asdict(f),
                        "instrument": f.instrument and str(f.instrument),
                        "first": _time(f.first),
                        "last": _time(f.last),
                    }
                    for f in report.files
                ],
            }
        )
    else:
        show_import(report, sys.stdout)
    return EXIT_FAILURE if report.faults and not args.allow_bad else EXIT_OK


def _list(args: argparse.Namespace) -> int:
    lake = lake_of(args)
    found, mood, news = lake.survey(), load_series(lake.root), load_news(lake.root)
    if args.json:
        bars = [
            {**asdict(r), "instrument": str(r.instrument), "first": _time(r.first), "last": _time(r.last)}
            for r in found.rows
        ]
        print_json(
            {
                "lake": lake.root,
                "bars": bars,
                "faults": found.faults,
                "sentiment_readings": len(mood),
                "headlines": len(news.headlines),
            }
        )
    else:
        show_catalog(lake.root, found, len(mood), sys.stdout, _advice(args, lake))
        if news:
            print(f"headlines: {len(news.headlines)}, funding rates: {len(news.funding)}")
    return EXIT_FAILURE if found.faults else EXIT_OK


def _advice(args: argparse.Namespace, lake: Lake) -> str:
    """What fills this lake, as commands that can be typed as they stand. A synthetic market does not go where the bars of
    an exchange belong; it has a lake of its own, unless a person has named one."""
    here = shlex.quote(str(lake.root))
    bars = f"bars of yours: {how_to_import(lake.root)}"
    if args.lake:
        return f"{bars}; a synthetic market: python3 run.py data synth NAME --lake {here}"
    own = f"{shlex.quote(str(lake.root.parent / 'synth'))}/NAME"
    return (
        f"{bars}; a synthetic market, in a lake of its own: python3 run.py data synth NAME --lake {own}, which is listed by: "
        f"python3 run.py data list --lake {own}"
    )


def _verify(args: argparse.Namespace) -> int:
    report = verify(lake_there(args))
    if args.json:
        print_json({"lake": report.lake, "faults": report.faults, "files": [asdict(check) for check in report.files]})
    else:
        show_verify(report, sys.stdout)
    return EXIT_FAILURE if report.faults else EXIT_OK


def _midnight(text: str) -> int:
    """``2026-11-23`` as epoch ms of its first minute, UTC."""
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no day such as 2026-11-23") from None
    return int(day.timestamp()) * 1000


def _synth(args: argparse.Namespace) -> int:
    spec = SyntheticSpec(
        name=args.name,
        seed=args.seed,
        days=args.days,
        start_ms=args.start,
        edge=args.edge,
        binance=args.symbols,
        upbit=args.upbit,
        edge_bps=args.edge_bps,
    )
    market = make_market(spec)
    lake = write_market(market, args.lake or _var(args) / "synth" / args.name)
    if args.json:
        print_json({"lake": lake.root, **describe(market)})
    else:
        said = describe(market)
        print(f"synthetic market {spec.name!r} (seed {spec.seed}, edge {spec.edge}) in {lake.root}")
        print(f"  {said['edge_in_words']}")
        show_catalog(lake.root, lake.survey(), len(market.sentiment), sys.stdout)
    return EXIT_OK


def lake_of(args: argparse.Namespace) -> Lake:
    return Lake(args.lake or _var(args) / "lake")


def lake_there(args: argparse.Namespace) -> Lake:
    """The lake of the arguments; DataError naming the folder when it is not there."""
    lake = lake_of(args)
    if not lake.root.is_dir():
        raise DataError(
            f"{lake.root}: there is no such folder, so no lake to read; name one with --lake, or fill it with "
            "`data download` or `data import`"
        )
    return lake


def _var(args: argparse.Namespace) -> Path:
    # Asked for only where no lake is named: a faulty setting does not keep anybody from a lake of his own.
    return load.resolve_var(load.from_arguments(args))


def common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--lake", type=Path, help="root of the lake (default var/lake, for synth var/synth/NAME)")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    load.arguments(parser)


def print_json(body: dict[str, object]) -> None:
    json.dump(body, sys.stdout, indent=2, default=str)
    print()


def _time(ts: int | None) -> str | None:
    return None if ts is None else iso(ts)


def _zone(text: str) -> ZoneInfo:
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no time zone, e.g. Asia/Seoul") from error


def _name(text: str) -> str:
    if not text or not all(letter.isalnum() or letter in "-_" for letter in text):
        raise argparse.ArgumentTypeError(f"{text!r}: only letters, digits, - and _")
    return text


def _bases(text: str) -> tuple[str, ...]:
    # A config's own writing (BTC/USDT) is understood too.
    return tuple(dict.fromkeys(part.strip().upper().partition("/")[0] for part in text.split(",") if part.strip()))
