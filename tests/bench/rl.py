"""Learning speed: steps a second of the agent's environment, samples a second of PPO, and what others reach.

The environment stands beside two of other projects, PPO beside RLlib's own way of collecting samples.

Everything is measured in one run, every row in a process of its own on one core and one thread; the processor's time
counts, which others on the machine disturb less.

``environment``: a step is one account of one coin for one minute, as a step of the peers is one environment's. What the
rows do, and in how many minutes they trade, stands in the row. Ours runs the engine's rules: sizing, every limit, slices,
book, fees, halts, exits; observations of 91 features, the account and (``masked``) which actions the limits would refuse
are written in the time. gym-anytrading and gym-trading-env are measured as their
documentation steps them, by a random action every minute: so trade one of two and two of three of their minutes, for a
fee. The bar of 5 M steps a second is held against our rows that do the same, random actions, unmasked and masked, with
orders in the project's slices, and sent at once, as the peers send theirs; the other rows are what learning does, where a
policy keeps what it holds most of the time.

``PPO``: samples a second of whole iterations (collect, learn, take over the weights), same environment, network, batch,
minibatch and epochs; beside it, of collecting alone, and of what the network and the environment take of it. RLlib's
stock runner by its defaults has one environment; with 4 and with 256, stepped as one, it is as quick as it gets.
"""

import argparse
import sys
from pathlib import Path

from tests.bench.support.environments import NotInstallable, python_of
from tests.bench.support.processes import ONE_THREAD, ROOT, Failed, a_core, measure, own_command, peer_command
from tests.support.table import table

NAME = "rl"
PEERS = {"gym-anytrading": "anytrading_env", "gym-trading-env": "trading_env"}
TIMEOUT = 600.0
ENV_HEADINGS = ("environment", "version", "what", "masked", "accounts", "steps/cpu s", "traded in", "fills a step")
PPO_HEADINGS = (
    *("runner", "environments", "samples", "collected/cpu s", "network's part", "environment's"),
    *("learned/cpu s", "samples/cpu s", "x defaults", "collected x defaults"),
)
STOCK, OWN = "RLlib's", "ours"
RUNNERS = (("stock", 1), ("stock", 4), ("stock", 256), ("own", 256))
BAR, TIMES = 5_000_000, 10


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="run.py bench rl", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--only", default="environment,ppo", help="one of environment, ppo")
    parser.add_argument("--peers", default=",".join(PEERS), help=f"some of {', '.join(PEERS)}, or none")
    parser.add_argument("--quick", action="store_true", help="few steps: does it all still run")
    parser.add_argument("--root", type=Path, default=ROOT / "var" / "bench", help="where the peers' environments lie")
    args = parser.parse_args(argv)
    good = True
    if "environment" in args.only:
        good &= environments(args)
    if "ppo" in args.only:
        good &= runners(args)
    return 0 if good else 1


def environments(args: argparse.Namespace) -> bool:
    lines: list[tuple[object, ...]] = []
    notes = []
    steps = 50_000 if args.quick else 1_000_000
    _say("our environment, ten rows")
    try:
        for row in measure(own_command("rl_env_job", *_options(), "--steps", steps), TIMEOUT, ONE_THREAD)["rows"]:
            masked = "yes" if row["masked"] else "no"
            traded = f"{row['traded']:.0%}"
            lines.append(("Minutehand", "", row["what"], masked, row["count"], row["rate"], traded, row["fills"]))
            if row["random"]:
                met = "met" if row["rate"] >= BAR else "not met"
                told = "masked" if row["masked"] else "unmasked"
                notes.append(f"{row['what']}, {told}: {row['rate'] / 1e6:.2f} M steps/s, bar {BAR / 1e6:g} M: {met}")
    except Failed as error:
        notes.append(f"Minutehand: failed: {error}")
    for name in [name for name in PEERS if name in args.peers.split(",")]:
        _say(name)
        try:
            python = python_of(args.root / "peers", name, print)
            command = peer_command(python, PEERS[name], 5_000 if args.quick else 50_000, *_options())
            told = measure(command, TIMEOUT, ONE_THREAD)
            lines.append((name, told["version"], "a random action every minute", "-", 1, told["rate"], "-", "-"))
        except NotInstallable as error:
            lines.append((name, "", "not measured here", "-", "-", "-", "-", "-"))
            notes.append(f"{name}: not installable here: {error}")
        except Failed as error:
            lines.append((name, "", "not measured here", "-", "-", "-", "-", "-"))
            notes.append(f"{name}: failed: {error}")
    print(table(ENV_HEADINGS, lines), flush=True)
    print("\n".join(notes), flush=True)
    return any(line[0] == "Minutehand" for line in lines)


def runners(args: argparse.Namespace) -> bool:
    lines: list[tuple[object, ...]] = []
    base: tuple[float, float] | None = None
    for kind, count in RUNNERS:
        name = STOCK if kind == "stock" else OWN
        _say(f"PPO, {name} runner, {count} environments")
        samples = 2_048 if args.quick else 8_192
        try:
            told = measure(own_command("rl_ppo_job", kind, count, samples, *_options()), TIMEOUT, ONE_THREAD)
        except Failed as error:
            print(f"{name}, {count}: failed: {error}")
            continue
        collected, rate = 1.0 / told["collect"], 1.0 / (told["collect"] + told["learn"])
        base = base or (collected, rate)
        lines.append(
            (
                *(name, count, told["samples"], collected),
                *(f"{told[part] / told['collect']:.0%}" for part in ("network", "environment")),
                *(1.0 / told["learn"], rate, rate / base[1], collected / base[0]),
            )
        )
    print(table(PPO_HEADINGS, lines), flush=True)
    if len(lines) == len(RUNNERS):
        own, best = lines[-1], max(lines[:-1], key=lambda line: float(line[7]))  # type: ignore[arg-type]
        met = "met" if float(own[8]) >= TIMES else "not met"  # type: ignore[arg-type]
        print(
            f"whole iterations: {own[8]:.1f} x RLlib's runner by its defaults (1 environment; bar {TIMES}: {met}), "
            f"{float(own[7]) / float(best[7]):.1f} x the same with {best[1]} stepped as one"  # type: ignore[arg-type]
        )
    return len(lines) == len(RUNNERS)


def _say(what: str) -> None:
    """What is measured now; each takes up to a minute, the peers' installation once a few."""
    print(f"measuring {what} ...", file=sys.stderr, flush=True)


def _options() -> list[object]:
    core = a_core()
    return [] if core is None else ["--core", core]
