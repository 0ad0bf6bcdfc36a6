"""Parts that call no kernel come up without numba: each process saves most of a second of a processor at every start."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PARTS = (
    "actors.limits",
    "actors.notifier",
    "actors.recorder",
    "actors.supervisor",
    "actors.verbs.halt_command",
    "actors.verbs.status_command",
    "actors.verbs.stop_command",
    "serve.dashboard.app",
)
ASKS = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
    if "numba" in sys.modules:
        sys.exit(f"{name} loads numba")
"""


def test_they_load_no_numba():
    command = [sys.executable, "-c", ASKS, *PARTS]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert told.returncode == 0, told.stderr
