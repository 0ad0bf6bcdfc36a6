"""``run.py resume``: trade again after a halt or a breached loss limit. Only a person does this."""

import argparse
import getpass

from actors.runs.running import find_run
from config import load
from core.errors import EXIT_OK, NotRunning
from data.hot import Hot

HELP = "let a halted bot trade again (after a halt or a loss limit)"
EXAMPLE = "python3 run.py resume"


def arguments(parser: argparse.ArgumentParser) -> None:
    load.arguments(parser)


def main(args: argparse.Namespace) -> int:
    running = find_run(load.var_of(args) / "runs")
    if not running.redis_url:
        raise NotRunning(f"run {running.run_id} is still starting; try again when its first minute is shown")
    hot = Hot(running.redis_url, running.run_id)
    try:
        hot.send_command("resume", by=getpass.getuser())
    finally:
        hot.close()
    print(f"asked {running.mode} run {running.run_id} to resume")
    return EXIT_OK
