"""``run.py report``: the page of a run again, or several runs side by side."""

import argparse
import json
from pathlib import Path

from rich.console import Console

from core.errors import EXIT_OK, DataError
from data.progress import stage
from tune.report.compare import write_comparison
from tune.report.findings import Findings, findings_of
from tune.report.page import write_page
from tune.report.stored import read_stored, read_verdict
from tune.report.terminal import as_json, print_comparison, print_findings

HELP = "the report of a run again, or of several side by side"
EXAMPLE = "python3 run.py report var/backtests/first var/backtests/second"
PAGE = "report.html"
COMPARED = "compared.html"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "runs",
        nargs="+",
        type=Path,
        metavar="FOLDER",
        help="folder of a backtest, or of a replay, paper or live run; several are held against the first",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help=f"where the page goes (default {PAGE} or {COMPARED} in the first folder)",
    )
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON line, nothing else")


def main(args: argparse.Namespace) -> int:
    console = Console(stderr=args.json)
    found: list[Findings] = []
    for folder in args.runs:
        with stage(console, f"{folder} …"):
            found.append(findings_of(read_stored(folder)))
    runs = list(zip(names_of(args.runs), found, strict=True))
    page = args.out or args.runs[0] / (PAGE if len(runs) == 1 else COMPARED)
    verdicts = [read_verdict(folder) for folder in args.runs]
    verdict = verdicts[0]
    try:
        if len(runs) == 1:
            write_page(page, found[0], verdict=verdict)
        else:
            write_comparison(page, runs, verdicts)
    except OSError as error:
        raise DataError(
            f"{page}: the report cannot be written there ({error.strerror}); name a file by --out"
        ) from error
    if args.json:
        told = [as_json(one, judged) for one, judged in zip(found, verdicts, strict=True)]
        print(json.dumps({"report": str(page), "runs": told}, allow_nan=False))
        return EXIT_OK
    if len(runs) == 1:
        print_findings(console, found[0], verdict)
    else:
        print_comparison(console, runs)
    console.print(f"report: {page}", highlight=False, soft_wrap=True)
    return EXIT_OK


def names_of(folders: list[Path]) -> list[str]:
    """The shortest names that tell the folders apart: their own, then with the one above, then a number too."""
    resolved = [folder.resolve() for folder in folders]
    for depth in (1, 2, 3):
        names = ["/".join(folder.parts[-depth:]) for folder in resolved]
        if len(set(names)) == len(names):
            return names
    return [f"{folder.name} ({number})" for number, folder in enumerate(resolved, start=1)]
