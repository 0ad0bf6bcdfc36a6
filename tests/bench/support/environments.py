"""The peers' own environments: one virtual environment a peer under ``var/bench/peers``, made once and kept.

One a peer because their demands exclude one another (nautilus_trader wants an older pandas than vectorbt), and so that a
peer which can not be installed here costs its own row only.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

REQUIREMENTS = {
    "vectorbt": ("vectorbt==1.2.0", "plotly<6", "pyarrow"),  # it reads a template that plotly 6 has no more
    "backtesting": ("backtesting==0.6.6", "pyarrow"),
    "freqtrade": ("freqtrade==2026.9", "pyarrow"),
    "nautilus": ("nautilus_trader==1.221.0", "pyarrow"),
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
    _run([str(python), "-m", "pip", "install", "--disable-pip-version-check", *REQUIREMENTS[peer]], log, say)
    ready.write_text(wanted, encoding="utf-8")
    return python


def _run(command: list[str], log: Path, say: Say) -> None:
    began = time.monotonic()
    with log.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        try:
            while True:
                try:
                    code = process.wait(SAY_EVERY_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    took = time.monotonic() - began
                    say(f"  {took:.0f} s: {last_line(log)[:100]}")
                    if took > INSTALL_SECONDS:
                        raise NotInstallable(f"not done after {INSTALL_SECONDS} s; see {log}") from None
        finally:
            process.kill()
    if code:
        raise NotInstallable(reason(log))


def last_line(log: Path) -> str:
    """The last line of text in a log."""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def reason(log: Path) -> str:
    """Why pip gave up: its first line of error, else its last line."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    said = next((line for line in lines if line.startswith("ERROR")), last_line(log))
    return said.removeprefix("ERROR:").strip()[:160]
