"""The vote on Ray Serve: its p99, what Serve costs over the same modules here, and a hot swap under load."""

import argparse
import asyncio
import logging
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import ray
from ray._private.async_compat import get_new_event_loop

from config.argument_types import whole
from config.settings import ResourceSettings
from core.features import N_FEATURES, SEQUENCE, schema_hash
from core.messages import Market
from core.params import MemberSettings, ModelSettings
from core.units import Instrument
from data.artifacts import ArtifactStore
from serve.app import deploy_members, member_handle
from serve.doorbell import Knocker, Said, door_path
from serve.load_check import probe_features
from serve.models.base import Member
from serve.models.guard import Guarded
from serve.models.registry import NETWORKS, load_member, new_member
from serve.panel import LocalPanel, ServePanel
from serve.ray_serve import ray_serve
from serve.shared_rows import Board, Place
from tests.support import markets
from tests.support.samples import made_up
from tests.support.swap_load import swapped_under_load
from tests.support.table import table
from tune.cluster import own_ray

NAME = "serving"
FAMILIES = ("ridge", "lightgbm", "tcn", "gru", "patch", "rules")
HORIZON = 15
DEADLINE_S = 5.0
BARS_MS, BARS_TIMES = 150.0, 1.3
WARM = 10
ROUND = 10
"""Votes in a row in one place before the other place has its turn: both see the same machine."""


@dataclass(frozen=True, slots=True)
class Took:
    """Milliseconds of each vote, and of the processor a vote, of this process and all below it."""

    ms: tuple[float, ...]
    cpu_ms: float = float("nan")

    @property
    def p50(self) -> float:
        return statistics.median(self.ms)

    @property
    def p99(self) -> float:
        return float(np.quantile(self.ms, 0.99))


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="run.py bench serving")
    parser.add_argument("--votes", type=whole(1), default=300)
    parser.add_argument("--symbols", type=whole(1), default=50)
    parser.add_argument("--swap-seconds", type=float, default=60.0)
    args = parser.parse_args(argv)
    print(
        f"{len(os.sched_getaffinity(0))} CPU cores ({platform.machine()}), {args.symbols} symbols, window {SEQUENCE} x {N_FEATURES}"
    )
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder, own_ray(Path(folder), 4):
        ray_serve.start(proxy_location="Disabled")
        try:
            # The event loop that Ray gives its actors, as the panel is one.
            with asyncio.Runner(loop_factory=get_new_event_loop) as runner:
                rows, met = runner.run(_measured(Path(folder), args))
        finally:
            ray_serve.shutdown()
    print(f"load average {os.getloadavg()[0]:.1f}")
    print(table(("what", "p50 ms", "p99 ms", "max ms", "CPU ms", "bar", "met"), rows))
    return 0 if met else 1


class Bare:
    """A member in an actor of Ray's, without Serve: what a call between processes costs at least with Ray."""

    def __init__(self, family: str, path: str) -> None:
        self.member = load_member(family, Path(path))

    def forecast(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.member.forecast(features)


async def _measured(folder: Path, args: argparse.Namespace) -> tuple[list[Sequence[object]], bool]:
    store = ArtifactStore(folder / "artifacts")
    versions = {family: _kept(store, family) for family in FAMILIES}
    models = ModelSettings(
        members=tuple(MemberSettings(name=family, family=family) for family in FAMILIES), horizon_minutes=HORIZON
    )
    await asyncio.to_thread(deploy_members, models, ResourceSettings(), store.root, versions)
    handles = await asyncio.to_thread(lambda: {name: member_handle(name) for name in FAMILIES})
    doors = {name: door_path((store.root / ".serving").resolve(), name) for name in FAMILIES}
    market = _market(args.symbols)
    board = Board()
    loaded: dict[str, tuple[Member, str]] = {
        name: (load_member(name, store.load(f"model/{name}/{version}").path), version)
        for name, version in versions.items()
    }
    networks = [name for name in FAMILIES if name in NETWORKS]

    panels: list[ServePanel] = []

    def served(names: Sequence[str]) -> ServePanel:
        near = {n: doors[n] for n in names}
        panels.append(ServePanel({n: handles[n] for n in names}, dict.fromkeys(names, DEADLINE_S), HORIZON, doors=near))
        return panels[-1]

    def here(names: Sequence[str]) -> LocalPanel:
        return LocalPanel({n: loaded[n] for n in names}, HORIZON)

    async def on_serve(names: Sequence[str]) -> Callable[[], Any]:
        panel = served(names)

        async def vote() -> None:
            votes = await panel.forecast(market)
            assert votes.spoke.all(), votes.silence

        return vote

    async def in_process(names: Sequence[str]) -> Callable[[], Any]:
        panel = here(names)

        async def vote() -> None:
            panel.forecast(market)

        return vote

    whole = await _in_turn(
        {"whole vote, Serve": await on_serve(FAMILIES), "whole vote, here": await in_process(FAMILIES)}, args.votes
    )
    sent = ServePanel({n: handles[n] for n in networks}, dict.fromkeys(networks, DEADLINE_S), HORIZON)

    async def by_handles() -> None:
        features = ray.put(market.features)
        await asyncio.gather(*(handles[n].forecast.remote(features, market.minute) for n in networks))

    env = {"env_vars": {"OMP_NUM_THREADS": "1"}}
    actors = [
        ray.remote(Bare).options(num_cpus=0.05, runtime_env=env).remote(n, str(store.load(f"model/{n}/{v}").path))
        for n, v in versions.items()
        if n in networks
    ]

    async def by_actors() -> None:
        features = ray.put(market.features)
        await asyncio.gather(*(actor.forecast.remote(features) for actor in actors))

    nets = await _in_turn(
        {
            "networks, Serve": await on_serve(networks),
            "networks, here": await in_process(networks),
            "networks, handles": by_handles,
            "networks, sent": lambda: sent.forecast(market),
            "networks, actors": by_actors,
        },
        args.votes,
    )
    times = nets["networks, Serve"].p50 / nets["networks, here"].p50
    fast = whole["whole vote, Serve"].p99 <= BARS_MS
    lean = times <= BARS_TIMES
    rows: list[Sequence[object]] = [
        (
            f"{len(FAMILIES)} members on Serve, one replica each",
            *_cells(whole["whole vote, Serve"]),
            f"p99 <= {BARS_MS:g} ms",
            _word(fast),
        ),
        ("the same, in this process, one after the other", *_cells(whole["whole vote, here"]), "", ""),
        (f"torch members ({', '.join(networks)}) on Serve", *_cells(nets["networks, Serve"]), "", ""),
        ("the same modules in this process", *_cells(nets["networks, here"]), "", ""),
        ("the same through Serve's handles, features sent (another machine)", *_cells(nets["networks, sent"]), "", ""),
        ("the same through Serve's handles, ray.put (raw limit of Serve)", *_cells(nets["networks, handles"]), "", ""),
        ("the same in bare Ray actors, ray.put (raw limit of Ray)", *_cells(nets["networks, actors"]), "", ""),
        (f"Serve over in-process: {times:.2f} times", "", "", "", "", f"<= {BARS_TIMES:g} times", _word(lean)),
    ]
    for name in networks:
        one = await _in_turn({"serve": await on_serve([name]), "here": await in_process([name])}, args.votes // 3)
        rows.append((f"{name} alone on Serve", *_cells(one["serve"]), "", ""))
        rows.append(("  the same module in this process", *_cells(one["here"]), "", ""))
    newer = [_kept(store, "ridge", seed) for seed in range(1, 6)]
    place, knocker = board.put(market.features), Knocker(doors["ridge"])
    assert isinstance(place, Place), "no room in memory"

    async def ask(minute: int) -> Said | None:
        return await knocker.ask(place, minute)

    async def take(version: str, minute: int) -> tuple[str, int]:
        return await handles["ridge"].take.remote(version, minute)

    heard = await swapped_under_load(ask, take, newer, seconds=args.swap_seconds, minute_s=1.0)
    board.close()
    for panel in panels:
        panel.close()
    clean = not heard.dropped and not heard.mixed and len(heard.swaps) == len(newer)
    rows.append(
        (
            f"{len(heard.swaps)} hot swaps in {args.swap_seconds:g} s under 50 requests/s: {heard.sent} sent, "
            f"{len(heard.dropped)} dropped, {heard.mixed} of {len(heard.versions)} minutes mixed",
            *_cells(Took(tuple(heard.took_ms))),
            "0 dropped, 0 mixed",
            _word(clean),
        )
    )
    rows.append(("on a GPU", *_gpu(), "", ""))
    return rows, fast and lean and clean


async def _in_turn(votes: dict[str, Callable[[], Any]], count: int) -> dict[str, Took]:
    """Each ``count`` times, some of the one and some of the other."""
    took: dict[str, list[float]] = {name: [] for name in votes}
    worked = dict.fromkeys(votes, 0.0)
    for vote in votes.values():
        for _ in range(WARM):
            await vote()
    while min(map(len, took.values())) < count:
        for name, vote in votes.items():
            before = _processor_s()
            for _ in range(ROUND):
                began = time.perf_counter()
                await vote()
                took[name].append((time.perf_counter() - began) * 1e3)
            worked[name] += _processor_s() - before
    return {name: Took(tuple(ms), worked[name] / len(ms) * 1e3) for name, ms in took.items()}


def _processor_s() -> float:
    """Seconds of the processor that this process and all below it have used."""
    total = 0.0
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        try:
            spent = process.cpu_times()
            total += spent.user + spent.system
        except psutil.Error:
            continue  # it ended meanwhile
    return total


def _cells(took: Took) -> tuple[str, str, str, str]:
    cpu = "" if np.isnan(took.cpu_ms) else f"{took.cpu_ms:.1f}"
    return f"{took.p50:.1f}", f"{took.p99:.1f}", f"{max(took.ms):.1f}", cpu


def _word(met: bool) -> str:
    return "met" if met else "NOT MET"


def _gpu() -> tuple[str, str, str, str]:
    there = ray.cluster_resources().get("GPU", 0) > 0
    return ("see rows above", "", "", "") if there else ("not measured here", "", "", "")


def _market(symbols: int) -> Market:
    coins = tuple(Instrument("binance", f"C{number}/USDT") for number in range(symbols))
    return markets.market(coins, mids=(100.0,) * symbols, features=probe_features(symbols))


def _kept(store: ArtifactStore, family: str, seed: int = 0) -> str:
    """A version of default size; a few steps of learning do, as speed does not hang on what was learned."""
    member = new_member(family, **({"steps": 2} if family in NETWORKS else {}))
    data = made_up(5.0, seed + 1)
    member.fit(data, seed)
    guarded = Guarded.taught(member, data)
    return store.save(
        *("model", family, guarded.save),
        **{"family": family, "schema": schema_hash(), "span": (0, 1), "instruments": (), "seed": seed, "code": "bench"},
        extra={"horizon": HORIZON},
    ).version
