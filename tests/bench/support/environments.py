"""The peers' own environments: one virtual environment a peer under ``var/bench/peers``, made once and kept.

One a peer because their demands exclude one another (nautilus_trader wants an older pandas than vectorbt), and so that a
peer which can not be installed here costs its own row only.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

REQUIREMENTS = {
    "vectorbt": ("vectorbt==1.2.0", "plotly<6", "pyarrow"),  # it reads a template that plotly 6 has no more
    "backtesting": ("backtesting==0.6.6", "pyarrow"),
    "freqtrade": ("freqtrade==2026.9", "pyarrow"),
    "nautilus": ("nautilus_trader==1.221.0", "pyarrow"),
    "gym-anytrading": ("gym-anytrading==2.0.0",),
    "gym-trading-env": ("gym-trading-env==0.3.5",),
    "dask": ("dask[dataframe]==2026.8.0", "pyarrow"),
}
INSTALL_SECONDS = 900
SAY_EVERY_SECONDS = 10

Say = Callable[[str], None]


class NotInstallable(Exception):
    """A peer that can not be had on this machine; the text says why."""


def python_of(folder: Path, peer: str, say: Say) -> Path:
    """The interpreter of a peer's environment, installed now if it is not there; NotInstallable with pip's reason."""
    home = folder / peer
    python = home / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    wanted = "\n".join(REQUIREMENTS[peer])
    ready = home / "installed.txt"
    if python.exists() and ready.exists() and ready.read_text(encoding="utf-8") == wanted:
        return python
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"{peer}.log"
    say(f"installing {peer} for the bench into {home} (once; a minute or two)")
    _run([sys.executable, "-m", "venv", str(home)], log, say)
    # Most of a peer's packages are never imported; compiled, they would fill our own folder of bytecode: 286 MB.
    options = ["--disable-pip-version-check", "--no-compile"]
    _run([str(python), "-m", "pip", "install", *options, *REQUIREMENTS[peer]], log, say)
    ready.write_text(wanted, encoding="utf-8")
    return python


def _run(command: list[str], log: Path, say: Say) -> None:
    """Run to the end, every line into the log and one now and then to the user; NotInstallable when it failed."""
    began = said = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    guard = threading.Timer(INSTALL_SECONDS, process.kill)
    guard.start()
    try:
        with process, log.open("w", encoding="utf-8") as out:
            for line in process.stdout or ():
                out.write(line)
                if time.monotonic() - said > SAY_EVERY_SECONDS:
                    said = time.monotonic()
                    say(f"  {said - began:.0f} s: {line.strip()[:100]}")
    finally:
        guard.cancel()
        process.kill()
    if process.returncode:
        late = time.monotonic() - began > INSTALL_SECONDS
        raise NotInstallable(f"not done after {INSTALL_SECONDS} s; see {log}" if late else reason(log))


def reason(log: Path) -> str:
    """Why pip gave up: its first line of error, else its last line."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8").splitlines() if line.strip()]
    said = next((line for line in lines if line.startswith("ERROR")), lines[-1] if lines else "it said nothing")
    return said.removeprefix("ERROR:").strip()[:160]
