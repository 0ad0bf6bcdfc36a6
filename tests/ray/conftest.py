"""One Ray cluster a session for every test that needs one."""

import logging
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from ray import serve as ray_serve

ROOT = Path(__file__).resolve().parent.parent.parent
LOGICAL_CPUS = 4


@pytest.fixture(scope="session")
def ray_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Ray with four logical CPUs, no dashboard, a token of its own, and our rooms importable in its workers."""
    token = tmp_path_factory.mktemp("ray") / "token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    # RAY_AUTH_MODE stays unset: Ray read it when it was imported; a local cluster turns token authentication on itself.
    settings = {
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_worker_niceness": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_prestart_worker_first_driver": "0",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        logging.getLogger("ray").setLevel(logging.ERROR)
        ray.init(
            address="local",
            num_cpus=LOGICAL_CPUS,
            include_dashboard=False,
            object_store_memory=200_000_000,
            runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}},
            log_to_driver=False,
            configure_logging=False,
        )
        try:
            yield
        finally:
            ray_serve.shutdown()
            ray.shutdown()
            # Ray set it for its children; a later cluster of this process must find it as it was.
            os.environ.pop("RAY_AUTH_MODE", None)
