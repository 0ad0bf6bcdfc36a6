"""Members on Ray Serve: one application and one deployment each, reached by handle, never by HTTP.

One call a minute carries all instruments, so requests are not batched further. A member has one replica: it
keeps the memory of the whole small, and while a killed replica comes back its vote is merely left out.
"""

import asyncio
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path

import ray

from config.settings import ResourceSettings
from core.features import schema_hash
from core.messages import FloatArray
from core.params import MemberSettings, ModelSettings
from data.artifacts import ArtifactStore
from serve.models.base import Member
from serve.models.guard import Trusting
from serve.models.registry import NETWORKS, USES_TORCH, load_member
from serve.ray_serve import DeploymentHandle, ray_serve

log = logging.getLogger(__name__)

KIND = "model"
USES_GPU = NETWORKS
"""Families that gain from a GPU. The rl policy is a few thousand multiplications, not worth a CUDA context."""
CPU_SHARE = 0.05
"""What a replica claims of the cluster's logical CPUs: it works some milliseconds a minute."""


class MemberReplica:
    """One member in its own process. A plain class; ``deploy_members`` makes it a deployment."""

    def __init__(self, name: str, family: str, store_root: str, pin: str) -> None:
        """``pin`` names the file that holds the version to serve, so that a restarted replica serves the version
        that was last swapped in, not the one it was first deployed with."""
        self._name = name
        self._family = family
        self._store = ArtifactStore(Path(store_root))
        self._pin = Path(pin)
        self._swap_lock = asyncio.Lock()
        version = json.loads(self._pin.read_text(encoding="utf-8"))["version"]
        self._member, self._version = self._load(version)

    def _load(self, version: str) -> tuple[Member, str]:
        artifact = self._store.load(f"{KIND}/{self._name}/{version}", schema=schema_hash())
        return load_member(self._family, artifact.path), artifact.version

    async def forecast(
        self, features: FloatArray, minute: int
    ) -> tuple[FloatArray, FloatArray, str, int, FloatArray | None]:
        """(S, L, F) features → mean (S,), stdev (S,), version that answered, the minute asked about, and how far the
        member is believed (S,), where it has a guard."""
        # One read of both: a swap between them must not pair one model's answer with another's name.
        member, version = self._member, self._version
        mean, stdev = member.forecast(features)
        return mean, stdev, version, minute, member.trust(features) if isinstance(member, Trusting) else None

    async def swap(self, version: str) -> str:
        """Load ``version`` beside the one that serves, then exchange them; requests go on meanwhile."""
        async with self._swap_lock:
            member, found = await asyncio.to_thread(self._load, version)
            await asyncio.to_thread(write_pin, self._pin, found)
            self._member, self._version = member, found
            return found

    async def version(self) -> str:
        return self._version

    async def pid(self) -> int:
        """Process id, for the health page and for tests that kill it."""
        return os.getpid()


def write_pin(path: Path, version: str) -> None:
    """Store the served version atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps({"version": version}), encoding="utf-8")
    os.replace(draft, path)


def gpu_share(resources: ResourceSettings, cluster: Mapping[str, float]) -> float:
    """GPU fraction for each GPU member: the configured one where the cluster has it, else 0.

    Asking for a GPU that is not there leaves a deployment waiting in silence, so it is decided here.
    """
    return resources.gpu_fraction if 0 < resources.gpu_fraction <= cluster.get("GPU", 0.0) else 0.0


def actor_options(member: MemberSettings, resources: ResourceSettings, gpu: float) -> dict:
    """Ray options of one member's replica: share of CPU and GPU, and capped threads."""
    threads = str(resources.torch_threads)
    env = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), threads)
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
    gpu = gpu_share(resources, ray.cluster_resources())
    if gpu:
        log.info("models use %.2f of a GPU each", gpu)
    else:
        log.info("no GPU in this cluster (or gpu_fraction is 0): all models run on the CPU")
    ray_serve.start(proxy_location="EveryNode" if proxy else "Disabled")
    targets: dict[str, ray_serve.RunTarget] = {}
    for member in models.enabled:
        if member.name not in versions:
            continue
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
        app = replica.bind(member.name, member.family, str(Path(store_root).resolve()), str(pin.resolve()))
        targets[member.name] = ray_serve.RunTarget(app, name=app_name(member.name), route_prefix=None)
    if targets:
        ray_serve.run_many(list(targets.values()))
    return {name: ray_serve.get_deployment_handle(name, app_name(name)) for name in targets}


def app_name(member: str) -> str:
    """Name of a member's Serve application."""
    return f"member-{member}"


def uses_torch(models: ModelSettings) -> bool:
    """Whether any enabled member carries torch (for the memory estimate of ``doctor``)."""
    return any(m.family in USES_TORCH for m in models.enabled)
