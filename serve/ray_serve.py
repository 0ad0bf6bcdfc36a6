"""Ray Serve, imported without pandas (``config.ray_environment`` says why). Everything here takes it from this module."""

from config.ray_environment import without_pandas

with without_pandas():
    from ray import serve as ray_serve
    from ray.serve.config import HTTPOptions
    from ray.serve.context import _get_global_client as serve_client
    from ray.serve.exceptions import RayServeException
    from ray.serve.handle import DeploymentHandle

__all__ = ["DeploymentHandle", "HTTPOptions", "RayServeException", "quick_handle", "ray_serve", "serve_client"]


def quick_handle(deployment: str, app: str) -> DeploymentHandle:
    """A handle for calls that must be quick, used in the event loop that runs now and in no other.

    Requests go by gRPC instead of as actor calls, and are routed in this loop instead of in a thread of Serve's: what Ray's
    ``RAY_SERVE_USE_GRPC_BY_DEFAULT`` and ``RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP`` choose for a whole process, and
    ``RAY_SERVE_THROUGHPUT_OPTIMIZED`` for a whole cluster, here for one handle: in the loopless processes that use Serve, or
    pass references to it, both would fail. Three calls at once take a third of the time and of the processor. The two
    options have no public name yet; a test fails when Ray changes them.
    """
    handle = DeploymentHandle(deployment, app)
    handle._init(_run_router_in_separate_loop=False)
    return handle.options(_by_reference=False)
