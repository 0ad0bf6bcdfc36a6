"""``run.py stop``: end the running bot in order, and wait until it has ended."""

import argparse
import time

import psutil

from actors.runs.running import find_run
from config import load
from config.argument_types import number
from core.errors import EXIT_OK, TimedOut
from data.hot import Hot

HELP = "stop the running bot in order"
EXAMPLE = "python3 run.py stop --timeout 90"
POLL_S = 0.3


def arguments(parser: argparse.ArgumentParser) -> None:
    load.arguments(parser)
    parser.add_argument(
        "--timeout",
        type=number(0, 86_400),
        default=90.0,
        metavar="S",
        help="how long to wait for its end (default 90 s)",
    )


def main(args: argparse.Namespace) -> int:
    running = find_run(load.var_of(args) / "runs")
    if running.redis_url:
        hot = Hot(running.redis_url, running.run_id)
        try:
            hot.send_command("stop")
        finally:
            hot.close()
    else:
        # It is still coming up and reads no commands yet; a signal ends the start in order.
        psutil.Process(running.pid).terminate()
    when = "after its minute" if running.redis_url else "in the middle of its start"
    print(f"asked run {running.run_id} (pid {running.pid}) to stop {when} …", flush=True)
    began = time.monotonic()
    while psutil.pid_exists(running.pid):
        if time.monotonic() - began > args.timeout:
            raise TimedOut(
                f"run {running.run_id} (pid {running.pid}) has not ended within {args.timeout:g} s; it goes on stopping"
            )
        time.sleep(POLL_S)
    print("stopped")
    return EXIT_OK
