"""Ray Serve, imported without pandas (``config.ray_environment`` says why). Everything here takes it from this module."""

from config.ray_environment import without_pandas

with without_pandas():
    from ray import serve as ray_serve
    from ray.serve.config import HTTPOptions
    from ray.serve.context import _get_global_client as serve_client
    from ray.serve.exceptions import RayServeException
    from ray.serve.handle import DeploymentHandle

__all__ = ["DeploymentHandle", "HTTPOptions", "RayServeException", "ray_serve", "serve_client"]
