"""`run.py test`: lint, layers and types, then the tests in lanes side by side; a closing line like pytest's last.

One lane computes, the other starts whole systems and waits for them: two share two cores well. A third was tried, with
what waits in two lanes: on two cores the whole took 1,230 s instead of 1,110, as the processors are busy already.
What stands on the line after the verb goes to one pytest alone.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from core.errors import EXIT_FAILURE, EXIT_OK

HELP = "Lint, check layers and types, then run the tests. What else stands on the line goes to pytest."
EXAMPLE = "python3 run.py test\npython3 run.py test --only-tests tests/unit -k config"
PASSES_THROUGH = True
ROOT = Path(__file__).resolve().parent.parent
WAITING = (("ray", "chaos", "parity", "browser"),)
"""Folders of tests that start whole systems and mostly wait for them; a tuple a lane."""
PYTEST = (sys.executable, "-m", "pytest")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only-tests", action="store_true", help="skip lint, layers and types")


def main(args: argparse.Namespace) -> int:
    failed = [] if args.only_tests else [name for name, command in static_checks() if not _passes(name, command)]
    if failed:
        print(f"FAILED before the tests: {', '.join(failed)}. The tests run all the same.", flush=True)
    if args.rest:
        tests = subprocess.run([*PYTEST, *args.rest], cwd=ROOT, check=False).returncode
    else:
        tests = _all_lanes()
    return EXIT_FAILURE if failed or tests else EXIT_OK


def static_checks() -> list[tuple[str, list[str]]]:
    """Name and command of each check that runs no code of ours."""
    layers = shutil.which("lint-imports", path=str(Path(sys.executable).parent)) or "lint-imports"
    return [
        ("lint", [sys.executable, "-m", "ruff", "check", "."]),
        ("layers", [layers, "--no-cache"]),
        ("types", [sys.executable, "-m", "mypy"]),
    ]


def lanes(root: Path) -> list[list[str]]:
    """Folders of tests, lane by lane; a new folder belongs to the first, which computes, by itself."""
    there = sorted({path.parent.name for path in (root / "tests").glob("*/test_*.py")})
    waiting = [[name for name in lane if name in there] for lane in WAITING]
    computing = [name for name in there if not any(name in lane for lane in WAITING)]
    return [[f"tests/{name}" for name in lane] for lane in (computing, *waiting) if lane]


def closing_line(outputs: list[str], seconds: float) -> str:
    """The sum of several pytest runs' closing lines, in pytest's own form."""
    counts: Counter[str] = Counter()
    for text in outputs:
        last = next((line for line in reversed(text.splitlines()) if re.search(r" in [\d.]+s", line)), "")
        for count, what in re.findall(
            r"(\d+) (failed|passed|skipped|deselected|xfailed|xpassed|warnings?|errors?)", last
        ):
            counts[what.removesuffix("s") if what in ("warnings", "errors") else what] += int(count)
    order = ("failed", "passed", "skipped", "deselected", "xfailed", "xpassed", "warning", "error")
    told = ", ".join(f"{counts[what]} {what}" for what in order if counts[what])
    return f"{told or 'no tests ran'} in {seconds:.2f}s"


def _all_lanes() -> int:
    """Run them at once: the first one's output live, the others' when each is done."""
    first, *others = lanes(ROOT)
    began = time.monotonic()
    print(f"== tests: {', beside '.join(' '.join(lane) for lane in (first, *others))}", flush=True)
    with ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile("w+")) for _ in others]
        beside = [
            subprocess.Popen([*PYTEST, *lane], cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, text=True)
            for lane, file in zip(others, files, strict=True)
        ]
        try:
            one = subprocess.Popen(
                [*PYTEST, *first], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
            assert one.stdout is not None
            said = [""]
            for line in one.stdout:
                said[0] += line
                print(line, end="", flush=True)
            codes = [one.wait()]
            for process, lane, file in zip(beside, others, files, strict=True):
                codes.append(process.wait())
                file.seek(0)
                said.append(file.read())
                print(f"== tests: {' '.join(lane)}\n{said[-1]}", flush=True)
        except BaseException:
            # Ctrl-C reaches the group; what was started must not outlive us in any case.
            for process in beside:
                process.terminate()
            raise
    print(f"== {closing_line(said, time.monotonic() - began)} ==", flush=True)
    return max(codes)


def _passes(name: str, command: list[str]) -> bool:
    print(f"== {name}", flush=True)
    try:
        return subprocess.run(command, cwd=ROOT, check=False).returncode == 0
    except FileNotFoundError:
        print(f"{command[0]} is not installed", flush=True)
        return False
