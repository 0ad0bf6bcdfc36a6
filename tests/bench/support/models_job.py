"""One measurement of training in a process of its own: ``python -m tests.bench.support.models_job WHAT …``.

``loop FAMILY STEPS ROUNDS``: our training loop and a bare one, in turn, on one core.
``memory ROOT FAMILIES OUT``: what ``train`` holds while it learns from a lake.
``knowing FAMILY SEEDS MINUTES``: what is said of markets of which the truth is known.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.features import FEATURE_NAMES
from core.params import MemberSettings
from core.units import MINUTE_MS
from data.artifacts import ArtifactStore
from data.lake import Lake
from serve.models.base import purged_tail
from serve.models.registry import new_member
from serve.models.threads import cap_threads
from serve.models.torch_loop import learn, nll
from tests.bench.peers.protocol import report
from tests.bench.support.anonymous import Watched, anonymous_mb
from tests.support.known_markets import coverage, known, loudness, share_found
from tune.array_store import ArrayStore
from tune.train import Span, train_members

MINUTES = 4_000


def loop(family: str, steps: int, rounds: int) -> None:
    """(seconds of the processor, samples) of ``rounds`` trainings each: ours, bare, and a member's whole ``fit``."""
    data = known(1, edge=0.3, minutes=MINUTES).data
    # As long as asked, whatever the tail says: both loops take the same steps.
    member: Any = new_member(family, steps=steps, patience=steps)
    how = member.settings
    learned, tail = purged_tail(data)
    ours, bare, whole = [], [], []
    told = np.clip(learned.ahead(np.arange(learned.size)) / 100.0, -6.0, 6.0)
    judged = np.clip(tail.ahead(np.arange(tail.size)) / 100.0, -6.0, 6.0)
    taught = member._lessons(learned, told).on(member.device)
    check = member._lessons(tail, judged).on(member.device)
    x = torch.cat([taught.windows(part) for part in torch.arange(taught.size, device=member.device).split(1_024)])
    for turn in range(rounds):
        torch.manual_seed(turn)
        network = member.build(len(member.columns), 2 * len(data.horizons)).to(member.device)
        began = clock()
        learn(network, taught, check, how, np.random.default_rng(turn))
        ours.append(clock() - began)
        torch.manual_seed(turn)
        network = member.build(len(member.columns), 2 * len(data.horizons)).to(member.device)
        began = clock()
        bare_loop(network, x, taught.target, steps, how.batch, how.learning_rate)
        bare.append(clock() - began)
        fresh: Any = new_member(family, steps=steps, patience=steps)
        began = clock()
        fresh.fit(data, turn)
        whole.append(clock() - began)
    report(
        ours=ours,
        bare=bare,
        whole=whole,
        samples=steps * how.batch,
        window_mb=x.numel() * 4 / 2**20,
        table_mb=taught.table_bytes / 2**20,
        device=str(member.device),
    )


def bare_loop(network: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, steps: int, batch: int, rate: float) -> None:
    """What anybody would write first: all windows as one tensor in memory, torch's own optimiser and schedule."""
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=rate, total_steps=steps)
    network.train()
    for _ in range(steps):
        chosen = torch.randint(0, len(x), (batch,), device=x.device)
        optimiser.zero_grad()
        nll(network(x[chosen]), y[chosen]).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()


def clock() -> float:
    """Seconds of this process's processor time; on a GPU, of the wall, with nothing left to do."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def memory(root: Path, families: list[str], out: Path) -> None:
    """Most memory, without pages of mapped files, in each stage of a training."""
    lake = Lake(root)
    instruments = lake.instruments()
    first, last = lake.common_span(instruments)
    span = Span(first_minute=first, minutes=(last - first) // MINUTE_MS + 1)
    pid = os.getpid()
    stages: list[list[object]] = []
    before = anonymous_mb(pid)
    for family in families:
        with Watched(pid) as seen:
            started = time.process_time()
            (made,) = train_members(
                lake,
                instruments,
                span,
                (MemberSettings(name=family, family=family),),
                ArtifactStore(out / "artifacts"),
                horizon=15,
                cache=ArrayStore(out / "samples"),
            )
        stages.append([family, time.process_time() - started, seen.peak_mb, made.extra["samples"]])
        print(f"{seen.peak_mb:7.0f} MB  {family}", file=sys.stderr, flush=True)
    kept = sum(path.stat().st_size for path in (out / "samples").rglob("*") if path.is_file()) / 2**20
    report(before_mb=before, stages=stages, minutes=span.minutes, kept_mb=kept)


def knowing(family: str, seeds: int, minutes: int) -> None:
    """What a family says where nothing can be known, and of an edge that was planted; how often its widths hold."""
    cap_threads()
    loud, found, widths = [], [], []
    for seed in range(seeds):
        for edge in (0.0, 0.5):
            market = known(seed, edge=edge, minutes=minutes)
            member = new_member(family)
            member.fit(market.part(0.0, 0.68), seed)
            future = market.part(0.7, 1.0)
            if edge:
                found.append(share_found(member, future, market.planted_bps))
            else:
                loud.append(loudness(member, future))
            said = member.forecast(future.windows(np.arange(future.size)))
            wild = future.last[:, FEATURE_NAMES.index("rv_60")]
            low, high = np.quantile(wild, (1 / 3, 2 / 3))
            widths.append(
                [
                    coverage(*(part[at] for part in (*said, future.y)), width)
                    for at, width in ((wild > 0, 1.0), (wild < low, 1.0), (wild > high, 1.0), (wild > 0, 1.96))
                ]
            )
    report(loud=loud, found=found, widths=widths)


if __name__ == "__main__":
    what, *words = sys.argv[1:]
    if what == "loop":
        loop(words[0], int(words[1]), int(words[2]))
    elif what == "knowing":
        knowing(words[0], int(words[1]), int(words[2]))
    else:
        memory(Path(words[0]), words[1].split(","), Path(words[2]))
