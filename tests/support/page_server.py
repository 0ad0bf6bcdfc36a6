"""The dashboard over a real Redis and a real socket, without Ray: for tests of its server and of its page."""

import socket
import threading
import time
from pathlib import Path

import uvicorn

from data.hot import Hot
from data.redis_server import EmbeddedRedis
from serve.dashboard.app import build_app

STATE = {
    "mode": "replay",
    "clock": "lockstep",
    "synthetic": True,
    "planned": 480,
    "entry_edge_bps": 12,
    "exit_edge_bps": 2,
}


class PageServer:
    """Serves one run's page on loopback; ``hot`` is where to publish. Close it."""

    def __init__(self, folder: Path, run_id: str = "made-up", state: dict | None = None) -> None:
        self.redis = EmbeddedRedis(folder)
        self.redis.start()
        self.run_id = run_id
        self.hot = Hot(self.redis.url, run_id)
        self.hot.publish_state(STATE if state is None else state)
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        config = uvicorn.Config(build_app(self.redis.url, run_id), log_level="error", timeout_graceful_shutdown=2)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)
        self._thread.start()
        deadline = time.monotonic() + 15
        while not self._server.started:
            assert time.monotonic() < deadline, "the page's server did not start"
            time.sleep(0.02)

    def stop_web(self) -> None:
        """End the web server; Redis stays."""
        self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()

    def close(self) -> None:
        self.stop_web()
        self.hot.close()
        self.redis.stop()
