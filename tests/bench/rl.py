"""Learning speed: steps a second of the agent's environment, samples a second of PPO, and what others reach.

The environment stands beside two of other projects, PPO beside RLlib's own way of collecting samples.

Everything is measured in one run, every row in a process of its own on one core and one thread; the processor's time
counts, which others on the machine disturb less.

``environment``: what its rows do, and how often they trade, stands in the row. Ours runs the engine's rules: sizing, every
limit, slices, book, fees, halts, exits; observations of 91 features, the account and (``masked``) which actions the limits
would refuse are written in the time. gym-anytrading and gym-trading-env take a random action every minute, as their
documentation does, and model a fee.

``PPO``: samples a second of whole iterations (collect, learn, take over the weights), same environment, network, batch and
epochs; beside it, of collecting alone. RLlib's stock runner with few environments is what its defaults lead to; with many,
stepped as one, it is as quick as it gets.
"""

import argparse
from pathlib import Path

from tests.bench.support.environments import NotInstallable, python_of
from tests.bench.support.processes import ONE_THREAD, ROOT, Failed, a_core, measure, own_command, peer_command
from tests.support.table import table

NAME = "rl"
PEERS = {"gym-anytrading": "anytrading_env", "gym-trading-env": "trading_env"}
TIMEOUT = 600.0
ENV_HEADINGS = ("environment", "version", "what", "environments", "steps/cpu s", "fills a step")
PPO_HEADINGS = ("runner", "environments", "samples", "collected/cpu s", "learned/cpu s", "samples/cpu s", "x stock, 4")
RUNNERS = (("stock", 4), ("stock", 256), ("own", 256))


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
    try:
        for row in measure(own_command("rl_env_job", *_options(), "--steps", steps), TIMEOUT, ONE_THREAD)["rows"]:
            lines.append(("Minutehand", "", row["what"], row["count"], row["rate"], row["fills"]))
    except Failed as error:
        notes.append(f"Minutehand: failed: {error}")
    for name in [name for name in PEERS if name in args.peers.split(",")]:
        try:
            python = python_of(args.root / "peers", name, print)
            command = peer_command(python, PEERS[name], 5_000 if args.quick else 50_000, *_options())
            told = measure(command, TIMEOUT, ONE_THREAD)
            lines.append((name, told["version"], "random action every minute", 1, told["rate"], "-"))
        except NotInstallable as error:
            lines.append((name, "", "not measured here", "-", "-", "-"))
            notes.append(f"{name}: not installable here: {error}")
        except Failed as error:
            lines.append((name, "", "not measured here", "-", "-", "-"))
            notes.append(f"{name}: failed: {error}")
    print(table(ENV_HEADINGS, lines), flush=True)
    print("\n".join(notes))
    return any(line[0] == "Minutehand" for line in lines)


def runners(args: argparse.Namespace) -> bool:
    lines: list[tuple[object, ...]] = []
    base = None
    for kind, count in RUNNERS:
        samples = 2_048 if args.quick else 8_192
        try:
            told = measure(own_command("rl_ppo_job", kind, count, samples, *_options()), TIMEOUT, ONE_THREAD)
        except Failed as error:
            print(f"{kind}, {count}: failed: {error}")
            continue
        rate = 1.0 / (told["collect"] + told["learn"])
        base = base or rate
        lines.append(
            (
                *(kind, count, told["samples"], 1.0 / told["collect"], 1.0 / told["learn"]),
                *(rate, rate / base),
            )
        )
    print(table(PPO_HEADINGS, lines), flush=True)
    return len(lines) == len(RUNNERS)


def _options() -> list[object]:
    core = a_core()
    return [] if core is None else ["--core", core]
