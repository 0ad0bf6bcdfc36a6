"""What can be wrong with this machine or this installation, each looked at by one function. Nothing is changed."""

import os
import platform
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import psutil
import redis
import torch

from actors.runs.running import find_run
from config import bootstrap
from config.load import ROOT, resolve_var
from config.ray_environment import token_path
from config.secrets import load_secrets
from config.settings import Settings
from core.errors import BotError, NotRunning
from core.units import Instrument, plural
from data.redis_server import find_binary
from exchanges.limits.capacity import require_room, room_of
from exchanges.limits.tables import LINES, ORDERS

GB = 1e9
DISK_FAIL_GB, DISK_WARN_GB = 1.0, 10.0
MEMORY_FAIL_GB, MEMORY_WARN_GB = 3.5, 6.0
"""The whole system takes 3 to 4 GB; training beside it wants more."""
CLUSTER_PROCESSES = ("raylet", "gcs_server", "ray::", "redis-server")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line of the doctor's report."""

    name: str
    state: Literal["ok", "warn", "fail"]
    text: str
    todo: str = ""
    """What to do; empty when all is well."""


def ok(name: str, text: str) -> Check:
    return Check(name=name, state="ok", text=text)


def warn(name: str, text: str, todo: str) -> Check:
    return Check(name=name, state="warn", text=text, todo=todo)


def fail(name: str, text: str, todo: str) -> Check:
    return Check(name=name, state="fail", text=text, todo=todo)


def python_version(running: tuple[int, ...] = sys.version_info[:3]) -> Check:
    text = f"{'.'.join(map(str, running))} on {platform.system()} {platform.machine()}"
    if running >= (3, 13):
        return warn("python", text, "3.11 and 3.12 are tested; on newer ones some packages must be built")
    return ok("python", text)


def lock(root: Path = ROOT, folder: Path | None = None) -> Check:
    folder = folder or bootstrap.venv()
    if bootstrap.up_to_date(root, folder, dev=False):
        return ok("packages", f"as in requirements.lock, in {folder}")
    return warn("packages", f"{folder} was not made from this requirements.lock", "run: python3 run.py config check")


def disk(var: Path) -> Check:
    place = next(folder for folder in (var, *var.parents) if folder.exists())
    free = shutil.disk_usage(place).free / GB
    text = f"{free:.1f} GB free at {place}"
    if not os.access(place, os.W_OK):
        return fail("disk", f"{place} cannot be written", "set var_dir in config/config.json to a folder of your own")
    if free < DISK_FAIL_GB:
        return fail("disk", text, "free some: the journal must be able to write")
    return warn("disk", text, "a year of minutes and models may not fit") if free < DISK_WARN_GB else ok("disk", text)


def memory(total: float, available: float) -> Check:
    """Both in bytes."""
    text = f"{available / GB:.1f} of {total / GB:.1f} GB available"
    if available / GB < MEMORY_FAIL_GB:
        return fail("memory", text, "close other programs; the running system takes 3 to 4 GB")
    if available / GB < MEMORY_WARN_GB:
        return warn("memory", text, "enough to trade; train while the bot is stopped")
    return ok("memory", text)


def cores(count: int) -> Check:
    if count < 2:
        return warn("cores", f"{count} thread", "one minute may take seconds; use two or more")
    return ok("cores", f"{count} threads")


def gpu() -> Check:
    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        return ok("gpu", f"{card.name}, {card.total_memory / GB:.1f} GB, torch {torch.__version__}")
    if shutil.which("nvidia-smi"):
        return warn(
            "gpu", f"there is a card, but torch {torch.__version__} does not see it", "update the NVIDIA driver"
        )
    return ok("gpu", "none; the models run on the CPU")


def port(name: str, host: str, number: int, ours: bool) -> Check:
    """``ours``: our bot is running, so a taken port is its own."""
    if number == 0:
        return ok(name, "a free port is taken at start")
    with socket.socket() as probe:
        if os.name == "posix":  # a port that only lingers after a stop is free
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, number))
        except OSError as error:
            if ours:
                return ok(name, f"{host}:{number}, used by the running bot")
            key = "dashboard.port" if name == "dashboard" else "ray.dashboard_port"
            return warn(name, f"{host}:{number}: {error.strerror}", f"set {key} to another port in config/config.json")
    return ok(name, f"{host}:{number} is free")


def redis_server(url: str) -> Check:
    if url != "embedded":
        try:
            info = redis.Redis.from_url(url, socket_timeout=3, socket_connect_timeout=3).info("server")
        except (redis.RedisError, ValueError, TypeError) as error:
            return fail(
                "redis",
                f"the one in config.json does not answer: {type(error).__name__}",
                'start it, or set redis_url to "embedded"',
            )
        return ok("redis", f"your own, version {info.get('redis_version', '?')}")
    try:
        binary = find_binary()
        said = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=10, check=True).stdout  # noqa: S603
    except BotError as error:
        return fail("redis", str(error), "install Redis and set redis_url")
    except (OSError, subprocess.SubprocessError) as error:
        return fail("redis", f"the packaged Redis does not run: {error}", "remove .venv and start again")
    found = re.search(r"v=([\d.]+)", said)
    return ok("redis", f"embedded, version {found[1] if found else '?'}")


def ray_version(root: Path = ROOT) -> Check:
    wanted = re.search(r"^ray==(\S+)", (root / "requirements.lock").read_text("utf-8"), re.MULTILINE)
    try:
        found = version("ray")
    except PackageNotFoundError:
        return fail("ray", "is not installed", "run: python3 run.py config check")
    if wanted is None or wanted[1] != found:
        return warn(
            "ray", f"{found}, the lock says {wanted[1] if wanted else 'nothing'}", "run: python3 run.py config check"
        )
    return ok("ray", found)


def running_bot(var: Path) -> bool:
    """A bot of this project is running."""
    try:
        find_run(var / "runs")
    except NotRunning:
        return False
    return True


def leftovers(token: Path, running: bool, processes: Iterable[psutil.Process]) -> Check:
    """Processes of a cluster that was started with our token, although no bot of ours runs."""
    found = sorted(process.pid for process in processes if _is_ours(process, token))
    if running:
        return ok("leftovers", f"none; {len(found)} processes belong to the running bot")
    if found:
        pids = " ".join(map(str, found))
        return warn("leftovers", f"{len(found)} processes of an earlier run live on", f"end them: kill {pids}")
    return ok("leftovers", "none")


def _is_ours(process: psutil.Process, token: Path) -> bool:
    try:
        line = " ".join(process.cmdline())
        if not any(word in line for word in CLUSTER_PROCESSES):
            return False
        return process.environ().get("RAY_AUTH_TOKEN_PATH") == str(token)
    except psutil.Error:
        return False


def limits(instruments: Sequence[Instrument], venue: str) -> Check:
    """How many symbols this venue's limits allow, live and on paper, and how many orders."""
    mine = [i for i in instruments if i.venue == venue]
    name = f"{venue} limits"
    try:
        live, paper = require_room(venue, len(mine)), room_of(venue, len(mine), paper=True)
    except BotError as error:
        return fail(name, str(error), "trade fewer symbols of that venue")
    said = live.words().removeprefix(f"{venue}: ")
    if paper.most != live.most:
        said += f" (on paper {paper.most})"
    pace = LINES[venue]().counters["order" if venue == "upbit" else ORDERS]
    said += f"; {pace.limit} new orders in {pace.window_ms / 1_000:g} s"
    if not paper.fits:
        return warn(name, said, "trade fewer symbols of that venue before you try them on paper")
    return ok(name, said)


def keys(path: Path | None = None) -> Check:
    try:
        secrets = load_secrets(path)
    except BotError as error:
        return fail("keys", str(error), "then run the doctor again")
    return ok("keys", f"for {', '.join(secrets.venues)}" if secrets.venues else "none; only `live` needs them")


def settings_valid(load: Callable[[], Settings]) -> tuple[Check, Settings | None]:
    try:
        settings = load()
    except BotError as error:
        return fail("settings", str(error), "correct that line"), None
    members = ", ".join(member.name for member in settings.rules.models.enabled)
    return ok("settings", f"{plural(len(settings.config.trade.rows), 'instrument')}, members {members}"), settings


def everything(load: Callable[[], Settings]) -> list[Check]:
    """All checks, in the order a person would ask."""
    valid, settings = settings_valid(load)
    found = [python_version(), lock(), valid]
    var = resolve_var(settings) if settings is not None else ROOT / "var"
    running = running_bot(var)
    virtual = psutil.virtual_memory()
    found += [disk(var), memory(virtual.total, virtual.available), cores(os.cpu_count() or 1), gpu(), ray_version()]
    found.append(leftovers(token_path(ROOT), running, psutil.process_iter()))
    if settings is not None:
        config = settings.config
        found.append(port("dashboard", config.dashboard.host, config.dashboard.port, running))
        if config.ray.dashboard:
            found.append(port("ray dashboard", "127.0.0.1", config.ray.dashboard_port, running))
        found.append(redis_server(config.redis_url))
        found += [limits(config.trade.rows, venue) for venue in config.exchanges]
    found.append(keys())
    return found
