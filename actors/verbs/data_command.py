"""The verb ``data``: what ``data.data_command`` does with files, and what needs an exchange as well.

The halves that talk to an exchange are imported only when they are asked for: listing a lake must not wait for them.
"""

import argparse
import importlib

from config.argument_types import number, whole
from data import data_command
from exchanges.limits.tables import LINES

HELP = "download, import, list and verify stored bars; make synthetic markets"
EXAMPLE = (
    "python3 run.py data download --exchange binance --symbols BTC/USDT,ETH/USDT --since 2024-01-01\n"
    + data_command.EXAMPLE
)
WITH_EXCHANGE = "actors.history.history_command"


def arguments(parser: argparse.ArgumentParser) -> None:
    verbs = data_command.arguments(parser)
    one = verbs.add_parser(
        "download",
        help="fetch the history of an exchange into the lake",
        description="Fetch one-minute bars from an exchange into the lake: whole months and days from its public\n"
        "archive (Binance; each file's checksum is held against it), pages of its API for the rest. Killed at\n"
        "any moment, the same command goes on where it was. It spends at most half of what the exchange allows,\n"
        "after everything a running bot needs. A bar that differs from the stored one is told and stays out\n"
        "unless --replace. Exit code 1 when anything stayed out.",
        epilog="example: python3 run.py data download --exchange upbit --symbols BTC/KRW --since 2026-01-01",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    one.add_argument("--exchange", type=str.lower, choices=sorted(LINES), required=True)
    one.add_argument("--symbols", required=True, help="BASE/QUOTE, comma-separated, e.g. BTC/USDT,ETH/USDT")
    one.add_argument("--since", required=True, metavar="TIME", help="first minute, e.g. 2024-01-01 (UTC)")
    one.add_argument("--until", metavar="TIME", help="where to stop (not included); default: now")
    one.add_argument("--replace", action="store_true", help="take the exchange's bar where the lake has another")
    one.add_argument("--again", action="store_true", help="fetch what was finished before, too")
    one.add_argument("--no-archive", action="store_true", help="ask the API for everything")
    one.add_argument("--archive-url", metavar="URL", help="where the archive is, when not at the exchange's own place")
    one.add_argument(
        "--patience",
        type=number(1, 86_400),
        default=600.0,
        metavar="SECONDS",
        help="how long to wait for a network that is gone (default 600)",
    )
    _exchange_url(one)
    data_command.common(one)

    one = verbs.choices["verify"]
    one.add_argument(
        "--against",
        choices=("exchange",),
        help="also read the bars a second time from the exchange, and list what differs",
    )
    one.add_argument("--exchange", type=str.lower, choices=sorted(LINES), help="with --against: only this one")
    one.add_argument("--symbols", help="with --against: only these, comma-separated")
    one.add_argument(
        "--sample",
        type=whole(1),
        default=20,
        help="with --against: stretches of 200 minutes an instrument, drawn by chance (default 20)",
    )
    one.add_argument("--whole", action="store_true", help="with --against: every bar")
    one.add_argument("--seed", type=whole(0), default=7, help="with --against: of the draw")
    _exchange_url(one)


def main(args: argparse.Namespace) -> int:
    if args.data_verb == "download" or (args.data_verb == "verify" and args.against):
        return int(importlib.import_module(WITH_EXCHANGE).main(args))
    return data_command.main(args)


def _exchange_url(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--exchange-url",
        metavar="URL",
        help="where the exchange's API is (a simulator); default: exchanges.<venue>.rest_url",
    )
