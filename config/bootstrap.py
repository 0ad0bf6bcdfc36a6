"""Make the project's Python environment: `.venv`, with exactly what the lock file says. Standard library only.

A stamp in the environment keeps the hash of the locks it was made from, so that the install runs again only when a
lock changed. The stamp is written last: an install that was interrupted is continued by the next start.
"""

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from config.pip_progress import Progress, follow
from config.setup_faults import SetupFailed, explain, explain_os

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

ROOT = Path(__file__).resolve().parent.parent
VENV_VARIABLE = "MINUTEHAND_VENV"
LOCKS = {False: ("requirements.lock",), True: ("requirements-dev.lock", "requirements.lock")}
STAMPS = {False: "minutehand-runtime.stamp", True: "minutehand-dev.stamp"}


def venv() -> Path:
    """Folder of the environment: ``.venv``, or what ``MINUTEHAND_VENV`` says."""
    return Path(os.environ.get(VENV_VARIABLE) or ROOT / ".venv").absolute()


def python(folder: Path) -> Path:
    """The environment's interpreter."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def inside() -> bool:
    """True when this process runs in the project's environment."""
    return Path(sys.prefix).resolve() == venv().resolve()


def locks_hash(root: Path, dev: bool) -> str:
    """Hash of the lock files that the environment is made from."""
    return hashlib.sha256(b"\0".join((root / name).read_bytes() for name in LOCKS[dev])).hexdigest()


def up_to_date(root: Path, folder: Path, dev: bool) -> bool:
    """The environment was completed from these very locks."""
    try:
        return python(folder).exists() and (folder / STAMPS[dev]).read_text() == locks_hash(root, dev)
    except OSError:
        return False


def ensure(dev: bool, root: Path = ROOT) -> None:
    """Make or update the environment if it is not what the lock says. Raises SetupFailed with what to do."""
    folder = venv()
    if up_to_date(root, folder, dev):
        return
    log = root / "var" / "logs" / "setup.log"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _one_at_a_time(root / "var" / "setup.lock"):
            if not up_to_date(root, folder, dev):  # another start may just have done it
                _make(folder, log)
                _install(root, folder, dev, log)
    except OSError as error:
        raise SetupFailed(explain_os(error, folder)) from error


def continue_inside(argv: list[str]) -> int:
    """Run this command again with the environment's interpreter. On POSIX this does not return."""
    command = [str(python(venv())), str(ROOT / "run.py"), *argv]
    os.environ["PYTHONUTF8"] = "1"
    sys.stdout.flush()
    sys.stderr.flush()
    if sys.platform != "win32":
        os.execv(command[0], command)  # noqa: S606
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the console sends Ctrl-C to the child too, and it decides
    return subprocess.call(command)  # noqa: S603


def _make(folder: Path, log: Path) -> None:
    """Create the environment unless a usable one is there; one without a working pip is made anew."""
    pip = [str(python(folder)), "-I", "-m", "pip", "--version"]
    with contextlib.suppress(OSError):
        if subprocess.run(pip, capture_output=True, check=False).returncode == 0:  # noqa: S603
            return
    if folder.exists() and any(folder.iterdir()) and not (folder / "pyvenv.cfg").exists():
        raise SetupFailed(f"{folder} is there but is no Python environment; move it away, or set {VENV_VARIABLE}")
    print(f"Making the environment {folder} with Python {sys.version.split()[0]} …", flush=True)
    command = [sys.executable, "-m", "venv", "--clear", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603
    if done.returncode:
        log.write_text(done.stdout + done.stderr, encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        raise SetupFailed(explain(done.stdout + done.stderr, folder, log))


def _install(root: Path, folder: Path, dev: bool, log: Path) -> None:
    name = LOCKS[dev][0]
    _forget_halves(folder)
    wanted = sum(
        bool(line.strip()) and line[0] not in "#-"
        for lock in LOCKS[dev]
        for line in (root / lock).read_text("utf-8").splitlines()
    )
    print(f"Installing {wanted} packages from {name}; this happens once. Details: {log}", flush=True)
    # Bytecode is left to the first import: compiling all of it here takes longer than the rest of the install.
    options = ["--no-input", "--disable-pip-version-check", "--no-warn-script-location", "--progress-bar", "off"]
    options.append("--no-compile")
    command = [str(python(folder)), "-I", "-m", "pip", "install", *options, "-r", str(root / name)]
    started = time.monotonic()
    progress = Progress(wanted, _site(folder))
    environ = {**os.environ, "PIP_USER": "0", "PYTHONUTF8": "1"}
    code, words = follow(command, environ, log, progress)
    if code:
        raise SetupFailed(explain(words, folder, log))
    for done in {False, dev}:
        (folder / STAMPS[done]).write_text(locks_hash(root, done))
    print(
        f"Ready in {time.monotonic() - started:.0f} s. The first start reads and compiles all of it: up to half a minute.",
        flush=True,
    )


def _site(folder: Path) -> Path:
    found = sorted(folder.glob("lib/python3*/site-packages"))
    return found[0] if found else folder / "Lib" / "site-packages"


def _forget_halves(folder: Path) -> None:
    """Drop the metadata of packages whose install was cut off, else pip would take them for installed."""
    for info in _site(folder).glob("*.dist-info"):
        if not (info / "RECORD").exists():
            shutil.rmtree(info)


@contextlib.contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    """Hold a lock that the system frees when we die; a second start waits for the first."""
    with path.open("a+") as handle:
        for attempt in range(7200):
            try:
                if sys.platform == "win32":
                    msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
                else:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except (BlockingIOError, PermissionError) as error:
                if attempt == 0:
                    print("Another start is installing; waiting for it …", flush=True)
                if attempt == 7199:
                    raise SetupFailed(
                        f"another start has been installing for an hour; end it, then try again ({path})"
                    ) from error
                time.sleep(0.5)
        yield
