"""A small Ray of our own for searches and training, apart from the one that trades."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray

from config.load import ROOT
from core.errors import BotError

OBJECT_STORE_BYTES = 200_000_000


@contextmanager
def own_ray(
    var: Path, cpus: int, *, memory: int | None = None, object_store: int = OBJECT_STORE_BYTES
) -> Iterator[None]:
    """Ray with ``cpus`` logical CPUs and token authentication while inside; one that already runs here is used.

    ``memory``: bytes that Ray may promise its workers (default: what it finds), ``object_store``: bytes of shared memory.
    Raises BotError naming what to do when Ray does not come up.
    """
    if ray.is_initialized():
        yield
        return
    token = var / "ray" / "token"
    token.parent.mkdir(parents=True, exist_ok=True)
    if not token.exists():
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32), encoding="utf-8")
    # RAY_AUTH_MODE is left alone: Ray has read it when it was imported, and set later it would reach the children but
    # not us. A cluster of our own turns token authentication on by itself; which token is read when it starts.
    os.environ.setdefault("RAY_AUTH_TOKEN_PATH", str(token.resolve()))
    os.environ.setdefault("RAY_worker_niceness", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DISABLE_IMPORT_WARNING", "1")
    os.environ.setdefault("RAY_prestart_worker_first_driver", "0")
    try:
        ray.init(
            address="local",
            num_cpus=cpus,
            include_dashboard=False,
            object_store_memory=object_store,
            _memory=memory,
            runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}},
            log_to_driver=False,
            configure_logging=False,
        )
    except Exception as error:
        # A raylet that is slow to come up is a bare Exception of Ray's.
        raise BotError(
            f"Ray did not start: {str(error).rstrip('.')}; give the same command again when the machine is less busy, "
            "or run: python3 run.py doctor"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()
