"""`run.py doctor`: check this machine, the installation and the settings; one line each, and what to do."""

import argparse
import json
from dataclasses import asdict

from actors.verbs.doctor_checks import everything
from config import load
from core.errors import EXIT_FAILURE, EXIT_OK

HELP = (
    "Check this machine, the installation and the settings. Exit 0 when the bot can run, 1 when something must be done."
)
EXAMPLE = "python3 run.py doctor --json"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print a JSON list of {name, state, text, todo}")
    load.arguments(parser)


def main(args: argparse.Namespace) -> int:
    found = everything(lambda: load.from_arguments(args))
    if args.json:
        print(json.dumps([asdict(check) for check in found], indent=2, ensure_ascii=False))
    else:
        for check in found:
            print(f"{check.state:<4}  {check.name:<16}{check.text}")
            if check.todo:
                print(f"{'':<22}→ {check.todo}")
    return EXIT_FAILURE if any(check.state == "fail" for check in found) else EXIT_OK
