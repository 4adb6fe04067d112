"""One Twilio to the worker where every shard has its own: a request goes to whoever has its call.

A worker asks by REST for a call that it wants to hang up, transfer or take over; which shard made
it nobody can tell by its SID. So those that do not know the call are asked in vain, a few
milliseconds each, of requests of which there is one a call at most.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from workers.twin.twilio_api.rest_server import RestServer

_METHODS: Final = ["GET", "POST", "DELETE"]
_ANSWER_S: Final = 10.0
_PASSED_ON: Final = frozenset({"authorization", "content-type", "accept"})


@asynccontextmanager
async def switchboard(shards: Callable[[], Sequence[str]]) -> AsyncIterator[str]:
    """Serve until exit; gives the base URL.

    Args:
        shards: Base URLs of the simulated Twilios there are by now.
    """
    async with httpx.AsyncClient(timeout=_ANSWER_S, trust_env=False) as client:

        async def pass_on(request: Request) -> Response:
            body = await request.body()
            headers = {k: v for k, v in request.headers.items() if k in _PASSED_ON}
            url = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            answer: httpx.Response | None = None
            for base in shards():
                try:
                    answer = await client.request(
                        request.method, base + url, content=body, headers=headers
                    )
                except httpx.HTTPError:
                    continue
                if answer.status_code != httpx.codes.NOT_FOUND:
                    break
            if answer is None:
                return Response(status_code=httpx.codes.SERVICE_UNAVAILABLE)
            kind = answer.headers.get("content-type")
            return Response(answer.content, answer.status_code, media_type=kind)

        server = RestServer("127.0.0.1", 0)
        app = Starlette(routes=[Route("/{path:path}", pass_on, methods=_METHODS)])
        try:
            yield await server.start(app)
        finally:
            await server.stop()
