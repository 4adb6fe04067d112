"""A worker small enough to see through: TwiML by path, and a WebSocket handler, on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import parse_qsl

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

Media = Callable[[WebSocket], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Received:
    """One request: its path and query, its form, its headers in lower case."""

    path: str
    method: str
    params: dict[str, str]
    headers: dict[str, str]


@dataclass
class VoiceWorker:
    """Answer ``twiml[path]`` (a text, or texts used up one by one) and serve ``/media``."""

    twiml: dict[str, str | list[str] | Response] = field(default_factory=dict)
    media: Media | None = None
    delay_s: float = 0.0
    certificate: Path | None = None
    requests: list[Received] = field(default_factory=list)
    upgrades: list[dict[str, str]] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        # With the protocol named, or asyncio leaves Nagle's algorithm on and messages wait 40 ms.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.bind(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{listener.getsockname()[1]}"
        secure = "s" if self.certificate else ""
        self.base_url = f"http{secure}://{self.host}"
        self.media_url = f"ws{secure}://{self.host}/media"
        app = Starlette(
            routes=[
                WebSocketRoute("/media", self._serve_media),
                Route("/{path:path}", self._serve, methods=["GET", "POST"]),
            ]
        )
        config = uvicorn.Config(
            app,
            log_config=None,
            lifespan="off",
            ws="websockets-sansio",
            ws_per_message_deflate=False,
            ssl_certfile=self.certificate,
        )
        self._server = _Server(config)
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]))
        while not self._server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.005)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._server.should_exit = True
        self._server.force_exit = True
        await asyncio.wait({self._task}, timeout=5)

    def stream(self, *, after: str = "", parameters: dict[str, str] | None = None) -> str:
        """TwiML that connects a stream to this worker, then ``after``."""
        inner = "".join(
            f'<Parameter name="{name}" value="{value}"/>'
            for name, value in (parameters or {}).items()
        )
        status = f"{self.base_url}/stream-status"
        return (
            f'<Response><Connect><Stream url="{self.media_url}" statusCallback="{status}">'
            f"{inner}</Stream></Connect>{after}</Response>"
        )

    def sent_to(self, path: str) -> list[Received]:
        """The requests to one path."""
        return [request for request in self.requests if request.path.partition("?")[0] == path]

    async def _serve(self, request: Request) -> Response:
        body = (await request.body()).decode()
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        params = dict(parse_qsl(body, keep_blank_values=True))
        self.requests.append(Received(target, request.method, params, dict(request.headers)))
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        answer = self.twiml.get(request.url.path)
        if isinstance(answer, list):
            answer = answer.pop(0) if answer else "<Response/>"
        if isinstance(answer, Response):
            return answer
        if answer is None:
            return Response(status_code=204)
        return Response(answer, media_type="text/xml")

    async def _serve_media(self, socket: WebSocket) -> None:
        self.upgrades.append(dict(socket.headers))
        if self.media is None:
            await socket.close(1008)
            return
        await socket.accept()
        await self.media(socket)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield
