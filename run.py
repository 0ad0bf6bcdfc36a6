#!/usr/bin/env python3
"""Minutehand's one command: `python3 run.py` sets everything up once, then plays a market through the whole system.

Standard library only. Down to the version check this file also parses on Python 3.6, so that an old Python is told
what to do instead of failing on syntax. `config/bootstrap.py` makes the environment; here the verbs are listed and run.
"""

import argparse
import difflib
import importlib
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import ModuleType

OLDEST = (3, 11)
if sys.version_info < OLDEST:
    sys.exit(
        "error: Minutehand needs Python {}.{} or newer, and this is Python {}.{} ({}).\n"
        "Install a newer one, then start with it, e.g.: python3.12 run.py".format(
            *OLDEST, *sys.version_info[:2], sys.executable
        )
    )

from config import bootstrap  # noqa: E402
from config.bytecode import prepare_bytecode, start_tidying  # noqa: E402
from config.numba_cache import prepare_numba  # noqa: E402
from config.parser import Parser  # noqa: E402
from config.ray_environment import prepare_ray  # noqa: E402
from core.errors import EXIT_OK, EXIT_USAGE, BotError  # noqa: E402

ROOT = Path(__file__).resolve().parent
LOADING_S, LOADING_AGAIN_S = 2.0, 10.0
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143
EXIT_PIPE_CLOSED = 141
DEFAULT = "replay"
VERBS = {
    "replay": (
        "actors.verbs.replay_command",
        "play a stored or synthetic market through the whole system (the default)",
    ),
    "backtest": (
        "tune.backtest_command",
        "run the rules over the lake, quickly and in one process, and write a report",
    ),
    "report": ("tune.report_command", "the report of a run again, or of several side by side"),
    "orders": ("tune.orders_command", "the orders of a run, or one of them in full with its states"),
    "tca": ("tune.tca_command", "what every order of a run cost against its decision, part by part, with a page"),
    "train": ("tune.train_command", "train the ensemble's models (--auto: search within a budget, --rl: the agent)"),
    "tune": ("tune.tune_command", "search the ensemble's weights on walk-forward folds"),
    "models": ("tune.models_command", "list and compare the models' versions; promote one, or roll back"),
    "check": ("tune.check_command", "find what knows its own future (lookahead) or answers too soon (warmup)"),
    "parity": ("tune.parity_command", "hold a replay against the backtest of the same minutes"),
    "paper": ("actors.verbs.paper_command", "trade the real market with simulated orders"),
    "live": ("actors.verbs.live_command", "trade the real market with real money"),
    "data": ("actors.verbs.data_command", "download, import, list, verify or synthesize bars"),
    "sim": ("exchanges.sim_command", "run the simulated exchanges alone, for any client"),
    "doctor": ("actors.verbs.doctor_command", "check this machine, the installation and the settings"),
    "config": ("config.config_command", "show or check the settings, or write their JSON schemas"),
    "why": ("tune.why_command", "why something was traded, or was not: votes, size, limits, orders, fills"),
    "status": ("actors.verbs.status_command", "what the running bot is doing"),
    "stop": ("actors.verbs.stop_command", "stop the running bot cleanly"),
    "halt": (
        "actors.verbs.halt_command",
        "buy nothing more until a person resumes; what is held may still be sold, and the bot goes on",
    ),
    "resume": ("actors.verbs.resume_command", "let a halted bot trade again"),
    "grafana": ("actors.verbs.grafana_command", "provision the Grafana board"),
    "test": ("tests.check_command", "lint, type-check and test the project"),
    "bench": ("tests.bench_command", "list or run the benchmarks"),
}
"""Verb → its module and one line of help. Only the chosen verb's module is imported."""
NEEDS_DEV = ("test", "bench")
CODES = (
    "exit codes: 0 ok, 1 failure, 2 usage, 3 the bot is not running, 4 settings, 5 out of time,\n"
    "            130 ended at once by Ctrl-C (a run's first one lets it end in order: 0),\n"
    "            141 the reader of the output went away, 143 asked to terminate"
)


def main(argv: list[str]) -> int:
    """Set up what is missing, continue inside the project's environment, run the verb; gives the exit code."""
    verb, rest = (argv[0], argv[1:]) if argv and not argv[0].startswith("-") else (DEFAULT, argv)
    if argv and argv[0] in ("-h", "--help", "help"):
        print(overview())
        return EXIT_OK
    if verb not in VERBS:
        close = difflib.get_close_matches(verb, VERBS, n=1, cutoff=0.5)
        hint = f"did you mean '{close[0]}'?" if close else "see: python3 run.py --help"
        print(f"error: there is no verb '{verb}'; {hint}", file=sys.stderr)
        return EXIT_USAGE
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))
    try:
        prepare_bytecode(ROOT)
        bootstrap.ensure(dev=verb in NEEDS_DEV and not asks_for_help(rest))
        if not bootstrap.inside():
            return bootstrap.continue_inside(argv)
        return run(verb, rest)
    except BotError as error:
        sys.stdout.flush()
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        signal.signal(
            signal.SIGINT, lambda *_: os._exit(EXIT_INTERRUPTED)
        )  # a second Ctrl-C does not wait for exit hooks
        print("stopped", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the last flush does not complain
        return EXIT_PIPE_CLOSED


def asks_for_help(words: list[str]) -> bool:
    """For which nothing needs to be installed that only the work itself needs."""
    return "-h" in words or "--help" in words


def run(verb: str, rest: list[str]) -> int:
    """Import the verb's module, read its arguments, and do it."""
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    prepare_ray(ROOT)
    prepare_numba(ROOT)
    start_tidying(ROOT)
    module = load_verb(verb)
    passes = getattr(module, "PASSES_THROUGH", False)
    parser = Parser(
        # Whoever named what the rest goes to asks that for its help.
        add_help=not (passes and rest and not rest[0].startswith("-")),
        prog=f"run.py {verb}",
        description=module.HELP,
        epilog="example:\n  " + module.EXAMPLE.replace("\n", "\n  "),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.arguments(parser)
    if passes:
        args, unknown = parser.parse_known_args(rest)
        args.rest = unknown
    else:
        args = parser.parse_args(rest)
    return int(module.main(args))


def load_verb(verb: str) -> ModuleType:
    """The verb's module. Ray and torch take their seconds, on a busy machine many: a person is told, and told again."""
    over, began = threading.Event(), time.monotonic()

    def tell() -> None:
        wait = LOADING_S if sys.stderr.isatty() else LOADING_AGAIN_S
        while not over.wait(wait):
            print(f"loading the program … {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
            wait = LOADING_AGAIN_S

    threading.Thread(target=tell, name="loading", daemon=True).start()
    try:
        return importlib.import_module(VERBS[verb][0])
    finally:
        over.set()


def overview() -> str:
    """The text of `run.py --help`."""
    width = max(map(len, VERBS))
    lines = [f"  {verb:<{width}}  {text}" for verb, (_, text) in VERBS.items()]
    usage = (
        "usage: python3 run.py [VERB] [options]\n\nA one-minute crypto trading bot. Without a verb it replays a market."
    )
    examples = "examples:\n  python3 run.py\n  python3 run.py backtest --help"
    return "\n\n".join([usage, "verbs:\n" + "\n".join(lines), examples, CODES])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
