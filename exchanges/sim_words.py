"""What ``run.py sim`` says: where it is, how to trade there, and how it ended."""

from datetime import UTC, datetime, timedelta

import orjson

from core.errors import EXIT_OK
from exchanges.simulated.server import RunningServer


def stopped(number: int, text: str, quiet: bool) -> int:
    """Say that it ended, and how; gives the exit code of ``run.py --help``."""
    if not quiet:
        print(f"{'' if number else 'whoever started it is gone; '}stopped: {text}", flush=True)
    return 128 + number if number else EXIT_OK


PAST_DAYS = 3


def past_of(venue: str, symbols: list[str], now_ms: int) -> tuple[str, str]:
    """(name, words of the verb) of a synthetic market of ``symbols`` that ends at the midnight (UTC) before ``now_ms``."""
    today = datetime.fromtimestamp(now_ms / 1000, UTC)
    name = f"sim-{venue}-{today:%Y%m%d}"
    bases = ",".join(dict.fromkeys(s.partition("/")[0] for s in symbols if s != "USDT/KRW")) or "BTC"
    which = f"--symbols {bases}" + ("" if venue == "binance" else f" --upbit {bases}")
    start = today - timedelta(days=PAST_DAYS)
    return name, f"data synth {name} --start {start:%Y-%m-%d} --days {PAST_DAYS} {which}"


def announce(server: RunningServer, as_json: bool, api_key: str, secret: str) -> None:
    """Say where it is, by the names of the settings, and what to paste; or all of it as one JSON line."""
    found = {
        "rest": server.url,
        "stream": server.stream_url,
        "ws_api": server.user_stream_url,
        "api_key": api_key,
        "secret": secret,
    }
    state = server.state.describe()
    venue = state["venue"]
    urls = {"rest_url": server.url, "stream_url": server.stream_url, "user_stream_url": server.user_stream_url}
    # Of the won's own market only its price is wanted.
    traded = [f"{venue}:{s}" for s in state["symbols"] if s != "USDT/KRW"] or [f"{venue}:{s}" for s in state["symbols"]]
    keys = [f"trade.instruments={orjson.dumps(traded).decode()}"]
    keys += [f"exchanges.{venue}.{name}={url}" for name, url in urls.items()]
    if as_json:
        print(orjson.dumps(found | {"set": keys}).decode(), flush=True)
        return
    settings = " ".join(f"--set '{key}'" if '"' in key else f"--set {key}" for key in keys)
    kind = "synthetic market" if state["synthetic"] else "recorded market"
    pace = "lockstep (POST /sim/advance)" if state["mode"] == "lockstep" else f"{state['speed']:g} x real speed"
    waits = ", standing until POST /sim/run" if state["paused"] else ""
    print(f"Simulated {venue.title()}: {', '.join(state['symbols'])}, {kind}, {pace}{waits}")
    shown = urls | {"api_key": api_key, "api_secret": secret or "the private half of the key you gave"}
    for name, value in shown.items():
        print(f"  {name:16} {value}")
    if state["mode"] != "lockstep":
        market = ""
        if state["synthetic"]:
            # Models need a past that ends before this market's time.
            made, words = past_of(venue, [i.partition(":")[2] for i in traded], state["now_ms"])
            market = f"--market {made} "
            print(f"Models need a past. First make one: python3 run.py {words}")
        print(f"To trade here: python3 run.py paper {market}{settings}")
        name = venue.upper()
        secret_text = f" MINUTEHAND_{name}_API_SECRET={secret}" if secret else ""
        print(f"and before live: export MINUTEHAND_{name}_API_KEY={api_key}{secret_text}")
    print("Ctrl-C stops it.", flush=True)
