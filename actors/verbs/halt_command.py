"""``run.py halt``: the running bot buys nothing more until a person resumes; exits and cancels still pass."""

import argparse
import getpass

from actors.runs.running import find_run
from config import load
from core.errors import EXIT_OK, NotRunning
from data.hot import Hot

HELP = "buy nothing more until a person resumes; what is held may still be sold, and the bot goes on"
EXAMPLE = 'python3 run.py halt --reason "news"'


def arguments(parser: argparse.ArgumentParser) -> None:
    load.arguments(parser)
    parser.add_argument("--reason", default="", help="goes into the record and the notices")


def main(args: argparse.Namespace) -> int:
    running = find_run(load.var_of(args) / "runs")
    if not running.redis_url:
        raise NotRunning(f"run {running.run_id} is still starting; try again when its first minute is shown")
    hot = Hot(running.redis_url, running.run_id)
    try:
        hot.send_command("halt", by=getpass.getuser(), reason=args.reason)
    finally:
        hot.close()
    print(
        f"asked {running.mode} run {running.run_id} to halt: it buys nothing more, and what it holds may still be sold"
    )
    return EXIT_OK
