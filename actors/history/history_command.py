"""``run.py data download`` and ``data verify --against exchange``: arguments to gateways, results to words."""

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, TypeVar

import aiohttp
import numpy as np

from actors.clock import SimulatorControl, wall_ms
from actors.history.comparing import Compared, compare, total
from actors.history.downloading import Downloaded, Downloader, first_of, span_words
from actors.limits import venue_gate
from config import load
from config.settings import ExchangeSettings, rest_address
from core.errors import EXIT_FAILURE, EXIT_OK, BotError, ConfigError, DataError, ExchangeUnavailable
from core.units import DAY_MS, MINUTE_MS, Instrument
from data.checks import iso
from data.data_command import lake_of, lake_there, print_json
from data.lake import Lake
from data.pieces import time_left_s
from data.report import show_verify
from data.schema import Synthetic
from data.verify import verify
from exchanges.binance.archive import ARCHIVE_URL, Archive
from exchanges.venues import gateway_of

T = TypeVar("T")

EARLIEST_MS = 1_230_768_000_000
"""2009-01-01: before it there was nothing to trade."""
CONTROL_S = 3.0
TOLD_EVERY_S = 1.0
"""Of progress, at most."""
SHOWN = 10
"""Gaps and differences that are printed; JSON has all."""


def main(args: argparse.Namespace) -> int:
    if args.data_verb != "download":
        return asyncio.run(_verify(args))
    try:
        return asyncio.run(_download(args))
    except KeyboardInterrupt:
        print("what is done is kept: the same command goes on from there", file=sys.stderr)
        raise
    except ExchangeUnavailable as error:
        raise ExchangeUnavailable(
            f"{error}. Check the network and the address; what is done is kept: the same command goes on from there"
        ) from None


def moment(text: str, name: str) -> int:
    """A date or time (UTC unless it says otherwise) as the ms of its minute; ConfigError says what is wrong."""
    try:
        given = datetime.fromisoformat(f"{text}-01" if len(text) == 7 else text)
        given = given.replace(tzinfo=UTC) if given.tzinfo is None else given
        ms = int(given.timestamp() * 1_000) // MINUTE_MS * MINUTE_MS
    except (ValueError, OverflowError):
        raise ConfigError(f"{name} {text!r}: is no date like 2024-01-01 or 2024-01-01T12:00") from None
    if ms < EARLIEST_MS:
        raise ConfigError(f"{name} {text}: before 2009 nothing was traded")
    return ms


def instruments_of(venue: str, symbols: str) -> tuple[Instrument, ...]:
    """``BTC/USDT,ETH/USDT`` at a venue; ConfigError for what is no symbol."""
    found = []
    for part in (p.strip().upper() for p in symbols.split(",") if p.strip()):
        try:
            found.append(Instrument.parse(f"{venue}:{part}"))
        except ValueError:
            raise ConfigError(f"--symbols {part}: write BASE/QUOTE, e.g. BTC/USDT") from None
    if not found:
        raise ConfigError("--symbols: names no symbol; write e.g. BTC/USDT,ETH/USDT")
    return tuple(dict.fromkeys(found))


def _where(args: argparse.Namespace, venue: str) -> ExchangeSettings:
    """The settings' address of the exchange, or the one that was named."""
    settings = load.from_arguments(args)
    known = settings.config.exchanges.get(venue, ExchangeSettings())  # type: ignore[call-overload]
    if args.exchange_url is None:
        return known
    try:
        rest_address(args.exchange_url)
    except ValueError as error:
        raise ConfigError(f"--exchange-url {args.exchange_url}: {error}") from None
    return known.model_copy(update={"rest_url": args.exchange_url})


def _gateway(args: argparse.Namespace, venue: str, instruments: tuple[Instrument, ...]) -> tuple[Any, ExchangeSettings]:
    exchange = _where(args, venue)
    var = load.resolve_var(load.from_arguments(args))
    return gateway_of(venue, exchange, None, instruments, ledger=venue_gate(var, venue, exchange)), exchange


async def _listed(gateway: Any) -> None:
    """ConfigError, with near names, for a symbol the venue does not list."""
    try:
        await gateway.rules()
    except ConfigError as error:
        raise ConfigError(str(error).replace("trade.instruments", "--symbols")) from None


# --- download --------------------------------------------------------------------------------------------------------


async def _download(args: argparse.Namespace) -> int:
    venue, lake = args.exchange, lake_of(args)
    instruments = instruments_of(venue, args.symbols)
    since = moment(args.since, "--since")
    until = None if args.until is None else moment(args.until, "--until")
    if until is not None and since >= until:
        raise ConfigError(f"--since {args.since} is not before --until {args.until}")
    if since > wall_ms() + DAY_MS:
        raise ConfigError(f"--since {args.since}: is in the future")
    gateway, exchange = _gateway(args, venue, instruments)
    archive = _archive(args, venue, exchange)
    say = _say(args)
    try:
        await _when_let(lambda: _listed(gateway), say, args.patience)
        now = await _when_let(gateway.server_time_ms, say, args.patience)
        end = min(until or now, now) // MINUTE_MS * MINUTE_MS
        if since >= now:
            raise ConfigError(f"--since {args.since}: is in the future (it is {iso(now)} at {venue})")
        if since >= end:
            raise ConfigError(f"--since {args.since} is not before --until {args.until}")
        synthetic = await _made_up(args, exchange)
        _writable(lake)
        downloader = Downloader(
            lake,
            gateway,
            archive,
            say,
            replace=args.replace,
            again=args.again,
            patience_s=args.patience,
            synthetic=synthetic,
        )
        firsts, empty = [], []
        for instrument in instruments:
            listed = await _when_let(lambda i=instrument: first_of(gateway, i), say, args.patience)
            firsts.append(since if listed is None else min(max(listed, since), end))
            if listed is not None and listed >= end:
                empty.append(f"{instrument}: nothing before {iso(end)}: its first bar at {venue} is {iso(listed)}")
            elif listed is not None and listed > since:
                say(f"{instrument}: its first bar at {venue} is {iso(listed)}")
        progress = Progress(say, sum(end - first for first in firsts) // MINUTE_MS)
        done = [
            await downloader.fetch(instrument, first, end, now, lambda m, i=instrument: progress.tell(i, m))
            for instrument, first in zip(instruments, firsts, strict=True)
            if first < end
        ]
    finally:
        await gateway.close()
        if archive is not None:
            await archive.close()
    if args.json:
        print_json({"lake": lake.root, "instruments": [_as_json(one) for one in done]})
    else:
        for one in done:
            _show(one)
        for text in empty:
            print(text)
    return EXIT_FAILURE if empty or any(one.faults for one in done) else EXIT_OK


async def _when_let(ask: Callable[[], Awaitable[T]], say: Callable[[str], None], patience_s: float) -> T:
    """The answer, once a pause is over that the venue asked for; ExchangeUnavailable at once where it named none (a wrong
    address is no pause), or where it would be over after ``patience_s`` only."""
    until = time.monotonic() + patience_s
    while True:
        try:
            return await ask()
        except ExchangeUnavailable as error:
            wait = error.retry_after_s
            if wait is None or time.monotonic() + wait > until:
                raise
            say(f"{error}; going on in {wait:.0f} s, when the pause it asked for is over")
        await asyncio.sleep(wait)


async def _made_up(args: argparse.Namespace, exchange: ExchangeSettings) -> Synthetic | None:
    """The label of a made-up market's bars, None for real ones. ConfigError where they would come to stand among real
    ones."""
    if exchange.rest_url is None:
        return None
    control = SimulatorControl(exchange.rest_url, CONTROL_S)
    try:
        synthetic = bool((await control.state())["synthetic"])
    except (BotError, KeyError, TypeError) as error:
        if isinstance(error.__cause__, (TimeoutError, aiohttp.ClientConnectionError)):
            # It answered a moment ago: in doubt nothing is stored, as made-up bars would pass for real ones.
            raise
        # Whatever answers there is no simulator of ours.
        return None
    finally:
        await control.close()
    if synthetic and args.lake is None:
        raise ConfigError(
            f"{exchange.rest_url} is a simulator that plays a made-up market, whose bars do not go among real ones; name a "
            "lake for them: --lake FOLDER"
        )
    return Synthetic("simulator", 0, "unknown") if synthetic else None


def _archive(args: argparse.Namespace, venue: str, exchange: ExchangeSettings) -> Archive | None:
    """Only Binance has one; a simulator has none unless one is named."""
    if args.archive_url is not None and venue != "binance":
        raise ConfigError(f"--archive-url: {venue} offers no archive")
    if args.no_archive or venue != "binance" or (exchange.rest_url is not None and args.archive_url is None):
        return None
    return Archive(args.archive_url or ARCHIVE_URL)


def _writable(lake: Lake) -> None:
    """Said now rather than after the first month came."""
    try:
        lake.root.mkdir(parents=True, exist_ok=True)
        probe = lake.root / ".writable.tmp"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise DataError(f"{lake.root}: can not be written to ({error.strerror or error})") from None


class Progress:
    """How far, and how long yet, from the pace of this run; what was there from before is no pace."""

    def __init__(self, say: Callable[[str], None], minutes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._say, self._all, self._clock = say, minutes, clock
        self._began, self._done, self._there = clock(), 0, 0
        self._told_at = float("-inf")
        self._seen: set[Instrument] = set()

    def tell(self, instrument: Instrument, minutes: int) -> None:
        if instrument not in self._seen:
            self._seen.add(instrument)
            self._there += minutes
            if minutes:
                self._say(f"{instrument}: {minutes:,} minutes are there already")
            return
        self._done += minutes
        now, last = self._clock(), self._done + self._there >= self._all
        if now - self._told_at < TOLD_EVERY_S and not last:
            return
        self._told_at = now
        left = time_left_s(self._done, self._all - self._there, now - self._began)
        share = (self._done + self._there) / max(1, self._all)
        self._say(f"{instrument}: {share:4.0%} done{'' if left is None else f', about {_duration(left)} left'}")


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{seconds:.0f} s" if seconds < 90 else f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _show(one: Downloaded) -> None:
    print(
        f"{one.instrument}: {iso(one.first)} to {iso(one.end - MINUTE_MS)}: {one.new:,} new, {one.unchanged:,} as they "
        f"were, {one.revised:,} replaced, {one.kept:,} differ and were kept; {one.resumed_minutes:,} min from before"
    )
    for text in one.texts:
        print(f"  fault: {text}")
    if one.faults > len(one.texts):
        print(f"  and {one.faults - len(one.texts):,} faults more")
    for note in one.notes[:SHOWN]:
        print(f"  note: {note}")
    if not one.gaps:
        print("  no minute is missing")
        return
    quiet = " (Upbit has no bar for a minute without a trade)" if one.instrument.venue == "upbit" else ""
    many = len(one.gaps) > 1
    where = f"in {len(one.gaps):,} gaps{quiet}; the longest:" if many else f"in one gap{quiet}:"
    print(f"  missing: {one.missing:,} minute{'s' if one.missing > 1 else ''} {where}")
    for span in sorted(one.gaps, key=lambda s: s[0] - s[1])[:SHOWN]:
        print(f"    {span_words(span)}")


def _as_json(one: Downloaded) -> dict[str, object]:
    return {
        **asdict(one),
        "instrument": str(one.instrument),
        "first": iso(one.first),
        "end": iso(one.end),
        "missing": one.missing,
        "gaps": [{"first": iso(a), "minutes": (b - a) // MINUTE_MS} for a, b in one.gaps],
    }


# --- verify ----------------------------------------------------------------------------------------------------------


async def _verify(args: argparse.Namespace) -> int:
    lake, say = lake_there(args), _say(args)
    own = verify(lake)
    # Made-up bars can be held against nothing but the simulator that they came from.
    chosen = [
        i
        for i in lake.instruments()
        if args.exchange in (None, i.venue) and (args.exchange_url or lake.synthetic(i) is None)
    ]
    if args.symbols:
        wanted = {p.strip().upper() for p in args.symbols.split(",")}
        chosen = [i for i in chosen if i.symbol in wanted]
    if not chosen:
        raise DataError(f"{lake.root}: holds no real bars of what was asked for; see: python3 run.py data list")
    if args.exchange_url is not None and len({i.venue for i in chosen}) > 1:
        raise ConfigError("--exchange-url leads to one exchange; say which with --exchange")
    found: list[Compared] = []
    chance = np.random.default_rng(args.seed)
    for venue in dict.fromkeys(i.venue for i in chosen):
        mine = tuple(i for i in chosen if i.venue == venue)
        gateway, _ = _gateway(args, venue, mine)
        try:
            await gateway.server_time_ms()
            for instrument in mine:
                say(f"{instrument}: its bars are read again …")
                found.append(await compare(lake, gateway, instrument, None if args.whole else args.sample, chance))
        finally:
            await gateway.close()
    if args.json:
        print_json(
            {
                "lake": lake.root,
                "faults": own.faults,
                "files": [asdict(check) for check in own.files],
                "against": [{**asdict(one), "instrument": str(one.instrument), "bars": one.bars} for one in found],
            }
        )
    else:
        show_verify(own, sys.stdout)
        for one in found:
            _show_compared(one)
    return EXIT_FAILURE if own.faults or total(found) else EXIT_OK


def _show_compared(one: Compared) -> None:
    share = one.bars / max(1, one.minutes)
    print(f"{one.instrument}: {one.minutes:,} bars read a second time, {one.bars:,} differ ({share:.2%})")
    for d in one.differences[:SHOWN]:
        values = "" if d.stored is None else f" {d.stored:.10g} here, {d.venue:.10g} there"
        print(f"  {iso(d.minute)} {d.what}{values}")
    if len(one.differences) > SHOWN:
        print(f"  and {len(one.differences) - SHOWN:,} more (--json lists all)")


def _say(args: argparse.Namespace) -> Callable[[str], None]:
    """Progress goes to the error output, so that what was found can be piped."""

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    return (lambda text: None) if args.json else say
