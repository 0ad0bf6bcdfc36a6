"""What every test shares: no settings from the outside, and tests whose means are missing are named, not hidden."""

import os
import shutil
from pathlib import Path

import pytest

from config.bytecode import prepare_bytecode
from config.numba_cache import prepare_numba

ROOT = Path(__file__).resolve().parent.parent
SHARED_DATA = ROOT.parent / "shared" / "data"

for _name in [name for name in os.environ if name.startswith("MINUTEHAND_") and name != "MINUTEHAND_VENV"]:
    del os.environ[_name]

prepare_bytecode(ROOT)
prepare_numba(ROOT)

# Two halves of the tests share the processors. A second thread of torch then waits, spinning, for a core that the other
# half holds: the slowest test took four times the processor's time, and five times as long.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")


def _missing(item: pytest.Item) -> str:
    """What this machine lacks for the test; empty when it lacks nothing."""
    if item.get_closest_marker("shared") and not SHARED_DATA.is_dir():
        return "real bars (../shared/data)"
    if item.get_closest_marker("browser") and not (_browser() and shutil.which("chromedriver")):
        return "chromium and chromedriver"
    return ""


def _browser() -> str | None:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what cannot run here, and say so above the results."""
    lacks = {item: _missing(item) for item in items}
    left_out = [item for item in items if lacks[item]]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not lacks[item]]
        for what in sorted(set(lacks.values()) - {""}):
            count = sum(lack == what for lack in lacks.values())
            config.get_terminal_writer().line(f"left out {count} tests: this machine has no {what}")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real bars; for tests marked ``shared``."""
    return SHARED_DATA


@pytest.fixture(autouse=True)
def priority_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A verb that trains lowers its process's priority for good: run here, every test after it would pay."""
    if hasattr(os, "nice"):
        monkeypatch.setattr(os, "nice", lambda increment: 0)
