"""What Ray must find in the environment before it is imported: its C++ half reads these variables once, at import.

Standard library only, and no ``import ray`` here.
"""

import os
import secrets
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

VARIABLES = {
    # Ray's control store listens on every interface: without a token anyone near could run code as us.
    "RAY_AUTH_MODE": "token",
    # Live actors run at normal priority (Ray's default lowers them); trainers lower their own.
    "RAY_worker_niceness": "0",
    "RAY_prestart_worker_first_driver": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    # Harmless lines that Ray would print on the terminal: many actors at once, and Serve's controller being ended.
    "RAY_DEDUP_LOGS_SKIP_REGEX": "maximum expected startup concurrency|graceful_shutdown failed|listen_for_change failed",
    # An actor without a GPU share must not open a context on the GPU.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


def token_path(root: Path) -> Path:
    """Where the cluster's token lies, readable by the owner only."""
    return root / "var" / "ray" / "token"


def prepare_ray(root: Path) -> None:
    """Set what is not set yet, and make the token if there is none. Call before anything imports ray."""
    for name, value in VARIABLES.items():
        os.environ.setdefault(name, value)
    if "RAY_AUTH_TOKEN" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ:
        return
    token = token_path(root)
    if not token.exists():
        token.parent.mkdir(parents=True, exist_ok=True)
        draft = token.with_name(f"token.{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_hex(32), encoding="utf-8")
        draft.replace(token)
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(token)


def worker_environment(root: Path) -> dict[str, Any]:
    """The runtime environment of a run's processes: our rooms are found wherever the program was started, and pandas is
    left out. Ray Serve imports it to answer HTTP requests with data frames, which nobody here does: it would cost each
    of the eight processes that know Serve a second or two of a processor at every start.
    """
    return {
        "env_vars": {"PYTHONPATH": str(root)},
        "worker_process_setup_hook": f"{__name__}.{leave_pandas_out.__name__}",
    }


class _NoPandas(MetaPathFinder):
    """A module that is None in ``sys.modules`` would do for Python, but not for pyarrow, whose compiled import takes the
    None for pandas and fails at its first array: a minute was lost when the first records were put into Parquet."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("pandas is left out of this process", name=name)


_NO_PANDAS = _NoPandas()


def leave_pandas_out() -> None:
    """``import pandas`` raises ImportError in this process from now on, unless it was imported before."""
    if "pandas" not in sys.modules and _NO_PANDAS not in sys.meta_path:
        sys.meta_path.insert(0, _NO_PANDAS)


@contextmanager
def without_pandas() -> Iterator[None]:
    """The same for the imports in this block alone: a process that trains may want pandas later."""
    already = _NO_PANDAS in sys.meta_path
    leave_pandas_out()
    try:
        yield
    finally:
        if not already and _NO_PANDAS in sys.meta_path:
            sys.meta_path.remove(_NO_PANDAS)
