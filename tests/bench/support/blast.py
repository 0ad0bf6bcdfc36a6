"""A server that sends recorded (or made-up) frames to whoever subscribes, as fast as they are taken.

``python -m tests.bench.support.blast [RECORDING]``; prints its address and stays until it is terminated.
"""

import asyncio
import sys
from pathlib import Path

import orjson
from websockets.asyncio.server import ServerConnection, serve

from tests.bench.support.frames import MADE, find, made, recorded

ROOT = Path(__file__).resolve().parents[3]


async def main() -> None:
    folder = find(Path(sys.argv[1]) if len(sys.argv) > 1 else None, ROOT)
    told = made(MADE) if folder is None else recorded(folder)

    async def talk(socket: ServerConnection) -> None:
        asked = orjson.loads(await socket.recv())
        await socket.send(orjson.dumps({"result": None, "id": asked["id"]}), text=True)
        for frame in told.frames:
            await socket.send(frame, text=True)
        await socket.wait_closed()

    async with serve(talk, "127.0.0.1", 0, compression=None) as server:
        host, port = server.sockets[0].getsockname()[:2]
        print(f"ws://{host}:{port}/stream", flush=True)
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(main())
