"""The simulated exchanges of a replay: one process a venue, each with its part of the market and an account of its own."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np

from config import load
from config.settings import ExchangeSettings, Settings
from core.currency import watched_markets
from core.errors import BotError, ConfigError
from core.messages import CLOSE
from core.session import decision_ms
from core.units import MINUTE_MS, Instrument
from data.market import MarketCut, MarketSource, cut_out
from exchanges.simulated.process import Simulator, start_simulator
from exchanges.simulated.tape import Tape

Balances = Mapping[tuple[str, str], Decimal]
"""By (venue, asset)."""


@dataclass(frozen=True, slots=True)
class Simulators:
    """The running ones, by venue. ``close`` ends them; it may be called twice."""

    parts: Mapping[str, Simulator]

    @property
    def urls(self) -> tuple[str, ...]:
        """Where their clocks are moved; the first one tells the time, and the mood."""
        return tuple(part.rest for part in self.parts.values())

    def check(self, run_dir: Path) -> None:
        """Raise BotError naming the first that has ended by itself."""
        for venue, part in self.parts.items():
            if not part.alive:
                code = part.process.returncode
                raise BotError(f"the simulated {venue} ended (exit code {code}); its log is in {run_dir}")

    def reached(self, settings: Settings, speed: float) -> Settings:
        """The settings with every venue reached at its simulator; ``speed`` is that of the clocks, 0 in lockstep."""
        exchanges = {venue: venue_of(part, speed) for venue, part in self.parts.items()}
        return settings.model_copy(update={"config": settings.config.model_copy(update={"exchanges": exchanges})})

    def write_keys(self, path: Path) -> None:
        """Store their test pairs where the executor looks."""
        write_keys(path, self.parts)

    def close(self) -> None:
        for part in self.parts.values():
            part.close()


def venue_of(simulator: Simulator, speed: float) -> ExchangeSettings:
    """Where a simulated exchange is reached."""
    return ExchangeSettings(
        rest_url=simulator.rest,
        stream_url=simulator.stream,
        user_stream_url=simulator.ws_api,
        # Market time runs faster than ours: a stamp is old sooner.
        recv_window_ms=5_000 if speed in (0, 1) else 60_000,
    )


def write_keys(path: Path, simulators: Mapping[str, Simulator]) -> None:
    """Store the simulators' test pairs, readable by us only."""
    path.touch(mode=0o600)
    pairs = {v: {"api_key": part.api_key, "api_secret": part.secret} for v, part in simulators.items()}
    path.write_text(json.dumps(pairs), encoding="utf-8")


def opening_balances(market: MarketCut, source: MarketSource, cash: Decimal, won: Decimal | None) -> Balances:
    """What the accounts hold at the start: ``cash`` USDT where USDT is traded, ``won`` KRW (or the worth of ``cash`` in
    the first minute) where KRW is."""
    found: dict[tuple[str, str], Decimal] = {}
    for i in market.instruments:
        if i.quote == "KRW":
            found[i.venue, "KRW"] = _worth_in_won(market, source, cash) if won is None else won
        else:
            found[i.venue, i.quote] = cash if i.quote == "USDT" else Decimal(0)
    return found


def opening_words(balances: Balances, cash: Decimal) -> str:
    """What each exchange's account begins with, in a line; ``cash`` is what ``--cash`` says."""
    held = [(venue, asset, amount) for (venue, asset), amount in balances.items() if amount]
    each = "; ".join(f"{venue} {amount:,f} {asset}" for venue, asset, amount in held) or "nothing"
    if len({venue for venue, _, _ in held}) < 2:
        return f"the account begins with: {each}"
    return f"each exchange begins with an account of its own (--cash is what each gets, {cash:,f} USDT): {each}"


def _worth_in_won(market: MarketCut, source: MarketSource, cash: Decimal) -> Decimal:
    """``cash`` USDT in KRW by the first known rate, in whole thousands."""
    rates = Instrument("upbit", "USDT/KRW")
    if rates not in source.lake.instruments():
        raise ConfigError(
            f"{source.name}: has no bars of {rates}, so what {cash} USDT are in KRW is not known; say it with --krw"
        )
    closes = cut_out(source, (rates,), market.first_minute, market.minutes, 0).bars[0, :, CLOSE]
    known = closes[np.isfinite(closes)]
    if not len(known):
        raise ConfigError(f"{source.name}: {rates} has no bar in these minutes; say what the account holds with --krw")
    return Decimal(int(float(cash) * float(known[0]) / 1_000)) * 1_000


def start_simulators(
    settings: Settings,
    source: MarketSource,
    market: MarketCut,
    run_dir: Path,
    speed: float,
    balances: Balances,
) -> Simulators:
    """Start one a venue; ends those that came up when one does not. Raises what ``start_simulator`` raises."""
    costs = run_dir / "costs.json"
    costs.write_text(settings.rules.costs.model_dump_json(), encoding="utf-8")
    # At speed the clock stands until the conductor starts: Ray takes its time to come up, and no minute is lost to it.
    pace = ["--lockstep"] if speed == 0 else ["--speed", str(speed), "--paused"]
    # The whole of what is decided upon, for whoever looks at the run later; each venue is given its own part.
    make_tape(market).save(run_dir / "tape.npz")
    parts: dict[str, Simulator] = {}
    try:
        for venue in dict.fromkeys(i.venue for i in market.instruments):
            tape = run_dir / f"tape-{venue}.npz"
            tape_of(source, market, venue).save(tape)
            held = ",".join(f"{asset}={amount}" for (at, asset), amount in balances.items() if at == venue)
            parts[venue] = start_simulator(
                load.ROOT,
                [
                    *(("--venue", venue) if venue != "binance" else ()),
                    *("--tape", str(tape), "--costs", str(costs)),
                    *("--start", str(decision_ms(market.first_minute) - MINUTE_MS), "--balances", held),
                    *(*pace, "--statement", str(run_dir / f"statement-{venue}.json")),
                ],
                log_file=run_dir / f"sim-{venue}.log",
            )
    except BaseException:
        Simulators(parts).close()
        raise
    return Simulators(parts)


def make_tape(market: MarketCut) -> Tape:
    return Tape(market.instruments, market.start_minute, market.bars, market.synthetic, market.sentiment, market.news)


def tape_of(source: MarketSource, market: MarketCut, venue: str) -> Tape:
    """The venue's part of the market, and the watched markets beside it that the source has bars of."""
    rows = [row for row, i in enumerate(market.instruments) if i.venue == venue]
    instruments = tuple(market.instruments[row] for row in rows)
    bars = market.bars[rows]
    there = set(source.lake.instruments())
    watched = tuple(i for i in watched_markets(market.instruments) if i.venue == venue and i in there)
    if watched:
        history = (market.first_minute - market.start_minute) // MINUTE_MS
        beside = cut_out(source, watched, market.first_minute, market.minutes, history)
        instruments, bars = (*instruments, *watched), np.concatenate([bars, beside.bars])
    return Tape(instruments, market.start_minute, bars, market.synthetic, market.sentiment, market.news)
