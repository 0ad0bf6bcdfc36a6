"""``run.py sim``: the simulated exchange alone, on loopback, until stopped."""

import argparse
import asyncio
import secrets
import threading
import time
from decimal import Decimal, InvalidOperation
from pathlib import Path

import orjson
from pydantic import ValidationError

from config.argument_types import minutes, number, whole
from core.errors import ConfigError
from core.params import CostSettings
from core.units import MINUTE_MS, Instrument, to_decimal
from exchanges.sim_words import announce, stopped
from exchanges.simulated.binance.auth import PUBLIC_KEY
from exchanges.simulated.chaos.kinds import KINDS, foreign
from exchanges.simulated.chaos.plan import Chaos
from exchanges.simulated.chaos.spec import catalogue, parse_chaos
from exchanges.simulated.exchange import SimulatedExchange
from exchanges.simulated.filters import Limits
from exchanges.simulated.price_range import PriceRange
from exchanges.simulated.process import until_stopped
from exchanges.simulated.recording_server import serve_recording
from exchanges.simulated.server import VENUES, serve_exchange
from exchanges.simulated.statement import write_statement
from exchanges.simulated.tape import Tape
from exchanges.simulated.upbit.market import upbit_exchange
from exchanges.simulated.upbit.walk import START_PRICES as KRW_PRICES
from exchanges.simulated.upbit.walk import krw_walk_tape
from exchanges.simulated.walk import START_PRICES as USDT_PRICES
from exchanges.simulated.walk import random_walk_tape
from exchanges.simulated.warmup import load_matching

HELP = "serve a simulated Binance or Upbit on this machine"
EXAMPLE = f"""python3 run.py sim --port 8500 --speed 60
python3 run.py sim --venue upbit --port 8600
python3 run.py sim --chaos seed=7,rate=0.05,only=drop+dup

unmodified ccxt trades on it by URL alone:
  ex = ccxt.binance({{"apiKey": API_KEY, "secret": SECRET, "options": {{
      "fetchMarkets": {{"types": ["spot"]}}, "fetchMargins": False, "fetchCurrencies": False}}}})
  ex.urls["api"]["public"] = ex.urls["api"]["private"] = "http://127.0.0.1:8500/api/v3"
  # ccxt.pro's market and user streams also (orders go by REST: the WebSocket API serves no order.place and the like):
  ex.urls["api"]["ws"]["spot"] = "ws://127.0.0.1:8500/stream/ws"
  ex.urls["api"]["ws"]["ws-api"]["spot"] = "ws://127.0.0.1:8500/ws-api/v3"

and on a simulated Upbit:
  ex = ccxt.upbit({{"apiKey": API_KEY, "secret": SECRET}})
  ex.urls["api"]["public"] = ex.urls["api"]["private"] = "http://127.0.0.1:8600"
  # ccxt.pro also:
  ex.urls["api"]["ws"] = "ws://127.0.0.1:8600/websocket/v1"

faults of --chaos (a name, or what stands before its dash; what was done is told by GET /sim/chaos):
{catalogue()}
"""

SYMBOLS = {"binance": "BTC/USDT,ETH/USDT", "upbit": "BTC/KRW,ETH/KRW,USDT/KRW"}
"""Of the built-in market, where none are named."""
BUILT_IN = {"binance": tuple(USDT_PRICES), "upbit": tuple(KRW_PRICES)}
"""All that the built-in markets have."""
WARM_UP_MINUTES = 240
"""Minutes of the built-in market that lie before the start, so that there is a past to ask for."""
MINUTES = 1_440
EARLIEST_MS, LATEST_MS = 1_230_768_000_000, 4_102_444_800_000
"""2009 to 2100: a start outside was given in seconds, or is a slip."""
BALANCES = {"binance": "USDT=10000", "upbit": "KRW=10000000"}
RIGHTS = frozenset({"trade", "withdraw"})


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--venue", choices=VENUES, default="binance", help="whose wire to speak (default binance)")
    parser.add_argument(
        "--port", type=whole(0, 65_535), default=0, help="port on 127.0.0.1; 0 (default) takes a free one"
    )
    clock = parser.add_mutually_exclusive_group()
    clock.add_argument(
        "--speed", type=number(0, 100_000, above=True), default=1.0, help="simulated seconds per second (default 1)"
    )
    clock.add_argument("--lockstep", action="store_true", help="time moves only by POST /sim/advance")
    parser.add_argument("--paused", action="store_true", help="let the clock stand until POST /sim/run (not lockstep)")
    parser.add_argument("--json", action="store_true", help="print addresses and a test key pair as one JSON line")
    parser.add_argument("--tape", type=Path, help="recorded market to play (.npz); default: a small synthetic one")
    parser.add_argument(
        "--recording",
        type=Path,
        action="append",
        metavar="FILE",
        help="play a raw recording of streams (lines: ns, space, message; .gz too) instead, byte for byte, at --speed; "
        "may be given several times; time stands until somebody subscribes",
    )
    parser.add_argument(
        "--symbols",
        help="comma-separated, e.g. BTC/USDT,ETH/USDT; default: all of the tape. Built in are "
        + "; ".join(f"{', '.join(symbols)} ({venue})" for venue, symbols in BUILT_IN.items()),
    )
    parser.add_argument("--start", type=int, help="epoch ms to start at; default: the tape's first minute")
    parser.add_argument("--minutes", type=minutes, help="how long to run; default: to the end of the tape")
    parser.add_argument(
        "--balances",
        type=parse_balances,
        help="starting account, e.g. USDT=10000,BTC=0.1 (that is the default on Binance, KRW=10000000 on Upbit)",
    )
    parser.add_argument(
        "--costs", type=Path, help="JSON file: section costs of the trading rules (default: fees, spread, impact, ...)"
    )
    parser.add_argument(
        "--key-rights",
        type=parse_rights,
        default="trade",
        help="what the test key may do beside reading: trade, withdraw (comma-separated)",
    )
    parser.add_argument(
        "--burn-bnb", action="store_true", help="pay fees in BNB, a quarter off, while the account has some"
    )
    parser.add_argument(
        "--chaos",
        type=parse_chaos,
        metavar="seed=N[,rate=R][,only=A+B]",
        help="let things go wrong as at a real venue, by chance: rate of the requests and frames (default 0.05), "
        "of the faults named below (default: all); pace=P makes each wait P times as long",
    )
    parser.add_argument(
        "--ed25519",
        type=Path,
        metavar="PEM",
        help="public key file: the test key signs with its private half, not HMAC",
    )
    parser.add_argument(
        "--price-range",
        type=number(0, 100, above=True),
        metavar="PERCENT",
        help="trade only this far from the reference price (rule PRICE_RANGE); default: anywhere",
    )
    parser.add_argument("--seed", type=whole(0), default=7, help="of the built-in synthetic market")
    parser.add_argument("--statement", type=Path, help="write trades and balances to this file at the end (JSON)")
    parser.add_argument("--parent-pid", type=int, help="stop when this process is gone")


def main(args: argparse.Namespace) -> int:
    return asyncio.run(_serve(args))


def make_exchange(args: argparse.Namespace, now_ms: int) -> SimulatedExchange:
    """The exchange the arguments ask for; ConfigError names the argument that is wrong."""
    symbols = None if args.symbols is None else _named(args.symbols, args.venue)
    costs = read_costs(args.costs)
    if args.tape is None:
        return _built_in(args, symbols or tuple(SYMBOLS[args.venue].split(",")), costs, now_ms)
    tape = _of_venue(Tape.load(args.tape), args.venue, args.tape)
    if symbols is not None:
        tape = _only(tape, symbols)
    start = tape.start_minute if args.start is None else args.start
    if start % MINUTE_MS or not tape.start_minute <= start < tape.end_ms:
        raise ConfigError(f"--start {start}: not a whole minute of the tape ({tape.start_minute} to {tape.end_ms})")
    if args.minutes is not None:
        keep = (start - tape.start_minute) // MINUTE_MS + args.minutes
        tape = Tape(tape.instruments, tape.start_minute, tape.bars[:, :keep], tape.synthetic, tape.sentiment, tape.news)
    return _exchange(args, tape, start, costs)


def _named(text: str, venue: str) -> tuple[str, ...]:
    """``btc/usdt, ETH/USDT`` as symbols, each once."""
    symbols = tuple(dict.fromkeys(part.strip().upper() for part in text.split(",") if part.strip()))
    if not symbols:
        raise ConfigError(f"--symbols {text!r}: names no symbol; write e.g. {SYMBOLS[venue]}")
    for symbol in symbols:
        _instrument(venue, symbol)
    return symbols


def _exchange(args: argparse.Namespace, tape: Tape, start: int, costs: CostSettings) -> SimulatedExchange:
    balances = args.balances if args.balances is not None else parse_balances(BALANCES[args.venue])
    if args.venue == "upbit":
        return upbit_exchange(tape, balances, start, costs)
    return SimulatedExchange(tape, tape.default_rules(costs), balances, start, limits_of(args), costs)


def _of_venue(tape: Tape, venue: str, path: Path) -> Tape:
    """The markets of a tape that this venue has; a tape of one venue goes as it is."""
    rows = [row for row, instrument in enumerate(tape.instruments) if instrument.venue == venue]
    if len(rows) == len(tape.instruments) or (venue == "binance" and not rows):
        return tape
    if not rows:
        raise ConfigError(
            f"--venue {venue}: tape {path} has none of its markets, only {', '.join(map(str, tape.instruments))}"
        )
    return _rows(tape, rows)


def _built_in(
    args: argparse.Namespace, symbols: tuple[str, ...], costs: CostSettings, now_ms: int
) -> SimulatedExchange:
    for symbol in symbols:
        if symbol not in BUILT_IN[args.venue]:
            homes = [venue for venue, known in BUILT_IN.items() if symbol in known]
            hint = f"add --venue {homes[0]} for it" if homes else "bring a market of your own with --tape"
            raise ConfigError(
                f"--symbols {symbol}: the built-in market of {args.venue} has {', '.join(BUILT_IN[args.venue])}; {hint}"
            )
    if args.start is not None and not EARLIEST_MS <= args.start < LATEST_MS:
        raise ConfigError(f"--start {args.start}: is no time in epoch milliseconds (13 digits, e.g. {now_ms})")
    start = now_ms // MINUTE_MS * MINUTE_MS if args.start is None else args.start // MINUTE_MS * MINUTE_MS
    minutes = WARM_UP_MINUTES + (args.minutes or MINUTES)
    walk = krw_walk_tape if args.venue == "upbit" else random_walk_tape
    tape = walk(symbols, start - WARM_UP_MINUTES * MINUTE_MS, minutes, args.seed)
    return _exchange(args, tape, start, costs)


def _only(tape: Tape, symbols: tuple[str, ...]) -> Tape:
    held = {i.symbol: row for row, i in enumerate(tape.instruments)}
    for symbol in symbols:
        if symbol not in held:
            raise ConfigError(f"--symbols {symbol}: not on the tape, whose markets of this venue are {', '.join(held)}")
    return _rows(tape, [held[s] for s in symbols])


def _rows(tape: Tape, rows: list[int]) -> Tape:
    chosen = tuple(tape.instruments[r] for r in rows)
    return Tape(chosen, tape.start_minute, tape.bars[rows], tape.synthetic, tape.sentiment, tape.news)


def _instrument(venue: str, symbol: str) -> Instrument:
    example = SYMBOLS[venue].partition(",")[0]
    try:
        return Instrument.parse(f"{venue}:{symbol}")
    except ValueError:
        raise ConfigError(f"--symbols {symbol}: write BASE/QUOTE, e.g. {example}") from None


def limits_of(args: argparse.Namespace) -> Limits:
    percent = args.price_range
    return Limits() if percent is None else Limits(price_range=PriceRange.of_percent(to_decimal(percent)))


def read_costs(path: Path | None) -> CostSettings:
    """The costs in a JSON file, or the default ones; ConfigError names the file and the key that is wrong."""
    if path is None:
        return CostSettings()
    try:
        return CostSettings.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"--costs {path}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"--costs {path}: {'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}") from None


def parse_balances(text: str) -> dict[str, Decimal]:
    """``USDT=10000,BTC=0.5`` as amounts."""
    found: dict[str, Decimal] = {}
    for part in text.split(","):
        asset, _, amount = part.strip().partition("=")
        try:
            value = Decimal(amount)
        except InvalidOperation:
            value = Decimal(-1)
        if not asset or not value.is_finite() or value < 0:
            raise argparse.ArgumentTypeError(f"{part.strip()!r}: write ASSET=AMOUNT, e.g. USDT=10000")
        found[asset.upper()] = value
    return found


def read_public_key(path: Path) -> str:
    try:
        text = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--ed25519 {path}: cannot be read: {error}") from None
    if PUBLIC_KEY not in text:
        raise ConfigError(f"--ed25519 {path}: not a public key; make one with: openssl pkey -in KEY -pubout")
    return text


def parse_rights(text: str) -> frozenset[str]:
    """``trade,withdraw`` as a set; empty for a key that may only read."""
    rights = frozenset(part.strip() for part in text.split(",") if part.strip())
    if not rights <= RIGHTS:
        raise argparse.ArgumentTypeError(f"{text!r}: known are {', '.join(sorted(RIGHTS))}")
    return rights


def wall_ms() -> int:
    """Time of day. The simulator stands for another machine, whose clients stamp requests with theirs."""
    return time.time_ns() // 1_000_000  # noqa: TID251


async def _replay(args: argparse.Namespace) -> int:
    """Serve a recording until stopped; what is wrong with it ends the program."""
    if args.tape is not None or args.lockstep or args.paused:
        raise ConfigError("--recording brings its own market and time: leave out --tape, --lockstep and --paused")
    server = await serve_recording(args.recording, args.speed, args.port)
    try:
        if args.json:
            # A recording takes no orders, so there is no key to tell.
            told = {"rest": server.url, "stream": server.stream_url, "ws_api": "", "api_key": "", "secret": ""}
            print(orjson.dumps(told).decode(), flush=True)
        else:
            symbols = ", ".join(m.instrument.symbol for m in server.replay.markets.values())
            print(f"Recorded Binance: {symbols}, {args.speed:g} x real speed, from the first subscription on")
            print(f"  rest_url    {server.url}\n  stream_url  {server.stream_url}\nCtrl-C stops it.", flush=True)
        playing = asyncio.create_task(server.finished())
        stopping = asyncio.create_task(until_stopped(args.parent_pid))
        await asyncio.wait((playing, stopping), return_when=asyncio.FIRST_COMPLETED)
        if playing.done():
            playing.result()
        return stopped(await stopping, f"{server.replay.sent:,} recorded messages were sent", args.json)
    finally:
        await server.close()


def _only_of_binance(args: argparse.Namespace) -> None:
    """Refuse what another venue does not have."""
    asked = {
        "--recording": bool(args.recording),
        "--burn-bnb": args.burn_bnb,
        "--ed25519": args.ed25519 is not None,
        "--price-range": args.price_range is not None,
    }
    for name, given in asked.items():
        if given:
            raise ConfigError(f"{name} goes with --venue binance; {args.venue} has no such thing")


async def _serve(args: argparse.Namespace) -> int:
    if args.venue != "binance":
        _only_of_binance(args)
    absent = foreign(args.chaos.get("only", ()), args.venue) if args.chaos is not None else ()
    if absent and len(absent) == len(args.chaos["only"]):
        others = ", ".join(name for name, kind in KINDS.items() if args.venue in kind.venues)
        raise ConfigError(f"--chaos: {args.venue} has no fault {', '.join(absent)}; it has {others}")
    if args.recording:
        return await _replay(args)
    if args.paused and args.lockstep:
        raise ConfigError("--paused goes with --speed: in lockstep time stands anyway until POST /sim/advance")
    if args.statement is not None and not args.statement.absolute().parent.is_dir():
        # At the end it would be too late to say so.
        raise ConfigError(f"--statement {args.statement}: there is no folder {args.statement.absolute().parent}")
    exchange = make_exchange(args, wall_ms())
    if args.burn_bnb:
        if exchange.fees_in_quote:
            raise ConfigError("--burn-bnb: costs.fee_paid_in is bnb already, at its worth in the quote currency")
        exchange.burns_bnb = True
    # Made for this run, shown once, written nowhere.
    api_key, secret = secrets.token_hex(32), secrets.token_hex(32)
    credential = secret if args.ed25519 is None else read_public_key(args.ed25519)
    mode = "lockstep" if args.lockstep else "speed"
    server = await serve_exchange(
        exchange,
        port=args.port,
        mode=mode,
        speed=args.speed,
        credentials={api_key: credential},
        wall_ms=wall_ms,
        paused=args.paused,
        key_rights=args.key_rights,
        venue=args.venue,
        chaos=Chaos.seeded(venue=args.venue, **args.chaos) if args.chaos is not None else None,
    )
    try:
        announce(server, args.json, api_key, secret if args.ed25519 is None else "")
        if args.chaos is not None and not args.json:
            without = f", without {', '.join(absent)}, which {args.venue} does not have" if absent else ""
            print(f"Chaos is on{without}: GET /sim/chaos tells what was done.", flush=True)
        # Not before it is said where we are: clients take their time until a first order.
        threading.Thread(target=load_matching, daemon=True).start()
        number = await until_stopped(args.parent_pid)
    finally:
        await server.close()
        if args.statement is not None:
            write_statement(args.statement, exchange)
    minutes = (exchange.now_ms - exchange.start_ms) // MINUTE_MS
    kept = "" if args.statement is None else f"; the statement is in {args.statement}"
    text = f"{minutes:,} minutes of the market were served, {len(exchange.orders):,} orders taken{kept}"
    return stopped(number, text, args.json)
