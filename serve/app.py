"""Members on Ray Serve: one application and one deployment each, reached by handle, never by HTTP; on the panel's own
machine the question of every minute goes in by the replica's door (``serve.doorbell``).

One call a minute carries all instruments, so requests are not batched further. A member has one replica: it
keeps the memory of the whole small, and while a killed replica comes back its vote is merely left out.
"""

import logging
from collections.abc import Mapping
from pathlib import Path

import ray

from config.settings import ResourceSettings
from core.features import schema_hash
from core.params import MemberSettings, ModelSettings
from data.artifacts import ArtifactStore
from serve.doorbell import door_path
from serve.gpu import USES_GPU, gpu_share
from serve.load_check import Bounds
from serve.models.registry import USES_TORCH
from serve.ray_serve import DeploymentHandle, ray_serve
from serve.replica import KIND, MemberReplica, write_pin

log = logging.getLogger(__name__)

CPU_SHARE = 0.05
"""What a replica claims of the cluster's logical CPUs: it works some milliseconds a minute."""


def actor_options(member: MemberSettings, resources: ResourceSettings, gpu: float) -> dict:
    """Ray options of one member's replica: share of CPU and GPU, and capped threads."""
    threads = str(resources.torch_threads)
    env = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), threads)
    # A member computes for milliseconds and loads versions in a thread: another thread for its calls would only be one more
    # to wake. A model that hangs in one hangs its replica's health check, too, and Serve starts it anew.
    env["RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD"] = "0"
    share = gpu if member.family in USES_GPU else 0.0
    if not share:
        env["CUDA_VISIBLE_DEVICES"] = ""
    return {"num_cpus": CPU_SHARE, "num_gpus": share, "runtime_env": {"env_vars": env}}


def deploy_members(
    models: ModelSettings,
    resources: ResourceSettings,
    store_root: Path,
    versions: Mapping[str, str],
    *,
    pins: Path | None = None,
    proxy: bool = False,
) -> dict[str, DeploymentHandle]:
    """Deploy every enabled member that has a version; wait until all serve; return handles by name.

    ``versions``: member name → artifact version. ``pins``: folder for the served versions (one per running bot;
    default ``<store_root>/.serving``). ``proxy``: also start Serve's HTTP proxy, which members do not need.
    """
    store = ArtifactStore(store_root)
    pins = pins or Path(store_root) / ".serving"
    serving = [member for member in models.enabled if member.name in versions]
    sharing = sum(member.family in USES_GPU for member in serving)
    gpu = gpu_share(resources, ray.cluster_resources(), sharing)
    if gpu:
        log.info("%d models use %.2f of a GPU each, memory capped at as much", sharing, gpu)
    else:
        log.info("no GPU in this cluster (or gpu_fraction is 0): all models run on the CPU")
    ray_serve.start(proxy_location="EveryNode" if proxy else "Disabled")
    targets: dict[str, ray_serve.RunTarget] = {}
    for member in serving:
        # Fail here, with one clear line, rather than inside a replica that Serve restarts again and again.
        artifact = store.load(f"{KIND}/{member.name}/{versions[member.name]}", schema=schema_hash())
        pin = pins / f"{member.name}.json"
        write_pin(pin, artifact.version)
        replica = ray_serve.deployment(
            name=member.name,
            num_replicas=1,
            max_ongoing_requests=8,
            graceful_shutdown_timeout_s=2,
            health_check_period_s=2,
            health_check_timeout_s=10,
            logging_config={"enable_access_log": False},
            ray_actor_options=actor_options(member, resources, gpu),
        )(MemberReplica)
        app = replica.bind(
            member.name,
            member.family,
            str(Path(store_root).resolve()),
            str(pin.resolve()),
            Bounds(deadline_ms=member.deadline_ms, memory_mb=resources.member_memory_mb),
            gpu if member.family in USES_GPU else 0.0,
            str(door_path(pins.resolve(), member.name)),
        )
        targets[member.name] = ray_serve.RunTarget(app, name=app_name(member.name), route_prefix=None)
    if targets:
        ray_serve.run_many(list(targets.values()))
    return {name: member_handle(name) for name in targets}


def member_handle(member: str) -> DeploymentHandle:
    """A handle to a deployed member. It asks Serve and waits: not in an event loop."""
    return ray_serve.get_deployment_handle(member, app_name(member))


def app_name(member: str) -> str:
    """Name of a member's Serve application."""
    return f"member-{member}"


def uses_torch(models: ModelSettings) -> bool:
    """Whether any enabled member carries torch (for the memory estimate of ``doctor``)."""
    return any(m.family in USES_TORCH for m in models.enabled)
