"""JSON over HTTP, for every wire."""

import orjson
from aiohttp import web


def json_answer(answer: object, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=orjson.dumps(answer), status=status, headers=headers, content_type="application/json")
